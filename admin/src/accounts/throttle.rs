//! Slows the guessing of passwords down.
//!
//! - An address (IPv6: a /64) has [`MAX_PER_MINUTE`] failures in a minute.
//! - After [`FREE_FAILURES`] failures in a row a login has to wait: 1, 2, 4 … s, at most
//!   [`LONGEST_WAIT_S`]. A browser in which its user signed in before has such a count of its own, so
//!   others cannot lock the user out. Logins of nobody count, too: the answers tell nothing.
//!
//! An attempt is charged before its password is checked, so attempts at the same time cannot exceed
//! the bounds; a good password gives the charge back. Counts are in the store and outlive a restart.
//! A count without a failure in [`KEPT_S`] is forgotten, which bounds the table: the hashes of
//! passwords bound the attempts.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use crate::client_network::network_of;
use crate::store::accounts::Digest;
use crate::store::accounts::failures::{self, FailureCount};
use crate::store::{ReadTx, StoreError, WriteTx, casefolded};

const MAX_PER_MINUTE: u32 = 10;
const MINUTE_S: i64 = 60;
const FREE_FAILURES: u32 = 5;
const LONGEST_WAIT_S: i64 = 900;
const KEPT_S: i64 = 60 * 60;

/// The counts that one attempt belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subjects {
    address: Digest,
    account: Digest,
}

/// The account of an attempt, as far as others can share it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account<'a> {
    /// A login from an unknown browser: anybody's attempts.
    Login(&'a str),
    /// A browser in which the user of the login signed in before.
    Device(&'a Digest),
    /// A session, whose user gives the password again.
    Session(u32),
}

impl Subjects {
    pub(super) fn new(address: IpAddr, account: Account<'_>) -> Subjects {
        let account = match account {
            Account::Login(login) => hashed("login", casefolded(login).as_bytes()),
            Account::Device(device) => hashed("device", device),
            Account::Session(id) => hashed("session", &id.to_le_bytes()),
        };
        Subjects { address: hashed("address", network_of(address).to_string().as_bytes()), account }
    }

    /// Seconds until the next attempt may be made; `None` if it may be made now.
    pub(super) fn wait(&self, tx: &ReadTx<'_>, now: i64) -> Result<Option<u32>, StoreError> {
        let address = address_wait(failures::find(tx, &self.address)?, now);
        let account = account_wait(failures::find(tx, &self.account)?, now);
        let wait = address.max(account);
        Ok((wait > 0).then(|| u32::try_from(wait).unwrap_or(u32::MAX)))
    }

    /// Counts an attempt as failed. Returns the account's count before.
    pub(super) fn charge(&self, tx: &WriteTx<'_>) -> Result<FailureCount, StoreError> {
        let now = tx.now();
        failures::expire(tx, now - KEPT_S)?;
        let address = failures::find(tx, &self.address)?;
        let begun = if is_over(address, now) {
            FailureCount { failures: 0, time_counted: now, ..address }
        } else {
            address
        };
        let counted = FailureCount { failures: begun.failures.saturating_add(1), ..begun };
        failures::save(tx, &self.address, counted)?;
        let before = failures::find(tx, &self.account)?;
        let failures = before.failures.saturating_add(1);
        let counted = FailureCount { failures, time_counted: now, ..before };
        failures::save(tx, &self.account, counted)?;
        Ok(before)
    }

    /// Gives the charge of an attempt back: the password was good, and a code is still missing. The
    /// earlier failures stay, because whoever knows the password may still guess codes.
    pub(super) fn refund(&self, tx: &WriteTx<'_>, before: FailureCount) -> Result<(), StoreError> {
        self.refund_address(tx)?;
        let now = failures::find(tx, &self.account)?;
        let failures = now.failures.saturating_sub(1);
        let time_counted = before.time_counted;
        failures::save(tx, &self.account, FailureCount { failures, time_counted, ..now })
    }

    /// Gives the charge of an attempt back, and forgets the account's earlier failures.
    pub(super) fn clear(&self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        self.refund_address(tx)?;
        failures::clear(tx, &self.account)
    }

    fn refund_address(&self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        let now = failures::find(tx, &self.address)?;
        let failures = now.failures.saturating_sub(1);
        failures::save(tx, &self.address, FailureCount { failures, ..now })
    }

    /// Whether the audit has no entry of the account in the last minute; remembers that it has one
    /// from now on.
    pub(super) fn take_record(&self, tx: &WriteTx<'_>) -> Result<bool, StoreError> {
        let count = failures::find(tx, &self.account)?;
        let is_due = tx.now() - count.time_recorded >= MINUTE_S;
        let time_recorded = if is_due { tx.now() } else { count.time_recorded };
        failures::save(tx, &self.account, FailureCount { time_recorded, ..count })?;
        Ok(is_due)
    }
}

/// Whether the minute of an address is over. A clock that went back ends it, too.
fn is_over(count: FailureCount, now: i64) -> bool {
    !(0..MINUTE_S).contains(&(now - count.time_counted))
}

fn address_wait(count: FailureCount, now: i64) -> i64 {
    if count.failures < MAX_PER_MINUTE || is_over(count, now) {
        return 0;
    }
    count.time_counted + MINUTE_S - now
}

fn account_wait(count: FailureCount, now: i64) -> i64 {
    let Some(exponent) = count.failures.checked_sub(FREE_FAILURES) else { return 0 };
    let wait = 1_i64.checked_shl(exponent.min(32)).unwrap_or(LONGEST_WAIT_S).min(LONGEST_WAIT_S);
    (count.time_counted + wait - now).clamp(0, wait)
}

fn hashed(kind: &str, subject: &[u8]) -> Digest {
    Sha256::new().chain_update(kind).chain_update([0]).chain_update(subject).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(failures: u32) -> FailureCount {
        FailureCount { failures, time_counted: 1000, time_recorded: 0 }
    }

    #[test]
    fn an_address_waits_for_the_end_of_its_minute() {
        assert_eq!(address_wait(counted(9), 1001), 0);
        assert_eq!(address_wait(counted(10), 1001), 59);
        assert_eq!(address_wait(counted(10), 1060), 0);
        assert_eq!(address_wait(counted(10), 900), 0);
    }

    #[test]
    fn an_account_waits_twice_as_long_after_each_failure() {
        let waits: Vec<i64> = (0..17).map(|n| account_wait(counted(n), 1000)).collect();
        assert_eq!(waits[..5], [0; 5]);
        assert_eq!(waits[5..], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(account_wait(counted(u32::MAX), 1000), 900);
        assert_eq!(account_wait(counted(9), 1010), 6);
        // A clock that went back a day locks nobody out for a day.
        assert_eq!(account_wait(counted(9), 1000 - 86_400), 16);
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let subject =
            |address: &str| Subjects::new(address.parse().unwrap(), Account::Session(1)).address;
        assert_eq!(subject("2001:db8::1"), subject("2001:db8::2"));
        assert_ne!(subject("2001:db8::1"), subject("2001:db8:0:1::1"));
        assert_eq!(subject("::ffff:192.0.2.1"), subject("192.0.2.1"));
        let account = |login| Subjects::new("::1".parse().unwrap(), Account::Login(login)).account;
        assert_eq!(account("Mia@Example.com"), account("mia@example.COM"));
    }
}
