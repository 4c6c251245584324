//! Facets: the properties by which reports are broken down and filtered.

use coupon_rules::agent::{Browser, Device, Platform};
use coupon_shared::click::Tag;
use coupon_shared::further_values::FURTHER_VALUES;

use crate::store::rollups::{Dimension, ValueDimension};
use crate::store::rows::Vocabulary;

/// A property of clicks and conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Facet {
    /// The offer's id.
    Offer,
    /// The partner's id.
    Affiliate,
    /// The advertiser's id.
    Advertiser,
    /// The id of the coupon code's row; filters also take the code.
    CouponCode,
    /// `sub1` to `sub5`, by its number.
    Sub(u8),
    /// A further value of clicks, by its position in [`FURTHER_VALUES`].
    Further(u8),
    /// A word of [`Device`].
    DeviceType,
    /// A name of [`Platform`].
    Platform,
    /// A name of [`Browser`].
    Browser,
    /// Two letters.
    Country,
    /// Such as `US-WA`.
    Region,
    /// Such as `Milton, US-WA`.
    City,
    /// The click's `source_id`.
    SourceId,
    /// The conversion's status.
    Status,
    /// The click's id.
    TransactionId,
    /// The advertiser's number of the sale.
    OrderId,
    /// The id of the conversion's event.
    Event,
}

/// All facets but the further values, in the order of error texts.
const ALL_FACETS: [Facet; 20] = [
    Facet::Offer,
    Facet::Affiliate,
    Facet::Advertiser,
    Facet::CouponCode,
    Facet::Sub(1),
    Facet::Sub(2),
    Facet::Sub(3),
    Facet::Sub(4),
    Facet::Sub(5),
    Facet::DeviceType,
    Facet::Platform,
    Facet::Browser,
    Facet::Country,
    Facet::Region,
    Facet::City,
    Facet::SourceId,
    Facet::Status,
    Facet::TransactionId,
    Facet::OrderId,
    Facet::Event,
];

/// The kind of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// Single clicks.
    Clicks,
    /// Single conversions.
    Conversions,
    /// Counts by breakdowns.
    Counts,
}

impl ReportKind {
    /// The facets of the report's rows.
    pub(super) fn facets(self) -> impl Iterator<Item = Facet> {
        let further = (0..FURTHER_VALUES.len() as u8).map(Facet::Further);
        ALL_FACETS.into_iter().chain(further).filter(move |facet| self.has(*facet))
    }

    fn has(self, facet: Facet) -> bool {
        match facet {
            Facet::Offer | Facet::Affiliate | Facet::Advertiser | Facet::CouponCode => true,
            Facet::Sub(_) | Facet::DeviceType | Facet::Platform | Facet::Browser => true,
            Facet::SourceId | Facet::Country => true,
            // Conversions name regions and cities in another way.
            Facet::Region | Facet::City => self != ReportKind::Conversions,
            // Clicks and conversions of one sale may differ in `adv1` to `adv10`, which postbacks may
            // say, too: counted together, they would stand in two rows.
            Facet::Further(_) => {
                self == ReportKind::Clicks || self == ReportKind::Counts && facet.family().is_some()
            }
            Facet::Status | Facet::TransactionId | Facet::OrderId | Facet::Event => {
                self == ReportKind::Conversions
            }
        }
    }
}

impl Facet {
    /// The name in breakdowns and filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Facet::Offer => "offer",
            Facet::Affiliate => "affiliate",
            Facet::Advertiser => "advertiser",
            Facet::CouponCode => "coupon_code",
            Facet::Sub(1) => "sub1",
            Facet::Sub(2) => "sub2",
            Facet::Sub(3) => "sub3",
            Facet::Sub(4) => "sub4",
            Facet::Sub(_) => "sub5",
            Facet::Further(at) => FURTHER_VALUES[usize::from(at)].name,
            Facet::DeviceType => "device_type",
            Facet::Platform => "platform",
            Facet::Browser => "browser",
            Facet::Country => "country",
            Facet::Region => "region",
            Facet::City => "city",
            Facet::SourceId => "source_id",
            Facet::Status => "status",
            Facet::TransactionId => "transaction_id",
            Facet::OrderId => "order_id",
            Facet::Event => "event",
        }
    }

    /// The dimension of the rollups; `None` where values are texts, not ids.
    pub(super) fn dimension(self) -> Option<Dimension> {
        match self {
            Facet::Offer => Some(Dimension::Offer),
            Facet::Affiliate => Some(Dimension::Affiliate),
            Facet::Advertiser => Some(Dimension::Advertiser),
            Facet::CouponCode => Some(Dimension::Code),
            _ => None,
        }
    }

    /// The closed set of words, where values are words that no report reads otherwise.
    pub(super) fn vocabulary(self) -> Option<Vocabulary> {
        match self {
            Facet::DeviceType => Some(Vocabulary::from_word_set::<Device>()),
            Facet::Platform => Some(Vocabulary::from_word_set::<Platform>()),
            Facet::Browser => Some(Vocabulary::from_word_set::<Browser>()),
            _ => None,
        }
    }

    /// The rollup family that counts by this facet. A report can use one family at a time.
    pub(super) fn family(self) -> Option<ValueDimension> {
        match self {
            Facet::Sub(number) => Some(ValueDimension::Sub(number)),
            Facet::Further(at) => match FURTHER_VALUES[usize::from(at)].tag {
                Tag::Sub6 => Some(ValueDimension::Sub(6)),
                Tag::Sub7 => Some(ValueDimension::Sub(7)),
                Tag::Sub8 => Some(ValueDimension::Sub(8)),
                Tag::Sub9 => Some(ValueDimension::Sub(9)),
                Tag::Sub10 => Some(ValueDimension::Sub(10)),
                _ => None,
            },
            Facet::DeviceType => Some(ValueDimension::DeviceType),
            Facet::Platform => Some(ValueDimension::Platform),
            Facet::Browser => Some(ValueDimension::Browser),
            Facet::SourceId => Some(ValueDimension::SourceId),
            Facet::Country => Some(ValueDimension::Country),
            Facet::Region => Some(ValueDimension::Region),
            Facet::City => Some(ValueDimension::City),
            _ => None,
        }
    }

    /// Whether the value is a place of the visitor.
    #[must_use]
    pub fn is_place(self) -> bool {
        matches!(self, Facet::Country | Facet::Region | Facet::City)
    }

    /// The tag of the text in click records.
    pub(super) fn tag(self) -> Option<Tag> {
        match self {
            Facet::Sub(1) => Some(Tag::Sub1),
            Facet::Sub(2) => Some(Tag::Sub2),
            Facet::Sub(3) => Some(Tag::Sub3),
            Facet::Sub(4) => Some(Tag::Sub4),
            Facet::Sub(_) => Some(Tag::Sub5),
            Facet::SourceId => Some(Tag::SourceId),
            Facet::Further(at) => Some(FURTHER_VALUES[usize::from(at)].tag),
            _ => None,
        }
    }

    /// Compares two texts of this facet.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        match self {
            // Partners may use subs that differ in case alone.
            Facet::DeviceType
            | Facet::Platform
            | Facet::Browser
            | Facet::Country
            | Facet::Region
            | Facet::City => one.eq_ignore_ascii_case(other),
            _ => one == other,
        }
    }
}
