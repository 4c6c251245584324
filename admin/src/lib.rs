//! The admin sidecar of coupond: edits, publication, ingest of clicks and postbacks, reports.
//!
//! An edit passes `api` (or `import`, for CSV files of the command line), `catalog` (the rules,
//! pure code) and `store` (SQLite, the source of truth). `coupond` answers redirects without the
//! admin.

pub mod cli;
pub mod config;
pub(crate) mod data_folder;
pub mod disk;
mod monitor;
pub mod private_file;
mod reload;
pub mod serve;
pub mod sizing;

pub mod demo;

pub mod access;
pub mod catalog;
pub mod edges;
pub mod edit;

pub mod accounts;

pub mod json;

pub mod api;
mod console;
pub mod csv_file;
mod everflow_import;
pub mod export;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod table_file;
pub mod uploads;

pub mod attribution;

pub mod store;

mod client_network;
mod foreign_text;
pub mod wait_policy;
mod worker;

pub mod explain;

pub mod daemon_client;
mod index_folder;
pub mod nodes;
pub mod publish;

pub mod archive;
pub mod classification;
pub mod click_ingest;
mod click_lookup;
mod visit_state;

pub mod caps;
pub mod conversions;
pub mod outgoing;
pub mod partner_postbacks;
pub mod places;
pub mod smart_switch;
pub mod webhooks;

pub mod acme;

pub mod backup;
pub mod privacy;

pub mod reports;
