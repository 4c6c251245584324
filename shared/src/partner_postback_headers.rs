//! Marks of the requests with which the admin tells partners of conversions.
//!
//! The daemon refuses requests with these marks before it stores anything. Otherwise a partner
//! postback that comes back, under any name and through any machine, would count as a conversion
//! report.

/// Header with the number of a delivery.
pub const DELIVERY_HEADER: &str = "x-coupon-delivery";
/// Header with a signature under the partner's key.
pub const SIGNATURE_HEADER: &str = "x-coupon-signature";
/// Beginning of the user agent; the version follows.
pub const USER_AGENT_PREFIX: &str = "coupond/";
