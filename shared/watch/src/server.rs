//! The answers to monitors, and the listener that gives them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use coupon_serve::{AcceptLoop, Limits, LocalExecutor, TcpAcceptor};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::{Builder, LocalOptions};
use tokio_util::sync::CancellationToken;

use crate::exposition::expose;
use crate::metric_set::MetricSet;

/// Whether a program takes requests now.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    Ready(Value),
    /// The program starts, drains, or has nothing to serve; the value says why.
    NotReady(Value),
}

/// A program as monitors see it.
pub trait Watched {
    /// `{"status": "ok" | "degraded", "problems": [...], …}`
    fn health(&self) -> impl Future<Output = Value>;
    fn readiness(&self) -> impl Future<Output = Readiness>;
    /// Sets of metrics, each with the prefix of its names.
    fn metrics(&self) -> impl Future<Output = Vec<(&'static str, MetricSet)>>;
}

/// The answer to a monitor; `None` for a path that is not for monitors.
pub async fn answer<B>(
    watched: &impl Watched,
    request: &Request<B>,
) -> Option<Response<Full<Bytes>>> {
    let path = request.uri().path();
    if !matches!(path, "/health" | "/ready" | "/metrics") {
        return None;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = json_answer(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({ "error": "only GET is possible here" }),
        );
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return Some(refusal);
    }
    Some(match path {
        "/health" => json_answer(StatusCode::OK, &watched.health().await),
        "/ready" => match watched.readiness().await {
            Readiness::Ready(state) => json_answer(StatusCode::OK, &state),
            Readiness::NotReady(state) => json_answer(StatusCode::SERVICE_UNAVAILABLE, &state),
        },
        _ => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            match expose(watched.metrics().await, accept) {
                Ok(exposition) => typed(StatusCode::OK, exposition.content_type, exposition.text),
                Err(_) => typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new()),
            }
        }
    })
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    typed(status, "application/json", format!("{body}\n"))
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Starts the thread of the read-only listener; the thread ends after `shutdown`.
///
/// # Errors
/// When the system refuses a thread.
pub fn start<W: Watched + Send + Sync + 'static>(
    listener: TcpListener,
    watched: Arc<W>,
    shutdown: CancellationToken,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let name = "watch".to_owned();
    std::thread::Builder::new().name(name).spawn(move || serve(listener, watched, shutdown))
}

fn limits() -> Limits {
    Limits {
        max_connections: 64,
        // Between two scrapes a monitor keeps its connection.
        idle_timeout: Duration::from_secs(300),
        drain_grace: Duration::from_millis(10),
        drain_deadline: Duration::from_secs(1),
        ..Limits::default()
    }
}

fn serve<W: Watched + Send + Sync + 'static>(
    listener: TcpListener,
    watched: Arc<W>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpAcceptor::from_std(listener)?;
        let make = |_: &std::net::SocketAddr| {
            let watched = Arc::clone(&watched);
            service_fn(move |request| {
                let watched = Arc::clone(&watched);
                async move {
                    let answer = answer(&*watched, &request).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(no_such_path))
                }
            })
        };
        AcceptLoop::with_fixed_limits(listener, limits()).run(make, LocalExecutor, shutdown).await;
        Ok(())
    })
}

fn no_such_path() -> Response<Full<Bytes>> {
    let error = "there is no such path; this listener has /health, /ready and /metrics";
    json_answer(StatusCode::NOT_FOUND, &json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    struct Draining;

    impl Watched for Draining {
        async fn health(&self) -> Value {
            json!({ "status": "ok" })
        }

        async fn readiness(&self) -> Readiness {
            Readiness::NotReady(json!({ "error": "stopping" }))
        }

        async fn metrics(&self) -> Vec<(&'static str, MetricSet)> {
            let mut set = MetricSet::default();
            set.gauge("open", "Open", 1);
            vec![("sample", set)]
        }
    }

    #[test]
    fn monitors_read_and_change_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let thread = start(listener, Arc::new(Draining), shutdown.clone()).unwrap();
        let ask = |method: &str, path: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        for (method, path, status, part) in [
            ("GET", "/health", 200, "{\"status\":\"ok\"}"),
            ("GET", "/ready", 503, "stopping"),
            ("GET", "/metrics", 200, "\nsample_open 1\n"),
            ("HEAD", "/ready", 503, "content-length: 21"),
            ("POST", "/health", 405, "allow: GET"),
            ("GET", "/reload", 404, "/metrics"),
        ] {
            let answer = ask(method, path);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path} {answer}");
            assert!(answer.contains(part), "{method} {path} {answer}");
        }
        shutdown.cancel();
        thread.join().unwrap().unwrap();
    }
}
