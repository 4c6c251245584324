//! Receives postbacks: reads the request, assigns an id, keeps the postback, and waits for the
//! verdict.
//!
//! Runs on the serving threads and never blocks them. When the daemon stops, all requests that wait
//! for verdicts are answered `queued` at once.
//!
//! Limits for each address, independent of each other:
//! - A body must arrive at a minimum rate, and incoming bodies take a share of the memory budget.
//! - Bytes that may belong to no sale are charged to a byte budget before they are kept: the whole
//!   of a postback that identifies no sale, and of any other the part that is longer than a sale
//!   needs. The verdict may refund them.
//! - A verdict that says that a code or offer is unusable is charged to the same budget of misses
//!   as visits that lead nowhere.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::answer::{AnswerForm, Refusal, no_content};
use super::identification::{names_network, names_something_usable};
use super::memory_budget::{Purpose, Reservation, SMALL_BODY_BYTES};
use super::pending_verdicts::PendingVerdict;
use super::spool::Incoming;
use super::state::PostbackState;
use crate::client_info::ClientInfo;
use crate::clock::unix_ms;
use crate::config::Config;
use crate::http_answer::HttpAnswer;
use crate::live_index::LiveIndex;
use crate::request::names_nid;
use crate::response::{Reply, respond};

/// Longest wait for the admin's verdict.
const VERDICT_DEADLINE: Duration = Duration::from_secs(2);
/// Longest wait for the disk before the advertiser is told to retry. The postback may be on the
/// disk by then; a retry reports the same conversion.
const KEEP_DEADLINE: Duration = Duration::from_secs(10);
/// Time that a body may fall behind the minimum rate: long enough to retransmit a lost packet.
const BODY_GRACE: Duration = Duration::from_secs(3);
/// The part of an unidentified postback that the admin keeps; longer than any sale needs.
const UNIDENTIFIED_BYTES: usize = 2 << 10;
const LEAST_BODY_BYTES_PER_SECOND: usize = 16 << 10;

/// Receives the postbacks of one serving thread.
#[derive(Clone)]
pub struct PostbackReceiver {
    shared: Arc<PostbackState>,
    queue: SyncSender<Incoming>,
    node: u16,
    index: LiveIndex,
    limits: watch::Receiver<Limits>,
    shutdown: CancellationToken,
    /// Whether a rejected postback is answered 204.
    answers_rejected_with_204: bool,
}

/// A body and its reserved memory.
struct Received {
    body: Vec<u8>,
    _memory: Option<Reservation>,
}

struct DurablePostback {
    id: PostbackId,
    pending: Option<PendingVerdict>,
    charge: Charge,
}

/// The bytes charged to an address's byte budget.
#[derive(Debug, Clone, Copy)]
struct Charge {
    /// Charged because the postback identifies no sale.
    unidentified_bytes: usize,
    /// Charged because the postback is longer than a sale needs.
    surplus_bytes: usize,
}

impl PostbackReceiver {
    pub(super) fn new(
        shared: Arc<PostbackState>,
        queue: SyncSender<Incoming>,
        config: &Config,
        index: LiveIndex,
        limits: watch::Receiver<Limits>,
        shutdown: CancellationToken,
    ) -> PostbackReceiver {
        PostbackReceiver {
            shared,
            queue,
            node: config.node_id,
            index,
            limits,
            shutdown,
            answers_rejected_with_204: config.postbacks.answer_rejected_with_204,
        }
    }

    /// Answers one postback.
    pub async fn receive<B>(
        self: Rc<Self>,
        channel: Channel,
        parts: Parts,
        body: B,
        client: ClientInfo,
    ) -> HttpAnswer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let form = AnswerForm::requested(channel, &parts.headers);
        let decided = match self.read_and_keep(channel, &parts, body, &client).await {
            Ok(kept) => self.await_verdict(kept, &client).await,
            Err(refused) => Err(refused),
        };
        let counters = &self.shared.counters;
        match &decided {
            Ok(verdict) => counters.answer(verdict.status),
            Err(refused) => counters.refuse(refused.status()),
        }
        match decided {
            // The same answer as to a visit above the limit.
            Err(Refusal::TooMany(wait)) => respond(Reply::too_many(wait), parts),
            Ok(verdict) if self.answers_rejected_with_204 && form.may_be_empty(&verdict) => {
                no_content(parts.headers)
            }
            decided => form.answer(decided, parts.headers),
        }
    }

    /// The verdict on a kept postback, or a refusal if the address is above the limit on misses.
    async fn await_verdict(
        &self,
        kept: DurablePostback,
        client: &ClientInfo,
    ) -> Result<Verdict, Refusal> {
        let DurablePostback { id, pending, charge } = kept;
        let verdict = self.verdict(id, pending).await;
        self.refund(charge, &verdict, client);
        if verdict.is_miss {
            let counted =
                client.not_found_limit.count_miss(client.address, client.recorded_address);
            counted.map_err(Refusal::TooMany)?;
        }
        Ok(verdict)
    }

    /// Refunds the charges of a postback that the verdict shows to be genuine.
    fn refund(&self, charge: Charge, verdict: &Verdict, client: &ClientInfo) {
        let is_known = verdict.status != VerdictStatus::Queued;
        let unidentified = if is_known && !verdict.is_miss { charge.unidentified_bytes } else { 0 };
        let surplus = if verdict.is_trusted { charge.surplus_bytes } else { 0 };
        self.shared.byte_budgets.give_back(client.address, unidentified + surplus);
    }

    /// Reads and keeps a postback. Drops the body early: a request that waits for its verdict holds
    /// little memory.
    async fn read_and_keep<B>(
        &self,
        channel: Channel,
        parts: &Parts,
        body: B,
        client: &ClientInfo,
    ) -> Result<DurablePostback, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let received = match parts.method {
            Method::GET => Received { body: Vec::new(), _memory: None },
            Method::POST => self.read_body(parts, body, client).await?,
            _ => return Err(Refusal::Method),
        };
        if channel == Channel::Server
            && !names_nid(parts.uri.query())
            && !names_network(&received.body)
        {
            return Err(Refusal::NoNetwork);
        }
        let unix_ms = unix_ms();
        // The id is also the id of a conversion made later, so it is made before the verdict.
        let id = new_id(unix_ms)?;
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let postback = Postback {
            id,
            unix_ms,
            node: self.node,
            channel,
            is_post: parts.method == Method::POST,
            address: client.address_to_record(channel),
            host: client.host.as_str().as_bytes(),
            query,
            body: &received.body,
            content_type: header(parts, &CONTENT_TYPE),
            user_agent: header(parts, &USER_AGENT),
            referer: header(parts, &REFERER),
            origin: header(parts, &ORIGIN),
        };
        let record = postback.encode();
        // Needs the body, which is dropped next.
        let is_identified = self.identifies_sale(query, &received.body, unix_ms);
        drop(received);
        let charge = self.charge(record.len(), is_identified, client)?;
        // Before keeping: the feed may deliver the postback as soon as it is durable.
        let pending = self.shared.waiting.register(id);
        self.keep(record, client).await?;
        Ok(DurablePostback { id, pending, charge })
    }

    fn identifies_sale(&self, query: &[u8], body: &[u8], unix_ms: u64) -> bool {
        let seconds = (unix_ms / 1000) as i64;
        let index = self.index.current();
        index.is_some_and(|index| names_something_usable(&index, query, body, seconds))
    }

    /// Charges the bytes that may belong to no sale.
    fn charge(
        &self,
        bytes: usize,
        is_identified: bool,
        client: &ClientInfo,
    ) -> Result<Charge, Refusal> {
        if !is_identified && self.shared.is_disk_low.load(Ordering::Acquire) {
            return Err(Refusal::DiskLow);
        }
        let needed = bytes.min(UNIDENTIFIED_BYTES);
        let charge = Charge {
            unidentified_bytes: if is_identified { 0 } else { needed },
            surplus_bytes: bytes - needed,
        };
        let all = charge.unidentified_bytes + charge.surplus_bytes;
        self.shared.byte_budgets.take(client.address, all).map_err(Refusal::TooMany)?;
        Ok(charge)
    }

    /// Reads a body within the limits on length and rate.
    async fn read_body<B>(
        &self,
        parts: &Parts,
        mut body: B,
        client: &ClientInfo,
    ) -> Result<Received, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let size = body.size_hint();
        // An announced length is refused before a byte is read.
        if size.lower() > MAX_BODY_BYTES as u64 {
            return Err(Refusal::TooLarge);
        }
        let is_small = size.exact().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let purpose = if is_small { Purpose::SmallBody } else { Purpose::LargeBody };
        let mut reservation = Reservation::empty(&self.shared.memory, purpose, client.address);
        let began = Instant::now();
        let deadline = began + self.limits.borrow().client_timeout;
        let mut received = Vec::new();
        while let Some(frame) =
            timeout_at(deadline.min(body_deadline(began, received.len())), body.frame())
                .await
                .map_err(|_| Refusal::TooSlow)?
        {
            // Trailers are skipped.
            let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
            if received.len() + data.len() > MAX_BODY_BYTES {
                return Err(Refusal::TooLarge);
            }
            reservation.grow(data.len())?;
            received.extend_from_slice(&data);
        }
        check_type(header(parts, &CONTENT_TYPE), &received)?;
        Ok(Received { body: received, _memory: Some(reservation) })
    }

    /// Returns once the postback is durable.
    async fn keep(&self, record: Vec<u8>, client: &ClientInfo) -> Result<(), Refusal> {
        let mut reservation =
            Reservation::empty(&self.shared.memory, Purpose::Postback, client.address);
        reservation.grow(record.len())?;
        let (is_kept, kept) = oneshot::channel();
        let incoming = Incoming { record, is_kept, _memory: reservation };
        // Never waits for the spool thread: the serving thread has other visitors.
        self.queue.try_send(incoming).map_err(|_| Refusal::Busy)?;
        match timeout(KEEP_DEADLINE, kept).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(Refusal::NotKept),
        }
    }

    /// The verdict; `queued` if none comes in time.
    async fn verdict(&self, id: PostbackId, pending: Option<PendingVerdict>) -> Verdict {
        let queued = Verdict {
            postback: id,
            status: VerdictStatus::Queued,
            conversion_id: None,
            transaction_id: String::new(),
            error_code: 0,
            error: String::new(),
            is_miss: false,
            is_trusted: false,
        };
        let Some(mut pending) = pending else { return queued };
        tokio::select! {
            // A verdict that has come wins over a shutdown at the same moment.
            biased;
            verdict = timeout(VERDICT_DEADLINE, &mut pending.verdict) => match verdict {
                Ok(Ok(verdict)) => verdict,
                _ => queued,
            },
            () = self.shutdown.cancelled() => queued,
        }
    }
}

/// The time by which more than `received` bytes must have come.
fn body_deadline(began: Instant, received: usize) -> Instant {
    let at_least_rate =
        Duration::from_secs_f64(received as f64 / LEAST_BODY_BYTES_PER_SECOND as f64);
    began + BODY_GRACE + at_least_rate
}

fn new_id(unix_ms: u64) -> Result<PostbackId, Refusal> {
    let mut random = [0; 10];
    // Fails only on a system without a source of randomness.
    getrandom::fill(&mut random).map_err(|_| Refusal::NotKept)?;
    Ok(PostbackId::new(unix_ms, random))
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> &'a [u8] {
    parts.headers.get(name).map_or(b"", HeaderValue::as_bytes)
}

/// Accepts forms and JSON objects. A body without a content type is recognised by its first
/// character.
fn check_type(content_type: &[u8], body: &[u8]) -> Result<(), Refusal> {
    let body = body.trim_ascii();
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match essence.to_ascii_lowercase().as_slice() {
        _ if body.is_empty() => Ok(()),
        b"application/x-www-form-urlencoded" => Ok(()),
        b"application/json" | b"text/json" => check_json(body),
        b"" if body.starts_with(b"{") => check_json(body),
        b"" => Ok(()),
        _ => Err(Refusal::MediaType),
    }
}

fn check_json(body: &[u8]) -> Result<(), Refusal> {
    let is_object = body.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok();
    if is_object { Ok(()) } else { Err(Refusal::NotJson) }
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
            ("application/json", "[1]", Refusal::NotJson),
            ("application/json", "{\"a\":", Refusal::NotJson),
            ("application/json", "a=1", Refusal::NotJson),
            ("", "{a=1", Refusal::NotJson),
            ("text/plain", "a=1", Refusal::MediaType),
            ("multipart/form-data; boundary=x", "--x", Refusal::MediaType),
        ] {
            let found = check_type(content_type.as_bytes(), body.as_bytes());
            assert_eq!(found, Err(refused), "{body}");
        }
        assert_eq!(check_json("[".repeat(60_000).as_bytes()), Err(Refusal::NotJson));
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        assert_eq!(check_json(deep.as_bytes()), Err(Refusal::NotJson));
    }
}
