//! Compares all answers of the network with the model, cell by cell.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::expect::{Column, Groups, Ids, Money, Sums, groups, ids_of, ids_of_click, is_sum};
use crate::http;
use crate::model::{Class, Conversion, PARTNERS, Status};
use crate::money::{self, Micros};
use crate::programs::today;
use crate::steps::{CODES, Number, SUBS};
use crate::world::{World, sender_number, verdict_text};

const NETWORK_COUNTS: [&str; 11] = [
    "gross_click",
    "total_click",
    "unique_click",
    "invalid_click",
    "duplicate_click",
    "bot_click",
    "cv",
    "event",
    "pending_cv",
    "rejected_cv",
    "invalid_cv",
];
const PARTNER_COUNTS: [&str; 9] = [
    "gross_click",
    "total_click",
    "unique_click",
    "invalid_click",
    "duplicate_click",
    "cv",
    "event",
    "pending_cv",
    "rejected_cv",
];

impl World {
    /// Compares everything; `when` names the moment in messages.
    pub(crate) fn compare(&mut self, when: &str) {
        self.wait_until_settled();
        let ids = self.compare_postbacks(when);
        let invalid = self.compare_conversions(when, &ids);
        self.compare_clicks(when);
        for column in Column::ALL {
            let expected = groups(&mut self.model, &invalid, column, None);
            self.compare_report(when, column, None, &expected);
            if matches!(column, Column::Affiliate | Column::Advertiser) {
                continue;
            }
            for partner in 0..PARTNERS {
                let expected = groups(&mut self.model, &invalid, column, Some(partner));
                self.compare_report(when, column, Some(partner), &expected);
            }
        }
        self.compare_partners_conversions(when);
    }

    // --- postbacks

    /// Compares the verdict of each postback in the log; returns their conversion ids.
    fn compare_postbacks(&mut self, when: &str) -> BTreeMap<Number, String> {
        let log = self.network.call("GET", "postbacks?page_size=2000", None).json();
        let log = log["postbacks"].as_array().unwrap().clone();
        self.expect(
            || format!("{when}: how many postbacks are kept"),
            &self.model.verdicts.len().to_string().clone(),
            &log.len().to_string(),
        );
        let mut numbers: BTreeMap<String, Number> = BTreeMap::new();
        for entry in &log {
            let id = entry["postback_id"].as_str().unwrap();
            let whole = self.network.call("GET", &format!("postbacks/{id}"), None).json();
            let agent = whole["user_agent"].as_str().unwrap();
            let number = agent.strip_prefix("shop/").unwrap().parse().unwrap();
            numbers.insert(id.to_owned(), number);
        }
        for entry in &log {
            let number = numbers[entry["postback_id"].as_str().unwrap()];
            let Some(verdict) = self.model.verdicts.get(&number).copied() else { continue };
            let status = entry["status"].as_str().unwrap();
            let got = format!("{status} {}", entry["error_code"]);
            let what = || format!("{when}: the verdict on postback {number}");
            self.expect(what, &verdict_text(&verdict), &got);
            let of = numbers.get(entry["conversion_id"].as_str().unwrap());
            let got = of.map_or_else(|| "none".to_owned(), Number::to_string);
            let what = || format!("{when}: the postback whose conversion {number} is about");
            let expected =
                verdict.conversion.map_or_else(|| "none".to_owned(), |it| it.to_string());
            self.expect(what, &expected, &got);
        }
        numbers.into_iter().map(|(id, number)| (number, id)).collect()
    }

    // --- conversions

    /// Compares the conversions; returns the ids in the rows of invalid conversions.
    fn compare_conversions(
        &mut self,
        when: &str,
        ids: &BTreeMap<Number, String>,
    ) -> HashMap<Number, Ids> {
        let rows = self.conversions();
        let mut rows: BTreeMap<Number, Value> =
            rows.into_iter().map(|row| (sender_number(&row).unwrap(), row)).collect();
        let mut invalid = HashMap::new();
        for made in self.model.conversions.clone() {
            let number = made.number;
            let Some(row) = rows.remove(&number) else {
                self.expect(|| format!("{when}: conversion {number}"), "a row", "none");
                continue;
            };
            let whose = ids_in(&row);
            if made.status == Status::Invalid || made.error == 21 {
                invalid.insert(number, whose);
            }
            let known = ids.get(&number).map_or("", String::as_str);
            let what = |cell| move || format!("{when}: {cell} of conversion {number}");
            self.expect(what("the id"), known, row["conversion_id"].as_str().unwrap());
            let shown = format!("{} {}", row["status"].as_str().unwrap(), row["error_code"]);
            let status = format!("{} {}", made.status.as_str(), made.error);
            self.expect(what("status"), &status, &shown);
            if made.status == Status::Invalid || made.error == 21 {
                continue;
            }
            let expected = ids_of(&self.model, &made);
            self.expect(what("whose"), &format!("{expected:?}"), &format!("{whose:?}"));
            for (cell, expected, got) in self.cells(&made, &row) {
                self.expect(what(cell), &expected, &got);
            }
        }
        for number in rows.into_keys() {
            self.expect(|| format!("{when}: conversion {number}"), "none", "a row");
        }
        invalid
    }

    fn cells(&self, made: &Conversion, row: &Value) -> Vec<(&'static str, String, String)> {
        let text = |name: &str| row[name].as_str().unwrap_or("?").to_owned();
        let number = |name: &str| amount(&row[name]).map_or("null".into(), |it| it.to_string());
        let click = made.click.and_then(|number| self.model.click(number));
        let code = made.code.and_then(|code| CODES.get(code)).copied().unwrap_or("");
        // A refund itself has no payout, in any currency.
        let worth_currency = match made.is_refund {
            true => text("currency_id"),
            false => made.worth_currency.to_owned(),
        };
        let given = made.amount.map_or("null".into(), |amount| amount.to_string());
        let order = made.said.order.map(|order| format!("o{order}")).unwrap_or_default();
        vec![
            ("sale_amount", made.sale.to_string(), number("sale_amount")),
            ("payout", made.payout.to_string(), number("payout")),
            ("revenue", made.revenue.to_string(), number("revenue")),
            ("amount", given, number("amount")),
            ("currency_id", worth_currency, text("currency_id")),
            ("sale_currency_id", made.currency.to_owned(), text("sale_currency_id")),
            ("is_refund", made.is_refund.to_string(), row["is_refund"].to_string()),
            ("coupon_code", code.to_owned(), text("coupon_code").to_ascii_uppercase()),
            ("order_id", order, text("order_id")),
            (
                "transaction_id",
                click.map(|click| click.transaction_id.clone()).unwrap_or_default(),
                text("transaction_id"),
            ),
            ("event_id", made.event.to_string(), row["event_id"].to_string()),
            ("has_conflict", made.has_conflict.to_string(), row["has_conflict"].to_string()),
        ]
    }

    fn compare_partners_conversions(&mut self, when: &str) {
        for partner in 0..PARTNERS {
            let report = self.request(
                &self.partner_keys[partner],
                "affiliates/reporting/conversions?page_size=2000",
                &today(),
            );
            let mut got: Vec<String> = report["conversions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| {
                    let payout = amount(&row["payout"]).unwrap_or_default();
                    format!("{} {payout}", row["status"].as_str().unwrap())
                })
                .collect();
            let is_theirs = |made: &&Conversion| {
                made.partner == Some(partner)
                    && made.status != Status::Invalid
                    && made.error != 21
                    && !made.is_refund
            };
            let mut expected: Vec<String> = self
                .model
                .conversions
                .iter()
                .filter(is_theirs)
                .map(|made| format!("{} {}", made.status.as_str(), made.payout))
                .collect();
            got.sort();
            expected.sort();
            let what = || format!("{when}: the conversions of partner {partner}");
            self.expect(what, &expected.join(", "), &got.join(", "));
        }
    }

    // --- clicks

    fn compare_clicks(&mut self, when: &str) {
        let rows = self.network.clicks();
        let mut refused = Vec::new();
        let mut rows_of_clicks: HashMap<String, Value> = HashMap::new();
        for row in rows {
            if row["error_code"] == 0 {
                rows_of_clicks.insert(row["transaction_id"].as_str().unwrap().to_owned(), row);
            } else {
                refused.push(shown_refused(&row));
            }
        }
        let converted: BTreeSet<Number> = self
            .model
            .conversions
            .iter()
            .filter(|made| !made.is_refund)
            .filter(|made| matches!(made.status, Status::Approved | Status::Pending))
            .filter_map(|made| made.click)
            .collect();
        let mut expected_refused = Vec::new();
        for (click, class) in self.model.classes() {
            let ids = ids_of_click(&self.model, &click);
            let code = click.code.map_or("", |code| CODES[code]);
            if !click.is_redirected {
                expected_refused.push(format!(
                    "{code} offer {} partner {} {}",
                    ids.offer, ids.partner, SUBS[click.sub1]
                ));
                continue;
            }
            let number = click.number;
            let Some(row) = rows_of_clicks.remove(&click.transaction_id) else {
                self.expect(|| format!("{when}: click {number}"), "a row", "none");
                continue;
            };
            let related = &row["relationship"];
            let cells = [
                ("code", code.to_owned(), row["coupon_code"].as_str().unwrap().to_owned()),
                ("row", ids.row.to_string(), row["network_coupon_code_id"].to_string()),
                ("offer", ids.offer.to_string(), id(related, "offer").to_string()),
                ("partner", ids.partner.to_string(), id(related, "affiliate").to_string()),
                ("sub1", SUBS[click.sub1].to_owned(), row["sub1"].as_str().unwrap().to_owned()),
                ("is_bot", (class == Class::Bot).to_string(), row["is_bot"].to_string()),
                ("is_sdk_click", click.is_page.to_string(), row["is_sdk_click"].to_string()),
                (
                    "has_conversion",
                    converted.contains(&number).to_string(),
                    row["has_conversion"].to_string(),
                ),
            ];
            for (cell, expected, got) in cells {
                self.expect(|| format!("{when}: {cell} of click {number}"), &expected, &got);
            }
        }
        refused.sort();
        expected_refused.sort();
        let what = || format!("{when}: visits that were refused");
        self.expect(what, &expected_refused.join(", "), &refused.join(", "));
        let left = rows_of_clicks.len().to_string();
        self.expect(|| format!("{when}: clicks that nobody made"), "0", &left);
    }

    // --- reports

    fn request(&self, key: &str, path: &str, body: &Value) -> Value {
        let path = format!("/v1/{path}");
        let answer = http::call(self.network.admin_address, key, "POST", &path, Some(body));
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        answer.json()
    }

    fn compare_report(
        &mut self,
        when: &str,
        column: Column,
        partner: Option<usize>,
        expected: &Groups,
    ) {
        let mut body = today();
        body["columns"] = json!([{"column": column.as_str()}]);
        let report = match partner {
            None => self.request(&self.network.key(), "networks/reporting/entity", &body),
            Some(at) => self.request(&self.partner_keys[at], "affiliates/reporting/entity", &body),
        };
        let mut rows: BTreeMap<String, Value> = BTreeMap::new();
        for row in report["table"].as_array().unwrap() {
            let cell =
                if column == Column::Date { "" } else { row["columns"][0]["id"].as_str().unwrap() };
            // Over midnight there would be two days; the model has one.
            rows.insert(cell.to_owned(), row["reporting"].clone());
        }
        let whose = partner.map_or_else(|| "the network".into(), |at| format!("partner {at}"));
        let names: BTreeSet<String> = rows.keys().chain(expected.keys()).cloned().collect();
        for name in names {
            // Visits without a sub are not counted by sub.
            if column == Column::Sub1 && name.is_empty() {
                continue;
            }
            let nothing = Sums::default();
            let sums = expected.get(&name).unwrap_or(&nothing);
            let row = rows.get(&name).cloned().unwrap_or(Value::Null);
            let what = format!("{when}: {whose} by {} {name}", column.as_str());
            self.compare_sums(&what, partner.is_some(), sums, &row);
        }
    }

    fn compare_sums(&mut self, what: &str, is_partner: bool, sums: &Sums, row: &Value) {
        let counts = if is_partner { &PARTNER_COUNTS[..] } else { &NETWORK_COUNTS };
        for count in counts {
            let expected = sums.counts.get(count).copied().unwrap_or(0).to_string();
            let got = row[*count].as_i64().unwrap_or(0).to_string();
            self.expect(|| format!("{what}: {count}"), &expected, &got);
        }
        let currency = sums.currency(is_partner);
        let mut cells: Vec<(&str, AmountOf)> = vec![("payout", Money::all_payout)];
        if !is_partner {
            cells.push(("revenue", Money::all_revenue));
            cells.push(("event_revenue", |money| money.event_revenue * 1_000));
            cells.push(("gross_sales", |money| money.sale * 1_000));
        }
        for (cell, of) in cells {
            let expected = sums.amount(currency, of);
            let got = match row {
                Value::Null => Some(0),
                row => amount(&row[cell]),
            };
            let is_same = match (expected, got) {
                (None, None) => true,
                (Some(exact), Some(got)) => is_sum(got, exact),
                _ => false,
            };
            let shown = format!("{expected:?} thousandths of millionths {currency}");
            let got = if is_same { shown.clone() } else { format!("{got:?} millionths") };
            self.expect(|| format!("{what}: {cell}"), &shown, &got);
        }
        if !currency.is_empty() {
            let got = row["currency_id"].as_str().unwrap_or("none").to_owned();
            self.expect(|| format!("{what}: currency"), currency, &got);
        }
    }
}

fn shown_refused(row: &Value) -> String {
    let related = &row["relationship"];
    let code = row["coupon_code"].as_str().unwrap().to_ascii_uppercase();
    let (offer, partner) = (id(related, "offer"), id(related, "affiliate"));
    format!("{code} offer {offer} partner {partner} {}", row["sub1"].as_str().unwrap())
}

fn id(related: &Value, of: &str) -> u64 {
    related[of][format!("network_{of}_id")].as_u64().unwrap_or(0)
}

fn ids_in(row: &Value) -> Ids {
    let related = &row["relationship"];
    let sub1 = row["sub1"].as_str().unwrap();
    Ids {
        offer: id(related, "offer"),
        partner: id(related, "affiliate"),
        advertiser: id(related, "advertiser"),
        row: row["network_coupon_code_id"].as_u64().unwrap(),
        sub1: SUBS.iter().position(|sub| *sub == sub1).unwrap(),
    }
}

/// A sum of money, in thousandths of millionths.
type AmountOf = fn(&Money) -> i128;

/// Parses a JSON decimal; `None` for null.
fn amount(value: &Value) -> Option<Micros> {
    match value {
        Value::Null => None,
        value => money::parse(&value.to_string()),
    }
}
