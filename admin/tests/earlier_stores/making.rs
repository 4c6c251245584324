//! Makes such a folder with the programs of this version, for tests of later versions:
//! `EARLIER_STORE=admin/tests/earlier_stores/NAME cargo test -p coupon-admin --test earlier_stores
//! \ -- --ignored --nocapture a_store_is_made`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::answers::{self, Asked};
use crate::http;
use crate::programs::{Network, Program, admin_program, wait_for};

/// Largest size of a folder in the repository.
const LARGEST_FOLDER_BYTES: u64 = 200_000;

const DESKTOP: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile";
const BOT: &str = "Googlebot/2.1 (+http://www.google.com/bot.html)";

#[test]
#[ignore = "writes a folder for the tests of later versions; see the header"]
fn a_store_is_made_for_later_versions() {
    let folder = PathBuf::from(std::env::var("EARLIER_STORE").expect("EARLIER_STORE names it"));
    // Cargo runs tests in the package's folder.
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let network = Network::new();
    start_demo(&network).stop();
    let (mut admin, mut daemon) = (network.start_admin(), start_daemon(&network));
    let asked = Filling { network: &network }.fill();
    wait_for("all postbacks to be decided", || {
        let queued = network.call("GET", "postbacks?filter=status=queued", None).json();
        (queued["paging"]["total_count"] == 0).then_some(())
    });
    let answers = answers::all(&network, &asked);
    daemon.stop();
    let (done, said) = network.on_data("backup", "backup.tar.zst");
    assert!(done, "{said}");
    admin.stop();
    std::fs::copy(network.path("backup.tar.zst"), folder.join("backup.tar.zst")).unwrap();
    let kept = json!({"asked": asked, "answers": answers});
    let text = serde_json::to_vec(&kept).unwrap();
    let packed = zstd::encode_all(text.as_slice(), 19).unwrap();
    std::fs::write(folder.join("answers.json.zst"), packed).unwrap();
    let bytes: u64 = ["backup.tar.zst", "answers.json.zst"]
        .map(|file| folder.join(file).metadata().unwrap().len())
        .iter()
        .sum();
    println!("{} holds {bytes} bytes, {} answers", folder.display(), answers.len());
    assert!(bytes < LARGEST_FOLDER_BYTES, "{bytes} bytes");
}

/// Creates the sample network; both programs end with the returned value.
fn start_demo(network: &Network) -> Program {
    let mut command = Command::new(admin_program());
    command
        .args(["demo", "--data"])
        .arg(network.path("."))
        .args(["--http", &network.visitors.to_string()])
        .args(["--admin", &network.admin_address.to_string()]);
    let _ = crate::programs::daemon_program();
    let demo = Program::start(&mut command);
    wait_for("the demo", || {
        http::visit(network.visitors, "HEAD", "/WINTER25").ok().filter(|it| it.status == 302)
    });
    demo
}

pub(crate) fn start_daemon(network: &Network) -> Program {
    network.start_daemon_with(&[
        ("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8"),
        ("COUPOND_ACCEPT_ANY_HOST", "true"),
    ])
}

struct Filling<'n> {
    network: &'n Network,
}

/// The sample network has advertiser 1, partners 1 and 2, offers 1 to 5 and codes 1 to 9.
impl Filling<'_> {
    fn fill(&self) -> Asked {
        self.edit();
        let clicks = self.visit();
        self.report(&clicks);
        self.decide();
        self.edit_afterwards();
        let partner = json!({"name": "Insta's own", "role": "partner", "network_affiliate_id": 1});
        let partner = self.post("apikeys", partner);
        self.post("apikeys", json!({"name": "Look", "role": "read_only"}));
        let day = |hours| {
            let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
            at.strftime("%Y-%m-%d").to_string()
        };
        Asked {
            version: env!("CARGO_PKG_VERSION").into(),
            from: day(-24),
            to: day(24),
            admin_key: self.network.key(),
            partner_key: partner["api_key"].as_str().unwrap().into(),
            click: clicks[0].clone(),
            order: "A-1".into(),
        }
    }

    fn post(&self, path: &str, body: Value) -> Value {
        self.network.done("POST", path, body)
    }

    fn patch(&self, path: &str, body: Value) -> Value {
        self.network.done("PATCH", path, body)
    }

    fn edit(&self) {
        let careful = json!({
            "name": "Careful Shop", "account_status": "active", "verification_token": "s3cret",
            "attribution_priority": "coupon_code", "attribution_method": "first_touch",
        });
        self.post("advertisers", careful);
        self.post("affiliates", json!({"name": "Cara", "account_status": "active"}));
        let entry = |payout: Value, revenue: Value| {
            let mut entry = json!({"is_default": true, "entry_name": "Sale"});
            for more in [payout, revenue] {
                entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
            entry
        };
        let share = entry(
            json!({"payout_type": "cps", "payout_percentage": 10}),
            json!({"revenue_type": "rps", "revenue_percentage": 15}),
        );
        let lead = json!({
            "entry_name": "Newsletter", "payout_type": "cpa", "payout_amount": 1.25,
            "revenue_type": "rpa", "revenue_amount": 2,
        });
        self.patch("offers/1", json!({"payout_revenue": [share, lead]}));
        let offer = |name: &str, advertiser: u32, entry: Value, more: Value| {
            let mut offer = json!({
                "name": name, "offer_status": "active", "network_advertiser_id": advertiser,
                "destination_url":
                    "https://www.example.com/x?transaction_id={transaction_id}",
                "payout_revenue": [entry, lead],
            });
            offer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            self.post("offers", offer);
        };
        let mixed = entry(
            json!({"payout_type": "cpa_cps", "payout_amount": 5, "payout_percentage": 3.333}),
            json!({"revenue_type": "rps", "revenue_percentage": 7.777}),
        );
        let fixed = entry(
            json!({"payout_type": "cpa", "payout_amount": 4}),
            json!({"revenue_type": "rpa", "revenue_amount": 9}),
        );
        let decimals = entry(
            json!({"payout_type": "cps", "payout_percentage": 3.333}),
            json!({"revenue_type": "rps", "revenue_percentage": 6.667}),
        );
        let clicks = entry(
            json!({"payout_type": "cpc", "payout_amount": 0.125}),
            json!({"revenue_type": "rpm", "revenue_amount": 250}),
        );
        offer("Euros", 2, mixed, json!({"currency_id": "EUR"})); // 6
        offer("Looked at", 1, fixed.clone(), json!({"is_must_approve_conversion": true})); // 7
        offer("Decimals", 1, decimals, json!({"is_allow_duplicate_conversion": true})); // 8
        offer("By the click", 1, clicks, json!({})); // 9
        offer("To be paused", 1, fixed, json!({"session_definition": "ip"})); // 10
        let file = "offer_id,affiliate_id,coupon_code,status,internal_notes\n\
            6,3,CARE,active,of a file\n7,2,LOOK7,active,\n8,1,DECI8,active,\n\
            9,2,CLICK9,active,\n10,3,PAUSE10,active,\n2,1,BOTH,active,\n3,1,BOTH,active,\n\
            1,,NOBODYS,active,\n1,2,STOPPED,paused,\n";
        let upload = self.network.send_csv("couponcodes/uploads?mode=add", file).unwrap().json();
        let commit = format!("couponcodes/uploads/{}/commit", upload["upload_id"]);
        let committed = self.network.send_csv(&commit, "").unwrap();
        assert_eq!(committed.status, 200, "{committed:?}");
        let wrong = "offer_id,affiliate_id,coupon_code,status\n1,1,S!,active\n1,1,LATER,active\n";
        self.network.send_csv("couponcodes/uploads?mode=add", wrong).unwrap();
        let link_less = json!({
            "coupon_code": "SAVE-20", "coupon_status": "active", "conversion_only": true,
            "network_offer_id": 1, "network_affiliate_id": 2,
        });
        self.post("couponcodes", link_less);
        let pixel = json!({
            "network_affiliate_id": 1, "pixel_status": "active",
            "postback_url": "https://partner.invalid/pb?id={transaction_id}&p={payout_amount}",
        });
        self.post("pixels", pixel);
        self.network.done("PUT", "botlist?wait=live", json!({"patterns": ["bot/", "linkchecker"]}));
        self.patch("offers/1?wait=live", json!({"session_duration": 12}));
    }

    /// Click ids, in the order of this list.
    fn visit(&self) -> Vec<String> {
        let visits = [
            ("/winter25?sub1=story", DESKTOP, "192.0.2.1"),    // 0
            ("/insta1?sub1=story&sub2=b", PHONE, "192.0.2.2"), // 1
            ("/snapdog", DESKTOP, "192.0.2.1"),                // 2
            ("/care", PHONE, "192.0.2.3"),                     // 3
            ("/look7?sub1=mail", DESKTOP, "192.0.2.4"),        // 4
            ("/deci8", DESKTOP, "192.0.2.5"),                  // 5
            ("/click9", DESKTOP, "192.0.2.6"),                 // 6
            ("/pause10", PHONE, "192.0.2.7"),                  // 7
            ("/thebestdeal2012?oid=4", DESKTOP, "192.0.2.8"),  // 8
            ("/winter25", BOT, "192.0.2.9"),                   // 9
            ("/snapdog?sub1=story", DESKTOP, "192.0.2.1"),     // 10
            ("/snapdog?sub1=story", DESKTOP, "192.0.2.1"),     // a duplicate
            ("/click9", PHONE, "192.0.2.6"),
            ("/click9", BOT, "192.0.2.6"),
        ];
        let ids = visits.map(|(target, agent, address)| {
            let answer = self.send("GET", target, agent, address);
            assert_eq!(answer.status, 302, "{target}: {answer:?}");
            let (_, after) = answer.location().split_once("transaction_id=").unwrap();
            after.split('&').next().unwrap().to_owned()
        });
        for target in ["/nobodys", "/stopped", "/summer24", "/later10"] {
            assert_eq!(self.send("GET", target, DESKTOP, "192.0.2.1").status, 404, "{target}");
        }
        wait_for("the clicks", || {
            (self.network.gross_clicks() == visits.len() as u64 + 4).then_some(())
        });
        ids.to_vec()
    }

    fn send(&self, method: &str, target: &str, agent: &str, address: &str) -> http::Answer {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\n\
             X-Forwarded-For: {address}\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
            self.network.visitors
        );
        http::send(self.network.visitors, &request).unwrap()
    }

    fn postback(&self, query: &str) -> Value {
        let answer = self.send("GET", &format!("/?nid=1&{query}"), "shop", "198.51.100.1");
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    }

    fn report(&self, clicks: &[String]) {
        let [t0, t1, t2, t3, t4, t5] = [0, 1, 2, 3, 4, 5].map(|at| &clicks[at]);
        let (t7, t8, t9) = (&clicks[7], &clicks[8], &clicks[9]);
        for (query, status, error) in [
            (format!("transaction_id={t0}&order_id=A-1&amount=59.90&email=a@b.example"), "approved", 0),
            // A repeat with another amount, and a partial refund.
            (format!("transaction_id={t0}&order_id=A-1&amount=59.90"), "approved", 0),
            ("coupon_code=winter25&order_id=A-1&amount=60".into(), "approved", 1016),
            (format!("transaction_id={t0}&order_id=A-1&amount=-9.90"), "approved", 0),
            (format!("transaction_id={t1}&amount=20&sub1=own&adv1=x"), "approved", 0),
            (format!("transaction_id={t1}&event_id=2"), "approved", 0),
            (format!("transaction_id={t2}|{t0}&order_id=A-2&amount=33.33"), "approved", 0),
            // The advertiser with a token: with it, without it, in its currency and in another.
            (format!("transaction_id={t3}&verification_token=s3cret&order_id=B-1&amount=99.98"), "approved", 0),
            ("coupon_code=care&order_id=B-2&amount=10".into(), "rejected", 21),
            ("coupon_code=care&verification_token=s3cret&order_id=B-3&amount=77.77&currency=USD".into(), "pending", 1012),
            ("coupon_code=care&verification_token=s3cret&order_id=B-4&amount=1234567.89&currency=EUR".into(), "approved", 0),
            (format!("transaction_id={t4}&order_id=C-1&amount=10"), "pending", 0),
            ("coupon_code=look7&order_id=C-2&amount=11".into(), "pending", 0),
            ("coupon_code=look7&order_id=C-3&amount=12".into(), "pending", 0),
            (format!("transaction_id={t5}&order_id=D-1&amount=99.98"), "approved", 0),
            (format!("transaction_id={t5}&order_id=D-2&amount=0.01"), "approved", 0),
            ("coupon_code=deci8&amount=7.123456".into(), "approved", 0),
            ("coupon_code=deci8&amount=7.123456".into(), "pending", 1015),
            ("coupon_code=deci8&order_id=D-3".into(), "approved", 0),
            (format!("transaction_id={t7}&order_id=E-1&amount=50"), "approved", 0),
            (format!("transaction_id={t8}&order_id=F-1&amount=15"), "approved", 0),
            // A bot with a sale.
            (format!("transaction_id={t9}&order_id=G-1&amount=8"), "approved", 0),
            ("oid=1&affid=2&order_id=H-1&amount=5".into(), "approved", 0),
            ("coupon_code=save-20&order_id=H-2&amount=6".into(), "approved", 0),
            ("coupon_code=both&order_id=I-1&amount=1".into(), "invalid", 1006),
            ("coupon_code=both&oid=3&order_id=I-2&amount=1".into(), "approved", 0),
            ("coupon_code=both&oid=1".into(), "invalid", 1007),
            ("coupon_code=nosuchcode&amount=3".into(), "invalid", 1001),
            ("coupon_code=stopped&amount=3".into(), "invalid", 1002),
            ("coupon_code=nobodys&amount=3".into(), "invalid", 1003),
            ("coupon_code=summer24&amount=3".into(), "invalid", 1005),
            ("transaction_id=0192f0c1d2e3f405a6b7c8d9eaf00112&amount=3".into(), "invalid", 12),
            ("order_id=Z&amount=3".into(), "invalid", 1010),
            ("coupon_code=winter25&amount=1,5".into(), "invalid", 1011),
            ("coupon_code=winter25&order_id=NONE&amount=-5".into(), "invalid", 1018),
        ] {
            let answer = self.postback(&query);
            assert_eq!((&answer["status"], &answer["error_code"]), (&json!(status), &json!(error)), "{query}: {answer}");
        }
        self.patch("offers/10?wait=live", json!({"offer_status": "paused"}));
        let paused = self.postback(&format!("transaction_id={t7}&order_id=E-2&amount=51"));
        assert_eq!(paused["error_code"], 18, "{paused}");
    }

    /// Approves, rejects and edits by hand.
    fn decide(&self) {
        let rows = self.network.conversions();
        let of = |order: &str| {
            let row = rows.iter().find(|row| row["order_id"] == order).unwrap();
            row["conversion_id"].as_str().unwrap().to_owned()
        };
        for (order, status) in [("C-1", "approved"), ("C-2", "rejected"), ("A-2", "rejected")] {
            let body = json!({"conversion_ids": [of(order)], "conversion_status": status});
            self.patch("reporting/conversions", body);
        }
        let edited = json!({"payout": 3.5, "notes": "as agreed"});
        self.patch(&format!("reporting/conversions/{}", of("H-1")), edited);
    }

    /// Later edits of codes and offers.
    fn edit_afterwards(&self) {
        let codes = self.network.call("GET", "couponcodes?page_size=2000", None).json();
        let of = |code: &str| {
            let codes = codes["coupon_codes"].as_array().unwrap();
            let row = codes.iter().find(|row| row["coupon_code"] == code).unwrap();
            row["network_coupon_code_id"].as_u64().unwrap()
        };
        let delete = format!("couponcodes/{}", of("PAUSE10"));
        self.network.call("DELETE", &delete, None);
        self.patch(&format!("couponcodes/{}", of("CARE")), json!({"network_affiliate_id": 2}));
        self.patch("offers/8?wait=live", json!({"currency_id": "EUR"}));
    }
}
