//! `coupond`: answers coupon-code links with redirects, logs every click, and receives postbacks.
//!
//! The modules stand in the order of their imports: each imports only modules below it.
//! Deliberately absent: changes of codes, offers or partners, and any need of `coupon-admin` to
//! answer a visit.

// The program's life and its two sides: the control API and the serving threads.
pub mod arguments;
pub mod run;

pub mod control;
pub mod serving;

// The path of a visit, and the logs of clicks and postbacks.
pub mod redirect;

pub mod visit_state;

pub mod clicks;
pub mod postbacks;

// The index in service.
pub mod hot_codes;
pub mod loader;

pub mod live_index;

// Requests, answers and counters.
mod thread_metrics;

pub mod counters;
pub mod unknown_codes;

mod client_info;
pub mod response;

pub mod cors;
pub mod request;
pub mod sdk;

mod long_poll;

mod http_answer;

// The configuration.
pub mod settings;

pub mod not_found_limit;

pub mod config;

// Time, files, alerts, and tables by address.
mod active_alerts;
pub mod operation;
pub mod removal_clock;

mod durable_file;
pub mod file_bytes;
mod installed_certificates;
mod mapped_words;

mod clock;
