//! Partners; the API says affiliate.

use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::text;
use super::words::AccountStatus;

/// A partner as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AffiliateEdit)]
#[serde(deny_unknown_fields)]
pub struct Affiliate {
    /// Shown in lists and reports.
    #[schema(min_length = 1, max_length = 255, example = "Insta Style")]
    pub name: String,
    /// Only an active partner's codes redirect.
    pub account_status: AccountStatus,
    /// Never shown to the partner.
    #[serde(default)]
    pub internal_notes: String,
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
        problems.finish()
    }
}
