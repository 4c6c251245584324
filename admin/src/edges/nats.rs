//! Connection to NATS: the only file with the names of the client library.
//!
//! NATS is trusted neither with durability nor with secrets: the callers seal messages and check
//! answers, and the contents of a stream can be made again.

mod mirror;
mod server_certificate;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    self, DirectGetErrorKind, DiscardPolicy, RawMessageErrorKind, Stream,
};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event, Server, ServerError, StatusCode, Subscriber};
use bytes::Bytes;
use coupon_serve::tls::Validity;
use futures_util::{StreamExt as _, TryStreamExt as _};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::outgoing;
pub(crate) use mirror::{MirrorSettings, StreamState};
use server_certificate::{NotedDates, noting_tls};

/// Half-open connections are noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The usual deadline of a request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause between two attempts to connect.
const LONGEST_PAUSE_MS: u64 = 2_000;
/// Messages in memory of one subscription; beyond them the server's messages are dropped.
const SUBSCRIPTION_CAPACITY: usize = 4_096;
/// Bytes of one message; the servers' default bound is 1 MiB.
pub(super) const MAX_PAYLOAD: usize = 768 << 10;

/// The server's number of an error: its disk or `max_file` is smaller than a stream.
const NO_ROOM: &str = "10047";
/// Its numbers where too few servers are there for the replicas of a stream.
const FEW_SERVERS: [&str; 2] = ["10005", "10074"];
const UNKNOWN_AUTHORITY: &str = "the server's certificate is signed by none of the known \
     authorities: name theirs in hub.ca_file; an edge gets them with a new bundle (`coupon-admin edges \
     replace`)";
const UNKNOWN_USER: &str = "the server does not know this user: write its users anew (`coupon-admin \
     edges nats-config`) and reload it; on an edge the bundle may have been replaced or revoked";

/// Failure of a call to NATS.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NatsError {
    /// The options are invalid.
    #[error("cannot connect to NATS: {0}")]
    Settings(String),
    /// No connection at present.
    #[error("NATS is not reached: {0}")]
    Disconnected(String),
    /// The server refused, or did not answer.
    #[error("NATS did not {action}: {reason}")]
    Failed {
        /// The operation.
        action: &'static str,
        /// The library's error text.
        reason: String,
    },
    /// The users of the server may not do this.
    #[error(
        "the server does not allow this: write its users anew (`coupon-admin edges nats-config`) and \
         reload it ({0})"
    )]
    Forbidden(String),
    /// Nobody listens.
    #[error("nobody listens at the other end")]
    NoListener,
    /// No server with the stream answers.
    #[error("no NATS server with JetStream and the published index answers")]
    NoStream,
    /// A later message has been stored under the same subject.
    #[error("a later message is stored under this subject")]
    Overtaken,
}

fn failed<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> NatsError {
    move |error| NatsError::Failed { action, reason: error.to_string() }
}

fn no_stream<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> NatsError {
    move |error| {
        let mut reason = error.to_string();
        if reason.contains(NO_ROOM) {
            reason.push_str(
                "; make max_file of its jetstream block larger than hub.object_max_bytes of \
                 coupon-admin.toml, or that one smaller",
            );
        } else if FEW_SERVERS.iter().any(|number| reason.contains(number)) {
            reason.push_str(
                "; hub.replicas of coupon-admin.toml needs a cluster of at least as many servers \
                 with JetStream that answer: 1 for a single server",
            );
        }
        NatsError::Failed { action, reason }
    }
}

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct NatsSettings {
    /// Addresses such as `tls://hub.example.com:4222`.
    pub(crate) servers: Vec<String>,
    /// PEM of the authorities that may sign the servers' certificates; empty for the system's.
    pub(crate) ca_pem: String,
    /// Seed of the user's key.
    pub(crate) user_seed: String,
    /// Prefix of the subjects for answers.
    pub(crate) inbox_prefix: String,
    /// Name of the connection in the server's log.
    pub(crate) name: String,
    pub(crate) request_timeout: Duration,
}

/// A connection, made again after each loss; clones share the connection.
#[derive(Clone)]
pub(crate) struct Nats {
    client: Client,
    jetstream: Context,
    problem: Arc<Mutex<Option<String>>>,
    /// The last message that the server did not allow, with its time.
    forbidden: Arc<Mutex<Option<(String, Instant)>>>,
}

/// A received message.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) payload: Bytes,
    /// The server reports a request's subject without a listener.
    pub(crate) is_without_listener: bool,
}

/// Messages of a subscription.
pub(crate) struct Messages(Subscriber);

impl Messages {
    /// The next message; `None` after the connection was closed for good.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        let message = self.0.next().await?;
        Some(Received {
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            payload: message.payload,
            is_without_listener: message.status == Some(StatusCode::NO_RESPONDERS),
        })
    }
}

/// A stream with the last message of each subject.
pub(crate) struct StreamSettings {
    pub(crate) name: String,
    pub(crate) subjects: Vec<String>,
    pub(crate) max_bytes: i64,
    /// Servers of a cluster that keep the stream.
    pub(crate) replicas: usize,
}

impl Nats {
    /// Begins to connect, and goes on until a server is reached.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub(crate) async fn connect(settings: &NatsSettings) -> Result<Nats, NatsError> {
        let problem = Arc::new(Mutex::new(Some("no server has answered yet".to_owned())));
        let (shown, shown_reason) = (Arc::clone(&problem), Arc::clone(&problem));
        let forbidden = Arc::new(Mutex::new(None));
        let refused = Arc::clone(&forbidden);
        let options = options(settings, NotedDates::default())?
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .retry_on_initial_connect()
            .reconnect_delay_callback(pause_before)
            // Chooses no server: only this call gives the reasons of failed attempts.
            .reconnect_to_server_callback(move |servers, _| {
                show_reasons(&shown_reason, &servers);
                async { None }
            })
            .event_callback(move |event| {
                match forbidden_by(&event) {
                    Some(text) => show_forbidden(&refused, text),
                    None => show_event(&shown, &event),
                }
                async {}
            });
        let servers: Vec<async_nats::ServerAddr> = settings
            .servers
            .iter()
            .map(|server| server.parse().map_err(|error| invalid_server(server, &error)))
            .collect::<Result<_, _>>()?;
        let client = options.connect(servers).await;
        let client = client.map_err(|error| NatsError::Settings(error.to_string()))?;
        let jetstream = jetstream::new(client.clone());
        Ok(Nats { client, jetstream, problem, forbidden })
    }

    /// Why there is no connection; `None` while there is one.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.client.connection_state() == State::Connected {
            return None;
        }
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(problem.unwrap_or_else(|| "connection lost".to_owned()))
    }

    /// Fails at once without a connection: the library would keep the message for later.
    fn check_connected(&self) -> Result<(), NatsError> {
        self.problem().map_or(Ok(()), |problem| Err(NatsError::Disconnected(problem)))
    }

    pub(crate) async fn subscribe(&self, subject: String) -> Result<Messages, NatsError> {
        let subscriber = self.client.subscribe(subject).await;
        subscriber.map(Messages).map_err(failed("subscribe"))
    }

    /// A new subject for answers to this connection.
    pub(crate) fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    pub(crate) async fn publish(&self, subject: String, payload: Bytes) -> Result<(), NatsError> {
        self.check_connected()?;
        self.client.publish(subject, payload).await.map_err(failed("take a message"))
    }

    pub(crate) async fn publish_with_reply(
        &self,
        subject: String,
        reply: String,
        payload: Bytes,
    ) -> Result<(), NatsError> {
        self.check_connected()?;
        let sent = self.client.publish_with_reply(subject, reply, payload).await;
        sent.map_err(failed("take a message"))
    }

    /// Sends one message, and returns its one answer.
    pub(crate) async fn request(
        &self,
        subject: String,
        payload: Bytes,
    ) -> Result<Bytes, NatsError> {
        self.check_connected()?;
        let began = Instant::now();
        match self.client.request(subject, payload).await {
            Ok(answer) => Ok(answer.payload),
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                Err(NatsError::NoListener)
            }
            Err(error) => Err(self.refusal_since(began, failed("answer")(error))),
        }
    }

    /// The server tells of a subject that is not allowed, and the request gets no answer.
    fn refusal_since(&self, began: Instant, unanswered: NatsError) -> NatsError {
        let forbidden = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        let since = forbidden.as_ref().filter(|(_, at)| *at >= began);
        since.map_or(unanswered, |(text, _)| NatsError::Forbidden(text.clone()))
    }

    /// Creates a missing stream, and sets the bounds.
    pub(crate) async fn open_stream(&self, settings: StreamSettings) -> Result<(), NatsError> {
        self.check_connected()?;
        let config = stream::Config {
            name: settings.name,
            subjects: settings.subjects,
            max_messages_per_subject: 1,
            max_bytes: settings.max_bytes,
            // A full stream refuses the new object; it must not drop the base for it.
            discard: DiscardPolicy::New,
            discard_new_per_subject: false,
            allow_direct: true,
            num_replicas: settings.replicas,
            ..stream::Config::default()
        };
        match self.jetstream.get_stream_no_info(&config.name).await {
            Ok(known) if known.get_info().await.is_ok() => self
                .jetstream
                .update_stream(config)
                .await
                .map(drop)
                .map_err(no_stream("change a stream")),
            _ => self
                .jetstream
                .create_stream(config)
                .await
                .map(drop)
                .map_err(no_stream("make a stream")),
        }
    }

    async fn stream(&self, name: &str) -> Result<Stream<()>, NatsError> {
        self.check_connected()?;
        let stream = self.jetstream.get_stream_no_info(name).await;
        stream.map_err(failed("find a stream"))
    }

    /// The last message of a subject with its sequence; `None` where there is none. Of a cluster any
    /// server answers, which may be a moment behind.
    pub(crate) async fn last(
        &self,
        stream: &str,
        subject: String,
    ) -> Result<Option<(u64, Bytes)>, NatsError> {
        match self.stream(stream).await?.direct_get_last_for_subject(subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload))),
            Err(error) => match error.kind() {
                DirectGetErrorKind::NotFound => Ok(None),
                DirectGetErrorKind::ErrorResponse(StatusCode::NO_RESPONDERS, _) => {
                    Err(NatsError::NoStream)
                }
                _ => Err(failed("give a stored message")(error)),
            },
        }
    }

    /// The same, of the server that orders the messages of the stream. Edges may not ask it.
    pub(crate) async fn last_at_leader(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<(u64, Bytes)>, NatsError> {
        let began = Instant::now();
        match self.stream(stream).await?.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.refusal_since(began, failed("give a stored message")(error))),
        }
    }

    /// Stores a message in the stream of its subject.
    pub(crate) async fn put(&self, subject: String, payload: Bytes) -> Result<(), NatsError> {
        self.store(subject, PublishMessage::build().payload(payload)).await.map(drop)
    }

    /// Stores a message if the last one of its subject has this sequence, 0 for none; returns the
    /// new sequence.
    ///
    /// # Errors
    /// [`NatsError::Overtaken`] if another message came first.
    pub(crate) async fn replace(
        &self,
        subject: String,
        payload: Bytes,
        last_sequence: u64,
    ) -> Result<u64, NatsError> {
        let message = PublishMessage::build().payload(payload);
        self.store(subject, message.expected_last_subject_sequence(last_sequence)).await
    }

    async fn store(&self, subject: String, message: PublishMessage) -> Result<u64, NatsError> {
        self.check_connected()?;
        let sent = self.jetstream.send_publish(subject, message).await;
        let stored = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(stored) => Ok(stored.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(NatsError::Overtaken)
            }
            Err(error) => Err(failed("store a message")(error)),
        }
    }

    /// The subjects with a stored message that match a filter.
    pub(crate) async fn stored_subjects(
        &self,
        stream: &str,
        filter: String,
    ) -> Result<Vec<String>, NatsError> {
        self.check_connected()?;
        let stream = self.jetstream.get_stream(stream).await;
        let stream = stream.map_err(failed("find a stream"))?;
        let subjects = stream.info_with_subjects(filter).await.map_err(failed("list a stream"))?;
        let names: Vec<(String, usize)> =
            subjects.try_collect().await.map_err(failed("list a stream"))?;
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }

    /// Removes the stored messages whose subjects match a filter.
    pub(crate) async fn purge(&self, stream: &str, filter: String) -> Result<(), NatsError> {
        let purged = self.stream(stream).await?.purge().filter(filter).await;
        purged.map(drop).map_err(failed("remove stored messages"))
    }
}

fn invalid_server(server: &str, error: &impl std::fmt::Display) -> NatsError {
    NatsError::Settings(format!(
        "{server} is not an address such as tls://hub.example.com:4222: {error}"
    ))
}

/// Grows with the attempts; agents that lost one server must not all return in one moment.
fn pause_before(attempt: usize) -> Duration {
    let longest = (50_u64 << attempt.min(6)).min(LONGEST_PAUSE_MS);
    let mut random = [0_u8; 2];
    let _ = getrandom::fill(&mut random);
    Duration::from_millis(longest / 2 + longest * u64::from(u16::from_ne_bytes(random)) / 131_072)
}

/// The text of a server that does not allow a subject to this user.
fn forbidden_by(event: &Event) -> Option<&str> {
    match event {
        Event::ServerError(ServerError::Other(text)) => {
            let is_forbidden = text.to_ascii_lowercase().contains("permissions violation");
            is_forbidden.then_some(text)
        }
        _ => None,
    }
}

fn show_forbidden(last: &Mutex<Option<(String, Instant)>>, text: &str) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if last.as_ref().is_none_or(|(before, _)| before != text) {
        tracing::warn!(text, "NATS does not allow a subject to this user");
    }
    *last = Some((text.to_owned(), Instant::now()));
}

fn show_event(shown: &Mutex<Option<String>>, event: &Event) {
    let problem = match event {
        Event::Connected => None,
        Event::SlowConsumer(_) | Event::LameDuckMode => return,
        // Says only that something failed; `show_reasons` says what.
        Event::ClientError(_) => return,
        Event::ServerError(ServerError::AuthorizationViolation) => Some(UNKNOWN_USER.to_owned()),
        other => Some(other.to_string()),
    };
    show_problem(shown, problem);
}

/// Shows why the last attempt to connect failed at each server.
fn show_reasons(shown: &Mutex<Option<String>>, servers: &[Server]) {
    let reasons = servers.iter().filter_map(|server| {
        let error = server.last_error.as_deref()?;
        Some(format!("{}: {}", server.addr.as_url_str(), explain(error)))
    });
    let reasons: Vec<String> = reasons.collect();
    if !reasons.is_empty() {
        show_problem(shown, Some(reasons.join("; ")));
    }
}

/// The text of a failed attempt, with its mend where the text says little to an operator.
fn explain(error: &str) -> String {
    let mend = [
        ("authorization violation", UNKNOWN_USER),
        ("unknownissuer", UNKNOWN_AUTHORITY),
        // Another authority has the name of a known one.
        ("badsignature", UNKNOWN_AUTHORITY),
        (
            "certificate expired",
            "the server's certificate has expired: renew it, and reload the server",
        ),
        (
            "not valid for name",
            "the server's certificate is for another name: use its name in hub.servers and \
             hub.edge_servers",
        ),
        (
            "invalidcontenttype",
            "the server does not speak TLS: give it a certificate, or use nats:// within this machine",
        ),
    ];
    let lower = error.to_ascii_lowercase();
    let mend = mend.iter().find(|(part, _)| lower.contains(part));
    mend.map_or_else(|| error.to_owned(), |(_, mend)| format!("{mend} ({error})"))
}

fn show_problem(shown: &Mutex<Option<String>>, problem: Option<String>) {
    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    match (&problem, &*shown) {
        (None, _) => tracing::info!("connected to NATS"),
        (Some(problem), before) if before.as_ref() != Some(problem) => {
            tracing::warn!(%problem, "NATS is not reached");
        }
        _ => {}
    }
    *shown = problem;
}

/// The authorities of this PEM text, or the usual ones where it is empty.
fn roots(ca_pem: &str) -> Result<RootCertStore, NatsError> {
    if ca_pem.is_empty() {
        return Ok(outgoing::usual_roots());
    }
    let invalid = |reason: String| NatsError::Settings(format!("the CA certificates: {reason}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| invalid(format!("{error:?}")))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("there is none in the PEM text".to_owned()));
    }
    Ok(roots)
}

/// Options of every connection, which notes the dates of the server's certificate.
fn options(settings: &NatsSettings, dates: NotedDates) -> Result<ConnectOptions, NatsError> {
    let options = ConnectOptions::new()
        .name(&settings.name)
        .custom_inbox_prefix(&settings.inbox_prefix)
        .request_timeout(Some(settings.request_timeout))
        .connection_timeout(CONNECTION_TIMEOUT)
        .tls_client_config(noting_tls(roots(&settings.ca_pem)?, dates)?);
    Ok(match settings.user_seed.is_empty() {
        true => options,
        false => options.nkey(settings.user_seed.clone()),
    })
}

/// The dates of the certificate of the servers that ends first; `None` without a server that speaks TLS
/// and is reached. A connection keeps the certificate that it began with, so each look makes one.
pub(crate) async fn certificate_dates(settings: &NatsSettings) -> Option<Validity> {
    let mut first: Option<Validity> = None;
    for server in &settings.servers {
        let dates = NotedDates::default();
        let Ok(options) = options(settings, dates.clone()) else { continue };
        // The certificate is noted also where the server refuses the user.
        drop(options.connect(server).await);
        let ends = [first, dates.get()].into_iter().flatten();
        first = ends.min_by_key(|dates| dates.not_after);
    }
    first
}

#[cfg(test)]
pub(super) mod tests;
