//! Results of requests in buckets of equal width, by due time.
//!
//! A bucket counts from the due time of a request, like every latency of this program: a stall
//! shows in the buckets of the delayed requests. All buckets are allocated before the run, so the
//! run does not include their cost.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Longest time of a histogram; longer times count as this.
const LONGEST_NS: u64 = 60_000_000_000;

pub(crate) struct Timeline {
    start: Instant,
    width: Duration,
    buckets: Vec<Bucket>,
}

#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) latency: Histogram<u32>,
    /// Lag of the generator, in sending and in reading.
    pub(crate) lag: Histogram<u32>,
    pub(crate) failures: Failures,
}

/// Unexpected results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Failures {
    /// Requests without an answer.
    pub(crate) unanswered: u64,
    /// Answers with an unexpected status.
    pub(crate) unexpected: u64,
    /// Answers from an index that was not current.
    pub(crate) stale: u64,
}

impl Failures {
    pub(crate) fn total(self) -> u64 {
        self.unanswered + self.unexpected + self.stale
    }

    fn add(&mut self, other: Self) {
        self.unanswered += other.unanswered;
        self.unexpected += other.unexpected;
        self.stale += other.stale;
    }
}

impl Timeline {
    /// Buckets for `duration`, starting at [`Timeline::begin`].
    pub(crate) fn new(duration: Duration, width: Duration) -> Timeline {
        let count = duration.as_nanos().div_ceil(width.as_nanos()).max(1) as usize;
        Timeline { start: Instant::now(), width, buckets: vec![Bucket::new(); count] }
    }

    pub(crate) fn begin(&mut self, start: Instant) {
        self.start = start;
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Bucket of a request due at `due`; none outside the measured part.
    pub(crate) fn bucket(&mut self, due: Instant) -> Option<&mut Bucket> {
        let after = due.checked_duration_since(self.start)?;
        self.buckets.get_mut((after.as_nanos() / self.width.as_nanos()) as usize)
    }

    /// The buckets, each with its start and end relative to the beginning.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (std::ops::Range<Duration>, &Bucket)> {
        let width = self.width;
        let span = move |at: usize| width * at as u32..width * (at as u32 + 1);
        self.buckets.iter().enumerate().map(move |(at, bucket)| (span(at), bucket))
    }

    /// Adds the buckets of another thread; both have the same buckets.
    pub(crate) fn add(&mut self, other: &Timeline) {
        self.start = other.start;
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            own.add(other);
        }
    }
}

impl Bucket {
    pub(crate) fn new() -> Bucket {
        let histogram = || {
            #[expect(clippy::unwrap_used, reason = "constant bounds")]
            Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap()
        };
        Bucket { latency: histogram(), lag: histogram(), failures: Failures::default() }
    }

    pub(crate) fn answered(&mut self, latency: Duration) {
        record(&mut self.latency, latency);
    }

    pub(crate) fn lagged(&mut self, lag: Duration) {
        record(&mut self.lag, lag);
    }

    pub(crate) fn add(&mut self, other: &Bucket) {
        // All histograms have the same bounds, so adding cannot fail.
        let _ = self.latency.add(&other.latency);
        let _ = self.lag.add(&other.lag);
        self.failures.add(other.failures);
    }
}

fn record(histogram: &mut Histogram<u32>, time: Duration) {
    histogram.saturating_record(time.as_nanos().min(u128::from(LONGEST_NS)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_in_the_bucket_of_its_intended_time() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut timeline = Timeline::new(ms(250), ms(100));
        timeline.begin(start);
        for (due, latency) in [(0, 5), (99, 700), (100, 6), (249, 7)] {
            timeline.bucket(start + ms(due)).unwrap().answered(ms(latency));
        }
        timeline.bucket(start + ms(150)).unwrap().failures.unanswered += 1;
        let counts = timeline.buckets().map(|(_, bucket)| bucket.latency.len());
        assert_eq!(counts.collect::<Vec<_>>(), [2, 1, 1]);
        let failures = timeline.buckets().map(|(_, bucket)| bucket.failures.total());
        assert_eq!(failures.collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(timeline.buckets().last().unwrap().0, ms(200)..ms(300));
        assert!(timeline.bucket(start + ms(300)).is_none());
        assert!(timeline.bucket(start - ms(1)).is_none());
    }

    #[test]
    fn threads_are_added_bucket_by_bucket() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut sum = Timeline::new(ms(200), ms(100));
        for latency in [1, 2] {
            let mut thread = Timeline::new(ms(200), ms(100));
            thread.begin(start);
            let bucket = thread.bucket(start + ms(120)).unwrap();
            bucket.answered(ms(latency));
            bucket.failures.stale += 1;
            sum.add(&thread);
        }
        assert_eq!(sum.start(), start);
        let bucket = sum.buckets().nth(1).unwrap().1;
        assert_eq!((bucket.latency.len(), bucket.failures.stale), (2, 2));
        assert!(bucket.latency.equivalent(bucket.latency.max(), 2_000_000));
    }
}
