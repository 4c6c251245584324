//! `coupond`: answers coupon-code links with redirects, logs every click, and receives postbacks.
//!
//! The modules stand in the order of their imports, which only go down: the program's life, its two
//! sides, a visit's answer, the logs of clicks and postbacks, and leaves. Deliberately absent:
//! changes of codes, offers or partners, and any need of `coupon-admin` to answer a visit.

pub mod arguments;
pub mod run;

pub mod control;
pub mod serving;

pub mod redirect;

pub mod clicks;
pub mod postbacks;

pub mod hot_codes;
pub mod live_index;
pub mod loader;

pub mod counters;
mod thread_metrics;
pub mod unknown_codes;

mod client_info;
pub mod proxy_protocol;
pub mod request;

pub mod cors;
mod http_answer;
mod long_poll;
pub mod response;
pub mod sdk;

pub mod config;
pub mod logging;
pub mod not_found_limit;
pub mod settings;

mod active_alerts;
mod clock;
mod durable_file;
pub mod file_bytes;
mod log_throttle;
mod per_address;
pub mod removal_clock;
