//! The private api: health, metrics, reload, preload and the feeds, on a Unix socket.
//!
//! Whoever may open the socket may ask everything here; the socket's mode is the only lock. It has
//! a thread of its own, so neither a long answer nor a stuck asker delays a visitor.

mod health;
pub(crate) mod long_poll;
mod metrics;

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use coupon_serve::{AcceptLoop, Limits, LocalExecutor};
use coupon_shared::code::FoldedCode;
use coupon_shared::snapshot::manifest::ObjectName;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio_util::sync::CancellationToken;

use crate::clicks::ClickLog;
use crate::loader::{LoaderHandle, Served};
use crate::postbacks::Postbacks;
use crate::serving::ThreadMetrics;
use crate::settings::LiveSettings;

/// An answer of the private api.
pub type Answer = Response<Full<Bytes>>;

/// How many unknown codes are told, of all threads together.
const UNKNOWN_CODES_TOLD: usize = 256;

/// What a level's name follows in the path that asks to load it ahead.
const PRELOAD: &str = "/preload/";

/// What the private surface knows and can do.
pub struct ControlApi {
    /// The index.
    pub loader: LoaderHandle,
    /// The serving threads.
    pub threads: Vec<ThreadMetrics>,
    /// The settings in force.
    pub settings: LiveSettings,
    /// The click log.
    pub clicks: Arc<ClickLog>,
    /// The postbacks.
    pub postbacks: Arc<Postbacks>,
}

/// Starts the surface's thread; it ends after `shutdown`, when its requests are answered.
pub fn start(
    listener: std::os::unix::net::UnixListener,
    api: ControlApi,
    shutdown: CancellationToken,
) -> io::Result<std::thread::JoinHandle<io::Result<()>>> {
    let name = "control".to_owned();
    std::thread::Builder::new().name(name).spawn(move || serve(listener, api, shutdown))
}

fn limits() -> Limits {
    Limits {
        max_connections: 64,
        // The feed and the reload may keep their connections between two questions.
        idle_timeout: Duration::from_secs(300),
        drain_grace: Duration::from_millis(10),
        drain_deadline: Duration::from_secs(2),
        ..Limits::default()
    }
}

fn serve(
    listener: std::os::unix::net::UnixListener,
    api: ControlApi,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener)?;
        let api = Rc::new(api);
        let make = |(): &()| {
            let api = Rc::clone(&api);
            service_fn(move |request| {
                let api = Rc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            })
        };
        AcceptLoop::with_fixed_limits(listener, limits()).run(make, LocalExecutor, shutdown).await;
        Ok(())
    })
}

impl ControlApi {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/health") => json_answer(StatusCode::OK, &self.health()),
            (&Method::GET, "/ready") => self.ready(),
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, "/unknown-codes") => json_answer(StatusCode::OK, &self.unknown_codes()),
            (&Method::POST, "/reload") => self.reload().await,
            (&Method::POST, path) if path.starts_with(PRELOAD) => self.preload(path).await,
            (&Method::POST, "/clicks/feed") => self.clicks.feed(request).await,
            (&Method::POST, "/postbacks/feed") => self.postbacks.feed(request).await,
            (_, "/health" | "/ready" | "/metrics" | "/unknown-codes") => method_not_allowed("GET"),
            (_, "/reload" | "/clicks/feed" | "/postbacks/feed") => method_not_allowed("POST"),
            (_, path) if path.starts_with(PRELOAD) => method_not_allowed("POST"),
            _ => json_answer(StatusCode::NOT_FOUND, &json!({ "error": "there is no such path" })),
        }
    }

    fn ready(&self) -> Answer {
        match self.loader.served() {
            Some(served) => json_answer(StatusCode::OK, &served_json(Some(served))),
            None => {
                let problem = self.loader.status().problem;
                json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": problem }))
            }
        }
    }

    /// Looks at the manifest now; the answer tells what is served afterwards.
    async fn reload(&self) -> Answer {
        let result = self.loader.reload().await;
        let mut body = served_json(self.loader.served());
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
        json_answer(status, &body)
    }

    /// Loads a level ahead of the manifest that will name it.
    async fn preload(&self, path: &str) -> Answer {
        let Some(name) = path.strip_prefix(PRELOAD).and_then(ObjectName::from_hex) else {
            let error = "a level is named by 64 hex digits";
            return json_answer(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        };
        match self.loader.preload(name).await {
            Ok(()) => json_answer(StatusCode::OK, &json!({})),
            Err(error) => json_answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "error": error })),
        }
    }

    /// The commonest unknown codes of all threads, most visits first.
    fn unknown_codes(&self) -> Value {
        let mut visits = std::collections::HashMap::<FoldedCode, u64>::new();
        for thread in &self.threads {
            let seen = thread.unknown_codes.lock().unwrap_or_else(PoisonError::into_inner);
            for seen in seen.iter() {
                *visits.entry(seen.code).or_default() += seen.visits;
            }
        }
        let mut visits: Vec<_> = visits.into_iter().collect();
        visits.sort_by_key(|(code, visits)| (std::cmp::Reverse(*visits), *code));
        visits.truncate(UNKNOWN_CODES_TOLD);
        let codes = visits
            .into_iter()
            .map(|(code, visits)| json!({ "code": code.as_str(), "visits_at_least": visits }));
        json!({ "codes": codes.collect::<Vec<_>>() })
    }
}

fn served_json(served: Option<Served>) -> Value {
    json!({
        "generation": served.map(|served| served.generation),
        "sequence": served.map(|served| served.sequence),
        "lineage": served.map(|served| served.lineage.to_string()),
    })
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    answer(status, "application/json", format!("{body}\n"))
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn method_not_allowed(allowed: &'static str) -> Answer {
    let body = json!({ "error": format!("only {allowed} is possible here") });
    let mut answer = json_answer(StatusCode::METHOD_NOT_ALLOWED, &body);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
