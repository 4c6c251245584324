//! The days of a network in New York on the console's pages, also where a day has 23 or 25 hours.

use coupon_admin::store::conversions::Conversion;
use http_body_util::Full;
use hyper::Request;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

use crate::client::{Running, code, start_with_offers, with};
use crate::recorded::{Visit, sale};

/// A day, its first moment, and the first one after it, in UTC by the zone's published rules.
const DAYS: [(&str, &str, &str); 2] = [
    ("2026-03-08", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
    ("2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
];

fn ms(moment: &str) -> u64 {
    u64::try_from(moment.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
}

/// The second before each day, its first and its last one, and the second after it.
fn moments() -> Vec<u64> {
    let around = |(_, first, after): (&str, &str, &str)| {
        [ms(first) - 1_000, ms(first), ms(after) - 1_000, ms(after)]
    };
    DAYS.into_iter().flat_map(around).collect()
}

fn visit_at(unix_ms: u64) -> Visit {
    Visit { unix_ms, ..Visit::new("ANNA10", 1, 1) }
}

/// Signs in as a new manager; returns the cookie.
pub(crate) async fn sign_in(network: &Running) -> String {
    let mia = json!({"name": "Mia", "login": "mia", "role": "manager"});
    let made = network.post("users", mia).await.done();
    let path = format!("/link/{}", made["link_token"].as_str().unwrap());
    let form = "password=correct+horse+battery+staple&password_again=correct+horse+battery+staple";
    let request = Request::post(path)
        .header("origin", format!("http://{}", network.address))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = network.send(request.body(Full::from(form)).unwrap()).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

pub(crate) async fn html(network: &Running, cookie: &str, path: &str) -> String {
    let request = Request::get(path).header("cookie", cookie);
    let answer = network.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

/// The texts of the cells of each row of the page's first table.
fn rows(html: &str) -> Vec<Vec<String>> {
    let table = html.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let text = |cell: &str| {
        let parts = cell.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        parts.collect::<String>().trim().to_owned()
    };
    let cells = |row: &str| {
        let cells = row.split("</th>").flat_map(|part| part.split("</td>"));
        cells.map(text).filter(|text| !text.is_empty()).collect::<Vec<String>>()
    };
    table.split("</tr>").map(cells).filter(|row: &Vec<String>| !row.is_empty()).collect()
}

#[tokio::test]
async fn days_of_new_york_have_their_own_clicks_and_sales_on_the_pages() {
    let network = start_with_offers().await;
    network.patch("settings", json!({"time_zone": "America/New_York"})).await.done();
    let dates = json!({"start_date": "2026-03-08", "end_date": "2026-11-01"});
    network.post("couponcodes", with(code("ANNA10"), dates)).await.done();
    let visits: Vec<Visit> = moments().into_iter().map(visit_at).collect();
    network.visit(&visits).await;
    let sold = |(id, unix_ms): (u8, u64)| Conversion { unix_ms, ..sale(id) };
    network.convert((1..).zip(moments()).map(sold).collect()).await;
    let cookie = sign_in(&network).await;
    for (day, _, _) in DAYS {
        let period = format!("from={day}&to={day}");
        let flex = html(&network, &cookie, &format!("/console/flex?by=date&{period}")).await;
        let found = rows(flex.split_once("<table class=\"flex\">").unwrap().1);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0][0], day, "{found:?}");
        let figures = found[0].iter().filter(|cell| *cell == "2").count();
        assert!(figures >= 2, "two clicks and two sales: {found:?}");
        for page in ["conversions", "clicks"] {
            let html = html(&network, &cookie, &format!("/console/{page}?{period}")).await;
            let found = rows(&html);
            assert_eq!(found.len(), 2, "{page} of {day}: {found:?}");
            for (row, time) in found.iter().zip(["23:59", "00:00"]) {
                let moment = format!("{day} {time}");
                assert!(row.iter().any(|cell| cell.starts_with(&moment)), "{moment}: {row:?}");
            }
        }
    }
    let of_code = html(&network, &cookie, "/console/coupon-codes/1").await;
    assert!(of_code.contains("2026-03-08") && of_code.contains("2026-11-01"), "{of_code}");
}

#[tokio::test]
async fn home_counts_the_day_of_new_york() {
    let network = start_with_offers().await;
    network.patch("settings", json!({"time_zone": "America/New_York"})).await.done();
    network.post("couponcodes", code("ANNA10")).await.done();
    let zone = TimeZone::get("America/New_York").unwrap();
    let today = zone.to_datetime(Timestamp::now()).date();
    let midnight = |days: i64| {
        let day = today.checked_add(days.days()).unwrap().to_zoned_datetime(zone.clone()).unwrap();
        u64::try_from(day.timestamp().as_millisecond()).unwrap()
    };
    // One click of two days ago, two of yesterday, three of today.
    let (yesterday, today) = (midnight(-1), midnight(0));
    let moments = [yesterday - 1_000, yesterday, today - 1_000, today, today + 1, today + 2];
    network.visit(&moments.map(visit_at)).await;
    let cookie = sign_in(&network).await;
    let home = html(&network, &cookie, "/console").await;
    let tile = home.split_once("Clicks").unwrap().1.split_once("</a>").unwrap().0;
    let figure = tile.split_once("<b>").unwrap().1.split_once("</b>").unwrap().0;
    assert_eq!(figure, "3", "{tile}");
    assert!(tile.contains("Yesterday: 2"), "{tile}");
}
