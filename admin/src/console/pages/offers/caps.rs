//! The page of an offer's caps, filter of duplicates and block of converted visitors.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::{Path, State};
use serde_json::Value;

use super::OFFERS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::pages::caps::limits::{self, LimitGroup, LimitUse};
use crate::console::viewer::Viewer;

static FIELDS: LazyLock<Vec<FormField>> = LazyLock::new(|| {
    let own = [
        FormField::new("is_caps_enabled", Kind::Truth),
        FormField::new("is_soft_cap", Kind::Truth),
        FormField::new("network_offer_group_id", Kind::Reference),
        FormField::new("is_duplicate_filter_enabled", Kind::Truth),
        FormField::new("duplicate_filter_targeting_action", Kind::Choice),
        FormField::new("is_block_already_converted", Kind::Truth),
        FormField::new("already_converted_action", Kind::Choice),
        FormField::new(MINIMUM, Kind::Number),
    ];
    own.into_iter().chain(limits::FIELDS.iter().copied()).collect()
});

const MINIMUM: &str = "session_tracking_minimum_lifespan_second";

#[derive(Template)]
#[template(path = "offers/caps.html")]
struct CapsPage {
    page: Page,
    form: Form,
    id: u32,
    name: String,
    offer_groups: Options,
    groups: Vec<LimitGroup>,
    uses: Vec<LimitUse>,
}

async fn caps_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    offer: &Value,
    mut form: Form,
) -> Result<CapsPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    limits::blank_zeros(&mut form);
    for field in ["network_offer_group_id", MINIMUM] {
        if form.is(field, "0") {
            form.set(field, "");
        }
    }
    let name = format::visible(OFFERS.name_of(offer));
    let offer_groups = Options::load(&state.api, viewer, Referred::OfferGroup).await?;
    let page = Page::new(viewer, OFFERS.menu, format!("Caps and filters of {name} – Offers"));
    let (groups, uses) = (limits::groups(), limits::uses(offer));
    Ok(CapsPage { page, form, id, name, offer_groups, groups, uses })
}

fn relationship() -> String {
    format!("?{}", limits::USED)
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let answer = OFFERS.read(&state, &viewer, id, &relationship()).await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&caps_page(&state, &viewer, id, &answer.body, form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let submitted = limits::with_zeros(&submitted).with_zeros(&[MINIMUM]);
    let path = format!("{}/{id}?wait=live", OFFERS.api);
    let request =
        ApiRequest::patch(path, submitted.to_json(&FIELDS)).if_match(submitted.value("etag"));
    let refusal = match state.api.send(&viewer, request).await {
        Ok(answer) => return Ok(saved(&OFFERS.at(id), "saved", answer.is_live)),
        Err(refusal) => refusal,
    };
    let now = OFFERS.read(&state, &viewer, id, &relationship()).await?;
    if refusal.is_stale() {
        return Ok(conflict(&viewer, OFFERS.menu, &FIELDS, &submitted, &now));
    }
    let form = Form::refused(&submitted, refusal)?;
    Ok(refused(&caps_page(&state, &viewer, id, &now.body, form).await?))
}

/// Caps, filter and block in words: names with values.
pub(super) fn summary(offer: &Value) -> Vec<(&'static str, String)> {
    let is_on = |field: &str| offer[field] == true;
    let action = |field: &str| match offer[field].as_str() {
        Some("fail_traffic") => "Go to fail traffic",
        _ => "Are refused",
    };
    let mut parts = Vec::new();
    if is_on("is_duplicate_filter_enabled") {
        let action = action("duplicate_filter_targeting_action");
        parts.push(("Visitors who come again", action.to_owned()));
    }
    if is_on("is_block_already_converted") {
        parts.push(("Visitors who have bought", action("already_converted_action").to_owned()));
    }
    if let Some(seconds) = offer[MINIMUM].as_u64().filter(|seconds| *seconds > 0) {
        let seconds = format::count(seconds);
        parts.push(("Soonest sale", format!("{seconds} seconds after the click")));
    }
    parts
}
