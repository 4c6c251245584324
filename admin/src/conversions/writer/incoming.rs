//! The inputs of a decision.

use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::postback_fields::PostbackFields;
use crate::click_lookup::ClickLookup;
use crate::store::postbacks::Postback;

/// A postback with all inputs of its decision.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'p> {
    pub(super) fields: &'p PostbackFields,
    pub(super) row: &'p Postback,
    pub(super) clicks: &'p ClickLookup,
}

impl Incoming<'_> {
    /// The time under which the conversion is counted, in Unix milliseconds.
    pub(super) fn counted_ms(&self, proposed: &ProposedConversion) -> u64 {
        proposed.sold_ms.unwrap_or(self.row.received_ms)
    }
}
