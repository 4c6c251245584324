//! The configuration reader of both programs.
//!
//! A program declares its keys once, in [`Configuration::declare_keys`]: the key, the field, the
//! kind of value and the bounds. The same declaration reads the configuration ([`load`]) and prints
//! it ([`to_toml`]), so no key can be read without being printed.
//!
//! Sources, each overruling the previous: the default, the TOML file, the environment, the command
//! line. Key `limits.max_connections` is `PREFIX_LIMITS_MAX_CONNECTIONS` in the environment; commas
//! separate the elements of lists there.
//!
//! Invariants:
//! - An unknown key or variable is an error, because a misspelt limit would otherwise be ignored
//!   silently and found too late.
//! - All problems of all sources are reported at once, each with key, value and permitted values.
//! - The same kind of value has the same bounds in both programs ([`bounds`]).
//! - Reading opens the named file only, and neither binds nor creates anything.
//!
//! Deliberately absent: the keys themselves, and the syntax of the command line. Each program has
//! its own.

pub mod bounds;

mod error;
mod sources;

mod geo;
mod listeners;
mod metrics;

mod log_filter;
mod networks;

mod keys;

pub use error::ConfigError;
pub use geo::GeoConfig;
pub use keys::{ConfigEntry, Keys};
pub use listeners::{
    ListenerConfig, TlsConfig, declare_handshake_limit, listener_conflicts, listeners_or,
};
pub use metrics::MetricsConfig;
pub use sources::{ConfigSources, environment};

use std::collections::{BTreeMap, BTreeSet};

use sources::WrittenKeys;

/// A program's configuration: defaults, keys, and rules between keys.
pub trait Configuration: Default + Clone {
    /// Prefix of the program's environment variables, such as `COUPOND_`.
    const ENV_PREFIX: &'static str;

    /// Declares every key with its field. Keys without a section come first, then section by
    /// section, because a TOML file needs this order.
    fn declare_keys(&mut self, keys: &mut Keys);

    /// Violated rules between keys, each a sentence with the keys.
    fn conflicts(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Reads all sources.
///
/// # Errors
/// [`ConfigError::Problems`] with every problem of every source; another variant for an unreadable
/// file.
pub fn load<C: Configuration>(sources: &ConfigSources) -> Result<C, ConfigError> {
    let mut keys = Keys::reading(WrittenKeys::collect(sources, C::ENV_PREFIX)?);
    let mut config = C::default();
    config.declare_keys(&mut keys);
    let mut problems = keys.into_problems();
    problems.extend(config.conflicts());
    if problems.is_empty() {
        return Ok(config);
    }
    Err(ConfigError::Problems { file: sources.file.clone(), problems })
}

/// The configuration as an equivalent file with every key.
pub fn to_toml<C: Configuration>(config: &C) -> String {
    let mut keys = Keys::printing();
    config.clone().declare_keys(&mut keys);
    keys.into_text()
}

/// The keys whose values differ, in alphabetical order. A list of tables counts as one key.
pub fn changed_keys<C: Configuration>(old: &C, new: &C) -> Vec<String> {
    let (old, new) = (printed_keys(old), printed_keys(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

fn printed_keys<C: Configuration>(config: &C) -> BTreeMap<String, toml::Value> {
    // A printed configuration is valid TOML.
    sources::flat_keys(to_toml(config).parse().unwrap_or_default())
}

#[cfg(test)]
mod tests;
