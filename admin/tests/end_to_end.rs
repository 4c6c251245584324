//! Both real programs together: create a code, follow its link, see the click.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "end_to_end/acme_server.rs"]
mod acme_server;
#[path = "console/cdp.rs"]
#[allow(dead_code, reason = "the console's tests use the rest")]
mod cdp;
#[path = "end_to_end/chance.rs"]
mod chance;
#[path = "end_to_end/faults.rs"]
mod faults;
#[path = "end_to_end/http.rs"]
mod http;
#[path = "end_to_end/https.rs"]
mod https;
#[path = "end_to_end/pebble.rs"]
mod pebble;
#[path = "end_to_end/programs.rs"]
mod programs;
#[path = "console/site.rs"]
#[allow(dead_code, reason = "the console's tests use the rest")]
mod site;
#[path = "end_to_end/small_disk.rs"]
mod small_disk;

#[path = "end_to_end/api_over_tls.rs"]
mod api_over_tls;
#[path = "end_to_end/backup.rs"]
mod backup;
#[path = "end_to_end/bots.rs"]
mod bots;
#[path = "end_to_end/bulk.rs"]
mod bulk;
#[path = "end_to_end/caps.rs"]
mod caps;
#[path = "end_to_end/certificates.rs"]
mod certificates;
#[path = "end_to_end/clicks_under_fire.rs"]
mod clicks_under_fire;
#[path = "end_to_end/conversions.rs"]
mod conversions;
#[path = "end_to_end/conversions_under_fire.rs"]
mod conversions_under_fire;
#[path = "end_to_end/crashes.rs"]
mod crashes;
#[path = "end_to_end/demo.rs"]
mod demo;
#[path = "end_to_end/disk_space.rs"]
mod disk_space;
#[path = "end_to_end/edges.rs"]
mod edges;
#[path = "end_to_end/edits_under_fire.rs"]
mod edits_under_fire;
#[path = "end_to_end/explain_agrees.rs"]
mod explain_agrees;
#[path = "end_to_end/failures.rs"]
mod failures;
#[path = "end_to_end/forwarding.rs"]
mod forwarding;
#[path = "end_to_end/jobs.rs"]
mod jobs;
#[path = "end_to_end/main_job.rs"]
mod main_job;
#[path = "end_to_end/offers_and_domains.rs"]
mod offers_and_domains;
#[path = "end_to_end/operation.rs"]
mod operation;
#[path = "end_to_end/package.rs"]
mod package;
#[path = "end_to_end/pages.rs"]
mod pages;
#[path = "end_to_end/partner_postbacks.rs"]
mod partner_postbacks;
#[path = "end_to_end/privacy.rs"]
mod privacy;
#[path = "end_to_end/prometheus.rs"]
mod prometheus;
#[path = "end_to_end/publication_faults.rs"]
mod publication_faults;
#[path = "end_to_end/regions.rs"]
mod regions;
#[path = "end_to_end/restore_faults.rs"]
mod restore_faults;
#[path = "end_to_end/sdk.rs"]
mod sdk;
#[path = "end_to_end/secrets.rs"]
mod secrets;
#[path = "end_to_end/several_daemons.rs"]
mod several_daemons;
#[path = "end_to_end/sizing.rs"]
mod sizing;
#[path = "end_to_end/smart_switch.rs"]
mod smart_switch;
#[path = "end_to_end/strangers.rs"]
mod strangers;
#[path = "end_to_end/targeting.rs"]
mod targeting;
#[path = "end_to_end/traffic_controls.rs"]
mod traffic_controls;
#[path = "end_to_end/units.rs"]
mod units;
#[path = "end_to_end/webhooks.rs"]
mod webhooks;
