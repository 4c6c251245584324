//! Limits the bytes that one address can make the daemon keep of unidentified postbacks.
//!
//! Each address has a budget that refills evenly over a minute; up to a minute's worth may be used
//! at once. Bytes of postbacks that turn out to be genuine sales are returned. Memory is fixed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coupon_serve::PerAddress;

/// Number of budgets, eight bytes each.
const BUDGETS: usize = 1 << 16;
const MINUTE_NS: u64 = 60_000_000_000;

#[derive(Debug)]
pub(super) struct ByteBudgets {
    /// 0 if there is no limit.
    per_minute: u64,
    began: Instant,
    /// When each budget is full again, in nanoseconds since `began`.
    full_at_ns: PerAddress<AtomicU64>,
}

impl ByteBudgets {
    /// `per_minute` are bytes; 0 is no limit.
    pub(super) fn new(per_minute: u64) -> ByteBudgets {
        let full_at_ns = PerAddress::new(BUDGETS);
        ByteBudgets { per_minute, began: Instant::now(), full_at_ns }
    }

    /// Takes bytes off an address's budget.
    ///
    /// # Errors
    /// If the budget is too low: the time until the bytes are available. Nothing is taken then.
    pub(super) fn take(&self, address: IpAddr, bytes: usize) -> Result<(), Duration> {
        let (now, cost) = (self.began.elapsed().as_nanos() as u64, self.nanoseconds(bytes));
        let full_at = self.full_at_ns.get(address);
        let taken = |full_at: u64| {
            let taken = full_at.max(now) + cost;
            (taken - now <= MINUTE_NS).then_some(taken)
        };
        let refused = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        refused.map(drop).map_err(|full_at| {
            Duration::from_nanos((full_at.max(now) + cost).saturating_sub(now + MINUTE_NS))
        })
    }

    /// Returns bytes to an address's budget.
    pub(super) fn give_back(&self, address: IpAddr, bytes: usize) {
        let cost = self.nanoseconds(bytes);
        let given_back = |full_at: u64| Some(full_at.saturating_sub(cost));
        let full_at = self.full_at_ns.get(address);
        // The update always succeeds.
        let _ = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, given_back);
    }

    /// Time in which this many bytes refill.
    fn nanoseconds(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_mul(MINUTE_NS).checked_div(self.per_minute).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_minutes_worth_at_once_and_what_is_given_back() {
        let budgets = ByteBudgets::new(1000);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        assert_eq!((budgets.take(one, 600), budgets.take(one, 400)), (Ok(()), Ok(())));
        let wait = budgets.take(one, 600).unwrap_err();
        assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(36), "{wait:?}");
        assert_eq!(budgets.take(other, 1000), Ok(()));
        budgets.give_back(one, 600);
        assert_eq!(budgets.take(one, 600), Ok(()));
        assert!(budgets.take(one, 600).is_err());
    }

    #[test]
    fn zero_bytes_a_minute_is_no_limit() {
        let budgets = ByteBudgets::new(0);
        let address = "192.0.2.1".parse().unwrap();
        assert!((0..1000).all(|_| budgets.take(address, 1 << 20).is_ok()));
    }
}
