//! Visits of programs: recorded with their kind, not counted, and classified again by a new list.

use crate::http;
use crate::programs::{Network, today, wait_for};
use serde_json::{Value, json};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

fn visit(network: &Network, method: &str, headers: &str) -> http::Answer {
    let request = format!(
        "{method} /winter25 HTTP/1.1\r\nHost: {}\r\n{headers}\r\nConnection: close\r\n\r\n",
        network.visitors
    );
    let answer = http::send(network.visitors, &request).unwrap();
    assert_eq!(answer.status, 302);
    answer
}

/// Number of visits: recorded, by bots, counted.
fn counted(network: &Network) -> [u64; 3] {
    let mut query = today();
    query["columns"] = json!([{"column": "coupon_code"}]);
    let summary = &network.done("POST", "reporting/entity", query)["summary"];
    ["gross_click", "bot_click", "total_click"].map(|measure| summary[measure].as_u64().unwrap())
}

fn wait_until_counted(network: &Network, what: &str, expected: [u64; 3]) {
    wait_for(what, || (counted(network) == expected).then_some(()));
}

fn replace_list(network: &Network, patterns: &[&str]) {
    network.done("PUT", "botlist", json!({ "patterns": patterns }));
    wait_for("the list to be in force", || {
        let list = network.call("GET", "botlist", None).json();
        (list["is_in_force"] == true).then_some(())
    });
}

/// User agents of the clicks that count as bots.
fn bots(network: &Network) -> Vec<String> {
    let is_bot = |click: &&Value| click["is_bot"] == true;
    let mut agents: Vec<String> = network
        .clicks()
        .iter()
        .filter(is_bot)
        .map(|click| click["user_agent"].as_str().unwrap().to_owned())
        .collect();
    agents.sort();
    agents
}

#[test]
fn bots_do_not_count_and_a_list_replaced_while_all_runs_judges_past_visits_again() {
    let network = Network::new();
    let _programs = [network.start_admin(), network.start_daemon()];
    network.create_winter25();
    let browser = format!("User-Agent: {BROWSER}");
    visit(&network, "HEAD", &browser);
    visit(&network, "GET", &browser);
    let fetched = visit(&network, "GET", &format!("{browser}\r\nSec-Purpose: prefetch;prerender"));
    visit(&network, "GET", "User-Agent: WhatsApp/2.23.20.0");
    visit(&network, "GET", "User-Agent: LinkChecker/1");
    wait_until_counted(&network, "four visits, of them two programs'", [4, 2, 2]);
    assert_eq!(bots(&network), [BROWSER, "WhatsApp/2.23.20.0"]);

    let id = fetched.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    network.visit(&format!("/?nid=1&transaction_id={id}&amount=20"));
    wait_until_counted(&network, "the visit that was fetched ahead and bought", [4, 1, 3]);

    replace_list(&network, &["linkchecker", "firefox"]);
    // The browser is on the list now; its visit with a sale still is a click.
    assert_eq!(counted(&network), [4, 2, 2]);
    assert_eq!(bots(&network), ["LinkChecker/1", BROWSER]);
    visit(&network, "GET", "User-Agent: LinkChecker/2");
    wait_until_counted(&network, "a new visit of the program", [5, 3, 2]);

    network.call("DELETE", "botlist", None);
    wait_until_counted(&network, "the list of the program", [5, 1, 4]);
}
