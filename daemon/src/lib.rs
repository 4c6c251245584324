//! `coupond`: answers coupon-code links with redirects, logs every click, and takes what reports
//! the sales.
//!
//! The modules follow the program's life, then a visit's way, then a postback's. Deliberately
//! absent: anything that changes codes, offers or partners, and any need of `coupon-admin` to
//! answer a visit.

pub mod arguments;
pub mod config;
pub mod logging;
pub mod run;

pub mod not_found_limit;
pub mod proxy_protocol;
pub mod serving;
pub mod settings;

pub mod request;

pub mod file_bytes;
pub mod hot_codes;
pub mod live_index;
pub mod loader;

pub mod redirect;

pub mod sdk;

pub mod cors;
pub mod response;

pub mod clicks;

pub mod postbacks;

mod active_alerts;
mod clock;
mod durable_file;
mod log_throttle;
mod per_address;
pub mod removal_clock;

pub mod control;
pub mod counters;
pub mod unknown_codes;
