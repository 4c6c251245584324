//! The query of a list page, which is the query of the API's list.
//!
//! Fields of filter forms are called `filter.FIELD`; they become the API's `filter=FIELD=VALUE`, so
//! a plain form can set a filter without a script.

use std::fmt::Write as _;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use serde::Deserialize;

use super::words;

/// Parameters that only the console reads.
const OF_CONSOLE: &[&str] = &["notice", "live", "job", "changed", "columns", BOM];

/// The parameter of the API for a file that Excel opens as UTF-8.
const BOM: &str = "bom";

/// Parameters about the change that led to the page; no link carries them on.
const OF_NOTICE: &[&str] = &["notice", "live", "job", "changed"];

/// The parameters of a list page.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    path: String,
    pairs: Vec<(String, String)>,
}

/// The paging of an answer.
#[derive(Debug, Clone, Copy, Deserialize, Default)]
pub(crate) struct Paging {
    pub(crate) page: u64,
    pub(crate) page_size: u64,
    pub(crate) total_count: u64,
}

impl Paging {
    pub(crate) fn last(&self) -> u64 {
        self.total_count.div_ceil(self.page_size.max(1)).max(1)
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
            if value.is_empty() {
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
        ListQuery { path: path.to_owned(), pairs }
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
        let kept = |key: &str| {
            !is_set(key) && !OF_NOTICE.contains(&key) && (is_set("page") || key != "page")
        };
        let mut pairs: Vec<(String, String)> =
            self.pairs.iter().filter(|(key, _)| kept(key)).cloned().collect();
        let set = values.iter().filter(|(_, value)| !value.is_empty());
        pairs.extend(set.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        join(&self.path, pairs.iter())
    }

    /// The address of the same page with other parameters.
    pub(crate) fn address<'a>(&self, pairs: impl Iterator<Item = &'a (String, String)>) -> String {
        join(&self.path, pairs)
    }

    /// The address of another page of this list.
    pub(crate) fn at_page(&self, page: u64) -> String {
        self.with("page", &page.to_string())
    }

    /// The address of this list without one filter.
    pub(crate) fn without_filter(&self, filter: &str) -> String {
        let kept = |(name, value): &&(String, String)| {
            !(name == "filter" && value == filter)
                && name != "page"
                && !OF_NOTICE.contains(&name.as_str())
        };
        join(&self.path, self.pairs.iter().filter(kept))
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
    pub(crate) fn cleared(&self) -> &str {
        &self.path
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

/// The address of a file, for Excel if the page's link says so.
pub(crate) fn with_mark(path: &str, query: &ListQuery) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    if query.is_for_excel() { format!("{path}{separator}{BOM}=true") } else { path.to_owned() }
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
        let paging = Paging { page: 3, page_size: 50, total_count: 120 };
        assert_eq!((paging.from(), paging.to(), paging.last()), (101, 120, 3));
        let empty = Paging { page: 1, page_size: 50, total_count: 0 };
        assert_eq!((empty.from(), empty.to(), empty.last()), (0, 0, 1));
    }
}
