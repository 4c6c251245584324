//! The common fields of the bodies of report requests.
//!
//! Unknown names are refused: an ignored filter with a misspelt name would show too many rows. Names
//! that Everflow's clients send are in [`absent_parts`](super::absent_parts).

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use super::output::Format;
use crate::reports::filters::{FilterQuery, FilterTerm};

/// The `query` of a request.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReportQuery)]
pub(super) struct Query {
    /// Values of one type are alternatives; all types must hold.
    #[serde(default)]
    pub(super) filters: Vec<FilterRequest>,
    /// Rows that meet one of these are left out.
    #[serde(default)]
    pub(super) exclusions: Vec<FilterRequest>,
}

#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterRequest {
    /// `country_code` is another name of `country`. Types that only Everflow knows, such as `label`
    /// and `category`, are ignored with a warning.
    pub(super) resource_type: String,
    /// An id, a coupon code, or a text.
    filter_id_value: Value,
}

impl From<Query> for FilterQuery {
    fn from(query: Query) -> FilterQuery {
        FilterQuery {
            filters: query.filters.into_iter().map(FilterTerm::from).collect(),
            exclusions: query.exclusions.into_iter().map(FilterTerm::from).collect(),
        }
    }
}

impl From<FilterRequest> for FilterTerm {
    fn from(request: FilterRequest) -> FilterTerm {
        FilterTerm { facet: request.resource_type, value: request.filter_id_value }
    }
}

/// Reads a number that clients send as a number or as text.
pub(super) fn number_or_text<'de, D>(deserializer: D) -> Result<Option<u32>, D::Error>
where
    D: Deserializer<'de>,
{
    let error = || D::Error::custom("must be a whole number");
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| error()),
        Some(Value::Number(number)) => {
            let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
            number.map(Some).ok_or_else(error)
        }
        Some(_) => Err(error()),
    }
}

/// The body of a request for a report.
pub(super) trait ReportBody {
    /// `None` where the `Accept` header decides.
    fn format(&self) -> Option<Format>;
    fn query_mut(&mut self) -> &mut Query;
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
            /// Everflow's number for a zone, such as 67 (UTC) or 80 (America/New_York);
            /// `/v1/meta/timezones` lists all. A number as text is read, too.
            #[serde(default, deserialize_with = "crate::api::reports::body::number_or_text")]
            timezone_id: Option<u32>,
            #[serde(default)]
            query: $crate::api::reports::body::Query,
            /// Order of the rows; a leading - means greatest first. Counts: a column or a measure.
            /// Clicks and conversions: only their time, newest first.
            #[serde(default)]
            #[schema(example = "-payout")]
            order: Option<String>,
            /// From 1.
            #[serde(default, deserialize_with = "crate::api::reports::body::number_or_text")]
            #[schema(minimum = 1)]
            page: Option<u32>,
            /// At most 2,000; 50 where only `page` is said.
            #[serde(default, deserialize_with = "crate::api::reports::body::number_or_text")]
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

            fn query_mut(&mut self) -> &mut $crate::api::reports::body::Query {
                &mut self.query
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
