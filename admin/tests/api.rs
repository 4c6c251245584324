//! The API from the client's side: a real listener, a real data folder. Files are named like the
//! URLs.

#![allow(clippy::unwrap_used)]

#[path = "api/client.rs"]
mod client;
#[path = "api/everflow_server.rs"]
mod everflow_server;
#[path = "api/partner_server.rs"]
mod partner_server;
#[path = "api/portal.rs"]
mod portal;
#[path = "api/published.rs"]
mod published;
#[path = "api/recorded.rs"]
mod recorded;

#[path = "api/access.rs"]
mod access;
#[path = "api/advertisers/reporting.rs"]
mod advertisers_reporting;
#[path = "api/affiliates/apikey.rs"]
mod affiliates_apikey;
#[path = "api/affiliates/caps.rs"]
mod affiliates_caps;
#[path = "api/affiliates/couponcodes.rs"]
mod affiliates_couponcodes;
#[path = "api/affiliates/pixels.rs"]
mod affiliates_pixels;
#[path = "api/affiliates/reporting.rs"]
mod affiliates_reporting;
#[path = "api/affiliates/traffic.rs"]
mod affiliates_traffic;
#[path = "api/clients.rs"]
mod clients;
#[path = "api/command_line.rs"]
mod command_line;
#[path = "api/days.rs"]
mod days;
#[path = "api/descriptions.rs"]
mod descriptions;
#[path = "api/etags.rs"]
mod etags;
#[path = "api/everflow_import.rs"]
mod everflow_import;
#[path = "api/everflow_shapes.rs"]
mod everflow_shapes;
#[path = "api/idempotency.rs"]
mod idempotency;
#[path = "api/keys.rs"]
mod keys;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/listener.rs"]
mod listener;
#[path = "api/meta.rs"]
mod meta;
#[path = "api/networks/apikeys.rs"]
mod networks_apikeys;
#[path = "api/networks/audit.rs"]
mod networks_audit;
#[path = "api/networks/botlist.rs"]
mod networks_botlist;
#[path = "api/networks/caps.rs"]
mod networks_caps;
#[path = "api/networks/couponcodes.rs"]
mod networks_couponcodes;
#[path = "api/networks/couponcodes_bulk.rs"]
mod networks_couponcodes_bulk;
#[path = "api/networks/couponcodes_conversion_only.rs"]
mod networks_couponcodes_conversion_only;
#[path = "api/networks/couponcodes_generate.rs"]
mod networks_couponcodes_generate;
#[path = "api/networks/couponcodes_status.rs"]
mod networks_couponcodes_status;
#[path = "api/networks/created_conversions.rs"]
mod networks_created_conversions;
#[path = "api/networks/deletions.rs"]
mod networks_deletions;
#[path = "api/networks/events.rs"]
mod networks_events;
#[path = "api/networks/explain.rs"]
mod networks_explain;
#[path = "api/networks/fail_traffic.rs"]
mod networks_fail_traffic;
#[path = "api/networks/forwardingrules.rs"]
mod networks_forwardingrules;
#[path = "api/networks/jobs.rs"]
mod networks_jobs;
#[path = "api/networks/kept_fields.rs"]
mod networks_kept_fields;
#[path = "api/networks/lists.rs"]
mod networks_lists;
#[path = "api/networks/lists_at_scale.rs"]
mod networks_lists_at_scale;
#[path = "api/networks/objects.rs"]
mod networks_objects;
#[path = "api/networks/offers.rs"]
mod networks_offers;
#[path = "api/networks/offerurls.rs"]
mod networks_offerurls;
#[path = "api/networks/own_addresses.rs"]
mod networks_own_addresses;
#[path = "api/networks/pixels.rs"]
mod networks_pixels;
#[path = "api/networks/pixels_delivered.rs"]
mod networks_pixels_delivered;
#[path = "api/networks/postbacks.rs"]
mod networks_postbacks;
#[path = "api/networks/privacy.rs"]
mod networks_privacy;
#[path = "api/networks/reporting.rs"]
mod networks_reporting;
#[path = "api/networks/smartswitch.rs"]
mod networks_smartswitch;
#[path = "api/networks/trafficcontrols.rs"]
mod networks_trafficcontrols;
#[path = "api/networks/uploaded_spreadsheets.rs"]
mod networks_uploaded_spreadsheets;
#[path = "api/networks/uploads.rs"]
mod networks_uploads;
#[path = "api/networks/users.rs"]
mod networks_users;
#[path = "api/networks/visibility.rs"]
mod networks_visibility;
#[path = "api/networks/webhooks.rs"]
mod networks_webhooks;
#[path = "api/new_york.rs"]
mod new_york;
#[path = "api/old_daemon.rs"]
mod old_daemon;
#[path = "api/openapi.rs"]
mod openapi;
#[path = "api/requests.rs"]
mod requests;
