//! Reduces a verdict to the part that its sender may see.
//!
//! The stored verdict is complete. The answer reveals nothing about codes, offers and partners of
//! an advertiser with trust rules to a sender that fails the rules.
//!
//! - For an advertiser whose rules the sender fails, the answer is error 21.
//! - Without a known advertiser, for instance with an unknown code, the answer is also 21 as soon
//!   as the sender fails the rules of any advertiser: the code could belong to that advertiser.
//! - For another advertiser, the answer is computed without the codes of advertisers whose rules
//!   the sender fails.
//!
//! The answer to a sale that counts names the attributed click, else the click that would count
//! without the code. A difference between the two would reveal whether the code is usable.
//!
//! A **miss** is an answer that reveals an unusable object to a sender without a passed rule.
//! The daemon limits misses by address, so that codes cannot be guessed.

use std::collections::HashSet;

use coupon_shared::postback::{Verdict, VerdictStatus};

use super::attribute::{Attribution, Outcome, attribute};
use super::decision_step::DecisionSteps;
use super::error_code::ErrorCode;
use super::evidence::Evidence;
use super::postback_fields::PostbackFields;
use super::status::Status;
use super::trust;
use crate::catalog::Advertiser;

/// The answer to an untrusted sender.
const UNTRUSTED: &str = "not accepted: send the verification_token or signature, or send from an \
                         address, that the advertiser asks for";

/// The advertisers with trust rules, by whether the sender passes the rules.
struct SenderTrust {
    passed: HashSet<u32>,
    failed: HashSet<u32>,
}

/// The disclosed form of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disclosure {
    /// The stored verdict.
    Same,
    /// Error 21 only.
    Untrusted,
    /// Another error than the stored one.
    Error(ErrorCode),
    Queued,
}

/// The verdict for the sender. `guarded` are all advertisers with trust rules.
pub fn disclose(
    verdict: Verdict,
    fields: &PostbackFields,
    evidence: &Evidence,
    guarded: &[(u32, Advertiser)],
) -> Verdict {
    if verdict.status != VerdictStatus::Queued && !is_revealing_refusal(&verdict) {
        let Attribution { advertiser_id, .. } = attribute(fields, evidence);
        let is_trusted = advertiser_id.is_some_and(|id| passes_rules_of(id, fields, evidence));
        return Verdict { is_trusted, ..name_click_without_code(verdict, fields, evidence) };
    }
    let sender = SenderTrust::check(fields, evidence, guarded);
    if named_advertiser(fields, evidence).is_some_and(|named| sender.failed.contains(&named)) {
        return Disclosure::Untrusted.apply(verdict, false);
    }
    let visible = sender.visible(evidence);
    let Attribution { outcome, advertiser_id, steps } = attribute(fields, &visible);
    let is_trusted = sender.is_trusted_for(advertiser_id);
    let disclosure = if sender.must_hide_reason(fields, evidence, advertiser_id) {
        match outcome {
            // A pending postback has no verdict yet, for any sender.
            Outcome::Waits(_) => Disclosure::Queued,
            _ => Disclosure::Untrusted,
        }
    } else if visible.codes.len() == evidence.codes.len() {
        Disclosure::Same
    } else {
        match outcome {
            Outcome::Refused { error, .. } => Disclosure::Error(error),
            Outcome::Waits(_) => Disclosure::Queued,
            Outcome::Attributed(_) => Disclosure::Untrusted,
        }
    };
    let mut verdict = disclosure.apply(verdict, is_trusted);
    if verdict.status == VerdictStatus::Queued {
        verdict.is_miss = !is_trusted && reveals_unusable(&steps);
    }
    verdict
}

fn name_click_without_code(
    verdict: Verdict,
    fields: &PostbackFields,
    evidence: &Evidence,
) -> Verdict {
    let counts = matches!(verdict.status, VerdictStatus::Approved | VerdictStatus::Pending);
    if !counts || !verdict.transaction_id.is_empty() || fields.transaction_ids.is_empty() {
        return verdict;
    }
    let without_code = PostbackFields { coupon_code: None, ..fields.clone() };
    let click = match attribute(&without_code, evidence).outcome {
        Outcome::Attributed(attributed) => attributed.transaction_id,
        Outcome::Refused { .. } | Outcome::Waits(_) => None,
    };
    let transaction_id = click.map(|id| id.to_string()).unwrap_or_default();
    Verdict { transaction_id, ..verdict }
}

/// Whether a refusal reveals that a named object is unusable.
fn is_revealing_refusal(verdict: &Verdict) -> bool {
    let is_refused = matches!(verdict.status, VerdictStatus::Rejected | VerdictStatus::Invalid);
    let error = ErrorCode::from_number(verdict.error_code);
    is_refused && error.is_some_and(ErrorCode::reveals_unusable)
}

/// Whether the advertiser has trust rules and the sender passes them.
fn passes_rules_of(advertiser_id: u32, fields: &PostbackFields, evidence: &Evidence) -> bool {
    let advertiser = evidence.advertisers.get(&advertiser_id);
    advertiser.is_some_and(|advertiser| {
        trust::has_rules(advertiser) && passes(fields, evidence, advertiser)
    })
}

fn passes(fields: &PostbackFields, evidence: &Evidence, advertiser: &Advertiser) -> bool {
    trust::check(fields, advertiser, evidence.received_ms, &mut DecisionSteps::default()).is_ok()
}

/// The advertiser that the postback names directly or by its offer.
fn named_advertiser(fields: &PostbackFields, evidence: &Evidence) -> Option<u32> {
    let named = fields.advertiser_id.filter(|id| evidence.advertisers.contains_key(id));
    named.or_else(|| evidence.advertiser_of_offer(fields.offer_id?))
}

/// Whether a step reveals that a named object is unusable.
fn reveals_unusable(steps: &DecisionSteps) -> bool {
    let mut errors = ErrorCode::ALL.iter().filter(|error| error.reveals_unusable());
    errors.any(|error| steps.has(error.as_str()))
}

/// Whether the postback names any object other than clicks.
fn names_catalog(fields: &PostbackFields) -> bool {
    fields.coupon_code.is_some()
        || fields.offer_id.is_some()
        || fields.affiliate_id.is_some()
        || fields.advertiser_id.is_some()
}

impl SenderTrust {
    fn check(
        fields: &PostbackFields,
        evidence: &Evidence,
        guarded: &[(u32, Advertiser)],
    ) -> SenderTrust {
        let mut sender = SenderTrust { passed: HashSet::new(), failed: HashSet::new() };
        // Evidence includes deleted advertisers, which `guarded` lacks: old ids still name them.
        let involved = evidence.advertisers.iter().map(|(id, advertiser)| (*id, advertiser));
        let guarded = guarded.iter().map(|(id, advertiser)| (*id, advertiser));
        for (id, advertiser) in involved.chain(guarded).filter(|(_, one)| trust::has_rules(one)) {
            let is_passed = passes(fields, evidence, advertiser);
            let side = if is_passed { &mut sender.passed } else { &mut sender.failed };
            side.insert(id);
        }
        sender
    }

    /// Without a known advertiser, passing the rules of any advertiser is enough.
    fn is_trusted_for(&self, advertiser_id: Option<u32>) -> bool {
        match advertiser_id {
            Some(id) => self.passed.contains(&id),
            None => !self.passed.is_empty(),
        }
    }

    /// Whether the answer must be error 21 only.
    fn must_hide_reason(
        &self,
        fields: &PostbackFields,
        evidence: &Evidence,
        advertiser_id: Option<u32>,
    ) -> bool {
        match advertiser_id {
            Some(id) if self.failed.contains(&id) => true,
            Some(id) if evidence.advertisers.contains_key(&id) => false,
            _ => names_catalog(fields) && self.passed.is_empty() && !self.failed.is_empty(),
        }
    }

    /// The evidence without the codes of advertisers whose rules the sender fails.
    fn visible(&self, evidence: &Evidence) -> Evidence {
        let mut visible = evidence.clone();
        visible.codes.retain(|row| {
            let advertiser = evidence.advertiser_of_offer(row.offer_id);
            advertiser.is_none_or(|id| !self.failed.contains(&id))
        });
        visible
    }
}

impl Disclosure {
    /// Invariant: answers with the same error differ in their ids only.
    fn apply(self, verdict: Verdict, is_trusted: bool) -> Verdict {
        let own_id = Some(verdict.postback);
        let is_miss = !is_trusted;
        let (status, error) = match self {
            Disclosure::Same => {
                let conversion_id = match verdict.status {
                    VerdictStatus::Queued => verdict.conversion_id,
                    _ => verdict.conversion_id.or(own_id),
                };
                return Verdict { conversion_id, is_miss, is_trusted, ..verdict };
            }
            Disclosure::Untrusted => (VerdictStatus::Rejected, Some(ErrorCode::InvalidToken)),
            Disclosure::Error(error) => (status_of(error), Some(error)),
            Disclosure::Queued => (VerdictStatus::Queued, None),
        };
        let sentence = match self {
            Disclosure::Untrusted => UNTRUSTED,
            _ => error.map_or("", ErrorCode::sentence),
        };
        Verdict {
            postback: verdict.postback,
            status,
            conversion_id: own_id.filter(|_| self != Disclosure::Queued),
            transaction_id: String::new(),
            error_code: error.map_or(0, ErrorCode::number),
            error: sentence.to_owned(),
            is_miss,
            is_trusted,
        }
    }
}

fn status_of(error: ErrorCode) -> VerdictStatus {
    match error.status() {
        Status::Approved => VerdictStatus::Approved,
        Status::Pending => VerdictStatus::Pending,
        Status::Rejected => VerdictStatus::Rejected,
        Status::Invalid => VerdictStatus::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::postback::PostbackId;

    use super::*;
    use crate::attribution::evaluation::{Evaluation, evaluate};
    use crate::attribution::sample::{evidence, fields};

    /// Status, error and miss flag of the answer if the `guarded` advertisers ask for the token
    /// `s3cret`.
    fn answer(guarded: &[u32], query: &str) -> (VerdictStatus, u32, bool) {
        let verdict = verdict(guarded, query);
        (verdict.status, verdict.error_code, verdict.is_miss)
    }

    fn verdict(guarded: &[u32], query: &str) -> Verdict {
        let fields = fields(query);
        let mut evidence = evidence(&fields);
        let mut all = Vec::new();
        for id in guarded {
            let advertiser: Advertiser = serde_json::from_value(serde_json::json!({
                "name": "Shop", "account_status": "active", "verification_token": "s3cret",
            }))
            .unwrap();
            if let Some(known) = evidence.advertisers.get_mut(id) {
                known.verification_token = "s3cret".into();
            }
            all.push((*id, advertiser));
        }
        disclose(stored_verdict(&fields, &evidence), &fields, &evidence, &all)
    }

    fn stored_verdict(fields: &PostbackFields, evidence: &Evidence) -> Verdict {
        let (status, error, click) = match evaluate(fields, evidence) {
            Evaluation::Waits(..) => (VerdictStatus::Queued, None, None),
            Evaluation::Decided(decided) => {
                let status = match decided.status {
                    Status::Approved => VerdictStatus::Approved,
                    Status::Pending => VerdictStatus::Pending,
                    Status::Rejected => VerdictStatus::Rejected,
                    Status::Invalid => VerdictStatus::Invalid,
                };
                (status, decided.error, decided.partial.transaction_id)
            }
        };
        Verdict {
            postback: PostbackId([1; 16]),
            status,
            conversion_id: None,
            transaction_id: click.map(|id| id.to_string()).unwrap_or_default(),
            error_code: error.map_or(0, ErrorCode::number),
            error: error.map_or("", ErrorCode::sentence).into(),
            is_miss: false,
            is_trusted: false,
        }
    }

    #[test]
    fn beside_a_click_of_ones_own_a_sale_does_not_tell_whether_the_code_counted() {
        let answer = |query: &str| {
            let fields = fields(query);
            let mut evidence = evidence(&fields);
            for advertiser in evidence.advertisers.values_mut() {
                advertiser.attribution_priority = "coupon_code".parse().unwrap();
            }
            disclose(stored_verdict(&fields, &evidence), &fields, &evidence, &[])
        };
        let [by_code, by_click] = ["EIGHT", "UNKNOWN"]
            .map(|code| answer(&format!("transaction_id=MORNING7&coupon_code={code}")));
        assert_eq!((by_code.status, by_code.transaction_id.len()), (Approved, 32));
        assert_eq!(by_code, by_click);
        // Beside an awaited click the answer does tell: a usable code does not wait for the click.
        let awaited = answer("transaction_id=AWAITED&coupon_code=UNKNOWN&aid=1");
        assert_eq!((awaited.status, awaited.is_miss), (Queued, true));
    }

    use VerdictStatus::{Approved, Invalid, Queued, Rejected};

    #[test]
    fn without_trust_rules_the_reason_is_told_and_counts_as_a_miss() {
        for (query, wanted) in [
            ("coupon_code=UNKNOWN", (Invalid, 1001, true)),
            ("coupon_code=EXPIRED", (Invalid, 1005, true)),
            ("coupon_code=BOTH", (Invalid, 1006, true)),
            ("oid=99&affid=7", (Invalid, 15, true)),
            ("transaction_id=INVENTED", (Invalid, 12, true)),
            ("coupon_code=EIGHT", (Approved, 0, false)),
            ("coupon_code=EIGHT&amount=1,5", (Invalid, 1011, false)),
            ("coupon_code=UNKNOWN&amount=1,5", (Invalid, 1011, false)),
            ("transaction_id=AWAITED", (Queued, 0, false)),
        ] {
            assert_eq!(answer(&[], query), wanted, "{query}");
        }
    }

    #[test]
    fn an_untrusted_sender_cannot_tell_a_guarded_advertisers_codes_from_unknown_ones() {
        // Advertiser 1 has the codes of offers 10 to 15, usable or not.
        let codes = ["EIGHT", "EXPIRED", "RESTING", "NOBODYS", "BOTH", "ONPAUSED", "UNKNOWN"];
        for more in ["", "&aid=1", "&oid=10", "&oid=99", "&aid=77", "&transaction_id=INVENTED"] {
            let answers = codes.map(|code| verdict(&[1], &format!("coupon_code={code}{more}")));
            let [first, others @ ..] = &answers;
            assert_eq!((first.status, first.error_code), (Rejected, 21), "{more}");
            assert!(first.is_miss && !first.is_trusted);
            assert!(others.iter().all(|answer| answer == first), "{more}: {answers:?}");
        }
        // Nor by speaking for advertiser 2, which has no rules, …
        let theirs = codes.map(|code| verdict(&[1], &format!("coupon_code={code}&aid=2")));
        assert_eq!((theirs[0].status, theirs[0].error_code), (Invalid, 1001));
        assert!(theirs.iter().all(|answer| *answer == theirs[0]), "{theirs:?}");
        // … nor beside a click that is awaited.
        let awaited =
            codes.map(|code| verdict(&[1], &format!("coupon_code={code}&transaction_id=AWAITED")));
        assert!(awaited.iter().all(|answer| answer.status == Queued), "{awaited:?}");
    }

    #[test]
    fn a_sender_who_passes_a_rule_is_told_the_reason_and_misses_nothing() {
        for (query, wanted) in [
            ("coupon_code=EXPIRED", 1005),
            ("coupon_code=UNKNOWN", 1001),
            ("coupon_code=UNKNOWN&aid=1", 1001),
            ("coupon_code=BOTH", 1006),
        ] {
            let verdict = verdict(&[1], &format!("{query}&verification_token=s3cret"));
            assert_eq!((verdict.error_code, verdict.is_miss), (wanted, false), "{query}");
            assert!(verdict.is_trusted, "{query}");
        }
        let sale = verdict(&[1], "coupon_code=EIGHT&verification_token=s3cret");
        assert_eq!((sale.status, sale.is_trusted, sale.is_miss), (Approved, true, false));
    }

    #[test]
    fn an_advertiser_without_rules_is_answered_as_ever_beside_one_that_has_some() {
        for (query, wanted) in [
            ("coupon_code=EXPIRED", (Invalid, 1005, true)),
            ("coupon_code=UNKNOWN&aid=1", (Invalid, 1001, true)),
            ("coupon_code=UNKNOWN&oid=10", (Invalid, 1001, true)),
            ("coupon_code=EIGHT", (Approved, 0, false)),
            ("transaction_id=INVENTED", (Invalid, 12, true)),
            ("", (Invalid, 1010, true)),
            // Whose it is cannot be told, so it could be the other one's.
            ("coupon_code=UNKNOWN", (Rejected, 21, true)),
        ] {
            assert_eq!(answer(&[2], query), wanted, "{query}");
        }
    }
}
