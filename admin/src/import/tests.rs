use std::path::Path;

use super::*;
use crate::catalog::{Advertiser, Affiliate, Offer};
use crate::edit::parse;
use crate::store::{connect_writer, rows as store_rows};

/// Offers 1 and 2, partners 1 (Anna) and 2 (Ben).
fn network(dir: &Path) -> Connection {
    let mut connection = connect_writer(dir).unwrap();
    let tx = connection.transaction().unwrap();
    let write = WriteTx::within(&tx);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let shop: Advertiser =
        parse(json(r#"{"name": "Shop", "account_status": "active"}"#), "").unwrap();
    store_rows::insert(&write, &shop).unwrap();
    for name in ["Anna", "Ben"] {
        let partner = format!(r#"{{"name": "{name}", "account_status": "active"}}"#);
        store_rows::insert::<Affiliate>(&write, &parse(json(&partner), "").unwrap()).unwrap();
    }
    let offer = r#"{"name": "Jackets", "offer_status": "active", "network_advertiser_id": 1, "destination_url": "https://shop.example/"}"#;
    for _ in 0..2 {
        store_rows::insert::<Offer>(&write, &parse(json(offer), "").unwrap()).unwrap();
    }
    tx.commit().unwrap();
    connection
}

fn import(
    connection: &mut Connection,
    rows: &str,
    allow_reissue: bool,
) -> (Result<u64, ImportError>, Faults) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("codes.csv");
    std::fs::write(&path, format!("offer_id,affiliate_id,coupon_code,status\n{rows}")).unwrap();
    let mut faults = Faults::default();
    let outcome = Import { path, allow_reissue }.run(connection, &mut faults, &mut |_| {});
    (outcome, faults)
}

fn found(faults: &Faults) -> Vec<(u64, &str)> {
    faults.first().iter().map(|fault| (fault.line, fault.column.as_str())).collect()
}

fn live_codes(connection: &Connection) -> Vec<String> {
    let sql = "SELECT code FROM coupon_code WHERE time_deleted = 0 ORDER BY id";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn rows_become_codes_in_the_order_of_the_file_under_one_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let before = crate::store::meta::read(&connection).unwrap().change_seq;
    let (outcome, _) =
        import(&mut connection, "1,1,zebra,active\n2,1,Zebra,paused\n1,,apple,active\n", false);
    assert_eq!(outcome.unwrap(), 3);
    assert_eq!(live_codes(&connection), ["zebra", "Zebra", "apple"]);
    let after = crate::store::meta::read(&connection).unwrap();
    assert_eq!(after.change_seq, before + 1);
    let one: u64 = connection
        .query_row("SELECT min(change_seq) FROM coupon_code", [], |row| row.get(0))
        .unwrap();
    assert_eq!(one, after.change_seq);
}

#[test]
fn one_wrong_row_saves_nothing_and_every_wrong_row_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,taken,active\n", false).0.unwrap();
    let rows = "1,1,good,active\n9,1,offer9,active\n1,9,partner9,active\n1,1,twice,active\n1,1,TWICE,active\n1,1,Taken,active\n1,1,no,active\n";
    let (outcome, faults) = import(&mut connection, rows, false);
    assert!(matches!(outcome, Err(ImportError::Refused { rows: 7 })));
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
    assert!(matches!(outcome, Err(ImportError::Refused { .. })));
    assert_eq!(found(&faults), [(2, "affiliate_id"), (3, "affiliate_id"), (4, "affiliate_id")]);
    assert!(faults.first()[0].reason.contains("partner 1 (Anna)"), "{:?}", faults.first());
    assert_eq!(live_codes(&connection), ["annas", "free"]);
}

#[test]
fn a_code_that_was_anothers_is_issued_anew_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    import(&mut connection, "1,1,annas,active\n", false).0.unwrap();
    let tx = connection.transaction().unwrap();
    crate::edit::coupon_codes::remove(&WriteTx::within(&tx), 1).unwrap();
    tx.commit().unwrap();
    let (outcome, faults) = import(&mut connection, "1,2,annas,active\n", false);
    assert!(matches!(outcome, Err(ImportError::Refused { .. })));
    assert_eq!(found(&faults), [(2, "coupon_code")]);
    assert_eq!(import(&mut connection, "1,2,annas,active\n", true).0.unwrap(), 1);
}

#[test]
fn repeating_an_import_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path());
    let rows = "1,1,aaa,active\n1,2,bbb,active\n";
    import(&mut connection, rows, false).0.unwrap();
    let before = crate::store::meta::read(&connection).unwrap();
    let (outcome, faults) = import(&mut connection, rows, false);
    assert!(outcome.is_err());
    assert_eq!(faults.count(), 2);
    assert_eq!(crate::store::meta::read(&connection).unwrap(), before);
}
