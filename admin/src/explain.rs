//! Explaining a visit: what the published index makes of it, step by step, recording nothing.
//!
//! The decision is `coupon_shared::decision::decide` on the files that the daemon serves, and the
//! reasons of the rows are the candidates it chose among. Nothing of it is judged here again, so an
//! explanation cannot differ from what happens; here is only said in words what was decided.

use bytes::Bytes;
use coupon_shared::click_macros::ClickMacros;
use coupon_shared::code::{CodeError, FoldedCode};
use coupon_shared::decision::{
    Answer, Candidate, DecidedClick, Facts, Visit, candidates, decide, fallback_chain, not_a_code,
    today,
};
use coupon_shared::destination::ArchivedDestination;
use coupon_shared::index::Index;
use coupon_shared::snapshot::catalog::ArchivedDomain;
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use coupon_shared::visit_target::{Host, Parameter, Parameters, lenient_code_from_path};
use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::catalog::{RowCode, parse_base_url};
use crate::store::{StoreError, coupon_codes};

mod text;

/// The index as published.
pub type PublishedIndex = Index<Bytes>;

/// A visit that is thought of.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedVisit {
    /// As the visitor types it.
    #[schema(example = "WINTER25")]
    pub code: String,
    /// When; now, where it is left out.
    #[serde(default)]
    #[schema(inline)]
    pub time: Option<Moment>,
    /// The visitor's address. No rule of this version asks for it.
    #[serde(default)]
    pub ip: String,
    /// The visitor's browser. No rule of this version asks for it.
    #[serde(default)]
    pub user_agent: String,
    /// The link's query, such as `sub1=story&oid=7`.
    #[serde(default)]
    pub query: String,
    /// The offer asked for; wins over one in the query.
    #[serde(default)]
    pub oid: Option<u32>,
    /// The tracking domain's host; left out, that of the code's own link.
    #[serde(default)]
    pub host: String,
}

impl SimulatedVisit {
    /// What the link begins with over which the visit comes, where it names no host.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn base_url(&self, connection: &Connection) -> Result<Option<String>, StoreError> {
        let Some(code) = RowCode::parse_any(&self.code) else { return Ok(None) };
        coupon_codes::base_url_of(connection, &code.folded(), self.oid)
    }
}

/// A moment: Unix seconds, or like `2026-06-15T12:00:00+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "write Unix seconds, or like 2026-06-15T12:00:00+02:00")]
pub enum Moment {
    /// Unix seconds.
    Unix(i64),
    /// With its offset to UTC.
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

/// Why a text is no moment.
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

/// What becomes of the visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The publication it is judged by.
    pub generation: u64,
    /// The last change of the store in it.
    pub sequence: u64,
    /// The moment, in Unix seconds.
    pub time: i64,
    /// The network's day at that moment.
    pub day: String,
    /// Sentences, in the order in which things are decided.
    pub steps: Vec<Step>,
    /// The rows of the code, by their ids, and what stands in the way of each.
    pub rows: Vec<ExplainedRow>,
    /// The row that decides.
    pub network_coupon_code_id: u32,
    /// The reason in a click's record; empty where no click is recorded.
    pub reason: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// `offer`, `fallback` or `not_found`.
    pub answer: &'static str,
    /// Where the visitor is sent, with a sample transaction id.
    pub location: String,
    /// An id of the form of a click's that belongs to none.
    pub sample_transaction_id: String,
    /// The fallback URLs in the order in which they count.
    pub fallbacks: Vec<FallbackUrl>,
    /// Whether such a visit leaves a click.
    pub is_click_recorded: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Step {
    /// What was asked.
    pub step: &'static str,
    /// What came of it, as a sentence.
    pub result: String,
}

/// A row of the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ExplainedRow {
    /// The row.
    pub network_coupon_code_id: u32,
    /// Its offer.
    pub network_offer_id: u32,
    /// Its partner, 0 for none.
    pub network_affiliate_id: u32,
    /// The offer's advertiser, 0 where the index lacks the offer.
    pub network_advertiser_id: u32,
    /// A stable word, as in click reports.
    pub reason: &'static str,
    /// The same as a sentence.
    pub explanation: String,
    /// It decides.
    pub is_chosen: bool,
}

/// A fallback URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FallbackUrl {
    /// `offer`, `tracking_domain` or `network`.
    pub of: &'static str,
    /// Expanded; empty where there is none.
    pub url: String,
}

/// Says what becomes of a visit. `base_url` is that of the code's link, and counts where the visit names
/// no host; `now` counts where it names no moment.
#[must_use]
pub fn explain(
    index: &PublishedIndex,
    visit: &SimulatedVisit,
    base_url: Option<&str>,
    now: i64,
) -> Explanation {
    let time = visit.time.map_or(now, Moment::unix_seconds);
    let mut explanation = Explanation::nothing_yet(index, time);
    let domain = match domain(index, &visit.host, base_url) {
        Ok((domain, result)) => {
            explanation.step("host", result);
            domain
        }
        Err((status, result)) => {
            explanation.step("host", result);
            explanation.status = status;
            return explanation;
        }
    };
    let mut parameters = Parameters::default();
    let asked_for = visit.oid.map(|oid| format!("oid={oid}&")).unwrap_or_default();
    parameters.read(Some(&format!("{asked_for}{}", visit.query)));
    let (typed, folded) = read_code(&visit.code);
    let sample = Sample { index, typed: typed.as_bytes(), parameters: &parameters, time };
    match folded {
        Err(error) => {
            explanation
                .step("code", format!("it is not a code, and counts as one nobody has: {error}"));
            explanation.goes(&sample, not_a_code(index.catalog(), domain), None, domain);
        }
        Ok(code) => {
            if typed != visit.code {
                explanation.step("code", format!("`{}` is read as {typed}", visit.code));
            }
            explanation.step("code", format!("it is compared as {code}"));
            let visit =
                Visit { rows: index.lookup(&code), offer_id: parameters.offer_id(), domain };
            explanation.decision(&sample, &visit);
        }
    }
    explanation
}

/// The code as a link's path says it, as it stands or else leniently, and its key. Empty where it is
/// none, with the reason why it does not stand.
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

/// What a sample of the visit's click fills in.
struct Sample<'a> {
    index: &'a PublishedIndex,
    /// The code as typed; empty where it is none.
    typed: &'a [u8],
    parameters: &'a Parameters,
    time: i64,
}

/// The tracking domain and a sentence, or the status of a visit that is not looked at further.
fn domain<'a>(
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

    fn step(&mut self, step: &'static str, result: impl Into<String>) {
        self.steps.push(Step { step, result: result.into() });
    }

    fn decision(&mut self, sample: &Sample<'_>, visit: &Visit<'_>) {
        let decision = decide(sample.index.catalog(), visit, &Facts::default(), sample.time);
        let Some(rows) = candidates(sample.index.catalog(), visit, sample.time) else {
            self.step("look-up", "nobody has this code; it is counted, and leaves no click");
            self.goes(sample, decision.answer, None, visit.domain);
            return;
        };
        let rows: Vec<Candidate<'_>> = rows.collect();
        let Some(click) = decision.click else { return };
        self.step("look-up", text::rows(rows.len()));
        self.step("time", format!("it is {} in the network's time zone", self.day));
        self.rows = rows.iter().map(|row| explained(row, click.row.code_id)).collect();
        self.step("choice", text::choice(&rows, &click, visit.offer_id));
        self.step("rules", "this version has none; address and browser are not asked for");
        self.network_coupon_code_id = click.row.code_id;
        self.reason = click.reason.as_str();
        self.is_click_recorded = true;
        self.goes(sample, decision.answer, Some(&click), visit.domain);
        self.step("click", format!("a GET leaves a click with the reason {}", self.reason));
    }

    /// Where the visitor is sent.
    fn goes(
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
            Answer::Fallback(to) => ("fallback", Some(sample.expand(to, None))),
            Answer::NotFound => ("not_found", None),
        };
        self.answer = answer;
        if let Some(location) = location {
            self.status = 302;
            self.location = location;
        }
        self.step("answer", text::answer(self));
    }
}

impl Sample<'_> {
    /// As the daemon does: a fallback URL, which has no click, learns only what the visitor said.
    fn expand(&self, destination: &ArchivedDestination, click: Option<&DecidedClick>) -> String {
        let parameter = |parameter| self.parameters.get(parameter);
        let macros = ClickMacros {
            transaction_id: sample_id(self.time),
            code: self.typed,
            network_id: self.index.manifest().network_id,
            offer_id: click.map_or(0, |click| click.row.offer_id),
            partner_id: click.map_or(0, |click| click.row.partner_id),
            advertiser_id: click.map_or(0, |click| click.advertiser_id),
            unix_seconds: u64::try_from(self.time).unwrap_or_default(),
            subs: [
                parameter(Parameter::Sub1),
                parameter(Parameter::Sub2),
                parameter(Parameter::Sub3),
                parameter(Parameter::Sub4),
                parameter(Parameter::Sub5),
            ],
            source_id: parameter(Parameter::SourceId),
            uid: parameter(Parameter::Uid),
            language: b"",
            referer: b"",
            facts: Facts::default(),
        };
        let mut expanded = Vec::new();
        destination.expand(&macros, &mut expanded);
        String::from_utf8_lossy(&expanded).into_owned()
    }
}

fn explained(row: &Candidate<'_>, chosen: u32) -> ExplainedRow {
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

/// Signed with no network's key, so it is never taken for a click's.
fn sample_id(time: i64) -> TransactionId {
    let unix_ms = u64::try_from(time).unwrap_or_default().saturating_mul(1000);
    TransactionIdSource::new(0, 0, 0).next(&ClickIdKey([0; 16]), unix_ms)
}
