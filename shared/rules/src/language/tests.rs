use super::*;
use proptest::prelude::*;

fn preferred_text(header: &str) -> Option<&str> {
    preferred(header.as_bytes()).map(|tag| std::str::from_utf8(tag).unwrap())
}

#[test]
fn the_heaviest_tag_is_preferred_and_the_first_on_a_tie() {
    for (header, expected) in [
        ("de-AT,en;q=0.8", Some("de-AT")),
        ("en,de;q=0.9", Some("en")),
        ("en;q=0.8, de", Some("de")),
        ("fr;q=0.5,de;q=0.50,en;q=0.500", Some("fr")),
        ("fr;q=0.5,de;q=0.501", Some("de")),
        ("pt-br", Some("pt-br")),
        ("zh-Hant-TW, zh;q=0.9", Some("zh-Hant-TW")),
        (" \tde ; q = 0.7 ,en;q=0.3", Some("de")),
        ("de_DE", Some("de_DE")),
        ("en; Q=0.1, de;q=0.2;level=1", Some("de")),
        ("de, *;q=0.5", Some("de")),
        ("*;q=0.5, de;q=0.1", None),
        ("*", None),
        ("", None),
        (",,;,", None),
        ("de;q=0", None),
        ("de;q=0, en;q=0.001", Some("en")),
        ("de;q=2, en;q=0.1", Some("en")),
        ("de;q=0.1234, en;q=0.1", Some("en")),
        ("de;q=1.001, en;q=0.1", Some("en")),
        ("de;q=x, en;q=0.1", Some("en")),
        ("<script>, en;q=0.1", Some("en")),
        ("12-de", None),
        ("deutschland, en;q=0.1", Some("en")),
    ] {
        assert_eq!(preferred_text(header), expected, "{header}");
    }
}

#[test]
fn a_header_of_8_kilobytes_is_read_up_to_its_bound() {
    let long = "xx-aaaa;q=0.5,".repeat(600);
    assert_eq!(preferred_text(&long), Some("xx-aaaa"));
    assert_eq!(preferred_text(&format!("{long}de")), Some("xx-aaaa"), "behind the bound");
    assert_eq!(preferred_text(&"x".repeat(8192)), None);
}

#[test]
fn a_range_that_the_bound_cuts_does_not_count() {
    let filled = |rest: &str| {
        let filler = "en;q=0.5,".repeat(60);
        format!("{}{rest}", &filler[..MAX_HEADER_BYTES - 8])
    };
    // `filler` ends within a range; the comma begins the next one.
    assert_eq!(preferred_text(&filled(",de-AT")), Some("de-AT"), "it ends before the bound");
    assert_eq!(preferred_text(&filled(",de-AT-x")), Some("de-AT-x"), "it ends at the bound");
    assert_eq!(preferred_text(&filled(",de-AT-x,en")), Some("de-AT-x"), "a comma follows");
    assert_eq!(preferred_text(&filled(",de-AT-xyz")), Some("en"), "it was cut");
}

#[test]
fn a_wanted_language_has_narrower_ones_and_no_wider_ones() {
    for (tag, wanted, expected) in [
        ("de", "de", true),
        ("de-AT", "de", true),
        ("DE-at", "de", true),
        ("de_AT", "de-at", true),
        ("pt-BR", "pt-BR", true),
        ("pt-br", "pt-BR", true),
        ("pt-PT", "pt-BR", false),
        ("pt", "pt-BR", false),
        ("den", "de", false),
        ("zh-Hant-TW", "zh-Hant", true),
        ("zh-TW", "zh-Hant", false),
        ("de", "", false),
        ("", "de", false),
    ] {
        assert_eq!(matches(tag.as_bytes(), wanted.as_bytes()), expected, "{tag} for {wanted}");
    }
}

proptest! {
    #[test]
    fn any_bytes_have_a_tag_of_their_own_or_none(header: Vec<u8>, wanted: Vec<u8>) {
        if let Some(tag) = preferred(&header) {
            prop_assert!(header.windows(tag.len()).any(|bytes| bytes == tag));
            prop_assert!(matches(tag, tag));
        }
        let is_narrower = matches(&header, &wanted);
        prop_assert!(!is_narrower || header.len() >= wanted.len());
    }

    #[test]
    fn any_list_of_ranges_prefers_its_heaviest(
        ranges in prop::collection::vec(("[a-z]{2}", 1_u16..=1000), 1..20),
    ) {
        let header: Vec<String> = ranges
            .iter()
            .map(|(tag, weight)| format!("{tag};q={}.{:03}", weight / 1000, weight % 1000))
            .collect();
        let highest = ranges.iter().map(|range| range.1).max().unwrap();
        let expected = ranges.iter().find(|range| range.1 == highest).unwrap();
        let header = header.join(",");
        prop_assert_eq!(preferred_text(&header), Some(expected.0.as_str()));
    }
}
