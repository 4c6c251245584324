//! Decides after each attempt: delivered, retry later, or dead.
//!
//! | response | outcome |
//! |---|---|
//! | 2xx | delivered |
//! | 410 | dead at once: the receiver says the address is gone for good |
//! | 3xx, 4xx except 408, 425 and 429, a forbidden address | dead after [`MAX_REFUSALS`] attempts, some 20 minutes: the receiver mends a mistake by then, or not at all |
//! | all other statuses, no response | dead after all attempts, about a day |
//!
//! Delays double, with jitter. `Retry-After` may extend a delay up to the longest one. Attempts are
//! counted rather than hours, so a jump of the clock kills no delivery.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::client::RequestOutcome;

/// The most attempts while the server refuses.
const MAX_REFUSALS: u32 = 8;

/// Number and delays of attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Delay before the second attempt.
    pub first_retry: Duration,
    /// The longest delay between two attempts.
    pub longest_retry: Duration,
    /// The most attempts in total.
    pub max_attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryOutcome {
    Delivered,
    RetryAfter(Duration),
    /// Given up, until replayed.
    Dead,
}

impl RetryPolicy {
    /// Decides after an attempt; `attempts` includes this one.
    pub(super) fn after(&self, attempts: u32, outcome: &RequestOutcome) -> DeliveryOutcome {
        let (most, asked) = match outcome {
            RequestOutcome::Answered { status: 200..=299, .. } => {
                return DeliveryOutcome::Delivered;
            }
            RequestOutcome::Answered { status: 410, .. } => return DeliveryOutcome::Dead,
            RequestOutcome::Answered { status: 408 | 425 | 429 | 500.., retry_after, .. } => {
                (self.max_attempts, *retry_after)
            }
            RequestOutcome::Answered { retry_after, .. } => {
                (self.max_attempts.min(MAX_REFUSALS), *retry_after)
            }
            RequestOutcome::Refused(_) => (self.max_attempts.min(MAX_REFUSALS), None),
            RequestOutcome::Failed(_) => (self.max_attempts, None),
        };
        if attempts >= most {
            return DeliveryOutcome::Dead;
        }
        let wait = self.delay(attempts).max(asked.unwrap_or_default());
        DeliveryOutcome::RetryAfter(wait.min(self.longest_retry))
    }

    /// Doubles with every attempt; jitter makes the delay up to twice as long.
    fn delay(&self, attempts: u32) -> Duration {
        let waits = ExponentialBuilder::new()
            .with_min_delay(self.first_retry)
            .with_max_delay(self.longest_retry)
            .without_max_times()
            .with_jitter();
        let before = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        waits.build().nth(before).unwrap_or(self.longest_retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        first_retry: Duration::from_secs(10),
        longest_retry: Duration::from_secs(6 * 3600),
        max_attempts: 14,
    };

    fn answered(status: u16, retry_after: Option<u64>) -> RequestOutcome {
        let retry_after = retry_after.map(Duration::from_secs);
        RequestOutcome::Answered { status, retry_after, body: String::new() }
    }

    fn attempts_until_dead(outcome: &RequestOutcome) -> u32 {
        (1..).find(|attempts| POLICY.after(*attempts, outcome) == DeliveryOutcome::Dead).unwrap()
    }

    #[test]
    fn each_kind_of_answer_has_its_patience() {
        assert_eq!(POLICY.after(1, &answered(204, None)), DeliveryOutcome::Delivered);
        for (status, attempts) in [
            (410, 1),
            (301, 8),
            (302, 8),
            (400, 8),
            (404, 8),
            (408, 14),
            (425, 14),
            (429, 14),
            (500, 14),
            (503, 14),
        ] {
            assert_eq!(attempts_until_dead(&answered(status, None)), attempts, "{status}");
        }
        assert_eq!(attempts_until_dead(&RequestOutcome::Failed("no answer".into())), 14);
    }

    #[test]
    fn waits_double_with_jitter_and_end_after_about_a_day() {
        let mut total = Duration::ZERO;
        for attempts in 1..14 {
            let plain = Duration::from_secs(10 << (attempts - 1));
            let DeliveryOutcome::RetryAfter(wait) = POLICY.after(attempts, &answered(500, None))
            else {
                panic!()
            };
            assert!(
                wait >= plain.min(POLICY.longest_retry)
                    && wait <= (plain * 2).min(POLICY.longest_retry),
                "{attempts}: {wait:?}"
            );
            total += wait;
        }
        let hours = total.as_secs() / 3600;
        assert!((17..=26).contains(&hours), "{hours} h");
    }

    #[test]
    fn a_server_may_ask_for_more_time_but_not_for_ever() {
        let wait = |retry_after| match POLICY.after(1, &answered(503, Some(retry_after))) {
            DeliveryOutcome::RetryAfter(wait) => wait.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(3600), 3600);
        assert_eq!(wait(u64::MAX), 6 * 3600);
        assert!((10..=20).contains(&wait(0)));
    }
}
