//! `POST /state`: takes the admin's counts of caps and its converted visitors.

use std::sync::Arc;

use coupon_shared::visit_state::MAX_BYTES;
use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::ControlApi;
use crate::clock::unix_ms;
use crate::http_answer::{self, HttpAnswer, json_error};
use crate::visit_state::{StateRefusal, VisitStateStatus};

impl ControlApi {
    pub(super) async fn receive_state(&self, body: Incoming) -> HttpAnswer {
        let Ok(body) = Limited::new(body, MAX_BYTES).collect().await else {
            let error = format!("the body did not arrive, or has more than {MAX_BYTES} bytes");
            return json_error(StatusCode::PAYLOAD_TOO_LARGE, &error);
        };
        let state = Arc::clone(&self.visit_state);
        // On a thread of its own: a large state and a slow disk must delay neither health nor feeds.
        let received = tokio::task::spawn_blocking(move || state.receive(&body.to_bytes())).await;
        match received {
            Ok(Ok(state)) => {
                let generation = self.loader.served().map(|served| served.generation);
                let body = json!({ "made_unix_ms": state.made_unix_ms, "generation": generation });
                http_answer::json(StatusCode::OK, &body)
            }
            Ok(Err(error @ StateRefusal::Foreign { .. })) => {
                json_error(StatusCode::CONFLICT, &error.to_string())
            }
            Ok(Err(error)) => json_error(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
            Err(error) => json_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

/// The visit state as health shows it.
pub(super) fn health_json(status: &VisitStateStatus) -> Value {
    json!({
        "made_unix_ms": status.made_unix_ms,
        "age_seconds": age_seconds(status),
        "caps": status.caps,
        "caps_reached": status.caps_reached,
        "converted_visitors": status.converted,
        "seen_visitors": status.seen_visitors,
        "clicks_not_at_the_admin": status.journal_lines,
    })
}

/// Seconds since the admin made the last message.
pub(super) fn age_seconds(status: &VisitStateStatus) -> Option<u64> {
    status.made_unix_ms.map(|made| unix_ms().saturating_sub(made) / 1000)
}
