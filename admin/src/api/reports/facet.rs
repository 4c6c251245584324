//! What reports can be broken down and confined by.

use coupon_shared::click::Tag;

use crate::store::rollups::Dimension;

/// A property of clicks and conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Facet {
    Offer,
    Affiliate,
    Advertiser,
    CouponCode,
    /// 1 to 5.
    Sub(u8),
    SourceId,
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
            Facet::SourceId => "source_id",
        }
    }

    /// Where its values are ids.
    pub(super) fn dimension(self) -> Option<Dimension> {
        match self {
            Facet::Offer => Some(Dimension::Offer),
            Facet::Affiliate => Some(Dimension::Affiliate),
            Facet::Advertiser => Some(Dimension::Advertiser),
            Facet::CouponCode => Some(Dimension::Code),
            Facet::Sub(_) | Facet::SourceId => None,
        }
    }

    /// Where a click record has its text.
    pub(super) fn tag(self) -> Option<Tag> {
        match self {
            Facet::Sub(number) => Some(sub_tag(number)),
            Facet::SourceId => Some(Tag::SourceId),
            _ => None,
        }
    }

    /// Whether two texts mean the same here.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        one == other
    }
}

fn sub_tag(number: u8) -> Tag {
    match number {
        1 => Tag::Sub1,
        2 => Tag::Sub2,
        3 => Tag::Sub3,
        4 => Tag::Sub4,
        _ => Tag::Sub5,
    }
}
