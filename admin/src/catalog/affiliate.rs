//! Partners; the API says affiliate.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kept_fields::{self, KeepsFields};
use super::problems::{FieldError, Problems};
use super::text;
use super::words::AccountStatus;

/// A partner as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AffiliateEdit)]
pub struct Affiliate {
    /// Shown in lists and reports.
    #[schema(min_length = 1, max_length = 255, example = "Insta Style")]
    pub name: String,
    /// Only an active partner's codes redirect.
    pub account_status: AccountStatus,
    /// Never shown to the partner.
    #[serde(default)]
    pub internal_notes: String,
    /// Fields without a meaning here.
    #[serde(flatten, deserialize_with = "kept_fields::read::<Affiliate, _>")]
    #[schema(ignore)]
    pub kept: Map<String, Value>,
}

impl KeepsFields for Affiliate {
    const WITHOUT_EFFECT: &'static [&'static str] = &[
        "account_executive_id",
        "address_id",
        "adress_id",
        "billing",
        "contact_address",
        "default_currency_id",
        "enable_media_cost_tracking_links",
        "global_tracking_domain_id",
        "has_notifications",
        "is_contact_address_enabled",
        "is_payable",
        "network_affiliate_tier_id",
        "network_country_code",
        "network_employee_id",
        "network_traffic_source_id",
        "payment_type",
        "referrer_id",
        "settings",
        "users",
    ];
    const NOTES: &'static [&'static str] = &["labels"];
}

impl Affiliate {
    /// Checks the partner without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        problems.take("internal_notes", text::note(&self.internal_notes));
        kept_fields::check(&mut problems, &self.kept);
        problems.finish()
    }

    /// Remarks about fields without effect.
    pub(crate) fn warnings(&self) -> Option<String> {
        kept_fields::warning::<Affiliate>(&self.kept)
    }
}
