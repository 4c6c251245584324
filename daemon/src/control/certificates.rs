//! `/certificates`: lists, installs and removes the certificates from coupon-admin.

use std::io;

use coupon_serve::tls::CertificateWatcher;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::ControlApi;
use crate::clock::unix_ms;
use crate::http_answer::{self, HttpAnswer, json_error, method_not_allowed};
use crate::installed_certificates::{InstallError, InstalledCertificates};

/// The path before the host.
pub(super) const CERTIFICATES: &str = "/certificates/";
/// Two PEM texts of the largest size, escaped as JSON.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A chain and its key, as PEM. Without `Debug`, because of the key.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    chain: String,
    key: String,
}

impl ControlApi {
    pub(super) async fn certificates(&self) -> HttpAnswer {
        let list = on_files(&self.certificates, |certificates| Ok(certificates.list()?)).await;
        answer(list.map(|list| json!({ "certificates": list })))
    }

    pub(super) async fn certificate(&self, request: Request<Incoming>) -> HttpAnswer {
        let path = request.uri().path();
        let host = path.strip_prefix(CERTIFICATES).unwrap_or_default().to_owned();
        match *request.method() {
            Method::PUT => self.install_certificate(host, request.into_body()).await,
            Method::DELETE => {
                let removed = on_files(&self.certificates, move |files| files.remove(&host)).await;
                match removed {
                    Ok(false) => {
                        let error = "coupon-admin has installed no certificate for this host";
                        json_error(StatusCode::NOT_FOUND, error)
                    }
                    removed => answer(removed.map(|_| json!({}))),
                }
            }
            _ => method_not_allowed("PUT, DELETE"),
        }
    }

    async fn install_certificate(&self, host: String, body: Incoming) -> HttpAnswer {
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            let error = format!("the body did not arrive, or has more than {MAX_BODY_BYTES} bytes");
            return json_error(StatusCode::PAYLOAD_TOO_LARGE, &error);
        };
        // Without the parser's text, which could repeat parts of the key.
        let Ok(Pair { chain, key }) = serde_json::from_slice(&body.to_bytes()) else {
            let error = "the body must be a JSON object with `chain` and `key`, both PEM texts";
            return json_error(StatusCode::BAD_REQUEST, error);
        };
        let now = i64::try_from(unix_ms() / 1000).unwrap_or(i64::MAX);
        let install = move |files: &InstalledCertificates| {
            let installed = files.install(&host, &chain, &key, now)?;
            tracing::info!(host, "certificate installed");
            Ok(json!(installed))
        };
        let installed = on_files(&self.certificates, install).await;
        self.watcher.iter().for_each(CertificateWatcher::look_now);
        answer(installed)
    }
}

/// Runs on a thread of its own: a slow disk must delay neither health nor the feeds.
async fn on_files<T: Send + 'static>(
    files: &InstalledCertificates,
    work: impl FnOnce(&InstalledCertificates) -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    let files = files.clone();
    let done = tokio::task::spawn_blocking(move || work(&files)).await;
    done.map_err(|error| InstallError::Write(io::Error::other(error)))?
}

fn answer(result: Result<Value, InstallError>) -> HttpAnswer {
    match result {
        Ok(body) => http_answer::json(StatusCode::OK, &body),
        Err(error @ InstallError::Write(_)) => {
            json_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
        Err(error) => json_error(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}
