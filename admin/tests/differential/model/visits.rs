//! Visits in the model, and their classification.

use super::{Click, Model};
use crate::money::Terms;
use crate::steps::{AGENTS, BOT, CHECKER, How, Number, Rules, SUBS, Visit};

/// Result of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Redirected to an offer.
    Offer(usize),
    /// Recorded without redirect.
    Refused,
    /// An unknown code; nothing is recorded.
    Nothing,
    /// Not executed, because the contract leaves the result open.
    Unasked,
}

/// Class of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Bot,
    Invalid,
    Duplicate,
    Again,
    Unique,
    /// A bot's visit with a sale: a click outside of visitor groups.
    Turned,
}

/// The way of a visit through the rows of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Row(usize),
    /// A refusal of this row that no other row takes back.
    Ended(usize),
    Nowhere,
}

/// The answer of an offer's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ruling {
    Passed,
    Refused,
    /// No other offer may take the visit.
    RefusedForGood,
}

/// The agents with Windows and with iOS.
const WINDOWS_AGENT: usize = 0;
const IOS_AGENT: usize = 1;

fn ruling(rules: Rules, visit: &Visit) -> Ruling {
    let (is_refused, ruling) = match rules {
        Rules::None => (false, Ruling::Passed),
        Rules::NotIos => (visit.agent == IOS_AGENT, Ruling::Refused),
        Rules::OnlyWindowsAndIos => {
            (!matches!(visit.agent, WINDOWS_AGENT | IOS_AGENT), Ruling::Refused)
        }
        Rules::NotAddressesTo(last) => (visit.address <= last, Ruling::RefusedForGood),
        Rules::NotSub(sub) => (SUBS[visit.sub1] == SUBS[sub], Ruling::RefusedForGood),
    };
    if is_refused { ruling } else { Ruling::Passed }
}

/// Window in which an equal visit of the same visitor is a duplicate.
const DUPLICATE_MS: u64 = 10_000;

impl Model {
    pub(crate) fn meet(&self, visit: &Visit) -> Met {
        let How::Code { code, offer } = visit.how else {
            let How::Page { offer, .. } = visit.how else { return Met::Unasked };
            let offer_takes = self.offers[offer].is_active
                && ruling(self.offers[offer].rules, visit) == Ruling::Passed;
            return if offer_takes { Met::Offer(offer) } else { Met::Unasked };
        };
        let rows = self.live_rows(code);
        if rows.is_empty() {
            return Met::Nothing;
        }
        match self.way_of_visit(visit, code, offer) {
            Way::Row(row) => Met::Offer(self.rows[row].offer),
            Way::Ended(_) | Way::Nowhere => Met::Refused,
        }
    }

    /// The row on the named offer, otherwise the first that can redirect and whose offer takes the
    /// visit, within one advertiser.
    fn way_of_visit(&self, visit: &Visit, code: usize, asked_for: Option<usize>) -> Way {
        let rows = self.live_rows(code);
        let advertiser = |row: &usize| self.offers[self.rows[*row].offer].advertiser;
        let Some(first) = rows.first().map(advertiser) else { return Way::Nowhere };
        for row in rows {
            let is_meant = match asked_for {
                Some(offer) => self.rows[row].offer == offer,
                None => advertiser(&row) == first,
            };
            if !is_meant || self.obstacle_of_row(&self.rows[row]) != 0 {
                continue;
            }
            match ruling(self.offers[self.rows[row].offer].rules, visit) {
                Ruling::Passed => return Way::Row(row),
                Ruling::Refused => {}
                Ruling::RefusedForGood => return Way::Ended(row),
            }
        }
        Way::Nowhere
    }

    /// Counts the cases of rules that a visit with a code meets.
    fn see_rules(&mut self, visit: &Visit, code: usize, way: Way) {
        let refuses = |row: usize| {
            self.obstacle_of_row(&self.rows[row]) == 0
                && ruling(self.offers[self.rows[row].offer].rules, visit) == Ruling::Refused
        };
        let is_refused = |row: &usize| refuses(*row);
        let refusing: Vec<usize> = self.live_rows(code).into_iter().filter(is_refused).collect();
        match way {
            Way::Ended(_) => self.kinds.saw("a visit that no other offer may take"),
            Way::Row(row) if refusing.iter().any(|before| *before < row) => {
                self.kinds.saw("a visit that the next offer takes");
            }
            Way::Nowhere if !refusing.is_empty() => self.kinds.saw("a visit that rules refuse"),
            Way::Row(_) | Way::Nowhere => {}
        }
    }

    /// Records an answered visit; `transaction_id` if it was redirected.
    pub(crate) fn record(&mut self, number: Number, visit: &Visit, transaction_id: &str) {
        let met = self.meet(visit);
        let (code, row, offer, partner) = match visit.how {
            How::Page { offer, partner } => (None, None, Some(offer), Some(partner)),
            How::Code { code, offer: asked_for } => {
                let rows = self.live_rows(code);
                let way = self.way_of_visit(visit, code, asked_for);
                self.see_rules(visit, code, way);
                let chosen = match way {
                    Way::Row(row) | Way::Ended(row) => Some(row),
                    Way::Nowhere => None,
                };
                let shown =
                    |row: &usize| asked_for.is_none_or(|offer| self.rows[*row].offer == offer);
                let named = rows.iter().copied().find(shown);
                let row = chosen.or(named).or(rows.first().copied());
                // A code that is not on the named offer: code and partner are kept, without offer.
                let offer = chosen.or(named).map(|row| self.rows[row].offer);
                (Some(code), row, offer, row.and_then(|row| self.rows[row].partner))
            }
        };
        if matches!(visit.how, How::Code { .. }) && offer.is_none() {
            self.kinds.saw("a visit refused for its offer keeps code and partner");
        }
        let unix_ms = transaction_id
            .get(..12)
            .and_then(|head| u64::from_str_radix(head, 16).ok())
            .unwrap_or_default();
        let of_offer = offer.map(|offer| &self.offers[offer]);
        self.clicks.push(Click {
            number,
            transaction_id: transaction_id.to_owned(),
            unix_ms,
            is_redirected: matches!(met, Met::Offer(_)),
            is_page: matches!(visit.how, How::Page { .. }),
            is_prefetch: visit.is_prefetch,
            code,
            row,
            offer,
            partner,
            agent: visit.agent,
            address: visit.address,
            sub1: visit.sub1,
            by_address: of_offer.is_some_and(|offer| offer.by_address),
            currency: of_offer.map_or("", |offer| offer.currency),
            terms: of_offer.map_or(Terms::NONE, |offer| offer.terms),
            is_turned: false,
        });
    }

    pub(crate) fn is_bot(&self, click: &Click) -> bool {
        let by_agent = click.agent == BOT || click.agent == CHECKER && self.checker_is_bot;
        click.is_prefetch || by_agent
    }

    /// All visits in order, with their classes.
    pub(crate) fn classes(&mut self) -> Vec<(Click, Class)> {
        let mut seen: Vec<(Click, Class)> = Vec::new();
        let mut kinds = std::mem::take(&mut self.kinds);
        for click in &self.clicks {
            let class = if self.is_bot(click) {
                if click.is_turned { Class::Turned } else { Class::Bot }
            } else if !click.is_redirected {
                Class::Invalid
            } else {
                let before = seen.iter().filter(|(earlier, class)| {
                    !matches!(class, Class::Bot | Class::Turned | Class::Invalid)
                        && visitor(earlier) == visitor(click)
                        && earlier.offer == click.offer
                });
                let before: Vec<&Click> = before.map(|(earlier, _)| earlier).collect();
                let is_same = |earlier: &&&Click| group(earlier) == group(click);
                let last = before.iter().rfind(is_same);
                let is_repeat =
                    last.is_some_and(|last| click.unix_ms.abs_diff(last.unix_ms) <= DUPLICATE_MS);
                if is_repeat {
                    kinds.saw("a duplicate visit");
                } else if last.is_some() {
                    kinds.saw("the same visit again, later than a duplicate");
                }
                match (is_repeat, before.is_empty()) {
                    (true, _) => Class::Duplicate,
                    (false, false) => Class::Again,
                    (false, true) => Class::Unique,
                }
            };
            let elsewhere = |(earlier, _): &&(Click, Class)| {
                earlier.is_page
                    && visitor(earlier) == visitor(click)
                    && group(earlier) != group(click)
            };
            if click.is_page && class != Class::Bot && seen.iter().any(|it| elsewhere(&it)) {
                kinds.saw("clicks without a code on several offers or of several partners");
            }
            if class == Class::Turned {
                kinds.saw("a bot's visit that led to a sale");
            }
            seen.push((click.clone(), class));
        }
        self.kinds = kinds;
        seen
    }
}

/// The visitor according to the offer's session.
fn visitor(click: &Click) -> (u8, Option<&'static str>) {
    (click.address, (!click.by_address).then_some(AGENTS[click.agent]))
}

/// Further parts of the duplicate key, beside the visitor.
fn group(click: &Click) -> (Option<usize>, Option<usize>, Option<usize>, usize) {
    (click.offer, click.partner, click.row, click.sub1)
}
