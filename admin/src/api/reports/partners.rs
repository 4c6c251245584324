//! `/v1/affiliates/reporting`: what a partner sees of his own clicks and sales.
//!
//! Every answer and every file here is made of types of this folder, which have no field for what
//! partners must not learn: revenue, profit, sale amounts, advertisers, visitors' addresses and
//! browsers, buyers, notes, and other partners. Nothing is filtered out of the network's rows.
//! Whose rows they are is taken from the key, never from the request, and what may be filtered or
//! sorted by is confined to what is shown, so that an order cannot tell what a field does not.

pub(super) mod clicks;
pub(super) mod conversions;
pub(super) mod entity;

use crate::api::auth::Authenticated;
use crate::api::error::ApiError;

/// The partner whose key it is.
fn partner_of(Authenticated(caller): Authenticated) -> Result<u32, ApiError> {
    caller.affiliate_id.ok_or_else(ApiError::inside)
}
