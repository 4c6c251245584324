//! Advertisers: owners of destination pages, and senders of postbacks.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kept_fields::{self, KeepsFields};
use super::problems::{FieldError, Problems};
use super::text;
use super::words::AccountStatus;
use super::words::words;

const MAX_TOKEN_CHARS: usize = 50;
const MAX_SIGNING_KEY_CHARS: usize = 256;
const MAX_ALLOWED_ADDRESSES: usize = 1000;

words! {
    /// The evidence that attributes a conversion first.
    AttributionPriority {
        /// The click's transaction id.
        Click = "click",
        /// The coupon code.
        CouponCode = "coupon_code",
    }
}

words! {
    /// The click that gets the conversion, if a postback names several.
    AttributionMethod {
        /// The first click.
        FirstTouch = "first_touch",
        /// The last click.
        LastTouch = "last_touch",
    }
}

words! {
    /// A proof that a postback comes from the advertiser.
    TrustRule {
        /// The postback carries the verification token.
        VerificationToken = "verification_token",
        /// The sender's address is allowed.
        IpAllowList = "ip_allow_list",
        /// The postback is signed.
        SigningKey = "signing_key",
    }
}

/// An advertiser as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AdvertiserEdit)]
pub struct Advertiser {
    /// Shown in lists and reports.
    #[schema(min_length = 1, max_length = 255, example = "Northwind Outfitters")]
    pub name: String,
    /// Only an active advertiser's API keys open anything. Code, offer and partner decide whether a
    /// link works.
    pub account_status: AccountStatus,
    /// The evidence that attributes a conversion first.
    #[serde(default = "click")]
    pub attribution_priority: AttributionPriority,
    /// The click that gets the conversion, if a postback names several.
    #[serde(default = "last_touch")]
    pub attribution_method: AttributionMethod,
    /// If set, postbacks must carry this token. A secret.
    #[serde(default)]
    pub verification_token: String,
    /// If not empty, the allowed senders of postbacks: addresses and CIDRs.
    #[serde(default)]
    pub ip_allow_list: Vec<String>,
    /// If set, postbacks must be signed with this key: `timestamp` (Unix seconds, at most 300 off)
    /// and `signature` in the query. The signature is the HMAC-SHA256 in hex of the query without
    /// the `signature=…` pair. For a POST, three parts with a newline between are signed: the media
    /// type of `Content-Type` in lower case without its parameters (empty where there is none),
    /// that query, and the body. A secret.
    #[serde(default)]
    pub signing_key: String,
    /// Fields without a meaning here.
    #[serde(flatten, deserialize_with = "kept_fields::read::<Advertiser, _>")]
    #[schema(ignore)]
    pub kept: Map<String, Value>,
}

impl KeepsFields for Advertiser {
    const WITHOUT_EFFECT: &'static [&'static str] = &[
        "accounting_contact_email",
        "address_id",
        "affiliate_id_macro",
        "billing",
        "contact_address",
        "default_currency_id",
        "email_attribution_method",
        "is_contact_address_enabled",
        "is_expose_publisher_reporting_data",
        "network_employee_id",
        "offer_id_macro",
        "reporting_timezone_id",
        "sales_manager_id",
        "settings",
        "users",
    ];
    const NOTES: &'static [&'static str] =
        &["internal_notes", "labels", "platform_name", "platform_url", "platform_username"];
}

fn click() -> AttributionPriority {
    AttributionPriority::Click
}

fn last_touch() -> AttributionMethod {
    AttributionMethod::LastTouch
}

impl Advertiser {
    /// The proofs that postbacks need. Without a rule, anybody can report conversions.
    #[must_use]
    pub fn trust_rules(&self) -> Vec<TrustRule> {
        let rules = [
            (TrustRule::VerificationToken, !self.verification_token.is_empty()),
            (TrustRule::IpAllowList, !self.ip_allow_list.is_empty()),
            (TrustRule::SigningKey, !self.signing_key.is_empty()),
        ];
        rules.into_iter().filter(|(_, is_set)| *is_set).map(|(rule, _)| rule).collect()
    }

    /// Checks the advertiser without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        problems.take("verification_token", secret(&self.verification_token, MAX_TOKEN_CHARS));
        problems.take("signing_key", secret(&self.signing_key, MAX_SIGNING_KEY_CHARS));
        if self.ip_allow_list.len() > MAX_ALLOWED_ADDRESSES {
            problems.add(
                "ip_allow_list",
                format!("has more than {MAX_ALLOWED_ADDRESSES} entries; use CIDRs"),
            );
        }
        for (index, entry) in self.ip_allow_list.iter().enumerate() {
            if entry.parse::<IpAddr>().is_err() && entry.parse::<IpNet>().is_err() {
                problems.add(
                    format!("ip_allow_list[{index}]"),
                    "is neither an address nor a CIDR such as 192.0.2.0/24",
                );
            }
        }
        if self.account_status == AccountStatus::Pending {
            problems.add("account_status", "is a status of partners; send inactive");
        }
        kept_fields::check(&mut problems, &self.kept);
        problems.finish()
    }

    /// Remarks about fields without effect.
    pub(crate) fn warnings(&self) -> Option<String> {
        kept_fields::warning::<Advertiser>(&self.kept)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("must be at most {0} visible ASCII characters")]
struct SecretError(usize);

// The message never repeats the value, which is a secret.
fn secret(value: &str, max_chars: usize) -> Result<(), SecretError> {
    let fits = value.len() <= max_chars && value.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(()) } else { Err(SecretError(max_chars)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertiser_needs_only_a_name_and_a_status() {
        let advertiser: Advertiser =
            serde_json::from_str(r#"{"name": "Shop", "account_status": "active"}"#).unwrap();
        assert_eq!(advertiser.check(), Ok(()));
        assert_eq!(advertiser.attribution_priority, AttributionPriority::Click);
    }

    #[test]
    fn every_wrong_field_is_named_and_no_secret_is_repeated() {
        let advertiser: Advertiser = serde_json::from_str(
            r#"{"name": "", "account_status": "active", "verification_token": "sec ret", "ip_allow_list": ["10.0.0.0/8", "here"]}"#,
        )
        .unwrap();
        let errors = advertiser.check().unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["name", "verification_token", "ip_allow_list[1]"]);
        assert!(errors.iter().all(|e| !e.error.contains("sec ret")));
    }
}
