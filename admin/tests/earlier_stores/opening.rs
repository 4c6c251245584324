//! Compares a folder with the answers of the version that made it.
//!
//! A new field is no difference. Differences by a later decision are listed in [`DECIDED`], each
//! with its reason, and must occur.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answers::{self, Asked};
use crate::http;
use crate::making::start_daemon;
use crate::programs::{Network, Program, admin_program, wait_for};

/// Keeps data of any age.
const KEEP: [(&str, &str); 3] = [
    ("COUPON_ADMIN_PRIVACY_CLICK_RETENTION_DAYS", "0"),
    ("COUPON_ADMIN_PRIVACY_POSTBACK_RETENTION_DAYS", "0"),
    ("COUPON_ADMIN_UPLOADS_KEEP_MS", "3153600000000"),
];

const LONGEST_RECLASSIFICATION: Duration = Duration::from_secs(20);

/// A decided difference.
struct Decided {
    /// Whether a difference is of this kind, by answer and path.
    is_it: fn(&Difference) -> bool,
    why: &'static str,
}

const DECIDED: [Decided; 6] = [
    Decided {
        is_it: |it| it.is_of_report() && it.adds_paid_clicks(),
        why: "offers that pay for clicks show payout and revenue of them",
    },
    Decided {
        is_it: |it| it.is_of_report() && RATIOS.iter().any(|measure| it.is_of(measure)),
        why: "and what is computed of payout and revenue follows them",
    },
    Decided {
        is_it: |it| it.is_of_report() && it.before.is_null() && it.now == json!(0),
        why: "an amount of nothing is 0, whatever currencies others have",
    },
    Decided {
        is_it: |it| it.answer.ends_with("by date and currency"),
        why: "a click that is paid is counted with the currency of its pay",
    },
    Decided {
        is_it: |it| it.is_of("is_bot") && it.before == json!(true),
        why: "a visit from which an approved conversion came is no bot's",
    },
    Decided {
        is_it: |it| it.is_of("tracking_link_unavailable_reason") && it.before == json!(""),
        why: "a link that does not lead to its offer now says why",
    },
];

/// Payout and revenue of a click on the offer with paid clicks: 0.125, and 250 per thousand.
const PAID_CLICK: [(&str, f64); 3] = [("payout", 0.125), ("revenue", 0.25), ("profit", 0.125)];

/// Measures computed from payout and revenue.
const RATIOS: [&str; 6] = ["margin", "cpc", "epc", "rpc", "cpa", "rpa"];

/// A difference between two answers.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Difference {
    /// The question.
    answer: String,
    /// JSON pointer, such as `/table/0/reporting/payout`.
    path: String,
    before: Value,
    now: Value,
}

impl Difference {
    fn is_of_report(&self) -> bool {
        self.path.contains("/reporting/")
    }

    /// Whether an amount grew by the value of the paid clicks.
    fn adds_paid_clicks(&self) -> bool {
        let amounts = self.before.as_f64().zip(self.now.as_f64());
        amounts.is_some_and(|(before, now)| {
            // There are two valid clicks.
            let is_it = |(measure, worth): &(&str, f64)| {
                let are = |clicks: f64| (now - before - clicks * worth).abs() < 1e-6;
                self.is_of(measure) && (are(1.0) || are(2.0))
            };
            PAID_CLICK.iter().any(is_it)
        })
    }

    fn is_of(&self, field: &str) -> bool {
        self.path.rsplit('/').next() == Some(field)
    }
}

struct Earlier {
    folder: PathBuf,
    asked: Asked,
    answers: Vec<(String, Value)>,
}

fn all_earlier() -> Vec<Earlier> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/earlier_stores");
    let entries = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.into_iter().map(Earlier::read).collect()
}

impl Earlier {
    fn read(folder: PathBuf) -> Earlier {
        let packed = std::fs::read(folder.join("answers.json.zst")).unwrap();
        let text = zstd::decode_all(packed.as_slice()).unwrap();
        let mut kept: Value = serde_json::from_slice(&text).unwrap();
        let asked = serde_json::from_value(kept["asked"].take()).unwrap();
        let answers = serde_json::from_value(kept["answers"].take()).unwrap();
        Earlier { folder, asked, answers }
    }

    /// Restores the backup into a new network, without starting programs.
    fn restore(&self) -> Network {
        let network = Network::new();
        std::fs::copy(self.folder.join("backup.tar.zst"), network.path("backup.tar.zst")).unwrap();
        let (done, said) = network.on_data("restore", "backup.tar.zst");
        assert!(done, "{said}");
        network.put_key(&self.asked.admin_key);
        network
    }

    /// The differences that remain once past visits are classified again, which a start does in the
    /// background: reports follow when that is done.
    fn lasting_differences(
        &self,
        ask: impl Fn() -> Vec<(String, Value)>,
        decided: &mut Seen,
    ) -> Vec<Difference> {
        let began = Instant::now();
        loop {
            let differences = self.differences(ask(), decided);
            if differences.is_empty() || began.elapsed() > LONGEST_RECLASSIFICATION {
                return differences;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn differences(&self, now: Vec<(String, Value)>, decided: &mut Seen) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (name, mut now) in now {
            let before = self.answers.iter().find(|(known, _)| *known == name);
            let Some((_, before)) = before else { panic!("{name} was not asked then") };
            if name == answers::AUDIT {
                forget_restoring(&mut now);
            }
            compare(&name, "", before, &now, &mut differences);
        }
        differences.retain(|difference| !decided.has(difference));
        differences
    }
}

/// Decisions that have occurred.
#[derive(Default)]
struct Seen(BTreeSet<&'static str>);

impl Seen {
    fn has(&mut self, difference: &Difference) -> bool {
        let found = DECIDED.iter().find(|decided| (decided.is_it)(difference));
        found.is_some_and(|decided| {
            self.0.insert(decided.why);
            true
        })
    }
}

/// Removes the restore from the audit.
fn forget_restoring(audit: &mut Value) {
    let rows = audit["audit"].as_array_mut().unwrap();
    let all = rows.len();
    rows.retain(|row| row["action"] != "restored");
    let others = audit["audit"].as_array().unwrap().len();
    assert_eq!(others + 1, all);
    audit["paging"]["total_count"] = json!(others);
}

fn start(network: &Network) -> Program {
    network.start_admin_with(&KEEP)
}

fn compare(answer: &str, path: &str, before: &Value, now: &Value, into: &mut Vec<Difference>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            // Sentences for people may change; their numbers stay.
            for (name, before) in before.iter().filter(|(name, _)| *name != "error_message") {
                let now = now.get(name).unwrap_or(&Value::Null);
                compare(answer, &format!("{path}/{name}"), before, now, into);
            }
        }
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => {
            for (at, (before, now)) in before.iter().zip(now).enumerate() {
                compare(answer, &format!("{path}/{at}"), before, now, into);
            }
        }
        _ if before == now => {}
        _ => into.push(Difference {
            answer: answer.into(),
            path: path.into(),
            before: before.clone(),
            now: now.clone(),
        }),
    }
}

fn postback(network: &Network, query: &str) -> Value {
    let request = format!(
        "GET /?nid=1&{query} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n",
        network.visitors
    );
    let answer = http::send(network.visitors, &request).unwrap();
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

/// Sends an order again until its verdict comes within the time of an answer.
fn decided(network: &Network, query: &str) -> Value {
    wait_for("a verdict", || {
        let answer = postback(network, query);
        (answer["status"] != "queued").then_some(answer)
    })
}

fn rebuild_reports(network: &Network) {
    let mut rebuild = Command::new(admin_program());
    let rebuild = rebuild.args(["rebuild-reports", "--data"]).arg(network.path("admin"));
    let output = rebuild.envs(KEEP).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_store_of_an_earlier_version_answers_what_it_answered_before_and_after_its_reports_are_rebuilt()
{
    for earlier in all_earlier() {
        let mut seen = Seen::default();
        let network = earlier.restore();
        let mut admin = start(&network);
        let all = || answers::all(&network, &earlier.asked);
        let differences = earlier.lasting_differences(all, &mut seen);
        assert!(differences.is_empty(), "{}: {differences:#?}", earlier.folder.display());
        admin.stop();
        rebuild_reports(&network);
        let mut admin = start(&network);
        let now = answers::reports(&network, &earlier.asked);
        let differences = earlier.differences(now, &mut seen);
        assert!(differences.is_empty(), "{}: {differences:#?}", earlier.folder.display());
        let now = answers::conversions(&network, &earlier.asked);
        let differences = earlier.differences(now, &mut seen);
        assert!(differences.is_empty(), "{}: {differences:#?}", earlier.folder.display());
        admin.stop();
        let unseen: Vec<_> =
            DECIDED.iter().map(|it| it.why).filter(|why| !seen.0.contains(why)).collect();
        assert!(unseen.is_empty(), "decided, and not to be seen: {unseen:?}");
    }
}

#[test]
fn an_order_of_an_earlier_version_is_found_by_its_repeat_and_by_its_refund() {
    for earlier in all_earlier() {
        let network = earlier.restore();
        let (_admin, _daemon) = (start(&network), start_daemon(&network));
        let Asked { click, order, .. } = &earlier.asked;
        let path = "reporting/conversions?page_size=2000";
        let body = json!({"from": earlier.asked.from, "to": earlier.asked.to, "timezone": "UTC"});
        let rows = || network.done("POST", path, body.clone())["conversions"].clone();
        let before = rows();
        let sale = |rows: &Value| {
            let mut rows = rows.as_array().unwrap().iter();
            rows.find(|row| row["order_id"] == order.as_str()).unwrap().clone()
        };
        let sold = sale(&before);
        wait_for("the daemon to serve the restored network", || {
            (network.visit("/winter25").status == 302).then_some(())
        });
        for said in [
            format!("transaction_id={click}&order_id={order}&amount=59.90"),
            format!("coupon_code=winter25&order_id={order}"),
        ] {
            let again = decided(&network, &said);
            assert_eq!(again["conversion_id"], sold["conversion_id"], "{said}: {again}");
            assert_eq!(again["status"], "approved", "{said}: {again}");
        }
        let refund = format!("transaction_id={click}&order_id={order}&amount=-20");
        // Sent once: it may be counted although a busy machine answered before its verdict.
        let refund = postback(&network, &refund);
        let is_queued = refund["status"] == "queued";
        assert!(is_queued || refund["conversion_id"] == sold["conversion_id"], "{refund}");
        let after = wait_for("the refund", || {
            let after = rows();
            (sale(&after)["sale_amount"] != sold["sale_amount"]).then_some(after)
        });
        assert_eq!(after.as_array().unwrap().len(), before.as_array().unwrap().len());
        let left = sale(&after);
        // 59.90 less 9.90 then, and 20 now; 10 % and 15 % of the rest.
        let amounts = [&left["sale_amount"], &left["payout"], &left["revenue"]];
        assert_eq!(amounts, [&json!(30), &json!(3), &json!(4.5)], "{left}");
    }
}
