//! Moves a network in over its API: Everflow's, or that of another installation of this program.
//!
//! - Ids stay the same, because links, postbacks and event ids in the field hold them.
//! - Each page is a transaction. A killed import leaves whole pages; the next run skips equal rows
//!   and goes on.
//! - The rules of the API decide (`edit`, `catalog`). The report names each refused row, and the
//!   import goes on.
//! - An object here that no import wrote, or that was edited since, stays unless the caller
//!   overwrites.
//! - Kinds come in the order of their references. Rows that refer to an id of another object here
//!   are refused.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::Value;

use crate::catalog::time_zones::zone_name;
use crate::catalog::{TrackingDomain, parse_base_url};
use crate::outgoing::address::Addresses;
use crate::store::rows::{self, Query};
use crate::store::{DedicatedConnection, StoreError, settings};

mod client;
mod listing;
mod object_kind;
mod object_reader;
mod report;
mod row_writer;

use client::SourceClient;
pub(crate) use client::SourceError;
use listing::{Pages, Row};
use object_kind::ObjectKind;
use object_reader::{ObjectReader, Remark};
use report::NetworkFacts;
pub(crate) use report::Report;

/// Offers whose access of partners is written in one transaction.
const ACCESS_BATCH: usize = 100;
/// Time between lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EverflowImportError {
    /// The other network cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An offer whose redirects wait for their destinations.
struct RedirectingOffer {
    id: u32,
    reader: ObjectReader,
    /// Created, without the redirects.
    is_created: bool,
}

/// Source and rules of an import.
#[derive(Debug)]
pub(crate) struct EverflowImportOptions {
    pub(crate) url: String,
    pub(crate) key: String,
    /// Replace differing objects in any case.
    pub(crate) overwrite: bool,
    /// For the report alone: the caller passes a copy of the store.
    pub(crate) is_dry_run: bool,
    /// The id of the network here, for the report.
    pub(crate) network_id: u32,
    /// Networks that partner postbacks may lead to in addition to the public internet.
    pub(crate) allowed_networks: Vec<IpNet>,
}

/// An import.
pub(crate) struct EverflowImport<'p> {
    client: SourceClient,
    network_id: u32,
    overwrite: bool,
    addresses: Addresses,
    /// Hosts of the source's tracking domains, by id there.
    source_hosts: HashMap<u32, String>,
    /// Ids of tracking domains here, by host.
    own_hosts: HashMap<String, u32>,
    /// Objects without a row of their own here. Their ids may belong to other objects here.
    not_moved: HashSet<(ObjectKind, u32)>,
    /// Written or equal offers.
    offers: Vec<u32>,
    /// Offers whose redirects wait.
    redirecting: Vec<RedirectingOffer>,
    report: Report,
    progress: &'p mut dyn FnMut(&str),
    last_progress: Instant,
}

impl<'p> EverflowImport<'p> {
    /// # Errors
    /// When URL or key cannot be used.
    pub(crate) fn new(
        options: &EverflowImportOptions,
        progress: &'p mut dyn FnMut(&str),
    ) -> Result<EverflowImport<'p>, SourceError> {
        Ok(EverflowImport {
            client: SourceClient::new(&options.url, &options.key)?,
            network_id: options.network_id,
            overwrite: options.overwrite,
            addresses: Addresses::new(&options.allowed_networks),
            source_hosts: HashMap::new(),
            own_hosts: HashMap::new(),
            not_moved: HashSet::new(),
            offers: Vec::new(),
            redirecting: Vec::new(),
            report: Report::new(&options.url, options.is_dry_run),
            progress,
            last_progress: Instant::now(),
        })
    }

    /// Reads the source's settings. Call this first: a wrong URL or key shows before anything is
    /// written.
    ///
    /// # Errors
    /// When the source fails.
    pub(crate) async fn connect(&mut self) -> Result<(), SourceError> {
        self.read_network().await?;
        self.read_domains().await
    }

    /// Imports all kinds. The report is complete afterwards, also after an error.
    ///
    /// # Errors
    /// When the source or the store fails. Whole pages stay.
    pub(crate) async fn run(
        &mut self,
        connection: &mut DedicatedConnection,
    ) -> Result<(), EverflowImportError> {
        let began = Instant::now();
        let done = self.import_all(connection).await;
        self.report.is_complete = done.is_ok();
        self.report.requests = self.client.requests();
        self.report.retries = self.client.retries();
        self.report.seconds = began.elapsed().as_secs_f64();
        done
    }

    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    async fn import_all(
        &mut self,
        connection: &mut DedicatedConnection,
    ) -> Result<(), EverflowImportError> {
        self.read_own_settings(connection)?;
        self.import_list(connection, ObjectKind::Advertisers).await?;
        self.import_list(connection, ObjectKind::Partners).await?;
        self.import_list(connection, ObjectKind::Offers).await?;
        self.import_offer_urls(connection).await?;
        self.set_redirects(connection)?;
        self.import_access(connection).await?;
        self.import_list(connection, ObjectKind::CouponCodes).await?;
        self.import_list(connection, ObjectKind::PartnerPostbacks).await
    }

    /// An older installation of this program has no URLs of offers.
    async fn import_offer_urls(
        &mut self,
        connection: &mut DedicatedConnection,
    ) -> Result<(), EverflowImportError> {
        match self.import_list(connection, ObjectKind::OfferUrls).await {
            Err(EverflowImportError::Source(error)) if error.is_missing_route() => Ok(()),
            imported => imported,
        }
    }

    /// Sends the first request.
    async fn read_network(&mut self) -> Result<(), SourceError> {
        let network = match self.client.get("").await {
            Err(error) if error.is_missing_route() => return Ok(()),
            answer => answer?,
        };
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| network.get(name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        let number = ["timezone_id", "reporting_timezone_id"]
            .iter()
            .find_map(|name| network.get(name)?.as_u64());
        let numbered = number.and_then(|number| zone_name(u32::try_from(number).ok()?).ok());
        let time_zone = text(&["timezone", "time_zone"]);
        let id = network.get("network_id").and_then(Value::as_u64);
        self.report.network = NetworkFacts {
            network_id: id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
            name: text(&["name", "displayed_name"]),
            time_zone: match numbered {
                Some(name) if time_zone.is_empty() => name.to_owned(),
                _ => time_zone,
            },
            currency: text(&["currency_id", "default_currency_id", "currency"]),
        };
        Ok(())
    }

    async fn read_domains(&mut self) -> Result<(), SourceError> {
        let answer = match self.client.get("/domains/tracking").await {
            Err(error) if error.is_missing_route() => return Ok(()),
            answer => answer?,
        };
        for domain in answer.get("domains").and_then(Value::as_array).into_iter().flatten() {
            let id = domain.get("network_tracking_domain_id").and_then(Value::as_u64);
            let url = domain.get("url").and_then(Value::as_str).unwrap_or_default();
            let host = url.split_once("://").map_or(url, |(_, host)| host);
            if let Some(id) = id.and_then(|id| u32::try_from(id).ok()) {
                let host = host.trim_end_matches('/').to_ascii_lowercase();
                self.source_hosts.insert(id, host);
            }
        }
        Ok(())
    }

    fn read_own_settings(&mut self, connection: &DedicatedConnection) -> Result<(), StoreError> {
        let tx = connection.begin_read()?;
        let own = settings::read(&tx)?.settings;
        self.report.here = NetworkFacts {
            network_id: self.network_id,
            name: String::new(),
            time_zone: own.time_zone,
            currency: own.currency,
        };
        for row in rows::list::<TrackingDomain>(&tx, &Query::default())?.rows {
            let (_, host) = parse_base_url(&row.object.base_url).unwrap_or_default();
            self.own_hosts.insert(host, row.id);
        }
        Ok(())
    }

    async fn import_list(
        &mut self,
        connection: &mut DedicatedConnection,
        kind: ObjectKind,
    ) -> Result<(), EverflowImportError> {
        let mut pages = Pages::new(kind);
        while let Some(mut page) = pages.next(&mut self.client).await? {
            for row in &mut page {
                self.complete(kind, pages.is_table(), row).await?;
                self.show_progress(kind, pages.read, pages.total);
            }
            if kind == ObjectKind::CouponCodes {
                self.write_codes(connection, page)?;
                continue;
            }
            let tx = connection.begin_write()?;
            for row in page {
                self.write_row(&tx, kind, row)?;
            }
            tx.commit()?;
        }
        Ok(())
    }

    /// Reads the whole object if the list leaves parts out.
    async fn complete(
        &mut self,
        kind: ObjectKind,
        is_table: bool,
        row: &mut Row,
    ) -> Result<(), SourceError> {
        let has = |part: &str| {
            let related = row.get("relationship").and_then(|related| related.get(part));
            row.get(part).or(related).is_some_and(|part| !part.is_null())
        };
        let is_whole = match kind {
            ObjectKind::Offers => has("payout_revenue") && has("ruleset"),
            // Codes have no parts, and a request for each would take hours.
            ObjectKind::CouponCodes => true,
            _ => !is_table,
        };
        let id = row.get(kind.id_field()).cloned().unwrap_or_default();
        if is_whole || !id.is_u64() {
            return Ok(());
        }
        let path = format!("/{}/{id}?relationship=all", kind.path());
        match self.client.get(&path).await {
            Ok(Value::Object(whole)) => row.extend(whole),
            Ok(_) => {}
            Err(error) if error.is_missing_route() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn show_progress(&mut self, kind: ObjectKind, read: u64, total: Option<u64>) {
        if self.last_progress.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.last_progress = Instant::now();
        let total = total.map(|total| format!(" of {total}")).unwrap_or_default();
        let requests = self.client.requests();
        let line = format!("{}: {read}{total} read, {requests} requests", kind.name());
        (self.progress)(&line);
    }

    async fn import_access(
        &mut self,
        connection: &mut DedicatedConnection,
    ) -> Result<(), EverflowImportError> {
        let offers = std::mem::take(&mut self.offers);
        let total = offers.len() as u64;
        let mut asked = 0;
        for batch in offers.chunks(ACCESS_BATCH) {
            let mut answers = Vec::new();
            for id in batch {
                asked += 1;
                self.show_progress(ObjectKind::Access, asked, Some(total));
                match self.client.get(&format!("/offers/{id}/visibility")).await {
                    Err(error) if error.is_missing_route() => {
                        let text = "is not told by the API; set it here";
                        let remark = Remark { field: "visibility".into(), text: text.into() };
                        self.report.remark(ObjectKind::Access, *id, vec![remark]);
                    }
                    answer => answers.push((*id, answer?)),
                }
            }
            let tx = connection.begin_write()?;
            for (id, answer) in answers {
                self.write_access(&tx, id, &answer)?;
            }
            tx.commit()?;
        }
        Ok(())
    }
}
