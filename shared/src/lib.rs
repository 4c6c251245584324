//! The formats and rules on which `coupond` and `coupon-admin` must agree.
//!
//! A type lives here only if both programs use it *and* disagreement would make data wrong or
//! unreadable. The modules follow a visit: its code is folded and looked up in an index (made of
//! the levels and the catalog of a snapshot), the decision names a destination, the click record
//! keeps the result, blocks of records travel through framed logs and the feed. Later a postback
//! reports the sale.
//!
//! Deliberately absent: configuration, logging, HTTP, CSV, JSON, clocks, async. Nothing here reads
//! the time or the network; only [`framed_log`] touches files.

pub mod code;
pub mod destination;

pub mod civil_day;
pub mod snapshot;

pub mod index;

pub mod visit_target;

pub mod decision;
pub mod dice;
pub mod eligibility;

pub mod click_macros;

pub mod transaction_id;
pub mod visit_state;
pub mod visitor_key;

pub mod click;

pub mod framed_log;

pub mod feed;
pub mod further_values;
pub mod node_identity;

pub mod partner_postback_headers;
pub mod postback;

pub mod removal_clock;
