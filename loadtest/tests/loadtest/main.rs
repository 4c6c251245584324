//! The real binary against a real server. Counts are exact; times are compared only with stalls
//! much longer than the hiccups of a busy machine.

#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod compare;
mod connect;
mod edges;
mod edits;
mod saturate;
mod server;
mod swaps;
mod sweep;
mod tls_server;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use server::{Reply, TestServer, not_found, redirect};

const SHOP: &str = "https://shop.example/?transaction_id=";

struct Run {
    folder: tempfile::TempDir,
    output: Output,
}

impl Run {
    /// Measures without a warm-up and with a lag limit that every machine meets, unless the
    /// arguments say otherwise.
    fn against(server: &TestServer, arguments: &str) -> Self {
        Self::with_codes(server, "ANNA20\nBEN15\nSummer2026\n", arguments)
    }

    fn with_codes(server: &TestServer, codes: &str, arguments: &str) -> Self {
        Self::at(server.address, codes, arguments)
    }

    fn at(target: SocketAddr, codes: &str, arguments: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes");
        std::fs::write(&path, codes).unwrap();
        let mut command = coupon_loadtest("run --json -");
        command.arg("--codes").arg(&path);
        if !arguments.contains("--target") {
            command.arg("--target").arg(target.to_string());
        }
        for (option, value) in [("--warmup", "0s"), ("--max-lag", "1h")] {
            if !arguments.contains(option) {
                command.args([option, value]);
            }
        }
        let arguments = arguments.replace("FOLDER", folder.path().to_str().unwrap());
        let output = command.args(arguments.split_whitespace()).output().unwrap();
        Self { folder, output }
    }

    fn exit_code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// Figure of the report by JSON pointer.
    fn figure(&self, pointer: &str) -> f64 {
        let report = self.report();
        let figure = report.pointer(pointer).and_then(Value::as_f64);
        figure.unwrap_or_else(|| panic!("no figure {pointer} in {report}"))
    }

    fn count(&self, pointer: &str) -> u64 {
        self.figure(pointer) as u64
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

fn coupon_loadtest(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coupon-loadtest"));
    command.args(arguments.split_whitespace());
    command
}

fn always(answer: String) -> TestServer {
    TestServer::start(move |_, _| Reply::Answer(answer.clone()))
}

#[test]
fn every_scheduled_request_is_sent_and_counted_once() {
    let server = always(redirect(SHOP));
    let run = Run::against(&server, "--rate 500 --duration 1s --warmup 200ms --threads 2");
    assert_eq!(run.exit_code(), 0, "{}", run.text());
    for counted in ["scheduled", "sent", "answered", "status/302", "status_class/3xx"] {
        assert_eq!(run.count(&format!("/{counted}")), 500, "{counted}");
        assert_eq!(run.count(&format!("/warmup/{counted}")), 100, "{counted} in the warm-up");
    }
    assert_eq!(run.count("/latency_us/count"), 500);
    assert_eq!(run.count("/generator_lag_us/count"), 500);
    assert_eq!(server.seen().len(), 600);
}

#[test]
fn the_report_has_every_figure_as_json_and_as_text() {
    let run = Run::against(&always(redirect(SHOP)), "--rate 200 --duration 500ms");
    for times in ["latency_us", "generator_lag_us", "connection_wait_us", "read_lag_us"] {
        let at = |name: &str| run.figure(&format!("/{times}/{name}"));
        let rising = ["p50", "p90", "p99", "p99_9", "max"].map(at);
        assert!(rising.is_sorted() && at("mean") <= at("max"), "{times} {rising:?}");
    }
    for count in ["abandoned", "unexpected_status", "connections_closed_while_idle"] {
        assert_eq!(run.count(&format!("/{count}")), 0, "{count}");
    }
    assert!(run.figure("/latency_us/p50") > 0.0);
    assert!(run.figure("/achieved_rate") > 0.0 && run.figure("/achieved_rate") <= 200.1);
    assert_eq!(run.figure("/setup/rate"), 200.0);
    assert_eq!(run.report()["void"], Value::Bool(false));
    for shown in ["latency from intended time", "generator lag", "p99.9", "status 302"] {
        assert!(run.text().contains(shown), "{shown} in\n{}", run.text());
    }
}

#[test]
fn a_stall_costs_the_requests_that_had_to_wait_and_is_not_the_generators_lag() {
    // One connection; the tenth request takes a second. At 200 a second about half of the 400
    // requests become due meanwhile. Measured from the sending, one request would be slow.
    let server = TestServer::start(|number, _| match number {
        10 => Reply::After(Duration::from_secs(1), redirect(SHOP)),
        _ => Reply::Answer(redirect(SHOP)),
    });
    let arguments = "--rate 200 --duration 2s --connections 1 --max-lag 900ms";
    let run = Run::against(&server, arguments);
    assert_eq!(run.count("/answered"), 400);
    assert!(run.figure("/latency_us/p90") > 500_000.0, "{}", run.text());
    assert!(run.figure("/connection_wait_us/p90") > 500_000.0, "{}", run.text());
    assert_eq!(run.exit_code(), 0, "{}", run.text());
}

#[test]
fn a_generator_that_lags_more_than_allowed_voids_the_run() {
    let arguments = "--rate 100 --duration 200ms --max-lag 1ns --expect-status 200";
    let run = Run::against(&always(redirect(SHOP)), arguments);
    assert_eq!(run.exit_code(), 3);
    assert_eq!(run.report()["void"], Value::Bool(true));
    let reason = run.report()["void_reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.contains("lagged") && reason.contains("--max-lag"), "{reason}");
    assert!(run.text().contains("VOID"), "{}", run.text());
}

#[test]
fn answers_resets_wrong_bytes_and_silence_are_told_apart() {
    let server = TestServer::start(|number, _| match number % 5 {
        0 => Reply::Answer(redirect(SHOP)),
        1 => Reply::Answer(not_found()),
        2 => Reply::Reset,
        3 => Reply::Answer("this is not HTTP\r\n\r\n".to_owned()),
        _ => Reply::Silence,
    });
    let run = Run::against(&server, "--rate 100 --duration 1s --timeout 2s");
    let counted = ["status/302", "status/404", "errors/reset", "errors/parse", "errors/timeout"];
    for what in counted {
        assert_eq!(run.count(&format!("/{what}")), 20, "{what} in {}", run.text());
    }
    assert_eq!((run.count("/answered"), run.count("/sent")), (40, 100));
    assert_eq!((run.count("/errors/connect"), run.count("/abandoned")), (0, 0));
    assert!(run.text().contains("first parse error: not an HTTP answer"), "{}", run.text());
    assert!(run.text().contains("60 of 100 requests were not answered"), "{}", run.text());
}

#[test]
fn a_server_that_goes_away_makes_connect_errors_and_the_run_goes_on() {
    let server = TestServer::start(|number, _| match number {
        30.. => Reply::LastAnswer(redirect(SHOP)),
        _ => Reply::Answer(redirect(SHOP)),
    });
    let arguments = "--rate 200 --duration 1s --connections 1 --requests-per-connection 10";
    let run = Run::against(&server, arguments);
    assert_eq!(run.count("/scheduled"), 200);
    assert!(run.count("/answered") >= 30, "{}", run.text());
    assert!(run.count("/errors/connect") > 0, "{}", run.text());
    let failed = run.count("/errors/connect") + run.count("/errors/reset");
    assert_eq!(run.count("/answered") + failed, 200, "{}", run.text());
}

#[test]
fn an_answer_may_come_in_pieces() {
    let server = TestServer::start(|_, _| Reply::InBytes(not_found()));
    let run = Run::against(&server, "--rate 20 --duration 1s");
    assert_eq!(run.count("/status/404"), 20, "{}", run.text());
}

#[test]
fn a_connection_carries_as_many_requests_as_allowed_and_the_last_one_says_so() {
    let server = always(redirect(SHOP));
    let run = Run::against(&server, "--rate 400 --duration 500ms --requests-per-connection 10");
    assert_eq!(run.count("/answered"), 200);
    let mut by_connection: HashMap<usize, Vec<bool>> = HashMap::new();
    for seen in server.seen() {
        let says_close = seen.head.contains("Connection: close\r\n");
        by_connection.entry(seen.connection).or_default().push(says_close);
    }
    for says_close in by_connection.values() {
        assert!(says_close.len() <= 10);
        for (number, says_close) in says_close.iter().enumerate() {
            assert_eq!(*says_close, number == 9);
        }
    }
}

#[test]
fn a_connection_closed_while_idle_is_made_anew_without_an_error() {
    let soon = Duration::from_millis(20);
    let server = TestServer::start(move |_, _| Reply::AnswerThenClose(redirect(SHOP), soon));
    let run = Run::against(&server, "--rate 2 --duration 2s --connections 1");
    assert_eq!(run.count("/answered"), 4, "{}", run.text());
    assert!(run.count("/connections_closed_while_idle") >= 3, "{}", run.text());
    assert_eq!(run.count("/connections_opened"), 4);
}

#[test]
fn the_queue_and_the_end_are_bounded_when_nothing_is_answered() {
    let server = TestServer::start(|_, _| Reply::Silence);
    let arguments =
        "--rate 1000 --duration 1s --connections 1 --queue 10 --timeout 1h --drain 100ms";
    let run = Run::against(&server, arguments);
    assert_eq!((run.count("/scheduled"), run.count("/sent")), (1000, 1));
    assert_eq!((run.count("/answered"), run.count("/abandoned")), (0, 1));
    assert_eq!(run.count("/never_sent/queue_full"), 989);
    assert_eq!(run.count("/never_sent/end_of_run"), 10);
    assert!(run.text().contains("nothing was answered"), "{}", run.text());
}

#[test]
fn a_status_that_was_not_expected_has_its_own_exit_code() {
    let server = TestServer::start(|number, _| {
        Reply::Answer(if number == 3 { not_found() } else { redirect(SHOP) })
    });
    let run = Run::against(&server, "--rate 100 --duration 200ms --expect-status 3xx");
    assert_eq!((run.exit_code(), run.count("/unexpected_status")), (4, 1));
    let run =
        Run::against(&always(not_found()), "--rate 50 --duration 200ms --expect-status 302,404");
    assert_eq!((run.exit_code(), run.count("/unexpected_status")), (0, 0));
}

#[test]
fn the_answered_log_holds_each_answer_with_its_code_and_transaction_id() {
    let server = TestServer::start(|number, _| match number {
        7 => Reply::Reset,
        _ => Reply::Answer(redirect(&format!("{SHOP}id{number}&x=1"))),
    });
    let run = Run::against(
        &server,
        "--rate 200 --duration 500ms --warmup 100ms --threads 2 --mixed-case \
         --answered-log FOLDER/answers --transaction-param transaction_id",
    );
    let log = std::fs::read_to_string(run.folder.path().join("answers")).unwrap();
    let mut ids = HashMap::new();
    for line in log.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!((fields.len(), fields[1]), (4, "302"), "{line}");
        assert!(fields[0].parse::<u64>().is_ok(), "{line}");
        assert!(ids.insert(fields[3].to_owned(), fields[2].to_owned()).is_none(), "{line} twice");
    }
    let sent: HashMap<String, String> = (server.seen().iter().enumerate())
        .filter(|(number, _)| *number != 7)
        .map(|(number, seen)| (format!("id{number}"), seen.code().to_owned()))
        .collect();
    assert_eq!((ids.len(), ids), (119, sent));
}

#[test]
fn misses_query_and_headers_reach_the_server_as_asked() {
    let known = |seen: &server::Seen| {
        ["anna20", "ben15", "summer2026"].contains(&seen.code().to_ascii_lowercase().as_str())
    };
    let server = TestServer::start(move |_, seen| {
        Reply::Answer(if known(seen) { redirect(SHOP) } else { not_found() })
    });
    let run = Run::against(
        &server,
        "--rate 400 --duration 1s --miss-ratio 0.5 --mixed-case --query sub1=load \
         --host go.example.com --header-set minimal",
    );
    let misses = server.seen().iter().filter(|seen| !known(seen)).count() as u64;
    assert!((100..300).contains(&misses), "{misses}");
    assert_eq!((run.count("/status/404"), run.count("/status/302")), (misses, 400 - misses));
    for seen in server.seen() {
        let expected =
            format!("GET /{}/?sub1=load HTTP/1.1\r\nHost: go.example.com\r\n\r\n", seen.code());
        assert_eq!(seen.head, expected);
    }
}

#[test]
fn zipf_traffic_wants_few_codes_often_and_a_seed_repeats_it() {
    let codes: String = (0..500).map(|number| format!("CODE{number}\n")).collect();
    let asked = |seed: u32| {
        let server = always(redirect(SHOP));
        let arguments = format!("--rate 2000 --duration 1s --connections 1 --seed {seed}");
        let run = Run::with_codes(&server, &codes, &arguments);
        assert_eq!(run.count("/answered"), 2000, "{}", run.text());
        server.seen().iter().map(|seen| seen.code().to_owned()).collect::<Vec<_>>()
    };
    let first = asked(1);
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    first.iter().for_each(|code| *counts.entry(code).or_default() += 1);
    // Exponent 1 over 500 codes: the commonest has 1/6.8 of all, a middle one 1/1700.
    assert!(counts.values().max() > Some(&200) && counts.len() > 200, "{counts:?}");
    assert_eq!(first, asked(1));
    assert_ne!(first, asked(2));
}

#[test]
fn a_run_without_a_server_or_with_bad_codes_says_what_to_do() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let codes = folder.path().join("codes");
    std::fs::write(&codes, "ANNA20\n").unwrap();
    let failure = |target: &str, codes: &Path| {
        let mut command = coupon_loadtest("run");
        let output = command.args(["--target", target, "--codes"]).arg(codes).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failure(&closed.to_string(), &codes).contains("is the server running there"));
    std::fs::write(&codes, "ANNA20\nNOT A CODE\n").unwrap();
    let words = failure(&closed.to_string(), &codes);
    assert!(words.contains("line 2: `NOT A CODE`"), "{words}");
    assert!(failure(&closed.to_string(), &PathBuf::from("/nowhere")).contains("/nowhere"));
}

#[test]
fn made_codes_can_be_loaded_and_each_belongs_to_one_partner() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("codes.csv");
    let mut command =
        coupon_loadtest("codes --count 2000 --offer-id 3-4 --affiliate-ids 10-12 --out");
    assert!(command.arg(&out).output().unwrap().status.success());
    let csv = std::fs::read_to_string(&out).unwrap();
    let mut codes = HashSet::new();
    for row in csv.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        assert!(
            ["3", "4"].contains(&fields[0]) && ["10", "11", "12"].contains(&fields[1]),
            "{row}"
        );
        assert!(codes.insert(fields[2].to_ascii_lowercase()), "{row} twice");
    }
    assert_eq!(codes.len(), 2000);
    let server = always(redirect(SHOP));
    let run = Run::with_codes(&server, &csv, "--rate 200 --duration 500ms --draw uniform");
    assert_eq!(run.count("/setup/codes"), 2000);
    assert!(server.seen().iter().all(|seen| codes.contains(&seen.code().to_ascii_lowercase())));
}
