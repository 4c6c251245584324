//! Assigns time to steady phases and swaps, and sums up the figures of each.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::publications::Kind;
use super::swapper::Swap;
use crate::report::Times;
use crate::timeline::{self, Failures, Timeline};

/// Phase of a bucket, or a group of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Until the first swap.
    Before,
    /// After the last swap.
    After,
    /// Before and after.
    Steady,
    /// From the first swap to the last, outside of swaps.
    Between,
    /// During the replacement of a small level.
    LevelSwap,
    /// During the replacement of a base, or while the old base is freed.
    BaseSwap,
    /// During swaps of both kinds.
    During,
}

impl Phase {
    const ALL: [Phase; 7] = [
        Phase::Before,
        Phase::After,
        Phase::Steady,
        Phase::Between,
        Phase::LevelSwap,
        Phase::BaseSwap,
        Phase::During,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Phase::Before => "before the swaps",
            Phase::After => "after the swaps",
            Phase::Steady => "steady: before and after",
            Phase::Between => "between swaps",
            Phase::LevelSwap => "during level swaps",
            Phase::BaseSwap => "during base swaps",
            Phase::During => "during swaps: both kinds",
        }
    }

    fn includes(self, phase: Phase) -> bool {
        match self {
            Phase::Steady => matches!(phase, Phase::Before | Phase::After),
            Phase::During => matches!(phase, Phase::LevelSwap | Phase::BaseSwap),
            one => one == phase,
        }
    }

    /// Phase of a bucket. A bucket in both kinds of swaps belongs to the base swap.
    fn at(bucket: &Range<Duration>, windows: &[Window]) -> Phase {
        let touched = |kind| {
            let touches = |window: &&Window| {
                window.kind == kind && window.from < bucket.end && window.to >= bucket.start
            };
            windows.iter().any(|window| touches(&window))
        };
        if touched(Kind::Base) {
            Phase::BaseSwap
        } else if touched(Kind::Level) {
            Phase::LevelSwap
        } else if windows.first().is_none_or(|first| bucket.end <= first.from) {
            Phase::Before
        } else if windows.iter().all(|window| window.to < bucket.start) {
            Phase::After
        } else {
            Phase::Between
        }
    }
}

/// Time span of a swap, from the start of the measured part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) kind: Kind,
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Window {
    /// From the publication until the index is live, and while the old index is freed. The second
    /// between them, in which the loader waits, is left out: it would make a swap look better.
    pub(super) fn around_swap(swap: &Swap, start: Instant) -> [Window; 2] {
        let after = |when: Instant| when.saturating_duration_since(start);
        let Swap { kind, published, live, freeing, freed, .. } = *swap;
        [(published, live), (freeing, freed)].map(|(from, to)| Window {
            kind,
            from: after(from),
            to: after(to),
        })
    }
}

/// Figures of a bucket.
#[derive(Debug, Serialize)]
pub(super) struct Bucket {
    pub(super) at_s: f64,
    pub(super) phase: Phase,
    pub(super) latency_us: Times,
    pub(super) generator_lag_us: Times,
    pub(super) failures: Failures,
}

/// Figures of all buckets of a phase.
#[derive(Debug, Serialize)]
pub(super) struct PhaseFigures {
    pub(super) phase: Phase,
    pub(super) buckets: usize,
    pub(super) latency_us: Times,
    pub(super) generator_lag_us: Times,
    pub(super) failures: Failures,
}

pub(super) fn buckets(timeline: &Timeline, windows: &[Window]) -> Vec<Bucket> {
    let figures = |(span, bucket): (Range<Duration>, &timeline::Bucket)| Bucket {
        at_s: span.start.as_secs_f64(),
        phase: Phase::at(&span, windows),
        latency_us: Times::from_histogram(&bucket.latency),
        generator_lag_us: Times::from_histogram(&bucket.lag),
        failures: bucket.failures,
    };
    timeline.buckets().map(figures).collect()
}

pub(super) fn figures(timeline: &Timeline, windows: &[Window]) -> Vec<PhaseFigures> {
    Phase::ALL.into_iter().map(|phase| figures_of(phase, timeline, windows)).collect()
}

fn figures_of(phase: Phase, timeline: &Timeline, windows: &[Window]) -> PhaseFigures {
    let mut sum = timeline::Bucket::new();
    let mut buckets = 0;
    for (span, bucket) in timeline.buckets() {
        if phase.includes(Phase::at(&span, windows)) {
            sum.add(bucket);
            buckets += 1;
        }
    }
    PhaseFigures {
        phase,
        buckets,
        latency_us: Times::from_histogram(&sum.latency),
        generator_lag_us: Times::from_histogram(&sum.lag),
        failures: sum.failures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A level swap at 250 ms of 5 ms; a base swap from 430 ms to 610 ms, freed at 880 ms.
    const WINDOWS: [Window; 3] = [
        Window {
            kind: Kind::Level,
            from: Duration::from_millis(250),
            to: Duration::from_millis(255),
        },
        Window {
            kind: Kind::Base,
            from: Duration::from_millis(430),
            to: Duration::from_millis(610),
        },
        Window {
            kind: Kind::Base,
            from: Duration::from_millis(880),
            to: Duration::from_millis(890),
        },
    ];

    fn timeline() -> Timeline {
        let start = Instant::now();
        let mut timeline = Timeline::new(1000 * MS, 100 * MS);
        timeline.begin(start);
        for due_ms in (0..1000).step_by(10) {
            let bucket = timeline.bucket(start + due_ms * MS).unwrap();
            // Slow only during the base swap.
            bucket.answered(if (430..610).contains(&due_ms) { 9 * MS } else { MS });
        }
        timeline
    }

    #[test]
    fn each_bucket_belongs_to_the_swap_that_touches_it() {
        use Phase::{After, BaseSwap, Before, Between, LevelSwap};
        let phases = buckets(&timeline(), &WINDOWS).into_iter().map(|bucket| bucket.phase);
        let expected = [
            Before, Before, LevelSwap, Between, BaseSwap, BaseSwap, BaseSwap, Between, BaseSwap,
            After,
        ];
        assert_eq!(phases.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_slow_during_a_swap_is_not_in_the_steady_figures() {
        let figures = figures(&timeline(), &WINDOWS);
        let of = |phase| figures.iter().find(|figures| figures.phase == phase).unwrap();
        let (steady, during) = (of(Phase::Steady), of(Phase::During));
        assert_eq!((steady.buckets, during.buckets), (3, 5));
        assert_eq!((steady.latency_us.count, during.latency_us.count), (30, 50));
        assert!((steady.latency_us.max - 1_000.0).abs() < 10.0, "{steady:?}");
        assert!((during.latency_us.max - 9_000.0).abs() < 10.0, "{during:?}");
        assert!((of(Phase::LevelSwap).latency_us.max - 1_000.0).abs() < 10.0);
    }
}
