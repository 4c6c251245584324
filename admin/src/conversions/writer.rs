//! Decides postbacks, each exactly once, and writes all effects in the transaction of the decision:
//! the conversion, its dedup key, its history, the report counts, the partner postbacks.
//!
//! - A postback with a stored id gets its first answer again and changes nothing else.
//! - A postback about an existing conversion creates no conversion. It repeats the conversion, adds
//!   a missing amount, reports another amount or currency (stored as a conflict), or refunds.
//! - A postback with better proof than the existing conversion creates a second conversion, and
//!   both are pending until a person decides. Refunds without proof, or without an order, are
//!   pending too.
//! - A refused conversion blocks no other: a later postback about the same sale is decided on its
//!   own. Once a person approves the refused conversion, no other can be approved beside it.
//! - A conversion over a hard cap is rejected. The sale of a dispute has a conversion that counts
//!   already, so its second conversion is not judged by caps.
//! - An answer names a click only if the sender named the click.
//! - A postback waits behind an earlier pending postback of possibly the same sale.
//! - An unidentified postback (without any known code, click or partner) creates no conversion. Its
//!   text is stored shortened, within a total size, and not at all while the disk is low.
//!
//! There is one writer, and a postback is looked up, evaluated and stored within one transaction.
//! So two decisions, in the same batch or not, never create two conversions of one sale.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use coupon_shared::postback::{Verdict, VerdictStatus};
use serde_json::json;

use super::conversion_event;
use super::count::Counts;
use super::evidence_loader::EvidenceLoader;
use super::field_changes::{field_change, status_changes};
use super::partner_postback::enqueue_partner_postback;
use super::received::{self, ReceivedPostback};
use super::stored_refund;
use crate::attribution::dedup_key::DUPLICATE_WINDOW_MS;
use crate::attribution::disclosure;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::{Candidate, Evaluation, ProposedConversion, evaluate};
use crate::attribution::postback_fields::PostbackFields;
use crate::attribution::rank::{self, ExistingConversion, IncomingPostback, Relation};
use crate::attribution::refund::WAITS_FOR_ORDER_MS;
use crate::attribution::status::Status;
use crate::click_lookup::ClickLookup;
use crate::store::conversions::{self, Action, Conversion, ConversionRow, refunds};
use crate::store::postbacks::waiting::{self, SequenceKey, WaitsFor};
use crate::store::postbacks::{self, Postback, PostbackRow, unidentified};
use crate::store::rollups::turn_into_click;
use crate::store::{StoreError, WriteTx, removal_clock};

mod cap_check;
mod decision;
mod duplicate;
mod fraud_check;
mod incoming;
mod new_conversion;
mod refund_processor;

use decision::{PostbackDecision, verdict_on};
use incoming::Incoming;
use new_conversion::build_conversion;

/// Decides the postbacks of one transaction.
pub(super) struct ConversionWriter<'t, 'c> {
    tx: &'t WriteTx<'c>,
    evidence_loader: EvidenceLoader<'t, 'c>,
    counts: Counts,
    decisions: Decisions,
    is_disk_low: bool,
    /// Unidentified postbacks that were not stored because the disk is low.
    dropped: u64,
}

/// The decisions of one transaction.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// A verdict per postback, as disclosed to its sender; `queued` for a pending postback.
    pub(super) verdicts: Vec<Verdict>,
    /// Number of `queued` verdicts.
    pub(super) waiting: usize,
    /// Postbacks decided before an earlier postback because too many waited behind the earlier.
    pub(super) out_of_order: u64,
}

impl<'t, 'c> ConversionWriter<'t, 'c> {
    /// With `is_disk_low`, unidentified postbacks are dropped, and the text of all others is
    /// shortened.
    pub(super) fn new(
        tx: &'t WriteTx<'c>,
        network_id: u32,
        is_disk_low: bool,
    ) -> Result<ConversionWriter<'t, 'c>, StoreError> {
        Ok(ConversionWriter {
            tx,
            evidence_loader: EvidenceLoader::new(tx, network_id)?,
            counts: Counts::default(),
            decisions: Decisions::default(),
            is_disk_low,
            dropped: 0,
        })
    }

    /// Expires refunds without an order, and writes the report counts of all decisions.
    pub(super) fn finish(mut self) -> Result<Decisions, StoreError> {
        if self.dropped > 0 {
            unidentified::count_dropped(self.tx, self.dropped)?;
        }
        self.expire_waiting_refunds()?;
        self.counts.write(self.tx)?;
        Ok(self.decisions)
    }

    /// Expires no refund while the machine's clock is not trusted. The times of postbacks are no
    /// substitute: the clock behind them can be wrong by years.
    fn expire_waiting_refunds(&mut self) -> Result<(), StoreError> {
        let Some(now) = removal_clock::removal_time(self.tx)? else { return Ok(()) };
        let before_ms = now.unix_ms().saturating_sub(WAITS_FOR_ORDER_MS);
        for refund in refunds::waiting_since_before(self.tx, before_ms)? {
            let error = Some(ErrorCode::UnknownOrder);
            stored_refund::set_status(self.tx, &mut self.counts, refund, error)?;
        }
        Ok(())
    }

    /// Decides and stores a delivered postback.
    pub(super) fn ingest(
        &mut self,
        received: &ReceivedPostback,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        let received =
            &*received.with_listed_code(|code| self.evidence_loader.is_known_code(code))?;
        if let Some(known) = postbacks::get(self.tx, received.row.id)? {
            let verdict = self.stored_verdict(&known.postback)?;
            return self.add_verdict(verdict, received, clicks);
        }
        let mut row = received.row.clone();
        let Some(fields) = &received.fields else {
            postbacks::insert(self.tx, &row)?;
            self.decisions.verdicts.push(verdict_on(&row, None));
            return Ok(());
        };
        let keys = sequence_keys(fields);
        let incoming = Incoming { fields, row: &row, clicks };
        let decision = match fields.by_network {
            Some(_) => self.decide(incoming)?,
            None => self.decide_in_order(incoming, None, &keys)?,
        };
        decision.write_into(&mut row);
        let verdict = decision.verdict(&row);
        self.store_postback(row, &decision, &keys, &received.message)?;
        self.add_verdict(verdict, received, clicks)
    }

    fn store_postback(
        &mut self,
        mut row: Postback,
        decision: &PostbackDecision,
        keys: &[SequenceKey<'_>],
        message: &[u8],
    ) -> Result<(), StoreError> {
        if decision.is_unidentified() && self.is_disk_low {
            self.dropped += 1;
            return Ok(());
        }
        if decision.is_unidentified() {
            received::cut_unidentified(&mut row);
        } else if self.is_disk_low {
            received::cut_text(&mut row);
        }
        let number = postbacks::insert(self.tx, &row)?;
        match decision.waits_for {
            Some(waits_for) => waiting::insert(self.tx, number, waits_for, keys, message),
            None => Ok(()),
        }
    }

    /// Adds the verdict in its disclosed form.
    fn add_verdict(
        &mut self,
        verdict: Verdict,
        received: &ReceivedPostback,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        self.decisions.waiting += usize::from(verdict.status == VerdictStatus::Queued);
        let Some(fields) = &received.fields else {
            self.decisions.verdicts.push(verdict);
            return Ok(());
        };
        let evidence = self.evidence_loader.evidence(fields, received.row.received_ms, clicks)?;
        let guarded = self.evidence_loader.guarded()?;
        let disclose = || disclosure::disclose(verdict, fields, &evidence, guarded);
        // A bug here must not block the postbacks behind this one, and must disclose nothing.
        let disclosed = catch_unwind(AssertUnwindSafe(disclose));
        self.decisions.verdicts.push(disclosed.map_err(|_panic| StoreError::Aborted)?);
        Ok(())
    }

    /// Decides a pending postback, or keeps it pending for another reason.
    pub(super) fn decide_pending(
        &mut self,
        number: u64,
        received: &ReceivedPostback,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        let received =
            received.with_listed_code(|code| self.evidence_loader.is_known_code(code))?;
        let (Some(PostbackRow { mut postback, .. }), Some(fields)) =
            (waiting::get(self.tx, number)?, &received.fields)
        else {
            return waiting::remove(self.tx, number);
        };
        if let Cow::Owned(ReceivedPostback { row, .. }) = &received {
            // Meanwhile another code of the list may be known.
            postback.coupon_code.clone_from(&row.coupon_code);
            postback.folded_code.clone_from(&row.folded_code);
        }
        let keys = sequence_keys(fields);
        let incoming = Incoming { fields, row: &postback, clicks };
        let decision = self.decide_in_order(incoming, Some(number), &keys)?;
        decision.write_into(&mut postback);
        match decision.waits_for {
            Some(other) => waiting::insert(self.tx, number, other, &keys, &received.message)?,
            None => waiting::remove(self.tx, number)?,
        }
        let verdict = decision.verdict(&postback);
        if decision.is_unidentified() {
            received::cut_unidentified(&mut postback);
            unidentified::cut(self.tx, number, &postback)?;
        }
        postbacks::decide(self.tx, &PostbackRow { number, postback })?;
        self.add_verdict(verdict, &received, clicks)
    }

    /// Decides a postback, or makes it wait behind an earlier postback. `number` is its row if the
    /// postback is pending already.
    fn decide_in_order(
        &mut self,
        incoming: Incoming<'_>,
        number: Option<u64>,
        keys: &[SequenceKey<'_>],
    ) -> Result<PostbackDecision, StoreError> {
        let Some(earlier) = waiting::blocker(self.tx, keys, number)? else {
            return self.decide(incoming);
        };
        if waiting::has_room_behind(self.tx, earlier)? {
            return Ok(PostbackDecision::waiting_behind(earlier));
        }
        let mut decision = self.decide(incoming)?;
        if decision.waits_for.is_none() {
            decision.steps.note("out_of_order", "too many postbacks wait behind an earlier one");
            self.decisions.out_of_order += 1;
        }
        Ok(decision)
    }

    fn decide(&mut self, incoming: Incoming<'_>) -> Result<PostbackDecision, StoreError> {
        let Incoming { fields, row, clicks } = incoming;
        let evidence = self.evidence_loader.evidence(fields, row.received_ms, clicks)?;
        match catch_unwind(AssertUnwindSafe(|| evaluate(fields, &evidence))) {
            Ok(Evaluation::Waits(id, steps)) => {
                Ok(PostbackDecision::waiting(WaitsFor::Click(id), steps))
            }
            Ok(Evaluation::Decided(proposed)) => self.dedupe_or_create(incoming, *proposed),
            // A bug here must not block the postbacks behind this one.
            Err(_panic) => Ok(PostbackDecision::failed()),
        }
    }

    /// Applies the postback to an existing conversion, or creates a conversion.
    fn dedupe_or_create(
        &mut self,
        incoming: Incoming<'_>,
        mut proposed: ProposedConversion,
    ) -> Result<PostbackDecision, StoreError> {
        let (relation, mut known) = self.find_existing(incoming.fields, &mut proposed)?;
        match relation {
            Relation::Repeats(at) if incoming.fields.is_refund() => {
                let order = known.swap_remove(at);
                self.process_refund(incoming, proposed, order)
            }
            Relation::Repeats(at) => {
                self.handle_duplicate(incoming, proposed, known.swap_remove(at))
            }
            Relation::Disputes => {
                self.dispute(incoming.row, &mut proposed, known)?;
                self.create_conversion(incoming, proposed, String::new())
            }
            Relation::New if proposed.error == Some(ErrorCode::UnknownOrder) => {
                self.process_refund_without_order(incoming, proposed)
            }
            Relation::New => self.create_checked(incoming, proposed),
        }
    }

    /// The relation of the postback to existing conversions, and these conversions.
    fn find_existing(
        &self,
        fields: &PostbackFields,
        proposed: &mut ProposedConversion,
    ) -> Result<(Relation, Vec<ConversionRow>), StoreError> {
        let is_refund = fields.is_refund();
        if let Some(key) = proposed.key.filter(|_| proposed.is_believed) {
            let known = conversions::with_key(self.tx, &key.0)?;
            let relation = relation_to(&proposed.incoming(is_refund), &known);
            if relation != Relation::New {
                return Ok((relation, known));
            }
        }
        match proposed.others.as_slice() {
            [] => Ok((Relation::New, Vec::new())),
            [Candidate { key, rank }] => {
                let known = conversions::with_key(self.tx, &key.0)?;
                // The postback names no other conversion, so it is about this one with any proof.
                let about = IncomingPostback { is_refund: true, ..proposed.incoming(is_refund) };
                proposed.rank = *rank;
                Ok((relation_to(&about, &known), known))
            }
            several => {
                let count = several.len();
                let detail =
                    format_args!("it may be about {count} conversions; oid must say which");
                proposed.fail_with(ErrorCode::AmbiguousCode, detail);
                Ok((Relation::New, Vec::new()))
            }
        }
    }

    /// Creates a conversion after the checks for duplicates without a key, for fraud and for caps.
    fn create_checked(
        &mut self,
        incoming: Incoming<'_>,
        mut proposed: ProposedConversion,
    ) -> Result<PostbackDecision, StoreError> {
        if proposed.key.is_none() {
            self.find_possible_duplicate(incoming, &mut proposed)?;
        }
        if proposed.attributed.is_none() && proposed.partial.identifies_nothing() {
            return Ok(PostbackDecision::unidentified(proposed));
        }
        let fraud_flag = self.check_fraud_rules(incoming, &mut proposed)?;
        self.hold_code(&mut proposed)?;
        if self.check_caps(incoming, &mut proposed)?
            && let (Relation::Repeats(at), mut known) =
                self.find_existing(incoming.fields, &mut proposed)?
        {
            // The same sale was rejected for the cap before.
            return self.handle_duplicate(incoming, proposed, known.swap_remove(at));
        }
        self.create_conversion(incoming, proposed, fraud_flag)
    }

    /// Makes the new conversion pending, and with it all weaker ones that are approved or pending.
    fn dispute(
        &mut self,
        row: &Postback,
        proposed: &mut ProposedConversion,
        known: Vec<ConversionRow>,
    ) -> Result<(), StoreError> {
        let counts = |row: &ConversionRow| {
            matches!(row.conversion.status, Status::Approved | Status::Pending)
        };
        for weaker in known.into_iter().filter(counts) {
            let detail = format_args!("{} claimed the same with less proof", weaker.conversion.id);
            proposed.steps.note("claimed_before", detail);
            self.hold_existing(row, weaker, ErrorCode::Disputed)?;
        }
        proposed.fail_with(ErrorCode::Disputed, ErrorCode::Disputed.sentence());
        Ok(())
    }

    fn hold_existing(
        &mut self,
        row: &Postback,
        mut held: ConversionRow,
        error: ErrorCode,
    ) -> Result<(), StoreError> {
        let before = held.conversion.clone();
        held.conversion.status = error.status();
        held.conversion.error_code = error.number();
        conversions::update(self.tx, &held)?;
        let changes = status_changes(&before, &held.conversion);
        if !changes.is_empty() {
            conversions::record_history(
                self.tx,
                held.number,
                Action::Status,
                Some(row.id),
                &changes,
            )?;
        }
        conversion_event::record_status_change(self.tx, &before, &held.conversion)?;
        self.counts.add(Some(&before), &held.conversion);
        Ok(())
    }

    /// Holds a postback without a key if an equal postback came within the duplicate window: the
    /// sender may have sent the same postback twice.
    fn find_possible_duplicate(
        &self,
        incoming: Incoming<'_>,
        proposed: &mut ProposedConversion,
    ) -> Result<(), StoreError> {
        if !matches!(proposed.status, Status::Approved | Status::Pending) {
            return Ok(());
        }
        let since = incoming.counted_ms(proposed).saturating_sub(DUPLICATE_WINDOW_MS);
        let content_hash = &incoming.fields.content_hash;
        if let Some(duplicate) = conversions::find_possible_duplicate(self.tx, content_hash, since)?
        {
            let detail = format_args!("{} said the same", duplicate.conversion.id);
            proposed.hold(ErrorCode::PossibleDuplicate, detail);
        }
        Ok(())
    }

    fn create_conversion(
        &mut self,
        incoming: Incoming<'_>,
        proposed: ProposedConversion,
        fraud_flag: String,
    ) -> Result<PostbackDecision, StoreError> {
        let conversion = build_conversion(incoming, &proposed, fraud_flag, self.tx.now());
        let mut created = self.insert(incoming.row, &conversion)?;
        if proposed.status == Status::Approved {
            self.clear_bot_flag(&proposed, incoming.clicks)?;
        }
        // Neither a stranger's postback nor an invalid one may use up the refunds that wait for the
        // real order. Those of a refused conversion are applied when a person approves it.
        if proposed.is_believed && matches!(proposed.status, Status::Approved | Status::Pending) {
            created = stored_refund::apply_waiting_refunds(self.tx, &mut self.counts, created)?;
        }
        if proposed.status == Status::Approved {
            enqueue_partner_postback(self.tx, &created.conversion)?;
        }
        Ok(PostbackDecision::created(created.conversion, proposed.steps))
    }

    fn insert(
        &mut self,
        row: &Postback,
        conversion: &Conversion,
    ) -> Result<ConversionRow, StoreError> {
        let inserted = conversions::insert(self.tx, conversion)?;
        let changes = [field_change("status", json!(null), json!(conversion.status))];
        conversions::record_history(
            self.tx,
            inserted.number,
            Action::Created,
            Some(row.id),
            &changes,
        )?;
        conversion_event::record_created(self.tx, conversion)?;
        self.counts.add(None, conversion);
        Ok(inserted)
    }

    /// A visit that led to an approved sale was made by a person: counts it as a click.
    fn clear_bot_flag(
        &self,
        proposed: &ProposedConversion,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        let id = proposed.attributed.as_ref().and_then(|attributed| attributed.transaction_id);
        let Some(found) = id.and_then(|id| clicks.found(&id)) else { return Ok(()) };
        let cleared = found.as_click(|click| turn_into_click(self.tx, click, &found.place));
        cleared.unwrap_or(Ok(false)).map(drop)
    }

    /// The verdict of the first delivery.
    fn stored_verdict(&self, known: &Postback) -> Result<Verdict, StoreError> {
        let conversion = match known.conversion_id {
            Some(id) => conversions::get(self.tx, id)?,
            None => None,
        };
        Ok(verdict_on(known, conversion.as_ref().map(|row| &row.conversion)))
    }
}

/// Two postbacks about the same sale share at least one sequence key, because every dedup key and
/// every refund key is made of an order id or a transaction id.
fn sequence_keys(fields: &PostbackFields) -> Vec<SequenceKey<'_>> {
    let order = fields.order_id.as_deref().map(SequenceKey::Order);
    let ids = fields.transaction_ids.iter().filter_map(|sent| sent.id);
    order.into_iter().chain(ids.map(SequenceKey::Click)).collect()
}

fn relation_to(incoming: &IncomingPostback, known: &[ConversionRow]) -> Relation {
    let known: Vec<ExistingConversion> =
        known.iter().map(|row| ExistingConversion::from(&row.conversion)).collect();
    rank::find_relation(incoming, &known)
}
