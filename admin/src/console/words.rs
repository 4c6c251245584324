//! Words of pages for words of the API: labels of fields, sentences for refusals and states.
//!
//! The API speaks to programs and names its fields; a page names its inputs. Every sentence of the
//! API is shown with the names of fields replaced by the labels of inputs.

use super::api_client::Refusal;
use crate::catalog::FieldError;

/// Fields of the API and the labels of their inputs; longer names first where one begins another.
const LABELS: &[(&str, &str)] = &[
    ("targeted_entity_ids", "Targets"),
    ("targeted_entity_type", "Traffic"),
    ("rule_status", "Status"),
    ("webhook_status", "Status"),
    ("cap_alert_percentage", "Cap alerts from"),
    ("address_alert_percentage", "Alert above"),
    ("address_alert_minimum", "Visits at least"),
    ("run_frequency", "Runs"),
    ("data_lookback_window", "Measured time before a run"),
    ("min_clicks", "Clicks at least"),
    ("min_conversions", "Sales at least"),
    ("conversion_statuses", "Counted sales"),
    ("delay_minutes", "Minutes after a warning"),
    ("is_dry_run", "Dry run"),
    ("after_hours", "Hours"),
    ("blocked_value_status", "Status"),
    ("network_offer_payout_revenue_id", "Entry"),
    ("network_offer_ids", "Offers"),
    ("network_affiliate_ids", "Partners"),
    ("network_advertiser_ids", "Advertisers"),
    ("is_apply_all_offers", "All offers"),
    ("is_apply_all_affiliates", "All partners"),
    ("date_valid_from", "From"),
    ("date_valid_to", "Until"),
    ("control_type", "Refuse"),
    ("comparison_method", "Comparison"),
    ("match_type", "Comparison"),
    ("traffic_filters", "Filters"),
    ("targeting_action", "Refused visits go"),
    ("variables", "Compared"),
    ("entry_name", "Event"),
    ("currency_id", "Currency"),
    ("session_definition", "A click is unique by"),
    ("session_duration", "Hours of uniqueness"),
    ("session_tracking_lifespan_hour", "Hours from click to sale"),
    ("is_must_approve_conversion", "Sales wait for approval"),
    ("is_allow_duplicate_conversion", "A click may bring several sales"),
    ("append_transaction_id", "Add the transaction id"),
    ("attribution_priority", "Sales are attributed first by"),
    ("attribution_method", "Of several clicks counts"),
    ("ip_allow_list", "Allowed senders"),
    ("daily_conversion_cap", "Sales a day"),
    ("weekly_conversion_cap", "Sales a week"),
    ("monthly_conversion_cap", "Sales a month"),
    ("global_conversion_cap", "Sales ever"),
    ("daily_payout_cap", "Payout a day"),
    ("weekly_payout_cap", "Payout a week"),
    ("monthly_payout_cap", "Payout a month"),
    ("global_payout_cap", "Payout ever"),
    ("daily_revenue_cap", "Revenue a day"),
    ("weekly_revenue_cap", "Revenue a week"),
    ("monthly_revenue_cap", "Revenue a month"),
    ("global_revenue_cap", "Revenue ever"),
    ("daily_click_cap", "Clicks a day"),
    ("weekly_click_cap", "Clicks a week"),
    ("monthly_click_cap", "Clicks a month"),
    ("global_click_cap", "Clicks ever"),
    ("is_caps_enabled", "The limits hold"),
    ("is_soft_cap", "Only alert"),
    ("is_duplicate_filter_enabled", "Refuse visitors who come again"),
    ("duplicate_filter_targeting_action", "Who comes again"),
    ("is_block_already_converted", "Refuse visitors who have bought"),
    ("already_converted_action", "Who has bought"),
    ("session_tracking_minimum_lifespan_second", "Seconds from click to sale"),
    ("network_offer_group_id", "Offer group"),
    ("network_offer_url_id", "URL"),
    ("destination_network_offer_url_id", "URL"),
    ("redirect_network_offer_url_id", "URL"),
    ("preview_url", "Preview"),
    ("url_status", "Status"),
    ("is_apply_specific_affiliates", "Only for named partners"),
    ("is_hidden_affiliate", "Partners do not see it"),
    ("offer_group_status", "Status"),
    ("network_coupon_code_id", "Coupon code"),
    ("network_job_id", "Job"),
    ("upload_id", "Upload"),
    ("expected_count", "Number of codes"),
    ("coupon_codes", "Coupon codes"),
    ("coupon_code_id", "Coupon code id"),
    ("coupon_status", "Status"),
    ("coupon_code", "Coupon code"),
    ("network_offer_id", "Offer"),
    ("offer_id", "Offer"),
    ("network_affiliate_id", "Partner"),
    ("affiliate_id", "Partner"),
    ("network_advertiser_id", "Advertiser"),
    ("network_tracking_domain_id", "Tracking domain"),
    ("default_tracking_domain_id", "Default tracking domain"),
    ("ip_blocklist", "Blocked addresses"),
    ("is_description_plain_text", "Plain text"),
    ("description", "Description"),
    ("internal_notes", "Notes"),
    ("start_date", "Start"),
    ("end_date", "End"),
    ("date_live_until", "Live until"),
    ("allow_reissue", "Issue it anew"),
    ("conversion_only", "For conversions only"),
    ("account_status", "Status"),
    ("offer_status", "Status"),
    ("destination_url", "Destination"),
    ("fallback_url", "Fallback"),
    ("base_url", "Address"),
    ("affiliate", "Partner"),
    ("transaction_id", "Transaction id"),
    ("conversion_ids", "Conversions"),
    ("order_id", "Order"),
    ("refund_id", "Refund"),
    ("adv_event_id", "Event"),
    ("event_id", "Event"),
    ("sale_amount", "Sale"),
    ("filter_id_value", "Filter"),
    ("source_id", "Source"),
    ("device_type", "Device"),
    ("region", "Region"),
    ("city", "City"),
    ("platform", "System"),
    ("os_version", "Version of the system"),
    ("error_code", "Reason"),
    ("sale_currency", "Currency of the sale"),
    ("redirect_network_offer_id", "Offer"),
    ("redirect_internal_routing_type", "Choice"),
    ("internal_redirects", "Redirects"),
    ("is_fail_traffic_enabled", "Refused visitors get another offer"),
    ("is_global_fail_traffic_enabled", "Use the global URL"),
    ("global_fail_traffic_url", "Global URL"),
    ("routing_value", "Weight"),
    ("fail_reasons", "Reasons"),
    ("destination_network_offer_id", "Destination"),
    ("date_valid_from", "First day"),
    ("date_valid_to", "Last day"),
    ("forwarding_rule_status", "Status"),
    ("network_affiliate_ids", "Partners"),
    ("comparison_method", "Comparison"),
    ("variable_value", "Value"),
    ("is_default", "Default"),
    ("certificate", "Certificate"),
    ("payout_revenue", "Payout and revenue"),
    ("payout_amount", "Payout"),
    ("payout_percentage", "Payout in percent"),
    ("payout_type", "Payout type"),
    ("revenue_amount", "Revenue"),
    ("revenue_percentage", "Revenue in percent"),
    ("revenue_type", "Revenue type"),
    ("verification_token", "Token"),
    ("signing_key", "Signing key"),
    ("allowed_networks", "Allowed addresses"),
    ("time_zone", "Time zone"),
    ("timezone", "Time zone"),
    ("currency", "Currency"),
    ("visibility", "Visibility"),
    ("postback_url", "Address"),
    ("network_offer_payout_revenue_id", "Event id"),
    ("pixel_status", "Status"),
    ("pixel_type", "Reports"),
    ("pixel_level", "Offer"),
    ("delay_ms", "Delay in milliseconds"),
    ("pattern", "Pattern"),
    ("alphabet", "Characters"),
    ("count", "Number of codes"),
    ("password", "Password"),
    ("login", "Sign-in name"),
    ("role", "Role"),
    ("name", "Name"),
    ("status", "Status"),
    ("from", "From"),
    ("to", "To"),
];

/// Parts of the API's sentences that only programs understand.
const PHRASES: &[(&str, &str)] = &[
    (
        "set offer_status to paused, or delete it nevertheless with ?force=true",
        "pause it, or tick the box to delete it nevertheless",
    ),
    (
        "set account_status to inactive, or delete it nevertheless with ?force=true",
        "set it to inactive, or tick the box to delete it nevertheless",
    ),
    ("Delete it nevertheless with ?force=true", "Tick the box to delete it nevertheless"),
    ("with is_default: true", "that is the base"),
    ("compare not_present", "choose “is missing”"),
    ("match not_present", "match “is missing”"),
    ("because match_type is not_present", "because “is missing” compares none"),
    ("not_present compares no values", "“is missing” compares no values"),
    ("fail_traffic acts as block", "refused visits go to the fallback"),
    ("fit for exact_match", "fit for “is”"),
    ("affiliate ", "partner "),
    ("(s)", "s"),
    (
        "(with conversion_only: true it can be a code without a link)",
        "(or tick “For conversions only”)",
    ),
    ("send expected_count: ", "type "),
    ("send allow_reissue: true", "tick “Issue it anew”"),
    ("restore it alone with allow_reissue: true", "restore it on its page"),
    ("allow_reissue: true", "“Issue it anew”"),
    ("conversion_only: true", "“For conversions only”"),
    ("there is no affiliate", "there is no partner"),
    ("upload the file with allow_reissue", "upload the file with the second button"),
    ("If-Match", "the state that you saw"),
    ("`active`", "Active"),
    ("`paused`", "Paused"),
    ("?force=true", "the confirmation"),
    ("force=true", "the confirmation"),
];

/// The label of a field; for a part of a row, the label of the part.
pub(crate) fn label(field: &str) -> String {
    let last = field.rsplit('.').next().unwrap_or(field);
    let name = last.split('[').next().unwrap_or(last);
    let known = LABELS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| capitalised(&name.replace('_', " ")), |(_, label)| (*label).to_owned())
}

/// The label of an input, with the number of its row.
pub(crate) fn label_in_row(input: &str) -> String {
    let row = input.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let number = row.and_then(|(row, _)| row.parse::<usize>().ok());
    match number {
        Some(row) => format!("{}, row {}", label(input), row + 1),
        None => label(input),
    }
}

/// The text with a capital first letter.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    first.unwrap_or_default() + letters.as_str()
}

/// An error as it stands at its input: `Coupon code: has 2 characters; at least 3 are needed`.
pub(crate) fn at_input(error: &FieldError) -> FieldError {
    let sentence = format!("{}: {}", label_in_row(&error.field), plain(&error.error));
    // An entry of a list of texts is a line of one input.
    let is_line = error.field.ends_with(']');
    let input = if is_line { error.field.split('[').next() } else { None };
    FieldError { field: input.unwrap_or(&error.field).to_owned(), error: sentence }
}

/// The sentence for a whole refusal.
pub(crate) fn sentence(refusal: &Refusal) -> String {
    if refusal.fields.is_empty() {
        return closed(&capitalised(&plain(&refusal.error)));
    }
    let sentences: Vec<String> =
        refusal.fields.iter().map(|error| closed(&at_input(error).error)).collect();
    sentences.join(" ")
}

/// The sentence for a refusal of an action that has no inputs.
pub(crate) fn reason(refusal: &Refusal) -> String {
    closed(&capitalised(&plain(&refusal.error)))
}

fn closed(sentence: &str) -> String {
    if sentence.ends_with(['.', '!', '?']) { sentence.into() } else { format!("{sentence}.") }
}

/// Puts a label for each whole word that is the name of a field. A macro such as `{order_id}` keeps
/// its name, because users type macros.
fn with_label(text: &str, name: &str, label: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, found) = rest.split_at(at);
        let behind = &found[name.len()..];
        replaced.push_str(before);
        let is_word = !replaced.ends_with(is_part) && !behind.starts_with(is_part);
        match is_word {
            true => replaced.push_str(&format!("“{label}”")),
            false => replaced.push_str(name),
        }
        rest = behind;
    }
    replaced + rest
}

/// A sentence of the API in the words of pages.
pub(crate) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (from, to) in PHRASES {
        text = text.replace(from, to);
    }
    text.split_inclusive(' ').map(with_labels).collect::<String>().replace('`', "")
}

/// A word with labels for names of fields. An address keeps its text, because users copy it.
fn with_labels(word: &str) -> String {
    let mut labelled = word.to_owned();
    if word.contains("://") {
        return labelled;
    }
    for (name, label) in LABELS.iter().filter(|(name, _)| name.contains('_')) {
        labelled = with_label(&labelled, name, label);
    }
    labelled
}

/// The state of a code: what a visitor meets now. `reason` is the API's
/// `tracking_link_unavailable_reason`.
pub(crate) fn code_state(reason: &str) -> (&'static str, &'static str) {
    match reason {
        "" => ("good", "Live"),
        "paused" => ("off", "Paused"),
        "expired" => ("off", "Ended"),
        "not_started" => ("wait", "Not started"),
        "offer_not_active" => ("bad", "Offer not active"),
        "offer_deleted" => ("bad", "Offer deleted"),
        "partner_not_active" => ("bad", "Partner not active"),
        "partner_deleted" => ("bad", "Partner deleted"),
        "not_runnable" => ("bad", "Partner not approved"),
        "unassigned" => ("wait", "No partner"),
        "not_url_safe" => ("off", "Conversions only"),
        "no_tracking_domain" => ("bad", "No tracking domain"),
        _ => ("bad", "Not live"),
    }
}

/// Why a code has no link, and how to get one; empty if it has a link.
pub(crate) fn no_link(reason: &str) -> &'static str {
    match reason {
        "unassigned" => "No link: the code has no partner yet. Assign one.",
        "not_url_safe" => "No link: the code is for conversions only.",
        "no_tracking_domain" => "No link: there is no tracking domain. Add one under Domains.",
        "offer_deleted" => "No link: its offer was deleted. Restore the offer, or move the code.",
        "partner_deleted" => "No link: its partner was deleted. Restore or change the partner.",
        _ => "",
    }
}

/// How to make the code's link lead to its offer; empty if it does.
pub(crate) fn remedy(reason: &str) -> &'static str {
    match reason {
        "paused" => "The code is paused. Set its status to Active.",
        "expired" => "The last day of the code has passed. Set a later end.",
        "not_started" => "The first day of the code has not come. Set an earlier start, or wait.",
        "offer_not_active" => {
            "The offer is not active, or its last day has passed. Edit the offer."
        }
        "partner_not_active" => "The partner is not active. Edit the partner.",
        "not_runnable" => "The partner may not run the offer. Change the access of the partner.",
        other => no_link(other),
    }
}

/// The name of a role.
pub(crate) fn role(role: &str) -> &'static str {
    match role {
        "admin" => "Administrator",
        "manager" => "Manager",
        "read_only" => "Read only",
        "partner" => "Partner",
        "advertiser" => "Advertiser",
        _ => "Unknown role",
    }
}

/// The roles of users as options of an input.
pub(crate) const USER_ROLES: [(&str, &str); 4] = [
    ("manager", "Manager: the daily work, without secrets, settings, keys and users"),
    ("read_only", "Read only: sees and exports everything of the network"),
    ("admin", "Administrator: everything"),
    ("partner", "Partner: only the own codes and reports of one partner"),
];

/// The roles of API keys as options of an input.
pub(crate) const KEY_ROLES: [(&str, &str); 5] = {
    let [manager, read_only, admin, partner] = USER_ROLES;
    let advertiser =
        ("advertiser", "Advertiser: only the own offers and reports of one advertiser");
    [manager, read_only, admin, partner, advertiser]
};

/// Class and word of an account's status.
pub(crate) fn account_state(status: &str) -> (&'static str, String) {
    let kind = match status {
        "active" => "good",
        "suspended" => "bad",
        "pending" => "wait",
        _ => "off",
    };
    (kind, word(status))
}

/// Class and word of a conversion's status.
pub(crate) fn conversion_state(status: &str) -> (&'static str, String) {
    let kind = match status {
        "approved" => "good",
        "pending" | "queued" => "wait",
        _ => "bad",
    };
    (kind, word(status))
}

/// The visibility of an offer, as a sentence without its stop.
pub(crate) fn visibility(word: &str) -> &'static str {
    match word {
        "public" => "All partners may run it",
        "require_approval" => "Partners need an approval",
        _ => "No partner may run it",
    }
}

/// The data that makes a click unique.
pub(crate) fn session(word: &str) -> &'static str {
    match word {
        "ip_user_agent" => "Address and browser",
        "ip" => "Address",
        "cookie" => "Cookie",
        "google_ad_id" => "Advertising id of Android",
        _ => "Advertising id of iOS",
    }
}

/// Why a conversion is suspicious.
pub(crate) fn suspicion(sign: &str) -> &'static str {
    match sign {
        "never_clicked" => "Nobody had ever followed the link of its code",
        "spike" => "Its code sold much more than usual in this hour",
        _ => "Its code may have leaked",
    }
}

/// Why a visit was not sent on to the offer; `reason` is the API's word.
pub(crate) fn click_reason(reason: &str) -> &'static str {
    match reason {
        "paused" => "The code was paused",
        "unassigned" => "The code had no partner",
        "not_started" => "The first day of the code had not come",
        "expired" => "The last day of the code had passed",
        "offer_not_active" => "The offer was not active",
        "offer_ended" => "The last day of the offer had passed",
        "partner_not_active" => "The partner was not active",
        "not_runnable" => "The partner was not allowed to run the offer",
        "not_on_offer" => "The code was not on the offer that the link asked for",
        "incomplete" => "The offer or the partner was deleted",
        "country" => "The offer was not for the country of the visitor",
        "region" => "The offer was not for the region of the visitor",
        "city" => "The offer was not for the city of the visitor",
        "dma" => "The offer was not for the market area of the visitor",
        "postal_code" => "The offer was not for the postal code of the visitor",
        "platform" => "The offer was not for the operating system",
        "device" => "The offer was not for the kind of device",
        "browser" => "The offer was not for the browser",
        "os_version" => "The offer was not for the version of the operating system",
        "language" => "The offer was not for the language",
        "brand" => "The offer was not for the brand of the device",
        "ip_not_included" => "The address was in no range of the offer",
        "ip_excluded" => "The address was in a range that the offer or the network refuses",
        "isp" => "The offer was not for the provider",
        "connection_type" => "The offer was not for the kind of connection",
        "mobile_carrier" => "The offer was not for the mobile network",
        "day_parting" => "The offer was closed at that hour",
        "proxy" => "The network hid who used it",
        "traffic_control" => "A traffic control refused it",
        "traffic_filter_sub1" => "A filter of the offer refused its first sub id",
        "traffic_filter_sub2" => "A filter of the offer refused its second sub id",
        "traffic_filter_sub3" => "A filter of the offer refused its third sub id",
        "traffic_filter_sub4" => "A filter of the offer refused its fourth sub id",
        "traffic_filter_sub5" => "A filter of the offer refused its fifth sub id",
        "traffic_filter_source_id" => "A filter of the offer refused its traffic source",
        "tracking_domain" => "A traffic control refused its tracking domain",
        "smart_switch" => "SmartSwitch had blocked a value of the visit",
        "blocked" => "A value of the visit was blocked",
        "cap" => "A cap was reached",
        "group_cap" => "A cap of the offer’s group was reached",
        "duplicate" => "The visitor came again within the offer’s session",
        "already_converted" => "The visitor had converted already",
        _ => "",
    }
}

/// What a traffic control compares: the word of the API, the input, and the name.
pub(crate) const TRAFFIC_VARIABLES: [(&str, &str, &str); 13] = [
    ("sub1", "variable.sub1", "sub id 1"),
    ("sub2", "variable.sub2", "sub id 2"),
    ("sub3", "variable.sub3", "sub id 3"),
    ("sub4", "variable.sub4", "sub id 4"),
    ("sub5", "variable.sub5", "sub id 5"),
    ("source_id", "variable.source_id", "source"),
    ("country_name", "variable.country_name", "country"),
    ("tracking_domain", "variable.tracking_domain", "tracking domain"),
    ("coupon_code", "variable.coupon_code", "coupon code"),
    ("referer_host", "variable.referer_host", "host of the page with the link"),
    ("asn", "variable.asn", "number of the network"),
    ("language", "variable.language", "language"),
    ("user_agent", "variable.user_agent", "user agent"),
];

/// The comparisons of a traffic control as options of an input.
pub(crate) const COMPARISONS: [(&str, &str); 7] = [
    ("exact_match", "is"),
    ("contains", "contains"),
    ("does_not_contain", "does not contain"),
    ("starts_with", "starts with"),
    ("ends_with", "ends with"),
    ("not_present", "is missing"),
    ("does_not_match", "is not"),
];

/// The rule of a traffic control, such as `If source or sub id 1 is one of the values`.
pub(crate) fn traffic_rule(control_type: &str, variables: &[String], comparison: &str) -> String {
    let name = |variable: &String| {
        let found = TRAFFIC_VARIABLES.iter().find(|(known, ..)| known == variable);
        found.map_or_else(|| word(variable), |(.., name)| (*name).to_owned())
    };
    let names: Vec<String> = variables.iter().map(name).collect();
    let condition = if control_type == "whitelist" { "Unless" } else { "If" };
    let compares = match comparison {
        "exact_match" => "is one of the values",
        "contains" => "contains one of the values",
        "does_not_contain" => "contains none of the values",
        "starts_with" => "starts with one of the values",
        "ends_with" => "ends with one of the values",
        "does_not_match" => "is none of the values",
        _ => "is missing",
    };
    format!("{condition} {} {compares}", names.join(" or "))
}

/// The days on which a rule is valid; both may be empty.
pub(crate) fn valid_days(first: &str, last: &str) -> String {
    match (first, last) {
        ("", "") => "Always".into(),
        (first, "") => format!("From {first}"),
        ("", last) => format!("Until {last}"),
        (first, last) => format!("{first} to {last}"),
    }
}

/// Any word of the API as a word of a page: `not_started` becomes `Not started`.
pub(crate) fn word(word: &str) -> String {
    if word == "tv" {
        return "TV".into();
    }
    capitalised(&word.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_the_api_lose_what_only_programs_understand() {
        let error = FieldError {
            field: "coupon_code".into(),
            error: "has a `-` (with conversion_only: true it can be a code without a link)".into(),
        };
        assert_eq!(at_input(&error).error, "Coupon code: has a - (or tick “For conversions only”)");
        assert_eq!(plain("is before start_date"), "is before “Start”");
        assert_eq!(plain("unknown macro {offer_id}"), "unknown macro {offer_id}");
        let address = "302 to the offer: https://shop.example/?offer_id=3&coupon_code=WINTER25";
        assert_eq!(plain(address), address);
        assert_eq!(label("payout_revenue[1].payout_amount"), "Payout");
        assert_eq!(label("some_new_field"), "Some new field");
    }

    #[test]
    fn a_traffic_control_is_a_sentence() {
        let variables = ["source_id".to_owned(), "sub1".to_owned()];
        assert_eq!(
            traffic_rule("blacklist", &variables, "exact_match"),
            "If source or sub id 1 is one of the values"
        );
        assert_eq!(
            traffic_rule("whitelist", &variables[..1], "starts_with"),
            "Unless source starts with one of the values"
        );
        assert_eq!(
            traffic_rule("blacklist", &variables[1..], "not_present"),
            "If sub id 1 is missing"
        );
    }
}
