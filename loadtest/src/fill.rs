//! `fill`: makes a network to measure on, through the admin API.
//!
//! Existing objects are counted first, so a second run adds only the missing ones. The codes come
//! from [`BulkRows`]; an earlier run has made the first of them. One file is in memory at a time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::FillArguments;
use crate::client::Client;
use crate::codes::bulk::{BulkRows, HEADER};
use crate::progress;

/// Number of offers and of partners with approvals for each other.
const APPROVED: u32 = 100;
/// Number of offers with codes of one partner.
const OFFERS_EACH: u32 = 20;
/// Rows of a file that may be rejected: some generated codes exist in the sample network.
const MAX_LEFT_OUT: u64 = 100;
/// Most values of a control.
const CONTROL_VALUES: u64 = 3_000;
const BETWEEN_VISITS: Duration = Duration::from_millis(1);

/// Makes offers and partners, then codes, and prints the times of each file.
pub(crate) fn fill(arguments: &FillArguments) -> anyhow::Result<()> {
    let mut admin = Client::of_admin(&arguments.network)?;
    make_domain(&mut admin, &arguments.network.host())?;
    make_partners(&mut admin, arguments.affiliates)?;
    make_offers(&mut admin, arguments)?;
    make_controls(&mut admin, arguments)?;
    make_approvals(&mut admin, arguments)?;
    import(&mut admin, arguments)
}

/// Without a tracking domain, visits to the host lead nowhere.
fn make_domain(admin: &mut Client, host: &str) -> anyhow::Result<()> {
    if count(admin, "trackingdomains")? == 0 {
        let domain = json!({"base_url": format!("http://{host}"), "is_default": true});
        admin.create("trackingdomains", &domain, "network_tracking_domain_id")?;
    }
    Ok(())
}

fn make_partners(admin: &mut Client, wanted: u32) -> anyhow::Result<()> {
    let there = count(admin, "affiliates")?;
    for number in there + 1..=u64::from(wanted) {
        let partner = json!({"name": format!("Partner {number}"), "account_status": "active"});
        admin.create("affiliates", &partner, "network_affiliate_id")?;
    }
    Ok(())
}

fn make_offers(admin: &mut Client, arguments: &FillArguments) -> anyhow::Result<()> {
    let wanted = arguments.offers;
    if count(admin, "advertisers")? == 0 {
        let shop = json!({"name": "Shop", "account_status": "active"});
        admin.create("advertisers", &shop, "network_advertiser_id")?;
    }
    let there = count(admin, "offers")?;
    let progress = progress::offers(u64::from(wanted));
    for number in there + 1..=u64::from(wanted) {
        let offer = json!({
            "name": format!("Offer {number}"), "offer_status": "active", "visibility": "public",
            "network_advertiser_id": 1,
            "destination_url": format!(
                "https://shop.example/landing/{number}?tid={{transaction_id}}\
                 &code={{coupon_code}}&partner={{affiliate_id}}&sub1={{sub1}}"
            ),
            "ruleset": if arguments.rulesets { ruleset(number) } else { json!({}) },
        });
        admin.create("offers", &offer, "network_offer_id")?;
        progress.set_position(number);
    }
    progress.finish_and_clear();
    Ok(())
}

/// Lists of a usual ruleset, which differ from offer to offer.
fn ruleset(number: u64) -> Value {
    let exclude = |entry: Value| {
        let mut entry = entry;
        entry["targeting_type"] = "exclude".into();
        entry
    };
    let countries = ["AD", "AE", "AF", "AG", "AL", "AM", "AO", "AR"];
    let countries = countries.map(|code| exclude(json!({"country_code": code})));
    let [high, low] = [number / 256 % 256, number % 256];
    let addresses = json!({"cidr": format!("10.{high}.{low}.0/24"), "match_type": "range"});
    let android = json!({
        "platform_id": 1, "version": "9", "match_type": "minimum", "targeting_type": "include",
    });
    json!({
        "countries": countries, "ips": [exclude(addresses)], "os_versions": [android],
        "device_types": [exclude(json!({"name": "Console"}))],
        "browsers": [exclude(json!({"name": "Internet Explorer"}))],
        "languages": [exclude(json!({"language_code": "tlh"}))],
    })
}

/// Each control is for every n-th offer, so that together they are for all.
fn make_controls(admin: &mut Client, arguments: &FillArguments) -> anyhow::Result<()> {
    let there = count(admin, "trafficcontrols")?;
    let wanted = u64::from(arguments.controls);
    for number in there..wanted {
        let first = number as u32 + 1;
        let offers = (first..=arguments.offers).step_by(arguments.controls as usize);
        let values = (0..CONTROL_VALUES).map(|value| format!("s{number}-{value}"));
        let control = json!({
            "name": format!("Control {number}"), "status": "active", "control_type": "blacklist",
            "variables": ["source_id"], "values": values.collect::<Vec<String>>(),
            "network_offer_ids": offers.collect::<Vec<u32>>(), "is_apply_all_affiliates": true,
        });
        admin.create("trafficcontrols", &control, "network_traffic_control_id")?;
    }
    Ok(())
}

fn make_approvals(admin: &mut Client, arguments: &FillArguments) -> anyhow::Result<()> {
    let offers: Vec<u32> = (1..=arguments.offers.min(APPROVED)).collect();
    for partner in (1..=arguments.affiliates.min(APPROVED)).step_by(10) {
        let path = format!("/v1/networks/affiliates/{partner}/offers/visibility");
        let body = json!({"network_offer_ids": offers, "status": "visible"});
        admin.send_json("PATCH", &path, &body)?.accepted().context("approvals")?;
    }
    Ok(())
}

/// Number of objects, deleted ones excluded.
fn count(admin: &mut Client, what: &str) -> anyhow::Result<u64> {
    let answer = admin.get(&format!("/v1/networks/{what}?page_size=1"))?.accepted()?;
    let total = &answer.json()["paging"]["total_count"];
    total.as_u64().with_context(|| format!("the admin's list of {what} has no total_count"))
}

fn import(admin: &mut Client, arguments: &FillArguments) -> anyhow::Result<()> {
    let mut rows = BulkRows::new(arguments.seed, 1..=arguments.offers, 1..=arguments.affiliates)
        .with_offers_each(OFFERS_EACH);
    for _ in 0..arguments.skip {
        rows.write_next(&mut std::io::sink())?;
    }
    let mut visitor = Client::of_visitor(&arguments.network);
    let mut left = arguments.codes;
    while left > 0 {
        let count = left.min(arguments.rows_per_file);
        let mut file = HEADER.to_vec();
        let mut seen_by = None;
        for _ in 0..count {
            let row = rows.write_next(&mut file)?;
            // Lower ids may have existed before, and may be paused.
            if row.offer > arguments.offers / 2 && row.affiliate > arguments.affiliates / 2 {
                seen_by = Some(String::from_utf8_lossy(rows.last_code()).into_owned());
            }
        }
        let Uploaded { staged, committed, left_out } = upload(admin, &file)?;
        let live = match &seen_by {
            Some(code) => wait_until_seen(&mut visitor, code, arguments.network.timeout)?,
            None => Duration::ZERO,
        };
        println!(
            "{count} codes: uploaded and staged in {:.1} s, committed in {:.1} s, live {:.1} s later",
            staged.as_secs_f64(),
            committed.as_secs_f64(),
            live.as_secs_f64()
        );
        if left_out > 0 {
            println!("  {left_out} of them left out: such codes were there already");
        }
        left -= count;
    }
    Ok(())
}

/// Times for staging and committing a file.
pub(crate) struct Uploaded {
    staged: Duration,
    committed: Duration,
    /// Rejected rows.
    left_out: u64,
}

/// Uploads a CSV file of codes and commits it.
pub(crate) fn upload(admin: &mut Client, file: &[u8]) -> anyhow::Result<Uploaded> {
    let begun = Instant::now();
    let path = "/v1/networks/couponcodes/uploads";
    let answer = admin.send("POST", &format!("{path}?mode=add"), "text/csv", file)?;
    let upload = answer.accepted().context("the file is not taken")?.json();
    let id = upload["upload_id"].as_u64().context("the admin's answer has no upload_id")?;
    let staged = begun.elapsed();
    let committing = Instant::now();
    let left_out = upload["invalid"].as_u64().context("the admin's answer has no counts")?;
    let few_are_wrong = left_out <= MAX_LEFT_OUT;
    admin
        .send("POST", &format!("{path}/{id}/commit?skip_invalid={few_are_wrong}"), "", &[])?
        .accepted()
        .context("the file is not saved; are its codes there already? Then --skip them")?;
    let committed = committing.elapsed();
    let removed = admin.send("DELETE", &format!("{path}/{id}"), "", &[])?;
    removed.accepted().context("the upload is not removed")?;
    Ok(Uploaded { staged, committed, left_out })
}

fn wait_until_seen(
    visitor: &mut Client,
    code: &str,
    timeout: Duration,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < timeout {
        if visitor.get(&format!("/{code}/"))?.location.is_some() {
            return Ok(begun.elapsed());
        }
        std::thread::sleep(BETWEEN_VISITS);
    }
    anyhow::bail!(
        "{code} is saved, but no visitor is led by it after {timeout:?} (--target, --host)"
    )
}
