//! Languages of browsers, by country: official languages, and the languages of large minorities.
//! English is common everywhere.

/// By country in ascending order: ISO 3166-1 alpha-2, then ISO 639-1.
const SPOKEN: &[(&str, &str)] = &[
    ("AE", "ar hi ur ml fa bn tl"),
    ("AL", "sq it"),
    ("AM", "hy ru"),
    ("AR", "es"),
    ("AT", "de hr sr tr bs hu"),
    ("AU", "zh vi ar el it"),
    ("AZ", "az ru tr"),
    ("BA", "bs hr sr"),
    ("BD", "bn"),
    ("BE", "nl fr de"),
    ("BG", "bg tr"),
    ("BH", "ar hi ur ml"),
    ("BO", "es qu"),
    ("BR", "pt"),
    ("BY", "be ru"),
    ("CA", "fr zh pa es"),
    ("CH", "de fr it rm gsw pt sq"),
    ("CL", "es"),
    ("CN", "zh"),
    ("CO", "es"),
    ("CR", "es"),
    ("CU", "es"),
    ("CY", "el tr ru"),
    ("CZ", "cs sk uk vi ru"),
    ("DE", "de tr ru pl ar uk"),
    ("DK", "da"),
    ("DO", "es"),
    ("DZ", "ar fr kab"),
    ("EC", "es qu"),
    ("EE", "et ru"),
    ("EG", "ar"),
    ("ES", "es ca gl eu ro ar"),
    ("ET", "am om"),
    ("FI", "fi sv ru"),
    ("FR", "fr ar pt"),
    ("GB", "pl cy pa ur ro"),
    ("GE", "ka ru"),
    ("GH", "ak tw"),
    ("GR", "el sq"),
    ("GT", "es"),
    ("HK", "zh yue"),
    ("HN", "es"),
    ("HR", "hr sr"),
    ("HU", "hu"),
    ("ID", "id in ms jv su"),
    ("IE", "ga pl"),
    ("IL", "he iw ar ru"),
    ("IN", "hi bn te mr ta ur gu kn ml pa or as"),
    ("IQ", "ar ku ckb"),
    ("IR", "fa az ku"),
    ("IS", "is"),
    ("IT", "it de fr sl ro ar"),
    ("JO", "ar"),
    ("JP", "ja"),
    ("KE", "sw"),
    ("KG", "ky ru uz"),
    ("KH", "km"),
    ("KR", "ko"),
    ("KW", "ar hi ml"),
    ("KZ", "kk ru"),
    ("LB", "ar fr"),
    ("LK", "si ta"),
    ("LT", "lt ru pl"),
    ("LU", "lb fr de pt"),
    ("LV", "lv ru"),
    ("MA", "ar fr ber zgh"),
    ("MD", "ro ru uk mo"),
    ("ME", "sr bs sq hr"),
    ("MK", "mk sq"),
    ("MM", "my"),
    ("MN", "mn"),
    ("MT", "mt it"),
    ("MX", "es"),
    ("MY", "ms zh ta"),
    ("NG", "ha yo ig"),
    ("NI", "es"),
    ("NL", "nl fy tr pl"),
    ("NO", "nb no nn"),
    ("NP", "ne hi"),
    ("NZ", "mi zh hi"),
    ("OM", "ar"),
    ("PA", "es"),
    ("PE", "es qu"),
    ("PH", "tl fil ceb"),
    ("PK", "ur pa sd ps"),
    ("PL", "pl uk"),
    ("PR", "es"),
    ("PT", "pt"),
    ("PY", "es gn"),
    ("QA", "ar hi ml ur"),
    ("RO", "ro hu"),
    ("RS", "sr hu bs sq hr"),
    ("RU", "ru tt"),
    ("SA", "ar ur hi bn"),
    ("SE", "sv fi ar"),
    ("SG", "zh ms ta"),
    ("SI", "sl"),
    ("SK", "sk hu cs"),
    ("SV", "es"),
    ("TH", "th"),
    ("TN", "ar fr"),
    ("TR", "tr ku ar"),
    ("TW", "zh"),
    ("TZ", "sw"),
    ("UA", "uk ru"),
    ("UG", "sw lg"),
    ("US", "es zh"),
    ("UY", "es"),
    ("UZ", "uz ru"),
    ("VE", "es"),
    ("VN", "vi"),
    ("ZA", "af zu xh"),
];

/// Whether many people of the country set this language tag; `None` for other countries.
pub(super) fn is_spoken(country: &str, tag: &[u8]) -> Option<bool> {
    let at = SPOKEN.binary_search_by_key(&country, |(known, _)| *known).ok()?;
    let language = tag.split(|byte| matches!(byte, b'-' | b'_')).next().unwrap_or_default();
    let mut spoken = SPOKEN[at].1.split(' ').chain(["en"]);
    Some(spoken.any(|known| known.as_bytes().eq_ignore_ascii_case(language)))
}

#[cfg(test)]
mod tests {
    use coupon_rules::countries::Country;

    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_countries() {
        assert!(SPOKEN.is_sorted_by(|one, other| one.0 < other.0));
        assert!(SPOKEN.iter().all(|(code, _)| Country::find_by_code(code).is_some()));
    }

    #[test]
    fn a_narrower_tag_is_the_language_and_english_is_set_everywhere() {
        assert_eq!(is_spoken("DE", b"de-AT"), Some(true));
        assert_eq!(is_spoken("BR", b"PT-br"), Some(true));
        assert_eq!(is_spoken("DE", b"en-US"), Some(true));
        assert_eq!(is_spoken("DE", b"vi"), Some(false));
        assert_eq!(is_spoken("US", b"ru-RU"), Some(false));
        assert_eq!(is_spoken("AQ", b"de"), None);
    }
}
