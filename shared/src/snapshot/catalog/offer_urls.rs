//! The URLs that offers have beside their destination.
//!
//! A link asks for a URL by its id (`uid`); a forwarding rule or a redirect of fail traffic may name
//! one. A visit gets the URL if it belongs to the offer that the visit reached and is for the
//! visit's partner, else the offer's destination: an old link goes on leading to the offer.

use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};

use super::validated::Validated;
use crate::destination::Destination;

/// How a daemon says that it knows offers' URLs, and the macro of their id.
pub const FEATURE: &str = "offer_urls.1";

/// The active URLs of all offers, and the detours that lead to one.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferUrls {
    /// In ascending order of ids.
    pub urls: Vec<OfferUrl>,
    /// In ascending order of kinds and rules.
    pub detours: Vec<DetourUrl>,
}

/// A URL of an offer.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct OfferUrl {
    pub id: u32,
    pub offer_id: u32,
    /// The partners that it is for, by ascending id; empty for all.
    pub partners: Vec<u32>,
    pub destination: Destination,
}

/// The kinds of rules that lead to another offer. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LeadingRule {
    Forwarding = 1,
    /// A redirect of fail traffic.
    Redirect = 2,
}

/// A forwarding rule or a redirect that names a URL of the offer it leads to.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetourUrl {
    /// A [`LeadingRule`].
    pub kind: u8,
    /// Id of the forwarding rule or the redirect.
    pub rule_id: u32,
    pub url_id: u32,
}

/// Offers' URLs as they stand in an opened catalog.
#[derive(Debug)]
pub(super) struct TypedOfferUrls(Validated<ArchivedOfferUrls>);

impl OfferUrls {
    pub(super) fn encode(&self) -> Result<AlignedVec, rancor::Error> {
        rkyv::to_bytes(self)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty() && self.detours.is_empty()
    }
}

impl TypedOfferUrls {
    pub(super) fn open(archive: AlignedVec<16>) -> Result<TypedOfferUrls, String> {
        let opened = Validated::<ArchivedOfferUrls>::new(archive)
            .map_err(|error| format!("its operands are damaged: {error}"))?;
        let ArchivedOfferUrls { urls, detours } = opened.get();
        super::ascending("offer URLs", urls, |url| url.id.to_native())?;
        super::ascending("URLs of detours", detours, |detour| {
            (detour.kind, detour.rule_id.to_native())
        })?;
        for url in urls.iter() {
            super::ascending("partners of a URL", &url.partners, |id| id.to_native())?;
            let of_url = |error| format!("offer URL {}: {error}", url.id);
            url.destination.check().map_err(of_url)?;
        }
        Ok(TypedOfferUrls(opened))
    }

    /// The URL of this id, if it belongs to the offer and is for the partner.
    pub(super) fn find(
        &self,
        id: u32,
        offer_id: u32,
        partner_id: u32,
    ) -> Option<&ArchivedOfferUrl> {
        let url = super::by_id(&self.0.get().urls, id, |url| url.id.to_native())?;
        let is_for_partner = url.partners.is_empty()
            || url.partners.binary_search_by_key(&partner_id, |id| id.to_native()).is_ok();
        (url.offer_id.to_native() == offer_id && is_for_partner).then_some(url)
    }

    /// The id of the URL that a forwarding rule or a redirect names.
    pub(super) fn url_of_detour(&self, kind: LeadingRule, rule_id: u32) -> Option<u32> {
        let detours = &self.0.get().detours;
        let wanted = (kind as u8, rule_id);
        let at = detours
            .binary_search_by_key(&wanted, |detour| (detour.kind, detour.rule_id.to_native()))
            .ok()?;
        Some(detours[at].url_id.to_native())
    }
}
