//! Conversions: the use cases that turn postbacks into stored conversions.
//!
//! `postback_ingest` polls the daemon for postbacks and returns verdicts. `evidence_loader` reads the
//! facts that attribution needs. `writer` decides each postback once and writes all effects. `pending`
//! decides postbacks whose click comes late, and those that wait behind them. `change` holds the edits
//! by hand, `stored_refund` the deduction of refunds, `count` what the reports count.
//!
//! The rules themselves are in [`attribution`](crate::attribution).

pub mod postback_ingest;

mod processor;

mod pending;
mod received;

mod evidence_loader;
mod writer;

pub mod change;
mod field_changes;
mod partner_postback;
mod stored_conversion;
mod stored_refund;

mod count;
pub use count::recount;

/// Unix milliseconds now.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
