//! Counts how often each case occurred.

use std::collections::BTreeMap;

/// All cases; a test must reach each.
pub(crate) const ALL: [&str; 40] = [
    "a refused sale approved by hand",
    "a repeat after a refused sale was approved",
    "an approval beside a standing sale is refused",
    "a refund of one of several clicks",
    "an order id on two offers",
    "a code on several offers without an offer",
    "a refund by a code on several offers, found by its order",
    "money of one currency beside an empty row of another",
    "a refund after the offer's currency was changed",
    "a repeat in another currency",
    "a sale in another currency",
    "a sale in another currency approved by hand",
    "clicks without a code on several offers or of several partners",
    "a refund at once after a sale that waits for its click",
    "a repeat by code at once after a sale that waits for its click",
    "postbacks while the admin is away",
    "a bot's visit that led to a sale",
    "an edit of the list of bots",
    "a refund after its code was deleted",
    "a refund after its event was removed",
    "a repeat after the code went to another offer",
    "a repeat after the code went to another partner",
    "a code created anew beside an unassigned one",
    "a second sale of one click without duplicates allowed",
    "a second sale of one click with duplicates allowed",
    "an amount that is held for its size",
    "a payout that is rounded",
    "clicks that are paid for",
    "an amount with an exponent",
    "a report that is completed with its amount",
    "a refund before its sale",
    "a refund with its id, and again",
    "an identical refund at once",
    "a visit refused for its offer keeps code and partner",
    "an invalid conversion approved by hand",
    "a session that is defined anew",
    "a stronger claim on a weaker one's order",
    "a visit that rules refuse",
    "a visit that the next offer takes",
    "a visit that no other offer may take",
];

/// Occurrences of each case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds(BTreeMap<&'static str, u64>);

impl Kinds {
    pub(crate) fn saw(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Kinds) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    pub(crate) fn missing(&self) -> Vec<&'static str> {
        ALL.into_iter().filter(|kind| !self.0.contains_key(kind)).collect()
    }

    pub(crate) fn print(&self) {
        for (kind, count) in &self.0 {
            println!("{count:>6}  {kind}");
        }
    }
}
