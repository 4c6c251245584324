//! The admin sidecar of coupond: what is edited, published, taken in and reported.
//!
//! An edit goes `api` (or `import`, the command line's CSV) → `catalog`, the rules, pure → `store`,
//! SQLite, the truth. Nothing here is needed for `coupond` to answer a redirect.

pub mod cli;
pub mod config;
pub mod disk;
pub mod private_file;
pub mod serve;

pub mod demo;

pub mod catalog;
pub mod edit;

pub mod json;

pub mod api;
pub mod csv_file;
pub mod export;
pub mod import;
pub mod keys;
pub mod uploads;

pub mod attribution;

pub mod store;

pub mod explain;

pub mod daemon_client;
pub mod publish;

pub mod archive;
pub mod classification;
pub mod click_ingest;
mod click_lookup;

pub mod conversions;
pub mod partner_postbacks;

pub mod backup;
pub mod privacy;

pub mod reports;
