//! A partner's visibility, list of codes and links follow one rule.

use std::collections::{BTreeMap, BTreeSet};

use coupon_shared::decision::Reason;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::client::{Running, offer, start, with};
use crate::published::{published, reason_at};

const VISIBILITIES: [&str; 3] = ["public", "require_approval", "private"];
const SAID: [&str; 4] = ["", "visible", "hidden", "rejected"];
const OFFER_STATUSES: [&str; 3] = ["active", "paused", "pending"];
const LIVE_UNTIL: [&str; 2] = ["", "2020-01-01"];
const ACCOUNT_STATUSES: [&str; 3] = ["active", "inactive", "suspended"];
const CODE_STATUSES: [&str; 2] = ["active", "paused"];

/// The whole rule: a partner's access to an offer by the offer's visibility and the partner's
/// entry.
fn may_run(visibility: &str, said: &str) -> bool {
    match (visibility, said) {
        ("public", "" | "visible") => true,
        ("public", _) => false,
        (_, said) => said == "visible",
    }
}

struct Case {
    code: String,
    partner: usize,
    works: bool,
    /// The first reason against a redirect, as clicks record it.
    reason: Reason,
    said: String,
}

/// Every combination: a code of each partner on each offer, in each status.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (o, (visibility, offer_status, live_until)) in offers().into_iter().enumerate() {
        for (p, (account, said)) in partners().into_iter().enumerate() {
            for status in CODE_STATUSES {
                let reason = match () {
                    () if status == "paused" => Reason::Paused,
                    () if offer_status != "active" => Reason::OfferNotActive,
                    () if !live_until.is_empty() => Reason::OfferEnded,
                    () if account != "active" => Reason::PartnerNotActive,
                    () if !may_run(visibility, said) => Reason::NotRunnable,
                    () => Reason::Redirected,
                };
                cases.push(Case {
                    code: format!("O{o}P{p}{status}"),
                    partner: p,
                    works: status == "active"
                        && offer_status == "active"
                        && live_until.is_empty()
                        && account == "active"
                        && may_run(visibility, said),
                    reason,
                    said: format!(
                        "{visibility} {offer_status} offer until {live_until:?}, {account} partner, \
                         said {said:?}, {status} code"
                    ),
                });
            }
        }
    }
    cases
}

fn offers() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut offers = Vec::new();
    for visibility in VISIBILITIES {
        for status in OFFER_STATUSES {
            offers.extend(LIVE_UNTIL.map(|until| (visibility, status, until)));
        }
    }
    offers
}

fn partners() -> Vec<(&'static str, &'static str)> {
    ACCOUNT_STATUSES.into_iter().flat_map(|account| SAID.map(|said| (account, said))).collect()
}

/// Creates offers, partners, visibility entries and codes; returns the partners' keys.
async fn build(network: &Running) -> Vec<String> {
    network
        .post("trackingdomains", json!({"base_url": "https://go.example.com", "is_default": true}))
        .await
        .done();
    network.post("advertisers", json!({"name": "Shop", "account_status": "active"})).await.done();
    for (visibility, status, until) in offers() {
        let over = json!({
            "visibility": visibility, "offer_status": status, "date_live_until": until,
        });
        network.post("offers", with(offer("Offer"), over)).await.done();
    }
    let all_offers: Vec<usize> = (1..=offers().len()).collect();
    let mut keys = Vec::new();
    for (p, (account, said)) in partners().into_iter().enumerate() {
        let id = p + 1;
        network.post("affiliates", json!({"name": "P", "account_status": account})).await.done();
        if !said.is_empty() {
            let said = json!({"network_offer_ids": all_offers, "status": said});
            network.patch(&format!("affiliates/{id}/offers/visibility"), said).await.done();
        }
        let wanted = json!({"name": "P", "role": "partner", "network_affiliate_id": id});
        let key = network.post("apikeys", wanted).await.done();
        keys.push(key["api_key"].as_str().unwrap().to_owned());
    }
    let mut rows = Vec::new();
    for o in 0..offers().len() {
        for p in 0..partners().len() {
            rows.extend(CODE_STATUSES.map(|status| {
                json!({
                    "coupon_code": format!("O{o}P{p}{status}"), "coupon_status": status,
                    "network_offer_id": o + 1, "network_affiliate_id": p + 1,
                })
            }));
        }
    }
    network.post("couponcodes/bulk", Value::Array(rows)).await.done();
    keys
}

#[tokio::test]
async fn visibility_access_and_statuses_decide_alike_for_the_partners_list_and_for_his_links() {
    let network = start().await;
    let keys = build(&network).await;
    let mut shown: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (partner, key) in keys.iter().enumerate() {
        let list = network.call_as(key, "GET", "/v1/affiliates/couponcodes", None).await.done();
        let rows = list["coupon_codes"].as_array().unwrap();
        let codes = rows.iter().map(|row| row["coupon_code"].as_str().unwrap().to_owned());
        shown.insert(partner, codes.collect());
    }
    let index = published(&network).await;
    let now = Timestamp::now().as_second();
    let cases = cases();
    assert_eq!(cases.len(), 3 * 4 * 3 * 2 * 3 * 2);
    let mut working = 0;
    for case in cases {
        let reason = reason_at(&index, &case.code, now).unwrap();
        assert_eq!(reason, case.reason, "the link: {}", case.said);
        assert_eq!(reason == Reason::Redirected, case.works, "the link: {}", case.said);
        assert_eq!(
            shown[&case.partner].contains(&case.code),
            case.works,
            "the list: {}",
            case.said
        );
        for other in (0..keys.len()).filter(|other| *other != case.partner) {
            assert!(!shown[&other].contains(&case.code), "another's list: {}", case.said);
        }
        working += usize::from(case.works);
    }
    // Public: no entry, or visible; the other two: visible.
    assert_eq!(working, 2 + 1 + 1);
}
