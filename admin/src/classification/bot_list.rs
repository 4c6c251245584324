//! The bot list: patterns that match anywhere in the user agent, without case. A pattern that
//! begins with `!` names an exception, which is never a bot.
//!
//! No list is complete. A list that misses a bot counts one click too many; a list that is too wide
//! hides people. So patterns name programs, not words that names of telephones contain. The
//! built-in list is `bots.txt`; a network may have a list of its own.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::catalog::FieldError;

/// Most patterns of a list.
pub const MAX_PATTERNS: usize = 2_000;
/// Shortest pattern, in bytes: shorter ones occur in every user agent.
pub const MIN_PATTERN_BYTES: usize = 3;
/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 100;
/// Most bytes of all patterns together: the automaton takes some hundred times as much memory.
pub const MAX_BYTES: usize = 32 * 1024;
/// Begins a pattern of user agents that are never bots.
pub const NEVER: char = '!';
/// Number of cached lists.
const READY: usize = 4;

/// A compiled list.
#[derive(Debug)]
pub struct BotList {
    /// The patterns, one per line.
    text: String,
    bots: Option<AhoCorasick>,
    people: Option<AhoCorasick>,
}

static BUILT_IN: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("bots.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
});

/// The built-in patterns.
#[must_use]
pub fn built_in() -> &'static [&'static str] {
    &BUILT_IN
}

/// Validates a list; returns the problems.
///
/// # Errors
/// Every wrong pattern.
pub fn validate<S: AsRef<str>>(patterns: &[S]) -> Result<(), Vec<FieldError>> {
    let mut wrong = Vec::new();
    let mut tell = |field: String, error: String| wrong.push(FieldError { field, error });
    if patterns.len() > MAX_PATTERNS {
        let error = format!("has {} patterns; at most {MAX_PATTERNS} are possible", patterns.len());
        tell("patterns".into(), error);
        return Err(wrong);
    }
    let (mut bytes, mut known) = (0, HashSet::new());
    for (at, pattern) in patterns.iter().map(AsRef::as_ref).enumerate() {
        bytes += pattern.len();
        let problem = pattern_problem(pattern).or_else(|| {
            let is_new = known.insert(pattern.to_ascii_lowercase());
            (!is_new).then(|| "stands there twice; case makes no difference".into())
        });
        if let Some(problem) = problem {
            tell(format!("patterns[{at}]"), problem);
        }
    }
    if bytes > MAX_BYTES {
        let error =
            format!("the patterns have {bytes} bytes together; at most {MAX_BYTES} are possible");
        tell("patterns".into(), error);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The place of the pattern that decides about a user agent: the first exception that matches, else
/// the first other pattern. Serves explanations; [`BotList::has`] is quick.
#[must_use]
pub fn matching_pattern<S: AsRef<str>>(patterns: &[S], user_agent: &str) -> Option<usize> {
    let user_agent = user_agent.to_ascii_lowercase();
    let is_in = |pattern: &str| user_agent.contains(&pattern.to_ascii_lowercase());
    let patterns = || patterns.iter().map(AsRef::as_ref);
    let exception = patterns().position(|pattern| pattern.strip_prefix(NEVER).is_some_and(is_in));
    exception
        .or_else(|| patterns().position(|pattern| !pattern.starts_with(NEVER) && is_in(pattern)))
}

fn pattern_problem(pattern: &str) -> Option<String> {
    let searched = pattern.strip_prefix(NEVER).unwrap_or(pattern);
    let is_printable = |c: char| c.is_ascii_graphic() || c == ' ';
    if let Some(at) = searched.chars().position(|c| !is_printable(c)) {
        return Some(format!("has only printable ASCII characters; number {} is another", at + 1));
    }
    if searched.trim() != searched {
        return Some("remove the space before or after it".into());
    }
    match searched.len() {
        0..MIN_PATTERN_BYTES => {
            Some(format!("would fit too many; write at least {MIN_PATTERN_BYTES} characters"))
        }
        len if len > MAX_PATTERN_BYTES => {
            Some(format!("has {len} characters; at most {MAX_PATTERN_BYTES} are possible"))
        }
        _ => None,
    }
}

impl BotList {
    /// Compiles the list of these patterns, one per line. Recent lists are cached.
    #[must_use]
    pub fn compiled(text: &str) -> Arc<BotList> {
        static LATELY: Mutex<Vec<Arc<BotList>>> = Mutex::new(Vec::new());
        let mut lately = LATELY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lately.iter().find(|list| list.text == text) {
            return Arc::clone(found);
        }
        let list = Arc::new(BotList::build(text));
        if lately.len() == READY {
            lately.remove(0);
        }
        lately.push(Arc::clone(&list));
        list
    }

    fn build(text: &str) -> BotList {
        let (people, bots): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with(NEVER));
        let people: Vec<&str> = people.iter().map(|line| &line[NEVER.len_utf8()..]).collect();
        BotList { text: text.to_owned(), bots: automaton(&bots), people: automaton(&people) }
    }

    /// Whether a user agent belongs to a program.
    #[must_use]
    pub fn has(&self, user_agent: &[u8]) -> bool {
        let is_in = |list: &Option<AhoCorasick>| {
            list.as_ref().is_some_and(|patterns| patterns.is_match(user_agent))
        };
        is_in(&self.bots) && !is_in(&self.people)
    }
}

/// `None` only for too many patterns, which [`validate`] excludes.
fn automaton(patterns: &[&str]) -> Option<AhoCorasick> {
    let mut builder = AhoCorasick::builder();
    builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA));
    builder.build(patterns).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn built_in_has(user_agent: &str) -> bool {
        BotList::compiled(&built_in().join("\n")).has(user_agent.as_bytes())
    }

    proptest! {
        #[test]
        fn the_pattern_that_is_named_decides(
            patterns in proptest::collection::vec("!?[aAbB]{3,4}", 0..6),
            user_agent in "[aAbB]{0,12}",
        ) {
            let is_bot = BotList::build(&patterns.join("\n")).has(user_agent.as_bytes());
            let named = matching_pattern(&patterns, &user_agent).map(|at| &patterns[at]);
            prop_assert_eq!(is_bot, named.is_some_and(|pattern| !pattern.starts_with(NEVER)));
        }
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
            "Viber/20.3.0.3",
            "Mozilla/5.0 (Linux; Android 9) AppleWebKit/537.36 Chrome/88.0 Mobile Safari/537.36 Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)",
            "UptimeRobot/2.0",
            "curl/8.5.0",
            "Wget/1.21.3",
            "python-requests/2.31.0",
            "Go-http-client/2.0",
            "okhttp/4.12.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36",
        ] {
            assert!(built_in_has(user_agent), "{user_agent}");
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
            assert!(!built_in_has(user_agent), "{user_agent}");
        }
    }

    #[test]
    fn the_built_in_list_is_right() {
        assert_eq!(validate(built_in()), Ok(()));
    }

    #[test]
    fn a_list_is_its_patterns_in_any_case_less_those_that_are_never_bots() {
        let list = BotList::compiled("checker\n!CheckerPhone");
        assert!(list.has(b"My-CHECKER/1") && !list.has(b"My-Checker/1 (checkerphone 3)"));
        assert!(!list.has(b"curl/8") && !BotList::compiled("").has(b"curl/8"));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_told_by_pattern() {
        let long = "x".repeat(MAX_PATTERN_BYTES + 1);
        let wrong = validate(&[
            "bot/", "ab", "!ab", " bot", "b\u{f6}t", "BOT/", &long, "!bot/", "a\nbcd", "",
        ]);
        let wrong = wrong.unwrap_err();
        let fields: Vec<&str> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
        let expected = [1, 2, 3, 4, 5, 6, 8, 9].map(|at| format!("patterns[{at}]"));
        assert_eq!(fields, expected);
        assert_eq!(validate(&vec!["bot"; MAX_PATTERNS + 1]).unwrap_err()[0].field, "patterns");
    }

    #[test]
    fn the_largest_list_can_be_asked() {
        let largest: Vec<String> =
            (0..MAX_BYTES / MAX_PATTERN_BYTES).map(|at| format!("{at:->100}")).collect();
        assert_eq!(validate(&largest), Ok(()));
        let list = BotList::compiled(&largest.join("\n"));
        assert!(list.bots.is_some() && list.people.is_some());
        assert!(list.has(largest[200].as_bytes()) && !list.has(b"Mozilla/5.0"));
        let larger = [largest, vec!["one more".repeat(10)]].concat();
        assert_eq!(validate(&larger).unwrap_err()[0].field, "patterns");
    }

    proptest! {
        #[test]
        fn any_list_is_refused_or_knows_whom_its_patterns_name(
            patterns in proptest::collection::vec("!?[a-dA-D/ ]{0,6}|\\PC{0,8}", 0..12)
        ) {
            if validate(&patterns).is_ok() {
                let list = BotList::compiled(&patterns.join("\n"));
                let (people, bots): (Vec<_>, Vec<_>) =
                    patterns.iter().partition(|pattern| pattern.starts_with(NEVER));
                for bot in bots {
                    let user_agent = format!("Mozilla/5.0 ({})", bot.to_ascii_uppercase());
                    prop_assert!(list.has(user_agent.as_bytes()) || !people.is_empty());
                }
                for person in people {
                    prop_assert!(!list.has(person.as_bytes()));
                }
            }
        }
    }
}
