//! The stages of a redirect, one by one: `cargo bench -p coupon-benches`.
//!
//! `COUPON_BENCH_CODES` sets the size of the index (1,000,000 without it).

#[path = "redirect_path/city_database.rs"]
mod city_database;

use city_database::{city_database, spread_addresses};
use coupon_benches as fixture;
use coupon_benches::inputs::{AGENTS, HEAD, NOW, TAGS, macros, visit};
use coupon_benches::ruled::{American, Rules, test_databases};
use coupon_rules::agent::{Agent, ClientHints, RecentAgents};
use coupon_rules::language;
use coupon_rules::place::PlaceParts;
use coupon_shared::click::{MAX_RECORD_LEN, encode_click};
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Answer, Visit, Visitor, decide};
use coupon_shared::index::Index;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::snapshot::level::Level;
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

fn codes_in_index() -> u32 {
    std::env::var("COUPON_BENCH_CODES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}

/// Codes spread over the whole index, so that look-ups are as cold as real ones.
fn spread(count: u32) -> Vec<FoldedCode> {
    let step = (count / 65_536).max(1) as usize;
    (0..count)
        .step_by(step)
        .map(|number| FoldedCode::fold(fixture::code(number).as_bytes()).expect("a code"))
        .collect()
}

fn stages(c: &mut Criterion) {
    c.bench_function("fold", |b| {
        b.iter(|| FoldedCode::fold(black_box(b"TheBestDeal2012")));
    });
    let count = codes_in_index();
    let index = fixture::index(count);
    let hits = spread(count);
    lookups(c, &index, &hits);
    decision(c, &index, &hits);
    rules(c);
    visitor(c);
    place_look_ups(c);
    transaction_id(c);
    click_record(c);
    opening(c, count);
}

fn lookups(c: &mut Criterion, index: &Index<Arc<[u8]>>, hits: &[FoldedCode]) {
    let mut next = hits.iter().cycle();
    c.bench_function("lookup_hit", |b| {
        b.iter(|| index.lookup(next.next().expect("a cycle")).map(|rows| rows.len()));
    });
    let misses: Vec<_> = hits
        .iter()
        .filter_map(|code| FoldedCode::fold(format!("{code}q").as_bytes()).ok())
        .collect();
    let mut next = misses.iter().cycle();
    c.bench_function("lookup_miss", |b| {
        b.iter(|| index.lookup(next.next().expect("a cycle")).map(|rows| rows.len()));
    });
}

fn decision(c: &mut Criterion, index: &Index<Arc<[u8]>>, hits: &[FoldedCode]) {
    let mut next = hits.iter().cycle();
    c.bench_function("decide", |b| {
        b.iter(|| {
            let rows = index.lookup(next.next().expect("a cycle"));
            decide(index.catalog(), &visit(rows), black_box(NOW)).click
        });
    });
    let visit = visit(index.lookup(&hits[0]));
    let decision = decide(index.catalog(), &visit, NOW);
    let Answer::Redirect(destination) = decision.answer else {
        unreachable!("the fixture's codes redirect")
    };
    let mut location = Vec::with_capacity(512);
    c.bench_function("expand", |b| {
        b.iter(|| {
            location.clear();
            destination.expand(&macros(), &mut location);
            location.len()
        });
    });
}

/// Decisions about offers with rules, which let the visit pass.
fn rules(c: &mut Criterion) {
    let (index, databases) = (fixture::ruled_index(), test_databases());
    let agents = RefCell::<RecentAgents>::default();
    let (country, full, values) = (Rules::Country, Rules::Full, Rules::Values3000);
    for (name, rules, is_agent_seen) in [
        ("country", country, true),
        ("full_seen", full, true),
        ("full_new", full, false),
        ("3000_values", values, true),
        ("100_contains", Rules::Contains100, true),
    ] {
        let number = Rules::ALL.iter().position(|other| *other == rules).expect("an offer's");
        let code = FoldedCode::fold(fixture::code(number as u32).as_bytes()).expect("a code");
        let rows = index.lookup(&code);
        c.bench_function(&format!("decide_{name}"), |b| {
            b.iter(|| {
                let visitor = American::new(Some(&databases), is_agent_seen.then_some(&agents));
                let visitor = Visitor::Link(&visitor);
                let visit =
                    Visit { rows, offer_id: None, offer_url_id: None, domain: None, visitor };
                let decision = decide(index.catalog(), black_box(&visit), NOW);
                assert!(matches!(decision.answer, Answer::Redirect(_)));
            });
        });
    }
}

fn visitor(c: &mut Criterion) {
    let hints = ClientHints::default();
    for (agent, name) in AGENTS.iter().zip(["iphone", "android", "windows", "instagram"]) {
        c.bench_function(&format!("agent_{name}"), |b| {
            b.iter(|| Agent::identify(black_box(agent.as_bytes()), &hints));
        });
    }
    let mut recent = RecentAgents::default();
    c.bench_function("agent_recent", |b| {
        b.iter(|| recent.identify(black_box(AGENTS[0].as_bytes()), &hints));
    });
    c.bench_function("language", |b| {
        b.iter(|| language::preferred(black_box(b"de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7")));
    });
}

/// Where an address is: the same address again and again, and addresses from all over the database.
fn place_look_ups(c: &mut Criterion) {
    let databases = city_database();
    let addresses = spread_addresses();
    let city = PlaceParts::COUNTRY | PlaceParts::REGION | PlaceParts::CITY;
    let all = databases.parts();
    let wanted = [("country", PlaceParts::COUNTRY), ("city", city), ("all_parts", all)];
    for (name, wanted) in wanted {
        c.bench_function(&format!("geo_{name}_hot"), |b| {
            b.iter(|| databases.look_up(black_box(addresses[7]), wanted));
        });
        let mut next = addresses.iter().cycle();
        c.bench_function(&format!("geo_{name}"), |b| {
            b.iter(|| databases.look_up(*next.next().expect("a cycle"), wanted));
        });
    }
}

fn transaction_id(c: &mut Criterion) {
    let mut source = TransactionIdSource::new(0, 0, 1);
    let key = ClickIdKey([7; 16]);
    c.bench_function("transaction_id", |b| {
        b.iter(|| source.next(&key, black_box(1_781_524_800_000)));
    });
}

fn click_record(c: &mut Criterion) {
    let mut out = [0; MAX_RECORD_LEN];
    c.bench_function("click_record", |b| {
        b.iter(|| encode_click(black_box(&HEAD), b"WiNtEr25", &TAGS, &mut out));
    });
}

fn opening(c: &mut Criterion, count: u32) {
    let mut group = c.benchmark_group("open");
    group.sample_size(10);
    let level: Arc<[u8]> = fixture::level_file(count).into();
    group.bench_function("level", |b| {
        b.iter_batched(
            || level.clone(),
            |bytes| Level::open(bytes).map(|level| level.codes()).ok(),
            BatchSize::LargeInput,
        );
    });
    let catalog = fixture::catalog_file();
    group.bench_function("catalog", |b| {
        b.iter(|| CatalogFile::open(&catalog).map(|catalog| catalog.meta().sequence).ok());
    });
    group.finish();
}

criterion_group!(redirect_path, stages);
criterion_main!(redirect_path);
