//! The script on a page of another site, in a real browser.

use crate::cdp::{Chromium, Page};
use crate::programs::{Network, Program, wait_for};
use crate::site::Site;
use serde_json::{Value, json};

const PAGE: &str = include_str!("sdk/page.html");
/// Host of the pages: another site than the tracking domain.
const SHOP: &str = "shop.test";
/// Offer of the published example: `thebestcodeever` is on several offers; the example means 24.
const EXAMPLE_OFFER: u64 = 24;

/// Both programs, a browser and a shop.
struct Stage {
    network: Network,
    daemon: Program,
    page: Page,
    shop: Site,
    partner: u64,
    _admin: Program,
}

impl Stage {
    /// `None` if there is no browser.
    fn set() -> Option<Stage> {
        let page = Chromium::start()?.new_page(1000, 640);
        let network = Network::new();
        let (admin, daemon) = (network.start_admin(), network.start_daemon());
        let codes = network.create_winter25();
        network.create_thebestcodeever(&codes, [codes.offer, EXAMPLE_OFFER]);
        let shop = Site::open("");
        Some(Stage { network, daemon, page, shop, partner: codes.partner, _admin: admin })
    }

    /// Runs steps on a page of the shop; returns the page's report.
    fn run(&self, picture: &str, steps: &str) -> Value {
        self.shop.put("/", &self.html(steps));
        self.run_at(&self.shop.url_on(SHOP, "/"), picture)
    }

    /// Runs the steps of the page at this URL.
    fn run_at(&self, url: &str, picture: &str) -> Value {
        self.page.goto(url);
        let seen = self.page.evaluate("report");
        self.page.screenshot(picture);
        assert_eq!(seen["failures"], json!([]), "{seen}");
        seen
    }

    fn html(&self, steps: &str) -> String {
        let script = format!("http://{}/scripts/main.js", self.network.visitors);
        PAGE.replace("{{script}}", &script).replace("{{steps}}", steps)
    }

    /// Takes a picture of a report row.
    fn show(&self, picture: &str, row: &Value) {
        let field = |name: &str| {
            let value = &row[name];
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("<tr><th>{name}<td>{value}")
        };
        let related = |of: &str, id: &str| {
            let it = &row["relationship"][of];
            format!("<tr><th>{of}<td>{} {}", it[id], text(&it["name"]))
        };
        let fields = [
            "conversion_id",
            "status",
            "coupon_code",
            "order_id",
            "sale_amount",
            "payout",
            "transaction_id",
            "error_code",
        ];
        let html = format!(
            "<!doctype html><meta charset=utf-8><style>body{{font:16px system-ui;margin:2rem}}\
             th{{text-align:left;padding:.3rem 2rem .3rem 0}}</style>\
             <h1>Conversion report</h1><table>{}{}{}</table>",
            fields.map(field).concat(),
            related("offer", "network_offer_id"),
            related("affiliate", "network_affiliate_id"),
        );
        self.shop.put("/", &html);
        self.page.goto(&self.shop.url_on(SHOP, "/"));
        self.page.screenshot(picture);
    }

    fn clicks(&self, count: usize) -> Vec<Value> {
        let clicks = wait_for("the clicks in the report", || {
            Some(self.network.clicks()).filter(|clicks| clicks.len() >= count)
        });
        assert_eq!(clicks.len(), count);
        clicks
    }
}

/// A cookie of a page.
fn cookie<'a>(seen: &'a Value, name: &str) -> &'a str {
    let mut cookies = seen["cookies"].as_str().unwrap().split("; ");
    let found = cookies.find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no cookie {name} in {seen}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn a_page_reports_a_click_of_a_code_and_keeps_its_id_in_its_own_cookies() {
    let Some(stage) = Stage::set() else { return };
    let seen = stage.run(
        "click.png",
        "const click = options => said(EF.click(options));
         const first = await click({offer_id: 24, coupon_code: 'thebestcodeever', sub1: 'a b&c'});
         const second = await click({coupon_code: 'TheBestCodeEver', offer_id: 24});
         return {first, second, newest: EF.getTransactionId(24),
                 ofAdvertiser: EF.getAdvertiserTransactionId(1), other: EF.getTransactionId(7)};",
    );
    let result = &seen["result"];
    let [first, second] = ["first", "second"].map(|click| text(&result[click]["resolved"]));
    assert_ne!(first, second);
    let list = format!("{first}|{second}");
    assert_eq!(cookie(&seen, "ef_tid_c_o_24"), list);
    assert_eq!(cookie(&seen, "ef_tid_c_a_1"), list);
    assert_eq!((text(&result["newest"]), text(&result["ofAdvertiser"])), (second, second));
    assert_eq!(result["other"], "");
    for click in stage.clicks(2) {
        let is_first = click["transaction_id"] == first;
        assert_eq!(click["is_sdk_click"], true);
        assert_eq!(click["sub1"], if is_first { "a b&c" } else { "" });
        let code = if is_first { "thebestcodeever" } else { "TheBestCodeEver" };
        assert_eq!(click["coupon_code"], code);
        assert_eq!(click["error_code"], 0);
        assert!(text(&click["referer"]).starts_with("http://shop.test"), "{click}");
        let related = &click["relationship"];
        assert_eq!(related["offer"]["network_offer_id"], EXAMPLE_OFFER);
        assert_eq!(related["affiliate"]["network_affiliate_id"], stage.partner);
    }
}

#[test]
fn a_page_reports_clicks_without_a_code_impressions_and_visitors_who_followed_a_link() {
    let Some(stage) = Stage::set() else { return };
    let visit = stage.network.visit("/winter25");
    let followed = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
    let partner = stage.partner;
    let seen = stage.run(
        "direct.png",
        &format!(
            "history.replaceState(null, '', '/?oid=7&affid={partner}&story=a+b%26%C3%A9&bad=%&gclid=G');
             const direct = await said(EF.click({{
                 offer_id: EF.urlParameter('oid'), affiliate_id: EF.urlParameter('affid'),
                 coupon_code: EF.urlParameter('none'), sub2: EF.urlParameter('story'),
                 sub10: 'ten', adv6: 'six', ttclid: 'T',
             }}));
             const shown = await said(EF.impression({{offer_id: 7, affiliate_id: {partner}}}));
             const known = await said(EF.click({{offer_id: 1, transaction_id: '{followed}'}}));
             const again = await said(EF.click({{offer_id: 1, transaction_id: '{followed}'}}));
             return {{direct, shown, known, again, bad: EF.urlParameter('bad')}};"
        ),
    );
    let result = &seen["result"];
    assert_eq!(cookie(&seen, "ef_tid_c_o_7"), text(&result["direct"]["resolved"]));
    assert_eq!(cookie(&seen, "ef_tid_i_o_7"), text(&result["shown"]["resolved"]));
    assert_eq!(
        (&result["known"], &result["again"]),
        (&json!({"resolved": followed}), &result["known"])
    );
    assert_eq!(cookie(&seen, "ef_tid_c_o_1"), followed);
    assert_eq!(result["bad"], "");
    // The link and the direct click, without the impression and the repeated link.
    let clicks = stage.clicks(2);
    let direct = clicks.iter().find(|click| click["is_sdk_click"] == true).unwrap();
    assert_eq!(direct["sub2"], "a b&\u{e9}");
    let further = ["sub10", "adv6", "gclid", "ttclid", "fbclid"].map(|name| text(&direct[name]));
    assert_eq!(further, ["ten", "six", "G", "T", ""]);
    assert_eq!(direct["network_coupon_code_id"], 0);
    assert_eq!(direct["relationship"]["offer"]["network_offer_id"], 7);
    assert_eq!(direct["relationship"]["affiliate"]["network_affiliate_id"], partner);
    assert_eq!(stage.network.gross_clicks(), 2);
}

#[test]
fn a_sale_on_a_page_is_attributed_by_the_example_to_offer_24() {
    let Some(stage) = Stage::set() else { return };
    let seen = stage.run(
        "conversion.png",
        "return said(EF.conversion({
             offer_id: 24,
             coupon_code: \"thebestcodeever\",
             amount: 129.90, order_id: 'A-1',
         }));",
    );
    let resolved = &seen["result"]["resolved"];
    let row = stage.network.conversion();
    assert_eq!(
        (&resolved["conversion_id"], &resolved["status"]),
        (&row["conversion_id"], &json!("approved"))
    );
    assert_eq!((&resolved["error_code"], &resolved["transaction_id"]), (&json!(0), &json!("")));
    assert_eq!(row["relationship"]["offer"]["network_offer_id"], EXAMPLE_OFFER);
    assert_eq!(row["relationship"]["affiliate"]["network_affiliate_id"], stage.partner);
    assert_eq!((&row["coupon_code"], &row["order_id"]), (&json!("TheBestCodeEver"), &json!("A-1")));
    assert_eq!((&row["status"], &row["is_sdk"]), (&json!("approved"), &json!(true)));
    stage.show("conversion_report.png", &row);
}

#[test]
fn a_sale_after_clicks_on_the_page_belongs_to_them() {
    let Some(stage) = Stage::set() else { return };
    let seen = stage.run(
        "click_and_conversion.png",
        "const first = await EF.click({offer_id: 24, coupon_code: 'thebestcodeever'});
         const second = await EF.click({offer_id: 24, coupon_code: 'thebestcodeever', sub1: 'b'});
         const sale = await EF.conversion({offer_id: 24, amount: 10});
         return {first, second, sale};",
    );
    let result = &seen["result"];
    let list = format!("{}%7C{}", text(&result["first"]), text(&result["second"]));
    let sent = seen["sent"].as_array().unwrap();
    assert!(text(&sent[2]).contains(&format!("/sdk/conversion?transaction_id={list}&")), "{seen}");
    let row = stage.network.conversion();
    // The advertiser uses last touch, the default.
    assert_eq!(row["transaction_id"], result["second"]);
    assert_eq!((&row["sub1"], &row["status"]), (&json!("b"), &json!("approved")));
    assert_eq!(row["relationship"]["affiliate"]["network_affiliate_id"], stage.partner);
    // The sale may arrive before its clicks, and then waits for them.
    assert!(["approved", "queued"].contains(&text(&result["sale"]["status"])), "{seen}");
}

#[test]
fn long_lists_of_ids_keep_the_first_and_the_newest() {
    let Some(stage) = Stage::set() else { return };
    let seen = stage.run(
        "long.png",
        "const old = Array.from({length: 60}, (_, at) => String(at).padStart(32, '0'));
         document.cookie = 'ef_tid_c_o_24=' + old.join('|') + ';path=/';
         document.cookie = 'ef_tid_7=' + old[3] + ';path=/';
         const click = await said(EF.click({offer_id: 24, coupon_code: 'thebestcodeever'}));
         await said(EF.conversion({offer_id: 24}));
         await said(EF.conversion({offer_id: 7}));
         await said(EF.conversion({offer_id: 8, transaction_id: 'x|y', event_id: 3}));
         await said(EF.conversion({aid: 1, adv_event_id: 'signup', order: {items: [1]},
                                   parameters: {'a b': '&'}}));
         return {click, legacy: EF.getTransactionId(7)};",
    );
    let newest = text(&seen["result"]["click"]["resolved"]);
    let old = |at: usize| format!("{at:032}");
    let list = |from: usize| {
        let ids: Vec<_> = std::iter::once(0).chain(from..60).map(old).collect();
        format!("{}|{newest}", ids.join("|"))
    };
    assert_eq!(cookie(&seen, "ef_tid_c_o_24"), list(12));
    assert_eq!(list(12).split('|').count(), 50);
    assert_eq!(seen["result"]["legacy"], old(3));
    let sent: Vec<&str> = seen["sent"].as_array().unwrap().iter().map(text).collect();
    let conversion = format!("http://{}/sdk/conversion?transaction_id=", stage.network.visitors);
    let conversions = sent.iter().filter_map(|url| url.strip_prefix(&conversion));
    assert_eq!(
        conversions.collect::<Vec<_>>(),
        [
            format!("{}&event_id=0&oid=24", list(52).replace('|', "%7C")),
            format!("{}&event_id=0&oid=7", old(3)),
            "x%7Cy&event_id=3&oid=8".to_owned(),
            format!(
                "{newest}&adv_event_id=signup&aid=1&order=%7B%22items%22%3A%5B1%5D%7D&a%20b=%26"
            ),
        ]
    );
}

#[test]
fn a_page_can_name_another_tracking_domain_and_the_domain_of_its_cookies() {
    let Some(stage) = Stage::set() else { return };
    let (domain, partner) = (stage.network.visitors, stage.partner);
    let seen = stage.run(
        "configured.png",
        &format!(
            "EF.configure({{tracking_domain: 'http://127.0.0.1:9'}});
             const astray = await said(EF.click({{coupon_code: 'winter25'}}));
             const named = await said(
                 EF.click({{coupon_code: 'winter25', tracking_domain: 'http://{domain}/'}}));
             EF.configure({{tracking_domain: 'http://{domain}', tld: 'shop.test'}});
             const wide = await said(EF.click({{offer_id: 9, affiliate_id: {partner}}}));
             return {{astray, named, wide}};"
        ),
    );
    let result = &seen["result"];
    assert!(text(&result["astray"]["rejected"]).contains("http://127.0.0.1:9 cannot be reached"));
    assert_eq!(cookie(&seen, "ef_tid_c_o_1"), text(&result["named"]["resolved"]));
    assert_eq!(cookie(&seen, "ef_tid_c_o_9"), text(&result["wide"]["resolved"]));
}

/// Steps of a page that counts its organic visits for a partner of offer 9.
fn organic_steps(partner: u64, steps: &str) -> String {
    format!(
        "EF.configure({{organic: {{offer_id: 9, affiliate_id: {partner}}}}});
         const forget = name => document.cookie = name + '=;max-age=0;path=/';
         const refer = value =>
             Object.defineProperty(document, 'referrer', {{value, configurable: true}});
         const visit = () => said(EF.click({{offer_id: '', affiliate_id: EF.urlParameter('a')}}));
         {steps}"
    )
}

#[test]
fn a_visit_without_a_click_before_it_is_organic_once() {
    let Some(stage) = Stage::set() else { return };
    let steps = organic_steps(
        stage.partner,
        "refer('https://www.google.com/search'); const [first, second] =
             await Promise.all([visit(), visit()]);
         return {first, second};",
    );
    stage.shop.put("/sale/shoes", &stage.html(&steps));
    let seen = stage.run_at(&stage.shop.url_on(SHOP, "/sale/shoes?x=1&sub4=own"), "organic.png");
    let first = text(&seen["result"]["first"]["resolved"]);
    assert_eq!(cookie(&seen, "ef_tid_c_o_9"), first);
    assert_eq!(cookie(&seen, "ef_witness"), "1");
    assert_eq!(seen["result"]["second"], json!({"resolved": ""}));
    let later = stage.run_at(&stage.shop.url_on(SHOP, "/sale/shoes?gclid=1"), "organic_later.png");
    assert_eq!(later["result"]["first"], json!({"resolved": ""}));
    assert_eq!(later["sent"], json!([]));
    let clicks = stage.clicks(1);
    let subs = ["source_id", "sub1", "sub2", "sub3", "sub4", "sub5"].map(|it| text(&clicks[0][it]));
    let from = "https://www.google.com/search";
    assert_eq!(subs, ["organic", "Google", from, "/sale", "own", "?x=1&sub4=own"]);
    assert_eq!(clicks[0]["page_referer"], from);
    assert_eq!(clicks[0]["relationship"]["affiliate"]["network_affiliate_id"], stage.partner);
}

#[test]
fn a_sale_after_a_click_stays_with_it_whatever_organic_pages_follow() {
    let Some(stage) = Stage::set() else { return };
    let steps = organic_steps(
        stage.partner,
        "const ready = EF.click({offer_id: 24, coupon_code: 'thebestcodeever'});
         const beside = await visit();
         const code = await ready;
         const later = await visit();
         forget('ef_witness');
         const earlier_version = await visit();
         document.cookie = 'ef_tid_c_o_24=' + code + ';max-age=0;path=/';
         document.cookie = 'ef_tid_c_a_1=;max-age=0;path=/';
         history.replaceState(null, '', '/?fbclid=PAAx&_ef_transaction_id=' + code);
         const followed = await visit();
         forget('ef_witness'); forget('ef_tid_c_o_9'); forget('ef_tid_c_a_1');
         history.replaceState(null, '', '/?fbclid=PAAx');
         EF.configure({organic: {offer_id: 9}});
         const organic = await visit();
         return {code, beside, later, earlier_version, followed, organic};",
    );
    let seen = stage.run("organic_beside.png", &steps);
    let result = &seen["result"];
    for refused in ["beside", "later", "earlier_version"] {
        assert_eq!(result[refused], json!({"resolved": ""}), "{refused}");
    }
    // The link that led to the page names the click.
    assert_eq!(result["followed"]["resolved"], result["code"]);
    let clicks = stage.clicks(2);
    let organic = clicks.iter().find(|click| click["source_id"] == "organic").unwrap();
    assert_eq!(organic["transaction_id"], result["organic"]["resolved"]);
    assert_eq!(organic["sub1"], "Instagram");
}

#[test]
fn a_page_that_is_rendered_ahead_reports_when_it_is_shown() {
    let Some(stage) = Stage::set() else { return };
    let seen = stage.run(
        "ahead.png",
        "const ahead = value =>
             Object.defineProperty(document, 'prerendering', {value, configurable: true});
         ahead(true);
         const click = said(EF.click({coupon_code: 'winter25'}));
         await new Promise(resolve => setTimeout(resolve, 500));
         const before = sent.length;
         ahead(false);
         document.dispatchEvent(new Event('prerenderingchange'));
         return {before, click: await click};",
    );
    assert_eq!(seen["result"]["before"], 0);
    let id = text(&seen["result"]["click"]["resolved"]);
    assert_eq!(stage.clicks(1)[0]["transaction_id"], id);
}

#[test]
fn a_page_that_is_a_file_has_no_cookies_and_reports_all_the_same() {
    let Some(stage) = Stage::set() else { return };
    let file = stage.network.path("page.html");
    let steps = "return said(EF.click({coupon_code: 'winter25'}));";
    std::fs::write(&file, stage.html(steps)).unwrap();
    let seen = stage.run_at(&format!("file://{}", file.display()), "file.png");
    assert_eq!(seen["cookies"], "");
    let id = text(&seen["result"]["resolved"]);
    assert_eq!(stage.clicks(1)[0]["transaction_id"], id);
}

#[test]
fn what_cannot_be_reported_rejects_a_promise_and_the_page_lives() {
    let Some(mut stage) = Stage::set() else { return };
    let seen = stage.run(
        "rejected.png",
        "const odd = ['no such code', '\\u{1F600}&oid=24#?', '<script>', 'nosuchcode', 'a'.repeat(9000)];
         const answers = [];
         for (const coupon_code of odd) answers.push(await said(EF.click({coupon_code})));
         return {answers, nothing: await said(EF.click()), declined: await said(
             EF.click({coupon_code: 'winter25', do_not_track: true}))};",
    );
    let answers = seen["result"]["answers"].as_array().unwrap();
    for answer in &answers[..4] {
        assert!(text(&answer["rejected"]).starts_with("EF: This cannot be tracked"), "{answer}");
    }
    assert!(answers[4]["rejected"].is_string(), "{seen}");
    assert_eq!(seen["result"]["nothing"], json!({"resolved": ""}));
    assert_eq!(seen["result"]["declined"], json!({"resolved": ""}));
    assert_eq!(seen["cookies"], "");

    // The script is in the browser's cache while the domain is down.
    stage.daemon.stop();
    let seen = stage.run(
        "away.png",
        "return {click: await said(EF.click({coupon_code: 'winter25'})),
                 conversion: await said(EF.conversion({offer_id: 24}))};",
    );
    for report in ["click", "conversion"] {
        let why = text(&seen["result"][report]["rejected"]);
        assert!(why.contains("cannot be reached"), "{why}");
    }
    // A sale is retried, then given up.
    assert_eq!(seen["sent"].as_array().unwrap().len(), 1 + 3);
}
