//! The searchable log of postbacks: short rows, newest first, using an index for each filter.
//!
//! A transaction id finds the postbacks that named it alone or first, and the postbacks counted for
//! its click, wherever it was in their list.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::{Outcome, Postback, VerdictWord};
use crate::store::conversions::{Channel, ConversionId};
use crate::store::rows::{
    Compared, Filter, Filterable, Listed, Operator, Page, Query, Vocabulary, conditions,
};
use crate::store::{ReadTx, StoreError};

const RECEIVED: &str = "received_ms";
const TRANSACTION_ID: &str = "transaction_id";
/// Columns whose index omits empty values, with the empty value.
const MAY_BE_EMPTY: [(&str, &str); 3] =
    [("folded_code", "''"), ("order_id", "''"), ("offer_id", "0")];

/// Filters of the log.
pub const FILTERS: &[Filterable] = &[
    Filterable { field: "time_received", column: RECEIVED, kind: Compared::Time },
    Filterable { field: "transaction_id", column: TRANSACTION_ID, kind: Compared::Text },
    Filterable { field: "coupon_code", column: "folded_code", kind: Compared::Code },
    Filterable { field: "order_id", column: "order_id", kind: Compared::Text },
    Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
    Filterable { field: "network_affiliate_id", column: "affiliate_id", kind: Compared::Number },
    Filterable {
        field: "status",
        column: "verdict",
        kind: Compared::Word(Vocabulary::from_word_set::<VerdictWord>()),
    },
    Filterable {
        field: "outcome",
        column: "outcome",
        kind: Compared::Word(Vocabulary::from_word_set::<Outcome>()),
    },
    Filterable { field: "error_code", column: "error_code", kind: Compared::Number },
    Filterable {
        field: "channel",
        column: "channel",
        kind: Compared::Word(Vocabulary::from_word_set::<Channel>()),
    },
];

/// Short form of a postback.
#[derive(Debug, Clone, PartialEq)]
pub struct PostbackEntry {
    /// Assigned by the daemon.
    pub id: ConversionId,
    /// Time of reception.
    pub received_ms: u64,
    /// Channel of reception.
    pub channel: Channel,
    /// As sent.
    pub transaction_id: String,
    /// As sent.
    pub coupon_code: String,
    /// `oid`; 0 for none.
    pub offer_id: u32,
    /// `affid`; 0 for none.
    pub affiliate_id: u32,
    /// As sent.
    pub event: String,
    /// As sent.
    pub order_id: String,
    /// As parsed.
    pub amount: String,
    /// As sent.
    pub currency: String,
    /// Verdict in the answer.
    pub verdict: VerdictWord,
    /// Effect.
    pub outcome: Outcome,
    /// Reason against counting; 0 for none.
    pub error_code: u32,
    /// The reason as a sentence.
    pub error: String,
    /// The conversion made, repeated or reduced.
    pub conversion_id: Option<ConversionId>,
    /// Time of the decision; 0 while it waits.
    pub decided_ms: u64,
}

impl From<Postback> for PostbackEntry {
    fn from(all: Postback) -> PostbackEntry {
        PostbackEntry {
            id: all.id,
            received_ms: all.received_ms,
            channel: all.channel,
            transaction_id: all.transaction_id,
            coupon_code: all.coupon_code,
            offer_id: all.offer_id,
            affiliate_id: all.affiliate_id,
            event: all.event,
            order_id: all.order_id,
            amount: all.amount,
            currency: all.currency,
            verdict: all.verdict,
            outcome: all.outcome,
            error_code: all.error_code,
            error: all.error,
            conversion_id: all.conversion_id,
            decided_ms: all.decided_ms,
        }
    }
}

const COLUMNS: &str = "id, received_ms, channel, transaction_id, coupon_code, offer_id, affiliate_id, \
                       event, order_id, amount, currency, verdict, outcome, error_code, error, \
                       conversion_id, decided_ms";

fn read(row: &Row<'_>) -> rusqlite::Result<PostbackEntry> {
    Ok(PostbackEntry {
        id: row.get(0)?,
        received_ms: row.get(1)?,
        channel: row.get(2)?,
        transaction_id: row.get(3)?,
        coupon_code: row.get(4)?,
        offer_id: row.get(5)?,
        affiliate_id: row.get(6)?,
        event: row.get(7)?,
        order_id: row.get(8)?,
        amount: row.get(9)?,
        currency: row.get(10)?,
        verdict: row.get(11)?,
        outcome: row.get(12)?,
        error_code: row.get(13)?,
        error: row.get(14)?,
        conversion_id: row.get(15)?,
        decided_ms: row.get(16)?,
    })
}

/// One page, and the number of rows on all pages.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<PostbackEntry>, StoreError> {
    let (condition, values) = condition(&query.filters);
    let count = format!("SELECT count(*) FROM postback WHERE {condition}");
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let Page { number, size } = query.page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let order = query.sort.map_or_else(
        || format!("{RECEIVED} DESC, number DESC"),
        |sort| {
            let direction = if sort.is_descending { "DESC" } else { "ASC" };
            format!("{} {direction}, number {direction}", sort.column)
        },
    );
    // Row numbers of a page come from an index; only rows of the page are read.
    let sql = format!(
        "SELECT {COLUMNS} FROM postback WHERE number IN (SELECT number FROM postback \
         WHERE {condition} ORDER BY {order} LIMIT {size} OFFSET {offset}) ORDER BY {order}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), read)?.collect::<Result<_, _>>()?;
    Ok(Listed::new(rows, total_count))
}

fn condition(filters: &[Filter]) -> (String, Vec<Value>) {
    let is_named_id = |filter: &&Filter| {
        filter.column == TRANSACTION_ID
            && filter.operator == Operator::Equal
            && filter.value != Value::Text(String::new())
    };
    let (ids, others): (Vec<&Filter>, Vec<&Filter>) = filters.iter().partition(is_named_id);
    let others: Vec<Filter> = others.into_iter().flat_map(in_columns).collect();
    let (mut condition, mut values) = conditions("true", &others);
    condition.extend(others.iter().filter_map(not_empty));
    for id in ids {
        values.push(id.value.clone());
        condition += &named(values.len());
    }
    (condition, values)
}

/// The condition that lets SQLite use the index of the column.
fn not_empty(filter: &Filter) -> Option<String> {
    let (column, empty) = MAY_BE_EMPTY.into_iter().find(|(column, _)| *column == filter.column)?;
    let says = ![Value::Text(String::new()), Value::Integer(0)].contains(&filter.value);
    (says && filter.operator == Operator::Equal).then(|| format!(" AND {column} <> {empty}"))
}

/// Converts seconds of filters to milliseconds of columns.
fn in_columns(filter: &Filter) -> Vec<Filter> {
    let with = |operator, ms: i64| Filter { operator, value: Value::Integer(ms), ..filter.clone() };
    let Filter { column: RECEIVED, value: Value::Integer(seconds), operator } = filter else {
        return vec![filter.clone()];
    };
    let (first, next) =
        (seconds.saturating_mul(1000), seconds.saturating_add(1).saturating_mul(1000));
    match operator {
        Operator::Less => vec![with(Operator::Less, first)],
        Operator::Greater => vec![with(Operator::Greater, next.saturating_sub(1))],
        _ => vec![with(Operator::Greater, first.saturating_sub(1)), with(Operator::Less, next)],
    }
}

/// `}` follows the separator `|` in ASCII, and no id has a byte that high.
fn named(place: usize) -> String {
    let one = "SELECT number FROM postback WHERE transaction_id <> '' AND transaction_id";
    format!(
        " AND number IN ({one} = ?{place} \
         UNION {one} > ?{place} || '|' AND transaction_id < ?{place} || '}}' \
         UNION SELECT postback.number FROM conversion JOIN postback ON conversion_id = conversion.id \
         WHERE conversion.transaction_id <> '' AND conversion.transaction_id = ?{place})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::conversions::{self, tests::sample};
    use crate::store::postbacks::insert;

    const ID: &str = "0192f0c1d2e3f405a6b7c8d9eaf00112";

    fn postback(number: u8, change: impl FnOnce(&mut Postback)) -> Postback {
        let mut postback = Postback {
            spool: [9; 16],
            sequence: u64::from(number),
            received_ms: 1_000_000 + u64::from(number) * 400,
            address: "192.0.2.7".into(),
            host: "go.example.com".into(),
            query: "nid=1".into(),
            network_id: 1,
            outcome: Outcome::Made,
            error_code: 1010,
            ..Postback::empty(ConversionId([number; 16]))
        };
        change(&mut postback);
        postback
    }

    async fn log() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let rows = [
            postback(1, |p| p.transaction_id = ID.into()),
            postback(2, |p| p.transaction_id = format!("{ID}|ffff")),
            postback(3, |p| {
                p.transaction_id = format!("ffff|{ID}");
                p.conversion_id = Some(ConversionId([77; 16]));
            }),
            postback(4, |p| p.transaction_id = format!("{ID}ff")),
            postback(5, |p| {
                (p.coupon_code, p.folded_code) = ("SAVE-20".into(), "save-20".into());
                (p.offer_id, p.order_id) = (7, "A1".into());
                (p.verdict, p.error_code) = (VerdictWord::Approved, 0);
            }),
            postback(6, |p| (p.offer_id, p.order_id) = (8, "A1".into())),
        ];
        let write = move |tx: &crate::store::WriteTx<'_>| {
            let mut conversion = sample(77, 1);
            conversion.transaction_id = ID.into();
            conversions::insert(tx, &conversion)?;
            rows.iter().try_for_each(|row| insert(tx, row).map(|_| ()))?;
            Ok::<_, StoreError>(())
        };
        store.write(write).await.unwrap();
        (folder, store)
    }

    fn filter(column: &'static str, operator: Operator, value: impl Into<Value>) -> Filter {
        Filter { column, operator, value: value.into() }
    }

    async fn found(store: &Store, filters: Vec<Filter>) -> Vec<u8> {
        let page = Some(Page { number: 1, size: 4 });
        let query = Query { filters, page, ..Query::default() };
        let listed = store.read(move |connection| list(connection, &query)).await.unwrap();
        assert!(listed.total_count >= listed.rows.len() as u64);
        listed.rows.iter().map(|entry| entry.id.0[0]).collect()
    }

    #[tokio::test]
    async fn postbacks_are_found_by_what_they_say_and_what_became_of_them() {
        use Operator::{Equal, Greater, Less};
        let (_folder, store) = log().await;
        let found = async |filters| found(&store, filters).await;
        assert_eq!(found(vec![]).await, [6, 5, 4, 3], "a page, the newest first");
        assert_eq!(found(vec![filter(TRANSACTION_ID, Equal, ID.to_owned())]).await, [3, 2, 1]);
        assert_eq!(found(vec![filter("folded_code", Equal, "save-20".to_owned())]).await, [5]);
        let order = || filter("order_id", Equal, "A1".to_owned());
        assert_eq!(found(vec![order()]).await, [6, 5]);
        assert_eq!(found(vec![order(), filter("offer_id", Equal, 7)]).await, [5]);
        assert_eq!(found(vec![filter("verdict", Equal, "approved".to_owned())]).await, [5]);
        assert_eq!(found(vec![filter("error_code", Equal, 1010), order()]).await, [6]);
        // 1: 1000.4 s, 2: 1000.8 s, 3: 1001.2 s, 4: 1001.6 s, 5: 1002.0 s, 6: 1002.4 s
        assert_eq!(found(vec![filter(RECEIVED, Equal, 1001)]).await, [4, 3]);
        assert_eq!(found(vec![filter(RECEIVED, Greater, 1001)]).await, [6, 5]);
        assert_eq!(found(vec![filter(RECEIVED, Less, 1001)]).await, [2, 1]);
        for beyond in [i64::MIN, i64::MAX] {
            assert!(found(vec![filter(RECEIVED, Equal, beyond)]).await.is_empty());
        }
        assert!(found(vec![filter(RECEIVED, Greater, i64::MAX)]).await.is_empty());
        assert!(!found(vec![filter(RECEIVED, Greater, i64::MIN)]).await.is_empty());
    }

    #[tokio::test]
    async fn searches_by_id_code_order_and_offer_use_an_index() {
        let (_folder, store) = log().await;
        for (column, value) in [
            (TRANSACTION_ID, Value::Text(ID.into())),
            ("folded_code", Value::Text("x".into())),
            ("order_id", Value::Text("x".into())),
            ("offer_id", Value::Integer(7)),
            ("verdict", Value::Text("queued".into())),
            (RECEIVED, Value::Integer(7)),
        ] {
            let (condition, values) = condition(&[filter(column, Operator::Equal, value)]);
            let sql = format!("EXPLAIN QUERY PLAN SELECT count(*) FROM postback WHERE {condition}");
            let plan = move |connection: &ReadTx<'_>| {
                let mut statement = connection.prepare(&sql)?;
                let rows = statement.query_map(params_from_iter(&values), |row| row.get(3))?;
                Ok::<Vec<String>, StoreError>(rows.collect::<Result<_, _>>()?)
            };
            let plan = store.read(plan).await.unwrap();
            assert!(!plan.iter().any(|step| step.contains("SCAN postback")), "{column}: {plan:?}");
        }
    }
}
