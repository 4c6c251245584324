//! Whether an answer comes from an index that was current while it was asked for.
//!
//! In every generation some codes lead to a page whose host names the generation. An answer may
//! come from any generation that was announced before it was read, but from none that a later one
//! was known to have replaced before the request was sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// The host of such a page is this, the generation, and a dot.
const HOST: &str = "generation";

/// Which generations may answer.
#[derive(Debug)]
pub(crate) struct Generations {
    announced: AtomicU64,
    confirmed: AtomicU64,
}

impl Generations {
    /// One is served already.
    pub(crate) fn beginning_with(generation: u64) -> Generations {
        Generations { announced: generation.into(), confirmed: generation.into() }
    }

    /// Before it is published.
    pub(crate) fn announce(&self, generation: u64) {
        self.announced.store(generation, Ordering::SeqCst);
    }

    /// After the server has said that it serves it.
    pub(crate) fn confirm(&self, generation: u64) {
        self.confirmed.store(generation, Ordering::SeqCst);
    }

    /// The oldest that may answer a request sent from now on.
    pub(crate) fn oldest(&self) -> u64 {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// Whether this page may be the answer, read now, to a request sent when `oldest` was the
    /// oldest. Pages that name no generation may.
    pub(crate) fn allow(&self, oldest: u64, location: &[u8]) -> bool {
        let named = generation_of(location);
        named.is_none_or(|named| (oldest..=self.announced.load(Ordering::SeqCst)).contains(&named))
    }
}

/// The page that names a generation.
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
