//! `GET /v1/networks/events`: the events that webhooks get, as a page or as server-sent events.
//!
//! Both forms have one cursor: of the store's identity and the number of an event. A cursor of
//! another store counts as the beginning. After a restored backup numbers go on far above those that
//! were given before, so a cursor stays good.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::request::{number, parameters, unknown, within};
use super::schema::parameter;
use super::state::{AppState, Network};
use super::streams::{BEAT, CHECK_INTERVAL, Readers, StreamClient, StreamWriter, accepts_events};
use crate::accounts::session::Lifetimes;
use crate::catalog::{EventType, UnknownWord};
use crate::store::events::{self, EventPage, NumberedEvent};
use crate::store::{ReadTx, Store, StoreError, meta};
use crate::webhooks::message;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;
/// Events that a stream reads at once.
const STREAM_LIMIT: usize = 100;
/// A stream looks for new events this often.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A silent stream writes a comment this often.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// The readers of streams of events. Clones share their bound.
#[derive(Debug, Clone)]
pub struct EventStreams {
    readers: Readers,
    closed: CancellationToken,
}

impl EventStreams {
    /// All streams end with `closed`.
    #[must_use]
    pub fn new(closed: CancellationToken) -> EventStreams {
        EventStreams { readers: Readers::default(), closed }
    }
}

/// The place behind an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EventCursor {
    /// The beginning of the store's identity.
    lineage: u32,
    number: u64,
}

impl EventCursor {
    fn parse(text: &str) -> Option<EventCursor> {
        let (lineage, number) = text.split_once('-')?;
        let lineage = u32::from_str_radix(lineage, 16).ok()?;
        Some(EventCursor { lineage, number: number.parse().ok()? })
    }

    fn text(self) -> String {
        format!("{:08x}-{}", self.lineage, self.number)
    }
}

/// The parameters `after`, `types` and `limit`.
struct EventParameters {
    after: Option<EventCursor>,
    types: Vec<EventType>,
    limit: u32,
}

impl<S: Sync> FromRequestParts<S> for EventParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<EventParameters, ApiError> {
        let mut found = EventParameters { after: None, types: Vec::new(), limit: DEFAULT_LIMIT };
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "after" if value.is_empty() => {}
                "after" => found.after = Some(parse_cursor("after", &value)?),
                "types" => found.types = parse_types(&value)?,
                "limit" => found.limit = within("limit", &value, MAX_LIMIT)?,
                _ => return Err(unknown(&name, "after, types, limit")),
            }
        }
        // A browser that connects again says what it had.
        if let Some(last) = parts.headers.get(LAST_EVENT_ID) {
            let last = last.to_str().unwrap_or_default();
            found.after = Some(parse_cursor("Last-Event-ID", last)?);
        }
        Ok(found)
    }
}

fn parse_cursor(name: &str, text: &str) -> Result<EventCursor, ApiError> {
    let message = "is no cursor of an answer; leave it out to begin at the oldest event";
    EventCursor::parse(text).ok_or_else(|| ApiError::field(name, message))
}

fn parse_types(text: &str) -> Result<Vec<EventType>, ApiError> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| word.parse())
        .collect::<Result<_, UnknownWord>>()
        .map_err(|error| ApiError::field("types", error.to_string()))
}

impl IntoParams for EventParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = |pattern: &str| {
            ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
        };
        let query = |name, about, schema| parameter(name, ParameterIn::Query, about, schema);
        vec![
            query(
                "after",
                "The cursor of an earlier answer; without it a page begins at the oldest event, and a stream with the next one",
                text("^([0-9a-f]{8}-[0-9]{1,18})?$"),
            ),
            query(
                "types",
                "Types of events, with commas between; without them all",
                text("^[a-z_.,]*$"),
            ),
            query("limit", "Events of a page; 100 where it is not said", number(1, MAX_LIMIT)),
        ]
    }
}

/// A page of events.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = EventPage)]
struct EventPageAnswer {
    /// Oldest first, each as webhooks get it.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
    /// The cursor of the next page.
    after: String,
    /// Events between the cursor of the request and this page are no longer kept.
    has_gap: bool,
}

/// Events of the network, oldest first, as webhooks get them.
///
/// The newest 10,000 events of the last 7 days are kept. With `Accept: text/event-stream` the answer
/// is a stream that does not end: each event has its type as `event`, its cursor as `id`, and the
/// same text as `data` as a webhook's body; `gap` says that events behind the cursor are no longer
/// kept. Two streams for each key or session, 64 in all.
#[utoipa::path(get, path = "/events", params(EventParameters), responses((status = 200, content((EventPageAnswer = "application/json"), (String = "text/event-stream")))))]
async fn read(
    State(streams): State<EventStreams>,
    State(store): State<Store>,
    State(network): State<Network>,
    State(lifetimes): State<Lifetimes>,
    client: StreamClient,
    parameters: EventParameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let lineage = store.read(read_lineage).await?;
    let EventParameters { after, types, limit } = parameters;
    let after = after.map(|cursor| if cursor.lineage == lineage { cursor.number } else { 0 });
    let reader = EventReader { store: store.clone(), network, lineage, types };
    if !accepts_events(&headers) {
        let page = reader.page(after.unwrap_or_default(), limit as usize).await?;
        return Ok(axum::Json(reader.render(page)).into_response());
    }
    let place = client.take_place(&streams.readers)?;
    let after = match after {
        Some(after) => after,
        None => store.read(events::newest).await?,
    };
    let (writer, response) = StreamWriter::new(client, place, store, lifetimes);
    tokio::spawn(async move {
        streams.closed.run_until_cancelled(reader.write_all(&writer, after)).await;
    });
    Ok(response)
}

fn read_lineage(connection: &ReadTx<'_>) -> Result<u32, StoreError> {
    let [a, b, c, d, ..] = meta::read(connection)?.lineage;
    Ok(u32::from_be_bytes([a, b, c, d]))
}

struct EventReader {
    store: Store,
    network: Network,
    lineage: u32,
    types: Vec<EventType>,
}

impl EventReader {
    async fn page(&self, after: u64, limit: usize) -> Result<EventPage, StoreError> {
        let types = self.types.clone();
        self.store.read(move |connection| events::page(connection, after, &types, limit)).await
    }

    fn cursor(&self, number: u64) -> String {
        EventCursor { lineage: self.lineage, number }.text()
    }

    fn render(&self, page: EventPage) -> EventPageAnswer {
        let parse = |event: &NumberedEvent| {
            serde_json::from_str(&message(&event.event, self.network.id)).unwrap_or_default()
        };
        EventPageAnswer {
            events: page.events.iter().map(parse).collect(),
            after: self.cursor(page.last),
            has_gap: page.has_gap,
        }
    }

    /// Writes events until the reader goes or may no longer read.
    async fn write_all(&self, writer: &StreamWriter, mut after: u64) {
        let (mut checked, mut written) = (Instant::now(), Instant::now());
        if !writer.send(Bytes::from_static(BEAT)).await {
            return;
        }
        loop {
            if checked.elapsed() >= CHECK_INTERVAL {
                if !writer.is_still_good().await {
                    return;
                }
                checked = Instant::now();
            }
            let page = match self.page(after, STREAM_LIMIT).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "a stream ended: events not read"),
            };
            after = page.last;
            let is_whole = page.events.len() < STREAM_LIMIT;
            let text = self.text_of(page);
            let is_due = written.elapsed() >= HEARTBEAT;
            let piece = if text.is_empty() { Bytes::from_static(BEAT) } else { text.into() };
            if is_due || piece != BEAT {
                written = Instant::now();
                if !writer.send(piece).await {
                    return;
                }
            }
            if is_whole {
                tokio::select! {
                    () = writer.closed() => return,
                    () = sleep(POLL_INTERVAL) => {}
                }
            }
        }
    }

    fn text_of(&self, page: EventPage) -> String {
        let mut text = String::new();
        if page.has_gap {
            text.push_str("event: gap\ndata: {}\n\n");
        }
        for NumberedEvent { number, event } in page.events {
            let (kind, cursor) = (&event.event_type, self.cursor(number));
            let data = message(&event, self.network.id);
            text.push_str(&format!("event: {kind}\nid: {cursor}\ndata: {data}\n\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = EventCursor { lineage: 0x00ab_cdef, number: 12 };
        assert_eq!(cursor.text(), "00abcdef-12");
        assert_eq!(EventCursor::parse("00abcdef-12"), Some(cursor));
        for wrong in ["", "12", "x-1", "00abcdef-", "00abcdef--1"] {
            assert_eq!(EventCursor::parse(wrong), None, "{wrong}");
        }
    }
}
