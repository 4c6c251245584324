//! The real network: executes a stream and records the answers.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::model::{Met, Model, PARTNERS, ROWS, TERMS, Verdict};
use crate::money::{Micros, ONE, Terms};
use crate::programs::{Network, Program, admin_program, wait_for};
use crate::steps::{
    AGENTS, CODES, EVENT, Edit, EventNamed, How, Id, Number, Numbered, Postback, Rules, SUBS,
    StreamStep, TOKEN, Token, Visit,
};

/// Gap between the postbacks of a burst: they arrive in this order, all before the first answer of
/// a postback that waits for its click.
const APART: Duration = Duration::from_millis(30);
const PAUSE: Duration = Duration::from_millis(10_500);
/// A well-formed id without a click.
const INVENTED: &str = "0192f0c1d2e3f405a6b7c8d9eaf00112";
const PAUSED_CODE_ROW: usize = 9;
const EXPIRED_CODE_ROW: usize = 10;
const LATER_CODE_ROW: usize = 12;

/// A difference from the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The last executed step.
    pub(crate) after: Number,
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

pub(crate) struct World {
    pub(crate) network: Network,
    admin: Option<Program>,
    daemon: Option<Program>,
    pub(crate) partner_keys: Vec<String>,
    pub(crate) model: Model,
    /// Answers of postbacks with an immediate verdict.
    pub(crate) answers: BTreeMap<Number, Value>,
    pub(crate) comparisons: u64,
    pub(crate) queued: u64,
    /// Whether postbacks may be pending, to be decided by later state.
    is_waiting: bool,
    pub(crate) differences: Vec<Difference>,
    now: Number,
}

impl World {
    pub(crate) fn new() -> World {
        let network = Network::new();
        let mut world = World {
            network,
            admin: None,
            daemon: None,
            partner_keys: Vec::new(),
            model: Model::new(&[], &[]),
            answers: BTreeMap::new(),
            comparisons: 0,
            queued: 0,
            is_waiting: false,
            differences: Vec::new(),
            now: 0,
        };
        world.start();
        world.create();
        world
    }

    fn start(&mut self) {
        if self.admin.is_none() {
            self.admin = Some(self.network.start_admin());
        }
        if self.daemon.is_none() {
            self.start_daemon();
        }
    }

    fn start_daemon(&mut self) {
        let proxies = ("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8");
        // Visits that two serving threads take within one commit of the click log have no order;
        // the model's visits have one.
        let one_thread = ("COUPOND_THREADS", "1");
        self.daemon = Some(self.network.start_daemon_with(&[proxies, one_thread]));
    }

    pub(crate) fn restart(&mut self) {
        for mut program in [self.daemon.take(), self.admin.take()].into_iter().flatten() {
            program.stop();
        }
        self.start();
    }

    /// Rebuilds the reports.
    pub(crate) fn rebuild_reports(&mut self) {
        self.admin.take().unwrap().stop();
        let mut command = Command::new(admin_program());
        let command = command.args(["rebuild-reports", "--data"]).arg(self.network.path("admin"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        self.start();
    }

    // --- the network that every stream begins with

    fn create(&mut self) {
        let network = &self.network;
        let settings = json!({
            "time_zone": "UTC", "currency": "USD", "fallback_url": "",
            "default_tracking_domain_id": null, "code_leak_guard": {"action": "off"},
            "second_factor_required": {},
            "is_global_fail_traffic_enabled": false, "global_fail_traffic_url": "",
            "is_fail_traffic_on_paused_enabled": false,
            "ip_blocklist": [], "cap_alert_percentage": 90,
            "address_alert_percentage": 50, "address_alert_minimum": 100,
        });
        network.done("PUT", "settings", settings);
        let domain =
            json!({"base_url": format!("http://{}", network.visitors), "is_default": true});
        network.done("POST", "trackingdomains", domain);
        network.done("POST", "advertisers", json!({"name": "Open", "account_status": "active"}));
        let careful = json!({
            "name": "Careful", "account_status": "active", "verification_token": TOKEN,
            "attribution_priority": "coupon_code", "attribution_method": "first_touch",
        });
        network.done("POST", "advertisers", careful);
        for partner in 0..PARTNERS {
            let name = format!("Partner {partner}");
            network.done("POST", "affiliates", json!({"name": name, "account_status": "active"}));
            let key = json!({"name": name, "role": "partner", "network_affiliate_id": partner + 1});
            let key = network.done("POST", "apikeys", key);
            self.partner_keys.push(key["api_key"].as_str().unwrap().to_owned());
        }
        let plan = Model::new(&[0; 8], &[0; ROWS.len()]);
        let events: Vec<u64> = (0..plan.offers.len())
            .map(|at| {
                let offer = &plan.offers[at];
                let mut body = json!({
                    "name": format!("Offer {at}"), "offer_status": "active",
                    "visibility": "public", "network_advertiser_id": offer.advertiser + 1,
                    "destination_url": format!("https://shop.example/{at}?t={{transaction_id}}"),
                    "currency_id": offer.currency,
                    "is_allow_duplicate_conversion": offer.allows_duplicates,
                    "session_definition": session(offer.by_address),
                });
                let event = offer.event.map(|(_, terms)| (None, terms));
                body["payout_revenue"] = entries(offer.terms, event);
                let made = network.done("POST", "offers", body);
                assert_eq!(made["network_offer_id"], at as u64 + 1);
                event_id(&made)
            })
            .collect();
        let rows: Vec<u64> = ROWS
            .iter()
            .enumerate()
            .map(|(at, (code, offer, partner))| {
                let mut body = json!({
                    "coupon_code": CODES[*code],
                    "coupon_status": if at == PAUSED_CODE_ROW { "paused" } else { "active" },
                    "network_offer_id": offer + 1,
                });
                if let Some(partner) = partner {
                    body["network_affiliate_id"] = json!(partner + 1);
                }
                if at == EXPIRED_CODE_ROW {
                    body["end_date"] = json!("2020-01-31");
                }
                if at == LATER_CODE_ROW {
                    body["start_date"] = json!("2999-01-01");
                }
                let made = network.done("POST", "couponcodes", body);
                made["network_coupon_code_id"].as_u64().unwrap()
            })
            .collect();
        network.done("PUT", "botlist?wait=live", bots(false));
        let offer = json!({"offer_status": "active"});
        network.done("PATCH", "offers/1?wait=live", offer);
        self.model = Model::new(&events, &rows);
    }

    // --- steps

    pub(crate) fn perform(&mut self, numbered: &Numbered) {
        self.now = numbered.number;
        match &numbered.step {
            StreamStep::Visit(visit) => self.visit(numbered.number, visit),
            StreamStep::Report(said) => {
                let answer = self.sender().send(numbered.number, said, &self.ids(said));
                self.reported(numbered.number, said, &answer);
            }
            StreamStep::Burst(steps) => self.burst(steps),
            StreamStep::Away(steps) => {
                self.admin.take().unwrap().stop();
                for step in steps {
                    self.perform(step);
                }
                self.start();
                self.model.kinds.saw("postbacks while the admin is away");
            }
            StreamStep::Edit(edit) => self.edit(edit),
            StreamStep::Decide { postback, approve } => self.decide(*postback, *approve),
            StreamStep::Kill { admin, daemon } => {
                if *admin {
                    self.admin.take().unwrap().kill();
                }
                if *daemon {
                    self.daemon.take().unwrap().kill();
                }
                self.start();
            }
            StreamStep::Pause => std::thread::sleep(PAUSE),
        }
    }

    pub(crate) fn expect(&mut self, what: impl FnOnce() -> String, expected: &str, got: &str) {
        self.comparisons += 1;
        if expected != got {
            self.differences.push(Difference {
                after: self.now,
                what: what(),
                expected: expected.to_owned(),
                got: got.to_owned(),
            });
        }
    }

    fn visit(&mut self, number: Number, visit: &Visit) {
        let met = self.model.meet(visit);
        if met == Met::Unasked {
            return;
        }
        let target = match visit.how {
            How::Code { code, offer } => {
                let oid = offer.map(|offer| format!("&oid={}", offer + 1)).unwrap_or_default();
                format!("/{}?sub1={}{oid}", CODES[code], SUBS[visit.sub1])
            }
            How::Page { offer, partner } => format!(
                "/sdk/click?oid={}&affid={}&async=json&sub1={}",
                offer + 1,
                partner + 1,
                SUBS[visit.sub1]
            ),
        };
        let ahead = if visit.is_prefetch { "Sec-Purpose: prefetch\r\n" } else { "" };
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\n{ahead}\
             X-Forwarded-For: 192.0.2.{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.network.visitors, AGENTS[visit.agent], visit.address
        );
        let answer = http::send(self.network.visitors, &request).unwrap();
        let (led_to, transaction_id) = led_to(&answer, visit.how);
        // Two clicks in one millisecond have no order.
        std::thread::sleep(Duration::from_millis(2));
        let expected = match met {
            Met::Offer(offer) => format!("offer {offer}"),
            Met::Refused | Met::Nothing | Met::Unasked => "404".to_owned(),
        };
        self.expect(|| format!("where the visit {target} leads"), &expected, &led_to);
        if met != Met::Nothing {
            self.model.record(number, visit, &transaction_id);
        }
    }

    fn ids(&self, said: &Postback) -> Vec<String> {
        let ids = said.ids.iter().filter_map(|id| match id {
            Id::Click(number) => {
                let click = self.model.click(*number)?;
                Some(click.transaction_id.clone()).filter(|id| !id.is_empty())
            }
            Id::Invented => Some(INVENTED.to_owned()),
            Id::Garbage => Some("xyz".to_owned()),
        });
        ids.collect()
    }

    fn sender(&self) -> Sender {
        let first_events = self.model.offers.iter().map(|offer| offer.first_event).collect();
        Sender { to: self.network.visitors, first_events }
    }

    fn reported(&mut self, number: Number, said: &Postback, answer: &Value) {
        self.model.report(number, said);
        if answer["status"] == "queued" {
            self.queued += u64::from(self.admin.is_some());
            self.is_waiting = true;
            return;
        }
        self.answers.insert(number, answer.clone());
        let verdict = self.model.told[&number];
        let shown = format!("{} {}", answer["status"].as_str().unwrap(), answer["error_code"]);
        let expected = format!("{} {}", verdict.status.as_str(), verdict.error);
        self.expect(|| format!("the answer of postback {number}"), &expected, &shown);
    }

    fn burst(&mut self, steps: &[Numbered]) {
        let sender = self.sender();
        let sent: Vec<(Number, &Postback, Vec<String>)> = steps
            .iter()
            .filter_map(|numbered| match &numbered.step {
                StreamStep::Report(said) => Some((numbered.number, said, self.ids(said))),
                _ => None,
            })
            .collect();
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let sending: Vec<_> = sent
                .iter()
                .map(|(number, said, ids)| {
                    let sending = scope.spawn(|| sender.send(*number, said, ids));
                    std::thread::sleep(APART);
                    sending
                })
                .collect();
            sending.into_iter().map(|sending| sending.join().unwrap()).collect()
        });
        let kind =
            match sent.iter().any(|(_, said, _)| said.amount.is_some_and(|it| it.starts_with('-')))
            {
                true => "a refund at once after a sale that waits for its click",
                false => "a repeat by code at once after a sale that waits for its click",
            };
        self.model.kinds.saw(kind);
        // A busy machine may receive them in another order than sent.
        let ids = self.ids_by_sender();
        let mut received: Vec<_> = sent.iter().zip(&answers).collect();
        received.sort_by_key(|((number, ..), _)| ids.get(number).cloned());
        for ((number, said, _), answer) in received {
            self.reported(*number, said, answer);
        }
    }

    /// Ids of the newest postbacks; an id begins with the time of reception.
    fn ids_by_sender(&self) -> BTreeMap<Number, String> {
        self.wait_until_settled();
        let log = self.network.call("GET", "postbacks?page_size=20", None).json();
        let ids = log["postbacks"].as_array().unwrap().iter().filter_map(|entry| {
            let id = entry["postback_id"].as_str()?;
            let whole = self.network.call("GET", &format!("postbacks/{id}"), None).json();
            let number = whole["user_agent"].as_str()?.strip_prefix("shop/")?.parse().ok()?;
            Some((number, id.to_owned()))
        });
        ids.collect()
    }

    fn decide(&mut self, postback: Number, approve: bool) {
        self.wait_until_settled();
        let Some(id) = self.conversion_ids().get(&postback).cloned() else { return };
        let Some(is_allowed) = self.model.decide(postback, approve) else { return };
        let status = if approve { "approved" } else { "rejected" };
        let body = json!({"conversion_ids": [id], "conversion_status": status});
        let answer = self.network.call("PATCH", "reporting/conversions", Some(body));
        let expected = if is_allowed { "200" } else { "409" };
        let what = || format!("whether the conversion of postback {postback} can be {status}");
        self.expect(what, expected, &answer.status.to_string());
    }

    /// Conversion ids by the postbacks that made them.
    fn conversion_ids(&self) -> BTreeMap<Number, String> {
        let rows = self.conversions();
        let ids = rows.iter().filter_map(|row| {
            Some((sender_number(row)?, row["conversion_id"].as_str()?.to_owned()))
        });
        ids.collect()
    }

    pub(crate) fn conversions(&self) -> Vec<Value> {
        let path = "reporting/conversions?page_size=2000";
        let report = self.network.done("POST", path, crate::programs::today());
        report["conversions"].as_array().unwrap().clone()
    }

    /// Waits until all postbacks are decided and counted.
    pub(crate) fn wait_until_settled(&self) {
        let clicks = self.model.clicks.len() as u64;
        wait_for("all postbacks to be decided", || {
            let queued = self.network.call("GET", "postbacks?filter=status=queued", None).json();
            (queued["paging"]["total_count"] == 0).then_some(())
        });
        wait_for("all visits to be counted", || {
            (self.network.gross_clicks() >= clicks).then_some(())
        });
    }

    // --- edits

    fn edit(&mut self, edit: &Edit) {
        if !self.model.can_edit(edit) {
            return;
        }
        if std::mem::take(&mut self.is_waiting) {
            self.wait_until_settled();
        }
        let new_id = match *edit {
            Edit::CodeStatus { code, offer, active } => {
                let status = if active { "active" } else { "paused" };
                self.patch_code(code, offer, json!({"coupon_status": status}))
            }
            Edit::CodePartner { code, offer, partner } => {
                self.patch_code(code, offer, json!({"network_affiliate_id": partner + 1}))
            }
            Edit::CodeOffer { code, offer, to } => {
                self.patch_code(code, offer, json!({"network_offer_id": to + 1}))
            }
            Edit::CodeDeleted { code, offer } => {
                let path = format!("couponcodes/{}?wait=live", self.row_id(code, offer));
                self.call("DELETE", &path, None);
                0
            }
            Edit::CodeCreated { code, offer, partner } => self.create_code(code, offer, partner),
            Edit::OfferStatus { offer, active } => {
                let status = if active { "active" } else { "paused" };
                self.patch_offer(offer, json!({"offer_status": status}))
            }
            Edit::Currency { offer, currency } => {
                self.patch_offer(offer, json!({"currency_id": currency}))
            }
            Edit::Terms { offer, terms } => {
                let event = self.model.offers[offer].event;
                let event = event.map(|(id, terms)| (Some(id), terms));
                let entries = self.entries_of(offer, TERMS[terms], event);
                self.patch_offer(offer, json!({"payout_revenue": entries}));
                0
            }
            Edit::Duplicates { offer, allowed } => {
                self.patch_offer(offer, json!({"is_allow_duplicate_conversion": allowed}))
            }
            Edit::MustApprove { offer, must } => {
                self.patch_offer(offer, json!({"is_must_approve_conversion": must}))
            }
            Edit::Event { offer, is_there } => {
                let terms = self.model.offers[offer].terms;
                let event = is_there.then_some((None, crate::model::EVENT_TERMS));
                let entries = self.entries_of(offer, terms, event);
                self.patch_offer(offer, json!({"payout_revenue": entries}))
            }
            Edit::Session { offer, by_address } => {
                // Earlier visits are classified by the earlier session.
                self.wait_until_settled();
                self.patch_offer(offer, json!({"session_definition": session(by_address)}))
            }
            Edit::Rules { offer, rules } => self.patch_offer(offer, rules_of(rules)),
            Edit::Bots { checker } => {
                self.network.done("PUT", "botlist?wait=live", bots(checker));
                0
            }
        };
        self.model.edit(edit, new_id);
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.network.call(method, path, body.clone());
        assert_eq!(answer.status, 200, "{method} {path} {body:?}: {answer:?}");
        answer.json()
    }

    fn row_id(&self, code: usize, offer: usize) -> u64 {
        self.model.rows[self.model.row_of(code, offer).unwrap()].id
    }

    fn patch_code(&self, code: usize, offer: usize, body: Value) -> u64 {
        let path = format!("couponcodes/{}?wait=live", self.row_id(code, offer));
        self.call("PATCH", &path, Some(body));
        0
    }

    /// Patches an offer; returns the id of its event.
    fn patch_offer(&self, offer: usize, body: Value) -> u64 {
        event_id(&self.call("PATCH", &format!("offers/{}?wait=live", offer + 1), Some(body)))
    }

    fn create_code(&mut self, code: usize, offer: usize, partner: Option<usize>) -> u64 {
        let rows = &self.model.rows;
        let of_code = || rows.iter().filter(|row| row.code == code);
        let now = of_code().filter(|row| !row.is_deleted).find_map(|row| row.partner).or(partner);
        let mut before = of_code().filter(|row| row.is_deleted).filter_map(|row| row.partner);
        let mut body = json!({
            "coupon_code": CODES[code], "coupon_status": "active", "network_offer_id": offer + 1,
        });
        if let Some(partner) = partner {
            body["network_affiliate_id"] = json!(partner + 1);
        }
        // Only if the former partner differs from the present one.
        let is_reissued = before.any(|partner| now != Some(partner));
        let mut create = |allow_reissue| {
            body["allow_reissue"] = json!(allow_reissue);
            self.network.call("POST", "couponcodes?wait=live", Some(body.clone()))
        };
        let mut made = create(is_reissued);
        let status = made.status.to_string();
        if made.status != 200 {
            made = create(true);
        }
        let what = || format!("the code {} created anew on offer {offer}", CODES[code]);
        self.expect(what, "200", &status);
        made.json()["network_coupon_code_id"].as_u64().unwrap()
    }

    /// Entries with their existing ids.
    fn entries_of(&self, offer: usize, terms: Terms, event: Option<(Option<u64>, Terms)>) -> Value {
        let now = self.call("GET", &format!("offers/{}", offer + 1), None);
        let mut entries = entries(terms, event);
        let known = now["payout_revenue"].as_array().unwrap().iter();
        let base = known.clone().find(|entry| entry["is_default"] == true).unwrap();
        let id = "network_offer_payout_revenue_id";
        entries[0][id] = base[id].clone();
        entries
    }
}

/// Sends postbacks, also from other threads.
struct Sender {
    to: std::net::SocketAddr,
    first_events: Vec<u64>,
}

impl Sender {
    fn send(&self, number: Number, said: &Postback, ids: &[String]) -> Value {
        let pairs = self.pairs(said, ids);
        let agent = format!("shop/{number}");
        let head = format!(
            "Host: {}\r\nUser-Agent: {agent}\r\nAccept: application/json\r\n\
             Connection: close\r\n",
            self.to
        );
        let request = if said.is_json {
            let members: Vec<String> = pairs
                .iter()
                .map(|(name, value)| match *name {
                    "amount" => format!("\"{name}\":{value}"),
                    _ => format!("\"{name}\":{}", json!(value)),
                })
                .collect();
            let body = format!("{{{}}}", members.join(","));
            let length = body.len();
            format!(
                "POST /?nid=1 HTTP/1.1\r\n{head}Content-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
        } else {
            let query: Vec<String> =
                pairs.iter().map(|(name, value)| format!("&{name}={value}")).collect();
            format!("GET /?nid=1{} HTTP/1.1\r\n{head}\r\n", query.concat())
        };
        let answer = http::send(self.to, &request).unwrap();
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        answer.json()
    }

    fn pairs(&self, said: &Postback, ids: &[String]) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut add = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        add("transaction_id", Some(ids.join("%7C")).filter(|ids| !ids.is_empty()));
        let code = |code: usize| CODES.get(code).copied().unwrap_or("NOSUCHCODE").to_owned();
        add("coupon_code", said.code.map(code));
        add("oid", said.offer.map(|offer| (offer + 1).to_string()));
        add("affid", said.partner.map(|partner| (partner + 1).to_string()));
        let event = match said.event {
            EventNamed::Base => None,
            EventNamed::ByName => Some(("adv_event_id", EVENT.to_owned())),
            // Streams name the first event of one offer only.
            EventNamed::First => Some(("event_id", self.first_events[5].to_string())),
            EventNamed::Unknown => Some(("event_id", "999999".to_owned())),
        };
        if let Some((name, value)) = event {
            add(name, Some(value));
        }
        add("order_id", said.order.map(|order| format!("o{order}")));
        add("amount", said.amount.map(str::to_owned));
        add("currency", said.currency.map(str::to_owned));
        add("refund_id", said.refund.map(|refund| format!("r{refund}")));
        let token = match said.token {
            Token::None => None,
            Token::Good => Some(TOKEN.to_owned()),
            Token::Wrong => Some("guessed".to_owned()),
        };
        add("verification_token", token);
        pairs
    }
}

/// Number of the postback that made a conversion.
pub(crate) fn sender_number(row: &Value) -> Option<Number> {
    row["conversion_user_agent"].as_str()?.strip_prefix("shop/")?.parse().ok()
}

/// Offer and transaction id in a visit's answer.
fn led_to(answer: &Answer, how: How) -> (String, String) {
    let nowhere = || (answer.status.to_string(), String::new());
    match how {
        How::Page { .. } if answer.status == 200 => {
            let told = answer.json();
            let offer = told["oid"].as_u64().unwrap_or(0).saturating_sub(1);
            (format!("offer {offer}"), told["transaction_id"].as_str().unwrap_or("").to_owned())
        }
        How::Code { .. } if answer.status == 302 => {
            let path = answer.location().strip_prefix("https://shop.example/");
            match path.and_then(|path| path.split_once("?t=")) {
                Some((offer, id)) => (format!("offer {offer}"), id.to_owned()),
                None => nowhere(),
            }
        }
        _ => nowhere(),
    }
}

/// The fields of an offer with these rules alone.
fn rules_of(rules: Rules) -> Value {
    let system = |name: &str, side: &str| json!({"name": name, "targeting_type": side});
    let ruleset = match rules {
        Rules::None | Rules::NotSub(_) => json!({}),
        Rules::NotIos => json!({"platforms": [system("iOS", "exclude")]}),
        Rules::OnlyWindowsAndIos => {
            json!({"platforms": [system("iOS", "include"), system("Windows", "include")]})
        }
        Rules::NotAddressesTo(last) => json!({"ips": [{
            "ip_from": "192.0.2.0", "ip_to": format!("192.0.2.{last}"), "match_type": "range",
            "targeting_type": "exclude",
        }]}),
    };
    let filters = match rules {
        Rules::NotSub(sub) => {
            json!([{"parameter": "sub1", "match_type": "exact_match", "value": SUBS[sub]}])
        }
        _ => json!([]),
    };
    json!({"ruleset": ruleset, "traffic_filters": filters})
}

fn session(by_address: bool) -> &'static str {
    if by_address { "ip" } else { "ip_user_agent" }
}

fn bots(checker: bool) -> Value {
    let mut patterns = vec!["bot/"];
    if checker {
        patterns.push("checker/");
    }
    json!({ "patterns": patterns })
}

fn decimal(micros: Micros) -> Value {
    let text = format!("{}.{:06}", micros / ONE, micros % ONE);
    serde_json::from_str(&text).unwrap()
}

fn entry(terms: Terms) -> Value {
    let (payout, revenue) = (terms.payout, terms.revenue);
    json!({
        "payout_type": payout.0, "payout_amount": decimal(payout.1),
        "payout_percentage": decimal(payout.2), "revenue_type": revenue.0,
        "revenue_amount": decimal(revenue.1), "revenue_percentage": decimal(revenue.2),
    })
}

fn entries(terms: Terms, event: Option<(Option<u64>, Terms)>) -> Value {
    let mut base = entry(terms);
    base["is_default"] = json!(true);
    let mut entries = vec![base];
    if let Some((id, terms)) = event {
        let mut event = entry(terms);
        event["entry_name"] = json!(EVENT);
        if let Some(id) = id {
            event["network_offer_payout_revenue_id"] = json!(id);
        }
        entries.push(event);
    }
    json!(entries)
}

/// Event id in an offer answer; 0 without an event.
fn event_id(offer: &Value) -> u64 {
    let entries = offer["payout_revenue"].as_array().unwrap();
    let event = entries.iter().find(|entry| entry["is_default"] == false);
    event.map_or(0, |event| event["network_offer_payout_revenue_id"].as_u64().unwrap())
}

/// Status and error of a verdict.
pub(crate) fn verdict_text(verdict: &Verdict) -> String {
    format!("{} {}", verdict.status.as_str(), verdict.error)
}
