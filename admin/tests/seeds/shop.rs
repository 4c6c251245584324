//! The network of the sentences: three offers of one advertiser, two partners.

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Network, Program, wait_for};

pub(crate) struct Shop {
    pub(crate) network: Network,
    _programs: Vec<Program>,
}

/// Network with both programs.
pub(crate) fn open() -> Shop {
    let network = Network::new();
    let programs = vec![network.start_admin(), network.start_daemon()];
    furnish(network, programs)
}

/// Network with the admin alone, for sentences without visits.
pub(crate) fn open_office() -> Shop {
    let network = Network::new();
    let programs = vec![network.start_admin()];
    furnish(network, programs)
}

fn furnish(network: Network, programs: Vec<Program>) -> Shop {
    let domain = json!({"base_url": format!("http://{}", network.visitors), "is_default": true});
    network.done("POST", "trackingdomains", domain);
    network.done("POST", "advertisers", json!({"name": "Shop", "account_status": "active"}));
    for name in ["Jackets", "Pants", "Shoes"] {
        network.done("POST", "offers", offer(name));
    }
    for name in ["Partner 1", "Partner 2"] {
        network.done("POST", "affiliates", json!({"name": name, "account_status": "active"}));
    }
    Shop { network, _programs: programs }
}

pub(crate) fn offer(name: &str) -> Value {
    json!({
        "name": name, "offer_status": "active", "network_advertiser_id": 1,
        "destination_url": format!("https://shop.example/{}", name.to_ascii_lowercase().replace(' ', "-")),
    })
}

/// An active code of the first partner on the first offer.
pub(crate) fn code(code: &str) -> Value {
    on(code, 1, 1)
}

pub(crate) fn on(code: &str, offer: u32, partner: u32) -> Value {
    json!({
        "coupon_code": code, "coupon_status": "active", "network_offer_id": offer,
        "network_affiliate_id": partner,
    })
}

/// The first object, overlaid with the fields of the second.
pub(crate) fn with(mut object: Value, over: Value) -> Value {
    object.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    object
}

/// The day at this distance from today, in UTC.
pub(crate) fn day(from_today: i64) -> String {
    let hours = jiff::SignedDuration::from_hours(24 * from_today);
    (jiff::Timestamp::now() + hours).strftime("%Y-%m-%d").to_string()
}

impl Shop {
    /// Creates a code that is live for visitors.
    pub(crate) fn live(&self, code: Value) -> Value {
        self.network.done("POST", "couponcodes?wait=live", code)
    }

    /// Creates a code.
    pub(crate) fn create(&self, code: Value) -> Value {
        self.network.done("POST", "couponcodes", code)
    }

    /// Tries to create a code; returns the status.
    pub(crate) fn try_create(&self, code: Value) -> u16 {
        self.network.call("POST", "couponcodes", Some(code)).status
    }

    pub(crate) fn read(&self, id: u64) -> Value {
        self.network.call("GET", &format!("couponcodes/{id}"), None).json()
    }

    pub(crate) fn patch(&self, id: u64, change: Value) -> Value {
        self.network.done("PATCH", &format!("couponcodes/{id}?wait=live"), change)
    }

    /// Follows a tracking link from an answer.
    pub(crate) fn follow(&self, link: &Value) -> Answer {
        let link = link.as_str().unwrap();
        let base = format!("http://{}", self.network.visitors);
        let target = link.strip_prefix(&base).unwrap_or_else(|| panic!("{link} is not on {base}"));
        self.network.visit(target)
    }

    /// Waits for `count` clicks and returns them.
    pub(crate) fn clicks(&self, count: usize) -> Vec<Value> {
        let clicks = wait_for("the clicks", || {
            Some(self.network.clicks()).filter(|clicks| clicks.len() >= count)
        });
        assert_eq!(clicks.len(), count);
        clicks
    }

    pub(crate) fn partners_key(&self, partner: u32) -> String {
        let wanted = json!({"name": "p", "role": "partner", "network_affiliate_id": partner});
        self.network.done("POST", "apikeys", wanted)["api_key"].as_str().unwrap().to_owned()
    }

    pub(crate) fn partners_answer(&self, key: &str) -> Answer {
        let path = "/v1/affiliates/couponcodes";
        http::call(self.network.admin_address, key, "GET", path, None)
    }

    /// Codes in a partner's list.
    pub(crate) fn partners_codes(&self, key: &str) -> Vec<String> {
        let list = self.partners_answer(key).json();
        let rows = list["coupon_codes"].as_array().unwrap();
        rows.iter().map(|row| row["coupon_code"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a CSV file.
    pub(crate) fn send_file(&self, mode: &str, csv: &str) -> Answer {
        let path = format!("/v1/networks/couponcodes/uploads?mode={mode}");
        let (address, key) = (self.network.admin_address, self.network.key());
        http::call_with(address, &key, "POST", &path, ("text/csv", csv))
    }

    /// Uploads a CSV file; returns the upload.
    pub(crate) fn upload(&self, mode: &str, csv: &str) -> Value {
        let answer = self.send_file(mode, csv);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) fn commit(&self, upload: &Value) -> Answer {
        let path = format!("couponcodes/uploads/{}/commit", upload["upload_id"]);
        self.network.call("POST", &path, None)
    }
}
