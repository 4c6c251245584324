//! Commits accepted clicks to the state of visits, before they are recorded.

use coupon_shared::click::VisitKind;
use coupon_shared::decision::{DecidedClick, Reason};
use coupon_shared::visitor_key::VisitorKey;

use super::RedirectContext;
use super::visitor::VisitFacts;
use crate::visit_state::{AcceptedClick, CountedCaps, Outrun};

/// Each further decision finds one more cap reached, or the visitor seen. More than these are
/// impossible with the caps of one visit.
const MAX_DECISIONS: usize = 16;

/// The marks of an accepted click in the state of visits, for its record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StateMarks {
    /// The visitor's key, where a rule of the offer asks for earlier visits.
    pub(super) visitor: Option<VisitorKey>,
    pub(super) counted: CountedCaps,
}

impl RedirectContext {
    /// Decides, and commits the accepted click, until the state stays the same between the two.
    /// Without a kind nothing is committed.
    #[inline]
    pub(super) fn decide_and_commit<D>(
        &self,
        facts: &VisitFacts<'_, '_>,
        kind: Option<VisitKind>,
        decide: impl Fn() -> D,
        click: impl Fn(&D) -> Option<DecidedClick>,
    ) -> (D, StateMarks) {
        let decision = decide();
        match kind {
            Some(kind) if facts.catalog.asks_for_earlier_visits() => {
                self.commit_or_repeat(facts, kind, decision, decide, click)
            }
            _ => (decision, StateMarks::default()),
        }
    }

    fn commit_or_repeat<D>(
        &self,
        facts: &VisitFacts<'_, '_>,
        kind: VisitKind,
        mut decision: D,
        decide: impl Fn() -> D,
        click: impl Fn(&D) -> Option<DecidedClick>,
    ) -> (D, StateMarks) {
        for _ in 0..MAX_DECISIONS {
            let accepted = click(&decision).filter(|click| click.reason == Reason::Redirected);
            let Some(accepted) = accepted else { break };
            match self.commit(facts, kind, &accepted) {
                Ok(marks) => return (decision, marks),
                Err(Outrun) => decision = decide(),
            }
        }
        (decision, StateMarks::default())
    }

    fn commit(
        &self,
        facts: &VisitFacts<'_, '_>,
        kind: VisitKind,
        click: &DecidedClick,
    ) -> Result<StateMarks, Outrun> {
        let Some(offer) = facts.catalog.offer(click.row.offer_id) else {
            return Ok(StateMarks::default());
        };
        let rules = facts.catalog.visitor_rules_of(offer);
        let caps = click.click_caps(facts.catalog, offer);
        let counts = caps.clone().next().is_some();
        let refuses_repeats = rules.duplicates.is_some();
        if !counts && !refuses_repeats && rules.already_converted.is_none() {
            return Ok(StateMarks::default());
        }
        // Address and user agent of a report are the server's.
        let is_known = kind != VisitKind::Server;
        let visitor = is_known.then(|| facts.visitor_key(rules.session.definition));
        let mut marks = StateMarks { visitor, ..StateMarks::default() };
        if counts || refuses_repeats {
            let ring = &self.recorder.ring;
            marks.counted = self.visit_state.commit(AcceptedClick {
                stream: ring.stream(),
                // This thread is the ring's only writer, and records next.
                sequence: ring.last_sequence() + 1,
                unix_seconds: facts.unix_seconds,
                visitor: visitor.map(|key| key.hash_with_offer(click.row.offer_id)),
                session: rules.session,
                refuses_repeats,
                caps,
            })?;
        }
        Ok(marks)
    }

    /// Keeps the count of a click that its full ring did not take, though no message of the admin
    /// will ever include it.
    #[cold]
    pub(super) fn keep_unlogged(&self, marks: &StateMarks) {
        if !marks.counted.as_bytes().is_empty() {
            let ring = &self.recorder.ring;
            self.visit_state.mark_unlogged(ring.stream(), ring.last_sequence() + 1);
        }
    }
}
