//! Choice and spelling of the next requested code.
//!
//! Ranks of the Zipf distribution are scattered over the file, so the hot codes are not the first
//! ones: in a sorted file they would be neighbours in the index.

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

use crate::cli::KeyDistribution;
use crate::codes::scatter::Scatter;
use crate::plan::Plan;

pub(crate) struct CodeSampler {
    plan: Arc<Plan>,
    zipf: Option<Zipf<f64>>,
    scatter: Scatter,
    rng: Xoshiro256PlusPlus,
}

const LETTERS_AND_DIGITS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

impl CodeSampler {
    pub(crate) fn new(plan: &Arc<Plan>, thread: usize) -> Self {
        let count = plan.codes.len();
        let zipf = match plan.draw {
            // The parameters were checked: at least one code, and an exponent of zero or more.
            KeyDistribution::Zipf => Zipf::new(count as f64, plan.zipf_exponent).ok(),
            KeyDistribution::Uniform => None,
        };
        // Each thread has a random stream of its own.
        let rng = Xoshiro256PlusPlus::seed_from_u64(plan.seed ^ ((thread as u64 + 1) << 32));
        Self { plan: Arc::clone(plan), zipf, scatter: scatter(count, plan.seed), rng }
    }

    /// Positions of the most requested codes under the Zipf distribution.
    pub(crate) fn hottest(codes: usize, seed: u64) -> impl Iterator<Item = usize> {
        let scatter = scatter(codes, seed);
        (0..codes as u64).map(move |rank| scatter.at(rank) as usize)
    }

    /// Appends the next code to a request.
    pub(crate) fn append_next(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        let index = self.next_index();
        let code = self.plan.codes.get(index);
        if self.plan.miss_ratio > 0.0 && self.rng.random_bool(self.plan.miss_ratio) {
            append_miss(code, self.plan.codes.longest() + 1, &mut self.rng, out);
        } else {
            out.extend_from_slice(code);
        }
        if self.plan.mixed_case {
            mix_case(self.rng.next_u64(), &mut out[start..]);
        }
    }

    fn next_index(&mut self) -> usize {
        let count = self.plan.codes.len();
        let Some(zipf) = self.zipf else {
            return self.rng.random_range(0..count);
        };
        let rank = zipf.sample(&mut self.rng) as u64;
        self.scatter.at(rank.clamp(1, count as u64) - 1) as usize
    }
}

/// The same hot codes for all threads.
fn scatter(codes: usize, seed: u64) -> Scatter {
    Scatter::new(codes as u64, &mut Xoshiro256PlusPlus::seed_from_u64(seed))
}

/// Appends an unknown code: it begins like a real code, as a mistyped code does, and is longer than
/// all of them.
fn append_miss(like: &[u8], length: usize, rng: &mut Xoshiro256PlusPlus, out: &mut Vec<u8>) {
    let end = out.len() + length;
    out.extend_from_slice(&like[..rng.random_range(1..=like.len())]);
    while out.len() < end {
        out.push(LETTERS_AND_DIGITS[rng.random_range(0..LETTERS_AND_DIGITS.len())]);
    }
}

/// Uses one random bit per byte; a code has at most 64 bytes.
fn mix_case(mut bits: u64, code: &mut [u8]) {
    for byte in code {
        if bits & 1 == 0 {
            byte.make_ascii_lowercase();
        } else {
            byte.make_ascii_uppercase();
        }
        bits >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan_with;
    use std::collections::{HashMap, HashSet};

    fn thousand_codes() -> Vec<String> {
        (0..1000).map(|number| format!("CODE{number:04}")).collect()
    }

    fn draw(plan: Plan, times: usize) -> Vec<String> {
        draw_on(&Arc::new(plan), 0, times)
    }

    fn draw_on(plan: &Arc<Plan>, thread: usize, times: usize) -> Vec<String> {
        let mut draw = CodeSampler::new(plan, thread);
        let next = |_| {
            let mut out = Vec::new();
            draw.append_next(&mut out);
            String::from_utf8(out).unwrap()
        };
        (0..times).map(next).collect()
    }

    fn counts(drawn: Vec<String>) -> Vec<usize> {
        let mut counts = HashMap::new();
        drawn.into_iter().for_each(|code| *counts.entry(code).or_insert(0) += 1);
        let mut counts: Vec<usize> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn zipf_asks_for_few_codes_often_and_for_most_seldom() {
        let mut plan = plan_with(&thousand_codes());
        plan.draw = KeyDistribution::Zipf;
        let counts = counts(draw(plan, 100_000));
        // Exponent 1 over 1,000 codes: the first has 1/7.49 of all requests, twice the second.
        assert!((12_000..15_000).contains(&counts[0]), "{}", counts[0]);
        assert!((6_000..7_400).contains(&counts[1]), "{}", counts[1]);
        assert!(counts.iter().take(100).sum::<usize>() > 60_000);
        assert!(counts.len() > 990);
    }

    #[test]
    fn uniform_asks_for_all_alike() {
        let mut plan = plan_with(&thousand_codes());
        plan.draw = KeyDistribution::Uniform;
        let counts = counts(draw(plan, 100_000));
        assert_eq!(counts.len(), 1000);
        assert!(counts[0] < 160 && counts[999] > 50, "{} {}", counts[0], counts[999]);
    }

    #[test]
    fn threads_share_the_hot_code_but_not_the_order() {
        let mut plan = plan_with(&thousand_codes());
        plan.draw = KeyDistribution::Zipf;
        plan.zipf_exponent = 2.0;
        let plan = Arc::new(plan);
        let hottest = |drawn: &[String]| {
            let mut counts: HashMap<String, usize> = HashMap::new();
            drawn.iter().for_each(|code| *counts.entry(code.clone()).or_default() += 1);
            counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
        };
        let (first, second) = (draw_on(&plan, 0, 2000), draw_on(&plan, 1, 2000));
        assert_eq!(hottest(&first), hottest(&second));
        assert_ne!(first, second);
        assert_eq!(first, draw_on(&plan, 0, 2000), "a seed repeats");
    }

    #[test]
    fn the_hottest_codes_are_known_beforehand() {
        let mut plan = plan_with(&thousand_codes());
        (plan.draw, plan.seed) = (KeyDistribution::Zipf, 5);
        let mut counts: HashMap<String, usize> = HashMap::new();
        for code in draw(plan, 5000) {
            *counts.entry(code).or_default() += 1;
        }
        let drawn = counts.iter().max_by_key(|(_, count)| **count).unwrap().0;
        let hottest = CodeSampler::hottest(1000, 5).next().unwrap();
        assert_eq!(*drawn, thousand_codes()[hottest]);
    }

    #[test]
    fn misses_are_well_formed_and_cannot_exist() {
        let mut plan = plan_with(&["ANNA1", "LONGESTCODE9"]);
        plan.miss_ratio = 0.5;
        let known = ["ANNA1", "LONGESTCODE9"];
        let (hits, misses): (Vec<_>, Vec<_>) =
            draw(plan, 4000).into_iter().partition(|code| known.contains(&code.as_str()));
        assert!((1700..2300).contains(&misses.len()), "{} hits", hits.len());
        for miss in misses {
            assert_eq!(miss.len(), 13);
            coupon_shared::code::FoldedCode::fold(miss.as_bytes()).unwrap();
        }
    }

    #[test]
    fn mixed_case_changes_nothing_but_the_case() {
        let mut plan = plan_with(&["SUMMERSALE25"]);
        plan.mixed_case = true;
        let drawn: HashSet<String> = draw(plan, 500).into_iter().collect();
        assert!(drawn.len() > 100);
        assert!(drawn.iter().all(|code| code.eq_ignore_ascii_case("SUMMERSALE25")));
    }
}
