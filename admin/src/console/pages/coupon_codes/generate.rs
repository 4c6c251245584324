//! Codes from a pattern: the form, a count of the pattern's codes, and the generated codes.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use serde::Deserialize;
use serde_json::Value;

use super::code::CodeRow;
use super::listing::API;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging, encode};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;

const FIELDS: &[FormField] = &[
    FormField::new("pattern", Kind::Text),
    FormField::new("alphabet", Kind::Text),
    FormField::new("count", Kind::Number),
    FormField::new("network_offer_id", Kind::Reference),
    FormField::new("network_affiliate_id", Kind::Reference),
    FormField::new("coupon_status", Kind::Choice),
    FormField::new("start_date", Kind::Text),
    FormField::new("end_date", Kind::Text),
    FormField::new("description", Kind::Text),
    FormField::new("is_description_plain_text", Kind::Truth),
    FormField::new("internal_notes", Kind::Text),
];

#[derive(Template)]
#[template(path = "coupon_codes/generate.html")]
struct GeneratePage {
    page: Page,
    form: Form,
    offers: Options,
    partners: Options,
    pattern: Option<PatternCount>,
}

/// How many codes a pattern has.
#[derive(Deserialize)]
struct PatternCount {
    possible: Option<u64>,
    taken: u64,
    examples: Vec<String>,
}

impl PatternCount {
    fn sentence(&self) -> String {
        let taken = format::count(self.taken);
        let Some(possible) = self.possible else {
            return format!("More codes than anybody needs are possible; {taken} are taken.");
        };
        let left = format::count(possible.saturating_sub(self.taken));
        format!(
            "{} codes are possible, {taken} are taken, {left} are left.",
            format::count(possible)
        )
    }
}

async fn generate_page(
    state: &ConsoleState,
    viewer: &Viewer,
    form: Form,
    pattern: Option<PatternCount>,
) -> Result<GeneratePage, PageError> {
    let offers = Options::load(&state.api, viewer, Referred::Offer).await?;
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let page = Page::new(viewer, Menu::CouponCodes, "Generate codes – Coupon Codes");
    Ok(GeneratePage { page, form, offers, partners, pattern })
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    if !viewer.may(Right::EditCatalog) {
        return Err(PageError::forbidden());
    }
    let mut form = Form::new(&[
        ("count", "100"),
        ("coupon_status", "active"),
        ("is_description_plain_text", "true"),
    ]);
    form.set("network_offer_id", query.value("network_offer_id"));
    form.set("network_affiliate_id", query.value("network_affiliate_id"));
    Ok(html(&generate_page(&state, &viewer, form, None).await?))
}

/// Generates the codes, or with the other button only counts the codes of the pattern.
pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    if submitted.has("count_only") {
        return count(&state, &viewer, &submitted).await;
    }
    let path = format!("{API}/generate?wait=live");
    let request = ApiRequest::post(path, submitted.to_json(FIELDS))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved(&generated_path(&answer), "generated", answer.is_live)),
        Err(refusal) => refuse(&state, &viewer, &submitted, refusal).await,
    }
}

async fn count(state: &ConsoleState, viewer: &Viewer, submitted: &Submitted) -> PageResult {
    let [pattern, alphabet] =
        ["pattern", "alphabet"].map(|name| encode(submitted.value(name).trim()));
    let path = format!("{API}/generate?pattern={pattern}&alphabet={alphabet}");
    match state.api.get(viewer, &path).await {
        Ok(counted) => {
            let form = Form::typed(submitted);
            Ok(html(&generate_page(state, viewer, form, Some(counted)).await?))
        }
        Err(refusal) => refuse(state, viewer, submitted, refusal).await,
    }
}

async fn refuse(
    state: &ConsoleState,
    viewer: &Viewer,
    submitted: &Submitted,
    refusal: Refusal,
) -> PageResult {
    let form = Form::refused(submitted, refusal)?;
    Ok(refused(&generate_page(state, viewer, form, None).await?))
}

/// The address of the generated codes. Codes of one request have consecutive ids.
fn generated_path(answer: &ApiAnswer) -> String {
    let codes = answer.body["coupon_codes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let id = |code: Option<&Value>| {
        code.and_then(|code| code["network_coupon_code_id"].as_u64()).unwrap_or_default()
    };
    let (before, behind) = (id(codes.first()).saturating_sub(1), id(codes.last()) + 1);
    format!(
        "/console/coupon-codes/generated?filter=network_coupon_code_id%3E{before}\
         &filter=network_coupon_code_id%3C{behind}"
    )
}

#[derive(Deserialize)]
struct CodeList {
    coupon_codes: Vec<CodeRow>,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "coupon_codes/generated.html")]
struct GeneratedPage {
    page: Page,
    query: ListQuery,
    codes: Vec<CodeRow>,
    paging: Paging,
}

/// The codes that were generated, with their links.
pub(super) async fn generated(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    if !query.is_narrowed() {
        return Ok(Redirect::to("/console/coupon-codes").into_response());
    }
    let path = format!("{API}{}", query.api_query());
    let CodeList { coupon_codes: codes, paging } = state.api.get(&viewer, &path).await?;
    let page = Page::new(&viewer, Menu::CouponCodes, "Generated codes – Coupon Codes")
        .with_notice(notice_of(query.pairs()));
    Ok(html(&GeneratedPage { page, query, codes, paging }))
}
