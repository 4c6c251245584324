//! The menus: names, addresses and the right that each entry needs.

use super::viewer::Viewer;
use crate::access::Right;

/// An entry of a menu; the active one is marked on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Menu {
    Home,
    CouponCodes,
    Partners,
    PartnerPostbacks,
    Offers,
    OfferGroups,
    Caps,
    TrafficControls,
    SmartSwitch,
    BlockedValues,
    Advertisers,
    Conversions,
    Clicks,
    Postbacks,
    Flex,
    Leaks,
    Explain,
    Live,
    Domains,
    Users,
    Keys,
    Settings,
    Webhooks,
    Bots,
    Privacy,
    Audit,
    Jobs,
    Status,
    /// The search and the profile have links of their own in the frame.
    Search,
    Profile,
    PortalHome,
    PortalCodes,
    PortalReports,
    PortalConversions,
    PortalClicks,
    PortalTraffic,
    PortalPostbacks,
    PortalKey,
}

/// One line of a menu.
#[derive(Debug)]
pub(crate) struct MenuEntry {
    pub(crate) menu: Menu,
    pub(crate) label: &'static str,
    pub(crate) path: &'static str,
    right: Right,
}

impl MenuEntry {
    pub(crate) fn is_for(&self, viewer: &Viewer) -> bool {
        viewer.may(self.right)
    }
}

/// Entries under a heading; the heading may be empty.
#[derive(Debug)]
pub(crate) struct MenuGroup {
    pub(crate) heading: &'static str,
    pub(crate) entries: &'static [MenuEntry],
}

impl MenuGroup {
    /// Whether the viewer sees an entry of the group.
    pub(crate) fn is_for(&self, viewer: &Viewer) -> bool {
        self.entries.iter().any(|entry| entry.is_for(viewer))
    }
}

const fn entry(menu: Menu, label: &'static str, path: &'static str, right: Right) -> MenuEntry {
    MenuEntry { menu, label, path, right }
}

/// The menu of the network's staff, with the names that users of Everflow know.
pub(crate) const MENU: &[MenuGroup] = &[
    MenuGroup { heading: "", entries: &[entry(Menu::Home, "Home", "/console", Right::View)] },
    MenuGroup {
        heading: "Partners",
        entries: &[
            entry(Menu::CouponCodes, "Coupon Codes", "/console/coupon-codes", Right::View),
            entry(Menu::Partners, "Manage", "/console/partners", Right::View),
            entry(Menu::PartnerPostbacks, "Postbacks", "/console/partner-postbacks", Right::View),
        ],
    },
    MenuGroup {
        heading: "Network",
        entries: &[
            entry(Menu::Offers, "Offers", "/console/offers", Right::View),
            entry(Menu::OfferGroups, "Offer groups", "/console/offer-groups", Right::View),
            entry(Menu::Caps, "Caps", "/console/caps", Right::View),
            entry(
                Menu::TrafficControls,
                "Traffic controls",
                "/console/traffic-controls",
                Right::View,
            ),
            entry(Menu::SmartSwitch, "SmartSwitch", "/console/smart-switch", Right::View),
            entry(Menu::BlockedValues, "Blocked values", "/console/blocked-values", Right::View),
            entry(Menu::Advertisers, "Advertisers", "/console/advertisers", Right::View),
        ],
    },
    MenuGroup {
        heading: "Reporting",
        entries: &[
            entry(Menu::Conversions, "Conversion", "/console/conversions", Right::View),
            entry(Menu::Clicks, "Click", "/console/clicks", Right::View),
            entry(Menu::Postbacks, "Postback log", "/console/postbacks", Right::View),
        ],
    },
    MenuGroup {
        heading: "Analytics",
        entries: &[
            entry(Menu::Flex, "Flex report", "/console/flex", Right::View),
            entry(Menu::Leaks, "Code leaks", "/console/leaks", Right::View),
            entry(Menu::Explain, "Explain a visit", "/console/explain", Right::View),
            entry(Menu::Live, "Live", "/console/live", Right::View),
        ],
    },
    MenuGroup {
        heading: "Control Center",
        entries: &[
            entry(Menu::Domains, "Domains", "/console/domains", Right::View),
            entry(Menu::Users, "Users", "/console/users", Right::ManageUsers),
            entry(Menu::Keys, "API keys", "/console/keys", Right::ManageKeys),
            entry(Menu::Settings, "Settings", "/console/settings", Right::View),
            entry(Menu::Webhooks, "Webhooks", "/console/webhooks", Right::View),
            entry(Menu::Bots, "Bots", "/console/bots", Right::View),
            entry(Menu::Privacy, "Privacy", "/console/privacy", Right::ErasePersonalData),
            entry(Menu::Jobs, "Jobs", "/console/jobs", Right::View),
            entry(Menu::Audit, "Audit", "/console/audit", Right::View),
            entry(Menu::Status, "Status", "/console/status", Right::View),
        ],
    },
];

/// The menu of a partner's users.
pub(crate) const PORTAL_MENU: &[MenuGroup] = &[MenuGroup {
    heading: "",
    entries: &[
        entry(Menu::PortalHome, "Home", "/portal", Right::UseAsPartner),
        entry(Menu::PortalCodes, "Coupon Codes", "/portal/codes", Right::UseAsPartner),
        entry(Menu::PortalReports, "Reports", "/portal/reports", Right::UseAsPartner),
        entry(Menu::PortalConversions, "Conversions", "/portal/conversions", Right::UseAsPartner),
        entry(Menu::PortalClicks, "Clicks", "/portal/clicks", Right::UseAsPartner),
        entry(
            Menu::PortalTraffic,
            "Blocked traffic",
            "/portal/blocked-traffic",
            Right::UseAsPartner,
        ),
        entry(Menu::PortalPostbacks, "Postbacks", "/portal/postbacks", Right::UseAsPartner),
        entry(Menu::PortalKey, "API key", "/portal/key", Right::UseAsPartner),
    ],
}];
