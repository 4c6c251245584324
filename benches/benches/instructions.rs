//! Instructions of the stages of a redirect: `cargo bench -p coupon-benches --bench instructions`.
//!
//! Times on a shared machine vary by half; instruction counts are the same on every run, so a
//! change of a hundredth shows. Each stage runs alone in a process under valgrind (Debian: apt
//! install valgrind), first with some calls and then with twice as many; the difference is the cost
//! of the calls without the preparation. Instruction counts do not show cache misses; the bench
//! `redirect_path` does.
//!
//! `-- --save` keeps the counts, and later runs print the change. Other arguments select stages by
//! parts of their names. `COUPON_BENCH_CODES` sets the size of the index (100,000 without it).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use coupon_benches::inputs::{AGENTS, HEAD, HEADERS, NOW, TAGS, click_records, macros, visit};
use coupon_benches::ruled::{American, Rules};
use coupon_benches::{catalog_file, code, index_of, level_file, ruled_index};
use coupon_geo::LiveDatabases;
use coupon_rules::agent::{Agent, ClientHints, RecentAgents};
use coupon_rules::language;
use coupon_rules::place::PlaceParts;
use coupon_shared::click::block::{Block, BlockBuilder};
use coupon_shared::click::{MAX_RECORD_LEN, StreamId, encode_click};
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Answer, Visit, Visitor, decide};
use coupon_shared::index::Index;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::snapshot::level::Level;
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use coupond::file_bytes::FileBytes;
use coupond::hot_codes::HotCodes;
use coupond::request::RequestHeaders;
use coupond::response::{Reply, respond};
use hyper::Request;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

/// Clicks of a block: about as many as fit into 4 KiB.
const CLICKS_PER_BLOCK: usize = 45;
/// Number of codes that the look-ups take in turn.
const ASKED: u32 = 512;
/// First argument of the process under valgrind.
const COUNTED: &str = "--counted";

/// One call of a stage; the argument is its number.
type Call<'a> = Box<dyn FnMut(usize) + 'a>;

/// A stage: its name, the number of calls, and the preparation of a call.
struct Stage {
    name: &'static str,
    calls: usize,
    prepare: for<'a> fn(&'a Fixture) -> Call<'a>,
}

const STAGES: [Stage; 26] = [
    Stage { name: "fold", calls: 5_000, prepare: |_| fold() },
    Stage { name: "headers", calls: 2_000, prepare: |_| headers() },
    Stage { name: "lookup_hot", calls: 2_000, prepare: hot_lookup },
    Stage { name: "lookup_hit", calls: 2_000, prepare: |fixture| lookup(fixture, "") },
    Stage { name: "lookup_miss", calls: 2_000, prepare: |fixture| lookup(fixture, "q") },
    Stage { name: "decide", calls: 2_000, prepare: decision },
    Stage { name: "decide_country", calls: 2_000, prepare: |_| ruled(Rules::Country, true) },
    Stage { name: "decide_full_seen", calls: 2_000, prepare: |_| ruled(Rules::Full, true) },
    Stage { name: "decide_full_new", calls: 2_000, prepare: |_| ruled(Rules::Full, false) },
    Stage { name: "decide_3000", calls: 2_000, prepare: |_| ruled(Rules::Values3000, true) },
    Stage { name: "decide_contains", calls: 2_000, prepare: |_| ruled(Rules::Contains100, true) },
    Stage { name: "expand", calls: 2_000, prepare: expansion },
    Stage { name: "agent", calls: 2_000, prepare: |_| agent() },
    Stage { name: "agent_recent", calls: 5_000, prepare: |_| recent_agent() },
    Stage { name: "language", calls: 5_000, prepare: |_| preferred_language() },
    Stage { name: "geo_country", calls: 2_000, prepare: |_| look_up(PlaceParts::COUNTRY) },
    Stage { name: "geo_city", calls: 2_000, prepare: |_| look_up(city_parts()) },
    Stage { name: "answer_found", calls: 2_000, prepare: |_| answering(&found()) },
    Stage { name: "answer_not_found", calls: 2_000, prepare: |_| answering(&Reply::NotFound) },
    Stage { name: "transaction_id", calls: 5_000, prepare: |_| transaction_id() },
    Stage { name: "click_record", calls: 5_000, prepare: |_| click_record() },
    Stage { name: "block_push", calls: 4_500, prepare: |_| block_push() },
    Stage { name: "block_of_45", calls: 100, prepare: |_| block_of_clicks() },
    Stage { name: "block_decode", calls: 100, prepare: |_| block_decode() },
    Stage { name: "level_open", calls: 2, prepare: level_open },
    Stage { name: "catalog_open", calls: 20, prepare: |_| catalog_open() },
];

/// Data of the stages, built on demand.
struct Fixture {
    codes: u32,
    level: PathBuf,
}

impl Fixture {
    /// The level file. Written once, so that the counted processes need not build it.
    fn level(&self) -> Arc<[u8]> {
        std::fs::read(&self.level).expect("the level that was written before").into()
    }

    /// Codes from all over the index, each followed by `behind`.
    fn asked(&self, behind: &str) -> Vec<FoldedCode> {
        let step = (self.codes / ASKED).max(1) as usize;
        let typed = (0..self.codes).step_by(step).map(|number| code(number) + behind);
        typed.map(|typed| FoldedCode::fold(typed.as_bytes()).expect("a code")).collect()
    }
}

fn fold<'a>() -> Call<'a> {
    Box::new(|_| {
        let _ = black_box(FoldedCode::fold(black_box(b"TheBestDeal2012")));
    })
}

fn browsers_request() -> Parts {
    let mut request = Request::get("/WiNtEr25/").header("host", "go.example.com");
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn headers<'a>() -> Call<'a> {
    let request = browsers_request();
    Box::new(move |_| {
        black_box(RequestHeaders::read(black_box(&request.headers)));
    })
}

fn found() -> Reply {
    Reply::Redirect(HeaderValue::from_static("https://shop16.example/landing?t=0af1&c=WiNtEr25"))
}

/// An answer in the header map of the previous request, as from hyper.
fn answering<'a>(reply: &Reply) -> Call<'a> {
    let (reply, mut parts) = (reply.clone(), browsers_request());
    let method = parts.method.clone();
    Box::new(move |_| {
        let mut request = Request::new(()).into_parts().0;
        request.method = method.clone();
        request.headers = std::mem::take(&mut parts.headers);
        parts.headers = std::mem::take(black_box(respond(reply.clone(), request)).headers_mut());
    })
}

fn lookup<'a>(fixture: &Fixture, behind: &str) -> Call<'a> {
    let (index, asked) = (index_of(fixture.level()), fixture.asked(behind));
    let is_known = behind.is_empty();
    Box::new(move |call| {
        let found = index.lookup(black_box(&asked[call % asked.len()]));
        assert_eq!(found.is_some(), is_known);
    })
}

/// An index for the life of the process, so that calls may borrow from it.
fn lasting_index(fixture: &Fixture) -> &'static Index<Arc<[u8]>> {
    Box::leak(Box::new(index_of(fixture.level())))
}

/// A look-up of a code that the serving thread has found before.
fn hot_lookup(fixture: &Fixture) -> Call<'_> {
    let index = index_of(FileBytes::new(fixture.level().to_vec()));
    let (asked, mut hot_codes) = (fixture.asked(""), HotCodes::default());
    for code in &asked {
        hot_codes.lookup(&index, code);
    }
    Box::new(move |call| {
        let found = hot_codes.lookup(&index, black_box(&asked[call % asked.len()]));
        assert!(found.is_some());
    })
}

fn decision(fixture: &Fixture) -> Call<'_> {
    let index = lasting_index(fixture);
    let found: Vec<_> = fixture.asked("").iter().map(|code| index.lookup(code)).collect();
    Box::new(move |call| {
        let visit = visit(found[call % found.len()]);
        let decision = decide(index.catalog(), black_box(&visit), NOW);
        assert!(decision.click.is_some());
    })
}

/// The decision about a visit of an offer with rules, which let it pass. The serving thread has
/// seen the visitor's agent lately, or not. The place is known: look-ups are stages of their own.
fn ruled<'a>(rules: Rules, is_agent_seen: bool) -> Call<'a> {
    let index: &'static Index<_> = Box::leak(Box::new(ruled_index()));
    let number = Rules::ALL.iter().position(|other| *other == rules).expect("rules of an offer");
    let code = FoldedCode::fold(code(number as u32).as_bytes()).expect("a code");
    let (rows, agents) = (index.lookup(&code), RefCell::<RecentAgents>::default());
    // The first look at an agent builds the automaton.
    black_box(Agent::identify(b"", &ClientHints::default()));
    Box::new(move |_| {
        let visitor = American::new(None, is_agent_seen.then_some(&agents));
        let visitor = Visitor::Link(&visitor);
        let visit = Visit { rows, offer_id: None, offer_url_id: None, domain: None, visitor };
        let decision = decide(index.catalog(), black_box(&visit), NOW);
        assert!(matches!(decision.answer, Answer::Redirect(_)));
    })
}

fn expansion(fixture: &Fixture) -> Call<'_> {
    let index = lasting_index(fixture);
    let visit = visit(index.lookup(&fixture.asked("")[0]));
    let decision = decide(index.catalog(), &visit, NOW);
    let Answer::Redirect(destination) = decision.answer else {
        unreachable!("the fixture's codes redirect")
    };
    let (macros, mut location) = (macros(), Vec::with_capacity(512));
    Box::new(move |_| {
        location.clear();
        destination.expand(black_box(&macros), &mut location);
        black_box(&location);
    })
}

/// An agent that the serving thread has not seen lately.
fn agent<'a>() -> Call<'a> {
    let hints = ClientHints::default();
    // The first call builds the automaton.
    black_box(Agent::identify(b"", &hints));
    Box::new(move |call| {
        let agent = AGENTS[call % AGENTS.len()].as_bytes();
        black_box(Agent::identify(black_box(agent), &hints));
    })
}

fn recent_agent<'a>() -> Call<'a> {
    let (mut recent, hints) = (RecentAgents::default(), ClientHints::default());
    for agent in AGENTS {
        recent.identify(agent.as_bytes(), &hints);
    }
    Box::new(move |call| {
        let agent = AGENTS[call % AGENTS.len()].as_bytes();
        black_box(recent.identify(black_box(agent), &hints));
    })
}

fn preferred_language<'a>() -> Call<'a> {
    Box::new(|_| {
        black_box(language::preferred(black_box(b"de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7")));
    })
}

/// The parts of a rule about a city.
fn city_parts() -> PlaceParts {
    PlaceParts::COUNTRY | PlaceParts::REGION | PlaceParts::CITY
}

/// The place of an address in the test database of MaxMind.
fn look_up<'a>(wanted: PlaceParts) -> Call<'a> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/geo/tests/data/GeoIP2-City-Test.mmdb");
    let databases = LiveDatabases::open(&[path]).current();
    let addresses = ["81.2.69.142", "216.160.83.56", "2.125.160.216", "89.160.20.128"];
    let addresses = addresses.map(|address| address.parse().expect("an address"));
    Box::new(move |call| {
        let place = databases.look_up(black_box(addresses[call % addresses.len()]), wanted);
        assert!(!black_box(place).country.is_empty());
    })
}

fn transaction_id<'a>() -> Call<'a> {
    let (mut source, key) = (TransactionIdSource::new(0, 0, 1), ClickIdKey([7; 16]));
    Box::new(move |_| {
        black_box(source.next(&key, black_box(HEAD.unix_ms)));
    })
}

fn click_record<'a>() -> Call<'a> {
    let mut out = [0; MAX_RECORD_LEN];
    Box::new(move |_| {
        black_box(encode_click(black_box(&HEAD), b"WiNtEr25", &TAGS, &mut out));
    })
}

fn new_block() -> BlockBuilder {
    BlockBuilder::new(StreamId { node: 0, incarnation: 1, thread: 0 }, 1)
}

fn block(records: &[Vec<u8>]) -> Vec<u8> {
    let mut block = new_block();
    for record in records {
        block.push(black_box(record)).expect("a whole record");
    }
    block.finish().expect("a block with records")
}

fn block_push<'a>() -> Call<'a> {
    let (records, mut block) = (click_records(100 * CLICKS_PER_BLOCK as u32), new_block());
    Box::new(move |call| {
        if call % CLICKS_PER_BLOCK == 0 {
            block = new_block();
        }
        block.push(black_box(&records[call % records.len()])).expect("a whole record");
    })
}

fn block_of_clicks<'a>() -> Call<'a> {
    let records = click_records(100 * CLICKS_PER_BLOCK as u32);
    Box::new(move |call| {
        let blocks = records.as_chunks::<CLICKS_PER_BLOCK>().0;
        black_box(block(&blocks[call % blocks.len()]));
    })
}

fn block_decode<'a>() -> Call<'a> {
    let records = click_records(100 * CLICKS_PER_BLOCK as u32);
    let blocks: Vec<_> =
        records.as_chunks::<CLICKS_PER_BLOCK>().0.iter().map(|of| block(of)).collect();
    Box::new(move |call| {
        let block = Block::parse(black_box(&blocks[call % blocks.len()])).expect("a whole block");
        black_box(block.decode().expect("a whole block"));
    })
}

fn level_open(fixture: &Fixture) -> Call<'_> {
    let bytes = fixture.level();
    Box::new(move |_| {
        let level = Level::open(black_box(Arc::clone(&bytes))).expect("a whole level");
        assert_eq!(level.codes(), u64::from(fixture.codes));
    })
}

fn catalog_open<'a>() -> Call<'a> {
    let bytes = catalog_file();
    Box::new(move |_| {
        black_box(CatalogFile::open(black_box(&bytes)).expect("a whole catalog"));
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [counted, name, calls, codes, level] = arguments.as_slice()
        && counted == COUNTED
    {
        return be_counted(name, calls, codes, level);
    }
    if !is_installed("valgrind") {
        eprintln!("instructions are not counted: valgrind is not installed (apt install valgrind)");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|a| !a.starts_with('-')).collect();
    let codes = std::env::var("COUPON_BENCH_CODES").ok().and_then(|n| n.parse().ok());
    let counts = count_all(&wanted, codes.unwrap_or(100_000));
    let saved = saved();
    print(&counts, &saved);
    if arguments.iter().any(|argument| argument == "--save") {
        save(saved, counts);
    }
    ExitCode::SUCCESS
}

/// Runs a stage in the process under valgrind.
fn be_counted(name: &str, calls: &str, codes: &str, level: &str) -> ExitCode {
    let number = |text: &str| text.parse().expect("a number of our own");
    let (calls, codes) = (number(calls), number(codes) as u32);
    let stage = STAGES.iter().find(|stage| stage.name == name).expect("a stage of our own");
    let fixture = Fixture { codes, level: level.into() };
    let mut call = (stage.prepare)(&fixture);
    (0..calls).for_each(&mut call);
    ExitCode::SUCCESS
}

/// Instructions of one call, for each wanted stage.
fn count_all(wanted: &[&str], codes: u32) -> BTreeMap<&'static str, f64> {
    let is_wanted =
        |stage: &&Stage| wanted.is_empty() || wanted.iter().any(|part| stage.name.contains(part));
    let fixture = Fixture { codes, level: scratch("level") };
    std::fs::write(&fixture.level, level_file(codes)).expect("room for a level");
    let mut counts = BTreeMap::new();
    for stage in STAGES.iter().filter(is_wanted) {
        eprintln!("counting {}", stage.name);
        let once = count(stage, stage.calls, &fixture);
        let twice = count(stage, 2 * stage.calls, &fixture);
        counts.insert(stage.name, (twice as f64 - once as f64) / stage.calls as f64);
    }
    std::fs::remove_file(&fixture.level).expect("the level is there");
    counts
}

/// Instructions of a whole process with that many calls.
fn count(stage: &Stage, calls: usize, fixture: &Fixture) -> u64 {
    let report = scratch("callgrind");
    let status = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--quiet",
            &format!("--callgrind-out-file={}", report.display()),
        ])
        .arg(std::env::current_exe().expect("this program's own path"))
        // As wide for once as for twice: arguments lie on the stack, and move what follows.
        .args([COUNTED, stage.name, &format!("{calls:08}"), &fixture.codes.to_string()])
        .arg(&fixture.level)
        .stdout(Stdio::null())
        .status()
        .expect("valgrind starts");
    assert!(status.success(), "{} under valgrind ended with {status}", stage.name);
    let text = std::fs::read_to_string(&report).expect("valgrind's report");
    std::fs::remove_file(&report).expect("valgrind's report is there");
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    totals.and_then(|totals| totals.trim().parse().ok()).expect("the totals of valgrind's report")
}

fn print(counts: &BTreeMap<&'static str, f64>, saved: &BTreeMap<String, f64>) {
    println!("{:16} {:>14} {:>14} {:>9}", "", "instructions", "saved", "change");
    for Stage { name, .. } in &STAGES {
        let Some(count) = counts.get(name) else { continue };
        let (before, change) = match saved.get(*name) {
            Some(before) => {
                (format!("{before:.1}"), format!("{:+.2} %", (count / before - 1.0) * 100.0))
            }
            None => Default::default(),
        };
        println!("{name:16} {count:>14.1} {before:>14} {change:>9}");
    }
}

/// The saved counts: a line for each stage, with name and count.
fn saved() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(scratch("saved")).unwrap_or_default();
    let line = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Saves the counts; uncounted stages keep their old counts.
fn save(mut saved: BTreeMap<String, f64>, counts: BTreeMap<&'static str, f64>) {
    saved.extend(counts.into_iter().map(|(name, count)| (name.to_owned(), count)));
    let lines: String = saved.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
    std::fs::write(scratch("saved"), lines).expect("room for the counts");
    println!("\nkept for later runs");
}

/// A file of this bench in the build folder.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("instructions-{name}"))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
