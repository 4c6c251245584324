//! Decisions about sales, up to the server of the partner.

use crate::http_browser::HttpBrowser;
use crate::programs::wait_for;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const ALLOW_THIS_MACHINE: (&str, &str) = ("COUPON_ADMIN_PIXELS_ALLOWED_NETWORKS", "127.0.0.0/8");

/// A partner's server: its port, and the targets of its requests.
fn partner_server() -> (u16, Receiver<String>) {
    // The tracking domain is another loopback address; postbacks to it are refused.
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, targets) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            let _ = lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            connection.write_all(answer).unwrap();
            let _ = sender.send(first.split(' ').nth(1).unwrap().to_owned());
        }
    });
    (port, targets)
}

#[test]
fn a_pending_sale_is_approved_by_a_manager_and_the_partner_is_told() {
    let console = Console::start_with(&[ALLOW_THIS_MACHINE]);
    let network = &console.network;
    let codes = network.create_winter25();
    let terms = json!({
        "is_must_approve_conversion": true,
        "payout_revenue": [{
            "is_default": true, "payout_type": "cps", "payout_percentage": 10,
            "revenue_type": "rps", "revenue_percentage": 20,
        }],
    });
    network.done("PATCH", &format!("offers/{}?wait=live", codes.offer), terms);
    let (port, targets) = partner_server();
    let postback = json!({
        "network_affiliate_id": codes.partner, "pixel_status": "active",
        "postback_url": format!("http://127.0.0.2:{port}/pb?o={{order_id}}&p={{payout_amount}}"),
    });
    network.done("POST", "pixels", postback);
    let sale = "/?nid=1&coupon_code=winter25&amount=80.50&order_id=A-1";
    assert_eq!(network.visit(sale).status, 200);
    let id = network.conversion()["conversion_id"].as_str().unwrap().to_owned();

    let mia = HttpBrowser::invited(network, "Mia", "manager");
    let page = mia.html(&format!("/console/conversions/{id}"));
    assert!(page.contains(">Pending</span>"), "{page}");
    assert!(targets.recv_timeout(Duration::from_secs(1)).is_err(), "a pending sale is told");
    let decide = format!("/console/conversions/{id}/decide");
    let decided = mia.post(&decide, &[("decision", "approved"), ("notes", "checked by phone")]);
    assert_eq!(decided.status, 303, "{decided:?}");
    let target = targets.recv_timeout(Duration::from_secs(15)).expect("a partner postback");
    assert_eq!(target, "/pb?o=A-1&p=8.05");
    let page = mia.html(&format!("/console/conversions/{id}"));
    assert!(page.contains(">Approved</span>") && page.contains("checked by phone"), "{page}");
    let history = page.split("<h2>History</h2>").nth(1).unwrap();
    assert!(history.contains("Mia"), "the history names the user: {history}");
    let audit = console.html("/console/audit?filter=object%3Dconversion");
    assert!(audit.contains("Mia"), "{audit}");
    wait_for("the delivery on the partner's page", || {
        let deliveries = mia.html("/console/partner-postbacks/deliveries");
        deliveries.contains("Delivered").then_some(())
    });
}

#[test]
fn sales_of_a_leaked_code_are_held_with_the_code_paused_and_released() {
    let console = Console::start();
    let network = &console.network;
    let codes = network.create_winter25();
    let terms = json!({"payout_revenue": [{
        "is_default": true, "payout_type": "cps", "payout_percentage": 10,
        "revenue_type": "rps", "revenue_percentage": 20,
    }]});
    network.done("PATCH", &format!("offers/{}?wait=live", codes.offer), terms);
    for order in ["A-1", "A-2"] {
        let sale = format!("/?nid=1&coupon_code=winter25&amount=80.50&order_id={order}");
        assert_eq!(network.visit(&sale).status, 200);
    }
    wait_for("both sales", || (network.conversions().len() == 2).then_some(()));
    let status = || {
        let mut statuses: Vec<String> = network
            .conversions()
            .iter()
            .map(|sale| format!("{} {}", sale["status"].as_str().unwrap(), sale["notes"]))
            .collect();
        statuses.dedup();
        statuses
    };
    let link = |html: &str, label: &str| {
        let (before, _) = html.split_once(&format!("\" aria-label=\"{label}\"")).unwrap();
        before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&").replace("&amp;", "&")
    };
    let mia = HttpBrowser::invited(network, "mia", "manager");
    let leaks = mia.html("/console/leaks");
    let hold = link(&leaks, "Hold the sales of WINTER25");
    let page = mia.html(&hold);
    assert_well_formed(&page);
    assert!(page.contains("<strong>2 sales</strong>") && page.contains("16.10 USD"), "{page}");
    assert_eq!(status(), ["approved \"\""], "the question changes nothing");

    let query = hold.split_once('?').unwrap().1.to_owned();
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form = |further: &[(&'static str, &'static str)]| {
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields = fields.filter(|(name, _)| further.iter().all(|(other, _)| other != name));
        fields.chain(further.iter().copied()).collect::<Vec<_>>()
    };
    let held =
        mia.post("/console/leaks/decide", &form(&[("notes", "on a site"), ("pause", "true")]));
    assert!(held.location().contains("notice=sales-held"), "{held:?}");
    let leaks = mia.html(held.location());
    assert!(leaks.contains("The sales are held."), "{leaks}");
    assert_eq!(status(), ["pending \"on a site\""]);
    assert_eq!(network.visit("/winter25").status, 404, "the code is paused");
    assert!(!leaks.contains("Hold the sales of WINTER25"), "{leaks}");

    let page = mia.html(&link(&leaks, "Release the sales of WINTER25"));
    assert_well_formed(&page);
    assert!(page.contains("Release 2 sales"), "{page}");
    assert_eq!(mia.post("/console/leaks/decide", &form(&[("decision", "release")])).status, 303);
    assert_eq!(status(), ["approved \"on a site\""]);
    let reader = HttpBrowser::invited(network, "reader", "read_only");
    assert!(!reader.html("/console/leaks").contains("Hold the sales"));
    network.done("PATCH", "settings", json!({"address_alert_minimum": 3}));
    (0..3).for_each(|_| drop(network.visit("/winter25")));
    let page = wait_for("the alert of the code", || {
        Some(reader.html("/console/leaks")).filter(|page| page.contains(">Code WINTER25</bdi>"))
    });
    assert!(page.contains("(100 %)"), "{page}");
    assert_well_formed(&page);
    assert_eq!(reader.get(&hold).status, 403);
}
