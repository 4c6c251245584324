//! Golden files of each format version, kept for ever: every later release must read them.
//!
//! `cargo test -p coupon-shared -- --ignored` writes a missing golden file; an existing file is
//! never overwritten.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use coupon_rules::facts::Nobody;
use coupon_shared::civil_day::Day;
use coupon_shared::click::block::{BLOCK_HEADER_LEN, Block, BlockBuilder};
use coupon_shared::click::{
    Click, ClickHead, MAX_RECORD_LEN, StreamId, Tag, VisitKind, encode_click,
};
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Answer, Reason, Visit, Visitor, decide};
use coupon_shared::destination::Destination;
use coupon_shared::feed::{Cursor, FeedQuestion};
use coupon_shared::index::Index;
use coupon_shared::node_identity::RunId;
use coupon_shared::postback::{
    Channel, Delivery, PollRequest, Postback, PostbackId, SpoolId, Verdict, VerdictStatus,
};
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::acme::AcmeDomains;
use coupon_shared::snapshot::catalog::{
    Access, Approval, Catalog, CatalogFile, CatalogMeta, Domain, Offer, Partner, Visibility,
    WeightedDestination, ZoneOffset,
};
use coupon_shared::snapshot::level::{CodeRecord, Level, LevelBuilder, LevelMeta};
use coupon_shared::snapshot::manifest::{Manifest, ObjectName};
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use coupon_shared::visit_state::{CapState, CapWindow, PublishedState, WindowBounds};
use std::path::PathBuf;
use std::sync::Arc;

const KEY: ClickIdKey = ClickIdKey([7; 16]);
const LINEAGE: Lineage = Lineage([9; 16]);
const STREAM: StreamId = StreamId { node: 3, incarnation: 99, thread: 2 };

fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(golden_path(name)).unwrap()
}

fn row(code_id: u32, offer_id: u32, partner_id: u32) -> CodeRecord {
    let (first_day, last_day) = (Day(9132), Day::LAST);
    CodeRecord { code_id, offer_id, partner_id, active: true, first_day, last_day }
}

fn level() -> Vec<u8> {
    let meta = LevelMeta { network_id: 1, lineage: LINEAGE, sequence_from: 0, sequence_to: 1337 };
    let mut builder = LevelBuilder::new(meta);
    for (code, rows) in [
        ("gone", &[][..]),
        ("thebestdeal2012", &[row(2, 16, 1), row(3, 17, 1)]),
        ("winter25", &[row(1, 16, 1)]),
    ] {
        builder.push(&FoldedCode::fold(code.as_bytes()).unwrap(), rows).unwrap();
    }
    builder.finish().unwrap()
}

fn catalog() -> Vec<u8> {
    catalog_with_acme(&AcmeDomains::default())
}

fn acme() -> AcmeDomains {
    let thumbprint = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ".into();
    AcmeDomains { thumbprint, domain_ids: vec![4] }
}

fn catalog_with_acme(acme: &AcmeDomains) -> Vec<u8> {
    let destination = |url: &str| Destination::parse(url).unwrap().destination;
    let offer = |id: u32, visibility| Offer {
        id,
        advertiser_id: 5,
        active: true,
        visibility,
        last_day: u16::MAX,
        destinations: vec![WeightedDestination {
            weight: 1,
            destination: destination("https://shop.example/w?t={transaction_id}&s={sub1}"),
        }],
        fallback: Some(destination("https://shop.example/sorry")),
        rules: vec![],
    };
    let catalog = Catalog {
        click_id_key: KEY.0,
        zone: vec![
            ZoneOffset { from: i64::MIN, utc_offset: 3600 },
            ZoneOffset { from: 1_774_746_000, utc_offset: 7200 },
        ],
        fallback: Some(destination("https://network.example/")),
        offers: vec![
            offer(16, Visibility::Public),
            offer(17, Visibility::RequireApproval),
            offer(18, Visibility::Private),
        ],
        partners: vec![Partner { id: 1, active: true }, Partner { id: 2, active: false }],
        approvals: vec![
            Approval { offer_id: 16, partner_id: 2, access: Access::Hidden },
            Approval { offer_id: 17, partner_id: 1, access: Access::Visible },
            Approval { offer_id: 17, partner_id: 2, access: Access::Rejected },
        ],
        domains: vec![Domain { id: 4, host: "go.example.com".into(), fallback: None }],
        rules: vec![],
    };
    let meta = CatalogMeta { network_id: 1, lineage: LINEAGE, sequence: 1200 };
    catalog.encode(&meta, acme, None).unwrap().parts().concat()
}

fn manifest() -> Manifest {
    Manifest {
        network_id: 1,
        lineage: LINEAGE,
        generation: 42,
        sequence: 1400,
        catalog: ObjectName(*CatalogFile::open(&golden("catalog_v1.cat")).unwrap().name()),
        levels: vec![ObjectName(*Level::open(golden("level_v1.lvl")).unwrap().name())],
    }
}

fn click_head() -> ClickHead {
    ClickHead {
        transaction_id: TransactionIdSource::new(3, 2, 99).next(&KEY, 1_763_000_000_123),
        unix_ms: 1_763_000_000_123,
        generation: 42,
        code_id: 1,
        offer_id: 16,
        partner_id: 1,
        advertiser_id: 5,
        reason: Reason::Redirected,
        kind: VisitKind::Prefetch,
        rule: 0,
    }
}

const TAGS: [(Tag, &[u8]); 3] =
    [(Tag::Sub1, b"a"), (Tag::Address, &[192, 0, 2, 1]), (Tag::UserAgent, b"curl/8")];

fn record() -> Vec<u8> {
    let mut out = vec![0; MAX_RECORD_LEN];
    let len = encode_click(&click_head(), b"WiNtEr25", &TAGS, &mut out);
    out.truncate(len);
    out
}

fn block() -> Vec<u8> {
    let mut builder = BlockBuilder::new(STREAM, 41);
    builder.push(&record()).unwrap();
    builder.push(&record()).unwrap();
    builder.finish().unwrap()
}

fn cursor() -> Cursor {
    let mut cursor = Cursor::default();
    cursor.advance(STREAM, 42);
    cursor.advance(StreamId { thread: 0, ..STREAM }, 7);
    cursor
}

fn click_question() -> FeedQuestion {
    let mut question = FeedQuestion::from(cursor());
    question.runs.insert(STREAM, RunId([0xD4; 16]));
    question.refused.insert(StreamId { thread: 9, ..STREAM });
    question
}

fn postback() -> Postback<'static> {
    Postback {
        id: PostbackId::new(1_763_000_000_456, [0xC3; 10]),
        unix_ms: 1_763_000_000_456,
        node: 3,
        channel: Channel::Server,
        is_post: true,
        address: [192, 0, 2, 7].into(),
        host: b"go.example.com",
        query: b"nid=1&coupon_code=WINTER25&oid=16",
        body: b"amount=49.90&order_id=%C3%A9",
        content_type: b"application/x-www-form-urlencoded",
        user_agent: b"shop/1",
        referer: b"https://shop.example/",
        origin: b"https://shop.example",
    }
}

fn question() -> PollRequest {
    let verdict = |conversion_id, status, error_code, error: &str| Verdict {
        postback: postback().id,
        status,
        conversion_id,
        transaction_id: "019a7afd1e7b70008050c04d6e9b9dd2".into(),
        error_code,
        error: error.into(),
        is_miss: false,
        is_trusted: false,
    };
    PollRequest {
        cursors: vec![(SpoolId([4; 16]), 17)],
        verdicts: vec![
            verdict(Some(PostbackId([8; 16])), VerdictStatus::Approved, 0, ""),
            verdict(None, VerdictStatus::Invalid, 1001, "Nobody has this coupon code."),
        ],
    }
}

fn delivery() -> Delivery<'static> {
    Delivery { spool: SpoolId([4; 16]), oldest: 12, postbacks: vec![(18, postback())] }
}

fn visit_state() -> PublishedState {
    let cap = |cap_id, window, bounds| CapState {
        cap_id,
        window,
        bounds,
        clicks: 41,
        is_reached: cap_id == 8,
    };
    let today = WindowBounds { starts: 1_762_988_400, ends: 1_763_074_800 };
    PublishedState {
        counted: cursor().iter().collect(),
        caps: vec![
            cap(7, CapWindow::Daily, today),
            cap(7, CapWindow::Global, WindowBounds::ALWAYS),
            cap(8, CapWindow::Daily, today),
        ],
        converted: vec![1, 1 << 40, u64::MAX],
        ..PublishedState::empty(1, LINEAGE, 1_763_000_000_123)
    }
}

#[test]
#[ignore = "writes golden files that are missing"]
fn write_missing_golden_files() {
    let write = |name: &str, bytes: Vec<u8>| {
        if !golden_path(name).exists() {
            std::fs::write(golden_path(name), bytes).unwrap();
        }
    };
    write("level_v1.lvl", level());
    write("catalog_v1.cat", catalog());
    write("catalog_v1_acme.cat", catalog_with_acme(&acme()));
    write("manifest_v1", manifest().to_text().into_bytes());
    write("click_record_v1.bin", record());
    write("click_block_v2.blk", block());
    write("cursor_v1.bin", cursor().encode());
    write("click_question_v2.bin", click_question().encode());
    write("postback_v1.bin", postback().encode());
    write("postback_question_v1.bin", question().encode());
    write("postback_delivery_v1.bin", delivery().encode());
    write("visit_state_v1.bin", visit_state().encode().unwrap());
}

#[test]
fn version_1_level_catalog_and_manifest_are_still_written_the_same() {
    assert_eq!(level(), golden("level_v1.lvl"));
    assert_eq!(catalog(), golden("catalog_v1.cat"));
    assert_eq!(manifest().to_text().into_bytes(), golden("manifest_v1"));
}

#[test]
fn a_version_1_catalog_with_an_acme_section_is_still_written_and_read_the_same() {
    let file = golden("catalog_v1_acme.cat");
    assert_eq!(catalog_with_acme(&acme()), file);
    let catalog = CatalogFile::open(&file).unwrap();
    let domain = catalog.domain("go.example.com").unwrap();
    assert_eq!(catalog.acme_thumbprint(domain), Some(acme().thumbprint.as_str()));
}

#[test]
fn version_1_snapshot_files_still_decide_a_visit() {
    let levels = vec![Level::open(Arc::<[u8]>::from(golden("level_v1.lvl"))).unwrap()];
    levels[0].check_entries().unwrap();
    let catalog = Arc::new(CatalogFile::open(&golden("catalog_v1.cat")).unwrap());
    let manifest = Manifest::parse(&golden("manifest_v1")).unwrap();
    let index = Index::assemble(manifest, catalog, levels).unwrap();
    let decided = |code: &str, offer_id| {
        let code = FoldedCode::fold(code.as_bytes()).unwrap();
        let domain = index.catalog().domain("go.example.com");
        let visitor = Visitor::<Nobody>::Unchecked;
        let rows = index.lookup(&code);
        let visit = Visit { rows, offer_id, offer_url_id: None, domain, visitor };
        let decision = decide(index.catalog(), &visit, 1_781_524_800);
        let origin = match decision.answer {
            Answer::Redirect(to) | Answer::Fallback(to) => to.origin().to_owned(),
            Answer::NotFound => String::new(),
        };
        (decision.click.map(|c| (c.row, c.advertiser_id, c.reason)), origin)
    };
    let shop = "https://shop.example".to_owned();
    assert_eq!(
        decided("WINTER25", None),
        (Some((row(1, 16, 1), 5, Reason::Redirected)), shop.clone())
    );
    assert_eq!(
        decided("TheBestDeal2012", Some(17)),
        (Some((row(3, 17, 1), 5, Reason::Redirected)), shop)
    );
    assert_eq!(decided("gone", None), (None, "https://network.example".into()));
}

#[test]
fn a_version_1_click_record_is_still_written_and_read_the_same() {
    assert_eq!(record(), golden("click_record_v1.bin"));
    let bytes = golden("click_record_v1.bin");
    let (click, len) = Click::decode(&bytes).unwrap();
    assert_eq!((click.head, click.code, len), (click_head(), &b"WiNtEr25"[..], bytes.len()));
    assert!(click.head.transaction_id.verify(&KEY));
    for (tag, value) in TAGS {
        assert_eq!(click.tag(tag), Some(value));
    }
}

#[test]
fn click_blocks_of_versions_1_and_2_still_read() {
    for name in ["click_block_v1.blk", "click_block_v2.blk"] {
        let bytes = golden(name);
        let block = Block::parse(&bytes).unwrap();
        assert_eq!((block.stream(), block.first_sequence(), block.count()), (STREAM, 41, 2));
        let decoded = block.decode().unwrap();
        for click in decoded.clicks() {
            assert_eq!(click.head, click_head());
            assert_eq!(click.text(Tag::UserAgent), "curl/8");
            assert_eq!(click.text(Tag::Sub1), "a");
        }
        assert_eq!(decoded.clicks().count(), 2);
    }
}

#[test]
fn the_main_part_of_a_version_2_click_block_is_still_written_the_same() {
    // A newer compressor may write other bytes for the personal part.
    let main = |bytes: Vec<u8>| {
        let len = u32::from_le_bytes(bytes[32..36].try_into().unwrap()) as usize;
        bytes[BLOCK_HEADER_LEN..BLOCK_HEADER_LEN + len].to_vec()
    };
    assert_eq!(main(block()), main(golden("click_block_v2.blk")));
}

#[test]
fn a_version_1_cursor_is_still_written_and_read_the_same() {
    assert_eq!(cursor().encode(), golden("cursor_v1.bin"));
    assert_eq!(Cursor::decode(&golden("cursor_v1.bin")), Ok(cursor()));
}

#[test]
fn a_version_2_question_for_clicks_is_still_written_and_read_the_same() {
    assert_eq!(click_question().encode(), golden("click_question_v2.bin"));
    assert_eq!(FeedQuestion::decode(&golden("click_question_v2.bin")), Ok(click_question()));
}

#[test]
fn version_1_postbacks_questions_and_deliveries_are_still_written_and_read_the_same() {
    let [postback_file, question_file, delivery_file] =
        ["postback_v1.bin", "postback_question_v1.bin", "postback_delivery_v1.bin"].map(golden);
    assert_eq!(postback().encode(), postback_file);
    assert_eq!(Postback::decode(&postback_file), Ok(postback()));
    assert_eq!(question().encode(), question_file);
    assert_eq!(PollRequest::decode(&question_file), Ok(question()));
    assert_eq!(delivery().encode(), delivery_file);
    assert_eq!(Delivery::decode(&delivery_file), Ok(delivery()));
}

#[test]
fn a_version_1_visit_state_is_still_written_and_read_the_same() {
    let file = golden("visit_state_v1.bin");
    assert_eq!(visit_state().encode().unwrap(), file);
    assert_eq!(PublishedState::decode(&file), Ok(visit_state()));
}
