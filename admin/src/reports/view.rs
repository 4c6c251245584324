//! The parts of reports that the network and a partner may see.
//!
//! Partners must not learn revenue, profit, sale amounts, advertisers, other partners, visitors'
//! addresses and browsers, buyers, notes, errors and bots. So a partner sees only the columns on a
//! list here: a new column stays hidden until a developer adds its name. The same holds for
//! filters, breakdowns and the order of rows, because an order by a hidden column would tell its
//! values. The API key decides which rows a partner sees, never the query.

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
}

/// The reader of a report, who decides about its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// The network sees all rows.
    Network,
    /// A partner, by its id, sees its own rows.
    Partner(u32),
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

/// All columns of the rows `R`, and the names of the columns for partners.
pub struct ColumnMask<R: 'static> {
    all: &'static [Column<R>],
    of_partner: &'static [&'static str],
    network: OnceLock<Vec<&'static Column<R>>>,
    partner: OnceLock<Vec<&'static Column<R>>>,
}

impl<R> ColumnMask<R> {
    pub(super) const fn new(
        all: &'static [Column<R>],
        of_partner: &'static [&'static str],
    ) -> ColumnMask<R> {
        ColumnMask { all, of_partner, network: OnceLock::new(), partner: OnceLock::new() }
    }

    /// The columns of a view, in the order of its answers.
    pub fn columns(&self, view: View) -> &[&'static Column<R>] {
        let named = |name: &&str| self.all.iter().find(|column| column.name == *name);
        match view {
            View::Network => self.network.get_or_init(|| self.all.iter().collect()),
            View::Partner => {
                self.partner.get_or_init(|| self.of_partner.iter().filter_map(named).collect())
            }
        }
    }
}

impl View {
    /// Whether reports can be filtered and broken down by `facet`, and name its objects.
    #[must_use]
    pub fn shows(self, facet: Facet) -> bool {
        match facet {
            Facet::Affiliate
            | Facet::Advertiser
            | Facet::OrderId
            | Facet::Platform
            | Facet::Browser
            | Facet::City => self == View::Network,
            Facet::Further(_) => self == View::Network || PARTNER_CLICK.contains(&facet.name()),
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
        // A filter of single clicks would tell the place of each, which partners do not see.
        let tells_places = self == View::Network || report == ReportKind::Counts;
        let is_shown = |facet: &Facet| self.shows(*facet) && (tells_places || !facet.is_place());
        report.facets().filter(is_shown).collect()
    }

    /// The statuses of the conversions in this view.
    pub(super) fn statuses(self) -> &'static [Status] {
        match self {
            View::Network => {
                &[Status::Approved, Status::Pending, Status::Rejected, Status::Invalid]
            }
            // Postbacks that could not be attributed or read belong to no partner.
            View::Partner => &[Status::Approved, Status::Pending, Status::Rejected],
        }
    }

    /// The description of a column for readers of this view; empty where the name says all.
    #[must_use]
    pub fn description<R>(self, column: &Column<R>) -> &'static str {
        match self {
            View::Network => column.network_description(),
            View::Partner => column.partner_description(),
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
        }
    }

    /// The partner whose rows the report has; `None` for all rows.
    #[must_use]
    pub fn partner_id(self) -> Option<u32> {
        match self {
            Viewer::Network => None,
            Viewer::Partner(id) => Some(id),
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
        for view in [View::Network, View::Partner] {
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
