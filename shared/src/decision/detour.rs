//! Ways to another offer than the one a code stands on.
//!
//! **Forwarding** changes the offer before the offer is checked. The destination may forward again,
//! over at most [`MAX_HOPS`] offers; an offer that comes a second time ends the way where it stands.
//!
//! **Fail traffic** gets the visits that an offer refused. A redirect is possible if its reasons and
//! its ruleset match, and if the offer it leads to accepts the visit in full. The forwarding of that
//! offer is followed; its own fail traffic is not, so that a visit never goes round in circles.

use coupon_rules::facts::VisitorFacts;
use coupon_rules::leads::{FailGroup, PreparedFailRedirect};

use super::{Checks, NO_CODE, Reason};
use crate::destination::ArchivedDestination;
use crate::snapshot::catalog::rules::OfferFailTraffic;
use crate::snapshot::catalog::{ArchivedOffer, ArchivedPartner};
use crate::snapshot::level::CodeRecord;

/// Most offers that a visit is forwarded to.
const MAX_HOPS: usize = 4;

/// How a visit came to another offer than the one the code stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detour {
    pub kind: DetourKind,
    /// The offer the code stands on.
    pub previous_offer_id: u32,
    /// The advertiser of that offer, 0 if the catalog lacks the offer.
    pub previous_advertiser_id: u32,
    /// Why the offer before refused the visit; `None` for forwarding.
    pub failed_reason: Option<Reason>,
}

impl Detour {
    /// Length of the bytes in click records.
    pub const LEN: usize = 10;

    /// The bytes in click records: kind (1), reason of the refusal or 0 (1), previous offer (4) and
    /// its advertiser (4).
    #[must_use]
    pub fn to_bytes(self) -> [u8; Detour::LEN] {
        let failed_reason = self.failed_reason.map_or(0, |reason| reason as u8);
        let mut bytes = [0; Detour::LEN];
        bytes[..2].copy_from_slice(&[self.kind as u8, failed_reason]);
        bytes[2..6].copy_from_slice(&self.previous_offer_id.to_le_bytes());
        bytes[6..].copy_from_slice(&self.previous_advertiser_id.to_le_bytes());
        bytes
    }

    /// Reads the bytes of a click record; `None` for a kind that this version does not know.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Detour::LEN]) -> Option<Detour> {
        let [kind, failed_reason, o1, o2, o3, o4, a1, a2, a3, a4] = bytes;
        Some(Detour {
            kind: DetourKind::from_number(kind)?,
            previous_offer_id: u32::from_le_bytes([o1, o2, o3, o4]),
            previous_advertiser_id: u32::from_le_bytes([a1, a2, a3, a4]),
            failed_reason: Reason::from_number(failed_reason),
        })
    }
}

/// The rule that led to another offer. The numbers are part of the click record's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DetourKind {
    /// A forwarding rule.
    Forwarding = 1,
    /// A redirect of the offer that refused the visit.
    FailTraffic = 2,
    /// The network's URL for visits that no redirect takes. The click keeps offer and reason.
    NetworkUrl = 3,
}

impl DetourKind {
    pub const ALL: [DetourKind; 3] =
        [DetourKind::Forwarding, DetourKind::FailTraffic, DetourKind::NetworkUrl];

    pub fn from_number(number: u8) -> Option<DetourKind> {
        DetourKind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Stable name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            DetourKind::Forwarding => "forwarding_rule",
            DetourKind::FailTraffic => "fail_traffic",
            DetourKind::NetworkUrl => "global_fail_traffic",
        }
    }
}

/// The offer that a visit reached by forwarding. Small, because every visit carries one.
#[derive(Clone, Copy)]
pub struct Reached<'a> {
    /// The offer, if the catalog has it.
    pub offer: Option<&'a ArchivedOffer>,
    pub offer_id: u32,
    /// Id of the last rule that forwarded, 0 for none.
    pub forwarded_by: u32,
}

impl<'a> Reached<'a> {
    /// The offer of the row itself.
    #[inline]
    pub(super) fn row(row: &CodeRecord, offer: Option<&'a ArchivedOffer>) -> Reached<'a> {
        Reached { offer, offer_id: row.offer_id, forwarded_by: 0 }
    }

    /// The offer's advertiser, 0 if the catalog lacks the offer.
    pub fn advertiser_id(&self) -> u32 {
        self.offer.map_or(0, |offer| offer.advertiser_id.to_native())
    }
}

/// The way of a visit to the offer that it reached.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) reached: Reached<'a>,
    /// The offers before, then zeros.
    passed: [u32; MAX_HOPS],
}

impl<'a> Way<'a> {
    fn start(reached: Reached<'a>) -> Way<'a> {
        Way { reached, passed: [0; MAX_HOPS] }
    }

    /// The offers before the reached one.
    pub(super) fn passed(&self) -> impl Iterator<Item = u32> + use<> {
        self.passed.into_iter().filter(|offer_id| *offer_id != 0)
    }

    /// The next offer of the way; `None` at the end of a way that is too long or comes back.
    fn hop(&self, to: &'a ArchivedOffer, by: u32) -> Option<Way<'a>> {
        let offer_id = to.id.to_native();
        if offer_id == self.reached.offer_id || self.passed.contains(&offer_id) {
            return None;
        }
        let free = self.passed.iter().position(|passed| *passed == 0)?;
        let mut passed = self.passed;
        passed[free] = self.reached.offer_id;
        let reached = Reached { offer: Some(to), offer_id, forwarded_by: by };
        Some(Way { reached, passed })
    }
}

/// The way out of a refusal.
pub(super) enum FailedOver<'a> {
    Offer { redirect_id: u32, offer: &'a ArchivedOffer },
    NetworkUrl(&'a ArchivedDestination),
}

impl<'a, F: VisitorFacts> Checks<'a, '_, F> {
    /// The offer that a visit reaches from this one by forwarding rules.
    #[inline]
    pub(super) fn follow_forwarding(&self, row: &CodeRecord, from: Reached<'a>) -> Reached<'a> {
        match from.offer {
            Some(offer) if !offer.rules.is_empty() => {
                self.follow_rules(row, Way::start(from)).reached
            }
            _ => from,
        }
    }

    /// The way that forwarding rules lead from the row's own offer.
    pub(super) fn way(&self, row: &CodeRecord) -> Way<'a> {
        let own = Reached::row(row, self.catalog.offer(row.offer_id));
        self.follow_rules(row, Way::start(own))
    }

    fn follow_rules(&self, row: &CodeRecord, from: Way<'a>) -> Way<'a> {
        let partner = self.catalog.partner(row.partner_id).filter(|partner| partner.active);
        let Some(partner) = partner else { return from };
        std::iter::successors(Some(from), |way| self.next_hop(partner, way)).last().unwrap_or(from)
    }

    fn next_hop(&self, partner: &ArchivedPartner, way: &Way<'a>) -> Option<Way<'a>> {
        let (offer, facts) = (way.reached.offer?, self.visitor.facts()?);
        if !offer.active && !self.catalog.lead_on_from_paused_offers() {
            return None;
        }
        let moment = (self.moment.unix_seconds, self.moment.today.0);
        let (is_known, partner_id) = (self.visitor.is_known(), partner.id.to_native());
        let (to, by) = self.catalog.forwarding_of(offer)?.iter().find_map(|rule| {
            let fires = rule.fires(facts, is_known, partner_id, self.catalog, moment);
            let to = self.catalog.offer(rule.destination_offer).filter(|_| fires)?;
            self.check_terms(to, partner).is_ok().then_some((to, rule.id))
        })?;
        way.hop(to, by)
    }

    /// The way out by the fail traffic of the offer that refused.
    pub(super) fn fail_over(
        &self,
        row: &CodeRecord,
        group: FailGroup,
        facts: &F,
    ) -> Option<FailedOver<'a>> {
        let way = self.way(row);
        let refused = way.reached;
        let OfferFailTraffic { is_by_weight, ends_at_network_url, redirects } =
            self.catalog.fail_traffic_of(refused.offer?)?;
        let possible = || {
            redirects.iter().filter_map(|redirect| {
                let offer = self.accepting_offer(row, &way, redirect, group, facts)?;
                Some((redirect, offer))
            })
        };
        let chosen = match is_by_weight {
            false => possible().next(),
            true => draw(possible, facts.dice(refused.offer_id)),
        };
        if let Some((redirect, offer)) = chosen {
            return Some(FailedOver::Offer { redirect_id: redirect.id, offer });
        }
        let url = self.catalog.fail_traffic_url().filter(|_| *ends_at_network_url)?;
        Some(FailedOver::NetworkUrl(url))
    }

    /// The offer that a redirect leads to, if the redirect is for this visit and the offer takes it.
    fn accepting_offer(
        &self,
        row: &CodeRecord,
        way: &Way<'a>,
        redirect: &PreparedFailRedirect,
        group: FailGroup,
        facts: &F,
    ) -> Option<&'a ArchivedOffer> {
        let is_meant = redirect.groups & group as u8 != 0
            && redirect.ruleset.check(facts, self.catalog, self.moment.unix_seconds).is_ok();
        let offer = self.catalog.offer(redirect.offer).filter(|_| is_meant)?;
        let Way { reached, .. } = self.follow_rules(row, way.hop(offer, 0)?);
        self.check_run(&CodeRecord { code_id: NO_CODE, ..*row }, &reached).ok()?;
        reached.offer
    }
}

/// Draws one of the possible redirects by their weights; none if no weight is above zero.
fn draw<'r, T, I: Iterator<Item = (&'r PreparedFailRedirect, T)>>(
    possible: impl Fn() -> I,
    dice: u64,
) -> Option<(&'r PreparedFailRedirect, T)> {
    let total: u64 = possible().map(|(redirect, _)| u64::from(redirect.weight)).sum();
    let mut rest = dice.checked_rem(total)?;
    possible().find(|(redirect, _)| {
        let weight = u64::from(redirect.weight);
        let is_drawn = rest < weight;
        rest = rest.saturating_sub(weight);
        is_drawn
    })
}
