//! Generates codes from a pattern: the requested number, or none.
//!
//! A generated code is new: no row on any offer has the code, no former partner had it, and it is
//! not reserved. No owner check is needed. Each free code of the pattern is equally likely, and the
//! system's random source draws the codes, so the next code cannot be guessed.

use std::collections::{HashMap, HashSet};

use serde_json::Map;

use super::super::{EditError, Saved, audit};
use super::checks::{check_references, existing};
use crate::catalog::{CheckedCode, Generation, Pattern, RowCode};
use crate::store::coupon_codes::{self, Generated};
use crate::store::{ReadTx, StoreError, WriteTx};

///
/// # Errors
/// When the pattern has too few new codes, or the offer or partner does not exist.
pub fn generate(tx: &WriteTx<'_>, wanted: Generation) -> Result<Saved<Generated>, EditError> {
    let wanted = wanted.check().map_err(EditError::Invalid)?;
    check_references(tx, &wanted.template, None)?;
    let mut sampler = CodeSampler::new(&wanted.pattern);
    check_possible(tx, &wanted.pattern, wanted.count)?;
    let sequence = tx.next_code_sequence()?;
    let mut rows = Vec::with_capacity(wanted.count as usize);
    while rows.len() < wanted.count as usize {
        let Some(drawn) = sampler.next()? else { return Err(exhausted(rows.len() as u64)) };
        let Some(code) = drawn.filter_free(tx)? else { continue };
        let typed = code.as_str().to_owned();
        let row = CheckedCode { code, ..wanted.template.clone() };
        rows.push((coupon_codes::insert(tx, &row, sequence)?, typed));
    }
    audit::record_codes(tx, "generated", sequence, &Map::new())?;
    let first = match rows.first() {
        Some((id, _)) => existing(tx, *id)?,
        None => return Err(EditError::field("count", "must be at least 1")),
    };
    let (base_url, link_state) = (first.base_url, first.link_state);
    let now = Generated { offer_id: wanted.template.offer_id, base_url, link_state, rows };
    Ok(Saved { now, sequence: Some(sequence) })
}

/// How many codes a pattern has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternPreview {
    /// Codes that can be new, taken ones included; `None` if that exceeds `u64`.
    pub possible: Option<u64>,
    /// Codes that are or were in use.
    pub taken: u64,
    /// Some new codes, drawn as a generation draws them; none of them is reserved.
    pub examples: Vec<String>,
}

/// Examples of a preview.
const EXAMPLES: usize = 10;
/// Draws for the examples: where most codes are taken, a preview has fewer examples.
const MAX_DRAWS: usize = 1_000;

/// Counts the codes of a pattern, which scans the codes with its beginning.
pub fn preview(connection: &ReadTx<'_>, pattern: &Pattern) -> Result<PatternPreview, StoreError> {
    let mut sampler = CodeSampler::new(pattern);
    let mut examples = Vec::new();
    for _ in 0..MAX_DRAWS {
        let Some(drawn) = sampler.next()?.filter(|_| examples.len() < EXAMPLES) else { break };
        let free = drawn.filter_free(connection)?;
        examples.extend(free.map(|code| code.as_str().to_owned()));
    }
    let possible = pattern.size().map(|size| size.saturating_sub(pattern.reserved() as u64));
    let taken = coupon_codes::count_used_like(connection, &pattern.glob())?;
    Ok(PatternPreview { possible, taken, examples })
}

/// Counts the taken codes only if they could be too many, because counting is slow.
fn check_possible(tx: &WriteTx<'_>, pattern: &Pattern, count: u32) -> Result<(), EditError> {
    let Some(size) = pattern.size() else { return Ok(()) };
    let reserved = Pattern::reserved_words().count() as u64;
    let at_most_taken = coupon_codes::most_ever_used(tx)?.saturating_add(reserved);
    if size >= at_most_taken.saturating_add(count.into()) {
        return Ok(());
    }
    let taken = coupon_codes::count_used_like(tx, &pattern.glob())? + pattern.reserved() as u64;
    let possible = size.saturating_sub(taken);
    if possible >= count.into() { Ok(()) } else { Err(exhausted(possible)) }
}

fn exhausted(possible: u64) -> EditError {
    EditError::conflict(
        "coupon_code.pattern_exhausted",
        "count",
        format!("the pattern has {possible} new code(s) left; ask for fewer, or add a `#`"),
    )
}

/// Draws codes of a pattern without repetition.
enum CodeSampler<'p> {
    /// A Fisher–Yates shuffle that stores only the swapped positions.
    Shuffle { pattern: &'p Pattern, left: u64, moved: HashMap<u64, u64>, random: Random },
    /// More than `u64` codes: repetitions are so rare that a redraw is cheap.
    Vast { pattern: &'p Pattern, drawn: HashSet<String>, random: Random },
}

/// A drawn code; `None` for a reserved word.
struct SampledCode(Option<RowCode>);

impl<'p> CodeSampler<'p> {
    fn new(pattern: &'p Pattern) -> CodeSampler<'p> {
        let random = Random::default();
        match pattern.size() {
            Some(left) => CodeSampler::Shuffle { pattern, left, moved: HashMap::new(), random },
            None => CodeSampler::Vast { pattern, drawn: HashSet::new(), random },
        }
    }

    fn next(&mut self) -> Result<Option<SampledCode>, StoreError> {
        match self {
            CodeSampler::Shuffle { left: 0, .. } => Ok(None),
            CodeSampler::Shuffle { pattern, left, moved, random } => {
                *left -= 1;
                let at = random.below(*left + 1)?;
                let last = moved.remove(left).unwrap_or(*left);
                let mut number =
                    if at == *left { last } else { moved.insert(at, last).unwrap_or(at) };
                let code = pattern.code(|below| {
                    let digit = number % below;
                    number /= below;
                    Ok::<_, StoreError>(digit)
                })?;
                Ok(Some(SampledCode(code)))
            }
            CodeSampler::Vast { pattern, drawn, random } => {
                let code = pattern.code(|below| random.below(below))?;
                let is_new = |code: &RowCode| drawn.insert(code.as_str().into());
                Ok(Some(SampledCode(code.filter(is_new))))
            }
        }
    }
}

impl SampledCode {
    fn filter_free(self, connection: &ReadTx<'_>) -> Result<Option<RowCode>, StoreError> {
        let SampledCode(Some(code)) = self else { return Ok(None) };
        let is_used = coupon_codes::is_used(connection, &code.folded())?;
        Ok(Some(code).filter(|_| !is_used))
    }
}

const POOL_BYTES: usize = 4096;

/// Numbers from the system's random source, fetched in blocks.
#[derive(Default)]
struct Random {
    pool: Vec<u8>,
}

impl Random {
    /// A uniform number below `bound`.
    fn below(&mut self, bound: u64) -> Result<u64, StoreError> {
        // Values in the last, incomplete range would favour small numbers.
        let fair = u64::MAX - u64::MAX % bound;
        loop {
            let number = self.number()?;
            if number < fair {
                return Ok(number % bound);
            }
        }
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        if self.pool.len() < 8 {
            self.pool.resize(POOL_BYTES, 0);
            getrandom::fill(&mut self.pool)?;
        }
        let rest = self.pool.len() - 8;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.pool[rest..]);
        self.pool.truncate(rest);
        Ok(u64::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, alphabet: &str) -> Pattern {
        let wanted = serde_json::json!({
            "pattern": text, "alphabet": alphabet, "count": 1, "network_offer_id": 1,
            "coupon_status": "active",
        });
        serde_json::from_value::<Generation>(wanted).unwrap().check().unwrap().pattern
    }

    #[test]
    fn a_shuffle_draws_every_code_once() {
        let pattern = pattern("A##", "ABCDEF0123456789");
        let mut sampler = CodeSampler::new(&pattern);
        let mut seen = HashSet::new();
        while let Some(SampledCode(code)) = sampler.next().unwrap() {
            assert!(seen.insert(code.unwrap().as_str().to_owned()));
        }
        assert_eq!(seen.len(), 256);
    }

    #[test]
    fn each_code_is_equally_likely_to_be_drawn_first() {
        let pattern = pattern("AA#", "XYZ");
        let mut counts = HashMap::<String, u32>::new();
        for _ in 0..6000 {
            let Some(SampledCode(Some(code))) = CodeSampler::new(&pattern).next().unwrap() else {
                panic!()
            };
            *counts.entry(code.as_str().into()).or_default() += 1;
        }
        // 2000 expected with a standard deviation of 37; a deviation of ten times that is no
        // chance.
        assert_eq!(counts.len(), 3);
        assert!(counts.values().all(|count| count.abs_diff(2000) < 370), "{counts:?}");
    }

    #[test]
    fn two_draws_from_a_vast_pattern_differ() {
        let pattern = pattern(&"#".repeat(64), "");
        let first = || CodeSampler::new(&pattern).next().unwrap().unwrap().0.unwrap();
        assert_ne!(first().as_str(), first().as_str());
    }
}
