//! Each comparison against texts that are there, absent and unknown.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::agent::{Agent, ClientHints};
use crate::place::{Isp, Place};

/// A visit with one text for every variable, from Germany.
pub(crate) struct WithText<'a>(pub &'a str);

impl VisitorFacts for WithText<'_> {
    fn address(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn look_up_place(&self, _wanted: PlaceParts) -> Place<'_> {
        Place { country: "DE", isp: Isp { asn: 3320, name: "" }, ..Place::default() }
    }

    fn agent(&self) -> Agent {
        Agent::identify(b"", &ClientHints::default())
    }

    fn language(&self) -> Option<&[u8]> {
        None
    }

    fn request_text(&self, _variable: Variable) -> &[u8] {
        self.0.as_bytes()
    }

    fn dice(&self, _offer: u32) -> u64 {
        unreachable!("no comparison draws")
    }
}

fn holds(comparison: Comparison, values: &[&str], text: &str) -> bool {
    let matching = TextMatch::new(comparison, values.iter().copied());
    matching.check().unwrap();
    matching.holds(Variable::Sub1, &WithText(text))
}

#[test]
fn each_comparison_ignores_the_case_of_ascii_letters() {
    use Comparison::*;
    let values = ["Bad", "worse"];
    for (comparison, matching, others) in [
        (ExactMatch, vec!["bad", "BAD", "Worse"], vec!["", "bad1", "xbad", "ba"]),
        (DoesNotMatch, vec!["", "bad1", "xbad", "ba"], vec!["bad", "BAD", "Worse"]),
        (Contains, vec!["bad", "a BaD one", "xworse"], vec!["", "ba", "b ad"]),
        (DoesNotContain, vec!["", "ba", "b ad"], vec!["bad", "a BaD one", "xworse"]),
        (StartsWith, vec!["bad", "Badly", "worse!"], vec!["", "a bad", "ba"]),
        (EndsWith, vec!["bad", "so BAD", "xworse"], vec!["", "bad!", "ad"]),
        (NotPresent, vec![""], vec!["bad", " "]),
        (Anything, vec!["", "x"], vec![]),
    ] {
        for text in matching {
            assert!(holds(comparison, &values, text), "{comparison:?} {text}");
        }
        for text in others {
            assert!(!holds(comparison, &values, text), "{comparison:?} {text}");
        }
    }
}

#[test]
fn facts_about_the_visitor_are_compared_in_words() {
    let visit = WithText("https://user@Shop.example.:8080/path?x");
    let exactly = |value| TextMatch::new(Comparison::ExactMatch, [value]);
    assert!(exactly("germany").holds(Variable::CountryName, &visit));
    assert!(exactly("3320").holds(Variable::Asn, &visit));
    assert!(exactly("shop.example").holds(Variable::RefererHost, &visit));
    assert!(!exactly("332").holds(Variable::Asn, &visit));
    // Nothing holds for an unknown language, not even what it is not.
    let not_english = TextMatch::new(Comparison::DoesNotMatch, ["en"]);
    assert!(!not_english.holds(Variable::Language, &visit));
}

#[test]
fn the_host_of_a_page_is_found_in_its_address() {
    for (url, host) in [
        ("https://a.example/x", "a.example"),
        ("http://a.example:81?x", "a.example"),
        ("https://evil@a.example#", "a.example"),
        ("https://a.example\\@evil/", "a.example"),
        ("https://[::1]:8080/", "[::1]:8080"),
        ("android-app://com.example", "com.example"),
        ("about:blank", ""),
        ("", ""),
    ] {
        assert_eq!(host_of_url(url.as_bytes()), host.as_bytes(), "{url}");
    }
}

#[test]
fn values_that_no_text_can_have_are_refused() {
    let of = |value: &str| TextMatch::new(Comparison::Contains, [value]).check();
    assert!(of("").is_err());
    assert!(of(&"x".repeat(MAX_VALUE_LEN + 1)).is_err());
    assert_eq!(of(&"x".repeat(MAX_VALUE_LEN)), Ok(()));
}

proptest! {
    #[test]
    fn digits_are_those_of_the_number(number in 1..=u32::MAX) {
        let digits = Digits::new(number);
        let expected = number.to_string();
        prop_assert_eq!(digits.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn a_positive_comparison_is_the_opposite_of_its_negative(
        values in proptest::collection::vec("[a-cA-C]{1,3}", 1..6), text in "[a-cA-C]{0,5}",
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        for (positive, negative) in [
            (Comparison::ExactMatch, Comparison::DoesNotMatch),
            (Comparison::Contains, Comparison::DoesNotContain),
        ] {
            prop_assert_ne!(holds(positive, &values, &text), holds(negative, &values, &text));
        }
    }
}
