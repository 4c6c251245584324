//! Identifies user agents: bot or not, and device.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::bot_list::BotList;
use crate::catalog::{UnknownWord, WordSet};

/// Cached user agents; a full cache is cleared.
const REMEMBERED: usize = 50_000;

/// Device of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A computer.
    Desktop,
    /// A telephone.
    Mobile,
    /// A tablet.
    Tablet,
    /// Another or an unknown device.
    Other,
}

impl Device {
    /// Name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Device::Desktop => "desktop",
            Device::Mobile => "mobile",
            Device::Tablet => "tablet",
            Device::Other => "other",
        }
    }
}

impl WordSet for Device {
    const WORDS: &'static [&'static str] = &["desktop", "mobile", "tablet", "other"];

    fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
        let known = Self::WORDS.iter().copied().find(|known| known.eq_ignore_ascii_case(word));
        known.ok_or_else(|| UnknownWord {
            found: word.into(),
            allowed: "`desktop` `mobile` `tablet` `other`",
        })
    }
}

/// Facts about a user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Whether it is on the bot list.
    pub is_bot: bool,
    /// Its device.
    pub device: Device,
}

/// Identifies a user agent by this list.
pub(super) fn identify(user_agent: &[u8], bots: &BotList) -> Agent {
    Agent { is_bot: bots.has(user_agent), device: device(user_agent) }
}

/// Markers of devices; the first match counts. An Android tablet lacks the word "mobile".
const DEVICES: [(&str, Device); 17] = [
    ("iPad", Device::Tablet),
    ("Tablet", Device::Tablet),
    ("Kindle", Device::Tablet),
    ("Silk/", Device::Tablet),
    ("PlayBook", Device::Tablet),
    ("iPhone", Device::Mobile),
    ("iPod", Device::Mobile),
    ("Mobi", Device::Mobile),
    ("Windows Phone", Device::Mobile),
    ("Opera Mini", Device::Mobile),
    ("TV", Device::Other),
    ("Android", Device::Tablet),
    ("Windows NT", Device::Desktop),
    ("Macintosh", Device::Desktop),
    ("CrOS", Device::Desktop),
    ("X11", Device::Desktop),
    ("Linux x86_64", Device::Desktop),
];

/// Device of a user agent.
pub(super) fn device(user_agent: &[u8]) -> Device {
    let has = |name: &str| user_agent.windows(name.len()).any(|part| part == name.as_bytes());
    let found = DEVICES.iter().find(|(name, _)| has(name));
    found.map_or(Device::Other, |(_, device)| *device)
}

/// Cache of recent user agents.
pub(super) struct AgentCache {
    bots: Arc<BotList>,
    known: HashMap<Box<[u8]>, Agent, RandomState>,
}

impl AgentCache {
    pub(super) fn new(bots: Arc<BotList>) -> AgentCache {
        AgentCache { bots, known: HashMap::default() }
    }

    pub(super) fn identify(&mut self, user_agent: &[u8]) -> Agent {
        if let Some(agent) = self.known.get(user_agent) {
            return *agent;
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let agent = identify(user_agent, &self.bots);
        self.known.insert(user_agent.into(), agent);
        agent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_what_the_user_agent_names() {
        for (user_agent, expected) in [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0", Device::Desktop),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1", Device::Desktop),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/126.0", Device::Desktop),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile", Device::Mobile),
            ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0 Mobile", Device::Mobile),
            ("Mozilla/5.0 (Linux; Android 13; SM-X200) Chrome/126.0 Safari", Device::Tablet),
            ("Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) Mobile/15E148", Device::Tablet),
            ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit", Device::Other),
            ("", Device::Other),
        ] {
            assert_eq!(device(user_agent.as_bytes()), expected, "{user_agent}");
        }
    }
}
