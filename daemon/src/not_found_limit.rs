//! The limit on requests of one address that lead nowhere (misses).
//!
//! Guessed codes nearly always miss, followed links nearly never. So a visit that leads to its
//! offer is never counted and never limited. All other visits count alike, whatever the reason, and
//! above the limit they get the same answer, too. Visits, clicks reported by pages and servers, and
//! conversions share one budget. Where two addresses share a budget, the innocent one of them risks
//! at most the page for links that lead nowhere.

use std::net::IpAddr;
use std::time::Duration;

use coupon_serve::{AddressBudgets, AddressRate, LogThrottle};

/// The limit in force, and the budget of each address.
#[derive(Debug)]
pub struct NotFoundRateLimit {
    budgets: AddressBudgets,
    log_throttle: LogThrottle,
}

impl NotFoundRateLimit {
    /// A limit with all budgets full.
    pub fn new(misses: AddressRate) -> NotFoundRateLimit {
        let budgets = AddressBudgets::new(misses);
        NotFoundRateLimit { budgets, log_throttle: LogThrottle::default() }
    }

    /// The configured rate.
    pub fn misses(&self) -> AddressRate {
        self.budgets.rate()
    }

    /// Takes one miss off an address's budget.
    ///
    /// # Errors
    /// If the budget is empty: the time until the next miss is allowed. Nothing is taken then.
    pub fn take(&self, address: IpAddr) -> Result<(), Duration> {
        self.budgets.take(address)
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
