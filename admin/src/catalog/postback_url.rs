//! URLs of partner postbacks: checked when a postback is saved, filled once for each conversion.
//!
//! The rules of destination URLs apply: no macro in scheme, host or port, values
//! percent-encoded to unreserved characters, one pass, ASCII on one line. In addition there is no
//! fragment, because servers never see it, and no value is a dot segment of the path.
//!
//! The macros cover the data that a partner may know. Deliberately absent are revenue, sale amount,
//! and data about the visitor: address, e-mail, user agent. URLs with such macros are accepted,
//! because users bring URLs from other services; the macros stay empty, and the client gets a
//! warning.

use coupon_shared::destination::{DestinationError, MacroSink, UrlPart, split_url};

use super::words::{WordSet as _, words};

words! {
    /// A macro that a postback fills.
    PostbackMacro {
        /// The click's id; empty if a code alone identified the conversion.
        TransactionId = "transaction_id",
        /// Unique for each conversion.
        ConversionId = "conversion_id",
        /// The offer's id.
        OfferId = "offer_id",
        /// The partner's id.
        AffiliateId = "affiliate_id",
        /// As the network writes the code; empty if a click alone identified the conversion.
        CouponCode = "coupon_code",
        /// From the advertiser's postback.
        OrderId = "order_id",
        /// The id of the offer's payout entry; 0 is the base conversion.
        EventId = "event_id",
        /// The name of the payout entry.
        EventName = "event_name",
        /// The payout.
        PayoutAmount = "payout_amount" | "payout",
        /// The currency of the payout.
        Currency = "currency",
        /// From the click.
        Sub1 = "sub1",
        /// From the click.
        Sub2 = "sub2",
        /// From the click.
        Sub3 = "sub3",
        /// From the click.
        Sub4 = "sub4",
        /// From the click.
        Sub5 = "sub5",
        /// From the click.
        SourceId = "source_id",
        /// The conversion's time, in Unix seconds.
        Timestamp = "timestamp",
        /// The click's time, in Unix seconds.
        ClickUnixTimestamp = "click_unix_timestamp",
        /// From the advertiser's postback.
        Adv1 = "adv1",
        /// From the advertiser's postback.
        Adv2 = "adv2",
        /// From the advertiser's postback.
        Adv3 = "adv3",
        /// From the advertiser's postback.
        Adv4 = "adv4",
        /// From the advertiser's postback.
        Adv5 = "adv5",
        /// From the click.
        Sub6 = "sub6",
        /// From the click.
        Sub7 = "sub7",
        /// From the click.
        Sub8 = "sub8",
        /// From the click.
        Sub9 = "sub9",
        /// From the click.
        Sub10 = "sub10",
        /// From the advertiser's postback.
        Adv6 = "adv6",
        /// From the advertiser's postback.
        Adv7 = "adv7",
        /// From the advertiser's postback.
        Adv8 = "adv8",
        /// From the advertiser's postback.
        Adv9 = "adv9",
        /// From the advertiser's postback.
        Adv10 = "adv10",
        /// From the click: for the partner's own ad network.
        Fbclid = "fbclid",
        /// From the click: for the partner's own ad network.
        Gclid = "gclid",
        /// From the click: for the partner's own ad network.
        Ttclid = "ttclid",
        /// The offer's URL that the click was sent to; 0 is the offer's destination.
        OfferUrlId = "offer_url_id",
    }
}

/// Names of the macros that a postback fills.
const FILLED: &[&str] = PostbackMacro::WORDS;

/// Everflow's macros for data that partners may not know, or without a value here.
const LEFT_EMPTY: [&str; 32] = [
    "revenue",
    "sale_amount",
    "advertiser_id",
    "adv_event_id",
    "network_id",
    "uid",
    "unique_click",
    "impression_tracking_id",
    "creative_id",
    "offer_name",
    "affiliate_name",
    "country",
    "region",
    "city",
    "dma",
    "ip",
    "user_ip",
    "user_agent",
    "email",
    "device_type",
    "device_brand",
    "platform",
    "os_version",
    "browser",
    "language",
    "isp",
    "carrier",
    "referer",
    "random",
    "idfa",
    "google_ad_id",
    "android_id",
];

/// Why a URL cannot be used for a postback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostbackUrlError {
    /// Breaks a rule of destination URLs.
    #[error(transparent)]
    Url(#[from] DestinationError),
    /// Contains a fragment.
    #[error("a server never sees what follows `#`; leave it out, or write it as %23")]
    Fragment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value(PostbackMacro),
}

/// A parsed postback URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackUrl {
    pieces: Vec<Piece>,
    /// Known macros that stay empty, each listed once.
    pub left_empty: Vec<&'static str>,
}

impl PostbackUrl {
    /// Parses a URL with macros.
    ///
    /// # Errors
    /// The first error, and how to mend the URL.
    pub fn parse(url: &str) -> Result<PostbackUrl, PostbackUrlError> {
        let mut parsed = PostbackUrl { pieces: Vec::new(), left_empty: Vec::new() };
        for part in split_url(url, FILLED.iter().copied().chain(LEFT_EMPTY))? {
            match part {
                UrlPart::Literal(text) if text.contains('#') => {
                    return Err(PostbackUrlError::Fragment);
                }
                UrlPart::Literal(text) => parsed.pieces.push(Piece::Literal(text)),
                UrlPart::Macro(name) => parsed.take(name),
            }
        }
        Ok(parsed)
    }

    fn take(&mut self, name: &'static str) {
        match name.parse() {
            Ok(filled) => self.pieces.push(Piece::Value(filled)),
            Err(_) if self.left_empty.contains(&name) => {}
            Err(_) => self.left_empty.push(name),
        }
    }

    /// The URL for one conversion, exactly as requested.
    pub fn filled<V: AsRef<[u8]>>(&self, value: impl Fn(PostbackMacro) -> V) -> String {
        let mut url = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => url.extend_from_slice(text.as_bytes()),
                Piece::Value(name) => push_value(value(*name).as_ref(), &mut url),
            }
        }
        let url = String::from_utf8_lossy(&url);
        // HTTP clients normalise some characters. Normalising first makes the stored and signed URL
        // equal to the sent URL.
        url::Url::parse(&url).map_or_else(|_| url.into_owned(), String::from)
    }

    /// Warnings about macros that stay empty.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let sentence =
            |name| format!("postback_url: {{{name}}} is not told to partners and is left empty");
        self.left_empty.iter().map(sentence).collect()
    }
}

/// Leaves out a value of dots alone in a path, because it could stand for another folder.
fn push_value(value: &[u8], url: &mut Vec<u8>) {
    let is_in_path = !url.contains(&b'?');
    if !is_in_path || value.iter().any(|byte| *byte != b'.') {
        MacroSink::new(url).push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(url: &str, value: &str) -> String {
        PostbackUrl::parse(url).unwrap().filled(|_| value)
    }

    #[test]
    fn no_macro_is_both_filled_and_left_empty() {
        assert!(LEFT_EMPTY.iter().all(|name| name.parse::<PostbackMacro>().is_err()));
    }

    #[test]
    fn hostile_values_stay_values() {
        assert_eq!(
            filled("https://p.example/{sub1}/x?a={sub2}&b=1", "a/../b?c=d&e#f\r\nHost: x{sub3}é"),
            "https://p.example/a%2F..%2Fb%3Fc%3Dd%26e%23f%0D%0AHost%3A%20x%7Bsub3%7D%C3%A9/x\
             ?a=a%2F..%2Fb%3Fc%3Dd%26e%23f%0D%0AHost%3A%20x%7Bsub3%7D%C3%A9&b=1"
        );
    }

    #[test]
    fn a_value_never_leaves_its_folder() {
        for dots in [".", "..", "..."] {
            assert_eq!(
                filled("https://p.example/a/{sub1}/b?c={sub1}", dots),
                format!("https://p.example/a//b?c={dots}")
            );
            assert_eq!(
                filled("https://p.example/a/{sub1}{sub2}/b", dots),
                "https://p.example/a//b"
            );
        }
    }

    #[test]
    fn what_is_kept_is_what_a_client_would_send() {
        let url =
            filled("https://P.example:443/a b's/../{sub1}?q='".replace(' ', "%20").as_str(), "x");
        assert_eq!(url, "https://p.example/x?q=%27");
        assert_eq!(url::Url::parse(&url).unwrap().as_str(), url);
    }

    #[test]
    fn what_partners_are_not_told_stays_empty_with_a_warning() {
        let url = PostbackUrl::parse(
            "https://p.example/?r={revenue}&s={sale_amount}&i={ip}&e={email}&r={revenue}",
        );
        let url = url.unwrap();
        assert_eq!(url.left_empty, ["revenue", "sale_amount", "ip", "email"]);
        assert_eq!(url.filled(|_| "x"), "https://p.example/?r=&s=&i=&e=&r=");
        assert_eq!(url.warnings().len(), 4);
    }

    #[test]
    fn urls_that_cannot_be_requested_are_refused() {
        let refused = |url: &str| PostbackUrl::parse(url).unwrap_err().to_string();
        assert_eq!(
            refused("https://p.example/?t={transactionid}"),
            "unknown macro {transactionid}; did you mean {transaction_id}?"
        );
        assert!(refused("https://{sub1}.example/").contains("never in scheme, host or port"));
        assert!(refused("https://p.example:{sub1}/").contains("never in scheme, host or port"));
        assert!(refused("https://user:pw@p.example/").contains("user names"));
        assert!(refused("ftp://p.example/").contains("http://"));
        assert_eq!(refused("https://p.example/#{sub1}"), PostbackUrlError::Fragment.to_string());
    }

    #[test]
    fn other_ways_to_write_an_address_become_the_usual_one() {
        for host in ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1"] {
            assert_eq!(filled(&format!("http://{host}/"), ""), "http://127.0.0.1/", "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_url_is_refused_or_stays_at_its_origin_whatever_the_values(
            rest in proptest::collection::vec(
                prop_oneof![
                    "[/?&=.@:;%\\\\-]{0,6}\\PC{0,10}",
                    proptest::sample::select(FILLED).prop_map(|name| format!("{{{name}}}")),
                    proptest::sample::select(&LEFT_EMPTY[..]).prop_map(|name| format!("{{{name}}}")),
                ],
                0..8,
            ),
            value in "\\PC{0,40}|[./\\\\\r\n@:#?&=%]{0,10}",
        ) {
            if let Ok(parsed) = PostbackUrl::parse(&format!("https://p.example:8443/{}", rest.concat())) {
                let url = parsed.filled(|_| &value);
                prop_assert!(url.starts_with("https://p.example:8443/"), "{}", url);
                prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{}", url);
                let again = url::Url::parse(&url).unwrap();
                prop_assert_eq!(again.as_str(), &url);
            }
        }

        #[test]
        fn parsing_any_text_never_panics(url in "(https?://)?\\PC{0,40}") {
            let _ = PostbackUrl::parse(&url);
        }
    }
}
