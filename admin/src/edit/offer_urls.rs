//! URLs of offers.

use super::own_address::OwnAddresses;
use super::{EditError, Editable, Removal, check_partners, check_reference};
use crate::catalog::{Offer, OfferUrl, OfferUrlStatus};
use crate::store::{ReadTx, StoreError, WriteTx, offer_urls, rows};

/// A bound, because the catalog holds all URLs.
const MAX_PER_OFFER: u64 = 1_000;

impl Editable for OfferUrl {
    const NAME: &'static str = "offer URL";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_offer_url_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        OfferUrl::check(self).map_err(EditError::Invalid)?;
        if id.is_none() && self.url_status == OfferUrlStatus::Deleted {
            return Err(EditError::field("url_status", "a new offer URL cannot be deleted"));
        }
        let offer_id = self.network_offer_id;
        check_reference::<Offer>(tx, "network_offer_id", offer_id)?;
        let before = id.map(|id| rows::find_including_deleted::<OfferUrl>(tx, id)).transpose()?;
        let before = before.flatten().map(|row| row.object);
        if let Some(before) = before.as_ref().filter(|it| it.network_offer_id != offer_id) {
            let message = format!(
                "links name this URL together with offer {}; create another URL for offer {offer_id}",
                before.network_offer_id
            );
            return Err(EditError::field("network_offer_id", message));
        }
        if offer_urls::count_others(tx, offer_id, id)? >= MAX_PER_OFFER {
            let message = format!(
                "offer {offer_id} has {MAX_PER_OFFER} URLs, which is the most; delete some first"
            );
            return Err(EditError::conflict("offer_url.too_many", "network_offer_id", message));
        }
        let known = before.as_ref().map_or(&[][..], |before| &before.network_affiliate_ids);
        check_partners(tx, &self.network_affiliate_ids, known)?;
        // An unchanged URL may lead to a newer domain, and can still be paused.
        if before.is_none_or(|before| before.destination_url != self.destination_url) {
            let own = OwnAddresses::read(tx)?;
            own.check_destination("destination_url", &self.destination_url)?;
        }
        Ok(())
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, _removal: Removal) -> Result<(), EditError> {
        offer_urls::offer_leading_to(tx, id)?.map_or(Ok(()), |offer| {
            let message = format!(
                "the forwarding rules or the fail traffic of offer {offer} lead to offer URL {id}; \
                 let them lead elsewhere first, or set url_status to paused"
            );
            Err(EditError::conflict("offer_url.in_use", "network_offer_url_id", message))
        })
    }

    fn take_removal(&mut self, before: &OfferUrl) -> bool {
        let is_removal = self.url_status == OfferUrlStatus::Deleted;
        if is_removal {
            self.url_status = before.url_status;
        }
        is_removal
    }
}

/// Why an offer's rule cannot lead to a URL of another offer; `None` if it can.
pub(super) fn problem_with_url(
    connection: &ReadTx<'_>,
    offer_id: u32,
    url_id: Option<u32>,
) -> Result<Option<String>, StoreError> {
    let Some(id) = url_id else { return Ok(None) };
    let url = rows::find::<OfferUrl>(connection, id)?;
    let is_of_offer = url.is_some_and(|url| url.object.network_offer_id == offer_id);
    Ok((!is_of_offer).then(|| format!("offer {offer_id} has no URL {id}")))
}
