//! The differences between resources, as traits.

use axum::extract::{FromRef, FromRequestParts};
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::request::{
    ListSpec, MissingData, Relationships, RemovalOptions, RuleOptions, RuleRemovalOptions, Wait,
};
use crate::api::schema::Row;
use crate::api::state::{AppState, Network};
use crate::catalog::Role;
use crate::edit::{Change, EditError, Removal, Saved};
use crate::store::rows::{Listed, Query};
use crate::store::{ReadTx, StoreError, WriteTx};

/// A resource with the usual operations.
pub(crate) trait CrudResource: Sized + 'static {
    /// Body of a creation or a replacement.
    type Edit: DeserializeOwned + ToSchema + Send + 'static;
    /// A stored row.
    type Row: Send + 'static;
    /// The result of a creation; holds more than the row where a secret is shown once.
    type Created: Send + 'static;
    /// A row as the API answers it.
    type Answer: Answer + Row + Send + 'static;
    /// The part of the state that checks of a change need.
    type Rules: FromRef<AppState> + Send + 'static;
    /// Query parameters of `POST`.
    type CreateOptions: EditOptions;
    /// Query parameters of `PUT` and `PATCH`.
    type ChangeOptions: EditOptions;
    /// Query parameters of `DELETE`.
    type DeleteOptions: EditOptions;

    /// The name in error texts.
    const NAME: &'static str;
    /// Filters and relationships of the list.
    const LIST: ListSpec;

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<Self::Row>, StoreError>;
    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Self::Row>, StoreError>;
    fn create(
        tx: &WriteTx<'_>,
        rules: &Self::Rules,
        edit: Self::Edit,
        options: Self::CreateOptions,
    ) -> Result<Saved<Self::Created>, EditError>;
    fn change(
        tx: &WriteTx<'_>,
        rules: &Self::Rules,
        role: Role,
        id: u32,
        change: Change,
        options: Self::ChangeOptions,
    ) -> Result<Saved<Self::Row>, EditError>;
    fn delete(
        tx: &WriteTx<'_>,
        id: u32,
        options: Self::DeleteOptions,
    ) -> Result<Saved<()>, EditError>;

    /// Renders rows for a client of this role.
    fn render_rows(
        connection: &ReadTx<'_>,
        network: Network,
        role: Role,
        rows: Vec<Self::Row>,
        relationships: &Relationships,
    ) -> Result<Vec<Self::Answer>, StoreError>;
    /// Renders the row after a change, for a client of this role.
    fn render_changed(network: Network, role: Role, row: Self::Row) -> Self::Answer;
    fn render_created(network: Network, role: Role, created: Self::Created) -> Self::Answer;
}

/// A resource with a restore operation.
pub(crate) trait Restorable: CrudResource {
    /// Query parameters of the restoration.
    type RestoreOptions: EditOptions;

    fn restore(
        tx: &WriteTx<'_>,
        rules: &Self::Rules,
        id: u32,
        options: Self::RestoreOptions,
    ) -> Result<Saved<Self::Created>, EditError>;
}

/// Query parameters of an edit.
pub(crate) trait EditOptions:
    FromRequestParts<AppState, Rejection = ApiError> + IntoParams + Send + 'static
{
    fn wait(&self) -> Wait;

    fn missing_data(&self) -> MissingData {
        MissingData::Refused
    }
}

impl EditOptions for Wait {
    fn wait(&self) -> Wait {
        *self
    }
}

/// Query parameters of an edit that may delete an object.
pub(crate) trait DeleteOptions: EditOptions {
    fn removal(&self) -> Removal;
}

impl DeleteOptions for Wait {
    fn removal(&self) -> Removal {
        Removal::Checked
    }
}

impl EditOptions for RemovalOptions {
    fn wait(&self) -> Wait {
        self.wait
    }
}

impl DeleteOptions for RemovalOptions {
    fn removal(&self) -> Removal {
        self.removal
    }
}

impl EditOptions for RuleOptions {
    fn wait(&self) -> Wait {
        self.wait
    }

    fn missing_data(&self) -> MissingData {
        self.missing_data
    }
}

impl EditOptions for RuleRemovalOptions {
    fn wait(&self) -> Wait {
        self.removal.wait
    }

    fn missing_data(&self) -> MissingData {
        self.missing_data
    }
}

impl DeleteOptions for RuleRemovalOptions {
    fn removal(&self) -> Removal {
        self.removal.removal
    }
}

/// The rules of resources whose changes need no part of the state.
pub(crate) struct NoRules;

impl FromRef<AppState> for NoRules {
    fn from_ref(_: &AppState) -> NoRules {
        NoRules
    }
}
