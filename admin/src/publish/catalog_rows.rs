//! The catalog file's content from the store's rows.
//!
//! A URL that does not parse (by rules that became stricter since it was saved) must not keep
//! everything else from being published: its offer is left out, which does not redirect, a
//! fallback counts as none, and both are told.
//!
//! What was parsed for the publication before is not parsed again: an edit changes one URL of many.

use std::collections::{BTreeMap, HashMap};

use coupon_shared::destination::{Destination, DestinationError};
use coupon_shared::snapshot::catalog::{
    Access, Approval, Catalog, Domain, Offer, Partner, Visibility, WeightedDestination, ZoneOffset,
};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use rusqlite::Connection;

use super::content::ContentError;
use crate::store::StoreError;
use crate::store::publication::{self, DomainRow, OfferRow};

/// Something stored that is not in the published catalog, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// What, such as `offer 16`.
    pub what: String,
    /// Why; says how to mend it.
    pub error: String,
}

/// Everything the catalog is made of.
pub(super) struct CatalogRows {
    time_zone: String,
    fallback_url: String,
    offers: Vec<OfferRow>,
    partners: Vec<(u32, bool)>,
    approvals: Vec<(u32, u32, String)>,
    domains: Vec<DomainRow>,
}

impl CatalogRows {
    pub(super) fn read(connection: &Connection) -> Result<CatalogRows, StoreError> {
        let (time_zone, fallback_url) = publication::network(connection)?;
        Ok(CatalogRows {
            time_zone,
            fallback_url,
            offers: publication::offers(connection)?,
            partners: publication::partners(connection)?,
            approvals: publication::approvals(connection)?,
            domains: publication::domains(connection)?,
        })
    }
}

/// URLs and what they were parsed into.
#[derive(Debug, Default)]
pub(super) struct ParsedUrls(HashMap<String, Destination>);

impl ParsedUrls {
    /// More are not remembered.
    const MOST: usize = 50_000;

    fn parse(&mut self, url: &str) -> Result<Destination, DestinationError> {
        if let Some(parsed) = self.0.get(url) {
            return Ok(parsed.clone());
        }
        let destination = Destination::parse(url)?.destination;
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(url.to_owned(), destination.clone());
        Ok(destination)
    }
}

/// What the rows become on their way: URLs parsed, or told of.
struct Urls<'a> {
    parsed: &'a mut ParsedUrls,
    left_out: Vec<LeftOut>,
}

/// The catalog, and what is not in it.
pub(super) fn to_catalog(
    rows: &CatalogRows,
    click_id_key: [u8; 16],
    parsed: &mut ParsedUrls,
) -> Result<(Catalog, Vec<LeftOut>), ContentError> {
    let mut urls = Urls { parsed, left_out: Vec::new() };
    let partners = rows.partners.iter().map(|&(id, active)| Partner { id, active });
    let catalog = Catalog {
        click_id_key,
        zone: zone_offsets(&rows.time_zone)?,
        fallback: urls.fallback(&rows.fallback_url, || "the network's fallback".into()),
        offers: rows.offers.iter().filter_map(|row| offer(row, &mut urls)).collect(),
        partners: partners.collect(),
        approvals: rows.approvals.iter().filter_map(approval).collect(),
        domains: domains(&rows.domains, &mut urls),
        rules: Vec::new(),
    };
    Ok((catalog, urls.left_out))
}

fn offer(row: &OfferRow, urls: &mut Urls<'_>) -> Option<Offer> {
    let url = match row.append_transaction_id {
        true => &Destination::append_transaction_id(&row.destination_url),
        false => &row.destination_url,
    };
    let destination = urls.parse(url, || format!("offer {}", row.id))?;
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

/// By host name. Domains that differ only in their port are one to the daemon: the oldest counts.
fn domains(rows: &[DomainRow], urls: &mut Urls<'_>) -> Vec<Domain> {
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

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

impl Urls<'_> {
    fn fallback(&mut self, url: &str, what: impl FnOnce() -> String) -> Option<Destination> {
        if url.is_empty() { None } else { self.parse(url, what) }
    }

    fn parse(&mut self, url: &str, what: impl FnOnce() -> String) -> Option<Destination> {
        let parsed = self.parsed.parse(url);
        parsed
            .map_err(|error| {
                self.left_out.push(LeftOut { what: what(), error: error.to_string() });
            })
            .ok()
    }
}

/// The zone's offsets from 2000 to 2100. The first holds from the beginning.
fn zone_offsets(name: &str) -> Result<Vec<ZoneOffset>, ContentError> {
    let unknown = |source| ContentError::Zone { zone: name.into(), source };
    let zone = TimeZone::get(name).map_err(unknown)?;
    let at = |year| date(year, 1, 1).to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
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
        let row = |id, host: &str| DomainRow { id, host: host.into(), fallback_url: "".into() };
        let rows = [
            row(1, "go.example.com:8080"),
            row(2, "GO.example.com"),
            row(3, "[::1]:80"),
            row(4, "[::2]"),
        ];
        let mut parsed = ParsedUrls::default();
        let mut urls = Urls { parsed: &mut parsed, left_out: Vec::new() };
        let domains = domains(&rows, &mut urls);
        let hosts: Vec<_> =
            domains.iter().map(|domain| (domain.host.as_str(), domain.id)).collect();
        assert_eq!(hosts, [("[::1]", 3), ("[::2]", 4), ("go.example.com", 1)]);
        assert_eq!(urls.left_out[0].what, "tracking domain 2");
    }

    #[test]
    fn what_was_parsed_before_is_the_same_again_and_what_does_not_parse_is_told_each_time() {
        let mut parsed = ParsedUrls::default();
        for _ in 0..2 {
            let mut urls = Urls { parsed: &mut parsed, left_out: Vec::new() };
            let url = "https://shop.example/?c={coupon_code}";
            let expected = Destination::parse(url).unwrap().destination;
            assert_eq!(urls.parse(url, || "offer 1".into()), Some(expected));
            assert_eq!(urls.parse("ftp://x", || "offer 2".into()), None);
            assert_eq!(urls.left_out[0].what, "offer 2");
        }
    }
}
