//! Conversions, clicks, postbacks, flex report, code leaks, explanation and live page, with real
//! clicks and sales through both programs.

use crate::cdp::Chromium;
use crate::http;
use crate::programs::{Codes, Network, today, wait_for};
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::{Value, json};

/// Reports a sale as an advertiser's server, and returns the verdict.
fn postback(network: &Network, query: &str) -> Value {
    let request = format!(
        "GET /?nid=1&{query} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n",
        network.visitors
    );
    http::send(network.visitors, &request).unwrap().json()
}

/// Clicks and sales of today.
struct Day {
    console: Console,
    codes: Codes,
    /// Transaction id of the first click.
    click: String,
    /// A sale without a click, approved.
    clickless: String,
    /// A sale that waits for approval.
    pending: String,
    /// A sale with a code without a partner.
    invalid: String,
}

impl Day {
    /// Two clicks of WINTER25, three sales, and a second code that is paused.
    fn start() -> Day {
        let console = Console::start();
        let network = &console.network;
        let codes = network.create_winter25();
        let offer = format!("offers/{}", codes.offer);
        network.done(
            "PATCH",
            &offer,
            json!({"payout_revenue": [{"is_default": true, "payout_type": "cps",
                "payout_percentage": "10", "revenue_type": "rps", "revenue_percentage": "15"}]}),
        );
        network.done(
            "POST",
            "couponcodes?wait=live",
            json!({
                "coupon_code": "PAUSED10", "coupon_status": "paused",
                "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
            }),
        );
        let ownerless = json!({
            "coupon_code": "OWNERLESS", "coupon_status": "active", "network_offer_id": codes.offer,
        });
        network.done("POST", "couponcodes?wait=live", ownerless);
        let visit = network.visit("/winter25?sub1=story");
        let click =
            visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        network.visit("/WINTER25?sub1=mail");
        network.visit("/paused10");
        wait_for("the clicks in the report", || (network.gross_clicks() == 3).then_some(()));
        let id = |verdict: &Value| verdict["conversion_id"].as_str().unwrap().to_owned();
        postback(network, &format!("transaction_id={click}&amount=20&order_id=A1"));
        let clickless = id(&postback(network, "coupon_code=winter25&amount=50&order_id=A2"));
        network.done("PATCH", &offer, json!({"is_must_approve_conversion": true}));
        let pending = id(&postback(network, "coupon_code=winter25&amount=30&order_id=A3"));
        let invalid = id(&postback(network, "coupon_code=ownerless&amount=30&order_id=A4"));
        wait_for("the conversions", || (network.conversions().len() == 4).then_some(()));
        Day { console, codes, click, clickless, pending, invalid }
    }

    fn pages(&self) -> Vec<String> {
        vec![
            "/console/conversions".into(),
            format!("/console/conversions/{}", self.clickless),
            format!("/console/conversions/{}/edit", self.clickless),
            format!("/console/conversions/{}", self.invalid),
            "/console/clicks".into(),
            format!("/console/clicks/{}", self.click),
            "/console/postbacks".into(),
            format!("/console/postbacks/{}", self.clickless),
            "/console/flex".into(),
            "/console/flex?by=coupon_code&by=date&compare=yes".into(),
            "/console/flex?by=date&from=2026-01-01&to=2026-01-01".into(),
            "/console/leaks".into(),
            "/console/explain".into(),
            "/console/explain?code=PAUSED10".into(),
            "/console/live".into(),
        ]
    }
}

#[test]
fn report_pages_are_well_formed_and_accessible() {
    let Some(chromium) = Chromium::start() else { return };
    let day = Day::start();
    let page = day.console.page(&chromium, 1280);
    for (number, path) in day.pages().iter().enumerate() {
        assert_well_formed(&day.console.html(path));
        let name = path.split(['/', '?']).nth(2).unwrap().to_owned();
        for (width, is_dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
            page.set_size(width, 900);
            page.set_dark(is_dark);
            page.goto(&day.console.url(path));
            page.assert_accessible();
            let theme = if is_dark { "dark" } else { "light" };
            page.screenshot(&format!("{name}-{number}-{width}-{theme}.png"));
            let overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "{path} is wider than {width} by {overflow}");
        }
        for word in ["network_", "_id ", "`"] {
            assert!(!page.text().contains(word), "{path} says {word}: {}", page.text());
        }
    }
    page.assert_clean();
}

#[test]
fn a_clickless_sale_says_why_and_a_pending_one_is_approved() {
    let Some(chromium) = Chromium::start() else { return };
    let day = Day::start();
    let page = day.console.page(&chromium, 1280);
    page.goto(&day.console.url(&format!("/console/conversions/{}", day.clickless)));
    page.wait_for_text(
        "The sale belongs to Anna on Winter Jackets, by the coupon code WINTER25. There was no click.",
    );
    page.wait_for_text("The postback names no click.");
    page.by_role("link", "Open the postback").click();
    page.wait_for_text("Made a conversion");
    page.wait_for_text("coupon_code=winter25&amount=50&order_id=A2");

    page.goto(&day.console.url("/console/conversions?filter.status=pending"));
    page.wait_for_text("1–1 of 1 conversion");
    let row = page.all_by_role("checkbox").into_iter().nth(1).unwrap();
    row.click();
    page.by_role("button", "Approve").click();
    page.wait_for_text("1 conversion approved.");
    let path = format!("reporting/conversions/{}", day.pending);
    let now = day.console.network.call("GET", &path, None).json();
    assert_eq!(now["status"], "approved");
    assert_eq!(now["history"].as_array().unwrap().last().unwrap()["user_name"], "Anna");

    page.goto(&day.console.url(&format!("/console/conversions/{}", day.pending)));
    page.by_role("textbox", "Note (optional)").fill("returned goods");
    page.by_role("button", "Reject").click();
    page.wait_for_text("Rejected.");
    page.wait_for_text("returned goods");
    page.assert_clean();
}

#[test]
fn only_edited_amounts_are_sent_and_a_refused_one_is_kept() {
    let day = Day::start();
    let console = &day.console;
    let edit = format!("/console/conversions/{}/edit", day.clickless);
    let form = |payout| {
        [
            ("seen.payout", "5"),
            ("payout", payout),
            ("seen.revenue", "7.5"),
            ("revenue", "7.5"),
            ("seen.sale_amount", "50"),
            ("sale_amount", "50"),
            ("seen.notes", ""),
            ("notes", "by hand"),
        ]
    };
    let refused = console.post(&edit, &form("five"));
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.contains("value=\"five\"") && refused.body.contains("Payout:"),
        "{refused:?}"
    );
    assert_eq!(console.post(&edit, &form("6")).status, 303);
    let path = format!("reporting/conversions/{}", day.clickless);
    let now = console.network.call("GET", &path, None).json();
    assert_eq!(
        (&now["payout"], &now["revenue"], &now["notes"]),
        (&json!(6), &json!(7.5), &json!("by hand"))
    );
    let edited = now["history"].as_array().unwrap().last().unwrap()["changes"].as_array().unwrap();
    let fields: Vec<&str> = edited.iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["payout", "notes"]);
}

#[test]
fn what_cannot_be_approved_says_why() {
    let day = Day::start();
    let page = day.console.html(&format!("/console/conversions/{}", day.invalid));
    assert!(page.contains("It cannot be approved: nobody can be named whose it is"), "{page}");
    let form = [
        ("selection", "filter=status%3Dinvalid"),
        ("id", day.invalid.as_str()),
        ("decision", "approved"),
    ];
    let refused = day.console.post("/console/conversions/decide", &form);
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("Nothing was changed."), "{refused:?}");
    let none = day.console.post("/console/conversions/decide", &[("decision", "approved")]);
    assert_eq!(none.status, 422);
    assert!(none.body.contains("No conversion was ticked."), "{none:?}");
}

/// Figures of the sums as the API answers them.
fn api_sums(network: &Network, columns: &[&str], filters: Value) -> Value {
    let mut body = today();
    body["columns"] = columns.iter().map(|column| json!({"column": column})).collect();
    body["query"] = json!({"filters": filters});
    network.done("POST", "reporting/entity", body)["summary"].take()
}

#[test]
fn a_flex_report_drills_to_the_partner_and_back_with_the_sums_of_the_api() {
    let Some(chromium) = Chromium::start() else { return };
    let day = Day::start();
    let page = day.console.page(&chromium, 1280);
    page.goto(&day.console.url("/console/flex"));
    page.by_role("combobox", "then by").choose("Day");
    page.by_role("button", "Show").click();
    page.wait_for_text("All rows");
    let sums = api_sums(&day.console.network, &["coupon_code", "date"], json!([]));
    let texts = |page: &crate::cdp::Page| {
        let read = "[...document.querySelectorAll('tfoot tr:first-child td')].map(cell => cell.textContent)";
        page.evaluate(read)
    };
    let expected = |sums: &Value| {
        let money = |name: &str| {
            format!("{:.2} {}", sums[name].as_f64().unwrap(), sums["currency_id"].as_str().unwrap())
        };
        let count = |name: &str| sums[name].to_string();
        let rate = format!("{:.1} %", sums["cvr"].as_f64().unwrap());
        json!([
            count("total_click"),
            count("cv"),
            rate,
            money("payout"),
            money("revenue"),
            money("profit"),
            ""
        ])
    };
    assert_eq!((&sums["total_click"], &sums["cv"]), (&json!(2), &json!(2)), "{sums}");
    assert_eq!(texts(&page), expected(&sums));
    let above = page.url();

    let date = page.evaluate("document.querySelector('tbody td bdi').textContent");
    let name = format!("Open WINTER25, {}", date.as_str().unwrap());
    page.by_role("DisclosureTriangle", &name).click();
    page.by_role("link", "By partner").click();
    page.wait_for_text("Coupon code: WINTER25");
    page.wait_for_text("Anna");
    let filters = json!([{"resource_type": "coupon_code", "filter_id_value": day.codes.winter25}]);
    assert_eq!(texts(&page), expected(&api_sums(&day.console.network, &["affiliate"], filters)));
    page.by_role("link", "By code and day").click();
    assert_eq!(texts(&page), expected(&sums));
    let query = |url: &str| {
        let url = url::Url::parse(url).unwrap();
        url.query_pairs()
            .filter(|(name, _)| name == "by")
            .map(|(_, by)| by.into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(query(&page.url()).len(), 2, "{}", page.url());
    assert_eq!(query(&above)[..2], query(&page.url())[..]);

    // The same figures as in the chart's table, and by the keys.
    page.goto(&day.console.url("/console/flex?by=date&chart=cv"));
    let rows = page.evaluate(
        "[...document.querySelectorAll('.figure tbody tr td')].map(cell => Number(cell.textContent)).reduce((a, b) => a + b)",
    );
    assert_eq!(rows, 2);
    page.evaluate("document.querySelector('[data-chart]').focus()");
    page.press("ArrowRight");
    page.wait_for_text("Conversions 0");
    page.assert_clean();
}

#[test]
fn the_api_request_of_a_report_answers_the_same_rows() {
    let day = Day::start();
    let html = day.console.html("/console/flex?by=coupon_code&measure=cv");
    let command =
        html.split("<pre tabindex=\"0\">").nth(1).unwrap().split("</pre>").next().unwrap();
    let command = command.replace("&#34;", "\"").replace("&#39;", "'").replace("&quot;", "\"");
    let output = std::process::Command::new("sh")
        .args(["-c", &command])
        .env("KEY", day.console.network.key())
        .env("API", day.console.url(""))
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["summary"]["cv"], 2, "{command}: {answer}");
    let csv = day.console.get("/console/flex.csv?by=coupon_code&measure=cv");
    assert_eq!((csv.status, csv.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    assert!(csv.body.contains("WINTER25"), "{csv:?}");
}

#[test]
fn an_explanation_of_a_paused_code_links_to_its_mend() {
    let Some(chromium) = Chromium::start() else { return };
    let day = Day::start();
    let page = day.console.page(&chromium, 1280);
    page.goto(&day.console.url("/console/explain"));
    let link = format!("http://{}/PAUSED10?sub1=a", day.console.network.visitors);
    page.by_role("textbox", "Code or whole link").fill(&link);
    page.by_role("button", "Explain").click();
    page.wait_for_text("the coupon code is paused");
    let mend = page.by_role("link", "Open the code to set it to active");
    mend.click();
    page.wait_for_text("The code is paused. Set its status to Active.");
    page.goto(&day.console.url(&format!("/console/clicks/{}", day.click)));
    page.by_role("link", "Explain it again now").click();
    page.wait_for_text("The visitor is sent to the offer:");
    page.wait_for_text("s=story");
    page.assert_clean();
}

#[test]
fn kinds_of_clicks_stand_in_words() {
    let day = Day::start();
    for _ in 0..2 {
        day.console.network.visit("/winter25?sub1=twice");
    }
    let html = wait_for("the repeated click", || {
        let html = day.console.html("/console/clicks");
        html.contains("of 5 clicks").then_some(html)
    });
    assert!(html.contains("The code was paused"), "{html}");
    assert!(html.contains("The same visitor came again within seconds"), "{html}");
    let invalid = day.console.html("/console/clicks?kind=invalid");
    assert!(invalid.contains("paused10") && !invalid.contains("winter25"), "{invalid}");
    let wrong = day.console.get("/console/clicks?from=2026-01-01&to=2026-03-01");
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("To: is more than 14 days after"), "{wrong:?}");
}

/// The sale is of the day of the network's clocks, whatever day UTC has: one of two zones always has
/// another.
#[test]
fn days_begin_at_midnight_of_the_networks_zone() {
    let day = Day::start();
    let network = &day.console.network;
    let now = jiff::Timestamp::now();
    let in_zone = |zone: &str| jiff::tz::TimeZone::get(zone).unwrap().to_datetime(now);
    let utc = in_zone("UTC").date();
    let zones = ["Pacific/Kiritimati", "Pacific/Pago_Pago"];
    let zone = zones.into_iter().find(|zone| in_zone(zone).date() != utc).unwrap();
    network.done("PATCH", "settings", json!({"time_zone": zone}));
    let own = in_zone(zone).date();
    for page in ["conversions", "clicks"] {
        let html = day.console.html(&format!("/console/{page}?from={own}&to={own}"));
        assert!(html.contains("winter25") || html.contains("WINTER25"), "{page} of {own}: {html}");
        let html = day.console.html(&format!("/console/{page}?from={utc}&to={utc}"));
        assert!(!html.contains("WINTER25"), "{page} of {utc}: {html}");
    }
    let flex = day.console.html(&format!("/console/flex?by=date&from={own}&to={own}"));
    assert!(flex.contains(&format!("<th scope=\"row\"><bdi>{own}</bdi></th>")), "{flex}");

    network.done("PATCH", "settings", json!({"time_zone": "America/New_York"}));
    let path = format!("reporting/conversions/{}", day.clickless);
    let sold =
        network.call("GET", &path, None).json()["conversion_unix_timestamp"].as_i64().unwrap();
    let sold = jiff::Timestamp::from_second(sold).unwrap();
    let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    let local = zone.to_datetime(sold).strftime("%Y-%m-%d %H:%M").to_string();
    let path = format!("/console/conversions/{}", day.clickless);
    assert!(day.console.html(&path).contains(&local), "{local}");
    let spring = day.console.html("/console/explain?code=WINTER25&time=2026-03-08T03:30");
    assert!(spring.contains("2026-03-08 07:30:00 UTC"), "{spring}");
    let autumn = day.console.html("/console/explain?code=WINTER25&time=2026-11-02T00:30");
    assert!(autumn.contains("2026-11-02 05:30:00 UTC"), "{autumn}");
}
