//! The whole judgement of a claim by the evidence: everything but whether it came before, which
//! only the store knows.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;

use super::attribution::{Attributed, Attribution, Nearest, Outcome, attribute};
use super::claim::Claim;
use super::entry::{Entry, Event};
use super::error_code::ErrorCode;
use super::evidence::Evidence;
use super::key::{self, Key};
use super::payout::{Terms, Worth};
use super::status::Status;
use super::step::Steps;
use super::trust;
use crate::catalog::{Money, Offer};

/// What comes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is judged again when this click has come, or cannot come any more.
    Waits(TransactionId, Steps),
    /// It is decided.
    Decided(Box<Decided>),
}

/// A decided claim.
///
/// Who keeps it looks for an earlier conversion under [`earlier`](Self::earlier) first. One that is
/// found makes this a repeat, a conflict or a refund, whatever the status here says. Without one it
/// becomes what stands here, and takes [`key`](Self::key) where it is approved or pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What became of it.
    pub status: Status,
    /// Why it does not count, or not as yet.
    pub error: Option<ErrorCode>,
    /// Whose sale it is; also of one that is rejected.
    pub attributed: Option<Attributed>,
    /// As much as is known, always.
    pub nearest: Nearest,
    /// The event; `None` for the base conversion.
    pub event: Option<Event>,
    /// The amount of the sale; nothing where none was said.
    pub sale_amount: Money,
    /// What it is worth when it is approved.
    pub worth: Worth,
    /// Under which terms; `None` where the offer has none.
    pub terms: Option<Terms>,
    /// Of sale, payout and revenue.
    pub currency: String,
    /// By which repeats of it will be known.
    pub key: Option<Key>,
    /// Under which it may be a repeat. Empty where the sender may not be believed.
    pub earlier: Vec<Key>,
    /// How it came to this.
    pub steps: Steps,
}

impl Decided {
    /// Leaves it to somebody to decide, unless it does not count anyway.
    pub fn hold(&mut self, error: ErrorCode, detail: impl fmt::Display) {
        self.steps.note(error.as_str(), detail);
        if self.status == Status::Approved {
            self.status = Status::Pending;
            self.error = Some(error);
        }
    }
}

/// Judges a claim.
#[must_use]
pub fn judge(claim: &Claim, evidence: &Evidence) -> Judgement {
    let Attribution { outcome, steps: found, .. } = attribute(claim, evidence);
    let mut steps = claim.steps.clone();
    steps.0.extend(found.0);
    let unreadable = unreadable(claim, evidence, &mut steps);
    let (attributed, nearest, refused) = match outcome {
        Outcome::Attributed(whose) => (Some(whose.clone()), Nearest::from(&whose), None),
        Outcome::Refused { error, nearest } => (None, nearest, Some(error)),
        Outcome::Waits(id) if unreadable.is_none() => return Judgement::Waits(id, steps),
        Outcome::Waits(_) => (None, Nearest::default(), None),
    };
    let untrusted = untrusted(claim, evidence, nearest.advertiser_id, &mut steps);
    let subject = Subject::find(claim, evidence, &nearest);
    let (status, error) = match unreadable.or(refused).or(untrusted) {
        Some(error) => (error.status(), Some(error)),
        None => subject.status(claim, &mut steps),
    };
    let worth = attributed.as_ref().map(|_| subject.worth(claim, &mut steps)).unwrap_or_default();
    let own = attributed.as_ref().and_then(|whose| key::of(claim, evidence, whose));
    let is_believed = unreadable.is_none() && untrusted.is_none() && subject.is_in_its_currency;
    let earlier =
        if is_believed { key::earlier(claim, evidence, &nearest, own) } else { Vec::new() };
    Judgement::Decided(Box::new(Decided {
        status,
        error,
        sale_amount: claim.amount.unwrap_or_default(),
        worth,
        terms: subject.terms(),
        event: subject.entry.and_then(|entry| entry.event),
        currency: subject.currency.to_owned(),
        key: own.filter(|_| !claim.is_refund()),
        earlier,
        attributed,
        nearest,
        steps,
    }))
}

/// What of the message itself cannot be read, first of all the network it is meant for.
fn unreadable(claim: &Claim, evidence: &Evidence, steps: &mut Steps) -> Option<ErrorCode> {
    let is_ours = match claim.network_id {
        Some(network_id) => network_id == evidence.network_id,
        None => claim.is_sdk,
    };
    if !is_ours {
        let detail = format_args!("nid is not {}, the id of this network", evidence.network_id);
        steps.note(ErrorCode::InvalidNetwork.as_str(), detail);
        return Some(ErrorCode::InvalidNetwork);
    }
    claim.problems.first().copied()
}

/// Why the sender may not be believed; an advertiser of whom no rules are known believes nobody.
fn untrusted(
    claim: &Claim,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
    steps: &mut Steps,
) -> Option<ErrorCode> {
    match advertiser_id.and_then(|id| evidence.advertisers.get(&id)) {
        Some(advertiser) => trust::check(claim, advertiser, evidence.received_ms, steps).err(),
        None => Some(ErrorCode::InvalidOffer),
    }
}

/// The offer in question, and what of it the claim reports.
struct Subject<'a> {
    offer: Option<&'a Offer>,
    entry: Option<Entry<'a>>,
    currency: &'a str,
    is_in_its_currency: bool,
}

impl<'a> Subject<'a> {
    fn find(claim: &Claim, evidence: &'a Evidence, nearest: &Nearest) -> Subject<'a> {
        let offer = nearest.offer_id.and_then(|id| evidence.offers.get(&id));
        let own = offer.map(|offer| offer.currency_id.as_str()).filter(|own| !own.is_empty());
        let currency = own.unwrap_or(&evidence.network_currency);
        let is_other = |given: &String| claim.amount.is_some() && given != currency;
        Subject {
            offer,
            entry: offer.and_then(|offer| Entry::of(offer, &claim.event)),
            currency,
            is_in_its_currency: !claim.currency.as_ref().is_some_and(is_other),
        }
    }

    /// Of a claim that nothing stops so far.
    fn status(&self, claim: &Claim, steps: &mut Steps) -> (Status, Option<ErrorCode>) {
        let must_approve = self.offer.is_some_and(|offer| offer.is_must_approve_conversion);
        let error = match self.entry {
            None => Some(ErrorCode::UnknownEvent),
            Some(_) if !self.is_in_its_currency => Some(ErrorCode::OtherCurrency),
            Some(_) if claim.is_refund() => Some(ErrorCode::UnknownOrder),
            Some(_) => None,
        };
        match error {
            Some(error) => steps.note(error.as_str(), error.sentence()),
            None if must_approve => steps.note("must_approve", "the offer asks for approval"),
            None => {}
        }
        match error {
            Some(error) if claim.is_refund() => (Status::Invalid, Some(error)),
            Some(error) => (error.status(), Some(error)),
            None if must_approve => (Status::Pending, None),
            None => (Status::Approved, None),
        }
    }

    fn worth(&self, claim: &Claim, steps: &mut Steps) -> Worth {
        let Some(terms) = self.terms().filter(|_| !claim.is_refund()) else {
            return Worth::default();
        };
        if !self.is_in_its_currency {
            let detail = format_args!("worth nothing in {} as yet", self.currency);
            steps.note("worth_unknown", detail);
            return Worth::default();
        }
        if claim.amount.is_none() && terms.needs_amount() {
            steps.note("amount_missing", "a share of the sale is nothing without its amount");
        }
        terms.worth(claim.amount.unwrap_or_default())
    }

    fn terms(&self) -> Option<Terms> {
        self.entry.as_ref()?.terms.map(Terms::from)
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::postback::{Channel, Postback};
    use proptest::prelude::*;

    use super::*;
    use crate::conversions::attribution::Method;
    use crate::conversions::sample::{claim, evidence, get};

    fn decided_with(query: &str, change: impl FnOnce(&mut Evidence)) -> Decided {
        let claim = claim(query);
        let mut evidence = evidence(&claim);
        change(&mut evidence);
        match judge(&claim, &evidence) {
            Judgement::Decided(decided) => *decided,
            Judgement::Waits(..) => panic!("{query} waits"),
        }
    }

    fn decided(query: &str) -> Decided {
        decided_with(query, |_| ())
    }

    /// `approved`, or status and number.
    fn shown(decided: &Decided) -> String {
        let error = decided.error.map(|error| format!(" {}", error.number()));
        format!("{}{}", decided.status.as_str(), error.unwrap_or_default())
    }

    #[test]
    fn a_sale_is_approved_with_its_worth() {
        let sale = decided("coupon_code=EIGHT&amount=59.90&currency=eur");
        assert_eq!(shown(&sale), "approved");
        assert_eq!(
            (sale.worth.payout.to_string(), sale.worth.revenue.to_string()),
            ("5.99".into(), "8.985".into())
        );
        assert_eq!((sale.sale_amount.to_string(), sale.currency.as_str()), ("59.9".into(), "EUR"));
        assert_eq!(sale.attributed.unwrap().method, Method::CouponCode);
        assert!(sale.event.is_none() && sale.terms.is_some());
    }

    #[test]
    fn an_event_is_worth_what_its_entry_says() {
        for named in ["event_id=101", "adv_event_id=newsletter", "adv_event_id=NEWSLETTER"] {
            let lead = decided(&format!("coupon_code=EIGHT&amount=59.90&{named}"));
            assert_eq!(
                (shown(&lead), lead.worth.payout.to_string()),
                ("approved".into(), "2.5".into())
            );
            assert_eq!(lead.event.unwrap(), Event { id: 101, name: "Newsletter".into() });
        }
        for unknown in ["event_id=111", "event_id=9", "adv_event_id=other"] {
            assert_eq!(shown(&decided(&format!("coupon_code=EIGHT&{unknown}"))), "invalid 25");
        }
        assert!(decided("coupon_code=EIGHT&event_id=100").event.is_none());
    }

    #[test]
    fn a_share_of_an_amount_that_was_not_told_is_nothing_and_noted() {
        let sale = decided("coupon_code=EIGHT");
        assert_eq!((shown(&sale), sale.worth), ("approved".into(), Worth::default()));
        assert!(sale.steps.has("amount_missing"));
        assert!(!decided("coupon_code=EIGHT&event_id=101").steps.has("amount_missing"));
    }

    #[test]
    fn an_offer_without_entries_pays_nothing() {
        let sale = decided_with("coupon_code=EIGHT&amount=10", |evidence| {
            evidence.offers.values_mut().for_each(|offer| offer.payout_revenue.clear());
        });
        assert_eq!(
            (shown(&sale), sale.worth, sale.terms),
            ("approved".into(), Worth::default(), None)
        );
    }

    #[test]
    fn an_offer_may_ask_for_approval() {
        let ask = |evidence: &mut Evidence| {
            evidence.offers.values_mut().for_each(|offer| offer.is_must_approve_conversion = true);
        };
        let sale = decided_with("coupon_code=EIGHT&amount=10", ask);
        assert_eq!((shown(&sale), sale.worth.payout.to_string()), ("pending".into(), "1".into()));
    }

    #[test]
    fn another_currency_waits_for_somebody_and_is_worth_nothing_as_yet() {
        for other in ["USD", "euro", "%E2%82%AC"] {
            let sale =
                decided(&format!("coupon_code=EIGHT&amount=10&currency={other}&order_id=A1"));
            assert_eq!(
                (shown(&sale), sale.worth),
                ("pending 1012".into(), Worth::default()),
                "{other}"
            );
            assert_eq!(sale.currency, "EUR");
        }
        assert_eq!(shown(&decided("coupon_code=EIGHT&currency=USD")), "approved");
        let of_network = |evidence: &mut Evidence| {
            evidence.offers.values_mut().for_each(|offer| offer.currency_id.clear());
        };
        let sale = decided_with("coupon_code=EIGHT&amount=10&currency=USD", of_network);
        assert_eq!((shown(&sale), sale.currency.as_str()), ("approved".into(), "USD"));
    }

    #[test]
    fn what_cannot_be_read_is_invalid_whatever_it_names() {
        for (query, wanted) in [
            ("coupon_code=EIGHT&amount=1,299.00", "invalid 1011"),
            ("coupon_code=EIGHT&oid=ten", "invalid 1020"),
            ("transaction_id=AWAITED&amount=12,5", "invalid 1011"),
            ("coupon_code=UNKNOWN", "invalid 1001"),
            ("coupon_code=ONPAUSED", "rejected 18"),
            ("transaction_id=STALE7", "rejected 5"),
            ("transaction_id=INVENTED", "invalid 12"),
            ("", "invalid 1010"),
        ] {
            let judged = decided(query);
            assert_eq!(shown(&judged), wanted, "{query}");
            assert_eq!(judged.key, None, "{query}");
        }
    }

    #[test]
    fn the_message_must_be_for_this_network() {
        let judged = |query: &str, channel| {
            let claim = Claim::read(&Postback { channel, ..get(query) });
            match judge(&claim, &evidence(&claim)) {
                Judgement::Decided(decided) => shown(&decided),
                Judgement::Waits(..) => panic!("{query} waits"),
            }
        };
        assert_eq!(judged("nid=1&coupon_code=EIGHT", Channel::Server), "approved");
        assert_eq!(judged("nid=2&coupon_code=EIGHT", Channel::Server), "invalid 11");
        assert_eq!(judged("nid=&coupon_code=EIGHT", Channel::Server), "invalid 11");
        assert_eq!(judged("coupon_code=EIGHT", Channel::Server), "invalid 11");
        assert_eq!(judged("coupon_code=EIGHT", Channel::Sdk), "approved");
        assert_eq!(judged("nid=2&coupon_code=EIGHT", Channel::Sdk), "invalid 11");
    }

    fn with_token(evidence: &mut Evidence) {
        let advertisers = evidence.advertisers.values_mut();
        advertisers.for_each(|advertiser| advertiser.verification_token = "s3cret".into());
    }

    #[test]
    fn who_may_not_be_believed_changes_nothing() {
        let sale = decided_with("coupon_code=EIGHT&amount=10&order_id=A1", with_token);
        assert_eq!((shown(&sale), sale.earlier.len()), ("rejected 21".into(), 0));
        assert_eq!(sale.attributed.unwrap().affiliate_id, 8);
        let refund = decided_with("coupon_code=EIGHT&amount=-10&order_id=A1", with_token);
        assert_eq!((shown(&refund), refund.earlier.len()), ("rejected 21".into(), 0));
        let good =
            decided_with("coupon_code=EIGHT&verification_token=s3cret&order_id=A1", with_token);
        assert_eq!((shown(&good), good.earlier.len()), ("approved".into(), 1));
        let elsewhere = decided_with("oid=10&aid=2&amount=-10&order_id=A1", |evidence| {
            evidence.advertisers.get_mut(&1).unwrap().verification_token = "s3cret".into();
        });
        assert_eq!(elsewhere.earlier, []);
    }

    #[test]
    fn nobody_speaks_for_an_advertiser_of_whom_no_rules_are_known() {
        let sale =
            decided_with("coupon_code=EIGHT&amount=10", |evidence| evidence.advertisers.clear());
        assert_eq!(shown(&sale), "invalid 15");
    }

    #[test]
    fn a_refund_finds_its_order_also_by_a_code_that_has_expired_since() {
        let order = decided("coupon_code=EIGHT&amount=10&order_id=A1").key.unwrap();
        for query in ["coupon_code=EIGHT", "coupon_code=EXPIRED", "oid=10", "coupon_code=NOBODYS"] {
            let refund = decided(&format!("{query}&amount=-10&order_id=A1"));
            assert!(refund.earlier.contains(&order), "{query}");
            assert_eq!(
                (refund.status, refund.worth),
                (Status::Invalid, Worth::default()),
                "{query}"
            );
            assert_eq!(refund.key, None, "{query}");
        }
        assert_eq!(shown(&decided("coupon_code=EIGHT&amount=-10&order_id=A1")), "invalid 1018");
    }

    #[test]
    fn a_refund_in_another_currency_takes_nothing_back() {
        let refund = decided("coupon_code=EIGHT&amount=-10&currency=USD&order_id=A1");
        assert_eq!((shown(&refund), refund.earlier.len()), ("invalid 1012".into(), 0));
    }

    #[test]
    fn a_click_on_its_way_is_waited_for_with_the_reasons_so_far() {
        let claim = claim("transaction_id=AWAITED|GONE");
        let Judgement::Waits(_, steps) = judge(&claim, &evidence(&claim)) else { panic!() };
        assert!(steps.has("click_awaited"));
    }

    #[test]
    fn only_what_counts_is_held() {
        let mut sale = decided("coupon_code=EIGHT");
        sale.hold(ErrorCode::Held, "a spike");
        assert_eq!(shown(&sale), "pending 1017");
        let mut refused = decided("coupon_code=EXPIRED");
        refused.hold(ErrorCode::Held, "a spike");
        assert_eq!(shown(&refused), "invalid 1005");
    }

    proptest! {
        #[test]
        fn nothing_is_approved_without_somebody_to_be_paid_and_belief(
            ids in prop::sample::select(vec!["", "INVENTED", "GONE", "NOTSENT7", "INVENTED|0123", "NOON8"]),
            code in prop::sample::select(vec!["", "EXPIRED", "UNKNOWN", "EIGHT"]),
            token in prop::sample::select(vec!["", "s3cret", "guess"]),
            amount in prop::sample::select(vec!["", "10", "-10", "12,5"]),
        ) {
            let query = format!("transaction_id={ids}&coupon_code={code}&verification_token={token}&amount={amount}");
            let judged = decided_with(&query, with_token);
            let has_owner = ids == "NOON8" || code == "EIGHT";
            let counts = has_owner && token == "s3cret" && ["", "10"].contains(&amount);
            prop_assert_eq!(judged.status == Status::Approved, counts);
            if counts && ids != "NOON8" {
                prop_assert_eq!(judged.attributed.unwrap().method, Method::CouponCode);
            }
        }
    }
}
