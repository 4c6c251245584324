//! Rules on the version of the operating system.
//!
//! An entry binds only visitors of its platform. Most of them hide their version: Chrome reports
//! `Android 10; K` everywhere, Windows 11 calls itself 10, macOS stays at 10.15.7. If such a
//! visitor were refused, a rule for new devices would refuse nearly all of them. So an unknown
//! version passes.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Refusal, Verdict};
use crate::agent::{Agent, Platform, Version};

/// Entries of any platforms.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions(pub Vec<VersionEntry>);

/// A rule on the versions of a platform.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// Number of [`crate::agent::Platform`].
    pub platform: u8,
    pub comparison: VersionComparison,
    pub major: u8,
    /// `None` stands for any.
    pub minor: Option<u8>,
    /// Whether matching visitors pass or are refused.
    pub includes: bool,
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionComparison {
    Minimum,
    Maximum,
    Exact,
}

impl VersionEntry {
    /// Whether the version is in the entry's range.
    fn matches(&self, version: Version) -> bool {
        let found = (version.major, version.minor);
        match self.comparison {
            VersionComparison::Minimum => found >= (self.major, self.minor.unwrap_or(0)),
            VersionComparison::Maximum => found <= (self.major, self.minor.unwrap_or(u8::MAX)),
            VersionComparison::Exact => {
                self.major == version.major && self.minor.is_none_or(|minor| minor == version.minor)
            }
        }
    }

    fn is_bound(&self) -> bool {
        self.comparison != VersionComparison::Exact
    }
}

impl Versions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn verdict(&self, agent: &Agent) -> Verdict {
        if agent.platform == Platform::Other {
            return Verdict::PassedUnknown;
        }
        let platform = agent.platform as u8;
        let of_platform = || self.0.iter().filter(move |entry| entry.platform == platform);
        if of_platform().next().is_none() {
            return Verdict::Passed;
        }
        let Some(version) = agent.os_version else { return Verdict::PassedUnknown };
        let includes = || of_platform().filter(|entry| entry.includes);
        let is_excluded = of_platform().any(|entry| !entry.includes && entry.matches(version));
        // A minimum and a maximum are one range, and each exact version is one more.
        let is_in_range = includes().any(VersionEntry::is_bound)
            && includes().filter(|entry| entry.is_bound()).all(|entry| entry.matches(version));
        let is_included = is_in_range
            || includes().any(|entry| !entry.is_bound() && entry.matches(version))
            || includes().next().is_none();
        match is_included && !is_excluded {
            true => Verdict::Passed,
            false => Verdict::Refused(Refusal::OsVersion),
        }
    }
}
