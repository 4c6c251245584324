//! Control Center – Status: one sentence about the whole, then each part.

use std::borrow::Borrow;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::page::{Page, PageResult, html};
use crate::console::viewer::Viewer;
use crate::edges::edge_state::EdgeState;

const API: &str = "/v1/networks/status";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/status", get(show))
}

/// A clock so little off is right: the way of the answer takes as long.
const NEAR_CLOCK_MS: u64 = 2_000;

/// Seconds without an answer of coupond after which its silence is a problem.
const SILENCE_S: i64 = 60;

/// The state of the system, as the API answers it.
#[derive(Debug, Deserialize)]
struct Status {
    disk: Disk,
    publication: Publication,
    intake: Clicks,
    postbacks: Postbacks,
    pixels: Backlog,
    webhooks: Backlog,
    privacy: Privacy,
    certificates: Certificates,
    geo: Vec<GeoDatabase>,
    advertisers_without_proof: WithoutProof,
    daemons: Vec<Daemon>,
    edges: Option<Edges>,
}

#[derive(Debug, Deserialize)]
struct Daemon {
    name: String,
    node_id: Option<u16>,
    last_answer: Option<i64>,
    clock_offset_ms: Option<i64>,
    served_generation: Option<u64>,
    conflict: Option<String>,
    click_error: Option<String>,
    postback_error: Option<String>,
    publication_error: Option<String>,
}

impl Daemon {
    fn shown_name(&self) -> &str {
        if self.name.is_empty() { "coupond" } else { &self.name }
    }

    /// What is at fault, in one sentence; `None` if nothing is.
    fn fault(&self) -> Option<&str> {
        let faults =
            [&self.conflict, &self.publication_error, &self.click_error, &self.postback_error];
        faults.into_iter().find_map(Option::as_deref)
    }

    /// The clock of its machine, in words.
    fn clock(&self) -> String {
        match self.clock_offset_ms {
            None => String::new(),
            Some(offset) if offset.unsigned_abs() < NEAR_CLOCK_MS => "right".to_owned(),
            Some(offset) => {
                let seconds = offset.unsigned_abs().div_ceil(1_000);
                format!("{seconds} s {}", if offset < 0 { "slow" } else { "fast" })
            }
        }
    }
}

/// A region with a copy of the published index.
#[derive(Debug, Deserialize)]
struct Region {
    name: String,
    problem: Option<String>,
}

/// Couponds on other machines.
#[derive(Debug, Deserialize)]
struct Edges {
    nats_error: Option<String>,
    certificate_problem: Option<String>,
    regions: Vec<Region>,
    publication_error: Option<String>,
    edges: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    name: String,
    state: EdgeState,
    problems: Vec<String>,
}

impl Edge {
    /// Colour and word of the state.
    fn state(&self) -> (&'static str, &'static str) {
        match self.state {
            EdgeState::Joining => ("wait", "Joining"),
            EdgeState::Live => ("good", "Live"),
            EdgeState::Lagging => ("wait", "Lagging"),
            EdgeState::Silent => ("bad", "Silent"),
            EdgeState::Conflict => ("bad", "Conflict"),
            EdgeState::Refused => ("bad", "Refused"),
            EdgeState::Revoked => ("wait", "Revoked"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Disk {
    free_bytes: Option<u64>,
    reserve_bytes: u64,
    is_low: bool,
}

#[derive(Debug, Deserialize)]
struct Publication {
    generation: u64,
    levels: u64,
    entries: u64,
    took_ms: f64,
    last_error: Option<String>,
    left_out: Vec<LeftOut>,
    served_generation: Option<u64>,
    daemon_error: Option<String>,
    offers_closed_for_old_daemon: u64,
}

#[derive(Debug, Deserialize)]
struct LeftOut {
    what: String,
    error: String,
}

#[derive(Debug, Deserialize)]
struct Clicks {
    last_pull: Option<i64>,
    last_click_unix_ms: Option<u64>,
    lag_ms: Option<u64>,
    missing: u64,
    archived_blocks: u64,
    archive_bytes: u64,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Postbacks {
    last_postback_unix_ms: Option<u64>,
    postbacks: u64,
    waiting: u64,
    missing: u64,
    unidentified_dropped: u64,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Backlog {
    pending: u64,
    dead: u64,
    oldest_pending: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Privacy {
    click_retention_days: u32,
    postback_retention_days: u32,
    address_truncation_days: u32,
    erasures_unfinished: u64,
    last_pass: Option<i64>,
    removal_waits: Option<String>,
    clock_has_jumped: bool,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Certificates {
    wanted: u64,
    issued: u64,
    problems: Vec<String>,
    last_error: Option<String>,
}

/// A database that says where visitors are.
#[derive(Debug, Deserialize)]
struct GeoDatabase {
    path: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    age_days: Option<u64>,
    parts: Vec<String>,
    problem: Option<String>,
    warning: Option<String>,
}

impl GeoDatabase {
    /// The state in words.
    fn state(&self) -> String {
        let (Some(kind), Some(age)) = (&self.kind, self.age_days) else {
            return "Not usable".into();
        };
        let age = match age {
            0 => "today".to_owned(),
            1 => "yesterday".to_owned(),
            days => format!("{} days ago", format::count(days)),
        };
        format!("{}, made {age}", format::visible(kind))
    }

    /// The facts that the database knows.
    fn facts(&self) -> String {
        self.parts.iter().map(|part| words_of_part(part)).collect::<Vec<_>>().join(", ")
    }
}

fn words_of_part(part: &str) -> &str {
    match part {
        "postal_code" => "postal code",
        "dma" => "market area (US)",
        "time_zone" => "time zone",
        "isp" => "internet provider",
        "carrier" => "mobile carrier",
        "connection" => "kind of connection",
        "proxy" => "VPN and proxy",
        other => other,
    }
}

#[derive(Debug, Deserialize)]
struct WithoutProof {
    count: u64,
    advertisers: Vec<NamedAdvertiser>,
}

#[derive(Debug, Deserialize)]
struct NamedAdvertiser {
    network_advertiser_id: u32,
    name: String,
}

/// A state that a person should mend.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// `bad` if visitors, clicks or sales suffer, else `warning`.
    kind: &'static str,
    sentence: String,
    remedy: &'static str,
    /// The page that mends it, or empty.
    path: &'static str,
}

impl Problem {
    fn bad(sentence: impl Into<String>, remedy: &'static str) -> Problem {
        Problem { kind: "bad", sentence: sentence.into(), remedy, path: "" }
    }

    fn warning(sentence: impl Into<String>, remedy: &'static str, path: &'static str) -> Problem {
        Problem { kind: "warning", sentence: sentence.into(), remedy, path }
    }
}

impl Edges {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(error) = &self.nats_error {
            let sentence = format!("Edges are not reached, because NATS is not: {error}.");
            let remedy = "They redirect by what they have, and keep their clicks and sales. Check nats-server.";
            problems.push(Problem::bad(sentence, remedy));
        } else if let Some(error) = &self.publication_error {
            let sentence = format!("Edges do not get the latest changes: {error}");
            problems.push(Problem::bad(sentence, "It is tried again by itself."));
        }
        if let Some(problem) = &self.certificate_problem {
            problems.push(Problem::warning(format!("Edges: {problem}."), "", ""));
        }
        for Region { name, problem } in &self.regions {
            if let Some(problem) = problem {
                problems.push(Problem::warning(format!("Region {name}: {problem}."), "", ""));
            }
        }
        for Edge { name, problems: of_edge, .. } in &self.edges {
            for problem in of_edge {
                problems.push(Problem::warning(format!("Edge {name}: {problem}."), "", ""));
            }
        }
        problems
    }
}

impl Status {
    /// The edge of a daemon on another machine.
    fn edge(&self, daemon: &Daemon) -> Option<&Edge> {
        self.edges.as_ref()?.edges.iter().find(|edge| edge.name == daemon.name)
    }

    /// All problems, the worst first.
    fn problems(&self, now: i64) -> Vec<Problem> {
        let mut problems = self.problems_of_daemon(now);
        problems.extend(self.edges.iter().flat_map(Edges::problems));
        problems.extend(self.problems_of_work());
        problems.extend(self.problems_of_network());
        problems.sort_by_key(|problem| problem.kind);
        problems
    }

    fn problems_of_daemon(&self, now: i64) -> Vec<Problem> {
        let mut problems = Vec::new();
        let publication = &self.publication;
        if let Some(error) = &publication.last_error {
            let sentence = format!("Changes are saved but not published: {error}");
            problems.push(Problem::bad(sentence, "Publication is tried again by itself. Look into the log: journalctl -u coupon-admin"));
        }
        if self.daemons.is_empty() {
            problems.push(Problem::warning(
                "There is no coupond, so changes reach no visitor, and no clicks and sales come.",
                "Name one in coupon-admin.toml with daemon_socket, and restart coupon-admin.",
                "",
            ));
        }
        let is_silent = !self.daemons.is_empty()
            && self.intake.last_pull.is_none_or(|pull| now - pull > SILENCE_S);
        if let Some(error) = &publication.daemon_error {
            let sentence = format!("coupond does not serve the latest changes: {error}");
            problems
                .push(Problem::bad(sentence, "Check that coupond runs: systemctl status coupond"));
        } else if is_silent {
            let sentence = "coupond has not answered for a minute, so no clicks arrive here.";
            problems
                .push(Problem::bad(sentence, "Check that coupond runs: systemctl status coupond"));
        }
        for conflict in self.daemons.iter().filter_map(|daemon| daemon.conflict.clone()) {
            problems.push(Problem::bad(
                format!("Clicks and postbacks of a coupond are refused: {conflict}."),
                "They stay at that coupond until this is mended.",
            ));
        }
        let closed = publication.offers_closed_for_old_daemon;
        if closed > 0 {
            let sentence = format!(
                "The running coupond is too old for the rules of {}, so these are closed and their \
                 visitors get the fallback.",
                format::counted(closed, "offers")
            );
            problems.push(Problem::bad(sentence, "Upgrade coupond, or remove the rules."));
        }
        if let Some(error) = &self.intake.last_error {
            let sentence = format!("Clicks are not taken in: {error}");
            problems.push(Problem::bad(sentence, "coupond keeps them until this is mended. Look into the log: journalctl -u coupon-admin"));
        }
        if let Some(error) = &self.postbacks.last_error {
            let sentence = format!("Postbacks of advertisers are not taken in: {error}");
            problems.push(Problem::bad(sentence, "coupond keeps them until this is mended. Look into the log: journalctl -u coupon-admin"));
        }
        problems
    }

    fn problems_of_work(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.disk.is_low {
            let free = bytes(self.disk.free_bytes.unwrap_or_default());
            let sentence = format!("Only {free} are free on the disk, so uploads are refused.");
            problems.push(Problem::bad(
                sentence,
                "Free some space on the disk of the data folder, or make the disk larger: df -h",
            ));
        }
        if self.intake.missing > 0 {
            let sentence = format!(
                "Clicks are lost, because coupond no longer had them: {}.",
                format::count(self.intake.missing)
            );
            problems.push(Problem::warning(sentence, "They were made while coupon-admin was stopped for longer than coupond keeps clicks.", ""));
        }
        if self.postbacks.missing > 0 {
            let sentence = format!(
                "Postbacks are lost, because coupond no longer had them: {}.",
                format::count(self.postbacks.missing)
            );
            problems.push(Problem::warning(
                sentence,
                "Ask the advertisers to send the sales of that time again.",
                "/console/postbacks",
            ));
        }
        if self.postbacks.unidentified_dropped > 0 {
            let sentence = format!(
                "Postbacks without any known code, click or partner were not kept: {}.",
                format::count(self.postbacks.unidentified_dropped)
            );
            problems.push(Problem::warning(sentence, "The disk was low. Free some space.", ""));
        }
        if let Some(error) = &self.privacy.last_error {
            let sentence = format!("Old personal data is not removed: {error}");
            problems.push(Problem::warning(sentence, "The removal is tried again by itself. Look into the log: journalctl -u coupon-admin", ""));
        }
        if let Some(reason) =
            self.privacy.removal_waits.as_ref().filter(|_| self.privacy.clock_has_jumped)
        {
            let sentence = format!("Old personal data is not removed: {reason}");
            problems.push(Problem::warning(
                sentence,
                "Check the clock of the machine: timedatectl",
                "",
            ));
        }
        problems
    }

    fn problems_of_network(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for LeftOut { what, error } in &self.publication.left_out {
            problems
                .push(Problem::bad(format!("Visitors do not reach {what}: {error}"), "Edit it."));
        }
        if self.pixels.dead > 0 {
            let sentence = format!(
                "Reports to partners could not be delivered: {}.",
                format::count(self.pixels.dead)
            );
            let remedy = "Mend the postback or ask the partner, then send them again.";
            let path = "/console/partner-postbacks/deliveries?filter=state%3Ddead";
            problems.push(Problem::warning(sentence, remedy, path));
        }
        if self.webhooks.dead > 0 {
            let sentence =
                format!("Events could not be delivered: {}.", format::count(self.webhooks.dead));
            let remedy = "Mend the webhook or its server, then send them again.";
            problems.push(Problem::warning(sentence, remedy, "/console/webhooks"));
        }
        for problem in &self.certificates.problems {
            problems.push(Problem::warning(
                problem.clone(),
                "Open the tracking domain and check its address record.",
                "/console/domains",
            ));
        }
        if let Some(error) = &self.certificates.last_error {
            problems.push(Problem::warning(
                format!("Certificates were not compared with coupond: {error}"),
                "This is tried again by itself.",
                "",
            ));
        }
        for database in &self.geo {
            if let Some(problem) = &database.problem {
                problems.push(Problem::warning(
                    format!("The {problem}."),
                    "coupon-admin looks at the file every ten seconds.",
                    "",
                ));
            }
            if let Some(warning) = &database.warning {
                problems.push(Problem::warning(
                    format!("The {warning}."),
                    "Addresses move: visitors may be taken for those of another place.",
                    "",
                ));
            }
        }
        if self.advertisers_without_proof.count > 0 {
            let sentence = format!(
                "Anybody can report sales of advertisers without proof: {}.",
                format::count(self.advertisers_without_proof.count)
            );
            problems.push(Problem::warning(
                sentence,
                "Give each a token, allowed addresses or a signing key.",
                "/console/advertisers",
            ));
        }
        problems
    }
}

/// A number of bytes in the largest fitting unit.
fn bytes(count: impl Borrow<u64>) -> String {
    let count = *count.borrow();
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = (count.max(1).ilog2() / 10).min(4) as usize;
    if unit == 0 {
        return format!("{count} bytes");
    }
    let number = count as f64 / (1_u64 << (10 * unit)) as f64;
    format!("{number:.1} {}", UNITS[unit])
}

fn days(count: &u32) -> String {
    match *count {
        0 => "for ever".into(),
        1 => "1 day".into(),
        count => format!("{count} days"),
    }
}

/// A time of the API in milliseconds as one in seconds; 0 for none.
fn seconds(unix_ms: Option<u64>) -> i64 {
    unix_ms.and_then(|ms| i64::try_from(ms / 1000).ok()).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "status/status.html")]
struct StatusPage {
    page: Page,
    status: Status,
    problems: Vec<Problem>,
    /// For a message to whoever helps.
    report: String,
}

impl StatusPage {
    /// A time in the network's zone.
    fn time(&self, unix_seconds: &Option<i64>) -> String {
        format::time_with_seconds(unix_seconds.unwrap_or_default(), self.page.viewer.time_zone())
    }

    fn time_ms(&self, unix_ms: &Option<u64>) -> String {
        format::time_with_seconds(seconds(*unix_ms), self.page.viewer.time_zone())
    }

    fn free(&self) -> String {
        self.status.disk.free_bytes.map_or_else(|| "The system does not say".into(), bytes)
    }

    fn is_served(&self) -> bool {
        self.status.publication.served_generation == Some(self.status.publication.generation)
    }
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let answer: Value = state.api.get(&viewer, API).await?;
    let report = report(&answer);
    let status: Status = serde_json::from_value(answer).map_err(|error| {
        tracing::error!(%error, "the console does not understand the status");
        let sentence = "The status could not be read; the log says more.";
        PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
    })?;
    let problems = status.problems(Timestamp::now().as_second());
    let page = Page::new(&viewer, Menu::Status, "Status");
    Ok(html(&StatusPage { page, status, problems, report }))
}

/// The whole status with version and time. The API's status has no secret.
fn report(status: &Value) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let now = format::utc(Timestamp::now().as_second());
    format!("coupon-admin {version}, {now}\n{status:#}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn well() -> Value {
        json!({
            "disk": {"free_bytes": 5_000_000_000_u64, "reserve_bytes": 1, "is_low": false},
            "publication": {
                "generation": 3, "levels": 1, "entries": 9, "took_ms": 1.5, "last_error": null,
                "left_out": [], "served_generation": 3, "daemon_error": null,
                "offers_closed_for_old_daemon": 0,
            },
            "intake": {
                "last_pull": 1_000, "last_click_unix_ms": null, "lag_ms": null, "missing": 0,
                "archived_blocks": 0, "archive_bytes": 0, "last_error": null,
            },
            "postbacks": {
                "last_postback_unix_ms": null, "postbacks": 0, "waiting": 0, "missing": 0,
                "unidentified_dropped": 0, "last_error": null,
            },
            "pixels": {"pending": 0, "dead": 0, "oldest_pending": null},
            "webhooks": {"pending": 0, "dead": 0, "oldest_pending": null},
            "privacy": {
                "click_retention_days": 90, "postback_retention_days": 90,
                "address_truncation_days": 30, "erasures_unfinished": 0, "last_pass": 900,
                "removal_waits": null, "clock_has_jumped": false, "last_error": null,
            },
            "certificates": {"wanted": 0, "issued": 0, "problems": [], "last_error": null},
            "geo": [geo_database(json!(null), json!(null))],
            "advertisers_without_proof": {"count": 0, "advertisers": []},
            "daemons": [{
                "name": "", "node_id": 0, "last_answer": 1_000, "clock_offset_ms": 3,
                "served_generation": 3, "conflict": null, "click_error": null,
                "postback_error": null, "publication_error": null,
            }],
            "edges": {
                "nats_error": null, "publication_error": null, "certificate_problem": null,
                "regions": [{"name": "fra", "problem": null}],
                "edges": [{"name": "fra1", "state": "live", "problems": []}],
            },
        })
    }

    fn geo_database(problem: Value, warning: Value) -> Value {
        json!({
            "path": "/var/lib/GeoIP/GeoLite2-City.mmdb", "type": "GeoLite2-City", "age_days": 3,
            "parts": ["country", "dma"], "problem": problem, "warning": warning,
        })
    }

    fn kinds(status: Value) -> Vec<&'static str> {
        let status: Status = serde_json::from_value(status).unwrap();
        status.problems(1_010).iter().map(|problem| problem.kind).collect()
    }

    #[test]
    fn each_part_that_is_ill_makes_a_problem_and_a_well_one_makes_none() {
        assert_eq!(kinds(well()), Vec::<&str>::new());
        for (path, value, kind) in [
            ("/disk/is_low", json!(true), "bad"),
            ("/publication/last_error", json!("full"), "bad"),
            ("/publication/daemon_error", json!("gone"), "bad"),
            ("/publication/offers_closed_for_old_daemon", json!(2), "bad"),
            ("/publication/left_out", json!([{"what": "offer 1", "error": "x"}]), "bad"),
            ("/intake/last_pull", json!(900), "bad"),
            ("/intake/last_pull", json!(null), "bad"),
            ("/intake/last_error", json!("x"), "bad"),
            ("/daemons/0/conflict", json!("x"), "bad"),
            ("/edges/nats_error", json!("x"), "bad"),
            ("/edges/certificate_problem", json!("x"), "warning"),
            ("/edges/publication_error", json!("x"), "bad"),
            ("/edges/regions/0/problem", json!("x"), "warning"),
            ("/edges/edges/0/problems", json!(["x"]), "warning"),
            ("/intake/missing", json!(1), "warning"),
            ("/postbacks/last_error", json!("x"), "bad"),
            ("/postbacks/missing", json!(1), "warning"),
            ("/postbacks/unidentified_dropped", json!(1), "warning"),
            ("/pixels/dead", json!(1), "warning"),
            ("/webhooks/dead", json!(1), "warning"),
            ("/privacy/last_error", json!("x"), "warning"),
            ("/certificates/problems", json!(["a host has none"]), "warning"),
            ("/certificates/last_error", json!("x"), "warning"),
            ("/geo/0", geo_database(json!("cut off"), json!(null)), "warning"),
            ("/geo/0", geo_database(json!(null), json!("built 31 days ago")), "warning"),
            ("/advertisers_without_proof/count", json!(2), "warning"),
        ] {
            let mut status = well();
            *status.pointer_mut(path).unwrap() = value;
            assert_eq!(kinds(status), [kind], "{path}");
        }
        let mut status = well();
        status["daemons"] = json!([]);
        status["intake"]["last_pull"] = json!(null);
        assert_eq!(kinds(status), ["warning"], "there is no coupond that could answer");
    }

    #[test]
    fn a_daemon_is_described_in_words() {
        let daemon = |offset: Value, error: Value| {
            let mut daemon = well()["daemons"][0].clone();
            daemon["clock_offset_ms"] = offset;
            daemon["click_error"] = error;
            serde_json::from_value::<Daemon>(daemon).unwrap()
        };
        assert_eq!(daemon(json!(3), json!(null)).shown_name(), "coupond");
        assert_eq!(daemon(json!(3), json!(null)).fault(), None);
        assert_eq!(daemon(json!(3), json!("gone")).fault(), Some("gone"));
        let clocks = [json!(null), json!(-1_999), json!(-4_200), json!(3_000)];
        let clocks = clocks.map(|offset| daemon(offset, json!(null)).clock());
        assert_eq!(clocks, ["", "right", "5 s slow", "3 s fast"]);
    }

    #[test]
    fn a_daemon_on_another_machine_has_the_state_of_its_edge() {
        let mut status = well();
        status["daemons"].as_array_mut().unwrap().push(json!({
            "name": "fra1", "node_id": 7, "last_answer": null, "clock_offset_ms": null,
            "served_generation": null, "conflict": null, "click_error": null,
            "postback_error": null, "publication_error": null,
        }));
        status["edges"]["edges"][0]["state"] = json!("silent");
        let status: Status = serde_json::from_value(status).unwrap();
        let states = status.daemons.iter().map(|daemon| status.edge(daemon).map(Edge::state));
        assert_eq!(states.collect::<Vec<_>>(), [None, Some(("bad", "Silent"))]);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut status = well();
        status["pixels"]["dead"] = json!(3);
        status["disk"]["is_low"] = json!(true);
        assert_eq!(kinds(status), ["bad", "warning"]);
    }

    #[test]
    fn a_database_is_described_in_words() {
        let database = geo_database(json!(null), json!(null));
        let database: GeoDatabase = serde_json::from_value(database).unwrap();
        assert_eq!(database.state(), "GeoLite2-City, made 3 days ago");
        assert_eq!(database.facts(), "country, market area (US)");
    }

    #[test]
    fn bytes_are_written_in_units() {
        assert_eq!(bytes(0_u64), "0 bytes");
        assert_eq!(bytes(1023_u64), "1023 bytes");
        assert_eq!(bytes(1536_u64), "1.5 KiB");
        assert_eq!(bytes(5_u64 << 30), "5.0 GiB");
    }
}
