//! The automaton that finds all tokens in one pass.
//!
//! Each byte costs one transition, whatever the number of tokens; tokens may overlap, and a text
//! may be a token of several facts. The pass keeps the first token of each fact by precedence, not
//! by position, so the order of the words in a user agent does not matter.

use std::sync::LazyLock;

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};

use super::{Brand, Browser, Device, Platform, brand, browser, device, platform, version};

/// A fact and the place in its table, for each pattern of the automaton.
struct Scanner {
    automaton: DFA,
    meanings: Vec<(Fact, u8)>,
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    Device,
    Platform,
    Browser,
    Brand,
    Version,
}

const NOT_FOUND: u8 = u8::MAX;
const _: () = {
    assert!(device::TOKENS.len() < NOT_FOUND as usize);
    assert!(platform::TOKENS.len() < NOT_FOUND as usize);
    assert!(browser::TOKENS.len() < NOT_FOUND as usize);
    assert!(brand::TOKENS.len() < NOT_FOUND as usize);
};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let tokens: [(Fact, Vec<&str>); 5] = [
        (Fact::Device, device::TOKENS.iter().map(|(token, _)| *token).collect()),
        (Fact::Platform, platform::TOKENS.iter().map(|(token, _)| *token).collect()),
        (Fact::Browser, browser::TOKENS.iter().map(|(token, _)| *token).collect()),
        (Fact::Brand, brand::TOKENS.iter().map(|(token, _)| *token).collect()),
        (Fact::Version, version::TOKENS.to_vec()),
    ];
    let meanings = tokens.iter().flat_map(|(fact, of_fact)| {
        (0..of_fact.len()).map(|at| (*fact, u8::try_from(at).unwrap_or(NOT_FOUND)))
    });
    let automaton = DFA::builder()
        .match_kind(MatchKind::Standard)
        .build(tokens.iter().flat_map(|(_, of_fact)| of_fact));
    Scanner {
        meanings: meanings.collect(),
        // The tokens are constants, so this depends on no input.
        automaton: automaton.expect("the tokens fit into an automaton"),
    }
});

/// The first token of each fact, as a place in its table.
pub(super) struct Found {
    device: u8,
    platform: u8,
    browser: u8,
    brand: u8,
    /// For each token before a version, where the version begins; 0 if the token is absent.
    versions: [u16; version::TOKENS.len()],
}

/// Finds the tokens of a user agent of at most [`super::MAX_AGENT_BYTES`].
pub(super) fn find(user_agent: &[u8]) -> Found {
    let Scanner { automaton, meanings } = &*SCANNER;
    let mut found = Found {
        device: NOT_FOUND,
        platform: NOT_FOUND,
        browser: NOT_FOUND,
        brand: NOT_FOUND,
        versions: [0; version::TOKENS.len()],
    };
    // The automaton supports this search, as an unanchored one is its default.
    let Ok(mut state) = automaton.start_state(Anchored::No) else { return found };
    for (at, byte) in user_agent.iter().enumerate() {
        state = automaton.next_state(Anchored::No, state, *byte);
        if automaton.is_special(state) && automaton.is_match(state) {
            for number in 0..automaton.match_len(state) {
                let (fact, place) = meanings[automaton.match_pattern(state, number).as_usize()];
                found.note(fact, place, at + 1);
            }
        }
    }
    found
}

impl Found {
    #[inline]
    fn note(&mut self, fact: Fact, place: u8, end: usize) {
        match fact {
            Fact::Device => self.device = self.device.min(place),
            Fact::Platform => self.platform = self.platform.min(place),
            Fact::Browser => self.browser = self.browser.min(place),
            Fact::Brand => self.brand = self.brand.min(place),
            Fact::Version => {
                let begins = &mut self.versions[usize::from(place)];
                if *begins == 0 {
                    *begins = end as u16;
                }
            }
        }
    }

    /// Place in the user agent where the version after this token begins.
    pub(super) fn version_after(&self, token: usize) -> Option<usize> {
        Some(usize::from(self.versions[token])).filter(|begins| *begins > 0)
    }

    pub(super) fn platform(&self) -> Platform {
        platform::TOKENS.get(usize::from(self.platform)).map_or(Platform::Other, |found| found.1)
    }

    pub(super) fn device(&self, user_agent: &[u8]) -> Device {
        match device::TOKENS.get(usize::from(self.device)) {
            // Apps that fetch a page without showing it do not say whether the device is mobile.
            Some((device::ANDROID, _)) if !user_agent.starts_with(b"Mozilla/") => Device::Mobile,
            Some((_, device)) => *device,
            None => Device::Other,
        }
    }

    pub(super) fn browser(&self, platform: Platform) -> Browser {
        let Some((token, browser)) = browser::TOKENS.get(usize::from(self.browser)) else {
            return Browser::Other;
        };
        let is_apple = matches!(platform, Platform::Ios | Platform::MacOs);
        match *token {
            browser::SAFARI if platform == Platform::Android => Browser::AndroidBrowser,
            browser::SAFARI if !is_apple => Browser::Other,
            browser::WEBKIT if !is_apple => Browser::Other,
            _ => *browser,
        }
    }

    pub(super) fn brand(&self) -> Option<Brand> {
        brand::TOKENS.get(usize::from(self.brand)).map(|found| found.1)
    }
}
