//! The result of attribution: partner, offer, advertiser, code and click of a conversion.

use coupon_shared::transaction_id::TransactionId;

use crate::catalog::words::words;

words! {
    /// The identifier that attributed a conversion.
    Method {
        /// A click.
        Click = "click",
        /// The coupon code.
        CouponCode = "coupon_code",
        /// Offer and partner, named by the advertiser.
        OfferAndPartner = "offer_and_partner",
    }
}

/// A complete attribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributed {
    pub offer_id: u32,
    pub affiliate_id: u32,
    pub advertiser_id: u32,
    /// The row of the identifying code, or of the click's code.
    pub code_id: Option<u32>,
    /// The code of that row; empty for none.
    pub coupon_code: String,
    /// The identifying click, or a click of the same partner on the same offer beside the code.
    pub transaction_id: Option<TransactionId>,
    pub method: Method,
}

/// The known part of an attribution, also of a refused one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialAttribution {
    pub advertiser_id: Option<u32>,
    pub offer_id: Option<u32>,
    pub affiliate_id: Option<u32>,
    pub code_id: Option<u32>,
    /// Empty for none.
    pub coupon_code: String,
    pub transaction_id: Option<TransactionId>,
}

impl PartialAttribution {
    /// True without any known code, click or partner: no partner could ever be paid.
    #[must_use]
    pub fn identifies_nothing(&self) -> bool {
        let PartialAttribution { affiliate_id, code_id, coupon_code, transaction_id, .. } = self;
        (affiliate_id, code_id, transaction_id) == (&None, &None, &None) && coupon_code.is_empty()
    }
}

impl From<&Attributed> for PartialAttribution {
    fn from(attributed: &Attributed) -> PartialAttribution {
        PartialAttribution {
            advertiser_id: Some(attributed.advertiser_id),
            offer_id: Some(attributed.offer_id),
            affiliate_id: Some(attributed.affiliate_id),
            code_id: attributed.code_id,
            coupon_code: attributed.coupon_code.clone(),
            transaction_id: attributed.transaction_id,
        }
    }
}
