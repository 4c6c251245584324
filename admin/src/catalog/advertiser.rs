//! Advertisers: whose pages destinations lead to, and who report conversions.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::words::words;
use super::{AccountStatus, FieldError, Problems, text};

const MAX_TOKEN_CHARS: usize = 50;
const MAX_SIGNING_KEY_CHARS: usize = 256;
const MAX_ALLOWED_ADDRESSES: usize = 1000;

words! {
    /// What identifies a conversion first.
    AttributionPriority {
        /// The click's transaction id.
        Click = "click",
        /// The coupon code.
        CouponCode = "coupon_code",
    }
}

words! {
    /// Which of several clicks gets the conversion.
    AttributionMethod {
        /// The first.
        FirstTouch = "first_touch",
        /// The last.
        LastTouch = "last_touch",
    }
}

/// An advertiser as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AdvertiserEdit)]
#[serde(deny_unknown_fields)]
pub struct Advertiser {
    /// Shown in lists and reports.
    #[schema(min_length = 1, max_length = 255, example = "Northwind Outfitters")]
    pub name: String,
    /// For your own records: whether a link works is decided by code, offer and partner.
    pub account_status: AccountStatus,
    /// What identifies a conversion first.
    #[serde(default = "click")]
    pub attribution_priority: AttributionPriority,
    /// Which of several clicks gets the conversion.
    #[serde(default = "last_touch")]
    pub attribution_method: AttributionMethod,
    /// Postbacks must carry it when it is set. A secret.
    #[serde(default)]
    pub verification_token: String,
    /// Where postbacks may come from, when it is not empty: addresses and CIDRs.
    #[serde(default)]
    pub ip_allow_list: Vec<String>,
    /// Postbacks must be signed with it when it is set: `timestamp` (Unix seconds, at most 300 off) and
    /// `signature` in the query. The signature is the HMAC-SHA256 in hex of the query without the
    /// `signature=…` pair. Of a POST it is that of three parts with a newline between: the media type
    /// of `Content-Type` in lower case without its parameters (empty where there is none), that query,
    /// and the body. A secret.
    #[serde(default)]
    pub signing_key: String,
}

fn click() -> AttributionPriority {
    AttributionPriority::Click
}

fn last_touch() -> AttributionMethod {
    AttributionMethod::LastTouch
}

impl Advertiser {
    /// What is wrong with it by itself.
    ///
    /// # Errors
    /// Every wrong field.
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
        problems.finish()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("must be at most {0} visible ASCII characters")]
struct SecretError(usize);

// The value is never repeated in the message.
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
