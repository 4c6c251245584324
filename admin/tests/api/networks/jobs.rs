//! `/v1/networks/couponcodes/jobs` and `/v1/networks/jobs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::client::{Answer, Running, code, start_with_offers, with};

/// Codes 1 to 4 of Anna's: the third is paused, the fourth on the second offer.
async fn start_with_codes() -> Running {
    let network = start_with_offers().await;
    let rows = json!([
        code("ONE"),
        code("TWO"),
        with(code("THREE"), json!({"coupon_status": "paused"})),
        with(code("ELSEWHERE"), json!({"network_offer_id": 2})),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    network
}

fn accepted(answer: Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body
}

impl Running {
    /// Waits until a job has no work to come.
    async fn ended(&self, job: &Value) -> Value {
        let path = format!("jobs/{}", job["network_job_id"]);
        let began = Instant::now();
        loop {
            let job = self.get(&path).await.done();
            let state = job["state"].as_str().unwrap();
            if !["queued", "running", "stopping", "reverting"].contains(&state) {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{job}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn done_job(&self, body: Value) -> Value {
        let job = accepted(self.post("couponcodes/jobs", body).await);
        self.ended(&job).await
    }

    async fn reverted(&self, job: &Value) -> Value {
        let path = format!("jobs/{}/revert", job["network_job_id"]);
        let job = accepted(self.post(&path, json!({})).await);
        self.ended(&job).await
    }

    async fn field(&self, id: u32, field: &str) -> Value {
        self.get(&format!("couponcodes/{id}")).await.done()[field].clone()
    }

    async fn fields(&self, field: &str) -> Vec<Value> {
        let list = self.get("couponcodes").await.done();
        list["coupon_codes"].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
    }

    async fn commit_file(&self, mode: &str, file: String) -> Value {
        let send = async |path: String, body: String| {
            let request = Request::post(format!("/v1/networks/couponcodes/uploads{path}"))
                .header("x-eflow-api-key", &self.key)
                .header("content-type", "text/csv")
                .body(Full::new(Bytes::from(body)))
                .unwrap();
            self.send(request).await.done()
        };
        let upload = send(format!("?mode={mode}"), file).await;
        send(format!("/{}/commit", upload["upload_id"]), String::new()).await
    }
}

/// Changed, unchanged, skipped, reverted and left codes.
fn counts(job: &Value) -> [u64; 5] {
    ["changed", "unchanged", "skipped", "reverted", "left"]
        .map(|count| job[format!("{count}_count")].as_u64().unwrap())
}

#[tokio::test]
async fn chosen_codes_change_and_a_revert_gives_back_what_they_had() {
    let network = start_with_codes().await;
    let wanted = json!({"network_coupon_code_ids": [1, 3, 1], "coupon_status": "paused"});
    let job = network.done_job(wanted).await;
    assert_eq!((&job["state"], &job["kind"]), (&json!("done"), &json!("change")));
    assert_eq!((&job["matched_count"], counts(&job)), (&json!(2), [1, 1, 0, 0, 0]));
    assert_eq!(network.fields("coupon_status").await, ["paused", "active", "paused", "active"]);
    let job = network.reverted(&job).await;
    assert_eq!((&job["state"], counts(&job)), (&json!("reverted"), [1, 1, 0, 1, 0]));
    assert_eq!(network.fields("coupon_status").await, ["active", "active", "paused", "active"]);
    let again = network.post(&format!("jobs/{}/revert", job["network_job_id"]), json!({})).await;
    assert_eq!(again.refusal(), (409, "job.not_revertible", vec!["state"]));
}

#[tokio::test]
async fn a_filter_chooses_as_in_the_list_and_all_fields_of_a_change_come_back() {
    let network = start_with_codes().await;
    network.patch("couponcodes/2", json!({"start_date": "2026-01-01"})).await.done();
    let before = network.get("couponcodes/2").await.done();
    let wanted = json!({
        "filter": ["network_offer_id=1"], "prefix": "T", "network_affiliate_id": 2,
        "start_date": "", "end_date": "2030-12-31", "coupon_status": "paused",
    });
    let job = network.done_job(wanted).await;
    assert_eq!(counts(&job), [2, 0, 0, 0, 0]);
    assert_eq!(job["choice"]["filter"], json!(["network_offer_id=1"]));
    assert_eq!(network.fields("network_affiliate_id").await, [1, 2, 2, 1]);
    assert_eq!(network.field(2, "start_date").await, "");
    assert_eq!(network.field(2, "end_date").await, "2030-12-31");
    network.reverted(&job).await;
    let after = network.get("couponcodes/2").await.done();
    for field in ["network_affiliate_id", "start_date", "end_date", "coupon_status"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let wanted = json!({"search": "REE", "network_offer_id": 2});
    assert_eq!(counts(&network.done_job(wanted).await), [1, 0, 0, 0, 0]);
    assert_eq!(network.field(3, "network_offer_id").await, 2);
}

#[tokio::test]
async fn codes_that_the_rules_refuse_are_counted_with_their_reasons() {
    let network = start_with_codes().await;
    // ONE on both offers: one partner owns both rows.
    network.post("couponcodes", with(code("one"), json!({"network_offer_id": 2}))).await.done();
    let wanted = json!({"network_coupon_code_ids": [1, 2], "network_affiliate_id": 2});
    let job = network.done_job(wanted).await;
    assert_eq!(counts(&job), [1, 0, 1, 0, 0]);
    assert_eq!(job["skipped"][0]["network_coupon_code_id"], 1);
    let error = job["skipped"][0]["error"].as_str().unwrap();
    assert!(error.contains("belongs to partner 1 (Anna)"), "{error}");
    assert_eq!(network.fields("network_affiliate_id").await, [1, 2, 1, 1, 1]);

    // All rows of the code together may get another partner.
    let wanted = json!({"network_coupon_code_ids": [1, 5], "network_affiliate_id": 2});
    assert_eq!(counts(&network.done_job(wanted).await), [2, 0, 0, 0, 0]);

    let wanted = json!({"network_coupon_code_ids": [1, 2], "network_offer_id": 2});
    let job = network.done_job(wanted).await;
    assert_eq!(counts(&job), [1, 0, 1, 0, 0]);
    let error = job["skipped"][0]["error"].as_str().unwrap();
    assert!(error.contains("stands on offer 2 already"), "{error}");

    network.patch("couponcodes/4", json!({"start_date": "2026-05-05"})).await.done();
    let wanted = json!({"network_coupon_code_ids": [4], "end_date": "2026-01-01"});
    let job = network.done_job(wanted).await;
    assert_eq!(counts(&job), [0, 0, 1, 0, 0]);
    assert_eq!(job["is_revertible"], false);
}

#[tokio::test]
async fn a_revert_leaves_codes_that_were_edited_since() {
    let network = start_with_codes().await;
    let wanted = json!({"filter": ["network_coupon_code_id>0"], "coupon_status": "paused"});
    let job = network.done_job(wanted).await;
    assert_eq!(counts(&job), [3, 1, 0, 0, 0]);
    network.patch("couponcodes/2", json!({"internal_notes": "seen"})).await.done();
    network.delete("couponcodes/4").await.done();
    let job = network.reverted(&job).await;
    assert_eq!(counts(&job), [3, 1, 0, 1, 2]);
    let left: Vec<&Value> =
        job["left"].as_array().unwrap().iter().map(|row| &row["coupon_code"]).collect();
    assert_eq!(left, ["ELSEWHERE", "TWO"]);
    assert_eq!(network.fields("coupon_status").await, ["active", "paused", "paused"]);
}

#[tokio::test]
async fn deleted_codes_come_back_with_their_ids_and_links() {
    let network = start_with_codes().await;
    let link = network.field(2, "tracking_link").await;
    let wanted = json!({"filter": ["network_offer_id=1"], "delete": true});
    let job = network.done_job(wanted).await;
    assert_eq!((counts(&job), &job["kind"]), ([3, 0, 0, 0, 0], &json!("delete")));
    assert_eq!(network.fields("network_coupon_code_id").await, [4]);
    // The place of ONE is taken meanwhile.
    network.post("couponcodes", code("ONE")).await.done();
    let job = network.reverted(&job).await;
    assert_eq!(counts(&job), [3, 0, 0, 2, 1]);
    assert!(job["left"][0]["error"].as_str().unwrap().contains("stands on offer 1 already"));
    assert_eq!(network.fields("network_coupon_code_id").await, [2, 3, 4, 5]);
    assert_eq!(network.field(2, "tracking_link").await, link);
}

#[tokio::test]
async fn a_request_without_a_choice_or_a_change_begins_nothing() {
    let network = start_with_codes().await;
    for (wrong, field) in [
        (json!({"coupon_status": "paused"}), "network_coupon_code_ids"),
        (
            json!({"coupon_status": "paused", "network_coupon_code_ids": []}),
            "network_coupon_code_ids",
        ),
        (
            json!({"coupon_status": "paused", "network_coupon_code_ids": [1], "search": "O"}),
            "network_coupon_code_ids",
        ),
        (json!({"network_coupon_code_ids": [1]}), "delete"),
        (
            json!({"network_coupon_code_ids": [1], "delete": true, "coupon_status": "paused"}),
            "delete",
        ),
        (json!({"network_coupon_code_ids": [1, 9], "delete": true}), "network_coupon_code_ids[1]"),
        (json!({"filter": ["colour=red"], "delete": true}), "filter"),
        (json!({"search": "O", "network_offer_id": 9}), "network_offer_id"),
        (json!({"search": "O", "network_affiliate_id": 9}), "network_affiliate_id"),
        (json!({"search": "O", "start_date": "2026-02-01", "end_date": "2026-01-01"}), "end_date"),
        (json!({"search": "O", "start_date": "tomorrow"}), "start_date"),
    ] {
        let refused = network.post("couponcodes/jobs", wrong.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{wrong}");
    }
    assert_eq!(network.get("jobs").await.done()["paging"]["total_count"], 0);
    assert_eq!(network.get("jobs/1").await.refusal(), (404, "not_found", vec![]));
    assert_eq!(network.post("jobs/1/stop", json!({})).await.refusal(), (404, "not_found", vec![]));
}

#[tokio::test]
async fn another_number_of_codes_than_confirmed_begins_nothing() {
    let network = start_with_codes().await;
    let wanted = |expected: u64| json!({"filter": ["network_offer_id=1"], "delete": true, "expected_count": expected});
    let refused = network.post("couponcodes/jobs", wanted(4)).await;
    assert_eq!(refused.refusal(), (409, "job.count_changed", vec!["expected_count"]));
    assert!(refused.body["error"].as_str().unwrap().starts_with("3 codes match now, not 4"));
    assert_eq!(counts(&network.done_job(wanted(3)).await), [3, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_repeated_request_is_one_job_and_the_audit_names_who_asked() {
    let network = start_with_codes().await;
    let wanted = json!({"network_coupon_code_ids": [1, 2], "coupon_status": "paused"});
    let post = async || {
        let path = "/v1/networks/couponcodes/jobs";
        let headers = [("idempotency-key", "k1")];
        accepted(
            network.call_with(&network.key, "POST", path, &headers, Some(wanted.clone())).await,
        )
    };
    let (first, second) = (post().await, post().await);
    assert_eq!(first["network_job_id"], second["network_job_id"]);
    let job = network.ended(&first).await;
    assert_eq!(network.get("jobs").await.done()["paging"]["total_count"], 1);
    assert_eq!(job["requested_by"], "first admin key");
    network.reverted(&job).await;
    let audit = network.get("audit?page_size=4").await.done();
    let entries: Vec<String> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            assert_eq!(entry["actor"], "api_key", "{entry}");
            assert_ne!(entry["request_id"], "", "{entry}");
            format!("{} {} {}", text("object"), text("action"), entry["objects"])
        })
        .collect();
    assert_eq!(
        entries,
        ["coupon_code changed 2", "job reverted 1", "coupon_code changed 2", "job requested 1"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_stops_between_slices_and_gives_back_what_it_had_done() {
    let network = start_with_offers().await;
    let made = json!({
        "pattern": "BULK######", "count": 20_000, "network_offer_id": 1,
        "network_affiliate_id": 1, "coupon_status": "active",
    });
    network.post("couponcodes/generate", made).await.done();
    let wanted = json!({"filter": ["network_offer_id=1"], "coupon_status": "paused"});
    let job = accepted(network.post("couponcodes/jobs", wanted).await);
    let path = format!("jobs/{}", job["network_job_id"]);
    while network.get(&path).await.done()["changed_count"] == 0 {}
    let stopped = network.post(&format!("{path}/stop"), json!({})).await;
    assert_eq!(stopped.status, 202, "the job was done before it was stopped: {stopped:?}");
    let job = network.ended(&job).await;
    assert_eq!(job["state"], "stopped");
    let changed = job["changed_count"].as_u64().unwrap();
    assert!(0 < changed && changed < 20_000, "{job}");
    let paused = async || {
        let list = network.get("couponcodes?filter=coupon_status%3Dpaused&page_size=1").await;
        list.done()["paging"]["total_count"].as_u64().unwrap()
    };
    assert_eq!(paused().await, changed);
    let job = network.reverted(&job).await;
    assert_eq!(counts(&job), [changed, 0, 0, changed, 0]);
    assert_eq!(paused().await, 0);
    let refused = network.post(&format!("{path}/stop"), json!({})).await;
    assert_eq!(refused.refusal(), (409, "job.not_running", vec!["state"]));
}

#[tokio::test]
async fn an_upload_of_new_codes_is_reverted_except_for_those_edited_since() {
    let network = start_with_codes().await;
    let file =
        "offer_id,affiliate_id,coupon_code,status\n1,1,UPA,active\n1,1,UPB,active\n1,,UPC,active\n";
    let upload = network.commit_file("add", file.into()).await;
    let job = network.get(&format!("jobs/{}", upload["committed"]["network_job_id"])).await.done();
    assert_eq!((&job["state"], &job["upload_id"]), (&json!("done"), &upload["upload_id"]));
    assert_eq!((counts(&job), &job["is_revertible"]), ([3, 0, 0, 0, 0], &json!(true)));
    network.patch("couponcodes/6", json!({"internal_notes": "handed out"})).await.done();
    let job = network.reverted(&job).await;
    assert_eq!((&job["state"], counts(&job)), (&json!("reverted"), [3, 0, 0, 2, 1]));
    assert_eq!(network.fields("network_coupon_code_id").await, [1, 2, 3, 4, 6]);
}

#[tokio::test]
async fn an_upload_of_changes_is_reverted_to_all_that_it_replaced() {
    let network = start_with_codes().await;
    network
        .patch("couponcodes/2", json!({"internal_notes": "old", "end_date": "2029-01-01"}))
        .await
        .done();
    let before = network.get("couponcodes").await.done();
    let file = "coupon_code,offer_id,affiliate_id,status,end_date,internal_notes\n\
                ONE,1,2,paused,2030-01-01,new\nTWO,1,,,-,-\nTHREE,1,1,paused,,\n";
    let upload = network.commit_file("update", file.into()).await;
    let outcome = &upload["committed"];
    assert_eq!((&outcome["updated"], &outcome["unchanged"]), (&json!(2), &json!(1)));
    assert_eq!(network.field(1, "network_affiliate_id").await, 2);
    assert_eq!(network.field(2, "internal_notes").await, "");
    let job = network.get(&format!("jobs/{}", outcome["network_job_id"])).await.done();
    let job = network.reverted(&job).await;
    assert_eq!(counts(&job), [2, 1, 0, 2, 0]);
    let after = network.get("couponcodes").await.done();
    let fields = |list: &Value| -> Vec<Value> {
        let rows = list["coupon_codes"].as_array().unwrap().iter().cloned();
        rows.map(|row| with(row, json!({"time_saved": 0}))).collect()
    };
    assert_eq!(fields(&after), fields(&before));
}

#[tokio::test]
async fn old_jobs_go_only_while_the_clock_is_trusted() {
    let network = start_with_codes().await;
    let wanted = json!({"network_coupon_code_ids": [1], "coupon_status": "paused"});
    let job = network.done_job(wanted).await;
    let age = |network: &Running, sql: &str| {
        rusqlite::Connection::open(network.dir().join("admin.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    age(&network, "UPDATE job SET time_finished = time_finished - 31 * 86400");
    // A clock that is a year ahead is not trusted, so nothing is removed.
    let ahead = "DELETE FROM removal_clock; INSERT INTO removal_clock (id, unix_ms, agreed_ms, parted_ms, jump_ms) \
                 VALUES (1, (unixepoch() + 365 * 86400) * 1000, 0, 0, 365 * 86400000)";
    age(&network, ahead);
    let network = network.restart(|_| {}).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(network.get(&format!("jobs/{}", job["network_job_id"])).await.status, 200);
}
