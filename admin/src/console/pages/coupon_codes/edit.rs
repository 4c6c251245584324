//! The form of a code.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use coupon_shared::code::CouponCode;
use serde::Deserialize;

use super::code::CodeRow;
use super::listing::API;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;

/// Inputs of the form.
pub(super) const FIELDS: &[FormField] = &[
    FormField::new("coupon_code", Kind::Text),
    FormField::new("network_offer_id", Kind::Reference),
    FormField::new("network_affiliate_id", Kind::Reference),
    FormField::new("coupon_status", Kind::Choice),
    FormField::new("start_date", Kind::Text),
    FormField::new("end_date", Kind::Text),
    FormField::new("description", Kind::Text),
    FormField::new("is_description_plain_text", Kind::Truth),
    FormField::new("internal_notes", Kind::Text),
    FormField::new("conversion_only", Kind::Truth),
];

/// A creation may also issue the code of another partner anew.
const REISSUE: FormField = FormField::new("allow_reissue", Kind::Truth);

#[derive(Template)]
#[template(path = "coupon_codes/edit.html")]
struct EditPage {
    page: Page,
    form: Form,
    /// The code; `None` for a new one.
    id: Option<u32>,
    offers: Options,
    partners: Options,
}

impl EditPage {
    /// Whether the API refused the code because another partner had it before.
    fn can_be_reissued(&self) -> bool {
        self.form.error("allow_reissue").is_some() || self.form.is_ticked("allow_reissue")
    }
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    form: Form,
) -> Result<EditPage, PageError> {
    let offers = Options::load(&state.api, viewer, Referred::Offer).await?;
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let title = match id {
        None => "New coupon code".to_owned(),
        Some(_) => format!("Edit {} – Coupon Codes", form.value("coupon_code")),
    };
    let page = Page::new(viewer, Menu::CouponCodes, title);
    Ok(EditPage { page, form, id, offers, partners })
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let mut form = Form::new(&[("coupon_status", "active"), ("is_description_plain_text", "true")]);
    for name in ["coupon_code", "network_offer_id", "network_affiliate_id"] {
        form.set(name, query.value(name));
    }
    let mut page = edit_page(&state, &viewer, None, form).await?;
    page.page.notice = notice_of(query.pairs());
    Ok(html(&page))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let fields: Vec<FormField> = FIELDS.iter().copied().chain([REISSUE]).collect();
    let request = ApiRequest::post(format!("{API}?wait=live"), submitted.to_json(&fields))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) if submitted.has("another") => {
            let path = format!(
                "/console/coupon-codes/new?network_offer_id={}&network_affiliate_id={}",
                answer.number("network_offer_id"),
                answer.number("network_affiliate_id")
            );
            Ok(saved(&path, "created", answer.is_live))
        }
        Ok(answer) => {
            let id = answer.number("network_coupon_code_id");
            Ok(saved(&format!("/console/coupon-codes/{id}"), "created", answer.is_live))
        }
        Err(refusal) => refuse(&state, &viewer, None, &submitted, refusal).await,
    }
}

async fn refuse(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    submitted: &Submitted,
    refusal: Refusal,
) -> PageResult {
    let form = Form::refused(submitted, refusal)?;
    Ok(refused(&edit_page(state, viewer, id, form).await?))
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::new(Method::GET, format!("{API}/{id}"));
    let answer = state.api.send(&viewer, request).await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&state, &viewer, Some(id), form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{API}/{id}");
    let request = ApiRequest::patch(format!("{path}?wait=live"), submitted.to_json(FIELDS))
        .if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved(&format!("/console/coupon-codes/{id}"), "saved", answer.is_live)),
        Err(refusal) if refusal.is_stale() => {
            let now = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
            Ok(conflict(&viewer, Menu::CouponCodes, FIELDS, &submitted, &now))
        }
        Err(refusal) => refuse(&state, &viewer, Some(id), &submitted, refusal).await,
    }
}

#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
struct CodeList {
    coupon_codes: Vec<CodeRow>,
}

/// A sentence about a code while it is typed: whether it is free, or whose it is. A text that is
/// no code of a link gets none, because the form tells what is wrong with it.
pub(super) async fn check(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Query(Typed { code }): Query<Typed>,
) -> PageResult {
    if CouponCode::parse(code.trim()).is_err() {
        return Ok(String::new().into_response());
    }
    let path = format!(
        "{API}?filter=coupon_code%3D{}&relationship=offer&relationship=affiliate&page_size=20",
        encode(code.trim())
    );
    let list: CodeList = state.api.get(&viewer, &path).await?;
    Ok(sentence_about(code.trim(), &list.coupon_codes))
}

fn sentence_about(code: &str, rows: &[CodeRow]) -> Response {
    let Some(first) = rows.first() else { return format!("{code} is free.").into_response() };
    let offers: Vec<String> = rows.iter().map(CodeRow::offer_name).collect();
    let owner = match first.network_affiliate_id {
        0 => "has no partner yet".to_owned(),
        _ => format!("belongs to {}", first.partner_name()),
    };
    format!("{code} {owner}, on {}.", offers.join(", ")).into_response()
}
