//! The access of partners to an offer.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde::Deserialize;

use super::OFFERS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::pages::partners::PARTNERS;
use crate::console::viewer::Viewer;
use crate::console::words;

const FIELDS: &[FormField] = &[
    FormField::new("visibility", Kind::Choice),
    FormField::new("affiliates[].network_affiliate_id", Kind::Reference),
    FormField::new("affiliates[].status", Kind::Choice),
];

/// The most entries of a form.
const MAX_ENTRIES: usize = 400;
/// Blank rows of the form.
const BLANK_ROWS: usize = 2;

/// An exception from the offer's visibility, for a single partner.
pub(super) struct AccessEntry {
    pub(super) partner_id: u32,
    pub(super) partner: String,
    pub(super) status: String,
}

impl AccessEntry {
    pub(super) fn word(&self) -> String {
        words::word(&self.status)
    }
}

#[derive(Deserialize)]
struct StoredEntry {
    network_affiliate_id: u32,
    status: String,
}

/// The entries of an offer with the names of partners, and the offer's entity tag.
pub(super) async fn entries(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<(Vec<AccessEntry>, String), PageError> {
    let path = format!("{}/{id}/visibility", OFFERS.api);
    let answer = state.api.send(viewer, ApiRequest::new(Method::GET, path)).await?;
    let stored: Vec<StoredEntry> =
        serde_json::from_value(answer.body["affiliates"].clone()).map_err(PageError::inside)?;
    let mut names = BTreeMap::new();
    for entry in &stored {
        let id = entry.network_affiliate_id;
        names.insert(id, partner_name(state, viewer, id).await?);
    }
    let named = |entry: StoredEntry| AccessEntry {
        partner_id: entry.network_affiliate_id,
        partner: names.remove(&entry.network_affiliate_id).unwrap_or_default(),
        status: entry.status,
    };
    Ok((stored.into_iter().map(named).collect(), answer.etag))
}

/// The name of a partner, also of a deleted partner.
async fn partner_name(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<String, Refusal> {
    match PARTNERS.read(state, viewer, id, "").await {
        Ok(partner) => Ok(format::visible(PARTNERS.name_of(&partner.body))),
        Err(refusal) if refusal.status == axum::http::StatusCode::NOT_FOUND => {
            Ok(format!("Partner {id} (deleted)"))
        }
        Err(refusal) => Err(refusal),
    }
}

#[derive(Template)]
#[template(path = "offers/access.html")]
struct AccessPage {
    page: Page,
    id: u32,
    name: String,
    form: Form,
    partners: Options,
    is_too_long: bool,
}

impl AccessPage {
    fn rows(&self) -> Vec<usize> {
        self.form.rows("affiliates", BLANK_ROWS)
    }

    fn input(&self, row: &usize, part: &str) -> String {
        format!("affiliates[{row}].{part}")
    }
}

async fn access_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    form: Form,
) -> Result<AccessPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let offer = OFFERS.read(state, viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let page = Page::new(viewer, OFFERS.menu, format!("Access to {name} – Offers"));
    let is_too_long = form.rows("affiliates", 0).len() > MAX_ENTRIES;
    Ok(AccessPage { page, id, name, form, partners, is_too_long })
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let path = format!("{}/{id}/visibility", OFFERS.api);
    let answer = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&access_page(&state, &viewer, id, form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let submitted = submitted.without_removed("affiliates");
    let path = format!("{}/{id}/visibility", OFFERS.api);
    let request = ApiRequest::put(format!("{path}?wait=live"), submitted.to_json(FIELDS))
        .if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved(&OFFERS.at(id), "saved", answer.is_live)),
        Err(refusal) if refusal.is_stale() => {
            let now = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
            Ok(conflict(&viewer, OFFERS.menu, FIELDS, &submitted, &now))
        }
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&access_page(&state, &viewer, id, form).await?))
        }
    }
}
