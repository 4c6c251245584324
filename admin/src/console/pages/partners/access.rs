//! The access of a partner to each offer.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;

use super::PARTNERS;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::form::Submitted;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{PageResult, saved};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::pages::offers::OFFERS;
use crate::console::viewer::Viewer;
use crate::console::words;

/// Inputs of offers begin with this; the offer's id follows.
const INPUT: &str = "offer.";

/// An offer, and the access of the partner.
pub(super) struct AccessRow {
    pub(super) offer_id: u32,
    pub(super) offer: String,
    /// The offer's visibility for all partners.
    pub(super) visibility: &'static str,
    /// The word of the API; `default` without an entry of the partner's own.
    pub(super) status: String,
}

impl AccessRow {
    pub(super) fn is(&self, status: &str) -> bool {
        self.status == status
    }

    pub(super) fn word(&self) -> String {
        match self.status.as_str() {
            "default" => "As for all partners".into(),
            status => words::word(status),
        }
    }

    pub(super) fn input(&self) -> String {
        format!("{INPUT}{}", self.offer_id)
    }
}

#[derive(Deserialize)]
struct OwnAccessList {
    offers: Vec<OwnAccess>,
}

#[derive(Deserialize)]
struct OwnAccess {
    network_offer_id: u32,
    status: String,
}

#[derive(Deserialize)]
struct OfferRow {
    network_offer_id: u32,
    name: String,
    visibility: String,
}

fn path(id: u32) -> String {
    format!("{}/{id}/offers/visibility", PARTNERS.api)
}

async fn entries(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<BTreeMap<u32, String>, Refusal> {
    let entries: OwnAccessList = state.api.get(viewer, &path(id)).await?;
    let entries = entries.offers.into_iter();
    Ok(entries.map(|entry| (entry.network_offer_id, entry.status)).collect())
}

/// A page of the offers with the access of a partner.
pub(super) async fn rows(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    query: &ListQuery,
) -> Result<(Vec<AccessRow>, Paging), Refusal> {
    let asked = query.or_sorted("name").api_query();
    let ObjectList { rows, paging } = OFFERS.list::<OfferRow>(state, viewer, &asked).await?;
    let mut entries = entries(state, viewer, id).await?;
    let row = |offer: OfferRow| AccessRow {
        offer_id: offer.network_offer_id,
        offer: format::visible(&offer.name),
        visibility: words::visibility(&offer.visibility),
        status: entries.remove(&offer.network_offer_id).unwrap_or_else(|| "default".into()),
    };
    Ok((rows.into_iter().map(row).collect(), paging))
}

/// Saves the rows with a changed access.
pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let present = entries(&state, &viewer, id).await?;
    let mut is_live = None;
    for (status, offers) in changes(&submitted, &present) {
        let body = json!({"network_offer_ids": offers, "status": status});
        let request = ApiRequest::patch(format!("{}?wait=live", path(id)), body);
        let answer = state.api.send(&viewer, request).await?;
        is_live = is_live.max(answer.is_live);
    }
    let list = ListQuery::parse(&PARTNERS.at(id), submitted.value("selection"));
    Ok(saved(&list.with("page", submitted.value("page")), "saved", is_live))
}

/// The offers with a changed access, by the new access.
fn changes<'a>(
    submitted: &'a Submitted,
    present: &BTreeMap<u32, String>,
) -> BTreeMap<&'a str, Vec<u32>> {
    let mut changes: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (name, status) in submitted.pairs() {
        let id = name.strip_prefix(INPUT).and_then(|id| id.parse().ok());
        let Some(id) = id else { continue };
        let now = present.get(&id).map_or("default", String::as_str);
        if now != status {
            changes.entry(status).or_default().push(id);
        }
    }
    changes
}
