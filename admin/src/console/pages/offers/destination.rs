//! The meaning of macros, and an example of a destination with values.

/// A macro with a value at the time of a click.
pub(super) struct MacroHelp {
    /// The macro as written, such as `{sub1}`.
    pub(super) written: &'static str,
    pub(super) meaning: &'static str,
    /// An encoded value.
    pub(super) example: &'static str,
}

const fn help(written: &'static str, meaning: &'static str, example: &'static str) -> MacroHelp {
    MacroHelp { written, meaning, example }
}

/// The macros with a value at the time of a click.
pub(super) const MACROS: &[MacroHelp] = &[
    help(
        "{transaction_id}",
        "The click's id; the shop sends it back with the sale",
        "0192f0c1d2e37405a6b7c8d9eaf00112",
    ),
    help("{coupon_code}", "The code as the visitor typed it", "WINTER25"),
    help("{offer_id}", "The number of the offer", "3"),
    help("{affiliate_id}", "The number of the partner", "7"),
    help("{advertiser_id}", "The number of the advertiser", "1"),
    help("{network_id}", "The number of the network", "1"),
    help("{source_id}", "The source that the link names", "newsletter"),
    help("{sub1}", "The first part that the partner adds to the link", "story"),
    help("{sub2}", "The second part", "december"),
    help("{sub3}", "The third part", "a"),
    help("{sub4}", "The fourth part", "b"),
    help("{sub5}", "The fifth part", "c"),
    help("{sub6}", "The sixth part; the link can have ten", "d"),
    help("{offer_url_id}", "The number of the URL that the link asked for, if it got it", "4"),
    help("{uid}", "The visitor's id, if the link names one", "user-17"),
    help("{timestamp}", "The time of the click in Unix seconds", "1796169600"),
    help("{adv1}", "The shop's own field of a click; ten are possible", "cart-9"),
    help("{gclid}", "Google's id of a click on an ad, if the link has one", "EAIaIQobChMI"),
    help("{fbclid}", "The same of Facebook", "IwAR2F4"),
    help("{ttclid}", "The same of TikTok", "E.C.P.x"),
    help(
        "{page_referer}",
        "The page before the one with the script",
        "https%3A%2F%2Fblog.example%2F",
    ),
    help("{random}", "Digits that differ from click to click", "2880154539"),
    help("{language}", "The visitor's first language", "de-DE"),
    help("{referer}", "The page with the link", "https%3A%2F%2Fblog.example%2F"),
];

/// The destination with example values. Other macros stay empty.
pub(super) fn example(destination: &str) -> String {
    let mut rest = destination;
    let mut expanded = String::new();
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else { break };
        expanded.push_str(before);
        let found = MACROS.iter().find(|known| known.written[1..].trim_end_matches('}') == name);
        expanded.push_str(found.map_or("", |known| known.example));
        rest = after;
    }
    expanded + rest
}

/// The host of a destination, which has no macro.
pub(super) fn host(destination: &str) -> &str {
    let rest = destination.split_once("://").map_or(destination, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use coupon_shared::destination::Destination;

    use super::*;

    #[test]
    fn every_listed_macro_is_filled_by_coupond() {
        for known in MACROS {
            let url = format!("https://shop.example/?x={}", known.written);
            let parsed = Destination::parse(&url).unwrap();
            assert!(parsed.left_empty.is_empty(), "{} stays empty", known.written);
            assert_eq!(example(&url), format!("https://shop.example/?x={}", known.example));
        }
    }

    #[test]
    fn an_example_leaves_other_macros_empty() {
        let url = "https://shop.example/a?t={country}&c={coupon_code}#{sub1}";
        assert_eq!(example(url), "https://shop.example/a?t=&c=WINTER25#story");
        assert_eq!(host(url), "shop.example");
        assert_eq!(host("https://shop.example?x"), "shop.example");
    }
}
