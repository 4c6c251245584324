//! The rules for edited objects: pure, without SQL or HTTP.
//!
//! Each object is one type with the fields of the API, under the names of the API. `check` reports
//! all errors of an object by itself. Rules that depend on other rows (references, uniqueness, the
//! owner of a code) are in `edit`, which checks the state after the whole request.
//!
//! The API and the command line's CSV use the same functions, so both accept the same rows.

pub(crate) mod words;

/// Where Everflow's numbers are unknown, ours begin here.
pub(crate) const OWN_IDS: u32 = 100_000;

mod advertiser;
mod affiliate;
mod bulk_row;
mod caller;
mod caps;
mod cell_day;
mod click_error;
mod code_change;
mod coupon_code;
pub(crate) mod currencies;
mod custom_cap;
mod day;
mod description;
mod domain;
mod fail_traffic;
mod formula;
mod forwarding_rule;
mod generation;
mod id;
pub(crate) mod ip_blocklist;
pub(crate) mod kept_fields;
pub(crate) mod languages;
mod money;
mod nullable;
mod offer;
mod offer_group;
mod offer_url;
mod own_hosts;
mod partner_list;
mod pixel;
pub(crate) mod placeholder;
mod postback_url;
mod preferences;
mod problems;
mod row_code;
pub(crate) mod ruleset;
mod settings;
mod smart_switch;
pub(crate) mod text;
pub(crate) mod time_zones;
pub(crate) mod tracking_link;
mod traffic_control;
mod traffic_filter;
mod traffic_variable;
mod web_address;
mod web_host;
mod webhook;

pub use advertiser::{Advertiser, AttributionMethod, AttributionPriority, TrustRule};
pub use affiliate::Affiliate;
pub use bulk_row::{
    BulkMode, BulkRow, COLUMNS, CellChange, Cells, EXAMPLE_CODE, Encoding, folded_code, is_example,
};
pub use caller::{Caller, Role, UserStatus};
pub use caps::{CapLimits, CapMetric, CapPeriod, RefusalAction, cap_field};
pub use cell_day::{CellDayError, DateFormat, DateFormatError};
pub use click_error::click_error_code;
pub use code_change::{CodeChange, OptionalDay};
pub use coupon_code::{CheckedCode, CouponCodeEdit, CouponStatus};
pub use custom_cap::CustomCap;
pub use day::{DayError, parse as parse_day, published_day};
pub use description::sanitized_description;
pub use domain::{
    CertificateSource, CertificateState, CertificateStatus, TrackingDomain, parse_base_url,
    without_port,
};
pub use fail_traffic::{FailReason, InternalRedirect, RedirectRoutingMethod, RedirectRoutingType};
pub use formula::{escape_formula, unescape_formula};
pub use forwarding_rule::{ForwardingRule, ForwardingRuleStatus, VariableCondition};
pub use generation::{CheckedGeneration, Generation, Pattern};
pub use kept_fields::KeepsFields;
pub use money::{LARGEST as LARGEST_AMOUNT, Money};
pub use offer::{
    Offer, OfferStatus, PayoutRevenue, PayoutType, RevenueType, SessionDefinition, Visibility,
    empty_macro_warnings,
};
pub use offer_group::{OfferGroup, OfferGroupStatus};
pub use offer_url::{OfferUrl, OfferUrlStatus};
pub use own_hosts::{OwnHosts, OwnTrackingDomain};
pub use partner_list::PARTNER_LIST;
pub use pixel::{DeliveryMethod, DeliveryState, Pixel, PixelLevel, PixelStatus, PixelType};
pub use postback_url::{PostbackMacro, PostbackUrl, PostbackUrlError};
pub use preferences::{DecimalMark, Density, ListName, Preferences, Theme};
pub use problems::{FieldError, FieldWarning, Problems};
pub use row_code::{FoldedKey, RowCode};
pub use ruleset::Ruleset;
pub use settings::{CodeLeakGuard, LeakAction, SecondFactorPolicy, Settings, today};
pub use smart_switch::{
    BlockedValue, BlockedValueFacts, BlockedValueStatus, ConditionOperator, CountedStatus,
    DataCollectionThreshold, LookbackWindow, MAX_RULES, MAX_VALUE_BYTES, MetricReading,
    RunFrequency, SmartSwitchAction, SmartSwitchCondition, SmartSwitchMetric, SmartSwitchRule,
    SmartSwitchStatus, SwitchVariable, TargetedEntity, Unblock, UnblockMode,
};
pub use tracking_link::{LinkFacts, LinkState, TrackingLink, tracking_link};
pub use traffic_control::{
    TargetingAction, TrafficControl, TrafficControlStatus, TrafficControlType,
};
pub use traffic_filter::{FilterParameter, TrafficFilter};
pub use traffic_variable::{ComparisonMethod, TrafficVariable};
pub use web_address::{WebAddress, may_be_code_path};
pub use webhook::{EventType, Webhook, WebhookStatus};
pub use words::{AccountStatus, PartnerVisibility, PartnerVisibilityEdit, UnknownWord, WordSet};

/// Fields of objects with secrets. API keys have none, because the secret is not among their fields.
pub const SECRET_FIELDS: &[&str] = &["verification_token", "signing_key", "billing"];
