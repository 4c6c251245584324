//! The errors of reports as answers.

use axum::http::StatusCode;

use super::output::not_written;
use crate::api::error::ApiError;
use crate::archive::ArchiveError;
use crate::reports::clicks::{ClickLookupError, ClickSearchError};
use crate::reports::code_leaks::CodeLeakError;
use crate::reports::conversions::{ConversionLookupError, ConversionSearchError};
use crate::reports::entity::EntityError;

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> ApiError {
        tracing::error!(%error, "click archive not readable");
        ApiError::inside()
    }
}

impl From<ClickSearchError> for ApiError {
    fn from(error: ClickSearchError) -> ApiError {
        match error {
            ClickSearchError::Invalid(fields) => ApiError::fields(fields),
            ClickSearchError::Store(error) => error.into(),
            ClickSearchError::Archive(error) => error.into(),
        }
    }
}

impl From<ClickLookupError> for ApiError {
    fn from(error: ClickLookupError) -> ApiError {
        let code = match error {
            ClickLookupError::InvalidId(message) => {
                return ApiError::field("transaction_id", message);
            }
            ClickLookupError::Store(error) => return error.into(),
            ClickLookupError::Archive(error) => return error.into(),
            ClickLookupError::ForeignId(_) => "click.foreign_id",
            ClickLookupError::NotArrived(_) => "click.not_arrived",
            ClickLookupError::Removed(_) => "click.gone",
        };
        ApiError::new(StatusCode::NOT_FOUND, code, error.to_string())
    }
}

impl From<ConversionSearchError> for ApiError {
    fn from(error: ConversionSearchError) -> ApiError {
        match error {
            ConversionSearchError::Invalid(fields) => ApiError::fields(fields),
            ConversionSearchError::TooManyRows => ApiError::field("to", error.to_string()),
            ConversionSearchError::Store(error) => error.into(),
            ConversionSearchError::Write(error) => not_written(error),
        }
    }
}

impl From<ConversionLookupError> for ApiError {
    fn from(error: ConversionLookupError) -> ApiError {
        match error {
            ConversionLookupError::Unknown(_) => {
                let message = error.to_string();
                ApiError::new(StatusCode::NOT_FOUND, "conversion.not_found", message)
            }
            ConversionLookupError::Store(error) => error.into(),
        }
    }
}

impl From<EntityError> for ApiError {
    fn from(error: EntityError) -> ApiError {
        match error {
            EntityError::Invalid(fields) => ApiError::fields(fields),
            EntityError::TooManyRows { .. } => ApiError::field("columns", error.to_string()),
            EntityError::Store(error) => error.into(),
        }
    }
}

impl From<CodeLeakError> for ApiError {
    fn from(error: CodeLeakError) -> ApiError {
        match error {
            CodeLeakError::Invalid(fields) => ApiError::fields(fields),
            CodeLeakError::Store(error) => error.into(),
        }
    }
}
