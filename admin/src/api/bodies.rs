//! What request bodies may take: each by itself, and all that are in flight together.
//!
//! A body draws on the room of its kind as its bytes come in, and gives it back when its request is
//! answered; so one that comes slowly holds little, and what is read of it is bounded for as long as
//! it is worked on. Edits and questions share a room. Partners have one of their own, so that theirs
//! keep no admin out. Files have bounds of their own, see `uploads`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use http_body_util::BodyExt;

use super::error::ApiError;

/// Of a request that only asks.
const QUESTION_BYTES: usize = 256 << 10;
/// Of a partner's request.
const PARTNER_BYTES: usize = 64 << 10;
/// All bodies of edits and questions in flight. At least two of the longest always fit.
const ROOM_BYTES: usize = 64 << 20;
/// All bodies of partners in flight.
const PARTNERS_ROOM_BYTES: usize = 16 << 20;

/// Who sends a body, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// An admin edits.
    Edit,
    /// Somebody with a key of the network asks.
    Question,
    /// A partner edits or asks.
    Partner,
}

/// Bounds on request bodies; clones share the rooms.
#[derive(Debug, Clone)]
pub struct Bodies {
    max_bytes: usize,
    timeout: Duration,
    room: Arc<Room>,
    partners_room: Arc<Room>,
}

impl Bodies {
    /// `max_bytes` is the longest body of an edit; `timeout` is from the end of the headers to the
    /// end of the body.
    #[must_use]
    pub fn new(max_bytes: usize, timeout: Duration) -> Bodies {
        let room_bytes = ROOM_BYTES.max(max_bytes.saturating_mul(2));
        Bodies {
            max_bytes,
            timeout,
            room: Arc::new(Room::of(room_bytes)),
            partners_room: Arc::new(Room::of(PARTNERS_ROOM_BYTES)),
        }
    }

    /// For one request.
    pub(super) fn admit(&self, kind: BodyKind) -> Arc<BodyBounds> {
        let (most, room) = match kind {
            BodyKind::Edit => (self.max_bytes, &self.room),
            BodyKind::Question => (QUESTION_BYTES, &self.room),
            BodyKind::Partner => (PARTNER_BYTES, &self.partners_room),
        };
        Arc::new(BodyBounds {
            max_bytes: most.min(self.max_bytes),
            timeout: self.timeout,
            room: Arc::clone(room),
            taken: AtomicUsize::new(0),
        })
    }
}

/// What one request's body may take, and what it has taken until this is dropped.
#[derive(Debug)]
pub(super) struct BodyBounds {
    max_bytes: usize,
    timeout: Duration,
    room: Arc<Room>,
    taken: AtomicUsize,
}

impl BodyBounds {
    /// Reads a body whole.
    ///
    /// # Errors
    /// When it is too long or too slow, breaks off, or there is no room for it now.
    pub(super) async fn read(&self, body: Body) -> Result<Vec<u8>, ApiError> {
        let read = tokio::time::timeout(self.timeout, self.collect(body)).await;
        read.map_err(|_elapsed| {
            let message = "the body took too long to arrive";
            ApiError::new(StatusCode::BAD_REQUEST, "body.too_slow", message)
        })?
    }

    async fn collect(&self, mut body: Body) -> Result<Vec<u8>, ApiError> {
        if body.size_hint().lower() > self.max_bytes as u64 {
            return Err(self.too_large());
        }
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let message = format!("the body broke off: {error}");
                ApiError::new(StatusCode::BAD_REQUEST, "body.broken_off", message)
            })?;
            // Trailers are not of the body.
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.max_bytes {
                return Err(self.too_large());
            }
            self.take(data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    fn too_large(&self) -> ApiError {
        let message = format!("the body has more than {} bytes; send less at once", self.max_bytes);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body.too_large", message)
    }

    fn take(&self, bytes: usize) -> Result<(), ApiError> {
        if !self.room.take(bytes) {
            let message = "the bodies of other requests fill the memory set aside for them; \
                           send this one again in some seconds";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "body.no_room", message));
        }
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for BodyBounds {
    fn drop(&mut self) {
        self.room.give_back(self.taken.load(Ordering::Relaxed));
    }
}

/// Bytes that are not taken.
#[derive(Debug)]
struct Room {
    free: AtomicUsize,
}

impl Room {
    fn of(bytes: usize) -> Room {
        Room { free: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |free: usize| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.free.fetch_add(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(error: &ApiError) -> String {
        format!("{error:?}")
    }

    #[tokio::test]
    async fn bodies_in_flight_share_a_room_until_their_requests_are_answered() {
        let bodies = Bodies::new(8 << 20, Duration::from_secs(5));
        let body = || Body::from(vec![b' '; PARTNER_BYTES]);
        let mut held = Vec::new();
        for _ in 0..PARTNERS_ROOM_BYTES / PARTNER_BYTES {
            let bounds = bodies.admit(BodyKind::Partner);
            assert_eq!(bounds.read(body()).await.unwrap().len(), PARTNER_BYTES);
            held.push(bounds);
        }
        let more = bodies.admit(BodyKind::Partner);
        let refused = more.read(body()).await.unwrap_err();
        assert!(refusal(&refused).contains("body.no_room"), "{refused:?}");
        assert!(bodies.admit(BodyKind::Edit).read(body()).await.is_ok(), "admins have their own");
        held.pop();
        assert!(more.read(body()).await.is_ok());
        drop((held, more));
        let free = bodies.partners_room.free.load(Ordering::Relaxed);
        assert_eq!(free, PARTNERS_ROOM_BYTES);
    }

    #[tokio::test]
    async fn each_kind_has_its_own_longest_body() {
        let bodies = Bodies::new(1 << 20, Duration::from_secs(5));
        for (kind, most) in [
            (BodyKind::Edit, 1 << 20),
            (BodyKind::Question, QUESTION_BYTES),
            (BodyKind::Partner, PARTNER_BYTES),
        ] {
            let bounds = bodies.admit(kind);
            assert!(bounds.read(Body::from(vec![0; most])).await.is_ok(), "{kind:?}");
            let refused = bounds.read(Body::from(vec![0; most + 1])).await.unwrap_err();
            assert!(refusal(&refused).contains("body.too_large"), "{refused:?}");
        }
        let small = Bodies::new(100, Duration::from_secs(5)).admit(BodyKind::Partner);
        assert!(small.read(Body::from(vec![0; 101])).await.is_err());
    }
}
