//! The forwarding rules of an offer in their order.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::OFFERS;
use super::fail_traffic::move_by_one;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of, saved};
use crate::console::viewer::Viewer;
use crate::console::words;

/// A forwarding rule in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct RuleRow {
    network_forwarding_rule_id: u32,
    name: String,
    forwarding_rule_status: String,
    network_affiliate_ids: Vec<u32>,
    destination_network_offer_id: u32,
    #[serde(default)]
    warnings: Vec<String>,
}

impl RuleRow {
    fn partners(&self) -> String {
        match self.network_affiliate_ids.len() {
            0 => "All".into(),
            count => format::counted(count as u64, "partners"),
        }
    }

    /// Class and word of the status.
    fn state(&self) -> (&'static str, String) {
        let kind = if self.forwarding_rule_status == "active" { "good" } else { "off" };
        (kind, words::word(&self.forwarding_rule_status))
    }
}

/// The rules of an offer.
#[derive(Debug, Deserialize)]
struct RuleList {
    forwarding_rules: Vec<RuleRow>,
}

/// The address of an offer's rules in the API.
pub(super) fn api_path(id: u32) -> String {
    format!("{}/{id}/forwardingrules", OFFERS.api)
}

/// The address of the page.
pub(super) fn page_path(id: u32) -> String {
    format!("{}/forwarding", OFFERS.at(id))
}

/// The rules of an offer and their entity tag.
pub(super) async fn rules(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<(Vec<RuleRow>, String), PageError> {
    let answer = state.api.send(viewer, ApiRequest::new(Method::GET, api_path(id))).await?;
    let list: RuleList = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    Ok((list.forwarding_rules, answer.etag))
}

#[derive(Template)]
#[template(path = "offers/forwarding.html")]
struct ForwardingPage {
    page: Page,
    id: u32,
    name: String,
    rules: Vec<RuleRow>,
    etag: String,
    offers: Options,
    may_edit: bool,
}

impl ForwardingPage {
    fn destination(&self, rule: &RuleRow) -> String {
        self.offers.label_of(&rule.destination_network_offer_id.to_string())
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let offer = OFFERS.read(&state, &viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let (rules, etag) = rules(&state, &viewer, id).await?;
    let offers = Options::load(&state.api, &viewer, Referred::Offer).await?;
    let page = Page::new(&viewer, OFFERS.menu, format!("Forwarding of {name} – Offers"));
    let page = page.with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ForwardingPage { page, id, name, rules, etag, offers, may_edit }))
}

/// Moves a rule by one place.
pub(super) async fn reorder(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: crate::console::form::Submitted,
) -> PageResult {
    let (rules, _) = rules(&state, &viewer, id).await?;
    let mut ids: Vec<u32> = rules.iter().map(|rule| rule.network_forwarding_rule_id).collect();
    if let Some(from) = ids.iter().position(|id| id.to_string() == submitted.value("id")) {
        move_by_one(&mut ids, from, submitted.value("move"));
    }
    let path = format!("{}/order?wait=live", api_path(id));
    let request = ApiRequest::put(path, json!({ "ids": ids })).if_match(submitted.value("etag"));
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(&page_path(id), "saved", answer.is_live))
}

pub(super) async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, rule)): Path<(u32, u32)>,
) -> PageResult {
    let request = ApiRequest::delete(format!("{}/{rule}?wait=live", api_path(id)));
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(&page_path(id), "deleted", answer.is_live))
}

/// The forwarding of an offer in words.
pub(super) async fn summary(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<String, Refusal> {
    let list: RuleList = state.api.get(viewer, &api_path(id)).await?;
    let rules = &list.forwarding_rules;
    let active = rules.iter().filter(|rule| rule.forwarding_rule_status == "active").count();
    Ok(match rules.len() {
        0 => "Visits stay with the offer.".into(),
        all => format!(
            "{}, {} of them active.",
            format::counted(all as u64, "rules"),
            format::count(active as u64)
        ),
    })
}
