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

use super::attribution::{Attributed, Method};
use super::claim::{Claim, ClaimedId};
use super::clicks::{Clicks, FoundClick};
use super::count::Counts;
use super::currency;
use super::disclosure;
use super::error_code::ErrorCode;
use super::gather::Facts;
use super::judge::{Candidate, Decided, Judgement, judge};
use super::kept_refund;
use super::key::TWIN_WINDOW_MS;
use super::leak_guard::{self, HOURS_BEFORE, Usage};
use super::payout::Worth;
use super::rank::{self, Keyed, NewClaim, Relation};
use super::received::{self, Received};
use super::refund::{self, WAITS_FOR_ORDER_MS};
use super::status::Status;
use super::step::Steps;
use super::tell_partner;
use crate::catalog::Money;
use crate::store::audit::FieldChange;
use crate::store::conversions::{self, Action, Conversion, ConversionId, ConversionRow, refunds};
use crate::store::postbacks::waiting::{self, SequenceKey, WaitsFor};
use crate::store::postbacks::{self, Outcome, Postback, PostbackRow, VerdictWord, unidentified};
use crate::store::rollups::turn_into_click;
use crate::store::{StoreError, WriteTx, facts};

mod refund_processor;

use refund_processor::RefundProcessor;

/// Decides the postbacks of one transaction.
pub(super) struct Ledger<'t, 'c> {
    tx: &'t WriteTx<'c>,
    facts: Facts<'t, 'c>,
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
struct Settled {
    outcome: Outcome,
    verdict: VerdictWord,
    error: Option<ErrorCode>,
    /// The conversion that it made, repeats, contradicts or takes back from.
    conversion: Option<Conversion>,
    waits_for: Option<WaitsFor>,
    steps: Steps,
}

impl<'t, 'c> Ledger<'t, 'c> {
    /// With `is_disk_low`, what identifies nothing is not kept, and of the rest little of its text.
    pub(super) fn new(
        tx: &'t WriteTx<'c>,
        network_id: u32,
        is_disk_low: bool,
    ) -> Result<Ledger<'t, 'c>, StoreError> {
        let (facts, counts) = (Facts::new(tx, network_id)?, Counts::default());
        let decisions = Decisions::default();
        Ok(Ledger { tx, facts, counts, decisions, is_disk_low, dropped: 0, latest_ms: 0 })
    }

    /// Gives up refunds that waited too long, and writes what all of them add to the reports.
    pub(super) fn finish(mut self) -> Result<Decisions, StoreError> {
        if self.dropped > 0 {
            unidentified::count_dropped(self.tx, self.dropped)?;
        }
        let before_ms = self.latest_ms.saturating_sub(WAITS_FOR_ORDER_MS);
        for refund in refunds::waiting_since_before(self.tx, before_ms)? {
            let why = Some(ErrorCode::UnknownOrder);
            kept_refund::set_status(self.tx, &mut self.counts, refund, why)?;
        }
        self.counts.write(self.tx)?;
        Ok(self.decisions)
    }

    /// Takes in a postback that was delivered.
    pub(super) fn take_in(
        &mut self,
        received: &Received,
        clicks: &Clicks,
    ) -> Result<(), StoreError> {
        if let Some(known) = postbacks::get(self.tx, received.row.id)? {
            let verdict = self.verdict_again(&known.postback)?;
            return self.tell(verdict, received, clicks);
        }
        let mut row = received.row.clone();
        let Some(claim) = &received.claim else {
            postbacks::insert(self.tx, &row)?;
            self.decisions.verdicts.push(verdict(&row, None));
            return Ok(());
        };
        let keys = sequence_keys(claim);
        let settled = self.settle_in_order(claim, &row, None, &keys, clicks)?;
        settled.write_into(&mut row);
        let verdict = settled.verdict_of(&row);
        self.keep(row, &settled, &keys, &received.message)?;
        self.tell(verdict, received, clicks)
    }

    fn keep(
        &mut self,
        mut row: Postback,
        settled: &Settled,
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
        received: &Received,
        clicks: &Clicks,
    ) -> Result<(), StoreError> {
        self.decisions.waiting += usize::from(verdict.status == VerdictStatus::Queued);
        let Some(claim) = &received.claim else {
            self.decisions.verdicts.push(verdict);
            return Ok(());
        };
        let evidence = self.facts.evidence(claim, received.row.received_ms, clicks)?;
        let guarded = self.facts.guarded()?;
        let disclosed = || disclosure::disclosed(verdict, claim, &evidence, guarded);
        // A fault of this program must not hold up the postbacks behind; nothing is told then.
        let disclosed = catch_unwind(AssertUnwindSafe(disclosed));
        self.decisions.verdicts.push(disclosed.map_err(|_panic| StoreError::BrokenOff)?);
        Ok(())
    }

    /// Decides a postback that waited; one that has to wait for something else goes on waiting.
    pub(super) fn decide_waiting(
        &mut self,
        number: u64,
        received: &Received,
        clicks: &Clicks,
    ) -> Result<(), StoreError> {
        let (Some(PostbackRow { mut postback, .. }), Some(claim)) =
            (waiting::get(self.tx, number)?, &received.claim)
        else {
            return waiting::remove(self.tx, number);
        };
        let keys = sequence_keys(claim);
        let settled = self.settle_in_order(claim, &postback, Some(number), &keys, clicks)?;
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
    fn settle_in_order(
        &mut self,
        claim: &Claim,
        row: &Postback,
        number: Option<u64>,
        keys: &[SequenceKey<'_>],
        clicks: &Clicks,
    ) -> Result<Settled, StoreError> {
        let Some(earlier) = waiting::blocker(self.tx, keys, number)? else {
            return self.settle(claim, row, clicks);
        };
        if waiting::has_room_behind(self.tx, earlier)? {
            return Ok(Settled::waits_behind(earlier));
        }
        let mut settled = self.settle(claim, row, clicks)?;
        if settled.waits_for.is_none() {
            settled.steps.note("out_of_order", "too many postbacks wait behind an earlier one");
            self.decisions.out_of_order += 1;
        }
        Ok(settled)
    }

    fn settle(
        &mut self,
        claim: &Claim,
        row: &Postback,
        clicks: &Clicks,
    ) -> Result<Settled, StoreError> {
        let evidence = self.facts.evidence(claim, row.received_ms, clicks)?;
        match catch_unwind(AssertUnwindSafe(|| judge(claim, &evidence))) {
            Ok(Judgement::Waits(id, steps)) => Ok(Settled::waits(WaitsFor::Click(id), steps)),
            Ok(Judgement::Decided(decided)) => self.place(claim, row, *decided, clicks),
            // A fault of this program must not hold up the postbacks behind.
            Err(_panic) => Ok(Settled::unjudged()),
        }
    }

    /// Finds out whether it came before, and makes a conversion of it if it did not.
    fn place(
        &mut self,
        claim: &Claim,
        row: &Postback,
        mut decided: Decided,
        clicks: &Clicks,
    ) -> Result<Settled, StoreError> {
        self.latest_ms = self.latest_ms.max(row.received_ms);
        let (place, mut known) = self.find(claim, &mut decided)?;
        match place {
            Relation::Repeats(at) if claim.is_refund() => {
                let order = known.swap_remove(at);
                RefundProcessor { ledger: self, claim, row, decided, clicks }.of(order)
            }
            Relation::Repeats(at) => self.again(claim, row, decided, known.swap_remove(at)),
            Relation::Disputes => {
                self.dispute(row, &mut decided, known)?;
                self.make(claim, row, decided, clicks, String::new())
            }
            Relation::New if decided.error == Some(ErrorCode::UnknownOrder) => {
                RefundProcessor { ledger: self, claim, row, decided, clicks }.without_order()
            }
            Relation::New => self.make_new(claim, row, decided, clicks),
        }
    }

    /// The earlier conversions that it may speak of, and what it is to them.
    fn find(
        &self,
        claim: &Claim,
        decided: &mut Decided,
    ) -> Result<(Relation, Vec<ConversionRow>), StoreError> {
        let is_refund = claim.is_refund();
        if let Some(key) = decided.key.filter(|_| decided.is_believed) {
            let known = conversions::with_key(self.tx, &key.0)?;
            let place = placed(&decided.said(is_refund), &known);
            if place != Relation::New {
                return Ok((place, known));
            }
        }
        match decided.others.as_slice() {
            [] => Ok((Relation::New, Vec::new())),
            [Candidate { key, rank }] => {
                let known = conversions::with_key(self.tx, &key.0)?;
                // It is about this one whatever it proves: it names no other.
                let about = NewClaim { is_refund: true, ..decided.said(is_refund) };
                decided.rank = *rank;
                Ok((placed(&about, &known), known))
            }
            several => {
                let count = several.len();
                let detail =
                    format_args!("it may be about {count} conversions; oid must say which");
                decided.turn_into(ErrorCode::AmbiguousCode, detail);
                Ok((Relation::New, Vec::new()))
            }
        }
    }

    fn make_new(
        &mut self,
        claim: &Claim,
        row: &Postback,
        mut decided: Decided,
        clicks: &Clicks,
    ) -> Result<Settled, StoreError> {
        if decided.key.is_none() {
            self.look_for_twin(claim, row, &mut decided)?;
        }
        if decided.attributed.is_none() && decided.nearest.names_nobody() {
            return Ok(Settled::unidentified(decided));
        }
        let suspicion = self.inspect(claim, row, &mut decided)?;
        self.make(claim, row, decided, clicks, suspicion)
    }

    /// What counts or may count of a sale that is claimed again, with better proof, waits for somebody.
    fn dispute(
        &mut self,
        row: &Postback,
        decided: &mut Decided,
        known: Vec<ConversionRow>,
    ) -> Result<(), StoreError> {
        let counts = |row: &ConversionRow| {
            matches!(row.conversion.status, Status::Approved | Status::Pending)
        };
        for weaker in known.into_iter().filter(counts) {
            let detail = format_args!("{} claimed the same with less proof", weaker.conversion.id);
            decided.steps.note("claimed_before", detail);
            self.set_aside(row, weaker, ErrorCode::Disputed)?;
        }
        decided.turn_into(ErrorCode::Disputed, ErrorCode::Disputed.sentence());
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
    fn look_for_twin(
        &self,
        claim: &Claim,
        row: &Postback,
        decided: &mut Decided,
    ) -> Result<(), StoreError> {
        if !matches!(decided.status, Status::Approved | Status::Pending) {
            return Ok(());
        }
        let since = row.received_ms.saturating_sub(TWIN_WINDOW_MS);
        if let Some(twin) = conversions::twin(self.tx, &claim.likeness, since)? {
            let detail = format_args!("{} said the same", twin.conversion.id);
            decided.hold(ErrorCode::PossibleDuplicate, detail);
        }
        Ok(())
    }

    /// Why its code may have leaked; empty for no suspicion.
    fn inspect(
        &mut self,
        claim: &Claim,
        row: &Postback,
        decided: &mut Decided,
    ) -> Result<String, StoreError> {
        let is_by_code_alone = |whose: &Attributed| {
            whose.method == Method::CouponCode && whose.transaction_id.is_none()
        };
        let counts = matches!(decided.status, Status::Approved | Status::Pending);
        if !counts || !decided.attributed.as_ref().is_some_and(is_by_code_alone) {
            return Ok(String::new());
        }
        let usage = self.usage(claim, row)?;
        let guard = &self.facts.settings.code_leak_guard;
        let Some(finding) = leak_guard::inspect(guard, &usage) else { return Ok(String::new()) };
        if finding.hold {
            decided.hold(ErrorCode::Held, &finding.detail);
        } else {
            decided.steps.note(finding.sign.as_str(), &finding.detail);
        }
        Ok(finding.sign.as_str().into())
    }

    fn usage(&mut self, claim: &Claim, row: &Postback) -> Result<Usage, StoreError> {
        let codes = self.facts.codes(claim)?;
        let mut clicks = 0;
        for code in &codes {
            clicks += u64::from(facts::was_clicked(self.tx, code.code_id)?);
        }
        let (last_hour, before) =
            facts::count_alone(self.tx, &row.folded_code, row.received_ms, HOURS_BEFORE)?;
        let conversion_only = codes.iter().all(|code| code.conversion_only);
        Ok(Usage { conversion_only, clicks, last_hour, before })
    }

    fn make(
        &mut self,
        claim: &Claim,
        row: &Postback,
        decided: Decided,
        clicks: &Clicks,
        suspicion: String,
    ) -> Result<Settled, StoreError> {
        let conversion = made(claim, row, &decided, clicks, suspicion, self.tx.now());
        let made = self.insert(row, &conversion)?;
        if decided.status == Status::Approved {
            self.came_from_a_person(&decided, clicks)?;
        }
        // A stranger's claim of the order must not use up what waits for the order itself.
        let made = if decided.is_believed { self.take_what_waited(made)? } else { made };
        if decided.status == Status::Approved {
            tell_partner::of(self.tx, &made.conversion)?;
        }
        Ok(Settled::made(made.conversion, decided.steps))
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
            order = kept_refund::settle_with_order(self.tx, &mut self.counts, refund, order)?;
        }
        Ok(order)
    }

    /// A visit that led to a sale that counts was no bot's.
    fn came_from_a_person(&self, decided: &Decided, clicks: &Clicks) -> Result<(), StoreError> {
        let id = decided.attributed.as_ref().and_then(|whose| whose.transaction_id);
        let Some(found) = id.and_then(|id| clicks.found(&id)) else { return Ok(()) };
        let turned = found.as_click(|click| turn_into_click(self.tx, click));
        turned.unwrap_or(Ok(false)).map(drop)
    }

    /// It says again what `first` said, or something about it.
    fn again(
        &mut self,
        claim: &Claim,
        row: &Postback,
        decided: Decided,
        first: ConversionRow,
    ) -> Result<Settled, StoreError> {
        let Decided { rank, mut steps, .. } = decided;
        let id = first.conversion.id;
        let of_first = &first.conversion;
        let is_other_currency =
            currency::is_other(claim.currency.as_deref(), &of_first.sale_currency);
        let (outcome, after) = match (claim.amount, of_first.amount) {
            (Some(amount), _) if is_other_currency => {
                steps.note("conflict", format_args!("{id} was reported in another currency"));
                self.conflict(claim, row, amount, first)?
            }
            (Some(amount), None) if rank >= of_first.evidence_rank && is_untouched(of_first) => {
                steps.note("completed", format_args!("{id} was reported without an amount"));
                (Outcome::Repeats, self.complete(row, amount, first)?)
            }
            (Some(amount), known) if known != Some(amount) => {
                steps.note("conflict", format_args!("{id} was reported with another amount"));
                self.conflict(claim, row, amount, first)?
            }
            _ => {
                steps.note("repeat", format_args!("{id} was reported before"));
                (Outcome::Repeats, first.conversion)
            }
        };
        let conflict = Some(ErrorCode::Conflict).filter(|_| outcome == Outcome::Conflicts);
        Ok(Settled::about(outcome, after, conflict, steps))
    }

    /// What came first stands; the other amount is kept and shown.
    fn conflict(
        &self,
        claim: &Claim,
        row: &Postback,
        amount: Money,
        mut first: ConversionRow,
    ) -> Result<(Outcome, Conversion), StoreError> {
        let id = first.conversion.id;
        if !postbacks::has_conflict(self.tx, id, &row.amount, &row.currency)? {
            let mut changes = vec![change("amount", json!(first.conversion.amount), json!(amount))];
            let own = &first.conversion.sale_currency;
            if currency::is_other(claim.currency.as_deref(), own) {
                changes.push(change("sale_currency", json!(own), json!(claim.currency)));
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
            let worth = now.currencies().worth(&terms, amount);
            (now.payout, now.revenue) = (worth.payout, worth.revenue);
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
fn sequence_keys(claim: &Claim) -> Vec<SequenceKey<'_>> {
    let order = claim.order_id.as_deref().map(SequenceKey::Order);
    let ids = claim.transaction_ids.iter().filter_map(|claimed| claimed.id);
    order.into_iter().chain(ids.map(SequenceKey::Click)).collect()
}

/// The place of what is said among the conversions with its key.
fn placed(said: &NewClaim, known: &[ConversionRow]) -> Relation {
    let known: Vec<Keyed> = known.iter().map(|row| Keyed::from(&row.conversion)).collect();
    rank::place(said, &known)
}

impl From<&Conversion> for Keyed {
    fn from(conversion: &Conversion) -> Keyed {
        let Conversion { evidence_rank: rank, status, error_code, .. } = *conversion;
        Keyed { rank, status, error_code }
    }
}

/// Nobody has said anything of its amounts since it was reported without one.
fn is_untouched(first: &Conversion) -> bool {
    let nothing = Money::default();
    let worth = first.read_terms().map(|terms| first.currencies().worth(&terms, nothing));
    let is_as_made =
        worth.unwrap_or_default() == (Worth { payout: first.payout, revenue: first.revenue });
    first.amount.is_none() && first.sale_amount == nothing && is_as_made
}

pub(super) fn change(
    field: &str,
    before: serde_json::Value,
    after: serde_json::Value,
) -> FieldChange {
    FieldChange { field: field.into(), before, after }
}

pub(super) fn made(
    claim: &Claim,
    row: &Postback,
    decided: &Decided,
    clicks: &Clicks,
    suspicion: String,
    now: i64,
) -> Conversion {
    let nearest = &decided.nearest;
    let click = nearest.transaction_id.and_then(|id| clicks.found(&id));
    let of_click = |tag| click.map(|click| click.text(tag)).unwrap_or_default();
    let sub = |number: usize, tag| {
        let clicked = of_click(tag);
        if clicked.is_empty() { claim.sub[number].clone() } else { clicked }
    };
    let [adv1, adv2, adv3, adv4, adv5] = claim.adv.clone();
    let (coupon_code, folded_code) = code(row, nearest.coupon_code.as_str());
    let terms = decided.terms.as_ref();
    Conversion {
        id: row.id,
        unix_ms: row.received_ms,
        time_saved: now,
        status: decided.status,
        error_code: decided.error.map_or(0, ErrorCode::number),
        offer_id: nearest.offer_id.unwrap_or_default(),
        affiliate_id: nearest.affiliate_id.unwrap_or_default(),
        advertiser_id: nearest.advertiser_id.unwrap_or_default(),
        code_id: nearest.code_id.unwrap_or_default(),
        coupon_code,
        folded_code,
        method: decided
            .attributed
            .as_ref()
            .map(|whose| whose.method.as_str().to_owned())
            .unwrap_or_default(),
        channel: row.channel,
        event_id: decided.event.as_ref().map_or(0, |event| event.id),
        event_name: decided.event.as_ref().map(|event| event.name.clone()).unwrap_or_default(),
        transaction_id: nearest.transaction_id.map(|id| id.to_string()).unwrap_or_default(),
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
        amount: claim.amount,
        sale_amount: decided.sale_amount,
        sale_currency: decided.currencies.sale.clone(),
        currency: decided.currencies.paid.clone(),
        payout: decided.worth.payout,
        payout_type: terms.map(|t| t.payout_type.as_str().to_owned()).unwrap_or_default(),
        revenue: decided.worth.revenue,
        revenue_type: terms.map(|t| t.revenue_type.as_str().to_owned()).unwrap_or_default(),
        terms: terms.and_then(|terms| serde_json::to_string(terms).ok()).unwrap_or_default(),
        has_conflict: false,
        suspicion,
        notes: String::new(),
        evidence_rank: decided.rank,
        key: decided.key.filter(|_| !claim.is_refund()).map(|key| key.0),
        refund_of: None,
        likeness: claim.likeness,
        steps: json(&decided.steps),
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

fn json(steps: &Steps) -> String {
    serde_json::to_string(steps).unwrap_or_else(|_| "[]".into())
}

impl Settled {
    fn made(conversion: Conversion, steps: Steps) -> Settled {
        Settled::about(Outcome::Made, conversion, None, steps)
    }

    /// It is answered what became of a conversion, unless there is something else to say.
    fn about(
        outcome: Outcome,
        conversion: Conversion,
        error: Option<ErrorCode>,
        steps: Steps,
    ) -> Settled {
        Settled {
            outcome,
            verdict: conversion.status.into(),
            error: error.or_else(|| ErrorCode::from_number(conversion.error_code)),
            conversion: Some(conversion),
            waits_for: None,
            steps,
        }
    }

    fn waits(waits_for: WaitsFor, steps: Steps) -> Settled {
        Settled {
            outcome: Outcome::Waits,
            verdict: VerdictWord::Queued,
            error: None,
            conversion: None,
            waits_for: Some(waits_for),
            steps,
        }
    }

    fn waits_behind(earlier: u64) -> Settled {
        let mut steps = Steps::default();
        steps.note("waits_its_turn", "an earlier postback that may be about the same sale waits");
        Settled::waits(WaitsFor::Postback(earlier), steps)
    }

    /// It makes no conversion: there is nobody whose it could ever become.
    fn unidentified(decided: Decided) -> Settled {
        Settled {
            outcome: Outcome::Unreadable,
            verdict: decided.status.into(),
            error: decided.error,
            conversion: None,
            waits_for: None,
            steps: decided.steps,
        }
    }

    /// It names nothing that is known, and makes, repeats or takes back nothing.
    fn is_unidentified(&self) -> bool {
        self.outcome == Outcome::Unreadable && self.error.is_some()
    }

    fn unjudged() -> Settled {
        let mut steps = Steps::default();
        steps.note("not_judged", "judging it failed; it is kept, and counts for nobody");
        Settled {
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
    let named = row.transaction_id.split('|').filter_map(|text| ClaimedId::read(text).id);
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
