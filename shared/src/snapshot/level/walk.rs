//! Finds a folded code's output in a level's fst, without copying nodes.
//!
//! The fst crate's look-up starts at the root and decodes each node into a struct. Both cost a
//! visit time: the upper nodes are the widest, and the lower nodes are cold. Therefore a
//! [`PrefixTable`] holds the nodes behind the first [`PREFIX_LEN`] characters, found once when the
//! level is opened, and the walk reads only the bytes of a node that the next character needs.
//!
//! Nodes of version 3 of the fst crate's format (an older level file is refused), read downwards
//! from a node's address; the target of a transition lies below its node:
//!
//! | state byte | node | below it |
//! |---|---|---|
//! | `11iiiiii` | one transition without output, to the node right below | input byte where `i` is 0 |
//! | `10iiiiii` | one transition | input byte where `i` is 0; sizes; distance; output |
//! | `0fnnnnnn` | `n` transitions, final where `f` | `n` where that is 0 (1 is 256); sizes; an index of 256 bytes where `n` > 32; `n` inputs; `n` distances; `n` outputs; its own output where it is final |
//!
//! `i` numbers a common input, from 1. The sizes are those of a distance (high four bits) and of an
//! output (low four), in bytes. A distance counts from the node's lowest byte; 0 leads to address
//! 0, which stands for a final node without transitions.
//!
//! Nothing here panics on any bytes: a position outside of the bytes is not found.

use crate::code::{FoldedCode, MIN_LEN};

/// Length of the shortest code, so every code has a prefix.
const PREFIX_LEN: usize = MIN_LEN;
/// Letters and digits of a folded code.
const ALPHABET: usize = 36;
/// Fewest codes of a level with a prefix table. A smaller level fits the processor's caches anyway,
/// and there are many small levels.
const MIN_CODES: usize = 20_000;
/// Marks a prefix without codes.
const NOWHERE: u32 = u32::MAX;
/// Nodes with more transitions than this have an index of them.
const MAX_WITHOUT_INDEX: usize = 32;
const INDEX_LEN: usize = 256;

const ONE_TRANSITION: u8 = 0b1000_0000;
const TO_THE_NEXT: u8 = 0b0100_0000;
const FINAL: u8 = 0b0100_0000;
const NUMBER: u8 = 0b0011_1111;

/// The inputs that a state byte can number.
const COMMON: [u8; 64] = *b"\0te/oasripcnw.hlm-du012g=:bf3y5&_4v9678k%?xCDASFIBEjPTzRNM+LOqHG";

/// A position in the fst: a node, and the sum of outputs on the way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NodePosition {
    node: usize,
    output: u64,
}

/// The node behind each prefix of a code.
#[derive(Debug, Clone)]
pub(super) struct PrefixTable {
    root: NodePosition,
    /// By prefix number; empty for a small level.
    by_prefix: Box<[(u32, u32)]>,
}

impl PrefixTable {
    /// Finds the nodes of all prefixes; all outputs are below `outputs`.
    pub(super) fn build<D: AsRef<[u8]>>(fst: &fst::raw::Fst<D>, outputs: usize) -> PrefixTable {
        let root = NodePosition { node: fst.root().addr(), output: 0 };
        let mut prefixes = PrefixTable { root, by_prefix: Box::default() };
        let all_fit = fst.as_bytes().len().max(outputs) < NOWHERE as usize;
        if fst.len() >= MIN_CODES && all_fit {
            let mut by_prefix = vec![(NOWHERE, 0); ALPHABET.pow(PREFIX_LEN as u32)];
            fill(fst.as_bytes(), root, PREFIX_LEN, &mut by_prefix);
            prefixes.by_prefix = by_prefix.into();
        }
        prefixes
    }

    /// The output of a code; `None` for a code that is not in the fst.
    #[inline]
    pub(super) fn find(&self, fst: &[u8], code: &FoldedCode) -> Option<u64> {
        let code = code.as_bytes();
        let (mut place, rest) = self.begin(code)?;
        for input in rest {
            place = step(fst, place, *input)?;
        }
        end(fst, place)
    }

    #[inline]
    fn begin<'c>(&self, code: &'c [u8]) -> Option<(NodePosition, &'c [u8])> {
        if self.by_prefix.is_empty() {
            return Some((self.root, code));
        }
        let (prefix, rest) = code.split_first_chunk::<PREFIX_LEN>()?;
        let number = prefix.iter().fold(0, |number, byte| number * ALPHABET + digit(*byte));
        let (node, output) = *self.by_prefix.get(number)?;
        let place = NodePosition { node: node as usize, output: u64::from(output) };
        (node != NOWHERE).then_some((place, rest))
    }
}

/// Fills `into` with the nodes of all words with that many characters behind `from`.
fn fill(fst: &[u8], from: NodePosition, characters: usize, into: &mut [(u32, u32)]) {
    if characters == 0 {
        // `PrefixTable::build` has checked that both fit.
        into[0] = (from.node as u32, from.output as u32);
        return;
    }
    let each = into.len() / ALPHABET;
    for (at, part) in into.chunks_exact_mut(each).enumerate() {
        if let Some(place) = step(fst, from, character(at)) {
            fill(fst, place, characters - 1, part);
        }
    }
}

/// A folded code's character as a number below [`ALPHABET`].
#[inline]
fn digit(byte: u8) -> usize {
    usize::from(if byte.is_ascii_digit() { byte - b'0' } else { byte.wrapping_sub(b'a' - 10) })
}

fn character(digit: usize) -> u8 {
    b"0123456789abcdefghijklmnopqrstuvwxyz"[digit]
}

/// Follows `input` from a position.
#[inline]
fn step(fst: &[u8], from: NodePosition, input: u8) -> Option<NodePosition> {
    if from.node == 0 {
        return None;
    }
    let state = *fst.get(from.node)?;
    let (node, output) = if state & ONE_TRANSITION == 0 {
        Branching::read(fst, from.node, state)?.follow(fst, input)?
    } else {
        follow_only(fst, from.node, state, input)?
    };
    Some(NodePosition { node, output: from.output.wrapping_add(output) })
}

/// The output at a code's last node; `None` where no code ends there.
#[inline]
fn end(fst: &[u8], last: NodePosition) -> Option<u64> {
    if last.node == 0 {
        return Some(last.output);
    }
    let state = *fst.get(last.node)?;
    if state & ONE_TRANSITION != 0 || state & FINAL == 0 {
        return None;
    }
    let own = Branching::read(fst, last.node, state)?.final_output(fst)?;
    Some(last.output.wrapping_add(own))
}

/// A node with one transition.
#[inline]
fn follow_only(fst: &[u8], node: usize, state: u8, input: u8) -> Option<(usize, u64)> {
    let mut at = node;
    let mut known = COMMON[usize::from(state & NUMBER)];
    if state & NUMBER == 0 {
        at = at.checked_sub(1)?;
        known = *fst.get(at)?;
    }
    if known != input {
        return None;
    }
    if state & TO_THE_NEXT != 0 {
        return Some((at.checked_sub(1)?, 0));
    }
    let sizes = Sizes::read(fst, at.checked_sub(1)?)?;
    let distance_at = (at - 1).checked_sub(sizes.distance)?;
    let lowest = distance_at.checked_sub(sizes.output)?;
    let distance = number(fst, distance_at, sizes.distance)?;
    Some((leads_to(lowest, distance)?, number(fst, lowest, sizes.output)?))
}

/// A node with any number of transitions. Its parts lie side by side in descending order.
struct Branching {
    transitions: usize,
    sizes: Sizes,
    /// End of the inputs, and beginning of the index where the node has one.
    inputs_to: usize,
    /// End of the distances; the outputs end behind.
    distances_to: usize,
    outputs_to: usize,
    is_final: bool,
}

impl Branching {
    #[inline]
    fn read(fst: &[u8], node: usize, state: u8) -> Option<Branching> {
        let mut at = node.checked_sub(1)?;
        let mut transitions = usize::from(state & NUMBER);
        if transitions == 0 {
            // The state byte itself says one transition, so 1 here stands for 256.
            transitions = match *fst.get(at)? {
                1 => 256,
                count => usize::from(count),
            };
            at = at.checked_sub(1)?;
        }
        let sizes = Sizes::read(fst, at)?;
        let index = if transitions > MAX_WITHOUT_INDEX { INDEX_LEN } else { 0 };
        let inputs_to = at.checked_sub(index)?;
        let distances_to = inputs_to.checked_sub(transitions)?;
        let outputs_to = distances_to.checked_sub(transitions * sizes.distance)?;
        let is_final = state & FINAL != 0;
        Some(Branching { transitions, sizes, inputs_to, distances_to, outputs_to, is_final })
    }

    #[inline]
    fn follow(&self, fst: &[u8], input: u8) -> Option<(usize, u64)> {
        let which = self.which(fst, input)?;
        let Sizes { distance, output } = self.sizes;
        let nth = which + 1;
        let distance = number(fst, self.distances_to - nth * distance, distance)?;
        let output = number(fst, self.outputs_to.checked_sub(nth * output)?, output)?;
        Some((leads_to(self.lowest()?, distance)?, output))
    }

    /// The number of the transition for `input`.
    #[inline]
    fn which(&self, fst: &[u8], input: u8) -> Option<usize> {
        if self.transitions > MAX_WITHOUT_INDEX {
            let which = usize::from(*fst.get(self.inputs_to + usize::from(input))?);
            return (which < self.transitions).then_some(which);
        }
        let inputs = fst.get(self.distances_to..self.inputs_to)?;
        inputs.iter().position(|known| *known == input).map(|at| self.transitions - 1 - at)
    }

    #[inline]
    fn lowest(&self) -> Option<usize> {
        let outputs = self.transitions + usize::from(self.is_final);
        self.outputs_to.checked_sub(outputs * self.sizes.output)
    }

    #[inline]
    fn final_output(&self, fst: &[u8]) -> Option<u64> {
        number(fst, self.lowest()?, self.sizes.output)
    }
}

/// Lengths in bytes of a node's numbers.
#[derive(Clone, Copy)]
struct Sizes {
    distance: usize,
    output: usize,
}

impl Sizes {
    #[inline]
    fn read(fst: &[u8], at: usize) -> Option<Sizes> {
        let sizes = *fst.get(at)?;
        Some(Sizes { distance: usize::from(sizes >> 4), output: usize::from(sizes & 0b1111) })
    }
}

#[inline]
fn leads_to(lowest: usize, distance: u64) -> Option<usize> {
    if distance == 0 { Some(0) } else { lowest.checked_sub(usize::try_from(distance).ok()?) }
}

/// A little-endian number of `len` bytes. At least eight bytes of the file follow every node, so
/// one read suffices.
#[inline]
fn number(fst: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = fst.get(at..)?.first_chunk::<8>()?;
    let unused = 64 - 8 * u32::try_from(len).ok()?.min(8);
    let word = u64::from_le_bytes(*bytes);
    Some(if unused == 64 { 0 } else { word << unused >> unused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn fst_of(codes: &BTreeMap<String, u64>) -> fst::raw::Fst<Vec<u8>> {
        let mut builder = fst::raw::Builder::memory();
        for (code, output) in codes {
            builder.insert(code, *output).unwrap();
        }
        builder.into_fst()
    }

    fn folded(code: &str) -> FoldedCode {
        FoldedCode::fold(code.as_bytes()).unwrap()
    }

    /// As a large level has them, however few codes there are.
    fn prefixes(fst: &fst::raw::Fst<Vec<u8>>) -> [PrefixTable; 2] {
        let small = PrefixTable::build(fst, 1 << 20);
        let mut by_prefix = vec![(NOWHERE, 0); ALPHABET.pow(PREFIX_LEN as u32)];
        fill(fst.as_bytes(), small.root, PREFIX_LEN, &mut by_prefix);
        let large = PrefixTable { root: small.root, by_prefix: by_prefix.into() };
        [small, large]
    }

    fn assert_finds_what_the_fst_finds(codes: &BTreeMap<String, u64>, asked: &BTreeSet<String>) {
        let fst = fst_of(codes);
        for prefixes in prefixes(&fst) {
            for code in codes.keys().chain(asked) {
                let expected = fst.get(code).map(|output| output.value());
                assert_eq!(prefixes.find(fst.as_bytes(), &folded(code)), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_code_that_another_one_begins_with_is_found_as_itself() {
        let codes = ["abc", "abcd", "abcdef", "abd", "xyz"];
        let codes = codes.iter().zip(0..).map(|(code, at)| (String::from(*code), at)).collect();
        let asked = ["ab0", "abcde", "xyzz", "000"].map(String::from).into();
        assert_finds_what_the_fst_finds(&codes, &asked);
    }

    #[test]
    fn every_character_is_found_behind_every_other_in_nodes_of_every_width() {
        let mut codes = BTreeMap::new();
        for first in 0..ALPHABET {
            for second in 0..=first {
                let [first_char, second_char] = [first, second].map(|at| char::from(character(at)));
                let output = (first * 1000 + second * second * 70_000) as u64;
                codes.insert(format!("ab{first_char}{second_char}"), output);
            }
        }
        assert_finds_what_the_fst_finds(&codes, &BTreeSet::from(["ab0z".into()]));
    }

    #[test]
    fn a_large_level_is_begun_in_the_middle() {
        let codes: BTreeMap<_, _> = (0..30_000).map(|n| (format!("code{:05}", n * 3), n)).collect();
        let fst = fst_of(&codes);
        let prefixes = PrefixTable::build(&fst, 30_000);
        assert!(!prefixes.by_prefix.is_empty());
        for number in 0..90_000_u64 {
            let code = format!("code{number:05}");
            let expected = number.is_multiple_of(3).then_some(number / 3);
            assert_eq!(prefixes.find(fst.as_bytes(), &folded(&code)), expected);
        }
    }

    fn codes() -> impl Strategy<Value = BTreeMap<String, u64>> {
        let code = prop_oneof!["[0-9a-z]{3,12}", "[ab01]{3,6}", "[0-9a-z]{3,64}"];
        proptest::collection::btree_map(
            code,
            prop_oneof![0u64..300, any::<u32>().prop_map(u64::from)],
            0..80,
        )
    }

    proptest! {
        #[test]
        fn any_code_is_found_where_the_fst_finds_it(
            codes in codes(),
            asked in proptest::collection::btree_set("[ab01]{3,7}|[0-9a-z]{3,64}", 0..40),
        ) {
            assert_finds_what_the_fst_finds(&codes, &asked);
        }

        #[test]
        fn damaged_bytes_are_searched_without_a_panic(
            codes in codes(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
            root in any::<prop::sample::Index>(),
        ) {
            let fst = fst_of(&codes);
            let mut bytes = fst.as_bytes().to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let root = NodePosition { node: root.index(bytes.len()), output: 0 };
            let mut by_prefix = vec![(NOWHERE, 0); ALPHABET.pow(2)];
            fill(&bytes, root, 2, &mut by_prefix);
            let prefixes = PrefixTable { root, by_prefix: Box::default() };
            for code in codes.keys() {
                prefixes.find(&bytes, &folded(code));
            }
        }
    }
}
