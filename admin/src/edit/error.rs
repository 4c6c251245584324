//! Reasons for refusing an edit.

use crate::catalog::FieldError;
use crate::store::StoreError;

/// Why an edit was refused.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The object does not exist, or is deleted.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of object.
        what: &'static str,
        /// The requested id.
        id: u32,
    },
    /// Fields have errors.
    #[error("{}", summarize(.0))]
    Invalid(Vec<FieldError>),
    /// Rules ask what no database of places knows.
    #[error(
        "no database of places knows what the rules ask: {}; load such a database, or send \
         allow_missing_data=true to save all the same", first(.0)
    )]
    NoDataForRule(Vec<FieldError>),
    /// The new state conflicts with existing rows.
    #[error("{message}")]
    Conflict {
        /// The stable error code.
        code: &'static str,
        /// The conflicting object, and the remedy.
        message: String,
        /// The fields of the request that conflict.
        fields: Vec<FieldError>,
    },
    /// `If-Match` names another revision of the object.
    #[error(
        "{what}{} changed since this edit was begun; read again, and send the edit with the new ETag", numbered(*id)
    )]
    Stale {
        /// The kind of object.
        what: &'static str,
        /// The id; 0 for the settings.
        id: u32,
    },
    /// The `Idempotency-Key` belongs to another request.
    #[error(
        "this Idempotency-Key was used for another request less than a day ago; send each new request with a key of its own"
    )]
    NotARepetition,
    /// Too many stored answers for repetitions.
    #[error(
        "{kept} requests of the last day can be repeated already; send this one without Idempotency-Key, or later"
    )]
    TooManyRepeatable {
        /// The number of stored answers.
        kept: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The settings exist once and have no id.
fn numbered(id: u32) -> String {
    if id == 0 { String::new() } else { format!(" {id}") }
}

fn summarize(fields: &[FieldError]) -> String {
    match fields {
        [_] | [] => first(fields),
        many => format!("{} fields are wrong; {}", many.len(), first(many)),
    }
}

pub(super) fn first(fields: &[FieldError]) -> String {
    fields.first().map(|e| format!("{}: {}", e.field, e.error)).unwrap_or_default()
}

impl EditError {
    /// An error in one field.
    pub(crate) fn field(field: impl Into<String>, error: impl Into<String>) -> EditError {
        EditError::Invalid(vec![FieldError { field: field.into(), error: error.into() }])
    }

    /// A conflict in one field.
    pub(crate) fn conflict(
        code: &'static str,
        field: &str,
        message: impl Into<String>,
    ) -> EditError {
        let message = message.into();
        let fields = vec![FieldError { field: field.into(), error: message.clone() }];
        EditError::Conflict { code, message, fields }
    }
}
