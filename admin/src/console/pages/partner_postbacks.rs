//! Partners – Postbacks: the addresses at which partners are told of their conversions, and the
//! deliveries to them.

mod deliveries;
mod edit;
mod postback;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::confirm::require_recent_password;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/pixels";
const LIST: &str = "/console/partner-postbacks";

pub(super) fn routes() -> Router<ConsoleState> {
    // Whoever changes an address can read all later sales of its partner.
    let edits = Router::new()
        .route("/partner-postbacks/new", get(edit::show_new).post(edit::create))
        .route("/partner-postbacks/{id}/edit", get(edit::show).post(edit::save))
        .route_layer(from_fn(require_recent_password));
    Router::new()
        .route("/partner-postbacks", get(show))
        .route("/partner-postbacks/deliveries", get(deliveries::show_all))
        .route("/partner-postbacks/deliveries/{id}/replay", post(deliveries::replay))
        .route("/partner-postbacks/{id}", get(postback::show))
        .route("/partner-postbacks/{id}/test", post(postback::test))
        .route("/partner-postbacks/{id}/replay", post(deliveries::replay_dead))
        .route("/partner-postbacks/{id}/delete", post(postback::delete))
        .route("/partner-postbacks/{id}/restore", post(postback::restore))
        .merge(edits)
}

/// A partner postback as the API answers it.
#[derive(Debug, Deserialize)]
struct PostbackRow {
    network_pixel_id: u32,
    network_affiliate_id: u32,
    network_offer_id: u32,
    network_offer_payout_revenue_id: u32,
    pixel_status: String,
    pixel_type: String,
    postback_url: String,
    delay_ms: u32,
    description: String,
    time_created: i64,
    time_saved: i64,
    #[serde(default)]
    time_deleted: i64,
}

impl PostbackRow {
    /// Class and word of the status.
    fn state(&self) -> (&'static str, &'static str) {
        match (self.time_deleted, self.pixel_status.as_str()) {
            (0, "active") => ("good", "Active"),
            (0, _) => ("off", "Inactive"),
            _ => ("bad", "Deleted"),
        }
    }

    fn is_active(&self) -> bool {
        self.time_deleted == 0 && self.pixel_status == "active"
    }

    fn kind(&self) -> &'static str {
        if self.pixel_type == "conversion" { "Sales" } else { "Events" }
    }

    fn address(&self) -> String {
        format::visible(&self.postback_url)
    }

    fn delay(&self) -> String {
        match self.delay_ms {
            0 => "None".into(),
            ms if ms % 1000 == 0 => format!("{} s", format::count(ms / 1000)),
            ms => format!("{} ms", format::count(ms)),
        }
    }
}

/// The names of partners and offers.
struct Names {
    partners: Options,
    offers: Options,
}

impl Names {
    async fn load(state: &ConsoleState, viewer: &Viewer) -> Result<Names, Refusal> {
        let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
        let offers = Options::load(&state.api, viewer, Referred::Offer).await?;
        Ok(Names { partners, offers })
    }

    fn partner(&self, id: &u32) -> String {
        format::visible(&self.partners.label_of(&id.to_string()))
    }

    /// The label of an offer; 0 is all offers.
    fn offer(&self, id: &u32) -> String {
        match id {
            0 => "All offers".into(),
            id => format::visible(&self.offers.label_of(&id.to_string())),
        }
    }
}

#[derive(Deserialize)]
struct PostbackList {
    pixels: Vec<PostbackRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "partner_postbacks/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    postbacks: Vec<PostbackRow>,
    paging: Paging,
    names: Names,
    may_edit: bool,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let path = format!("{API}{}", query.or_sorted("-network_pixel_id").api_query());
    let PostbackList { pixels: postbacks, paging } = state.api.get(&viewer, &path).await?;
    let names = Names::load(&state, &viewer).await?;
    let page = Page::new(&viewer, Menu::PartnerPostbacks, "Partner postbacks")
        .with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, postbacks, paging, names, may_edit }))
}
