//! The query of a list page, which is the query of the API's list.
//!
//! Fields of filter forms are called `filter.FIELD`; they become the API's `filter=FIELD=VALUE`, so
//! a plain form can set a filter without a script.

use std::fmt::Write as _;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{format, words};

/// Parameters that only the console reads.
const OF_CONSOLE: &[&str] =
    &["notice", "live", "job", "changed", "columns", "choose", "view", BOM, FORMAT];

/// The parameter of the API for a file that Excel opens as UTF-8.
const BOM: &str = "bom";
/// The parameter of the API for the format of a file.
const FORMAT: &str = "format";

/// Parameters about the change that led to the page, and of a box that is open once; no link carries
/// them on.
const OF_NOTICE: &[&str] = &["notice", "live", "job", "changed", "choose"];

/// Parameters that name a page of a list.
const OF_PLACE: &[&str] = &["page", "after", "before"];

/// The parameters of a list page.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    path: String,
    pairs: Vec<(String, String)>,
    /// The list opens with a saved view, so the whole list needs a query.
    opens_with_view: bool,
}

/// The paging of an answer.
#[derive(Debug, Clone, Deserialize, Default)]
pub(crate) struct Paging {
    #[serde(default)]
    pub(crate) page: u64,
    pub(crate) page_size: u64,
    pub(crate) total_count: u64,
    /// The cursor of the next page, in lists with cursors.
    #[serde(default)]
    pub(crate) after: Option<String>,
    /// The cursor of the previous page.
    #[serde(default)]
    pub(crate) before: Option<String>,
    /// `false` if there are more rows than the total count.
    #[serde(default = "exact")]
    pub(crate) is_total_exact: bool,
}

fn exact() -> bool {
    true
}

impl Paging {
    pub(crate) fn last(&self) -> u64 {
        self.total_count.div_ceil(self.page_size.max(1)).max(1)
    }

    /// The number of all rows: `1,204`, or `10,000+` where there are more.
    pub(crate) fn total(&self) -> String {
        let more = if self.is_total_exact { "" } else { "+" };
        format!("{}{more}", format::count(self.total_count))
    }

    /// Number of the first row on the page; 0 without rows.
    pub(crate) fn from(&self) -> u64 {
        self.to().min(self.page.saturating_sub(1) * self.page_size + 1)
    }

    /// Number of the last row on the page.
    pub(crate) fn to(&self) -> u64 {
        self.total_count.min(self.page * self.page_size)
    }
}

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<ListQuery, std::convert::Infallible> {
        let uri = parts.extensions.get::<OriginalUri>();
        let path = uri.map_or(parts.uri.path(), |original| original.0.path());
        Ok(ListQuery::parse(path, parts.uri.query().unwrap_or_default()))
    }
}

impl ListQuery {
    pub(crate) fn parse(path: &str, query: &str) -> ListQuery {
        let mut pairs = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()).into_owned() {
            let value = value.trim().to_owned();
            // An empty cursor is an end of the list.
            if value.is_empty() && !matches!(name.as_str(), "after" | "before") {
                continue;
            }
            match name.strip_prefix("filter.") {
                // A field with its own operator, such as `start_date>`.
                Some(field) if field.ends_with(['<', '>']) => {
                    pairs.push(("filter".into(), format!("{field}{value}")));
                }
                Some(field) => pairs.push(("filter".into(), format!("{field}={value}"))),
                None => pairs.push((name, value)),
            }
        }
        ListQuery { path: path.to_owned(), pairs, opens_with_view: false }
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first value of a parameter, or an empty text.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Whether the address is that of a file for Excel.
    pub(crate) fn is_for_excel(&self) -> bool {
        self.value(BOM) == "true"
    }

    /// Whether the address is that of a workbook.
    fn is_workbook(&self) -> bool {
        self.value(FORMAT) == "xlsx"
    }

    /// All values of a parameter.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value that a field is filtered by, or an empty text.
    pub(crate) fn filter(&self, field: &str) -> &str {
        let filters = self.pairs.iter().filter(|(name, _)| name == "filter");
        let mut values = filters.filter_map(|(_, filter)| filter.strip_prefix(field));
        // After a field without an operator comes `=`.
        if field.ends_with(['<', '>']) {
            return values.next().unwrap_or_default();
        }
        values.find_map(|rest| rest.strip_prefix('=')).unwrap_or_default()
    }

    /// Whether a field is filtered by this id.
    pub(crate) fn filters_id(&self, field: &str, id: &u64) -> bool {
        self.filter(field) == id.to_string()
    }

    /// Whether the list is narrowed.
    pub(crate) fn is_narrowed(&self) -> bool {
        self.pairs.iter().any(|(name, _)| matches!(name.as_str(), "filter" | "search" | "prefix"))
    }

    /// This query, sorted by `sort` if it names no order and searches for no prefix.
    pub(crate) fn or_sorted(&self, sort: &str) -> ListQuery {
        let mut sorted = self.clone();
        if self.value("sort").is_empty() && self.value("prefix").is_empty() {
            sorted.pairs.push(("sort".into(), sort.into()));
        }
        sorted
    }

    /// The query for the API; begins with `?` unless empty.
    pub(crate) fn api_query(&self) -> String {
        join("", self.pairs.iter().filter(|(name, _)| !OF_CONSOLE.contains(&name.as_str())))
    }

    /// The query for the API, with related objects.
    pub(crate) fn api_query_with(&self, relationships: &[&str]) -> String {
        let related = relationships.iter().map(|name| ("relationship".into(), (*name).into()));
        let pairs: Vec<(String, String)> = self.pairs.iter().cloned().chain(related).collect();
        join("", pairs.iter().filter(|(name, _)| !OF_CONSOLE.contains(&name.as_str())))
    }

    /// The query of the page itself, without `?`, for a form that comes back to the list.
    pub(crate) fn own_query(&self) -> String {
        let kept = self.pairs.iter().filter(|(name, _)| !OF_NOTICE.contains(&name.as_str()));
        join("", kept).trim_start_matches('?').to_owned()
    }

    /// The filters and searches alone, which exports and bulk changes take.
    pub(crate) fn selection(&self) -> String {
        let is_selection = |name: &str| matches!(name, "filter" | "search" | "prefix");
        join("", self.pairs.iter().filter(|(name, _)| is_selection(name)))
    }

    /// The filters in the API's form, such as `coupon_status=active`.
    pub(crate) fn filters(&self) -> Vec<&str> {
        let filters = self.pairs.iter().filter(|(name, _)| name == "filter");
        filters.map(|(_, filter)| filter.as_str()).collect()
    }

    /// The address of this list with another value of a parameter; an empty value removes it.
    /// Except for a step to another page, the list starts at its first page again.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        self.with_all(&[(name, value)])
    }

    /// The address of this list with other values of some parameters, as [`ListQuery::with`].
    pub(crate) fn with_all(&self, values: &[(&str, &str)]) -> String {
        let is_set = |key: &str| values.iter().any(|(name, _)| *name == key);
        let kept =
            |key: &str| !is_set(key) && !OF_NOTICE.contains(&key) && !OF_PLACE.contains(&key);
        let mut pairs: Vec<(String, String)> =
            self.pairs.iter().filter(|(key, _)| kept(key)).cloned().collect();
        let set = values.iter().filter(|(_, value)| !value.is_empty());
        pairs.extend(set.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.link(pairs.iter())
    }

    /// The address of the same page with other parameters.
    pub(crate) fn address<'a>(&self, pairs: impl Iterator<Item = &'a (String, String)>) -> String {
        self.link(pairs)
    }

    fn link<'a>(&self, pairs: impl Iterator<Item = &'a (String, String)>) -> String {
        let link = join(&self.path, pairs);
        if self.opens_with_view && link == self.path { format!("{link}?view=all") } else { link }
    }

    /// The address of another page of this list.
    pub(crate) fn at_page(&self, page: u64) -> String {
        self.with("page", &page.to_string())
    }

    /// This query with its days `from` and `to`, both included, as filters of a time. A text that is
    /// no day becomes a filter, too, which the API refuses with the reason.
    pub(crate) fn with_days_of(&self, field: &str, time_zone: &str) -> ListQuery {
        let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
        let start = |day: &str, later: i32| {
            let day = day.parse::<Date>().ok()?.checked_add(later.days()).ok()?;
            Some(day.to_zoned_datetime(zone.clone()).ok()?.timestamp().as_second())
        };
        let written = |second: Option<i64>, day: &str| {
            second.map_or_else(|| day.to_owned(), |second| second.to_string())
        };
        let (from, to) = (self.value("from"), self.value("to"));
        let mut pairs = self.pairs.clone();
        pairs.retain(|(name, _)| !matches!(name.as_str(), "from" | "to"));
        if !from.is_empty() {
            let before = start(from, 0).map(|first| first - 1);
            pairs.push(("filter".into(), format!("{field}>{}", written(before, from))));
        }
        if !to.is_empty() {
            pairs.push(("filter".into(), format!("{field}<{}", written(start(to, 1), to))));
        }
        ListQuery { pairs, ..self.clone() }
    }

    /// This query, on a page whose list opens with a saved view, or does not.
    pub(crate) fn of_list(self, opens_with_view: bool) -> ListQuery {
        ListQuery { opens_with_view, ..self }
    }

    /// Filters, searches, order and columns, sorted by name.
    fn look(&self) -> Vec<&(String, String)> {
        let is_look =
            |name: &str| !OF_NOTICE.contains(&name) && !OF_PLACE.contains(&name) && name != "view";
        let mut look: Vec<_> = self.pairs.iter().filter(|(name, _)| is_look(name)).collect();
        look.sort();
        look
    }

    /// Whether the address leads to the same rows, order and columns.
    pub(crate) fn is_same_list(&self, address: &str) -> bool {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        self.look() == ListQuery::parse(path, query).look()
    }

    /// Whether all rows are shown as delivered.
    pub(crate) fn is_whole(&self) -> bool {
        self.look().is_empty()
    }

    /// The query that a saved view keeps: without the columns, which it keeps beside.
    pub(crate) fn of_view(&self) -> String {
        let kept = self.look().into_iter().filter(|(name, _)| name != "columns");
        join("", kept).trim_start_matches('?').to_owned()
    }

    /// This query with cursors, which begins at the start of the list unless it names a page.
    pub(crate) fn or_from_start(mut self) -> ListQuery {
        if !self.pairs.iter().any(|(name, _)| OF_PLACE.contains(&name.as_str())) {
            self.pairs.push(("after".into(), String::new()));
        }
        self
    }

    /// Whether the page lies beside a row that another page had.
    pub(crate) fn has_cursor(&self) -> bool {
        !self.value("after").is_empty() || !self.value("before").is_empty()
    }

    /// The address of the first page.
    pub(crate) fn at_start(&self) -> String {
        self.with("page", "")
    }

    /// The address of the last page of a list with cursors.
    pub(crate) fn at_end(&self) -> String {
        let first = self.at_start();
        let mark = if first.contains('?') { '&' } else { '?' };
        format!("{first}{mark}before=")
    }

    /// The address of this list without one filter.
    pub(crate) fn without_filter(&self, filter: &str) -> String {
        let kept = |(name, value): &&(String, String)| {
            let is_removed = name == "filter" && value == filter;
            let is_passing =
                OF_PLACE.contains(&name.as_str()) || OF_NOTICE.contains(&name.as_str());
            !(is_removed || is_passing)
        };
        self.link(self.pairs.iter().filter(kept))
    }

    /// The filters as the page names them, each with the address of the list without it.
    pub(crate) fn chips(&self) -> Vec<Chip> {
        let is_selection = |name: &str| matches!(name, "filter" | "search" | "prefix");
        let narrowing = self.pairs.iter().filter(|(name, _)| is_selection(name));
        let chip = |(name, value): &(String, String)| match name.as_str() {
            "filter" => Chip { text: filter_text(value), without: self.without_filter(value) },
            "prefix" => Chip { text: format!("begins with {value}"), without: self.with(name, "") },
            _ => Chip { text: format!("contains {value}"), without: self.with(name, "") },
        };
        narrowing.map(chip).collect()
    }

    /// The address of the whole list.
    pub(crate) fn cleared(&self) -> String {
        self.link([].iter())
    }

    /// The address of this list sorted by a field, ascending first.
    pub(crate) fn sorted_by(&self, field: &str) -> String {
        let is_ascending = self.value("sort") == field;
        let sort = if is_ascending { format!("-{field}") } else { field.to_owned() };
        self.with("sort", &sort)
    }

    /// The value of `aria-sort` for the head of a field's column.
    pub(crate) fn sort_state(&self, field: &str) -> &'static str {
        match self.value("sort").strip_prefix('-') {
            Some(sorted) if sorted == field => "descending",
            None if self.value("sort") == field => "ascending",
            _ => "none",
        }
    }

    /// A command line that asks the API for the same rows; `api_path` begins with `/v1/`.
    pub(crate) fn as_curl(&self, api_path: &str) -> String {
        format!("curl -H \"X-Eflow-API-Key: $KEY\" \"$API{api_path}{}\"", self.api_query())
    }
}

/// A filter of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chip {
    pub(crate) text: String,
    /// The address of the list without the filter.
    pub(crate) without: String,
}

/// A filter in words, such as `Status: Paused`.
pub(crate) fn filter_text(filter: &str) -> String {
    let Some(at) = filter.find(['=', '<', '>']) else { return filter.to_owned() };
    let (field, rest) = filter.split_at(at);
    let (operator, value) = rest.split_at(1);
    let word = if value.is_empty() { "none".into() } else { words::word(value) };
    match operator {
        "=" => format!("{}: {word}", words::label(field)),
        other => format!("{} {other} {value}", words::label(field)),
    }
}

fn join<'a>(path: &str, pairs: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut joined = path.to_owned();
    for (place, (name, value)) in pairs.enumerate() {
        let mark = if place == 0 { '?' } else { '&' };
        let _ = write!(joined, "{mark}{}={}", encode(name), encode(value));
    }
    joined
}

/// The address of a file, in the style that the page's link says.
pub(crate) fn with_style(path: &str, query: &ListQuery) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    match (query.is_workbook(), query.is_for_excel()) {
        (true, _) => format!("{path}{separator}{FORMAT}=xlsx"),
        (false, true) => format!("{path}{separator}{BOM}=true"),
        (false, false) => path.to_owned(),
    }
}

/// Encodes a text as a part of a query.
pub(crate) fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_sets_filters_and_links_keep_them() {
        let query = ListQuery::parse(
            "/console/coupon-codes",
            "filter.network_offer_id=3&filter.start_date%3E=2026-01-01&prefix=&sort=-time_saved&page=4&notice=saved",
        );
        assert_eq!(query.filter("network_offer_id"), "3");
        assert_eq!(query.filter("start_date>"), "2026-01-01");
        assert_eq!(query.filters(), ["network_offer_id=3", "start_date>2026-01-01"]);
        assert_eq!(
            query.api_query(),
            "?filter=network_offer_id%3D3&filter=start_date%3E2026-01-01&sort=-time_saved&page=4"
        );
        assert_eq!(
            query.with("prefix", "win"),
            "/console/coupon-codes?filter=network_offer_id%3D3&filter=start_date%3E2026-01-01\
             &sort=-time_saved&prefix=win"
        );
        assert_eq!(
            query.without_filter("network_offer_id=3"),
            "/console/coupon-codes?filter=start_date%3E2026-01-01&sort=-time_saved"
        );
        assert_eq!(query.sort_state("time_saved"), "descending");
        assert!(query.sorted_by("time_saved").ends_with("sort=time_saved"));
        assert!(query.at_page(5).ends_with("&page=5"));
    }

    #[test]
    fn a_page_names_its_rows() {
        let paging = Paging { page: 3, page_size: 50, total_count: 120, ..Paging::default() };
        assert_eq!((paging.from(), paging.to(), paging.last()), (101, 120, 3));
        let empty = Paging { page: 1, page_size: 50, total_count: 0, ..Paging::default() };
        assert_eq!((empty.from(), empty.to(), empty.last()), (0, 0, 1));
    }

    #[test]
    fn a_page_with_a_cursor_is_left_when_the_list_changes() {
        let query =
            ListQuery::parse("/console/coupon-codes", "sort=coupon_code&after=7:coupon_code:win");
        assert_eq!(query.at_start(), "/console/coupon-codes?sort=coupon_code");
        assert_eq!(query.at_end(), "/console/coupon-codes?sort=coupon_code&before=");
        assert_eq!(query.with("prefix", "a"), "/console/coupon-codes?sort=coupon_code&prefix=a");
        assert!(query.with("before", "9:coupon_code:x").ends_with("&before=9%3Acoupon_code%3Ax"));
        assert_eq!(query.clone().or_from_start().api_query(), query.api_query());
        let last = ListQuery::parse("/console/coupon-codes", "before=&prefix=");
        assert_eq!(last.clone().or_from_start().api_query(), "?before=");
        assert_eq!(
            ListQuery::parse("/l", "prefix=a").or_from_start().api_query(),
            "?prefix=a&after="
        );
        let paging = Paging { total_count: 10_000, is_total_exact: false, ..Paging::default() };
        assert_eq!(paging.total(), "10,000+");
    }

    #[test]
    fn days_of_a_zone_become_filters_of_a_time() {
        let second = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        let query = ListQuery::parse("/l", "from=2026-03-08&to=2026-03-08&page=2");
        let asked = query.with_days_of("time_received", "America/New_York");
        let from = format!("time_received>{}", second("2026-03-08T04:59:59Z"));
        let to = format!("time_received<{}", second("2026-03-09T04:00:00Z"));
        assert_eq!(asked.filters(), [from, to]);
        assert_eq!((asked.value("from"), asked.value("page")), ("", "2"));
        let wrong = ListQuery::parse("/l", "to=soon").with_days_of("time_received", "UTC");
        assert_eq!(wrong.filters(), ["time_received<soon"]);
    }
}
