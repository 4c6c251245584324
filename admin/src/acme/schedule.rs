//! When a certificate is ordered, renewed, and reported as a problem. Pure: time is a value.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::store::certificates::HostCertificate;

const DAY: i64 = 24 * 60 * 60;
/// Longest delay that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A wait that ends later than this was set by a clock that was ahead.
const LONGEST_CREDIBLE_WAIT: i64 = 8 * DAY;
/// A certificate with less left is a problem, unless its whole lifetime is short.
const NEAR_END: i64 = 7 * DAY;

/// Delays between failed attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryDelays {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl RetryDelays {
    /// Doubles with each failure; jitter makes the delay up to twice as long. A server's
    /// `Retry-After` can extend the delay up to a week.
    pub(super) fn after(self, failures: u32, retry_after: Option<Duration>) -> Duration {
        let delays = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .without_max_times()
            .with_jitter();
        let before = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = delays.build().nth(before.min(64)).unwrap_or(self.longest);
        delay.min(self.longest).max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
    }
}

/// When the next attempt at a certificate is due, in Unix seconds.
pub(super) fn due_at(state: &HostCertificate, now: i64) -> i64 {
    let wait_until = match state.next_attempt {
        // The clock went back: else the host would wait until the former time.
        at if at > now.saturating_add(LONGEST_CREDIBLE_WAIT) => now,
        at => at,
    };
    if !state.has_certificate() || state.is_renewal_requested {
        return wait_until;
    }
    renewal_at(state).max(wait_until)
}

/// Two thirds of the lifetime, and up to a thirtieth more: certificates made together are renewed
/// one by one. The jitter follows from the fingerprint, so the time stays the same.
fn renewal_at(state: &HostCertificate) -> i64 {
    let lifetime = lifetime(state);
    let jitter = i64::from_str_radix(state.fingerprint.get(..4).unwrap_or("0"), 16).unwrap_or(0);
    let two_thirds = lifetime.saturating_mul(2) / 3;
    state.not_before.saturating_add(two_thirds).saturating_add(lifetime / 30 * jitter / 65536)
}

fn lifetime(state: &HostCertificate) -> i64 {
    state.not_after.saturating_sub(state.not_before).max(0)
}

/// Whether an attempt is a renewal before the end of a certificate, which can wait for a day.
pub(super) fn can_wait(state: &HostCertificate) -> bool {
    state.has_certificate() && !state.is_renewal_requested && lifetime(state) >= 3 * DAY
}

/// Whether a certificate ends soon, so that its renewal is late.
pub(super) fn is_near_end(state: &HostCertificate, now: i64) -> bool {
    let left = state.not_after.saturating_sub(now);
    state.has_certificate() && left < NEAR_END.min(lifetime(state) / 6)
}

/// Why an operator should look at a certificate.
pub(super) fn problem(state: &HostCertificate, now: i64) -> Option<String> {
    let error = &state.error;
    if !state.has_certificate() {
        return (!error.is_empty()).then(|| format!("there is no certificate: {error}"));
    }
    let left = state.not_after.saturating_sub(now);
    let lifetime = lifetime(state);
    let because = if error.is_empty() { String::new() } else { format!(": {error}") };
    if left <= 0 {
        return Some(format!("the certificate has expired{because}"));
    }
    let is_near_end = is_near_end(state, now);
    let is_renewal_failing = !error.is_empty() && left < lifetime / 3;
    if !is_near_end && !is_renewal_failing {
        return None;
    }
    Some(format!("the certificate ends in {} hours{because}", left / 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn certificate(fingerprint: &str) -> HostCertificate {
        HostCertificate {
            fingerprint: fingerprint.into(),
            not_before: NOW,
            not_after: NOW + 90 * DAY,
            is_installed: true,
            ..HostCertificate::new("go.example.com")
        }
    }

    #[test]
    fn a_new_host_is_due_at_once_and_a_failed_one_after_its_wait() {
        let new = HostCertificate::new("go.example.com");
        assert!(due_at(&new, NOW) <= NOW);
        let failed = HostCertificate { next_attempt: NOW + 300, failures: 1, ..new };
        assert_eq!(due_at(&failed, NOW), NOW + 300);
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_lifetime_with_a_jitter_of_its_own() {
        let two_thirds = NOW + 60 * DAY;
        assert_eq!(due_at(&certificate("0000aa"), NOW), two_thirds);
        let latest = due_at(&certificate("ffffaa"), NOW);
        assert!((two_thirds + 2 * DAY..=two_thirds + 3 * DAY).contains(&latest));
        assert_eq!(due_at(&certificate("ffffaa"), NOW + DAY), latest, "it moves");
        let asked = HostCertificate { is_renewal_requested: true, ..certificate("00") };
        assert!(due_at(&asked, NOW) <= NOW);
        let failing = HostCertificate { next_attempt: two_thirds + DAY, ..certificate("0000") };
        assert_eq!(due_at(&failing, two_thirds), two_thirds + DAY);
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_host_waiting() {
        let ahead = HostCertificate { next_attempt: NOW + 400 * DAY, ..HostCertificate::new("x") };
        assert_eq!(due_at(&ahead, NOW), NOW);
    }

    #[test]
    fn delays_double_with_jitter_from_minutes_to_a_day() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let delays = RetryDelays { first: minutes(5), longest: minutes(24 * 60) };
        for failures in 1..200_u32 {
            let plain = minutes(5 << (failures - 1).min(20)).min(delays.longest);
            let delay = delays.after(failures, None);
            assert!(delay >= plain && delay <= (plain * 2).min(delays.longest), "{failures}");
        }
        assert_eq!(delays.after(u32::MAX, None), delays.longest);
        assert_eq!(delays.after(1, Some(minutes(300))), minutes(300));
        assert_eq!(delays.after(1, Some(Duration::MAX)), MAX_RETRY_AFTER);
        assert!(delays.after(1, Some(minutes(0))) >= minutes(5));
    }

    #[test]
    fn a_certificate_near_its_end_is_a_problem() {
        let good = certificate("00");
        let failing = HostCertificate { error: "no answer".into(), ..good.clone() };
        let day = |days: i64| NOW + days * DAY;
        assert_eq!(problem(&good, day(82)), None);
        assert!(problem(&good, day(84)).unwrap().starts_with("the certificate ends in 144 hours"));
        assert_eq!(problem(&failing, day(59)), None);
        assert!(problem(&failing, day(61)).unwrap().ends_with(": no answer"));
        assert_eq!(problem(&good, day(90)).unwrap(), "the certificate has expired");
        let short = HostCertificate { not_after: day(6), ..good };
        assert_eq!((problem(&short, day(4)), problem(&short, day(5) + 60).is_some()), (None, true));
        let none = HostCertificate { error: "no answer".into(), ..HostCertificate::new("x") };
        assert_eq!(problem(&none, NOW).unwrap(), "there is no certificate: no answer");
        assert_eq!(problem(&HostCertificate::new("x"), NOW), None);
    }

    #[test]
    fn only_renewals_of_long_lifetimes_can_wait_for_the_clock() {
        assert!(can_wait(&certificate("00")));
        assert!(!can_wait(&HostCertificate::new("x")));
        assert!(!can_wait(&HostCertificate { is_renewal_requested: true, ..certificate("00") }));
        assert!(!can_wait(&HostCertificate { not_after: NOW + DAY, ..certificate("00") }));
    }
}
