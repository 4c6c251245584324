//! The page of a conversion: facts, the way from the click to the sale, and the attribution.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::API;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::further_values::{OtherFields, further_values};
use crate::console::history::HistoryRow;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{Page, PageResult, notice_of};
use crate::console::report::{self, Related};
use crate::console::viewer::Viewer;
use crate::console::words;

/// A conversion of the API's answer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ConversionRow {
    pub(crate) conversion_id: String,
    pub(crate) conversion_unix_timestamp: i64,
    pub(crate) click_unix_timestamp: i64,
    pub(crate) status: String,
    pub(crate) error_message: String,
    pub(crate) coupon_code: String,
    pub(crate) network_coupon_code_id: u32,
    pub(crate) transaction_id: String,
    pub(crate) event: String,
    pub(crate) order_id: String,
    pub(crate) payout: Value,
    pub(crate) revenue: Value,
    pub(crate) sale_amount: Value,
    pub(crate) amount: Value,
    pub(crate) currency_id: String,
    pub(crate) sale_currency_id: String,
    /// Name of the offer's URL that the click got; empty for the offer's destination.
    pub(crate) offer_url: String,
    pub(crate) source_id: String,
    pub(crate) uid: String,
    pub(crate) device_type: String,
    pub(crate) platform: String,
    pub(crate) browser: String,
    pub(crate) conversion_user_ip: String,
    pub(crate) conversion_user_agent: String,
    pub(crate) conversion_referer: String,
    pub(crate) email: String,
    pub(crate) notes: String,
    pub(crate) is_sdk: bool,
    pub(crate) is_refund: bool,
    pub(crate) has_conflict: bool,
    pub(crate) suspicion: String,
    sub1: String,
    sub2: String,
    sub3: String,
    sub4: String,
    sub5: String,
    pub(crate) relationship: Related,
    #[serde(flatten)]
    others: OtherFields,
}

impl ConversionRow {
    /// Class and word of the status.
    pub(crate) fn state(&self) -> (&'static str, String) {
        words::conversion_state(&self.status)
    }

    /// Why the conversion does not count, or not yet; empty for a counted conversion.
    pub(crate) fn reason(&self) -> String {
        words::plain(&self.error_message)
    }

    pub(crate) fn suspicion_text(&self) -> &'static str {
        words::suspicion(&self.suspicion)
    }

    pub(crate) fn sale_text(&self) -> String {
        // A refund's own amount is what it takes back.
        let amount = if self.is_refund { &self.amount } else { &self.sale_amount };
        format::amount(amount, &self.sale_currency_id)
    }

    pub(crate) fn payout_text(&self) -> String {
        format::amount(&self.payout, &self.currency_id)
    }

    pub(crate) fn revenue_text(&self) -> String {
        format::amount(&self.revenue, &self.currency_id)
    }

    /// The word for the kind of conversion beside a base conversion.
    pub(crate) fn kind(&self) -> String {
        if self.is_refund {
            return "Refund".into();
        }
        format::visible(&self.event)
    }

    fn has_click(&self) -> bool {
        self.click_unix_timestamp != 0
    }

    /// Names and values of the link's parameters.
    fn subs(&self) -> Vec<(String, String)> {
        let all = [
            ("Sub 1", &self.sub1),
            ("Sub 2", &self.sub2),
            ("Sub 3", &self.sub3),
            ("Sub 4", &self.sub4),
            ("Sub 5", &self.sub5),
            ("Source", &self.source_id),
            ("Visitor of the partner", &self.uid),
        ];
        let said = all.into_iter().filter(|(_, value)| !value.is_empty());
        let said = said.map(|(name, value)| (name.to_owned(), format::visible(value)));
        let further = further_values(&self.others).into_iter();
        said.chain(further.map(|(_, name, value)| (name, format::visible(value)))).collect()
    }

    /// The time between click and sale.
    fn delay(&self) -> String {
        format::duration(self.conversion_unix_timestamp - self.click_unix_timestamp)
    }
}

/// How a conversion was attributed.
#[derive(Debug, Deserialize)]
struct Attribution {
    method: String,
    evidence: String,
    steps: Vec<DecisionStep>,
}

/// A step of the decision about a postback.
#[derive(Debug, Deserialize)]
pub(crate) struct DecisionStep {
    step: String,
    detail: String,
}

impl DecisionStep {
    pub(crate) fn name(&self) -> String {
        words::word(&self.step)
    }

    pub(crate) fn text(&self) -> String {
        format::visible(&words::plain(&self.detail))
    }
}

/// A conversion with attribution and history.
#[derive(Debug, Deserialize)]
pub(super) struct WholeConversion {
    #[serde(flatten)]
    pub(super) row: ConversionRow,
    attribution: Attribution,
    approval_obstacle: String,
    history: Vec<HistoryRow>,
}

#[derive(Template)]
#[template(path = "conversions/conversion.html")]
struct ConversionPage {
    page: Page,
    row: ConversionRow,
    attribution: Attribution,
    /// Why approval is impossible; empty where approval is possible.
    obstacle: String,
    history: Vec<HistoryRow>,
    may_decide: bool,
    problem: Option<String>,
}

impl ConversionPage {
    /// Partner, offer and method of the attribution in a sentence.
    fn summary(&self) -> String {
        let name = |link: Option<report::Link>| link.map(|link| link.name);
        let related = &self.row.relationship;
        let (Some(offer), Some(partner)) = (name(related.offer()), name(related.partner())) else {
            return "Nobody could be named whose sale it is.".into();
        };
        let by = match self.attribution.method.as_str() {
            "click" => "the click that the postback names".to_owned(),
            "coupon_code" => format!("the coupon code {}", format::visible(&self.row.coupon_code)),
            _ => "the offer and the partner that the postback names".to_owned(),
        };
        let click = if self.row.has_click() { "" } else { " There was no click." };
        format!("The sale belongs to {partner} on {offer}, by {by}.{click}")
    }

    fn evidence(&self) -> &'static str {
        match self.attribution.evidence.as_str() {
            "trusted" => "The sender proved to be the advertiser.",
            "click" => "The postback names a click that only its visitor and the shop know.",
            _ => "The sender proved nothing: anybody who knows the code could have sent it.",
        }
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<String>,
    query: ListQuery,
) -> PageResult {
    conversion_page(&state, &viewer, &id, &query, None).await
}

/// The page, with the sentence of a refused decision.
pub(super) async fn conversion_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: &str,
    query: &ListQuery,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let WholeConversion { row, attribution, approval_obstacle, history } =
        find(state, viewer, id).await?;
    let title = format!(
        "Conversion of {}",
        format::time(row.conversion_unix_timestamp, viewer.time_zone())
    );
    let page = Page::new(viewer, Menu::Conversions, title).with_notice(notice_of(query.pairs()));
    let may_decide = viewer.may(Right::DecideConversions);
    let obstacle = words::plain(&approval_obstacle);
    let page = ConversionPage { page, row, attribution, obstacle, history, may_decide, problem };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

pub(super) async fn find(
    state: &ConsoleState,
    viewer: &Viewer,
    id: &str,
) -> Result<WholeConversion, PageError> {
    Ok(state.api.get(viewer, &format!("{API}/{}", encode(id))).await?)
}
