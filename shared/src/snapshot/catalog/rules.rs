//! Rules of a catalog, typed once when it is opened.
//!
//! # Bytes
//!
//! The operands of each rule begin with the rule's id (4 bytes, little endian), which stays the same
//! in all publications. Opcodes:
//!
//! | opcode | after the id |
//! |---|---|
//! | 1 ruleset | the rkyv archive of a [`Ruleset`] |
//! | 2 zones | the rkyv archive of the [`Zone`]s that rulesets name, by ascending name; id 0 |
//! | 3 blocked addresses | the rkyv archive of [`AddressRanges`]; id 0. Binds every offer |
//! | 4 control | the rkyv archive of a [`Control`] |
//! | 6 cap | the bytes of a [`Cap`]; the id is the cap's |
//! | 7 already converted | 1 where the offer's fail traffic gets the visit, else 0 (1) |
//! | 8 duplicates | as for 7 |
//! | 9 forwarding | the rkyv archive of a [`Forwarding`]; id 0 |
//! | 10 fail traffic | the rkyv archive of a [`FailTraffic`]; id 0 |
//! | 11 session | definition (1), zero (3), seconds (4); id 0 |
//! | 12 network | the rkyv archive of a [`NetworkLeads`]; id 0 |
//! | 13 offer URLs | the rkyv archive of [`OfferUrls`]; id 0 |
//!
//! An offer names its rules in the order of the checks: controls, ruleset, caps, already converted,
//! duplicates, session, forwarding, fail traffic. Controls of all offers are named by none, and so
//! are caps of codes and of partners.
//!
//! Another opcode refuses the catalog: a rule that is not understood must not be left out.

use std::sync::Arc;

use coupon_rules::caps::{Cap, CapIndex};
use coupon_rules::control::Control;
use coupon_rules::leads::{FailTraffic, Forwarding, PreparedFailRedirect, PreparedForwardingRule};
use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_rules::ruleset::{PreparedRuleset, Ruleset};
use coupon_rules::sessions::{Session, SessionDefinition};
use rkyv::api::high::{HighDeserializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};

use super::offer_urls::{OfferUrls, TypedOfferUrls};
use super::validated::Validated;
use super::{ArchivedRule, Rule, SnapshotError, ZoneOffset};
use crate::destination::{ArchivedDestination, Destination};

/// Name by which a daemon says that it knows these rules. A daemon that does not say so refuses a
/// catalog with rules, so it must not get one.
pub const FEATURE: &str = "rules.1";

const RULESET: u16 = 1;
const ZONES: u16 = 2;
const BLOCKED_ADDRESSES: u16 = 3;
const CONTROL: u16 = 4;
const CAP: u16 = 6;
const ALREADY_CONVERTED: u16 = 7;
const DUPLICATES: u16 = 8;
const FORWARDING: u16 = 9;
const FAIL_TRAFFIC: u16 = 10;
const SESSION: u16 = 11;
const NETWORK_LEADS: u16 = 12;
const OFFER_URLS: u16 = 13;
const ID_LEN: usize = 4;

/// A zone of the IANA database.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub name: String,
    /// By ascending time; the first holds from the beginning.
    pub offsets: Vec<ZoneOffset>,
}

/// Where the network sends visits that no offer takes.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkLeads {
    /// Target of failed visits that no redirect takes.
    pub fail_traffic_url: Option<Destination>,
    /// Whether forwarding and fail traffic apply to offers that are not active.
    pub lead_on_from_paused_offers: bool,
}

/// A rule that offers name, prepared for decisions.
#[derive(Debug)]
pub enum OfferRule {
    Control {
        id: u32,
        control: Control,
    },
    /// Boxed, because a catalog may have far more caps, which are small.
    Ruleset {
        id: u32,
        ruleset: Box<PreparedRuleset>,
    },
    Cap(Cap),
    AlreadyConverted(VisitorRule),
    Duplicates(VisitorRule),
    Session(Session),
    Forwarding(Vec<PreparedForwardingRule>),
    FailTraffic(OfferFailTraffic),
}

/// A rule on earlier visits or conversions of the visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorRule {
    pub id: u32,
    /// Whether the fail traffic of the offer gets the visit.
    pub fails_over: bool,
}

/// The fail traffic of an offer, prepared for decisions.
#[derive(Debug)]
pub struct OfferFailTraffic {
    pub is_by_weight: bool,
    pub ends_at_network_url: bool,
    pub redirects: Vec<PreparedFailRedirect>,
}

/// The rules of an opened catalog.
#[derive(Debug, Default)]
pub(super) struct TypedRules {
    /// By position, with the controls of all offers; `None` for other rules that no offer names.
    /// Shared with the next catalog, whose rules are mostly the same.
    by_position: Vec<Option<Arc<OfferRule>>>,
    everywhere: Vec<Arc<OfferRule>>,
    blocked_addresses: AddressRanges,
    /// The caps that offers do not name.
    caps: CapIndex,
    asks_for_earlier_visits: bool,
    /// Whether a rule binds offers that name no rules. Kept, so that a visit of an offer without rules
    /// asks one question.
    binds_every_offer: bool,
    zones: Vec<Zone>,
    network: Option<Validated<ArchivedNetworkLeads>>,
    lead_on_from_paused_offers: bool,
    offer_urls: Option<TypedOfferUrls>,
}

impl Rule {
    /// A rule for the offers that name its position.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn ruleset(id: u32, ruleset: &Ruleset) -> Result<Rule, SnapshotError> {
        let archive = ruleset.encode().map_err(content_error)?;
        Ok(Rule::new(RULESET, id, &archive))
    }

    /// The zones that rulesets name.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn zones(mut zones: Vec<Zone>) -> Result<Rule, SnapshotError> {
        zones.sort_by(|one, other| one.name.cmp(&other.name));
        let archive = rkyv::to_bytes::<rancor::Error>(&zones).map_err(content_error)?;
        Ok(Rule::new(ZONES, 0, &archive))
    }

    /// The addresses that every offer refuses.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn blocked_addresses(addresses: &AddressRanges) -> Result<Rule, SnapshotError> {
        let archive = rkyv::to_bytes::<rancor::Error>(addresses).map_err(content_error)?;
        Ok(Rule::new(BLOCKED_ADDRESSES, 0, &archive))
    }

    /// A traffic control.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn control(id: u32, control: &Control) -> Result<Rule, SnapshotError> {
        let archive = rkyv::to_bytes::<rancor::Error>(control).map_err(content_error)?;
        Ok(Rule::new(CONTROL, id, &archive))
    }

    /// The forwarding rules of an offer.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn forwarding(forwarding: &Forwarding) -> Result<Rule, SnapshotError> {
        let archive = rkyv::to_bytes::<rancor::Error>(forwarding).map_err(content_error)?;
        Ok(Rule::new(FORWARDING, 0, &archive))
    }

    /// The fail traffic of an offer.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn fail_traffic(fail_traffic: &FailTraffic) -> Result<Rule, SnapshotError> {
        let archive = rkyv::to_bytes::<rancor::Error>(fail_traffic).map_err(content_error)?;
        Ok(Rule::new(FAIL_TRAFFIC, 0, &archive))
    }

    /// A cap. Offers name it unless it belongs to a code or a partner.
    #[must_use]
    pub fn cap(cap: &Cap) -> Rule {
        Rule::new(CAP, cap.id, &cap.encode())
    }

    /// A refusal of visitors who have converted.
    #[must_use]
    pub fn already_converted(id: u32, fails_over: bool) -> Rule {
        Rule::new(ALREADY_CONVERTED, id, &[fails_over.into()])
    }

    /// A refusal of visitors who come again within the offer's session.
    #[must_use]
    pub fn duplicates(id: u32, fails_over: bool) -> Rule {
        Rule::new(DUPLICATES, id, &[fails_over.into()])
    }

    /// The session of an offer whose rules or caps ask for earlier visits. An offer without one has
    /// [`Session::DEFAULT`].
    #[must_use]
    pub fn session(session: &Session) -> Rule {
        let [a, b, c, d] = session.seconds.to_le_bytes();
        Rule::new(SESSION, 0, &[session.definition as u8, 0, 0, 0, a, b, c, d])
    }

    /// The leads of the network.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn network_leads(leads: &NetworkLeads) -> Result<Rule, SnapshotError> {
        let archive = rkyv::to_bytes::<rancor::Error>(leads).map_err(content_error)?;
        Ok(Rule::new(NETWORK_LEADS, 0, &archive))
    }

    /// The URLs of all offers.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn offer_urls(urls: &OfferUrls) -> Result<Rule, SnapshotError> {
        Ok(Rule::new(OFFER_URLS, 0, &urls.encode().map_err(content_error)?))
    }

    /// Whether the rule binds every offer, though none names it.
    #[must_use]
    pub fn binds_every_offer(&self) -> bool {
        let operands = self.operands.get(ID_LEN..).unwrap_or_default();
        match self.opcode {
            BLOCKED_ADDRESSES => true,
            CONTROL => read::<Control>(operands).is_ok_and(|control| control.is_everywhere),
            _ => false,
        }
    }

    /// Whether the offers that name the rule need it: without the rule they would take visits that
    /// they refuse, or that another offer is meant to get.
    #[must_use]
    pub fn binds_its_offers(&self) -> bool {
        match self.opcode {
            CAP => Cap::decode(0, self.operands.get(ID_LEN..).unwrap_or_default())
                .is_ok_and(|cap| cap.can_refuse()),
            RULESET | CONTROL | ALREADY_CONVERTED | DUPLICATES | FORWARDING => true,
            _ => false,
        }
    }

    fn new(opcode: u16, id: u32, archive: &[u8]) -> Rule {
        let mut operands = id.to_le_bytes().to_vec();
        operands.extend_from_slice(archive);
        Rule { opcode, operands }
    }
}

fn content_error(error: rancor::Error) -> SnapshotError {
    SnapshotError::Content { file: super::FILE, reason: error.to_string() }
}

/// The rules of a catalog that is open already. Between two catalogs few rules change, so the rules
/// of the next are found near the same positions.
#[derive(Default)]
pub(super) struct KnownRules<'a> {
    rules: &'a [ArchivedRule],
    typed: &'a [Option<Arc<OfferRule>>],
    /// Where the next rule is expected.
    next: usize,
}

impl<'a> KnownRules<'a> {
    /// How far from the expected position a rule is looked for. Farther away, as after the creation of
    /// a thousand rules at once, the rules behind them are typed anew.
    const REACH: usize = 128;

    pub(super) fn new(rules: &'a [ArchivedRule], typed: &'a TypedRules) -> KnownRules<'a> {
        KnownRules { rules, typed: &typed.by_position, next: 0 }
    }

    /// The typed rule of the same bytes; `None` if there is none nearby.
    fn find(&mut self, rule: &ArchivedRule) -> Option<&'a Arc<OfferRule>> {
        let from = self.next.saturating_sub(Self::REACH);
        let nearby = (self.next..self.next + Self::REACH).chain((from..self.next).rev());
        let is_same = |at: &usize| {
            self.rules.get(*at).is_some_and(|known| {
                known.opcode == rule.opcode && known.operands[..] == rule.operands[..]
            })
        };
        let found = nearby.into_iter().find(is_same);
        // A rule that is not found has mostly been changed in its place.
        let at = found.unwrap_or(self.next);
        self.next = at + 1;
        self.typed.get(found?)?.as_ref()
    }
}

impl TypedRules {
    /// Types the rules. Those that `known` has with the same bytes are shared with it.
    pub(super) fn new(
        rules: &[ArchivedRule],
        known: Option<KnownRules<'_>>,
    ) -> Result<TypedRules, String> {
        let mut known = known.unwrap_or_default();
        let mut typed = TypedRules::default();
        for (position, rule) in (1..).zip(rules) {
            let rule = match known.find(rule) {
                Some(known) => Some(Arc::clone(known)),
                None => typed.add(rule).map_err(|reason| format!("rule {position}: {reason}"))?,
            };
            if let Some(rule) = &rule {
                typed.note(rule);
            }
            typed.by_position.push(rule);
        }
        typed.binds_every_offer = typed.asks_for_earlier_visits
            || !typed.everywhere.is_empty()
            || !typed.blocked_addresses.is_empty();
        Ok(typed)
    }

    /// Types a rule, and returns the ones that offers name and the controls of all offers.
    fn add(&mut self, rule: &ArchivedRule) -> Result<Option<Arc<OfferRule>>, String> {
        let (id, operands) =
            rule.operands.split_first_chunk::<ID_LEN>().ok_or("its operands have no id")?;
        let id = u32::from_le_bytes(*id);
        let rule = match rule.opcode.to_native() {
            RULESET => {
                let ruleset = Box::new(Ruleset::decode(operands)?.into());
                OfferRule::Ruleset { id, ruleset }
            }
            CONTROL => {
                let control: Control = read(operands)?;
                control.check()?;
                OfferRule::Control { id, control }
            }
            CAP => match Cap::decode(id, operands)? {
                cap if cap.is_listed() => OfferRule::Cap(cap),
                cap => {
                    self.asks_for_earlier_visits = true;
                    self.caps.add(cap);
                    return Ok(None);
                }
            },
            ALREADY_CONVERTED => OfferRule::AlreadyConverted(visitor_rule(id, operands)?),
            DUPLICATES => OfferRule::Duplicates(visitor_rule(id, operands)?),
            SESSION => OfferRule::Session(session(operands)?),
            FORWARDING => {
                let forwarding: Forwarding = read(operands)?;
                forwarding.check()?;
                let rules = forwarding.rules.into_iter().map(PreparedForwardingRule::from);
                OfferRule::Forwarding(rules.collect())
            }
            FAIL_TRAFFIC => OfferRule::FailTraffic(fail_traffic(operands)?),
            opcode => return self.add_of_network(opcode, operands).map(|()| None),
        };
        Ok(Some(Arc::new(rule)))
    }

    /// Adds a rule that belongs to the network.
    fn add_of_network(&mut self, opcode: u16, operands: &[u8]) -> Result<(), String> {
        match opcode {
            BLOCKED_ADDRESSES => {
                let addresses: AddressRanges = read(operands)?;
                addresses.check_order()?;
                self.blocked_addresses = addresses;
            }
            ZONES => self.zones = zones(operands)?,
            NETWORK_LEADS => self.set_network_leads(operands)?,
            OFFER_URLS => self.offer_urls = Some(TypedOfferUrls::open(aligned(operands))?),
            opcode => return Err(format!("opcode {opcode} is not known here: upgrade coupond")),
        }
        Ok(())
    }

    /// Notes what visits ask of the catalog because of a rule.
    fn note(&mut self, rule: &Arc<OfferRule>) {
        match &**rule {
            OfferRule::Cap(_) | OfferRule::AlreadyConverted(_) | OfferRule::Duplicates(_) => {
                self.asks_for_earlier_visits = true;
            }
            rule_of_all if rule_of_all.is_everywhere() => self.everywhere.push(Arc::clone(rule)),
            _ => {}
        }
    }

    fn set_network_leads(&mut self, operands: &[u8]) -> Result<(), String> {
        let network = Validated::<ArchivedNetworkLeads>::new(aligned(operands)).map_err(damaged)?;
        let leads = network.get();
        if let Some(url) = leads.fail_traffic_url.as_ref() {
            url.check().map_err(|error| error.to_string())?;
        }
        self.lead_on_from_paused_offers = leads.lead_on_from_paused_offers;
        self.network = Some(network);
        Ok(())
    }

    /// The rule at a position from 1.
    #[inline]
    pub(super) fn rule(&self, position: u32) -> Option<&OfferRule> {
        self.by_position.get((position as usize).checked_sub(1)?)?.as_deref()
    }

    /// The rules of all offers.
    #[inline]
    pub(super) fn everywhere(&self) -> impl Iterator<Item = &OfferRule> {
        self.everywhere.iter().map(|rule| &**rule)
    }

    /// The addresses that every offer refuses.
    #[inline]
    pub(super) fn blocked_addresses(&self) -> &AddressRanges {
        &self.blocked_addresses
    }

    /// Whether a rule binds offers that name no rules.
    #[inline]
    pub(super) fn bind_every_offer(&self) -> bool {
        self.binds_every_offer
    }

    /// The caps that offers do not name.
    #[inline]
    pub(super) fn indexed_caps(&self) -> &CapIndex {
        &self.caps
    }

    /// Every cap.
    pub(super) fn caps(&self) -> impl Iterator<Item = &Cap> {
        let listed = self.all().filter_map(|rule| match rule {
            OfferRule::Cap(cap) => Some(cap),
            _ => None,
        });
        self.caps.iter().chain(listed)
    }

    /// Whether a rule refuses repeats.
    pub(super) fn refuse_repeats(&self) -> bool {
        self.all().any(|rule| matches!(rule, OfferRule::Duplicates(_)))
    }

    /// Every rule that offers name, and the controls of all offers.
    pub(super) fn all(&self) -> impl Iterator<Item = &OfferRule> {
        self.by_position.iter().flatten().map(|rule| &**rule)
    }

    /// Every ruleset, of offers as well as of forwarding rules and fail traffic.
    pub(super) fn rulesets(&self) -> impl Iterator<Item = &PreparedRuleset> {
        self.all().flat_map(|rule| {
            let (mut own, mut forwarding, mut redirects) = (None, &[][..], &[][..]);
            match rule {
                OfferRule::Ruleset { ruleset, .. } => own = Some(&**ruleset),
                OfferRule::Forwarding(rules) => forwarding = rules,
                OfferRule::FailTraffic(fail_traffic) => redirects = &fail_traffic.redirects,
                _ => {}
            }
            let forwarding = forwarding.iter().map(PreparedForwardingRule::ruleset);
            own.into_iter().chain(forwarding).chain(redirects.iter().map(|it| &it.ruleset))
        })
    }

    #[inline]
    pub(super) fn asks_for_earlier_visits(&self) -> bool {
        self.asks_for_earlier_visits
    }

    #[inline]
    pub(super) fn lead_on_from_paused_offers(&self) -> bool {
        self.lead_on_from_paused_offers
    }

    pub(super) fn fail_traffic_url(&self) -> Option<&ArchivedDestination> {
        self.network.as_ref()?.get().fail_traffic_url.as_ref()
    }

    pub(super) fn offer_urls(&self) -> Option<&TypedOfferUrls> {
        self.offer_urls.as_ref()
    }

    pub(super) fn zone(&self, name: &str) -> Option<&Zone> {
        let at = self.zones.binary_search_by(|zone| zone.name.as_str().cmp(name)).ok()?;
        Some(&self.zones[at])
    }

    /// Checks that these positions hold rules of offers, in the order of the checks.
    pub(super) fn check_positions(
        &self,
        positions: impl Iterator<Item = u32>,
    ) -> Result<(), String> {
        let mut before = 0;
        for position in positions {
            let Some(rule) = self.rule(position).filter(|rule| !rule.is_everywhere()) else {
                return Err(format!("names rule {position}, which is no rule of offers"));
            };
            let order = rule.order();
            if order < before {
                return Err(format!("names rule {position} too late"));
            }
            before = order;
        }
        Ok(())
    }
}

impl OfferRule {
    /// Whether it is a control of all offers, which no offer names.
    fn is_everywhere(&self) -> bool {
        matches!(self, OfferRule::Control { control, .. } if control.is_everywhere)
    }

    /// The place among the rules of an offer.
    fn order(&self) -> u8 {
        match self {
            OfferRule::Control { .. } => 1,
            OfferRule::Ruleset { .. } => 2,
            OfferRule::Cap(_) => 3,
            OfferRule::AlreadyConverted(_) => 4,
            OfferRule::Duplicates(_) => 5,
            OfferRule::Session(_) => 6,
            OfferRule::Forwarding(_) => 7,
            OfferRule::FailTraffic(_) => 8,
        }
    }
}

fn fail_traffic(operands: &[u8]) -> Result<OfferFailTraffic, String> {
    let fail_traffic: FailTraffic = read(operands)?;
    fail_traffic.check()?;
    let FailTraffic { is_by_weight, ends_at_network_url, redirects } = fail_traffic;
    let redirects = redirects.into_iter().map(PreparedFailRedirect::from).collect();
    Ok(OfferFailTraffic { is_by_weight, ends_at_network_url, redirects })
}

fn visitor_rule(id: u32, operands: &[u8]) -> Result<VisitorRule, String> {
    match operands {
        [flag @ (0 | 1)] => Ok(VisitorRule { id, fails_over: *flag == 1 }),
        _ => Err("its operands are damaged: one byte of 0 or 1 is expected".into()),
    }
}

fn session(operands: &[u8]) -> Result<Session, String> {
    let [definition, 0, 0, 0, seconds @ ..] = operands else {
        return Err("its operands are damaged: a session has 8 bytes".into());
    };
    let seconds = seconds.try_into().map_err(|_| "its operands are damaged")?;
    let definition = SessionDefinition::from_number(*definition).ok_or_else(|| {
        format!("session definition {definition} is not known here: upgrade coupond")
    })?;
    Ok(Session { definition, seconds: u32::from_le_bytes(seconds) })
}

/// Reads an archive of any bytes.
fn read<T: Archive>(operands: &[u8]) -> Result<T, String>
where
    T::Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
        + Deserialize<T, HighDeserializer<rancor::Error>>,
{
    rkyv::from_bytes::<T, rancor::Error>(&aligned(operands)).map_err(damaged)
}

fn aligned(operands: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::with_capacity(operands.len());
    aligned.extend_from_slice(operands);
    aligned
}

fn damaged(error: rancor::Error) -> String {
    format!("its operands are damaged: {error}")
}

fn zones(operands: &[u8]) -> Result<Vec<Zone>, String> {
    let zones: Vec<Zone> = read(operands)?;
    super::ascending("zones", &zones, |zone| zone.name.clone())?;
    for zone in &zones {
        super::ascending("zone offsets", &zone.offsets, |offset| offset.from)?;
    }
    Ok(zones)
}

/// Seconds ahead of UTC at a moment; `None` without any offset.
pub(super) fn offset_at(offsets: &[ZoneOffset], unix_seconds: i64) -> Option<i32> {
    let after = offsets.partition_point(|offset| offset.from <= unix_seconds);
    offsets.get(after.saturating_sub(1)).map(|offset| offset.utc_offset)
}
