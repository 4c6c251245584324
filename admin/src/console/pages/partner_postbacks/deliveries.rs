//! Deliveries of partner postbacks, sent and waiting, and their replay.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;

use super::{API, LIST, Names};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of, saved};
use crate::console::pages::delivery::DeliveryProgress;
use crate::console::viewer::Viewer;

const DELIVERIES_API: &str = "/v1/networks/pixeldeliveries";

/// A delivery as the API answers it.
#[derive(Debug, Deserialize)]
pub(super) struct DeliveryRow {
    #[serde(flatten)]
    pub(super) progress: DeliveryProgress,
    pub(super) network_pixel_delivery_id: u32,
    pub(super) network_pixel_id: u32,
    pub(super) conversion_id: String,
    url: String,
}

impl DeliveryRow {
    pub(super) fn address(&self) -> String {
        format::visible(&self.url)
    }

    /// The address is removed with the personal data of old deliveries.
    pub(super) fn can_be_sent(&self) -> bool {
        !self.url.is_empty()
    }
}

#[derive(Deserialize)]
pub(super) struct DeliveryList {
    pub(super) pixel_deliveries: Vec<DeliveryRow>,
    #[serde(default)]
    pub(super) paging: Paging,
}

#[derive(Template)]
#[template(path = "partner_postbacks/deliveries.html")]
struct DeliveriesPage {
    page: Page,
    query: ListQuery,
    deliveries: Vec<DeliveryRow>,
    paging: Paging,
    names: Names,
    may_edit: bool,
}

/// The deliveries of all postbacks.
pub(super) async fn show_all(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let path = format!("{DELIVERIES_API}{}", query.api_query());
    let DeliveryList { pixel_deliveries: deliveries, paging } =
        state.api.get(&viewer, &path).await?;
    let names = Names::load(&state, &viewer).await?;
    let page = Page::new(&viewer, Menu::PartnerPostbacks, "Deliveries – Partner postbacks")
        .with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&DeliveriesPage { page, query, deliveries, paging, names, may_edit }))
}

pub(super) async fn replay(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let delivery: DeliveryRow = state.api.get(&viewer, &format!("{DELIVERIES_API}/{id}")).await?;
    let request = ApiRequest::post(format!("{DELIVERIES_API}/{id}/replay"), json!({}));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{}", delivery.network_pixel_id), "replayed", None))
}

pub(super) async fn replay_dead(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/replay"), json!({}));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{id}"), "replayed", None))
}
