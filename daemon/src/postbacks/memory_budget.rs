//! The memory budget for postbacks that are not durable yet.
//!
//! Small bodies, large bodies, and complete postbacks waiting for the disk have separate budgets:
//! however many large bodies arrive slowly, a postback with a small body or without body is
//! accepted. One address gets at most a share of each budget.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coupon_serve::PerAddress;

/// Longest body that counts as small.
pub(super) const SMALL_BODY_BYTES: u64 = 4 << 10;

/// Budgets of all threads together: small bodies, large bodies, complete postbacks.
const MAX_BYTES: [usize; 3] = [8 << 20, 32 << 20, 24 << 20];
/// One address gets at most this fraction of each budget.
const SHARE: usize = 4;
/// Number of addresses told apart, at eight bytes each.
const SHARES: usize = 1 << 12;

/// The purpose of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An incoming body whose announced length is small.
    SmallBody,
    /// Any other incoming body.
    LargeBody,
    /// A complete postback waiting for the disk.
    Postback,
}

/// The budgets and their reserved bytes.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    budgets: [PurposeBudget; 3],
}

#[derive(Debug)]
struct PurposeBudget {
    max_bytes: usize,
    taken: AtomicUsize,
    taken_by: PerAddress<AtomicUsize>,
}

/// The budget or the address's share is used up for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BudgetExceeded;

/// Reserved bytes; returned on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    purpose: Purpose,
    address: IpAddr,
    bytes: usize,
}

impl Default for MemoryBudget {
    fn default() -> MemoryBudget {
        let budget = |max_bytes| PurposeBudget {
            max_bytes,
            taken: AtomicUsize::new(0),
            taken_by: PerAddress::new(SHARES),
        };
        MemoryBudget { budgets: MAX_BYTES.map(budget) }
    }
}

impl MemoryBudget {
    fn budget_for(&self, purpose: Purpose) -> &PurposeBudget {
        let [small, large, postbacks] = &self.budgets;
        match purpose {
            Purpose::SmallBody => small,
            Purpose::LargeBody => large,
            Purpose::Postback => postbacks,
        }
    }
}

impl Reservation {
    pub(super) fn empty(
        budget: &Arc<MemoryBudget>,
        purpose: Purpose,
        address: IpAddr,
    ) -> Reservation {
        Reservation { budget: Arc::clone(budget), purpose, address, bytes: 0 }
    }

    /// Reserves more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let budget = self.budget.budget_for(self.purpose);
        let share = budget.taken_by.get(self.address);
        take(share, bytes, budget.max_bytes / SHARE)?;
        if let Err(exceeded) = take(&budget.taken, bytes, budget.max_bytes) {
            // The share was taken above and must be returned.
            share.fetch_sub(bytes, Ordering::AcqRel);
            return Err(exceeded);
        }
        self.bytes += bytes;
        Ok(())
    }
}

fn take(taken: &AtomicUsize, bytes: usize, max_bytes: usize) -> Result<(), BudgetExceeded> {
    let grown = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= max_bytes);
    let took = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown);
    took.map(drop).map_err(|_| BudgetExceeded)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let budget = self.budget.budget_for(self.purpose);
        budget.taken_by.get(self.address).fetch_sub(self.bytes, Ordering::AcqRel);
        budget.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = MAX_BYTES[1];

    fn taken(budget: &Arc<MemoryBudget>, purpose: Purpose, last: u8) -> Reservation {
        Reservation::empty(budget, purpose, IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_has_a_share_and_gives_it_back() {
        let budget = Arc::<MemoryBudget>::default();
        let mut one = taken(&budget, Purpose::LargeBody, 1);
        assert_eq!((one.grow(LARGE / SHARE), one.grow(1)), (Ok(()), Err(BudgetExceeded)));
        let mut again = taken(&budget, Purpose::LargeBody, 1);
        assert_eq!(again.grow(1), Err(BudgetExceeded));
        drop(one);
        assert_eq!(again.grow(LARGE / SHARE), Ok(()));
        drop(again);
        assert_eq!(budget.budget_for(Purpose::LargeBody).taken.load(Ordering::Acquire), 0);
    }

    #[test]
    fn large_bodies_of_many_addresses_leave_room_for_small_ones_and_whole_postbacks() {
        let budget = Arc::<MemoryBudget>::default();
        let mut all: Vec<Reservation> =
            (0..100).map(|n| taken(&budget, Purpose::LargeBody, n)).collect();
        let given = all.iter_mut().filter_map(|taken| taken.grow(LARGE / 16).ok()).count();
        assert_eq!(given, 16);
        for purpose in [Purpose::SmallBody, Purpose::Postback] {
            assert_eq!(taken(&budget, purpose, 1).grow(4096), Ok(()), "{purpose:?}");
        }
        drop(all);
        assert_eq!(taken(&budget, Purpose::LargeBody, 1).grow(LARGE / SHARE), Ok(()));
    }
}
