//! The page of an offer.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{self, AccessEntry};
use super::{
    OFFERS, caps, destination, fail_traffic, forwarding, targeting, traffic_filters, urls,
};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::caps::limits::{self, LimitUse};
use crate::console::pages::catalog_object::{Dependents, Found, some_code};
use crate::console::viewer::Viewer;
use crate::console::words;

/// An offer in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct OfferRow {
    pub(super) network_offer_id: u32,
    pub(super) name: String,
    pub(super) offer_status: String,
    destination_url: String,
    network_advertiser_id: u32,
    network_tracking_domain_id: u32,
    pub(super) visibility: String,
    date_live_until: String,
    currency_id: String,
    #[serde(default)]
    payout_revenue: Vec<Payment>,
    session_definition: String,
    session_duration: u32,
    session_tracking_lifespan_hour: u32,
    is_must_approve_conversion: bool,
    is_caps_enabled: bool,
    is_soft_cap: bool,
    network_offer_group_id: u32,
    is_allow_duplicate_conversion: bool,
    append_transaction_id: bool,
    fallback_url: String,
    time_created: i64,
    pub(super) time_saved: i64,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    relationship: Related,
}

#[derive(Debug, Default, Deserialize)]
struct Related {
    advertiser: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// Payout and revenue of a kind of sale.
#[derive(Debug, Deserialize)]
struct Payment {
    entry_name: String,
    payout_type: String,
    payout_amount: Value,
    payout_percentage: Value,
    revenue_type: String,
    revenue_amount: Value,
    revenue_percentage: Value,
    is_default: bool,
}

impl Payment {
    fn name(&self) -> String {
        match (self.is_default, self.entry_name.as_str()) {
            (true, "") => "Sale".into(),
            (_, name) => format::visible(name),
        }
    }

    fn payout(&self, currency: &str) -> String {
        paid(&self.payout_type, &self.payout_amount, &self.payout_percentage, currency)
    }

    fn revenue(&self, currency: &str) -> String {
        paid(&self.revenue_type, &self.revenue_amount, &self.revenue_percentage, currency)
    }
}

/// A payment in words, such as `5.00 EUR for a sale + 10 % of it`.
fn paid(kind: &str, amount: &Value, percentage: &Value, currency: &str) -> String {
    let amount = format::money(amount.to_string().trim_matches('"'), currency);
    let share = format!("{} %", format::decimal(percentage.to_string().trim_matches('"')));
    match kind {
        "cpa" | "rpa" => format!("{amount} for a sale"),
        "cpc" | "rpc" => format!("{amount} for a click"),
        "cpm" | "rpm" => format!("{amount} for 1,000 clicks"),
        "cps" | "rps" => format!("{share} of the sale"),
        "cpa_cps" | "rpa_rps" => format!("{amount} for a sale + {share} of it"),
        "prv" => format!("{share} of the revenue"),
        "null_value" => "nothing".into(),
        other => words::word(other),
    }
}

impl OfferRow {
    pub(super) fn host(&self) -> &str {
        destination::host(&self.destination_url)
    }

    fn example(&self) -> String {
        destination::example(&self.destination_url)
    }

    /// Class and word of the status.
    pub(super) fn state(&self) -> (&'static str, String) {
        let kind = match self.offer_status.as_str() {
            "active" => "good",
            "pending" => "wait",
            _ => "off",
        };
        (kind, words::word(&self.offer_status))
    }

    pub(super) fn advertiser_name(&self) -> String {
        let name = self.relationship.advertiser.as_ref().map(|found| found.name.as_str());
        name.map_or_else(|| format!("Advertiser {}", self.network_advertiser_id), format::visible)
    }

    fn currency<'a>(&'a self, viewer: &'a Viewer) -> &'a str {
        if self.currency_id.is_empty() { viewer.currency() } else { &self.currency_id }
    }

    fn base(&self) -> Option<&Payment> {
        self.payout_revenue.iter().find(|payment| payment.is_default)
    }

    /// The payout for a sale without an event.
    pub(super) fn payout(&self, viewer: &Viewer) -> String {
        let paid = self.base().map(|payment| payment.payout(self.currency(viewer)));
        paid.unwrap_or_else(|| "–".into())
    }

    /// The revenue of a sale without an event.
    pub(super) fn revenue(&self, viewer: &Viewer) -> String {
        let paid = self.base().map(|payment| payment.revenue(self.currency(viewer)));
        paid.unwrap_or_else(|| "–".into())
    }

    fn lifespan(&self) -> String {
        match self.session_tracking_lifespan_hour {
            0 => "No limit".into(),
            hours => format!("{} hours", format::count(hours)),
        }
    }
}

/// The answer of coupond to a simulated visit.
#[derive(Debug, Deserialize)]
struct Explanation {
    status: u16,
    answer: String,
    location: String,
    steps: Vec<ExplainedStep>,
}

#[derive(Debug, Deserialize)]
struct ExplainedStep {
    step: String,
    result: String,
}

impl Explanation {
    /// Class of the box and sentence.
    fn verdict(&self) -> (&'static str, String) {
        let status = self.status;
        match self.answer.as_str() {
            "offer" => ("good", format!("coupond would answer {status} and lead to this offer.")),
            "fallback" => {
                ("warning", format!("coupond would answer {status} and lead to a fallback page."))
            }
            _ => ("bad", format!("coupond would answer {status}: the link leads nowhere.")),
        }
    }
}

#[derive(Template)]
#[template(path = "offers/offer.html")]
struct OfferPage {
    page: Page,
    offer: OfferRow,
    dependents: Dependents,
    entries: Vec<AccessEntry>,
    /// The ruleset in words.
    visitors: Vec<(String, String)>,
    /// The filters of sources in words.
    sources: Vec<String>,
    /// The URLs beside the destination in words.
    urls: String,
    fail_traffic: String,
    forwarding: String,
    uses: Vec<LimitUse>,
    /// Filter of duplicates and block of converted visitors in words.
    filters: Vec<(&'static str, String)>,
    /// Address of the tracking domain of its own; empty for the default domain.
    domain: String,
    /// The code of the test, or a code to suggest.
    code: String,
    test: Option<Explanation>,
    test_problem: Option<String>,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let found = OFFERS
        .find(
            &state,
            &viewer,
            id,
            &query,
            "?relationship=advertiser&relationship=used_caps&relationship=urls",
        )
        .await?;
    let answer = match found {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let visitors = targeting::summary(&answer.body["ruleset"]);
    let sources = traffic_filters::summary(&answer.body);
    let fail_traffic = fail_traffic::summary(&answer.body);
    let urls = urls::summary(&answer.body);
    let forwarding = forwarding::summary(&state, &viewer, id).await?;
    let (uses, filters) = (limits::uses(&answer.body), caps::summary(&answer.body));
    let offer: OfferRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let dependents = OFFERS.dependents(&state, &viewer, id).await?;
    let (entries, _) = access::entries(&state, &viewer, id).await?;
    let mut code = query.value("code").to_owned();
    let (mut test, mut test_problem) = (None, None);
    if code.is_empty() {
        code = some_code(&state, &viewer, id.into()).await?;
    } else {
        match explain(&state, &viewer, id, &code).await {
            Ok(explanation) => test = Some(explanation),
            Err(refusal) => test_problem = Some(words::sentence(&refusal)),
        }
    }
    let domain = domain(&state, &viewer, offer.network_tracking_domain_id).await?;
    let title = format!("{} – Offers", format::visible(&offer.name));
    let page = Page::new(&viewer, OFFERS.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&OfferPage {
        page,
        offer,
        dependents,
        entries,
        visitors,
        sources,
        urls,
        fail_traffic,
        forwarding,
        uses,
        filters,
        domain,
        code,
        test,
        test_problem,
        may_edit,
    }))
}

/// The address of a tracking domain; empty for none.
async fn domain(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<String, Refusal> {
    if id == 0 {
        return Ok(String::new());
    }
    let found: Value = state.api.get(viewer, &format!("/v1/networks/trackingdomains/{id}")).await?;
    Ok(format::visible(found["base_url"].as_str().unwrap_or_default()))
}

async fn explain(
    state: &ConsoleState,
    viewer: &Viewer,
    offer_id: u32,
    code: &str,
) -> Result<Explanation, Refusal> {
    let visit = json!({"code": code, "oid": offer_id});
    state.api.query(viewer, "/v1/networks/explain", visit).await
}
