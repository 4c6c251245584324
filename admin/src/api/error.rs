//! Error answers: a sentence, a stable code, and the errors of fields.
//!
//! Details of internal errors go to the log, never into an answer.

use std::any::Any;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::catalog::FieldError;
use crate::disk::LowDiskSpace;
use crate::edit::EditError;
use crate::store::StoreError;

/// `Retry-After` of a 503, in seconds.
const RETRY_AFTER_S: &str = "5";

/// An error answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    fields: Vec<FieldError>,
}

/// The body of every error answer.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    /// A sentence that says how to mend the request.
    #[schema(example = "coupon_code: has 2 characters; at least 3 are needed")]
    error: String,
    /// A stable code.
    #[schema(example = "request.invalid")]
    code: &'static str,
    /// The errors of single fields.
    fields: Vec<FieldError>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError { status, code, message: message.into(), fields: Vec::new() }
    }

    /// 400 for one field, parameter or column.
    pub(crate) fn field(field: impl Into<String>, error: impl Into<String>) -> ApiError {
        ApiError::fields(vec![FieldError { field: field.into(), error: error.into() }])
    }

    /// 400 for several fields.
    pub(crate) fn fields(fields: Vec<FieldError>) -> ApiError {
        let message = match fields.as_slice() {
            [one] => format!("{}: {}", one.field, one.error),
            many => format!("{} fields are wrong", many.len()),
        };
        ApiError { status: StatusCode::BAD_REQUEST, code: "request.invalid", message, fields }
    }

    /// Adds field errors.
    pub(crate) fn with_fields(self, fields: Vec<FieldError>) -> ApiError {
        ApiError { fields, ..self }
    }

    /// 500; the log has the cause.
    pub(crate) fn inside() -> ApiError {
        let message = "something went wrong inside; nothing was saved, and the log says more";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = ErrorBody { error: self.message, code: self.code, fields: self.fields };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> ApiError {
        match error {
            EditError::NotFound { .. } => ApiError::not_found(error.to_string()),
            EditError::Invalid(fields) => ApiError::fields(fields),
            EditError::NoDataForRule(ref fields) => {
                let (status, code) = (StatusCode::BAD_REQUEST, "no_data_for_rule");
                ApiError::new(status, code, error.to_string()).with_fields(fields.clone())
            }
            EditError::Conflict { code, message, fields } => {
                ApiError { status: StatusCode::CONFLICT, code, message, fields }
            }
            EditError::Stale { .. } => {
                ApiError::new(StatusCode::PRECONDITION_FAILED, "object.changed", error.to_string())
            }
            EditError::NotARepetition => {
                ApiError::new(StatusCode::CONFLICT, "idempotency.mismatch", error.to_string())
            }
            EditError::TooManyRepeatable { .. } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                ApiError::new(status, "idempotency.too_many", error.to_string())
            }
            EditError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let (status, code) = match error {
            StoreError::Full => (StatusCode::INSUFFICIENT_STORAGE, "store.full"),
            StoreError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "store.busy"),
            _ => {
                tracing::error!(%error, "the store failed");
                return ApiError::inside();
            }
        };
        tracing::warn!(%error, "write refused");
        ApiError::new(status, code, error.to_string())
    }
}

impl From<LowDiskSpace> for ApiError {
    fn from(error: LowDiskSpace) -> ApiError {
        tracing::warn!(%error, "bulk work refused");
        ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk.low", error.to_string())
    }
}

pub(super) async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} cannot be used with {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method.not_allowed", message)
}

pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or("without a message"), "request handler panicked");
    ApiError::inside().into_response()
}
