//! Rulesets: which visitors an offer, or a rule that leads to another offer, is for.
//!
//! A ruleset has up to thirteen **dimensions** ([`Dimension`]). A visitor passes if every dimension
//! with entries lets it pass. Within a dimension:
//!
//! - an *exclude* that matches refuses;
//! - if there are *includes*, one of them must match;
//! - an unknown fact matches nothing. So an include refuses it and an exclude lets it pass.
//!
//! Four dimensions differ. A **place** has levels ([`places`]): the most specific level with a
//! matching entry decides. An **OS version** ([`versions`]) binds only visitors of its platform, and
//! an unknown version passes. In **day parting** ([`hours`]) the visitor's local time falls back to
//! the network's. **Hidden networks** refuse nobody of whom nothing is known.
//!
//! The order of the dimensions is [`Dimension::IN_ORDER`]; the first that refuses is the reason.
//!
//! Rulesets are kept typed in memory and as rkyv archives in files. [`Ruleset::decode`] checks
//! everything that a check of a visit relies on.

pub mod addresses;
pub mod hours;
pub mod number_set;
pub mod places;
pub mod sorted_texts;
pub mod versions;

use rkyv::rancor;
use rkyv::{Archive, Deserialize, Serialize};

use crate::agent::{Browser, Device, Platform};
use crate::facts::{Clocks, VisitorFacts};
use crate::language;
use crate::place::{Place, PlaceParts, ProxyKinds};
use crate::text_match;
use addresses::AddressRanges;
use hours::Hours;
use number_set::NumberSet;
use places::{PlaceLevel, Places};
use versions::Versions;

/// Entries that let visitors pass, and entries that refuse them.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Sides<T> {
    pub include: T,
    pub exclude: T,
}

/// A rule on the visitor's provider.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum IspEntry {
    /// Number of the autonomous system.
    Asn(u32),
    /// The whole name, in any case.
    Name(String),
    /// A part of the name, in any case. Kept in lower case.
    Contains(String),
}

/// A rule on the visitor's mobile network.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum CarrierEntry {
    /// Mobile country code and mobile network code.
    Codes { mcc: String, mnc: String },
    /// The provider's name, in any case.
    Name(String),
}

/// Rules on a visitor. The default lets everybody pass.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    pub places: Places,
    /// Numbers of [`crate::agent::Platform`].
    pub platforms: Sides<NumberSet>,
    /// Numbers of [`crate::agent::Device`].
    pub devices: Sides<NumberSet>,
    /// Numbers of [`crate::agent::Browser`].
    pub browsers: Sides<NumberSet>,
    pub os_versions: Versions,
    /// Language tags, such as `de` or `pt-BR`.
    pub languages: Sides<Vec<String>>,
    /// Numbers of [`crate::agent::Brand`].
    pub brands: Sides<NumberSet>,
    pub addresses: Sides<AddressRanges>,
    pub isps: Sides<Vec<IspEntry>>,
    /// Numbers of [`crate::place::Connection`].
    pub connections: Sides<NumberSet>,
    pub carriers: Sides<Vec<CarrierEntry>>,
    pub hours: Option<Hours>,
    /// Bits of [`ProxyKinds`] to refuse.
    pub refused_proxies: u8,
}

/// A part of a ruleset that is checked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    Place,
    Platform,
    Device,
    Browser,
    OsVersion,
    Language,
    Brand,
    Address,
    Isp,
    Connection,
    Carrier,
    Hours,
    Proxy,
}

impl Dimension {
    /// Every dimension in the order of the checks.
    pub const IN_ORDER: [Dimension; 13] = [
        Dimension::Place,
        Dimension::Platform,
        Dimension::Device,
        Dimension::Browser,
        Dimension::OsVersion,
        Dimension::Language,
        Dimension::Brand,
        Dimension::Address,
        Dimension::Isp,
        Dimension::Connection,
        Dimension::Carrier,
        Dimension::Hours,
        Dimension::Proxy,
    ];
}

/// Why a visitor does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A level of the place.
    Place(PlaceLevel),
    Platform,
    Device,
    Browser,
    OsVersion,
    Language,
    Brand,
    /// The address is in no included range.
    AddressNotIncluded,
    /// The address is in an excluded range.
    AddressExcluded,
    Isp,
    Connection,
    Carrier,
    Hours,
    Proxy,
}

/// What one dimension says about a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Nothing is known, and no entry asks for knowledge.
    PassedUnknown,
    Refused(Refusal),
    /// Nothing is known, and an entry asks for knowledge.
    RefusedUnknown(Refusal),
}

impl Verdict {
    #[must_use]
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Verdict::Passed | Verdict::PassedUnknown => None,
            Verdict::Refused(refusal) | Verdict::RefusedUnknown(refusal) => Some(refusal),
        }
    }
}

/// One dimension's answers to a fact.
struct Matched {
    is_known: bool,
    has_includes: bool,
    is_included: bool,
    is_excluded: bool,
}

impl Matched {
    const UNKNOWN: Matched =
        Matched { is_known: false, has_includes: false, is_included: false, is_excluded: false };

    fn verdict(&self, refusal: Refusal) -> Verdict {
        match self {
            Matched { is_excluded: true, .. } => Verdict::Refused(refusal),
            Matched { has_includes: true, is_included: false, is_known: true, .. } => {
                Verdict::Refused(refusal)
            }
            Matched { has_includes: true, is_included: false, is_known: false, .. } => {
                Verdict::RefusedUnknown(refusal)
            }
            Matched { is_known: false, .. } => Verdict::PassedUnknown,
            Matched { .. } => Verdict::Passed,
        }
    }
}

impl Sides<NumberSet> {
    fn matched(&self, number: u8, is_known: bool) -> Matched {
        Matched {
            is_known,
            has_includes: !self.include.is_empty(),
            is_included: self.include.has(number),
            is_excluded: self.exclude.has(number),
        }
    }

    /// Matches a number that may be unknown.
    fn matched_if_known(&self, number: Option<u8>) -> Matched {
        number.map_or_else(
            || Matched { has_includes: !self.include.is_empty(), ..Matched::UNKNOWN },
            |number| self.matched(number, true),
        )
    }

    fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

impl<T> Sides<Vec<T>> {
    fn matched(&self, is_known: bool, mut matches: impl FnMut(&T) -> bool) -> Matched {
        Matched {
            is_known,
            has_includes: !self.include.is_empty(),
            is_included: is_known && self.include.iter().any(&mut matches),
            is_excluded: is_known && self.exclude.iter().any(&mut matches),
        }
    }

    fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

impl IspEntry {
    fn matches(&self, place: &Place<'_>) -> bool {
        match self {
            IspEntry::Asn(asn) => *asn == place.isp.asn,
            IspEntry::Name(name) => name.eq_ignore_ascii_case(place.isp.name),
            IspEntry::Contains(part) => {
                text_match::contains(place.isp.name.as_bytes(), part.as_bytes())
            }
        }
    }
}

impl CarrierEntry {
    fn matches(&self, place: &Place<'_>) -> bool {
        match self {
            CarrierEntry::Codes { mcc, mnc } => {
                *mcc == place.carrier.mcc && *mnc == place.carrier.mnc
            }
            CarrierEntry::Name(name) => name.eq_ignore_ascii_case(place.isp.name),
        }
    }
}

impl Ruleset {
    /// Whether everybody passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Dimension::IN_ORDER.into_iter().all(|dimension| !self.has(dimension))
    }

    /// Whether the dimension has entries.
    #[must_use]
    pub fn has(&self, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Place => !self.places.is_empty(),
            Dimension::Platform => !self.platforms.is_empty(),
            Dimension::Device => !self.devices.is_empty(),
            Dimension::Browser => !self.browsers.is_empty(),
            Dimension::OsVersion => !self.os_versions.is_empty(),
            Dimension::Language => !self.languages.is_empty(),
            Dimension::Brand => !self.brands.is_empty(),
            Dimension::Address => {
                !(self.addresses.include.is_empty() && self.addresses.exclude.is_empty())
            }
            Dimension::Isp => !self.isps.is_empty(),
            Dimension::Connection => !self.connections.is_empty(),
            Dimension::Carrier => !self.carriers.is_empty(),
            Dimension::Hours => self.hours.is_some(),
            Dimension::Proxy => self.refused_proxies != 0,
        }
    }

    /// The parts of a place that a check asks for.
    #[must_use]
    pub fn place_parts(&self) -> PlaceParts {
        let carriers = || self.carriers.include.iter().chain(&self.carriers.exclude);
        let has_carrier_names = carriers().any(|entry| matches!(entry, CarrierEntry::Name(_)));
        let has_carrier_codes = carriers().any(|it| matches!(it, CarrierEntry::Codes { .. }));
        let parts = [
            (self.has(Dimension::Isp) || has_carrier_names, PlaceParts::ISP),
            (self.has(Dimension::Connection), PlaceParts::CONNECTION),
            (has_carrier_codes, PlaceParts::CARRIER),
            (self.hours.as_ref().is_some_and(Hours::are_local), PlaceParts::TIME_ZONE),
            (self.refused_proxies != 0, PlaceParts::PROXY),
        ];
        let wanted = parts.into_iter().filter(|(is_wanted, _)| *is_wanted);
        wanted.fold(self.places.parts(), |all, (_, part)| all | part)
    }

    /// The archive of this ruleset.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn encode(&self) -> Result<Vec<u8>, rancor::Error> {
        rkyv::to_bytes::<rancor::Error>(self).map(|bytes| bytes.to_vec())
    }

    /// Reads an archive, and checks it.
    ///
    /// # Errors
    /// Why the bytes are no usable ruleset.
    pub fn decode(bytes: &[u8]) -> Result<Ruleset, String> {
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        let ruleset = rkyv::from_bytes::<Ruleset, rancor::Error>(&aligned)
            .map_err(|error| format!("its bytes are damaged: {error}"))?;
        ruleset.check_order()?;
        Ok(ruleset)
    }

    pub(crate) fn check_order(&self) -> Result<(), String> {
        self.places.check_order()?;
        self.addresses.include.check_order()?;
        self.addresses.exclude.check_order()?;
        self.hours.as_ref().map_or(Ok(()), Hours::check_order)?;
        ProxyKinds::from_bits(self.refused_proxies)
            .map(drop)
            .ok_or_else(|| format!("{} stands for no kinds of networks", self.refused_proxies))
    }
}

/// A ruleset prepared for checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRuleset {
    ruleset: Ruleset,
    /// Those with entries, in the order of the checks.
    dimensions: Vec<Dimension>,
    parts: PlaceParts,
}

impl From<Ruleset> for PreparedRuleset {
    fn from(ruleset: Ruleset) -> PreparedRuleset {
        let dimensions = Dimension::IN_ORDER.into_iter().filter(|which| ruleset.has(*which));
        PreparedRuleset { dimensions: dimensions.collect(), parts: ruleset.place_parts(), ruleset }
    }
}

impl PreparedRuleset {
    /// The dimensions with entries, in the order of the checks.
    #[must_use]
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The parts of a place without which the ruleset refuses, or lets pass, visitors whom it should
    /// not. A time zone is none: without it the hours go by the network's zone.
    #[must_use]
    pub fn needed_parts(&self) -> PlaceParts {
        self.parts - PlaceParts::TIME_ZONE
    }

    /// Checks a visitor at a moment in Unix seconds.
    ///
    /// # Errors
    /// The first dimension's refusal.
    pub fn check(
        &self,
        facts: &impl VisitorFacts,
        clocks: &impl Clocks,
        now: i64,
    ) -> Result<(), Refusal> {
        let mut verdicts =
            self.dimensions.iter().map(|which| self.verdict(*which, facts, clocks, now).refusal());
        verdicts.find_map(|refusal| refusal).map_or(Ok(()), Err)
    }

    /// Checks a visit without a visitor: only hours in a fixed zone are checked.
    ///
    /// # Errors
    /// The refusal.
    pub fn check_time(&self, clocks: &impl Clocks, now: i64) -> Result<(), Refusal> {
        let fixed =
            self.ruleset.hours.as_ref().and_then(|hours| Some((hours, hours.zone.as_ref()?)));
        let Some((hours, zone)) = fixed else { return Ok(()) };
        let offset = clocks.offset(zone, now).unwrap_or_else(|| clocks.network_offset(now));
        if hours.are_open(now, offset) { Ok(()) } else { Err(Refusal::Hours) }
    }

    /// What one dimension says about a visitor.
    pub fn verdict(
        &self,
        dimension: Dimension,
        facts: &impl VisitorFacts,
        clocks: &impl Clocks,
        now: i64,
    ) -> Verdict {
        let rules = &self.ruleset;
        match dimension {
            Dimension::Place => rules.places.verdict(&facts.look_up_place(self.parts)),
            Dimension::Platform => {
                let platform = facts.agent().platform;
                let is_known = platform != Platform::Other;
                rules.platforms.matched(platform as u8, is_known).verdict(Refusal::Platform)
            }
            Dimension::Device => {
                let device = facts.agent().device;
                let is_known = device != Device::Other;
                rules.devices.matched(device as u8, is_known).verdict(Refusal::Device)
            }
            Dimension::Browser => {
                let browser = facts.agent().browser;
                let is_known = browser != Browser::Other;
                rules.browsers.matched(browser as u8, is_known).verdict(Refusal::Browser)
            }
            Dimension::OsVersion => rules.os_versions.verdict(&facts.agent()),
            Dimension::Language => {
                let tag = facts.language();
                let matches = |wanted: &String| {
                    tag.is_some_and(|tag| language::matches(tag, wanted.as_bytes()))
                };
                rules.languages.matched(tag.is_some(), matches).verdict(Refusal::Language)
            }
            Dimension::Brand => {
                let brand = facts.agent().brand.map(|brand| brand as u8);
                rules.brands.matched_if_known(brand).verdict(Refusal::Brand)
            }
            Dimension::Address => addresses::verdict(&rules.addresses, facts.address()),
            Dimension::Isp => {
                let place = facts.look_up_place(self.parts);
                let is_known = place.isp.asn != 0 || !place.isp.name.is_empty();
                let matched = rules.isps.matched(is_known, |entry| entry.matches(&place));
                matched.verdict(Refusal::Isp)
            }
            Dimension::Connection => {
                let connection = facts.look_up_place(self.parts).connection.map(|kind| kind as u8);
                rules.connections.matched_if_known(connection).verdict(Refusal::Connection)
            }
            Dimension::Carrier => {
                let place = facts.look_up_place(self.parts);
                let is_known = !place.carrier.mcc.is_empty() || !place.isp.name.is_empty();
                let matched = rules.carriers.matched(is_known, |entry| entry.matches(&place));
                matched.verdict(Refusal::Carrier)
            }
            Dimension::Hours => self.hours_verdict(facts, clocks, now),
            Dimension::Proxy => self.proxy_verdict(&facts.look_up_place(self.parts)),
        }
    }

    fn hours_verdict(&self, facts: &impl VisitorFacts, clocks: &impl Clocks, now: i64) -> Verdict {
        let Some(hours) = &self.ruleset.hours else { return Verdict::Passed };
        let zone = match &hours.zone {
            Some(zone) => clocks.offset(zone, now),
            None => clocks.offset(facts.look_up_place(self.parts).time_zone, now),
        };
        match hours.are_open(now, zone.unwrap_or_else(|| clocks.network_offset(now))) {
            true => Verdict::Passed,
            false => Verdict::Refused(Refusal::Hours),
        }
    }

    fn proxy_verdict(&self, place: &Place<'_>) -> Verdict {
        let refused = ProxyKinds::from_bits(self.ruleset.refused_proxies).unwrap_or_default();
        match place.proxy {
            None => Verdict::PassedUnknown,
            Some(kinds) if kinds.has(refused) => Verdict::Refused(Refusal::Proxy),
            Some(_) => Verdict::Passed,
        }
    }
}

#[cfg(test)]
mod tests;
