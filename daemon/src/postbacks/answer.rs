//! Answers to advertisers: a verdict or refusal as text, as JSON, or in the script's form.
//!
//! Every kept postback is answered with 200, whatever the verdict. A refusal says how to mend the
//! request; 503 says to retry later.

use std::time::Duration;

use coupon_shared::postback::{Channel, MAX_BODY_BYTES, Verdict, VerdictStatus};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use serde_json::{Value, json};

use super::memory_budget::BudgetExceeded;
use crate::cors;
use crate::http_answer::{self, HttpAnswer};
use crate::response::NO_STORE;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerForm {
    Text,
    Json,
    /// JSON for the script, readable by pages of other origins.
    Sdk,
}

/// Reasons not to keep a postback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Method,
    /// Neither query nor body names the network.
    NoNetwork,
    Broken,
    TooSlow,
    TooLarge,
    MediaType,
    NotJson,
    /// The memory budget or the queue to the spool is full.
    Busy,
    /// The spool does not take postbacks.
    NotKept,
    /// Too little is free on the disk for a postback that identifies no sale.
    DiskLow,
    /// The address has used up a budget; after this time some of it is available again.
    TooMany(Duration),
}

impl From<BudgetExceeded> for Refusal {
    fn from(_: BudgetExceeded) -> Refusal {
        Refusal::Busy
    }
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Broken | Refusal::NoNetwork => StatusCode::BAD_REQUEST,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::MediaType | Refusal::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Busy | Refusal::NotKept | Refusal::DiskLow => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn message(self) -> String {
        match self {
            Refusal::Method => "A conversion is reported by GET or POST.".into(),
            Refusal::NoNetwork => {
                "A conversion names its network as nid, in the query or in the body.".into()
            }
            Refusal::Broken => "The body broke off or is not valid HTTP: send it again.".into(),
            Refusal::TooSlow => "The body did not come in time: send it again.".into(),
            Refusal::TooLarge => format!(
                "The body is longer than {MAX_BODY_BYTES} bytes: send the parameters and nothing else."
            ),
            Refusal::MediaType => {
                "The body must be a form (application/x-www-form-urlencoded) or a JSON object (application/json).".into()
            }
            Refusal::NotJson => {
                "The body must be a whole JSON object, such as {\"amount\": 9.5}.".into()
            }
            Refusal::Busy | Refusal::NotKept | Refusal::DiskLow => {
                "The conversion cannot be kept at the moment: send it again later.".into()
            }
            Refusal::TooMany(_) => "Too many requests".into(),
        }
    }

    fn header(self) -> Option<(Option<HeaderName>, HeaderValue)> {
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                Some((Some(ALLOW), HeaderValue::from_static("GET, POST")))
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Some((Some(RETRY_AFTER), HeaderValue::from_static("5")))
            }
            _ => None,
        }
    }
}

impl AnswerForm {
    pub(super) fn requested(channel: Channel, request: &HeaderMap) -> AnswerForm {
        let wants_json = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("application/json"))
        };
        match channel {
            Channel::Sdk => AnswerForm::Sdk,
            Channel::Server if request.get_all(ACCEPT).iter().any(wants_json) => AnswerForm::Json,
            Channel::Server => AnswerForm::Text,
        }
    }

    /// Whether the answer can do without a body: that about a refused conversion, but not to the
    /// script, which reads the body.
    pub(super) fn may_be_empty(self, verdict: &Verdict) -> bool {
        let is_refused = matches!(verdict.status, VerdictStatus::Rejected | VerdictStatus::Invalid);
        is_refused && self != AnswerForm::Sdk
    }

    /// Writes the answer into the request's own header map.
    pub(super) fn answer(
        self,
        decided: Result<Verdict, Refusal>,
        mut headers: HeaderMap,
    ) -> HttpAnswer {
        match self {
            AnswerForm::Sdk => cors::open_to_origin(&mut headers),
            AnswerForm::Text | AnswerForm::Json => headers.clear(),
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        let (content_type, body) = match self {
            AnswerForm::Text => ("text/plain; charset=utf-8", text(&decided)),
            AnswerForm::Json | AnswerForm::Sdk => {
                ("application/json", self.json(&decided).to_string())
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let status = match decided {
            Ok(_) => StatusCode::OK,
            Err(refused) => {
                headers.extend(refused.header());
                refused.status()
            }
        };
        http_answer::with_headers(status, headers, Bytes::from(body))
    }

    fn json(self, decided: &Result<Verdict, Refusal>) -> Value {
        let verdict = match decided {
            Ok(verdict) => verdict,
            Err(refused) => return json!({ "error": refused.message() }),
        };
        // A conversion made later has the postback's id.
        let later = (verdict.status == VerdictStatus::Queued).then_some(verdict.postback);
        let conversion_id = verdict.conversion_id.or(later);
        let mut body = json!({
            "conversion_id": conversion_id.map(|id| id.to_string()).unwrap_or_default(),
            "transaction_id": verdict.transaction_id,
            "status": verdict.status.as_str(),
            "error_code": verdict.error_code,
            "error": verdict.error,
        });
        if self == AnswerForm::Sdk {
            body["html_pixel"] = "".into();
        }
        body
    }
}

/// The answer 204, in the request's own header map.
pub(super) fn no_content(mut headers: HeaderMap) -> HttpAnswer {
    headers.clear();
    headers.insert(CACHE_CONTROL, NO_STORE);
    http_answer::with_headers(StatusCode::NO_CONTENT, headers, Bytes::new())
}

fn text(decided: &Result<Verdict, Refusal>) -> String {
    match decided {
        Ok(verdict) => verdict_text(verdict),
        Err(refused) => refused.message(),
    }
}

fn verdict_text(verdict: &Verdict) -> String {
    match (verdict.error_code, verdict.error.as_str()) {
        (0, "") => "OK".to_owned(),
        (code, "") => format!("Error {code}"),
        (_, message) => message.to_owned(),
    }
}
