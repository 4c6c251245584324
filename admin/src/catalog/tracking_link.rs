//! The tracking link of a code, and whether it leads to the code's offer now.
//!
//! [`coupon_shared::eligibility`] decides, as for a visit of the link. Added here are the states
//! that the redirect does not distinguish: a deleted offer or partner, and a code without a link.

use coupon_shared::civil_day::Day;
use coupon_shared::eligibility::{AccessCheck, CodeTerms, Ineligibility, RunTerms};
use coupon_shared::snapshot::level::CodeRecord;

use super::words::words;

words! {
    /// Why a code's link does not lead to its offer now.
    LinkState {
        /// The link leads to the offer.
        Leads = "",
        /// The code is paused.
        Paused = "paused",
        /// The code's last day has passed.
        Expired = "expired",
        /// The code's first day has not come.
        NotStarted = "not_started",
        /// The offer is not active, or its last day has passed.
        OfferNotActive = "offer_not_active",
        /// The offer was deleted.
        OfferDeleted = "offer_deleted",
        /// The partner is not active.
        PartnerNotActive = "partner_not_active",
        /// The partner was deleted.
        PartnerDeleted = "partner_deleted",
        /// The partner may not run the offer.
        NotRunnable = "not_runnable",
        /// The code has no partner yet.
        Unassigned = "unassigned",
        /// The code is for conversions only.
        NotUrlSafe = "not_url_safe",
        /// Neither the offer nor the network has a tracking domain.
        NoTrackingDomain = "no_tracking_domain",
    }
}

impl LinkState {
    /// Whether the code has a link. A link that leads nowhere today is still shown if an edit or a
    /// later day can change that. A deleted offer or partner must be restored first.
    fn has_link(self) -> bool {
        use LinkState::{
            Expired, Leads, NoTrackingDomain, NotRunnable, NotStarted, NotUrlSafe, OfferDeleted,
            OfferNotActive, PartnerDeleted, PartnerNotActive, Paused, Unassigned,
        };
        match self {
            Leads | Paused | Expired | NotStarted | OfferNotActive | PartnerNotActive
            | NotRunnable => true,
            OfferDeleted | PartnerDeleted | Unassigned | NotUrlSafe | NoTrackingDomain => false,
        }
    }
}

/// Everything that the state of a code's link depends on.
#[derive(Debug, Clone, Copy)]
pub struct LinkFacts {
    /// The code is for conversions only.
    pub is_conversion_only: bool,
    /// The offer has a tracking domain, or the network a default one.
    pub has_tracking_domain: bool,
    /// The code's row as published.
    pub record: CodeRecord,
    /// The offer was deleted.
    pub is_offer_deleted: bool,
    /// The offer is active.
    pub is_offer_active: bool,
    /// The offer's last day.
    pub offer_last_day: Day,
    /// The partner was deleted.
    pub is_partner_deleted: bool,
    /// The partner is active.
    pub is_partner_active: bool,
    /// The partner may run the offer, as far as visibility goes.
    pub can_run: bool,
}

impl LinkFacts {
    /// The state on a day. Obstacles that an edit of the code cannot remove come first.
    #[must_use]
    pub fn state(&self, today: Day) -> LinkState {
        match () {
            () if self.is_conversion_only => LinkState::NotUrlSafe,
            () if self.record.partner_id == 0 => LinkState::Unassigned,
            () if !self.has_tracking_domain => LinkState::NoTrackingDomain,
            () if self.is_offer_deleted => LinkState::OfferDeleted,
            () if self.is_partner_deleted => LinkState::PartnerDeleted,
            () => match self.check_eligibility(today) {
                Ok(()) => LinkState::Leads,
                Err(ineligibility) => ineligibility.into(),
            },
        }
    }

    fn check_eligibility(&self, today: Day) -> Result<(), Ineligibility> {
        let terms = RunTerms {
            offer_active: self.is_offer_active,
            offer_last_day: self.offer_last_day,
            partner_active: self.is_partner_active,
            access: AccessCheck::Now(|| self.can_run),
        };
        CodeTerms::from(&self.record).check(today)?;
        terms.check(today)
    }
}

impl From<Ineligibility> for LinkState {
    fn from(ineligibility: Ineligibility) -> LinkState {
        match ineligibility {
            Ineligibility::Paused => LinkState::Paused,
            Ineligibility::Unassigned => LinkState::Unassigned,
            Ineligibility::NotStarted => LinkState::NotStarted,
            Ineligibility::Expired => LinkState::Expired,
            Ineligibility::OfferNotActive | Ineligibility::OfferEnded => LinkState::OfferNotActive,
            Ineligibility::PartnerNotActive => LinkState::PartnerNotActive,
            Ineligibility::NotRunnable => LinkState::NotRunnable,
        }
    }
}

/// The parts of a code's link.
#[derive(Debug, Clone, Copy)]
pub struct TrackingLink<'a> {
    /// The base URL of the offer's tracking domain, else of the default one.
    pub base_url: Option<&'a str>,
    /// The code as its author typed it.
    pub code: &'a str,
    /// The offer.
    pub offer_id: u32,
    /// The code stands on other offers too.
    pub is_on_several_offers: bool,
    /// State of the link; some states have no link.
    pub state: LinkState,
}

/// Builds the link; empty if the code has none.
#[must_use]
pub fn tracking_link(parts: TrackingLink<'_>) -> String {
    let base_url = parts.base_url.filter(|_| parts.state.has_link());
    let Some(base_url) = base_url else { return String::new() };
    let link = format!("{base_url}/{}/", parts.code);
    // Without `oid` the redirect would choose the row with the lowest id.
    if parts.is_on_several_offers { format!("{link}?oid={}", parts.offer_id) } else { link }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use coupon_rules::facts::Nobody;
    use coupon_shared::code::FoldedCode;
    use coupon_shared::decision::{Answer, DecidedClick, Visit, Visitor, decide};
    use coupon_shared::destination::Destination;
    use coupon_shared::index::Index;
    use coupon_shared::snapshot::Lineage;
    use coupon_shared::snapshot::catalog::{
        Access, Approval, Catalog, CatalogFile, CatalogMeta, Domain, Offer, Partner, Visibility,
        WeightedDestination, ZoneOffset,
    };
    use coupon_shared::snapshot::level::{Level, LevelBuilder, LevelMeta};
    use coupon_shared::snapshot::manifest::{Manifest, ObjectName};

    use super::*;

    const TODAY: Day = Day(9662);

    fn fine() -> LinkFacts {
        LinkFacts {
            is_conversion_only: false,
            has_tracking_domain: true,
            record: CodeRecord {
                code_id: 1,
                offer_id: 1,
                partner_id: 1,
                active: true,
                first_day: Day::FIRST,
                last_day: Day::LAST,
            },
            is_offer_deleted: false,
            is_offer_active: true,
            offer_last_day: Day::LAST,
            is_partner_deleted: false,
            is_partner_active: true,
            can_run: true,
        }
    }

    /// Makes one condition unmet; the state of the link with only this obstacle.
    type Obstacle = (fn(&mut LinkFacts), LinkState);

    const OBSTACLES: [Obstacle; 12] = [
        (|f| f.is_conversion_only = true, LinkState::NotUrlSafe),
        (|f| f.record.partner_id = 0, LinkState::Unassigned),
        (|f| f.has_tracking_domain = false, LinkState::NoTrackingDomain),
        (|f| f.is_offer_deleted = true, LinkState::OfferDeleted),
        (|f| f.is_partner_deleted = true, LinkState::PartnerDeleted),
        (|f| f.record.active = false, LinkState::Paused),
        (|f| f.record.first_day = Day(TODAY.0 + 1), LinkState::NotStarted),
        (|f| f.record.last_day = Day(TODAY.0 - 1), LinkState::Expired),
        (|f| f.is_offer_active = false, LinkState::OfferNotActive),
        (|f| f.offer_last_day = Day(TODAY.0 - 1), LinkState::OfferNotActive),
        (|f| f.is_partner_active = false, LinkState::PartnerNotActive),
        (|f| f.can_run = false, LinkState::NotRunnable),
    ];

    /// The click that an index with these facts records for a visit of the link, and whether the
    /// visit is redirected to the offer.
    pub(crate) fn decide_visit(facts: &LinkFacts) -> (Option<DecidedClick>, bool) {
        let destination = Destination::parse("https://shop.example.com/").unwrap().destination;
        let catalog = Catalog {
            click_id_key: [0; 16],
            zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
            fallback: None,
            offers: vec![Offer {
                id: 1,
                advertiser_id: 1,
                active: facts.is_offer_active && !facts.is_offer_deleted,
                visibility: Visibility::Public,
                last_day: facts.offer_last_day.0,
                destinations: vec![WeightedDestination { weight: 1, destination }],
                fallback: None,
                rules: Vec::new(),
            }],
            partners: vec![Partner {
                id: 1,
                active: facts.is_partner_active && !facts.is_partner_deleted,
            }],
            approvals: if facts.can_run {
                Vec::new()
            } else {
                vec![Approval { offer_id: 1, partner_id: 1, access: Access::Hidden }]
            },
            domains: if facts.has_tracking_domain {
                vec![Domain { id: 1, host: "go.example.com".into(), fallback: None }]
            } else {
                Vec::new()
            },
            rules: Vec::new(),
        };
        let row = Some(facts.record).filter(|_| !facts.is_conversion_only);
        let index = index_of(&catalog, row);
        // The daemon answers only the hosts of its tracking domains.
        let Some(domain) = index.catalog().domain(b"go.example.com") else { return (None, false) };
        let rows = index.lookup(&FoldedCode::fold(b"winter25").unwrap());
        let visit = Visit {
            rows,
            offer_id: None,
            offer_url_id: None,
            domain: Some(domain),
            visitor: Visitor::<Nobody>::Unchecked,
        };
        let noon =
            (i64::from(TODAY.0) + coupon_shared::civil_day::UNIX_DAYS_OF_DAY_0) * 86_400 + 43_200;
        let decision = decide(index.catalog(), &visit, noon);
        (decision.click, matches!(decision.answer, Answer::Redirect(_)))
    }

    fn index_of(catalog: &Catalog, row: Option<CodeRecord>) -> Index<Arc<[u8]>> {
        let lineage = Lineage([9; 16]);
        let meta = LevelMeta { network_id: 1, lineage, sequence_from: 0, sequence_to: 9 };
        let mut level = LevelBuilder::new(meta);
        if let Some(row) = row {
            level.push(&FoldedCode::fold(b"winter25").unwrap(), &[row]).unwrap();
        }
        let level = Level::open(level.finish().unwrap().into()).unwrap();
        let file = catalog.to_file(&CatalogMeta { network_id: 1, lineage, sequence: 9 }).unwrap();
        let catalog = Arc::new(CatalogFile::open(&file).unwrap());
        let manifest = Manifest {
            network_id: 1,
            lineage,
            generation: 1,
            sequence: 9,
            catalog: ObjectName(*catalog.name()),
            levels: vec![ObjectName(*level.name())],
        };
        Index::assemble(manifest, catalog, vec![level]).unwrap()
    }

    #[test]
    fn a_link_that_is_said_to_lead_is_redirected_and_no_other() {
        assert_eq!(fine().state(TODAY), LinkState::Leads);
        assert!(decide_visit(&fine()).1);
        for (obstacle, expected) in OBSTACLES {
            let mut facts = fine();
            obstacle(&mut facts);
            assert_eq!(facts.state(TODAY), expected);
        }
        for together in 0..1_u32 << OBSTACLES.len() {
            let mut facts = fine();
            let present = OBSTACLES.iter().enumerate().filter(|(at, _)| together >> at & 1 == 1);
            present.for_each(|(_, (obstacle, _))| obstacle(&mut facts));
            let state = facts.state(TODAY);
            assert_eq!(state == LinkState::Leads, decide_visit(&facts).1, "{facts:?}");
            assert_eq!(state == LinkState::Leads, together == 0, "{facts:?}");
        }
    }

    #[test]
    fn a_link_names_its_offer_only_where_the_code_stands_on_several() {
        let of = TrackingLink {
            base_url: Some("https://go.example.com"),
            code: "WINTER25",
            offer_id: 16,
            is_on_several_offers: false,
            state: LinkState::Leads,
        };
        assert_eq!(tracking_link(of), "https://go.example.com/WINTER25/");
        let several = TrackingLink { is_on_several_offers: true, ..of };
        assert_eq!(tracking_link(several), "https://go.example.com/WINTER25/?oid=16");
    }

    #[test]
    fn a_link_is_shown_where_it_will_lead_again_and_not_where_there_is_none() {
        let shown = |state| {
            let of = TrackingLink {
                base_url: Some("https://go.example.com"),
                code: "WINTER25",
                offer_id: 16,
                is_on_several_offers: false,
                state,
            };
            !tracking_link(of).is_empty()
        };
        for (_, state) in OBSTACLES {
            let is_without = matches!(
                state,
                LinkState::NotUrlSafe
                    | LinkState::Unassigned
                    | LinkState::NoTrackingDomain
                    | LinkState::OfferDeleted
                    | LinkState::PartnerDeleted
            );
            assert_eq!(shown(state), !is_without, "{state:?}");
        }
    }
}
