//! Requests to servers of others, as the pages of partner postbacks and webhooks show them.

use serde::Deserialize;

use crate::console::format;

/// How far a delivery is, as the API answers it.
#[derive(Debug, Deserialize)]
pub(super) struct DeliveryProgress {
    state: String,
    pub(super) attempts: u32,
    last_status: u16,
    last_error: String,
    pub(super) time_created: i64,
    pub(super) time_attempted: i64,
    pub(super) time_due: i64,
}

impl DeliveryProgress {
    /// Class and word of the state.
    pub(super) fn state(&self) -> (&'static str, &'static str) {
        match self.state.as_str() {
            "delivered" => ("good", "Delivered"),
            "pending" => ("wait", "Waiting"),
            _ => ("bad", "Not delivered"),
        }
    }

    /// The last answer of the server, or why there was none.
    pub(super) fn answer(&self) -> String {
        match (self.last_status, self.last_error.as_str()) {
            (0, "") => "–".into(),
            (0, error) => format::visible(error),
            (status, "") => status.to_string(),
            (status, error) => format!("{status}: {}", format::visible(error)),
        }
    }
}

/// The result of a test request.
#[derive(Debug, Deserialize)]
pub(super) struct TestResult {
    pub(super) url: String,
    pub(super) is_delivered: bool,
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) error: String,
    elapsed_ms: u64,
}

impl TestResult {
    /// The outcome as a sentence; `server` is its subject.
    pub(super) fn sentence(&self, server: &str) -> String {
        let ms = format::count(self.elapsed_ms);
        match (self.is_delivered, self.status) {
            (true, status) => format!("{server} took it: {status}, after {ms} ms."),
            (false, 0) => format!("No answer: {}", self.error),
            (false, status) => format!("{server} refused it: {status}, after {ms} ms."),
        }
    }
}
