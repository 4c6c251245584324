//! Reports: clicks and conversions counted by breakdowns, single clicks, single conversions, and
//! codes that may have leaked.
//!
//! This module is the library below the API's report routes and below pages. Queries come in as
//! plain values, rows go out with tables of [`column::Column`]s that give each column's name, type,
//! description and value. [`view::View`] decides which columns, filters and breakdowns the network
//! and a partner may see; both views share all other code. Each operation has an error type of its
//! own. Nothing here knows HTTP or the API's schemas; `Serialize` is implemented only for single
//! values ([`column::Value`], [`amount::Amount`]).
//!
//! Counts come from the rollups, single clicks from the click archive, conversions from the store.
//! No report writes.

pub mod amount;
pub mod column;
pub mod facet;
pub mod view;

pub mod filters;
pub mod paging;
pub mod period;
pub mod selection;

pub mod related;
pub mod table_export;

pub mod clicks;
pub mod code_leaks;
pub mod conversions;
pub mod entity;
