//! Attribution: which partner, offer and advertiser a postback belongs to, and what it is worth.
//!
//! A postback passes `postback_fields` (the parameters as sent), `evidence` (the stored facts about
//! the clicks, codes, offers and partners that the fields name) and `evaluation`, which asks
//! `attribute` (partner and offer), `trust` (sender rules of the advertiser) and `payout` (payout and
//! revenue). `dedup_key` tells which postbacks report the same sale, `rank` how a new report relates
//! to stored ones, `refund` what a negative amount takes back, `disclosure` which part of the result
//! the sender may see, `fraud_rules` which codes are used by people without the right to them.
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
mod matched_offer;
pub mod minor_unit;
mod obstacle;
pub mod offer_entry;
pub mod payout;
pub mod trust;

pub mod dedup_key;
pub mod fraud_rules;
mod matching;
pub mod rank;
pub mod refund;

pub mod decision_step;
pub mod error_code;
pub mod status;

#[cfg(test)]
mod sample;
