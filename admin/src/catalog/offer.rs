//! Offers: the destination of codes, and the payout of conversions.

use std::collections::HashSet;

use coupon_shared::destination::Destination;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::caps::{RefusalAction, has_cap_fields};
use super::fail_traffic::{self, InternalRedirect, RedirectRoutingMethod, RedirectRoutingType};
use super::kept_fields::{self, KeepsFields};
use super::money::Money;
use super::problems::{FieldError, Problems};
use super::ruleset::{self, Ruleset};
use super::traffic_filter::{MAX_FILTERS, TrafficFilter};
use super::words::words;
use super::{day, id, nullable, settings, text};

const MAX_ENTRIES: usize = 100;
const MAX_HOURS: u32 = 24 * 365;
const MAX_MINIMUM_SECONDS: u32 = 24 * 3600;

words! {
    /// The status of an offer.
    OfferStatus {
        /// The offer redirects.
        Active = "active",
        /// The offer does not redirect for now.
        Paused = "paused",
        /// The offer does not redirect yet.
        Pending = "pending",
        /// The offer is deleted; setting this status deletes the offer.
        Deleted = "deleted",
    }
}

words! {
    /// The visibility for partners without an entry of their own.
    Visibility {
        /// All partners may run the offer.
        Public = "public",
        /// Partners may run the offer after an approval.
        RequireApproval = "require_approval",
        /// No partner may run the offer.
        Private = "private",
    }
}

words! {
    /// The reason for a payment to the partner.
    PayoutType {
        /// A conversion.
        Cpa = "cpa",
        /// A click.
        Cpc = "cpc",
        /// A thousand impressions.
        Cpm = "cpm",
        /// A share of the sale.
        Cps = "cps",
        /// A conversion, and a share of the sale.
        CpaCps = "cpa_cps",
        /// A share of the revenue.
        Prv = "prv",
        /// Nothing is paid.
        Nothing = "null_value" | "blank",
    }
}

words! {
    /// The reason for a payment by the advertiser.
    RevenueType {
        /// A conversion.
        Rpa = "rpa",
        /// A click.
        Rpc = "rpc",
        /// A thousand impressions.
        Rpm = "rpm",
        /// A share of the sale.
        Rps = "rps",
        /// A conversion, and a share of the sale.
        RpaRps = "rpa_rps",
        /// A share of the revenue.
        Prv = "prv",
        /// Nothing is paid.
        Nothing = "null_value" | "blank",
    }
}

words! {
    /// The data that identifies a visitor across clicks.
    SessionDefinition {
        /// A cookie.
        Cookie = "cookie",
        /// The address.
        Ip = "ip",
        /// Address and user agent.
        IpUserAgent = "ip_user_agent",
        /// The device's advertising id.
        GoogleAdId = "google_ad_id",
        /// The device's advertising id.
        Idfa = "idfa",
    }
}

/// Payout and revenue of one kind of conversion. The default entry is the base; the others are
/// events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PayoutRevenue {
    /// The id of an existing entry in a replacement. An entry without an id takes the one of the
    /// entry with its name, the default entry the one of the default; else it is new.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub network_offer_payout_revenue_id: Option<u32>,
    /// Shown in reports.
    #[serde(default)]
    pub entry_name: String,
    /// The reason for a payment to the partner.
    pub payout_type: PayoutType,
    /// Per conversion or click.
    #[serde(default)]
    pub payout_amount: Money,
    /// Percentage of the sale amount.
    #[serde(default)]
    pub payout_percentage: Money,
    /// The reason for a payment by the advertiser.
    pub revenue_type: RevenueType,
    /// Per conversion or click.
    #[serde(default)]
    pub revenue_amount: Money,
    /// Percentage of the sale amount.
    #[serde(default)]
    pub revenue_percentage: Money,
    /// Exactly one entry is the base.
    #[serde(default)]
    pub is_default: bool,
    /// Fields without a meaning here.
    #[serde(flatten, deserialize_with = "kept_fields::read::<PayoutRevenue, _>")]
    #[schema(ignore)]
    pub kept: Map<String, Value>,
}

impl KeepsFields for PayoutRevenue {
    const WITHOUT_EFFECT: &'static [&'static str] = &[
        "global_advertiser_event_id",
        "is_allow_duplicate_conversion",
        "is_email_attribution_default_event",
        "is_enforce_caps",
        "is_must_approve_conversion",
        "is_postback_disabled",
    ];
    // A private entry is not shown to partners.
    const NOTES: &'static [&'static str] = &["is_private", "remote_offer_resource"];
    const DROPPED: &'static [&'static str] =
        &["network_id", "network_offer_id", "time_created", "time_saved"];
}

/// The schema of payout entries: a list, the list as `entries` of an object, or null for none.
struct PayoutEntries;

impl PartialSchema for PayoutEntries {
    fn schema() -> RefOr<Schema> {
        let entry = Ref::from_schema_name(PayoutRevenue::name());
        let list = ArrayBuilder::new().items(entry).build();
        let total = ObjectBuilder::new().schema_type(SchemaType::AnyValue).build();
        let object = ObjectBuilder::new()
            .property("entries", list.clone())
            .property("total", total)
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
        let none = ObjectBuilder::new().schema_type(Type::Null);
        OneOfBuilder::new().item(list).item(object).item(none).into()
    }
}

impl ToSchema for PayoutEntries {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((PayoutRevenue::name().into_owned(), PayoutRevenue::schema()));
        PayoutRevenue::schemas(schemas);
    }
}

/// An offer as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OfferEdit)]
pub struct Offer {
    /// Shown in lists and reports.
    #[schema(min_length = 1, max_length = 255, example = "Winter Jackets")]
    pub name: String,
    /// The status.
    pub offer_status: OfferStatus,
    /// The destination URL, with macros.
    #[schema(example = "https://www.example.com/jackets?tid={transaction_id}&code={coupon_code}")]
    pub destination_url: String,
    /// The advertiser of the offer.
    #[schema(example = 1)]
    pub network_advertiser_id: u32,
    /// The tracking domain of the links; absent: the default domain.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub network_tracking_domain_id: Option<u32>,
    /// The visibility for partners.
    #[serde(default = "public")]
    pub visibility: Visibility,
    /// The last day with redirects, in the network's time zone.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub date_live_until: Option<Date>,
    /// ISO 4217; empty: the network's currency.
    #[serde(default)]
    pub currency_id: String,
    /// Payout and revenue of each kind of conversion.
    #[serde(default, deserialize_with = "kept_fields::entries::deserialize")]
    #[schema(value_type = PayoutEntries, required = false)]
    pub payout_revenue: Vec<PayoutRevenue>,
    /// The data that makes a click unique.
    #[serde(default = "ip_user_agent")]
    pub session_definition: SessionDefinition,
    /// The period of uniqueness, in hours.
    #[serde(default = "one_day")]
    pub session_duration: u32,
    /// The period between click and conversion, in hours; 0: unlimited.
    #[serde(default)]
    pub session_tracking_lifespan_hour: u32,
    /// The shortest time between click and conversion, in seconds; an earlier conversion is
    /// rejected.
    #[serde(default)]
    pub session_tracking_minimum_lifespan_second: u32,
    /// Conversions wait for approval.
    #[serde(default)]
    pub is_must_approve_conversion: bool,
    /// One click may convert more than once.
    #[serde(default)]
    pub is_allow_duplicate_conversion: bool,
    /// Adds the transaction id to the destination.
    #[serde(default)]
    pub append_transaction_id: bool,
    /// Target of visits that cannot be redirected; empty: the domain's fallback URL, then the
    /// network's.
    #[serde(default)]
    pub fallback_url: String,
    /// The visitors the offer is for; `{}`: everybody.
    #[serde(default, deserialize_with = "ruleset::null_is_everybody")]
    #[schema(value_type = Option<Ruleset>, required = false)]
    pub ruleset: Ruleset,
    /// The group whose caps the offer shares; 0: none.
    #[serde(default)]
    pub network_offer_group_id: u32,
    /// Refuses visitors with an earlier click in the session.
    #[serde(default)]
    pub is_duplicate_filter_enabled: bool,
    /// The answer to such a visitor.
    #[serde(default = "block")]
    pub duplicate_filter_targeting_action: RefusalAction,
    /// Refuses visitors whose conversion is approved or pending.
    #[serde(default)]
    pub is_block_already_converted: bool,
    /// The answer to such a visitor.
    #[serde(default = "block")]
    pub already_converted_action: RefusalAction,
    /// Whether the caps of the offer hold. Without, they are kept.
    #[serde(default)]
    pub is_caps_enabled: bool,
    /// The caps of the offer only alert.
    #[serde(default)]
    pub is_soft_cap: bool,
    /// Most base conversions of a day; 0: no limit.
    #[serde(default)]
    pub daily_conversion_cap: u64,
    /// Most base conversions of a week; 0: no limit.
    #[serde(default)]
    pub weekly_conversion_cap: u64,
    /// Most base conversions of a month; 0: no limit.
    #[serde(default)]
    pub monthly_conversion_cap: u64,
    /// Most base conversions of all time; 0: no limit.
    #[serde(default)]
    pub global_conversion_cap: u64,
    /// Most payout of a day; 0: no limit.
    #[serde(default)]
    pub daily_payout_cap: Money,
    /// Most payout of a week; 0: no limit.
    #[serde(default)]
    pub weekly_payout_cap: Money,
    /// Most payout of a month; 0: no limit.
    #[serde(default)]
    pub monthly_payout_cap: Money,
    /// Most payout of all time; 0: no limit.
    #[serde(default)]
    pub global_payout_cap: Money,
    /// Most revenue of a day; 0: no limit.
    #[serde(default)]
    pub daily_revenue_cap: Money,
    /// Most revenue of a week; 0: no limit.
    #[serde(default)]
    pub weekly_revenue_cap: Money,
    /// Most revenue of a month; 0: no limit.
    #[serde(default)]
    pub monthly_revenue_cap: Money,
    /// Most revenue of all time; 0: no limit.
    #[serde(default)]
    pub global_revenue_cap: Money,
    /// Most unique clicks of a day; 0: no limit.
    #[serde(default)]
    pub daily_click_cap: u64,
    /// Most unique clicks of a week; 0: no limit.
    #[serde(default)]
    pub weekly_click_cap: u64,
    /// Most unique clicks of a month; 0: no limit.
    #[serde(default)]
    pub monthly_click_cap: u64,
    /// Most unique clicks of all time; 0: no limit.
    #[serde(default)]
    pub global_click_cap: u64,
    /// Refused visitors get another offer.
    #[serde(default)]
    pub is_fail_traffic_enabled: bool,
    /// Who chooses where refused visitors go.
    #[serde(default = "internal")]
    pub redirect_routing_method: RedirectRoutingMethod,
    /// The choice among the redirects that take a visit.
    #[serde(default = "priority")]
    pub redirect_internal_routing_type: RedirectRoutingType,
    /// Filters of sub ids and sources: a visit that matches one is refused. Traffic controls do the
    /// same for several offers and values.
    #[serde(default, deserialize_with = "nullable::null_is_default")]
    #[schema(value_type = Option<Vec<TrafficFilter>>, required = false)]
    pub traffic_filters: Vec<TrafficFilter>,
    /// The offers for refused visitors, in the order of priority.
    #[serde(default, deserialize_with = "nullable::null_is_default")]
    #[schema(value_type = Option<Vec<InternalRedirect>>, required = false)]
    pub internal_redirects: Vec<InternalRedirect>,
    /// Fields without a meaning here.
    #[serde(flatten, deserialize_with = "kept_fields::read::<Offer, _>")]
    #[schema(ignore)]
    pub kept: Map<String, Value>,
}

/// Says whether the limits between click and conversion hold; acts when it is sent, and is not
/// kept.
const IS_SESSION_TRACKING_ENABLED: &str = "is_session_tracking_enabled";

impl KeepsFields for Offer {
    const WITHOUT_EFFECT: &'static [&'static str] = &[
        "attribution_method",
        "caps_timezone_id",
        "conversion_method",
        "creatives",
        "email",
        "email_attribution_method",
        "email_attribution_window_minute",
        "email_attribution_window_type",
        "email_optout",
        "integrations",
        "is_allow_deep_link",
        "is_email_attribution_enabled",
        "is_email_attribution_window_enabled",
        "is_force_terms_and_conditions",
        "is_postback_disabled",
        "is_seo_friendly",
        "is_use_direct_linking",
        "is_use_scrub_rate",
        "is_use_secure_link",
        "is_using_explicit_terms_and_conditions",
        "is_using_suppression_list",
        "is_view_through_enabled",
        "is_view_through_session_tracking_enabled",
        "is_whitelist_check_enabled",
        "meta",
        "redirect_mode",
        "requirement_kpis",
        "requirement_tracking_parameters",
        "scrub_rate_percentage",
        "scrub_rate_status",
        "server_side_url",
        "session_tracking_start_on",
        "source_names",
        "suppression_list_id",
        "view_through_destination_url",
        "view_through_session_tracking_lifespan_minute",
        "view_through_session_tracking_minimal_lifespan_second",
    ];
    const NOTES: &'static [&'static str] = &[
        IS_SESSION_TRACKING_ENABLED,
        "app_identifier",
        "channels",
        "html_description",
        "internal_notes",
        "is_description_plain_text",
        "labels",
        "network_category_id",
        "preview_url",
        "project_id",
        "terms_and_conditions",
        "thumbnail_file",
        "thumbnail_url",
    ];
    const DROPPED: &'static [&'static str] = &["encoded_value"];
}

has_cap_fields!(Offer);

fn block() -> RefusalAction {
    RefusalAction::Block
}

fn internal() -> RedirectRoutingMethod {
    RedirectRoutingMethod::Internal
}

fn priority() -> RedirectRoutingType {
    RedirectRoutingType::Priority
}

fn public() -> Visibility {
    Visibility::Public
}

fn ip_user_agent() -> SessionDefinition {
    SessionDefinition::IpUserAgent
}

fn one_day() -> u32 {
    24
}

impl Offer {
    /// Checks the offer without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        problems.take("destination_url", Destination::parse(&self.destination_url));
        problems.take("fallback_url", text::optional_http_url(&self.fallback_url));
        if !self.currency_id.is_empty() {
            problems.take("currency_id", settings::currency(&self.currency_id));
        }
        for (field, hours) in [
            ("session_duration", self.session_duration),
            ("session_tracking_lifespan_hour", self.session_tracking_lifespan_hour),
        ] {
            if hours > MAX_HOURS {
                problems.add(field, format!("is more than {MAX_HOURS} hours"));
            }
        }
        if self.session_tracking_minimum_lifespan_second > MAX_MINIMUM_SECONDS {
            let error = format!("is more than {MAX_MINIMUM_SECONDS} seconds, a day");
            problems.add("session_tracking_minimum_lifespan_second", error);
        }
        self.limits().check(&mut problems);
        self.check_entries(&mut problems);
        problems.add_nested("ruleset", self.ruleset.check().err().unwrap_or_default());
        let (routing, redirects) = (self.redirect_internal_routing_type, &self.internal_redirects);
        self.check_filters(&mut problems);
        fail_traffic::check_redirects(&mut problems, routing, redirects);
        kept_fields::check(&mut problems, &self.kept);
        problems.finish()
    }

    fn check_filters(&self, problems: &mut Problems) {
        let filters = &self.traffic_filters;
        if filters.len() > MAX_FILTERS {
            let error = format!("has {} entries; at most {MAX_FILTERS} fit", filters.len());
            problems.add("traffic_filters", error);
        }
        for (index, filter) in filters.iter().enumerate() {
            let path = format!("traffic_filters[{index}]");
            filter.check(problems, &path);
            if filters[..index].contains(filter) {
                problems.add(path, "stands in the list twice");
            }
        }
    }

    fn check_entries(&self, problems: &mut Problems) {
        let entries = &self.payout_revenue;
        if entries.len() > MAX_ENTRIES {
            problems.add(
                "payout_revenue",
                format!("has {} entries; at most {MAX_ENTRIES} fit", entries.len()),
            );
        }
        if !entries.is_empty() && entries.iter().filter(|entry| entry.is_default).count() != 1 {
            problems.add(
                "payout_revenue",
                "must have exactly one entry with is_default: true; the others are events",
            );
        }
        let mut seen = HashSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("payout_revenue[{index}]");
            if entry.network_offer_payout_revenue_id.is_some_and(|id| !seen.insert(id)) {
                problems.add(
                    format!("{path}.network_offer_payout_revenue_id"),
                    "stands on two entries",
                );
            }
            problems.add_nested(&path, entry.check().err().unwrap_or_default());
        }
    }
}

impl PayoutRevenue {
    fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        if !self.is_default {
            problems.take("entry_name", text::name(&self.entry_name));
        }
        for (field, amount) in [
            ("payout_amount", self.payout_amount),
            ("payout_percentage", self.payout_percentage),
            ("revenue_amount", self.revenue_amount),
            ("revenue_percentage", self.revenue_percentage),
        ] {
            if amount.is_negative() {
                problems.add(field, "must not be below zero");
            }
        }
        for (field, share) in [
            ("payout_percentage", self.payout_percentage),
            ("revenue_percentage", self.revenue_percentage),
        ] {
            if share.decimal() > rust_decimal::Decimal::ONE_HUNDRED {
                problems.add(field, "must not be above 100");
            }
        }
        kept_fields::check(&mut problems, &self.kept);
        problems.finish()
    }
}

impl Offer {
    /// Whether visits of the offer are checked against rules.
    pub(crate) fn has_rules(&self) -> bool {
        self.ruleset != Ruleset::default()
            || self.is_caps_enabled
            || self.is_duplicate_filter_enabled
            || self.is_block_already_converted
            || self.is_fail_traffic_enabled
            || !self.traffic_filters.is_empty()
            || self.network_offer_group_id != 0
    }

    /// Whether conversions must come within a time after their click.
    pub(crate) fn limits_time_to_conversion(&self) -> bool {
        self.session_tracking_lifespan_hour != 0
            || self.session_tracking_minimum_lifespan_second != 0
    }

    /// Lets those further fields act that mean something here.
    pub(crate) fn apply_kept(&mut self) {
        if self.kept.remove(IS_SESSION_TRACKING_ENABLED) == Some(Value::Bool(false)) {
            self.session_tracking_lifespan_hour = 0;
            self.session_tracking_minimum_lifespan_second = 0;
        }
    }

    /// Remarks about macros that stay empty, amounts that pay nothing, and fields without effect.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = empty_macro_warnings(&self.destination_url);
        warnings.extend(self.ruleset.warnings());
        warnings.extend(self.duplicate_filter_warning());
        warnings.extend(self.refusal_warnings());
        warnings.extend(self.fail_traffic_warnings());
        for (index, entry) in self.payout_revenue.iter().enumerate() {
            warnings.extend(
                entry.unused_amounts().map(|remark| format!("payout_revenue[{index}].{remark}")),
            );
            let kept = kept_fields::warning::<PayoutRevenue>(&entry.kept);
            warnings.extend(kept.map(|remark| format!("payout_revenue[{index}].{remark}")));
        }
        warnings.extend(kept_fields::warning::<Offer>(&self.kept));
        warnings
    }

    fn fail_traffic_warnings(&self) -> Vec<String> {
        let (routing, redirects) = (self.redirect_internal_routing_type, &self.internal_redirects);
        let mut warnings = Vec::new();
        if self.is_fail_traffic_enabled && redirects.is_empty() && !routing.ends_at_global_url() {
            let warning = "internal_redirects: is empty, so is_fail_traffic_enabled has no effect";
            warnings.push(warning.into());
        }
        for (index, redirect) in redirects.iter().enumerate() {
            let path = format!("internal_redirects[{index}]");
            if routing.is_by_weight() && redirect.routing_value == 0 {
                warnings.push(format!("{path}.routing_value: is 0, so nobody gets this offer"));
            }
            let remarks = redirect.ruleset.warnings();
            warnings.extend(remarks.into_iter().map(|remark| format!("{path}.{remark}")));
        }
        warnings
    }
}

impl Offer {
    /// A refusal that wants fail traffic where there is none.
    fn refusal_warnings(&self) -> impl Iterator<Item = String> {
        let has_filter_to_fail_traffic =
            self.traffic_filters.iter().any(|it| it.action == RefusalAction::FailTraffic);
        let refusals = [
            (has_filter_to_fail_traffic, RefusalAction::FailTraffic, "traffic_filters"),
            (
                self.is_duplicate_filter_enabled,
                self.duplicate_filter_targeting_action,
                "duplicate_filter_targeting_action",
            ),
            (
                self.is_block_already_converted,
                self.already_converted_action,
                "already_converted_action",
            ),
        ];
        let has_fail_traffic = self.is_fail_traffic_enabled;
        let without = refusals.into_iter().filter(move |(is_on, action, _)| {
            *is_on && *action == RefusalAction::FailTraffic && !has_fail_traffic
        });
        without.map(|(.., field)| {
            format!("{field}: acts as block, because is_fail_traffic_enabled is false")
        })
    }

    /// Thousands of visitors of a mobile network or an office share an address.
    fn duplicate_filter_warning(&self) -> Option<String> {
        let is_by_address = self.session_definition == SessionDefinition::Ip;
        (self.is_duplicate_filter_enabled && is_by_address).then(|| {
            "is_duplicate_filter_enabled: session_definition is ip, so all visitors behind one \
             address, such as customers of a mobile network, are duplicates of the first; \
             ip_user_agent tells more of them apart"
                .into()
        })
    }
}

impl PayoutRevenue {
    /// Amounts that the types of the entry leave out: who typed them expects a payment.
    fn unused_amounts(&self) -> impl Iterator<Item = String> {
        use PayoutType::{CpaCps, Cps};
        use RevenueType::{RpaRps, Rps};
        let (payout, revenue) = (self.payout_type, self.revenue_type);
        let pays_share = matches!(payout, Cps | CpaCps | PayoutType::Prv);
        let pays_amount = !matches!(payout, Cps | PayoutType::Prv | PayoutType::Nothing);
        let earns_share = matches!(revenue, Rps | RpaRps | RevenueType::Prv);
        let earns_amount = !matches!(revenue, Rps | RevenueType::Prv | RevenueType::Nothing);
        let (payout, revenue) = (payout.as_str(), revenue.as_str());
        let amounts = [
            ("payout_amount", self.payout_amount, pays_amount, "payout_type", payout),
            ("payout_percentage", self.payout_percentage, pays_share, "payout_type", payout),
            ("revenue_amount", self.revenue_amount, earns_amount, "revenue_type", revenue),
            ("revenue_percentage", self.revenue_percentage, earns_share, "revenue_type", revenue),
        ];
        let unused = amounts
            .into_iter()
            .filter(|(_, amount, is_used, ..)| !is_used && !amount.decimal().is_zero());
        unused.map(|(field, amount, _, type_field, word)| {
            format!("{field}: {amount} has no effect, because {type_field} is {word}")
        })
    }
}

/// Warnings about macros in a destination that Everflow fills and this service leaves empty.
pub fn empty_macro_warnings(destination_url: &str) -> Vec<String> {
    let left_empty =
        Destination::parse(destination_url).map(|parsed| parsed.left_empty).unwrap_or_default();
    left_empty
        .iter()
        .map(|name| {
            format!(
                "destination_url: {{{name}}} has no value at the time of a click and is left empty"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(json: serde_json::Value) -> Offer {
        let mut base = serde_json::json!({
            "name": "Winter jackets", "offer_status": "active", "network_advertiser_id": 1,
            "destination_url": "https://shop.example.com/?tid={transaction_id}",
        });
        base.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    fn wrong_fields(offer: &Offer) -> Vec<String> {
        offer.check().err().unwrap_or_default().into_iter().map(|e| e.field).collect()
    }

    #[test]
    fn a_small_offer_is_complete() {
        assert_eq!(offer(serde_json::json!({})).check(), Ok(()));
    }

    #[test]
    fn wrong_fields_are_named_by_their_path() {
        let entry = |is_default: bool, amount: &str| serde_json::json!({"payout_type": "cpa", "revenue_type": "rpa", "entry_name": "sale", "is_default": is_default, "payout_amount": amount});
        let cases = [
            (serde_json::json!({"destination_url": "ftp://x/"}), vec!["destination_url"]),
            (
                serde_json::json!({"destination_url": "https://shop.example.com/{subb1}"}),
                vec!["destination_url"],
            ),
            (serde_json::json!({"currency_id": "Euro"}), vec!["currency_id"]),
            (serde_json::json!({"session_duration": 10_000_000}), vec!["session_duration"]),
            (serde_json::json!({"payout_revenue": [entry(false, "1")]}), vec!["payout_revenue"]),
            (
                serde_json::json!({"payout_revenue": [entry(true, "1"), entry(true, "1")]}),
                vec!["payout_revenue"],
            ),
            (
                serde_json::json!({"payout_revenue": [entry(true, "1"), entry(false, "-1")]}),
                vec!["payout_revenue[1].payout_amount"],
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(wrong_fields(&offer(change.clone())), expected, "{change}");
        }
    }

    #[test]
    fn macros_left_empty_are_warned_of() {
        let warnings = empty_macro_warnings("https://shop.example.com/?o={order_id}&s={sub1}");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("{order_id}"));
        let filled = "https://shop.example.com/?a={country}&b={region}&c={city}&d={device_type}";
        assert_eq!(empty_macro_warnings(filled), [""; 0]);
    }
}
