//! The pages of partners' users. The partner comes from the session, never from an address or a
//! form, and each page shows what `/v1/affiliates` answers.

use axum::Router;

use super::ConsoleState;
use super::confirm;
use super::error_page::no_such_page;
use super::profile;

mod blocked_traffic;
mod clicks;
mod codes;
mod conversions;
mod home;
mod key;
mod postbacks;
mod reports;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .merge(home::routes())
        .merge(codes::routes())
        .merge(reports::routes())
        .merge(conversions::routes())
        .merge(clicks::routes())
        .merge(blocked_traffic::routes())
        .merge(postbacks::routes())
        .merge(key::routes())
        .merge(confirm::routes())
        .merge(profile::routes())
        .fallback(no_such_page)
}
