//! The control API: health, metrics, reload, preload, certificates, visit state and the feeds, over
//! HTTP on a Unix socket; and the read-only part of it for monitors, on a TCP listener.
//!
//! The socket's file mode is the only access control. The API has a thread of its own, so neither a
//! long answer nor a stalled client delays visitors.
//!
//! Each answer on the socket states who answers ([`coupon_shared::node_identity`]).

mod certificates;
mod health;
mod metrics;
mod state;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use coupon_geo::GeoWatcher;
use coupon_serve::tls::{CertificateWatcher, TlsCounters};
use coupon_serve::{AcceptLoop, Limits, LocalExecutor, TrustedProxies};
use coupon_shared::code::FoldedCode;
use coupon_shared::feed::OLDEST_INCARNATION_HEADER;
use coupon_shared::node_identity::{EXPECTED_STORE_HEADER, NodeStamp};
use coupon_shared::snapshot::manifest::ObjectName;
use coupon_shared::visit_state;
use coupon_watch::{MetricSet, Readiness, Watched};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use certificates::CERTIFICATES;

use crate::clicks::ClickLog;
use crate::clock::unix_ms;
use crate::http_answer::{self, HttpAnswer, json_error, method_not_allowed};
use crate::installed_certificates::InstalledCertificates;
use crate::loader::{LoaderHandle, ServedIndexInfo};
use crate::operation::OperationState;
use crate::postbacks::Postbacks;
use crate::settings::LiveSettings;
use crate::thread_metrics::ThreadMetrics;
use crate::visit_state::LiveVisitState;

/// Most unknown codes in an answer, for all threads together.
const UNKNOWN_CODES_TOLD: usize = 256;

/// The path before the name of the level to load ahead.
const PRELOAD: &str = "/preload/";

/// The parts of the program that the control API reads and commands.
pub struct ControlApi {
    pub loader: LoaderHandle,
    pub threads: Vec<ThreadMetrics>,
    pub settings: LiveSettings,
    pub clicks: Arc<ClickLog>,
    pub postbacks: Arc<Postbacks>,
    /// The certificates that the admin installed.
    pub(crate) certificates: InstalledCertificates,
    /// The proxies that may connect, and counts of refused connections.
    pub proxies: Arc<TrustedProxies>,
    /// Counts of TLS handshakes.
    pub handshakes: Arc<TlsCounters>,
    /// The certificates; `None` without a listener that speaks TLS.
    pub watcher: Option<CertificateWatcher>,
    /// Databases of places.
    pub geo: Arc<GeoWatcher>,
    /// State of visits.
    pub visit_state: Arc<LiveVisitState>,
    /// State of the running program.
    pub operation: Arc<OperationState>,
    /// Folders whose free space is shown, by their keys.
    pub folders: Vec<(&'static str, PathBuf)>,
    /// The limits of one serving thread.
    pub limits: watch::Receiver<Limits>,
    /// Why there is no listener for monitors although one is configured.
    pub monitor_problem: Option<String>,
    /// Ends the API.
    pub shutdown: CancellationToken,
}

/// Starts the API's thread, which ends after its shutdown once all requests are answered.
pub fn start(
    listener: std::os::unix::net::UnixListener,
    api: Arc<ControlApi>,
) -> io::Result<std::thread::JoinHandle<io::Result<()>>> {
    let name = "control".to_owned();
    std::thread::Builder::new().name(name).spawn(move || serve(listener, api))
}

fn limits() -> Limits {
    Limits {
        max_connections: 64,
        // Feed and reload clients keep their connections between two requests.
        idle_timeout: Duration::from_secs(300),
        drain_grace: Duration::from_millis(10),
        drain_deadline: Duration::from_secs(2),
        ..Limits::default()
    }
}

fn serve(listener: std::os::unix::net::UnixListener, api: Arc<ControlApi>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener)?;
        let shutdown = api.shutdown.clone();
        let make = |(): &()| {
            let api = Arc::clone(&api);
            service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            })
        };
        AcceptLoop::with_fixed_limits(listener, limits()).run(make, LocalExecutor, shutdown).await;
        Ok(())
    })
}

/// Space of the file system below a folder of the configuration.
struct DiskSpace {
    /// The folder's key.
    folder: &'static str,
    free_bytes: u64,
    size_bytes: u64,
}

impl ControlApi {
    /// Space below each folder of which the system knows it.
    fn disk_spaces(&self) -> impl Iterator<Item = DiskSpace> + '_ {
        self.folders.iter().filter_map(|(folder, path)| {
            let system = rustix::fs::statvfs(path).ok()?;
            let [free_bytes, size_bytes] =
                [system.f_bavail, system.f_blocks].map(|blocks| blocks * system.f_frsize);
            Some(DiskSpace { folder, free_bytes, size_bytes })
        })
    }

    /// Answers a request, and states who answers.
    async fn answer(&self, request: Request<Incoming>) -> HttpAnswer {
        // Read before the feed looks for clicks: the admin takes earlier clicks for given.
        let now_ms = unix_ms();
        let stamp = NodeStamp { identity: self.clicks.identity().clone(), now_ms };
        let mut answer = match self.is_for_another_folder(&request) {
            true => json_error(StatusCode::CONFLICT, "the request is for another data folder"),
            false => self.dispatch(request).await,
        };
        let headers = answer.headers_mut();
        for (name, value) in stamp.headers() {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let oldest = HeaderName::from_static(OLDEST_INCARNATION_HEADER);
        headers.entry(oldest).or_insert_with(|| self.clicks.oldest_incarnation().into());
        answer
    }

    /// Whether the request expects the data folder of another daemon.
    fn is_for_another_folder(&self, request: &Request<Incoming>) -> bool {
        let own = self.clicks.identity().store;
        request.headers().get(EXPECTED_STORE_HEADER).is_some_and(|expected| {
            let expected = expected.to_str().ok().and_then(|text| text.parse().ok());
            expected != Some(own)
        })
    }

    async fn dispatch(&self, request: Request<Incoming>) -> HttpAnswer {
        if let Some(answer) = coupon_watch::answer(self, &request).await {
            return answer;
        }
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/unknown-codes") => {
                http_answer::json(StatusCode::OK, &self.unknown_codes())
            }
            (&Method::POST, "/reload") => self.reload().await,
            (&Method::POST, path) if path.starts_with(PRELOAD) => self.preload(path).await,
            (&Method::POST, visit_state::PATH) => self.receive_state(request.into_body()).await,
            (&Method::POST, "/clicks/feed") => {
                self.clicks.feed(request, self.shutdown.clone()).await
            }
            (&Method::POST, "/postbacks/feed") => {
                self.postbacks.feed(request, self.shutdown.clone()).await
            }
            (&Method::GET, "/certificates") => self.certificates().await,
            (_, path) if path.starts_with(CERTIFICATES) => self.certificate(request).await,
            (_, "/unknown-codes" | "/certificates") => method_not_allowed("GET"),
            (_, "/reload" | "/clicks/feed" | "/postbacks/feed" | visit_state::PATH) => {
                method_not_allowed("POST")
            }
            (_, path) if path.starts_with(PRELOAD) => method_not_allowed("POST"),
            _ => json_error(StatusCode::NOT_FOUND, "there is no such path"),
        }
    }

    /// Loads the current manifest now; the answer says which index is served afterwards.
    async fn reload(&self) -> HttpAnswer {
        let result = self.loader.reload().await;
        let mut body = self.served_json();
        let status = match result {
            Ok(()) => StatusCode::OK,
            Err(error) => {
                body["error"] = error.to_string().into();
                if error.is_conflict() {
                    StatusCode::CONFLICT
                } else {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
            }
        };
        http_answer::json(status, &body)
    }

    /// The index in service, and what the admin must know before it saves rules.
    fn served_json(&self) -> Value {
        let mut body = served_json(self.loader.served());
        body["geo_parts"] = self.geo.current().parts().names().collect();
        body
    }

    /// Loads a level before a manifest names it.
    async fn preload(&self, path: &str) -> HttpAnswer {
        let Some(name) = path.strip_prefix(PRELOAD).and_then(ObjectName::from_hex) else {
            let error = "a level is named by 64 hex digits";
            return json_error(StatusCode::BAD_REQUEST, error);
        };
        match self.loader.preload(name).await {
            Ok(()) => http_answer::json(StatusCode::OK, &json!({})),
            Err(error) => json_error(StatusCode::UNPROCESSABLE_ENTITY, &error),
        }
    }

    /// The most frequent unknown codes of all threads, most visits first.
    fn unknown_codes(&self) -> Value {
        let mut visits = std::collections::HashMap::<FoldedCode, u64>::new();
        for thread in &self.threads {
            let seen = thread.unknown_codes.lock().unwrap_or_else(PoisonError::into_inner);
            for seen in seen.iter() {
                *visits.entry(seen.code).or_default() += seen.visits;
            }
        }
        let mut visits: Vec<_> = visits.into_iter().collect();
        // By code as well, so that the order is the same each time.
        visits.sort_by_key(|(code, visits)| (std::cmp::Reverse(*visits), *code));
        visits.truncate(UNKNOWN_CODES_TOLD);
        let codes = visits
            .into_iter()
            .map(|(code, visits)| json!({ "code": code.as_str(), "visits_at_least": visits }));
        json!({ "codes": codes.collect::<Vec<_>>() })
    }
}

impl Watched for ControlApi {
    async fn health(&self) -> Value {
        self.health_json()
    }

    async fn readiness(&self) -> Readiness {
        if self.operation.is_draining() {
            return Readiness::NotReady(json!({ "error": "stopping" }));
        }
        match self.loader.served() {
            Some(served) => Readiness::Ready(served_json(Some(served))),
            None => Readiness::NotReady(json!({ "error": self.loader.status().problem })),
        }
    }

    async fn metrics(&self) -> Vec<(&'static str, MetricSet)> {
        vec![("coupond", self.metric_set()), ("process", coupon_watch::process_metrics())]
    }
}

fn served_json(served: Option<ServedIndexInfo>) -> Value {
    json!({
        "generation": served.map(|served| served.generation),
        "sequence": served.map(|served| served.sequence),
        "lineage": served.map(|served| served.lineage.to_string()),
        "features": [
            coupon_shared::snapshot::catalog::rules::FEATURE,
            coupon_shared::further_values::FEATURE,
            coupon_shared::snapshot::catalog::offer_urls::FEATURE,
        ],
    })
}
