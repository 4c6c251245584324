//! Codes with conversions but without clicks, the most suspicious codes first.
//!
//! The setting `code_leak_guard` decides whether a conversion is suspicious, as the setting stood
//! when the conversion came.

use super::amount::Amount;
use super::column::Column;
use super::period::PeriodQuery;
use crate::catalog::{FieldError, RowCode};
use crate::store::conversions::{ConversionRow, Leak, LeakedSales, leaks};
use crate::store::rollups::Dimension;
use crate::store::{ReadTx, StoreError, labels, settings};

/// The most codes of a report.
const MAX_CODES: u32 = 1000;

/// The conversions of one code without a click.
#[derive(Debug, Clone)]
pub struct CodeLeak {
    leak: Leak,
    affiliate_name: String,
}

/// The codes of a period.
#[derive(Debug)]
pub struct CodeLeaks {
    /// The most suspicious first.
    pub codes: Vec<CodeLeak>,
    /// There are more codes than the report has.
    pub is_incomplete: bool,
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CodeLeakError {
    /// The period is wrong.
    #[error("the query has {} wrong fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sales of one code without a click, as typed.
#[derive(Debug, Clone)]
pub struct LeakedSalesQuery {
    /// The code in any spelling.
    pub coupon_code: String,
    /// Partner of the code.
    pub affiliate_id: u32,
    /// When.
    pub period: PeriodQuery,
}

impl LeakedSalesQuery {
    /// The sales of the query.
    ///
    /// # Errors
    /// When code or period are wrong, or the store cannot be read.
    pub fn resolve(&self, connection: &ReadTx<'_>) -> Result<LeakedSales, CodeLeakError> {
        let zone = settings::read(connection)?.settings.time_zone;
        let period = self.period.resolve(&zone).map_err(CodeLeakError::Invalid)?;
        let code = RowCode::parse_any(&self.coupon_code).ok_or_else(|| {
            let error = "is no coupon code; write it as the report does".into();
            CodeLeakError::Invalid(vec![FieldError { field: "coupon_code".into(), error }])
        })?;
        Ok(LeakedSales {
            code: code.folded(),
            affiliate_id: self.affiliate_id,
            from_ms: period.from_ms,
            to_ms: period.to_ms,
        })
    }
}

/// The payout of conversions, and its currency; null and empty where there are several.
#[must_use]
pub fn payout_of(conversions: &[ConversionRow]) -> (Amount, String) {
    let currency = conversions.first().map(|row| row.conversion.currency.clone());
    let currency = currency.unwrap_or_default();
    if conversions.iter().any(|row| row.conversion.currency != currency) {
        return (Amount::from_billionths(None), String::new());
    }
    let payouts = conversions.iter().map(|row| i128::from(row.conversion.payout.millionths()));
    (Amount::from_billionths(Some(payouts.sum::<i128>() * 1_000)), currency)
}

/// The columns of a code.
pub static COLUMNS: [Column<CodeLeak>; 10] = [
    Column::text("coupon_code", "", |row| row.leak.coupon_code.as_str().into()),
    Column::id("network_affiliate_id", "", |row| row.leak.affiliate_id),
    Column::text("affiliate_name", "", |row| row.affiliate_name.as_str().into()),
    Column::unsigned("conversions", "Conversions by the code alone.", |row| row.leak.conversions),
    Column::unsigned(
        "never_clicked",
        "Of them, those made while nobody had ever followed the code's link.",
        |row| row.leak.never_clicked,
    ),
    Column::unsigned("spike", "Of them, those in hours with many more than usual.", |row| {
        row.leak.spike
    }),
    Column::unsigned(
        "held",
        "Of them, those that wait for somebody's decision because of it.",
        |row| row.leak.held,
    ),
    Column::amount(
        "suspicious_payout",
        "What partners are or would be paid for the suspicious ones; null where that is of several\n\
         currencies.",
        |row| {
            let millionths = row.has_one_currency().then_some(row.leak.suspicious_payout);
            Amount::from_billionths(millionths.map(|millionths| millionths * 1_000))
        },
    ),
    Column::text(
        "currency_id",
        "Of that; empty where there is none, or where there are several.",
        |row| if row.has_one_currency() { row.leak.currency.as_str() } else { "" }.into(),
    ),
    Column::unsigned("last_conversion", "Unix seconds.", |row| row.leak.last_ms / 1000),
];

impl CodeLeak {
    fn has_one_currency(&self) -> bool {
        self.leak.currencies <= 1
    }
}

/// Finds the codes of the period.
///
/// # Errors
/// When the period is wrong, or the store cannot be read.
pub fn find(connection: &ReadTx<'_>, period: &PeriodQuery) -> Result<CodeLeaks, CodeLeakError> {
    let zone = settings::read(connection)?.settings.time_zone;
    let period = period.resolve(&zone).map_err(CodeLeakError::Invalid)?;
    let mut found = leaks(connection, period.from_ms, period.to_ms, MAX_CODES + 1)?;
    let is_incomplete = found.len() > MAX_CODES as usize;
    found.truncate(MAX_CODES as usize);
    let partners: Vec<u32> = found.iter().map(|leak| leak.affiliate_id).collect();
    let names = labels::names(connection, Dimension::Affiliate, &partners)?;
    let named = |leak: Leak| CodeLeak {
        affiliate_name: names.get(&leak.affiliate_id).cloned().unwrap_or_default(),
        leak,
    };
    Ok(CodeLeaks { codes: found.into_iter().map(named).collect(), is_incomplete })
}
