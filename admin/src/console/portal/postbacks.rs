//! Postbacks: where the partner's own system is told of its sales.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;

use super::codes::own_codes;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/affiliates/pixels";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/postbacks", get(show).post(create))
}

const FIELDS: &[FormField] = &[
    FormField::new("postback_url", Kind::Text),
    FormField::new("network_offer_id", Kind::Reference),
    FormField::new("pixel_status", Kind::Choice),
    FormField::new("signing_key", Kind::Text),
];

/// A postback as its partner sees it.
#[derive(Debug, Deserialize)]
struct OwnPostback {
    network_offer_id: u32,
    pixel_status: String,
    postback_url: String,
}

#[derive(Deserialize)]
struct PostbackList {
    pixels: Vec<OwnPostback>,
}

#[derive(Template)]
#[template(path = "portal/postbacks.html")]
struct PostbacksPage {
    page: Page,
    postbacks: Vec<OwnPostback>,
    form: Form,
    /// Ids and names of the partner's offers; 0 is all of them.
    offers: Vec<(String, String)>,
}

impl PostbacksPage {
    fn offer_name(&self, id: &u32) -> String {
        let id = id.to_string();
        let found = self.offers.iter().find(|(offer, _)| *offer == id);
        found.map_or_else(|| format!("Offer {id}"), |(_, name)| name.clone())
    }
}

async fn postbacks_page(
    state: &ConsoleState,
    viewer: &Viewer,
    form: Form,
) -> Result<PostbacksPage, PageError> {
    let list: PostbackList = state.api.get(viewer, API).await?;
    let mut offers = vec![("0".to_owned(), "All offers".to_owned())];
    for code in own_codes(state, viewer).await? {
        let offer = (code.network_offer_id.to_string(), code.offer_name());
        if !offers.contains(&offer) {
            offers.push(offer);
        }
    }
    let page = Page::new(viewer, Menu::PortalPostbacks, "Postbacks");
    Ok(PostbacksPage { page, postbacks: list.pixels, form, offers })
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let form = Form::new(&[("pixel_status", "active"), ("network_offer_id", "0")]);
    let mut shown = postbacks_page(&state, &viewer, form).await?;
    shown.page.notice = notice_of(query.pairs());
    Ok(html(&shown))
}

async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::post(API, submitted.to_json(FIELDS))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(_) => Ok(saved("/portal/postbacks", "created", None)),
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&postbacks_page(&state, &viewer, form).await?))
        }
    }
}
