//! The texts that an advertiser copies from its page, as a shop uses them.

use crate::cdp::Chromium;
use crate::programs::{Network, wait_for};
use crate::signed_in::Console;
use crate::site::Site;
use std::process::Command;

/// The text of a copy box.
fn text_of(html: &str, id: &str) -> String {
    let (before, rest) = html.split_once(&format!("id=\"{id}\"")).unwrap();
    let text = if before.ends_with("<textarea ") {
        rest.split_once('>').unwrap().1.split_once("</textarea>").unwrap().0
    } else {
        rest.split_once("value=\"").unwrap().1.split_once('"').unwrap().0
    };
    let entities =
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// Replaces the parts in braces, as the shop does.
fn filled(text: &str, click: &str, order: &str) -> String {
    text.replace("{transaction_id}", click)
        .replace("{coupon_code}", "WINTER25")
        .replace("{order_id}", order)
        .replace("{amount}", "20.00")
}

fn curl(arguments: &[&str]) {
    let output =
        Command::new("curl").args(["--silent", "--fail"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The sale of an order, once it is recorded.
fn sale(network: &Network, order: &str) -> serde_json::Value {
    wait_for("the sale", || {
        network.conversions().into_iter().find(|sale| sale["order_id"] == order)
    })
}

#[test]
fn snippets_of_an_advertiser_record_sales_as_they_are_copied() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    let network = &console.network;
    network.create_winter25();
    let visit = network.visit("/winter25");
    let click = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    wait_for("the click in the report", || (network.gross_clicks() == 1).then_some(()));
    let html = console.html("/console/advertisers/1");

    curl(&[&filled(&text_of(&html, "by-click"), &click, "C-1")]);
    assert_eq!(sale(network, "C-1")["transaction_id"], click.as_str());
    curl(&[&filled(&text_of(&html, "by-code"), &click, "C-2")]);
    assert_eq!(sale(network, "C-2")["coupon_code"], "WINTER25");

    let post = filled(&text_of(&html, "by-post"), "", "C-3");
    let (head, body) = post.split_once("\n\n").unwrap();
    let (request, header) = head.split_once('\n').unwrap();
    curl(&[request.strip_prefix("POST ").unwrap(), "--header", header, "--data", body]);
    assert_eq!(sale(network, "C-3")["sale_amount"], 20);

    let shop = Site::open("");
    let script = filled(&text_of(&html, "by-script"), "", "C-4");
    shop.put("/thanks", &format!("<!doctype html><title>Thank you</title>{script}"));
    let page = chromium.new_private_page(1000, 640);
    page.goto(&shop.url_on("shop.test", "/thanks"));
    let sold = sale(network, "C-4");
    assert_eq!((&sold["coupon_code"], &sold["is_sdk"]), (&"WINTER25".into(), &true.into()));
    assert_eq!(sold["sale_amount"], 20);
}
