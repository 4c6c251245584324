//! Calls of the API's router in this process, as the signed-in user.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::viewer::Viewer;
use crate::api::SignedIn;
use crate::catalog::FieldError;

/// The API's router, called without a socket.
#[derive(Clone)]
pub(crate) struct ApiClient(Router);

/// A request to the API.
pub(crate) struct ApiRequest {
    method: Method,
    path: String,
    body: Option<Value>,
    if_match: Option<String>,
    idempotency_key: Option<String>,
}

impl ApiRequest {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> ApiRequest {
        let path = path.into();
        ApiRequest { method, path, body: None, if_match: None, idempotency_key: None }
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> ApiRequest {
        ApiRequest { body: Some(body), ..ApiRequest::new(Method::POST, path) }
    }

    pub(crate) fn put(path: impl Into<String>, body: Value) -> ApiRequest {
        ApiRequest { body: Some(body), ..ApiRequest::new(Method::PUT, path) }
    }

    pub(crate) fn patch(path: impl Into<String>, body: Value) -> ApiRequest {
        ApiRequest { body: Some(body), ..ApiRequest::new(Method::PATCH, path) }
    }

    pub(crate) fn delete(path: impl Into<String>) -> ApiRequest {
        ApiRequest::new(Method::DELETE, path)
    }

    /// The state of the object that the user saw; an empty text is no condition.
    pub(crate) fn if_match(mut self, etag: &str) -> ApiRequest {
        self.if_match = Some(etag.to_owned()).filter(|etag| !etag.is_empty());
        self
    }

    /// The same form sent twice creates one object; an empty text is no key.
    pub(crate) fn idempotency_key(mut self, key: &str) -> ApiRequest {
        self.idempotency_key = Some(key.to_owned()).filter(|key| !key.is_empty());
        self
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct ApiAnswer {
    pub(crate) body: Value,
    /// The object's entity tag, or empty.
    pub(crate) etag: String,
    /// Whether the daemon serves the change; `None` where the request did not wait for that.
    pub(crate) is_live: Option<bool>,
}

impl ApiAnswer {
    /// A number of the answered object, such as its id; 0 if absent.
    pub(crate) fn number(&self, field: &str) -> u64 {
        self.body[field].as_u64().unwrap_or_default()
    }
}

/// A refusal by the API.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    /// The sentence of the API.
    #[serde(default)]
    pub(crate) error: String,
    /// The stable code.
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) fields: Vec<FieldError>,
}

impl Refusal {
    pub(super) fn inside(error: &dyn std::fmt::Display) -> Refusal {
        tracing::error!(%error, "the console does not understand an answer of the API");
        Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "something went wrong inside; the log says more".into(),
            code: "internal".into(),
            fields: Vec::new(),
        }
    }

    /// Whether the user can mend the request by editing the form.
    pub(crate) fn is_of_form(&self) -> bool {
        matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT)
    }

    /// Whether another user changed the object in the meantime.
    pub(crate) fn is_stale(&self) -> bool {
        self.status == StatusCode::PRECONDITION_FAILED
    }
}

impl ApiClient {
    pub(super) fn new(api: Router) -> ApiClient {
        ApiClient(api)
    }

    /// Reads `path`, which begins with `/v1/`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        viewer: &Viewer,
        path: &str,
    ) -> Result<T, Refusal> {
        let answer = self.send(viewer, ApiRequest::new(Method::GET, path)).await?;
        serde_json::from_value(answer.body).map_err(|error| Refusal::inside(&error))
    }

    /// Asks a query whose parameters are a body.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        viewer: &Viewer,
        path: &str,
        body: Value,
    ) -> Result<T, Refusal> {
        let answer = self.send(viewer, ApiRequest::post(path, body)).await?;
        serde_json::from_value(answer.body).map_err(|error| Refusal::inside(&error))
    }

    pub(crate) async fn send(
        &self,
        viewer: &Viewer,
        request: ApiRequest,
    ) -> Result<ApiAnswer, Refusal> {
        let mut built = Request::builder().method(request.method).uri(request.path);
        if let Some(etag) = &request.if_match {
            built = built.header(IF_MATCH, etag);
        }
        if let Some(key) = &request.idempotency_key {
            built = built.header("idempotency-key", key);
        }
        let body = match &request.body {
            Some(body) => {
                built = built.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = built.body(body).map_err(|error| Refusal::inside(&error))?;
        self.answer(viewer, request).await
    }

    /// Sends a request with any body, such as an upload.
    pub(crate) async fn answer(
        &self,
        viewer: &Viewer,
        request: Request<Body>,
    ) -> Result<ApiAnswer, Refusal> {
        let response = self.forward(viewer, request).await;
        let (status, headers) = (response.status(), response.headers());
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let etag = text(ETAG.as_str()).unwrap_or_default().to_owned();
        let is_live = text("x-coupon-live").map(|live| live == "true");
        let bytes = whole(response).await?;
        if !status.is_success() {
            return Err(refusal(status, &bytes));
        }
        let body = serde_json::from_slice(&bytes).map_err(|error| Refusal::inside(&error))?;
        Ok(ApiAnswer { body, etag, is_live })
    }

    /// Sends a request as it is, and returns the answer as it comes, such as a download.
    pub(crate) async fn forward(&self, viewer: &Viewer, mut request: Request<Body>) -> Response {
        request
            .extensions_mut()
            .insert(SignedIn { caller: viewer.caller(), session_id: viewer.session().id });
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

async fn whole(response: Response) -> Result<Bytes, Refusal> {
    let collected = response.into_body().collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| Refusal::inside(&error))
}

fn refusal(status: StatusCode, bytes: &[u8]) -> Refusal {
    let said: Result<Refusal, _> = serde_json::from_slice(bytes);
    said.map_or_else(|error| Refusal::inside(&error), |said| Refusal { status, ..said })
}
