//! The pages of the network's staff. Each menu entry has a file with its routes.

use axum::extract::{Path, Query, State};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::ConsoleState;
use super::arrangement;
use super::confirm;
use super::error_page::{PageError, no_such_page};
use super::options::{self, Choice, Referred};
use super::page::PageResult;
use super::profile;
use super::viewer::Viewer;

mod advertisers;
mod audit;
mod blocked_values;
mod bots;
mod caps;
mod catalog_object;
mod clicks;
mod conversions;
mod coupon_codes;
mod delivery;
mod domains;
mod explain;
mod flex;
mod home;
mod jobs;
mod keys;
mod leaks;
mod live;
mod offer_groups;
mod offers;
mod partner_postbacks;
mod partners;
mod postbacks;
mod privacy;
mod search;
mod settings;
mod smart_switch;
mod status;
mod traffic_controls;
mod uploads;
mod users;
mod webhooks;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .merge(home::routes())
        .merge(coupon_codes::routes())
        .merge(jobs::routes())
        .merge(settings::routes())
        .merge(bots::routes())
        .merge(smart_switch::routes())
        .merge(blocked_values::routes())
        .merge(privacy::routes())
        .merge(partner_postbacks::routes())
        .merge(webhooks::routes())
        .merge(users::routes())
        .merge(audit::routes())
        .merge(status::routes())
        .merge(keys::routes())
        .merge(confirm::routes())
        .merge(profile::routes())
        .merge(arrangement::routes())
        .merge(offers::routes())
        .merge(offer_groups::routes())
        .merge(caps::routes())
        .merge(traffic_controls::routes())
        .merge(partners::routes())
        .merge(advertisers::routes())
        .merge(domains::routes())
        .merge(search::routes())
        .merge(uploads::routes())
        .merge(conversions::routes())
        .merge(clicks::routes())
        .merge(postbacks::routes())
        .merge(flex::routes())
        .merge(leaks::routes())
        .merge(explain::routes())
        .merge(live::routes())
        .route("/options/{kind}", get(suggest))
        .fallback(no_such_page)
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
}

/// The labels of objects that match a text, for an input's suggestions.
async fn suggest(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(kind): Path<String>,
    Query(Search { search }): Query<Search>,
) -> PageResult {
    let referred = Referred::from_word(&kind).ok_or_else(PageError::not_found)?;
    let found = options::find(&state.api, &viewer, referred, search.trim()).await?;
    let labels: Vec<String> = found.iter().take(20).map(Choice::label).collect();
    Ok(Json(labels).into_response())
}
