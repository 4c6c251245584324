//! By what requests are known that these programs make themselves: the admin's, which tell partners
//! of conversions. The daemon refuses them before anything is kept, so that no conversion is ever
//! made of what told of one, through whatever names and machines it came back.

/// The header with a delivery's number.
pub const DELIVERY_HEADER: &str = "x-coupon-delivery";
/// The header with a signature under a partner's key.
pub const SIGNATURE_HEADER: &str = "x-coupon-signature";
/// What the user agent begins with; the version follows.
pub const USER_AGENT_PREFIX: &str = "coupond/";
