//! Texts under the names of further values, as conversions keep them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Texts by name; only those that are not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FurtherTexts(BTreeMap<String, String>);

impl FurtherTexts {
    /// The text under a name; empty without one.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// All texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'n> FromIterator<(&'n str, String)> for FurtherTexts {
    fn from_iter<I: IntoIterator<Item = (&'n str, String)>>(texts: I) -> FurtherTexts {
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        FurtherTexts(texts.map(|(name, text)| (name.to_owned(), text)).collect())
    }
}
