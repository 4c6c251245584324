//! A permutation of `0..size` without memory: neighbours land far apart.

use rand::{Rng, RngExt as _};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Scatter {
    size: u64,
    step: u64,
    offset: u64,
}

impl Scatter {
    /// `size` must not be zero.
    pub(crate) fn new(size: u64, rng: &mut impl Rng) -> Self {
        // Multiples of a stride coprime to `size` visit every place once; a stride near the golden
        // section spreads them most evenly.
        let golden = (size as f64 * 0.618_033_988_75) as u64;
        let start = golden.saturating_add(rng.random_range(0..=size / 8)).max(1);
        let step = (start..).find(|step| greatest_common_divisor(*step, size) == 1).unwrap_or(1);
        Self { size, step, offset: rng.random_range(0..size) }
    }

    pub(crate) fn at(&self, index: u64) -> u64 {
        let place = u128::from(index) * u128::from(self.step) + u128::from(self.offset);
        // A remainder of a division by a u64 fits a u64.
        (place % u128::from(self.size)) as u64
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::Xoshiro256PlusPlus;

    #[test]
    fn every_place_is_taken_exactly_once_for_any_size() {
        for size in (1..200).chain([1000, 4096, 9999]) {
            let scatter = Scatter::new(size, &mut Xoshiro256PlusPlus::seed_from_u64(size));
            let mut taken = vec![false; size as usize];
            for index in 0..size {
                let place = scatter.at(index) as usize;
                assert!(!std::mem::replace(&mut taken[place], true), "size {size}, index {index}");
            }
        }
    }
}
