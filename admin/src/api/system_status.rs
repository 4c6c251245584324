//! `/v1/networks/status`: the state of the system.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::geo::{self, GeoDatabase};
use super::state::AppState;
use crate::acme::CertificatesStatus;
use crate::backup::{self, LastBackup};
use crate::click_ingest::ClickIngestStatus;
use crate::conversions::postback_ingest::PostbackStatus;
use crate::disk::DiskSpace;
use crate::edges::hub::{HubHandle, HubStatus};
use crate::nodes::DaemonStatus;
use crate::privacy::PrivacyStatus;
use crate::publish::PublicationStatus;
use crate::store::advertisers::{self, AdvertisersWithoutProof};
use crate::store::outbox::{self, Backlog};
use crate::store::partner_postbacks::PostbackOutbox;
use crate::store::webhooks::WebhookOutbox;
use crate::store::{ReadTx, StoreError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(status))
}

/// The state of the system.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SystemStatus {
    pub(crate) disk: DiskSpace,
    pub(crate) publication: PublicationStatus,
    /// Each coupond, in the order in which they joined.
    pub(crate) daemons: Vec<DaemonStatus>,
    /// Couponds on other machines; `null` where no NATS server is configured.
    #[schema(value_type = Option<HubStatus>)]
    pub(crate) edges: Option<HubStatus>,
    pub(crate) intake: ClickIngestStatus,
    pub(crate) postbacks: PostbackStatus,
    pub(crate) pixels: Backlog,
    /// Deliveries to webhooks.
    pub(crate) webhooks: Backlog,
    pub(crate) privacy: PrivacyStatus,
    pub(crate) certificates: CertificatesStatus,
    /// Where visitors are.
    pub(crate) geo: Vec<GeoDatabase>,
    pub(crate) advertisers_without_proof: AdvertisersWithoutProof,
    /// The last backup of this data folder; `null` if none was made here.
    #[schema(value_type = Option<LastBackup>)]
    pub(crate) last_backup: Option<LastBackup>,
}

/// How the disk, publication, the intake of clicks and postbacks, partner postbacks, webhooks,
/// forgetting, certificates, databases of places and backups stand, and which advertisers believe anybody who
/// sends a postback.
#[utoipa::path(get, path = "/status", responses((status = 200, body = SystemStatus)))]
async fn status(State(state): State<AppState>) -> Result<Json<SystemStatus>, ApiError> {
    Ok(Json(state.system_status().await?))
}

impl AppState {
    /// The state of the system at this moment.
    pub(crate) async fn system_status(&self) -> Result<SystemStatus, StoreError> {
        let read = |connection: &ReadTx<'_>| {
            Ok::<_, StoreError>((
                outbox::backlog::<PostbackOutbox>(connection)?,
                outbox::backlog::<WebhookOutbox>(connection)?,
                advertisers::without_proof(connection)?,
            ))
        };
        let (pixels, webhooks, advertisers_without_proof) = self.store.read(read).await?;
        Ok(SystemStatus {
            disk: self.disk.space(),
            publication: self.publisher.status(),
            daemons: self.nodes.statuses(),
            edges: self.hub.as_ref().map(HubHandle::status),
            intake: self.intake.status(),
            postbacks: self.postbacks.status(),
            pixels,
            webhooks,
            privacy: self.privacy.status(),
            certificates: self.certificates.status(),
            geo: geo::databases(&self.geo),
            advertisers_without_proof,
            last_backup: backup::last_backup(self.disk.folder()),
        })
    }
}

impl SystemStatus {
    /// Faults, each a sentence with its mend.
    pub(crate) fn problems(&self) -> Vec<String> {
        let failing = |what: &str, error: &Option<String>| {
            error.as_ref().map(|error| format!("{what}: {error}"))
        };
        let mut problems = Vec::new();
        if self.disk.is_low {
            let free = self.disk.free_bytes.unwrap_or(0) >> 20;
            let reserve = self.disk.reserve_bytes >> 20;
            problems.push(format!(
                "{free} MiB are free on the disk of the data folder, less than the reserve of {reserve} \
                 MiB: free some space; bulk work is refused until then"
            ));
        }
        problems.extend(failing("edits are not published", &self.publication.last_error));
        let refused = &self.publication.daemon_error;
        problems.extend(failing("coupond does not serve the published index", refused));
        problems.extend(failing("clicks are not fetched", &self.intake.last_error));
        problems.extend(failing("sales are not decided", &self.postbacks.last_error));
        problems.extend(self.daemons.iter().filter_map(|daemon| daemon.conflict.clone()));
        if let Some(edges) = &self.edges {
            problems.extend(edges.problems());
        }
        problems.extend(failing("nothing is removed by age", &self.privacy.last_error));
        if self.privacy.clock_has_jumped {
            problems.extend(self.privacy.removal_waits.clone());
        }
        problems.extend(self.certificates.problems.iter().cloned());
        let compared = &self.certificates.last_error;
        problems.extend(failing("certificates cannot be compared with coupond", compared));
        problems.extend(self.geo.iter().filter_map(|database| database.problem.clone()));
        problems
    }

    /// Facts that somebody should know although nothing is at fault.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> =
            self.geo.iter().filter_map(|database| database.warning.clone()).collect();
        if self.daemons.is_empty() {
            warnings.push(
                "there is no coupond (daemon_socket is \"none\", and no other one has joined): edits \
                 reach no visitor, and no clicks and sales come"
                    .to_owned(),
            );
        }
        if self.pixels.dead > 0 {
            let dead = self.pixels.dead;
            warnings.push(format!(
                "{dead} partner postbacks were given up after their last attempt: replay or discard them"
            ));
        }
        if self.webhooks.dead > 0 {
            let dead = self.webhooks.dead;
            warnings.push(format!(
                "{dead} events were not delivered to webhooks after the last attempt: replay them"
            ));
        }
        if self.privacy.clicks_removed_for_room > 0 {
            let (clicks, bound) =
                (self.privacy.clicks_removed_for_room, self.privacy.archive_max_bytes);
            warnings.push(format!(
                "{clicks} of the oldest clicks were removed since the start, because the click archive \
                 reached archive.max_bytes ({bound}): raise it, or shorten privacy.click_retention_days"
            ));
        }
        if self.postbacks.missing + self.intake.missing > 0 {
            let (clicks, sales) = (self.intake.missing, self.postbacks.missing);
            warnings.push(format!(
                "coupond no longer had {clicks} clicks and {sales} postbacks that were asked for"
            ));
        }
        warnings
    }
}
