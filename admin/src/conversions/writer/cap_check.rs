//! Judges a new conversion by the caps that count it. The conversions of a transaction are judged
//! one after the other, so a hard cap is never exceeded, and only the conversion that carries an
//! amount over its limit stands.

use super::ConversionWriter;
use super::incoming::Incoming;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::status::Status;
use crate::caps::reached_limit;
use crate::store::{StoreError, caps};

impl ConversionWriter<'_, '_> {
    /// Rejects the conversion if a hard cap is reached, and returns whether. A soft cap leaves a
    /// note.
    pub(super) fn check_caps(
        &mut self,
        incoming: Incoming<'_>,
        proposed: &mut ProposedConversion,
    ) -> Result<bool, StoreError> {
        let counts = matches!(proposed.status, Status::Approved | Status::Pending);
        if !counts || proposed.event.is_some() || incoming.fields.is_refund() {
            return Ok(false);
        }
        let partial = &proposed.partial;
        let (offer, partner) = (partial.offer_id, partial.affiliate_id);
        let code = partial.code_id.unwrap_or_default();
        let (offer, partner) = (offer.unwrap_or_default(), partner.unwrap_or_default());
        for cap in caps::binding(self.tx, offer, partner, code)? {
            let at_ms = incoming.counted_ms(proposed);
            let sums = |window: &_| caps::conversions_in(self.tx, &cap, window);
            let Some(reached) = reached_limit(&cap, self.evidence_loader.zone(), at_ms, sums)?
            else {
                continue;
            };
            if !cap.is_soft {
                proposed.fail_with(ErrorCode::CapReached, reached);
                return Ok(true);
            }
            proposed.steps.note("soft_cap_reached", reached);
        }
        Ok(false)
    }
}
