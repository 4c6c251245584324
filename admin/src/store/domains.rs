//! Tracking domains. The default domain is recorded in the settings only.

use rusqlite::Row;
use rusqlite::types::Value;

use super::rows::{Compared, DELETED, Entity, FIRST, Filterable, Stored, Vocabulary, word};
use super::{ReadTx, StoreError, WriteTx, certificates};
use crate::catalog::{
    CertificateSource, CertificateState, CertificateStatus, OwnHosts, TrackingDomain,
    parse_base_url, without_port,
};

impl Entity for TrackingDomain {
    const TABLE: &'static str = "tracking_domain";
    const SELECT: &'static str = "base_url, fallback_url, certificate, \
                                  id IS (SELECT default_tracking_domain_id FROM settings)";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_tracking_domain_id", column: "id", kind: Compared::Number },
        Filterable { field: "base_url", column: "base_url", kind: Compared::Text },
        Filterable {
            field: "certificate",
            column: "certificate",
            kind: Compared::Word(Vocabulary::from_word_set::<CertificateSource>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<TrackingDomain> {
        Ok(TrackingDomain {
            base_url: row.get(FIRST)?,
            fallback_url: row.get(FIRST + 1)?,
            certificate: word(row, FIRST + 2)?,
            is_default: row.get(FIRST + 3)?,
            certificate_state: CertificateState::default(),
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        let (base_url, host) = parse_base_url(&self.base_url).unwrap_or_default();
        vec![
            ("base_url", base_url.into()),
            ("host", host.into()),
            ("fallback_url", self.fallback_url.clone().into()),
            ("certificate", self.certificate.as_str().to_owned().into()),
        ]
    }

    fn load_parts(connection: &ReadTx<'_>, rows: &mut [Stored<Self>]) -> Result<(), StoreError> {
        for domain in rows.iter_mut().map(|row| &mut row.object) {
            if domain.certificate == CertificateSource::Acme {
                domain.certificate_state = certificate_state(connection, &domain.base_url)?;
            }
        }
        Ok(())
    }

    /// The network's only domain becomes the default, unless another is set.
    fn save_parts(&self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        let sql = "UPDATE settings SET default_tracking_domain_id = ?1, time_saved = ?2 \
                   WHERE default_tracking_domain_id IS NOT ?1 AND (?3 OR default_tracking_domain_id IS NULL \
                   AND NOT EXISTS (SELECT 1 FROM tracking_domain WHERE id <> ?1 AND time_deleted = 0))";
        tx.execute(sql, (id, tx.now(), self.is_default))?;
        Ok(())
    }
}

fn certificate_state(
    connection: &ReadTx<'_>,
    base_url: &str,
) -> Result<CertificateState, StoreError> {
    let (_, host) = parse_base_url(base_url).unwrap_or_default();
    let found = certificates::find(connection, without_port(&host))?;
    let pending =
        CertificateState { status: CertificateStatus::Pending, ..CertificateState::default() };
    Ok(found.map_or(pending, |found| found.state()))
}

/// Another domain with this host, on any port, and its base URL.
pub fn with_host(
    connection: &ReadTx<'_>,
    host: &str,
    own_id: Option<u32>,
) -> Result<Option<(u32, String)>, StoreError> {
    let name = without_port(host);
    let others = all(connection)?.into_iter().filter(|other| Some(other.id) != own_id);
    let mut named = others.filter(|other| without_port(&other.host) == name);
    Ok(named.next().map(|other| (other.id, other.base_url)))
}

/// Addresses of a domain.
#[derive(Debug)]
pub struct DomainAddress {
    /// The domain.
    pub id: u32,
    /// As stored.
    pub base_url: String,
    /// As stored, possibly with a port.
    pub host: String,
    /// May be empty.
    pub fallback_url: String,
}

/// Domains that are not deleted, by id; a short list.
pub fn all(connection: &ReadTx<'_>) -> Result<Vec<DomainAddress>, StoreError> {
    let sql = "SELECT id, base_url, host, fallback_url FROM tracking_domain WHERE time_deleted = 0 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let domains = statement.query_map([], |row| {
        Ok(DomainAddress {
            id: row.get(0)?,
            base_url: row.get(1)?,
            host: row.get(2)?,
            fallback_url: row.get(3)?,
        })
    })?;
    Ok(domains.collect::<Result<_, _>>()?)
}

/// Hosts of all domains that are not deleted.
pub fn own_hosts(connection: &ReadTx<'_>) -> Result<OwnHosts, StoreError> {
    let sql = "SELECT base_url FROM tracking_domain WHERE time_deleted = 0";
    let mut statement = connection.prepare_cached(sql)?;
    let base_urls = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(OwnHosts::from_base_urls(base_urls.collect::<Result<Vec<_>, _>>()?))
}

/// Number of offers that are not deleted and name this domain.
pub fn offers_on(connection: &ReadTx<'_>, id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM offer WHERE tracking_domain_id = ?1 AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}
