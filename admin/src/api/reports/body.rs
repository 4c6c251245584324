//! The common fields of the bodies of report requests.
//!
//! Unknown names are refused: an ignored filter with a misspelt name would show too many rows.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::output::Format;
use crate::catalog::FieldError;
use crate::reports::filters::{FilterQuery, FilterTerm};

/// The `query` of a request.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReportQuery)]
pub(super) struct Query {
    /// Values of one type are alternatives; all types must hold.
    #[serde(default)]
    filters: Vec<FilterRequest>,
    /// Rows that meet one of these are left out.
    #[serde(default)]
    exclusions: Vec<FilterRequest>,
    /// Known from Everflow, not from here: refused instead of being ignored.
    #[serde(default)]
    metric_filters: Vec<Value>,
    /// As above.
    #[serde(default)]
    search_terms: Vec<Value>,
    /// As above.
    #[serde(default)]
    user_metrics: Vec<Value>,
    /// As above.
    #[serde(default)]
    settings: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FilterRequest {
    resource_type: String,
    /// An id, a coupon code, or a text.
    filter_id_value: Value,
}

impl From<Query> for FilterQuery {
    fn from(query: Query) -> FilterQuery {
        let refused = [
            ("metric_filters", query.metric_filters.is_empty()),
            ("search_terms", query.search_terms.is_empty()),
            ("user_metrics", query.user_metrics.is_empty()),
            ("settings", query.settings.is_empty()),
        ];
        let refused = refused.into_iter().filter(|(_, is_empty)| !is_empty);
        let refused = refused.map(|(name, _)| FieldError {
            field: format!("query.{name}"),
            error: "cannot be used here; use filters, exclusions and order".into(),
        });
        FilterQuery {
            filters: query.filters.into_iter().map(FilterTerm::from).collect(),
            exclusions: query.exclusions.into_iter().map(FilterTerm::from).collect(),
            refused: refused.collect(),
        }
    }
}

impl From<FilterRequest> for FilterTerm {
    fn from(request: FilterRequest) -> FilterTerm {
        FilterTerm { facet: request.resource_type, value: request.filter_id_value }
    }
}

/// The body of a request for a report.
pub(super) trait ReportBody {
    /// `None` where the `Accept` header decides.
    fn format(&self) -> Option<Format>;
}

/// A request's body: the common fields, and its own.
macro_rules! report_body {
    ($(#[$about:meta])* $name:ident as $schema:ident {
        $($(#[$doc:meta])* $field:ident: $kind:ty,)*
    }) => {
        $(#[$about])*
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(as = $schema)]
        pub(in crate::api::reports) struct $name {
            /// The first day, or second: 2026-12-01 or 2026-12-01 00:00:00.
            from: String,
            /// The last day, or second; it is part of the period.
            to: String,
            /// An IANA name; without it and a `timezone_id` the network's zone.
            #[serde(default)]
            timezone: Option<String>,
            /// Everflow's number for a zone, as far as numbers are published: 1 to 16, 56
            /// (Europe/Berlin), 67 (UTC), 80 (America/New_York), 85 (America/Chicago), 87
            /// (America/Denver).
            #[serde(default)]
            timezone_id: Option<u32>,
            #[serde(default)]
            query: $crate::api::reports::body::Query,
            /// Order of the rows; a leading - means greatest first. Counts: a column or a measure.
            /// Clicks and conversions: only their time, newest first.
            #[serde(default)]
            #[schema(example = "-payout")]
            order: Option<String>,
            /// From 1.
            #[serde(default)]
            #[schema(minimum = 1)]
            page: Option<u32>,
            /// At most 2,000; 50 where only `page` is said.
            #[serde(default)]
            #[schema(minimum = 1, maximum = 2000)]
            page_size: Option<u32>,
            /// `Accept: text/csv` does the same.
            #[serde(default)]
            format: Option<$crate::api::reports::output::Format>,
            $($(#[$doc])* $field: $kind,)*
        }

        impl $crate::api::reports::body::ReportBody for $name {
            fn format(&self) -> Option<$crate::api::reports::output::Format> {
                self.format
            }
        }

        impl $name {
            /// The common fields; the parameters of the address take precedence.
            fn selection(
                &self,
                parameters: $crate::api::reports::paging::PagingParameters,
            ) -> $crate::reports::selection::Selection {
                $crate::reports::selection::Selection {
                    period: $crate::reports::period::PeriodQuery {
                        from: self.from.clone(),
                        to: self.to.clone(),
                        timezone: self.timezone.clone(),
                        timezone_id: self.timezone_id,
                    },
                    filters: self.query.clone().into(),
                    paging: parameters.or($crate::reports::paging::PagingQuery {
                        order: self.order.clone(),
                        page: self.page,
                        page_size: self.page_size,
                    }),
                }
            }
        }
    };
}
pub(super) use report_body;
