//! An admin for tests: speaks the feed's protocol over the real socket.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use coupon_shared::postback::{
    Channel, Delivery, PollRequest, Postback, PostbackId, SpoolId, Verdict, VerdictStatus,
};

use crate::running::{Coupond, control_request};

/// A postback as the feed delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) sequence: u64,
    pub(crate) id: PostbackId,
    pub(crate) channel: Channel,
    pub(crate) is_post: bool,
    pub(crate) address: String,
    pub(crate) node: u16,
    pub(crate) query: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Host, content type, user agent, referer, origin.
    pub(crate) texts: [String; 5],
}

impl Delivered {
    fn decode((sequence, postback): &(u64, Postback<'_>)) -> Delivered {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(postback.id.unix_ms(), postback.unix_ms);
        Delivered {
            sequence: *sequence,
            id: postback.id,
            channel: postback.channel,
            is_post: postback.is_post,
            address: postback.address.to_string(),
            node: postback.node,
            query: postback.query.to_vec(),
            body: postback.body.to_vec(),
            texts: [
                postback.host,
                postback.content_type,
                postback.user_agent,
                postback.referer,
                postback.origin,
            ]
            .map(text),
        }
    }

    /// A parameter of the query, undecoded.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let query = String::from_utf8_lossy(&self.query).into_owned();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.to_owned())
            .unwrap_or_default()
    }

    pub(crate) fn verdict(&self, status: VerdictStatus) -> Verdict {
        Verdict {
            postback: self.id,
            status,
            conversion_id: Some(self.id),
            transaction_id: String::new(),
            error_code: 0,
            error: String::new(),
            is_miss: false,
            is_trusted: false,
        }
    }
}

/// An answer of the feed.
#[derive(Debug, Clone)]
pub(crate) struct PollResult {
    pub(crate) spool: SpoolId,
    pub(crate) oldest: u64,
    pub(crate) postbacks: Vec<Delivered>,
}

impl PollResult {
    pub(crate) fn ids(&self) -> Vec<String> {
        self.postbacks.iter().map(|postback| postback.id.to_string()).collect()
    }

    pub(crate) fn sequences(&self) -> Vec<u64> {
        self.postbacks.iter().map(|postback| postback.sequence).collect()
    }
}

/// Sends one poll request; an error if the answer is not a delivery.
pub(crate) fn poll(socket: &Path, question: &PollRequest, query: &str) -> io::Result<PollResult> {
    let path = format!("/postbacks/feed?{query}");
    let answer = control_request(socket, "POST", &path, &question.encode())?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let delivery = Delivery::decode(&answer[head + 4..]).unwrap();
    let postbacks = delivery.postbacks.iter().map(Delivered::decode).collect();
    Ok(PollResult { spool: delivery.spool, oldest: delivery.oldest, postbacks })
}

/// All postbacks behind the cursors; none for an admin that has just started.
pub(crate) fn all(coupond: &Coupond, cursors: &[(SpoolId, u64)]) -> PollResult {
    let question = |cursors| PollRequest { cursors, verdicts: vec![] };
    let mut polled = crate::running::until("the feed is open", || {
        poll(&coupond.socket(), &question(cursors.to_vec()), "").ok()
    });
    loop {
        let Some(last) = polled.postbacks.last() else { return polled };
        // The cursor of an unknown spool is added, so that the request acknowledges only what the
        // test names.
        let mut further = cursors.to_vec();
        further.retain(|(spool, _)| *spool != polled.spool);
        further.push((polled.spool, last.sequence));
        let more = poll(&coupond.socket(), &question(further), "").unwrap();
        if more.postbacks.is_empty() {
            let _ = poll(&coupond.socket(), &question(cursors.to_vec()), "max_bytes=1").unwrap();
            return polled;
        }
        polled.postbacks.extend(more.postbacks);
    }
}

/// An admin that decides every postback until drop.
pub(crate) struct DecidingAdmin {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Delivered>>>,
}

impl DecidingAdmin {
    pub(crate) fn start(
        coupond: &Coupond,
        decide: impl Fn(&Delivered) -> Option<Verdict> + Send + 'static,
    ) -> DecidingAdmin {
        let (stop, socket) = (Arc::<AtomicBool>::default(), coupond.socket());
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || decide_until(&stop, &socket, decide)
        });
        DecidingAdmin { stop, thread: Some(thread) }
    }

    /// Stops the admin and returns all postbacks received.
    pub(crate) fn end(mut self) -> Vec<Delivered> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for DecidingAdmin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn decide_until(
    stop: &AtomicBool,
    socket: &Path,
    decide: impl Fn(&Delivered) -> Option<Verdict>,
) -> Vec<Delivered> {
    let (mut got, mut question) = (Vec::new(), PollRequest::default());
    while !stop.load(Ordering::Acquire) {
        let Ok(polled) = poll(socket, &question, "wait_ms=200") else {
            std::thread::sleep(std::time::Duration::from_millis(10));
            continue;
        };
        question.verdicts = polled.postbacks.iter().filter_map(&decide).collect();
        if let Some(last) = polled.postbacks.last() {
            question.cursors = vec![(polled.spool, last.sequence)];
        }
        got.extend(polled.postbacks);
    }
    got
}
