//! Builds the catalog file from the store's rows.
//!
//! A saved URL may not parse any more, because the rules became stricter. This must not block the
//! publication of other objects: its offer is skipped and does not redirect, a fallback URL counts
//! as missing, and the status shows both.
//!
//! There are many offers, and an edit changes one of them. So the offers of the last publication
//! are kept, and only offers with a new revision are read and parsed again ([`KnownOffers`]).
//!
//! A rule that cannot be read any more leaves its offer out: an offer must not be open to everybody
//! because its rules are broken.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_shared::destination::{Destination, Macro};
use coupon_shared::snapshot::catalog::acme::AcmeDomains;
use coupon_shared::snapshot::catalog::offer_urls::{DetourUrl, LeadingRule, OfferUrl, OfferUrls};
use coupon_shared::snapshot::catalog::rules::{NetworkLeads, Zone};
use coupon_shared::snapshot::catalog::{
    Access, Approval, Catalog, CatalogFile, CatalogMeta, Domain, Offer, Partner, Rule, Visibility,
    WeightedDestination, ZoneOffset,
};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

use super::blocked_values::KnownBlocks;
use super::controls::KnownControls;
use super::error::ContentError;
use super::offer_rules::{PublishedRules, ZonesNeeded};
use super::older_daemon::{CatalogForm, close_bound_offers, leave_newer_macros_empty};
use super::visit_rules::VisitRules;
use crate::catalog::{ip_blocklist, without_port};
use crate::store::publication::{self, DomainRow, NetworkRow, OfferRow, OfferUrlRow};
use crate::store::{ReadTx, StoreError, certificates};

/// A stored object missing from the published catalog.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// The object, such as `offer 16`.
    pub what: String,
    /// The reason, and how to mend the object.
    pub error: String,
}

/// The rows of a catalog, except offers.
pub(super) struct CatalogRows {
    network: NetworkRow,
    partners: Vec<(u32, bool)>,
    approvals: Vec<(u32, u32, String)>,
    domains: Vec<DomainRow>,
    acme_thumbprint: String,
    visit_rules: VisitRules,
    offer_urls: Vec<OfferUrlRow>,
    detour_urls: Vec<(LeadingRule, u32, u32)>,
}

impl CatalogRows {
    pub(super) fn read(connection: &ReadTx<'_>) -> Result<CatalogRows, StoreError> {
        Ok(CatalogRows {
            network: publication::network(connection)?,
            partners: publication::partners(connection)?,
            approvals: publication::approvals(connection)?,
            domains: publication::domains(connection)?,
            acme_thumbprint: certificates::thumbprint(connection)?,
            visit_rules: VisitRules::read(connection)?,
            offer_urls: publication::offer_urls(connection)?,
            detour_urls: publication::detour_urls(connection)?,
        })
    }
}

/// Parsed offers of the last publication.
#[derive(Debug, Default)]
pub(super) struct KnownOffers {
    revisions: BTreeMap<u32, u64>,
    /// In ascending order of ids.
    offers: Vec<Offer>,
    /// By offer id; offers without rules have no entry.
    rules: BTreeMap<u32, PublishedRules>,
    /// By offer id.
    left_out: BTreeMap<u32, Vec<LeftOut>>,
    controls: KnownControls,
    blocks: KnownBlocks,
    /// The catalog that was built last, whose rules the next one shares where they are the same.
    catalog: Option<Arc<CatalogFile>>,
}

impl KnownOffers {
    /// Reads the changed offers. After an error the offers are inconsistent: discard them.
    pub(super) fn update(&mut self, connection: &ReadTx<'_>) -> Result<(), StoreError> {
        for (id, revision) in publication::offer_revisions(connection)? {
            if self.revisions.get(&id) != Some(&revision) {
                self.put(&publication::offer(connection, id)?);
                self.revisions.insert(id, revision);
            }
        }
        self.controls.update(connection)?;
        self.blocks.update(connection)
    }

    fn all_left_out(&self) -> Vec<LeftOut> {
        let of_offers = self.left_out.values().flatten();
        let of_rules = self.controls.left_out().chain(self.blocks.left_out());
        of_offers.chain(of_rules).cloned().collect()
    }

    fn put(&mut self, row: &OfferRow) {
        let mut urls = Urls::default();
        let (offer, rules) = match PublishedRules::read(row) {
            Ok(rules) => (offer(row, &mut urls), rules),
            Err(error) => {
                urls.left_out.push(LeftOut { what: format!("offer {}", row.id), error });
                (None, PublishedRules::default())
            }
        };
        match offer.is_some() && !rules.is_empty() {
            true => drop(self.rules.insert(row.id, rules)),
            false => drop(self.rules.remove(&row.id)),
        }
        match (offer, self.offers.binary_search_by_key(&row.id, |offer| offer.id)) {
            (Some(offer), Ok(at)) => self.offers[at] = offer,
            (Some(offer), Err(at)) => self.offers.insert(at, offer),
            (None, Ok(at)) => drop(self.offers.remove(at)),
            (None, Err(_)) => {}
        }
        self.left_out.insert(row.id, urls.left_out);
        self.left_out.retain(|_, left_out| !left_out.is_empty());
    }

    /// The rules of all offers, whose positions are written into the offers. An offer names controls
    /// before its ruleset, as they are asked.
    fn rules(&mut self) -> Result<Vec<Rule>, ContentError> {
        let mut rules: Vec<Rule> = self.controls.rules().collect();
        self.controls.write_positions(&mut self.offers);
        self.blocks.write_positions(rules.len() as u32 + 1, &mut self.offers);
        rules.extend(self.blocks.rules());
        for (id, published) in &self.rules {
            let first = rules.len() as u32 + 1;
            rules.extend_from_slice(&published.rules);
            if let Ok(at) = self.offers.binary_search_by_key(id, |offer| offer.id) {
                self.offers[at].rules.extend(first..=rules.len() as u32);
            }
        }
        rules.extend(self.zones()?);
        Ok(rules)
    }

    fn zones(&self) -> Result<Option<Rule>, ContentError> {
        let needed = || self.rules.values().flat_map(|published| &published.zones);
        if needed().any(|zones| *zones == ZonesNeeded::All) {
            return all_zones().map(Some);
        }
        let mut names: Vec<&str> = needed()
            .filter_map(|zones| match zones {
                ZonesNeeded::One(name) => Some(name.as_str()),
                ZonesNeeded::All => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() { Ok(None) } else { zones_rule(names).map(Some) }
    }
}

fn zones_rule<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Rule, ContentError> {
    let zones = names.into_iter().map(|name| {
        let offsets = zone_offsets(name)?;
        Ok(Zone { name: name.into(), offsets })
    });
    let zones: Vec<Zone> = zones.collect::<Result<_, ContentError>>()?;
    Ok(Rule::zones(zones)?)
}

/// All zones of the database. They are a quarter of a megabyte and stay the same, so they are
/// written once.
fn all_zones() -> Result<Rule, ContentError> {
    static ALL: OnceLock<Rule> = OnceLock::new();
    if let Some(known) = ALL.get() {
        return Ok(known.clone());
    }
    let names: Vec<String> =
        jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    let rule = zones_rule(names.iter().map(String::as_str))?;
    Ok(ALL.get_or_init(|| rule).clone())
}

/// Parses URLs, and collects parse errors.
#[derive(Default)]
struct Urls {
    left_out: Vec<LeftOut>,
    /// The last macro that the daemon knows; newer ones are left empty. `None`: it knows all.
    last_macro: Option<Macro>,
}

/// A catalog file.
pub(super) struct BuiltCatalog {
    pub(super) file: Arc<CatalogFile>,
    /// The skipped objects.
    pub(super) left_out: Vec<LeftOut>,
    /// Active offers that are closed, because the daemon does not know the rules that bind them.
    pub(super) closed_offers: u64,
}

/// Builds the catalog file.
pub(super) fn to_file(
    rows: &CatalogRows,
    offers: &mut KnownOffers,
    form: CatalogForm,
    click_id_key: [u8; 16],
    meta: &CatalogMeta,
) -> Result<BuiltCatalog, ContentError> {
    let mut urls = Urls { left_out: offers.all_left_out(), last_macro: form.last_macro() };
    let partners = rows.partners.iter().map(|&(id, active)| Partner { id, active });
    let mut rules = offers.rules()?;
    rules.extend(network_leads(&rows.network, &mut urls)?);
    rules.extend(blocked_addresses(&rows.network, &mut urls)?);
    if form == CatalogForm::Whole {
        rules.extend(offer_urls(rows, &mut urls)?);
    }
    rows.visit_rules.add_to(&mut rules, &mut offers.offers);
    sort_by_check(&rules, &mut offers.offers);
    let mut published = match form {
        CatalogForm::Whole => std::mem::take(&mut offers.offers),
        // A copy: the offers are as they were in the next whole catalog.
        _ => offers.offers.clone(),
    };
    if let Some(last) = urls.last_macro {
        published.iter_mut().for_each(|offer| leave_newer_macros_empty(offer, last));
    }
    let closed_offers = match form {
        CatalogForm::WithoutRules => {
            let capped = rows.visit_rules.offers_of_unlisted_caps();
            close_bound_offers(&mut rules, &mut published, &capped)
        }
        _ => 0,
    };
    let catalog = Catalog {
        click_id_key,
        zone: zone_offsets(&rows.network.time_zone)?,
        fallback: urls.fallback(&rows.network.fallback_url, || "the network's fallback".into()),
        offers: published,
        partners: partners.collect(),
        approvals: rows.approvals.iter().filter_map(approval).collect(),
        domains: domains(&rows.domains, &mut urls),
        rules,
    };
    let acme = acme_domains(rows, &catalog.domains);
    let file = catalog.encode(meta, &acme, offers.catalog.as_deref());
    if form == CatalogForm::Whole {
        offers.offers = catalog.offers;
    }
    let file = Arc::new(file?);
    offers.catalog = Some(Arc::clone(&file));
    Ok(BuiltCatalog { file, left_out: urls.left_out, closed_offers })
}

/// The network's part of fail traffic; `None` where it has none.
fn network_leads(row: &NetworkRow, urls: &mut Urls) -> Result<Option<Rule>, ContentError> {
    let leads = NetworkLeads {
        fail_traffic_url: urls
            .fallback(&row.global_fail_traffic_url, || "the global_fail_traffic_url".into()),
        lead_on_from_paused_offers: row.is_fail_traffic_on_paused_enabled,
    };
    let has_leads = leads != NetworkLeads::default();
    Ok(has_leads.then(|| Rule::network_leads(&leads)).transpose()?)
}

/// The addresses that every offer refuses; `None` without any.
fn blocked_addresses(row: &NetworkRow, urls: &mut Urls) -> Result<Option<Rule>, ContentError> {
    let ranges = ip_blocklist::address_ranges(&row.ip_blocklist).unwrap_or_else(|error| {
        let what = "the network's ip_blocklist".into();
        urls.left_out.push(LeftOut { what, error });
        AddressRanges::default()
    });
    let has_ranges = !ranges.is_empty();
    Ok(has_ranges.then(|| Rule::blocked_addresses(&ranges)).transpose()?)
}

/// The URLs of offers, and the detours that lead to one; `None` without any.
fn offer_urls(rows: &CatalogRows, urls: &mut Urls) -> Result<Option<Rule>, ContentError> {
    let published = rows.offer_urls.iter().filter_map(|row| {
        let destination = urls
            .parse(&destination_url(row.append_transaction_id, &row.destination_url), || {
                format!("offer URL {}", row.id)
            })?;
        let mut partners = row.partners.clone();
        partners.sort_unstable();
        Some(OfferUrl { id: row.id, offer_id: row.offer_id, partners, destination })
    });
    let urls: Vec<OfferUrl> = published.collect();
    let detours = rows.detour_urls.iter();
    let detours = detours
        .map(|&(kind, rule_id, url_id)| DetourUrl { kind: kind as u8, rule_id, url_id })
        .collect();
    let offer_urls = OfferUrls { urls, detours };
    let has_urls = !offer_urls.is_empty();
    Ok(has_urls.then(|| Rule::offer_urls(&offer_urls)).transpose()?)
}

/// A URL as typed, with the transaction id where the offer appends it.
fn destination_url(append_transaction_id: bool, url: &str) -> Cow<'_, str> {
    match append_transaction_id {
        true => Destination::append_transaction_id(url).into(),
        false => url.into(),
    }
}

/// Opcodes in the order of the checks: controls, ruleset, caps, already converted, duplicates,
/// session, forwarding, fail traffic.
const CHECKS: [u16; 8] = [4, 1, 6, 7, 8, 11, 9, 10];

/// Gives each offer its rules in the order of the checks, whichever part added them first.
fn sort_by_check(rules: &[Rule], offers: &mut [Offer]) {
    let check = |position: &u32| {
        let rule = (*position as usize).checked_sub(1).and_then(|at| rules.get(at));
        rule.and_then(|rule| CHECKS.iter().position(|opcode| *opcode == rule.opcode))
    };
    for offer in offers.iter_mut().filter(|offer| offer.rules.len() > 1) {
        offer.rules.sort_by_key(check);
    }
}

fn offer(row: &OfferRow, urls: &mut Urls) -> Option<Offer> {
    let url = destination_url(row.append_transaction_id, &row.destination_url);
    let destination = urls.parse(&url, || format!("offer {}", row.id))?;
    Some(Offer {
        id: row.id,
        advertiser_id: row.advertiser_id,
        active: row.active,
        visibility: match row.visibility.as_str() {
            "public" => Visibility::Public,
            "require_approval" => Visibility::RequireApproval,
            _ => Visibility::Private,
        },
        last_day: row.last_day.0,
        destinations: vec![WeightedDestination { weight: 1, destination }],
        fallback: urls.fallback(&row.fallback_url, || format!("offer {}'s fallback", row.id)),
        rules: Vec::new(),
    })
}

fn approval((offer_id, partner_id, status): &(u32, u32, String)) -> Option<Approval> {
    let access = match status.as_str() {
        "visible" => Access::Visible,
        "hidden" => Access::Hidden,
        "rejected" => Access::Rejected,
        _ => return None,
    };
    Some(Approval { offer_id: *offer_id, partner_id: *partner_id, access })
}

/// Sorted by host name. The daemon ignores ports, so of domains that differ only in the port the
/// oldest is published.
fn domains(rows: &[DomainRow], urls: &mut Urls) -> Vec<Domain> {
    let mut by_host = BTreeMap::new();
    for row in rows {
        let host = without_port(&row.host).to_ascii_lowercase();
        let what = format!("tracking domain {}", row.id);
        if by_host.contains_key(&host) {
            let error = format!("an older tracking domain has the host {host} on another port");
            urls.left_out.push(LeftOut { what, error });
            continue;
        }
        let fallback = urls.fallback(&row.fallback_url, || format!("{what}'s fallback"));
        by_host.insert(host.clone(), Domain { id: row.id, host, fallback });
    }
    by_host.into_values().collect()
}

/// The published domains that ask for a certificate.
fn acme_domains(rows: &CatalogRows, published: &[Domain]) -> AcmeDomains {
    let asks = rows.domains.iter().filter(|row| row.asks_for_certificate).map(|row| row.id);
    let is_published = |id: &u32| published.iter().any(|domain| domain.id == *id);
    AcmeDomains {
        thumbprint: rows.acme_thumbprint.clone(),
        domain_ids: asks.filter(is_published).collect(),
    }
}

impl Urls {
    fn fallback(&mut self, url: &str, what: impl FnOnce() -> String) -> Option<Destination> {
        if url.is_empty() { None } else { self.parse(url, what) }
    }

    fn parse(&mut self, url: &str, what: impl FnOnce() -> String) -> Option<Destination> {
        let parsed = Destination::parse(url).map_err(|error| {
            self.left_out.push(LeftOut { what: what(), error: error.to_string() });
        });
        let mut destination = parsed.ok()?.destination;
        if let Some(last) = self.last_macro {
            destination.leave_newer_macros_empty(last);
        }
        Some(destination)
    }
}

/// The zone's offsets from 2000 to 2100. The first one also holds for earlier times.
fn zone_offsets(name: &str) -> Result<Vec<ZoneOffset>, ContentError> {
    let unknown = |source| ContentError::Zone { zone: name.into(), source };
    let zone = TimeZone::get(name).map_err(unknown)?;
    let at =
        |year| date(year, 1, 1).to_zoned_datetime(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let (from, to) = (at(2000).map_err(unknown)?, at(2101).map_err(unknown)?);
    let offset =
        |from: i64, at: Timestamp| ZoneOffset { from, utc_offset: zone.to_offset(at).seconds() };
    let mut offsets = vec![offset(i64::MIN, from)];
    for transition in zone.following(from).take_while(|transition| transition.timestamp() < to) {
        let at = transition.timestamp();
        let next = offset(at.as_second(), at);
        if offsets.last().is_none_or(|last| last.utc_offset != next.utc_offset) {
            offsets.push(next);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_its_offsets_for_a_hundred_years() {
        let berlin = zone_offsets("Europe/Berlin").unwrap();
        assert_eq!(berlin[0], ZoneOffset { from: i64::MIN, utc_offset: 3600 });
        assert!(berlin.len() > 200);
        let summer_2026 = 1_774_746_000;
        assert!(berlin.contains(&ZoneOffset { from: summer_2026, utc_offset: 7200 }));
        assert_eq!(zone_offsets("UTC").unwrap().len(), 1);
        assert_eq!(zone_offsets("Asia/Kathmandu").unwrap()[0].utc_offset, 20_700);
        assert!(matches!(zone_offsets("Mars/Olympus"), Err(ContentError::Zone { .. })));
    }

    #[test]
    fn the_last_year_is_complete() {
        let last = zone_offsets("Europe/Berlin").unwrap().last().copied().unwrap();
        let late_october_2100 = 4_128_000_000;
        assert!(last.from > late_october_2100, "{last:?}");
        assert_eq!(last.utc_offset, 3600);
    }

    #[test]
    fn a_host_is_published_once_and_without_its_port() {
        let row = |id, host: &str| DomainRow {
            id,
            host: host.into(),
            fallback_url: "".into(),
            asks_for_certificate: false,
        };
        let rows = [
            row(1, "go.example.com:8080"),
            row(2, "GO.example.com"),
            row(3, "[::1]:80"),
            row(4, "[::2]"),
            row(5, "dot.example.com.:8443"),
        ];
        let mut urls = Urls::default();
        let domains = domains(&rows, &mut urls);
        let hosts: Vec<_> =
            domains.iter().map(|domain| (domain.host.as_str(), domain.id)).collect();
        let expected = [("[::1]", 3), ("[::2]", 4), ("dot.example.com", 5), ("go.example.com", 1)];
        assert_eq!(hosts, expected);
        assert_eq!(urls.left_out[0].what, "tracking domain 2");
    }

    fn row(id: u32, destination_url: &str) -> OfferRow {
        OfferRow {
            id,
            advertiser_id: 1,
            active: true,
            visibility: "public".into(),
            last_day: coupon_shared::civil_day::Day::LAST,
            destination_url: destination_url.into(),
            append_transaction_id: false,
            fallback_url: String::new(),
            ruleset: None,
            forwarding_rules: Vec::new(),
            fail_traffic: None,
            traffic_filters: "[]".into(),
        }
    }

    #[test]
    fn the_rules_of_an_offer_go_with_it_and_a_broken_ruleset_leaves_it_out() {
        let with = |id, body: &str| OfferRow {
            ruleset: Some((id + 70, body.into())),
            ..row(id, "https://shop.example/")
        };
        let germany = r#"{"countries": [{"country_code": "DE", "targeting_type": "include"}]}"#;
        let hours = r#"{"is_use_day_parting": true, "day_parting_apply_to": "selected_timezone",
            "day_parting_timezone_id": 80,
            "days_parting": [{"day_of_week": 1, "start_hour": 9, "end_hour": 16}]}"#;
        let mut known = KnownOffers::default();
        for row in [row(1, "https://shop.example/"), with(2, germany), with(3, hours)] {
            known.put(&row);
        }
        let positions = |known: &mut KnownOffers| {
            let rules = known.rules().unwrap();
            let of = |offer: &Offer| offer.rules.clone();
            (rules.len(), known.offers.iter().map(of).collect::<Vec<_>>())
        };
        // The third rule holds the zone of the hours.
        assert_eq!(positions(&mut known), (3, vec![vec![], vec![1], vec![2]]));
        known.put(&row(2, "https://shop.example/"));
        assert_eq!(positions(&mut known), (2, vec![vec![], vec![], vec![1]]));
        known.put(&with(3, "{\"is_use_day_parting\": true}"));
        assert_eq!(positions(&mut known), (0, vec![vec![], vec![]]));
        assert!(known.left_out[&3][0].error.contains("its ruleset cannot be used"));
    }

    #[test]
    fn hours_of_the_visitor_bring_all_zones() {
        let rule = all_zones().unwrap();
        assert!(rule.operands.len() < 1_000_000, "{} bytes", rule.operands.len());
        assert_eq!(all_zones().unwrap(), rule);
    }

    #[test]
    fn an_offer_is_left_out_as_long_as_its_url_does_not_parse() {
        let mut known = KnownOffers::default();
        let ids = |known: &KnownOffers| known.offers.iter().map(|o| o.id).collect::<Vec<_>>();
        for id in [3, 1, 2] {
            known.put(&row(id, "https://shop.example/?c={coupon_code}"));
        }
        known.put(&row(2, "ftp://x"));
        assert_eq!(ids(&known), [1, 3]);
        assert_eq!(known.left_out[&2][0].what, "offer 2");
        known.put(&row(2, "https://elsewhere.example/"));
        assert_eq!((ids(&known), known.left_out.len()), (vec![1, 2, 3], 0));
        let expected = Destination::parse("https://elsewhere.example/").unwrap().destination;
        assert_eq!(known.offers[1].destinations[0].destination, expected);
    }
}
