//! Partners. A removed partner's codes stay and do not redirect.

use super::{EditError, Editable};
use crate::catalog::Affiliate;
use crate::store::WriteTx;

impl Editable for Affiliate {
    const NAME: &'static str = "affiliate";
    const ANSWERED_ONLY: &'static [&'static str] = &[
        "network_affiliate_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
    ];

    fn check(&self, _tx: &WriteTx<'_>, _id: Option<u32>) -> Result<(), EditError> {
        Affiliate::check(self).map_err(EditError::Invalid)
    }
}
