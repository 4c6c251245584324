//! `/v1/networks/couponcodes/uploads`: from a file to staged rows to codes.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::client::{Answer, Running, code, start_with, start_with_offers, with};

const HEADER: &str = "offer_id,affiliate_id,coupon_code,status";

impl Running {
    /// Sends bytes that are not JSON.
    async fn send_as(&self, path: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(format!("/v1/networks/{path}"))
            .header("x-eflow-api-key", &self.key)
            .header("content-type", kind)
            .body(Full::new(body.into()))
            .unwrap();
        self.send(request).await
    }

    async fn upload(&self, mode: &str, file: impl Into<Bytes>) -> Answer {
        self.send_as(&format!("couponcodes/uploads?mode={mode}"), "text/csv", file).await
    }

    /// Uploads rows to add, with the mandatory columns.
    async fn staged(&self, rows: &str) -> Value {
        self.upload("add", format!("{HEADER}\n{rows}")).await.done()
    }

    async fn rows(&self, id: &Value, query: &str) -> Value {
        self.get(&format!("couponcodes/uploads/{id}{query}")).await.done()
    }

    async fn commit(&self, id: &Value, query: &str) -> Answer {
        self.send_as(&format!("couponcodes/uploads/{id}/commit{query}"), "", Bytes::new()).await
    }

    async fn codes(&self) -> Vec<String> {
        let list = self.get("couponcodes?page_size=2000").await.done();
        let rows = list["coupon_codes"].as_array().unwrap().iter();
        rows.map(|row| row["coupon_code"].as_str().unwrap().to_owned()).collect()
    }

    async fn text(&self, path: &str) -> String {
        let request = Request::get(format!("/v1/networks/{path}"))
            .header("x-eflow-api-key", &self.key)
            .body(Full::default())
            .unwrap();
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        answer.text
    }
}

/// Row, verdict, and columns with errors.
fn verdicts(answer: &Value) -> Vec<(u64, String, Vec<String>)> {
    let rows = answer["rows_on_page"].as_array().unwrap().iter();
    rows.map(|row| {
        let errors = row["errors"].as_array().unwrap().iter();
        (
            row["row"].as_u64().unwrap(),
            row["verdict"].as_str().unwrap().to_owned(),
            errors.map(|error| error["column"].as_str().unwrap().to_owned()).collect(),
        )
    })
    .collect()
}

fn wrong(row: u64, column: &str) -> (u64, String, Vec<String>) {
    (row, "invalid".into(), vec![column.into()])
}

fn right(row: u64) -> (u64, String, Vec<String>) {
    (row, "valid".into(), vec![])
}

#[tokio::test]
async fn rows_with_the_same_error_are_counted_and_mended_together() {
    let network = start_with_offers().await;
    let wrong_partner = (0..1_100).map(|row| format!("1,77,FEW{row},active\n"));
    let rows: String = wrong_partner.chain(["1,1,A B,active\n".into()]).collect();
    let upload = network.staged(&rows).await;
    let id = &upload["upload_id"];
    let groups = network.get(&format!("couponcodes/uploads/{id}/errors")).await.done();
    let (most, least) = (&groups["errors"][0], &groups["errors"][1]);
    assert_eq!(
        (&most["column"], &most["error"], &most["rows"]),
        (&json!("affiliate_id"), &json!("there is no affiliate 77"), &json!(1_100))
    );
    assert_eq!((&least["column"], &least["rows"]), (&json!("coupon_code"), &json!(1)));

    let group =
        format!("couponcodes/uploads/{id}/rows?column=affiliate_id&error=there+is+no+affiliate+77");
    let unknown = network.patch(&group, json!({"colour": "red"})).await;
    assert_eq!(unknown.refusal(), (400, "request.invalid", vec!["colour"]));
    let changed = network.patch(&group, json!({"affiliate_id": 1})).await.done();
    assert_eq!(
        changed,
        json!({"changed_rows": 1_100, "rows": 1_101, "valid": 1_100, "invalid": 1})
    );
    assert_eq!(network.patch(&group, json!({"affiliate_id": 1})).await.refusal().0, 404);

    let error = least["error"].as_str().unwrap().replace(' ', "+").replace('`', "%60");
    let last = format!("couponcodes/uploads/{id}/rows?column=coupon_code&error={error}");
    let changed = network.patch(&last, json!({"coupon_code": "FEW0"})).await.done();
    assert_eq!(changed["invalid"], 1, "another row has the same code on the same offer");
}

#[tokio::test]
async fn a_file_is_staged_mended_and_committed() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("TAKEN")).await.done();
    let upload =
        network.staged("1,1,GOOD,active\n1,,taken,active\n2,2,TAKEN,active\n1,,b d,active\n").await;
    assert_eq!(
        (&upload["mode"], &upload["status"], &upload["rows"], &upload["valid"], &upload["invalid"]),
        (&json!("add"), &json!("staged"), &json!(4), &json!(1), &json!(3))
    );
    let id = &upload["upload_id"];
    let rows = network.rows(id, "").await;
    assert_eq!(
        verdicts(&rows),
        [right(1), wrong(2, "coupon_code"), wrong(3, "affiliate_id"), wrong(4, "coupon_code")]
    );
    let second = &rows["rows_on_page"][1];
    assert_eq!((&second["line"], &second["values"]["coupon_code"]), (&json!(3), &json!("taken")));
    assert!(second["errors"][0]["error"].as_str().unwrap().contains("coupon code 1"), "{second}");
    let third = rows["rows_on_page"][2]["errors"][0]["error"].as_str().unwrap();
    assert!(third.contains("partner 1 (Anna)"), "{third}");
    let refused = network.commit(id, "").await;
    assert_eq!(
        refused.refusal(),
        (
            409,
            "upload.invalid_rows",
            vec!["[2].coupon_code", "[3].affiliate_id", "[4].coupon_code"]
        )
    );
    assert_eq!(network.codes().await, ["TAKEN"]);

    let row = |number: u32| format!("couponcodes/uploads/{id}/rows/{number}");
    let mended = network.patch(&row(4), json!({"coupon_code": "BETTER"})).await.done();
    assert_eq!(mended["verdict"], "valid");
    network.delete(&row(2)).await.done();
    network.delete(&row(3)).await.done();
    let more = json!({"coupon_code": "MORE", "offer_id": 2, "affiliate_id": 1, "status": "paused"});
    let added = network.post(&format!("couponcodes/uploads/{id}/rows"), more).await.done();
    assert_eq!(
        (&added["row"], &added["line"], &added["verdict"]),
        (&json!(5), &Value::Null, &json!("valid"))
    );

    let first = network.commit(id, "").await.done();
    assert_eq!(
        (&first["status"], &first["committed"]["created"]),
        (&json!("committed"), &json!(3))
    );
    assert_eq!(network.codes().await, ["TAKEN", "GOOD", "BETTER", "MORE"]);
    let again = network.commit(id, "").await.done();
    assert_eq!(again, first);
    assert_eq!(network.codes().await.len(), 4);
    let late = network.patch(&row(1), json!({"status": "paused"})).await;
    assert_eq!(late.refusal().1, "upload.committed");
}

#[tokio::test]
async fn an_edited_row_changes_the_verdict_of_the_rows_it_collides_with() {
    let network = start_with_offers().await;
    let upload = network.staged("1,1,SAME,active\n2,2,same,active\n1,1,else,active\n").await;
    let id = &upload["upload_id"];
    let rows = network.rows(id, "").await;
    assert_eq!(verdicts(&rows), [wrong(1, "affiliate_id"), wrong(2, "affiliate_id"), right(3)]);
    let named = rows["rows_on_page"][0]["errors"][0]["error"].as_str().unwrap();
    assert!(named.contains("row 2"), "{named}");
    let row = format!("couponcodes/uploads/{id}/rows/2");
    network.patch(&row, json!({"coupon_code": "else"})).await.done();
    let rows = network.rows(id, "").await;
    assert_eq!(verdicts(&rows), [right(1), wrong(2, "affiliate_id"), wrong(3, "affiliate_id")]);
    network.patch(&row, json!({"affiliate_id": null})).await.done();
    assert_eq!(network.rows(id, "").await["invalid"], 0);
}

#[tokio::test]
async fn verdicts_are_judged_again_at_the_commit() {
    let network = start_with_offers().await;
    let upload = network.staged("1,2,LATE,active\n1,2,OTHER,active\n").await;
    let id = &upload["upload_id"];
    assert_eq!(upload["invalid"], 0);
    network.post("couponcodes", with(code("late"), json!({"network_offer_id": 2}))).await.done();
    assert_eq!(network.commit(id, "").await.refusal().1, "upload.invalid_rows");
    assert_eq!(verdicts(&network.rows(id, "").await), [wrong(1, "affiliate_id"), right(2)]);
    let skipped = network.commit(id, "?skip_invalid=true").await.done();
    assert_eq!(
        (&skipped["committed"]["created"], &skipped["committed"]["skipped"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(network.codes().await, ["late", "OTHER"]);
}

#[tokio::test]
async fn rows_come_in_pages_and_by_verdict() {
    let network = start_with_offers().await;
    let rows: String =
        (0..60)
            .map(|row| {
                if row % 3 == 0 { "1,,x,active\n".into() } else { format!("1,,ROW{row},active\n") }
            })
            .collect();
    let upload = network.staged(&rows).await;
    let id = &upload["upload_id"];
    let page = network.rows(id, "?page=2&page_size=7").await;
    assert_eq!(page["paging"], json!({"page": 2, "page_size": 7, "total_count": 60}));
    assert_eq!(verdicts(&page)[0].0, 8);
    let invalid = network.rows(id, "?filter=verdict=invalid").await;
    assert_eq!((&invalid["paging"]["total_count"], verdicts(&invalid).len()), (&json!(20), 20));
    assert_eq!(network.rows(id, "?filter=verdict=valid").await["paging"]["total_count"], 40);
    let unknown = network.get(&format!("couponcodes/uploads/{id}?filter=verdict=odd")).await;
    assert_eq!(unknown.refusal().2, ["filter"]);
    let list = network.get("couponcodes/uploads").await.done();
    assert_eq!((&list["uploads"][0]["upload_id"], &list["paging"]["total_count"]), (id, &json!(1)));
    let errors = network.text(&format!("couponcodes/uploads/{id}/errors.csv")).await;
    assert!(errors.starts_with("row,line,column,error\n1,2,\"coupon_code\","), "{errors}");
    assert_eq!(errors.lines().count(), 21);
}

#[tokio::test]
async fn a_file_comes_plain_in_a_form_or_not_at_all() {
    let network = start_with_offers().await;
    let file = format!("\u{feff}{HEADER}\r\n1,1,PLAIN,active\r\n");
    assert_eq!(network.upload("add", file.clone()).await.done()["rows"], 1);
    let part = |name: &str| {
        format!(
            "--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f.csv\"\r\nContent-Type: text/csv\r\n\r\n{file}\r\n"
        )
    };
    let form = "multipart/form-data; boundary=XX";
    let path = "couponcodes/uploads?mode=add";
    let one = network.send_as(path, form, format!("{}--XX--\r\n", part("file"))).await;
    assert_eq!(one.done()["rows"], 1);
    let two = network.send_as(path, form, format!("{}{}--XX--\r\n", part("a"), part("b"))).await;
    assert_eq!(two.refusal().2, ["file"]);
    let cut = network.send_as(path, form, part("file")).await;
    assert_eq!(cut.refusal().1, "body.broken_off");
    let json = network.send_as(path, "application/json", "{}").await;
    assert_eq!(json.refusal().0, 415);

    let empty = network.send_as(path, "", Bytes::new()).await.done();
    assert_eq!(empty["rows"], 0);
    // A lost file is not an empty one.
    let lost = network.send_as(&format!("{path}&delimiter=tab"), "", Bytes::new()).await;
    assert_eq!(lost.refusal(), (400, "request.invalid", vec!["body"]));
    let id = &empty["upload_id"];
    assert_eq!(network.commit(id, "").await.refusal().1, "upload.empty");
    let typed =
        json!({"coupon_code": "TYPED", "offer_id": 1, "affiliate_id": "", "status": "active"});
    network.post(&format!("couponcodes/uploads/{id}/rows"), typed).await.done();
    network.commit(id, "").await.done();
    assert_eq!(network.codes().await, ["TYPED"]);
}

#[tokio::test]
async fn a_file_that_is_no_table_is_refused_with_its_line_and_leaves_nothing() {
    let network = start_with_offers().await;
    let cases: [(&str, &str); 5] = [
        ("add", "offer_id,coupon_code,status\n"),
        ("add", "offer_id;affiliate_id;coupon_code;colour\n"),
        ("update", "coupon_code\nABC\n"),
        ("update", "coupon_code,colour\n"),
        ("add", "offer_id,affiliate_id,coupon_code,status\n1,1,\"OPEN,active\n"),
    ];
    for (mode, file) in cases {
        let answer = network.upload(mode, file).await;
        assert_eq!(answer.refusal().1, "upload.unreadable", "{file}");
        let sentence = answer.body["error"].as_str().unwrap();
        assert!(sentence.starts_with("line "), "{sentence}");
    }
    assert_eq!(network.upload("both", "x").await.refusal().2, ["mode"]);
    assert_eq!(network.get("couponcodes/uploads").await.done()["paging"]["total_count"], 0);
    assert_eq!(std::fs::read_dir(network.dir().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn cells_that_cannot_be_read_are_wrong_until_they_are_typed_anew() {
    let network = start_with_offers().await;
    let mut file = format!("{HEADER},description\n1,1,AAA,active,").into_bytes();
    file.extend(b"M\0nchen\n1,1,BBB,active,a\0b\n1,1,CCC,active,");
    file.extend([b'x'; 9000]);
    file.extend(b"\n1,1,DDD\n");
    let upload = network.upload("add", file).await.done();
    let id = &upload["upload_id"];
    let rows = network.rows(id, "").await;
    assert_eq!(
        verdicts(&rows),
        [wrong(1, "description"), wrong(2, "description"), wrong(3, "description"), wrong(4, "")]
    );
    let row = |number: u32| format!("couponcodes/uploads/{id}/rows/{number}");
    let other = network.patch(&row(1), json!({"status": "paused"})).await.done();
    assert_eq!(other["verdict"], "invalid");
    let typed = network.patch(&row(1), json!({"description": "M\u{fc}nchen"})).await.done();
    assert_eq!(typed["verdict"], "valid");
    let whole = json!({"offer_id": 1, "affiliate_id": 1, "coupon_code": "DDD", "status": "active"});
    assert_eq!(network.patch(&row(4), whole).await.done()["verdict"], "valid");
    assert_eq!(network.patch(&row(9), json!({})).await.status, 404);
    assert_eq!(network.patch(&row(1), json!({"colour": "red"})).await.refusal().2, ["colour"]);
}

#[tokio::test]
async fn an_update_selects_sets_keeps_and_clears() {
    let network = start_with_offers().await;
    network
        .post(
            "couponcodes",
            with(code("ONE"), json!({"description": "keep", "end_date": "2030-01-01"})),
        )
        .await
        .done();
    let upload = network
        .upload("update", "Coupon_Code,AFFILIATE_ID,end_date,notes\none,-,-,'=new\n")
        .await
        .done();
    assert_eq!((&upload["mode"], &upload["invalid"]), (&json!("update"), &json!(0)));
    let done = network.commit(&upload["upload_id"], "").await.done();
    assert_eq!(done["committed"]["updated"], 1);
    let now = network.get("couponcodes/1").await.done();
    assert_eq!(
        (
            &now["network_affiliate_id"],
            &now["end_date"],
            &now["description"],
            &now["internal_notes"]
        ),
        (&json!(0), &json!(""), &json!("keep"), &json!("=new"))
    );
}

#[tokio::test]
async fn an_export_updates_its_own_network_and_fills_an_empty_one() {
    let network = start_with_offers().await;
    let odd = json!({
        "description": "=SUM(A1), \"x\"\nsecond line", "internal_notes": "-", "start_date": "2026-01-01",
        "is_description_plain_text": false, "coupon_status": "paused",
    });
    network.post("couponcodes", with(code("Odd"), odd)).await.done();
    network
        .post("couponcodes", with(code("FREE"), json!({"network_affiliate_id": 0})))
        .await
        .done();
    let merchants = json!({"coupon_code": "SAVE-20", "conversion_only": true});
    network.post("couponcodes", with(code("x"), merchants)).await.done();
    network.post("couponcodes", with(code("odd"), json!({"network_offer_id": 2}))).await.done();
    let file = network.text("couponcodes/export.csv").await;
    assert!(file.contains("\"'=SUM") && file.contains(",\"'-\","), "{file}");
    let upload = network.upload("update", file.clone()).await.done();
    assert_eq!((&upload["rows"], &upload["invalid"]), (&json!(4), &json!(0)));
    let same = network.commit(&upload["upload_id"], "").await.done();
    assert_eq!(same["committed"]["unchanged"], 4);

    let other = start_with_offers().await;
    let upload = other.upload("add", file.clone()).await.done();
    assert_eq!(upload["invalid"], 0, "{}", other.rows(&upload["upload_id"], "").await);
    other.commit(&upload["upload_id"], "").await.done();
    assert_eq!(other.text("couponcodes/export.csv").await, file);
    let filtered = other.text("couponcodes/export.csv?filter=network_affiliate_id=0").await;
    assert_eq!(filtered.lines().count(), 2);
    assert_eq!(other.get("couponcodes/export.csv?page=1").await.refusal().2, ["page"]);
}

#[tokio::test]
async fn the_example_of_a_template_makes_no_code_until_its_code_is_changed() {
    let network = start_with_offers().await;
    for mode in ["add", "update"] {
        let template = network.text(&format!("couponcodes/template.csv?mode={mode}")).await;
        let upload = network.upload(mode, template.clone()).await.done();
        assert_eq!(upload["rows"], 0);
        let warning = &upload["warnings"];
        assert_eq!(*warning, json!(["line 2: the example of the template was left out"]));
        let own = template.replace("EXAMPLE - write your codes below", "FIRST1");
        let upload = network.upload(mode, own).await.done();
        assert_eq!((&upload["rows"], &upload["warnings"]), (&json!(1), &json!([])));
        // The update names a code that is there by then.
        assert_eq!(upload["valid"], 1, "{}", network.rows(&upload["upload_id"], "").await);
        network.commit(&upload["upload_id"], "").await.done();
    }
    assert_eq!(network.codes().await, ["FIRST1"]);
}

#[tokio::test]
async fn a_file_has_a_limit_of_its_own_and_must_keep_coming() {
    let network = start_with(|config| {
        config.limits.max_body_bytes = 100;
        config.uploads.max_bytes = 1000;
        config.uploads.stall_timeout = Duration::from_millis(300);
    })
    .await;
    let fits = network.upload("add", format!("{HEADER}\n{}", "1,1,x,active\n".repeat(20))).await;
    assert_eq!(fits.done()["rows"], 20);
    let big = network.upload("add", format!("{HEADER}\n{}", "1,1,x,active\n".repeat(200))).await;
    assert_eq!(big.refusal().1, "body.too_large");

    let head = format!(
        "POST /v1/networks/couponcodes/uploads?mode=add HTTP/1.1\r\nHost: {}\r\nX-Eflow-API-Key: {}\r\n\
         Content-Type: text/csv\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{HEADER}\n",
        network.address, network.key
    );
    let address = network.address;
    let slow = tokio::task::spawn_blocking(move || {
        let mut slow = std::net::TcpStream::connect(address).unwrap();
        slow.write_all(head.as_bytes()).unwrap();
        // In total longer than the allowed time without a byte.
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(150));
            slow.write_all(b"1,1,x,active\n").unwrap();
        }
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = slow.await.unwrap();
    assert!(answer.contains("body.too_slow"), "{answer}");
    assert_eq!(std::fs::read_dir(network.dir().join("uploads")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_upload_that_is_sent_again_with_its_key_is_staged_once() {
    let network = start_with_offers().await;
    let send = async || {
        let request = Request::post("/v1/networks/couponcodes/uploads?mode=add")
            .header("x-eflow-api-key", &network.key)
            .header("content-type", "text/csv")
            .header("idempotency-key", "once")
            .body(Full::from(format!("{HEADER}\n1,1,ONCE,active\n")))
            .unwrap();
        network.send(request).await
    };
    let first = send().await.done();
    assert_eq!(send().await.done(), first);
    assert_eq!(network.get("couponcodes/uploads").await.done()["paging"]["total_count"], 1);
    assert_eq!(std::fs::read_dir(network.dir().join("uploads")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_upload_goes_when_it_is_removed_or_its_time_is_over() {
    let network = start_with(|config| config.uploads.keep = Duration::from_secs(1)).await;
    let removed = network.staged("1,1,AAA,active\n").await;
    network.delete(&format!("couponcodes/uploads/{}", removed["upload_id"])).await.done();
    let old = network.staged("1,1,AAA,active\n").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let found = network.get(&format!("couponcodes/uploads/{}", old["upload_id"])).await;
    assert_eq!(found.status, 200, "by a clock just set, nothing goes");
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let trust =
        "INSERT OR REPLACE INTO removal_clock VALUES (1, (unixepoch() + 9) * 1000, 86400000, 0, 0)";
    store.execute(trust, []).unwrap();
    for _ in 0..100 {
        if std::fs::read_dir(network.dir().join("uploads")).unwrap().count() == 0 {
            let gone = network.get(&format!("couponcodes/uploads/{}", old["upload_id"])).await;
            return assert_eq!(gone.status, 404);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is still there");
}

#[tokio::test]
async fn codes_once_anothers_are_issued_anew_only_on_demand() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("GONE")).await.done();
    network.delete("couponcodes/1").await.done();
    let refused = network.staged("1,2,gone,active\n").await;
    assert_eq!(refused["invalid"], 1);
    let file = format!("{HEADER}\n1,2,gone,active\n");
    let upload = network.upload("add&allow_reissue=true", file).await.done();
    assert_eq!(upload["invalid"], 0);
    network.commit(&upload["upload_id"], "").await.done();
    assert_eq!(network.codes().await, ["gone"]);
}

#[tokio::test]
async fn a_row_of_a_code_that_its_former_partner_has_is_no_reissue() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("HERS")).await.done();
    let second = with(code("HERS"), json!({"network_offer_id": 2}));
    network.post("couponcodes", second).await.done();
    network.delete("couponcodes/2").await.done();
    assert_eq!(network.staged("2,,hers,active\n").await["invalid"], 0);
    network.delete("couponcodes/1").await.done();
    assert_eq!(network.staged("2,,hers,active\n").await["invalid"], 1);
    assert_eq!(network.staged("2,,hers,active\n1,1,hers,active\n").await["invalid"], 0);
    assert_eq!(network.staged("2,,hers,active\n1,2,hers,active\n").await["invalid"], 2);
}

/// Two simultaneous files assign the same codes to two partners.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_commits_at_once_that_claim_the_same_codes_one_wins() {
    let network = start_with_offers().await;
    for round in 0..5 {
        let claim = async |partner: u32| {
            let rows: String = (0..200)
                .map(|row| format!("{partner},{partner},R{round}C{row},active\n"))
                .collect();
            let upload = network.staged(&rows).await;
            assert_eq!(upload["invalid"], 0);
            upload["upload_id"].clone()
        };
        let (one, two) = (claim(1).await, claim(2).await);
        let (one, two) = tokio::join!(network.commit(&one, ""), network.commit(&two, ""));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{one:?} {two:?}");
    }
    assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 1000);
}

#[tokio::test]
async fn an_edit_behind_a_long_commit_waits_for_it() {
    let network = start_with_offers().await;
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        store.execute_batch("COMMIT").unwrap();
    };
    let (waited, ()) = tokio::join!(network.post("couponcodes", code("WAITED")), release);
    waited.done();
    assert_eq!(network.codes().await, ["WAITED"]);
}

#[tokio::test]
async fn a_form_whose_headers_never_end_is_refused_early() {
    let network = start_with_offers().await;
    let endless = format!("--XX\r\nContent-Disposition: {}", "x".repeat(4 << 20));
    let path = "couponcodes/uploads?mode=add";
    let refused = network.send_as(path, "multipart/form-data; boundary=XX", endless).await;
    assert_eq!(refused.refusal(), (400, "body.syntax", vec![]));
    let nameless = network.send_as(path, "multipart/form-data", "--XX--").await;
    assert_eq!(nameless.refusal(), (400, "body.syntax", vec![]));
    assert_eq!(network.get("couponcodes/uploads").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn a_row_with_a_merchants_sign_is_edited_as_the_file_shows_it() {
    let network = start_with_offers().await;
    let file = format!("{HEADER},conversion_only\n1,1,'-5,active,true\n1,1,''-5,active,true\n");
    let upload = network.upload("add", file).await.done();
    let id = &upload["upload_id"];
    let rows = network.rows(id, "").await;
    let cell = |row: usize| rows["rows_on_page"][row]["values"]["coupon_code"].clone();
    assert_eq!((cell(0), cell(1)), (json!("'-5"), json!("''-5")));
    network
        .patch(&format!("couponcodes/uploads/{id}/rows/1"), json!({"status": "paused"}))
        .await
        .done();
    network.commit(id, "").await.done();
    assert_eq!(network.codes().await, ["-5", "'-5"]);
    assert_eq!(network.get("couponcodes/1").await.done()["coupon_status"], "paused");
}

#[tokio::test]
async fn a_cell_that_is_an_array_or_an_object_is_refused_with_its_column() {
    let network = start_with_offers().await;
    let upload = network.upload("add", format!("{HEADER}\n1,1,AAA,active\n")).await.done();
    let path = format!("couponcodes/uploads/{}/rows/1", upload["upload_id"]);
    for cell in [json!(["x"]), json!({"x": 1})] {
        assert_eq!(
            network.patch(&path, json!({"description": cell})).await.refusal().2,
            ["description"]
        );
    }
    let numbers = json!({"coupon_code": 1234, "affiliate_id": null, "description": 1.5});
    let row = network.patch(&path, numbers).await.done();
    assert_eq!(row["values"]["coupon_code"], "1234");
    assert_eq!(row["values"]["description"], "1.5");
}

#[tokio::test]
async fn a_file_of_another_program_is_read_as_the_request_says() {
    let network = start_with_offers().await;
    // Windows-1252 with semicolons, names of another program, and cleared rows behind the last.
    let file =
        b"Code;Partner;Farbe;Notes;\r\nAAA;1;rot;M\xfcnchen;\r\nBBB;;blau\r\n;;;;\r\n;;;;\r\n";
    let refused = network.upload("add", file.as_slice()).await;
    assert_eq!(refused.refusal(), (400, "upload.unreadable", vec![]));
    let latin = "\nAAA;M\u{fc}nchen\n".chars().map(|c| c as u8);
    let file_of_codes: Vec<u8> = b"coupon_code;notes".iter().copied().chain(latin).collect();
    let sentence = network.upload("update", file_of_codes).await.body["error"].to_string();
    assert!(
        sentence.contains("line 2") && sentence.contains("encoding=windows-1252"),
        "{sentence}"
    );

    let layout = "&encoding=windows-1252&column=coupon_code:code&column=affiliate_id:%232\
                  &column=ignore:Farbe&value=offer_id:1&value=status:paused";
    let path = format!("couponcodes/uploads?mode=add{layout}");
    let upload = network.send_as(&path, "text/csv", file.as_slice()).await.done();
    assert_eq!((&upload["status"], &upload["valid"]), (&json!("staged"), &json!(2)), "{upload}");
    network.commit(&upload["upload_id"], "").await.done();
    let code = network.get("couponcodes/1").await.done();
    assert_eq!(
        (&code["coupon_code"], &code["internal_notes"], &code["coupon_status"]),
        (&json!("AAA"), &json!("M\u{fc}nchen"), &json!("paused"))
    );
    for (layout, field) in [
        ("&column=coupon_code", "column"),
        ("&column=colour:Farbe", "column"),
        ("&value=status", "value"),
        ("&encoding=latin", "encoding"),
        ("&date_format=dd/mm", "date_format"),
        ("&delimiter=;", "delimiter"),
    ] {
        let path = format!("couponcodes/uploads?mode=add{layout}");
        let answer = network.send_as(&path, "text/csv", file.as_slice()).await;
        assert_eq!(answer.refusal().2, [field], "{layout}");
    }
    let refusals = [
        ("&column=ignore:Nobody", "no column `Nobody`"),
        ("&value=status:active", "has a column for status"),
    ];
    for (layout, part) in refusals {
        let path = format!("couponcodes/uploads?mode=add{layout}");
        let file = format!("{HEADER}\n1,1,CCC,active\n");
        let answer = network.send_as(&path, "text/csv", file).await;
        assert!(answer.body["error"].as_str().unwrap().contains(part), "{answer:?}");
    }
}

#[tokio::test]
async fn an_unclear_file_is_kept_until_it_is_read() {
    let network = start_with_offers().await;
    let keep = "couponcodes/uploads?mode=add&keep_unclear=true";
    let clear = network.send_as(keep, "text/csv", format!("{HEADER}\n1,1,CLEAR,active\n")).await;
    assert_eq!(clear.done()["status"], "staged");
    let not_utf8 = format!("{HEADER},notes\n1,1,AAA,active,M").into_bytes();
    let not_utf8 = [not_utf8.as_slice(), b"\xfcnchen\n"].concat();
    let doubtful = network.send_as(keep, "text/csv", not_utf8).await.done();
    assert_eq!(doubtful["status"], "unread");
    let path = format!("couponcodes/uploads/{}", doubtful["upload_id"]);
    let preview = network.get(&format!("{path}/preview")).await.done();
    assert_eq!(preview["encoding"], "windows-1252");
    assert_eq!(preview["rows"][0]["cells"][4], "M\u{fc}nchen");
    assert_eq!(preview["problems"], json!([]));

    let unread = network.send_as(keep, "text/csv", "offer_id|Wort|status\n1|BBB|active\n").await;
    let unread = unread.done();
    let id = &unread["upload_id"];
    let path = format!("couponcodes/uploads/{id}");
    assert_eq!((&unread["status"], &unread["rows"]), (&json!("unread"), &json!(0)));
    assert_eq!(network.rows(id, "").await["rows_on_page"], json!([]));
    for refused in [
        network.commit(id, "").await,
        network.get(&format!("{path}/errors")).await,
        network.post(&format!("{path}/rows"), json!({"status": "active"})).await,
    ] {
        assert_eq!(refused.refusal().1, "upload.unread");
    }
    let preview = network.get(&format!("{path}/preview")).await.done();
    assert_eq!((&preview["delimiter"], &preview["encoding"]), (&json!("pipe"), &json!("utf-8")));
    assert_eq!(preview["missing_fields"], json!(["affiliate_id", "coupon_code"]));
    assert_eq!(preview["columns"][1], json!({"name": "Wort", "field": null, "is_ignored": false}));
    let left_out = "`Wort`: no field has this name, so the column was left out";
    assert_eq!(preview["warnings"], json!([left_out]));
    assert_eq!(preview["rows"][0], json!({"line": 2, "cells": ["1", "BBB", "active"]}));
    let chosen = network.get(&format!("{path}/preview?column=coupon_code:Wort")).await.done();
    assert_eq!(chosen["missing_fields"], json!(["affiliate_id"]));

    // The file survives a restart, and a refused reading.
    let network = network.restart(|_| {}).await;
    let read = |query: &str| format!("{path}/read?column=coupon_code:Wort{query}");
    let refused = network.post(&read(""), json!(null)).await;
    assert_eq!(refused.refusal().1, "upload.unreadable");
    let files = || std::fs::read_dir(network.dir().join("uploads")).unwrap().count();
    assert_eq!(files(), 3);
    let staged = network.post(&read("&value=affiliate_id:1"), json!(null)).await.done();
    assert_eq!((&staged["status"], &staged["valid"]), (&json!("staged"), &json!(1)));
    assert_eq!(files(), 3, "the rows have taken the place of the received file");
    let again = network.post(&read("&value=affiliate_id:1"), json!(null)).await;
    assert_eq!(again.refusal().1, "upload.read");
    network.commit(id, "").await.done();
    assert_eq!(network.codes().await, ["BBB"]);
    network.delete(&format!("couponcodes/uploads/{}", doubtful["upload_id"])).await.done();
    assert_eq!(files(), 2);
}

#[tokio::test]
async fn blank_cells_and_rows_that_spreadsheets_write_are_nothing() {
    let network = start_with_offers().await;
    // Excel leaves out blank cells at the end of rows, and writes cells of cleared columns and rows.
    let file = "offer_id\taffiliate_id\tcoupon_code\tstatus\tnotes\t\t\n\
                1\t1\tAAA\tactive\t\t\t\n1\t1\tBBB\tactive\n\t\t\t\t\t\t\n1\t1\tCCC\n\
                1\t1\tDDD\tactive\tn\t\tx\n\t\n\n";
    let upload = network.upload("add", file).await.done();
    let rows = network.rows(&upload["upload_id"], "").await;
    assert_eq!(verdicts(&rows), [right(1), right(2), wrong(3, ""), wrong(4, "")]);
    assert_eq!(rows["rows_on_page"][2]["line"], 5);
}

#[tokio::test]
async fn rows_of_an_error_or_all_rows_are_changed_shown_and_deleted_together() {
    let network = start_with_offers().await;
    let upload =
        network.staged("1,1, AA-1 ,aktiv\n1,1,AA2,aktiv\n1,77,AA3,active\n1,,AA4,active\n").await;
    let id = &upload["upload_id"];
    let rows = format!("couponcodes/uploads/{id}/rows");
    let groups = network.get(&format!("couponcodes/uploads/{id}/errors")).await.done();
    let status = groups["errors"][0]["error"].as_str().unwrap().to_owned();
    assert_eq!(
        (&groups["errors"][0]["column"], &groups["errors"][0]["rows"]),
        (&json!("status"), &json!(2))
    );
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("filter", "column=status")
        .append_pair("filter", &format!("error={status}"))
        .finish();
    let shown = network.rows(id, &format!("?page_size=1&{query}")).await;
    assert_eq!((verdicts(&shown)[0].0, &shown["paging"]["total_count"]), (1, &json!(2)));

    let all = network.patch(&rows, json!({"status": {"replace": "aktiv", "by": "active"}})).await;
    // The texts of other rows do not have the part.
    assert_eq!(all.done()["changed_rows"], 2);
    let trimmed = network.patch(&rows, json!({"coupon_code": {"trim": true}})).await.done();
    assert!(trimmed["changed_rows"].as_u64() <= Some(1), "{trimmed}");
    let group = "column=affiliate_id&error=there+is+no+affiliate+77";
    for body in [
        json!({"status": {"trim": false}}),
        json!({"status": {"replace": "", "by": "x"}}),
        json!({"status": []}),
    ] {
        assert_eq!(network.patch(&rows, body).await.refusal().2, ["status"]);
    }
    assert_eq!(network.delete(&rows).await.refusal().2, ["error"]);
    assert_eq!(network.delete(&format!("{rows}?column=status")).await.refusal().2, ["error"]);
    let deleted = network.delete(&format!("{rows}?{group}")).await.done();
    assert_eq!((&deleted["changed_rows"], &deleted["rows"]), (&json!(1), &json!(3)));
    assert_eq!(network.delete(&format!("{rows}?{group}")).await.refusal().0, 404);
    let left = network.rows(id, "?filter=verdict=invalid").await;
    assert_eq!(verdicts(&left), [wrong(1, "coupon_code")]);

    // Wrong rows go out with their reasons, and come back mended.
    let file = network.text(&format!("couponcodes/uploads/{id}/invalid_rows.csv")).await;
    let (head, row) = file.split_once('\n').unwrap();
    assert!(head.ends_with("conversion_only,errors"), "{head}");
    assert!(row.contains("\"coupon_code: "), "{row}");
    let mended = network.upload("add", file.replace("AA-1", "AA1")).await;
    let columns = mended.body["error"].as_str().unwrap_or_default();
    assert!(columns.is_empty(), "{columns}");
    assert_eq!(mended.done()["valid"], 1);
}

#[tokio::test]
async fn files_for_excel_begin_with_a_mark_and_come_back_unchanged() {
    let network = start_with_offers().await;
    network
        .post("couponcodes", with(code("ONE"), json!({"internal_notes": "Gr\u{fc}\u{df}e"})))
        .await
        .done();
    let plain = network.text("couponcodes/export.csv").await;
    let marked = network.text("couponcodes/export.csv?bom=true").await;
    assert_eq!(marked, format!("\u{feff}{plain}"));
    let upload = network.upload("update", marked).await.done();
    assert_eq!(upload["valid"], 1);
    let id = &upload["upload_id"];
    assert_eq!(network.commit(id, "").await.done()["committed"]["unchanged"], 1);
    let staged = network.staged("1,77,AAA,active\n").await;
    let id = &staged["upload_id"];
    for path in [
        "couponcodes/template.csv?mode=update".to_owned(),
        format!("couponcodes/uploads/{id}/errors.csv?"),
        format!("couponcodes/uploads/{id}/invalid_rows.csv?"),
    ] {
        let plain = network.text(&path).await;
        assert_eq!(network.text(&format!("{path}&bom=true")).await, format!("\u{feff}{plain}"));
    }
    let report = json!({"columns": [{"column": "offer"}], "from": "2026-01-01", "to": "2026-01-02",
                        "timezone_id": 67, "currency_id": "EUR"});
    let path = "reporting/entity/table/export";
    let [plain, marked] = [path.to_owned(), format!("{path}?bom=true")].map(|path| {
        let report = report.clone();
        let network = &network;
        async move { network.post(&path, report).await }
    });
    let (plain, marked) = (plain.await, marked.await);
    assert_eq!(plain.status, 200, "{plain:?}");
    assert_eq!(marked.text, format!("\u{feff}{}", plain.text));
}
