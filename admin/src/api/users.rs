//! `/v1/networks/users`: the users of the console. A creation and a reset answer a one-time link
//! token; no other answer holds it. Changes are in force from the user's next request on.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::crud::{self, CrudResource, NoRules};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Id, ListSpec, Relationships, Wait};
use super::schema::{Row, answered, field, merged};
use super::state::{AppState, Network};
use crate::accounts::{self, LinkToken, User, UserEdit};
use crate::catalog::{Role, UserStatus};
use crate::edit::{Change, EditError, Saved};
use crate::store::accounts::users;
use crate::store::rows::{Listed, Query, Times};
use crate::store::{ReadTx, StoreError, WriteTx};

mod sessions;

const ABOUT_CREATION: &str = "Creates a user, and an invitation.\n\n\
     `link_token` is in this answer only: the user opens `/link/{link_token}` of the console within \
     24 hours and chooses a password. Without an invitation left, make another one by `reset`.";

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<Users>("/users", "Lists users."))
        .routes(crud::create::<Users>("/users", ABOUT_CREATION))
        .routes(crud::read::<Users>("/users/{id}", "One user."))
        .routes(crud::patch::<Users>("/users/{id}", ABOUT_CHANGE))
        .routes(crud::delete::<Users>(
            "/users/{id}",
            "Deletes a user with all sessions; the login is free again.",
        ))
        .routes(routes!(reset))
        .routes(routes!(reset_totp))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
}

const ABOUT_CHANGE: &str = "Changes what the body names.\n\n\
     Another role, partner or status ends the user's sessions. The last admin who can sign in stays one.";

#[derive(Clone, Serialize)]
struct UserAnswer {
    network_user_id: u32,
    network_id: u32,
    name: String,
    login: String,
    role: Role,
    network_affiliate_id: u32,
    user_status: UserStatus,
    has_password: bool,
    has_totp: bool,
    time_last_sign_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_token: Option<String>,
    #[serde(flatten)]
    times: Times,
}

impl PartialSchema for UserAnswer {
    fn schema() -> RefOr<Schema> {
        let object = merged([UserEdit::schema(), Times::schema()]);
        let object = field::<u32>(object, "network_user_id");
        let object = field::<u32>(object, "network_id");
        let object = field::<bool>(object, "has_password");
        let object = field::<bool>(object, "has_totp");
        let mut object = answered(field::<i64>(object, "time_last_sign_in"));
        object.properties.insert("link_token".into(), String::schema());
        RefOr::T(Schema::Object(object))
    }
}

impl ToSchema for UserAnswer {
    fn name() -> std::borrow::Cow<'static, str> {
        "User".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        UserEdit::schemas(schemas);
        Times::schemas(schemas);
    }
}

impl Row for UserAnswer {
    const PLURAL: &'static str = "users";
}

impl Answer for UserAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.times.revision)
    }

    /// The store holds no tokens, so the answer to a repetition is without a token; a reset makes
    /// another one.
    fn without_secrets(&self) -> Option<UserAnswer> {
        Some(UserAnswer { link_token: None, ..self.clone() })
    }
}

impl UserAnswer {
    fn new(network: Network, user: User) -> UserAnswer {
        UserAnswer {
            network_user_id: user.id,
            network_id: network.id,
            role: user.role,
            network_affiliate_id: user.affiliate_id.unwrap_or(0),
            user_status: user.status,
            has_password: user.has_password,
            has_totp: user.has_totp,
            time_last_sign_in: user.time_last_sign_in,
            link_token: None,
            times: user.times(),
            name: user.name,
            login: user.login,
        }
    }

    fn with_link(network: Network, (user, link): (User, LinkToken)) -> UserAnswer {
        UserAnswer { link_token: Some(link.reveal().to_owned()), ..UserAnswer::new(network, user) }
    }
}

struct Users;

impl CrudResource for Users {
    type Edit = UserEdit;
    type Row = User;
    type Created = (User, LinkToken);
    type Answer = UserAnswer;
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const NAME: &'static str = accounts::WHAT;
    const LIST: ListSpec = ListSpec {
        filters: users::FILTERS,
        relationships: &[],
        search: Some(users::SEARCH),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<User>, StoreError> {
        accounts::list(connection, query)
    }

    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<User>, StoreError> {
        accounts::find(connection, id)
    }

    fn create(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        edit: UserEdit,
        _options: Wait,
    ) -> Result<Saved<(User, LinkToken)>, EditError> {
        accounts::create(tx, &edit)
    }

    fn change(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        _role: Role,
        id: u32,
        change: Change,
        _options: Wait,
    ) -> Result<Saved<User>, EditError> {
        accounts::change(tx, id, change)
    }

    fn delete(tx: &WriteTx<'_>, id: u32, _options: Wait) -> Result<Saved<()>, EditError> {
        accounts::remove(tx, id)
    }

    fn render_rows(
        _connection: &ReadTx<'_>,
        network: Network,
        _role: Role,
        rows: Vec<User>,
        _relationships: &Relationships,
    ) -> Result<Vec<UserAnswer>, StoreError> {
        Ok(rows.into_iter().map(|user| UserAnswer::new(network, user)).collect())
    }

    fn render_changed(network: Network, _role: Role, user: User) -> UserAnswer {
        UserAnswer::new(network, user)
    }

    fn render_created(network: Network, _role: Role, created: (User, LinkToken)) -> UserAnswer {
        UserAnswer::with_link(network, created)
    }
}

/// Makes a one-time link for a new password, or another invitation.
///
/// The answer's `link_token` is good for 24 hours and replaces earlier ones. The present password
/// and the user's sessions work until the link is used.
#[utoipa::path(post, path = "/users/{id}/reset", params(Id, Wait), responses((status = 200, body = UserAnswer)))]
async fn reset(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let reset = move |tx: &WriteTx<'_>| accounts::reset(tx, id);
    edits.create(wait, reset, move |made| UserAnswer::with_link(network, made)).await
}

/// Removes the second factor of a user who lost it, and ends the user's sessions.
#[utoipa::path(post, path = "/users/{id}/reset-totp", params(Id, Wait), responses((status = 200, body = UserAnswer)))]
async fn reset_totp(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let reset = move |tx: &WriteTx<'_>| accounts::reset_totp(tx, id);
    edits.create(wait, reset, move |user| UserAnswer::new(network, user)).await
}
