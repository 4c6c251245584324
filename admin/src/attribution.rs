//! Attribution: partner, offer and advertiser of a postback, and its payout.
//!
//! A postback passes `postback_fields` (the parameters as sent), `evidence` (the stored facts about
//! the clicks, codes, offers and partners that the fields name) and `evaluation`, which asks
//! `attribute` (partner and offer), `trust` (sender rules of the advertiser) and `payout` (payout
//! and revenue). `dedup_key` and `matching` detect postbacks of the same sale, `rank` compares a
//! new postback with stored conversions, `refund` computes deductions, `disclosure` reduces a
//! verdict to the part for its sender, `fraud_rules` detect codes in the wrong hands.
//!
//! Everything here is pure: no store, no clock, no I/O. Equal fields and equal evidence always give
//! an equal result, so a decision can be repeated and explained at any time.

pub mod postback_fields;

pub mod evidence;

pub mod evaluation;

mod advertiser;
pub mod attribute;
pub mod attributed;
pub mod currency;
pub mod disclosure;
mod eligibility;
mod matched_offer;
pub mod minor_unit;
pub mod offer_entry;
pub mod payout;
pub mod trust;

pub mod dedup_key;
pub mod fraud_rules;
pub mod further_texts;
mod matching;
pub mod rank;
pub mod refund;

pub mod decision_step;
pub mod error_code;
pub mod status;

#[cfg(test)]
mod sample;
