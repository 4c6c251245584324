//! Reception: what arrives is read whole, given an id, kept, and waits for its verdict.
//!
//! It runs on the serving threads and never blocks them. When the daemon stops, whoever waits for
//! a verdict is answered `queued` at once.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use coupon_serve::Limits;
use coupon_shared::postback::{
    Channel, MAX_BODY_BYTES, Postback, PostbackId, Verdict, VerdictStatus,
};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, REFERER, USER_AGENT};
use hyper::http::request::Parts;
use serde::de::IgnoredAny;
use tokio::sync::{oneshot, watch};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::answer::{Form, Refused};
use super::room::Taken;
use super::spool::Incoming;
use super::verdicts::Ticket;
use crate::clock::unix_ms;
use crate::redirect::Guest;
use crate::response::Answer;

/// How long an advertiser is kept waiting for the admin's verdict.
const VERDICT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a disk may take before the advertiser is told to come again. It may have the postback
/// by then; whoever comes again reports the same conversion.
const KEEP_DEADLINE: Duration = Duration::from_secs(10);

/// Takes the postbacks that come to one serving thread.
#[derive(Clone)]
pub struct Reception {
    shared: Arc<Shared>,
    queue: SyncSender<Incoming>,
    node: u16,
    limits: watch::Receiver<Limits>,
    shutdown: CancellationToken,
}

/// A body, and the room that it takes.
struct Received {
    body: Vec<u8>,
    room: Taken,
}

impl Reception {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: SyncSender<Incoming>,
        node: u16,
        limits: watch::Receiver<Limits>,
        shutdown: CancellationToken,
    ) -> Reception {
        Reception { shared, queue, node, limits, shutdown }
    }

    /// Answers one postback.
    pub async fn receive<B>(
        self: Rc<Self>,
        channel: Channel,
        parts: Parts,
        body: B,
        guest: Guest,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let form = Form::asked(channel, &parts.headers);
        let decided = match self.take(channel, &parts, body, &guest).await {
            Ok((id, ticket)) => Ok(self.verdict(id, ticket).await),
            Err(refused) => Err(refused),
        };
        let counters = &self.shared.counters;
        match &decided {
            Ok(verdict) => counters.answer(verdict.status),
            Err(refused) => counters.refuse(refused.status()),
        }
        form.answer(decided, parts.headers)
    }

    /// Keeps it. Its body is let go of then: a request that waits for its verdict holds little.
    async fn take<B>(
        &self,
        channel: Channel,
        parts: &Parts,
        body: B,
        guest: &Guest,
    ) -> Result<(PostbackId, Option<Ticket>), Refused>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Received { body, room } = match parts.method {
            Method::GET => Received { body: Vec::new(), room: Taken::none(&self.shared.room) },
            Method::POST => self.read(parts, body).await?,
            _ => return Err(Refused::Method),
        };
        let unix_ms = unix_ms();
        let id = new_id(unix_ms)?;
        let postback = Postback {
            id,
            unix_ms,
            node: self.node,
            channel,
            is_post: parts.method == Method::POST,
            address: guest.address_of(channel),
            host: guest.host.as_str().as_bytes(),
            query: parts.uri.query().unwrap_or_default().as_bytes(),
            body: &body,
            content_type: header(parts, &CONTENT_TYPE),
            user_agent: header(parts, &USER_AGENT),
            referer: header(parts, &REFERER),
            origin: header(parts, &ORIGIN),
        };
        let ticket = self.shared.waiting.place(id);
        self.keep(postback.encode(), room).await?;
        Ok((id, ticket))
    }

    /// Reads a body as long as it may be, as slowly as it may come.
    async fn read<B>(&self, parts: &Parts, mut body: B) -> Result<Received, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(Refused::TooLarge);
        }
        let deadline = tokio::time::Instant::now() + self.limits.borrow().client_timeout;
        let mut received = Received { body: Vec::new(), room: Taken::none(&self.shared.room) };
        while let Some(frame) =
            timeout_at(deadline, body.frame()).await.map_err(|_| Refused::TooSlow)?
        {
            let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else { continue };
            if received.body.len() + data.len() > MAX_BODY_BYTES {
                return Err(Refused::TooLarge);
            }
            received.room.grow(data.len())?;
            received.body.extend_from_slice(&data);
        }
        check_type(header(parts, &CONTENT_TYPE), &received.body)?;
        Ok(received)
    }

    /// Returns when it is durable.
    async fn keep(&self, record: Vec<u8>, mut room: Taken) -> Result<(), Refused> {
        room.grow(record.len())?;
        let (is_kept, kept) = oneshot::channel();
        let incoming = Incoming { record, is_kept, _room: room };
        self.queue.try_send(incoming).map_err(|_| Refused::Busy)?;
        match timeout(KEEP_DEADLINE, kept).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(Refused::NotKept),
        }
    }

    /// The verdict on it, which is `queued` where nobody says more in time.
    async fn verdict(&self, id: PostbackId, ticket: Option<Ticket>) -> Verdict {
        let queued = Verdict {
            postback: id,
            status: VerdictStatus::Queued,
            conversion_id: None,
            transaction_id: String::new(),
            error_code: 0,
            error: String::new(),
        };
        let Some(mut ticket) = ticket else { return queued };
        tokio::select! {
            biased;
            verdict = timeout(VERDICT_DEADLINE, &mut ticket.verdict) => match verdict {
                Ok(Ok(verdict)) => verdict,
                _ => queued,
            },
            () = self.shutdown.cancelled() => queued,
        }
    }
}

fn new_id(unix_ms: u64) -> Result<PostbackId, Refused> {
    let mut random = [0; 10];
    // Only a system without a source of randomness fails here.
    getrandom::fill(&mut random).map_err(|_| Refused::NotKept)?;
    Ok(PostbackId::new(unix_ms, random))
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> &'a [u8] {
    parts.headers.get(name).map_or(b"", HeaderValue::as_bytes)
}

/// Bodies are forms or JSON objects. One that does not say what it is, is what it looks like.
fn check_type(content_type: &[u8], body: &[u8]) -> Result<(), Refused> {
    let body = body.trim_ascii();
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match essence.to_ascii_lowercase().as_slice() {
        _ if body.is_empty() => Ok(()),
        b"application/x-www-form-urlencoded" => Ok(()),
        b"application/json" | b"text/json" => check_json(body),
        b"" if body.starts_with(b"{") => check_json(body),
        b"" => Ok(()),
        _ => Err(Refused::MediaType),
    }
}

fn check_json(body: &[u8]) -> Result<(), Refused> {
    let is_object = body.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok();
    if is_object { Ok(()) } else { Err(Refused::NotJson) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_a_form_a_json_object_or_empty() {
        let form = "application/x-www-form-urlencoded";
        for (content_type, body) in [
            (form, "a=1&b"),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "a=%"),
            ("application/json", " {\"amount\": 1} "),
            ("text/json;x", "{}"),
            ("", "{\"a\":[]}"),
            ("", "a=1"),
            ("image/png", ""),
            ("image/png", " \r\n"),
        ] {
            assert_eq!(check_type(content_type.as_bytes(), body.as_bytes()), Ok(()), "{body}");
        }
        for (content_type, body, refused) in [
            ("application/json", "[1]", Refused::NotJson),
            ("application/json", "{\"a\":", Refused::NotJson),
            ("application/json", "a=1", Refused::NotJson),
            ("", "{a=1", Refused::NotJson),
            ("text/plain", "a=1", Refused::MediaType),
            ("multipart/form-data; boundary=x", "--x", Refused::MediaType),
        ] {
            let found = check_type(content_type.as_bytes(), body.as_bytes());
            assert_eq!(found, Err(refused), "{body}");
        }
        assert_eq!(check_json("[".repeat(60_000).as_bytes()), Err(Refused::NotJson));
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        assert_eq!(check_json(deep.as_bytes()), Err(Refused::NotJson));
    }
}
