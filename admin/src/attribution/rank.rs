//! How well a claim is proved, and what it is to the conversions that have its key already.
//!
//! A sender that passed a rule of the advertiser proves more than a click whose id carries a valid
//! signature, and that more than a code, which anybody can read somewhere. A claim that is better
//! proved than the one that stands is not its repeat: both wait for somebody. One that is proved as
//! well or less is a repeat, so that one key never has more standing conversions than there are
//! ranks. What somebody rejected stands too: the same claim cannot bring it back.

use std::cmp::{Ordering, Reverse};

use super::error_code::ErrorCode;
use super::status::Status;
use crate::catalog::words::words;

words! {
    /// How well a claim is proved, the weakest first.
    Rank {
        /// By a code, or by the names of offer and partner.
        Code = "code",
        /// By the id of a click that was sent to the offer.
        Click = "click",
        /// By a rule of the advertiser: address, signature or token.
        Trusted = "trusted",
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Rank) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Rank) -> Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

/// What is asked of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingPostback {
    /// How well it is proved.
    pub rank: Rank,
    /// What it would become.
    pub status: Status,
    /// Why.
    pub error: Option<ErrorCode>,
    /// It takes back.
    pub is_refund: bool,
}

/// A conversion that has the claim's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExistingConversion {
    /// How well it is proved.
    pub rank: Rank,
    /// What became of it.
    pub status: Status,
    /// Why; 0 for nothing.
    pub error_code: u32,
}

/// What a claim is to the conversions with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It makes one of its own.
    New,
    /// It speaks of the one at this place.
    Repeats(usize),
    /// It makes one of its own, and all that count or may count wait for somebody.
    Disputes,
}

/// Finds the place of a claim among those with its key, which come in the order in which they were
/// made.
#[must_use]
pub fn find_relation(said: &IncomingPostback, known: &[ExistingConversion]) -> Relation {
    let standing = || known.iter().enumerate().filter(|(_, known)| known.stands());
    if said.is_refund {
        return order_of_refund(known).map_or(Relation::New, Relation::Repeats);
    }
    let as_well = standing().filter(|(_, known)| known.rank == said.rank);
    let better = standing().filter(|(_, known)| known.rank > said.rank);
    if let Some(at) = preferred(as_well).or_else(|| preferred(better)) {
        return Relation::Repeats(at);
    }
    if matches!(said.status, Status::Approved | Status::Pending) {
        return if standing().next().is_some() { Relation::Disputes } else { Relation::New };
    }
    let number = said.error.map_or(0, ErrorCode::number);
    let refused_so =
        |known: &ExistingConversion| known.error_code == number && known.rank >= said.rank;
    known.iter().position(refused_so).map_or(Relation::New, Relation::Repeats)
}

/// The conversion that a refund is taken from, among those with its order's key.
#[must_use]
pub fn order_of_refund(known: &[ExistingConversion]) -> Option<usize> {
    preferred(known.iter().enumerate())
}

/// What counts before what may count before what does not; then the best proved; then the first.
fn preferred<'a>(known: impl Iterator<Item = (usize, &'a ExistingConversion)>) -> Option<usize> {
    let order = |(at, known): &(usize, &ExistingConversion)| {
        let status = match known.status {
            Status::Approved => 0,
            Status::Pending => 1,
            Status::Rejected => 2,
            Status::Invalid => 3,
        };
        (status, Reverse(known.rank), *at)
    };
    known.min_by_key(order).map(|(at, _)| at)
}

impl ExistingConversion {
    fn stands(&self) -> bool {
        stands(self.status, self.error_code)
    }
}

/// Whether a conversion stands in the way of its repeats.
#[must_use]
pub fn stands(status: Status, error_code: u32) -> bool {
    match status {
        Status::Approved | Status::Pending => true,
        Status::Rejected => error_code == ErrorCode::ManuallyRejected.number(),
        Status::Invalid => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `click approved`, `code rejected 18` and the like.
    fn known(text: &str) -> ExistingConversion {
        let mut words = text.split(' ');
        ExistingConversion {
            rank: words.next().unwrap().parse().unwrap(),
            status: words.next().unwrap().parse().unwrap(),
            error_code: words.next().map_or(0, |number| number.parse().unwrap()),
        }
    }

    fn relation_to(said: &str, others: &[&str]) -> Relation {
        let (text, is_refund) = match said.strip_prefix("refund ") {
            Some(rest) => (rest, true),
            None => (said, false),
        };
        let ExistingConversion { rank, status, error_code } = known(text);
        let error = ErrorCode::from_number(error_code);
        let others: Vec<ExistingConversion> = others.iter().map(|text| known(text)).collect();
        find_relation(&IncomingPostback { rank, status, error, is_refund }, &others)
    }

    #[test]
    fn a_claim_repeats_what_is_proved_as_well_and_disputes_what_is_proved_less() {
        use Relation::{Disputes, New, Repeats};
        #[rustfmt::skip]
        let cases: [(&str, &[&str], Relation); 27] = [
            ("code approved", &[], New),
            ("code approved", &["code approved"], Repeats(0)),
            ("code approved", &["click approved"], Repeats(0)),
            ("click approved", &["click approved"], Repeats(0)),
            ("click approved", &["trusted pending"], Repeats(0)),
            ("click approved", &["code approved"], Disputes),
            ("click pending 1012", &["code approved"], Disputes),
            ("trusted approved", &["click pending"], Disputes),
            ("trusted approved", &["code rejected 9"], Disputes),
            // Both are there: each claim repeats its own.
            ("code approved", &["code pending 1021", "click pending 1021"], Repeats(0)),
            ("click approved", &["code pending 1021", "click pending 1021"], Repeats(1)),
            ("trusted approved", &["code pending 1021", "click pending 1021"], Disputes),
            // What somebody decided is not brought back.
            ("click approved", &["code approved", "click rejected 9"], Repeats(1)),
            ("code approved", &["code rejected 9", "click approved"], Repeats(0)),
            ("code approved", &["code rejected 9"], Repeats(0)),
            // What was refused stands in nobody's way, and is said again by its repeat.
            ("code approved", &["code rejected 18"], New),
            ("code approved", &["code invalid 1005", "code rejected 5"], New),
            ("code rejected 18", &["code rejected 18"], Repeats(0)),
            ("code rejected 18", &["click rejected 18"], Repeats(0)),
            ("click rejected 18", &["code rejected 18"], New),
            ("code rejected 19", &["code rejected 18"], New),
            ("code invalid 1005", &["code rejected 18", "code invalid 1005"], Repeats(1)),
            // A better proved claim that does not count disputes nothing.
            ("click rejected 18", &["code approved"], New),
            ("code rejected 18", &["click approved"], Repeats(0)),
            // Refunds: from what counts, from what is proved best.
            ("refund code invalid 1018", &["code rejected 18", "code approved"], Repeats(1)),
            ("refund code invalid 1018", &["code pending 1021", "click pending 1021"], Repeats(1)),
            ("refund code invalid 1018", &["code rejected 18"], Repeats(0)),
        ];
        for (said, others, wanted) in cases {
            assert_eq!(relation_to(said, others), wanted, "{said} among {others:?}");
        }
        assert_eq!(relation_to("refund code invalid 1018", &[]), New);
    }

    #[test]
    fn however_often_it_is_claimed_a_key_has_one_standing_conversion_of_each_rank() {
        let mut all: Vec<ExistingConversion> = Vec::new();
        for fields in ["code approved", "click approved", "trusted approved"].repeat(3) {
            let ExistingConversion { rank, status, .. } = known(fields);
            let said = IncomingPostback { rank, status, error: None, is_refund: false };
            if matches!(find_relation(&said, &all), Relation::New | Relation::Disputes) {
                all.push(known(fields));
            }
        }
        assert_eq!(all.len(), 3);
    }
}
