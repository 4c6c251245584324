//! Offer groups. All offers of a group are of one advertiser.

use super::{EditError, Editable, Removal, check_reference};
use crate::catalog::{Advertiser, OfferGroup};
use crate::store::{WriteTx, offer_groups};

impl Editable for OfferGroup {
    const NAME: &'static str = "offer group";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_offer_group_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        OfferGroup::check(self).map_err(EditError::Invalid)?;
        let advertiser = self.network_advertiser_id;
        check_reference::<Advertiser>(tx, "network_advertiser_id", advertiser)?;
        let other = match id {
            Some(id) => offer_groups::offer_of_other_advertiser(tx, id, advertiser)?,
            None => None,
        };
        other.map_or(Ok(()), |offer| {
            let message = format!(
                "offer {offer} of this group is another advertiser's; take it out of the group first"
            );
            Err(EditError::field("network_advertiser_id", message))
        })
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, _removal: Removal) -> Result<(), EditError> {
        match offer_groups::count_offers(tx, id)? {
            0 => Ok(()),
            offers => Err(EditError::conflict(
                "offer_group.in_use",
                "network_offer_group_id",
                format!(
                    "offer group {id} has {offers} offer(s); take them out of the group first, or \
                     set offer_group_status to inactive"
                ),
            )),
        }
    }
}
