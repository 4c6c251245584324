//! The numbers by which reports name the reason why a visit did not get to its offer.

use coupon_shared::decision::Reason;

/// Reasons without a number at Everflow have the number of their click record above this one.
const FIRST_OWN_CODE: u32 = 1000;

/// Everflow's number of a reason, or one of ours; 0 for a visit that was sent on.
#[must_use]
pub fn click_error_code(reason: Reason) -> u32 {
    match reason {
        Reason::Redirected => 0,
        Reason::OfferEnded => 1,
        Reason::Cap => 2,
        Reason::GroupCap => 3,
        Reason::Platform => 4,
        Reason::Device => 5,
        Reason::Browser => 6,
        Reason::OsVersion => 7,
        Reason::Language => 8,
        Reason::Country => 9,
        Reason::Region => 10,
        Reason::City => 11,
        Reason::Dma => 12,
        Reason::AddressNotIncluded => 13,
        Reason::AddressExcluded => 15,
        Reason::Isp => 16,
        Reason::Hours => 17,
        Reason::Connection => 18,
        Reason::Carrier => 19,
        Reason::Duplicate => 21,
        Reason::Proxy => 23,
        Reason::TrafficControl => 24,
        Reason::TrackingDomain => 26,
        Reason::AlreadyConverted => 27,
        Reason::SmartSwitch => 28,
        Reason::Blocked => 14,
        Reason::Brand => 30,
        Reason::FilteredSub1 => 101,
        Reason::FilteredSub2 => 102,
        Reason::FilteredSub3 => 103,
        Reason::FilteredSub4 => 104,
        Reason::FilteredSub5 => 105,
        Reason::FilteredSourceId => 106,
        Reason::Paused
        | Reason::Unassigned
        | Reason::NotStarted
        | Reason::Expired
        | Reason::OfferNotActive
        | Reason::PartnerNotActive
        | Reason::NotRunnable
        | Reason::NotOnOffer
        | Reason::Incomplete
        | Reason::PostalCode => FIRST_OWN_CODE + u32::from(reason as u8),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_reason_has_a_number_of_its_own() {
        let codes: HashSet<u32> = Reason::ALL.into_iter().map(click_error_code).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        let code = |reason| click_error_code(reason);
        assert_eq!((code(Reason::Redirected), code(Reason::PostalCode)), (0, 1037));
    }
}
