//! The question of a flex report: breakdowns, measures, filters, period and order of the address.

use serde_json::{Value, json};

use crate::console::list::ListQuery;
use crate::console::report;
use crate::console::typed_period::Period;
use crate::console::words;

/// The most breakdowns of a page; the API takes more.
pub(super) const MAX_BREAKDOWNS: usize = 3;

/// Breakdowns and their names.
pub(super) const BREAKDOWNS: [(&str, &str); 24] = [
    ("coupon_code", "Code"),
    ("offer", "Offer"),
    ("affiliate", "Partner"),
    ("advertiser", "Advertiser"),
    ("date", "Day"),
    ("hour", "Hour"),
    ("device_type", "Device"),
    ("platform", "System"),
    ("browser", "Browser"),
    ("country", "Country"),
    ("region", "Region"),
    ("city", "City"),
    ("source_id", "Source"),
    ("currency", "Currency"),
    ("sub1", "Sub 1"),
    ("sub2", "Sub 2"),
    ("sub3", "Sub 3"),
    ("sub4", "Sub 4"),
    ("sub5", "Sub 5"),
    ("sub6", "Sub 6"),
    ("sub7", "Sub 7"),
    ("sub8", "Sub 8"),
    ("sub9", "Sub 9"),
    ("sub10", "Sub 10"),
];

/// How figures of a measure are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Money,
    Percent,
}

/// A measure of the API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
}

const fn measure(name: &'static str, label: &'static str, kind: Kind) -> Measure {
    Measure { name, label, kind }
}

/// The measures, in the order of the table.
pub(crate) static MEASURES: [Measure; 26] = [
    measure("gross_click", "Visits", Kind::Count),
    measure("total_click", "Clicks", Kind::Count),
    measure("unique_click", "Unique clicks", Kind::Count),
    measure("invalid_click", "Invalid clicks", Kind::Count),
    measure("fail_traffic_click", "Fail traffic", Kind::Count),
    measure("duplicate_click", "Duplicate clicks", Kind::Count),
    measure("bot_click", "Bot clicks", Kind::Count),
    measure("imp", "Impressions", Kind::Count),
    measure("cv", "Conversions", Kind::Count),
    measure("event", "Events", Kind::Count),
    measure("pending_cv", "Pending", Kind::Count),
    measure("rejected_cv", "Rejected", Kind::Count),
    measure("invalid_cv", "Invalid postbacks", Kind::Count),
    measure("cvr", "Conversion rate", Kind::Percent),
    measure("evr", "Event rate", Kind::Percent),
    measure("gross_sales", "Sales", Kind::Money),
    measure("avg_sale_value", "Sale on average", Kind::Money),
    measure("payout", "Payout", Kind::Money),
    measure("revenue", "Revenue", Kind::Money),
    measure("event_revenue", "Revenue of events", Kind::Money),
    measure("profit", "Profit", Kind::Money),
    measure("margin", "Margin", Kind::Percent),
    measure("cpc", "Payout per click", Kind::Money),
    measure("cpa", "Payout per conversion", Kind::Money),
    measure("rpc", "Revenue per click", Kind::Money),
    measure("rpa", "Revenue per conversion", Kind::Money),
];

const DEFAULT_MEASURES: [&str; 6] = ["total_click", "cv", "cvr", "payout", "revenue", "profit"];
const DEFAULT_DAYS: i32 = 7;

/// The name of a breakdown on pages.
pub(super) fn label(breakdown: &str) -> String {
    let known = BREAKDOWNS.iter().find(|(name, _)| *name == breakdown);
    known.map_or_else(|| words::word(breakdown), |(_, label)| (*label).to_owned())
}

/// Whether the API counts by the breakdown only without others of the same kind.
pub(super) fn is_valued(facet: &str) -> bool {
    let valued = ["country", "region", "city", "device_type", "platform", "browser", "source_id"];
    valued.contains(&facet) || facet.starts_with("sub")
}

/// Whether a breakdown is a span of time.
pub(super) fn is_time(breakdown: &str) -> bool {
    matches!(breakdown, "date" | "hour")
}

/// The question of an address.
pub(super) struct Question {
    pub(super) query: ListQuery,
    pub(super) period: Period,
    /// As in the address; the API refuses unknown breakdowns.
    pub(super) breakdowns: Vec<String>,
    pub(super) measures: Vec<&'static Measure>,
}

impl Question {
    pub(super) fn new(query: ListQuery, time_zone: &str) -> Question {
        let period = Period::in_query(&query, time_zone, DEFAULT_DAYS);
        let mut breakdowns: Vec<String> = Vec::new();
        for breakdown in query.values("by") {
            if !breakdowns.iter().any(|known| known == breakdown) {
                breakdowns.push(breakdown.to_owned());
            }
        }
        if breakdowns.is_empty() {
            breakdowns.push("coupon_code".into());
        }
        let chosen = query.values("measure");
        let is_chosen = |measure: &&Measure| match chosen.as_slice() {
            [] => DEFAULT_MEASURES.contains(&measure.name),
            chosen => chosen.contains(&measure.name),
        };
        let measures = MEASURES.iter().filter(is_chosen).collect();
        Question { period, breakdowns, measures, query }
    }

    /// The currency of the counted money; empty for all currencies.
    pub(super) fn currency(&self) -> &str {
        self.query.value("currency")
    }

    /// The measure of the chart.
    pub(super) fn chart_measure(&self) -> &'static Measure {
        let named = self.query.value("chart");
        let named = MEASURES.iter().find(|measure| measure.name == named);
        named.or(self.measures.first().copied()).unwrap_or(&MEASURES[1])
    }

    /// The order of the rows: as the address says; else time runs forward, and other rows begin
    /// with the greatest.
    fn order(&self) -> String {
        let sort = self.query.value("sort");
        match (sort, self.breakdowns.first(), self.measures.first()) {
            ("", Some(first), _) if is_time(first) => first.clone(),
            ("", _, Some(measure)) => format!("-{}", measure.name),
            _ => sort.to_owned(),
        }
    }

    /// The body for the API, without the page.
    pub(super) fn body(&self) -> Value {
        let breakdowns: Vec<&str> = self.breakdowns.iter().map(String::as_str).collect();
        let mut body = self.body_by(&breakdowns, &self.period);
        let order = self.order();
        if !order.is_empty() {
            body["order"] = order.into();
        }
        body
    }

    /// A body with other breakdowns or another period, and the same filters.
    pub(super) fn body_by(&self, breakdowns: &[&str], period: &Period) -> Value {
        let mut body = report::body(&self.query, period);
        body["columns"] = breakdowns.iter().map(|column| json!({"column": column})).collect();
        if !self.currency().is_empty() {
            body["currency_id"] = self.currency().into();
        }
        body
    }

    /// The address with the rows sorted by a column: the greatest first, except for breakdowns.
    pub(super) fn sorted_by(&self, name: &str, greatest_first: bool) -> String {
        let (down, up) = (format!("-{name}"), name.to_owned());
        let sort = self.query.value("sort");
        let (first, second) = if greatest_first { (down, up) } else { (up, down) };
        self.query.with("sort", if sort == first { &second } else { &first })
    }

    pub(super) fn is_by(&self, place: &usize, breakdown: &str) -> bool {
        self.breakdowns.get(*place).is_some_and(|chosen| chosen == breakdown)
    }

    pub(super) fn shows(&self, measure: &Measure) -> bool {
        self.measures.contains(&measure)
    }

    /// Filters without an input in the form.
    pub(super) fn hidden_filters(&self) -> Vec<String> {
        report::hidden_filters(&self.query, &["offer", "affiliate", "coupon_code"])
    }

    pub(super) fn compares(&self) -> bool {
        !self.query.value("compare").is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> Question {
        Question::new(ListQuery::parse("/console/flex", query), "UTC")
    }

    #[test]
    fn an_address_becomes_the_body_of_the_api() {
        let asked = question(
            "by=coupon_code&by=&by=date&by=date&filter.affiliate=3&from=2026-11-01&to=2026-11-02\
             &currency=USD&measure=cv",
        );
        assert_eq!(
            asked.body(),
            json!({
                "from": "2026-11-01", "to": "2026-11-02", "currency_id": "USD", "order": "-cv",
                "columns": [{"column": "coupon_code"}, {"column": "date"}],
                "query": {"filters": [{"resource_type": "affiliate", "filter_id_value": "3"}]},
            })
        );
        assert_eq!(question("by=date").body()["order"], "date");
        assert_eq!(question("").measures.len(), DEFAULT_MEASURES.len());
    }

    #[test]
    fn the_form_keeps_filters_without_an_input() {
        let asked = question("filter=offer%3D1&filter=offer%3D2&filter=sub1%3Dstory");
        assert_eq!(asked.hidden_filters(), ["offer=2", "sub1=story"]);
    }
}
