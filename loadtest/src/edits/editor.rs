//! An editor with two offers between which a code moves, and one offer whose destination changes.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};

use crate::cli::{EditKind, EditsArguments};
use crate::client::{Answered, Client};

/// Wait between two visits to the redirect server.
const BETWEEN_VISITS: Duration = Duration::from_micros(200);
/// Destination of the editors' offers.
const SHOP: &str = "https://edits.example";

/// Result of one edit.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) kind: EditKind,
    /// Delay after the due time.
    pub(super) late: Duration,
    pub(super) fate: EditOutcome,
}

#[derive(Debug)]
pub(super) enum EditOutcome {
    /// Durations from sending to the answer, and from the answer to the first visit with the
    /// change.
    Live { accepted: Duration, live: Duration },
    /// Accepted, but not seen in time.
    NeverSeen { accepted: Duration },
    /// Error answer of the admin.
    Refused(String),
}

/// Advertiser and partner of all objects of the editors.
pub(super) struct Owner {
    advertiser_id: u64,
    affiliate_id: u64,
    /// Prefix of this run's codes; no other run has it.
    prefix: String,
}

impl Owner {
    pub(super) fn create(admin: &mut Client) -> anyhow::Result<Owner> {
        let name = json!({"name": "coupon-loadtest edits", "account_status": "active"});
        let advertiser_id = admin.create("advertisers", &name, "network_advertiser_id")?;
        let affiliate_id = admin.create("affiliates", &name, "network_affiliate_id")?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Owner { advertiser_id, affiliate_id, prefix: format!("LT{:X}", now.as_millis()) })
    }
}

pub(super) struct Editor {
    admin: Client,
    visitor: Client,
    timeout: Duration,
    affiliate_id: u64,
    prefix: String,
    /// The two offers of the moving code, and its present offer.
    offers: [u64; 2],
    at: usize,
    code: Code,
    /// Offer with changing destination, number of its changes, and a code on it.
    offer: u64,
    version: u64,
    code_of_offer: Code,
    created: u64,
}

struct Code {
    id: u64,
    text: String,
}

impl Editor {
    pub(super) fn prepare(
        arguments: &EditsArguments,
        owner: &Owner,
        number: u16,
    ) -> anyhow::Result<Editor> {
        let mut admin = Client::of_admin(&arguments.network)?;
        let visitor = Client::of_visitor(&arguments.network);
        let mut offer = |name: &str| {
            let offer = json!({
                "name": format!("coupon-loadtest edits {number} {name}"),
                "offer_status": "active", "visibility": "public",
                "network_advertiser_id": owner.advertiser_id,
                "destination_url": destination(name, 0),
            });
            admin.create("offers", &offer, "network_offer_id")
        };
        let offers = [offer("a")?, offer("b")?];
        let changing = offer("c")?;
        let prefix = format!("{}N{number}N", owner.prefix);
        let affiliate_id = owner.affiliate_id;
        let mut code = |offer: u64, name: &str| {
            let text = format!("{prefix}{name}");
            let body = new_code(&text, offer, affiliate_id);
            let id = admin.create("couponcodes", &body, "network_coupon_code_id")?;
            anyhow::Ok(Code { id, text })
        };
        let (moved, of_offer) = (code(offers[0], "MOVES")?, code(changing, "STAYS")?);
        let mut editor = Editor {
            admin,
            visitor,
            timeout: arguments.network.timeout,
            affiliate_id,
            prefix,
            offers,
            at: 0,
            code: moved,
            offer: changing,
            version: 0,
            code_of_offer: of_offer,
            created: 0,
        };
        let last = editor.code_of_offer.text.clone();
        if !editor.is_seen(&last, &destination("c", 0), Instant::now())? {
            bail!(
                "a new code is not seen at {} after {:?}: is it the redirect server of this admin, \
                 and is --host a tracking domain?",
                arguments.network.target,
                arguments.network.timeout
            );
        }
        Ok(editor)
    }

    /// Makes one edit and waits until a visitor sees it.
    pub(super) fn edit(&mut self, kind: EditKind, late: Duration) -> anyhow::Result<Seen> {
        let begun = Instant::now();
        let (answer, code, leads_to) = match kind {
            EditKind::Code => self.move_code()?,
            EditKind::Creation => self.create_code()?,
            EditKind::Offer => self.change_offer()?,
        };
        let at = Instant::now();
        let accepted = at - begun;
        let fate = if answer.status != 200 {
            EditOutcome::Refused(answer.error())
        } else if self.is_seen(&code, &leads_to, at)? {
            EditOutcome::Live { accepted, live: at.elapsed() }
        } else {
            EditOutcome::NeverSeen { accepted }
        };
        Ok(Seen { kind, late, fate })
    }

    /// Returns the answer, the code to visit, and its new destination.
    fn move_code(&mut self) -> anyhow::Result<(Answered, String, String)> {
        let to = 1 - self.at;
        let path = format!("/v1/networks/couponcodes/{}", self.code.id);
        let body = json!({"network_offer_id": self.offers[to]});
        let answer = self.admin.send_json("PATCH", &path, &body)?;
        if answer.status == 200 {
            self.at = to;
        }
        Ok((answer, self.code.text.clone(), destination(["a", "b"][to], 0)))
    }

    fn create_code(&mut self) -> anyhow::Result<(Answered, String, String)> {
        self.created += 1;
        let text = format!("{}{}", self.prefix, self.created);
        let body = new_code(&text, self.offers[0], self.affiliate_id);
        let answer = self.admin.send_json("POST", "/v1/networks/couponcodes", &body)?;
        Ok((answer, text, destination("a", 0)))
    }

    fn change_offer(&mut self) -> anyhow::Result<(Answered, String, String)> {
        self.version += 1;
        let path = format!("/v1/networks/offers/{}", self.offer);
        let url = destination("c", self.version);
        let body = json!({"destination_url": url});
        let answer = self.admin.send_json("PATCH", &path, &body)?;
        Ok((answer, self.code_of_offer.text.clone(), url))
    }

    /// Visits until the code leads to `leads_to` or the time is over.
    fn is_seen(&mut self, code: &str, leads_to: &str, since: Instant) -> anyhow::Result<bool> {
        while since.elapsed() < self.timeout {
            let answer = self.visitor.get(&format!("/{code}/"))?;
            if answer.location.as_deref() == Some(leads_to) {
                return Ok(true);
            }
            std::thread::sleep(BETWEEN_VISITS);
        }
        Ok(false)
    }
}

fn destination(name: &str, version: u64) -> String {
    format!("{SHOP}/{name}/{version}")
}

fn new_code(text: &str, offer: u64, affiliate: u64) -> Value {
    json!({
        "coupon_code": text, "coupon_status": "active",
        "network_offer_id": offer, "network_affiliate_id": affiliate,
    })
}
