//! Counters of a run. Each thread has one tally for the warm-up and one for the measured part; the
//! tallies of all threads are added at the end.
//!
//! Invariant after a run: `scheduled = queue_full + connect + handshake + sent + never sent`, and
//! `sent = answered + reset + timeout + parse + abandoned`. `never sent` and `abandoned` are not counted;
//! they are the remainders of these sums.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::HandshakeKind;

use crate::schedule::Dispatched;

/// Longest time of a histogram: one hour. Longer times count as one hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Kinds of failures, apart from refusals by the generator itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FailureKind {
    Connect,
    Handshake,
    Reset,
    Timeout,
    Parse,
}

#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) scheduled: u64,
    pub(crate) queue_full: u64,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) failures: BTreeMap<FailureKind, u64>,
    /// Message of the first failure of each kind.
    pub(crate) first_failures: BTreeMap<FailureKind, String>,
    pub(crate) latency: Histogram<u64>,
    pub(crate) generator_lag: Histogram<u64>,
    pub(crate) connection_wait: Histogram<u64>,
    /// Longest time that answers, and messages of handshakes, may have been unread.
    pub(crate) read_lag: Histogram<u64>,
    /// Time from the start of connecting to the start of sending, with the TLS handshake.
    pub(crate) connecting: Histogram<u64>,
    pub(crate) handshakes: Handshakes,
    pub(crate) last_answer: Option<Instant>,
}

/// Completed TLS handshakes by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Handshakes {
    pub(crate) full: u64,
    /// Full handshakes with one more round trip: the server wanted another key exchange.
    pub(crate) retried: u64,
    pub(crate) resumed: u64,
}

impl Handshakes {
    fn count(&mut self, kind: HandshakeKind) {
        match kind {
            HandshakeKind::Full => self.full += 1,
            HandshakeKind::FullWithHelloRetryRequest => self.retried += 1,
            _ => self.resumed += 1,
        }
    }

    /// Handshakes that used no ticket.
    pub(crate) fn not_resumed(self) -> u64 {
        self.full + self.retried
    }

    pub(crate) fn total(self) -> u64 {
        self.full + self.retried + self.resumed
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.full += other.full;
        self.retried += other.retried;
        self.resumed += other.resumed;
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            scheduled: 0,
            queue_full: 0,
            sent: 0,
            answered: 0,
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            first_failures: BTreeMap::new(),
            latency: histogram(),
            generator_lag: histogram(),
            connection_wait: histogram(),
            read_lag: histogram(),
            connecting: histogram(),
            handshakes: Handshakes::default(),
            last_answer: None,
        }
    }

    pub(crate) fn refused_by_queue(&mut self, request: Dispatched) {
        self.queue_full += 1;
        // A request that came too late for the queue may have found room in time.
        record(&mut self.generator_lag, request.at.saturating_duration_since(request.due.intended));
    }

    /// Records that a connection free since `free_since` starts with a request. The wait for a free
    /// connection is the server's share of the delay since the due time; the rest is the
    /// generator's lag and is returned.
    pub(crate) fn begun(
        &mut self,
        request: Dispatched,
        free_since: Instant,
        now: Instant,
    ) -> Duration {
        let waited = free_since.saturating_duration_since(request.at);
        let late = now.saturating_duration_since(request.due.intended);
        let lag = late.saturating_sub(waited);
        record(&mut self.connection_wait, waited);
        record(&mut self.generator_lag, lag);
        lag
    }

    /// Records a new connection that took `time`, with its handshake if it has TLS.
    pub(crate) fn connected(&mut self, time: Duration, handshake: Option<HandshakeKind>) {
        record(&mut self.connecting, time);
        if let Some(kind) = handshake {
            self.handshakes.count(kind);
        }
    }

    pub(crate) fn answered(
        &mut self,
        request: Dispatched,
        status: u16,
        now: Instant,
        read_lag: Duration,
    ) {
        self.answered += 1;
        *self.statuses.entry(status).or_default() += 1;
        record(&mut self.latency, now.saturating_duration_since(request.due.intended));
        record(&mut self.read_lag, read_lag);
        self.last_answer = Some(now);
    }

    pub(crate) fn failed(&mut self, kind: FailureKind, words: impl FnOnce() -> String) {
        *self.failures.entry(kind).or_default() += 1;
        self.first_failures.entry(kind).or_insert_with(words);
    }

    pub(crate) fn failures_of(&self, kind: FailureKind) -> u64 {
        self.failures.get(&kind).copied().unwrap_or_default()
    }

    /// Requests sent, but neither answered nor failed within the drain time.
    pub(crate) fn abandoned(&self) -> u64 {
        let kinds = [FailureKind::Reset, FailureKind::Timeout, FailureKind::Parse];
        let failed: u64 = kinds.into_iter().map(|kind| self.failures_of(kind)).sum();
        self.sent.saturating_sub(self.answered + failed)
    }

    /// Requests still waiting for a connection after the drain time.
    pub(crate) fn never_sent(&self) -> u64 {
        let kinds = [FailureKind::Connect, FailureKind::Handshake];
        let failed: u64 = kinds.into_iter().map(|kind| self.failures_of(kind)).sum();
        self.scheduled.saturating_sub(self.queue_full + self.sent + failed)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.queue_full += other.queue_full;
        self.sent += other.sent;
        self.answered += other.answered;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(*kind).or_default() += count;
        }
        for (kind, words) in &other.first_failures {
            self.first_failures.entry(*kind).or_insert_with(|| words.clone());
        }
        // All histograms have the same bounds, so adding cannot fail.
        let _ = self.latency.add(&other.latency);
        let _ = self.generator_lag.add(&other.generator_lag);
        let _ = self.connection_wait.add(&other.connection_wait);
        let _ = self.read_lag.add(&other.read_lag);
        let _ = self.connecting.add(&other.connecting);
        self.handshakes.add(other.handshakes);
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}

fn histogram() -> Histogram<u64> {
    // Three digits; the bounds are constants, and a test creates the histogram, too.
    #[expect(clippy::unwrap_used, reason = "constant bounds")]
    Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap()
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(time.as_nanos().min(u128::from(LONGEST_NS)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Due;

    fn dispatched(intended: Instant, at: Instant) -> Dispatched {
        Dispatched { due: Due { number: 0, intended, measured: true }, at }
    }

    fn about(histogram: &Histogram<u64>, milliseconds: u64) -> bool {
        histogram.equivalent(histogram.max(), milliseconds * 1_000_000)
    }

    #[test]
    fn waiting_for_a_busy_connection_is_not_the_generators_lag() {
        let ms = Duration::from_millis;
        let intended = Instant::now();
        let request = dispatched(intended, intended + ms(1));
        let mut tally = Tally::new();
        tally.begun(request, intended + ms(501), intended + ms(503));
        assert!(about(&tally.connection_wait, 500), "{}", tally.connection_wait.max());
        assert!(about(&tally.generator_lag, 3), "{}", tally.generator_lag.max());
    }

    #[test]
    fn all_of_the_delay_is_lag_when_the_connection_was_free() {
        let ms = Duration::from_millis;
        let intended = Instant::now() + ms(1000);
        let mut tally = Tally::new();
        tally.begun(dispatched(intended, intended + ms(4)), intended - ms(900), intended + ms(9));
        assert!(about(&tally.generator_lag, 9), "{}", tally.generator_lag.max());
        assert_eq!(tally.connection_wait.max(), 0);
    }

    #[test]
    fn latency_counts_from_the_intended_time() {
        let intended = Instant::now();
        let answered = intended + Duration::from_millis(700);
        let mut tally = Tally::new();
        tally.answered(dispatched(intended, intended), 302, answered, Duration::ZERO);
        assert!(about(&tally.latency, 700));
        assert_eq!(tally.statuses, BTreeMap::from([(302, 1)]));
    }

    #[test]
    fn what_is_neither_answered_nor_failed_is_found_by_subtraction() {
        let now = Instant::now();
        let mut tally = Tally::new();
        (tally.scheduled, tally.sent, tally.queue_full) = (10, 6, 1);
        tally.answered(dispatched(now, now), 302, now, Duration::ZERO);
        tally.failed(FailureKind::Connect, || "refused".into());
        tally.failed(FailureKind::Handshake, || "unknown issuer".into());
        tally.failed(FailureKind::Reset, || "reset".into());
        tally.failed(FailureKind::Timeout, String::new);
        assert_eq!((tally.abandoned(), tally.never_sent()), (3, 1));
        let mut sum = Tally::new();
        sum.add(&tally);
        sum.add(&tally);
        assert_eq!((sum.abandoned(), sum.never_sent()), (6, 2));
        assert_eq!(sum.first_failures[&FailureKind::Reset], "reset");
    }
}
