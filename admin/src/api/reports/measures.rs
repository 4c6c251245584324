//! What is told of a group: counts, money of one currency, and ratios of them.
//!
//! Money of several currencies is never added up. A group's money is in the currency that was asked
//! for, else in its only one; where it has several and none was asked for, money and what is
//! computed from it is null. Counts are of everything, whatever its currency.

use std::ops::AddAssign;

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
    fn millionths(number: Option<i64>) -> Amount {
        Amount(number.map(|number| Decimal::new(number, SCALE).normalize()))
    }

    /// Zero where there is nothing to divide by.
    fn ratio(part: Option<Decimal>, whole: i64) -> Amount {
        let ratio = |part: Decimal| part.checked_div(whole.into()).unwrap_or_default();
        Amount(part.map(|part| {
            let rounding = RoundingStrategy::MidpointAwayFromZero;
            ratio(part).round_dp_with_strategy(SCALE, rounding).normalize()
        }))
    }
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

/// What was counted of a group, money by currency.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    counts: Measures,
    money: Vec<(u16, Measures)>,
}

impl Group {
    /// Adds counts, with money of this currency or none.
    pub(super) fn add(&mut self, currency: Option<u16>, measures: Measures) {
        self.counts += measures;
        let Some(currency) = currency else { return };
        let at = self.money.iter().position(|(known, _)| *known == currency);
        let at = at.unwrap_or_else(|| {
            self.money.push((currency, Measures::default()));
            self.money.len() - 1
        });
        self.money[at].1.add_assign(measures);
    }

    pub(super) fn gross(&self) -> i64 {
        self.counts.gross
    }

    /// In one currency.
    pub(super) fn sums(&self, currencies: &Currencies) -> Sums {
        let money = |wanted: u16| self.money.iter().find(|(known, _)| *known == wanted);
        let of = |number: u16| currencies.known.get(usize::from(number)).cloned();
        let (currency, money) = match (&currencies.asked, self.money.as_slice()) {
            (Some(asked), _) => {
                let money = currencies.number(asked).and_then(money);
                (asked.clone(), Some(money.map(|(_, money)| *money).unwrap_or_default()))
            }
            (None, []) => (currencies.usual.clone(), Some(Measures::default())),
            (None, [(only, money)]) => (of(*only).unwrap_or_default(), Some(*money)),
            (None, _) => (String::new(), None),
        };
        Sums { counts: self.counts, currency, money }
    }
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

    /// In the order of the alphabet.
    pub(super) fn sorted(&self) -> Vec<String> {
        let mut sorted = self.known.clone();
        sorted.sort_unstable();
        sorted
    }
}

/// A group's counts, and its money in one currency.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    counts: Measures,
    currency: String,
    /// None where it has several.
    money: Option<Measures>,
}

impl Sums {
    fn money(&self, of: fn(&Measures) -> i64) -> Amount {
        Amount::millionths(self.money.as_ref().map(of))
    }

    fn money_per(&self, of: fn(&Measures) -> i64, whole: i64) -> Amount {
        let money = self.money.as_ref().map(|money| Decimal::new(of(money), SCALE));
        Amount::ratio(money, whole)
    }

    /// Of money in one currency belong only the conversions in it.
    fn money_per_cv(&self, of: fn(&Measures) -> i64) -> Amount {
        self.money_per(of, self.money.map_or(0, |money| money.cv))
    }

    fn money_per_click(&self, of: fn(&Measures) -> i64) -> Amount {
        self.money_per(of, self.counts.total())
    }

    fn percent(&self, part: i64, whole: i64) -> Amount {
        Amount::ratio(Some(Decimal::from(part) * Decimal::ONE_HUNDRED), whole)
    }

    fn margin(&self) -> Amount {
        let Some(money) = &self.money else { return Amount(None) };
        let part = Decimal::from(profit(money)) * Decimal::ONE_HUNDRED;
        Amount::ratio(Some(part), revenue(money))
    }
}

fn payout(money: &Measures) -> i64 {
    money.payout.saturating_add(money.event_payout)
}

fn revenue(money: &Measures) -> i64 {
    money.revenue.saturating_add(money.event_revenue)
}

fn profit(money: &Measures) -> i64 {
    revenue(money).saturating_sub(payout(money))
}

/// What a report tells of each group.
pub(super) trait Reporting: Serialize + utoipa::ToSchema {
    /// The names of what can be sorted by.
    const MEASURES: &'static [&'static str];
    /// The columns of a file.
    const NAMES: &'static [&'static str];

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
    ($(#[$about:meta])* $name:ident as $schema:ident {
        $($(#[$doc:meta])* $field:ident: $kind:ty = $of:expr),+ $(,)?
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name {
            $($(#[$doc])* $field: $kind,)+
            /// Of the money here; empty where there is money of several currencies, which is null then.
            currency_id: String,
        }

        impl Reporting for $name {
            const MEASURES: &'static [&'static str] = &[$(stringify!($field)),+];
            const NAMES: &'static [&'static str] = &[$(stringify!($field),)+ "currency_id"];

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
    NetworkReporting as Reporting {
        /// Impressions of the JavaScript SDK.
        imp: i64 = |sums| sums.counts.impressions,
        /// Visits that were sent on to an offer and are neither a bot's nor duplicates:
        /// `gross_click` − `bot_click` − `invalid_click` − `duplicate_click`.
        total_click: i64 = |sums| sums.counts.total(),
        /// Of `total_click`, the first of a visitor on an offer within the offer's session.
        unique_click: i64 = |sums| sums.counts.unique,
        /// Visits that were not sent on to the offer.
        invalid_click: i64 = |sums| sums.counts.invalid,
        /// The same visitor on the same code again within seconds.
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
        /// What partners get for approved conversions and events.
        payout: Amount = |sums| sums.money(payout),
        /// What advertisers pay for approved conversions and events.
        revenue: Amount = |sums| sums.money(revenue),
        /// Of `revenue`, the part for events.
        event_revenue: Amount = |sums| sums.money(|money| money.event_revenue),
        /// `revenue` − `payout`
        profit: Amount = |sums| sums.money(profit),
        /// `profit` in percent of `revenue`.
        margin: Amount = |sums| sums.margin(),
        /// What was sold, by the advertisers' amounts, in approved conversions and events.
        gross_sales: Amount = |sums| sums.money(|money| money.sale),
        /// `gross_sales` by the `cv` in this currency.
        avg_sale_value: Amount = |sums| sums.money_per_cv(|money| money.sale),
    }
}

reporting! {
    /// All that a partner sees of his clicks and sales. Ratios of nothing are 0; percentages are of
    /// 100.
    PartnerReporting as PartnerReporting {
        /// Impressions of the JavaScript SDK.
        imp: i64 = |sums| sums.counts.impressions,
        /// Visits that were sent on to an offer and are neither a bot's nor duplicates.
        total_click: i64 = |sums| sums.counts.total(),
        /// Of `total_click`, the first of a visitor on an offer within the offer's session.
        unique_click: i64 = |sums| sums.counts.unique,
        /// Visits that were not sent on to the offer.
        invalid_click: i64 = |sums| sums.counts.invalid,
        /// The same visitor on the same code again within seconds.
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
        /// What you get for approved conversions and events.
        payout: Amount = |sums| sums.money(payout),
    }
}
