//! The URLs of an offer beside its destination.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::Value;

use super::OFFERS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::viewer::Viewer;
use crate::console::words;

/// A URL in an answer of the API.
#[derive(Debug, Deserialize)]
struct UrlRow {
    network_offer_url_id: u32,
    name: String,
    destination_url: String,
    url_status: String,
    is_apply_specific_affiliates: bool,
    network_affiliate_ids: Vec<u32>,
    is_hidden_affiliate: bool,
}

impl UrlRow {
    fn partners(&self) -> String {
        let named = self.network_affiliate_ids.len() as u64;
        let who = match self.is_apply_specific_affiliates {
            true => format::counted(named, "partners"),
            false => "All".to_owned(),
        };
        if self.is_hidden_affiliate { format!("{who}, who do not see it") } else { who }
    }

    /// Class and word of the status.
    fn state(&self) -> (&'static str, String) {
        let kind = if self.url_status == "active" { "good" } else { "off" };
        (kind, words::word(&self.url_status))
    }
}

/// The address of the page.
pub(super) fn page_path(id: u32) -> String {
    format!("{}/urls", OFFERS.at(id))
}

#[derive(Template)]
#[template(path = "offers/urls.html")]
struct UrlsPage {
    page: Page,
    id: u32,
    name: String,
    urls: Vec<UrlRow>,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let offer = OFFERS.read(&state, &viewer, id, "?relationship=urls").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let entries = offer.body["relationship"]["urls"]["entries"].clone();
    let urls: Vec<UrlRow> = serde_json::from_value(entries).map_err(PageError::inside)?;
    let page = Page::new(&viewer, OFFERS.menu, format!("URLs of {name} – Offers"));
    let page = page.with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&UrlsPage { page, id, name, urls, may_edit }))
}

/// The URLs of an offer in words.
pub(super) fn summary(offer: &Value) -> String {
    let urls = offer["relationship"]["urls"]["entries"].as_array();
    let urls = urls.map(Vec::as_slice).unwrap_or_default();
    let active = urls.iter().filter(|url| url["url_status"] == "active").count();
    match urls.len() {
        0 => "All links lead to the destination.".into(),
        all => format!(
            "{}, {} of them active.",
            format::counted(all as u64, "URLs"),
            format::count(active as u64)
        ),
    }
}
