//! Rollups: clicks and conversions counted by time, coupon code, offer, partner and advertiser, and
//! by one further value such as `sub1`.
//!
//! A quarter hour is the largest unit that divides the hours and days of every time zone, so one
//! set of rollups serves all zones. Each visit has exactly one class: impression, bot, invalid,
//! duplicate or valid. Gross counts all classes except impressions; total = gross − bot − invalid −
//! duplicate; unique ⊂ total.
//!
//! All rollups are derived from the click archive and from the conversions. Counts of clicks and
//! counts of conversions are separate, so each can be rebuilt alone.

mod collect;
mod pack;
mod query;
#[cfg(test)]
mod tests;
mod tiers;

use std::ops::{AddAssign, Neg, Range};

use coupon_shared::click::Click;
use coupon_shared::transaction_id::TransactionId;

use super::{ReadTx, StoreError, WriteTx, bot_list, click_terms};
use crate::classification::{self, Classification, VisitClass, VisitPlace};
use collect::Collection;
use pack::Numbers;

pub use collect::OTHER;
pub use pack::PackError;

/// A quarter hour in milliseconds.
pub const SLOT_MS: u64 = 900_000;
const SLOTS_PER_HOUR: u64 = 4;
const SLOTS_PER_DAY: u64 = 24 * SLOTS_PER_HOUR;

/// The further value of a rollup series, beside ids and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueDimension {
    /// No further value.
    Base,
    /// `sub1` to `sub10`, by its number.
    Sub(u8),
    /// A word of [`coupon_rules::agent::Device`].
    DeviceType,
    /// Two upper-case letters.
    Country,
    /// A name of [`coupon_rules::agent::Platform`].
    Platform,
    /// A name of [`coupon_rules::agent::Browser`].
    Browser,
    /// `source_id` of the link.
    SourceId,
    /// As [`VisitPlace::region_value`].
    Region,
    /// As [`VisitPlace::city_value`].
    City,
}

impl ValueDimension {
    /// The breakdowns with a value.
    pub const VALUED: [ValueDimension; 17] = [
        ValueDimension::Sub(1),
        ValueDimension::Sub(2),
        ValueDimension::Sub(3),
        ValueDimension::Sub(4),
        ValueDimension::Sub(5),
        ValueDimension::Sub(6),
        ValueDimension::Sub(7),
        ValueDimension::Sub(8),
        ValueDimension::Sub(9),
        ValueDimension::Sub(10),
        ValueDimension::DeviceType,
        ValueDimension::Country,
        ValueDimension::Platform,
        ValueDimension::Browser,
        ValueDimension::SourceId,
        ValueDimension::Region,
        ValueDimension::City,
    ];

    /// Whether a day of a partner keeps only some values and counts the rest as [`OTHER`]: partners
    /// choose the values, or a database has very many.
    #[must_use]
    pub fn is_limited(self) -> bool {
        matches!(
            self,
            ValueDimension::Sub(_)
                | ValueDimension::SourceId
                | ValueDimension::Region
                | ValueDimension::City
        )
    }

    /// Stored number; never changes.
    fn number(self) -> u8 {
        match self {
            ValueDimension::Base => 0,
            ValueDimension::Sub(number) => number,
            ValueDimension::DeviceType => 16,
            ValueDimension::Country => 17,
            ValueDimension::Platform => 18,
            ValueDimension::Browser => 19,
            ValueDimension::SourceId => 20,
            ValueDimension::Region => 21,
            ValueDimension::City => 22,
        }
    }
}

macro_rules! measures {
    (counts { $($(#[$count_doc:meta])* $count:ident,)* }
     amounts { $($(#[$amount_doc:meta])* $amount:ident,)* }) => {
        /// The counters. In a difference, any may be negative.
        ///
        /// Amounts have 128 bits: the amount of a conversion is below 10^15, there are at most 2^32
        /// conversions, and the amount of a click is below 10^19, so no sum overflows.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct Measures {
            $($(#[$count_doc])* pub $count: i64,)*
            $($(#[$amount_doc])* pub $amount: i128,)*
        }

        impl Measures {
            const COUNTS: usize = [$(stringify!($count)),*].len();
            const AMOUNTS: usize = [$(stringify!($amount)),*].len();

            /// In stored order, which never changes: counts, then amounts.
            fn to_numbers(self) -> Numbers {
                Numbers { counts: [$(self.$count),*], amounts: [$(self.$amount),*] }
            }

            fn from_numbers(numbers: Numbers) -> Measures {
                let Numbers { counts: [$($count),*], amounts: [$($amount),*] } = numbers;
                Measures { $($count,)* $($amount,)* }
            }
        }
    };
}

measures! {
    counts {
    /// Shown, not followed.
    impressions,
    /// All recorded visits except impressions.
    gross,
    /// Visits without redirect to the offer.
    invalid,
    /// Visits repeated by the same visitor within seconds.
    duplicate,
    /// Visits by programs.
    bot,
    /// Valid clicks that are the first of a session.
    unique,
    /// Approved base conversions.
    cv,
    /// Approved event conversions.
    event_cv,
    /// Conversions that wait for approval.
    pending_cv,
    /// Rejected conversions.
    rejected_cv,
    /// Postbacks without a valid conversion.
    invalid_cv,
    /// Visits that the offer refused and its fail traffic sent to another offer. They are gross
    /// clicks of that offer, not of this one.
    failed_over,
    }
    amounts {
    /// Payout of base conversions, in millionths.
    payout,
    /// Revenue of base conversions, in millionths.
    revenue,
    /// Payout of events, in millionths.
    event_payout,
    /// Revenue of events, in millionths.
    event_revenue,
    /// Sale amounts, in millionths.
    sale,
    /// Payout of clicks, in billionths.
    click_payout,
    /// Revenue of clicks, in billionths.
    click_revenue,
    }
}

impl Measures {
    /// Valid clicks: neither invalid nor duplicate nor by a bot.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.gross - self.invalid - self.duplicate - self.bot
    }
}

impl AddAssign for Measures {
    fn add_assign(&mut self, other: Measures) {
        let mut sum = self.to_numbers();
        sum.add(&other.to_numbers(), 1);
        *self = Measures::from_numbers(sum);
    }
}

impl Neg for Measures {
    type Output = Measures;

    fn neg(self) -> Measures {
        let mut negative = Numbers::default();
        negative.add(&self.to_numbers(), -1);
        Measures::from_numbers(negative)
    }
}

/// Dimensions of breakdowns and filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Coupon code.
    Code,
    /// Offer.
    Offer,
    /// Partner.
    Affiliate,
    /// Advertiser.
    Advertiser,
}

/// Ids of a visit or conversion; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Ids {
    code: u32,
    offer: u32,
    affiliate: u32,
    advertiser: u32,
}

impl Ids {
    fn id_of(self, dimension: Dimension) -> u32 {
        match dimension {
            Dimension::Code => self.code,
            Dimension::Offer => self.offer,
            Dimension::Affiliate => self.affiliate,
            Dimension::Advertiser => self.advertiser,
        }
    }
}

/// Filter: a dimension has one of these ids.
#[derive(Debug, Clone)]
pub struct OneOf {
    /// The dimension.
    pub dimension: Dimension,
    /// The ids.
    pub ids: Vec<u32>,
}

/// A query of rollups.
#[derive(Debug, Clone)]
pub struct Question {
    /// Quarter hours, end exclusive.
    pub slots: Range<u64>,
    /// Breakdown by dimensions.
    pub by: Vec<Dimension>,
    /// Breakdown by time: starts of the spans, as ascending quarter hours. Earlier counts belong to
    /// the first span.
    pub spans: Vec<u64>,
    /// Breakdown by a further value.
    pub value_dimension: ValueDimension,
    /// All must hold.
    pub filters: Vec<OneOf>,
}

/// Visits the counted groups: start of the span (0 without spans), ids in the order of `by`, the
/// further value (empty for none), the currency of the money (empty without money), and the
/// measures. A group may occur several times, with parts of its sum; a part may be negative.
pub fn query(
    connection: &ReadTx<'_>,
    question: &Question,
    visit: impl FnMut(u64, &[u32], &str, &str, &Measures),
) -> Result<(), StoreError> {
    query::query(connection, question, visit)
}

/// Origin of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum MeasureSource {
    Clicks = 1,
    Conversions = 2,
    /// Clicks classified again by another bot list; not in reports until they replace the former
    /// counts.
    JudgedAgain = 3,
}

/// Counts of a conversion, or the difference made by a change.
#[derive(Debug, Clone)]
pub struct ConversionCount {
    /// Time of the conversion, also for a change.
    pub unix_ms: u64,
    /// Coupon code; 0 for none.
    pub code_id: u32,
    /// Offer; 0 for none.
    pub offer_id: u32,
    /// Partner; 0 for none.
    pub affiliate_id: u32,
    /// Advertiser; 0 for none.
    pub advertiser_id: u32,
    /// Currency of the money.
    pub currency: String,
    /// Further values of its click, such as `sub1`; without empty ones.
    pub values: Vec<(ValueDimension, String)>,
    /// The differences.
    pub measures: Measures,
}

/// Adds counts of conversions.
pub fn count_conversions(tx: &WriteTx<'_>, counts: &[ConversionCount]) -> Result<(), StoreError> {
    let mut collection = Collection::new(MeasureSource::Conversions);
    for count in counts {
        collection.conversion(count);
    }
    collection.write(tx)
}

/// Deletes the counts of conversions, before a recount.
pub fn delete_conversions(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    tiers::delete(tx, MeasureSource::Conversions, 0)
}

/// Whether older rules than these counted the conversions.
pub fn are_conversions_outdated(connection: &ReadTx<'_>, rules: u32) -> Result<bool, StoreError> {
    let sql = "SELECT conversion_count_rules < ?1 FROM meta";
    Ok(connection.prepare_cached(sql)?.query_row([rules], |row| row.get(0))?)
}

/// Records that these rules counted all conversions.
pub fn set_conversion_rules(tx: &WriteTx<'_>, rules: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE meta SET conversion_count_rules = ?1", [rules])?;
    Ok(())
}

/// Deletes the counts of clicks from a quarter hour on, before a recount. It is the first of a UTC
/// day: earlier counts may exceed the archive's content.
pub fn delete_clicks(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    delete_turned(tx, from_slot)?;
    tiers::delete(tx, MeasureSource::Clicks, from_slot)
}

/// Deletes the counts of clicks classified again.
pub fn delete_judged_again(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    tiers::delete(tx, MeasureSource::JudgedAgain, 0)
}

/// Replaces the counts of clicks by the counts of clicks classified again, from a quarter hour on
/// that starts a day. No visit is reclassified as a click yet.
pub fn take_judged_again(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    tiers::replace(tx, MeasureSource::Clicks, MeasureSource::JudgedAgain, from_slot)?;
    delete_turned(tx, from_slot)
}

/// Deletes the reclassifications of bot visits as clicks, from a quarter hour on: they count as
/// bots again.
fn delete_turned(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    let mut first = TransactionId([0; 16]);
    first.0[..6].copy_from_slice(&(from_slot * SLOT_MS).to_be_bytes()[2..]);
    tx.execute("DELETE FROM turned_visit WHERE transaction_id >= ?1", [first.0])?;
    Ok(())
}

/// Counts a bot's visit with an approved conversion as a click; returns whether counts changed. A
/// repeat changes nothing. Must be called again after each recount of the visit.
///
/// The visit must be counted already, found through the store's positions. A visit of a day outside
/// the present bot list's range keeps its class. With another place than the visit was counted for,
/// as by a newer database, two places show the change.
pub fn turn_into_click(
    tx: &WriteTx<'_>,
    click: &Click<'_>,
    place: &VisitPlace,
) -> Result<bool, StoreError> {
    let bots = bot_list::in_force(tx)?;
    let terms = click_terms::history_of_offers(tx, [click.head.offer_id])?;
    let before = classification::classify_without_history(click, &bots, &terms, false);
    if before.class != VisitClass::Bot || !bot_list::covers_slot(tx, click.head.unix_ms / SLOT_MS)?
    {
        return Ok(false);
    }
    let sql = "INSERT OR IGNORE INTO turned_visit (transaction_id) VALUES (?1)";
    let is_new = tx.prepare_cached(sql)?.execute([click.head.transaction_id.0])? > 0;
    if is_new {
        let after = classification::classify_without_history(click, &bots, &terms, true);
        let mut turned = Collection::new(MeasureSource::Clicks);
        turned.click(click, &before, place, -measures(&before));
        turned.click(click, &after, place, measures(&after));
        turned.write(tx)?;
    }
    Ok(is_new)
}

/// Collects counts of clicks in memory, written once per batch.
pub struct Rollups(Collection);

impl Default for Rollups {
    fn default() -> Rollups {
        Rollups(Collection::new(MeasureSource::Clicks))
    }
}

impl Rollups {
    /// Collects counts of clicks classified again, beside the present counts.
    #[must_use]
    pub fn judged_again() -> Rollups {
        Rollups(Collection::new(MeasureSource::JudgedAgain))
    }

    /// Counts a click by its classification and its place.
    pub fn count(
        &mut self,
        click: &Click<'_>,
        classification: &Classification,
        place: &VisitPlace,
    ) {
        self.0.click(click, classification, place, measures(classification));
        if classification.class != VisitClass::Impression {
            self.0.failed_over(click, classification, place);
        }
    }

    /// Writes the collected counts.
    pub fn apply(&self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        self.0.write(tx)
    }
}

fn measures(classification: &Classification) -> Measures {
    let pay = classification.pay.as_ref().map_or((0, 0), |pay| (pay.payout, pay.revenue));
    let gross = Measures {
        gross: 1,
        click_payout: pay.0.into(),
        click_revenue: pay.1.into(),
        ..Measures::default()
    };
    match classification.class {
        VisitClass::Impression => Measures { impressions: 1, ..Measures::default() },
        VisitClass::Bot => Measures { bot: 1, ..gross },
        VisitClass::Invalid => Measures { invalid: 1, ..gross },
        VisitClass::Duplicate => Measures { duplicate: 1, ..gross },
        VisitClass::NonUnique | VisitClass::ConvertedBot => gross,
        VisitClass::Unique => Measures { unique: 1, ..gross },
    }
}
