//! Identifies user agents: bot or not, program and device.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use coupon_rules::agent::{Agent, Browser, ClientHints, Device, Platform};
use foldhash::fast::RandomState;

use super::bot_list::BotList;
use crate::catalog::{UnknownWord, WordSet};

/// Cached user agents; a full cache is cleared.
const REMEMBERED: usize = 50_000;

impl WordSet for Device {
    const WORDS: &'static [&'static str] =
        &["desktop", "mobile", "tablet", "console", "tv", "other"];

    fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
        Device::from_name(word).map(Device::as_str).ok_or_else(|| UnknownWord {
            found: word.into(),
            allowed: "`desktop` `mobile` `tablet` `console` `tv` `other`",
        })
    }
}

macro_rules! names_as_words {
    ($enum:ident) => {
        impl WordSet for $enum {
            const WORDS: &'static [&'static str] = $enum::NAMES;

            fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
                static ALLOWED: LazyLock<String> =
                    LazyLock::new(|| format!("`{}`", $enum::NAMES.join("` `")));
                $enum::from_name(word)
                    .map($enum::as_str)
                    .ok_or_else(|| UnknownWord { found: word.into(), allowed: &ALLOWED })
            }
        }
    };
}

names_as_words!(Platform);
names_as_words!(Browser);

/// Facts about a user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentifiedAgent {
    /// Whether it is on the bot list.
    pub is_bot: bool,
    /// Its program and device.
    pub agent: Agent,
}

/// Identifies a user agent, by this list of bots.
pub(super) fn identify(user_agent: &[u8], bots: &BotList) -> IdentifiedAgent {
    IdentifiedAgent { is_bot: bots.has(user_agent), agent: program(user_agent) }
}

/// Program and device of a user agent. Click records have no client hints.
pub(super) fn program(user_agent: &[u8]) -> Agent {
    Agent::identify(user_agent, &ClientHints::default())
}

/// Cache of recent user agents.
pub(super) struct AgentCache {
    bots: Arc<BotList>,
    known: HashMap<Box<[u8]>, IdentifiedAgent, RandomState>,
}

impl AgentCache {
    pub(super) fn new(bots: Arc<BotList>) -> AgentCache {
        AgentCache { bots, known: HashMap::default() }
    }

    pub(super) fn identify(&mut self, user_agent: &[u8]) -> IdentifiedAgent {
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
    fn every_device_is_a_word_of_reports() {
        assert_eq!(Device::WORDS.len(), Device::ALL.len());
        for device in Device::ALL {
            assert_eq!(Device::canonical(device.as_str()).unwrap(), device.as_str());
            assert!(Device::WORDS.contains(&device.as_str()));
        }
        assert_eq!(Device::canonical("TV").unwrap(), "tv");
        let error = Device::canonical("phone").unwrap_err();
        assert_eq!(error.allowed.replace('`', ""), Device::WORDS.join(" "));
    }

    #[test]
    fn platforms_and_browsers_are_words_of_reports() {
        assert_eq!(Platform::canonical("ios").unwrap(), "iOS");
        assert_eq!(Browser::canonical("SAMSUNG INTERNET").unwrap(), "Samsung Internet");
        let error = Browser::canonical("Netscape").unwrap_err();
        assert!(error.allowed.starts_with("`Chrome` `Safari` "), "{error}");
    }

    #[test]
    fn a_cached_agent_equals_an_identified_one() {
        let bots = BotList::compiled("curl/");
        let mut cache = AgentCache::new(Arc::clone(&bots));
        for _ in 0..2 {
            let bot = cache.identify(b"curl/8.9.1");
            assert_eq!(bot, identify(b"curl/8.9.1", &bots));
            assert!(bot.is_bot);
            let phone = b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile";
            assert_eq!(cache.identify(phone), identify(phone, &bots));
            assert_eq!(cache.identify(phone).agent.device, Device::Mobile);
        }
    }
}
