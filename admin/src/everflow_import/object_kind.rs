//! The kinds of objects in an import, with routes and names in the API.

/// A kind of object, in the order of references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ObjectKind {
    Advertisers,
    Partners,
    Offers,
    OfferUrls,
    Access,
    CouponCodes,
    PartnerPostbacks,
}

impl ObjectKind {
    pub(super) const ALL: [ObjectKind; 7] = [
        ObjectKind::Advertisers,
        ObjectKind::Partners,
        ObjectKind::Offers,
        ObjectKind::OfferUrls,
        ObjectKind::Access,
        ObjectKind::CouponCodes,
        ObjectKind::PartnerPostbacks,
    ];

    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            ObjectKind::Advertisers => "advertisers",
            ObjectKind::Partners => "partners",
            ObjectKind::Offers => "offers",
            ObjectKind::OfferUrls => "offer URLs",
            ObjectKind::Access => "access of partners",
            ObjectKind::CouponCodes => "coupon codes",
            ObjectKind::PartnerPostbacks => "partner postbacks",
        }
    }

    /// The path of the list below `/v1/networks`.
    pub(super) fn path(self) -> &'static str {
        match self {
            ObjectKind::Advertisers => "advertisers",
            ObjectKind::Partners => "affiliates",
            ObjectKind::Offers | ObjectKind::Access => "offers",
            ObjectKind::OfferUrls => "offerurls",
            ObjectKind::CouponCodes => "couponcodes",
            ObjectKind::PartnerPostbacks => "pixels",
        }
    }

    /// The possible names of the rows in a list.
    pub(super) fn row_fields(self) -> &'static [&'static str] {
        match self {
            ObjectKind::Advertisers => &["advertisers"],
            ObjectKind::Partners => &["affiliates"],
            ObjectKind::Offers | ObjectKind::Access => &["offers"],
            ObjectKind::OfferUrls => &["urls"],
            ObjectKind::CouponCodes => &["coupon_codes", "couponcodes"],
            ObjectKind::PartnerPostbacks => &["pixels"],
        }
    }

    pub(super) fn id_field(self) -> &'static str {
        match self {
            ObjectKind::Advertisers => "network_advertiser_id",
            ObjectKind::Partners => "network_affiliate_id",
            ObjectKind::Offers | ObjectKind::Access => "network_offer_id",
            ObjectKind::OfferUrls => "network_offer_url_id",
            ObjectKind::CouponCodes => "network_coupon_code_id",
            ObjectKind::PartnerPostbacks => "network_pixel_id",
        }
    }

    /// Essential fields: an unusable value refuses the row, because the object would mean something
    /// else. Unusable values of other fields are left out.
    pub(super) fn essential_fields(self) -> &'static [&'static str] {
        match self {
            ObjectKind::Advertisers => &["name", "account_status"],
            ObjectKind::Partners => &["name", "account_status"],
            ObjectKind::Offers | ObjectKind::Access => &[
                "name",
                "offer_status",
                "destination_url",
                "network_advertiser_id",
                "visibility",
                "date_live_until",
                "currency_id",
                "payout_revenue",
            ],
            ObjectKind::OfferUrls => &[
                "network_offer_id",
                "name",
                "destination_url",
                "url_status",
                "is_apply_specific_affiliates",
                "network_affiliate_ids",
            ],
            ObjectKind::CouponCodes => &[
                "coupon_code",
                "network_offer_id",
                "network_affiliate_id",
                "coupon_status",
                "start_date",
                "end_date",
                "conversion_only",
            ],
            ObjectKind::PartnerPostbacks => &[
                "network_affiliate_id",
                "network_offer_id",
                "network_offer_payout_revenue_id",
                "delivery_method",
                "pixel_status",
                "pixel_type",
                "postback_url",
            ],
        }
    }
}
