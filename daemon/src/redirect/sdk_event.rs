//! Clicks and impressions that a page or a server reports instead of a visitor following a link:
//! `/sdk/click`, `/sdk/impression`, `/clk`.
//!
//! Events are decided and recorded like visits, and answered with an id instead of a redirect. The
//! code decides first; if the code is missing or leads nowhere, the named offer and partner decide.
//! Invariant: every event that cannot be tracked gets the same bytes, so that the answer does not
//! reveal the difference between a paused and an unknown code.

use coupon_shared::click::VisitKind;
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{DecidedClick, Reason, Visit, Visitor, decide, decide_without_code};
use coupon_shared::transaction_id::TransactionId;
use coupon_shared::visit_target::Parameter;
use hyper::Method;
use hyper::body::Bytes;

use super::commit::StateMarks;
use super::{ClickEntry, RedirectContext, VisitRequest};
use crate::clicks::Recorded;
use crate::live_index::ServedIndex;
use crate::request::SdkEvent;
use crate::response::Reply;

impl RedirectContext {
    /// Decides, records and answers an event.
    pub(super) fn report(
        &mut self,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        event: SdkEvent,
    ) -> Reply {
        self.parameters.read(request.parts.uri.query());
        let known = self.known_click(index).filter(|_| event != SdkEvent::Impression);
        let kind = visit_kind(event, request);
        let is_counted = request.parts.method == Method::GET
            && known.is_none()
            && matches!(kind, VisitKind::Sdk | VisitKind::Server);
        let ([by_code, direct], marks) =
            self.decide_click(index, request, event, is_counted.then_some(kind));
        let tracked = redirected(&[by_code, direct]);
        if let Some(id) = known {
            return self.answer_existing(index, id, tracked);
        }
        // A click that leads nowhere is recorded too, with its reason.
        let Some(click) = tracked.or(by_code).or(direct) else {
            self.count_unknown_event();
            return Reply::Untracked;
        };
        let id = self.ids.next(&index.catalog().click_id_key(), request.unix_ms);
        if request.parts.method == Method::GET {
            // A direct click has no code; the parameter may hold an unrelated one.
            let code = if click.row.code_id == 0 { b"" } else { self.parameters.code() };
            let entry = ClickEntry { transaction_id: id, click: &click, code, kind, marks };
            if let Recorded::Unlogged =
                self.recorder.record(index, request, &self.parameters, &entry)
            {
                self.keep_unlogged(&marks);
            }
        } else {
            self.counters.heads.add_one();
        }
        match tracked {
            Some(click) => Reply::Json(body(id, click.row.offer_id, click.advertiser_id)),
            None => Reply::Untracked,
        }
    }

    /// The decisions by code, and by offer and partner. Commits an accepted click of a kind.
    fn decide_click(
        &mut self,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        event: SdkEvent,
        kind: Option<VisitKind>,
    ) -> ([Option<DecidedClick>; 2], StateMarks) {
        let code = FoldedCode::fold(self.parameters.code()).ok();
        let rows = code.map(|code| self.hot_codes.lookup(index, &code));
        let code = self.parameters.code();
        let facts = request.facts(index, &self.parameters, code, &self.visit_state);
        let visitor = match event {
            SdkEvent::Click => Visitor::Page(&facts),
            SdkEvent::ServerClick => Visitor::Server(&facts),
            SdkEvent::Impression => Visitor::Viewer(&facts),
        };
        let (offer_id, partner_id) = (self.parameters.offer_id(), self.parameters.partner_id());
        let (catalog, now) = (index.catalog(), facts.unix_seconds);
        let offer_url_id = self.parameters.offer_url_id();
        let decide_both = || {
            let visit = Visit {
                rows: rows.flatten(),
                offer_id,
                offer_url_id,
                domain: request.domain,
                visitor,
            };
            let by_code = rows.and_then(|_| decide(catalog, &visit, now).click);
            let direct =
                partner_id.and_then(|id| decide_without_code(catalog, &visit, id, now).click);
            [by_code, direct]
        };
        self.decide_and_commit(&facts, kind, decide_both, redirected)
    }

    /// The click that brought the visitor to the page, if the page names a genuine id.
    fn known_click(&self, index: &ServedIndex) -> Option<TransactionId> {
        let key = index.catalog().click_id_key();
        self.parameters.transaction_id().filter(|id| id.verify(&key))
    }

    /// Answers an event of a click that was recorded when the visitor followed the link. The
    /// click's offer is in its record, which is not at hand, so the answer uses the offer that the
    /// page names. A page that names nothing gets no offer. A page that names an unusable code,
    /// offer or partner learns that, and this counts as a miss, because codes could be guessed
    /// otherwise.
    fn answer_existing(
        &self,
        index: &ServedIndex,
        id: TransactionId,
        named: Option<DecidedClick>,
    ) -> Reply {
        let offer = self.parameters.offer_id().and_then(|id| index.catalog().offer(id));
        match (named, offer) {
            (Some(click), _) => Reply::Json(body(id, click.row.offer_id, click.advertiser_id)),
            (None, Some(offer)) => {
                Reply::Json(body(id, offer.id.to_native(), offer.advertiser_id.to_native()))
            }
            (None, None) if self.names_something() => Reply::JsonMiss(body(id, 0, 0)),
            (None, None) => Reply::Json(body(id, 0, 0)),
        }
    }

    fn names_something(&self) -> bool {
        let names = [Parameter::Cc, Parameter::CouponCode, Parameter::Oid, Parameter::Affid];
        names.into_iter().any(|name| !self.parameters.get(name).is_empty())
    }

    fn count_unknown_event(&self) {
        match FoldedCode::fold(self.parameters.code()) {
            Ok(code) => self.count_unknown_code(&code),
            Err(_) => self.counters.malformed_codes.add_one(),
        }
    }
}

/// The first decision that accepts the click.
fn redirected(decisions: &[Option<DecidedClick>; 2]) -> Option<DecidedClick> {
    let mut clicks = decisions.iter().flatten();
    clicks.find(|click| click.reason == Reason::Redirected).copied()
}

/// Prefetched pages report clicks, too.
fn visit_kind(event: SdkEvent, request: &VisitRequest<'_>) -> VisitKind {
    match event {
        SdkEvent::Impression => VisitKind::Impression,
        SdkEvent::ServerClick => VisitKind::Server,
        SdkEvent::Click if request.headers.is_prefetch => VisitKind::Prefetch,
        SdkEvent::Click => VisitKind::Sdk,
    }
}

fn body(id: TransactionId, offer_id: u32, advertiser_id: u32) -> Bytes {
    let body = format!(
        "{{\"transaction_id\":\"{id}\",\"oid\":{offer_id},\"aid\":{advertiser_id},\
         \"error_code\":0,\"error\":\"\"}}"
    );
    body.into()
}
