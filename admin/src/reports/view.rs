//! The parts of reports that the network, a partner and an advertiser may see.
//!
//! Partners must not learn revenue, profit, sale amounts, advertisers, other partners, visitors'
//! addresses and browsers, buyers, notes, errors and bots. Advertisers must not learn payouts, profit,
//! other advertisers, visitors' addresses, user agents and emails, notes, errors and bots; the partner
//! of a sale is named to the advertiser. So both see only the columns on a list here: a new column
//! stays hidden until a developer adds its name. The same holds for filters, breakdowns and the order
//! of rows, because an order by a hidden column would tell its values. The API key decides which rows
//! they see, never the query.

use std::sync::OnceLock;

use super::column::Column;
use super::facet::{Facet, ReportKind};
use crate::store::conversions::Status;

/// Which columns, filters and breakdowns exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Everything.
    Network,
    /// The part for partners.
    Partner,
    /// The part for advertisers.
    Advertiser,
}

/// The reader of a report, who decides about its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// The network sees all rows.
    Network,
    /// A partner, by its id, sees its own rows.
    Partner(u32),
    /// An advertiser, by its id, sees its own rows.
    Advertiser(u32),
}

/// A partner's click, in the order of answers and files.
pub(super) const PARTNER_CLICK: &[&str] = &[
    "transaction_id",
    "unix_timestamp",
    "coupon_code",
    "network_coupon_code_id",
    "source_id",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "uid",
    "device_type",
    "has_conversion",
    "payout_type",
    "payout",
    "currency_id",
    "sub6",
    "sub7",
    "sub8",
    "sub9",
    "sub10",
    "fbclid",
    "gclid",
    "ttclid",
];

/// A partner's conversion, in the order of answers and files.
pub(super) const PARTNER_CONVERSION: &[&str] = &[
    "conversion_id",
    "conversion_unix_timestamp",
    "click_unix_timestamp",
    "status",
    "coupon_code",
    "network_coupon_code_id",
    "transaction_id",
    "is_event",
    "event",
    "event_id",
    "payout",
    "payout_type",
    "currency_id",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "source_id",
    "uid",
    "device_type",
    "sub6",
    "sub7",
    "sub8",
    "sub9",
    "sub10",
    "fbclid",
    "gclid",
    "ttclid",
];

/// The ids and names of related objects, which only files have.
pub(super) const PARTNER_RELATED: &[&str] = &["network_offer_id", "offer"];

/// A partner's counts and money.
pub(super) const PARTNER_MEASURES: &[&str] = &[
    "imp",
    "total_click",
    "unique_click",
    "invalid_click",
    "duplicate_click",
    "gross_click",
    "cv",
    "total_cv",
    "event",
    "pending_cv",
    "rejected_cv",
    "cvr",
    "evr",
    "epc",
    "payout",
];

/// An advertiser's click, in the order of answers and files.
pub(super) const ADVERTISER_CLICK: &[&str] = &[
    "transaction_id",
    "unix_timestamp",
    "coupon_code",
    "network_coupon_code_id",
    "source_id",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "country",
    "device_type",
    "has_conversion",
    "revenue_type",
    "revenue",
    "currency_id",
    "sub6",
    "sub7",
    "sub8",
    "sub9",
    "sub10",
    "adv1",
    "adv2",
    "adv3",
    "adv4",
    "adv5",
    "adv6",
    "adv7",
    "adv8",
    "adv9",
    "adv10",
];

/// An advertiser's conversion, in the order of answers and files.
pub(super) const ADVERTISER_CONVERSION: &[&str] = &[
    "conversion_id",
    "conversion_unix_timestamp",
    "click_unix_timestamp",
    "status",
    "coupon_code",
    "network_coupon_code_id",
    "transaction_id",
    "is_event",
    "event",
    "event_id",
    "order_id",
    "revenue_type",
    "revenue",
    "sale_amount",
    "amount",
    "currency_id",
    "sale_currency_id",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "source_id",
    "country",
    "device_type",
    "adv1",
    "adv2",
    "adv3",
    "adv4",
    "adv5",
    "sub6",
    "sub7",
    "sub8",
    "sub9",
    "sub10",
    "adv6",
    "adv7",
    "adv8",
    "adv9",
    "adv10",
];

/// The ids and names of an advertiser's related objects, which only files have.
pub(super) const ADVERTISER_RELATED: &[&str] =
    &["network_offer_id", "offer", "network_affiliate_id", "affiliate"];

/// An advertiser's counts and money.
pub(super) const ADVERTISER_MEASURES: &[&str] = &[
    "imp",
    "total_click",
    "unique_click",
    "invalid_click",
    "duplicate_click",
    "gross_click",
    "cv",
    "total_cv",
    "event",
    "pending_cv",
    "rejected_cv",
    "cvr",
    "evr",
    "rpc",
    "rpa",
    "revenue",
    "event_revenue",
    "gross_sales",
    "avg_sale_value",
];

/// All columns of the rows `R`, and the names of the columns for partners and for advertisers.
pub struct ColumnMask<R: 'static> {
    all: &'static [Column<R>],
    of_partner: &'static [&'static str],
    of_advertiser: &'static [&'static str],
    network: OnceLock<Vec<&'static Column<R>>>,
    partner: OnceLock<Vec<&'static Column<R>>>,
    advertiser: OnceLock<Vec<&'static Column<R>>>,
}

impl<R> ColumnMask<R> {
    pub(super) const fn new(
        all: &'static [Column<R>],
        of_partner: &'static [&'static str],
        of_advertiser: &'static [&'static str],
    ) -> ColumnMask<R> {
        ColumnMask {
            all,
            of_partner,
            of_advertiser,
            network: OnceLock::new(),
            partner: OnceLock::new(),
            advertiser: OnceLock::new(),
        }
    }

    /// The columns of a view, in the order of its answers.
    pub fn columns(&self, view: View) -> &[&'static Column<R>] {
        let column_of = |name: &&str| self.all.iter().find(|column| column.name == *name);
        let listed = |names: &[&str]| names.iter().filter_map(column_of).collect();
        match view {
            View::Network => self.network.get_or_init(|| self.all.iter().collect()),
            View::Partner => self.partner.get_or_init(|| listed(self.of_partner)),
            View::Advertiser => self.advertiser.get_or_init(|| listed(self.of_advertiser)),
        }
    }
}

impl View {
    /// Whether reports can be filtered and broken down by `facet`, and name its objects.
    #[must_use]
    pub fn shows(self, facet: Facet) -> bool {
        match facet {
            Facet::Advertiser | Facet::City => self == View::Network,
            Facet::Affiliate | Facet::OrderId | Facet::Platform | Facet::Browser => {
                self != View::Partner
            }
            Facet::Further(_) => match self {
                View::Network => true,
                View::Partner => PARTNER_CLICK.contains(&facet.name()),
                View::Advertiser => ADVERTISER_CLICK.contains(&facet.name()),
            },
            Facet::Offer
            | Facet::CouponCode
            | Facet::Sub(_)
            | Facet::DeviceType
            | Facet::Country
            | Facet::Region
            | Facet::SourceId
            | Facet::Status
            | Facet::TransactionId
            | Facet::Event => true,
        }
    }

    /// The facets of the report, as far as this view shows them.
    pub(super) fn facets(self, report: ReportKind) -> Vec<Facet> {
        // A filter of single clicks tells a value of each, so the value must be a column there.
        let is_in_rows = |facet: Facet| match self {
            View::Network => true,
            View::Partner => !facet.is_place(),
            View::Advertiser => {
                !matches!(facet, Facet::Region | Facet::City | Facet::Platform | Facet::Browser)
            }
        };
        let is_counted = report == ReportKind::Counts;
        let is_known = |facet: &Facet| self.shows(*facet) && (is_counted || is_in_rows(*facet));
        report.facets().filter(is_known).collect()
    }

    /// The statuses of the conversions in this view.
    pub(super) fn statuses(self) -> &'static [Status] {
        match self {
            View::Network => {
                &[Status::Approved, Status::Pending, Status::Rejected, Status::Invalid]
            }
            // Postbacks that could not be attributed or read belong to no partner, and their errors
            // are the network's.
            View::Partner | View::Advertiser => {
                &[Status::Approved, Status::Pending, Status::Rejected]
            }
        }
    }

    /// The description of a column for readers of this view; empty where the name says all.
    #[must_use]
    pub fn description<R>(self, column: &Column<R>) -> &'static str {
        match self {
            View::Network => column.network_description(),
            View::Partner => column.partner_description(),
            View::Advertiser => column.advertiser_description(),
        }
    }
}

impl Viewer {
    /// The view of this viewer.
    #[must_use]
    pub fn view(self) -> View {
        match self {
            Viewer::Network => View::Network,
            Viewer::Partner(_) => View::Partner,
            Viewer::Advertiser(_) => View::Advertiser,
        }
    }

    /// The facet and the id that each row of the viewer has; `None` for all rows.
    pub(super) fn own_rows(self) -> Option<(Facet, u32)> {
        match self {
            Viewer::Network => None,
            Viewer::Partner(id) => Some((Facet::Affiliate, id)),
            Viewer::Advertiser(id) => Some((Facet::Advertiser, id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::{clicks, conversions, entity};

    fn names<R>(mask: &'static ColumnMask<R>, view: View) -> Vec<&'static str> {
        mask.columns(view).iter().map(|column| column.name).collect()
    }

    /// The columns for the network alone. Fails where a partner's list names an unknown column.
    fn hidden<R>(mask: &'static ColumnMask<R>) -> Vec<&'static str> {
        let (all, shown) = (names(mask, View::Network), names(mask, View::Partner));
        assert_eq!(shown, mask.of_partner, "every name is a column's");
        all.into_iter().filter(|name| !shown.contains(name)).collect()
    }

    #[test]
    fn partners_see_no_column_that_is_not_meant_for_them() {
        assert_eq!(
            hidden(&clicks::COLUMNS),
            [
                "referer",
                "user_agent",
                "language",
                "user_ip",
                "country",
                "region",
                "city",
                "platform",
                "os_version",
                "browser",
                "brand",
                "error_code",
                "error_message",
                "rule_id",
                "rule_name",
                "redirect_method",
                "previous_network_offer_id",
                "previous_error_code",
                "is_prefetch",
                "is_bot",
                "is_duplicate",
                "is_sdk_click",
                "is_impression",
                "revenue_type",
                "revenue",
                "adv1",
                "adv2",
                "adv3",
                "adv4",
                "adv5",
                "adv6",
                "adv7",
                "adv8",
                "adv9",
                "adv10",
                "page_referer",
                "network_offer_url_id",
                "offer_url",
            ]
        );
        assert_eq!(
            hidden(&conversions::COLUMNS),
            [
                "time_saved",
                "error_code",
                "error_message",
                "order_id",
                "revenue_type",
                "revenue",
                "sale_amount",
                "amount",
                "sale_currency_id",
                "platform",
                "browser",
                "country",
                "region",
                "city",
                "adv1",
                "adv2",
                "adv3",
                "adv4",
                "adv5",
                "session_user_ip",
                "session_user_agent",
                "referer",
                "language",
                "conversion_user_ip",
                "conversion_user_agent",
                "conversion_referer",
                "email",
                "notes",
                "is_sdk",
                "is_refund",
                "is_view_through",
                "has_conflict",
                "suspicion",
                "user_id",
                "adv6",
                "adv7",
                "adv8",
                "adv9",
                "adv10",
                "network_offer_url_id",
                "offer_url",
            ]
        );
        let others = ["network_affiliate_id", "affiliate", "network_advertiser_id", "advertiser"];
        assert_eq!(hidden(&clicks::RELATED_COLUMNS), others);
        assert_eq!(hidden(&conversions::RELATED_COLUMNS)[1..], others);
        assert_eq!(hidden(&conversions::RELATED_COLUMNS)[0], "attribution_method");
        assert_eq!(
            hidden(&entity::MEASURES),
            [
                "fail_traffic_click",
                "bot_click",
                "invalid_cv",
                "cpc",
                "cpa",
                "rpc",
                "rpa",
                "revenue",
                "event_revenue",
                "profit",
                "margin",
                "gross_sales",
                "avg_sale_value",
            ]
        );
    }

    /// Names and descriptions of an advertiser's columns. Fails where the list names an unknown column.
    fn for_advertisers<R>(mask: &'static ColumnMask<R>) -> Vec<(&'static str, &'static str)> {
        assert_eq!(names(mask, View::Advertiser), mask.of_advertiser, "every name is a column's");
        let columns = mask.columns(View::Advertiser).iter();
        columns.map(|column| (column.name, View::Advertiser.description(column))).collect()
    }

    #[test]
    fn advertisers_see_no_column_that_is_not_meant_for_them() {
        let columns = [
            for_advertisers(&clicks::COLUMNS),
            for_advertisers(&clicks::RELATED_COLUMNS),
            for_advertisers(&conversions::COLUMNS),
            for_advertisers(&conversions::RELATED_COLUMNS),
            for_advertisers(&entity::MEASURES),
        ]
        .concat();
        let hidden = [
            "payout",
            "profit",
            "margin",
            "cpa",
            "cpc",
            "epc",
            "advertiser",
            "ip",
            "agent",
            "email",
            "notes",
            "error",
            "bot",
            "suspicion",
            "conflict",
            "uid",
            "city",
            "referer",
        ];
        for (name, description) in columns {
            let mut words =
                name.split('_').chain(description.split(|c: char| !c.is_alphanumeric()));
            assert!(!words.any(|word| hidden.contains(&word)), "{name}: {description}");
        }
    }

    #[test]
    fn advertisers_filter_rows_by_nothing_that_the_rows_do_not_show() {
        use Facet::{
            Affiliate, Browser, Country, CouponCode, DeviceType, Event, Further, Offer, OrderId,
            Platform, Region, SourceId, Status, Sub, TransactionId,
        };
        let facets = |report| View::Advertiser.facets(report);
        let subs = [1, 2, 3, 4, 5].map(Sub);
        let objects = [Offer, Affiliate, CouponCode];
        let values = [DeviceType, Country, SourceId];
        let further: Vec<Facet> = (0..15).map(Further).collect();
        assert_eq!(further[14].name(), "adv10");
        assert_eq!(facets(ReportKind::Clicks), [&objects[..], &subs, &values, &further].concat());
        assert_eq!(
            facets(ReportKind::Counts),
            [
                &objects[..],
                &subs,
                &[DeviceType, Platform, Browser, Country, Region, SourceId],
                &further[..5]
            ]
            .concat()
        );
        assert_eq!(
            facets(ReportKind::Conversions),
            [&objects[..], &subs, &values, &[Status, TransactionId, OrderId, Event]].concat()
        );
    }

    #[test]
    fn partners_name_no_facet_that_is_not_meant_for_them() {
        let hidden = |report| {
            let (all, shown) = (View::Network.facets(report), View::Partner.facets(report));
            all.into_iter().filter(|facet| !shown.contains(facet)).collect::<Vec<_>>()
        };
        let others = [Facet::Affiliate, Facet::Advertiser];
        let agents = [Facet::Platform, Facet::Browser];
        let places = [Facet::Country, Facet::Region, Facet::City];
        let of_advertisers: Vec<Facet> = (5..15).map(Facet::Further).collect();
        let of_advertisers = [&of_advertisers[..], &[Facet::Further(18)]].concat();
        let clicks = [&others[..], &agents, &places, &of_advertisers].concat();
        assert_eq!(hidden(ReportKind::Clicks), clicks);
        assert_eq!(hidden(ReportKind::Counts), [&others[..], &agents, &[Facet::City]].concat());
        let conversions = [&others[..], &agents, &[Facet::Country, Facet::OrderId]].concat();
        assert_eq!(hidden(ReportKind::Conversions), conversions);
    }

    #[test]
    fn names_of_columns_are_unique_in_every_view() {
        for view in [View::Network, View::Partner, View::Advertiser] {
            let of_files = [
                [names(&clicks::COLUMNS, view), names(&clicks::RELATED_COLUMNS, view)].concat(),
                [names(&conversions::COLUMNS, view), names(&conversions::RELATED_COLUMNS, view)]
                    .concat(),
                names(&entity::MEASURES, view),
            ];
            for names in of_files {
                let unique: std::collections::BTreeSet<_> = names.iter().collect();
                assert_eq!(unique.len(), names.len(), "{view:?}: {names:?}");
            }
        }
    }
}
