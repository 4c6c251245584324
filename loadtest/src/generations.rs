//! Checks that an answer comes from an index that was current when the request was sent.
//!
//! In each generation some codes lead to a page whose host names the generation. An answer may come
//! from each generation announced before the answer was read, except generations whose successor
//! was confirmed before the request was sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// The host of a page: this word, the generation, a dot.
const HOST: &str = "generation";

/// Range of generations that may answer.
#[derive(Debug)]
pub(crate) struct Generations {
    announced: AtomicU64,
    confirmed: AtomicU64,
}

impl Generations {
    /// Starts with a generation that is already in service.
    pub(crate) fn beginning_with(generation: u64) -> Generations {
        Generations { announced: generation.into(), confirmed: generation.into() }
    }

    /// Call before the generation is published.
    pub(crate) fn announce(&self, generation: u64) {
        self.announced.store(generation, Ordering::SeqCst);
    }

    /// Call after the server has confirmed that it serves the generation.
    pub(crate) fn confirm(&self, generation: u64) {
        self.confirmed.store(generation, Ordering::SeqCst);
    }

    /// Oldest generation that may answer a request sent from now on.
    pub(crate) fn oldest(&self) -> u64 {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// Whether this page is a valid answer, read now, to a request sent when `oldest` was the
    /// oldest generation. Pages that name no generation are valid.
    pub(crate) fn allow(&self, oldest: u64, location: &[u8]) -> bool {
        let named = generation_of(location);
        named.is_none_or(|named| (oldest..=self.announced.load(Ordering::SeqCst)).contains(&named))
    }
}

/// Page that names a generation.
pub(crate) fn page(generation: u64) -> String {
    format!("https://{HOST}{generation}.example/landing")
}

fn generation_of(location: &[u8]) -> Option<u64> {
    let rest = location.strip_prefix(b"https://")?.strip_prefix(HOST.as_bytes())?;
    let number = rest.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(generations: &Generations, oldest: u64, named: u64) -> bool {
        generations.allow(oldest, (page(named) + "?transaction_id=1").as_bytes())
    }

    #[test]
    fn an_answer_may_come_from_the_old_or_the_new_index_only_while_they_change() {
        let generations = Generations::beginning_with(7);
        let oldest = generations.oldest();
        assert!(allowed(&generations, oldest, 7));
        assert!(!allowed(&generations, oldest, 8), "not announced yet");
        generations.announce(8);
        assert!(allowed(&generations, oldest, 7) && allowed(&generations, oldest, 8));
        generations.confirm(8);
        assert!(allowed(&generations, oldest, 7), "it was sent before");
        assert!(!allowed(&generations, generations.oldest(), 7), "gone back");
        assert!(allowed(&generations, generations.oldest(), 8));
    }

    #[test]
    fn other_pages_say_nothing_about_generations() {
        let generations = Generations::beginning_with(7);
        for page in ["https://shop9.example/", "https://generation.example/", "/generation1.x"] {
            assert!(generations.allow(7, page.as_bytes()), "{page}");
        }
    }
}
