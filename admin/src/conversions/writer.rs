//! Deciding postbacks: each once, on one state of the store, and in one transaction with all that
//! follows from it: the conversion, its key, its history, what reports count, what partners are told.
//!
//! - A postback whose id is here already is answered what it was answered before, and does nothing.
//! - One that reports what an earlier conversion reported makes none: it repeats it, completes it
//!   (with the amount that was missing), contradicts it (another amount or currency, which is kept and
//!   shown) or takes back from it.
//! - One that is proved better than what it reports again makes a conversion, and both wait for
//!   somebody. So does a refund whose sender proved nothing, and one whose order has not come.
//! - What was refused stands in the way of nothing: a later postback of the same sale is judged by
//!   itself. Once somebody approves it, it does, and nothing can be approved beside it.
//! - An answer tells of a click only what its sender said.
//! - A postback that may be about the same sale as an earlier one that waits is not decided before it.
//! - What names nobody makes no conversion; little of it is kept, within a total, and nothing while
//!   the disk is low.
//!
//! There is one writer, and a postback is looked for, judged and kept without leaving its
//! transaction. So no two decisions can make one sale into two, in one batch or in two.

use std::panic::{AssertUnwindSafe, catch_unwind};

use coupon_shared::click::Tag;
use coupon_shared::postback::{PostbackId, Verdict, VerdictStatus};
use coupon_shared::transaction_id::TransactionId;
use serde_json::json;

use super::count::Counts;
use super::evidence_loader::EvidenceLoader;
use super::partner_postback::enqueue_partner_postback;
use super::received::{self, ReceivedPostback};
use super::stored_refund;
use crate::attribution::attribute::{Attributed, Method};
use crate::attribution::currency;
use crate::attribution::decision_step::DecisionSteps;
use crate::attribution::dedup_key::DUPLICATE_WINDOW_MS;
use crate::attribution::disclosure;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::{Candidate, Evaluation, ProposedConversion, evaluate};
use crate::attribution::fraud_rules::{self, CodeUsage, HOURS_BEFORE};
use crate::attribution::payout::Payable;
use crate::attribution::postback_fields::{PostbackFields, SentId};
use crate::attribution::rank::{self, ExistingConversion, IncomingPostback, Relation};
use crate::attribution::refund::{self, WAITS_FOR_ORDER_MS};
use crate::attribution::status::Status;
use crate::catalog::Money;
use crate::click_lookup::{ClickLookup, FoundClick};
use crate::store::audit::FieldChange;
use crate::store::conversions::{self, Action, Conversion, ConversionId, ConversionRow, refunds};
use crate::store::postbacks::waiting::{self, SequenceKey, WaitsFor};
use crate::store::postbacks::{self, Outcome, Postback, PostbackRow, VerdictWord, unidentified};
use crate::store::rollups::turn_into_click;
use crate::store::{StoreError, WriteTx, facts};

mod refund_processor;

use refund_processor::RefundProcessor;

/// Decides the postbacks of one transaction.
pub(super) struct ConversionWriter<'t, 'c> {
    tx: &'t WriteTx<'c>,
    evidence_loader: EvidenceLoader<'t, 'c>,
    counts: Counts,
    decisions: Decisions,
    is_disk_low: bool,
    /// Postbacks that identify nothing and were not kept, because the disk was low.
    dropped: u64,
    /// When the latest postback came.
    latest_ms: u64,
}

/// What one transaction decided.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// On each postback, as its sender may hear it; `queued` for one that goes on waiting.
    pub(super) verdicts: Vec<Verdict>,
    /// How many of these go on waiting.
    pub(super) waiting: usize,
    /// Postbacks that were decided before an earlier one, because too many wait behind that.
    pub(super) out_of_order: u64,
}

/// What became of a postback.
struct PostbackDecision {
    outcome: Outcome,
    verdict: VerdictWord,
    error: Option<ErrorCode>,
    /// The conversion that it made, repeats, contradicts or takes back from.
    conversion: Option<Conversion>,
    waits_for: Option<WaitsFor>,
    steps: DecisionSteps,
}

impl<'t, 'c> ConversionWriter<'t, 'c> {
    /// With `is_disk_low`, what identifies nothing is not kept, and of the rest little of its text.
    pub(super) fn new(
        tx: &'t WriteTx<'c>,
        network_id: u32,
        is_disk_low: bool,
    ) -> Result<ConversionWriter<'t, 'c>, StoreError> {
        let (evidence_loader, counts) = (EvidenceLoader::new(tx, network_id)?, Counts::default());
        let decisions = Decisions::default();
        Ok(ConversionWriter {
            tx,
            evidence_loader,
            counts,
            decisions,
            is_disk_low,
            dropped: 0,
            latest_ms: 0,
        })
    }

    /// Gives up refunds that waited too long, and writes what all of them add to the reports.
    pub(super) fn finish(mut self) -> Result<Decisions, StoreError> {
        if self.dropped > 0 {
            unidentified::count_dropped(self.tx, self.dropped)?;
        }
        let before_ms = self.latest_ms.saturating_sub(WAITS_FOR_ORDER_MS);
        for refund in refunds::waiting_since_before(self.tx, before_ms)? {
            let why = Some(ErrorCode::UnknownOrder);
            stored_refund::set_status(self.tx, &mut self.counts, refund, why)?;
        }
        self.counts.write(self.tx)?;
        Ok(self.decisions)
    }

    /// Takes in a postback that was delivered.
    pub(super) fn take_in(
        &mut self,
        received: &ReceivedPostback,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        if let Some(known) = postbacks::get(self.tx, received.row.id)? {
            let verdict = self.verdict_again(&known.postback)?;
            return self.tell(verdict, received, clicks);
        }
        let mut row = received.row.clone();
        let Some(fields) = &received.fields else {
            postbacks::insert(self.tx, &row)?;
            self.decisions.verdicts.push(verdict(&row, None));
            return Ok(());
        };
        let keys = sequence_keys(fields);
        let settled = self.decide_in_order(fields, &row, None, &keys, clicks)?;
        settled.write_into(&mut row);
        let verdict = settled.verdict_of(&row);
        self.keep(row, &settled, &keys, &received.message)?;
        self.tell(verdict, received, clicks)
    }

    fn keep(
        &mut self,
        mut row: Postback,
        settled: &PostbackDecision,
        keys: &[SequenceKey<'_>],
        message: &[u8],
    ) -> Result<(), StoreError> {
        if settled.is_unidentified() && self.is_disk_low {
            self.dropped += 1;
            return Ok(());
        }
        if settled.is_unidentified() {
            received::cut_unidentified(&mut row);
        } else if self.is_disk_low {
            received::cut_text(&mut row);
        }
        let number = postbacks::insert(self.tx, &row)?;
        match settled.waits_for {
            Some(waits_for) => waiting::insert(self.tx, number, waits_for, keys, message),
            None => Ok(()),
        }
    }

    /// Adds the verdict as the sender may hear it.
    fn tell(
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
        let disclosed = || disclosure::disclose(verdict, fields, &evidence, guarded);
        // A fault of this program must not hold up the postbacks behind; nothing is told then.
        let disclosed = catch_unwind(AssertUnwindSafe(disclosed));
        self.decisions.verdicts.push(disclosed.map_err(|_panic| StoreError::BrokenOff)?);
        Ok(())
    }

    /// Decides a postback that waited; one that has to wait for something else goes on waiting.
    pub(super) fn decide_waiting(
        &mut self,
        number: u64,
        received: &ReceivedPostback,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        let (Some(PostbackRow { mut postback, .. }), Some(fields)) =
            (waiting::get(self.tx, number)?, &received.fields)
        else {
            return waiting::remove(self.tx, number);
        };
        let keys = sequence_keys(fields);
        let settled = self.decide_in_order(fields, &postback, Some(number), &keys, clicks)?;
        settled.write_into(&mut postback);
        match settled.waits_for {
            Some(other) => waiting::insert(self.tx, number, other, &keys, &received.message)?,
            None => waiting::remove(self.tx, number)?,
        }
        let verdict = settled.verdict_of(&postback);
        if settled.is_unidentified() {
            received::cut_unidentified(&mut postback);
            unidentified::cut(self.tx, number, &postback)?;
        }
        postbacks::decide(self.tx, &PostbackRow { number, postback })?;
        self.tell(verdict, received, clicks)
    }

    /// Settles a postback, unless it has to wait behind an earlier one. `number` is that of a
    /// postback that has waited before.
    fn decide_in_order(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        number: Option<u64>,
        keys: &[SequenceKey<'_>],
        clicks: &ClickLookup,
    ) -> Result<PostbackDecision, StoreError> {
        let Some(earlier) = waiting::blocker(self.tx, keys, number)? else {
            return self.decide(fields, row, clicks);
        };
        if waiting::has_room_behind(self.tx, earlier)? {
            return Ok(PostbackDecision::waits_behind(earlier));
        }
        let mut settled = self.decide(fields, row, clicks)?;
        if settled.waits_for.is_none() {
            settled.steps.note("out_of_order", "too many postbacks wait behind an earlier one");
            self.decisions.out_of_order += 1;
        }
        Ok(settled)
    }

    fn decide(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        clicks: &ClickLookup,
    ) -> Result<PostbackDecision, StoreError> {
        let evidence = self.evidence_loader.evidence(fields, row.received_ms, clicks)?;
        match catch_unwind(AssertUnwindSafe(|| evaluate(fields, &evidence))) {
            Ok(Evaluation::Waits(id, steps)) => {
                Ok(PostbackDecision::waits(WaitsFor::Click(id), steps))
            }
            Ok(Evaluation::Decided(proposed)) => {
                self.dedupe_or_create(fields, row, *proposed, clicks)
            }
            // A fault of this program must not hold up the postbacks behind.
            Err(_panic) => Ok(PostbackDecision::unjudged()),
        }
    }

    /// Finds out whether it came before, and makes a conversion of it if it did not.
    fn dedupe_or_create(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        mut proposed: ProposedConversion,
        clicks: &ClickLookup,
    ) -> Result<PostbackDecision, StoreError> {
        self.latest_ms = self.latest_ms.max(row.received_ms);
        let (relation, mut known) = self.find(fields, &mut proposed)?;
        match relation {
            Relation::Repeats(at) if fields.is_refund() => {
                let order = known.swap_remove(at);
                RefundProcessor { writer: self, fields, row, proposed, clicks }
                    .apply_to_order(order)
            }
            Relation::Repeats(at) => {
                self.handle_duplicate(fields, row, proposed, known.swap_remove(at))
            }
            Relation::Disputes => {
                self.dispute(row, &mut proposed, known)?;
                self.make(fields, row, proposed, clicks, String::new())
            }
            Relation::New if proposed.error == Some(ErrorCode::UnknownOrder) => {
                RefundProcessor { writer: self, fields, row, proposed, clicks }
                    .process_without_order()
            }
            Relation::New => self.make_new(fields, row, proposed, clicks),
        }
    }

    /// The earlier conversions that it may speak of, and what it is to them.
    fn find(
        &self,
        fields: &PostbackFields,
        proposed: &mut ProposedConversion,
    ) -> Result<(Relation, Vec<ConversionRow>), StoreError> {
        let is_refund = fields.is_refund();
        if let Some(key) = proposed.key.filter(|_| proposed.is_believed) {
            let known = conversions::with_key(self.tx, &key.0)?;
            let relation = relation_to(&proposed.said(is_refund), &known);
            if relation != Relation::New {
                return Ok((relation, known));
            }
        }
        match proposed.others.as_slice() {
            [] => Ok((Relation::New, Vec::new())),
            [Candidate { key, rank }] => {
                let known = conversions::with_key(self.tx, &key.0)?;
                // It is about this one whatever it proves: it names no other.
                let about = IncomingPostback { is_refund: true, ..proposed.said(is_refund) };
                proposed.rank = *rank;
                Ok((relation_to(&about, &known), known))
            }
            several => {
                let count = several.len();
                let detail =
                    format_args!("it may be about {count} conversions; oid must say which");
                proposed.turn_into(ErrorCode::AmbiguousCode, detail);
                Ok((Relation::New, Vec::new()))
            }
        }
    }

    fn make_new(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        mut proposed: ProposedConversion,
        clicks: &ClickLookup,
    ) -> Result<PostbackDecision, StoreError> {
        if proposed.key.is_none() {
            self.find_possible_duplicate(fields, row, &mut proposed)?;
        }
        if proposed.attributed.is_none() && proposed.partial.names_nobody() {
            return Ok(PostbackDecision::unidentified(proposed));
        }
        let fraud_flag = self.inspect(fields, row, &mut proposed)?;
        self.make(fields, row, proposed, clicks, fraud_flag)
    }

    /// What counts or may count of a sale that is claimed again, with better proof, waits for somebody.
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
            self.set_aside(row, weaker, ErrorCode::Disputed)?;
        }
        proposed.turn_into(ErrorCode::Disputed, ErrorCode::Disputed.sentence());
        Ok(())
    }

    /// Makes a conversion wait for somebody.
    fn set_aside(
        &mut self,
        row: &Postback,
        mut set_aside: ConversionRow,
        why: ErrorCode,
    ) -> Result<(), StoreError> {
        let before = set_aside.conversion.clone();
        set_aside.conversion.status = why.status();
        set_aside.conversion.error_code = why.number();
        conversions::update(self.tx, &set_aside)?;
        let changes = super::change::status(&before, &set_aside.conversion);
        if !changes.is_empty() {
            let number = set_aside.number;
            conversions::tell(self.tx, number, Action::Status, Some(row.id), &changes)?;
        }
        self.counts.add(Some(&before), &set_aside.conversion);
        Ok(())
    }

    /// What has no key and was said in the same words a moment ago may have been sent twice.
    fn find_possible_duplicate(
        &self,
        fields: &PostbackFields,
        row: &Postback,
        proposed: &mut ProposedConversion,
    ) -> Result<(), StoreError> {
        if !matches!(proposed.status, Status::Approved | Status::Pending) {
            return Ok(());
        }
        let since = row.received_ms.saturating_sub(DUPLICATE_WINDOW_MS);
        if let Some(duplicate) = conversions::twin(self.tx, &fields.content_hash, since)? {
            let detail = format_args!("{} said the same", duplicate.conversion.id);
            proposed.hold(ErrorCode::PossibleDuplicate, detail);
        }
        Ok(())
    }

    /// Why its code may have leaked; empty for no suspicion.
    fn inspect(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        proposed: &mut ProposedConversion,
    ) -> Result<String, StoreError> {
        let is_by_code_alone = |attributed: &Attributed| {
            attributed.method == Method::CouponCode && attributed.transaction_id.is_none()
        };
        let counts = matches!(proposed.status, Status::Approved | Status::Pending);
        if !counts || !proposed.attributed.as_ref().is_some_and(is_by_code_alone) {
            return Ok(String::new());
        }
        let usage = self.usage(fields, row)?;
        let guard = &self.evidence_loader.settings.code_leak_guard;
        let Some(finding) = fraud_rules::inspect(guard, &usage) else { return Ok(String::new()) };
        if finding.hold {
            proposed.hold(ErrorCode::Held, &finding.detail);
        } else {
            proposed.steps.note(finding.sign.as_str(), &finding.detail);
        }
        Ok(finding.sign.as_str().into())
    }

    fn usage(&mut self, fields: &PostbackFields, row: &Postback) -> Result<CodeUsage, StoreError> {
        let codes = self.evidence_loader.codes(fields)?;
        let mut clicks = 0;
        for code in &codes {
            clicks += u64::from(facts::was_clicked(self.tx, code.code_id)?);
        }
        let (last_hour, before) =
            facts::count_alone(self.tx, &row.folded_code, row.received_ms, HOURS_BEFORE)?;
        let conversion_only = codes.iter().all(|code| code.conversion_only);
        Ok(CodeUsage { conversion_only, clicks, last_hour, before })
    }

    fn make(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        proposed: ProposedConversion,
        clicks: &ClickLookup,
        fraud_flag: String,
    ) -> Result<PostbackDecision, StoreError> {
        let conversion =
            build_conversion(fields, row, &proposed, clicks, fraud_flag, self.tx.now());
        let made = self.insert(row, &conversion)?;
        if proposed.status == Status::Approved {
            self.clear_bot_flag(&proposed, clicks)?;
        }
        // A stranger's claim of the order must not use up what waits for the order itself.
        let made = if proposed.is_believed { self.take_what_waited(made)? } else { made };
        if proposed.status == Status::Approved {
            enqueue_partner_postback(self.tx, &made.conversion)?;
        }
        Ok(PostbackDecision::created(made.conversion, proposed.steps))
    }

    fn insert(
        &mut self,
        row: &Postback,
        conversion: &Conversion,
    ) -> Result<ConversionRow, StoreError> {
        let made = conversions::insert(self.tx, conversion)?;
        let changes = [change("status", json!(null), json!(conversion.status))];
        conversions::tell(self.tx, made.number, Action::Created, Some(row.id), &changes)?;
        self.counts.add(None, conversion);
        Ok(made)
    }

    /// Takes back from a new order what refunds asked that came before it.
    fn take_what_waited(&mut self, mut order: ConversionRow) -> Result<ConversionRow, StoreError> {
        let Some(key) = order.conversion.key else { return Ok(order) };
        let since_ms = order.conversion.unix_ms.saturating_sub(WAITS_FOR_ORDER_MS);
        for refund in refunds::waiting_for(self.tx, &key, since_ms)? {
            order = stored_refund::settle_with_order(self.tx, &mut self.counts, refund, order)?;
        }
        Ok(order)
    }

    /// A visit that led to a sale that counts was no bot's.
    fn clear_bot_flag(
        &self,
        proposed: &ProposedConversion,
        clicks: &ClickLookup,
    ) -> Result<(), StoreError> {
        let id = proposed.attributed.as_ref().and_then(|attributed| attributed.transaction_id);
        let Some(found) = id.and_then(|id| clicks.found(&id)) else { return Ok(()) };
        let turned = found.as_click(|click| turn_into_click(self.tx, click));
        turned.unwrap_or(Ok(false)).map(drop)
    }

    /// It says again what `first` said, or something about it.
    fn handle_duplicate(
        &mut self,
        fields: &PostbackFields,
        row: &Postback,
        proposed: ProposedConversion,
        first: ConversionRow,
    ) -> Result<PostbackDecision, StoreError> {
        let ProposedConversion { rank, mut steps, .. } = proposed;
        let id = first.conversion.id;
        let of_first = &first.conversion;
        let is_other_currency =
            currency::is_other(fields.currency.as_deref(), &of_first.sale_currency);
        let (outcome, after) = match (fields.amount, of_first.amount) {
            (Some(amount), _) if is_other_currency => {
                steps.note("conflict", format_args!("{id} was reported in another currency"));
                self.conflict(fields, row, amount, first)?
            }
            (Some(amount), None) if rank >= of_first.evidence_rank && is_untouched(of_first) => {
                steps.note("completed", format_args!("{id} was reported without an amount"));
                (Outcome::Repeats, self.complete(row, amount, first)?)
            }
            (Some(amount), known) if known != Some(amount) => {
                steps.note("conflict", format_args!("{id} was reported with another amount"));
                self.conflict(fields, row, amount, first)?
            }
            _ => {
                steps.note("repeat", format_args!("{id} was reported before"));
                (Outcome::Repeats, first.conversion)
            }
        };
        let conflict = Some(ErrorCode::Conflict).filter(|_| outcome == Outcome::Conflicts);
        Ok(PostbackDecision::about(outcome, after, conflict, steps))
    }

    /// What came first stands; the other amount is kept and shown.
    fn conflict(
        &self,
        fields: &PostbackFields,
        row: &Postback,
        amount: Money,
        mut first: ConversionRow,
    ) -> Result<(Outcome, Conversion), StoreError> {
        let id = first.conversion.id;
        if !postbacks::has_conflict(self.tx, id, &row.amount, &row.currency)? {
            let mut changes = vec![change("amount", json!(first.conversion.amount), json!(amount))];
            let own = &first.conversion.sale_currency;
            if currency::is_other(fields.currency.as_deref(), own) {
                changes.push(change("sale_currency", json!(own), json!(fields.currency)));
            }
            conversions::tell(self.tx, first.number, Action::Conflict, Some(row.id), &changes)?;
            first.conversion.has_conflict = true;
            conversions::update(self.tx, &first)?;
        }
        Ok((Outcome::Conflicts, first.conversion))
    }

    /// The amount that was missing came.
    fn complete(
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
        let changes = super::change::amounts(&before, &first.conversion);
        conversions::tell(self.tx, first.number, Action::Adjusted, Some(row.id), &changes)?;
        self.counts.add(Some(&before), &first.conversion);
        if refund::is_large(amount) && first.conversion.status == Status::Approved {
            self.set_aside(row, first.clone(), ErrorCode::LargeAmount)?;
            first.conversion.status = Status::Pending;
            first.conversion.error_code = ErrorCode::LargeAmount.number();
        }
        Ok(first.conversion)
    }

    /// What was answered when it came first.
    fn verdict_again(&self, known: &Postback) -> Result<Verdict, StoreError> {
        let conversion = match known.conversion_id {
            Some(id) => conversions::get(self.tx, id)?,
            None => None,
        };
        Ok(verdict(known, conversion.as_ref().map(|row| &row.conversion)))
    }
}

/// By what postbacks may be about the same sale as this one: every key of repeats and refunds is made
/// of an order id or a transaction id.
fn sequence_keys(fields: &PostbackFields) -> Vec<SequenceKey<'_>> {
    let order = fields.order_id.as_deref().map(SequenceKey::Order);
    let ids = fields.transaction_ids.iter().filter_map(|sent| sent.id);
    order.into_iter().chain(ids.map(SequenceKey::Click)).collect()
}

/// The place of what is said among the conversions with its key.
fn relation_to(said: &IncomingPostback, known: &[ConversionRow]) -> Relation {
    let known: Vec<ExistingConversion> =
        known.iter().map(|row| ExistingConversion::from(&row.conversion)).collect();
    rank::find_relation(said, &known)
}

impl From<&Conversion> for ExistingConversion {
    fn from(conversion: &Conversion) -> ExistingConversion {
        let Conversion { evidence_rank: rank, status, error_code, .. } = *conversion;
        ExistingConversion { rank, status, error_code }
    }
}

/// Nobody has said anything of its amounts since it was reported without one.
fn is_untouched(first: &Conversion) -> bool {
    let nothing = Money::default();
    let payable = first.read_terms().map(|terms| first.currencies().payable(&terms, nothing));
    let is_as_made =
        payable.unwrap_or_default() == (Payable { payout: first.payout, revenue: first.revenue });
    first.amount.is_none() && first.sale_amount == nothing && is_as_made
}

pub(super) fn change(
    field: &str,
    before: serde_json::Value,
    after: serde_json::Value,
) -> FieldChange {
    FieldChange { field: field.into(), before, after }
}

pub(super) fn build_conversion(
    fields: &PostbackFields,
    row: &Postback,
    proposed: &ProposedConversion,
    clicks: &ClickLookup,
    fraud_flag: String,
    now: i64,
) -> Conversion {
    let partial = &proposed.partial;
    let click = partial.transaction_id.and_then(|id| clicks.found(&id));
    let of_click = |tag| click.map(|click| click.text(tag)).unwrap_or_default();
    let sub = |number: usize, tag| {
        let clicked = of_click(tag);
        if clicked.is_empty() { fields.sub[number].clone() } else { clicked }
    };
    let [adv1, adv2, adv3, adv4, adv5] = fields.adv.clone();
    let (coupon_code, folded_code) = code(row, partial.coupon_code.as_str());
    let terms = proposed.terms.as_ref();
    Conversion {
        id: row.id,
        unix_ms: row.received_ms,
        time_saved: now,
        status: proposed.status,
        error_code: proposed.error.map_or(0, ErrorCode::number),
        offer_id: partial.offer_id.unwrap_or_default(),
        affiliate_id: partial.affiliate_id.unwrap_or_default(),
        advertiser_id: partial.advertiser_id.unwrap_or_default(),
        code_id: partial.code_id.unwrap_or_default(),
        coupon_code,
        folded_code,
        method: proposed
            .attributed
            .as_ref()
            .map(|attributed| attributed.method.as_str().to_owned())
            .unwrap_or_default(),
        channel: row.channel,
        event_id: proposed.event.as_ref().map_or(0, |event| event.id),
        event_name: proposed.event.as_ref().map(|event| event.name.clone()).unwrap_or_default(),
        transaction_id: partial.transaction_id.map(|id| id.to_string()).unwrap_or_default(),
        click_ms: click.map_or(0, |click| click.head.unix_ms),
        click_address: click.map(|click| click.address.clone()).unwrap_or_default(),
        click_user_agent: of_click(Tag::UserAgent),
        click_referer: of_click(Tag::Referer),
        click_language: of_click(Tag::Language),
        sub1: sub(0, Tag::Sub1),
        sub2: sub(1, Tag::Sub2),
        sub3: sub(2, Tag::Sub3),
        sub4: sub(3, Tag::Sub4),
        sub5: sub(4, Tag::Sub5),
        source_id: of_click(Tag::SourceId),
        uid: of_click(Tag::Uid),
        country: String::new(),
        device_type: click.and_then(FoundClick::device_type).unwrap_or_default().into(),
        address: row.address.clone(),
        user_agent: row.user_agent.clone(),
        referer: row.referer.clone(),
        order_id: row.order_id.clone(),
        email: row.email.clone(),
        adv1,
        adv2,
        adv3,
        adv4,
        adv5,
        amount: fields.amount,
        sale_amount: proposed.sale_amount,
        sale_currency: proposed.currencies.sale.clone(),
        currency: proposed.currencies.paid.clone(),
        payout: proposed.payable.payout,
        payout_type: terms.map(|t| t.payout_type.as_str().to_owned()).unwrap_or_default(),
        revenue: proposed.payable.revenue,
        revenue_type: terms.map(|t| t.revenue_type.as_str().to_owned()).unwrap_or_default(),
        terms: terms.and_then(|terms| serde_json::to_string(terms).ok()).unwrap_or_default(),
        has_conflict: false,
        suspicion: fraud_flag,
        notes: String::new(),
        evidence_rank: proposed.rank,
        key: proposed.key.filter(|_| !fields.is_refund()).map(|key| key.0),
        refund_of: None,
        likeness: fields.content_hash,
        steps: json(&proposed.steps),
    }
}

/// The code that is known, else the one that was sent.
fn code(row: &Postback, known: &str) -> (String, String) {
    if known.is_empty() {
        (row.coupon_code.clone(), row.folded_code.clone())
    } else {
        (known.to_owned(), known.to_ascii_lowercase())
    }
}

fn json(steps: &DecisionSteps) -> String {
    serde_json::to_string(steps).unwrap_or_else(|_| "[]".into())
}

impl PostbackDecision {
    fn created(conversion: Conversion, steps: DecisionSteps) -> PostbackDecision {
        PostbackDecision::about(Outcome::Made, conversion, None, steps)
    }

    /// It is answered what became of a conversion, unless there is something else to say.
    fn about(
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

    fn waits(waits_for: WaitsFor, steps: DecisionSteps) -> PostbackDecision {
        PostbackDecision {
            outcome: Outcome::Waits,
            verdict: VerdictWord::Queued,
            error: None,
            conversion: None,
            waits_for: Some(waits_for),
            steps,
        }
    }

    fn waits_behind(earlier: u64) -> PostbackDecision {
        let mut steps = DecisionSteps::default();
        steps.note("waits_its_turn", "an earlier postback that may be about the same sale waits");
        PostbackDecision::waits(WaitsFor::Postback(earlier), steps)
    }

    /// It makes no conversion: there is nobody whose it could ever become.
    fn unidentified(proposed: ProposedConversion) -> PostbackDecision {
        PostbackDecision {
            outcome: Outcome::Unreadable,
            verdict: proposed.status.into(),
            error: proposed.error,
            conversion: None,
            waits_for: None,
            steps: proposed.steps,
        }
    }

    /// It names nothing that is known, and makes, repeats or takes back nothing.
    fn is_unidentified(&self) -> bool {
        self.outcome == Outcome::Unreadable && self.error.is_some()
    }

    fn unjudged() -> PostbackDecision {
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

    fn write_into(&self, row: &mut Postback) {
        row.outcome = self.outcome;
        row.verdict = self.verdict;
        row.error_code = self.error.map_or(0, ErrorCode::number);
        row.error = self.error.map_or("", ErrorCode::sentence).into();
        row.conversion_id = self.conversion.as_ref().map(|conversion| conversion.id);
        row.decided_ms = if self.waits_for.is_some() { 0 } else { super::now_ms() };
        row.steps = json(&self.steps);
    }

    fn verdict_of(&self, row: &Postback) -> Verdict {
        verdict(row, self.conversion.as_ref())
    }
}

/// The click of a conversion is told to who named it, and to nobody else.
fn click_told(row: &Postback, conversion: Option<&Conversion>) -> String {
    let click = conversion.and_then(|one| one.transaction_id.parse::<TransactionId>().ok());
    let named = row.transaction_id.split('|').filter_map(|text| SentId::read(text).id);
    click
        .filter(|click| named.into_iter().any(|id| id == *click))
        .map(|id| id.to_string())
        .unwrap_or_default()
}

fn verdict(row: &Postback, conversion: Option<&Conversion>) -> Verdict {
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
        transaction_id: click_told(row, conversion),
        error_code: row.error_code,
        error: row.error.clone(),
        is_miss: false,
        is_trusted: false,
    }
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
