//! Conversions: what a postback makes of a sale.
//!
//! A postback goes `claim` (what it says) → `evidence` (what is known of the clicks, codes, offers
//! and partners it names) → `judge`, which asks `attribution` (whose sale it is), `trust` (whether
//! it may be believed) and `payout` (what it is worth). `key` says which postbacks report the same
//! sale, `refund` what a negative amount takes back, `disclosure` what of it the sender may hear, `leak_guard` which codes are used by people
//! they were not given to.
//!
//! All of these are pure: no store, no clock, no I/O. The same claim and the same evidence are
//! always judged alike, so that a decision can be made again and explained at any time.
//!
//! Around them: `intake` takes postbacks from the daemon and answers with verdicts; `clicks` and
//! `gather` find the evidence; `ledger` decides each once and writes all that follows from it;
//! `waiting` decides those whose click comes late, and those that wait behind them; `change` is what
//! people do by hand.

pub mod postback_ingest;
mod received;

mod evidence_loader;
mod pending;
mod stored_refund;
mod writer;

pub mod change;

mod count;
pub use count::recount;
mod converted_visits;
mod partner_postback;
pub(crate) use converted_visits::{turn_visits, turn_visits_of};

/// Unix milliseconds now.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
