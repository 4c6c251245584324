//! The values that a click gives to the macros of a destination.
//!
//! Both programs expand destinations: the daemon to answer, the admin to explain.

use coupon_rules::facts::VisitorFacts;
use coupon_rules::place::{Place, PlaceParts};

use crate::destination::{Macro, MacroSink, MacroValues};
use crate::transaction_id::TransactionId;
use crate::visit_target::{Parameter, Parameters};

/// The values of one click, borrowed from its request.
#[derive(Clone, Copy)]
pub struct ClickMacros<'a> {
    pub transaction_id: TransactionId,
    /// The code as the visitor typed it.
    pub code: &'a [u8],
    pub network_id: u32,
    /// Offer; 0 stands for absent.
    pub offer_id: u32,
    /// Partner; 0 stands for absent.
    pub partner_id: u32,
    /// Advertiser; 0 stands for absent.
    pub advertiser_id: u32,
    /// The offer's URL that the visit is sent to; 0 for the offer's destination.
    pub offer_url_id: u32,
    /// Time of the click.
    pub unix_seconds: u64,
    /// The parameters of the query.
    pub parameters: &'a Parameters,
    /// `Accept-Language` as sent.
    pub language: &'a [u8],
    /// `Referer` as sent.
    pub referer: &'a [u8],
    /// Facts about the visitor; `None` if nothing is known.
    pub visitor: Option<&'a dyn VisitorFacts>,
}

impl<'a> ClickMacros<'a> {
    fn shown_place(&self) -> Place<'a> {
        // All parts that macros show, so that several macros need one look-up.
        let parts = PlaceParts::COUNTRY | PlaceParts::REGION | PlaceParts::CITY;
        self.visitor.map(|visitor| visitor.look_up_place(parts)).unwrap_or_default()
    }
}

impl MacroValues for ClickMacros<'_> {
    fn push_value(&self, which: Macro, sink: &mut MacroSink<'_>) {
        let push_id = |id: u32, sink: &mut MacroSink<'_>| {
            if id != 0 {
                sink.push_number(id.into());
            }
        };
        match which {
            Macro::TransactionId => sink.push_transaction_id(&self.transaction_id),
            Macro::CouponCode => sink.push(self.code),
            Macro::OfferId => push_id(self.offer_id, sink),
            Macro::AffiliateId => push_id(self.partner_id, sink),
            Macro::AdvertiserId => push_id(self.advertiser_id, sink),
            Macro::NetworkId => push_id(self.network_id, sink),
            Macro::OfferUrlId => push_id(self.offer_url_id, sink),
            Macro::SourceId => sink.push(self.parameters.get(Parameter::SourceId)),
            Macro::Sub1 => sink.push(self.parameters.get(Parameter::Sub1)),
            Macro::Sub2 => sink.push(self.parameters.get(Parameter::Sub2)),
            Macro::Sub3 => sink.push(self.parameters.get(Parameter::Sub3)),
            Macro::Sub4 => sink.push(self.parameters.get(Parameter::Sub4)),
            Macro::Sub5 => sink.push(self.parameters.get(Parameter::Sub5)),
            Macro::Uid => sink.push(self.parameters.get(Parameter::Uid)),
            Macro::Timestamp => sink.push_number(self.unix_seconds),
            Macro::Random => sink.push_number(random_digits(&self.transaction_id)),
            Macro::Country => sink.push(self.shown_place().country.as_bytes()),
            Macro::Region => {
                let [region, _] = self.shown_place().regions;
                let code_or_name = if region.code.is_empty() { region.name } else { region.code };
                sink.push(code_or_name.as_bytes());
            }
            Macro::City => sink.push(self.shown_place().city.name.as_bytes()),
            Macro::DeviceType => {
                let device = self.visitor.map_or("", |visitor| visitor.agent().device.as_str());
                sink.push(device.as_bytes());
            }
            Macro::Language => sink.push(first_language(self.language)),
            Macro::Referer => sink.push(self.referer),
            further => {
                let value = further.further_value().map(|at| self.parameters.further(at));
                sink.push(value.unwrap_or_default());
            }
        }
    }
}

/// The keyed half of the id: unpredictable without the key, and different for each click.
fn random_digits(id: &TransactionId) -> u64 {
    u128::from_be_bytes(id.0) as u64 & 0xFFFF_FFFF
}

fn first_language(accepted: &[u8]) -> &[u8] {
    let end = accepted.iter().position(|byte| matches!(byte, b',' | b';'));
    accepted[..end.unwrap_or(accepted.len())].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{ArchivedDestination, Destination, MAX_VALUE_LEN};
    use coupon_rules::agent::{Agent, ClientHints};
    use coupon_rules::place::{City, Region};
    use coupon_rules::text_match::Variable;
    use proptest::prelude::*;

    fn sample(parameters: &Parameters) -> ClickMacros<'_> {
        ClickMacros {
            transaction_id: TransactionId([0xAB; 16]),
            code: b"WiNtEr25",
            network_id: 1,
            offer_id: 16,
            partner_id: 2,
            advertiser_id: 3,
            offer_url_id: 4,
            unix_seconds: 1_763_000_000,
            parameters,
            language: b" de-DE;q=0.9, en",
            referer: b"https://r.example/",
            visitor: Some(&Berliner),
        }
    }

    fn read(query: &str) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.read(Some(query));
        parameters
    }

    struct Berliner;

    impl VisitorFacts for Berliner {
        fn address(&self) -> std::net::IpAddr {
            std::net::Ipv4Addr::LOCALHOST.into()
        }

        fn look_up_place(&self, wanted: PlaceParts) -> Place<'_> {
            assert_eq!(wanted, PlaceParts::COUNTRY | PlaceParts::REGION | PlaceParts::CITY);
            let city = City { geoname_id: 0, name: "Berlin" };
            let region = Region { code: "", name: "Land Berlin" };
            Place { country: "DE", regions: [region, Region::default()], city, ..Place::default() }
        }

        fn agent(&self) -> Agent {
            Agent::identify(b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5)", &ClientHints::default())
        }

        fn language(&self) -> Option<&[u8]> {
            None
        }

        fn request_text(&self, _: Variable) -> &[u8] {
            unreachable!("no macro asks for it")
        }

        fn dice(&self, _: u32) -> u64 {
            unreachable!("no macro draws")
        }
    }

    fn expand(url: &str, macros: &ClickMacros<'_>) -> String {
        let parsed = Destination::parse(url).unwrap().destination;
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&parsed).unwrap();
        let archived = rkyv::access::<ArchivedDestination, rkyv::rancor::Error>(&bytes).unwrap();
        let mut out = Vec::new();
        archived.expand(macros, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_macro_has_its_value() {
        let url = "https://s.example/?{transaction_id}|{coupon_code}|{offer_id}|{affiliate_id}|\
                   {advertiser_id}|{offer_url_id}|{network_id}|{source_id}|{sub1}{sub2}{sub3}{sub4}{sub5}|{uid}|\
                   {timestamp}|{random}|{country}|{region}|{city}|{device_type}|{language}|{referer}";
        let parameters = read("sub1=a&sub2=b&sub3=c&sub4=d&sub5=e&source_id=src&uid=u");
        let expanded = expand(url, &sample(&parameters)).replace("%7C", "|");
        assert_eq!(
            expanded,
            "https://s.example/?abababababababababababababababab|WiNtEr25|16|2|3|4|1|src|abcde|u|\
             1763000000|2880154539|DE|Land%20Berlin|Berlin|mobile|de-DE|https%3A%2F%2Fr.example%2F"
        );
    }

    #[test]
    fn further_values_are_filled_from_the_query() {
        let parameters = read("sub6=f&sub10=j&adv1=k&adv10=t&fbclid=F&gclid=G&ttclid=T&__rf=p/q");
        let url = "https://s.example/?{sub6}-{sub7}-{sub10}-{adv1}-{adv10}-{fbclid}-{gclid}-{ttclid}-\
                   {page_referer}";
        let expanded = expand(url, &sample(&parameters));
        assert_eq!(expanded, "https://s.example/?f--j-k-t-F-G-T-p%2Fq");
    }

    proptest! {
        #[test]
        fn any_headers_and_parameters_stay_values_and_are_cut_at_their_bound(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 5),
        ) {
            let [sub, source_id, uid, language, referer] = [0, 1, 2, 3, 4].map(|at| &values[at][..]);
            let pair = |(name, value)| format!("{name}={}", percent_encoding::percent_encode(value, percent_encoding::NON_ALPHANUMERIC));
            let query = [("sub1", sub), ("source_id", source_id), ("uid", uid)].map(pair).join("&");
            let parameters = read(&query);
            let macros = ClickMacros { code: sub, language, referer, ..sample(&parameters) };
            let url = "https://s.example/{sub1}/{source_id}?c={coupon_code}&l={language}#{referer}{uid}";
            let expanded = expand(url, &macros);
            let url = url::Url::parse(&expanded).unwrap();
            prop_assert_eq!(url.origin().ascii_serialization(), "https://s.example");
            prop_assert!(expanded.len() <= 24 + 6 * 3 * MAX_VALUE_LEN);
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
            let query: Vec<_> = url.query().unwrap().split('&').map(|pair| decoded(&pair[2..])).collect();
            // Cut in front of a byte that can begin a character, however many cannot.
            let begins = |end: &usize| sub[*end] & 0xC0 != 0x80;
            let kept = match sub.len() {
                len if len > MAX_VALUE_LEN => (0..=MAX_VALUE_LEN).rfind(begins).unwrap_or(0),
                len => len,
            };
            prop_assert_eq!(&query[0][..], &sub[..kept]);
            prop_assert!(!query[1].iter().any(|byte| b",;".contains(byte)));
        }
    }
}
