use serde_json::json;

use super::*;
use crate::catalog::{BlockedValue, BlockedValueStatus, EventType};
use crate::store::conversions::{self, tests::sample};
use crate::store::events;
use crate::store::rollups::{ConversionCount, Measures, ValueDimension, count_conversions};
use crate::store::smart_switch::traffic;

const NOW: Moment = Moment { unix_ms: 2_000_000 * SLOT_MS + 60_000 };
const END: u64 = 2_000_000;

/// A rule with one condition, on one click or more of offer 1.
pub(super) fn rule(metric: &str, operator: &str, value: &str) -> SmartSwitchRule {
    let rule = json!({
        "name": "Watch", "rule_status": "active", "targeted_entity_type": "offer",
        "targeted_entity_ids": [1], "variable": "source_id", "run_frequency": "1_hour",
        "data_lookback_window": "24_hours", "data_collection_threshold": {"min_clicks": 1},
        "conditions": [{"metric": metric, "operator": operator, "value": value}],
        "action": "block",
    });
    serde_json::from_value(rule).unwrap()
}

#[test]
fn a_rule_is_due_after_its_frequency_and_for_the_check_of_a_warning() {
    let rule = rule("cvr", "lt", "1");
    let clock = RuleClock { measured_to: Some(100), attempted_at: Some(100), next_check: None };
    assert!(is_due(&rule, RuleClock::default(), 100, 0));
    assert!(!is_due(&rule, clock, 103, 0));
    assert!(is_due(&rule, clock, 104, 0));
    let skipped = RuleClock { attempted_at: Some(104), ..clock };
    assert!(!is_due(&rule, skipped, 104, 0));
    assert!(is_due(&rule, skipped, 105, 0));
    let warned = RuleClock { next_check: Some(50), ..clock };
    assert!(!is_due(&rule, warned, 101, 49));
    assert!(is_due(&rule, warned, 101, 50));
    assert!(!is_due(&rule, warned, 100, 50));
}

#[test]
fn a_rule_waits_for_complete_numbers() {
    let clicks = |lag_ms: u64| ClickIngestStatus {
        passed_unix_ms: NOW.unix_ms - lag_ms,
        ..ClickIngestStatus::default()
    };
    let postbacks =
        |last_pull| PostbackStatus { last_pull: Some(last_pull), ..PostbackStatus::default() };
    let reason = |clicks, postbacks, is_classified| {
        incomplete(&clicks, &postbacks, is_classified, NOW).unwrap_or_default()
    };
    let recent = NOW.seconds();
    assert_eq!(reason(clicks(LONGEST_LAG_MS), postbacks(recent), true), "");
    let late = reason(clicks(LONGEST_LAG_MS + 1), postbacks(recent), true);
    assert_eq!(late, "click ingest is 15 minutes behind");
    let late = reason(clicks(0), postbacks(recent - 1_800), true);
    assert_eq!(late, "postback ingest is 30 minutes behind");
    let starting = reason(ClickIngestStatus::default(), postbacks(recent), true);
    assert_eq!(starting, "click ingest has not caught up since the start");
    assert!(reason(clicks(0), postbacks(recent), false).contains("classified again"));
}

fn visits(source: &str, clicks: i64, slot: u64) -> ConversionCount {
    let values = match source {
        "" => Vec::new(),
        source => vec![(ValueDimension::SourceId, source.to_owned())],
    };
    ConversionCount {
        unix_ms: slot * SLOT_MS,
        code_id: 1,
        offer_id: 1,
        affiliate_id: 7,
        advertiser_id: 1,
        currency: String::new(),
        values,
        measures: Measures { gross: clicks, unique: clicks, ..Measures::default() },
    }
}

fn setup(tx: &WriteTx<'_>, rule: &SmartSwitchRule) -> Result<Stored<SmartSwitchRule>, StoreError> {
    let id = rows::insert(tx, rule)?;
    count_conversions(
        tx,
        &[
            visits("BAD", 60, END - 1),
            visits("bad", 40, END - 2),
            visits("good", 100, END - 3),
            visits("(other)", 1_000, END - 3),
            visits("", 900, END - 3),
            // After the measured time, and before it.
            visits("late", 500, END),
            visits("old", 500, END - 97),
        ],
    )?;
    let mut sale = sample(1, (END - 1) * SLOT_MS);
    (sale.offer_id, sale.affiliate_id, sale.advertiser_id) = (1, 7, 1);
    (sale.source_id, sale.event_id) = ("good".into(), 0);
    conversions::insert(tx, &sale)?;
    Ok(rows::find(tx, id)?.unwrap())
}

fn run(
    tx: &WriteTx<'_>,
    rule: &Stored<SmartSwitchRule>,
    now: Moment,
) -> Result<SmartSwitchRun, RunError> {
    let slots = measured_slots(&rule.object, END);
    let databases = coupon_geo::Databases::default();
    let traffic = traffic::measure(tx, &rule.object, slots.clone(), &databases)?;
    act(tx, rule, &slots, &traffic, now)
}

async fn in_store<T: Send + 'static>(
    work: impl FnOnce(&WriteTx<'_>) -> Result<T, RunError> + Send + 'static,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.write(work).await.unwrap()
}

fn never_converts() -> SmartSwitchRule {
    let mut rule = rule("cvr", "lt", "0.2");
    rule.data_collection_threshold.min_clicks = 100;
    rule
}

fn blocked(tx: &WriteTx<'_>) -> Vec<(String, BlockedValueStatus)> {
    let rows = rows::list::<BlockedValue>(tx, &Default::default()).unwrap().rows;
    rows.into_iter().map(|row| (row.object.value, row.object.blocked_value_status)).collect()
}

#[tokio::test]
async fn a_run_blocks_the_value_that_never_converts_and_keeps_the_numbers() {
    in_store(|tx| {
        let rule = setup(tx, &never_converts())?;
        let sequence = tx.next_catalog_sequence()?;
        let run = run(tx, &rule, NOW)?;
        assert_eq!((run.outcome, run.values_measured, run.values_found), (RunOutcome::Done, 2, 1));
        assert_eq!(run.hidden_clicks, 1_000);
        assert_eq!((run.findings[0].value.as_str(), run.findings[0].gross_clicks), ("bad", 100));
        let row = rows::find::<BlockedValue>(tx, 1)?.unwrap().object;
        assert_eq!(
            (row.value.as_str(), row.network_offer_id, row.network_affiliate_id),
            ("bad", 1, 7)
        );
        let facts = row.facts;
        assert_eq!((facts.run_id, facts.rule_name.as_str()), (run.run_id, "Watch"));
        assert_eq!((facts.measured[0].measured.as_str(), facts.measured[0].clicks), ("0", 100));
        assert!(facts.time_blocked > 0);
        // The publication of the block has a later position.
        assert_eq!(tx.next_catalog_sequence()?, sequence + 2);
        let refused = blocked_values::refused(tx)?;
        assert_eq!((refused.len(), refused[0].value.as_str()), (1, "bad"));
        assert_eq!(stored::runs(tx, rule.id, None)?.rows, [run]);
        Ok(())
    })
    .await;
}

fn set_status(tx: &WriteTx<'_>, id: u32, status: &str) -> BlockedValue {
    let fields = crate::json::Fields::from_object(&json!({"blocked_value_status": status}));
    let patch = crate::edit::Change::Patch(fields.unwrap());
    crate::edit::blocked_values::change(tx, id, patch).unwrap().now.object
}

/// Former statuses and runs of the recorded releases.
fn releases(tx: &WriteTx<'_>) -> Vec<(String, u64)> {
    let page = events::page(tx, 0, &[EventType::SmartSwitchReleased], 10).unwrap();
    let read = |event: events::NumberedEvent| {
        let data: serde_json::Value = serde_json::from_str(&event.event.data).unwrap();
        let former = data["former_status"].as_str().unwrap().to_owned();
        (former, data["run_id"].as_u64().unwrap())
    };
    page.events.into_iter().map(read).collect()
}

#[tokio::test]
async fn a_release_by_hand_is_an_event_if_the_rule_tells_of_news() {
    in_store(|tx| {
        let rule = setup(tx, &never_converts())?;
        run(tx, &rule, NOW)?;
        set_status(tx, 1, "active");
        assert_eq!(releases(tx), []);
        let expected = [("active".to_owned(), 0), ("active".to_owned(), 0)];
        for status in ["released", "released", "exempt"] {
            set_status(tx, 1, status);
            assert_eq!(releases(tx), expected[..1], "{status}");
        }
        // A deleted rule's values stay blocked.
        set_status(tx, 1, "active");
        rows::delete::<SmartSwitchRule>(tx, rule.id)?;
        set_status(tx, 1, "exempt");
        assert_eq!(releases(tx), expected);
        // Blocks by hand and blocks of quiet rules make no event when they begin.
        let by_hand = json!({"variable": "source_id", "value": "other"});
        let id = rows::insert(tx, &serde_json::from_value::<BlockedValue>(by_hand).unwrap())?;
        set_status(tx, id, "released");
        set_status(tx, 1, "active");
        rows::update(
            tx,
            rule.id,
            &SmartSwitchRule { is_notify_employees: false, ..never_converts() },
        )?;
        set_status(tx, 1, "released");
        assert_eq!(releases(tx), expected);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_released_value_stays_exempt_for_the_rules_window() {
    in_store(|tx| {
        let rule = setup(tx, &never_converts())?;
        run(tx, &rule, NOW)?;
        let facts = set_status(tx, 1, "released").facts;
        assert_eq!(facts.exempt_until, facts.time_released + 24 * 3_600);
        assert_eq!(blocked_values::refused(tx)?, []);
        let at = |seconds: i64| Moment { unix_ms: u64::try_from(seconds).unwrap() * 1_000 };
        let next = run(tx, &rule, at(facts.exempt_until - 1))?;
        assert_eq!(next.findings[0].outcome, FindingOutcome::Exempt);
        assert_eq!(blocked(tx), [("bad".to_owned(), BlockedValueStatus::Released)]);
        let later = run(tx, &rule, at(facts.exempt_until))?;
        assert_eq!(later.findings[0].outcome, FindingOutcome::Acted);
        assert_eq!(blocked(tx), [("bad".to_owned(), BlockedValueStatus::Active)]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_records_and_changes_nothing() {
    in_store(|tx| {
        let rule = setup(tx, &SmartSwitchRule { is_dry_run: true, ..never_converts() })?;
        let run = run(tx, &rule, NOW)?;
        assert_eq!(run.outcome, RunOutcome::DryRun);
        assert_eq!(run.findings[0].outcome, FindingOutcome::WouldAct);
        assert_eq!(blocked(tx), []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_was_edited_during_its_run_does_not_act() {
    in_store(|tx| {
        let rule = setup(tx, &never_converts())?;
        rows::update(tx, rule.id, &SmartSwitchRule { is_dry_run: true, ..never_converts() })?;
        assert!(matches!(run(tx, &rule, NOW), Err(RunError::Edit(EditError::Stale { .. }))));
        assert_eq!(blocked(tx), []);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_warned_value_is_withdrawn_when_it_converts() {
    in_store(|tx| {
        let rule = setup(tx, &SmartSwitchRule { delay_minutes: 60, ..never_converts() })?;
        run(tx, &rule, NOW)?;
        assert_eq!(blocked(tx), [("bad".to_owned(), BlockedValueStatus::Warned)]);
        assert_eq!(blocked_values::refused(tx)?, []);
        assert!(stored::clock(tx, rule.id)?.next_check.is_some());
        let mut sale = sample(2, (END - 1) * SLOT_MS);
        (sale.offer_id, sale.affiliate_id, sale.advertiser_id) = (1, 7, 1);
        (sale.source_id, sale.event_id) = ("Bad".into(), 0);
        conversions::insert(tx, &sale)?;
        let run = run(tx, &rule, NOW)?;
        assert_eq!(blocked(tx), [("bad".to_owned(), BlockedValueStatus::Released)]);
        assert_eq!(releases(tx), [("warned".to_owned(), run.run_id)]);
        assert_eq!(stored::clock(tx, rule.id)?.next_check, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_warned_value_that_a_person_releases_is_left_alone() {
    in_store(|tx| {
        let rule = setup(tx, &SmartSwitchRule { delay_minutes: 60, ..never_converts() })?;
        run(tx, &rule, NOW)?;
        let facts = set_status(tx, 1, "released").facts;
        assert!(facts.exempt_until > 0);
        assert_eq!(releases(tx), [("warned".to_owned(), 0)]);
        let at = Moment { unix_ms: u64::try_from(facts.exempt_until - 1).unwrap() * 1_000 };
        let next = run(tx, &rule, at)?;
        assert_eq!(next.findings[0].outcome, FindingOutcome::Exempt);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_exempt_value_ends_other_blocks_within_its_scope() {
    in_store(|tx| {
        let rule = setup(tx, &never_converts())?;
        run(tx, &rule, NOW)?;
        let by_hand = |status: &str, partner: u32| -> BlockedValue {
            serde_json::from_value(json!({
                "variable": "source_id", "value": "Bad", "network_affiliate_id": partner,
                "blocked_value_status": status,
            }))
            .unwrap()
        };
        // The rule does not show its blocks to partners.
        assert_eq!(blocked_values::of_partner(tx, 7)?, []);
        rows::insert(tx, &by_hand("active", 9))?;
        let shown = blocked_values::of_partner(tx, 9)?;
        assert_eq!((shown.len(), shown[0].value.as_str(), &shown[0].offers), (1, "bad", &None));
        assert_eq!(blocked_values::of_partner(tx, 7)?, []);
        rows::insert(tx, &by_hand("exempt", 8))?;
        assert_eq!(blocked_values::refused(tx)?.len(), 2);
        rows::insert(tx, &by_hand("exempt", 7))?;
        let refused = blocked_values::refused(tx)?;
        assert_eq!((refused.len(), refused[0].affiliate_id), (1, 9));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn runs_are_made_when_they_are_due_and_skipped_while_ingest_has_not_caught_up() {
    in_store(|tx| {
        let rule = setup(tx, &never_converts())?;
        let due = |end| due_rules(tx, end, 0).map(|rules| rules.len());
        assert_eq!(due(END)?, 1);
        run(tx, &rule, NOW)?;
        assert_eq!((due(END + 3)?, due(END + 4)?), (0, 1));
        let slots = measured_slots(&rule.object, END + 4);
        let skipped = record(&rule, &slots, &Traffic::default(), &Plan::default(), NOW);
        stored::record_run(tx, &SmartSwitchRun { outcome: RunOutcome::Skipped, ..skipped })?;
        assert_eq!((due(END + 4)?, due(END + 5)?), (0, 1));
        let runs = stored::runs(tx, rule.id, None)?;
        assert_eq!((runs.total_count, runs.rows[0].outcome), (2, RunOutcome::Skipped));
        Ok(())
    })
    .await;
}
