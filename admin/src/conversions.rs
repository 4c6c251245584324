//! Conversions: the use cases between a postback and its stored conversion.
//!
//! `postback_ingest` polls the daemon for postbacks and returns verdicts. `evidence_loader` reads
//! the facts for attribution. `writer` decides each postback once and writes all effects. `pending`
//! decides postbacks with a late click, and the postbacks behind them. `creation` holds the
//! conversions that a user of the network creates, `change` the edits by hand, `stored_refund` the
//! deduction of refunds, `count` the report measures.
//!
//! The rules themselves are in [`attribution`](crate::attribution).

pub mod postback_ingest;

pub mod creation;
mod processor;

mod pending;
mod received;

mod evidence_loader;
mod writer;

pub mod change;
mod conversion_event;
mod field_changes;
mod partner_postback;
mod stored_conversion;
mod stored_refund;

mod count;
pub use count::{recount, recount_if_outdated, recount_with_places};

/// Unix milliseconds now.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
