//! Path and query parameters of uploads.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema};

use crate::api::error::ApiError;
use crate::api::request::{Id, Wait, parameters, parse_bool, unknown};
use crate::api::schema::parameter;
use crate::catalog::{BulkMode, FieldError, UnknownWord};
use crate::store::staging::Intent;

/// `mode` and `allow_reissue`.
pub(super) struct UploadParameters(pub(super) Intent);

impl<S: Sync> FromRequestParts<S> for UploadParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (mut mode, mut allow_reissue) = (None, false);
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "mode" => mode = Some(parse_mode(&value)?),
                "allow_reissue" => allow_reissue = parse_bool(&name, &value)?,
                _ => return Err(unknown(&name, "mode, allow_reissue")),
            }
        }
        let mode = mode.ok_or_else(|| ApiError::field("mode", "must be `add` or `update`"))?;
        Ok(UploadParameters(Intent { mode, allow_reissue }))
    }
}

impl IntoParams for UploadParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Codes that once belonged to another partner are issued anew";
        let mut mode =
            parameter("mode", ParameterIn::Query, "What the rows do", BulkMode::schema());
        mode.required = Required::True;
        vec![mode, parameter("allow_reissue", ParameterIn::Query, about, bool::schema())]
    }
}

/// `mode`; `add` by default.
pub(super) struct TemplateMode(pub(super) BulkMode);

impl<S: Sync> FromRequestParts<S> for TemplateMode {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut mode = BulkMode::Add;
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "mode" => mode = parse_mode(&value)?,
                _ => return Err(unknown(&name, "mode")),
            }
        }
        Ok(TemplateMode(mode))
    }
}

impl IntoParams for TemplateMode {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(
            "mode",
            ParameterIn::Query,
            "`add` where it is not said",
            BulkMode::schema(),
        )]
    }
}

/// `skip_invalid` and `wait`.
pub(super) struct CommitParameters {
    pub(super) skip_invalid: bool,
    pub(super) wait: Wait,
}

impl<S: Sync> FromRequestParts<S> for CommitParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut found = CommitParameters { skip_invalid: false, wait: Wait::Saved };
        for (name, value) in parameters(parts) {
            match (name.as_str(), value.as_str()) {
                ("skip_invalid", _) => found.skip_invalid = parse_bool(&name, &value)?,
                ("wait", "live") => found.wait = Wait::Live,
                ("wait", _) => return Err(ApiError::field("wait", "can only be `live`")),
                _ => return Err(unknown(&name, "skip_invalid, wait")),
            }
        }
        Ok(found)
    }
}

impl IntoParams for CommitParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Commit the valid rows and leave the others out";
        let skip = parameter("skip_invalid", ParameterIn::Query, about, bool::schema());
        [vec![skip], Wait::into_params(place)].concat()
    }
}

/// The ids of an upload and of a row. A path with other segments than numbers is 404.
pub(super) struct RowPath {
    pub(super) upload: u32,
    pub(super) row: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for RowPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let nothing = || ApiError::not_found("there is no such row");
        let path = Path::<(u32, u32)>::from_request_parts(parts, state).await;
        let Path((upload, row)) = path.map_err(|_not_numbers| nothing())?;
        Ok(RowPath { upload, row })
    }
}

impl IntoParams for RowPath {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let row = parameter("row", ParameterIn::Path, "The row's number", u32::schema());
        [Id::into_params(place), vec![row]].concat()
    }
}

/// `column` and `error`: the error that the rows have.
pub(super) struct GroupParameters(pub(super) FieldError);

impl<S: Sync> FromRequestParts<S> for GroupParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut found = FieldError { field: String::new(), error: String::new() };
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "column" => found.field = value,
                "error" => found.error = value,
                _ => return Err(unknown(&name, "column, error")),
            }
        }
        if found.error.is_empty() {
            return Err(ApiError::field("error", "must be one of the errors of the upload"));
        }
        Ok(GroupParameters(found))
    }
}

impl IntoParams for GroupParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about| parameter(name, ParameterIn::Query, about, String::schema());
        let mut error = query("error", "The error, as listed");
        error.required = Required::True;
        vec![query("column", "Its column; empty for an error of whole rows"), error]
    }
}

fn parse_mode(value: &str) -> Result<BulkMode, ApiError> {
    value.parse().map_err(|error: UnknownWord| ApiError::field("mode", error.to_string()))
}
