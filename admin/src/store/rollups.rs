//! What reports count: clicks and conversions by time, coupon code, offer, partner and advertiser,
//! and by one value beside them, such as `sub1`.
//!
//! A quarter hour is the largest unit that falls on the hours and days of every time zone, so one
//! set of rollups serves them all. Each visit is in exactly one class: an impression, or else gross
//! and of gross at most one of bot, invalid and duplicate; the others are the total. So
//! total = gross − bot − invalid − duplicate, and unique ⊂ total.
//!
//! Everything here is derived: of the click archive, and of the conversions. What was counted of
//! clicks is kept apart from what was counted of conversions, so that each can be rebuilt alone.

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
use crate::classification::{self, Classification, VisitClass};
use collect::Collection;
use pack::Numbers;

pub use collect::OTHER;
pub use pack::PackError;

/// A quarter hour in milliseconds.
pub const SLOT_MS: u64 = 900_000;
const SLOTS_PER_HOUR: u64 = 4;
const SLOTS_PER_DAY: u64 = 24 * SLOTS_PER_HOUR;

/// The value that counts are kept apart by, beside ids and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueDimension {
    /// None.
    Base,
    /// `sub1` to `sub5`, by its number.
    Sub(u8),
    /// `desktop`, `mobile`, `tablet` or `other`.
    DeviceType,
    /// Two upper-case letters.
    Country,
}

impl ValueDimension {
    /// Those that have values.
    pub const VALUED: [ValueDimension; 7] = [
        ValueDimension::Sub(1),
        ValueDimension::Sub(2),
        ValueDimension::Sub(3),
        ValueDimension::Sub(4),
        ValueDimension::Sub(5),
        ValueDimension::DeviceType,
        ValueDimension::Country,
    ];

    /// As stored, for ever.
    fn number(self) -> u8 {
        match self {
            ValueDimension::Base => 0,
            ValueDimension::Sub(number) => number,
            ValueDimension::DeviceType => 16,
            ValueDimension::Country => 17,
        }
    }
}

macro_rules! measures {
    (counts { $($(#[$count_doc:meta])* $count:ident,)* }
     amounts { $($(#[$amount_doc:meta])* $amount:ident,)* }) => {
        /// What is counted. Of a difference, any may be negative.
        ///
        /// An amount is of 128 bits: that of one conversion is below 10^15, there are at most 2^32
        /// conversions, and a click's is below 10^19; so no sum of them leaves its range.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct Measures {
            $($(#[$count_doc])* pub $count: i64,)*
            $($(#[$amount_doc])* pub $amount: i128,)*
        }

        impl Measures {
            const COUNTS: usize = [$(stringify!($count)),*].len();
            const AMOUNTS: usize = [$(stringify!($amount)),*].len();

            /// In the order in which they are stored, for ever: counts, then amounts.
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
    /// All visits that were recorded and are no impressions.
    gross,
    /// Not redirected to the offer.
    invalid,
    /// The same visitor again within seconds.
    duplicate,
    /// Of programs, not of people.
    bot,
    /// Of the total, the first within a session.
    unique,
    /// Approved conversions of the base.
    cv,
    /// Approved conversions of events.
    event_cv,
    /// Conversions that wait for approval.
    pending_cv,
    /// Rejected conversions.
    rejected_cv,
    /// Postbacks that are no conversions.
    invalid_cv,
    }
    amounts {
    /// What partners get for conversions of the base, in millionths.
    payout,
    /// What advertisers pay for conversions of the base, in millionths.
    revenue,
    /// What partners get for events, in millionths.
    event_payout,
    /// What advertisers pay for events, in millionths.
    event_revenue,
    /// What was sold, in millionths.
    sale,
    /// What partners get for clicks, in billionths.
    click_payout,
    /// What advertisers pay for clicks, in billionths.
    click_revenue,
    }
}

impl Measures {
    /// Clicks that are neither invalid nor duplicate nor a bot's.
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

/// What a report can be broken down and filtered by.
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

/// The ids that a visit or conversion counts for; 0 for none.
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

/// What has one of these ids in a dimension.
#[derive(Debug, Clone)]
pub struct OneOf {
    /// Which dimension.
    pub dimension: Dimension,
    /// The ids.
    pub ids: Vec<u32>,
}

/// A question to the rollups.
#[derive(Debug, Clone)]
pub struct Question {
    /// Quarter hours, the last one exclusive.
    pub slots: Range<u64>,
    /// What counts are kept apart by.
    pub by: Vec<Dimension>,
    /// To keep counts apart by time: where the spans begin, as quarter hours, ascending. What is
    /// before the first is of the first.
    pub spans: Vec<u64>,
    /// The value that they are kept apart by, too.
    pub value_dimension: ValueDimension,
    /// All must hold.
    pub filters: Vec<OneOf>,
}

/// Hands over what was counted: the beginning of the span (0 when none were given), the ids in the
/// order of `question.by`, the family's value (empty for what has none), the currency of the money
/// in it (empty where there is no money), and the measures. A group may come more than once, with
/// parts of its sum; a part may be negative.
///
/// # Errors
/// When SQLite fails.
pub fn query(
    connection: &ReadTx<'_>,
    question: &Question,
    visit: impl FnMut(u64, &[u32], &str, &str, &Measures),
) -> Result<(), StoreError> {
    query::query(connection, question, visit)
}

/// Who counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum MeasureSource {
    Clicks = 1,
    Conversions = 2,
    /// Clicks once more, by another list of bots; not in any report until it takes their place.
    JudgedAgain = 3,
}

/// What a conversion, or a change of one, adds. Of a change, the difference.
#[derive(Debug, Clone)]
pub struct ConversionCount {
    /// When the conversion happened; of a change, the same again.
    pub unix_ms: u64,
    /// Coupon code, 0 for none.
    pub code_id: u32,
    /// Offer, 0 for none.
    pub offer_id: u32,
    /// Partner, 0 for none.
    pub affiliate_id: u32,
    /// Advertiser, 0 for none.
    pub advertiser_id: u32,
    /// Of the money in it.
    pub currency: String,
    /// What is known of its click beside the ids, such as `sub1`; families without a value are left
    /// out.
    pub values: Vec<(ValueDimension, String)>,
    /// The differences.
    pub measures: Measures,
}

/// Adds what was counted of conversions.
///
/// # Errors
/// When SQLite fails.
pub fn count_conversions(tx: &WriteTx<'_>, counts: &[ConversionCount]) -> Result<(), StoreError> {
    let mut collection = Collection::new(MeasureSource::Conversions);
    for count in counts {
        collection.conversion(count);
    }
    collection.write(tx)
}

/// Forgets what was counted of conversions, before all of them are counted again.
///
/// # Errors
/// When SQLite fails.
pub fn delete_conversions(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    tiers::delete(tx, MeasureSource::Conversions, 0)
}

/// Forgets what was counted of clicks from a quarter hour on, before they are counted again. It is
/// the first of a day of UTC: what was counted before may be more than the archive still has.
///
/// # Errors
/// When SQLite fails.
pub fn delete_clicks(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    delete_turned(tx, from_slot)?;
    tiers::delete(tx, MeasureSource::Clicks, from_slot)
}

/// Forgets what was counted of clicks that were judged again.
///
/// # Errors
/// When SQLite fails.
pub fn delete_judged_again(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    tiers::delete(tx, MeasureSource::JudgedAgain, 0)
}

/// Puts what was counted of clicks that were judged again in the place of what was counted of them
/// before, from a quarter hour on, which begins a day; none of these visits is turned into a click
/// yet.
///
/// # Errors
/// When SQLite fails.
pub fn take_judged_again(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    tiers::replace(tx, MeasureSource::Clicks, MeasureSource::JudgedAgain, from_slot)?;
    delete_turned(tx, from_slot)
}

/// Forgets which visits were turned into clicks, from a quarter hour on: they are counted as bots'.
fn delete_turned(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    let mut first = TransactionId([0; 16]);
    first.0[..6].copy_from_slice(&(from_slot * SLOT_MS).to_be_bytes()[2..]);
    tx.execute("DELETE FROM turned_visit WHERE transaction_id >= ?1", [first.0])?;
    Ok(())
}

/// Counts a visit that was counted as a bot's as what it is where a conversion that was approved came
/// from it; answers whether it changed anything. A repeat changes nothing. It has to be done again
/// whenever the visit was counted anew.
///
/// The visit must be counted already: it must have been found through the store's positions. One of a
/// day that the list in force does not reach stays what it was counted as.
///
/// # Errors
/// When SQLite fails.
pub fn turn_into_click(tx: &WriteTx<'_>, click: &Click<'_>) -> Result<bool, StoreError> {
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
        turned.click(click, &before, -measures(&before));
        turned.click(click, &after, measures(&after));
        turned.write(tx)?;
    }
    Ok(is_new)
}

/// Counts of clicks collected in memory, so that a batch is written at once.
pub struct Rollups(Collection);

impl Default for Rollups {
    fn default() -> Rollups {
        Rollups(Collection::new(MeasureSource::Clicks))
    }
}

impl Rollups {
    /// Of clicks that are judged again, beside what is counted of them.
    #[must_use]
    pub fn judged_again() -> Rollups {
        Rollups(Collection::new(MeasureSource::JudgedAgain))
    }

    /// Counts a click as what it was judged to be.
    pub fn count(&mut self, click: &Click<'_>, classification: &Classification) {
        self.0.click(click, classification, measures(classification));
    }

    /// Adds what was collected.
    ///
    /// # Errors
    /// When SQLite fails.
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
