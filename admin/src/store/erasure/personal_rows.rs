//! Personal columns of postbacks and conversions: searched, blanked, truncated, and removed with
//! the rows of old postbacks.
//!
//! Blanked are addresses, user agents, pages, languages, email addresses, ids of ad networks, and
//! the raw text of postbacks; also addresses and email addresses in the steps of a decision. Ids, codes, amounts,
//! statuses, order ids and sub values stay: they describe the sale, and belong to the partner.
//!
//! A postback that still waits for its click needs its text. It is blanked once it is decided.
//!
//! Every call is bounded: it processes some rows and returns whether more are left.

use coupon_shared::click;
use coupon_shared::transaction_id::TransactionId;
use rusqlite::params_from_iter;

use super::Selector;
use super::with_secure_delete;
use crate::attribution::further_texts::FurtherTexts;
use crate::store::{ReadTx, StoreError, WriteTx, partner_postbacks};

/// Rows per transaction.
const AT_ONCE: usize = 500;

/// Rows about a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonalRows {
    /// Clicks of conversions.
    pub clicks: Vec<TransactionId>,
    /// Postbacks, by number.
    pub postbacks: Vec<i64>,
    /// Conversions, by number.
    pub conversions: Vec<i64>,
    /// Postbacks that cannot be blanked yet.
    pub waiting: u64,
}

const POSTBACK_IS_PERSONAL: &str = "(address <> '' OR user_agent <> '' OR referer <> '' OR query <> '' OR body <> '' OR email <> '' OR raw IS NOT NULL)";
const CONVERSION_IS_PERSONAL: &str =
    "(address <> '' OR user_agent <> '' OR referer <> '' OR email <> '' OR click_address <> ''
      OR click_user_agent <> '' OR click_referer <> '' OR click_language <> '' OR visitor_key <> 0
      OR ad_click_ids <> '' OR buyer_address <> '' OR buyer_user_agent <> '' OR buyer_id <> '')";
/// `?2` is the value with `@` percent-encoded.
const SAYS: &str = "(instr(lower({}), ?1) OR instr(lower({}), ?2))";

/// Unreadable messages may contain the value, too.
const IN_RAW: &str =
    "(raw IS NOT NULL AND (instr(raw, CAST(?1 AS BLOB)) OR instr(raw, CAST(?2 AS BLOB))))";

/// Finds the rows about a subject that are not blanked.
pub fn find(connection: &ReadTx<'_>, selector: &Selector) -> Result<PersonalRows, StoreError> {
    let values = values(selector);
    // Conversions of the person, with their postbacks and click …
    let person = match selector {
        Selector::TransactionId(_) => "transaction_id = ?1 AND ?2 <> ''".to_owned(),
        Selector::Ip(_) => "click_address IN (?1, ?2) OR buyer_address IN (?1, ?2)
             OR (address IN (?1, ?2) AND channel = 'sdk')"
            .to_owned(),
        Selector::Email(_) => {
            let says = ["email", "adv1", "adv2", "adv3", "adv4", "adv5", "further"].map(says);
            says.join(" OR ")
        }
    };
    // … and rows that only contain the value: a shop's server sends for many people.
    let (conversion, postback) = match selector {
        Selector::Ip(_) => (
            format!("({person} OR address IN (?1, ?2)) AND {CONVERSION_IS_PERSONAL}"),
            "address IN (?1, ?2)".to_owned(),
        ),
        Selector::Email(_) => {
            let says = ["email", "query", "body"].map(says).join(" OR ");
            (person.clone(), format!("{says} OR {IN_RAW}"))
        }
        Selector::TransactionId(_) => (
            format!("{person} AND {CONVERSION_IS_PERSONAL}"),
            format!("(transaction_id <> '' AND instr(transaction_id, ?1)) OR {IN_RAW}"),
        ),
    };
    let clicks =
        format!("SELECT transaction_id FROM conversion WHERE ({person}) AND transaction_id <> ''");
    let clicks: Vec<String> = column(connection, &clicks, &values)?;
    let postback = format!(
        "FROM postback WHERE {POSTBACK_IS_PERSONAL}
         AND (({postback}) OR conversion_id IN (SELECT id FROM conversion WHERE {person}))"
    );
    let count = format!("SELECT count(*) {postback} AND verdict = 'queued'");
    let waiting = column(connection, &count, &values)?;
    Ok(PersonalRows {
        clicks: clicks.iter().filter_map(|id| id.parse().ok()).collect(),
        postbacks: column(
            connection,
            &format!("SELECT number {postback} AND verdict <> 'queued' ORDER BY number"),
            &values,
        )?,
        conversions: column(
            connection,
            &format!("SELECT number FROM conversion WHERE {conversion} ORDER BY number"),
            &values,
        )?,
        waiting: waiting.first().copied().unwrap_or(0),
    })
}

/// The value in its two spellings in columns.
fn values(selector: &Selector) -> [String; 2] {
    match selector {
        Selector::TransactionId(id) => [id.to_string(), id.to_string()],
        Selector::Ip(ip) => {
            let plain = ip.to_canonical();
            let mapped = match plain {
                std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().to_string(),
                std::net::IpAddr::V6(v6) => v6.to_string(),
            };
            [plain.to_string(), mapped]
        }
        Selector::Email(email) => {
            let email = email.to_ascii_lowercase();
            let encoded = email.replace('@', "%40");
            [email, encoded]
        }
    }
}

fn says(column: &str) -> String {
    SAYS.replace("{}", column)
}

fn column<T: rusqlite::types::FromSql>(
    connection: &ReadTx<'_>,
    sql: &str,
    values: &[String],
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Blanks the next of `rows`; postbacks first, because conversions name the postbacks that belong
/// to them. Returns the numbers; zero when nothing is left.
pub fn blank(
    tx: &WriteTx<'_>,
    selector: &Selector,
    rows: &mut PersonalRows,
) -> Result<(u64, u64), StoreError> {
    let next = |numbers: &mut Vec<i64>| numbers.split_off(numbers.len().saturating_sub(AT_ONCE));
    with_secure_delete(tx, |tx| {
        let postbacks = next(&mut rows.postbacks);
        if !postbacks.is_empty() {
            return Ok((blank_postbacks(tx, &postbacks)?, 0));
        }
        Ok((0, blank_conversions(tx, selector, &next(&mut rows.conversions))?))
    })
}

fn blank_postbacks(tx: &WriteTx<'_>, numbers: &[i64]) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE postback SET steps = {}, error = {}, address = '', user_agent = '', referer = '',
             query = '', body = '', email = '', raw = NULL WHERE number = ?1",
        without("steps", &["address", "email"]),
        without("error", &["address", "email"]),
    );
    each(tx, &sql, numbers)
}

fn blank_conversions(
    tx: &WriteTx<'_>,
    selector: &Selector,
    numbers: &[i64],
) -> Result<u64, StoreError> {
    let said = ["address", "click_address", "buyer_address", "email"];
    let sql = format!(
        "UPDATE conversion SET steps = {}, notes = {}, address = '', user_agent = '', referer = '',
             email = '', visitor_key = 0, click_address = '', click_user_agent = '', click_referer = '',
             click_language = '', ad_click_ids = '', buyer_address = '',
             buyer_user_agent = '', buyer_id = '' WHERE number = ?1",
        without("steps", &said),
        without("notes", &said),
    );
    for number in numbers {
        for id in ad_click_ids(tx, *number)?.texts() {
            partner_postbacks::erase_text(tx, *number, id)?;
        }
    }
    let blanked = each(tx, &sql, numbers)?;
    if let Selector::Email(email) = selector {
        for number in numbers {
            partner_postbacks::erase_text(tx, *number, email)?;
        }
        let [plain, encoded] = values(selector);
        for column in ["adv1", "adv2", "adv3", "adv4", "adv5", "further"] {
            let sql = format!(
                "UPDATE conversion SET {column} = '' WHERE number = ?3 AND {}",
                says(column)
            );
            let mut statement = tx.prepare_cached(&sql)?;
            for number in numbers {
                statement.execute((&plain, &encoded, number))?;
            }
        }
    }
    Ok(blanked)
}

/// The ids that ad networks gave a conversion's click.
fn ad_click_ids(tx: &WriteTx<'_>, number: i64) -> Result<FurtherTexts, StoreError> {
    let sql = "SELECT ad_click_ids FROM conversion WHERE number = ?1";
    Ok(tx.prepare_cached(sql)?.query_row([number], |row| row.get(0))?)
}

/// SQL for a column's text without the texts of other columns.
fn without(column: &str, said: &[&str]) -> String {
    said.iter().fold(column.to_owned(), |text, said| {
        format!("iif({said} = '', {text}, replace({text}, {said}, '(erased)'))")
    })
}

fn each(tx: &WriteTx<'_>, sql: &str, numbers: &[i64]) -> Result<u64, StoreError> {
    let mut statement = tx.prepare_cached(sql)?;
    for number in numbers {
        statement.execute([number])?;
    }
    Ok(numbers.len() as u64)
}

/// A table with addresses.
struct Addressed {
    table: &'static str,
    /// Column with the time of its rows, in Unix milliseconds.
    time: &'static str,
    columns: &'static [&'static str],
    /// Texts that may repeat an address.
    texts: [&'static str; 2],
}

const ADDRESSED: [Addressed; 2] = [
    Addressed {
        table: "postback",
        time: "received_ms",
        columns: &["address"],
        texts: ["steps", "error"],
    },
    Addressed {
        table: "conversion",
        time: "unix_ms",
        columns: &["address", "click_address", "buyer_address"],
        texts: ["steps", "notes"],
    },
];

/// Truncates addresses of the next rows older than a time, in Unix milliseconds. Returns the number
/// of processed rows; zero when nothing is left.
pub fn truncate_addresses(tx: &WriteTx<'_>, before_ms: u64) -> Result<u64, StoreError> {
    with_secure_delete(tx, |tx| {
        for addressed in &ADDRESSED {
            let done = truncate_in(tx, addressed, before_ms)?;
            if done > 0 {
                return Ok(done);
            }
        }
        Ok(0)
    })
}

/// Rows are processed by number. The first newer row ends the call.
fn truncate_in(tx: &WriteTx<'_>, of: &Addressed, before_ms: u64) -> Result<u64, StoreError> {
    let Addressed { table, time, columns, .. } = of;
    let sql = "SELECT through FROM truncated_rows WHERE name = ?1";
    let through: i64 = tx.query_row(sql, [table], |row| row.get(0))?;
    let next = format!(
        "SELECT number, {time}, {} FROM {table} WHERE number > ?1 ORDER BY number LIMIT {AT_ONCE}",
        columns.join(", ")
    );
    let mut statement = tx.prepare_cached(&next)?;
    let mut rows = statement.query([through])?;
    let (mut done, mut last) = (0, through);
    while let Some(row) = rows.next()? {
        if row.get::<_, u64>(1)? >= before_ms {
            break;
        }
        last = row.get(0)?;
        if *table == "postback" {
            // An unreadable message contains its complete address.
            tx.prepare_cached(
                "UPDATE postback SET raw = NULL WHERE number = ?1 AND raw IS NOT NULL",
            )?
            .execute([last])?;
        }
        for (at, column) in columns.iter().enumerate() {
            truncate_one(tx, of, column, last, &row.get::<_, String>(2 + at)?)?;
        }
        done += 1;
    }
    tx.execute("UPDATE truncated_rows SET through = ?2 WHERE name = ?1", (table, last))?;
    Ok(done)
}

/// Other texts than addresses stay.
fn truncate_one(
    tx: &WriteTx<'_>,
    of: &Addressed,
    column: &str,
    number: i64,
    address: &str,
) -> Result<(), StoreError> {
    let Ok(ip) = address.parse() else { return Ok(()) };
    let network = click::truncate_address(ip).to_string();
    let Addressed { table, texts: [one, other], .. } = of;
    let sql = format!(
        "UPDATE {table} SET {column} = ?2, {one} = replace({one}, ?3, ?2),
             {other} = replace({other}, ?3, ?2) WHERE number = ?1"
    );
    tx.prepare_cached(&sql)?.execute((number, network, address))?;
    Ok(())
}

/// Removes the next postbacks that identify nothing and are older than a time, in Unix
/// milliseconds. Returns their number; zero when nothing is left.
pub fn remove_unidentified_postbacks(tx: &WriteTx<'_>, before_ms: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM postback WHERE number IN (SELECT number FROM postback
             WHERE unidentified_bytes > 0 AND received_ms < ?1 ORDER BY received_ms LIMIT {AT_ONCE})"
    );
    with_secure_delete(tx, |tx| Ok(tx.prepare_cached(&sql)?.execute([before_ms])? as u64))
}

/// Removes the next decided postbacks older than a time, in Unix milliseconds. Returns their
/// number; zero when nothing is left.
pub fn remove_postbacks(tx: &WriteTx<'_>, before_ms: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM postback WHERE number IN (SELECT number FROM postback
             WHERE received_ms < ?1 AND verdict <> 'queued' ORDER BY received_ms LIMIT {AT_ONCE})"
    );
    with_secure_delete(tx, |tx| Ok(tx.prepare_cached(&sql)?.execute([before_ms])? as u64))
}
