//! Certificates from an ACME server: the account's thumbprint, and the state of each host. Keys are
//! never in the store.

use rusqlite::{OptionalExtension, Row};

use super::meta::{self, Sequence};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{CertificateState, CertificateStatus, without_port};

/// The state of a host's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostCertificate {
    /// Without port.
    pub host: String,
    /// SHA-256 of the last certificate, in hex; empty before the first.
    pub fingerprint: String,
    /// Validity of the last certificate, in Unix seconds.
    pub not_before: i64,
    /// See [`HostCertificate::not_before`].
    pub not_after: i64,
    /// Whether coupond has the certificate.
    pub is_installed: bool,
    /// Why the last attempt or the installation failed; empty after a success.
    pub error: String,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Earliest time of the next attempt, in Unix seconds; 0 without a wait.
    pub next_attempt: i64,
    /// A client asked for a new certificate before its time.
    pub is_renewal_requested: bool,
}

impl HostCertificate {
    /// The state before the first attempt.
    #[must_use]
    pub fn new(host: &str) -> HostCertificate {
        HostCertificate { host: host.into(), ..HostCertificate::default() }
    }

    /// Whether there is a certificate, in service or not.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        !self.fingerprint.is_empty()
    }

    /// The state as the API answers it.
    #[must_use]
    pub fn state(self) -> CertificateState {
        let status = match (self.error.is_empty(), self.is_installed) {
            (false, _) => CertificateStatus::Failed,
            (true, true) => CertificateStatus::Issued,
            (true, false) => CertificateStatus::Pending,
        };
        CertificateState {
            status,
            expires_at: self.not_after,
            fingerprint: self.fingerprint,
            error: self.error,
            next_attempt: self.next_attempt,
        }
    }
}

const SELECT: &str = "SELECT host, fingerprint, not_before, not_after, is_installed, error, \
                      failures, next_attempt, is_renewal_requested FROM acme_certificate";

fn read(row: &Row<'_>) -> rusqlite::Result<HostCertificate> {
    Ok(HostCertificate {
        host: row.get(0)?,
        fingerprint: row.get(1)?,
        not_before: row.get(2)?,
        not_after: row.get(3)?,
        is_installed: row.get(4)?,
        error: row.get(5)?,
        failures: row.get(6)?,
        next_attempt: row.get(7)?,
        is_renewal_requested: row.get(8)?,
    })
}

/// Hosts of the domains that ask for a certificate, without port.
pub fn wanted_hosts(connection: &ReadTx<'_>) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT host FROM tracking_domain \
               WHERE certificate = 'acme' AND time_deleted = 0 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let hosts = statement.query_map([], |row| row.get::<_, String>(0))?;
    let hosts = hosts.map(|host| Ok(without_port(&host?).to_owned()));
    hosts.collect::<rusqlite::Result<_>>().map_err(StoreError::from)
}

/// All states, by host; also of hosts that ask for no certificate any more.
pub fn all(connection: &ReadTx<'_>) -> Result<Vec<HostCertificate>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY host"))?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// The state of a host, if there was an attempt.
pub fn find(connection: &ReadTx<'_>, host: &str) -> Result<Option<HostCertificate>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE host = ?1"))?;
    Ok(statement.query_row([host], read).optional()?)
}

/// Writes a state.
pub fn save(tx: &WriteTx<'_>, state: &HostCertificate) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO acme_certificate (host, fingerprint, not_before, not_after, \
               is_installed, error, failures, next_attempt, is_renewal_requested) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    tx.prepare_cached(sql)?.execute((
        &state.host,
        &state.fingerprint,
        state.not_before,
        state.not_after,
        state.is_installed,
        &state.error,
        state.failures,
        state.next_attempt,
        state.is_renewal_requested,
    ))?;
    Ok(())
}

/// Makes an attempt due now, for a certificate that is in order, too.
pub fn request_renewal(tx: &WriteTx<'_>, host: &str) -> Result<(), StoreError> {
    let mut state = find(tx, host)?.unwrap_or_else(|| HostCertificate::new(host));
    state.next_attempt = 0;
    state.is_renewal_requested = true;
    save(tx, &state)
}

/// Forgets the state of a host.
pub fn remove(tx: &WriteTx<'_>, host: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM acme_certificate WHERE host = ?1")?.execute([host])?;
    Ok(())
}

/// Thumbprint of the account's key; empty before the first order.
pub fn thumbprint(connection: &ReadTx<'_>) -> Result<String, StoreError> {
    let mut statement = connection.prepare_cached("SELECT thumbprint FROM acme_account")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// Sets the thumbprint; returns the change after which the catalog holds it, and every domain that
/// asks for a certificate now.
pub fn publish_thumbprint(tx: &WriteTx<'_>, thumbprint: &str) -> Result<Sequence, StoreError> {
    if self::thumbprint(tx)? == thumbprint {
        return Ok(meta::read(tx)?.catalog_seq);
    }
    let sql = "INSERT OR REPLACE INTO acme_account (id, thumbprint) VALUES (1, ?1)";
    tx.execute(sql, [thumbprint])?;
    tx.next_catalog_sequence()
}
