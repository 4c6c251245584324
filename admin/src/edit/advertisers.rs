//! Advertisers.

use super::{EditError, Editable, Removal};
use crate::catalog::Advertiser;
use crate::store::{WriteTx, advertisers};

impl Editable for Advertiser {
    const NAME: &'static str = "advertiser";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_advertiser_id",
        "network_id",
        "trust_rules",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, _tx: &WriteTx<'_>, _id: Option<u32>) -> Result<(), EditError> {
        Advertiser::check(self).map_err(EditError::Invalid)
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, _removal: Removal) -> Result<(), EditError> {
        match advertisers::offers_of(tx, id)? {
            0 => Ok(()),
            offers => Err(EditError::conflict(
                "advertiser.in_use",
                "network_advertiser_id",
                format!(
                    "advertiser {id} has {offers} offer(s); delete them first, or set account_status to inactive"
                ),
            )),
        }
    }
}
