//! A set of the numbers of an enum.

use rkyv::{Archive, Deserialize, Serialize};

/// A bit for each number.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberSet([u64; 4]);

impl NumberSet {
    pub fn insert(&mut self, number: u8) {
        self.0[usize::from(number / 64)] |= 1 << (number % 64);
    }

    #[must_use]
    pub fn has(&self, number: u8) -> bool {
        self.0[usize::from(number / 64)] >> (number % 64) & 1 == 1
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

impl FromIterator<u8> for NumberSet {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> NumberSet {
        let mut set = NumberSet::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_there_alone() {
        for number in 0..=u8::MAX {
            let set = NumberSet::from_iter([number]);
            let found: Vec<u8> = (0..=u8::MAX).filter(|other| set.has(*other)).collect();
            assert_eq!(found, [number]);
        }
        assert!(NumberSet::default().is_empty());
    }
}
