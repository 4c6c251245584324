//! Counters of received, answered and refused postbacks.

use std::sync::atomic::{AtomicU64, Ordering};

use coupon_shared::postback::VerdictStatus;
use hyper::StatusCode;

const VERDICTS: [VerdictStatus; 5] = [
    VerdictStatus::Queued,
    VerdictStatus::Approved,
    VerdictStatus::Pending,
    VerdictStatus::Rejected,
    VerdictStatus::Invalid,
];
const REFUSALS: [StatusCode; 7] = [
    StatusCode::BAD_REQUEST,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

#[derive(Debug, Default)]
pub(super) struct PostbackCounters {
    received: AtomicU64,
    answered: [AtomicU64; VERDICTS.len()],
    refused: [AtomicU64; REFUSALS.len()],
}

impl PostbackCounters {
    pub(super) fn kept(&self, postbacks: u64) {
        self.received.fetch_add(postbacks, Ordering::Relaxed);
    }

    pub(super) fn answer(&self, status: VerdictStatus) {
        count(&VERDICTS, &self.answered, status);
    }

    pub(super) fn refuse(&self, status: StatusCode) {
        count(&REFUSALS, &self.refused, status);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self) -> Vec<(&'static str, u64)> {
        let counts = self.answered.iter().map(|count| count.load(Ordering::Relaxed));
        VERDICTS.into_iter().map(VerdictStatus::as_str).zip(counts).collect()
    }

    pub(super) fn refused(&self) -> Vec<(u16, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        REFUSALS.iter().map(StatusCode::as_u16).zip(counts).collect()
    }
}

fn count<T: PartialEq>(names: &[T], counts: &[AtomicU64], name: T) {
    let found = names.iter().position(|known| *known == name).and_then(|at| counts.get(at));
    if let Some(count) = found {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
