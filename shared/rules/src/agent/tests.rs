mod modern;

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use modern::KNOWN;

const NO_HINTS: ClientHints<'_> = ClientHints { platform: b"", mobile: b"" };
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const IPAD_AS_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
                           (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
const ANDROID_CHROME: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like \
                              Gecko) Chrome/143.0.0.0 Mobile Safari/537.36";
const LINUX_CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                            Chrome/143.0.0.0 Safari/537.36";

fn identify(user_agent: &str) -> Agent {
    Agent::identify(user_agent.as_bytes(), &NO_HINTS)
}

fn identify_with(user_agent: &str, platform: &str, mobile: &str) -> Agent {
    let hints = ClientHints { platform: platform.as_bytes(), mobile: mobile.as_bytes() };
    Agent::identify(user_agent.as_bytes(), &hints)
}

#[test]
fn modern_agents_are_identified() {
    for known in KNOWN {
        let expected = Agent {
            device: known.device,
            platform: known.platform,
            os_version: known.os_version.map(|(major, minor)| Version { major, minor }),
            browser: known.browser,
            brand: known.brand,
        };
        assert_eq!(identify(known.user_agent), expected, "{}", known.user_agent);
    }
}

#[test]
fn an_ipad_as_a_macintosh_is_a_macintosh() {
    let agent = identify(IPAD_AS_MAC);
    assert_eq!((agent.device, agent.platform), (Device::Desktop, Platform::MacOs));
    assert_eq!(agent.browser, Browser::Safari);
}

#[test]
fn hints_win_where_they_contradict_the_user_agent() {
    // Chrome on an Android phone or tablet, asking for the page of a computer.
    let phone = identify_with(LINUX_CHROME, "\"Android\"", "?1");
    assert_eq!((phone.device, phone.platform), (Device::Mobile, Platform::Android));
    let tablet = identify_with(LINUX_CHROME, "\"Android\"", "?0");
    assert_eq!((tablet.device, tablet.platform), (Device::Tablet, Platform::Android));
    let tablet = identify_with(ANDROID_CHROME, "\"Android\"", "?0");
    assert_eq!((tablet.device, tablet.platform), (Device::Tablet, Platform::Android));
    // A computer with the user agent of a phone.
    let computer = identify_with(IPHONE, "\"Windows\"", "?0");
    assert_eq!((computer.device, computer.platform), (Device::Desktop, Platform::Windows));
    assert_eq!((computer.os_version, computer.brand), (None, None));
    let chromebook = identify_with(LINUX_CHROME, "\"Chrome OS\"", "?0");
    assert_eq!((chromebook.device, chromebook.platform), (Device::Desktop, Platform::ChromeOs));
}

#[test]
fn hints_that_agree_or_say_nothing_change_nothing() {
    for (platform, mobile) in [
        ("\"Android\"", "?1"),
        (" \"Android\" ", " ?1 "),
        ("\"Android\"", ""),
        ("", "?1"),
        ("\"Unknown\"", "maybe"),
        ("Android", "1"),
        ("\"Not/A)Brand\"", "?2"),
        ("\"", "?"),
    ] {
        let agent = identify_with(ANDROID_CHROME, platform, mobile);
        assert_eq!(agent, identify(ANDROID_CHROME), "{platform} {mobile}");
    }
}

#[test]
fn the_hints_of_a_television_do_not_make_it_a_computer() {
    let television = "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/94.0.4606.128 Safari/537.36";
    assert_eq!(identify_with(television, "\"Linux\"", "?0"), identify(television));
}

#[test]
fn an_agent_of_8_kilobytes_is_read_up_to_its_bound() {
    let filler = "x".repeat(MAX_AGENT_BYTES - IPHONE.len());
    assert_eq!(identify(&format!("{IPHONE}{filler}")).platform, Platform::Ios);
    let long = format!("{}{IPHONE}", "x".repeat(8192));
    assert_eq!(identify(&long), identify(""), "the names stand behind the bound");
    let tokens = "Android ".repeat(1000);
    assert_eq!(identify(&tokens).platform, Platform::Android);
}

#[test]
fn an_agent_cut_within_its_name_is_unknown() {
    let cut = format!("{}iPho", "x".repeat(MAX_AGENT_BYTES - 4));
    assert_eq!(identify(&format!("{cut}ne")).platform, Platform::Other);
}

#[test]
fn bytes_that_are_no_text_do_not_hide_the_device() {
    let mut agent = b"\xff\xfe\x00(".to_vec();
    agent.extend_from_slice(IPHONE.as_bytes());
    agent.extend_from_slice(b"\xc3\x28");
    let found = Agent::identify(&agent, &NO_HINTS);
    assert_eq!((found.device, found.platform), (Device::Mobile, Platform::Ios));
}

#[test]
fn the_version_of_the_system_is_none_where_it_is_no_small_number() {
    for (version, expected) in [
        ("Android 14", Some((14, 0))),
        ("Android 4.4.2", Some((4, 4))),
        ("Android 300", None),
        ("Android 99999999999999999999", None),
        ("Android 14.99999", None),
        ("Android x", None),
        ("Android ", None),
        ("Android 10; K)", None),
        ("Android 10; K20 Pro)", Some((10, 0))),
    ] {
        let found = identify(&format!("Mozilla/5.0 (Linux; {version}")).os_version;
        assert_eq!(found.map(|v| (v.major, v.minor)), expected, "{version}");
    }
    assert!(Version { major: 9, minor: 1 } < Version { major: 10, minor: 0 });
    assert_eq!(Version { major: 17, minor: 5 }.to_string(), "17.5");
}

/// Names and numbers stand in catalogs, rules and stored counts.
#[test]
fn numbers_and_names_are_distinct_and_lead_back() {
    macro_rules! check {
        ($($enum:ident),*) => {$(
            let numbers: HashSet<u8> = $enum::ALL.iter().map(|value| value.number()).collect();
            let names: HashSet<_> =
                $enum::NAMES.iter().map(|name| name.to_ascii_lowercase()).collect();
            assert_eq!((numbers.len(), names.len()), ($enum::ALL.len(), $enum::ALL.len()));
            for (value, name) in $enum::ALL.iter().zip($enum::NAMES) {
                assert_eq!($enum::from_number(value.number()), Some(*value));
                assert_eq!($enum::from_name(name), Some(*value));
                assert_eq!($enum::from_name(&name.to_ascii_uppercase()), Some(*value));
                assert_eq!(value.as_str(), *name);
            }
            assert_eq!($enum::from_number(0), None);
            assert_eq!($enum::from_name("Nobody's"), None);
        )*};
    }
    check!(Device, Platform, Browser, Brand);
    for device in Device::ALL {
        assert_eq!(Device::from_everflow_name(device.everflow_name()), Some(*device));
    }
    let everflow = [Device::Desktop as u8, Device::Tv as u8, Platform::Android as u8];
    assert_eq!(everflow, [1, 6, 1]);
    assert_eq!((Platform::Ios as u8, Platform::Nintendo as u8), (2, 22));
}

/// A token behind a token of the same fact that is part of it would never count.
#[test]
fn every_token_can_be_the_first_of_its_fact() {
    fn check<T: std::fmt::Debug + PartialEq>(tokens: &[(&str, T)]) {
        for (at, (token, value)) in tokens.iter().enumerate() {
            let hiding = tokens[..at].iter().find(|(earlier, _)| token.contains(earlier));
            assert!(hiding.is_none(), "{token} {value:?} is hidden by {hiding:?}");
        }
    }
    check(device::TOKENS);
    check(platform::TOKENS);
    check(browser::TOKENS);
    check(brand::TOKENS);
}

#[test]
fn a_cached_agent_equals_an_identified_one() {
    let mut recent = RecentAgents::default();
    for _ in 0..3 {
        for known in KNOWN {
            let cached = recent.identify(known.user_agent.as_bytes(), &NO_HINTS);
            assert_eq!(cached, identify(known.user_agent));
        }
    }
    let hints = ClientHints { platform: b"\"Android\"", mobile: b"?1" };
    let phone = recent.identify(LINUX_CHROME.as_bytes(), &hints);
    assert_eq!(phone.platform, Platform::Android, "hints are part of the key");
    let computer = recent.identify(LINUX_CHROME.as_bytes(), &NO_HINTS);
    assert_eq!(computer.platform, Platform::Linux);
}

#[test]
fn more_agents_than_the_cache_holds_are_still_right() {
    let mut recent = RecentAgents::default();
    for round in 0..2 {
        for number in 0..5_000_u32 {
            let version = number % 200 + 1;
            let agent = format!("Mozilla/5.0 (Linux; Android {version}; {number})");
            let found = recent.identify(agent.as_bytes(), &NO_HINTS).os_version;
            assert_eq!(found.map(|v| u32::from(v.major)), Some(version), "{round} {number}");
        }
    }
}

/// Bytes with many beginnings of tokens.
fn agent_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(KNOWN).prop_map(|known| known.user_agent.as_bytes().to_vec()),
        prop::sample::select(version::TOKENS.as_slice()).prop_map(|token| token.into()),
        prop::sample::select(brand::TOKENS).prop_map(|(token, _)| token.into()),
        prop::collection::vec(any::<u8>(), 0..20),
        "[0-9._/;() ]{0,12}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(word, 0..8).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_some_agent(
        agent in agent_like(),
        platform: Vec<u8>,
        mobile: Vec<u8>,
    ) {
        let hints = ClientHints { platform: &platform, mobile: &mobile };
        let found = Agent::identify(&agent, &hints);
        prop_assert_eq!(found, Agent::identify(&agent, &hints));
        prop_assert_eq!(found, RecentAgents::default().identify(&agent, &hints));
        let cut = &agent[..agent.len().min(MAX_AGENT_BYTES)];
        prop_assert_eq!(found, Agent::identify(cut, &hints));
    }
}
