//! Transaction ids: the name of a click, kept by the advertiser until a sale comes back.
//!
//! Sixteen bytes in the layout of a UUID version 7, written as 32 lower-case hex digits. From the
//! most significant bit:
//!
//! | bits | field |
//! |---|---|
//! | 48 | Unix milliseconds |
//! | 4 | `0111`, the UUID version |
//! | 12 | counter within the millisecond |
//! | 2 | `10`, the UUID variant |
//! | 10 | node |
//! | 6 | serving thread |
//! | 14 | low bits of the daemon's incarnation |
//! | 32 | low half of SipHash-2-4, keyed by the network's [`ClickIdKey`], over the 12 bytes before |
//!
//! So ids are unique without coordination, an invented id is recognised without a look-up, and an
//! id whose click has not arrived yet names its node. Within one [`TransactionIdSource`] ids only
//! grow: after the clock goes back, the source stays at its last millisecond.

use siphasher::sip::SipHasher24;
use std::fmt;
use std::str::FromStr;

/// Highest node number plus one.
pub const MAX_NODES: u16 = 1 << 10;
/// Highest thread number plus one.
pub const MAX_THREADS: u8 = 1 << 6;

const COUNTERS_PER_MS: u16 = 1 << 12;
const INCARNATION_MASK: u32 = (1 << 14) - 1;
const SIGNED_LEN: usize = 12;

/// The network's secret key for signing transaction ids. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClickIdKey(pub [u8; 16]);

impl fmt::Debug for ClickIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClickIdKey(…)")
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 16]);

impl TransactionId {
    /// Unix milliseconds of the click, or slightly more after the clock went back.
    pub fn unix_ms(&self) -> u64 {
        self.high() >> 16
    }

    pub fn node(&self) -> u16 {
        (self.low() >> 52) as u16 & (MAX_NODES - 1)
    }

    pub fn thread(&self) -> u8 {
        (self.low() >> 46) as u8 & (MAX_THREADS - 1)
    }

    /// Whether a run of the daemon can have made this id. The id holds only the low 14 bits of the
    /// incarnation, so other runs can match too.
    pub fn is_of_incarnation(&self, incarnation: u32) -> bool {
        (self.low() >> 32) as u32 & INCARNATION_MASK == incarnation & INCARNATION_MASK
    }

    /// Whether this id was made under `key`. An invented id passes once in 2^32 tries.
    pub fn verify(&self, key: &ClickIdKey) -> bool {
        let well_formed = self.0[6] >> 4 == 7 && self.0[8] >> 6 == 0b10;
        well_formed && self.low() as u32 == mac(key, &self.0)
    }

    fn high(&self) -> u64 {
        (u128::from_be_bytes(self.0) >> 64) as u64
    }

    fn low(&self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }

    /// The 32 hex digits, without allocation.
    pub fn to_hex(&self) -> [u8; 32] {
        let mut text = [0u8; 32];
        for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15];
        }
        // Arithmetic instead of a table, so that the compiler works on many digits at a time.
        text.map(|nibble| nibble + if nibble < 10 { b'0' } else { b'a' - 10 })
    }
}

// SipHash-2-4 because it is a keyed hash made for short inputs: 12 bytes cost some 20 ns on the
// path of every redirect. 32 bits of it fit the id and suffice, because each guess costs a request.
fn mac(key: &ClickIdKey, id: &[u8; 16]) -> u32 {
    SipHasher24::new_with_key(&key.0).hash(&id[..SIGNED_LEN]) as u32
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

/// The text is not 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transaction id is 32 hexadecimal digits")]
pub struct ParseTransactionIdError;

impl FromStr for TransactionId {
    type Err = ParseTransactionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(|n| Self(n.to_be_bytes())).ok_or(ParseTransactionIdError)
    }
}

/// Makes the ids of one serving thread.
#[derive(Debug)]
pub struct TransactionIdSource {
    /// Node, thread and incarnation with the variant, at their places in the low half.
    origin: u64,
    last_ms: u64,
    counter: u16,
}

impl TransactionIdSource {
    /// A source for one thread in one run of a node's daemon. Only the low bits of `node` (10) and
    /// `thread` (6) count; the configuration refuses larger numbers.
    pub fn new(node: u16, thread: u8, incarnation: u32) -> Self {
        let node = u64::from(node & (MAX_NODES - 1)) << 52;
        let thread = u64::from(thread & (MAX_THREADS - 1)) << 46;
        let incarnation = u64::from(incarnation & INCARNATION_MASK) << 32;
        Self { origin: 0b10 << 62 | node | thread | incarnation, last_ms: 0, counter: 0 }
    }

    /// The next id, signed under `key`.
    pub fn next(&mut self, key: &ClickIdKey, now_ms: u64) -> TransactionId {
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter == COUNTERS_PER_MS {
                self.last_ms += 1;
                self.counter = 0;
            }
        }
        let high = self.last_ms << 16 | 0x7000 | u64::from(self.counter);
        let mut id = (u128::from(high) << 64 | u128::from(self.origin)).to_be_bytes();
        let mac = mac(key, &id);
        id[SIGNED_LEN..].copy_from_slice(&mac.to_be_bytes());
        TransactionId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: ClickIdKey = ClickIdKey([7; 16]);

    #[test]
    fn an_id_tells_its_time_node_and_thread_and_is_a_version_7_uuid() {
        let id = TransactionIdSource::new(1023, 63, 0xFFFF_FFFF).next(&KEY, 1_763_000_000_123);
        assert_eq!((id.unix_ms(), id.node(), id.thread()), (1_763_000_000_123, 1023, 63));
        let text = id.to_string();
        assert_eq!((text.len(), &text[12..13]), (32, "7"));
        assert!("89ab".contains(&text[16..17]));
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn the_layout_never_changes() {
        let id = TransactionIdSource::new(5, 3, 77).next(&KEY, 1_763_000_000_123);
        assert_eq!(id.to_string(), "019a7afd1e7b70008050c04d6e9b9dd2");
    }

    #[test]
    fn ids_are_distinct_and_grow_even_when_the_clock_stands_or_goes_back() {
        let mut source = TransactionIdSource::new(0, 0, 1);
        let mut last = source.next(&KEY, 5_000);
        for step in 0..20_000u64 {
            let id = source.next(&KEY, 5_000 - step % 1000);
            assert!(id > last);
            last = id;
        }
    }

    #[test]
    fn text_that_is_not_32_hex_digits_is_refused() {
        for text in
            ["", "null", "{transaction_id}", &"g".repeat(32), &"a".repeat(31), &"+".repeat(32)]
        {
            assert_eq!(text.parse::<TransactionId>(), Err(ParseTransactionIdError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_noticed(ms in 0u64..1 << 48, bit in 0usize..128) {
            let id = TransactionIdSource::new(1, 2, 3).next(&KEY, ms);
            prop_assert!(id.verify(&KEY));
            let mut mangled = id;
            mangled.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!mangled.verify(&KEY));
            prop_assert!(!id.verify(&ClickIdKey([8; 16])));
        }

        #[test]
        fn any_id_reads_back_in_either_case(bytes in any::<[u8; 16]>()) {
            let id = TransactionId(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_ascii_uppercase().parse(), Ok(id));
        }

        #[test]
        fn any_text_is_refused_or_the_id_it_spells(text in "[0-9a-fA-F]{30,34}|\\PC{0,40}") {
            match text.parse::<TransactionId>() {
                Ok(id) => prop_assert_eq!(id.to_string(), text.to_ascii_lowercase()),
                Err(ParseTransactionIdError) => {
                    prop_assert!(text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()));
                }
            }
        }
    }
}
