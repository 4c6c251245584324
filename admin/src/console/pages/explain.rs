//! Analytics – Explain a visit: where a link leads now, step by step, and what stands in the way.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::coupon_codes::{self, CodeRow};
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult};
use crate::console::report::{self, Link};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/explain";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/explain", get(show))
}

/// The answer of the API.
#[derive(Debug, Default, Deserialize)]
struct Explanation {
    time: i64,
    steps: Vec<ExplainedStep>,
    rows: Vec<ExplainedRow>,
    rules: Vec<ExplainedRule>,
    path: Vec<ExplainedHop>,
    facts: ExplainedFacts,
    status: u16,
    answer: String,
    location: String,
    is_click_recorded: bool,
}

impl Explanation {
    fn offer_name(&self, id: &u32) -> String {
        let row = self.rows.iter().find(|row| row.network_offer_id == *id);
        row.map_or_else(|| format!("Offer {id}"), ExplainedRow::offer_name)
    }
}

/// An offer on the visit's way.
#[derive(Debug, Deserialize)]
struct ExplainedHop {
    network_offer_id: u32,
    via: String,
    outcome: String,
}

impl ExplainedHop {
    fn via_text(&self) -> &'static str {
        match self.via.as_str() {
            "oid" => "Asked for by the link",
            "sibling" => "The code’s next offer of the advertiser",
            "forwarding_rule" => "A forwarding rule",
            "fail_traffic" => "Fail traffic",
            "global_fail_traffic" => "The network’s URL for failed visits",
            _ => "The code’s offer",
        }
    }

    fn is_passed(&self) -> bool {
        matches!(self.outcome.as_str(), "redirected" | "forwarded")
    }

    fn outcome_text(&self) -> &'static str {
        match self.outcome.as_str() {
            "redirected" => "Takes the visitor",
            "forwarded" => "Forwards",
            reason => words::click_reason(reason),
        }
    }
}

/// A rule of an offer, and its verdict on the visitor.
#[derive(Debug, Deserialize)]
struct ExplainedRule {
    network_offer_id: u32,
    kind: String,
    verdict: String,
    because: String,
}

impl ExplainedRule {
    fn name(&self) -> String {
        words::word(&self.kind)
    }

    fn text(&self) -> String {
        format::visible(&words::capitalised(&self.because))
    }
}

#[derive(Debug, Default, Deserialize)]
struct ExplainedFacts {
    sources: Vec<FactSource>,
}

/// A database of places.
#[derive(Debug, Deserialize)]
struct FactSource {
    database: String,
    time_built: i64,
}

#[derive(Debug, Deserialize)]
struct ExplainedStep {
    step: String,
    result: String,
}

impl ExplainedStep {
    fn name(&self) -> String {
        words::word(&self.step)
    }

    fn text(&self) -> String {
        format::visible(&words::plain(&self.result))
    }
}

/// The code on one offer.
#[derive(Debug, Deserialize)]
struct ExplainedRow {
    network_coupon_code_id: u32,
    network_offer_id: u32,
    network_affiliate_id: u32,
    reason: String,
    explanation: String,
    is_chosen: bool,
    /// The code's row with the names of its offer and partner; `None` for a deleted code.
    #[serde(skip)]
    code: Option<CodeRow>,
}

impl ExplainedRow {
    fn offer_name(&self) -> String {
        let code = self.code.as_ref();
        code.map_or_else(|| format!("Offer {}", self.network_offer_id), CodeRow::offer_name)
    }

    fn partner_name(&self) -> String {
        let code = self.code.as_ref();
        code.map_or_else(|| format!("Partner {}", self.network_affiliate_id), CodeRow::partner_name)
    }

    fn is_open(&self) -> bool {
        self.reason == "redirected"
    }

    fn text(&self) -> String {
        words::plain(&self.explanation)
    }

    /// What mends the obstacle; `None` where nothing does.
    fn mend(&self) -> Option<Link> {
        let ExplainedRow { network_coupon_code_id: code, network_offer_id: offer, .. } = self;
        let partner = self.network_affiliate_id;
        let (name, path) = match self.reason.as_str() {
            "paused" => ("Open the code to set it to active", format!("coupon-codes/{code}")),
            "unassigned" => ("Assign a partner", format!("coupon-codes/{code}/edit")),
            "not_started" | "expired" => ("Change its days", format!("coupon-codes/{code}/edit")),
            "offer_not_active" | "offer_ended" => {
                ("Edit the offer", format!("offers/{offer}/edit"))
            }
            "partner_not_active" => ("Edit the partner", format!("partners/{partner}/edit")),
            "not_runnable" => ("Change the partner's access", format!("partners/{partner}")),
            "country" | "region" | "city" | "dma" | "postal_code" | "platform" | "device"
            | "browser" | "os_version" | "language" | "brand" | "ip_not_included"
            | "ip_excluded" | "isp" | "connection_type" | "mobile_carrier" | "day_parting"
            | "proxy" => ("Change who the offer is for", format!("offers/{offer}/targeting")),
            "traffic_control" | "tracking_domain" => {
                ("Open the traffic controls", "traffic-controls".into())
            }
            "not_on_offer" => ("Open the code", format!("coupon-codes/{code}")),
            "incomplete" => ("Open the code", format!("coupon-codes/{code}")),
            _ => return None,
        };
        Some(Link { name: name.into(), path: format!("/console/{path}") })
    }
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    page: Page,
    query: ListQuery,
    /// Whether a visit was named.
    is_asked: bool,
    explanation: Explanation,
    problem: Option<String>,
    curl: String,
}

impl ExplainPage {
    /// Whether the address of the answer may be a link: foreign schemes could run scripts.
    fn is_web(&self) -> bool {
        let location = &self.explanation.location;
        location.starts_with("https://") || location.starts_with("http://")
    }
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let visit = visit(&query, viewer.time_zone());
    let is_asked = !query.value("code").is_empty();
    let (mut explanation, problem) = if is_asked {
        report::or_problem(state.api.query(&viewer, API, visit.clone()).await)?
    } else {
        (Explanation::default(), None)
    };
    name_rows(&state, &viewer, &visit["code"], &mut explanation.rows).await?;
    let title = match query.value("code") {
        "" => "Explain a visit".to_owned(),
        code => format!("{} – Explain a visit", format::visible(code)),
    };
    let page = Page::new(&viewer, Menu::Explain, title);
    let curl = report::as_curl(API, &visit);
    let page = ExplainPage { page, query, is_asked, explanation, problem, curl };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

/// Gives the rows the names of their offers and partners.
async fn name_rows(
    state: &ConsoleState,
    viewer: &Viewer,
    code: &Value,
    rows: &mut [ExplainedRow],
) -> Result<(), PageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let code = code.as_str().unwrap_or_default();
    // A code that was read leniently is not found as it was typed; its rows keep their numbers.
    let (found, _problem) = report::or_problem(coupon_codes::rows_of(state, viewer, code).await)?;
    for row in rows {
        let is_its = |code: &&CodeRow| code.network_coupon_code_id == row.network_coupon_code_id;
        row.code = found.iter().find(is_its).cloned();
    }
    Ok(())
}

/// The visit for the API. A whole link names host, code and query at once.
fn visit(query: &ListQuery, time_zone: &str) -> Value {
    let (typed, mut host) = (query.value("code"), query.value("host").to_owned());
    let (mut code, mut asked) = (typed.to_owned(), query.value("query").to_owned());
    if let Some(link) = Url::parse(typed).ok().filter(Url::has_host) {
        code = link.path().trim_matches('/').to_owned();
        if host.is_empty() {
            host = link.host_str().unwrap_or_default().to_owned();
        }
        if let (Some(of_link), true) = (link.query(), asked.is_empty()) {
            of_link.clone_into(&mut asked);
        }
    }
    let mut visit = json!({
        "code": code, "host": host, "query": asked,
        "ip": query.value("ip"), "user_agent": query.value("user_agent"),
        "language": query.value("language"),
    });
    if !query.value("time").is_empty() {
        visit["time"] = moment(query.value("time"), time_zone);
    }
    match query.value("oid") {
        "" => {}
        oid => visit["oid"] = oid.parse::<u32>().map_or_else(|_| oid.into(), Value::from),
    }
    visit
}

/// A time of the input, in the network's zone; any other text as it is, for the API to judge.
fn moment(text: &str, time_zone: &str) -> Value {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    let civil: Option<DateTime> = text.parse().ok();
    let time = civil.and_then(|civil| zone.to_timestamp(civil).ok());
    time.map_or_else(|| text.into(), |time| time.as_second().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::list::encode;

    fn visit_of(pairs: &str) -> Value {
        visit(&ListQuery::parse("/console/explain", pairs), "America/New_York")
    }

    #[test]
    fn a_whole_link_names_host_code_and_query() {
        let link = encode("https://go.example.com/WINTER25?sub1=story");
        assert_eq!(
            visit_of(&format!("code={link}&oid=7")),
            json!({"code": "WINTER25", "host": "go.example.com", "query": "sub1=story", "ip": "",
                   "user_agent": "", "language": "", "oid": 7})
        );
        assert_eq!(visit_of("code=SAVE-20")["code"], "SAVE-20");
    }

    #[test]
    fn a_time_is_in_the_networks_zone() {
        assert_eq!(visit_of("code=A&time=2026-03-08T03:30")["time"], 1_772_955_000);
        assert_eq!(visit_of("code=A&time=tomorrow")["time"], "tomorrow");
    }
}
