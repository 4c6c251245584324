//! How many addresses visits came from, and how many visits the most frequent one made.
//!
//! Up to [`EXACT`] different addresses are counted exactly. Beyond that, a HyperLogLog of
//! [`REGISTERS`] registers estimates the number of addresses (standard error 6.5 %), and counters of
//! Misra and Gries never count too much for an address, and at most one visit in `EXACT + 1` too
//! little. So memory is bounded, and no address is ever blamed for visits of others.

/// Different addresses that are counted exactly.
const EXACT: usize = 32;
const REGISTERS: usize = 256;

/// A sketch of the addresses of one value's visits.
#[derive(Debug, Default)]
pub(super) struct AddressSketch {
    visits: u64,
    /// Hash of an address, and its visits.
    counters: Vec<(u64, u64)>,
    /// Only beyond [`EXACT`] addresses.
    registers: Option<Box<[u8; REGISTERS]>>,
}

impl AddressSketch {
    /// Counts a visit from an address with this hash.
    pub(super) fn add(&mut self, hash: u64) {
        self.visits += 1;
        if let Some(registers) = &mut self.registers {
            register(registers, hash);
        }
        if let Some((_, visits)) = self.counters.iter_mut().find(|(known, _)| *known == hash) {
            *visits += 1;
        } else if self.counters.len() < EXACT {
            self.counters.push((hash, 1));
        } else {
            self.overflow(hash);
        }
    }

    /// Takes one visit from each counter, for an address that has none.
    fn overflow(&mut self, hash: u64) {
        if self.registers.is_none() {
            let mut registers = Box::new([0; REGISTERS]);
            self.counters.iter().for_each(|(known, _)| register(&mut registers, *known));
            register(&mut registers, hash);
            self.registers = Some(registers);
        }
        self.counters.iter_mut().for_each(|(_, visits)| *visits -= 1);
        self.counters.retain(|(_, visits)| *visits > 0);
    }

    pub(super) fn visits(&self) -> u64 {
        self.visits
    }

    /// Different addresses.
    pub(super) fn distinct(&self) -> u64 {
        match &self.registers {
            Some(registers) => estimate(registers).min(self.visits),
            None => self.counters.len() as u64,
        }
    }

    /// Visits of the most frequent address.
    pub(super) fn most_frequent(&self) -> u64 {
        self.counters.iter().map(|(_, visits)| *visits).max().unwrap_or(0)
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let at = (hash >> 56) as usize;
    // The lowest bit ends the count of zeros.
    let zeros = ((hash << 8) | 1).leading_zeros() as u8;
    registers[at] = registers[at].max(zeros + 1);
}

/// The estimate of Flajolet and others, with linear counting for small numbers.
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let count = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|zeros| 0.5_f64.powi(i32::from(*zeros))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
    let empty = registers.iter().filter(|zeros| **zeros == 0).count() as f64;
    let is_small = raw <= 2.5 * count && empty > 0.0;
    (if is_small { count * (count / empty).ln() } else { raw }).round() as u64
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use siphasher::sip::SipHasher13;

    use super::*;

    fn hash(number: u64) -> u64 {
        let mut hasher = SipHasher13::new();
        hasher.write_u64(number);
        hasher.finish()
    }

    #[test]
    fn few_addresses_are_counted_exactly() {
        let mut sketch = AddressSketch::default();
        assert_eq!((sketch.visits(), sketch.distinct(), sketch.most_frequent()), (0, 0, 0));
        (0..100).for_each(|visit| sketch.add(hash(visit % 32)));
        (0..20).for_each(|_| sketch.add(hash(7)));
        assert_eq!((sketch.visits(), sketch.distinct(), sketch.most_frequent()), (120, 32, 23));
    }

    #[test]
    fn many_addresses_are_estimated_within_a_fifth() {
        for count in [33, 100, 1_000, 20_000, 300_000] {
            let mut sketch = AddressSketch::default();
            (0..count).for_each(|address| sketch.add(hash(address)));
            let (found, error) = (sketch.distinct(), sketch.distinct().abs_diff(count));
            assert!(error * 5 <= count, "{found} instead of {count}");
            assert!(sketch.counters.len() <= EXACT);
        }
    }

    #[test]
    fn a_frequent_address_is_found_among_many_and_never_overrated() {
        let mut sketch = AddressSketch::default();
        for visit in 0..30_000 {
            // Every third visit comes from one address.
            sketch.add(hash(if visit % 3 == 0 { u64::MAX } else { visit }));
        }
        let found = sketch.most_frequent();
        assert!((10_000 - 30_000 / 33..=10_000).contains(&found), "{found}");
    }
}
