//! Objects of the catalog as resources.

use axum::extract::FromRef;
use serde::Serialize;

use super::resource::{CrudResource, DeleteOptions, EditOptions, Restorable};
use crate::access::Right;
use crate::api::answer::{Object, Resource};
use crate::api::request::{ListSpec, MissingData, Relationships, Wait};
use crate::api::state::{AppState, Network};
use crate::catalog::{self, Role};
use crate::edit::{self, Change, EditError, Editable, Saved};
use crate::store::rows::{self, Listed, Query, Stored};
use crate::store::{ReadTx, StoreError, WriteTx};

/// An object of the catalog: stored as a single row, and edited in the same way for all types.
pub(crate) trait CatalogResource: Editable + Resource + Serialize + Send + 'static {
    /// See [`CrudResource::Rules`].
    type Rules: FromRef<AppState> + Send + 'static;
    /// See [`CrudResource::CreateOptions`].
    type CreateOptions: EditOptions;
    /// See [`CrudResource::ChangeOptions`].
    type ChangeOptions: DeleteOptions;
    /// See [`CrudResource::DeleteOptions`].
    type DeleteOptions: DeleteOptions;

    /// See [`CrudResource::LIST`].
    const LIST: ListSpec;

    /// Refuses states by rules outside the store. `before` is absent for creations and
    /// restorations.
    fn check_saved(
        _rules: &Self::Rules,
        _before: Option<&Self>,
        _now: &Self,
    ) -> Result<(), EditError> {
        Ok(())
    }

    /// Refuses new rules that no database of places can answer, unless the caller allows them.
    fn check_data(
        _rules: &Self::Rules,
        _before: Option<&Self>,
        _now: &Self,
    ) -> Result<(), EditError> {
        Ok(())
    }

    /// Clears [`catalog::SECRET_FIELDS`], for callers without [`Right::ViewSecrets`].
    fn clear_secrets(&mut self) {}

    /// Fills derived fields.
    fn fill_derived(&mut self) {}

    /// Remarks about an object, such as macros that stay empty.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Remarks that other rows bring, such as a destination that is paused.
    fn remarks(_connection: &ReadTx<'_>, _row: &Stored<Self>) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Adds the related objects from the request.
    fn add_relationships(
        _connection: &ReadTx<'_>,
        _network: Network,
        _objects: &mut [Object<Self>],
        _wanted: &Relationships,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A row with the remarks of [`CatalogResource::remarks`].
pub(crate) struct RemarkedRow<T> {
    pub(crate) stored: Stored<T>,
    remarks: Vec<String>,
}

impl<T: CatalogResource> RemarkedRow<T> {
    fn read(connection: &ReadTx<'_>, stored: Stored<T>) -> Result<RemarkedRow<T>, StoreError> {
        let remarks = T::remarks(connection, &stored)?;
        Ok(RemarkedRow { stored, remarks })
    }

    fn saved(
        tx: &WriteTx<'_>,
        saved: Saved<Stored<T>>,
    ) -> Result<Saved<RemarkedRow<T>>, EditError> {
        let Saved { now, sequence } = saved;
        Ok(Saved { now: RemarkedRow::read(tx, now)?, sequence })
    }
}

fn render<T: CatalogResource>(network: Network, role: Role, row: RemarkedRow<T>) -> Object<T> {
    let RemarkedRow { stored: mut row, remarks } = row;
    row.object.fill_derived();
    let mut warnings = row.object.warnings();
    warnings.extend(remarks);
    // The read-only fields tell, without the secrets, that there are secrets.
    let mut object = Object::new(network, row).with_warnings(warnings);
    if !role.may(Right::ViewSecrets) {
        object.content_mut().clear_secrets();
    }
    object
}

impl<T: CatalogResource> CrudResource for T {
    type Edit = T;
    type Row = RemarkedRow<T>;
    type Created = RemarkedRow<T>;
    type Answer = Object<T>;
    type Rules = T::Rules;
    type CreateOptions = T::CreateOptions;
    type ChangeOptions = T::ChangeOptions;
    type DeleteOptions = T::DeleteOptions;

    const NAME: &'static str = <T as Editable>::NAME;
    const LIST: ListSpec = <T as CatalogResource>::LIST;

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<Self::Row>, StoreError> {
        let Listed { rows, total_count, ends } = rows::list(connection, query)?;
        let rows = rows.into_iter().map(|row| RemarkedRow::read(connection, row));
        Ok(Listed { rows: rows.collect::<Result<_, _>>()?, total_count, ends })
    }

    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Self::Row>, StoreError> {
        let found = rows::find(connection, id)?;
        found.map(|row| RemarkedRow::read(connection, row)).transpose()
    }

    fn create(
        tx: &WriteTx<'_>,
        rules: &T::Rules,
        edit: T,
        options: T::CreateOptions,
    ) -> Result<Saved<Self::Row>, EditError> {
        let saved = edit::create(tx, &edit)?;
        T::check_saved(rules, None, &saved.now.object)?;
        if options.missing_data() == MissingData::Refused {
            T::check_data(rules, None, &saved.now.object)?;
        }
        RemarkedRow::saved(tx, saved)
    }

    fn change(
        tx: &WriteTx<'_>,
        rules: &T::Rules,
        role: Role,
        id: u32,
        change: Change,
        options: T::ChangeOptions,
    ) -> Result<Saved<Self::Row>, EditError> {
        let before = rows::find::<T>(tx, id)?.map(|row| row.object);
        let change = match &before {
            // Such a caller saw the secrets empty, and sends them back empty.
            Some(before) if !role.may(Right::ViewSecrets) => {
                change.keeping(before, catalog::SECRET_FIELDS)?
            }
            _ => change,
        };
        let saved = edit::change_or_remove::<T>(tx, id, change, options.removal())?;
        T::check_saved(rules, before.as_ref(), &saved.now.object)?;
        if options.missing_data() == MissingData::Refused {
            T::check_data(rules, before.as_ref(), &saved.now.object)?;
        }
        RemarkedRow::saved(tx, saved)
    }

    fn delete(
        tx: &WriteTx<'_>,
        id: u32,
        options: T::DeleteOptions,
    ) -> Result<Saved<()>, EditError> {
        edit::remove::<T>(tx, id, options.removal())
    }

    fn render_rows(
        connection: &ReadTx<'_>,
        network: Network,
        role: Role,
        rows: Vec<Self::Row>,
        relationships: &Relationships,
    ) -> Result<Vec<Object<T>>, StoreError> {
        let mut objects: Vec<Object<T>> =
            rows.into_iter().map(|row| render(network, role, row)).collect();
        T::add_relationships(connection, network, &mut objects, relationships)?;
        Ok(objects)
    }

    fn render_changed(network: Network, role: Role, row: Self::Row) -> Object<T> {
        render(network, role, row)
    }

    fn render_created(network: Network, role: Role, created: Self::Created) -> Object<T> {
        Self::render_changed(network, role, created)
    }
}

impl<T: CatalogResource> Restorable for T {
    type RestoreOptions = Wait;

    fn restore(
        tx: &WriteTx<'_>,
        rules: &T::Rules,
        id: u32,
        _options: Wait,
    ) -> Result<Saved<Self::Created>, EditError> {
        let saved = edit::restore::<T>(tx, id)?;
        T::check_saved(rules, None, &saved.now.object)?;
        RemarkedRow::saved(tx, saved)
    }
}
