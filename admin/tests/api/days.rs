//! Dates are whole days in the network's time zone, both inclusive, also where a day has 23 or 25
//! hours. Edits go through the API and a real publication; the index decides about the moments.

use coupon_shared::decision::Reason;
use jiff::Timestamp;
use serde_json::json;

use crate::client::{Running, code, start_with_offers, with};
use crate::published::{click_at, published, reason_at};

/// Zone, day, its first moment, and the first one after it, in UTC by the zones' published rules.
const DAYS: [(&str, &str, &str, &str); 10] = [
    ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
    ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
    ("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
    ("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
    ("Pacific/Auckland", "2026-04-05", "2026-04-04T11:00:00Z", "2026-04-05T12:00:00Z"),
    ("Pacific/Auckland", "2026-09-27", "2026-09-26T12:00:00Z", "2026-09-27T11:00:00Z"),
    ("Asia/Kathmandu", "2026-06-15", "2026-06-14T18:15:00Z", "2026-06-15T18:15:00Z"),
    ("America/St_Johns", "2026-03-08", "2026-03-08T03:30:00Z", "2026-03-09T02:30:00Z"),
    ("America/St_Johns", "2026-11-01", "2026-11-01T02:30:00Z", "2026-11-02T03:30:00Z"),
    ("UTC", "2026-02-28", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
];

fn moment(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

async fn set_zone(network: &Running, zone: &str) {
    network.patch("settings", json!({"time_zone": zone, "currency": "EUR"})).await.done();
}

#[tokio::test]
async fn a_code_works_from_the_first_to_the_last_second_of_its_days_in_the_networks_zone() {
    let network = start_with_offers().await;
    let mut rows = Vec::new();
    for (number, (_, day, _, _)) in DAYS.iter().enumerate() {
        let dates = json!({"start_date": day, "end_date": day});
        rows.push(with(code(&format!("DAY{number}")), dates));
        rows.push(with(code(&format!("FROM{number}")), json!({"start_date": day})));
        rows.push(with(code(&format!("UNTIL{number}")), json!({"end_date": day})));
    }
    network.post("couponcodes/bulk", rows.into()).await.done();
    for (number, (zone, day, first, after)) in DAYS.into_iter().enumerate() {
        set_zone(&network, zone).await;
        let index = published(&network).await;
        let at = |kind: &str, now: i64| reason_at(&index, &format!("{kind}{number}"), now).unwrap();
        let (first, after) = (moment(first), moment(after));
        for (now, on_the_day, from, until) in [
            (first - 1, Reason::NotStarted, Reason::NotStarted, Reason::Redirected),
            (first, Reason::Redirected, Reason::Redirected, Reason::Redirected),
            (after - 1, Reason::Redirected, Reason::Redirected, Reason::Redirected),
            (after, Reason::Expired, Reason::Redirected, Reason::Expired),
        ] {
            let found = (at("DAY", now), at("FROM", now), at("UNTIL", now));
            assert_eq!(found, (on_the_day, from, until), "{zone} {day} {now}");
        }
    }
}

#[tokio::test]
async fn a_changed_zone_moves_the_days_of_all_codes() {
    let network = start_with_offers().await;
    let dates = json!({"start_date": "2026-06-15", "end_date": "2026-06-15"});
    network.post("couponcodes", with(code("ONEDAY"), dates)).await.done();
    let noon_in_new_york = moment("2026-06-15T16:00:00Z");
    for (zone, expected) in [
        ("America/New_York", Reason::Redirected),
        ("Pacific/Auckland", Reason::Expired),
        ("UTC", Reason::Redirected),
    ] {
        set_zone(&network, zone).await;
        let index = published(&network).await;
        assert_eq!(reason_at(&index, "oneday", noon_in_new_york), Some(expected), "{zone}");
    }
}

#[tokio::test]
async fn a_code_that_expires_hands_over_to_the_next_of_its_advertiser_without_an_edit() {
    let network = start_with_offers().await;
    set_zone(&network, "Europe/Berlin").await;
    let rows = json!([
        with(code("BOTH"), json!({"end_date": "2026-03-29"})),
        with(code("BOTH"), json!({"network_offer_id": 2, "start_date": "2026-03-30"})),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    let index = published(&network).await;
    let midnight = moment("2026-03-29T22:00:00Z");
    let offer_at = |now: i64| {
        let click = click_at(&index, "both", now).unwrap();
        (click.row.offer_id, click.reason)
    };
    assert_eq!(offer_at(midnight - 1), (1, Reason::Redirected));
    assert_eq!(offer_at(midnight), (2, Reason::Redirected));
}

#[tokio::test]
async fn a_start_after_the_end_is_refused_and_a_single_day_is_not() {
    let network = start_with_offers().await;
    let dates = |start: &str, end: &str| json!({"start_date": start, "end_date": end});
    let wrong = with(code("WRONG"), dates("2026-01-02", "2026-01-01"));
    let refused = network.post("couponcodes", wrong).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["end_date"]));
    network
        .post("couponcodes", with(code("RIGHT"), dates("2026-01-01", "2026-01-01")))
        .await
        .done();
    let refused = network.patch("couponcodes/1", json!({"end_date": "2025-12-31"})).await;
    assert_eq!(refused.status, 400);
    network.patch("couponcodes/1", json!({"start_date": "", "end_date": ""})).await.done();
}
