//! `coupond`: answers coupon-code links with redirects and logs every click.
//!
//! The modules follow the program's life and then a visit's way. Deliberately absent: anything
//! that changes codes, offers or partners, and any need of `coupon-admin` to answer a visit.

pub mod arguments;
pub mod config;
pub mod logging;
pub mod run;

pub mod serving;
pub mod settings;

pub mod request;

pub mod live_index;
pub mod loader;

pub mod redirect;

pub mod sdk;

pub mod cors;
pub mod response;

pub mod clicks;

mod durable_file;
mod problems;

pub mod counters;
pub mod private;
pub mod unknown_codes;
