//! Why visits are or are not redirected.

use coupon_rules::control::{Control, ControlKind};
use coupon_rules::leads::FailGroup;
use coupon_rules::ruleset::Refusal;
use coupon_rules::ruleset::places::PlaceLevel;
use coupon_rules::text_match::Variable;

use crate::eligibility::Ineligibility;

/// Why a visit of a known code was or was not redirected. The numbers are part of the click
/// record's format and never change; missing numbers are kept for further rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Redirected to the offer.
    Redirected = 1,
    /// The coupon code is paused.
    Paused = 2,
    /// The coupon code has no partner.
    Unassigned = 3,
    /// The coupon code's first day has not come.
    NotStarted = 4,
    /// The coupon code's last day has passed.
    Expired = 5,
    /// The offer's status is not active.
    OfferNotActive = 6,
    /// The offer's last day has passed.
    OfferEnded = 7,
    /// The partner's account is not active.
    PartnerNotActive = 8,
    /// The partner may not run the offer.
    NotRunnable = 9,
    /// The code does not stand on the requested offer.
    NotOnOffer = 10,
    /// The catalog lacks the offer or the partner: deleted, or impossible to publish.
    Incomplete = 11,
    /// A cap of the code, the partner or the offer is reached.
    Cap = 12,
    /// A cap of the offer's group is reached.
    GroupCap = 13,
    /// The offer is not for the visitor's platform.
    Platform = 14,
    /// The offer is not for the visitor's kind of device.
    Device = 15,
    /// The offer is not for the visitor's browser.
    Browser = 16,
    /// The offer is not for the version of the visitor's operating system.
    OsVersion = 17,
    /// The offer is not for the visitor's language.
    Language = 18,
    /// The offer is not for the visitor's country.
    Country = 19,
    /// The offer is not for the visitor's region.
    Region = 20,
    /// The offer is not for the visitor's city.
    City = 21,
    /// The offer is not for the visitor's market area.
    Dma = 22,
    /// The visitor's address is in no range that the offer is for.
    AddressNotIncluded = 23,
    /// The visitor's address is in a range that the offer refuses.
    AddressExcluded = 24,
    /// The offer is not for the visitor's provider.
    Isp = 25,
    /// The offer is not open at this hour.
    Hours = 26,
    /// The offer is not for the visitor's kind of connection.
    Connection = 27,
    /// The offer is not for the visitor's mobile network.
    Carrier = 28,
    /// The visitor comes again within the offer's session.
    Duplicate = 29,
    /// The visitor hides behind a network that the offer refuses.
    Proxy = 30,
    /// A traffic control refuses the visit.
    TrafficControl = 31,
    /// A traffic control refuses the visit's tracking domain.
    TrackingDomain = 32,
    /// The visitor has converted.
    AlreadyConverted = 33,
    /// SmartSwitch blocks a value of the visit.
    SmartSwitch = 34,
    /// A person blocked a value of the visit.
    Blocked = 35,
    /// The offer is not for devices of the visitor's brand.
    Brand = 36,
    /// The offer is not for the visitor's postal code.
    PostalCode = 37,
    /// A filter of the offer refuses the visit's first sub id.
    FilteredSub1 = 38,
    /// A filter of the offer refuses the visit's second sub id.
    FilteredSub2 = 39,
    /// A filter of the offer refuses the visit's third sub id.
    FilteredSub3 = 40,
    /// A filter of the offer refuses the visit's fourth sub id.
    FilteredSub4 = 41,
    /// A filter of the offer refuses the visit's fifth sub id.
    FilteredSub5 = 42,
    /// A filter of the offer refuses the visit's traffic source.
    FilteredSourceId = 43,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 43] = [
        Reason::Redirected,
        Reason::Paused,
        Reason::Unassigned,
        Reason::NotStarted,
        Reason::Expired,
        Reason::OfferNotActive,
        Reason::OfferEnded,
        Reason::PartnerNotActive,
        Reason::NotRunnable,
        Reason::NotOnOffer,
        Reason::Incomplete,
        Reason::Cap,
        Reason::GroupCap,
        Reason::Platform,
        Reason::Device,
        Reason::Browser,
        Reason::OsVersion,
        Reason::Language,
        Reason::Country,
        Reason::Region,
        Reason::City,
        Reason::Dma,
        Reason::AddressNotIncluded,
        Reason::AddressExcluded,
        Reason::Isp,
        Reason::Hours,
        Reason::Connection,
        Reason::Carrier,
        Reason::Duplicate,
        Reason::Proxy,
        Reason::TrafficControl,
        Reason::TrackingDomain,
        Reason::AlreadyConverted,
        Reason::SmartSwitch,
        Reason::Blocked,
        Reason::Brand,
        Reason::PostalCode,
        Reason::FilteredSub1,
        Reason::FilteredSub2,
        Reason::FilteredSub3,
        Reason::FilteredSub4,
        Reason::FilteredSub5,
        Reason::FilteredSourceId,
    ];

    /// Parses the number in a click record.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }

    /// Stable name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Redirected => "redirected",
            Reason::Paused => "paused",
            Reason::Unassigned => "unassigned",
            Reason::NotStarted => "not_started",
            Reason::Expired => "expired",
            Reason::OfferNotActive => "offer_not_active",
            Reason::OfferEnded => "offer_ended",
            Reason::PartnerNotActive => "partner_not_active",
            Reason::NotRunnable => "not_runnable",
            Reason::NotOnOffer => "not_on_offer",
            Reason::Incomplete => "incomplete",
            Reason::Cap => "cap",
            Reason::GroupCap => "group_cap",
            Reason::Platform => "platform",
            Reason::Device => "device",
            Reason::Browser => "browser",
            Reason::OsVersion => "os_version",
            Reason::Language => "language",
            Reason::Country => "country",
            Reason::Region => "region",
            Reason::City => "city",
            Reason::Dma => "dma",
            Reason::AddressNotIncluded => "ip_not_included",
            Reason::AddressExcluded => "ip_excluded",
            Reason::Isp => "isp",
            Reason::Hours => "day_parting",
            Reason::Connection => "connection_type",
            Reason::Carrier => "mobile_carrier",
            Reason::Duplicate => "duplicate",
            Reason::Proxy => "proxy",
            Reason::TrafficControl => "traffic_control",
            Reason::TrackingDomain => "tracking_domain",
            Reason::AlreadyConverted => "already_converted",
            Reason::SmartSwitch => "smart_switch",
            Reason::Blocked => "blocked",
            Reason::Brand => "brand",
            Reason::PostalCode => "postal_code",
            Reason::FilteredSub1 => "traffic_filter_sub1",
            Reason::FilteredSub2 => "traffic_filter_sub2",
            Reason::FilteredSub3 => "traffic_filter_sub3",
            Reason::FilteredSub4 => "traffic_filter_sub4",
            Reason::FilteredSub5 => "traffic_filter_sub5",
            Reason::FilteredSourceId => "traffic_filter_source_id",
        }
    }

    /// Whether no other row of the code may stand in, because the refusal is about the visitor and
    /// not about the offer: else who is refused would pass by the next offer.
    #[inline]
    pub(super) fn is_final(self) -> bool {
        matches!(
            self,
            Reason::AddressExcluded
                | Reason::Proxy
                | Reason::TrafficControl
                | Reason::TrackingDomain
                | Reason::SmartSwitch
                | Reason::Blocked
                | Reason::AlreadyConverted
                | Reason::Duplicate
                | Reason::FilteredSub1
                | Reason::FilteredSub2
                | Reason::FilteredSub3
                | Reason::FilteredSub4
                | Reason::FilteredSub5
                | Reason::FilteredSourceId
        )
    }

    /// The group of reasons by which the fail traffic of an offer is divided; `None` for reasons
    /// that concern the code or the partner and lead nowhere.
    pub fn fail_group(self) -> Option<FailGroup> {
        match self {
            Reason::Redirected
            | Reason::Paused
            | Reason::Unassigned
            | Reason::NotStarted
            | Reason::Expired
            | Reason::PartnerNotActive
            | Reason::NotRunnable
            | Reason::NotOnOffer
            | Reason::Incomplete => None,
            Reason::OfferEnded => Some(FailGroup::OfferExpired),
            Reason::Cap | Reason::GroupCap => Some(FailGroup::Caps),
            Reason::Country | Reason::Region | Reason::City | Reason::Dma | Reason::PostalCode => {
                Some(FailGroup::Geotargeting)
            }
            Reason::OfferNotActive
            | Reason::Platform
            | Reason::Device
            | Reason::Browser
            | Reason::OsVersion
            | Reason::Language
            | Reason::Brand
            | Reason::AddressNotIncluded
            | Reason::AddressExcluded
            | Reason::Isp
            | Reason::Hours
            | Reason::Connection
            | Reason::Carrier
            | Reason::Proxy
            | Reason::TrafficControl
            | Reason::TrackingDomain
            | Reason::SmartSwitch
            | Reason::Blocked
            | Reason::AlreadyConverted
            | Reason::Duplicate
            | Reason::FilteredSub1
            | Reason::FilteredSub2
            | Reason::FilteredSub3
            | Reason::FilteredSub4
            | Reason::FilteredSub5
            | Reason::FilteredSourceId => Some(FailGroup::Other),
        }
    }
}

impl Reason {
    /// The reason why a control refuses.
    #[must_use]
    pub fn of_control(control: &Control) -> Reason {
        match (control.kind, control.variables.as_slice()) {
            (ControlKind::SmartSwitch, _) => Reason::SmartSwitch,
            (ControlKind::ByHand, _) => Reason::Blocked,
            (ControlKind::TrafficControl, [only]) if *only == Variable::TrackingDomain as u8 => {
                Reason::TrackingDomain
            }
            (ControlKind::OfferFilter, [only]) => Reason::of_filter(*only),
            (ControlKind::TrafficControl | ControlKind::OfferFilter, _) => Reason::TrafficControl,
        }
    }
}

impl Reason {
    /// The reason of an offer's filter of a variable.
    fn of_filter(variable: u8) -> Reason {
        match Variable::from_number(variable) {
            Some(Variable::Sub1) => Reason::FilteredSub1,
            Some(Variable::Sub2) => Reason::FilteredSub2,
            Some(Variable::Sub3) => Reason::FilteredSub3,
            Some(Variable::Sub4) => Reason::FilteredSub4,
            Some(Variable::Sub5) => Reason::FilteredSub5,
            Some(Variable::SourceId) => Reason::FilteredSourceId,
            _ => Reason::TrafficControl,
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Reason {
        match refusal {
            Refusal::Place(PlaceLevel::Country) => Reason::Country,
            Refusal::Place(PlaceLevel::Region) => Reason::Region,
            Refusal::Place(PlaceLevel::City) => Reason::City,
            Refusal::Place(PlaceLevel::Dma) => Reason::Dma,
            Refusal::Place(PlaceLevel::PostalCode) => Reason::PostalCode,
            Refusal::Platform => Reason::Platform,
            Refusal::Device => Reason::Device,
            Refusal::Browser => Reason::Browser,
            Refusal::OsVersion => Reason::OsVersion,
            Refusal::Language => Reason::Language,
            Refusal::Brand => Reason::Brand,
            Refusal::AddressNotIncluded => Reason::AddressNotIncluded,
            Refusal::AddressExcluded => Reason::AddressExcluded,
            Refusal::Isp => Reason::Isp,
            Refusal::Connection => Reason::Connection,
            Refusal::Carrier => Reason::Carrier,
            Refusal::Hours => Reason::Hours,
            Refusal::Proxy => Reason::Proxy,
        }
    }
}

impl From<Ineligibility> for Reason {
    #[inline]
    fn from(ineligibility: Ineligibility) -> Reason {
        match ineligibility {
            Ineligibility::Paused => Reason::Paused,
            Ineligibility::Unassigned => Reason::Unassigned,
            Ineligibility::NotStarted => Reason::NotStarted,
            Ineligibility::Expired => Reason::Expired,
            Ineligibility::OfferNotActive => Reason::OfferNotActive,
            Ineligibility::OfferEnded => Reason::OfferEnded,
            Ineligibility::PartnerNotActive => Reason::PartnerNotActive,
            Ineligibility::NotRunnable => Reason::NotRunnable,
        }
    }
}
