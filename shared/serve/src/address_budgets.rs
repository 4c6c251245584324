//! A budget for each client address, refilled at a steady rate.
//!
//! Invariant: memory and the work per use are fixed. All addresses share one table of budgets; two
//! addresses in one place of the table share a budget.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::per_address::PerAddress;

/// Number of budgets, eight bytes each. While a hundred addresses have used their budgets up, one
/// client in a thousand shares a budget with one of them.
const BUDGETS: usize = 1 << 17;

/// How much one address may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRate {
    /// Uses per minute in the long run; 0 is no limit.
    pub per_minute: u32,
    /// Uses that may come at once.
    pub burst: u32,
}

impl AddressRate {
    /// Handshakes where nothing else is configured: many visitors can share an address, and each
    /// begins with a handshake.
    pub const HANDSHAKES: AddressRate = AddressRate { per_minute: 3000, burst: 1000 };
}

/// The budgets of all addresses.
pub struct AddressBudgets {
    rate: AddressRate,
    /// `None` if there is no limit.
    limiter: Option<RateLimiter<IpAddr, Budgets, DefaultClock>>,
}

impl AddressBudgets {
    /// Budgets that are all full.
    pub fn new(rate: AddressRate) -> AddressBudgets {
        let limiter = quota(rate)
            .map(|quota| RateLimiter::new(quota, Budgets::default(), DefaultClock::default()));
        AddressBudgets { rate, limiter }
    }

    /// The rate at which the budgets are refilled.
    pub fn rate(&self) -> AddressRate {
        self.rate
    }

    /// Takes one use off an address's budget.
    ///
    /// # Errors
    /// If the budget is empty: the time until the next use is allowed. Nothing is taken then.
    pub fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let taken = limiter.check_key(&address);
        taken.map_err(|not_yet| not_yet.wait_time_from(limiter.clock().now()))
    }
}

impl fmt::Debug for AddressBudgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressBudgets").field("rate", &self.rate).finish_non_exhaustive()
    }
}

fn quota(rate: AddressRate) -> Option<Quota> {
    let (per_minute, burst) = (NonZeroU32::new(rate.per_minute)?, NonZeroU32::new(rate.burst)?);
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

    fn limit(per_minute: u32, burst: u32) -> AddressBudgets {
        AddressBudgets::new(AddressRate { per_minute, burst })
    }

    fn taken(limit: &AddressBudgets, address: &str) -> bool {
        limit.take(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn an_address_has_a_burst_and_then_one_use_at_a_time() {
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
    fn zero_uses_a_minute_is_no_limit() {
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
