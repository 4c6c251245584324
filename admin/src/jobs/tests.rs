use std::path::Path;

use super::*;
use crate::catalog::{Advertiser, Affiliate, CodeChange, CouponStatus, Offer};
use crate::edit::jobs::{JobRequest, JobWork};
use crate::edit::{coupon_codes as edit_codes, jobs as edit};
use crate::json::{Each, parse};
use crate::store::coupon_codes::slice::Choice;
use crate::store::rows as store_rows;
use crate::store::{DedicatedConnection, connect_writer};

/// Two offers, two partners, and `codes` codes on both offers: `A0` has the ids 1 and `codes` + 1.
fn network(dir: &Path, codes: u32) -> DedicatedConnection {
    let mut connection = connect_writer(dir).unwrap();
    let tx = connection.begin_write().unwrap();
    let shop: Advertiser = parse(r#"{"name": "Shop", "account_status": "active"}"#, "").unwrap();
    store_rows::insert(&tx, &shop).unwrap();
    let offer = r#"{"name": "Jackets", "offer_status": "active", "network_advertiser_id": 1, "destination_url": "https://shop.example/"}"#;
    let partner = r#"{"name": "Anna", "account_status": "active"}"#;
    for _ in 0..2 {
        store_rows::insert::<Offer>(&tx, &parse(offer, "").unwrap()).unwrap();
        store_rows::insert::<Affiliate>(&tx, &parse(partner, "").unwrap()).unwrap();
    }
    for offer in 1..=2 {
        let rows: Vec<String> = (0..codes)
            .map(|number| {
                format!(
                    r#"{{"coupon_code": "A{number:04}", "coupon_status": "active",
                        "network_offer_id": {offer}, "network_affiliate_id": 1}}"#
                )
            })
            .collect();
        let array: Each<_> = serde_json::from_str(&format!("[{}]", rows.join(","))).unwrap();
        edit_codes::create_bulk(&tx, array).unwrap();
    }
    tx.commit().unwrap();
    connection
}

fn all_codes() -> Choice {
    let filter = vec!["network_coupon_code_id>0".to_owned()];
    Choice::Filtered { filter, search: String::new(), prefix: String::new() }
}

fn request(connection: &mut DedicatedConnection, change: CodeChange) -> u32 {
    let tx = connection.begin_write().unwrap();
    let request = JobRequest {
        choice: all_codes(),
        work: JobWork::Change(change),
        matched: 0,
        expected: None,
    };
    let id = edit::create(&tx, request).unwrap().now.id;
    tx.commit().unwrap();
    id
}

fn find(connection: &DedicatedConnection, id: u32) -> Job {
    rows::find(&connection.begin_read().unwrap(), id).unwrap().unwrap()
}

/// Does one slice; a crash leaves its transaction without a commit.
fn slice(connection: &mut DedicatedConnection, id: u32, most: usize, crashes: bool) -> Job {
    let job = find(connection, id);
    let planned = match job.state {
        JobState::Queued | JobState::Running => {
            Some(plan(&connection.begin_read().unwrap(), &job, most).unwrap())
        }
        _ => None,
    };
    let tx = connection.begin_write().unwrap();
    slices::advance(&tx, id, planned, most).unwrap();
    if crashes {
        drop(tx);
    } else {
        tx.commit().unwrap();
    }
    find(connection, id)
}

/// Does all slices; each is broken off once before it is committed.
fn finish(connection: &mut DedicatedConnection, id: u32, most: usize) -> Job {
    loop {
        let before = find(connection, id);
        assert_eq!(slice(connection, id, most, true), before);
        let job = slice(connection, id, most, false);
        if !job.state.is_unfinished() {
            return job;
        }
    }
}

fn partners(connection: &DedicatedConnection) -> Vec<(u32, u64)> {
    let sql = "SELECT affiliate_id, count(*) FROM coupon_code WHERE time_deleted = 0 GROUP BY 1";
    let mut statement = connection.raw_connection().prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.map(Result::unwrap).collect()
}

/// Id, partner, change sequence and times of the rows of `A0001`.
fn rows_of_code(connection: &DedicatedConnection) -> Vec<(u32, u32, u64, i64, i64)> {
    let sql = "SELECT id, affiliate_id, change_seq, time_saved, time_deleted FROM coupon_code \
               WHERE folded = 'a0001'";
    let mut statement = connection.raw_connection().prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn kept(connection: &DedicatedConnection) -> u64 {
    let sql = "SELECT count(*) FROM job_row";
    connection.raw_connection().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn slices_that_are_broken_off_are_done_once_and_no_slice_divides_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path(), 25);
    let change = CodeChange { network_affiliate_id: Some(2), ..CodeChange::default() };
    let id = request(&mut connection, change);
    // An odd size would divide the two rows of a code, which must not belong to two partners.
    let first = slice(&mut connection, id, 7, false);
    assert_eq!((first.changed, first.cursor.as_str()), (8, "a0003"));
    let job = finish(&mut connection, id, 7);
    assert_eq!((job.state, job.changed, job.skipped.count), (JobState::Done, 50, 0));
    assert_eq!((partners(&connection), kept(&connection)), (vec![(2, 50)], 50));

    let tx = connection.begin_write().unwrap();
    edit::revert(&tx, id).unwrap();
    tx.commit().unwrap();
    let job = finish(&mut connection, id, 7);
    assert_eq!((job.state, job.reverted, job.left.count), (JobState::Reverted, 50, 0));
    assert_eq!((partners(&connection), kept(&connection)), (vec![(1, 50)], 0));
}

#[test]
fn a_code_in_conflict_is_put_back_on_all_its_offers() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path(), 3);
    // A0001 is on a third offer, which the choice leaves out because it comes later.
    let change = CodeChange { network_affiliate_id: Some(2), ..CodeChange::default() };
    let id = request(&mut connection, change);
    let tx = connection.begin_write().unwrap();
    let third = r#"{"name": "Shoes", "offer_status": "active", "network_advertiser_id": 1, "destination_url": "https://shop.example/"}"#;
    let offer = store_rows::insert::<Offer>(&tx, &parse(third, "").unwrap()).unwrap();
    let code = format!(
        r#"{{"coupon_code": "A0001", "coupon_status": "active", "network_offer_id": {offer},
            "network_affiliate_id": 1}}"#
    );
    edit_codes::create(&tx, parse(&code, "").unwrap()).unwrap();
    tx.commit().unwrap();
    let before = rows_of_code(&connection);
    let job = finish(&mut connection, id, 100);
    assert_eq!((job.changed, job.skipped.count), (4, 2));
    assert_eq!(rows_of_code(&connection), before);
    assert_eq!(partners(&connection), [(1, 3), (2, 4)]);
}

#[test]
fn old_jobs_are_removed_with_their_rows_by_a_trusted_clock_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path(), 3);
    let change = CodeChange { coupon_status: Some(CouponStatus::Paused), ..CodeChange::default() };
    let id = request(&mut connection, change);
    finish(&mut connection, id, 100);
    let remove = |connection: &mut DedicatedConnection| {
        let tx = connection.begin_write().unwrap();
        while rows::remove_some(&tx).unwrap() {}
        tx.commit().unwrap();
    };
    let set = |connection: &DedicatedConnection, sql: &str| {
        connection.raw_connection().execute_batch(sql).unwrap();
    };
    let trusted = "INSERT INTO removal_clock (id, unix_ms, agreed_ms, parted_ms, jump_ms) \
                   VALUES (1, unixepoch() * 1000, 1000000000, 0, 0)";
    set(&connection, "UPDATE job SET time_finished = unixepoch() - 31 * 86400");
    remove(&mut connection);
    assert_eq!(kept(&connection), 6, "without a check of the clock nothing is removed");
    set(&connection, trusted);
    set(&connection, "UPDATE job SET time_finished = unixepoch() - 29 * 86400");
    remove(&mut connection);
    assert_eq!(kept(&connection), 6);
    set(&connection, "UPDATE job SET time_finished = unixepoch() - 31 * 86400");
    remove(&mut connection);
    assert_eq!(kept(&connection), 0);
    assert_eq!(rows::find(&connection.begin_read().unwrap(), id).unwrap(), None);
}

#[test]
fn kept_rows_are_bounded_whatever_the_clock_says_and_a_part_of_them_is_not_reverted() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = network(dir.path(), 3);
    let change = CodeChange { coupon_status: Some(CouponStatus::Paused), ..CodeChange::default() };
    let id = request(&mut connection, change);
    finish(&mut connection, id, 100);
    // As if this job alone had more rows than all jobs may keep.
    let surplus = rows::MAX_KEPT_ROWS + 2;
    let sql = format!("UPDATE job SET kept_rows = {surplus}, changed = {surplus}");
    connection.raw_connection().execute_batch(&sql).unwrap();
    let tx = connection.begin_write().unwrap();
    assert!(rows::remove_some(&tx).unwrap());
    tx.commit().unwrap();
    assert_eq!(kept(&connection), 0);
    let job = find(&connection, id);
    assert_eq!((job.kept_rows, job.is_revertible()), (surplus - 6, false));
    let tx = connection.begin_write().unwrap();
    assert!(!rows::remove_some(&tx).unwrap());
}

#[test]
fn a_slice_grows_and_shrinks_with_its_time() {
    let ms = Duration::from_millis;
    assert_eq!(next_size(500, 500, ms(10)), 1_000);
    assert_eq!(next_size(1_000, 1_000, ms(60)), 1_000);
    assert_eq!(next_size(1_000, 1_000, ms(90)), 666);
    assert_eq!(next_size(1_000, 1_000, ms(6_000)), 500);
    assert_eq!(next_size(20_000, 20_000, ms(1)), MAX_ROWS);
    assert_eq!(next_size(100, 100, ms(6_000)), 100);
}
