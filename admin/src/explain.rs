//! Explains the redirect decision for a simulated visit, step by step, and records nothing.
//!
//! `coupon_shared::decision::decide` makes the decision on the published files, as in the daemon,
//! and the reasons of the rows are its candidates. This module only describes the decision, so an
//! explanation cannot differ from a real visit.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use coupon_geo::Databases;
use coupon_shared::click_macros::ClickMacros;
use coupon_shared::code::{CodeError, FoldedCode};
use coupon_shared::decision::{
    Answer, Candidate, DecidedClick, DetourKind, Visit, Visitor, candidates, decide,
    fallback_chain, not_a_code, passed_offers, today,
};
use coupon_shared::destination::ArchivedDestination;
use coupon_shared::index::Index;
use coupon_shared::snapshot::catalog::{ArchivedDomain, CatalogFile};
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use coupon_shared::visit_state::PublishedState;
use coupon_shared::visit_target::{Host, Parameters, lenient_code_from_path};
use jiff::Timestamp;
use serde::Deserialize;

use crate::catalog::{RowCode, parse_base_url};
use crate::store::{ReadTx, StoreError, coupon_codes};

mod earlier_visits;
mod explanation;
mod text;
mod visitor;

pub use explanation::{ExplainedHop, ExplainedRow, Explanation, ExplanationStep, FallbackUrl};
pub use visitor::{ExplainedFacts, ExplainedRule, FactSource};

use earlier_visits::EarlierVisits;
use visitor::{SimulatedLink, SimulatedVisitor};

/// The published index, opened in memory.
pub type PublishedIndex = Index<Bytes>;

/// A visit to explain.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedVisit {
    /// The code as typed.
    #[schema(example = "WINTER25")]
    pub code: String,
    /// Time of the visit; now by default.
    #[serde(default)]
    #[schema(inline)]
    pub time: Option<Moment>,
    /// The visitor's address; without it nothing is known of the visitor's place.
    #[serde(default, deserialize_with = "empty_is_absent")]
    #[schema(value_type = Option<String>, example = "81.2.69.142")]
    pub ip: Option<IpAddr>,
    /// The visitor's user agent.
    #[serde(default)]
    pub user_agent: String,
    /// `Accept-Language` of the visitor's browser, such as `de-AT,en;q=0.8`.
    #[serde(default)]
    pub language: String,
    /// The page the visitor came from.
    #[serde(default)]
    pub referer: String,
    /// Further headers of the visitor's browser, such as `Sec-CH-UA-Platform`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The link's query, such as `sub1=story&oid=7`.
    #[serde(default)]
    pub query: String,
    /// The requested offer; overrides one in the query.
    #[serde(default)]
    pub oid: Option<u32>,
    /// The tracking domain's host; by default, the host of the code's own link.
    #[serde(default)]
    pub host: String,
}

fn empty_is_absent<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    let address = || text.parse().map_err(|_| format!("`{text}` is no address of IPv4 or IPv6"));
    match text.as_str() {
        "" => Ok(None),
        _ => address().map(Some).map_err(serde::de::Error::custom),
    }
}

impl SimulatedVisit {
    /// The base URL of the code's link, used when the visit names no host.
    pub fn base_url(&self, connection: &ReadTx<'_>) -> Result<Option<String>, StoreError> {
        let Some(code) = RowCode::parse_any(&self.code) else { return Ok(None) };
        coupon_codes::base_url_of(connection, &code.folded(), self.oid)
    }
}

/// A point in time: Unix seconds, or like `2026-06-15T12:00:00+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "write Unix seconds, or like 2026-06-15T12:00:00+02:00")]
pub enum Moment {
    /// Unix seconds.
    Unix(i64),
    /// Date and time with an offset to UTC.
    Written(Timestamp),
}

impl utoipa::PartialSchema for Moment {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{
            KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type,
        };
        let written = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let unix = ObjectBuilder::new().schema_type(Type::Integer);
        OneOfBuilder::new().item(unix).item(written).into()
    }
}

impl utoipa::ToSchema for Moment {}

impl Moment {
    fn unix_seconds(self) -> i64 {
        match self {
            Moment::Unix(seconds) => seconds,
            Moment::Written(timestamp) => timestamp.as_second(),
        }
    }
}

/// The text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write Unix seconds, or like 2026-06-15T12:00:00+02:00")]
pub struct NotAMoment;

impl std::str::FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Moment, NotAMoment> {
        let unix = text.parse().map(Moment::Unix).ok();
        unix.or_else(|| text.parse().map(Moment::Written).ok()).ok_or(NotAMoment)
    }
}

/// What is known beside the published index.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    /// Databases of places.
    pub databases: &'a Databases,
    /// Counts of caps and converted visitors; `None` if no rule asks for them.
    pub state: Option<&'a PublishedState>,
}

/// Explains a visit. `base_url` belongs to the code's link and applies when the visit names no
/// host; `now`, in Unix seconds, applies when the visit names no time.
#[must_use]
pub fn explain(
    index: &PublishedIndex,
    Knowledge { databases, state }: Knowledge<'_>,
    visit: &SimulatedVisit,
    base_url: Option<&str>,
    now: i64,
) -> Explanation {
    let time = visit.time.map_or(now, Moment::unix_seconds);
    let mut explanation = Explanation::nothing_yet(index, time);
    explanation.state_as_of = state.map_or(0, |state| (state.made_unix_ms / 1000).cast_signed());
    let domain = match find_domain(index, &visit.host, base_url) {
        Ok((domain, result)) => {
            explanation.add_step("host", result);
            domain
        }
        Err((status, result)) => {
            explanation.add_step("host", result);
            explanation.status = status;
            return explanation;
        }
    };
    let mut parameters = Parameters::default();
    let asked_for = visit.oid.map(|oid| format!("oid={oid}&")).unwrap_or_default();
    parameters.read(Some(&format!("{asked_for}{}", visit.query)));
    let (typed, folded) = read_code(&visit.code);
    let link = SimulatedLink {
        parameters: &parameters,
        host: domain.map_or(b"", |domain| domain.host.as_bytes()),
        code: typed.as_bytes(),
        key: index.catalog().click_id_key(),
    };
    let earlier = EarlierVisits { state, unix_seconds: time };
    let visitor = SimulatedVisitor::new(visit, databases, link, earlier);
    explanation.facts = ExplainedFacts::new(&visitor);
    let sample =
        Sample { index, typed: typed.as_bytes(), parameters: &parameters, time, visitor: &visitor };
    match folded {
        Err(error) => {
            explanation.add_step(
                "code",
                format!("it is not a code, and counts as one nobody has: {error}"),
            );
            explanation.add_answer(&sample, not_a_code(index.catalog(), domain), None, domain);
        }
        Ok(code) => {
            if typed != visit.code {
                explanation.add_step("code", format!("`{}` is read as {typed}", visit.code));
            }
            explanation.add_step("code", format!("it is compared as {code}"));
            let visitor = Visitor::Link(&visitor);
            let rows = index.lookup(&code);
            let (offer_id, offer_url_id) = (parameters.offer_id(), parameters.offer_url_id());
            let visit = Visit { rows, offer_id, offer_url_id, domain, visitor };
            explanation.add_decision(&sample, &visit);
        }
    }
    explanation
}

/// Reads the code as the daemon reads a link's path: strictly, else leniently. Returns the text and
/// the folded code; an empty text and the error if it is not a code.
fn read_code(typed: &str) -> (String, Result<FoldedCode, CodeError>) {
    let error = match FoldedCode::fold(typed.as_bytes()) {
        Ok(code) => return (typed.to_owned(), Ok(code)),
        Err(error) => error,
    };
    let lenient = lenient_code_from_path(&format!("/{typed}"));
    let text = lenient.map(|code| String::from_utf8_lossy(code.as_bytes()).into_owned());
    match text.map(|text| (FoldedCode::fold(text.as_bytes()), text)) {
        Some((Ok(code), text)) => (text, Ok(code)),
        _ => (String::new(), Err(error)),
    }
}

/// Values for expanding destination URLs.
struct Sample<'a> {
    index: &'a PublishedIndex,
    /// The code as typed; empty if it is not a code.
    typed: &'a [u8],
    parameters: &'a Parameters,
    time: i64,
    visitor: &'a SimulatedVisitor<'a>,
}

/// Finds the tracking domain and describes it, or returns the status that ends the visit.
fn find_domain<'a>(
    index: &'a PublishedIndex,
    host: &str,
    base_url: Option<&str>,
) -> Result<(Option<&'a ArchivedDomain>, String), (u16, String)> {
    if !host.is_empty() {
        return domain_of(index, host);
    }
    let Some((base_url, host)) = base_url.and_then(parse_base_url) else {
        let result = "none was named, and there is no tracking domain for the code's link: every host gets the 404 page";
        return Err((404, result.into()));
    };
    let explanation =
        |result| format!("none was named; the code's link begins with {base_url}, and {result}");
    domain_of(index, &host)
        .map(|(domain, result)| (domain, explanation(result)))
        .map_err(|(status, result)| (status, explanation(result)))
}

/// As above, of a host that was named.
fn domain_of<'a>(
    index: &'a PublishedIndex,
    host: &str,
) -> Result<(Option<&'a ArchivedDomain>, String), (u16, String)> {
    let Some(parsed) = Host::parse(host.as_bytes()) else {
        return Err((400, format!("`{host}` is not a host name")));
    };
    let name = String::from_utf8_lossy(parsed.name());
    match index.catalog().domain(parsed.name()) {
        Some(domain) => Ok((Some(domain), format!("{name} is tracking domain {}", domain.id))),
        None => {
            Err((404, format!("{name} is no tracking domain of the published index; no click")))
        }
    }
}

impl Explanation {
    fn nothing_yet(index: &PublishedIndex, time: i64) -> Explanation {
        let day = text::day(today(index.catalog(), time));
        Explanation {
            generation: index.generation(),
            sequence: index.manifest().sequence,
            time,
            day,
            steps: Vec::new(),
            rows: Vec::new(),
            facts: ExplainedFacts::default(),
            rules: Vec::new(),
            state_as_of: 0,
            path: Vec::new(),
            network_coupon_code_id: 0,
            reason: "",
            status: 404,
            answer: "not_found",
            location: String::new(),
            sample_transaction_id: sample_id(time).to_string(),
            fallbacks: Vec::new(),
            is_click_recorded: false,
        }
    }

    fn add_step(&mut self, step: &'static str, result: impl Into<String>) {
        self.steps.push(ExplanationStep { step, result: result.into() });
    }

    fn add_decision(&mut self, sample: &Sample<'_>, visit: &Visit<'_, '_, SimulatedVisitor<'_>>) {
        let catalog = sample.index.catalog();
        let decision = decide(catalog, visit, sample.time);
        let Some(rows) = candidates(catalog, visit, sample.time) else {
            self.add_step("look-up", "nobody has this code; it is counted, and leaves no click");
            self.add_answer(sample, decision.answer, None, visit.domain);
            return;
        };
        let rows: Vec<Candidate<'_>> = rows.collect();
        let Some(click) = decision.click else { return };
        self.add_step("look-up", text::rows(rows.len()));
        self.add_step("time", format!("it is {} in the network's time zone", self.day));
        self.rows = rows.iter().map(|row| explain_row(row, click.row.code_id)).collect();
        self.add_step("choice", text::choice(&rows, &click, visit.offer_id));
        self.path = explain_path(catalog, visit, &rows, &click, sample.time);
        self.add_step("path", text::path(&self.path));
        self.rules = visitor::rules(catalog, &rows, sample.visitor, &self.facts, sample.time);
        self.add_step("rules", text::rules(&self.rules));
        self.network_coupon_code_id = click.row.code_id;
        self.reason = click.reason.as_str();
        self.is_click_recorded = true;
        self.add_answer(sample, decision.answer, Some(&click), visit.domain);
        self.add_step("click", format!("a GET leaves a click with the reason {}", self.reason));
    }

    /// Adds status and location of the answer.
    fn add_answer(
        &mut self,
        sample: &Sample<'_>,
        answer: Answer<'_>,
        click: Option<&DecidedClick>,
        domain: Option<&ArchivedDomain>,
    ) {
        let catalog = sample.index.catalog();
        let offer = click.and_then(|click| catalog.offer(click.row.offer_id));
        let chain = fallback_chain(catalog, domain, offer);
        self.fallbacks = ["offer", "tracking_domain", "network"]
            .into_iter()
            .zip(chain)
            .map(|(of, url)| FallbackUrl {
                of,
                url: url.map(|url| sample.expand(url, None)).unwrap_or_default(),
            })
            .collect();
        let (answer, location) = match answer {
            Answer::Redirect(to) => ("offer", Some(sample.expand(to, click))),
            Answer::Fallback(to) if is_failed_over(click) => {
                ("fail_traffic_url", Some(sample.expand(to, None)))
            }
            Answer::Fallback(to) => ("fallback", Some(sample.expand(to, None))),
            Answer::NotFound => ("not_found", None),
        };
        self.answer = answer;
        if let Some(location) = location {
            self.status = 302;
            self.location = location;
        }
        self.add_step("answer", text::answer(self));
    }
}

impl Sample<'_> {
    /// Expands macros as the daemon does. A fallback URL has no click, so only the visitor's own
    /// parameters are filled in.
    fn expand(&self, destination: &ArchivedDestination, click: Option<&DecidedClick>) -> String {
        let macros = ClickMacros {
            transaction_id: sample_id(self.time),
            code: self.typed,
            network_id: self.index.manifest().network_id,
            offer_id: click.map_or(0, |click| click.row.offer_id),
            partner_id: click.map_or(0, |click| click.row.partner_id),
            advertiser_id: click.map_or(0, |click| click.advertiser_id),
            offer_url_id: click.map_or(0, |click| click.offer_url_id),
            unix_seconds: u64::try_from(self.time).unwrap_or_default(),
            parameters: self.parameters,
            language: self.visitor.language,
            referer: self.visitor.referer,
            visitor: Some(self.visitor),
        };
        let mut expanded = Vec::new();
        destination.expand(&macros, &mut expanded);
        String::from_utf8_lossy(&expanded).into_owned()
    }
}

fn explain_row(row: &Candidate<'_>, chosen: u32) -> ExplainedRow {
    ExplainedRow {
        network_coupon_code_id: row.row.code_id,
        network_offer_id: row.row.offer_id,
        network_affiliate_id: row.row.partner_id,
        network_advertiser_id: row.advertiser_id(),
        reason: row.reason.as_str(),
        explanation: text::reason(row),
        is_chosen: row.row.code_id == chosen,
    }
}

fn is_failed_over(click: Option<&DecidedClick>) -> bool {
    let detour = click.and_then(|click| click.detour);
    detour.is_some_and(|detour| detour.kind == DetourKind::NetworkUrl)
}

/// The offers on the way of the chosen row.
fn explain_path(
    catalog: &CatalogFile,
    visit: &Visit<'_, '_, SimulatedVisitor<'_>>,
    rows: &[Candidate<'_>],
    click: &DecidedClick,
    time: i64,
) -> Vec<ExplainedHop> {
    let Some(at) = rows.iter().position(|row| row.row.code_id == click.row.code_id) else {
        return Vec::new();
    };
    let chosen = &rows[at];
    let begins_by = match (visit.offer_id.is_some(), at) {
        (true, _) => "oid",
        (false, 0) => "code",
        (false, _) => "sibling",
    };
    let hop = |network_offer_id, via, outcome| ExplainedHop { network_offer_id, via, outcome };
    let forwarding = DetourKind::Forwarding.as_str();
    // A row that is not asked for, or whose code does not run, leads nowhere.
    let is_forwarded = chosen.reached.forwarded_by != 0;
    let passed = passed_offers(catalog, visit, &chosen.row, time).filter(|_| is_forwarded);
    let passed = passed.map(|offer_id| (offer_id, "forwarded"));
    let way = passed.chain([(chosen.reached.offer_id, chosen.reason.as_str())]);
    let vias = std::iter::once(begins_by).chain(std::iter::repeat(forwarding));
    let mut path: Vec<_> =
        way.zip(vias).map(|((offer_id, outcome), via)| hop(offer_id, via, outcome)).collect();
    match click.detour.map(|detour| detour.kind) {
        Some(kind @ DetourKind::FailTraffic) => {
            path.push(hop(click.row.offer_id, kind.as_str(), click.reason.as_str()));
        }
        Some(kind @ DetourKind::NetworkUrl) => path.push(hop(0, kind.as_str(), "redirected")),
        Some(DetourKind::Forwarding) | None => {}
    }
    path
}

/// Signed with a zero key, so no network accepts the id as a click's.
fn sample_id(time: i64) -> TransactionId {
    let unix_ms = u64::try_from(time).unwrap_or_default().saturating_mul(1000);
    TransactionIdSource::new(0, 0, 0).next(&ClickIdKey([0; 16]), unix_ms)
}
