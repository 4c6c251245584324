//! URLs that an offer has beside its destination. A link asks for one by `uid`.

use coupon_shared::destination::Destination;
use serde::{Deserialize, Serialize};

use super::partner_list::{self, PARTNER_LIST};
use super::problems::{FieldError, Problems};
use super::words::words;
use super::{nullable, text};

words! {
    /// The status of an offer URL.
    OfferUrlStatus {
        /// Links may ask for the URL.
        Active = "active",
        /// Links that ask for the URL lead to the offer's destination.
        Paused = "paused",
        /// The URL is deleted; setting this status deletes the URL.
        Deleted = "deleted",
    }
}

/// An offer URL as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OfferUrlEdit)]
#[serde(deny_unknown_fields)]
pub struct OfferUrl {
    /// The offer. Stays the same, because links name both.
    #[schema(minimum = 1)]
    pub network_offer_id: u32,
    /// Shown in lists, also to partners.
    #[schema(min_length = 1, max_length = 255, example = "Boots")]
    pub name: String,
    /// Target of the visits, with macros as in the offer's destination.
    #[schema(
        min_length = 1,
        max_length = 2048,
        example = "https://shop.example.com/boots?tid={transaction_id}"
    )]
    pub destination_url: String,
    /// A page that shows partners what the URL leads to; may be empty.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub preview_url: String,
    /// The status.
    #[serde(default = "active")]
    pub url_status: OfferUrlStatus,
    /// Whether only the partners of `network_affiliate_ids` may use the URL. Links of others lead to
    /// the offer's destination.
    #[serde(default)]
    pub is_apply_specific_affiliates: bool,
    /// The partners that may use the URL; kept, but without effect, while
    /// `is_apply_specific_affiliates` is false.
    #[serde(default, deserialize_with = "nullable::null_is_default")]
    #[schema(value_type = Option<Vec<u32>>, required = false)]
    pub network_affiliate_ids: Vec<u32>,
    /// Whether partners do not see the URL in their offers. Links with its id work all the same.
    #[serde(default)]
    pub is_hidden_affiliate: bool,
}

fn active() -> OfferUrlStatus {
    OfferUrlStatus::Active
}

impl OfferUrl {
    /// Checks the URL without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        problems.take("destination_url", Destination::parse(&self.destination_url));
        problems.take("preview_url", text::optional_http_url(&self.preview_url));
        if self.is_apply_specific_affiliates && self.network_affiliate_ids.is_empty() {
            let error = "is empty, so no partner could use the URL; name one, or set \
                         is_apply_specific_affiliates to false";
            problems.add(PARTNER_LIST, error);
        }
        partner_list::check(&mut problems, &self.network_affiliate_ids);
        problems.finish()
    }

    /// The partners that may use the URL; empty for all.
    #[must_use]
    pub fn partners(&self) -> &[u32] {
        if self.is_apply_specific_affiliates { &self.network_affiliate_ids } else { &[] }
    }

    /// Whether a partner sees the URL and may use it.
    #[must_use]
    pub fn is_offered_to(&self, partner_id: u32) -> bool {
        let partners = self.partners();
        self.url_status == OfferUrlStatus::Active
            && !self.is_hidden_affiliate
            && (partners.is_empty() || partners.contains(&partner_id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(changes: &serde_json::Value) -> OfferUrl {
        let mut url = json!({
            "network_offer_id": 1, "name": "Boots",
            "destination_url": "https://shop.example.com/boots?tid={transaction_id}",
        });
        url.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(url).unwrap()
    }

    #[test]
    fn wrong_fields_are_named() {
        assert_eq!(url(&json!({})).check(), Ok(()));
        for (changes, expected) in [
            (json!({"name": ""}), "name"),
            (json!({"destination_url": "ftp://x/"}), "destination_url"),
            (json!({"destination_url": "https://x.example/{transation_id}"}), "destination_url"),
            (json!({"preview_url": "shop"}), "preview_url"),
            (json!({"is_apply_specific_affiliates": true}), "network_affiliate_ids"),
            (json!({"network_affiliate_ids": [4, 7, 4]}), "network_affiliate_ids[2]"),
        ] {
            let errors = url(&changes).check().unwrap_err();
            let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(fields, [expected], "{changes}");
        }
    }

    #[test]
    fn partners_are_offered_what_is_active_shown_and_theirs() {
        let theirs = json!({"is_apply_specific_affiliates": true, "network_affiliate_ids": [4]});
        assert!(url(&theirs).is_offered_to(4));
        assert!(!url(&theirs).is_offered_to(5));
        assert!(url(&json!({"network_affiliate_ids": [4]})).is_offered_to(5));
        assert!(!url(&json!({"url_status": "paused"})).is_offered_to(4));
        assert!(!url(&json!({"is_hidden_affiliate": true})).is_offered_to(4));
    }
}
