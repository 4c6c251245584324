//! Partner postbacks: requests that report conversions to a partner. The API says pixel.

use serde::{Deserialize, Serialize};
use url::Url;

use super::postback_url::PostbackUrl;
use super::problems::{FieldError, Problems};
use super::text;
use super::words::words;

const MAX_SIGNING_KEY_CHARS: usize = 256;
/// Five minutes, as at Everflow.
const MAX_DELAY_MS: u32 = 300_000;

words! {
    /// The way a partner is notified.
    DeliveryMethod {
        /// A request from this server to the partner's server.
        Postback = "postback",
    }
}

words! {
    /// The status of a partner postback.
    PixelStatus {
        /// The postback reports conversions.
        Active = "active",
        /// The postback is off.
        Inactive = "inactive",
    }
}

words! {
    /// The kind of conversions that a postback reports.
    PixelType {
        /// Base conversions.
        Conversion = "conversion",
        /// Events.
        PostConversion = "post_conversion" | "event",
    }
}

words! {
    /// The scope of a postback.
    PixelLevel {
        /// All offers of the partner.
        Global = "global",
        /// One offer.
        Specific = "specific",
    }
}

words! {
    /// The state of a delivery.
    DeliveryState {
        /// Waits for the next attempt.
        Pending = "pending",
        /// The partner's server answered 2xx.
        Delivered = "delivered",
        /// All attempts failed; a replay is possible.
        Dead = "dead",
    }
}

/// A partner postback as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PixelEdit)]
#[serde(deny_unknown_fields)]
pub struct Pixel {
    /// The partner.
    #[schema(minimum = 1)]
    pub network_affiliate_id: u32,
    /// The offer; 0 is all offers.
    #[serde(default)]
    pub network_offer_id: u32,
    /// For events of one offer: the event; 0 is all events.
    #[serde(default)]
    pub network_offer_payout_revenue_id: u32,
    /// Only `postback`: a partner's HTML is never run, and no other service is called.
    #[serde(default = "postback")]
    pub delivery_method: DeliveryMethod,
    /// Follows from the offer; if sent and not null, it must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_level: Option<PixelLevel>,
    /// The status. Deliveries that wait when the postback becomes inactive are not sent.
    pub pixel_status: PixelStatus,
    /// The kind of conversions.
    #[serde(default = "conversion")]
    pub pixel_type: PixelType,
    /// Requested with GET for each conversion. Macros such as `{transaction_id}` may stand in path
    /// and query.
    #[schema(
        min_length = 1,
        max_length = 2048,
        example = "https://partner.example.com/pb?tid={transaction_id}&p={payout_amount}"
    )]
    pub postback_url: String,
    /// Delay after the conversion.
    #[serde(default)]
    #[schema(maximum = 300_000)]
    pub delay_ms: u32,
    /// For your own records; the partner does not see it.
    #[serde(default)]
    pub description: String,
    /// If set, requests are signed with this key. A secret.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub signing_key: String,
}

fn postback() -> DeliveryMethod {
    DeliveryMethod::Postback
}

fn conversion() -> PixelType {
    PixelType::Conversion
}

impl Pixel {
    /// The scope that follows from the offer.
    #[must_use]
    pub fn level(&self) -> PixelLevel {
        if self.network_offer_id == 0 { PixelLevel::Global } else { PixelLevel::Specific }
    }

    /// Checks the postback without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        self.check_scope(&mut problems);
        problems.take("postback_url", PostbackUrl::parse(&self.postback_url));
        problems.take("description", text::note(&self.description));
        if self.delay_ms > MAX_DELAY_MS {
            problems.add("delay_ms", format!("must be at most {MAX_DELAY_MS}, five minutes"));
        }
        let key = &self.signing_key;
        if key.len() > MAX_SIGNING_KEY_CHARS || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message =
                format!("must be at most {MAX_SIGNING_KEY_CHARS} visible ASCII characters");
            problems.add("signing_key", message);
        }
        problems.finish()
    }

    /// The server of the URL, which macros cannot change; `None` if the URL cannot be parsed.
    #[must_use]
    pub fn target(&self) -> Option<Url> {
        let url = PostbackUrl::parse(&self.postback_url).ok()?;
        Url::parse(&url.filled(|_| "")).ok()
    }

    /// Whether the edit only switches off the former state, which must be possible for any URL.
    #[must_use]
    pub fn only_switches_off(&self, before: &Pixel) -> bool {
        self.pixel_status == PixelStatus::Inactive && self.postback_url == before.postback_url
    }

    fn check_scope(&self, problems: &mut Problems) {
        if self.network_affiliate_id == 0 {
            problems.add("network_affiliate_id", "a postback is one partner's; name the partner");
        }
        match (self.pixel_level, self.level()) {
            (Some(PixelLevel::Global), PixelLevel::Specific) => problems
                .add("pixel_level", "`global` is for all offers; leave network_offer_id out"),
            (Some(PixelLevel::Specific), PixelLevel::Global) => {
                problems.add("pixel_level", "`specific` is for one offer; name network_offer_id");
            }
            _ => {}
        }
        if self.network_offer_payout_revenue_id != 0 {
            let field = "network_offer_payout_revenue_id";
            if self.pixel_type == PixelType::Conversion {
                problems
                    .add(field, "a base conversion is no event; use pixel_type post_conversion");
            } else if self.network_offer_id == 0 {
                problems.add(field, "an event is one offer's; name network_offer_id too");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pixel(over: serde_json::Value) -> Result<Pixel, serde_json::Error> {
        let mut base = json!({
            "network_affiliate_id": 1, "pixel_status": "active", "postback_url": "https://p.example/?t={transaction_id}",
        });
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(base)
    }

    #[test]
    fn a_postback_needs_only_a_partner_a_status_and_a_url() {
        let pixel = pixel(json!({})).unwrap();
        assert_eq!(pixel.check(), Ok(()));
        assert_eq!((pixel.level(), pixel.pixel_type), (PixelLevel::Global, PixelType::Conversion));
    }

    #[test]
    fn what_cannot_be_is_refused_field_by_field() {
        let cases = [
            (json!({"network_affiliate_id": 0}), "network_affiliate_id"),
            (json!({"pixel_level": "specific"}), "pixel_level"),
            (json!({"pixel_level": "global", "network_offer_id": 1}), "pixel_level"),
            (json!({"network_offer_payout_revenue_id": 2}), "network_offer_payout_revenue_id"),
            (
                json!({"pixel_type": "event", "network_offer_payout_revenue_id": 2}),
                "network_offer_payout_revenue_id",
            ),
            (json!({"postback_url": "https://p.example/{subone}"}), "postback_url"),
            (json!({"delay_ms": 300_001}), "delay_ms"),
            (json!({"signing_key": "two words"}), "signing_key"),
        ];
        for (over, field) in cases {
            let errors = pixel(over.clone()).unwrap().check().unwrap_err();
            assert_eq!(errors.len(), 1, "{over}");
            assert_eq!(errors[0].field, field);
            assert!(!errors[0].error.contains("two words"));
        }
    }

    #[test]
    fn ways_of_telling_that_are_not_possible_are_answered_with_those_that_are() {
        let error = pixel(json!({"delivery_method": "html"})).unwrap_err().to_string();
        assert!(error.contains("`html`") && error.contains("`postback`"), "{error}");
        let error = pixel(json!({"pixel_type": "cpc"})).unwrap_err().to_string();
        assert!(error.contains("`post_conversion`"), "{error}");
    }
}
