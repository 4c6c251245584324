//! Webhooks: servers that get the network's events, as signed requests.

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::problems::{FieldError, Problems};
use super::text;
use super::words::words;

words! {
    /// The status of a webhook.
    WebhookStatus {
        /// Events are sent.
        Active = "active",
        /// The webhook is off.
        Inactive = "inactive",
    }
}

words! {
    /// The type of an event.
    EventType {
        /// A postback made a conversion, with any status.
        ConversionCreated = "conversion.created",
        /// A conversion was approved, held, rejected, or lost a refund.
        ConversionStatusChanged = "conversion.status_changed",
        /// Coupon codes were created, changed, deleted or restored.
        CouponCodeChanged = "coupon_code.changed",
        /// The part of a cap that the settings name is used.
        CapNear = "cap.near",
        /// A cap is reached.
        CapReached = "cap.reached",
        /// A SmartSwitch rule will act on a value after its delay.
        SmartSwitchWarned = "smart_switch.warned",
        /// A SmartSwitch rule refuses the visits with a value.
        SmartSwitchBlocked = "smart_switch.blocked",
        /// A SmartSwitch rule ended its action or warning on a value, or a person ended it.
        SmartSwitchReleased = "smart_switch.released",
        /// A SmartSwitch rule found values, and acts on none.
        SmartSwitchAlert = "smart_switch.alert",
        /// A SmartSwitch rule holds the conversions of a code.
        SmartSwitchHeld = "smart_switch.held",
        /// A SmartSwitch rule paused a code.
        SmartSwitchPaused = "smart_switch.paused",
        /// Conversions of a code look as if the code had leaked.
        CodeLeakSuspected = "code.leak_suspected",
        /// Most visits of a partner or a code come from one address.
        TrafficFromOneAddress = "traffic.one_address",
        /// No certificate was issued for a tracking domain.
        CertificateFailed = "certificate.failed",
        /// The certificate of a tracking domain ends soon.
        CertificateExpiresSoon = "certificate.expires_soon",
    }
}

/// A webhook as edited. The secret is no field: the program makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = WebhookEdit)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Shown in lists.
    #[schema(min_length = 1, max_length = 255, example = "Chat of the team")]
    pub name: String,
    /// Gets a POST for each event. `https`; `http` only with a private address as its host.
    #[schema(min_length = 1, max_length = 2048, example = "https://hooks.example.com/coupond")]
    pub url: String,
    /// The status. Deliveries that wait when the webhook becomes inactive are not sent.
    pub webhook_status: WebhookStatus,
    /// The types of events to send; empty: all.
    #[serde(default)]
    #[schema(max_items = 15)]
    pub events: Vec<EventType>,
}

impl Webhook {
    /// Checks the webhook without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        match text::http_url(&self.url) {
            Ok(url) if url.fragment().is_some() => {
                problems.add("url", "a server never sees what follows `#`; leave it out");
            }
            Ok(url) if url.scheme() == "http" && !has_private_address(&url) => {
                let error = "sends notices in clear; use https, or http to a private address such \
                             as 127.0.0.1";
                problems.add("url", error);
            }
            checked => drop(problems.take("url", checked)),
        }
        for (at, event) in self.events.iter().enumerate() {
            if self.events[..at].contains(event) {
                problems.add(format!("events[{at}]"), "is named twice; leave one out");
            }
        }
        problems.finish()
    }

    /// The URL, parsed; `None` if another release saved it and this one cannot parse it.
    #[must_use]
    pub fn target(&self) -> Option<Url> {
        Url::parse(&self.url).ok()
    }

    /// Host and port of the URL.
    #[must_use]
    pub fn host(&self) -> String {
        let Some(url) = self.target() else { return String::new() };
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether the edit only switches off the former state, which must be possible for any URL.
    #[must_use]
    pub fn only_switches_off(&self, before: &Webhook) -> bool {
        self.webhook_status == WebhookStatus::Inactive && self.url == before.url
    }
}

fn has_private_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        Some(Host::Domain(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn webhook(over: Value) -> Result<Webhook, serde_json::Error> {
        let mut base = json!({
            "name": "Chat", "url": "https://hooks.example.com/x?y=1", "webhook_status": "active",
        });
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(base)
    }

    fn wrong_fields(over: Value) -> Vec<String> {
        let errors = webhook(over).unwrap().check().err().unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_webhook_needs_a_name_and_a_url_that_is_not_in_clear() {
        let none: [&str; 0] = [];
        assert_eq!(wrong_fields(json!({})), none);
        for url in
            ["http://127.0.0.1:8080/x", "http://10.1.2.3/", "http://[::1]/", "http://[fd00::1]/"]
        {
            assert_eq!(wrong_fields(json!({"url": url})), none, "{url}");
        }
        for url in [
            "http://hooks.example.com/",
            "http://localhost/",
            "http://1.1.1.1/",
            "ftp://hooks.example.com/",
            "https://user:secret@hooks.example.com/",
            "https://hooks.example.com/#x",
            "https://hooks.example.com/{sub1}",
            "hooks",
            "",
        ] {
            assert_eq!(wrong_fields(json!({"url": url})), ["url"], "{url}");
        }
        assert_eq!(wrong_fields(json!({"name": " "})), ["name"]);
        let twice = json!({"events": ["cap.near", "cap.reached", "cap.near"]});
        assert_eq!(wrong_fields(twice), ["events[2]"]);
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_known_ones() {
        let error = webhook(json!({"events": ["cap.passed"]})).unwrap_err().to_string();
        assert!(error.contains("`cap.passed`") && error.contains("`cap.reached`"), "{error}");
    }

    #[test]
    fn the_host_has_its_port() {
        let host = |url: &str| webhook(json!({"url": url})).unwrap().host();
        assert_eq!(host("https://Hooks.example.com/x"), "hooks.example.com");
        assert_eq!(host("http://127.0.0.1:81/x"), "127.0.0.1:81");
    }
}
