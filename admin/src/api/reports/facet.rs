//! What reports can be broken down and confined by.

use coupon_shared::click::Tag;

use crate::classification::Device;
use crate::store::rollups::{Dimension, Family};
use crate::store::rows::Vocabulary;

/// A property of clicks and conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Facet {
    Offer,
    Affiliate,
    Advertiser,
    CouponCode,
    /// 1 to 5.
    Sub(u8),
    DeviceType,
    /// Two letters.
    Country,
    SourceId,
    Status,
    TransactionId,
    OrderId,
    Event,
}

/// Of single clicks.
pub(super) const OF_CLICKS: [Facet; 10] = [
    Facet::Offer,
    Facet::Affiliate,
    Facet::Advertiser,
    Facet::CouponCode,
    Facet::Sub(1),
    Facet::Sub(2),
    Facet::Sub(3),
    Facet::Sub(4),
    Facet::Sub(5),
    Facet::SourceId,
];

/// Of single clicks, for the partner they belong to.
pub(super) const OF_PARTNERS_CLICKS: [Facet; 8] = [
    Facet::Offer,
    Facet::CouponCode,
    Facet::Sub(1),
    Facet::Sub(2),
    Facet::Sub(3),
    Facet::Sub(4),
    Facet::Sub(5),
    Facet::SourceId,
];

/// Of what is counted.
pub(super) const OF_COUNTS: [Facet; 11] = [
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
    Facet::Country,
];

/// Of what is counted, for the partner it belongs to.
pub(super) const OF_PARTNERS_COUNTS: [Facet; 9] = [
    Facet::Offer,
    Facet::CouponCode,
    Facet::Sub(1),
    Facet::Sub(2),
    Facet::Sub(3),
    Facet::Sub(4),
    Facet::Sub(5),
    Facet::DeviceType,
    Facet::Country,
];

/// Of single conversions.
pub(super) const OF_CONVERSIONS: [Facet; 8] = [
    Facet::Offer,
    Facet::Affiliate,
    Facet::Advertiser,
    Facet::CouponCode,
    Facet::Status,
    Facet::TransactionId,
    Facet::OrderId,
    Facet::Event,
];

/// Of single conversions, for the partner they belong to.
pub(super) const OF_PARTNERS_CONVERSIONS: [Facet; 5] =
    [Facet::Offer, Facet::CouponCode, Facet::Status, Facet::TransactionId, Facet::Event];

impl Facet {
    /// Its name in columns and filters.
    pub(super) fn name(self) -> &'static str {
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
            Facet::DeviceType => "device_type",
            Facet::Country => "country",
            Facet::SourceId => "source_id",
            Facet::Status => "status",
            Facet::TransactionId => "transaction_id",
            Facet::OrderId => "order_id",
            Facet::Event => "event",
        }
    }

    /// Where its values are ids.
    pub(super) fn dimension(self) -> Option<Dimension> {
        match self {
            Facet::Offer => Some(Dimension::Offer),
            Facet::Affiliate => Some(Dimension::Affiliate),
            Facet::Advertiser => Some(Dimension::Advertiser),
            Facet::CouponCode => Some(Dimension::Code),
            _ => None,
        }
    }

    /// Where its values are words of a closed set that no report reads by itself.
    pub(super) fn vocabulary(self) -> Option<Vocabulary> {
        (self == Facet::DeviceType).then(Vocabulary::of::<Device>)
    }

    /// Where its values are counted apart, one such facet at a time.
    pub(super) fn family(self) -> Option<Family> {
        match self {
            Facet::Sub(number) => Some(Family::Sub(number)),
            Facet::DeviceType => Some(Family::DeviceType),
            Facet::Country => Some(Family::Country),
            _ => None,
        }
    }

    /// Where a click record has its text.
    pub(super) fn tag(self) -> Option<Tag> {
        match self {
            Facet::Sub(1) => Some(Tag::Sub1),
            Facet::Sub(2) => Some(Tag::Sub2),
            Facet::Sub(3) => Some(Tag::Sub3),
            Facet::Sub(4) => Some(Tag::Sub4),
            Facet::Sub(_) => Some(Tag::Sub5),
            Facet::SourceId => Some(Tag::SourceId),
            _ => None,
        }
    }

    /// Whether two texts mean the same here: what partners wrote is compared to the letter.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        match self {
            Facet::DeviceType | Facet::Country => one.eq_ignore_ascii_case(other),
            _ => one == other,
        }
    }
}
