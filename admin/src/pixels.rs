//! Partner postbacks: a partner is told of each of its conversions, once it is approved.
//!
//! - A delivery is queued in the transaction that approves the conversion ([`queue`]), so that a
//!   crash neither loses it nor queues it twice.

pub mod queue;
