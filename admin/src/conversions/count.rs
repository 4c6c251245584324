//! What reports count of a conversion, and what a change of it adds.

use crate::catalog::Money;
use crate::store::conversions::{self, Conversion, Filters, Status};
use crate::store::rollups::{self, ConversionCount, Family, Measures};
use crate::store::{Store, StoreError, WriteTx};

/// What the conversions of one transaction add, written at its end: many cost little more than one.
#[derive(Default)]
pub(super) struct Counts(Vec<ConversionCount>);

impl Counts {
    /// A new conversion, or the difference that a change makes.
    pub(super) fn add(&mut self, before: Option<&Conversion>, after: &Conversion) {
        let is_same = |before: &Conversion| parts(before) == parts(after);
        if before.is_some_and(is_same) {
            return;
        }
        let taken_back = before.into_iter().flat_map(counts);
        self.0
            .extend(taken_back.map(|count| ConversionCount { measures: -count.measures, ..count }));
        self.0.extend(counts(after));
    }

    pub(super) fn write(self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        if self.0.is_empty() { Ok(()) } else { rollups::count_conversions(tx, &self.0) }
    }
}

/// Conversions that are counted at once.
const CHUNK: usize = 1_000;

/// Forgets what was counted of conversions and counts all of them again; answers how many there are.
///
/// # Errors
/// When the store fails; then everything stays as it was.
pub async fn recount(store: &Store) -> Result<u64, StoreError> {
    store.write(count_all).await
}

fn count_all(tx: &WriteTx<'_>) -> Result<u64, StoreError> {
    rollups::forget_conversions(tx)?;
    let (mut counted, mut outcome, mut chunk) = (0, Ok(()), Vec::with_capacity(CHUNK));
    conversions::each(tx, &Filters::default(), |row| {
        counted += 1;
        chunk.extend(counts(&row.conversion));
        if chunk.len() >= CHUNK {
            outcome = rollups::count_conversions(tx, &chunk);
            chunk.clear();
        }
        outcome.is_ok()
    })?;
    outcome?;
    rollups::count_conversions(tx, &chunk)?;
    Ok(counted)
}

/// What a conversion adds, by currency.
fn counts(conversion: &Conversion) -> impl Iterator<Item = ConversionCount> {
    let count = |(currency, measures): (String, Measures)| ConversionCount {
        unix_ms: conversion.unix_ms,
        code_id: conversion.code_id,
        offer_id: conversion.offer_id,
        affiliate_id: conversion.affiliate_id,
        advertiser_id: conversion.advertiser_id,
        currency,
        values: values(conversion),
        measures,
    };
    let counted = |(_, measures): &(String, Measures)| *measures != Measures::default();
    parts(conversion).into_iter().filter(counted).map(count)
}

/// What is counted in the currency of payout and revenue, and what in that of the sale.
fn parts(conversion: &Conversion) -> [(String, Measures); 2] {
    let mut sale = Measures::default();
    if conversion.status == Status::Approved {
        sale.sale = Money::millionths(conversion.sale_amount).into();
    }
    [(conversion.currency.clone(), measures(conversion)), (conversion.sale_currency.clone(), sale)]
}

fn values(conversion: &Conversion) -> Vec<(Family, String)> {
    let values = [
        (Family::Sub(1), &conversion.sub1),
        (Family::Sub(2), &conversion.sub2),
        (Family::Sub(3), &conversion.sub3),
        (Family::Sub(4), &conversion.sub4),
        (Family::Sub(5), &conversion.sub5),
        (Family::DeviceType, &conversion.device_type),
        (Family::Country, &conversion.country),
    ];
    let said = values.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(family, value)| (family, value.clone())).collect()
}

/// All but the sale.
fn measures(conversion: &Conversion) -> Measures {
    let mut measures = Measures::default();
    match conversion.status {
        // What a refund takes back counts with its order.
        Status::Approved | Status::Pending | Status::Rejected if conversion.is_refund() => {}
        Status::Pending => measures.pending_cv = 1,
        Status::Rejected => measures.rejected_cv = 1,
        Status::Invalid => measures.invalid_cv = 1,
        Status::Approved => {
            let (payout, revenue) =
                (conversion.payout.millionths().into(), conversion.revenue.millionths().into());
            if conversion.event_id == 0 {
                measures.cv = 1;
                (measures.payout, measures.revenue) = (payout, revenue);
            } else {
                measures.event_cv = 1;
                (measures.event_payout, measures.event_revenue) = (payout, revenue);
            }
        }
    }
    measures
}
