//! The catalog: everything a decision needs besides the codes, addressed by id.
//!
//! Offers, partners, approvals, tracking domains, fallback URLs, the network's zone and the key
//! that signs transaction ids. Codes are not in it, so an edit of a code never rewrites it.
//!
//! # Bytes, format version 1
//!
//! Numbers are little endian. The file is the header and the payload; nothing follows.
//!
//! | offset | size | header field |
//! |---|---|---|
//! | 0 | 8 | magic `CPNCATLG` |
//! | 8 | 2 | format version |
//! | 10 | 2 | zero |
//! | 12 | 4 | network id |
//! | 16 | 16 | lineage |
//! | 32 | 8 | sequence: the last change of the store it holds |
//! | 40 | 8 | required features, a bit each; an unknown one refuses the file |
//! | 48 | 8 | length of the payload |
//! | 56 | 8 | length of the ACME section at the start of the payload; mostly zero |
//! | 64 | 32 | BLAKE3 of the payload |
//! | 96 | 32 | BLAKE3 of the bytes before; also the file's name |
//!
//! The payload is the ACME section ([`acme`]) and an rkyv 0.8 archive of [`Catalog`] (little endian,
//! aligned, 32-bit offsets), which fixes the layout; it is validated once when opened.
//!
//! A rule is an opcode with operands ([`rules`]). A catalog with an unknown opcode is refused instead
//! of being served without the rule.

pub mod acme;
pub mod offer_urls;
pub mod rules;
mod validated;

use super::{HASH_LEN, Header, Lineage, SnapshotError};
use crate::destination::Destination;
use crate::transaction_id::ClickIdKey;
use crate::visitor_key::VisitorKeys;
use acme::AcmeDomains;
use coupon_rules::caps::Cap;
use coupon_rules::facts::Clocks;
use coupon_rules::leads::PreparedForwardingRule;
use coupon_rules::place::PlaceParts;
use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_rules::sessions::Session;
use offer_urls::{ArchivedOfferUrl, LeadingRule};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use rules::{KnownRules, OfferFailTraffic, OfferRule, TypedRules, VisitorRule};
use validated::Validated;

/// Version of the catalog format.
pub const FORMAT_VERSION: u16 = 1;

const FILE: &str = "catalog file";
const MAGIC: &[u8; 8] = b"CPNCATLG";
/// Length of the header in bytes.
pub const HEADER_LEN: usize = 128;
const ACME_LEN_AT: usize = 56;
const PAYLOAD_HASH_AT: usize = 64;
const HEADER_HASH_AT: usize = HEADER_LEN - HASH_LEN;

/// Origin of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogMeta {
    pub network_id: u32,
    /// The store's history.
    pub lineage: Lineage,
    /// The last included change.
    pub sequence: u64,
}

/// The content of a catalog. Lists are sorted as documented, without duplicates.
#[derive(Archive, Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Key for signing transaction ids.
    pub click_id_key: [u8; 16],
    /// Offsets of the network's zone, by ascending time; the first holds from the beginning.
    pub zone: Vec<ZoneOffset>,
    /// Target of visits without a fallback of an offer or a domain.
    pub fallback: Option<Destination>,
    /// By ascending id.
    pub offers: Vec<Offer>,
    /// By ascending id.
    pub partners: Vec<Partner>,
    /// By ascending (offer, partner).
    pub approvals: Vec<Approval>,
    /// By ascending host.
    pub domains: Vec<Domain>,
    /// Offers refer to a rule by its position, from 1; click records by the id in its operands.
    pub rules: Vec<Rule>,
}

/// An offset of the network's zone, valid from a moment on.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset {
    /// Unix seconds.
    pub from: i64,
    /// Seconds ahead of UTC.
    pub utc_offset: i32,
}

/// The facts of an offer that concern visits.
#[derive(Archive, Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub id: u32,
    pub advertiser_id: u32,
    /// Whether its status is active.
    pub active: bool,
    /// Partners that may run it.
    pub visibility: Visibility,
    /// Last day on which it is live, as [`crate::civil_day::Day`]; 65,535 for ever.
    pub last_day: u16,
    /// Targets of redirected visits. Exactly one in this version.
    pub destinations: Vec<WeightedDestination>,
    /// Target of visits that the offer does not accept.
    pub fallback: Option<Destination>,
    /// Rules to evaluate before a redirect.
    pub rules: Vec<u32>,
}

/// Which partners may run an offer without an approval of their own.
#[derive(Archive, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
#[repr(u8)]
pub enum Visibility {
    /// Every active partner, unless hidden or rejected.
    Public = 1,
    /// Partners with an approval.
    RequireApproval = 2,
    /// Partners with an approval; others do not see the offer.
    Private = 3,
}

/// A destination and its share of the visits.
#[derive(Archive, Serialize, Debug, Clone, PartialEq, Eq)]
pub struct WeightedDestination {
    /// Share, relative to the offer's other destinations.
    pub weight: u32,
    pub destination: Destination,
}

#[derive(Archive, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partner {
    pub id: u32,
    /// Whether the account's status is active.
    pub active: bool,
}

/// The decision on one partner and one offer.
#[derive(Archive, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    pub offer_id: u32,
    pub partner_id: u32,
    pub access: Access,
}

/// A partner's access to an offer.
#[derive(Archive, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
#[repr(u8)]
pub enum Access {
    /// The partner may run the offer.
    Visible = 1,
    /// The partner neither sees nor runs the offer.
    Hidden = 2,
    /// The partner applied and was refused.
    Rejected = 3,
}

#[derive(Archive, Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: u32,
    /// Host name in lower case, without port.
    pub host: String,
    /// Target of its visits that no offer accepts.
    pub fallback: Option<Destination>,
}

/// A rule: an opcode and its operands.
#[derive(Archive, Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub opcode: u16,
    pub operands: Vec<u8>,
}

impl Catalog {
    /// The bytes of the file, without an ACME section.
    ///
    /// # Errors
    /// Where the bytes would not open again.
    pub fn to_file(&self, meta: &CatalogMeta) -> Result<Vec<u8>, SnapshotError> {
        Ok(self.encode(meta, &AcmeDomains::default(), None)?.parts().concat())
    }

    /// Writes the file into memory, and opens it. Shares rules with `known` as
    /// [`CatalogFile::open_after`] does.
    ///
    /// # Errors
    /// Where the bytes would not open again.
    pub fn encode(
        &self,
        meta: &CatalogMeta,
        acme: &AcmeDomains,
        known: Option<&CatalogFile>,
    ) -> Result<CatalogFile, SnapshotError> {
        // Mostly as long as the catalog before. Growing a large archive costs more than writing it.
        let expected = known.map_or(0, |known| known.archive.bytes().len());
        let archive = AlignedVec::with_capacity(expected + expected / 16);
        let archive = rkyv::api::high::to_bytes_in::<_, rancor::Error>(self, archive)
            .map_err(|error| SnapshotError::Content { file: FILE, reason: error.to_string() })?;
        let acme_section = acme.encode();
        let header = header(meta, acme_section.len(), &[&acme_section, &archive]);
        CatalogFile::check(header, acme_section, archive, known)
    }
}

/// The header of a payload, which is given in pieces.
fn header(meta: &CatalogMeta, acme_len: usize, payload: &[&[u8]]) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    let payload_len: usize = payload.iter().map(|piece| piece.len()).sum();
    let mut payload_hash = blake3::Hasher::new();
    for piece in payload {
        payload_hash.update(piece);
    }
    put(0, MAGIC);
    put(8, &FORMAT_VERSION.to_le_bytes());
    put(12, &meta.network_id.to_le_bytes());
    put(16, &meta.lineage.0);
    put(32, &meta.sequence.to_le_bytes());
    put(48, &(payload_len as u64).to_le_bytes());
    put(ACME_LEN_AT, &(acme_len as u64).to_le_bytes());
    put(PAYLOAD_HASH_AT, payload_hash.finalize().as_bytes());
    let hash = blake3::hash(&bytes[..HEADER_HASH_AT]);
    bytes[HEADER_HASH_AT..].copy_from_slice(hash.as_bytes());
    bytes
}

/// An opened catalog with verified hashes, archive and content.
pub struct CatalogFile {
    header: [u8; HEADER_LEN],
    acme_section: Vec<u8>,
    meta: CatalogMeta,
    name: [u8; HASH_LEN],
    acme: AcmeDomains,
    rules: TypedRules,
    visitor_keys: VisitorKeys,
    archive: Validated<ArchivedCatalog>,
}

/// The rules of an offer on earlier visits and conversions of the visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorRules {
    pub session: Session,
    pub already_converted: Option<VisitorRule>,
    pub duplicates: Option<VisitorRule>,
}

/// Length of the file with this header. A reader reads no more, even of a file that grew.
pub fn file_len(header: &[u8]) -> Result<u64, SnapshotError> {
    let header = Header::open(FILE, header, HEADER_LEN, MAGIC, FORMAT_VERSION)?;
    Ok((HEADER_LEN as u64).saturating_add(header.u64(48)))
}

/// The hash by which a manifest names the file with this header.
pub fn name(header: &[u8]) -> Result<[u8; HASH_LEN], SnapshotError> {
    let header = Header::open(FILE, header, HEADER_LEN, MAGIC, FORMAT_VERSION)?;
    Ok(header.array(HEADER_HASH_AT))
}

impl CatalogFile {
    /// Opens a catalog after checking every byte and every rule of the content.
    pub fn open(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Self::open_after(bytes, None)
    }

    /// Like [`CatalogFile::open`], but shares the rules that `known` has with the same bytes, which have
    /// been checked there. An edit changes few of many rules, and typing them is most of the work.
    pub fn open_after(bytes: &[u8], known: Option<&Self>) -> Result<Self, SnapshotError> {
        let header = Header::open(FILE, bytes, HEADER_LEN, MAGIC, FORMAT_VERSION)?;
        header.expect_version("required features", header.u64(40), 0)?;
        let payload = &bytes[HEADER_LEN..];
        let (expected, got) = (header.u64(48), payload.len() as u64);
        if expected != got {
            return Err(SnapshotError::Length { file: FILE, expected, got });
        }
        header.check_hash("payload", payload, PAYLOAD_HASH_AT)?;
        let acme_len = usize::try_from(header.u64(ACME_LEN_AT)).unwrap_or(usize::MAX);
        let (acme_section, archive) = payload
            .split_at_checked(acme_len)
            .ok_or_else(|| header.content_error("its ACME section is longer than the payload"))?;
        let mut aligned = AlignedVec::with_capacity(archive.len());
        aligned.extend_from_slice(archive);
        Self::check(header.array(0), acme_section.to_vec(), aligned, known)
    }

    /// Checks the content behind a header that has been checked or made.
    fn check(
        header: [u8; HEADER_LEN],
        acme_section: Vec<u8>,
        archive: AlignedVec<16>,
        known: Option<&Self>,
    ) -> Result<Self, SnapshotError> {
        let content_error = |reason| SnapshotError::Content { file: FILE, reason };
        let acme = AcmeDomains::decode(&acme_section).map_err(content_error)?;
        let archive = Validated::<ArchivedCatalog>::new(archive)
            .map_err(|error| content_error(error.to_string()))?;
        let known = known.map(|known| KnownRules::new(&known.archive.get().rules, &known.rules));
        let rules = TypedRules::new(&archive.get().rules, known)
            .and_then(|rules| check_content(archive.get(), &rules).map(|()| rules))
            .map_err(content_error)?;
        let fields = Header { file: FILE, bytes: &header };
        let meta = CatalogMeta {
            network_id: fields.u32(12),
            lineage: Lineage(fields.array(16)),
            sequence: fields.u64(32),
        };
        let name = fields.array(HEADER_HASH_AT);
        let visitor_keys = VisitorKeys::new(&ClickIdKey(archive.get().click_id_key));
        Ok(Self { header, acme_section, meta, name, acme, rules, visitor_keys, archive })
    }

    /// The bytes of the file, in the order of these pieces.
    pub fn parts(&self) -> [&[u8]; 3] {
        [&self.header, &self.acme_section, self.archive.bytes()]
    }

    pub fn meta(&self) -> &CatalogMeta {
        &self.meta
    }

    /// The hash by which a manifest names this catalog.
    pub fn name(&self) -> &[u8; HASH_LEN] {
        &self.name
    }

    /// Key for signing transaction ids.
    pub fn click_id_key(&self) -> ClickIdKey {
        ClickIdKey(self.archive.get().click_id_key)
    }

    /// Seconds by which local time is ahead of UTC at a moment.
    pub fn utc_offset_at(&self, unix_seconds: i64) -> i32 {
        let zone = &self.archive.get().zone;
        let after = zone.partition_point(|offset| offset.from.to_native() <= unix_seconds);
        zone.get(after.saturating_sub(1)).map_or(0, |offset| offset.utc_offset.to_native())
    }

    pub fn fallback(&self) -> Option<&crate::destination::ArchivedDestination> {
        self.archive.get().fallback.as_ref()
    }

    pub fn offer(&self, id: u32) -> Option<&ArchivedOffer> {
        by_id(&self.archive.get().offers, id, |offer| offer.id.to_native())
    }

    pub fn partner(&self, id: u32) -> Option<&ArchivedPartner> {
        by_id(&self.archive.get().partners, id, |partner| partner.id.to_native())
    }

    /// The rules of an offer, in the order of the checks.
    #[inline]
    pub fn rules_of(&self, offer: &ArchivedOffer) -> impl Iterator<Item = &OfferRule> {
        offer.rules.iter().filter_map(|position| self.rules.rule(position.to_native()))
    }

    /// The controls that bind all offers.
    #[inline]
    pub fn controls_everywhere(&self) -> impl Iterator<Item = &OfferRule> {
        self.rules.everywhere()
    }

    /// The addresses that every offer refuses.
    #[inline]
    pub fn blocked_addresses(&self) -> &AddressRanges {
        self.rules.blocked_addresses()
    }

    /// Whether a rule binds offers that name no rules.
    #[inline]
    pub fn binds_every_offer(&self) -> bool {
        self.rules.bind_every_offer()
    }

    /// The forwarding rules of an offer.
    pub fn forwarding_of(&self, offer: &ArchivedOffer) -> Option<&[PreparedForwardingRule]> {
        self.rules_of(offer).find_map(|rule| match rule {
            OfferRule::Forwarding(rules) => Some(rules.as_slice()),
            _ => None,
        })
    }

    /// The fail traffic of an offer.
    pub fn fail_traffic_of(&self, offer: &ArchivedOffer) -> Option<&OfferFailTraffic> {
        self.rules_of(offer).find_map(|rule| match rule {
            OfferRule::FailTraffic(fail_traffic) => Some(fail_traffic),
            _ => None,
        })
    }

    /// Whether a rule or a cap asks for earlier visits or conversions.
    #[inline]
    pub fn asks_for_earlier_visits(&self) -> bool {
        self.rules.asks_for_earlier_visits()
    }

    /// The caps of a code and of a partner on an offer, and those that the offer names.
    #[inline]
    pub fn caps_of<'a>(
        &'a self,
        code_id: u32,
        partner_id: u32,
        offer: &'a ArchivedOffer,
    ) -> impl Iterator<Item = &'a Cap> + Clone {
        let named =
            offer.rules.iter().filter_map(|position| match self.rules.rule(position.to_native()) {
                Some(OfferRule::Cap(cap)) => Some(cap),
                _ => None,
            });
        self.rules.indexed_caps().find(code_id, partner_id, offer.id.to_native()).chain(named)
    }

    /// The rules of an offer on earlier visits and conversions of the visitor.
    pub fn visitor_rules_of(&self, offer: &ArchivedOffer) -> VisitorRules {
        let none =
            VisitorRules { session: Session::DEFAULT, already_converted: None, duplicates: None };
        self.rules_of(offer).fold(none, |rules, rule| match rule {
            OfferRule::Session(session) => VisitorRules { session: *session, ..rules },
            OfferRule::AlreadyConverted(rule) => {
                VisitorRules { already_converted: Some(*rule), ..rules }
            }
            OfferRule::Duplicates(rule) => VisitorRules { duplicates: Some(*rule), ..rules },
            _ => rules,
        })
    }

    /// Every cap, in no order.
    pub fn caps(&self) -> impl Iterator<Item = &Cap> {
        self.rules.caps()
    }

    /// The rulesets that ask for parts of a place which are not known: their number, and the parts.
    pub fn rulesets_without_data(&self, known: PlaceParts) -> (u64, PlaceParts) {
        let missing = self.rules.rulesets().map(|ruleset| ruleset.needed_parts() - known);
        let missing = missing.filter(|parts| !parts.is_empty());
        missing.fold((0, PlaceParts::default()), |(count, all), parts| (count + 1, all | parts))
    }

    /// Whether clicks count against a hard cap.
    pub fn counts_clicks(&self) -> bool {
        self.caps().any(Cap::refuses_clicks)
    }

    /// Whether a decision, or the count of a click, depends on when the visitor came last.
    pub fn asks_for_seen_visitors(&self) -> bool {
        self.counts_clicks() || self.rules.refuse_repeats()
    }

    /// Length of the longest session of an offer, in seconds.
    pub fn longest_session_seconds(&self) -> u32 {
        let offers = self.archive.get().offers.iter();
        offers.map(|offer| self.visitor_rules_of(offer).session.seconds).max().unwrap_or_default()
    }

    /// Makes the keys of the network's visitors.
    #[inline]
    pub fn visitor_keys(&self) -> &VisitorKeys {
        &self.visitor_keys
    }

    /// The URL of this id, if it belongs to the offer and is for the partner.
    pub fn offer_url(&self, id: u32, offer_id: u32, partner_id: u32) -> Option<&ArchivedOfferUrl> {
        self.rules.offer_urls()?.find(id, offer_id, partner_id)
    }

    /// The id of the URL that a forwarding rule or a redirect names.
    pub fn url_of_detour(&self, kind: LeadingRule, rule_id: u32) -> Option<u32> {
        self.rules.offer_urls()?.url_of_detour(kind, rule_id)
    }

    /// Target of failed visits that no redirect takes.
    pub fn fail_traffic_url(&self) -> Option<&crate::destination::ArchivedDestination> {
        self.rules.fail_traffic_url()
    }

    /// Whether forwarding and fail traffic apply to offers that are not active.
    #[inline]
    pub fn lead_on_from_paused_offers(&self) -> bool {
        self.rules.lead_on_from_paused_offers()
    }

    /// The tracking domain of a host name in lower case, without port.
    pub fn domain(&self, host: impl AsRef<[u8]>) -> Option<&ArchivedDomain> {
        let domains = &self.archive.get().domains;
        domains
            .binary_search_by(|domain| domain.host.as_bytes().cmp(host.as_ref()))
            .ok()
            .map(|at| &domains[at])
    }

    /// The thumbprint for the answers to HTTP-01 challenges under a tracking domain; `None` where
    /// the domain asks for no certificate from an ACME server.
    pub fn acme_thumbprint(&self, domain: &ArchivedDomain) -> Option<&str> {
        self.acme.answers_for(domain.id.to_native()).then_some(self.acme.thumbprint.as_str())
    }

    /// Whether a partner can run an offer: both active, and the offer public and not hidden or
    /// rejected for the partner, or else visible for it.
    pub fn can_run(&self, partner: &ArchivedPartner, offer: &ArchivedOffer) -> bool {
        let access = self.access(offer.id.to_native(), partner.id.to_native());
        let allowed = match offer.visibility {
            ArchivedVisibility::Public => {
                !matches!(access, Some(ArchivedAccess::Hidden | ArchivedAccess::Rejected))
            }
            _ => access == Some(ArchivedAccess::Visible),
        };
        partner.active && offer.active && allowed
    }

    fn access(&self, offer_id: u32, partner_id: u32) -> Option<ArchivedAccess> {
        let approvals = &self.archive.get().approvals;
        let at = approvals
            .binary_search_by_key(&(offer_id, partner_id), |approval| {
                (approval.offer_id.to_native(), approval.partner_id.to_native())
            })
            .ok()?;
        Some(approvals[at].access)
    }
}

/// Origin and name: the content may be long, and has the key that signs clicks.
impl std::fmt::Debug for CatalogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = blake3::Hash::from_bytes(self.name).to_hex();
        f.debug_struct("CatalogFile").field("meta", &self.meta).field("name", &name).finish()
    }
}

impl Clocks for CatalogFile {
    fn network_offset(&self, unix_seconds: i64) -> i32 {
        self.utc_offset_at(unix_seconds)
    }

    fn offset(&self, zone: &str, unix_seconds: i64) -> Option<i32> {
        self.rules.zone(zone).and_then(|zone| rules::offset_at(&zone.offsets, unix_seconds))
    }
}

/// Finds an id in a list sorted by id.
fn by_id<T>(list: &[T], id: u32, id_of: impl Fn(&T) -> u32) -> Option<&T> {
    // Ids are given in order and rows stay after deletion, so the distance from the first id is
    // mostly the position.
    let guess = id.checked_sub(id_of(list.first()?))? as usize;
    match list.get(guess) {
        Some(item) if id_of(item) == id => Some(item),
        _ => list.binary_search_by_key(&id, id_of).ok().map(|at| &list[at]),
    }
}

fn check_content(catalog: &ArchivedCatalog, rules: &TypedRules) -> Result<(), String> {
    ascending("offers", &catalog.offers, |offer| offer.id.to_native())?;
    ascending("partners", &catalog.partners, |partner| partner.id.to_native())?;
    ascending("approvals", &catalog.approvals, |approval| {
        (approval.offer_id.to_native(), approval.partner_id.to_native())
    })?;
    ascending("domains", &catalog.domains, |domain| domain.host.as_str().to_owned())?;
    ascending("zone offsets", &catalog.zone, |offset| offset.from.to_native())?;
    if catalog.zone.is_empty() {
        return Err("it has no zone offset".into());
    }
    catalog.offers.iter().try_for_each(|offer| check_offer(offer, rules))?;
    let fallbacks = catalog.domains.iter().filter_map(|domain| domain.fallback.as_ref());
    fallbacks
        .chain(catalog.fallback.as_ref())
        .try_for_each(|fallback| fallback.check().map_err(|error| error.to_string()))
}

fn check_offer(offer: &ArchivedOffer, rules: &TypedRules) -> Result<(), String> {
    let id = offer.id.to_native();
    let [only] = offer.destinations.as_slice() else {
        return Err(format!("offer {id} has {} destinations, not one", offer.destinations.len()));
    };
    let positions = offer.rules.iter().map(|position| position.to_native());
    rules.check_positions(positions).map_err(|error| format!("offer {id} {error}"))?;
    std::iter::once(&only.destination)
        .chain(offer.fallback.as_ref())
        .try_for_each(|destination| destination.check())
        .map_err(|error| format!("offer {id}: {error}"))
}

fn ascending<T, K: PartialOrd>(
    what: &str,
    list: &[T],
    key: impl Fn(&T) -> K,
) -> Result<(), String> {
    if list.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])) {
        return Ok(());
    }
    Err(format!("its {what} are out of order"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::destination::{ArchivedDestination, Macro, MacroSink, MacroValues};
    use coupon_rules::control::{Control, ControlKind};
    use coupon_rules::leads::{FailGroup, FailRedirect, FailTraffic, Forwarding, ForwardingRule};
    use coupon_rules::ruleset::Ruleset;
    use coupon_rules::ruleset::hours::{Hours, Slot};
    use coupon_rules::sessions::SessionDefinition;
    use coupon_rules::text_match::{Comparison, TextMatch, Variable};
    use offer_urls::{DetourUrl, OfferUrl, OfferUrls};
    use proptest::prelude::*;
    use rules::NetworkLeads;

    pub(crate) fn destination(url: &str) -> Destination {
        Destination::parse(url).unwrap().destination
    }

    pub(crate) fn offer(id: u32) -> Offer {
        let url = format!("https://shop.example/{id}?t={{transaction_id}}&c={{coupon_code}}");
        Offer {
            id,
            advertiser_id: 1,
            active: true,
            visibility: Visibility::Public,
            last_day: u16::MAX,
            destinations: vec![WeightedDestination { weight: 1, destination: destination(&url) }],
            fallback: None,
            rules: vec![],
        }
    }

    pub(crate) fn sample() -> Catalog {
        Catalog {
            click_id_key: [7; 16],
            zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
            fallback: None,
            offers: vec![offer(16), offer(17), offer(18), offer(24)],
            partners: vec![Partner { id: 1, active: true }, Partner { id: 2, active: true }],
            approvals: vec![Approval { offer_id: 16, partner_id: 2, access: Access::Hidden }],
            domains: vec![Domain { id: 1, host: "go.example.com".into(), fallback: None }],
            rules: vec![],
        }
    }

    pub(crate) fn meta() -> CatalogMeta {
        CatalogMeta { network_id: 1, lineage: Lineage([9; 16]), sequence: 5 }
    }

    #[test]
    fn things_are_found_by_id_and_domains_by_host() {
        let catalog = CatalogFile::open(&sample().to_file(&meta()).unwrap()).unwrap();
        assert_eq!(*catalog.meta(), meta());
        for id in [16, 17, 18, 24] {
            assert_eq!(catalog.offer(id).map(|offer| offer.id.to_native()), Some(id));
        }
        for id in [0, 15, 19, 23, 25, u32::MAX] {
            assert!(catalog.offer(id).is_none());
        }
        assert!(catalog.partner(2).is_some() && catalog.partner(3).is_none());
        assert!(catalog.domain("go.example.com").is_some());
        assert!(catalog.domain("go.example.org").is_none());
    }

    #[test]
    fn visibility_and_access_decide_what_a_partner_can_run() {
        let allowed = |visibility, access: Option<Access>, partner_active, offer_active| {
            let mut catalog = sample();
            catalog.offers = vec![Offer { visibility, active: offer_active, ..offer(1) }];
            catalog.partners = vec![Partner { id: 1, active: partner_active }];
            catalog.approvals = access
                .map(|access| Approval { offer_id: 1, partner_id: 1, access })
                .into_iter()
                .collect();
            let file = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
            file.can_run(file.partner(1).unwrap(), file.offer(1).unwrap())
        };
        use Access::*;
        for access in [None, Some(Visible), Some(Hidden), Some(Rejected)] {
            let refused = matches!(access, Some(Hidden | Rejected));
            assert_eq!(allowed(Visibility::Public, access, true, true), !refused);
            let visible = access == Some(Visible);
            assert_eq!(allowed(Visibility::RequireApproval, access, true, true), visible);
            assert_eq!(allowed(Visibility::Private, access, true, true), visible);
            assert!(!allowed(Visibility::Public, access, false, true));
            assert!(!allowed(Visibility::Public, access, true, false));
        }
    }

    #[test]
    fn local_time_follows_the_zones_offsets() {
        let mut catalog = sample();
        catalog.zone = vec![
            ZoneOffset { from: i64::MIN, utc_offset: 3600 },
            ZoneOffset { from: 1000, utc_offset: 7200 },
        ];
        let catalog = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
        assert_eq!(
            [-5, 999, 1000, 5000].map(|at| catalog.utc_offset_at(at)),
            [3600, 3600, 7200, 7200]
        );
    }

    fn acme() -> AcmeDomains {
        let thumbprint = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ".into();
        AcmeDomains { thumbprint, domain_ids: vec![1, 9] }
    }

    #[test]
    fn a_domain_that_asks_for_a_certificate_has_the_accounts_thumbprint() {
        let mut catalog = sample();
        catalog.domains.push(Domain { id: 2, host: "plain.example".into(), fallback: None });
        let file = catalog.encode(&meta(), &acme(), None).unwrap().parts().concat();
        let opened = CatalogFile::open(&file).unwrap();
        let thumbprint = |host| opened.acme_thumbprint(opened.domain(host).unwrap());
        assert_eq!(thumbprint("go.example.com"), Some(acme().thumbprint.as_str()));
        assert_eq!(thumbprint("plain.example"), None);
        let without = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
        assert_eq!(without.acme_thumbprint(without.domain("go.example.com").unwrap()), None);
    }

    #[test]
    fn a_reader_that_does_not_know_the_acme_section_reads_the_same_catalog() {
        let file = full().encode(&meta(), &acme(), None).unwrap().parts().concat();
        // Such a reader takes the whole payload for the archive.
        let mut payload = AlignedVec::new();
        payload.extend_from_slice(&file[HEADER_LEN..]);
        let archive = Validated::<ArchivedCatalog>::new(payload).unwrap();
        let rules = TypedRules::new(&archive.get().rules, None).unwrap();
        check_content(archive.get(), &rules).unwrap();
        assert_eq!(archive.get().offers.len(), full().offers.len());
        assert_eq!(archive.get().domains[0].host, "go.example.com");
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_is_opened() {
        let good = sample().encode(&meta(), &acme(), None).unwrap().parts().concat();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(CatalogFile::open(&bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(CatalogFile::open(&good[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn a_rule_nobody_here_knows_refuses_the_file() {
        let zones = |names: &[&str]| {
            let zone = |name: &&str| rules::Zone { name: (*name).into(), offsets: vec![] };
            let zones: Vec<rules::Zone> = names.iter().map(zone).collect();
            let operands = rkyv::to_bytes::<rancor::Error>(&zones).unwrap();
            Rule { opcode: 2, operands: [&[0; 4][..], &operands].concat() }
        };
        for (rule, reason) in [
            (Rule { opcode: 5, operands: vec![0; 4] }, "opcode 5 is not known here: upgrade"),
            (Rule { opcode: 3, operands: vec![0xFF; 40] }, "its operands are damaged"),
            (Rule { opcode: 1, operands: vec![0; 3] }, "its operands have no id"),
            (Rule { opcode: 1, operands: vec![1; 40] }, "its bytes are damaged"),
            (Rule { opcode: 2, operands: vec![0xFF; 40] }, "its operands are damaged"),
            (Rule { opcode: 6, operands: vec![0; 8] }, "a cap has 48 bytes"),
            (Rule { opcode: 7, operands: vec![0, 0, 0, 0, 2] }, "one byte of 0 or 1 is expected"),
            (Rule { opcode: 8, operands: vec![0; 4] }, "one byte of 0 or 1 is expected"),
            (Rule { opcode: 11, operands: vec![0; 11] }, "its operands are damaged"),
            (
                Rule { opcode: 11, operands: [&[0; 4][..], &[9], &[0; 7]].concat() },
                "session definition 9 is not known here: upgrade",
            ),
            (zones(&["UTC", "Asia/Tokyo"]), "its zones are out of order"),
            (Rule { opcode: 4, operands: vec![0xFF; 40] }, "its operands are damaged"),
            (Rule::control(1, &Control { variables: vec![], ..control() }).unwrap(), "no variable"),
            (
                Rule::fail_traffic(&FailTraffic { is_by_weight: true, ..fail_traffic() }).unwrap(),
                "all weights of its redirects are 0",
            ),
        ] {
            let mut catalog = sample();
            catalog.rules = vec![rule];
            let error = catalog.to_file(&meta()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn an_offer_names_rulesets_by_their_positions() {
        let ruleset = |id| Rule::ruleset(id, &Ruleset::default()).unwrap();
        let mut catalog = sample();
        catalog.rules = vec![ruleset(7), Rule::zones(vec![]).unwrap(), ruleset(9)];
        catalog.offers[1].rules = vec![3, 1];
        let file = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
        let id = |rule: &OfferRule| match rule {
            OfferRule::Ruleset { id, .. } => *id,
            other => panic!("{other:?} is no ruleset"),
        };
        let ids = |offer| file.rules_of(file.offer(offer).unwrap()).map(id);
        assert_eq!((ids(17).collect::<Vec<_>>(), ids(16).count()), (vec![9, 7], 0));
        for position in [0, 2, 4] {
            catalog.offers[1].rules = vec![position];
            let error = catalog.to_file(&meta()).unwrap_err().to_string();
            assert!(error.contains("which is no rule of offers"), "{error}");
        }
    }

    /// The rules of `after` that are those of `before` in memory, by position; each content checked.
    fn shared(before: &Catalog, after: &Catalog) -> Vec<usize> {
        let open = |catalog: &Catalog, known: Option<&CatalogFile>| {
            CatalogFile::open_after(&catalog.to_file(&meta()).unwrap(), known).unwrap()
        };
        let (known, alone) = (open(before, None), open(after, None));
        let next = open(after, Some(&known));
        assert_eq!(format!("{:?}", next.rules), format!("{:?}", alone.rules));
        let acme = AcmeDomains::default();
        let written = after.encode(&meta(), &acme, Some(&known)).unwrap();
        assert_eq!(written.parts().concat(), alone.parts().concat());
        let all: Vec<*const OfferRule> = known.rules.all().map(std::ptr::from_ref).collect();
        let rules = next.rules.all().enumerate();
        let is_shared = |rule: &OfferRule| all.contains(&std::ptr::from_ref(rule));
        rules.filter(|(_, rule)| is_shared(rule)).map(|(at, _)| at).collect()
    }

    #[test]
    fn rules_of_the_same_bytes_are_shared_with_the_catalog_before() {
        let ruleset = |id: u32, refused_proxies| {
            Rule::ruleset(id, &Ruleset { refused_proxies, ..Ruleset::default() }).unwrap()
        };
        let everywhere = Control { is_everywhere: true, ..control() };
        let mut before = sample();
        before.rules = vec![Rule::control(3, &everywhere).unwrap()];
        before.rules.extend((0..300).map(|id| ruleset(id, 0)));
        let with = |edit: &dyn Fn(&mut Vec<Rule>)| {
            let mut after = before.clone();
            edit(&mut after.rules);
            shared(&before, &after)
        };
        assert_eq!(with(&|_| ()), (0..301).collect::<Vec<_>>());
        let others = |changed: usize, len| (0..len).filter(|at| *at != changed).collect::<Vec<_>>();
        assert_eq!(with(&|rules| rules[40] = ruleset(39, 1)), others(40, 301));
        assert_eq!(with(&|rules| rules.insert(40, ruleset(900, 0))), others(40, 302));
        assert_eq!(with(&|rules| drop(rules.remove(40))), (0..300).collect::<Vec<_>>());
        assert_eq!(with(&|rules| rules.swap(40, 90)), (0..301).collect::<Vec<_>>());
        // The same operands under another opcode are another rule.
        assert_eq!(with(&|rules| rules[40] = Rule::duplicates(39, true)), others(40, 301));
        // More new rules than are looked over leave the ones behind them unshared, not wrong.
        let many = |rules: &mut Vec<Rule>| {
            rules.splice(40..40, (900..1_100).map(|id| ruleset(id, 0)));
        };
        assert_eq!(with(&many)[..40], (0..40).collect::<Vec<_>>());
    }

    fn cap(id: u32, partner_id: u32, code_id: u32) -> Cap {
        Cap {
            id,
            offer_id: 0,
            partner_id,
            code_id,
            is_group: false,
            is_soft: false,
            click_limits: [3, 0, 0, 0],
            has_conversion_limits: false,
        }
    }

    #[test]
    fn caps_are_found_by_code_partner_and_offer_and_sessions_by_offer() {
        let session = Session { definition: SessionDefinition::Address, seconds: 60 };
        let mut catalog = sample();
        catalog.rules = vec![
            Rule::cap(&cap(7, 0, 0)),
            Rule::cap(&cap(8, 1, 0)),
            Rule::cap(&cap(9, 0, 5)),
            Rule::duplicates(70, true),
            Rule::session(&session),
        ];
        catalog.offers[1].rules = vec![1, 4, 5];
        let file = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
        let [other, capped] = [16, 17].map(|id| file.offer(id).unwrap());
        let found = |code_id, partner_id, offer| {
            file.caps_of(code_id, partner_id, offer).map(|cap| cap.id).collect::<Vec<_>>()
        };
        assert_eq!(found(5, 1, capped), [9, 8, 7]);
        assert_eq!((found(6, 2, capped), found(6, 2, other)), (vec![7], vec![]));
        let rules = file.visitor_rules_of(capped);
        assert_eq!((rules.session, rules.already_converted), (session, None));
        assert_eq!(rules.duplicates, Some(VisitorRule { id: 70, fails_over: true }));
        assert_eq!(file.visitor_rules_of(other).session, Session::DEFAULT);
        assert!(file.asks_for_earlier_visits() && file.asks_for_seen_visitors());
        catalog.offers[1].rules = vec![2];
        let error = catalog.to_file(&meta()).unwrap_err().to_string();
        assert!(error.contains("names rule 2, which is no rule of offers"), "{error}");
        catalog.offers[1].rules = vec![4, 1];
        let error = catalog.to_file(&meta()).unwrap_err().to_string();
        assert!(error.contains("names rule 1 too late"), "{error}");
    }

    #[test]
    fn only_hard_click_caps_and_refused_repeats_need_seen_visitors() {
        let needs = |rule| {
            let mut catalog = sample();
            catalog.rules = vec![rule];
            let file = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
            (file.asks_for_earlier_visits(), file.asks_for_seen_visitors())
        };
        assert_eq!(needs(Rule::cap(&cap(7, 0, 0))), (true, true));
        assert_eq!(needs(Rule::cap(&Cap { is_soft: true, ..cap(7, 0, 0) })), (true, false));
        let on_conversions =
            Cap { click_limits: [0; 4], has_conversion_limits: true, ..cap(7, 0, 0) };
        assert_eq!(needs(Rule::cap(&on_conversions)), (true, false));
        assert_eq!(needs(Rule::already_converted(71, true)), (true, false));
        assert_eq!(needs(Rule::duplicates(70, true)), (true, true));
        assert_eq!(needs(Rule::session(&Session::DEFAULT)), (false, false));
    }

    #[test]
    fn zones_of_rules_have_their_own_time() {
        let offsets = |utc_offset| vec![ZoneOffset { from: i64::MIN, utc_offset }];
        let zone = |name: &str, offset| rules::Zone { name: name.into(), offsets: offsets(offset) };
        let mut catalog = sample();
        catalog.rules =
            vec![Rule::zones(vec![zone("UTC", 0), zone("Asia/Tokyo", 32_400)]).unwrap()];
        let file = CatalogFile::open(&catalog.to_file(&meta()).unwrap()).unwrap();
        assert_eq!(file.offset("Asia/Tokyo", 0), Some(32_400));
        assert_eq!((file.offset("UTC", 0), file.offset("Asia/Seoul", 0)), (Some(0), None));
    }

    #[test]
    fn lists_out_of_order_are_refused() {
        let mut catalog = sample();
        catalog.offers.swap(0, 1);
        assert!(catalog.to_file(&meta()).is_err());
        let mut catalog = sample();
        catalog.zone.clear();
        assert!(catalog.to_file(&meta()).is_err());
    }

    struct Line;

    impl MacroValues for Line {
        fn push_value(&self, _: Macro, sink: &mut MacroSink<'_>) {
            sink.push(b"\r\n//evil.example");
        }
    }

    fn check_destination(destination: &ArchivedDestination) {
        let mut url = Vec::new();
        destination.expand(&Line, &mut url);
        assert!(url.iter().all(u8::is_ascii_graphic));
        let url = String::from_utf8(url).unwrap();
        assert!(url.starts_with(&format!("{}/", destination.origin())), "{url}");
    }

    /// Everything that a visit may ask of a catalog.
    fn use_all(catalog: &CatalogFile) {
        let archived = catalog.archive.get();
        for offer in archived.offers.iter() {
            check_destination(&offer.destinations[0].destination);
            offer.fallback.iter().for_each(check_destination);
            assert!(catalog.offer(offer.id.to_native()).is_some());
            for partner in archived.partners.iter() {
                catalog.can_run(partner, offer);
            }
        }
        for domain in archived.domains.iter() {
            domain.fallback.iter().for_each(check_destination);
            assert!(catalog.domain(domain.host.as_bytes()).is_some());
            catalog.acme_thumbprint(domain);
        }
        catalog.fallback().into_iter().for_each(check_destination);
        catalog.fail_traffic_url().into_iter().for_each(check_destination);
        for (id, partner) in [(3, 1), (4, 2), (5, 1)] {
            let url = catalog.offer_url(id, 16, partner);
            url.into_iter().for_each(|url| check_destination(&url.destination));
        }
        catalog.url_of_detour(LeadingRule::Forwarding, 5);
        catalog.utc_offset_at(0);
        catalog.offset("UTC", 0);
        for offer in archived.offers.iter() {
            for rule in catalog.rules_of(offer) {
                if let OfferRule::Ruleset { ruleset, .. } = rule {
                    let _ = ruleset.check_time(catalog, 0);
                }
            }
            catalog.visitor_rules_of(offer);
            let caps: Vec<u32> = catalog.caps_of(1, 1, offer).map(|cap| cap.id).collect();
            assert!(caps.len() <= archived.rules.len());
            let forwarding = catalog.forwarding_of(offer).unwrap_or_default();
            let destinations = forwarding.iter().map(|rule| rule.destination_offer);
            let redirects = catalog.fail_traffic_of(offer).map(|rule| rule.redirects.iter());
            let redirects = redirects.into_iter().flatten().map(|redirect| redirect.offer);
            destinations.chain(redirects).for_each(|id| {
                let _ = catalog.offer(id);
            });
        }
    }

    fn control() -> Control {
        Control {
            kind: ControlKind::TrafficControl,
            is_whitelist: false,
            fails_over: true,
            is_everywhere: false,
            variables: vec![Variable::Sub1 as u8],
            matching: TextMatch::new(Comparison::ExactMatch, ["bad", "worse"]),
            partners: None,
            days: (0, u16::MAX),
        }
    }

    fn fail_traffic() -> FailTraffic {
        let redirect = FailRedirect {
            id: 9,
            offer: 16,
            weight: 0,
            ruleset: Ruleset::default(),
            groups: FailGroup::ALL_BITS,
        };
        FailTraffic { is_by_weight: false, ends_at_network_url: true, redirects: vec![redirect] }
    }

    #[test]
    fn rules_of_offers_stand_in_the_order_of_the_checks() {
        let mut catalog = full();
        for (positions, error) in [
            (vec![2, 1], Some("names rule 1 too late")),
            (vec![5, 4], Some("names rule 4 too late")),
            (vec![6], Some("names rule 6, which is no rule of offers")),
            (vec![1, 2, 4, 5], None),
        ] {
            catalog.offers[1].rules = positions;
            let written = catalog.to_file(&meta()).map_err(|error| error.to_string());
            match error {
                None => assert_eq!(written.map(drop), Ok(())),
                Some(error) => assert!(written.unwrap_err().contains(error), "{error}"),
            }
        }
    }

    fn offer_urls() -> OfferUrls {
        let url = |id, partners: &[u32]| OfferUrl {
            id,
            offer_id: 16,
            partners: partners.to_vec(),
            destination: destination("https://landing.example/{sub1}?u={offer_url_id}"),
        };
        let detours = vec![DetourUrl { kind: 1, rule_id: 5, url_id: 3 }];
        OfferUrls { urls: vec![url(3, &[]), url(4, &[1, 2])], detours }
    }

    #[test]
    fn urls_of_offers_out_of_order_are_refused() {
        let written = |change: fn(&mut OfferUrls)| {
            let mut urls = offer_urls();
            change(&mut urls);
            let mut catalog = sample();
            catalog.rules = vec![Rule::offer_urls(&urls).unwrap()];
            catalog.to_file(&meta()).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(written(|_| ()), Ok(()));
        let changes: [fn(&mut OfferUrls); 3] = [
            |urls| urls.urls.swap(0, 1),
            |urls| urls.urls[1].partners.swap(0, 1),
            |urls| urls.detours.push(urls.detours[0]),
        ];
        for change in changes {
            assert!(written(change).unwrap_err().contains("out of order"));
        }
    }

    fn full() -> Catalog {
        let mut catalog = sample();
        let slot = Slot { day: 1, first_minute: 9, last_minute: 600 };
        let hours = Some(Hours::new(Some("UTC".into()), &[slot]));
        let ruleset = Ruleset { hours, ..Ruleset::default() };
        let utc = rules::Zone {
            name: "UTC".into(),
            offsets: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        };
        let leads = NetworkLeads {
            fail_traffic_url: Some(destination("https://failed.example/{sub1}")),
            lead_on_from_paused_offers: true,
        };
        let rule = ForwardingRule {
            id: 5,
            partners: vec![1],
            destination_offer: 18,
            ruleset: ruleset.clone(),
            variables: vec![],
            days: (0, 9000),
        };
        catalog.rules = vec![
            Rule::control(3, &control()).unwrap(),
            Rule::ruleset(7, &ruleset).unwrap(),
            Rule::zones(vec![utc]).unwrap(),
            Rule::forwarding(&Forwarding { rules: vec![rule] }).unwrap(),
            Rule::fail_traffic(&fail_traffic()).unwrap(),
            Rule::network_leads(&leads).unwrap(),
            Rule::cap(&cap(7, 0, 0)),
            Rule::cap(&cap(8, 1, 0)),
            Rule::already_converted(71, true),
            Rule::duplicates(70, false),
            Rule::session(&Session::DEFAULT),
            Rule::offer_urls(&offer_urls()).unwrap(),
        ];
        catalog.offers[1].rules = vec![1, 2, 7, 9, 10, 11, 4, 5];
        catalog.fallback = Some(destination("https://network.example/{uid}"));
        catalog.offers[0].fallback = Some(destination("https://offer.example/?{sub1}#{sub2}"));
        catalog.domains[0].fallback = Some(destination("https://domain.example/"));
        catalog
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_change_under_right_hashes_panics_or_leaves_an_origin(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let file = full().encode(&meta(), &acme(), None).unwrap().parts().concat();
            use_all(&CatalogFile::open(&file).unwrap());
            let mut payload = file[HEADER_LEN..].to_vec();
            for (at, to) in &changes {
                *at.get_mut(&mut payload) = *to;
            }
            let acme_len = acme().encode().len();
            let resealed = [&header(&meta(), acme_len, &[&payload])[..], &payload].concat();
            if let Ok(catalog) = CatalogFile::open(&resealed) {
                use_all(&catalog);
            }
        }

        #[test]
        fn opening_any_bytes_never_panics(
            payload in proptest::collection::vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>(),
            acme_len in prop_oneof![Just(0), 0_usize..500],
        ) {
            let file = [&header(&meta(), acme_len, &[&payload])[..], &payload].concat();
            let _ = CatalogFile::open(&file);
            let cut = &file[..cut.index(file.len())];
            prop_assert!(CatalogFile::open(cut).is_err());
            let _ = file_len(cut);
        }
    }
}
