//! Codes with conversions by the code alone, most suspicious first.

use super::{ConversionRow, Status, read_row, select};
use crate::attribution::error_code::ErrorCode;
use crate::catalog::FoldedKey;
use crate::store::{ReadTx, StoreError};

/// Conversions of one code without a click.
#[derive(Debug, Clone, PartialEq)]
pub struct Leak {
    /// The code in its stored spelling.
    pub coupon_code: String,
    /// Partner of the code.
    pub affiliate_id: u32,
    /// Conversions by the code alone, without automatically rejected ones.
    pub conversions: u64,
    /// Part of them made before any click on the code's link.
    pub never_clicked: u64,
    /// Part of them in hours with many more than usual.
    pub spike: u64,
    /// Part of them waiting for approval because of that.
    pub held: u64,
    /// Present or possible payout of the suspicious ones, in millionths; meaningless with several
    /// currencies.
    pub suspicious_payout: i128,
    /// Number of currencies of the payout.
    pub currencies: u64,
    /// One of the currencies; empty for none.
    pub currency: String,
    /// Time of the latest conversion, in Unix milliseconds.
    pub last_ms: u64,
}

/// Codes with conversions by the code alone in a period of Unix milliseconds, those with the most
/// suspicious ones first.
pub fn leaks(
    connection: &ReadTx<'_>,
    from_ms: u64,
    to_ms: u64,
    most: u32,
) -> Result<Vec<Leak>, StoreError> {
    let sql = "SELECT min(coupon_code), affiliate_id, count(*), \
               sum(suspicion = 'never_clicked'), sum(suspicion = 'spike'), \
               sum(status = 'pending' AND error_code = ?4), \
               sum(suspicious / 1000000), sum(suspicious % 1000000), max(unix_ms), \
               count(DISTINCT iif(suspicious = 0, NULL, currency)), \
               ifnull(min(iif(suspicious = 0, NULL, currency)), '') \
               FROM (SELECT *, iif(suspicion = '', 0, CAST(round(payout * 1000000) AS INTEGER)) \
               AS suspicious FROM conversion) WHERE unix_ms >= ?1 AND unix_ms < ?2 AND method = 'coupon_code' \
               AND transaction_id = '' AND refund_of IS NULL \
               AND (status IN ('approved', 'pending') OR (status = 'rejected' AND error_code = ?5)) \
               GROUP BY folded_code, affiliate_id \
               ORDER BY sum(suspicion <> '') DESC, count(*) DESC, folded_code LIMIT ?3";
    use ErrorCode::{HeldForReview, ManuallyRejected};
    let mut statement = connection.prepare_cached(sql)?;
    let parameters = (from_ms, to_ms, most, HeldForReview.number(), ManuallyRejected.number());
    let rows = statement.query_map(parameters, |row| {
        Ok(Leak {
            coupon_code: row.get(0)?,
            affiliate_id: row.get(1)?,
            conversions: row.get(2)?,
            never_clicked: row.get(3)?,
            spike: row.get(4)?,
            held: row.get(5)?,
            // Units and millionths are summed separately, so the sum cannot overflow.
            suspicious_payout: i128::from(row.get::<_, i64>(6)?) * 1_000_000
                + i128::from(row.get::<_, i64>(7)?),
            last_ms: row.get(8)?,
            currencies: row.get(9)?,
            currency: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The sales of one code without a click, in a period of Unix milliseconds.
#[derive(Debug, Clone)]
pub struct LeakedSales {
    /// The code.
    pub code: FoldedKey,
    /// Partner of the code.
    pub affiliate_id: u32,
    /// Inclusive.
    pub from_ms: u64,
    /// Exclusive.
    pub to_ms: u64,
}

impl LeakedSales {
    /// Those that count, the oldest first.
    pub fn approved(
        &self,
        connection: &ReadTx<'_>,
        most: usize,
    ) -> Result<Vec<ConversionRow>, StoreError> {
        self.with_status(connection, Status::Approved, None, most)
    }

    /// Those that wait because of the suspicion, the oldest first.
    pub fn held(
        &self,
        connection: &ReadTx<'_>,
        most: usize,
    ) -> Result<Vec<ConversionRow>, StoreError> {
        self.with_status(connection, Status::Pending, Some(ErrorCode::HeldForReview), most)
    }

    fn with_status(
        &self,
        connection: &ReadTx<'_>,
        status: Status,
        error: Option<ErrorCode>,
        most: usize,
    ) -> Result<Vec<ConversionRow>, StoreError> {
        let sql = format!(
            "{} WHERE folded_code = ?1 AND unix_ms >= ?2 AND unix_ms < ?3 AND affiliate_id = ?4 \
             AND method = 'coupon_code' AND transaction_id = '' AND refund_of IS NULL \
             AND status = ?5 AND (?6 IS NULL OR error_code = ?6) ORDER BY number LIMIT ?7",
            select()
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let parameters = (
            self.code.as_str(),
            self.from_ms,
            self.to_ms,
            self.affiliate_id,
            status.as_str(),
            error.map(ErrorCode::number),
            most,
        );
        let rows = statement.query_map(parameters, read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::conversions::{Conversion, insert, tests::sample};

    #[tokio::test]
    async fn codes_that_seem_to_leak_come_first_and_only_sales_without_a_click_count() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let sale = |id: u8, code: &str, change: fn(&mut Conversion)| {
            let mut sale = sample(id, 1_000 + u64::from(id));
            (sale.coupon_code, sale.folded_code) = (code.into(), code.to_ascii_lowercase());
            sale.method = "coupon_code".into();
            sale.transaction_id = String::new();
            sale.payout = "2.5".parse().unwrap();
            change(&mut sale);
            sale
        };
        let sales = [
            sale(1, "CALM", |_| ()),
            sale(2, "CALM", |_| ()),
            sale(3, "calm", |_| ()),
            sale(4, "LEAKED", |s| s.suspicion = "never_clicked".into()),
            sale(5, "LEAKED", |s| {
                s.suspicion = "spike".into();
                (s.status, s.error_code) = ("pending".parse().unwrap(), 1017);
            }),
            sale(6, "LEAKED", |s| s.transaction_id = "0192".into()),
            sale(7, "LEAKED", |s| s.method = "click".into()),
            sale(8, "LEAKED", |s| (s.status, s.error_code) = ("rejected".parse().unwrap(), 21)),
            sale(9, "LEAKED", |s| s.unix_ms = 9_000),
        ];
        let write = move |tx: &crate::store::WriteTx<'_>| {
            sales.iter().try_for_each(|sale| insert(tx, sale).map(|_| ()))?;
            Ok::<_, StoreError>(())
        };
        store.write(write).await.unwrap();
        let found = store.read(|connection| leaks(connection, 0, 2_000, 10)).await.unwrap();
        let codes: Vec<(&str, u64)> =
            found.iter().map(|leak| (leak.coupon_code.as_str(), leak.conversions)).collect();
        assert_eq!(codes, [("LEAKED", 2), ("CALM", 3)]);
        let leaked = &found[0];
        assert_eq!((leaked.never_clicked, leaked.spike, leaked.held), (1, 1, 1));
        assert_eq!((leaked.suspicious_payout, leaked.last_ms), (5_000_000, 1_005));
        assert_eq!((leaked.currencies, leaked.currency.as_str()), (1, "USD"));
        assert_eq!((found[1].suspicious_payout, found[1].currencies), (0, 0));
    }
}
