//! The state of the router, and the parts that handlers take.

use std::sync::Arc;

use axum::extract::FromRef;
use coupon_geo::GeoWatcher;

use super::auth::{AuthConfig, AuthLayer};
use super::bodies::Bodies;
use super::events::EventStreams;
use super::reports::EventFeed;
use super::route_latency::RouteLatencies;
use crate::accounts::session::Lifetimes;
use crate::acme::AcmeHandle;
use crate::archive::Archive;
use crate::click_ingest::ClickIngestHandle;
use crate::conversions::postback_ingest::PostbackHandle;
use crate::disk::Disk;
use crate::edges::hub::HubHandle;
use crate::jobs::JobsHandle;
use crate::nodes::NodeRegistry;
use crate::partner_postbacks::PartnerPostbacks;
use crate::places::PlaceLists;
use crate::privacy::PrivacyHandle;
use crate::publish::PublisherHandle;
use crate::smart_switch::SmartSwitch;
use crate::store::Store;
use crate::uploads::Uploads;
use crate::visit_state::VisitStateHandle;
use crate::webhooks::Webhooks;

/// The state of the router. Each handler takes single parts.
#[derive(Clone)]
pub struct AppState {
    /// The SQLite store.
    pub store: Store,
    /// Free space for bulk work.
    pub disk: Disk,
    /// The network's id in answers.
    pub network: Network,
    /// Request limits and trusted proxies.
    pub auth: AuthConfig,
    /// How long users stay signed in.
    pub lifetimes: Lifetimes,
    /// Bounds on request bodies.
    pub bodies: Bodies,
    /// Publishes edits.
    pub publisher: PublisherHandle,
    /// The click archive.
    pub archive: Archive,
    /// State of click ingest.
    pub intake: ClickIngestHandle,
    /// State of each daemon.
    pub nodes: NodeRegistry,
    /// State of erasures and retention.
    pub privacy: PrivacyHandle,
    /// State of postback ingest.
    pub postbacks: PostbackHandle,
    /// Bulk jobs.
    pub jobs: JobsHandle,
    /// Bulk uploads.
    pub uploads: Uploads,
    /// Sender of partner postbacks.
    pub pixels: PartnerPostbacks,
    /// Sender of webhooks.
    pub webhooks: Webhooks,
    /// Runs SmartSwitch rules.
    pub smart_switch: SmartSwitch,
    /// State of certificates.
    pub certificates: AcmeHandle,
    /// State of the edges; `None` where none is configured.
    pub hub: Option<HubHandle>,
    /// Counts of caps and converted visitors.
    pub visit_state: VisitStateHandle,
    /// Databases of places.
    pub geo: Arc<GeoWatcher>,
    /// The places that they know.
    pub places: PlaceLists,
    /// Clicks and conversions as they come.
    pub events: EventFeed,
    /// How long answers take.
    pub latencies: RouteLatencies,
    /// Readers of the network's events.
    pub event_streams: EventStreams,
}

/// The network's number in answers.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// As configured.
    pub id: u32,
}

macro_rules! parts {
    ($($field:ident: $part:ty),+ $(,)?) => {
        $(impl FromRef<AppState> for $part {
            fn from_ref(state: &AppState) -> $part {
                state.$field.clone()
            }
        })+
    };
}

parts! {
    store: Store,
    lifetimes: Lifetimes,
    disk: Disk,
    publisher: PublisherHandle,
    archive: Archive,
    intake: ClickIngestHandle,
    privacy: PrivacyHandle,
    postbacks: PostbackHandle,
    jobs: JobsHandle,
    uploads: Uploads,
    pixels: PartnerPostbacks,
    webhooks: Webhooks,
    smart_switch: SmartSwitch,
    certificates: AcmeHandle,
    hub: Option<HubHandle>,
    visit_state: VisitStateHandle,
    geo: Arc<GeoWatcher>,
    places: PlaceLists,
    events: EventFeed,
    event_streams: EventStreams,
}

impl FromRef<AppState> for Network {
    fn from_ref(state: &AppState) -> Network {
        state.network
    }
}

impl FromRef<AppState> for AuthLayer {
    fn from_ref(state: &AppState) -> AuthLayer {
        AuthLayer::new(state.store.clone(), state.auth.clone(), state.bodies.clone())
    }
}
