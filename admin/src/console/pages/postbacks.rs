//! Reporting – Postback log: received postbacks with the steps of their decisions.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;

use super::conversions::DecisionStep;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{Chip, ListQuery, Paging, encode};
use crate::console::page::{Page, PageResult, html};
use crate::console::report::{self, Link};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/postbacks";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/postbacks", get(show)).route("/postbacks/{id}", get(show_postback))
}

/// A postback of the API's answer.
#[derive(Debug, Deserialize)]
struct PostbackRow {
    postback_id: String,
    time_received: i64,
    channel: String,
    status: String,
    outcome: String,
    error: String,
    conversion_id: String,
    transaction_id: String,
    coupon_code: String,
    network_offer_id: u32,
    network_affiliate_id: u32,
    event: String,
    order_id: String,
    amount: String,
    currency: String,
    time_decided: i64,
}

impl PostbackRow {
    fn state(&self) -> (&'static str, String) {
        words::conversion_state(&self.status)
    }

    fn reason(&self) -> String {
        words::plain(&self.error)
    }

    fn effect(&self) -> &'static str {
        match self.outcome.as_str() {
            "waits" => "Waits for its click",
            "made" => "Made a conversion",
            "repeats" => "Repeats an earlier report",
            "conflicts" => "Contradicts an earlier report",
            "refunds" => "Took back from a conversion",
            _ => "Names nothing that is known",
        }
    }

    fn sender_kind(&self) -> &'static str {
        if self.channel == "sdk" { "A page of the shop" } else { "A server" }
    }
}

#[derive(Default, Deserialize)]
struct PostbackList {
    postbacks: Vec<PostbackRow>,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "postbacks/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    /// The query of the API.
    asked: ListQuery,
    chips: Vec<Chip>,
    postbacks: Vec<PostbackRow>,
    paging: Paging,
    problem: Option<String>,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let asked = query.with_days_of("time_received", viewer.time_zone());
    let path = format!("{API}{}", asked.api_query());
    let (list, problem) = report::or_problem(state.api.get(&viewer, &path).await)?;
    let PostbackList { postbacks, paging } = list;
    let chips = report::chips(&state.api, &viewer, &query).await?;
    let page = Page::new(&viewer, Menu::Postbacks, "Postback log");
    let page = ListPage { page, query, asked, chips, postbacks, paging, problem };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

#[derive(Deserialize)]
struct WholePostback {
    #[serde(flatten)]
    row: PostbackRow,
    method: String,
    address: String,
    host: String,
    user_agent: String,
    referer: String,
    content_type: String,
    query: String,
    body: String,
    email: String,
    steps: Vec<DecisionStep>,
}

#[derive(Template)]
#[template(path = "postbacks/postback.html")]
struct PostbackPage {
    page: Page,
    whole: WholePostback,
    offer: Option<Link>,
    partner: Option<Link>,
}

async fn show_postback(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> PageResult {
    let whole: WholePostback = state.api.get(&viewer, &format!("{API}/{}", encode(&id))).await?;
    let offer = named(&state, &viewer, "offer", "offers", whole.row.network_offer_id).await?;
    let partner =
        named(&state, &viewer, "affiliate", "partners", whole.row.network_affiliate_id).await?;
    let time = format::time(whole.row.time_received, viewer.time_zone());
    let page = Page::new(&viewer, Menu::Postbacks, format!("Postback of {time}"));
    Ok(html(&PostbackPage { page, whole, offer, partner }))
}

/// The object named by id in the postback; `None` for id 0.
async fn named(
    state: &ConsoleState,
    viewer: &Viewer,
    facet: &str,
    pages: &str,
    id: u32,
) -> Result<Option<Link>, crate::console::api_client::Refusal> {
    if id == 0 {
        return Ok(None);
    }
    let name = report::name_of(&state.api, viewer, facet, &id.to_string()).await?;
    Ok(Some(Link { name, path: format!("/console/{pages}/{id}") }))
}
