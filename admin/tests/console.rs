//! The web console, as a browser shows it, and the tools of its tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "end_to_end/http.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod http;
#[path = "end_to_end/https.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod https;
#[path = "end_to_end/programs.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod programs;

#[path = "console/cdp.rs"]
mod cdp;
#[path = "console/site.rs"]
mod site;
#[path = "console/structure.rs"]
mod structure;

#[path = "console/http_browser.rs"]
mod http_browser;
#[path = "console/signed_in.rs"]
mod signed_in;

#[path = "console/accounts.rs"]
mod accounts;
#[path = "console/arranged_lists.rs"]
mod arranged_lists;
#[path = "console/budgets.rs"]
mod budgets;
#[path = "console/bulk.rs"]
mod bulk;
#[path = "console/catalog_objects.rs"]
mod catalog_objects;
#[path = "console/cdp_on_pages.rs"]
mod cdp_on_pages;
#[path = "console/code_states.rs"]
mod code_states;
#[path = "console/control_center.rs"]
mod control_center;
#[path = "console/coupon_codes.rs"]
mod coupon_codes;
#[path = "console/decisions.rs"]
mod decisions;
#[path = "console/files.rs"]
mod files;
#[path = "console/forwarding.rs"]
mod forwarding;
#[path = "console/jobs.rs"]
mod jobs;
#[path = "console/live_stream.rs"]
mod live_stream;
#[path = "console/portal.rs"]
mod portal;
#[path = "console/preferences.rs"]
mod preferences;
#[path = "console/reports.rs"]
mod reports;
#[path = "console/security.rs"]
mod security;
#[path = "console/smart_switch.rs"]
mod smart_switch;
#[path = "console/snippets.rs"]
mod snippets;
#[path = "console/structure_of_pages.rs"]
mod structure_of_pages;
#[path = "console/traffic_controls.rs"]
mod traffic_controls;
#[path = "console/without_scripts.rs"]
mod without_scripts;
