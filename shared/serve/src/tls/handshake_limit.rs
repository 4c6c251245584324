//! The limit on handshakes of one address.
//!
//! A full handshake costs a hundred times a redirect, and a client can begin one with a few hundred
//! bytes. Refusing costs little: the connection is closed after the hello, before any signature.

use std::net::IpAddr;

use arc_swap::ArcSwap;

use crate::address_budgets::{AddressBudgets, AddressRate};
use crate::log_throttle::LogThrottle;

/// The limit in force; all threads share it.
#[derive(Debug)]
pub struct HandshakeLimit {
    budgets: ArcSwap<AddressBudgets>,
    log_throttle: LogThrottle,
}

impl HandshakeLimit {
    /// A limit with all budgets full.
    pub fn new(rate: AddressRate) -> HandshakeLimit {
        let budgets = ArcSwap::from_pointee(AddressBudgets::new(rate));
        HandshakeLimit { budgets, log_throttle: LogThrottle::default() }
    }

    /// Changes the rate. If it is unchanged, used budgets stay used.
    pub fn set_rate(&self, rate: AddressRate) {
        if self.budgets.load().rate() != rate {
            self.budgets.store(AddressBudgets::new(rate).into());
        }
    }

    /// Whether this address may go on with a handshake; takes it off the address's budget.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let admitted = self.budgets.load().take(address).is_ok();
        // Anyone can cause this line, so it is throttled.
        if !admitted && self.log_throttle.is_due() {
            tracing::warn!(%address, "address above limits.handshakes_per_minute: its further handshakes are closed");
        }
        admitted
    }
}
