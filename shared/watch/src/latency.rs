//! Histograms of how long answers take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: from an answer out of memory to one that waited
/// for a long query.
const BOUNDS_US: [u64; 16] = [
    5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000,
    10_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// How long answers took, in buckets.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl LatencyHistogram {
    /// Adds an answer; callable from any thread.
    pub fn add(&self, latency: Duration) {
        let nanoseconds = latency.as_nanos() as u64;
        self.buckets[bucket_of(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Adds an answer without the cost of an atomic addition. Only one thread may ever add.
    pub fn add_as_only_writer(&self, latency: Duration) {
        let nanoseconds = latency.as_nanos() as u64;
        let bucket = &self.buckets[bucket_of(nanoseconds)];
        bucket.store(bucket.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let sum = self.sum_ns.load(Ordering::Relaxed) + nanoseconds;
        self.sum_ns.store(sum, Ordering::Relaxed);
    }

    /// The counts at this moment.
    pub fn snapshot(&self) -> LatencySnapshot {
        LatencySnapshot {
            buckets: std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

fn bucket_of(nanoseconds: u64) -> usize {
    // Most answers are in the first buckets, so a search from the front is the shortest.
    let bound = BOUNDS_US.iter().position(|bound| nanoseconds <= bound * 1000);
    bound.unwrap_or(BUCKETS - 1)
}

/// The counts of a [`LatencyHistogram`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatencySnapshot {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

impl LatencySnapshot {
    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &LatencySnapshot) {
        for (sum, count) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += count;
        }
        self.sum_ns += other.sum_ns;
    }

    /// Number of answers.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Upper bound in seconds and number of answers of each bucket.
    pub(crate) fn buckets(&self) -> [(f64, u64); BUCKETS] {
        std::array::from_fn(|at| {
            let bound = BOUNDS_US.get(at).map_or(f64::INFINITY, |bound| *bound as f64 / 1e6);
            (bound, self.buckets[at])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_in_the_first_bucket_that_is_long_enough() {
        let histogram = LatencyHistogram::default();
        histogram.add(Duration::from_micros(5));
        histogram.add_as_only_writer(Duration::from_nanos(5_001));
        histogram.add(Duration::from_secs(11));
        let mut twice = histogram.snapshot();
        twice.merge(&histogram.snapshot());
        assert_eq!(twice.count(), 6);
        let counted: Vec<_> = twice.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(5e-6, 2), (10e-6, 2), (f64::INFINITY, 2)]);
        assert!((twice.sum_s() - 22.000_020_002).abs() < 1e-9, "{}", twice.sum_s());
    }
}
