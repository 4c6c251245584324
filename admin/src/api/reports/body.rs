//! The bodies of report requests: the fields that all of them have. A name that a report does not
//! know is refused: a misspelt filter that is ignored shows more than was asked for.

/// A request's body: the common fields, and its own.
macro_rules! report_body {
    ($(#[$about:meta])* $name:ident as $schema:ident {
        $($(#[$doc:meta])* $visible:vis $field:ident: $kind:ty,)*
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
            query: $crate::api::reports::filters::Query,
            /// What rows are sorted by; with - in front the greatest first. Counts: a column or a
            /// measure. Clicks and conversions: only their time, the newest first.
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
            pub(in crate::api::reports) format: Option<$crate::api::reports::sheet::Format>,
            $($(#[$doc])* $visible $field: $kind,)*
        }

        impl $name {
            fn when(&self) -> $crate::api::reports::period::When {
                $crate::api::reports::period::When {
                    from: self.from.clone(),
                    to: self.to.clone(),
                    timezone: self.timezone.clone(),
                    timezone_id: self.timezone_id,
                }
            }

            fn paged(&self) -> $crate::api::reports::paging::Paged {
                $crate::api::reports::paging::Paged {
                    order: self.order.clone(),
                    page: self.page,
                    page_size: self.page_size,
                }
            }
        }
    };
}
pub(super) use report_body;
