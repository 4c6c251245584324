//! The network's settings.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::caller::Role;
use super::problems::{FieldError, Problems};
use super::words::words;
use super::{id, ip_blocklist, text};

words! {
    /// The action for conversions by a coupon code that seems leaked.
    LeakAction {
        /// No action.
        Off = "off",
        /// The conversions are flagged.
        Flag = "flag",
        /// The conversions are flagged and wait for a decision.
        Hold = "hold",
    }
}

/// Detects leaked coupon codes by an unusual number of conversions without a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CodeLeakGuard {
    /// The action.
    pub action: LeakAction,
    /// A spike has this many times the conversions per hour of the two weeks before.
    #[schema(minimum = 1, maximum = 1000)]
    pub spike_factor: u32,
    /// Fewer conversions in an hour are never a spike.
    #[schema(minimum = 1, maximum = 1000000)]
    pub spike_minimum: u32,
}

impl Default for CodeLeakGuard {
    fn default() -> CodeLeakGuard {
        CodeLeakGuard { action: LeakAction::Flag, spike_factor: 10, spike_minimum: 20 }
    }
}

impl CodeLeakGuard {
    fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        if !(1..=1000).contains(&self.spike_factor) {
            problems.add("spike_factor", "must be from 1 to 1000");
        }
        if !(1..=1_000_000).contains(&self.spike_minimum) {
            problems.add("spike_minimum", "must be from 1 to 1000000");
        }
        problems.finish()
    }
}

/// The roles whose users must have a second factor. API keys have none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecondFactorPolicy {
    /// Users with the role `admin`.
    pub admin: bool,
    /// Users with the role `manager`.
    pub manager: bool,
    /// Users with the role `read_only`.
    pub read_only: bool,
    /// Users of partners.
    pub partner: bool,
}

impl SecondFactorPolicy {
    /// Whether users with the role must have a second factor.
    #[must_use]
    pub fn requires(&self, role: Role) -> bool {
        match role {
            Role::Admin => self.admin,
            Role::Manager => self.manager,
            Role::ReadOnly => self.read_only,
            Role::Partner => self.partner,
            // No user has this role, so no policy asks for it.
            Role::Advertiser => true,
        }
    }
}

/// The settings of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SettingsEdit)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The time zone of the dates of codes and offers; an IANA name.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
    /// Target of visits that cannot be redirected; empty: the 404 page.
    #[serde(default)]
    pub fallback_url: String,
    /// The tracking domain of offers without their own.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub default_tracking_domain_id: Option<u32>,
    /// The action for conversions by a coupon code that seems leaked.
    #[serde(default)]
    pub code_leak_guard: CodeLeakGuard,
    /// The roles whose users must have a second factor. A user without one sees only the page that
    /// sets it up.
    #[serde(default)]
    pub second_factor_required: SecondFactorPolicy,
    /// Refused visitors of offers with a global routing type go to `global_fail_traffic_url`.
    #[serde(default)]
    pub is_global_fail_traffic_enabled: bool,
    /// Where refused visitors go whom no redirect of the offer takes.
    #[serde(default)]
    pub global_fail_traffic_url: String,
    /// Fail traffic and forwarding rules also of offers that are paused.
    #[serde(default)]
    pub is_fail_traffic_on_paused_enabled: bool,
    /// Addresses and CIDRs of visitors whom every offer refuses.
    #[serde(default)]
    #[schema(max_items = 1000, example = json!(["203.0.113.7", "198.51.100.0/24"]))]
    pub ip_blocklist: Vec<String>,
    /// Alerts tell of a cap of which this part is used, in percent; 0: only of reached caps.
    #[serde(default = "nearly_all")]
    #[schema(maximum = 99)]
    pub cap_alert_percentage: u32,
    /// Alerts tell of a partner or a code of whose visits of a day more than this part comes from
    /// one address, in percent; 0: no such alerts.
    #[serde(default = "half")]
    #[schema(maximum = 99)]
    pub address_alert_percentage: u32,
    /// Visits of the day from which such an alert is given.
    #[serde(default = "hundred")]
    #[schema(minimum = 1)]
    pub address_alert_minimum: u32,
}

fn nearly_all() -> u32 {
    90
}

fn half() -> u32 {
    50
}

fn hundred() -> u32 {
    100
}

impl Settings {
    /// The names of all fields.
    pub const FIELDS: [&'static str; 13] = [
        "time_zone",
        "currency",
        "fallback_url",
        "default_tracking_domain_id",
        "code_leak_guard",
        "second_factor_required",
        "is_global_fail_traffic_enabled",
        "global_fail_traffic_url",
        "is_fail_traffic_on_paused_enabled",
        "ip_blocklist",
        "cap_alert_percentage",
        "address_alert_percentage",
        "address_alert_minimum",
    ];

    /// Checks the settings without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        if TimeZone::get(&self.time_zone).is_err() {
            problems
                .add("time_zone", "is not the name of a time zone; write it like Europe/Berlin");
        }
        problems.take("currency", currency(&self.currency));
        problems.take("fallback_url", text::optional_http_url(&self.fallback_url));
        let of_guard = self.code_leak_guard.check().err().unwrap_or_default();
        problems.add_nested("code_leak_guard", of_guard);
        let global_url = &self.global_fail_traffic_url;
        problems.take("global_fail_traffic_url", text::optional_http_url(global_url));
        if self.is_global_fail_traffic_enabled && global_url.is_empty() {
            let error = "is empty; name the URL, or set is_global_fail_traffic_enabled to false";
            problems.add("global_fail_traffic_url", error);
        }
        ip_blocklist::check(&mut problems, "ip_blocklist", &self.ip_blocklist);
        if self.cap_alert_percentage > 99 {
            let error = "must be from 0 to 99; reached caps have an alert of their own";
            problems.add("cap_alert_percentage", error);
        }
        if !matches!(self.address_alert_percentage, 0 | 10..=99) {
            let error = "must be from 10 to 99, or 0 for no alerts";
            problems.add("address_alert_percentage", error);
        }
        if self.address_alert_minimum == 0 {
            problems.add("address_alert_minimum", "must be at least 1");
        }
        problems.finish()
    }
}

/// Today's date in a time zone. A zone that the database no longer knows counts as UTC.
#[must_use]
pub fn today(time_zone: &str) -> Date {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    Timestamp::now().to_zoned_datetime(zone).date()
}

#[derive(Debug, thiserror::Error)]
#[error("is not a currency; write its three letters, like EUR")]
pub(super) struct CurrencyError;

pub(super) fn currency(code: &str) -> Result<(), CurrencyError> {
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase());
    if is_code { Ok(()) } else { Err(CurrencyError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_currencies_must_exist() {
        let settings = |zone: &str, currency: &str| Settings {
            time_zone: zone.into(),
            currency: currency.into(),
            fallback_url: String::new(),
            default_tracking_domain_id: None,
            code_leak_guard: CodeLeakGuard::default(),
            second_factor_required: SecondFactorPolicy::default(),
            is_global_fail_traffic_enabled: false,
            global_fail_traffic_url: String::new(),
            is_fail_traffic_on_paused_enabled: false,
            ip_blocklist: Vec::new(),
            cap_alert_percentage: 90,
            address_alert_percentage: 50,
            address_alert_minimum: 100,
        };
        assert_eq!(settings("America/Los_Angeles", "USD").check(), Ok(()));
        assert_eq!(settings("UTC", "EUR").check(), Ok(()));
        assert_eq!(settings("Mars/Olympus", "usd").check().unwrap_err().len(), 2);
    }

    #[test]
    fn all_fields_are_named() {
        let settings: Settings =
            serde_json::from_value(serde_json::json!({"time_zone": "UTC", "currency": "EUR"}))
                .unwrap();
        let serde_json::Value::Object(fields) = serde_json::to_value(settings).unwrap() else {
            unreachable!("settings are an object");
        };
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let mut known = Settings::FIELDS;
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn a_code_leak_guard_is_as_told_and_flags_when_nothing_is() {
        let guard = |json: &str| serde_json::from_str::<CodeLeakGuard>(json);
        assert_eq!(guard("{}").unwrap(), CodeLeakGuard::default());
        let hold = guard(r#"{"action": "hold", "spike_factor": 3}"#).unwrap();
        assert_eq!((hold.action, hold.spike_factor, hold.spike_minimum), (LeakAction::Hold, 3, 20));
        assert!(guard(r#"{"action": "block"}"#).is_err());
        let wrong = guard(r#"{"spike_factor": 0, "spike_minimum": 0}"#).unwrap();
        assert_eq!(wrong.check().unwrap_err().len(), 2);
    }
}
