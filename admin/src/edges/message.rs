//! Requests to a far coupond and its answers: HTTP messages in one sealed message each.
//!
//! ```text
//! message := length of head u32 little-endian, head as JSON, body
//! ```
//!
//! The purpose of the seal has the session and the number of the request, so an answer belongs to
//! one request, and a repeated request is noticed by its number.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::subjects::SessionId;
use crate::index_folder::MergeRecipe;

const LENGTH_LEN: usize = 4;
/// Prefix of the headers that are carried.
const OWN_HEADERS: &str = "x-coupond-";

/// A message without the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("a message over NATS is not understood: {0}; are both programs of one release?")]
    Form(String),
}

fn form(error: impl std::fmt::Display) -> MessageError {
    MessageError::Form(error.to_string())
}

/// The control plane's run that asks, and the number of the request in this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestOrigin {
    pub(crate) epoch: u64,
    /// Random, so that two runs with one epoch are told apart.
    pub(crate) run: String,
    pub(crate) number: u64,
}

/// The body of a request to fetch a level, before a head names it, and to have coupond load it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchOrder {
    /// The key that the level is sealed with at NATS.
    pub(crate) key_id: u32,
    /// How the level follows from others, for an edge that has them.
    #[serde(default)]
    pub(crate) recipe: Option<MergeRecipe>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RequestHead {
    origin: RequestOrigin,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnswerHead {
    status: u16,
    headers: Vec<(String, String)>,
}

/// The purpose of a sealed request.
pub(crate) fn request_purpose(session: SessionId) -> String {
    format!("request {session}")
}

/// The purpose of the sealed answer to a request.
pub(crate) fn answer_purpose(session: SessionId, origin: &RequestOrigin) -> String {
    format!("answer {session} {} {}", origin.run, origin.number)
}

pub(crate) fn encode_request(
    origin: &RequestOrigin,
    request: &Request<Bytes>,
) -> Result<Vec<u8>, MessageError> {
    let head = RequestHead {
        origin: origin.clone(),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: own_headers(request.headers()),
    };
    join(&head, request.body())
}

pub(crate) fn decode_request(
    message: &[u8],
) -> Result<(RequestOrigin, Request<Bytes>), MessageError> {
    let (head, body) = split::<RequestHead>(message)?;
    let method = Method::from_bytes(head.method.as_bytes()).map_err(form)?;
    let mut request = Request::builder().method(method).uri(head.path);
    for (name, value) in head.headers {
        request = request.header(name, value);
    }
    Ok((head.origin, request.body(Bytes::copy_from_slice(body)).map_err(form)?))
}

pub(crate) fn encode_answer(answer: &Response<Bytes>) -> Result<Vec<u8>, MessageError> {
    let status = answer.status().as_u16();
    join(&AnswerHead { status, headers: own_headers(answer.headers()) }, answer.body())
}

pub(crate) fn decode_answer(message: &[u8]) -> Result<Response<Bytes>, MessageError> {
    let (head, body) = split::<AnswerHead>(message)?;
    let mut answer = Response::new(Bytes::copy_from_slice(body));
    *answer.status_mut() = StatusCode::from_u16(head.status).map_err(form)?;
    for (name, value) in head.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(form)?;
        answer.headers_mut().append(name, HeaderValue::from_str(&value).map_err(form)?);
    }
    Ok(answer)
}

fn own_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with(OWN_HEADERS));
    own.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn join(head: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, MessageError> {
    let head = serde_json::to_vec(head).map_err(form)?;
    let length = u32::try_from(head.len()).map_err(form)?;
    let mut message = Vec::with_capacity(LENGTH_LEN + head.len() + body.len());
    message.extend_from_slice(&length.to_le_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(body);
    Ok(message)
}

fn split<H: DeserializeOwned>(message: &[u8]) -> Result<(H, &[u8]), MessageError> {
    let (length, rest) =
        message.split_first_chunk::<LENGTH_LEN>().ok_or_else(|| form("it is too short"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (head, body) = rest.split_at_checked(length).ok_or_else(|| form("it is cut"))?;
    Ok((serde_json::from_slice(head).map_err(form)?, body))
}

#[cfg(test)]
mod tests {
    use coupon_shared::node_identity::EXPECTED_STORE_HEADER;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_and_answers_read_back() {
        let request = Request::post("/clicks/feed?wait_ms=1000&max_bytes=9")
            .header(EXPECTED_STORE_HEADER, "ab")
            .header("host", "coupond")
            .body(Bytes::from_static(b"\x00cursor"))
            .unwrap();
        let origin = RequestOrigin { epoch: 3, run: "ab".into(), number: 7 };
        let (from, read) = decode_request(&encode_request(&origin, &request).unwrap()).unwrap();
        assert_eq!(from, origin);
        assert_eq!((read.method(), read.uri()), (request.method(), request.uri()));
        assert_eq!(read.body(), request.body());
        assert_eq!(read.headers().len(), 1, "only own headers are carried");
        assert_eq!(read.headers().get(EXPECTED_STORE_HEADER).unwrap(), "ab");
        let answer =
            Response::builder().status(409).header("x-coupond-node", "7").body(Bytes::new());
        let answer = answer.unwrap();
        let read = decode_answer(&encode_answer(&answer).unwrap()).unwrap();
        assert_eq!((read.status(), read.headers()), (answer.status(), answer.headers()));
    }

    #[test]
    fn a_cut_or_foreign_message_is_refused() {
        let request = Request::get("/ready").body(Bytes::from_static(b"body")).unwrap();
        let origin = RequestOrigin { epoch: 3, run: "ab".into(), number: 1 };
        let message = encode_request(&origin, &request).unwrap();
        for length in 0..message.len() - 4 {
            assert!(decode_request(&message[..length]).is_err(), "{length}");
        }
        assert!(decode_request(&[255; 40]).is_err());
        assert!(decode_answer(&message).is_err());
    }

    proptest! {
        #[test]
        fn no_message_makes_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let request = Request::get("/ready").body(Bytes::from(bytes.clone())).unwrap();
            let origin = RequestOrigin { epoch: 3, run: "ab".into(), number: 1 };
            let mut message = encode_request(&origin, &request).unwrap();
            for (at, to) in changes {
                *at.get_mut(&mut message) = to;
            }
            for message in [bytes, message] {
                let _ = decode_request(&message);
                let _ = decode_answer(&message);
                let _ = serde_json::from_slice::<FetchOrder>(&message);
            }
        }
    }
}
