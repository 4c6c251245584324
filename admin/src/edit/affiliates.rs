//! Partners. The codes of a deleted partner stay but do not redirect, and the partner's API keys
//! are refused.

use super::{EditError, Editable, Removal, check_live_codes};
use crate::catalog::Affiliate;
use crate::store::WriteTx;
use crate::store::coupon_codes::{self, CodesOf};

impl Editable for Affiliate {
    const NAME: &'static str = "affiliate";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_affiliate_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, _tx: &WriteTx<'_>, _id: Option<u32>) -> Result<(), EditError> {
        Affiliate::check(self).map_err(EditError::Invalid)
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, removal: Removal) -> Result<(), EditError> {
        let codes = coupon_codes::count_live(tx, CodesOf::Partner(id))?;
        let place = ("affiliate.has_live_codes", "network_affiliate_id");
        check_live_codes(codes, removal, place, |codes| {
            format!(
                "affiliate {id} has {codes} live coupon code(s), whose links and sales would end with \
                 it; set account_status to inactive, or delete it nevertheless with ?force=true"
            )
        })
    }
}
