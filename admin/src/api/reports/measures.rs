//! What is told of a group: counts, money of one currency, and ratios of them.
//!
//! Money of several currencies is never added up. A group has one currency: the one that was asked
//! for, else the only one in which its payout and revenue are, or, where there is neither, its
//! sales. An amount that is also, or only, in another currency is null, and so is what is computed
//! from it; an amount of nothing is 0. Only money makes a currency: a conversion that is counted
//! without an amount, such as an invalid one, changes the currency of nothing. Counts are of
//! everything, whatever its currency.
//!
//! Sums are exact, in billionths, because a thousandth of an amount is counted for a click that is
//! paid by the thousand. They are rounded to [`SCALE`] places, half away from zero, where they are
//! shown.

use std::collections::BTreeSet;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

use super::sheet::Cell;
use crate::catalog::Money;
use crate::store::rollups::Measures;

/// Digits after the point, of money and of ratios.
const SCALE: u32 = 6;

/// A decimal number, or null where currencies would be mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(Option<Decimal>);

impl Amount {
    /// Of an exact sum.
    pub(super) fn billionths(sum: Option<i128>) -> Amount {
        Amount(sum.map(|sum| rounded(decimal(sum))))
    }

    /// Zero where there is nothing to divide by.
    fn ratio(part: Option<Decimal>, whole: Decimal) -> Amount {
        Amount(part.map(|part| rounded(part.checked_div(whole).unwrap_or_default())))
    }
}

fn rounded(exact: Decimal) -> Decimal {
    exact.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointAwayFromZero).normalize()
}

/// Exact up to 79 quintillion; beyond that without the last three places, which are not shown.
fn decimal(billionths: i128) -> Decimal {
    Decimal::try_from_i128_with_scale(billionths, 9)
        .or_else(|_| Decimal::try_from_i128_with_scale(billionths / 1_000, 6))
        .unwrap_or(if billionths < 0 { Decimal::MIN } else { Decimal::MAX })
}

impl utoipa::PartialSchema for Amount {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let kinds = SchemaType::from_iter([Type::Number, Type::Null]);
        ObjectBuilder::new().schema_type(kinds).examples([12.5]).into()
    }
}

impl utoipa::ToSchema for Amount {}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.map_or_else(|| "null".into(), |number| number.to_string());
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl From<&Amount> for Cell {
    fn from(amount: &Amount) -> Cell {
        Cell::Number(amount.0.map(|number| number.to_string()).unwrap_or_default())
    }
}

impl From<Option<Money>> for Amount {
    fn from(money: Option<Money>) -> Amount {
        Amount(money.map(Money::decimal))
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Amount {
        Amount(Some(money.decimal()))
    }
}

/// Money of a group, in billionths.
pub(super) type MoneyOf = fn(&Measures) -> i128;

/// What was counted of a group, by currency.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    counts: Measures,
    money: Vec<(u16, Measures)>,
}

impl Group {
    /// Adds counts, with money of this currency or none.
    pub(super) fn add(&mut self, currency: Option<u16>, measures: Measures) {
        self.counts += measures;
        if let Some(currency) = currency {
            *self.of_currency(currency) += measures;
        }
    }

    /// Adds what was counted of another group.
    pub(super) fn join(&mut self, other: &Group) {
        self.counts += other.counts;
        for (currency, measures) in &other.money {
            *self.of_currency(*currency) += *measures;
        }
    }

    fn of_currency(&mut self, currency: u16) -> &mut Measures {
        let at = self.money.iter().position(|(known, _)| *known == currency);
        let at = at.unwrap_or_else(|| {
            self.money.push((currency, Measures::default()));
            self.money.len() - 1
        });
        &mut self.money[at].1
    }

    pub(super) fn gross(&self) -> i64 {
        self.counts.gross
    }

    /// The currencies in which there is money that `R` shows.
    pub(super) fn currencies<R: Reporting>(&self) -> impl Iterator<Item = u16> {
        let has = |money: &Measures| R::MONEY.iter().any(|of| has_any(of, money));
        self.money.iter().filter(move |(_, money)| has(money)).map(|(currency, _)| *currency)
    }

    /// In one currency.
    pub(super) fn sums<R: Reporting>(&self, currencies: &Currencies) -> Sums {
        let sums = |currency: String, of: Option<u16>| {
            let own = self.money.iter().find(|(known, _)| Some(*known) == of);
            let own = own.map(|(_, money)| *money).unwrap_or_default();
            Sums { counts: self.counts, currency, own, others: Vec::new() }
        };
        if let Some(asked) = &currencies.asked {
            return sums(asked.clone(), currencies.number(asked));
        }
        // What there is most to know of comes first: of sales, where nothing is paid for them.
        let in_order = R::MONEY.iter().map(|of| {
            let with = self.money.iter().filter(|(_, money)| has_any(of, money));
            with.map(|(currency, _)| *currency).collect::<Vec<_>>()
        });
        let found = in_order.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        let mut sums = match found.as_slice() {
            [] => return sums(currencies.usual.clone(), None),
            [only] => sums(currencies.name(*only), Some(*only)),
            _ => sums(String::new(), None),
        };
        let only = found.first().filter(|_| found.len() == 1);
        let others = self.money.iter().filter(|(currency, _)| Some(currency) != only);
        sums.others = others.map(|(_, money)| *money).collect();
        sums
    }
}

fn has_any(of: &[MoneyOf], money: &Measures) -> bool {
    of.iter().any(|of| of(money) != 0)
}

/// The currencies that occur.
#[derive(Debug, Default)]
pub(super) struct Currencies {
    known: Vec<String>,
    /// The one that was asked for.
    asked: Option<String>,
    /// Named where there is no money.
    usual: String,
}

impl Currencies {
    pub(super) fn new(asked: Option<String>, usual: String) -> Currencies {
        Currencies { known: Vec::new(), asked, usual }
    }

    /// The currency's number; none for no currency.
    pub(super) fn take(&mut self, currency: &str) -> Option<u16> {
        if currency.is_empty() {
            return None;
        }
        self.number(currency).or_else(|| {
            self.known.push(currency.into());
            u16::try_from(self.known.len() - 1).ok()
        })
    }

    fn number(&self, currency: &str) -> Option<u16> {
        let at = self.known.iter().position(|known| known == currency)?;
        u16::try_from(at).ok()
    }

    fn name(&self, number: u16) -> String {
        self.known.get(usize::from(number)).cloned().unwrap_or_default()
    }

    /// The names of these, in the order of the alphabet.
    pub(super) fn sorted(&self, numbers: impl Iterator<Item = u16>) -> Vec<String> {
        numbers.map(|number| self.name(number)).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A group's counts, and its money in one currency.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    counts: Measures,
    /// Empty where it has several.
    currency: String,
    /// In that currency.
    own: Measures,
    /// In each of the others; none where one was asked for.
    others: Vec<Measures>,
}

impl Sums {
    /// None where there is any of it in another currency.
    fn sum(&self, of: MoneyOf) -> Option<i128> {
        self.others.iter().all(|money| of(money) == 0).then(|| of(&self.own))
    }

    fn profit(&self) -> Option<i128> {
        Some(self.sum(revenue)? - self.sum(payout)?)
    }

    fn money(&self, of: MoneyOf) -> Amount {
        Amount::billionths(self.sum(of))
    }

    fn money_per(&self, of: MoneyOf, whole: i64) -> Amount {
        Amount::ratio(self.sum(of).map(decimal), whole.into())
    }

    /// Of money in one currency belong only the conversions in it.
    fn money_per_cv(&self, of: MoneyOf) -> Amount {
        self.money_per(of, self.own.cv)
    }

    fn money_per_click(&self, of: MoneyOf) -> Amount {
        self.money_per(of, self.counts.total())
    }

    fn percent(&self, part: i64, whole: i64) -> Amount {
        Amount::ratio(Some(Decimal::from(part) * Decimal::ONE_HUNDRED), whole.into())
    }

    fn margin(&self) -> Amount {
        let percent = self.profit().map(|profit| decimal(profit * 100));
        Amount::ratio(percent, decimal(self.sum(revenue).unwrap_or_default()))
    }
}

/// A measure that is kept in millionths.
fn of_millionths(sum: i128) -> i128 {
    sum * 1_000
}

fn payout(money: &Measures) -> i128 {
    of_millionths(money.payout + money.event_payout) + money.click_payout
}

fn revenue(money: &Measures) -> i128 {
    of_millionths(money.revenue + money.event_revenue) + money.click_revenue
}

fn event_revenue(money: &Measures) -> i128 {
    of_millionths(money.event_revenue)
}

fn sale(money: &Measures) -> i128 {
    of_millionths(money.sale)
}

/// What a report tells of each group.
pub(super) trait Reporting: Serialize + utoipa::ToSchema {
    /// The names of what can be sorted by.
    const MEASURES: &'static [&'static str];
    /// The columns of a file.
    const NAMES: &'static [&'static str];
    /// The money that is shown. The currency of the first list in which there is any is the group's.
    const MONEY: &'static [&'static [MoneyOf]];

    fn of(sums: &Sums) -> Self;

    /// To sort by: the number of the measure at this place, least where there is none.
    fn figure(&self, at: usize) -> Amount;

    /// In the order of the names.
    fn cells(&self) -> Vec<Cell>;
}

impl From<i64> for Amount {
    fn from(count: i64) -> Amount {
        Amount(Some(count.into()))
    }
}

macro_rules! reporting {
    ($(#[$about:meta])* $name:ident as $schema:ident with $money:expr => {
        $($(#[$doc:meta])* $field:ident: $kind:ty = $of:expr),+ $(,)?
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name {
            $($(#[$doc])* $field: $kind,)+
            /// Of the money here; empty where there are several. Money that is not in it is null.
            currency_id: String,
        }

        impl Reporting for $name {
            const MEASURES: &'static [&'static str] = &[$(stringify!($field)),+];
            const NAMES: &'static [&'static str] = &[$(stringify!($field),)+ "currency_id"];
            const MONEY: &'static [&'static [MoneyOf]] = $money;

            fn of(sums: &Sums) -> $name {
                $(let $field: fn(&Sums) -> $kind = $of;)+
                $name { $($field: $field(sums),)+ currency_id: sums.currency.clone() }
            }

            fn figure(&self, at: usize) -> Amount {
                let figures = [$(Amount::from(self.$field)),+];
                figures.get(at).copied().unwrap_or(Amount(None))
            }

            fn cells(&self) -> Vec<Cell> {
                vec![$((&self.$field).into(),)+ (&self.currency_id).into()]
            }
        }
    };
}

reporting! {
    /// What the network sees. Ratios of nothing are 0; percentages are of 100.
    NetworkReporting as Reporting with &[&[payout, revenue], &[sale]] => {
        /// Impressions of the JavaScript SDK.
        imp: i64 = |sums| sums.counts.impressions,
        /// Visits that were sent on to an offer and are neither a bot's nor duplicates:
        /// `gross_click` − `bot_click` − `invalid_click` − `duplicate_click`.
        total_click: i64 = |sums| sums.counts.total(),
        /// Of `total_click`, the first of a visitor on an offer within the offer's session.
        unique_click: i64 = |sums| sums.counts.unique,
        /// Visits that were not sent on to the offer.
        invalid_click: i64 = |sums| sums.counts.invalid,
        /// The same visitor on the same offer, by the same partner, code and subs, again within seconds.
        duplicate_click: i64 = |sums| sums.counts.duplicate,
        /// Visits of programs, and those that only fetched ahead.
        bot_click: i64 = |sums| sums.counts.bot,
        /// All recorded visits; impressions are none.
        gross_click: i64 = |sums| sums.counts.gross,
        /// Approved conversions, without events.
        cv: i64 = |sums| sums.counts.cv,
        /// As `cv`: Everflow adds conversions after a mere impression, which are not made here.
        total_cv: i64 = |sums| sums.counts.cv,
        /// Approved conversions of events.
        event: i64 = |sums| sums.counts.event_cv,
        /// Conversions and events that wait for approval.
        pending_cv: i64 = |sums| sums.counts.pending_cv,
        /// Conversions and events that were rejected.
        rejected_cv: i64 = |sums| sums.counts.rejected_cv,
        /// Postbacks that could not be read or attributed.
        invalid_cv: i64 = |sums| sums.counts.invalid_cv,
        /// Conversions in percent of clicks: `cv` of `total_click`.
        cvr: Amount = |sums| sums.percent(sums.counts.cv, sums.counts.total()),
        /// Events in percent of conversions: `event` of `cv`.
        evr: Amount = |sums| sums.percent(sums.counts.event_cv, sums.counts.cv),
        /// Cost of a click: `payout` by `total_click`.
        cpc: Amount = |sums| sums.money_per_click(payout),
        /// Cost of a conversion: `payout` by the `cv` in this currency.
        cpa: Amount = |sums| sums.money_per_cv(payout),
        /// What partners earn with a click: `payout` by `total_click`.
        epc: Amount = |sums| sums.money_per_click(payout),
        /// Revenue of a click: `revenue` by `total_click`.
        rpc: Amount = |sums| sums.money_per_click(revenue),
        /// Revenue of a conversion: `revenue` by the `cv` in this currency.
        rpa: Amount = |sums| sums.money_per_cv(revenue),
        /// What partners get for approved conversions and events, and for clicks that are paid.
        payout: Amount = |sums| sums.money(payout),
        /// What advertisers pay for approved conversions and events, and for clicks that are paid.
        revenue: Amount = |sums| sums.money(revenue),
        /// Of `revenue`, the part for events.
        event_revenue: Amount = |sums| sums.money(event_revenue),
        /// `revenue` − `payout`
        profit: Amount = |sums| Amount::billionths(sums.profit()),
        /// `profit` in percent of `revenue`.
        margin: Amount = |sums| sums.margin(),
        /// What was sold, by the advertisers' amounts, in approved conversions and events.
        gross_sales: Amount = |sums| sums.money(sale),
        /// `gross_sales` by the `cv` in this currency.
        avg_sale_value: Amount = |sums| sums.money_per_cv(sale),
    }
}

reporting! {
    /// All that a partner sees of his clicks and sales. Ratios of nothing are 0; percentages are of
    /// 100.
    PartnerReporting as PartnerReporting with &[&[payout]] => {
        /// Impressions of the JavaScript SDK.
        imp: i64 = |sums| sums.counts.impressions,
        /// Visits that were sent on to an offer and are neither a bot's nor duplicates.
        total_click: i64 = |sums| sums.counts.total(),
        /// Of `total_click`, the first of a visitor on an offer within the offer's session.
        unique_click: i64 = |sums| sums.counts.unique,
        /// Visits that were not sent on to the offer.
        invalid_click: i64 = |sums| sums.counts.invalid,
        /// The same visitor on the same offer, by the same partner, code and subs, again within seconds.
        duplicate_click: i64 = |sums| sums.counts.duplicate,
        /// All recorded visits; impressions are none.
        gross_click: i64 = |sums| sums.counts.gross,
        /// Approved conversions, without events.
        cv: i64 = |sums| sums.counts.cv,
        /// As `cv`.
        total_cv: i64 = |sums| sums.counts.cv,
        /// Approved conversions of events.
        event: i64 = |sums| sums.counts.event_cv,
        /// Conversions and events that wait for approval.
        pending_cv: i64 = |sums| sums.counts.pending_cv,
        /// Conversions and events that were rejected.
        rejected_cv: i64 = |sums| sums.counts.rejected_cv,
        /// Conversions in percent of clicks: `cv` of `total_click`.
        cvr: Amount = |sums| sums.percent(sums.counts.cv, sums.counts.total()),
        /// Events in percent of conversions: `event` of `cv`.
        evr: Amount = |sums| sums.percent(sums.counts.event_cv, sums.counts.cv),
        /// What you earn with a click: `payout` by `total_click`.
        epc: Amount = |sums| sums.money_per_click(payout),
        /// What you get for approved conversions and events, and for clicks that are paid.
        payout: Amount = |sums| sums.money(payout),
    }
}
