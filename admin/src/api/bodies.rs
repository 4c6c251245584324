//! Bounds the memory of request bodies: of each body, and of all bodies in flight.
//!
//! A body reserves memory in the budget of its kind as its bytes arrive, and releases the memory
//! when the request is answered; so a slow body holds little, and the bytes are accounted for as
//! long as a handler works on them. Edits and queries share a budget. Partners and
//! advertisers have another one, so that their bodies cannot block admins. Files have separate bounds, see `uploads`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use http_body_util::BodyExt;

use super::error::ApiError;

/// Longest body of a query.
const QUERY_BYTES: usize = 256 << 10;
/// Longest body of a partner or an advertiser.
const PARTNER_BYTES: usize = 64 << 10;
/// All bodies of edits and queries in flight. At least two of the longest always fit.
const BUDGET_BYTES: usize = 64 << 20;
/// All bodies of partners and advertisers in flight.
const PARTNERS_BUDGET_BYTES: usize = 16 << 20;

/// The sender and the purpose of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// An edit by an admin key.
    Edit,
    /// A query with a key of the network.
    Query,
    /// An edit or query by a partner, or a query by an advertiser.
    Partner,
}

/// Bounds on request bodies; clones share the budgets.
#[derive(Debug, Clone)]
pub struct Bodies {
    max_bytes: usize,
    timeout: Duration,
    budget: Arc<MemoryBudget>,
    partners_budget: Arc<MemoryBudget>,
}

impl Bodies {
    /// `max_bytes` is the longest body of an edit; `timeout` is from the end of the headers to the
    /// end of the body.
    #[must_use]
    pub fn new(max_bytes: usize, timeout: Duration) -> Bodies {
        let budget_bytes = BUDGET_BYTES.max(max_bytes.saturating_mul(2));
        Bodies {
            max_bytes,
            timeout,
            budget: Arc::new(MemoryBudget::new(budget_bytes)),
            partners_budget: Arc::new(MemoryBudget::new(PARTNERS_BUDGET_BYTES)),
        }
    }

    /// The bounds for one request.
    pub(super) fn admit(&self, kind: BodyKind) -> Arc<BodyBounds> {
        let (most, budget) = match kind {
            BodyKind::Edit => (self.max_bytes, &self.budget),
            BodyKind::Query => (QUERY_BYTES, &self.budget),
            BodyKind::Partner => (PARTNER_BYTES, &self.partners_budget),
        };
        Arc::new(BodyBounds {
            max_bytes: most.min(self.max_bytes),
            timeout: self.timeout,
            budget: Arc::clone(budget),
            taken: AtomicUsize::new(0),
        })
    }
}

/// The bounds of one request's body; releases the reserved memory on drop.
#[derive(Debug)]
pub(super) struct BodyBounds {
    max_bytes: usize,
    timeout: Duration,
    budget: Arc<MemoryBudget>,
    taken: AtomicUsize,
}

impl BodyBounds {
    /// Reads a whole body.
    ///
    /// # Errors
    /// When the body is too long, too slow or incomplete, or the budget is exhausted.
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
            // Trailers are not part of the body.
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
        if !self.budget.take(bytes) {
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
        self.budget.give_back(self.taken.load(Ordering::Relaxed));
    }
}

/// A number of bytes that requests reserve and release.
#[derive(Debug)]
struct MemoryBudget {
    free: AtomicUsize,
}

impl MemoryBudget {
    fn new(bytes: usize) -> MemoryBudget {
        MemoryBudget { free: AtomicUsize::new(bytes) }
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
        for _ in 0..PARTNERS_BUDGET_BYTES / PARTNER_BYTES {
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
        let free = bodies.partners_budget.free.load(Ordering::Relaxed);
        assert_eq!(free, PARTNERS_BUDGET_BYTES);
    }

    #[tokio::test]
    async fn each_kind_has_its_own_longest_body() {
        let bodies = Bodies::new(1 << 20, Duration::from_secs(5));
        for (kind, most) in [
            (BodyKind::Edit, 1 << 20),
            (BodyKind::Query, QUERY_BYTES),
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
