//! Measures of a group: counts, money of one currency, and ratios of both.
//!
//! Money of several currencies is never added up. A group has one currency: the queried currency,
//! else the only currency of its payout and revenue, or, without payout and revenue, of its sales.
//! An amount with money in another currency is null, and so are ratios of the amount; an amount
//! without any money is 0. A conversion without an amount, such as an invalid conversion, does not
//! change the currency of a group. Counts include conversions of all currencies.
//!
//! Sums are exact, in billionths, and rounded only as an [`Amount`].

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::reports::amount::{Amount, decimal_from_billionths};
use crate::reports::column::Column;
use crate::reports::view::{ADVERTISER_MEASURES, ColumnMask, PARTNER_MEASURES, View};
use crate::store::rollups::Measures;

/// A kind of money, in billionths.
type MoneyOf = fn(&Measures) -> i128;

/// The money of a view. The first list with any money of a group decides the group's currency.
fn money_of(view: View) -> &'static [&'static [MoneyOf]] {
    match view {
        View::Network => &[&[payout, revenue], &[sale]],
        // The currency of money that a view hides would tell about that money.
        View::Partner => &[&[payout]],
        View::Advertiser => &[&[revenue], &[sale]],
    }
}

/// The measures of a group, by currency.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    counts: Measures,
    money: Vec<(u16, Measures)>,
}

impl Group {
    /// Adds counts, and their money to the currency.
    pub(super) fn add(&mut self, currency: Option<u16>, measures: Measures) {
        self.counts += measures;
        if let Some(currency) = currency {
            *self.money_in(currency) += measures;
        }
    }

    /// Adds all measures of another group.
    pub(super) fn merge(&mut self, other: &Group) {
        self.counts += other.counts;
        for (currency, measures) in &other.money {
            *self.money_in(*currency) += *measures;
        }
    }

    fn money_in(&mut self, currency: u16) -> &mut Measures {
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

    /// The currencies of the money in this view.
    pub(super) fn currencies(&self, view: View) -> impl Iterator<Item = u16> {
        let has = move |money: &Measures| money_of(view).iter().any(|of| has_any(of, money));
        self.money.iter().filter(move |(_, money)| has(money)).map(|(currency, _)| *currency)
    }

    /// The counts, and the money of one currency.
    pub(super) fn sums(&self, view: View, currencies: &Currencies) -> Sums {
        let sums = |currency: String, of: Option<u16>| {
            let own = self.money.iter().find(|(known, _)| Some(*known) == of);
            let own = own.map(|(_, money)| *money).unwrap_or_default();
            Sums { counts: self.counts, currency, own, others: Vec::new() }
        };
        if let Some(queried) = &currencies.queried {
            return sums(queried.clone(), currencies.number(queried));
        }
        // Sales decide the currency only where nothing is paid for them.
        let in_order = money_of(view).iter().map(|of| {
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

/// The currencies of a report, numbered.
#[derive(Debug, Default)]
pub(super) struct Currencies {
    known: Vec<String>,
    /// The only currency of the query.
    queried: Option<String>,
    /// The currency of groups without money.
    usual: String,
}

impl Currencies {
    pub(super) fn new(queried: Option<String>, usual: String) -> Currencies {
        Currencies { known: Vec::new(), queried, usual }
    }

    /// The number of the currency, a new one if needed; `None` for an empty name.
    pub(super) fn number_or_add(&mut self, currency: &str) -> Option<u16> {
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

    /// The names of the numbers, in the order of the alphabet.
    pub(super) fn sorted_names(&self, numbers: impl Iterator<Item = u16>) -> Vec<String> {
        numbers.map(|number| self.name(number)).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The counts of a group, and its money in one currency: the row of [`MEASURES`].
#[derive(Debug, Clone)]
pub struct Sums {
    counts: Measures,
    /// Empty where the group has several.
    currency: String,
    /// Money in that currency.
    own: Measures,
    /// Money in each other currency; empty where the query names a currency.
    others: Vec<Measures>,
}

impl Sums {
    /// `None` where another currency has money of this kind.
    fn sum(&self, of: MoneyOf) -> Option<i128> {
        self.others.iter().all(|money| of(money) == 0).then(|| of(&self.own))
    }

    fn profit(&self) -> Option<i128> {
        Some(self.sum(revenue)? - self.sum(payout)?)
    }

    fn money(&self, of: MoneyOf) -> Amount {
        Amount::from_billionths(self.sum(of))
    }

    fn money_per(&self, of: MoneyOf, whole: i64) -> Amount {
        Amount::ratio(self.sum(of).map(decimal_from_billionths), whole.into())
    }

    fn money_per_cv(&self, of: MoneyOf) -> Amount {
        // Only conversions in the same currency earned this money.
        self.money_per(of, self.own.cv)
    }

    fn money_per_click(&self, of: MoneyOf) -> Amount {
        self.money_per(of, self.counts.total())
    }

    fn percent(&self, part: i64, whole: i64) -> Amount {
        Amount::ratio(Some(Decimal::from(part) * Decimal::ONE_HUNDRED), whole.into())
    }

    fn margin(&self) -> Amount {
        let percent = self.profit().map(|profit| decimal_from_billionths(profit * 100));
        Amount::ratio(percent, decimal_from_billionths(self.sum(revenue).unwrap_or_default()))
    }
}

fn billionths_of(millionths: i128) -> i128 {
    millionths * 1_000
}

fn payout(money: &Measures) -> i128 {
    billionths_of(money.payout + money.event_payout) + money.click_payout
}

fn revenue(money: &Measures) -> i128 {
    billionths_of(money.revenue + money.event_revenue) + money.click_revenue
}

fn event_revenue(money: &Measures) -> i128 {
    billionths_of(money.event_revenue)
}

fn sale(money: &Measures) -> i128 {
    billionths_of(money.sale)
}

/// The measures of a group. Ratios of nothing are 0; percentages are of 100.
pub static MEASURES: ColumnMask<Sums> =
    ColumnMask::new(&ALL, PARTNER_MEASURES, ADVERTISER_MEASURES);

/// The currency of a group's money, the last column of every view.
pub static CURRENCY: Column<Sums> = Column::text(
    "currency_id",
    "Of the money here; empty where there are several. Money that is not in it is null.",
    |sums| sums.currency.as_str().into(),
);

static ALL: [Column<Sums>; 28] = [
    Column::integer("imp", "Impressions of the JavaScript SDK.", |sums| sums.counts.impressions),
    Column::integer(
        "total_click",
        "Visits that were sent on to an offer and are neither a bot's nor duplicates:\n\
         `gross_click` − `bot_click` − `invalid_click` − `duplicate_click`.",
        |sums: &Sums| sums.counts.total(),
    )
    .for_partners("Visits that were sent on to an offer and are neither a bot's nor duplicates.")
    .for_advertisers("Visits that were sent on to an offer and are no duplicates."),
    Column::integer(
        "unique_click",
        "Of `total_click`, the first of a visitor on an offer within the offer's session.",
        |sums| sums.counts.unique,
    ),
    Column::integer("invalid_click", "Visits that were not sent on to the offer.", |sums| {
        sums.counts.invalid
    }),
    Column::integer(
        "fail_traffic_click",
        "Visits that the offer refused and its fail traffic sent to another offer, which has them in\n\
         its `gross_click`.",
        |sums| sums.counts.failed_over,
    ),
    Column::integer(
        "duplicate_click",
        "The same visitor on the same offer, by the same partner, code and subs, again within seconds.",
        |sums| sums.counts.duplicate,
    ),
    Column::integer(
        "bot_click",
        "Visits of programs, and those that only fetched ahead.",
        |sums| sums.counts.bot,
    ),
    Column::integer("gross_click", "All recorded visits; impressions are none.", |sums| {
        sums.counts.gross
    }),
    Column::integer("cv", "Approved conversions, without events.", |sums| sums.counts.cv),
    Column::integer(
        "total_cv",
        "As `cv`: Everflow adds conversions after a mere impression, which are not made here.",
        |sums: &Sums| sums.counts.cv,
    )
    .for_partners("As `cv`.")
    .for_advertisers("As `cv`."),
    Column::integer("event", "Approved conversions of events.", |sums| sums.counts.event_cv),
    Column::integer("pending_cv", "Conversions and events that wait for approval.", |sums| {
        sums.counts.pending_cv
    }),
    Column::integer("rejected_cv", "Conversions and events that were rejected.", |sums| {
        sums.counts.rejected_cv
    }),
    Column::integer("invalid_cv", "Postbacks that could not be read or attributed.", |sums| {
        sums.counts.invalid_cv
    }),
    Column::amount("cvr", "Conversions in percent of clicks: `cv` of `total_click`.", |sums| {
        sums.percent(sums.counts.cv, sums.counts.total())
    }),
    Column::amount("evr", "Events in percent of conversions: `event` of `cv`.", |sums| {
        sums.percent(sums.counts.event_cv, sums.counts.cv)
    }),
    Column::amount("cpc", "Cost of a click: `payout` by `total_click`.", |sums| {
        sums.money_per_click(payout)
    }),
    Column::amount("cpa", "Cost of a conversion: `payout` by the `cv` in this currency.", |sums| {
        sums.money_per_cv(payout)
    }),
    Column::amount(
        "epc",
        "What partners earn with a click: `payout` by `total_click`.",
        |sums: &Sums| sums.money_per_click(payout),
    )
    .for_partners("What you earn with a click: `payout` by `total_click`."),
    Column::amount("rpc", "Revenue of a click: `revenue` by `total_click`.", |sums| {
        sums.money_per_click(revenue)
    }),
    Column::amount(
        "rpa",
        "Revenue of a conversion: `revenue` by the `cv` in this currency.",
        |sums| sums.money_per_cv(revenue),
    ),
    Column::amount(
        "payout",
        "What partners get for approved conversions and events, and for clicks that are paid.",
        |sums: &Sums| sums.money(payout),
    )
    .for_partners(
        "What you get for approved conversions and events, and for clicks that are paid.",
    ),
    Column::amount(
        "revenue",
        "What advertisers pay for approved conversions and events, and for clicks that are paid.",
        |sums: &Sums| sums.money(revenue),
    )
    .for_advertisers(
        "What you pay for approved conversions and events, and for clicks that are paid.",
    ),
    Column::amount("event_revenue", "Of `revenue`, the part for events.", |sums| {
        sums.money(event_revenue)
    }),
    Column::amount("profit", "`revenue` − `payout`", |sums| {
        Amount::from_billionths(sums.profit())
    }),
    Column::amount("margin", "`profit` in percent of `revenue`.", |sums| sums.margin()),
    Column::amount(
        "gross_sales",
        "What was sold, by the advertisers' amounts, in approved conversions and events.",
        |sums| sums.money(sale),
    ),
    Column::amount("avg_sale_value", "`gross_sales` by the `cv` in this currency.", |sums| {
        sums.money_per_cv(sale)
    }),
];
