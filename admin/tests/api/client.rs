//! A running admin with its own data folder, and a small HTTP client for the tests.

use std::net::SocketAddr;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use coupon_admin::config::Config;
use coupon_admin::serve::Admin;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// An answer, with its body as JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Value,
    /// The body as text.
    pub(crate) text: String,
    /// The body as received.
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of a successful call; panics otherwise.
    pub(crate) fn done(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }

    /// Status, code and field names of a failed call; panics if the error has another form.
    pub(crate) fn refusal(&self) -> (u16, &str, Vec<&str>) {
        assert!(
            self.body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()),
            "{self:?}"
        );
        let fields = self.body["fields"].as_array().unwrap();
        let fields = fields.iter().map(|field| field["field"].as_str().unwrap()).collect();
        (self.status, self.body["code"].as_str().unwrap(), fields)
    }
}

/// Runs all futures concurrently.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        let is_done = waiting.iter().all(|(_, output)| output.is_some());
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) folder: tempfile::TempDir,
    config: Config,
    served: JoinHandle<()>,
    stop: DropGuard,
}

/// An empty network.
pub(crate) async fn start() -> Running {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.path().into(),
        daemon_socket: folder.path().join("nobody.sock"),
        ..Config::default()
    };
    config.limits.drain_timeout = Duration::from_secs(1);
    configure(&mut config);
    let admin = Admin::open(&config).await.unwrap();
    let key = admin.first_key.clone().unwrap().reveal().to_owned();
    run(admin, config, key, folder)
}

fn run(admin: Admin, config: Config, key: String, folder: tempfile::TempDir) -> Running {
    let (address, stop) = (admin.address, CancellationToken::new());
    let served = tokio::spawn(admin.run(stop.clone()));
    Running { address, key, folder, config, served, stop: stop.drop_guard() }
}

/// A network with a domain, an advertiser, offers 1 and 2, and partners 1 (Anna) and 2 (Ben).
pub(crate) async fn start_with_offers() -> Running {
    start_with_offers_and(|_| {}).await
}

pub(crate) async fn start_with_offers_and(configure: impl FnOnce(&mut Config)) -> Running {
    let network = start_with(configure).await;
    network
        .post("trackingdomains", json!({"base_url": "https://go.example.com", "is_default": true}))
        .await
        .done();
    network.post("advertisers", json!({"name": "Shop", "account_status": "active"})).await.done();
    for name in ["Winter Jackets", "Dress Pants"] {
        network.post("offers", offer(name)).await.done();
    }
    for name in ["Anna", "Ben"] {
        network.post("affiliates", json!({"name": name, "account_status": "active"})).await.done();
    }
    network
}

pub(crate) fn offer(name: &str) -> Value {
    json!({
        "name": name, "offer_status": "active", "network_advertiser_id": 1,
        "destination_url": "https://shop.example.com/?t={transaction_id}",
    })
}

/// A code on offer 1, of partner 1.
pub(crate) fn code(code: &str) -> Value {
    json!({"coupon_code": code, "coupon_status": "active", "network_offer_id": 1, "network_affiliate_id": 1})
}

/// The first object with the fields of the second object.
pub(crate) fn with(mut object: Value, over: Value) -> Value {
    object.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    object
}

impl Running {
    /// Stops as on SIGTERM, and starts again in the same folder.
    pub(crate) async fn restart(self, configure: impl FnOnce(&mut Config)) -> Running {
        let Running { key, folder, mut config, served, stop, .. } = self;
        drop(stop);
        served.await.unwrap();
        configure(&mut config);
        run(Admin::open(&config).await.unwrap(), config, key, folder)
    }

    /// Stops as on SIGTERM.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_as(&self.key, method, &format!("/v1/networks/{path}"), body).await
    }

    pub(crate) async fn call_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.call_with(key, method, path, &[], body).await
    }

    pub(crate) async fn call_with(
        &self,
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("x-eflow-api-key", key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(request.body(Full::from(body)).unwrap()).await
    }

    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Answer {
        request.headers_mut().insert("host", self.address.to_string().parse().unwrap());
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = head.status.as_u16();
        let answer = Answer { status, headers: head.headers, body, text, bytes };
        crate::openapi::check(&method, &path, &answer);
        answer
    }
}
