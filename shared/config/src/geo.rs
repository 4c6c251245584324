//! The keys of the databases that know the places of addresses, alike in both programs.

use std::path::PathBuf;

use coupon_geo::MAX_DATABASES;

use crate::keys::Keys;

/// Databases of places, in the order in which they answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoConfig {
    pub databases: Vec<PathBuf>,
}

impl GeoConfig {
    pub fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_paths("geo.databases", &mut self.databases);
    }

    /// Violated rules, each a sentence with the key.
    pub fn conflicts(&self) -> Vec<String> {
        let mut conflicts = Vec::new();
        let files = &self.databases;
        if files.len() > MAX_DATABASES {
            let count = files.len();
            conflicts.push(format!(
                "geo.databases: {count} files are named, at most {MAX_DATABASES} answer together"
            ));
        }
        let is_twice = |at: usize| files[..at].contains(&files[at]);
        if let Some(at) = (0..files.len()).find(|at| is_twice(*at)) {
            conflicts.push(format!("geo.databases: {} is named twice", files[at].display()));
        }
        conflicts
    }
}
