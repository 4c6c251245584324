//! The report measures of a conversion, and the difference that a change makes.

use coupon_geo::Databases;

use crate::catalog::Money;
use crate::classification::VisitPlace;
use crate::store::conversions::{self, Conversion, Filters, Status};
use crate::store::rollups::{self, ConversionCount, Measures, ValueDimension};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

/// The measures of a transaction, written once at its end: many rows cost little more than one.
#[derive(Default)]
pub(super) struct Counts(Vec<ConversionCount>);

impl Counts {
    /// Adds a new conversion, or with `before` the difference of a change.
    pub(super) fn add(&mut self, before: Option<&Conversion>, after: &Conversion) {
        let is_same =
            |before: &Conversion| measures_by_currency(before) == measures_by_currency(after);
        if before.is_some_and(is_same) {
            return;
        }
        let subtracted = before.into_iter().flat_map(counts);
        self.0
            .extend(subtracted.map(|count| ConversionCount { measures: -count.measures, ..count }));
        self.0.extend(counts(after));
    }

    pub(super) fn write(self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        if self.0.is_empty() { Ok(()) } else { rollups::count_conversions(tx, &self.0) }
    }
}

/// Rows that are written at once.
const CHUNK: usize = 1_000;
/// Increases with each change of the values and measures that a conversion counts for: a change of a
/// conversion subtracts what the present rules say that it counted for.
///
/// 1: counted by platform, browser and source id. 2: by `sub6` to `sub10`.
const RULES_VERSION: u32 = 2;

/// Counts all conversions again if an older program counted them. Returns their number then.
///
/// # Errors
/// On an error of the store the old counts stay.
pub async fn recount_if_outdated(store: &Store) -> Result<Option<u64>, StoreError> {
    let is_outdated =
        |connection: &ReadTx<'_>| rollups::are_conversions_outdated(connection, RULES_VERSION);
    match store.read(is_outdated).await? {
        true => recount(store).await.map(Some),
        false => Ok(None),
    }
}

/// Deletes the counts of all conversions and counts them again. Returns the number of conversions.
///
/// # Errors
/// On an error of the store the old counts stay.
pub async fn recount(store: &Store) -> Result<u64, StoreError> {
    store.write(count_all).await
}

/// The same, after a look-up of the places that are not known yet.
///
/// # Errors
/// On an error of the store.
pub fn recount_with_places(tx: &WriteTx<'_>, databases: &Databases) -> Result<u64, StoreError> {
    conversions::fill_places(tx, |address| VisitPlace::look_up(address, databases))?;
    count_all(tx)
}

fn count_all(tx: &WriteTx<'_>) -> Result<u64, StoreError> {
    if rollups::are_conversions_outdated(tx, RULES_VERSION)? {
        conversions::fill_agents(tx)?;
        rollups::set_conversion_rules(tx, RULES_VERSION)?;
    }
    rollups::delete_conversions(tx)?;
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

/// The counts of a conversion, one for each currency.
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
    measures_by_currency(conversion).into_iter().filter(counted).map(count)
}

/// The measures in the currency of payout and revenue, then those in the currency of the sale.
fn measures_by_currency(conversion: &Conversion) -> [(String, Measures); 2] {
    let mut sale = Measures::default();
    if conversion.status == Status::Approved {
        sale.sale = Money::millionths(conversion.sale_amount).into();
    }
    [(conversion.currency.clone(), measures(conversion)), (conversion.sale_currency.clone(), sale)]
}

fn values(conversion: &Conversion) -> Vec<(ValueDimension, String)> {
    let place = VisitPlace {
        country: conversion.country.clone(),
        region: conversion.region.clone(),
        city: conversion.city.clone(),
    };
    let (region, city) = (place.region_value(), place.city_value());
    let further = |name| conversion.further.get(name);
    let values = [
        (ValueDimension::Sub(1), conversion.sub1.as_str()),
        (ValueDimension::Sub(2), &conversion.sub2),
        (ValueDimension::Sub(3), &conversion.sub3),
        (ValueDimension::Sub(4), &conversion.sub4),
        (ValueDimension::Sub(5), &conversion.sub5),
        (ValueDimension::Sub(6), further("sub6")),
        (ValueDimension::Sub(7), further("sub7")),
        (ValueDimension::Sub(8), further("sub8")),
        (ValueDimension::Sub(9), further("sub9")),
        (ValueDimension::Sub(10), further("sub10")),
        (ValueDimension::DeviceType, &conversion.device_type),
        (ValueDimension::Country, &place.country),
        (ValueDimension::Region, &region),
        (ValueDimension::City, &city),
        (ValueDimension::Platform, &conversion.platform),
        (ValueDimension::Browser, &conversion.browser),
        (ValueDimension::SourceId, &conversion.source_id),
    ];
    let present = values.into_iter().filter(|(_, value)| !value.is_empty());
    present.map(|(family, value)| (family, value.to_owned())).collect()
}

/// All measures but the sale amount.
fn measures(conversion: &Conversion) -> Measures {
    let mut measures = Measures::default();
    match conversion.status {
        // The deduction of a refund changes the measures of its order.
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
