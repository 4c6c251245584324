//! The error codes of conversions: Everflow's numbers and meanings, and our own from 1001. The
//! meaning of a number never changes.

use super::status::Status;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $status:ident, $word:literal, $sentence:literal;)+) => {
        /// Why a conversion does not count, or not yet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number),+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),+];

            /// The status of a conversion with this error.
            #[must_use]
            pub fn status(self) -> Status {
                match self { $(ErrorCode::$variant => Status::$status),+ }
            }

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $word),+ }
            }

            /// The text for the advertiser: how to fix the problem, and nothing about partners or
            /// secrets.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(ErrorCode::$variant => $sentence),+ }
            }
        }
    };
}

error_codes! {
    /// The advertiser's list of addresses lacks the sender's.
    AddressNotAllowed = 3, Rejected, "address_not_allowed",
        "the address this came from is not on the advertiser's list";
    /// A hard cap of offer, group, partner or code is reached.
    CapReached = 4, Rejected, "cap_reached",
        "a cap on conversions or amounts is reached";
    /// The click is older than the offer's look-back window.
    AboveLookBack = 5, Rejected, "above_look_back",
        "the click is older than the offer's look-back window";
    /// The click has a conversion already.
    DuplicateConversion = 8, Rejected, "duplicate_conversion",
        "this click has made its conversion already, and the offer allows one of each; it can be approved by hand";
    /// A person rejected the conversion.
    ManuallyRejected = 9, Rejected, "manually_rejected",
        "rejected by hand";
    /// `nid` is missing or names another network.
    InvalidNetwork = 11, Invalid, "invalid_network",
        "nid is not this network's id";
    /// The transaction id was not made by this network.
    InvalidTransactionId = 12, Invalid, "invalid_transaction_id",
        "transaction_id is not one that a click was given";
    /// There is no such click, or the visit was not redirected.
    InvalidClick = 13, Invalid, "invalid_click",
        "there is no click with this transaction_id that was sent to an offer";
    /// The click is on another offer.
    OfferMismatch = 14, Invalid, "offer_mismatch",
        "the click was on another offer than oid says";
    /// There is no such offer, or another advertiser owns it.
    InvalidOffer = 15, Invalid, "invalid_offer",
        "there is no such offer, or it is another advertiser's";
    /// The offer is not active.
    InactiveOffer = 18, Rejected, "inactive_offer",
        "the offer is not active";
    /// The offer's last day has passed.
    ExpiredOffer = 19, Rejected, "expired_offer",
        "the offer's last day has passed";
    /// The click came less than the offer's shortest time before the conversion.
    BelowMinimumTime = 20, Rejected, "below_minimum_time",
        "the conversion came sooner after the click than the offer allows";
    /// The token is missing or wrong.
    InvalidToken = 21, Rejected, "invalid_verification_token",
        "verification_token is missing or wrong";
    /// The offer has no such event.
    UnknownEvent = 25, Invalid, "unknown_event",
        "event_id or adv_event_id names no event of this offer";

    /// There is no such code.
    UnknownCode = 1001, Invalid, "unknown_coupon_code",
        "coupon_code is not known";
    /// The code is paused.
    PausedCode = 1002, Invalid, "paused_coupon_code",
        "coupon_code is paused";
    /// The code has no partner.
    UnassignedCode = 1003, Invalid, "unassigned_coupon_code",
        "coupon_code has no partner";
    /// The code's first day has not come.
    CodeNotStarted = 1004, Invalid, "coupon_code_not_started",
        "coupon_code cannot be used before its first day";
    /// The code's last day has passed.
    ExpiredCode = 1005, Invalid, "expired_coupon_code",
        "the last day of coupon_code has passed";
    /// The code, or the order, is on several offers.
    AmbiguousCode = 1006, Invalid, "ambiguous_coupon_code",
        "coupon_code stands on several offers; say which with oid";
    /// The code is not on the named offer.
    CodeNotOnOffer = 1007, Invalid, "coupon_code_not_on_offer",
        "coupon_code does not stand on the offer that oid names";
    /// The partner's account is not active.
    PartnerNotActive = 1008, Invalid, "partner_not_active",
        "the partner is not active";
    /// The partner may not run the offer.
    NotRunnable = 1009, Invalid, "not_runnable",
        "the partner cannot run the offer";
    /// No field identifies a partner.
    NothingIdentifies = 1010, Invalid, "nothing_identifies",
        "send transaction_id, coupon_code, or oid and affid";
    /// The amount is not a decimal.
    UnreadableAmount = 1011, Invalid, "unreadable_amount",
        "amount cannot be read; write it like 1299.00";
    /// The currency differs from the offer's.
    OtherCurrency = 1012, Pending, "other_currency",
        "currency is not the offer's; somebody has to decide what it is worth";
    /// The signature is missing or wrong.
    BadSignature = 1013, Rejected, "bad_signature",
        "signature is missing or wrong";
    /// The timestamp of the signature is missing or too far away.
    StaleSignature = 1014, Rejected, "stale_signature",
        "timestamp is missing or more than 300 seconds away";
    /// An equal postback came a moment ago.
    PossibleDuplicate = 1015, Pending, "possible_duplicate",
        "the same came within ten minutes; send order_id to tell sales apart";
    /// The postback repeats an order with another amount or currency.
    Conflict = 1016, Approved, "conflict",
        "this was reported before with another amount or currency, which stands";
    /// The code may have leaked.
    HeldForReview = 1017, Pending, "held",
        "held until somebody has looked at it";
    /// The order of a refund never came.
    UnknownOrder = 1018, Invalid, "unknown_order",
        "there is no such order from which this amount could be taken back";
    /// The field contains no code, or several.
    UnreadableCode = 1019, Invalid, "unreadable_coupon_code",
        "coupon_code must hold one code, of at most 64 printable ASCII characters";
    /// A parameter that affects the decision cannot be read.
    UnreadableParameter = 1020, Invalid, "unreadable_parameter",
        "a parameter cannot be read";
    /// Two postbacks of one sale, the later one with better proof.
    Disputed = 1021, Pending, "disputed",
        "this sale was claimed twice, the second time with better proof; somebody has to decide whose it is";
    /// The amount needs a person's approval.
    LargeAmount = 1022, Pending, "large_amount",
        "an amount above 10000000 is held until somebody has looked at it";
    /// The sender of a refund has no proof.
    UnprovedRefund = 1023, Pending, "unproved_refund",
        "a refund without verification_token, signature or the order's own transaction_id is held until somebody has looked at it";
    /// The order of a refund has not come yet.
    RefundWaits = 1024, Pending, "refund_waits",
        "there is no such order yet; the refund waits for it for 30 days";
    /// An equal refund came a moment ago.
    RepeatedRefund = 1025, Approved, "repeated_refund",
        "the same refund came within ten minutes, and counts once; send refund_id to tell refunds apart";
}

impl ErrorCode {
    /// The stored number, which is also part of API answers.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Whether the error reveals that a named click, code, offer or partner is unusable, or that
    /// the sender is not trusted: an attacker guesses codes by such answers. The other errors are
    /// about the message or about an order.
    #[must_use]
    pub fn reveals_unusable(self) -> bool {
        matches!(
            self,
            ErrorCode::AddressNotAllowed
                | ErrorCode::AboveLookBack
                | ErrorCode::InvalidTransactionId
                | ErrorCode::InvalidClick
                | ErrorCode::OfferMismatch
                | ErrorCode::InvalidOffer
                | ErrorCode::InactiveOffer
                | ErrorCode::ExpiredOffer
                | ErrorCode::BelowMinimumTime
                | ErrorCode::InvalidToken
                | ErrorCode::UnknownCode
                | ErrorCode::PausedCode
                | ErrorCode::UnassignedCode
                | ErrorCode::CodeNotStarted
                | ErrorCode::ExpiredCode
                | ErrorCode::AmbiguousCode
                | ErrorCode::CodeNotOnOffer
                | ErrorCode::PartnerNotActive
                | ErrorCode::NotRunnable
                | ErrorCode::NothingIdentifies
                | ErrorCode::BadSignature
                | ErrorCode::StaleSignature
                | ErrorCode::UnreadableCode
        )
    }

    /// Errors of a sender who did not prove to be the advertiser, or sent for it.
    pub const UNPROVEN: [ErrorCode; 4] = [
        ErrorCode::AddressNotAllowed,
        ErrorCode::InvalidToken,
        ErrorCode::BadSignature,
        ErrorCode::StaleSignature,
    ];

    #[must_use]
    pub fn from_number(number: u32) -> Option<ErrorCode> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_words_name_one_code_each() {
        let words: HashSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0), None);
    }
}
