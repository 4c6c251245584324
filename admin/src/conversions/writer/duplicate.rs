//! A postback about a sale that has a conversion: a plain repeat, the missing amount, or a
//! conflict.

use serde_json::json;

use super::ConversionWriter;
use super::decision::PostbackDecision;
use super::incoming::Incoming;
use crate::attribution::currency;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::refund;
use crate::attribution::status::Status;
use crate::catalog::Money;
use crate::conversions::field_changes::{amount_changes, field_change};
use crate::store::StoreError;
use crate::store::conversions::{self, Action, Conversion, ConversionRow};
use crate::store::postbacks::{self, Outcome, Postback};

impl ConversionWriter<'_, '_> {
    pub(super) fn handle_duplicate(
        &mut self,
        incoming: Incoming<'_>,
        proposed: ProposedConversion,
        first: ConversionRow,
    ) -> Result<PostbackDecision, StoreError> {
        let Incoming { fields, row, .. } = incoming;
        let ProposedConversion { rank, mut steps, .. } = proposed;
        let id = first.conversion.id;
        let stored = &first.conversion;
        let is_other_currency =
            currency::is_other(fields.currency.as_deref(), &stored.sale_currency);
        let (outcome, after) = match (fields.amount, stored.amount) {
            (Some(amount), _) if is_other_currency => {
                steps.note("conflict", format_args!("{id} was reported in another currency"));
                self.record_conflict(incoming, amount, first)?
            }
            // A weaker sender must not set an amount, nor may a report overwrite an edit by hand.
            (Some(amount), None) if rank >= stored.evidence_rank && stored.is_unedited() => {
                steps.note("completed", format_args!("{id} was reported without an amount"));
                (Outcome::Repeats, self.add_missing_amount(row, amount, first)?)
            }
            (Some(amount), known) if known != Some(amount) => {
                steps.note("conflict", format_args!("{id} was reported with another amount"));
                self.record_conflict(incoming, amount, first)?
            }
            _ => {
                steps.note("repeat", format_args!("{id} was reported before"));
                (Outcome::Repeats, first.conversion)
            }
        };
        let conflict = Some(ErrorCode::Conflict).filter(|_| outcome == Outcome::Conflicts);
        Ok(PostbackDecision::about(outcome, after, conflict, steps))
    }

    /// Leaves the conversion as first reported, and records the other amount in its history, each
    /// amount once.
    pub(super) fn record_conflict(
        &self,
        incoming: Incoming<'_>,
        amount: Money,
        mut first: ConversionRow,
    ) -> Result<(Outcome, Conversion), StoreError> {
        let Incoming { fields, row, .. } = incoming;
        let id = first.conversion.id;
        if !postbacks::has_conflict(self.tx, id, &row.amount, &row.currency)? {
            let mut changes =
                vec![field_change("amount", json!(first.conversion.amount), json!(amount))];
            let own = &first.conversion.sale_currency;
            if currency::is_other(fields.currency.as_deref(), own) {
                changes.push(field_change("sale_currency", json!(own), json!(fields.currency)));
            }
            conversions::record_history(
                self.tx,
                first.number,
                Action::Conflict,
                Some(row.id),
                &changes,
            )?;
            first.conversion.has_conflict = true;
            conversions::update(self.tx, &first)?;
        }
        Ok((Outcome::Conflicts, first.conversion))
    }

    fn add_missing_amount(
        &mut self,
        row: &Postback,
        amount: Money,
        mut first: ConversionRow,
    ) -> Result<Conversion, StoreError> {
        let before = first.conversion.clone();
        let now = &mut first.conversion;
        (now.amount, now.sale_amount) = (Some(amount), amount);
        if let Some(terms) = now.read_terms() {
            let payable = now.currencies().payable(&terms, amount);
            (now.payout, now.revenue) = (payable.payout, payable.revenue);
        }
        conversions::update(self.tx, &first)?;
        let changes = amount_changes(&before, &first.conversion);
        conversions::record_history(
            self.tx,
            first.number,
            Action::Adjusted,
            Some(row.id),
            &changes,
        )?;
        self.counts.add(Some(&before), &first.conversion);
        if refund::is_large(amount) && first.conversion.status == Status::Approved {
            self.hold_existing(row, first.clone(), ErrorCode::LargeAmount)?;
            first.conversion.status = Status::Pending;
            first.conversion.error_code = ErrorCode::LargeAmount.number();
        }
        Ok(first.conversion)
    }
}
