//! The form of an offer.

use askama::Template;
use axum::extract::{Path, State};

use super::OFFERS;
use super::destination::{MACROS, MacroHelp};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::pages::catalog_object::{ObjectKind, Submission};
use crate::console::viewer::Viewer;
use crate::console::words;

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("network_advertiser_id", Kind::Reference),
    FormField::new("offer_status", Kind::Choice),
    FormField::new("visibility", Kind::Choice),
    FormField::new("destination_url", Kind::Text),
    FormField::new("append_transaction_id", Kind::Truth),
    FormField::new("fallback_url", Kind::Text),
    FormField::new("network_tracking_domain_id", Kind::Reference),
    FormField::new("date_live_until", Kind::Text),
    FormField::new("currency_id", Kind::Text),
    FormField::new("payout_revenue[].network_offer_payout_revenue_id", Kind::Number),
    FormField::new("payout_revenue[].entry_name", Kind::Text),
    FormField::new("payout_revenue[].payout_type", Kind::Choice),
    FormField::new("payout_revenue[].payout_amount", Kind::Choice),
    FormField::new("payout_revenue[].payout_percentage", Kind::Choice),
    FormField::new("payout_revenue[].revenue_type", Kind::Choice),
    FormField::new("payout_revenue[].revenue_amount", Kind::Choice),
    FormField::new("payout_revenue[].revenue_percentage", Kind::Choice),
    FormField::new("payout_revenue[].is_default", Kind::Truth),
    FormField::new("session_definition", Kind::Choice),
    FormField::new("session_duration", Kind::Number),
    FormField::new("session_tracking_lifespan_hour", Kind::Number),
    FormField::new("is_must_approve_conversion", Kind::Truth),
    FormField::new("is_allow_duplicate_conversion", Kind::Truth),
];

/// The list of payments in the form.
const PAYMENTS: &str = "payout_revenue";

#[derive(Template)]
#[template(path = "offers/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The offer; `None` for a new one.
    id: Option<u32>,
    advertisers: Options,
    domains: Options,
    macros: &'static [MacroHelp],
}

impl EditPage {
    /// The payments of the offer and one blank row.
    fn payments(&self) -> Vec<usize> {
        self.form.rows(PAYMENTS, 1)
    }

    fn input(&self, row: &usize, part: &str) -> String {
        format!("{PAYMENTS}[{row}].{part}")
    }
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    form: Form,
) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let advertisers = Options::load(&state.api, viewer, Referred::Advertiser).await?;
    let domains = Options::load(&state.api, viewer, Referred::Domain).await?;
    let page = Page::new(viewer, OFFERS.menu, OFFERS.edit_title(id, &form));
    Ok(EditPage { page, kind: &OFFERS, form, id, advertisers, domains, macros: MACROS })
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let mut form = Form::new(&[
        ("offer_status", "active"),
        ("visibility", "public"),
        ("session_definition", "ip_user_agent"),
        ("session_duration", "24"),
        ("session_tracking_lifespan_hour", "0"),
        ("payout_revenue[0].payout_type", "cpa"),
        ("payout_revenue[0].revenue_type", "rpa"),
        ("payout_revenue[0].is_default", "true"),
    ]);
    form.set("network_advertiser_id", query.value("network_advertiser_id"));
    Ok(html(&edit_page(&state, &viewer, None, form).await?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, None, &submitted).await
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let answer = OFFERS.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&state, &viewer, Some(id), form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, Some(id), &submitted).await
}

async fn submit(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    submitted: &Submitted,
) -> PageResult {
    let submitted = submitted.without_removed(PAYMENTS);
    match OFFERS.submit(state, viewer, id, FIELDS, &submitted).await? {
        Submission::Saved(response) => Ok(response),
        Submission::Refused(form) => Ok(refused(&edit_page(state, viewer, id, form).await?)),
    }
}
