//! Partner postbacks of the real program: through kills, and over HTTPS.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coupon_admin::partner_postbacks::queue::{Approved, on_conversion};
use coupon_admin::store::connect_writer;
use serde_json::{Value, json};

use crate::programs::{Network, Program, is_installed, wait_for};

const ALLOW_THIS_MACHINE: (&str, &str) = ("COUPON_ADMIN_PIXELS_ALLOWED_NETWORKS", "127.0.0.0/8");

fn approve(network: &Network, numbers: std::ops::Range<u32>) {
    let mut connection = connect_writer(&network.path("admin")).unwrap();
    let tx = connection.begin_write().unwrap();
    for number in numbers {
        let conversion_id = format!("{number:032x}").into();
        let conversion =
            Approved { conversion_id, affiliate_id: 1, offer_id: 1, ..Approved::default() };
        on_conversion(&tx, &conversion).unwrap();
    }
    tx.commit().unwrap();
}

fn create_pixel(network: &Network, url: &str) {
    network.done("POST", "affiliates", json!({"name": "Anna", "account_status": "active"}));
    let pixel = json!({"network_affiliate_id": 1, "pixel_status": "active", "postback_url": url});
    network.done("POST", "pixels", pixel);
}

/// Number of requests per target.
type Counts = Arc<Mutex<HashMap<String, u32>>>;

/// A server that answers slowly enough for kills in between.
fn counting_server() -> (u16, Counts) {
    // The tracking domain is 127.0.0.1, where partner postbacks are refused.
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let (port, counts) = (listener.local_addr().unwrap().port(), Counts::default());
    let counted = Arc::clone(&counts);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let counts = Arc::clone(&counted);
            std::thread::spawn(move || count(connection.unwrap(), &counts));
        }
    });
    (port, counts)
}

/// Counts requests until the peer disconnects.
fn count(mut connection: TcpStream, counts: &Mutex<HashMap<String, u32>>) -> Option<()> {
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            connection.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let target = String::from_utf8(head).ok()?.split(' ').nth(1)?.to_owned();
        *counts.lock().unwrap().entry(target).or_default() += 1;
        std::thread::sleep(Duration::from_millis(20));
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

#[test]
fn a_sale_that_an_advertiser_reports_reaches_the_partner_once_it_is_approved() {
    let network = Network::new();
    let (port, counts) = counting_server();
    let _programs = (network.start_daemon(), network.start_admin_with(&[ALLOW_THIS_MACHINE]));
    let codes = network.create_winter25();
    let terms = json!({
        "is_must_approve_conversion": true,
        "payout_revenue": [{
            "is_default": true, "payout_type": "cps", "payout_percentage": 10,
            "revenue_type": "rps", "revenue_percentage": 20,
        }],
    });
    network.done("PATCH", &format!("offers/{}?wait=live", codes.offer), terms);
    let macros = "o={order_id}&p={payout_amount}&c={coupon_code}&r={revenue}";
    network.done(
        "POST",
        "pixels",
        json!({
            "network_affiliate_id": codes.partner, "pixel_status": "active",
            "postback_url": format!("http://127.0.0.2:{port}/pb?{macros}"),
        }),
    );
    let report = || network.visit("/?nid=1&coupon_code=winter25&amount=80.50&order_id=A-1");
    assert_eq!(report().status, 200);
    let conversion = network.conversion();
    assert_eq!(conversion["status"], "pending", "{conversion}");
    assert!(counts.lock().unwrap().is_empty(), "what is not approved is told");
    let decide = |status| {
        let ids = [&conversion["conversion_id"]];
        let body = json!({"conversion_ids": ids, "conversion_status": status});
        network.done("PATCH", "reporting/conversions", body);
    };
    decide("approved");
    wait_for("the partner to be told", || counts.lock().unwrap().values().next().copied());
    // A repeated report and a repeated approval send nothing.
    assert_eq!(report().status, 200);
    decide("rejected");
    decide("approved");
    std::thread::sleep(Duration::from_millis(1200));
    let expected = HashMap::from([("/pb?o=A-1&p=8.05&c=WINTER25&r=".to_owned(), 1)]);
    assert_eq!(*counts.lock().unwrap(), expected);
}

#[test]
fn kills_lose_no_delivery_and_repeat_only_what_was_in_flight() {
    const CONVERSIONS: u32 = 300;
    const KILLS: u32 = 4;
    const IN_FLIGHT: u32 = 8;
    let network = Network::new();
    let (port, counts) = counting_server();
    let mut admin = network.start_admin_with(&[ALLOW_THIS_MACHINE]);
    create_pixel(&network, &format!("http://127.0.0.2:{port}/{{conversion_id}}"));
    approve(&network, 0..CONVERSIONS);
    for kill in 1..=KILLS {
        let some = usize::try_from(kill * CONVERSIONS / (KILLS + 2)).unwrap();
        wait_for("some deliveries", || (counts.lock().unwrap().len() > some).then_some(()));
        admin.kill();
        // Approves the same conversions again.
        approve(&network, 0..CONVERSIONS);
        admin = network.start_admin_with(&[ALLOW_THIS_MACHINE]);
    }
    wait_for("all deliveries", || {
        let list = network.done("GET", "pixeldeliveries?filter=state=delivered", Value::Null);
        (list["paging"]["total_count"] == CONVERSIONS).then_some(())
    });
    let counts = counts.lock().unwrap();
    assert_eq!(counts.len(), usize::try_from(CONVERSIONS).unwrap());
    let repeated = counts.values().sum::<u32>() - CONVERSIONS;
    assert!(repeated <= KILLS * IN_FLIGHT, "{repeated} repetitions");
}

/// An authority, and a certificate for `localhost` signed by it.
const CERTIFICATES: &str = "set -e
    key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
    openssl req $key -keyout leaf.key -out leaf.csr -subj /CN=localhost
    printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE' > leaf.ext
    openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2 -extfile leaf.ext";

fn https_server(folder: &Path) -> (u16, Program) {
    let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Program::start(
        Command::new("openssl")
            .args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", "leaf.pem", "-key", "leaf.key"])
            .current_dir(folder)
            .stderr(Stdio::null()),
    );
    wait_for("openssl to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
    (port, server)
}

#[test]
fn https_needs_a_certificate_of_a_known_authority() {
    if !is_installed("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (port, _server) = https_server(folder.path());
    let network = Network::new();
    let authority = folder.path().join("ca.pem");
    let nowhere = folder.path().join("nowhere");
    let test = |authorities: &Path| {
        let authorities = [
            ALLOW_THIS_MACHINE,
            ("SSL_CERT_FILE", authorities.to_str().unwrap()),
            ("SSL_CERT_DIR", nowhere.to_str().unwrap()),
        ];
        let mut admin = network.start_admin_with(&authorities);
        if network.done("GET", "pixels", Value::Null)["pixels"] == json!([]) {
            create_pixel(&network, &format!("https://localhost:{port}/pb"));
        }
        let tested = network.done("POST", "pixels/1/test", json!({}));
        admin.stop();
        tested
    };
    // A machine without certificates from the program's view.
    let unknown = test(&nowhere);
    assert!(unknown["error"].as_str().unwrap().contains("UnknownIssuer"), "{unknown}");
    let known = test(&authority);
    assert_eq!((&known["is_delivered"], &known["status"]), (&json!(true), &json!(200)), "{known}");
}
