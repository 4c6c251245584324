//! The configuration reader of both programs.
//!
//! A program declares its keys once, in [`Configuration::declare_keys`]: the key, the field, the
//! kind of value and its bounds. The same declaration reads the configuration ([`load`]) and prints
//! it ([`to_toml`]), so no key can be read and not printed.
//!
//! Sources, each overruling the one before: the default, the TOML file, the environment, the command
//! line. Key `limits.max_connections` is `PREFIX_LIMITS_MAX_CONNECTIONS` in the environment; lists
//! are separated by commas there.
//!
//! Invariants:
//! - An unknown key or variable is an error, because a misspelt limit that is silently ignored is
//!   found too late.
//! - All problems of all sources are reported at once, each with key, value and permitted values.
//! - The same kind of value has the same bounds in both programs ([`bounds`]).
//! - Reading opens the named file only; it binds and creates nothing.
//!
//! Deliberately absent: the keys themselves, and the command line's syntax. Each program has its own.

pub mod bounds;

mod error;
mod sources;

mod log_filter;
mod networks;

mod keys;

pub use error::ConfigError;
pub use keys::Keys;
pub use sources::{ConfigSources, environment};

use sources::WrittenKeys;

/// A program's configuration: its defaults, its keys, and what must hold between them.
pub trait Configuration: Default + Clone {
    /// What the environment variables of this program begin with, such as `COUPOND_`.
    const ENV_PREFIX: &'static str;

    /// Declares every key with its field. Keys without a section come first, then section by
    /// section, because a printed TOML file needs that order.
    fn declare_keys(&mut self, keys: &mut Keys);

    /// Problems that no single key has, each a sentence that names the keys.
    fn conflicts(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Reads all sources.
///
/// # Errors
/// [`ConfigError::Problems`] with every problem of every source; the other variants where the file
/// cannot be read at all.
pub fn load<C: Configuration>(sources: &ConfigSources) -> Result<C, ConfigError> {
    let mut keys = Keys::reading(WrittenKeys::collect(sources, C::ENV_PREFIX)?);
    let mut config = C::default();
    config.declare_keys(&mut keys);
    let mut problems = keys.into_problems();
    problems.extend(config.conflicts());
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Problems(problems)) }
}

/// The configuration as a file that says the same, every key included.
pub fn to_toml<C: Configuration>(config: &C) -> String {
    let mut keys = Keys::printing();
    config.clone().declare_keys(&mut keys);
    keys.into_text()
}

#[cfg(test)]
mod tests;
