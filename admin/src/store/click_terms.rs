//! Stored terms for classifying and paying the visits of an offer, present and past.
//!
//! Each edit of an offer's session, click payout or currency adds a row; a visit uses the terms of
//! its own time. So an edit changes no past counts, and a rebuild gives the counts of an
//! uninterrupted run.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};

use super::{ReadTx, StoreError, WriteTx, rows, settings};
use crate::catalog::{Offer, SessionDefinition};
use crate::classification::click_pay::{ClickPay, amounts_per_click};
use crate::classification::click_terms::{ClickTerms, Session, TermsHistory, TermsRevision};

const COLUMNS: &str = "id, offer_id, since_ms, session_definition, session_duration, payout_type, \
                       revenue_type, click_payout, click_revenue, currency";

fn read(row: &Row<'_>) -> rusqlite::Result<TermsRevision> {
    // An unreadable row of one offer must not stop the counting of all clicks.
    let definition = row.get_ref(3)?.as_str()?.parse();
    let definition = definition.unwrap_or(SessionDefinition::IpUserAgent);
    let currency: Arc<str> = row.get_ref(9)?.as_str()?.into();
    let pay =
        ClickPay { payout: row.get(7)?, revenue: row.get(8)?, currency: Arc::clone(&currency) };
    let terms = ClickTerms {
        session: Session { definition, hours: row.get(4)? },
        pay: Some(pay).filter(|pay| (pay.payout, pay.revenue) != (0, 0)),
        payout_type: row.get(5)?,
        revenue_type: row.get(6)?,
        currency,
    };
    Ok(TermsRevision { id: row.get(0)?, offer_id: row.get(1)?, since_ms: row.get(2)?, terms })
}

/// Rows after one, of all offers, deleted ones included.
pub fn revisions_after(connection: &ReadTx<'_>, id: u64) -> Result<Vec<TermsRevision>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM offer_terms WHERE id > ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([id], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Terms of some offers.
pub fn history_of_offers(
    connection: &ReadTx<'_>,
    ids: impl IntoIterator<Item = u32>,
) -> Result<TermsHistory, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM offer_terms WHERE offer_id = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut terms = TermsHistory::default();
    for id in ids {
        let rows = statement.query_map([id], read)?;
        terms.add_revisions(rows.collect::<Result<_, _>>()?);
    }
    Ok(terms)
}

/// Whether a later row applies to clicks up to a time.
pub fn has_later_revision(
    connection: &ReadTx<'_>,
    through: u64,
    unix_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM offer_terms WHERE id > ?1 AND since_ms <= ?2";
    Ok(connection.prepare_cached(sql)?.exists((through, unix_ms))?)
}

/// Longest present or past session of any offer, in hours.
pub fn longest_session_hours(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(max(session_duration), 24) FROM offer_terms";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Content of a row beside offer and time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TermsRow {
    session_definition: String,
    session_duration: u32,
    payout_type: String,
    revenue_type: String,
    click_payout: i64,
    click_revenue: i64,
    currency: String,
}

const KEPT: &str = "session_definition, session_duration, payout_type, revenue_type, click_payout, \
                    click_revenue, currency";

impl TermsRow {
    fn new(offer: &Offer, network_currency: &str) -> TermsRow {
        let entry = offer.payout_revenue.iter().find(|entry| entry.is_default);
        let (click_payout, click_revenue) = entry.map_or((0, 0), amounts_per_click);
        let currency = Some(offer.currency_id.as_str()).filter(|currency| !currency.is_empty());
        TermsRow {
            session_definition: offer.session_definition.as_str().into(),
            session_duration: offer.session_duration,
            payout_type: entry.map_or_else(String::new, |it| it.payout_type.as_str().into()),
            revenue_type: entry.map_or_else(String::new, |it| it.revenue_type.as_str().into()),
            click_payout,
            click_revenue,
            currency: currency.unwrap_or(network_currency).into(),
        }
    }

    /// Session and currency, without paid clicks.
    fn unpaid(&self) -> TermsRow {
        TermsRow {
            payout_type: String::new(),
            revenue_type: String::new(),
            click_payout: 0,
            click_revenue: 0,
            ..self.clone()
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<TermsRow> {
        Ok(TermsRow {
            session_definition: row.get(0)?,
            session_duration: row.get(1)?,
            payout_type: row.get(2)?,
            revenue_type: row.get(3)?,
            click_payout: row.get(4)?,
            click_revenue: row.get(5)?,
            currency: row.get(6)?,
        })
    }

    fn insert(&self, tx: &WriteTx<'_>, offer_id: u32, since_ms: u64) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO offer_terms (offer_id, since_ms, {KEPT}) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        );
        tx.prepare_cached(&sql)?.execute((
            offer_id,
            since_ms,
            &self.session_definition,
            self.session_duration,
            &self.payout_type,
            &self.revenue_type,
            self.click_payout,
            self.click_revenue,
            &self.currency,
        ))?;
        Ok(())
    }
}

/// Records the terms of an offer from now on, if they differ from the last ones.
pub fn record(tx: &WriteTx<'_>, id: u32, offer: &Offer) -> Result<(), StoreError> {
    let kept = TermsRow::new(offer, &settings::read(tx)?.settings.currency);
    let last =
        format!("SELECT {KEPT} FROM offer_terms WHERE offer_id = ?1 ORDER BY id DESC LIMIT 1");
    let last = tx.prepare_cached(&last)?.query_row([id], TermsRow::read).optional()?;
    if last.as_ref() == Some(&kept) { Ok(()) } else { kept.insert(tx, id, now_ms()) }
}

/// Records the network's new currency for offers without a currency of their own.
pub fn record_currency(tx: &WriteTx<'_>, currency: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO offer_terms (offer_id, since_ms, session_definition, session_duration, \
               payout_type, revenue_type, click_payout, click_revenue, currency) \
               SELECT offer_id, ?1, last.session_definition, last.session_duration, payout_type, \
               revenue_type, click_payout, click_revenue, ?2 FROM offer JOIN offer_terms AS last \
               ON last.id = (SELECT max(id) FROM offer_terms WHERE offer_id = offer.id) \
               WHERE offer.currency_id = '' AND last.currency <> ?2";
    tx.execute(sql, (now_ms(), currency))?;
    Ok(())
}

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Makes the first rows of offers without rows, which are older than this table. The present terms
/// apply since the offer's last edit in the audit; before it, clicks were not paid.
pub(super) fn backfill(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let sql = "SELECT id FROM offer \
               WHERE NOT EXISTS (SELECT 1 FROM offer_terms WHERE offer_id = offer.id)";
    let mut missing = tx.prepare(sql)?;
    let missing = missing.query_map([], |row| row.get(0))?.collect::<Result<Vec<u32>, _>>()?;
    for id in missing {
        let Some(offer) = rows::find_including_deleted::<Offer>(tx, id)? else { continue };
        let kept = TermsRow::new(&offer.object, &settings::read(tx)?.settings.currency);
        let since_ms = last_edit_of_pay(tx, id, &offer.object)?;
        if since_ms > 0 {
            kept.unpaid().insert(tx, id, 0)?;
        }
        kept.insert(tx, id, since_ms)?;
    }
    Ok(())
}

/// Time of the last change to payout or currency of an offer, in Unix milliseconds; 0 for never.
fn last_edit_of_pay(connection: &ReadTx<'_>, id: u32, offer: &Offer) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(max(time_created), 0) * 1000 FROM audit WHERE action = 'changed' AND (\
               (object = 'offer' AND first_id <= ?1 AND last_id >= ?1 \
               AND (changes LIKE '%\"payout_revenue\"%' OR changes LIKE '%\"currency_id\"%')) \
               OR (?2 AND object = 'settings' AND changes LIKE '%\"currency\"%'))";
    let is_networks = offer.currency_id.is_empty();
    Ok(connection.query_row(sql, (id, is_networks), |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use coupon_shared::click::{ClickHead, VisitKind};
    use coupon_shared::decision::Reason;
    use coupon_shared::transaction_id::TransactionId;
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::Settings;
    use crate::store::Store;

    fn offer(fields: Value) -> Offer {
        let mut base = json!({"name": "Jackets", "offer_status": "active",
            "network_advertiser_id": 1, "destination_url": "https://shop.example/"});
        base.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    fn paid(amount: &str) -> Value {
        json!([{"payout_type": "cpc", "payout_amount": amount, "revenue_type": "rpm",
            "revenue_amount": "1", "is_default": true}])
    }

    fn visit(unix_ms: u64) -> ClickHead {
        ClickHead {
            transaction_id: TransactionId([0; 16]),
            unix_ms,
            generation: 1,
            code_id: 1,
            offer_id: 1,
            partner_id: 1,
            advertiser_id: 1,
            reason: Reason::Redirected,
            kind: VisitKind::Click,
            rule: 0,
        }
    }

    async fn with_an_advertiser() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let shop = "INSERT INTO advertiser (name, account_status, attribution_priority, \
                    attribution_method, time_created, time_saved) \
                    VALUES ('Shop', 'active', 'click', 'last_touch', 1, 1)";
        let made: Result<(), StoreError> = store.write(|tx| Ok(tx.execute_batch(shop)?)).await;
        made.unwrap();
        (dir, store)
    }

    /// (payout, revenue, currency, hours) of each row.
    async fn rows_of(store: &Store) -> Vec<(i64, i64, String, u32)> {
        let rows = store.read(|connection| revisions_after(connection, 0)).await.unwrap();
        let row = |TermsRevision { terms, .. }: TermsRevision| {
            let (payout, revenue) = terms.pay.map_or((0, 0), |pay| (pay.payout, pay.revenue));
            (payout, revenue, terms.currency.to_string(), terms.session.hours)
        };
        rows.into_iter().map(row).collect()
    }

    #[tokio::test]
    async fn each_edit_that_changes_what_holds_for_clicks_is_kept_and_no_other() {
        let (_dir, store) = with_an_advertiser().await;
        let edits = [
            json!({"payout_revenue": paid("0.5"), "session_duration": 2}),
            json!({"payout_revenue": paid("0.5"), "session_duration": 2, "name": "Coats"}),
            json!({"payout_revenue": paid("0.25"), "session_duration": 2}),
            json!({"payout_revenue": paid("0.25"), "session_duration": 3}),
        ];
        let edit = move |tx: &WriteTx<'_>| {
            let id = rows::insert(tx, &offer(edits[0].clone()))?;
            edits[1..].iter().try_for_each(|edit| rows::update(tx, id, &offer(edit.clone())))
        };
        store.write(edit).await.unwrap();
        let currencies: Result<(), StoreError> = store
            .write(|tx| {
                let settings = settings::read(tx)?.settings;
                settings::replace(tx, &settings)?;
                settings::replace(tx, &Settings { currency: "EUR".into(), ..settings })
            })
            .await;
        currencies.unwrap();
        let row = |payout, currency: &str, hours| (payout, 1_000_000, currency.to_owned(), hours);
        let expected = [
            row(500_000_000, "USD", 2),
            row(250_000_000, "USD", 2),
            row(250_000_000, "USD", 3),
            row(250_000_000, "EUR", 3),
        ];
        assert_eq!(rows_of(&store).await, expected);
    }

    #[tokio::test]
    async fn an_offer_from_before_is_paid_for_clicks_since_its_pay_was_last_edited() {
        let (dir, store) = with_an_advertiser().await;
        let make = |tx: &WriteTx<'_>| {
            rows::insert(tx, &offer(json!({"payout_revenue": paid("0.5")})))?;
            tx.execute_batch(
                "DELETE FROM offer_terms;
                 INSERT INTO audit (time_created, actor, object, action, first_id, last_id, changes)
                 VALUES (100, 'program', 'offer', 'created', 1, 1, '[{\"field\": \"payout_revenue\"}]'),
                        (200, 'program', 'offer', 'changed', 1, 1, '[{\"field\": \"name\"}]')",
            )?;
            Ok::<_, StoreError>(())
        };
        store.write(make).await.unwrap();
        drop(store);
        let held = async |store: &Store, unix_ms| {
            let terms = store.read(|c| history_of_offers(c, [1])).await.unwrap();
            terms.at_click(&visit(unix_ms)).pay.as_ref().map(|pay| pay.payout)
        };
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(held(&store, 1).await, Some(500_000_000), "it never said anything else");
        let edited = |tx: &WriteTx<'_>| {
            tx.execute_batch(
                "DELETE FROM offer_terms;
                 INSERT INTO audit (time_created, actor, object, action, first_id, last_id, changes)
                 VALUES (300, 'program', 'offer', 'changed', 1, 1, '[{\"field\": \"payout_revenue\"}]')",
            )?;
            Ok::<_, StoreError>(())
        };
        store.write(edited).await.unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(held(&store, 299_999).await, None);
        assert_eq!(held(&store, 300_000).await, Some(500_000_000));
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(rows_of(&store).await.len(), 2, "once");
    }
}
