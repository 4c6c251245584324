//! Every way of selecting a page against the plain one: all rows, judged one by one and sorted.

use rusqlite::types::Value;

use super::*;
use crate::store::rows::{Direction, Keyset};
use crate::store::{ReadTx, open_writer};

const ROWS: u32 = 30_000;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: u32,
    folded: String,
    offer_id: u32,
    affiliate_id: Option<u32>,
    status: &'static str,
    time_created: i64,
}

fn rows() -> Vec<Row> {
    let row = |id: u32| Row {
        id,
        folded: format!("{:08x}", id.wrapping_mul(2_654_435_761)),
        // Offer 1 has most rows, offer 2 few.
        offer_id: if id.is_multiple_of(10) { 2 } else { 1 },
        affiliate_id: (!id.is_multiple_of(7)).then_some(id % 3 + 1),
        status: if id.is_multiple_of(11) { "paused" } else { "active" },
        time_created: i64::from(id / 100),
    };
    (1..=ROWS).map(row).collect()
}

/// The rows, after some were edited and some were deleted.
fn store(dir: &std::path::Path) -> (rusqlite::Connection, Vec<Row>) {
    let connection = open_writer(dir, 0).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; BEGIN").unwrap();
    let sql = "INSERT INTO coupon_code (id, code, folded, offer_id, affiliate_id, status, time_created, time_saved, change_seq) \
               VALUES (?1, upper(?2), ?2, ?3, ?4, ?5, ?6, ?6, 1)";
    let mut all = rows();
    for row in &all {
        let values =
            (row.id, &row.folded, row.offer_id, row.affiliate_id, row.status, row.time_created);
        connection.prepare_cached(sql).unwrap().execute(values).unwrap();
    }
    connection
        .execute_batch(
            "UPDATE coupon_code SET status = 'paused', affiliate_id = 2 WHERE id % 13 = 0;
             UPDATE coupon_code SET time_deleted = 9 WHERE id BETWEEN 4000 AND 9000 OR id % 17 = 0;
             UPDATE coupon_code SET offer_id = 3 WHERE id % 19 = 0; COMMIT",
        )
        .unwrap();
    all.retain(|row| !(4000..=9000).contains(&row.id) && !row.id.is_multiple_of(17));
    for row in &mut all {
        if row.id.is_multiple_of(13) {
            (row.status, row.affiliate_id) = ("paused", Some(2));
        }
        if row.id.is_multiple_of(19) {
            row.offer_id = 3;
        }
    }
    (connection, all)
}

fn value(row: &Row, column: &str) -> Value {
    match column {
        "id" => row.id.into(),
        "folded" => row.folded.clone().into(),
        "offer_id" => row.offer_id.into(),
        "affiliate_id" => row.affiliate_id.into(),
        "status" => row.status.to_owned().into(),
        _ => row.time_created.into(),
    }
}

fn meets(row: &Row, filter: &Filter) -> bool {
    match (&filter.value, value(row, filter.column)) {
        (Value::Text(wanted), Value::Text(text)) => match filter.operator {
            Operator::Contains => text.contains(wanted.as_str()),
            Operator::Prefix => text.starts_with(wanted.as_str()),
            _ => text == *wanted,
        },
        (Value::Integer(wanted), Value::Integer(number)) => match filter.operator {
            Operator::Greater => number > *wanted,
            Operator::Less => number < *wanted,
            _ => number == *wanted,
        },
        (wanted, value) => *wanted == value,
    }
}

fn plain(all: &[Row], filters: &[Filter], sort: Sort) -> Vec<u32> {
    let mut rows: Vec<&Row> =
        all.iter().filter(|row| filters.iter().all(|filter| meets(row, filter))).collect();
    let key = |row: &Row| match value(row, sort.column) {
        Value::Integer(number) => (number, String::new()),
        Value::Text(text) => (0, text),
        _ => (0, String::new()),
    };
    rows.sort_by_key(|row| (key(row), row.id));
    if sort.is_descending {
        rows.reverse();
    }
    rows.into_iter().map(|row| row.id).collect()
}

fn filters() -> Vec<Vec<Filter>> {
    let filter = |column, operator, value| Filter { column, operator, value };
    let equal = |column, value: Value| filter(column, Operator::Equal, value);
    vec![
        vec![],
        vec![equal("offer_id", 1.into())],
        vec![equal("offer_id", 2.into())],
        vec![equal("offer_id", 99.into())],
        vec![equal("status", "active".to_owned().into())],
        vec![equal("affiliate_id", Value::Null)],
        vec![equal("offer_id", 1.into()), equal("affiliate_id", 2.into())],
        vec![equal("offer_id", 1.into()), equal("status", "active".to_owned().into())],
        vec![equal("folded", rows()[20].folded.clone().into())],
        vec![equal("id", 12.into())],
        vec![filter("id", Operator::Greater, 100.into())],
        vec![filter("time_created", Operator::Greater, 2.into())],
        vec![
            filter("time_created", Operator::Less, 30.into()),
            equal("status", "paused".to_owned().into()),
        ],
        vec![filter("folded", Operator::Contains, "a1".to_owned().into())],
        vec![
            filter("folded", Operator::Contains, "a".to_owned().into()),
            equal("offer_id", 1.into()),
        ],
        vec![filter("folded", Operator::Prefix, "c".to_owned().into())],
        vec![
            filter("folded", Operator::Prefix, "c".to_owned().into()),
            equal("affiliate_id", 1.into()),
        ],
    ]
}

#[test]
fn every_page_is_the_one_that_sorting_all_rows_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, all) = store(folder.path());
    let columns = ["id", "folded", "offer_id", "affiliate_id", "status", "time_created"];
    for filters in filters() {
        for (column, is_descending) in columns.into_iter().flat_map(|c| [(c, false), (c, true)]) {
            let sort = Sort { column, is_descending };
            let expected = plain(&all, &filters, sort);
            for (number, size) in [(1, 50), (2, 7), (60, 100), (120, 200), (4_000_000, 2000)] {
                let page = Some(Page { number, size });
                let query =
                    Query { filters: filters.clone(), sort: Some(sort), page, keyset: None };
                let selected = select(&ReadTx::within(&connection), &query).unwrap();
                let from = expected.len().min((number as usize - 1) * size as usize);
                let to = expected.len().min(from + size as usize);
                assert_eq!(selected.ids, expected[from..to], "{query:?}");
                assert_eq!(selected.total_count, expected.len() as u64, "{query:?}");
            }
        }
    }
}

#[test]
fn a_prefix_comes_in_the_order_of_codes_and_all_else_in_the_order_of_creation() {
    let sorts: Vec<&str> = filters().iter().map(|filters| default_sort(filters).column).collect();
    assert_eq!(sorts[..15], ["id"; 15]);
    assert_eq!(sorts[15..], ["folded"; 2]);
}

/// The pages of a list, from one end to the other.
fn pages(connection: &ReadTx<'_>, query: &Query, direction: Direction, size: u32) -> Vec<Vec<u32>> {
    let mut pages = Vec::new();
    let mut row = None;
    loop {
        let keyset = Keyset { direction, row, size };
        let page = keyset::select(connection, query, &keyset).unwrap();
        let (next, back) = match direction {
            Direction::After => (page.ends.after, page.ends.before),
            Direction::Before => (page.ends.before, page.ends.after),
        };
        assert_eq!(back.is_some(), !pages.is_empty(), "{query:?}");
        assert!(next.is_none() || page.ids.len() == size as usize, "{query:?}");
        pages.push(page.ids);
        match next {
            Some(next) => row = Some(next),
            None => return pages,
        }
    }
}

#[test]
fn cursors_walk_through_all_rows_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, all) = store(folder.path());
    let connection = ReadTx::within(&connection);
    let columns = ["id", "folded", "offer_id", "affiliate_id", "status", "time_created"];
    for filters in filters() {
        for (column, is_descending) in columns.into_iter().flat_map(|c| [(c, false), (c, true)]) {
            let sort = Sort { column, is_descending };
            let expected = plain(&all, &filters, sort);
            let query = Query { filters: filters.clone(), sort: Some(sort), ..Query::default() };
            for size in [997, 2_000] {
                let forward = pages(&connection, &query, Direction::After, size).concat();
                assert_eq!(forward, expected, "{query:?}");
                let mut back = pages(&connection, &query, Direction::Before, size);
                back.reverse();
                assert_eq!(back.concat(), expected, "{query:?}");
            }
            let first = Keyset { direction: Direction::After, row: None, size: 50 };
            let first = keyset::select(&connection, &query, &first).unwrap();
            let total = expected.len() as u64;
            let is_search = filters.iter().any(|filter| filter.operator == Operator::Contains);
            let most = if is_search { 1_000 } else { 10_000 };
            let counted = if first.ends.is_total_exact { total } else { total.min(most) };
            assert_eq!(first.total_count, counted, "{query:?}");
            assert!(first.ends.is_total_exact || total > most, "{query:?}");
        }
    }
}

#[test]
fn the_place_of_a_row_stays_when_the_row_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (connection, _) = store(folder.path());
    let sort = Some(Sort { column: "folded", is_descending: false });
    let query = Query { sort, ..Query::default() };
    let select = |row| {
        let keyset = Keyset { direction: Direction::After, row, size: 10 };
        keyset::select(&ReadTx::within(&connection), &query, &keyset).unwrap()
    };
    let first = select(None);
    let second = select(first.ends.after.clone()).ids;
    let sql = "UPDATE coupon_code SET time_deleted = 9 WHERE id = ?1";
    connection.execute(sql, [first.ids[9]]).unwrap();
    assert_eq!(select(first.ends.after).ids, second);
}
