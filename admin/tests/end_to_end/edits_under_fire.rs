//! Kills of the admin amid edits, imports, bulk edits and publications, while coupond serves. In
//! the end exactly the accepted edits exist; no code has two partners; each import is complete or
//! absent; each published and served index was a state of the store, in order.
//!
//! The long form takes the number of kills from `EDITS_UNDER_FIRE` and prints its figures:
//! `EDITS_UNDER_FIRE=500 cargo test -p coupon-admin --test end_to_end -- --ignored --nocapture \
//! five_hundred_kills`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coupon_shared::code::FoldedCode;
use serde_json::{Value, json};

use crate::chance::Random;
use crate::http::{self, Answer};
use crate::programs::{Network, Program, admin_program, wait_for};

/// Codes of an import; every eighth import is large enough for a level built before its commit.
const ROWS: usize = 200;
const MANY_ROWS: usize = 8_200;
/// Codes with a common status change.
const GROUP: usize = 40;
/// Offer of the group alone.
const GROUP_OFFER: u64 = 3;
const PARTNERS: u64 = 2;

#[test]
fn a_handful_of_kills_amid_edits_and_imports_loses_nothing_accepted() {
    let figures = under_fire(5);
    assert!(figures.accepted > 50 && figures.imports > 0 && figures.generations > 5, "{figures:?}");
}

#[test]
#[ignore = "takes many minutes; see the header"]
fn five_hundred_kills_amid_edits_and_imports_lose_nothing_accepted() {
    let kills = std::env::var("EDITS_UNDER_FIRE").ok().and_then(|text| text.parse().ok());
    println!("{:#?}", under_fire(kills.unwrap_or(500)));
}

/// Figures of a campaign.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    kills: u64,
    /// Edits answered with 200, and imported files.
    accepted: u64,
    imports: u64,
    /// Requests without an answer, or answered with 503.
    unanswered: u64,
    /// Killed imports of the command line.
    killed_imports: u64,
    /// Distinct generations seen in the index folder, and visits.
    generations: u64,
    visits: u64,
    codes: usize,
    took: Duration,
}

/// Final partner of a code, and whether it is active; `None` for a deleted code.
type Expected = BTreeMap<String, Option<(u64, bool)>>;

fn under_fire(kills: u64) -> Figures {
    let network = Network::new();
    let mut admin = network.start_admin();
    let daemon = network.start_daemon();
    network.create_winter25();
    let campaign = Campaign::new(&network);
    let mut expected = campaign.prepare();
    let (began, campaign) = (Instant::now(), &campaign);
    std::thread::scope(|scope| {
        let actors: Vec<_> = [
            scope.spawn(|| campaign.edit_codes(1)),
            scope.spawn(|| campaign.edit_codes(2)),
            scope.spawn(|| campaign.race_for_codes()),
            scope.spawn(|| campaign.import_files()),
            scope.spawn(|| campaign.set_the_group()),
        ]
        .into();
        let others = [
            scope.spawn(|| campaign.move_the_offer()),
            scope.spawn(|| campaign.look_at_the_index()),
            scope.spawn(|| campaign.visit()),
        ];
        campaign.kill(kills, &mut admin);
        expected.extend(actors.into_iter().flat_map(|actor| actor.join().unwrap()));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
    // The last accepted edits survive a kill, too.
    admin.kill();
    admin = network.start_admin();
    campaign.compare(&expected);
    drop((admin, daemon));
    let figure = |figure: &AtomicU64| figure.load(Ordering::Acquire);
    Figures {
        kills: kills + 1,
        accepted: figure(&campaign.accepted),
        imports: figure(&campaign.imports),
        unanswered: figure(&campaign.unanswered),
        killed_imports: figure(&campaign.killed_imports),
        generations: figure(&campaign.generations),
        visits: figure(&campaign.visits),
        codes: expected.len(),
        took: began.elapsed(),
    }
}

struct Campaign<'n> {
    network: &'n Network,
    key: String,
    is_over: AtomicBool,
    accepted: AtomicU64,
    imports: AtomicU64,
    unanswered: AtomicU64,
    killed_imports: AtomicU64,
    generations: AtomicU64,
    visits: AtomicU64,
    /// Versions of the offer's destination: last requested, and last known to be live.
    asked_version: AtomicU64,
    live_version: AtomicU64,
}

impl<'n> Campaign<'n> {
    fn new(network: &'n Network) -> Campaign<'n> {
        Campaign {
            network,
            key: network.key(),
            is_over: AtomicBool::new(false),
            accepted: AtomicU64::default(),
            imports: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            killed_imports: AtomicU64::default(),
            generations: AtomicU64::default(),
            visits: AtomicU64::default(),
            asked_version: AtomicU64::default(),
            live_version: AtomicU64::default(),
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    /// Creates two more offers, a second partner, and the group.
    fn prepare(&self) -> Expected {
        for name in ["Second", "Group"] {
            let offer = json!({
                "name": name, "offer_status": "active", "visibility": "public",
                "network_advertiser_id": 1, "destination_url": "https://shop.example/other",
            });
            self.network.done("POST", "offers", offer);
        }
        let ben = json!({"name": "Ben", "account_status": "active"});
        self.network.done("POST", "affiliates", ben);
        let group = (0..GROUP).map(|n| code(&format!("GROUP{n}"), GROUP_OFFER, 1));
        self.network.done("POST", "couponcodes/bulk", group.collect());
        self.network.done("PATCH", "offers/1?wait=live", destination(0));
        let group = (0..GROUP).map(|n| (format!("GROUP{n}"), Some((1, true))));
        group.chain([("WINTER25".to_owned(), Some((1, true)))]).collect()
    }

    /// Kills the admin at random moments (`kill -9`), and restarts it.
    fn kill(&self, kills: u64, admin: &mut Program) {
        let mut random = Random(7);
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(40 + random.below(500)));
            admin.kill();
            *admin = self.network.start_admin();
        }
        // The last run gets some work, too, and what is missing of the least that shows anything: on a
        // fast machine the kills may come faster than the edits.
        std::thread::sleep(Duration::from_millis(300));
        wait_for("enough work", || self.has_enough_work().then_some(()));
        self.is_over.store(true, Ordering::Release);
    }

    fn has_enough_work(&self) -> bool {
        let is_above = |figure: &AtomicU64, least: u64| figure.load(Ordering::Acquire) > least;
        is_above(&self.accepted, 50) && is_above(&self.imports, 0) && is_above(&self.generations, 5)
    }

    /// Repeats a request until some run answers. `name` makes a creation repeatable.
    fn repeat_until_answered(
        &self,
        method: &str,
        path: &str,
        name: Option<&str>,
        body: (&str, &str),
    ) -> Answer {
        let (kind, body) = body;
        let repeatable = name.map(|name| format!("Idempotency-Key: {name}\r\n"));
        let request = format!(
            "{method} /v1/networks/{path} HTTP/1.1\r\nHost: {}\r\nX-Eflow-API-Key: {}\r\n{}\
             Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.network.admin_address,
            self.key,
            repeatable.unwrap_or_default(),
            body.len()
        );
        loop {
            let answer = http::send(self.network.admin_address, &request);
            match answer {
                // A truncated answer counts as none.
                Ok(answer) if answer.status != 503 && is_whole(&answer) => {
                    let is_accepted = answer.status == 200 && method != "GET";
                    self.accepted.fetch_add(u64::from(is_accepted), Ordering::AcqRel);
                    return answer;
                }
                _ => {
                    self.unanswered.fetch_add(1, Ordering::AcqRel);
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    fn json(&self, method: &str, path: &str, name: Option<&str>, body: &Value) -> Answer {
        self.repeat_until_answered(method, path, name, ("application/json", &body.to_string()))
    }

    /// Creates codes, pauses some, deletes some.
    fn edit_codes(&self, seed: u64) -> Expected {
        let (mut random, mut expected) = (Random(seed), Expected::new());
        for number in 0.. {
            if !self.goes_on() {
                break;
            }
            let (name, partner) = (format!("EDIT{seed}N{number}"), 1 + random.below(PARTNERS));
            let created = self.json("POST", "couponcodes", Some(&name), &code(&name, 1, partner));
            assert_eq!(created.status, 200, "{created:?}");
            let path = format!("couponcodes/{}", created.json()["network_coupon_code_id"]);
            let last = match random.below(4) {
                0 => {
                    let paused = json!({"coupon_status": "paused"});
                    let answer = self.json("PATCH", &path, None, &paused);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    Some((partner, false))
                }
                1 => {
                    let answer = self.json("DELETE", &path, None, &Value::Null);
                    // Deleted by an earlier request whose answer was lost.
                    assert!(matches!(answer.status, 200 | 404), "{answer:?}");
                    None
                }
                _ => Some((partner, true)),
            };
            expected.insert(name, last);
        }
        expected
    }

    /// Two partners compete for the same code on two offers: one of them gets it.
    fn race_for_codes(&self) -> Expected {
        let mut expected = Expected::new();
        for number in 0.. {
            if !self.goes_on() {
                break;
            }
            let name = format!("RACE{number}");
            let want = |partner: u64| {
                let wish = code(&name, partner, partner);
                self.json("POST", "couponcodes", Some(&format!("{name}-{partner}")), &wish).status
            };
            let (first, second) = std::thread::scope(|scope| {
                let first = scope.spawn(|| want(1));
                let second = want(2);
                (first.join().unwrap(), second)
            });
            let owner = match (first, second) {
                (200, 400 | 409) => 1,
                (400 | 409, 200) => 2,
                both => panic!("{name}: {both:?}"),
            };
            expected.insert(name, Some((owner, true)));
        }
        expected
    }

    /// Files, alternately by upload and by command line.
    fn import_files(&self) -> Expected {
        let (mut random, mut expected) = (Random(3), Expected::new());
        for number in 0.. {
            if !self.goes_on() {
                break;
            }
            let (prefix, partner) = (format!("FILE{number}R"), 1 + random.below(PARTNERS));
            let rows = if number % 8 == 0 { MANY_ROWS } else { ROWS };
            let mut file = String::from("offer_id,affiliate_id,coupon_code,status\n");
            for row in 0..rows {
                let _ = writeln!(file, "1,{partner},{prefix}{row},active");
            }
            match number % 2 {
                0 => self.upload(&file, rows),
                _ => self.import(&prefix, &file, &mut random),
            }
            self.imports.fetch_add(1, Ordering::AcqRel);
            let rows = (0..rows).map(|row| (format!("{prefix}{row}"), Some((partner, true))));
            expected.extend(rows);
        }
        expected
    }

    fn upload(&self, file: &str, rows: usize) {
        let kept = self.json("GET", "couponcodes/uploads", None, &Value::Null).json();
        for upload in kept["uploads"].as_array().unwrap() {
            let path = format!("couponcodes/uploads/{}", upload["upload_id"]);
            self.json("DELETE", &path, None, &Value::Null);
        }
        let upload = self.repeat_until_answered(
            "POST",
            "couponcodes/uploads?mode=add",
            None,
            ("text/csv", file),
        );
        let upload = upload.json();
        assert_eq!((&upload["rows"], &upload["invalid"]), (&json!(rows), &json!(0)), "{upload}");
        let commit = format!("couponcodes/uploads/{}/commit", upload["upload_id"]);
        // The second commit changes nothing.
        for _ in 0..2 {
            let done = self.json("POST", &commit, None, &Value::Null).json();
            assert_eq!(done["committed"]["created"], rows, "{done}");
        }
    }

    /// Runs `coupon-admin import` beside the admin, with some kills, until the codes exist.
    fn import(&self, prefix: &str, csv: &str, random: &mut Random) {
        let file = self.network.path("import.csv");
        std::fs::write(&file, csv).unwrap();
        loop {
            let mut import = Command::new(admin_program());
            import.arg("import").arg(&file).arg("--data").arg(self.network.path("admin"));
            let mut import = Program::start(import.stdout(Stdio::null()).stderr(Stdio::null()));
            if random.below(2) == 0 {
                std::thread::sleep(Duration::from_millis(random.below(60)));
                import.kill();
                self.killed_imports.fetch_add(1, Ordering::AcqRel);
            }
            wait_for("the import to end", || import.has_ended().then_some(()));
            let saved = self.exported().keys().filter(|code| code.starts_with(prefix)).count();
            match saved {
                ROWS => return,
                0 => {}
                part => panic!("{part} rows of {ROWS} were saved"),
            }
        }
    }

    /// Pauses and resumes the whole group.
    fn set_the_group(&self) -> Expected {
        let mut is_active = true;
        while self.goes_on() {
            is_active = !is_active;
            let wish = json!({
                "coupon_status": if is_active { "active" } else { "paused" },
                "filter": [format!("network_offer_id={GROUP_OFFER}")],
            });
            let set = self.json("PATCH", "couponcodes/status", None, &wish);
            assert_eq!((set.status, &set.json()["matched_count"]), (200, &json!(GROUP)), "{set:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        (0..GROUP).map(|n| (format!("GROUP{n}"), Some((1, is_active)))).collect()
    }

    /// Numbers the destinations of the first offer in order.
    fn move_the_offer(&self) {
        while self.goes_on() {
            let version = self.asked_version.fetch_add(1, Ordering::AcqRel) + 1;
            let moved = self.json("PATCH", "offers/1?wait=live", None, &destination(version));
            assert_eq!(moved.status, 200, "{moved:?}");
            if moved.header("x-coupon-live") == Some("true") {
                self.live_version.store(version, Ordering::Release);
            }
        }
    }

    /// Each published index is complete, and generations never go back.
    fn look_at_the_index(&self) {
        let mut last = 0;
        while self.goes_on() {
            let index = coupon_admin::publish::published(&self.network.path("admin")).unwrap();
            let generation = index.generation();
            assert!(generation >= last, "generation {generation} after {last}");
            self.generations.fetch_add(u64::from(generation > last), Ordering::AcqRel);
            last = generation;
            let active = (0..GROUP).filter(|n| {
                let code = FoldedCode::fold(format!("GROUP{n}").as_bytes()).unwrap();
                index.lookup(&code).unwrap().iter().any(|row| row.active)
            });
            let active = active.count();
            assert!(active == 0 || active == GROUP, "{active} of {GROUP} are active");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The served destination was requested, is at least as new as the last confirmed one, and
    /// never goes back.
    fn visit(&self) {
        let mut last = 0;
        while self.goes_on() {
            let live = self.live_version.load(Ordering::Acquire);
            let visit = self.network.visit("/winter25");
            assert_eq!(visit.status, 302, "{visit:?}");
            let version = version(visit.location());
            let asked = self.asked_version.load(Ordering::Acquire);
            assert!(
                version >= live.max(last) && version <= asked,
                "{version} of {live} to {asked}"
            );
            last = version;
            self.visits.fetch_add(1, Ordering::AcqRel);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// All codes of the store with partner and activity.
    fn exported(&self) -> BTreeMap<String, Vec<(u64, bool)>> {
        let mut export = Command::new(admin_program());
        export.arg("export").arg("--data").arg(self.network.path("admin"));
        let export = export.output().unwrap();
        assert!(export.status.success(), "{export:?}");
        let text = String::from_utf8(export.stdout).unwrap();
        let mut lines = text.lines();
        let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
        let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let (code, partner, status) = (at("coupon_code"), at("affiliate_id"), at("status"));
        let mut codes = BTreeMap::<String, Vec<(u64, bool)>>::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').map(|cell| cell.trim_matches('"')).collect();
            let row = (cells[partner].parse().unwrap(), cells[status] == "active");
            codes.entry(cells[code].to_owned()).or_default().push(row);
        }
        codes
    }

    fn compare(&self, expected: &Expected) {
        let exported = self.exported();
        for (code, rows) in &exported {
            let expected = expected.get(code).copied().flatten();
            assert_eq!(rows.as_slice(), expected.as_slice(), "{code}");
        }
        let there = expected.iter().filter(|(_, expected)| expected.is_some());
        assert_eq!(exported.len(), there.count(), "accepted codes are lost");

        // The served state is the same.
        self.network.done("PATCH", "offers/1?wait=live", destination(u64::MAX));
        assert_eq!(version(self.network.visit("/winter25").location()), u64::MAX);
        let index = coupon_admin::publish::published(&self.network.path("admin")).unwrap();
        for (code, expected) in expected {
            let rows = index.lookup(&FoldedCode::fold(code.as_bytes()).unwrap());
            let rows: Vec<_> = rows
                .into_iter()
                .flat_map(|rows| rows.iter())
                .map(|row| (u64::from(row.partner_id), row.active))
                .collect();
            assert_eq!(rows.as_slice(), expected.as_slice(), "{code}, published");
        }
    }
}

fn code(name: &str, offer: u64, partner: u64) -> Value {
    json!({
        "coupon_code": name, "coupon_status": "active",
        "network_offer_id": offer, "network_affiliate_id": partner,
    })
}

fn destination(version: u64) -> Value {
    json!({"destination_url": format!("https://shop.example/{version}?t={{transaction_id}}")})
}

fn version(location: &str) -> u64 {
    let path = location.strip_prefix("https://shop.example/").unwrap();
    path.split('?').next().unwrap().parse().unwrap()
}

/// Whether the whole body arrived.
fn is_whole(answer: &Answer) -> bool {
    answer.header("content-length").is_none_or(|length| length.parse() == Ok(answer.body.len()))
}
