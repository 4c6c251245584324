use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::catalog::{Advertiser, Affiliate, CouponCodeEdit, CouponStatus, Offer};
use crate::csv_file::CsvWriter;
use crate::edit::coupon_codes;
use crate::export;
use crate::json::{Each, parse};
use crate::store::origin::Actor;
use crate::store::{connect_writer, rows as store_rows};

/// Offers 1 and 2, partners 1 (Anna) and 2 (Ben).
fn network(dir: &Path) -> DedicatedConnection {
    let mut connection = connect_writer(dir).unwrap();
    let write = connection.begin_write().unwrap();
    let shop: Advertiser = parse(r#"{"name": "Shop", "account_status": "active"}"#, "").unwrap();
    store_rows::insert(&write, &shop).unwrap();
    for name in ["Anna", "Ben"] {
        let partner = format!(r#"{{"name": "{name}", "account_status": "active"}}"#);
        store_rows::insert::<Affiliate>(&write, &parse(&partner, "").unwrap()).unwrap();
    }
    let offer = r#"{"name": "Jackets", "offer_status": "active", "network_advertiser_id": 1, "destination_url": "https://shop.example/"}"#;
    for _ in 0..2 {
        store_rows::insert::<Offer>(&write, &parse(offer, "").unwrap()).unwrap();
    }
    write.commit().unwrap();
    connection
}

/// Line and column of each wrong cell, and the reason.
type Found = Vec<(u64, String, String)>;

fn how(intent: Intent) -> Commit {
    Commit {
        intent,
        skip_invalid: false,
        origin: Origin::new(Actor::CommandLine),
        source: ImportSource::File("codes.csv".into()),
        // Without a reserve.
        disk: Disk::new(Path::new("/"), 0),
        validated: None,
        progress: Default::default(),
    }
}

fn run(
    connection: &mut DedicatedConnection,
    intent: Intent,
    file: &str,
    skip_invalid: bool,
) -> (Result<Outcome, ImportError>, Found) {
    let _ = connection.raw_connection().execute_batch("DETACH staging");
    let how = Commit { skip_invalid, ..how(intent) };
    let outcome = super::import(connection, file.as_bytes(), &Layout::default(), how, &mut |_| {});
    let mut found = Vec::new();
    staging::each_fault(&connection.begin_read().unwrap(), 1000, |_, line, fault| {
        found.push((line.unwrap_or_default(), fault.field, fault.error));
        Ok::<_, StoreError>(())
    })
    .unwrap();
    (outcome, found)
}

fn import(
    connection: &mut DedicatedConnection,
    rows: &str,
    allow_reissue: bool,
) -> (Result<u64, ImportError>, Found) {
    let intent = Intent { mode: BulkMode::Add, allow_reissue };
    let file = format!("offer_id,affiliate_id,coupon_code,status\n{rows}");
    let (outcome, found) = run(connection, intent, &file, false);
    (outcome.map(|outcome| outcome.created), found)
}

fn update(
    connection: &mut DedicatedConnection,
    file: &str,
) -> (Result<Outcome, ImportError>, Found) {
    let intent = Intent { mode: BulkMode::Update, allow_reissue: false };
    run(connection, intent, file, false)
}

fn found(faults: &Found) -> Vec<(u64, &str)> {
    faults.iter().map(|(line, column, _)| (*line, column.as_str())).collect()
}

fn live_codes(connection: &DedicatedConnection) -> Vec<String> {
    let sql = "SELECT code FROM coupon_code WHERE time_deleted = 0 ORDER BY id";
    let mut statement = connection.raw_connection().prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn rows_become_codes_in_the_order_of_the_file_under_one_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let before = crate::store::meta::read(&connection.begin_read().unwrap()).unwrap().change_seq;
    let (outcome, _) =
        import(&mut connection, "1,1,zebra,active\n2,1,Zebra,paused\n1,,apple,active\n", false);
    assert_eq!(outcome.unwrap(), 3);
    assert_eq!(live_codes(&connection), ["zebra", "Zebra", "apple"]);
    let after = crate::store::meta::read(&connection.begin_read().unwrap()).unwrap();
    assert_eq!(after.change_seq, before + 1);
    let one: u64 = connection
        .raw_connection()
        .query_row("SELECT min(change_seq) FROM coupon_code", [], |row| row.get(0))
        .unwrap();
    assert_eq!(one, after.change_seq);
}

#[test]
fn rows_of_a_large_file_become_codes_in_the_order_of_their_codes_and_for_each_code_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let mut file: String = (0..50_000).rev().map(|n| format!("1,1,code{n:05},active\n")).collect();
    file += "2,1,Code00007,active\n";
    let (outcome, _) = import(&mut connection, &file, false);
    assert_eq!(outcome.unwrap(), 50_001);
    let codes = live_codes(&connection);
    assert_eq!(codes[..4], ["code00000", "code00001", "code00002", "code00003"]);
    assert_eq!(codes[6..10], ["code00006", "code00007", "Code00007", "code00008"]);
    let sql = "SELECT min(id), max(id), (SELECT seq FROM sqlite_sequence WHERE name = 'coupon_code') \
               FROM coupon_code";
    let ids: (u32, u32, u32) = connection
        .raw_connection()
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(ids, (1, 50_001, 50_001));
}

#[test]
fn one_wrong_row_saves_nothing_and_every_wrong_row_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,taken,active\n", false).0.unwrap();
    let rows = "1,1,good,active\n9,1,offer9,active\n1,9,partner9,active\n1,1,twice,active\n1,1,TWICE,active\n1,1,Taken,active\n1,1,no,active\n";
    let (outcome, faults) = import(&mut connection, rows, false);
    assert!(matches!(outcome, Err(ImportError::Refused(Counts { rows: 7, valid: 2, invalid: 5 }))));
    let expected = [
        (3, "offer_id"),
        (4, "affiliate_id"),
        (6, "coupon_code"),
        (7, "coupon_code"),
        (8, "coupon_code"),
    ];
    assert_eq!(found(&faults), expected);
    assert_eq!(live_codes(&connection), ["taken"]);
}

#[test]
fn one_code_belongs_to_one_partner_over_file_and_store_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,annas,active\n1,,free,active\n", false).0.unwrap();
    let rows =
        "2,2,ANNAS,active\n1,1,both,active\n2,2,both,active\n2,2,free,active\n2,1,good,active\n";
    let (outcome, faults) = import(&mut connection, rows, false);
    assert!(matches!(outcome, Err(ImportError::Refused(_))));
    assert_eq!(found(&faults), [(2, "affiliate_id"), (3, "affiliate_id"), (4, "affiliate_id")]);
    assert!(faults[0].2.contains("partner 1 (Anna)"), "{faults:?}");
    assert_eq!(live_codes(&connection), ["annas", "free"]);
}

#[test]
fn a_code_that_was_anothers_is_issued_anew_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,annas,active\n", false).0.unwrap();
    let tx = connection.begin_write().unwrap();
    crate::edit::coupon_codes::remove(&tx, 1).unwrap();
    tx.commit().unwrap();
    let (outcome, faults) = import(&mut connection, "1,2,annas,active\n", false);
    assert!(matches!(outcome, Err(ImportError::Refused(_))));
    assert_eq!(found(&faults), [(2, "coupon_code")]);
    assert_eq!(import(&mut connection, "1,2,annas,active\n", true).0.unwrap(), 1);
}

#[test]
fn repeating_an_import_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let rows = "1,1,aaa,active\n1,2,bbb,active\n";
    import(&mut connection, rows, false).0.unwrap();
    let before = crate::store::meta::read(&connection.begin_read().unwrap()).unwrap();
    let (outcome, faults) = import(&mut connection, rows, false);
    assert!(outcome.is_err());
    assert_eq!(faults.len(), 2);
    assert_eq!(crate::store::meta::read(&connection.begin_read().unwrap()).unwrap(), before);
}

/// Id, offer, partner (0: nobody's) and status of each code.
fn codes_as_they_are(connection: &DedicatedConnection) -> Vec<(u32, u32, u32, String)> {
    let sql = "SELECT id, offer_id, ifnull(affiliate_id, 0), status FROM coupon_code WHERE time_deleted = 0 ORDER BY id";
    let mut statement = connection.raw_connection().prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn row(id: u32, offer: u32, partner: u32, status: &str) -> (u32, u32, u32, String) {
    (id, offer, partner, status.into())
}

#[test]
fn an_update_sets_what_it_names_and_keeps_what_is_blank() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,aaa,active\n1,,bbb,active\n1,2,ccc,active\n", false).0.unwrap();
    let file = "Status,COUPON_CODE,affiliate_id\npaused,AAA,\n,bbb,2\n,ccc,-\n";
    let outcome = update(&mut connection, file).0.unwrap();
    assert_eq!((outcome.updated, outcome.unchanged), (3, 0));
    assert_eq!(
        codes_as_they_are(&connection),
        [row(1, 1, 1, "paused"), row(2, 1, 2, "active"), row(3, 1, 0, "active")]
    );
    let former: u32 = connection
        .raw_connection()
        .query_row("SELECT count(*) FROM coupon_code_former_owner", [], |row| row.get(0))
        .unwrap();
    assert_eq!(former, 1, "only ccc was taken from somebody");
}

#[test]
fn repeating_an_update_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,aaa,active\n", false).0.unwrap();
    let file = "coupon_code,status,internal_notes\naaa,paused,x\n";
    update(&mut connection, file).0.unwrap();
    let before = crate::store::meta::read(&connection.begin_read().unwrap()).unwrap();
    let again = update(&mut connection, file).0.unwrap();
    assert_eq!((again.updated, again.unchanged, again.sequence), (0, 1, None));
    assert_eq!(crate::store::meta::read(&connection.begin_read().unwrap()).unwrap(), before);
}

#[test]
fn a_code_on_several_offers_is_selected_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,both,active\n2,1,both,active\n1,1,one,active\n", false).0.unwrap();
    let file = "coupon_code,coupon_code_id,status\nboth,,paused\nboth,3,paused\nnone,,paused\nboth,2,paused\nboth,2,active\n";
    let (outcome, faults) = update(&mut connection, file);
    assert!(matches!(outcome, Err(ImportError::Refused(_))));
    let expected =
        [(2, "coupon_code_id"), (3, "coupon_code_id"), (4, "coupon_code"), (6, "coupon_code")];
    assert_eq!(found(&faults), expected);
    assert!(faults[0].2.ends_with("1, 2"), "{faults:?}");
    assert!(faults[3].2.contains("row 4"), "{faults:?}");
    update(&mut connection, "coupon_code,coupon_code_id,status\nboth,2,paused\n").0.unwrap();
    assert_eq!(codes_as_they_are(&connection)[1], row(2, 2, 1, "paused"));
}

#[test]
fn a_code_moves_to_another_partner_with_all_its_rows_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,both,active\n2,1,both,active\n", false).0.unwrap();
    let one = "coupon_code,coupon_code_id,affiliate_id\nboth,2,2\n";
    let (outcome, faults) = update(&mut connection, one);
    assert!(outcome.is_err());
    assert_eq!(found(&faults), [(2, "affiliate_id")]);
    assert!(faults[0].2.contains("partner 1 (Anna)"), "{faults:?}");
    let torn = "coupon_code,coupon_code_id,affiliate_id,status\nboth,1,2,\nboth,2,,paused\n";
    let (outcome, faults) = update(&mut connection, torn);
    assert!(outcome.is_err());
    assert_eq!(found(&faults), [(2, "affiliate_id")]);
    assert!(faults[0].2.contains("partner 1 in row 2"), "{faults:?}");
    update(&mut connection, &format!("{one}both,1,2\n")).0.unwrap();
    let partners: Vec<u32> = codes_as_they_are(&connection).iter().map(|row| row.2).collect();
    assert_eq!(partners, [2, 2]);
}

#[test]
fn rows_of_a_code_fall_with_a_wrong_row_of_it_when_wrong_rows_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,both,active\n2,1,both,active\n1,1,one,active\n", false).0.unwrap();
    let file = "coupon_code,coupon_code_id,affiliate_id,end_date\nboth,1,2,\nboth,2,2,soon\none,,,2030-01-01\n";
    let intent = Intent { mode: BulkMode::Update, allow_reissue: false };
    let (outcome, faults) = run(&mut connection, intent, file, true);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.updated, outcome.skipped), (1, 2), "{faults:?}");
    let partners: Vec<u32> = codes_as_they_are(&connection).iter().map(|row| row.2).collect();
    assert_eq!(partners, [1, 1, 1]);
}

#[test]
fn codes_can_change_places_but_not_stand_in_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,both,active\n2,1,both,active\n", false).0.unwrap();
    let (outcome, faults) =
        update(&mut connection, "coupon_code,coupon_code_id,offer_id\nboth,1,2\n");
    assert!(outcome.is_err());
    assert_eq!(found(&faults), [(2, "coupon_code")]);
    assert!(faults[0].2.contains("coupon code 2"), "{faults:?}");
    update(&mut connection, "coupon_code,coupon_code_id,offer_id\nboth,1,2\nboth,2,1\n").0.unwrap();
    let offers: Vec<u32> = codes_as_they_are(&connection).iter().map(|row| row.1).collect();
    assert_eq!(offers, [2, 1]);
}

#[test]
fn dates_are_judged_with_those_that_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,aaa,active\n", false).0.unwrap();
    let file = |cells: &str| format!("coupon_code,start_date,end_date,description\naaa,{cells}\n");
    update(&mut connection, &file("2026-05-01,,'-")).0.unwrap();
    let (outcome, faults) = update(&mut connection, &file(",2026-04-30,"));
    assert!(outcome.is_err());
    assert_eq!(found(&faults), [(2, "end_date")]);
    update(&mut connection, &file("-,2026-04-30,")).0.unwrap();
    let (start, end, description): (Option<String>, String, String) = connection
        .raw_connection()
        .query_row("SELECT start_date, end_date, description FROM coupon_code", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((start, end.as_str(), description.as_str()), (None, "2026-04-30", "-"));
}

fn judged(connection: &mut DedicatedConnection, intent: Intent) {
    let tx = connection.begin_staging().unwrap();
    validate_rows(&tx, intent, Scope::All).unwrap();
    tx.commit().unwrap();
}

fn rejudged(connection: &mut DedicatedConnection, intent: Intent, seen: &Seen) -> bool {
    let tx = connection.begin_staging().unwrap();
    let is_rejudged = revalidate_changed(&tx, intent, seen).unwrap();
    tx.commit().unwrap();
    is_rejudged
}

#[test]
fn what_changed_since_a_file_was_judged_is_judged_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = network(dir.path());
    import(&mut store, "1,1,taken,active\n1,2,given,active\n", false).0.unwrap();
    let mut connection = connect_writer(dir.path()).unwrap();
    staging::attach(&connection, None).unwrap();
    let intent = Intent { mode: BulkMode::Add, allow_reissue: false };
    let file = "offer_id,affiliate_id,coupon_code,status\n1,1,free,active\n1,1,given,active\n\
                1,1,taken,active\n3,1,early,active\n2,2,late,active\n1,1,quiet,active\n";
    load(&mut connection, file.as_bytes(), intent, &Layout::default(), &mut |_| {}).unwrap();
    let faults = |connection: &DedicatedConnection| {
        let mut found = Vec::new();
        let each =
            staging::each_fault(&connection.begin_read().unwrap(), 1000, |number, _, fault| {
                found.push((number, fault.field, fault.error));
                Ok::<_, StoreError>(())
            });
        each.unwrap();
        found.sort();
        found
    };
    let wrong = |faults: &[(u32, String, String)]| {
        let mut rows = Vec::from_iter(faults.iter().map(|(number, _, _)| *number));
        rows.dedup();
        rows
    };
    type Edit = fn(&WriteTx<'_>) -> Result<(), StoreError>;
    let edits: [(Edit, &[u32]); 6] = [
        (
            |tx| {
                edit_code(
                    tx,
                    "UPDATE coupon_code SET change_seq = ?1, code = 'Free', folded = 'free' WHERE id = 1",
                )
            },
            &[1, 2, 4],
        ),
        (
            |tx| {
                edit_code(
                    tx,
                    "UPDATE coupon_code SET change_seq = ?1, time_deleted = 5 WHERE id = 2",
                )
            },
            &[1, 4],
        ),
        (
            |tx| {
                tx.raw_connection()
                    .execute("INSERT INTO coupon_code_former_owner VALUES ('given', 2)", [])?;
                edit_code(tx, "UPDATE coupon_code SET change_seq = ?1 WHERE id = 2")
            },
            &[1, 2, 4],
        ),
        (
            |tx| {
                tx.raw_connection()
                    .execute("UPDATE offer SET time_deleted = 9 WHERE id = 2", [])
                    .map(drop)
                    .map_err(StoreError::from)
            },
            &[1, 2, 4, 5],
        ),
        (
            |tx| {
                Ok(tx.raw_connection().execute_batch(
                    "CREATE TEMP TABLE copied AS SELECT * FROM offer WHERE id = 1; UPDATE copied SET id = 3; \
                     INSERT INTO offer SELECT * FROM copied; DROP TABLE copied",
                )?)
            },
            &[1, 2, 5],
        ),
        (
            |tx| {
                tx.raw_connection()
                    .execute("UPDATE affiliate SET time_deleted = 9 WHERE id = 2", [])
                    .map(drop)
                    .map_err(StoreError::from)
            },
            &[1, 2, 5],
        ),
    ];
    judged(&mut connection, intent);
    assert_eq!(wrong(&faults(&connection)), [2, 3, 4]);
    for (edit, expected) in edits {
        let seen = staging::cross_row_checks::seen(&connection.begin_read().unwrap()).unwrap();
        assert!(!rejudged(&mut connection, intent, &seen), "nothing changed");
        let tx = store.begin_write().unwrap();
        edit(&tx).unwrap();
        tx.commit().unwrap();
        assert!(rejudged(&mut connection, intent, &seen));
        let again = faults(&connection);
        assert_eq!(wrong(&again), expected);
        judged(&mut connection, intent);
        assert_eq!(faults(&connection), again);
    }
}

/// A verdict that no judgement passes shows whether there was another one.
#[test]
fn rows_that_bear_the_judgement_of_this_store_are_not_judged_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = network(dir.path());
    import(&mut store, "1,2,OLD,active\n", false).0.unwrap();
    for (mode, file) in [
        (BulkMode::Add, "offer_id,affiliate_id,coupon_code,status\n1,2,NEW,active\n"),
        (BulkMode::Update, "coupon_code,status\nOLD,paused\n"),
    ] {
        let intent = Intent { mode, allow_reissue: false };
        let mut connection = connect_writer(dir.path()).unwrap();
        staging::attach(&connection, None).unwrap();
        load(&mut connection, file.as_bytes(), intent, &Layout::default(), &mut |_| {}).unwrap();
        let seen = staging::cross_row_checks::seen(&connection.begin_read().unwrap()).unwrap();
        judged(&mut connection, intent);

        let marked = |connection: &mut DedicatedConnection| {
            let tx = connection.begin_staging().unwrap();
            staging::add_fault(&tx, 1, FaultKind::Judged, "status", "a mark").unwrap();
            tx.commit().unwrap();
        };
        marked(&mut connection);
        let judged = || Some(seen.clone());
        let refused =
            commit(&mut connection, Commit { validated: judged(), ..how(intent) }, |_, _| Ok(()));
        assert!(matches!(refused, Err(ImportError::Refused(_))), "{refused:?}");

        let tx = connection.begin_staging().unwrap();
        staging::delete_faults(&tx, 1).unwrap();
        tx.commit().unwrap();
        let stopped = Commit { validated: judged(), ..how(intent) };
        let stopped = commit(&mut connection, stopped, |_, outcome| {
            assert_eq!(outcome.created + outcome.updated, 1);
            Err(StoreError::Aborted)
        });
        assert!(matches!(stopped, Err(ImportError::Store(StoreError::Aborted))), "{stopped:?}");

        marked(&mut connection);
        store
            .raw_connection()
            .execute("UPDATE affiliate SET time_deleted = time_deleted + 1 WHERE id = 1", [])
            .unwrap();
        commit(&mut connection, Commit { validated: judged(), ..how(intent) }, |_, _| Ok(()))
            .unwrap();
    }
}

fn edit_code(tx: &WriteTx<'_>, sql: &str) -> Result<(), StoreError> {
    let sequence = tx.next_code_sequence().unwrap();
    tx.raw_connection().execute(sql, [sequence]).map(drop).map_err(StoreError::from)
}

/// Files of every kind of nonsense leave a store in which each code belongs to one partner.
#[test]
fn whatever_a_file_asks_for_no_code_belongs_to_two_partners() {
    use std::fmt::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let mut seed = 1_u32;
    let mut draw = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut saved = 0;
    for round in 0..200 {
        let mut file = String::from("coupon_code,coupon_code_id,offer_id,affiliate_id,status\n");
        for _ in 0..=draw(6) {
            let partner = ["", "-", "1", "2", "9"][draw(5) as usize];
            let (code, offer) = (draw(12), draw(5) % 3 + 1);
            let _ = if round % 2 == 0 {
                writeln!(file, "code{code},,{offer},{},active", partner.trim_matches('-'))
            } else {
                let id = [String::new(), (draw(20) + 1).to_string()][draw(2) as usize].clone();
                let offer = [String::new(), offer.to_string()][draw(2) as usize].clone();
                writeln!(file, "code{code},{id},{offer},{partner},")
            };
        }
        let mode = if round % 2 == 0 { BulkMode::Add } else { BulkMode::Update };
        let intent = Intent { mode, allow_reissue: true };
        match run(&mut connection, intent, &file, true).0 {
            Ok(outcome) => saved += outcome.created + outcome.updated,
            Err(ImportError::Refused(_) | ImportError::Empty) => {}
            Err(error) => panic!("{error} after {file}"),
        }
        let torn: u32 = connection.raw_connection()
            .query_row(
                "SELECT count(*) FROM (SELECT 1 FROM coupon_code WHERE time_deleted = 0 AND affiliate_id IS NOT NULL \
                 GROUP BY folded HAVING count(DISTINCT affiliate_id) > 1)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(torn, 0, "after {file}");
    }
    assert!(saved > 25, "only {saved} rows were saved");
}

/// The kept counts of codes, and of blocks of ids.
fn kept_counts(connection: &DedicatedConnection) -> (Vec<(u32, u32, String, u64)>, u64) {
    let sql = "SELECT offer_id, affiliate_id, status, codes FROM coupon_code_count WHERE codes <> 0 ORDER BY 1, 2, 3";
    let mut statement = connection.raw_connection().prepare(sql).unwrap();
    let counts = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let sql = "SELECT sum(codes) FROM coupon_code_block";
    (counts, connection.raw_connection().query_row(sql, [], |row| row.get(0)).unwrap())
}

#[test]
fn codes_of_a_file_are_counted_and_those_made_after_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    for rows in ["1,1,aaa,active\n1,1,bbb,active\n2,,ccc,paused\n", "1,1,ddd,active\n"] {
        import(&mut connection, rows, false).0.unwrap();
    }
    let expected =
        |first: u64| vec![(1, 1, "active".to_owned(), first), (2, 0, "paused".to_owned(), 1)];
    assert_eq!(kept_counts(&connection), (expected(3), 4));
    let sql = "INSERT INTO coupon_code (code, folded, offer_id, affiliate_id, status, time_created, \
               time_saved, change_seq) VALUES ('eee', 'eee', 1, 1, 'active', 1, 1, 9)";
    connection.raw_connection().execute(sql, []).unwrap();
    assert_eq!(kept_counts(&connection), (expected(4), 5));
}

#[test]
fn codes_that_a_file_changes_are_counted_as_what_they_become_and_those_edited_after_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let rows = "1,1,both,active\n2,1,both,active\n1,1,ccc,active\n1,2,ddd,active\n2,,eee,paused\n";
    import(&mut connection, rows, false).0.unwrap();
    let files = [
        "coupon_code,coupon_code_id,offer_id\nboth,1,2\nboth,2,1\n",
        "coupon_code,status,affiliate_id,internal_notes\nccc,paused,2,x\nddd,,-,\neee,active,1,y\n",
        "coupon_code,internal_notes\nccc,z\nddd,z\n",
        "coupon_code,offer_id,status\nccc,2,\nddd,2,paused\n",
    ];
    let edit = "UPDATE coupon_code SET status = 'paused', affiliate_id = 2 WHERE folded = 'both'";
    let edits = [edit, "UPDATE coupon_code SET time_deleted = 5 WHERE folded = 'eee'"];
    let mut seen = Vec::new();
    for at in 0..files.len() + edits.len() {
        match files.get(at) {
            Some(file) => drop(update(&mut connection, file).0.unwrap()),
            None => drop(connection.raw_connection().execute(edits[at - files.len()], []).unwrap()),
        }
        let (kept, blocks) = kept_counts(&connection);
        let mut counted = std::collections::BTreeMap::new();
        for (_, offer, partner, status) in codes_as_they_are(&connection) {
            *counted.entry((offer, partner, status)).or_default() += 1;
        }
        let counted = counted
            .into_iter()
            .map(|((offer, partner, status), codes)| (offer, partner, status, codes));
        assert_eq!(kept, counted.collect::<Vec<_>>(), "after change {at}");
        assert_eq!(blocks, kept.iter().map(|kind| kind.3).sum::<u64>());
        seen.push(kept);
    }
    assert_eq!(seen.windows(2).filter(|pair| pair[0] != pair[1]).count(), 4, "{seen:?}");
}

/// A code for conversions only, on offer 1.
fn merchants(code: &str) -> CouponCodeEdit {
    CouponCodeEdit {
        coupon_code: code.into(),
        network_offer_id: 1,
        network_affiliate_id: None,
        coupon_status: CouponStatus::Active,
        start_date: None,
        end_date: None,
        description: String::new(),
        is_description_plain_text: true,
        internal_notes: String::new(),
        allow_reissue: false,
        conversion_only: true,
    }
}

fn create(connection: &mut DedicatedConnection, codes: Vec<CouponCodeEdit>) {
    let tx = connection.begin_write().unwrap();
    let array = Each { read: codes, wrong: Vec::new() };
    coupon_codes::create_bulk(&tx, array).unwrap();
    tx.commit().unwrap();
}

fn exported(connection: &DedicatedConnection) -> String {
    let mut out = CsvWriter::new(Vec::new());
    let details = export::ExportDetails::default();
    export::write(&connection.begin_read().unwrap(), &[], details, &mut out).unwrap();
    String::from_utf8(out.finish().unwrap()).unwrap()
}

/// Uploads a network's export to itself and to an empty one.
fn check_round_trip(codes: Vec<CouponCodeEdit>) {
    let count = codes.len() as u64;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [mut own, mut other] = dirs.each_ref().map(|dir| network(dir.path()));
    create(&mut own, codes);
    let file = exported(&own);
    let (outcome, found) = update(&mut own, &file);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}: {found:?}\n{file}"));
    assert_eq!((outcome.unchanged, outcome.updated), (count, 0), "{file}");
    let intent = Intent { mode: BulkMode::Add, allow_reissue: false };
    let (outcome, found) = run(&mut other, intent, &file, false);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}: {found:?}\n{file}"));
    assert_eq!(outcome.created, count);
    assert_eq!(exported(&other), file);
}

#[test]
fn every_printable_code_comes_back_from_an_export() {
    let printable = || (0x21..0x7f_u8).map(char::from);
    let mut codes: Vec<String> =
        printable().filter(|sign| !sign.is_ascii_lowercase()).map(String::from).collect();
    codes.extend(printable().map(|sign| format!("{sign}{:03}", u32::from(sign))));
    codes.extend(printable().map(|sign| format!("'{sign}{:03}", u32::from(sign))));
    codes.extend(
        ["-5", "'-5", "''-5", "a,b", "a;b", "x;=cmd", "=1+1", "a \"b\" c"].map(String::from),
    );
    let codes: Vec<_> = codes.iter().map(|code| merchants(code)).collect();
    // Placeholders, which shops send where they have no code, are refused.
    check_round_trip(codes.into_iter().filter(|code| code.clone().check_new().is_ok()).collect());
}

#[test]
fn an_edited_export_changes_the_code_that_it_names_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    create(&mut connection, ["-5", "'-5", "''-5"].map(merchants).into());
    for (id, cell) in [(1, "'-5"), (2, "''-5"), (3, "'''-5")] {
        let file = format!("coupon_code,internal_notes\n{cell},found {id}\n");
        assert_eq!(update(&mut connection, &file).0.unwrap().updated, 1, "{file}");
        let sql = "SELECT id FROM coupon_code WHERE internal_notes = ?1";
        let found: u32 = connection
            .raw_connection()
            .query_row(sql, [format!("found {id}")], |row| row.get(0))
            .unwrap();
        assert_eq!(found, id);
    }
    let (outcome, _) = update(&mut connection, "coupon_code,status\n-5,paused\n");
    assert_eq!(outcome.unwrap().updated, 1);
    let sql = "SELECT id FROM coupon_code WHERE status = 'paused'";
    let paused: u32 = connection.raw_connection().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(paused, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_an_export_writes_an_upload_reads_back_as_the_same_objects(
        rows in proptest::collection::vec(
            (
                "[!-~]{1,3}|[-=+@'][ -~]{0,62}[!-~]",
                "['=+@\t\r\n \u{ff1d}\u{feff}-]{0,4}[^\0]{0,12}[\"',;\r\n]{0,4}",
                "-|'?-|[^\0]{0,20}",
                any::<[bool; 3]>(),
            ),
            1..6,
        ),
    ) {
        let mut taken = HashSet::new();
        let codes = rows.into_iter().map(|(code, description, notes, [plain, assigned, paused])| {
            CouponCodeEdit {
                network_affiliate_id: assigned.then_some(1),
                coupon_status: if paused { CouponStatus::Paused } else { CouponStatus::Active },
                start_date: Some(jiff::civil::date(2026, 1, 2)),
                description,
                is_description_plain_text: plain,
                internal_notes: notes,
                ..merchants(&code)
            }
        });
        let codes: Vec<_> = codes
            .filter(|code| code.clone().check_new().is_ok())
            .filter(|code| taken.insert(code.coupon_code.to_ascii_lowercase()))
            .collect();
        prop_assume!(!codes.is_empty());
        check_round_trip(codes);
    }
}
