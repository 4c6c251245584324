//! Analytics – Code leaks: codes with sales without clicks, the most suspicious first; and holding
//! such sales until somebody has looked at them.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::report;
use crate::console::typed_period::{Period, Preset};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/reporting/codeleaks";
const DEFAULT_DAYS: i32 = 30;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/leaks", get(show))
        .route("/leaks/decide", get(show_consequences).post(decide))
}

/// A code of the API's answer.
#[derive(Debug, Deserialize)]
struct LeakRow {
    coupon_code: String,
    network_affiliate_id: u32,
    affiliate_name: String,
    conversions: u64,
    never_clicked: u64,
    spike: u64,
    held: u64,
    suspicious_payout: Value,
    currency_id: String,
    last_conversion: i64,
}

impl LeakRow {
    fn is_suspicious(&self) -> bool {
        self.never_clicked + self.spike > 0
    }

    /// The parameters of the page that holds or releases the code's sales of the period.
    fn decision(&self, period: &Period, decision: &str) -> String {
        let (from, to, code) =
            (encode(&period.from), encode(&period.to), encode(&self.coupon_code));
        let partner = self.network_affiliate_id;
        format!("coupon_code={code}&partner={partner}&from={from}&to={to}&decision={decision}")
    }

    /// Sales that count, of those without a click.
    fn has_sales_to_hold(&self) -> bool {
        self.conversions > self.held
    }

    /// The parameters of a list with the code's conversions of the period.
    fn selection(&self, period: &Period) -> String {
        let (from, to) = (encode(&period.from), encode(&period.to));
        let filter = encode(&format!("coupon_code={}", self.coupon_code));
        format!("from={from}&to={to}&filter={filter}")
    }
}

/// Events of the last week about visits from one address.
const ADDRESS_ALERTS: &str = "/v1/networks/events?types=traffic.one_address&limit=1000";
/// Most alerts on the page.
const MAX_ALERTS: usize = 50;

#[derive(Default, Deserialize)]
struct AddressEvents {
    events: Vec<AddressEvent>,
}

#[derive(Deserialize)]
struct AddressEvent {
    /// RFC 3339.
    created_at: String,
    data: AddressAlert,
}

impl AddressEvent {
    /// Unix seconds.
    fn time(&self) -> i64 {
        self.created_at.parse().map_or(0, Timestamp::as_second)
    }
}

/// Most visits of a partner or a code came from one address.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct AddressAlert {
    network_affiliate_id: u32,
    affiliate_name: String,
    network_coupon_code_id: u32,
    coupon_code: String,
    visits: u64,
    from_one_address: u64,
    percentage: u64,
}

impl AddressAlert {
    /// The page of the partner or the code, and its name.
    fn subject(&self) -> (String, String) {
        match self.network_affiliate_id {
            0 => {
                let path = format!("/console/coupon-codes/{}", self.network_coupon_code_id);
                (path, format!("Code {}", format::visible(&self.coupon_code)))
            }
            id => {
                let name = format::visible(&self.affiliate_name);
                (format!("/console/partners/{id}"), format!("Partner {name}"))
            }
        }
    }
}

#[derive(Default, Deserialize)]
struct Leaks {
    codes: Vec<LeakRow>,
    incomplete_results: bool,
}

#[derive(Template)]
#[template(path = "leaks.html")]
struct LeaksPage {
    page: Page,
    period: Period,
    presets: Vec<Preset>,
    codes: Vec<LeakRow>,
    /// The latest first.
    alerts: Vec<AddressEvent>,
    is_incomplete: bool,
    problem: Option<String>,
    may_decide: bool,
    curl: String,
}

/// Number of suspicious codes of the default period.
pub(super) async fn count_suspicious(
    state: &ConsoleState,
    viewer: &Viewer,
) -> Result<u64, Refusal> {
    let period = Period::in_query(&ListQuery::default(), viewer.time_zone(), DEFAULT_DAYS);
    let leaks: Leaks = state.api.get(viewer, &address(&period)).await?;
    Ok(leaks.codes.iter().filter(|code| code.is_suspicious()).count() as u64)
}

/// The API's address of a period's codes.
fn address(period: &Period) -> String {
    format!("{API}?from={}&to={}", encode(&period.from), encode(&period.to))
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let period = Period::in_query(&query, viewer.time_zone(), DEFAULT_DAYS);
    let path = address(&period);
    let (leaks, problem) = report::or_problem(state.api.get(&viewer, &path).await)?;
    let Leaks { codes, incomplete_results: is_incomplete } = leaks;
    let AddressEvents { events: mut alerts } = state.api.get(&viewer, ADDRESS_ALERTS).await?;
    alerts.reverse();
    alerts.truncate(MAX_ALERTS);
    let page = LeaksPage {
        alerts,
        page: Page::new(&viewer, Menu::Leaks, "Code leaks").with_notice(notice_of(query.pairs())),
        may_decide: viewer.may(Right::DecideConversions),
        presets: period.presets(&query, &[7, 30, 90]),
        curl: format!("curl -H \"X-Eflow-API-Key: $KEY\" \"$API{path}\""),
        period,
        codes,
        is_incomplete,
        problem,
    };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

/// The sales of a code, and the decision about them, as the address or the form names them.
struct LeakDecision {
    coupon_code: String,
    partner: u32,
    from: String,
    to: String,
    is_release: bool,
}

impl LeakDecision {
    fn parse<'a>(value: impl Fn(&str) -> &'a str) -> LeakDecision {
        LeakDecision {
            coupon_code: value("coupon_code").to_owned(),
            partner: value("partner").parse().unwrap_or_default(),
            from: value("from").to_owned(),
            to: value("to").to_owned(),
            is_release: value("decision") == "release",
        }
    }

    fn word(&self) -> &'static str {
        if self.is_release { "release" } else { "hold" }
    }

    /// Applies the decision, or only counts its conversions.
    async fn send(
        &self,
        state: &ConsoleState,
        viewer: &Viewer,
        notes: &str,
        dry_run: bool,
    ) -> Result<Consequences, Refusal> {
        let body = json!({
            "coupon_code": self.coupon_code, "network_affiliate_id": self.partner,
            "from": self.from, "to": self.to, "decision": self.word(), "notes": notes,
            "dry_run": dry_run,
        });
        let answer = state.api.send(viewer, ApiRequest::patch(API, body)).await?;
        serde_json::from_value(answer.body).map_err(|error| Refusal::inside(&error))
    }

    async fn pause_code(&self, state: &ConsoleState, viewer: &Viewer) -> Result<(), Refusal> {
        let filters = [
            format!("coupon_code={}", self.coupon_code),
            format!("network_affiliate_id={}", self.partner),
            "coupon_status=active".to_owned(),
        ];
        let body = json!({"coupon_status": "paused", "filter": filters});
        let path = "/v1/networks/couponcodes/status?wait=live";
        state.api.send(viewer, ApiRequest::patch(path, body)).await.map(drop)
    }
}

/// The answer of the API to a decision.
#[derive(Debug, Deserialize)]
struct Consequences {
    conversions: u64,
    payout: Value,
    currency_id: String,
}

#[derive(Template)]
#[template(path = "leaks_decide.html")]
struct DecidePage {
    page: Page,
    decision: LeakDecision,
    consequences: Consequences,
    form: Form,
    may_pause: bool,
}

async fn decide_page(
    state: &ConsoleState,
    viewer: &Viewer,
    decision: LeakDecision,
    form: Form,
) -> Result<DecidePage, PageError> {
    viewer.require(Right::DecideConversions)?;
    let consequences = decision.send(state, viewer, "", true).await?;
    let verb = if decision.is_release { "Release" } else { "Hold" };
    let code = format::visible(&decision.coupon_code);
    let page = Page::new(viewer, Menu::Leaks, format!("{verb} the sales of {code}"));
    let may_pause = viewer.may(Right::EditCatalog) && !decision.is_release;
    Ok(DecidePage { page, decision, consequences, form, may_pause })
}

/// The consequences in numbers, before anything is changed.
async fn show_consequences(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let decision = LeakDecision::parse(|name| query.value(name));
    Ok(html(&decide_page(&state, &viewer, decision, Form::default()).await?))
}

async fn decide(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let decision = LeakDecision::parse(|name| submitted.value(name));
    if submitted.has("pause") {
        // First, so that no further sale comes between.
        decision.pause_code(&state, &viewer).await?;
    }
    match decision.send(&state, &viewer, submitted.value("notes"), false).await {
        Ok(_changed) => {
            let (from, to) = (encode(&decision.from), encode(&decision.to));
            let notice = if decision.is_release { "sales-released" } else { "sales-held" };
            Ok(saved(&format!("/console/leaks?from={from}&to={to}"), notice, None))
        }
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&decide_page(&state, &viewer, decision, form).await?))
        }
    }
}
