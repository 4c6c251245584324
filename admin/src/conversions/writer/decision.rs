//! The decision on a postback: outcome, stored form and verdict for the sender.

use coupon_shared::postback::{PostbackId, Verdict, VerdictStatus};
use coupon_shared::transaction_id::TransactionId;

use super::super::now_ms;
use crate::attribution::decision_step::DecisionSteps;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::postback_fields::SentId;
use crate::attribution::status::Status;
use crate::store::conversions::{Conversion, ConversionId};
use crate::store::postbacks::waiting::WaitsFor;
use crate::store::postbacks::{Outcome, Postback, VerdictWord};

/// The decision on a postback.
pub(super) struct PostbackDecision {
    pub(super) outcome: Outcome,
    verdict: VerdictWord,
    error: Option<ErrorCode>,
    /// The conversion that the postback created, repeats, contradicts or refunds.
    conversion: Option<Conversion>,
    pub(super) waits_for: Option<WaitsFor>,
    pub(super) steps: DecisionSteps,
}

impl PostbackDecision {
    pub(super) fn created(conversion: Conversion, steps: DecisionSteps) -> PostbackDecision {
        PostbackDecision::about(Outcome::Made, conversion, None, steps)
    }

    /// The answer has the status of the conversion, and `error` or else the error of the
    /// conversion.
    pub(super) fn about(
        outcome: Outcome,
        conversion: Conversion,
        error: Option<ErrorCode>,
        steps: DecisionSteps,
    ) -> PostbackDecision {
        PostbackDecision {
            outcome,
            verdict: conversion.status.into(),
            error: error.or_else(|| ErrorCode::from_number(conversion.error_code)),
            conversion: Some(conversion),
            waits_for: None,
            steps,
        }
    }

    pub(super) fn waiting(waits_for: WaitsFor, steps: DecisionSteps) -> PostbackDecision {
        PostbackDecision {
            outcome: Outcome::Waits,
            verdict: VerdictWord::Queued,
            error: None,
            conversion: None,
            waits_for: Some(waits_for),
            steps,
        }
    }

    pub(super) fn waiting_behind(earlier: u64) -> PostbackDecision {
        let mut steps = DecisionSteps::default();
        steps.note("waits_its_turn", "an earlier postback that may be about the same sale waits");
        PostbackDecision::waiting(WaitsFor::Postback(earlier), steps)
    }

    /// For a postback without any known code, click or partner. No partner could ever be paid, so
    /// no conversion is created.
    pub(super) fn unidentified(proposed: ProposedConversion) -> PostbackDecision {
        PostbackDecision {
            outcome: Outcome::Unreadable,
            verdict: proposed.status.into(),
            error: proposed.error,
            conversion: None,
            waits_for: None,
            steps: proposed.steps,
        }
    }

    /// True for decisions made by [`PostbackDecision::unidentified`].
    pub(super) fn is_unidentified(&self) -> bool {
        self.outcome == Outcome::Unreadable && self.error.is_some()
    }

    /// For a postback whose evaluation panicked, or whose first refund is gone.
    pub(super) fn failed() -> PostbackDecision {
        let mut steps = DecisionSteps::default();
        steps.note("not_judged", "judging it failed; it is kept, and counts for nobody");
        PostbackDecision {
            outcome: Outcome::Unreadable,
            verdict: VerdictWord::Invalid,
            error: None,
            conversion: None,
            waits_for: None,
            steps,
        }
    }

    pub(super) fn write_into(&self, row: &mut Postback) {
        row.outcome = self.outcome;
        row.verdict = self.verdict;
        row.error_code = self.error.map_or(0, ErrorCode::number);
        row.error = self.error.map_or("", ErrorCode::sentence).into();
        row.conversion_id = self.conversion.as_ref().map(|conversion| conversion.id);
        row.decided_ms = if self.waits_for.is_some() { 0 } else { now_ms() };
        row.steps = self.steps.to_json();
    }

    pub(super) fn verdict(&self, row: &Postback) -> Verdict {
        verdict_on(row, self.conversion.as_ref())
    }
}

/// The complete verdict on a stored postback; disclosure comes later.
pub(super) fn verdict_on(row: &Postback, conversion: Option<&Conversion>) -> Verdict {
    Verdict {
        postback: PostbackId(row.id.0),
        status: match row.verdict {
            VerdictWord::Queued => VerdictStatus::Queued,
            VerdictWord::Approved => VerdictStatus::Approved,
            VerdictWord::Pending => VerdictStatus::Pending,
            VerdictWord::Rejected => VerdictStatus::Rejected,
            VerdictWord::Invalid => VerdictStatus::Invalid,
        },
        conversion_id: row.conversion_id.map(|ConversionId(id)| PostbackId(id)),
        transaction_id: named_click(row, conversion),
        error_code: row.error_code,
        error: row.error.clone(),
        is_miss: false,
        is_trusted: false,
    }
}

/// The click of a conversion if the postback named this click, else empty: other senders must not
/// learn the id.
fn named_click(row: &Postback, conversion: Option<&Conversion>) -> String {
    let click = conversion.and_then(|one| one.transaction_id.parse::<TransactionId>().ok());
    let named = row.transaction_id.split('|').filter_map(|text| SentId::read(text).id);
    click
        .filter(|click| named.into_iter().any(|id| id == *click))
        .map(|id| id.to_string())
        .unwrap_or_default()
}

impl From<Status> for VerdictWord {
    fn from(status: Status) -> VerdictWord {
        match status {
            Status::Approved => VerdictWord::Approved,
            Status::Pending => VerdictWord::Pending,
            Status::Rejected => VerdictWord::Rejected,
            Status::Invalid => VerdictWord::Invalid,
        }
    }
}
