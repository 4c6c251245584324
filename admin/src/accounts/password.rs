//! Passwords: rules for new ones, and hashes by Argon2id.
//!
//! A hash takes 19 MiB and some 30 ms, so [`Hasher`]s are bounded: two work at once, sixteen wait,
//! and more are refused as [`HashError::Busy`]. A flood of sign-ins then neither fills the memory nor
//! the queue. The bounds hold for the process, as its memory does.
//!
//! A password is compared byte by byte. Unicode normalisation is left out, because it takes tables
//! of its own: a password with an accented letter may have to be typed on the same kind of keyboard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::catalog::FieldError;
use crate::store::{StoreError, casefolded};

/// Fewest characters of a password.
const MIN_CHARS: usize = 15;
/// Most characters of a password.
const MAX_CHARS: usize = 256;
/// Shortest login or name that a password must not contain; shorter ones are part of many words.
const MIN_CONTAINED_CHARS: usize = 3;

// OWASP's recommendation for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

const MAX_AT_ONCE: usize = 2;
const MAX_WAITING: usize = 16;
static SLOTS: Slots = Slots::new();

/// A password in clear.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Takes a password as typed.
    #[must_use]
    pub fn new(typed: String) -> Password {
        Password(typed)
    }

    /// Checks the rules for new passwords; the error names the field `password`.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn check(&self, login: &str, name: &str) -> Result<(), FieldError> {
        let problem = self.problem(login, name);
        problem.map_or(Ok(()), |error| Err(FieldError { field: "password".into(), error }))
    }

    fn problem(&self, login: &str, name: &str) -> Option<String> {
        let count = self.0.chars().count();
        if count < MIN_CHARS {
            return Some(format!(
                "has {count} characters; at least {MIN_CHARS} are needed, such as four words"
            ));
        }
        if count > MAX_CHARS {
            return Some(format!("has {count} characters; at most {MAX_CHARS} are possible"));
        }
        if self.0.contains(char::is_control) {
            return Some("has a control character, such as a tab; leave it out".into());
        }
        let folded = casefolded(&self.0);
        for (word, what) in [(login, "login"), (name, "name")] {
            let word = casefolded(word.trim());
            if word.chars().count() >= MIN_CONTAINED_CHARS && folded.contains(&word) {
                return Some(format!("contains the {what}; choose words that nobody can guess"));
            }
        }
        is_repetition(&folded)
            .then(|| "repeats one pattern; choose words that nobody can guess".into())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// Whether a pattern of at most half the length fills the whole text.
fn is_repetition(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (1..=chars.len() / 2).any(|period| chars[period..] == chars[..chars.len() - period])
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many hashes wait.
    #[error("too many passwords are being checked at once; try again in some seconds")]
    Busy,
    /// The work failed, such as for lack of memory.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
    /// The system's random source failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The permission to hash one password after another.
#[derive(Debug)]
pub struct Hasher {
    slot: Arc<Slot>,
}

#[derive(Debug)]
struct Slot {
    _working: SemaphorePermit<'static>,
    _admission: Admission,
}

/// The bounds on working and waiting hashes.
#[derive(Debug)]
struct Slots {
    working: Semaphore,
    /// Working and waiting.
    admitted: AtomicUsize,
}

impl Slots {
    const fn new() -> Slots {
        Slots { working: Semaphore::const_new(MAX_AT_ONCE), admitted: AtomicUsize::new(0) }
    }

    async fn acquire(&'static self) -> Result<Hasher, HashError> {
        let before = self.admitted.fetch_add(1, Ordering::Relaxed);
        // Dropped on refusal, and when the waiting client is gone.
        let admission = Admission(self);
        if before >= MAX_AT_ONCE + MAX_WAITING {
            return Err(HashError::Busy);
        }
        let working = self.working.acquire().await.map_err(|_closed| HashError::Busy)?;
        Ok(Hasher { slot: Arc::new(Slot { _working: working, _admission: admission }) })
    }
}

/// A place among the working and waiting hashes.
#[derive(Debug)]
struct Admission(&'static Slots);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hasher {
    /// Waits for a slot.
    ///
    /// # Errors
    /// [`HashError::Busy`] if too many wait already.
    pub async fn acquire() -> Result<Hasher, HashError> {
        SLOTS.acquire().await
    }

    /// Hashes a password; the result is a PHC string.
    ///
    /// # Errors
    /// When memory or random bytes are missing.
    pub async fn hash(&self, password: &Password) -> Result<String, HashError> {
        let mut salt = [0_u8; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(StoreError::from)?;
        let password = password.clone();
        self.run_blocking(move || {
            let hash = argon2()?.hash_password_with_salt(password.0.as_bytes(), &salt);
            Ok(hash.map_err(failed)?.to_string())
        })
        .await
    }

    /// Compares a password with a hash. An empty hash takes the same time and is never equal.
    ///
    /// # Errors
    /// When memory is missing, or the hash is none.
    pub async fn is_equal(&self, password: &Password, hash: &str) -> Result<bool, HashError> {
        let (password, hash) = (password.clone(), hash.to_owned());
        self.run_blocking(move || {
            let is_missing = hash.is_empty();
            let hash = if is_missing { NO_PASSWORD } else { &hash };
            let hash = PasswordHash::new(hash).map_err(failed)?;
            // The hash's own parameters are used.
            let verified = argon2()?.verify_password(password.0.as_bytes(), &hash);
            Ok(verified.is_ok() && !is_missing)
        })
        .await
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        // The work goes on when its client disconnects, and so does its slot.
        let slot = Arc::clone(&self.slot);
        let run = move || {
            let done = work();
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(run).await.map_err(failed)?
    }
}

/// The hash of a random password with the present parameters, compared where there is none, so that
/// an unknown login takes as long as a known one.
const NO_PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaXM$\
                           0000000000000000000000000000000000000000000";

fn failed(error: impl std::fmt::Display) -> HashError {
    HashError::Failed(error.to_string())
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

/// Whether a hash was made with weaker parameters than the present ones.
#[must_use]
pub fn needs_rehash(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return true };
    let Ok(parameters) = Params::try_from(&hash) else { return true };
    hash.algorithm.as_str() != "argon2id"
        || parameters.m_cost() < MEMORY_KIB
        || parameters.t_cost() < PASSES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.into())
    }

    #[test]
    fn a_good_password_passes_and_a_bad_one_is_told_why() {
        for good in ["correct horse battery", "żółta łódź pływa", "aaaaaaaaaaaaaab"] {
            assert_eq!(password(good).check("mia", "Mia May"), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("short", "5 characters"),
            (&"x1".repeat(200), "400 characters"),
            ("tab\tin the middle of it", "control character"),
            ("my name is MIA.MAY right", "contains the login"),
            ("hello Mia May, how are you", "contains the name"),
            ("aaaaaaaaaaaaaaa", "repeats"),
            ("abcabcabcabcabca", "repeats"),
            ("Correct1correct1", "repeats"),
        ] {
            let error = password(bad).check("mia.may", "Mia May").unwrap_err();
            assert_eq!(error.field, "password");
            assert!(error.error.contains(why), "{bad}: {}", error.error);
        }
        // Too short to refuse all words with it.
        assert_eq!(password("a sliding door opens").check("li", "Li"), Ok(()));
    }

    #[tokio::test]
    async fn a_hash_is_equal_to_its_password_only() {
        let hasher = Hasher::acquire().await.unwrap();
        let hash = hasher.hash(&password("correct horse battery")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.is_equal(&password("correct horse battery"), &hash).await.unwrap());
        assert!(!hasher.is_equal(&password("correct horse Battery"), &hash).await.unwrap());
        assert!(!hasher.is_equal(&password(""), "").await.unwrap());
        assert!(hasher.is_equal(&password("x"), "no hash").await.is_err());
        assert_ne!(hasher.hash(&password("correct horse battery")).await.unwrap(), hash);
    }

    #[tokio::test]
    async fn two_work_sixteen_wait_and_more_are_refused() {
        static OWN: Slots = Slots::new();
        let working = [OWN.acquire().await.unwrap(), OWN.acquire().await.unwrap()];
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| tokio::spawn(OWN.acquire())).collect();
        tokio::task::yield_now().await;
        assert!(matches!(OWN.acquire().await, Err(HashError::Busy)));
        for waiting in &waiting[1..] {
            waiting.abort();
        }
        drop(working);
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.is_ok_and(|slot| slot.is_ok()), number == 0);
        }
        assert_eq!(OWN.admitted.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_hash_keeps_its_slot_when_its_client_is_gone() {
        static OWN: Slots = Slots::new();
        let hasher = OWN.acquire().await.unwrap();
        let hash = tokio::spawn(async move { hasher.hash(&password("x")).await });
        tokio::task::yield_now().await;
        hash.abort();
        assert!(hash.await.is_err());
        assert_eq!(OWN.admitted.load(Ordering::Relaxed), 1);
        while OWN.admitted.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn only_weaker_hashes_are_made_again() {
        assert!(!needs_rehash(NO_PASSWORD));
        assert!(needs_rehash(&NO_PASSWORD.replace("m=19456", "m=4096")));
        assert!(needs_rehash(&NO_PASSWORD.replace("t=2", "t=1")));
        assert!(needs_rehash(&NO_PASSWORD.replace("argon2id", "argon2i")));
        assert!(!needs_rehash(&NO_PASSWORD.replace("t=2", "t=3")));
    }
}
