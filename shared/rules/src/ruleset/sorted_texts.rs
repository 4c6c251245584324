//! A sorted list of short texts in one piece of memory. Lists of postal codes have thousands.

use rkyv::{Archive, Deserialize, Serialize};

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct SortedTexts {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<u32>,
}

impl SortedTexts {
    /// Sorts the texts, and keeps one of equal ones.
    ///
    /// # Panics
    /// If the texts have more than 4 GiB together.
    #[must_use]
    pub fn new(mut texts: Vec<Vec<u8>>) -> SortedTexts {
        texts.sort_unstable();
        texts.dedup();
        let mut list = SortedTexts::default();
        for text in texts {
            list.bytes.extend_from_slice(&text);
            list.ends.push(u32::try_from(list.bytes.len()).expect("the texts fit into 4 GiB"));
        }
        list
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    /// Whether the text is in the list.
    #[must_use]
    pub fn has(&self, text: &[u8]) -> bool {
        let after = self.count_until(text);
        after > 0 && self.get(after - 1) == text
    }

    /// Whether the text begins with one of the list, which has no text that begins with another.
    #[must_use]
    pub fn has_beginning_of(&self, text: &[u8]) -> bool {
        let after = self.count_until(text);
        after > 0 && text.starts_with(self.get(after - 1))
    }

    /// Drops the texts that begin with another text of the list.
    #[must_use]
    pub fn without_longer(&self) -> SortedTexts {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for at in 0..self.ends.len() {
            let text = self.get(at);
            if !kept.last().is_some_and(|last| text.starts_with(last)) {
                kept.push(text.to_vec());
            }
        }
        SortedTexts::new(kept)
    }

    /// The number of texts that are not behind this one.
    fn count_until(&self, text: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) <= text {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn get(&self, at: usize) -> &[u8] {
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[begin..self.ends[at] as usize]
    }

    /// Checks what look-ups rely on.
    pub(crate) fn check_order(&self) -> Result<(), String> {
        let ends_fit = self.ends.is_sorted()
            && self.ends.last().map_or(0, |end| *end as usize) == self.bytes.len();
        if !ends_fit {
            return Err("its texts have wrong lengths".into());
        }
        let ascends = (1..self.ends.len()).all(|at| self.get(at - 1) < self.get(at));
        if ascends { Ok(()) } else { Err("its texts are out of order".into()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn look_ups_find_what_a_walk_through_all_texts_finds(
            texts in proptest::collection::vec("[A-C]{0,4}", 0..12), sought in "[A-C]{0,5}",
        ) {
            let bytes = texts.iter().map(|text| text.clone().into_bytes()).collect();
            let list = SortedTexts::new(bytes);
            prop_assert_eq!(list.check_order(), Ok(()));
            prop_assert_eq!(list.has(sought.as_bytes()), texts.contains(&sought));
            let begins = texts.iter().any(|text| sought.starts_with(text));
            prop_assert_eq!(list.without_longer().has_beginning_of(sought.as_bytes()), begins);
        }
    }

    #[test]
    fn a_list_that_look_ups_cannot_use_is_refused() {
        let list =
            |bytes: &[u8], ends: &[u32]| SortedTexts { bytes: bytes.into(), ends: ends.into() };
        for bad in [list(b"ab", &[1]), list(b"ab", &[2, 1]), list(b"ba", &[1, 2]), list(b"", &[3])]
        {
            assert!(bad.check_order().is_err(), "{bad:?}");
        }
    }
}
