//! Expected reports, added up from the model's clicks and conversions.

use std::collections::{BTreeMap, HashMap};

use crate::kinds::Kinds;
use crate::model::{Class, Click, Conversion, Model, Status};
use crate::money::Micros;
use crate::steps::{Number, SUBS};

/// Ids in the real rows of invalid conversions, for which the contract leaves open which ids are
/// known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) offer: u64,
    pub(crate) partner: u64,
    pub(crate) advertiser: u64,
    pub(crate) row: u64,
    pub(crate) sub1: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) payout: Micros,
    pub(crate) revenue: Micros,
    pub(crate) event_revenue: Micros,
    pub(crate) sale: Micros,
    /// Payout of paid clicks, in thousandths of millionths.
    pub(crate) click_payout: i128,
    pub(crate) click_revenue: i128,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pub(crate) counts: BTreeMap<&'static str, i64>,
    pub(crate) money: BTreeMap<&'static str, Money>,
}

/// Breakdowns of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Offer,
    Affiliate,
    Advertiser,
    CouponCode,
    Date,
    Sub1,
}

impl Column {
    pub(crate) const ALL: [Column; 6] = [
        Column::Offer,
        Column::Affiliate,
        Column::Advertiser,
        Column::CouponCode,
        Column::Date,
        Column::Sub1,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Column::Offer => "offer",
            Column::Affiliate => "affiliate",
            Column::Advertiser => "advertiser",
            Column::CouponCode => "coupon_code",
            Column::Date => "date",
            Column::Sub1 => "sub1",
        }
    }

    fn key_of(self, ids: Ids) -> String {
        match self {
            Column::Offer => ids.offer.to_string(),
            Column::Affiliate => ids.partner.to_string(),
            Column::Advertiser => ids.advertiser.to_string(),
            Column::CouponCode => ids.row.to_string(),
            // Streams are short; a rare stream over midnight is added up as one day.
            Column::Date => String::new(),
            Column::Sub1 => SUBS[ids.sub1].to_owned(),
        }
    }
}

pub(crate) type Groups = BTreeMap<String, Sums>;

impl Sums {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn money(&mut self, currency: &'static str) -> &mut Money {
        self.money.entry(currency).or_default()
    }

    /// Currency of a row: the only currency with payout or revenue, otherwise the only one with
    /// sales; empty if there are several or none.
    pub(crate) fn currency(&self, is_partner: bool) -> &'static str {
        let with = |has: fn(&Money) -> bool| -> Vec<&'static str> {
            let with = self.money.iter().filter(|(_, money)| has(money));
            with.map(|(currency, _)| *currency).collect()
        };
        let paid = match is_partner {
            true => with(|money| money.payout != 0 || money.click_payout != 0),
            false => with(|money| Money { sale: 0, ..*money } != Money::default()),
        };
        let sold = if is_partner { Vec::new() } else { with(|money| money.sale != 0) };
        match (paid.as_slice(), sold.as_slice()) {
            ([only], _) | ([], [only]) => only,
            _ => "",
        }
    }

    /// Amount in the row's currency, in thousandths of millionths; `None` if there is an amount in
    /// another currency.
    pub(crate) fn amount(&self, currency: &str, of: fn(&Money) -> i128) -> Option<i128> {
        let is_elsewhere =
            self.money.iter().any(|(other, money)| *other != currency && of(money) != 0);
        let own = self.money.get(currency).map_or(0, of);
        (!is_elsewhere).then_some(own)
    }
}

impl Money {
    pub(crate) fn all_payout(&self) -> i128 {
        self.payout * 1_000 + self.click_payout
    }

    pub(crate) fn all_revenue(&self) -> i128 {
        self.revenue * 1_000 + self.click_revenue
    }
}

/// Ids of a conversion that the model knows.
pub(crate) fn ids_of(model: &Model, made: &Conversion) -> Ids {
    let id = |at: Option<usize>| at.map_or(0, |at| at as u64 + 1);
    Ids {
        offer: id(made.offer),
        partner: id(made.partner),
        advertiser: id(made.advertiser),
        row: made.row.map_or(0, |row| model.rows[row].id),
        sub1: made.sub1,
    }
}

pub(crate) fn ids_of_click(model: &Model, click: &Click) -> Ids {
    let id = |at: Option<usize>| at.map_or(0, |at| at as u64 + 1);
    Ids {
        offer: id(click.offer),
        partner: id(click.partner),
        advertiser: id(click.offer.map(|offer| model.offers[offer].advertiser)),
        row: click.row.map_or(0, |row| model.rows[row].id),
        sub1: click.sub1,
    }
}

/// The report by a column; of one partner if given.
pub(crate) fn groups(
    model: &mut Model,
    invalid: &HashMap<Number, Ids>,
    column: Column,
    partner: Option<usize>,
) -> Groups {
    let mut groups = Groups::new();
    let wanted = partner.map(|partner| partner as u64 + 1);
    let is_asked_for = |ids: &Ids| wanted.is_none_or(|wanted| wanted == ids.partner);
    for (click, class) in model.classes() {
        let ids = ids_of_click(model, &click);
        if is_asked_for(&ids) {
            count_click(groups.entry(column.key_of(ids)).or_default(), &click, class);
        }
    }
    for made in &model.conversions {
        let ids = invalid.get(&made.number).copied().unwrap_or(ids_of(model, made));
        let is_shown = partner.is_none() || made.status != Status::Invalid;
        if is_shown && is_asked_for(&ids) {
            count_conversion(groups.entry(column.key_of(ids)).or_default(), made);
        }
    }
    see_money(&groups, &mut model.kinds);
    groups
}

fn count_click(sums: &mut Sums, click: &Click, class: Class) {
    sums.count("gross_click");
    match class {
        Class::Bot => sums.count("bot_click"),
        Class::Invalid => sums.count("invalid_click"),
        Class::Duplicate => sums.count("duplicate_click"),
        Class::Again | Class::Turned => sums.count("total_click"),
        Class::Unique => {
            sums.count("total_click");
            sums.count("unique_click");
        }
    }
    if matches!(class, Class::Again | Class::Turned | Class::Unique) {
        let (payout, revenue) = click.terms.of_clicks(1);
        let money = sums.money(click.currency);
        money.click_payout += payout;
        money.click_revenue += revenue;
    }
}

fn count_conversion(sums: &mut Sums, made: &Conversion) {
    // A refunded amount counts with its order.
    if made.is_refund {
        return;
    }
    match made.status {
        Status::Pending => sums.count("pending_cv"),
        Status::Rejected => sums.count("rejected_cv"),
        Status::Invalid => sums.count("invalid_cv"),
        Status::Approved => {
            sums.count(if made.event == 0 { "cv" } else { "event" });
            sums.money(made.currency).sale += made.sale;
            let money = sums.money(made.worth_currency);
            money.payout += made.payout;
            money.revenue += made.revenue;
            if made.event != 0 {
                money.event_revenue += made.revenue;
            }
        }
    }
    if made.status != Status::Approved {
        sums.money(made.currency);
    }
}

fn see_money(groups: &Groups, kinds: &mut Kinds) {
    for sums in groups.values() {
        let empty =
            sums.money.iter().any(|(it, money)| !it.is_empty() && *money == Money::default());
        if empty && !sums.currency(false).is_empty() {
            kinds.saw("money of one currency beside an empty row of another");
        }
        if sums.money.values().any(|money| money.click_payout != 0) {
            kinds.saw("clicks that are paid for");
        }
    }
}

/// Whether a reported amount equals this sum of thousandths of millionths, which reports round for
/// display.
pub(crate) fn is_sum(answered: Micros, exact: i128) -> bool {
    (answered * 1_000 - exact).abs() * 2 <= 1_000
}
