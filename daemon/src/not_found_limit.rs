//! The limit on requests of one address that lead nowhere (misses).
//!
//! Guessed codes nearly always miss, followed links nearly never. So a visit that leads to its
//! offer is never counted and never limited. All other visits count alike, whatever the reason, and
//! above the limit they get the same answer, too. Visits, clicks reported by pages and servers, and
//! conversions share one budget. Invariant: memory and the work per request are fixed. All
//! addresses share one table of budgets. Two addresses in one place of the table share a budget;
//! the innocent one of them risks at most the page for links that lead nowhere.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::config::NotFoundRate;
use crate::log_throttle::LogThrottle;
use crate::per_address::PerAddress;

/// Number of budgets, eight bytes each. While a hundred addresses guess codes, one visitor in a
/// thousand shares a budget with one of them.
const BUDGETS: usize = 1 << 17;

/// The limit in force, and the budget of each address.
pub struct NotFoundRateLimit {
    misses: NotFoundRate,
    /// `None` if there is no limit.
    limiter: Option<RateLimiter<IpAddr, Budgets, DefaultClock>>,
    log_throttle: LogThrottle,
}

impl NotFoundRateLimit {
    /// A limit with all budgets full.
    pub fn new(misses: NotFoundRate) -> NotFoundRateLimit {
        let limiter = quota(misses)
            .map(|quota| RateLimiter::new(quota, Budgets::default(), DefaultClock::default()));
        NotFoundRateLimit { misses, limiter, log_throttle: LogThrottle::default() }
    }

    /// The configured rate.
    pub fn misses(&self) -> NotFoundRate {
        self.misses
    }

    /// Takes one miss off an address's budget.
    ///
    /// # Errors
    /// If the budget is empty: the time until the next miss is allowed. Nothing is taken then.
    pub fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let taken = limiter.check_key(&address);
        taken.map_err(|not_yet| not_yet.wait_time_from(limiter.clock().now()))
    }

    /// Counts a miss of an address; the log shows the address as `shown`.
    ///
    /// # Errors
    /// If the address's budget is empty: the time until the next miss is allowed.
    pub(crate) fn count_miss(&self, address: IpAddr, shown: IpAddr) -> Result<(), Duration> {
        let taken = self.take(address);
        // Anyone can cause this line, so it is throttled.
        if taken.is_err() && self.log_throttle.is_due() {
            tracing::warn!(address = %shown, "address above limits.misses_per_minute: its requests for links and codes \
                that lead nowhere are answered 429");
        }
        taken
    }

    /// When an address above the limit was last logged.
    pub(crate) fn log_throttle(&self) -> &LogThrottle {
        &self.log_throttle
    }
}

impl fmt::Debug for NotFoundRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotFoundRateLimit").field("misses", &self.misses).finish_non_exhaustive()
    }
}

fn quota(misses: NotFoundRate) -> Option<Quota> {
    let (per_minute, burst) = (NonZeroU32::new(misses.per_minute)?, NonZeroU32::new(misses.burst)?);
    Some(Quota::per_minute(per_minute).allow_burst(burst))
}

struct Budgets(PerAddress<InMemoryState>);

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets(PerAddress::new(BUDGETS))
    }
}

impl StateStore for Budgets {
    type Key = IpAddr;

    fn measure_and_replace<T, F, E>(&self, address: &IpAddr, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.get(*address).measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_minute: u32, burst: u32) -> NotFoundRateLimit {
        NotFoundRateLimit::new(NotFoundRate { per_minute, burst })
    }

    fn taken(limit: &NotFoundRateLimit, address: &str) -> bool {
        limit.take(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn an_address_has_a_burst_and_then_one_miss_at_a_time() {
        let limit = limit(1200, 3);
        assert_eq!([(); 4].map(|()| taken(&limit, "192.0.2.1")), [true, true, true, false]);
        let wait = limit.take("192.0.2.1".parse().unwrap()).unwrap_err();
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        std::thread::sleep(wait);
        assert!(taken(&limit, "192.0.2.1"));
    }

    #[test]
    fn other_addresses_have_budgets_of_their_own() {
        let limit = limit(1, 1);
        let taken = (0..100).filter(|last| taken(&limit, &format!("192.0.2.{last}"))).count();
        // By chance two of a hundred may share a budget.
        assert!(taken >= 98, "{taken}");
    }

    #[test]
    fn an_ipv6_network_shares_a_budget_and_a_mapped_address_is_the_ipv4_one() {
        let limit = limit(1, 1);
        assert!(taken(&limit, "2001:db8:1:2::1"));
        assert!(!taken(&limit, "2001:db8:1:2:ffff::9"));
        assert!(taken(&limit, "192.0.2.1"));
        assert!(!taken(&limit, "::ffff:192.0.2.1"));
    }

    #[test]
    fn zero_misses_a_minute_is_no_limit() {
        let limit = limit(0, 1);
        assert!((0..1000).all(|_| taken(&limit, "192.0.2.1")));
    }

    #[test]
    fn threads_that_take_at_once_take_no_more_than_there_is() {
        let limit = limit(1, 500);
        let taken: usize = std::thread::scope(|scope| {
            let takes = || (0..1000).filter(|_| taken(&limit, "192.0.2.1")).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(takes)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 500);
    }
}
