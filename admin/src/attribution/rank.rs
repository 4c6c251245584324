//! The strength of a postback's proof (its rank), and its relation to conversions with the same
//! key.
//!
//! The weakest proof is a code, because anyone can read a code somewhere. A click id with a valid
//! signature is stronger, and passing a trust rule of the advertiser is strongest. A postback with
//! better proof than the standing conversion is no repeat: both become pending. With equal or
//! weaker proof it is a repeat, so a key has at most one standing conversion per rank. A conversion
//! that a person rejected stands too, so the same postback cannot bring it back.

use std::cmp::{Ordering, Reverse};

use super::error_code::ErrorCode;
use super::status::Status;
use crate::catalog::words::words;

words! {
    /// The strength of a proof, weakest first.
    Rank {
        /// A code, or the names of offer and partner.
        Code = "code",
        /// The id of a click that was redirected to the offer.
        Click = "click",
        /// A trust rule of the advertiser: address, signature or token.
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

/// The properties of a postback that its relation depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingPostback {
    pub rank: Rank,
    /// The status without an earlier conversion.
    pub status: Status,
    pub error: Option<ErrorCode>,
    pub is_refund: bool,
}

/// A conversion with the key of the postback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExistingConversion {
    pub rank: Rank,
    pub status: Status,
    /// 0 for none.
    pub error_code: u32,
}

/// The relation of a postback to the conversions with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The postback creates a conversion.
    New,
    /// The postback is about the conversion at this index.
    Repeats(usize),
    /// The postback creates a conversion, and all that count or may count become pending.
    Disputes,
}

/// `known` are the conversions with the key of the postback, in the order of creation.
#[must_use]
pub fn find_relation(incoming: &IncomingPostback, known: &[ExistingConversion]) -> Relation {
    let standing = || known.iter().enumerate().filter(|(_, known)| known.stands());
    if incoming.is_refund {
        return order_of_refund(known).map_or(Relation::New, Relation::Repeats);
    }
    let equal = standing().filter(|(_, known)| known.rank == incoming.rank);
    let better = standing().filter(|(_, known)| known.rank > incoming.rank);
    if let Some(at) = preferred(equal).or_else(|| preferred(better)) {
        return Relation::Repeats(at);
    }
    if matches!(incoming.status, Status::Approved | Status::Pending) {
        return if standing().next().is_some() { Relation::Disputes } else { Relation::New };
    }
    let number = incoming.error.map_or(0, ErrorCode::number);
    let has_same_error =
        |known: &ExistingConversion| known.error_code == number && known.rank >= incoming.rank;
    known.iter().position(has_same_error).map_or(Relation::New, Relation::Repeats)
}

/// The index of the conversion to deduct a refund from, among those with the key of its order.
#[must_use]
pub fn order_of_refund(known: &[ExistingConversion]) -> Option<usize> {
    preferred(known.iter().enumerate())
}

/// Prefers approved, then pending, then refused conversions; then the best proof; then the oldest.
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

/// Whether a conversion absorbs its repeats. One that a person rejected does, too.
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

    fn relation_to(incoming: &str, others: &[&str]) -> Relation {
        let (text, is_refund) = match incoming.strip_prefix("refund ") {
            Some(rest) => (rest, true),
            None => (incoming, false),
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
            // What was refused stands in nobody's way, and is incoming again by its repeat.
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
        for (incoming, others, wanted) in cases {
            assert_eq!(relation_to(incoming, others), wanted, "{incoming} among {others:?}");
        }
        assert_eq!(relation_to("refund code invalid 1018", &[]), New);
    }

    #[test]
    fn however_often_it_is_claimed_a_key_has_one_standing_conversion_of_each_rank() {
        let mut all: Vec<ExistingConversion> = Vec::new();
        for fields in ["code approved", "click approved", "trusted approved"].repeat(3) {
            let ExistingConversion { rank, status, .. } = known(fields);
            let incoming = IncomingPostback { rank, status, error: None, is_refund: false };
            if matches!(find_relation(&incoming, &all), Relation::New | Relation::Disputes) {
                all.push(known(fields));
            }
        }
        assert_eq!(all.len(), 3);
    }
}
