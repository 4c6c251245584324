//! Errors in the fields of an object.

use std::fmt;

/// An error in one field; the message says how to mend the value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's path, such as `payout_revenue[1].payout_amount`.
    pub field: String,
    /// The message.
    pub error: String,
}

/// A remark about a part of a request that was ignored, or about a value that may surprise. Answers
/// have it as text, `field: message`, like the remarks about objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldWarning {
    /// The field's path, such as `columns.adset`.
    pub field: String,
    /// The message.
    pub message: String,
}

impl FieldWarning {
    /// Builds a warning.
    pub fn new(field: impl Into<String>, message: impl fmt::Display) -> FieldWarning {
        FieldWarning { field: field.into(), message: message.to_string() }
    }
}

impl serde::Serialize for FieldWarning {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}: {}", self.field, self.message))
    }
}

impl<'de> serde::Deserialize<'de> for FieldWarning {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (field, message) = text.split_once(": ").unwrap_or(("", &text));
        Ok(FieldWarning::new(field, message))
    }
}

impl utoipa::PartialSchema for FieldWarning {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for FieldWarning {}

/// Collects field errors, so that a request learns of all its errors at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldError>);

impl Problems {
    /// Adds an error.
    pub fn add(&mut self, field: impl Into<String>, error: impl fmt::Display) {
        self.0.push(FieldError { field: field.into(), error: error.to_string() });
    }

    /// Returns the value of a rule, or adds the error and returns `None`.
    pub fn take<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Adds the errors of a part of the object, under the part's path.
    pub fn add_nested(&mut self, path: &str, inner: Vec<FieldError>) {
        self.0.extend(
            inner.into_iter().map(|e| FieldError { field: format!("{path}.{}", e.field), ..e }),
        );
    }

    ///
    /// # Errors
    /// All errors, in the order of addition.
    pub fn finish(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
