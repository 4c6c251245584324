//! Control Center – Audit: who changed what and when.

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::routing::get;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::history::HistoryRow;
use crate::console::list::{ListQuery, Paging, encode};
use crate::console::page::{Page, PageResult, html};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/audit";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/audit", get(show)).route("/audit.csv", get(export))
}

const ACTORS: [(&str, &str); 4] = [
    ("user", "A user"),
    ("api_key", "An API key"),
    ("command_line", "The command line"),
    ("program", "The program"),
];

/// Kinds of objects, and the pages of those that have one.
const OBJECTS: [(&str, &str, &str); 32] = [
    ("coupon_code", "Coupon code", "/console/coupon-codes/"),
    ("job", "Job", "/console/jobs/"),
    ("offer", "Offer", "/console/offers/"),
    ("forwarding_rule", "Forwarding rule", ""),
    ("offer_url", "URL of an offer", ""),
    ("offer_group", "Offer group", "/console/offer-groups/"),
    ("custom_cap", "Cap", "/console/caps/"),
    ("smart_switch_rule", "SmartSwitch rule", "/console/smart-switch/"),
    ("blocked_value", "Blocked value", ""),
    ("affiliate", "Partner", "/console/partners/"),
    ("offer_visibility", "Access of a partner", ""),
    ("advertiser", "Advertiser", "/console/advertisers/"),
    ("traffic_control", "Traffic control", "/console/traffic-controls/"),
    ("tracking_domain", "Tracking domain", "/console/domains/"),
    ("pixel", "Partner postback", "/console/partner-postbacks/"),
    ("pixel_delivery", "Delivery of a partner postback", ""),
    ("webhook", "Webhook", "/console/webhooks/"),
    ("webhook_delivery", "Delivery of a webhook", ""),
    ("conversion", "Conversion", ""),
    ("postback", "Postback", ""),
    ("unidentified_postback", "Unidentified postback", ""),
    ("settings", "Settings", "/console/settings"),
    ("bot_list", "Bot list", "/console/bots"),
    ("user", "User", "/console/users/"),
    ("api_key", "API key", ""),
    ("certificate", "Certificate", ""),
    ("personal_data", "Personal data", ""),
    ("click", "Click", ""),
    ("click_archive", "Click archive", ""),
    ("address", "Address", ""),
    ("store", "Store", ""),
    ("edge", "Edge", "/console/status"),
];

const ACTIONS: [(&str, &str); 34] = [
    ("created", "Created"),
    ("changed", "Changed"),
    ("deleted", "Deleted"),
    ("restored", "Restored"),
    ("generated", "Generated"),
    ("imported", "Imported"),
    ("approved", "Approved"),
    ("rejected", "Rejected"),
    ("pending", "Set to pending"),
    ("invalid", "Set to invalid"),
    ("adjusted", "Adjusted"),
    ("rotated", "Rotated"),
    ("replayed", "Sent again"),
    ("invited", "Invited"),
    ("signed_in", "Signed in"),
    ("sign_in_failed", "Sign-in failed"),
    ("session_ended", "Session ended"),
    ("password_set", "Password set"),
    ("password_reset", "Link for a new password"),
    ("totp_on", "Second factor on"),
    ("totp_off", "Second factor off"),
    ("totp_reset", "Second factor reset"),
    ("requested", "Requested"),
    ("stopped", "Stopped"),
    ("blocked", "Blocked"),
    ("warned", "Warned"),
    ("released", "Released"),
    ("reverted", "Revert requested"),
    ("searched", "Searched"),
    ("erased", "Erased"),
    ("removed", "Removed"),
    ("truncated", "Truncated"),
    ("counted", "Counted"),
    ("taken_over", "Taken over"),
];

/// An entry of the audit.
#[derive(Debug, Deserialize)]
struct AuditRow {
    #[serde(flatten)]
    entry: HistoryRow,
    network_user_id: u32,
    object: String,
    objects: u64,
    first_id: u32,
    last_id: u32,
}

impl AuditRow {
    /// The address of all entries of the same user.
    fn of_same_user(&self) -> String {
        format!("/console/audit?filter=network_user_id%3D{}", self.network_user_id)
    }

    fn action(&self) -> String {
        let found = ACTIONS.iter().find(|(word, _)| *word == self.entry.action);
        found.map_or_else(|| words::word(&self.entry.action), |(_, label)| (*label).to_owned())
    }

    fn object(&self) -> String {
        let found = OBJECTS.iter().find(|(word, ..)| *word == self.object);
        let kind = found.map_or_else(|| words::word(&self.object), |(_, kind, _)| (*kind).into());
        match (self.objects, self.first_id) {
            (0 | 1, 0) => kind,
            (0 | 1, id) => format!("{kind} {id}"),
            (count, _) => {
                let (first, last) = (self.first_id, self.last_id);
                format!("{kind}: {} of ids {first} to {last}", format::count(count))
            }
        }
    }

    /// The object's page; empty for kinds without one and for several objects.
    fn path(&self) -> String {
        let found = OBJECTS.iter().find(|(word, ..)| *word == self.object);
        match found.map_or("", |(.., path)| path) {
            "" => String::new(),
            path if !path.ends_with('/') => path.to_owned(),
            path if self.objects == 1 => format!("{path}{}", self.first_id),
            _ => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct AuditList {
    audit: Vec<AuditRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "audit/audit.html")]
struct AuditPage {
    page: Page,
    query: ListQuery,
    rows: Vec<AuditRow>,
    paging: Paging,
    /// The command line that asks the API for the same rows.
    command: String,
}

impl AuditPage {
    /// The address of the file with all entries of the filters.
    fn csv(&self) -> String {
        let query = self.query.own_query();
        if query.is_empty() {
            "/console/audit.csv".into()
        } else {
            format!("/console/audit.csv?{query}")
        }
    }

    fn is_chosen(&self, field: &str, word: &str) -> bool {
        self.query.filter(field) == word
    }

    fn is_narrowed(&self) -> bool {
        self.query.is_narrowed()
            || ["from", "to"].iter().any(|day| !self.query.value(day).is_empty())
    }
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let asked = query_of_times(&query, viewer.time_zone());
    let path = format!("{API}{}", asked.api_query());
    let AuditList { audit: rows, paging } = state.api.get(&viewer, &path).await?;
    let page = Page::new(&viewer, Menu::Audit, "Audit");
    let command = asked.as_curl(API);
    Ok(html(&AuditPage { page, query, rows, paging, command }))
}

/// All entries that the filters select, as CSV.
async fn export(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let asked = query_of_times(&query, viewer.time_zone());
    let path = format!("{API}/export.csv{}", asked.selection());
    let request = Request::get(path).body(Body::empty()).map_err(|_| PageError::not_found())?;
    Ok(state.api.forward(&viewer, request).await)
}

/// The query with the days of the form as the times that the API compares.
fn query_of_times(query: &ListQuery, time_zone: &str) -> ListQuery {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    let begin = |day: Date| {
        let begin = day.to_zoned_datetime(zone.clone()).ok()?;
        Some(begin.timestamp().as_second())
    };
    let day = |name: &str| query.value(name).parse::<Date>().ok();
    let after = day("from").and_then(begin).map(|begin| format!("time_created>{}", begin - 1));
    let next_day = day("to").and_then(|day| day.tomorrow().ok());
    let before = next_day.and_then(begin).map(|end| format!("time_created<{end}"));
    let kept = query.pairs().iter().filter(|(name, _)| !matches!(name.as_str(), "from" | "to"));
    let times = after.into_iter().chain(before).map(|filter| ("filter".to_owned(), filter));
    let pairs: Vec<String> = kept
        .cloned()
        .chain(times)
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    ListQuery::parse("/console/audit", &pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::WordSet as _;
    use crate::store::audit::{AuditActions, AuditActors, AuditObjects};

    #[test]
    fn each_word_of_the_audit_has_a_label() {
        for word in AuditActors::WORDS {
            assert!(ACTORS.iter().any(|(known, _)| known == word), "{word}");
        }
        for word in AuditObjects::WORDS {
            assert!(OBJECTS.iter().any(|(known, ..)| known == word), "{word}");
        }
        for word in AuditActions::WORDS {
            assert!(ACTIONS.iter().any(|(known, _)| known == word), "{word}");
        }
    }

    #[test]
    fn days_are_those_of_the_networks_zone_also_when_clocks_change() {
        let query = ListQuery::parse("/console/audit", "from=2026-03-08&to=2026-03-08&page=2");
        let asked = query_of_times(&query, "America/New_York");
        let begin: jiff::Timestamp = "2026-03-08T05:00:00Z".parse().unwrap();
        // The day has 23 hours.
        let end = begin.as_second() + 23 * 3600;
        assert_eq!(
            asked.filters(),
            [format!("time_created>{}", begin.as_second() - 1), format!("time_created<{end}")]
        );
        assert_eq!(asked.value("page"), "2");
    }
}
