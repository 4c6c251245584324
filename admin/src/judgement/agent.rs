//! What a user agent is: a bot or not, and on what device.
//!
//! Bots are known by the patterns of `bots.txt`: text anywhere in the user agent, in any case. No
//! list is complete; one that misses a bot counts a click too many, one that is too wide hides
//! people. So patterns name programs, not words that names of telephones have in them.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use foldhash::fast::RandomState;

/// User agents that are remembered; then all are forgotten, and looked at again.
const REMEMBERED: usize = 50_000;

/// What a visit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A computer.
    Desktop,
    /// A telephone.
    Mobile,
    /// A tablet.
    Tablet,
    /// Anything else, or nothing that says so.
    Other,
}

impl Device {
    /// As reports name it.
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

/// What a user agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) is_bot: bool,
    pub(super) device: Device,
}

/// The patterns; lines after `!` are never a bot's.
struct Patterns {
    bots: Option<AhoCorasick>,
    people: Option<AhoCorasick>,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let (people, bots): (Vec<&str>, Vec<&str>) =
        patterns(include_str!("bots.txt")).partition(|line| line.starts_with('!'));
    Patterns {
        bots: automaton(bots.into_iter()),
        people: automaton(people.into_iter().map(|line| &line[1..])),
    }
});

fn patterns(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// None only where the list is too large to be built, which a test excludes.
fn automaton<'a>(patterns: impl Iterator<Item = &'a str>) -> Option<AhoCorasick> {
    let mut builder = AhoCorasick::builder();
    builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA));
    builder.build(patterns).ok()
}

/// What a user agent is.
pub(super) fn of(user_agent: &[u8]) -> Agent {
    let is_in = |list: &Option<AhoCorasick>| {
        list.as_ref().is_some_and(|patterns| patterns.is_match(user_agent))
    };
    let is_bot = is_in(&PATTERNS.bots) && !is_in(&PATTERNS.people);
    Agent { is_bot, device: device(user_agent) }
}

/// What names each device; the first line that fits counts. A tablet with Android is one that does
/// not say that it is mobile.
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

fn device(user_agent: &[u8]) -> Device {
    let has = |name: &str| user_agent.windows(name.len()).any(|part| part == name.as_bytes());
    let found = DEVICES.iter().find(|(name, _)| has(name));
    found.map_or(Device::Other, |(_, device)| *device)
}

/// The user agents that were looked at last.
#[derive(Default)]
pub(super) struct Agents(HashMap<Box<[u8]>, Agent, RandomState>);

impl Agents {
    pub(super) fn of(&mut self, user_agent: &[u8]) -> Agent {
        if let Some(agent) = self.0.get(user_agent) {
            return *agent;
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let agent = of(user_agent);
        self.0.insert(user_agent.into(), agent);
        agent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bot(user_agent: &str) -> bool {
        of(user_agent.as_bytes()).is_bot
    }

    #[test]
    fn programs_that_fetch_links_are_bots() {
        for user_agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "WhatsApp/2.23.20.0",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Twitterbot/1.0",
            "TelegramBot (like TwitterBot)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
            "UptimeRobot/2.0",
            "curl/8.5.0",
            "Wget/1.21.3",
            "python-requests/2.31.0",
            "Go-http-client/2.0",
            "okhttp/4.12.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36",
        ] {
            assert!(is_bot(user_agent), "{user_agent}");
        }
    }

    #[test]
    fn people_are_not() {
        for user_agent in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; CUBOT X20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/470.0.0]",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 340.0.0",
            "",
        ] {
            assert!(!is_bot(user_agent), "{user_agent}");
        }
    }

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
            assert_eq!(of(user_agent.as_bytes()).device, expected, "{user_agent}");
        }
    }

    #[test]
    fn the_list_is_sound() {
        assert!(PATTERNS.bots.is_some() && PATTERNS.people.is_some());
        let lines: Vec<&str> = patterns(include_str!("bots.txt")).collect();
        for line in &lines {
            let pattern = line.trim_start_matches('!');
            assert!(
                pattern.len() > 2 && pattern.trim() == pattern,
                "{line:?} would match too much"
            );
        }
        let distinct: std::collections::HashSet<_> = lines.iter().collect();
        assert_eq!(distinct.len(), lines.len(), "a line stands twice");
    }
}
