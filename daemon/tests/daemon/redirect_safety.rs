//! Whatever bytes a visitor sends, at any place: each request gets one answer, and a redirect leads
//! only to the scheme, host and port that stand in the catalog.

#[path = "redirect_safety/wire.rs"]
mod wire;

use coupon_rules::agent::{Brand, Browser, Device, Platform};
use coupon_rules::caps::Cap;
use coupon_rules::control::{Control, ControlKind};
use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_rules::ruleset::hours::Hours;
use coupon_rules::ruleset::places::{CityEntry, PostalCodeEntry, PostalCodes, RegionEntry};
use coupon_rules::ruleset::versions::{VersionComparison, VersionEntry};
use coupon_rules::ruleset::{CarrierEntry, IspEntry, Ruleset};
use coupon_rules::sessions::SessionDefinition;
use coupon_rules::text_match::{Comparison, TextMatch, Variable};
use coupon_shared::decision::Reason;
use coupon_shared::snapshot::catalog::{Offer, Rule, Visibility};
use coupon_shared::transaction_id::ClickIdKey;
use coupon_shared::visit_state::{self, CapState, CapWindow, PublishedState, WindowBounds};
use coupon_shared::visitor_key::VisitorKeys;
use percent_encoding::percent_decode;
use url::Url;

use crate::published::{HOST, LINEAGE, Network, destination, offer, row, sample};
use crate::running::{Answer, Coupond, control_request, folder};
use wire::{RawAnswer, Wire};

/// Every value that a visitor can set, and the separators between the values in a `Location`.
const VALUES: &str = "{sub1};{sub2};{sub3};{sub4};{sub5};{source_id};{uid};{coupon_code};\
                      {language};{referer}";
const NAMES: [&str; 7] = ["sub1", "sub2", "sub3", "sub4", "sub5", "source_id", "uid"];
const REFERER: usize = 9;

/// A code, the text before and after the values in its destination, and the origin that the
/// redirect must keep.
const TEMPLATES: [(&str, &str, &str, &str); 4] = [
    ("inpath25", "https://path.example:8443/", "/end?x#y", "https://path.example:8443"),
    ("inquery25", "http://query.example/?v=", "&z=1", "http://query.example"),
    ("infragment25", "https://xn--bcher-kva.example/#", "", "https://xn--bcher-kva.example"),
    ("bareaddress25", "https://[2001:db8::1]:444/", "", "https://[2001:db8::1]:444"),
];

/// Attacks known from other servers: line ends, origins, alternative spellings, macros, length.
const HOSTILE: [&str; 24] = [
    "\r\nLocation: https://evil.example/",
    "%0d%0aLocation:%20https://evil.example/",
    "%250d%250aLocation:%2520https://evil.example/",
    "%E5%98%8A%E5%98%8DSet-Cookie:a=1",
    "%c0%8d%c0%8a",
    "%u000d%u000a",
    "\u{2028}\u{85}",
    "//evil.example/",
    "/\\evil.example/",
    "@evil.example/",
    ":80@evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    ".evil.example",
    "%2f%2fevil.example%2f..",
    "/../../../..//evil.example",
    "[::1]",
    "{sub2}{transaction_id}",
    "%7Bsub2%7D",
    "{{{{",
    "%",
    "%f0%9f",
    "\u{202e}\u{0}",
    "\t \u{b}\u{c}",
];

fn network() -> Network {
    let mut network = sample();
    network.codes.clear();
    network.catalog.offers.clear();
    for (id, (code, begin, end, _)) in (16..).zip(TEMPLATES) {
        network.catalog.offers.push(offer(id, &format!("{begin}{VALUES}{end}")));
        network.codes.push((code.into(), vec![row(id, id)]));
    }
    network.codes.sort_by(|one, other| one.0.cmp(&other.0));
    network
}

/// A daemon under test and the number of its redirects.
struct ProbedDaemon<'a> {
    wire: Wire<'a>,
    coupond: &'a Coupond,
    not_found: RawAnswer,
    redirects: usize,
}

impl<'a> ProbedDaemon<'a> {
    fn new(coupond: &'a Coupond) -> ProbedDaemon<'a> {
        let mut wire = Wire::to(coupond);
        let not_found = wire.send(&request(b"/nobody", HOST.as_bytes(), b""), true);
        assert_eq!(not_found.status, 404);
        ProbedDaemon { wire, coupond, not_found, redirects: 0 }
    }

    /// Sends a request with one more header line and returns the values in the redirect, if there
    /// is one.
    fn values(
        &mut self,
        template: usize,
        target: &[u8],
        host: &[u8],
        header: &[u8],
    ) -> Option<Vec<Vec<u8>>> {
        let request = request(target, host, header);
        let answer = self.wire.send(&request, true);
        let shown = || format!("{:?} to {:?}", answer, String::from_utf8_lossy(&request));
        match answer.status {
            302 => {
                self.redirects += 1;
                let values = values_of(&answer, template);
                Some(values.unwrap_or_else(|wrong| panic!("{wrong}: {}", shown())))
            }
            404 => {
                assert_eq!(answer, self.not_found, "{}", shown());
                None
            }
            400 => {
                assert_eq!(answer.values("location").len(), 0, "{}", shown());
                None
            }
            _ => panic!("{}", shown()),
        }
    }

    /// Sends a request that differs only in its target.
    fn target(&mut self, template: usize, target: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.values(template, target, HOST.as_bytes(), b"")
    }

    /// Asserts that each request was answered once and counted correctly.
    fn end(self) {
        self.wire.end();
        assert_eq!(self.coupond.health()["clicks"]["logged"], self.redirects);
        assert!(!self.coupond.log().contains("panicked"));
    }
}

fn request(target: &[u8], host: &[u8], header: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n", header, b"\r\n"].concat()
}

/// Parses a redirect into its values, or says what is wrong with the redirect.
fn values_of(answer: &RawAnswer, template: usize) -> Result<Vec<Vec<u8>>, String> {
    let (_, begin, end, origin) = TEMPLATES[template];
    let mut names: Vec<_> = answer.headers.iter().map(|line| name_of(line)).collect();
    names.sort_unstable();
    if names != ["cache-control", "content-length", "location"] || !answer.body.is_empty() {
        return Err("it is more than a redirect".into());
    }
    let text = std::str::from_utf8(answer.values("location")[0]).map_err(|e| e.to_string())?;
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.origin().ascii_serialization() != origin || !text.starts_with(begin) {
        return Err(format!("it leaves {origin}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it names a user".into());
    }
    let values = text[begin.len()..].strip_suffix(end).ok_or("its end is missing")?;
    Ok(values.split(';').map(|value| percent_decode(value.as_bytes()).collect()).collect())
}

fn name_of(line: &[u8]) -> &str {
    let end = line.iter().position(|byte| *byte == b':').unwrap();
    std::str::from_utf8(&line[..end]).unwrap()
}

/// A byte as it is, percent-encoded once and twice.
fn spellings(byte: u8) -> [Vec<u8>; 4] {
    let [once, lower, twice] =
        [format!("%{byte:02X}"), format!("%{byte:02x}"), format!("%25{byte:02X}")];
    [vec![byte], once.into(), lower.into(), twice.into()]
}

/// `text` with the bytes of a range replaced.
fn with(text: &str, range: std::ops::Range<usize>, instead: &[u8]) -> Vec<u8> {
    [&text.as_bytes()[..range.start], instead, &text.as_bytes()[range.end..]].concat()
}

/// The bytes that redirect unencoded; the other spellings must not redirect.
fn redirecting(redirects: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let (plain, escaped) = redirecting_plain_and_escaped(redirects);
    assert_eq!(escaped, [0; 0]);
    plain
}

/// The bytes that redirect unencoded, and the bytes that redirect percent-encoded once; encoded
/// twice no byte may redirect.
fn redirecting_plain_and_escaped(mut redirects: impl FnMut(&[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
    let (mut plain, mut escaped) = (Vec::new(), Vec::new());
    for byte in 0..=255 {
        let redirected = spellings(byte).map(|spelling| redirects(&spelling));
        if redirected[0] {
            plain.push(byte);
        }
        match redirected {
            [_, true, true, false] => escaped.push(byte),
            [_, false, false, false] => {}
            _ => panic!("byte {byte}: {redirected:?}"),
        }
    }
    (plain, escaped)
}

#[test]
fn a_code_is_its_own_letters_in_either_case_plain_or_escaped_and_nothing_else_but_an_end() {
    let coupond = Coupond::serving(&network());
    let mut asked = ProbedDaemon::new(&coupond);
    for (template, (code, ..)) in TEMPLATES.into_iter().enumerate() {
        let path = format!("/{code}");
        for place in [1, 4, code.len()] {
            let letter = path.as_bytes()[place];
            let mut expected = vec![letter.to_ascii_uppercase(), letter.to_ascii_lowercase()];
            expected.dedup();
            let found = redirecting_plain_and_escaped(|spelling| {
                asked.target(template, &with(&path, place..place + 1, spelling)).is_some()
            });
            assert_eq!(found, (expected.clone(), expected), "in place of byte {place} of {path}");
        }
        for (place, plain, escaped) in [
            (1, "", ""),
            (4, "", ""),
            // The beginning of a query or fragment, the link's own slash, and characters that
            // people append.
            (path.len(), "!\"#'),./:;>?]}", "!\"'),.:;>?]}"),
        ] {
            let found = redirecting_plain_and_escaped(|spelling| {
                asked.target(template, &with(&path, place..place, spelling)).is_some()
            });
            let expected = (plain.as_bytes().to_vec(), escaped.as_bytes().to_vec());
            assert_eq!(found, expected, "before byte {place} of {path}");
        }
    }
    asked.end();
}

#[test]
fn a_parameters_name_has_one_spelling() {
    let coupond = Coupond::serving(&network());
    let mut asked = ProbedDaemon::new(&coupond);
    for (place, replaced, expected) in
        [(0, 1, "s"), (1, 1, "u"), (3, 1, "1"), (0, 0, "&"), (2, 0, ""), (4, 0, "=")]
    {
        let found = redirecting(|spelling| {
            let name = with("sub1", place..place + replaced, spelling);
            let target = [b"/inquery25?", &name[..], b"=told"].concat();
            asked.target(1, &target).is_some_and(|values| values[0].ends_with(b"told"))
        });
        assert_eq!(found, expected.as_bytes(), "at byte {place} of the name");
    }
    asked.end();
}

#[test]
fn a_parameters_value_reaches_the_destination_decoded_once_and_encoded_once() {
    let coupond = Coupond::serving(&network());
    let mut asked = ProbedDaemon::new(&coupond);
    for (at, byte) in (0..=255).enumerate() {
        let template = at % TEMPLATES.len();
        for (place, name) in NAMES.into_iter().enumerate() {
            for spelling in spellings(byte) {
                let value = [b"~", &spelling[..], b"~"].concat();
                let code = TEMPLATES[template].0.as_bytes();
                let target = [b"/", code, b"?", name.as_bytes(), b"=", &value].concat();
                if let Some(values) = asked.target(template, &target) {
                    let decoded = decoded_once(&value);
                    assert_eq!(values[place], decoded, "{}", String::from_utf8_lossy(&target));
                    assert_eq!(values.iter().filter(|value| !value.is_empty()).count(), 2);
                } else {
                    // Blanks end a target, and so do control characters for some servers.
                    assert!(spelling.len() == 1 && byte <= b' ', "byte {byte}");
                }
            }
        }
    }
    asked.end();
}

/// Decodes a form's value, which ends at the next pair or at the fragment.
fn decoded_once(value: &[u8]) -> Vec<u8> {
    let end = value.iter().position(|byte| b"&#".contains(byte)).unwrap_or(value.len());
    let spaced: Vec<u8> =
        value[..end].iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

#[test]
fn no_byte_of_a_header_leaves_its_value() {
    let coupond = behind_a_proxy();
    let mut asked = ProbedDaemon::new(&coupond);
    let names = ["Referer", "User-Agent", "Accept-Language", "X-Forwarded-For", "Cookie", "X-Moz"];
    for (at, byte) in (0..=255).enumerate() {
        let template = at % TEMPLATES.len();
        let target = [b"/", TEMPLATES[template].0.as_bytes()].concat();
        for name in names {
            for spelling in spellings(byte) {
                for value in [[&spelling, &b"ab"[..]], [b"ab", &spelling]].map(|v| v.concat()) {
                    let line = [name.as_bytes(), b": ", &value, b"\r\n"].concat();
                    let values = asked.values(template, &target, HOST.as_bytes(), &line);
                    if let (Some(values), "Referer") = (values, name) {
                        assert_eq!(values[REFERER], value.trim_ascii(), "{byte}");
                    }
                }
            }
        }
        let mut name_with = |name: &[u8]| {
            asked.values(template, &target, HOST.as_bytes(), &[name, b": v\r\n"].concat());
        };
        name_with(&[b'X', byte, b'Y']);
        // An empty line, even without a carriage return, ends the head: the rest would be a second
        // request.
        if byte != b'\n' {
            name_with(&[byte, b'X']);
        }
        name_with(&[b'X', byte]);
    }
    asked.end();
}

/// A daemon that trusts the test's `X-Forwarded-For`.
fn behind_a_proxy() -> Coupond {
    let folder = folder();
    network().publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        command.env("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8");
    })
}

#[test]
fn a_host_is_the_tracking_domain_in_any_case_and_no_other_spelling_of_it() {
    let coupond = Coupond::serving(&network());
    let mut asked = ProbedDaemon::new(&coupond);
    for (place, replaced, expected) in [
        (0, 1, &b"Gg"[..]),
        (2, 1, &b"."[..]),
        (13, 1, b"Mm"),
        (0, 0, b"\t "),
        (5, 0, b""),
        // A line may end without a carriage return.
        (14, 0, b"\t\n .:"),
    ] {
        let found = redirecting(|spelling| {
            let host = with(HOST, place..place + replaced, spelling);
            asked.values(0, b"/inpath25", &host, b"").is_some()
        });
        assert_eq!(found, expected, "at byte {place} of the host");
    }
    asked.end();
}

#[test]
fn what_others_were_broken_with_breaks_nothing_here() {
    let coupond = behind_a_proxy();
    let mut asked = ProbedDaemon::new(&coupond);
    let long = "\u{e9}%C3%A9".repeat(300);
    for (template, (code, ..)) in TEMPLATES.into_iter().enumerate() {
        for hostile in HOSTILE.into_iter().chain([long.as_str()]) {
            let path = format!("/{code}");
            for target in
                [format!("/{hostile}"), format!("{path}{hostile}"), format!("{hostile}{path}")]
            {
                asked.target(template, target.as_bytes());
            }
            for name in NAMES.into_iter().chain(["affid", "__cc", "_ef_transaction_id"]) {
                asked.target(template, format!("{path}?{name}={hostile}").as_bytes());
            }
            for name in ["Referer", "User-Agent", "Accept-Language", "X-Forwarded-For", "Host"] {
                let line = format!("{name}: {hostile}\r\n");
                asked.values(template, path.as_bytes(), HOST.as_bytes(), line.as_bytes());
            }
            asked.values(template, path.as_bytes(), hostile.as_bytes(), b"");
            asked.target(template, format!("http://evil.example{path}?uid={hostile}").as_bytes());
        }
    }
    asked.end();
}

/// Visits that lead nowhere: one for each reason in a click's record, and visits without a click.
const LED_NOWHERE: [&str; 18] = [
    "/paused",
    "/unassigned",
    "/upcoming",
    "/expired",
    "/ended",
    "/overdue",
    "/lapsed",
    "/private",
    "/winter25?oid=17",
    "/incomplete",
    "/nobody",
    "/winter%25325",
    "/winter25%2F",
    "/winter25.x",
    "/w\u{131}nter25",
    "/ab",
    "/",
    "/_/winter25",
];

fn network_of_dead_ends() -> Network {
    let mut network = sample();
    let overdue = Offer { last_day: 1, ..offer(19, "https://overdue.example/") };
    let private =
        Offer { visibility: Visibility::Private, ..offer(20, "https://private.example/") };
    network.catalog.offers.extend([overdue, private]);
    for (code, offer_id) in [("overdue", 19), ("private", 20), ("incomplete", 99)] {
        network.codes.push((code.into(), vec![row(offer_id, offer_id)]));
    }
    for (number, rule) in refusing_rules() {
        let id = 100 + u32::from(number);
        network.catalog.rules.push(rule);
        let rules = vec![network.catalog.rules.len() as u32];
        let refusing = Offer { rules, ..offer(id, "https://refusing.example/") };
        network.catalog.offers.push(refusing);
        network.codes.push((rule_code(number), vec![row(id, id)]));
    }
    network.codes.sort_by(|one, other| one.0.cmp(&other.0));
    network
}

fn rule_code(reason: u8) -> String {
    format!("rule{reason}")
}

const REACHED_CAPS: [u32; 2] = [1001, 1002];

/// Rules that refuse the visitor in the state of [`serving_dead_ends`].
fn rules_on_earlier_visits() -> [(u8, Rule); 4] {
    let cap = |id, is_group| {
        let cap = Cap {
            id,
            offer_id: 0,
            partner_id: 0,
            code_id: 0,
            is_group,
            is_soft: false,
            click_limits: [0; 4],
            has_conversion_limits: true,
        };
        Rule::cap(&cap)
    };
    [
        (Reason::Cap as u8, cap(REACHED_CAPS[0], false)),
        (Reason::GroupCap as u8, cap(REACHED_CAPS[1], true)),
        (Reason::AlreadyConverted as u8, Rule::already_converted(1, false)),
        (Reason::Duplicate as u8, Rule::duplicates(1, false)),
    ]
}

/// A daemon of a network of dead ends, where the caps are reached, and where the visitor has been
/// and has converted.
fn serving_dead_ends(network: &Network) -> Coupond {
    let coupond = Coupond::serving(network);
    let keys = VisitorKeys::new(&ClickIdKey(network.catalog.click_id_key));
    let definition = SessionDefinition::AddressAndUserAgent;
    let key = keys.identify(definition, [127, 0, 0, 1].into(), PHONE.as_bytes());
    let state = PublishedState {
        caps: REACHED_CAPS
            .map(|cap_id| CapState {
                cap_id,
                window: CapWindow::Global,
                bounds: WindowBounds::ALWAYS,
                clicks: 0,
                is_reached: true,
            })
            .into(),
        converted: vec![key.hash_with_offer(100 + Reason::AlreadyConverted as u32)],
        ..PublishedState::empty(1, LINEAGE, 0)
    };
    let body = state.encode().unwrap();
    let sent = control_request(&coupond.socket(), "POST", visit_state::PATH, &body).unwrap();
    assert_eq!(Answer::parse(&sent).status, 200);
    let first = format!("/{}", rule_code(Reason::Duplicate as u8));
    let agent = format!("User-Agent: {PHONE}\r\n");
    assert_eq!(coupond.request("GET", &first, &agent).status, 302);
    coupond
}

/// Rules that refuse the visitor, with the numbers of their reasons.
fn refusing_rules() -> Vec<(u8, Rule)> {
    let ruleset = |(number, ruleset)| (number, Rule::ruleset(1, &ruleset).unwrap());
    let control = |reason, kind, variable: Variable, comparison, value| {
        let control = Control {
            kind,
            is_whitelist: false,
            fails_over: false,
            is_everywhere: false,
            variables: vec![variable as u8],
            matching: TextMatch::new(comparison, [value]),
            partners: None,
            days: (0, u16::MAX),
        };
        (reason as u8, Rule::control(1, &control).unwrap())
    };
    let (traffic, switch) = (ControlKind::TrafficControl, ControlKind::SmartSwitch);
    let domain = Variable::TrackingDomain;
    let controls = [
        control(Reason::TrafficControl, traffic, Variable::Sub1, Comparison::NotPresent, "x"),
        control(Reason::TrackingDomain, traffic, domain, Comparison::Contains, "example"),
        control(Reason::SmartSwitch, switch, Variable::Sub1, Comparison::Anything, "x"),
        control(Reason::Blocked, ControlKind::ByHand, Variable::Sub2, Comparison::Anything, "x"),
    ];
    let filters = [
        (Reason::FilteredSub1, Variable::Sub1),
        (Reason::FilteredSub2, Variable::Sub2),
        (Reason::FilteredSub3, Variable::Sub3),
        (Reason::FilteredSub4, Variable::Sub4),
        (Reason::FilteredSub5, Variable::Sub5),
        (Reason::FilteredSourceId, Variable::SourceId),
    ];
    let filters = filters.map(|(reason, variable)| {
        control(reason, ControlKind::OfferFilter, variable, Comparison::DoesNotMatch, "x")
    });
    let mut rules: Vec<_> = refusing_rulesets()
        .into_iter()
        .map(ruleset)
        .chain(controls)
        .chain(filters)
        .chain(rules_on_earlier_visits())
        .collect();
    rules.sort_by_key(|(number, _)| *number);
    rules
}

/// Rulesets that refuse the visitor, with the numbers of their reasons. A hidden network is missing:
/// without a database nothing is known of networks.
fn refusing_rulesets() -> Vec<(u8, Ruleset)> {
    let with = |reason: Reason, change: fn(&mut Ruleset)| {
        let mut ruleset = Ruleset::default();
        change(&mut ruleset);
        (reason as u8, ruleset)
    };
    vec![
        with(Reason::Platform, |r| r.platforms.exclude.insert(Platform::Android as u8)),
        with(Reason::Device, |r| r.devices.exclude.insert(Device::Mobile as u8)),
        with(Reason::Browser, |r| r.browsers.include.insert(Browser::Safari as u8)),
        with(Reason::OsVersion, |r| {
            r.os_versions.0.push(VersionEntry {
                platform: Platform::Android as u8,
                comparison: VersionComparison::Minimum,
                major: 12,
                minor: None,
                includes: true,
            });
        }),
        with(Reason::Language, |r| r.languages.include.push("de".into())),
        with(Reason::Country, |r| r.places.countries.include.push(*b"DE")),
        with(Reason::Region, |r| {
            let (code, name) = ("BE".into(), String::new());
            r.places.regions.include.push(RegionEntry { country: *b"DE", code, name });
        }),
        with(Reason::City, |r| {
            let (region_code, name) = (String::new(), "Berlin".into());
            let city = CityEntry { geoname_id: 0, country: *b"DE", region_code, name };
            r.places.cities.include.push(city);
        }),
        with(Reason::Dma, |r| r.places.dmas.include.push(819)),
        with(Reason::AddressNotIncluded, |r| {
            let other = "192.0.2.1".parse().unwrap();
            r.addresses.include = AddressRanges::new([(other, other)]);
        }),
        with(Reason::AddressExcluded, |r| {
            let (first, last) = ("127.0.0.0".parse().unwrap(), "127.255.255.255".parse().unwrap());
            r.addresses.exclude = AddressRanges::new([(first, last)]);
        }),
        with(Reason::Isp, |r| r.isps.include.push(IspEntry::Asn(1))),
        with(Reason::Hours, |r| r.hours = Some(Hours::new(None, &[]))),
        with(Reason::Connection, |r| r.connections.include.insert(2)),
        with(Reason::Carrier, |r| r.carriers.include.push(CarrierEntry::Name("x".into()))),
        with(Reason::Brand, |r| r.brands.exclude.insert(Brand::Samsung as u8)),
        with(Reason::PostalCode, |r| {
            let (country, code) = (None, "98354".into());
            let entry = PostalCodeEntry { country, code, is_beginning: false };
            r.places.postal_codes.include = PostalCodes::new(&[entry]);
        }),
    ]
}

/// A telephone that says all that rules ask about.
const PHONE: &str = "Mozilla/5.0 (Linux; Android 9; SM-G960F) AppleWebKit/537.36 (KHTML, like \
                     Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";

/// Sends all requests that lead nowhere and returns their one common answer.
fn the_one_answer(coupond: &Coupond, method: &str) -> RawAnswer {
    let mut wire = Wire::to(coupond);
    let rules = refusing_rules().into_iter().map(|(reason, _)| format!("/{}", rule_code(reason)));
    let targets = LED_NOWHERE.iter().map(|target| (*target).to_owned()).chain(rules);
    let mut answers = targets.map(|target| {
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {PHONE}\r\n\r\n");
        let answer = wire.send(request.as_bytes(), method == "GET");
        (target, answer)
    });
    let (_, first) = answers.next().unwrap();
    for (target, answer) in answers {
        assert_eq!(answer, first, "{method} {target}");
    }
    wire.end();
    first
}

#[test]
fn whatever_the_reason_a_visit_that_leads_nowhere_gets_the_same_bytes() {
    let coupond = serving_dead_ends(&network_of_dead_ends());
    let answer = the_one_answer(&coupond, "GET");
    assert_eq!(answer.status, 404);
    assert_eq!(the_one_answer(&coupond, "HEAD").headers, answer.headers);
    let unmet = |reason: &Reason| !matches!(reason, Reason::Redirected | Reason::Proxy);
    let expected: Vec<Reason> = Reason::ALL.into_iter().filter(unmet).collect();
    // The visitor's first visit of the offer that refuses repeats was redirected.
    let blocks = coupond.feed(expected.len() + 1);
    let mut reasons: Vec<_> =
        blocks.iter().flat_map(|block| block.clicks()).map(|click| click.head.reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons.remove(0), Reason::Redirected);
    assert_eq!(reasons, expected, "a reason was left out");
}

#[test]
fn whatever_the_reason_a_fallback_url_is_reached_with_the_same_bytes() {
    let mut network = network_of_dead_ends();
    network.catalog.fallback = Some(destination("https://fallback.example/?o={offer_id}"));
    let coupond = serving_dead_ends(&network);
    let answer = the_one_answer(&coupond, "GET");
    assert_eq!((answer.status, answer.values("location").len()), (302, 1));
    assert_eq!(answer.values("location")[0], b"https://fallback.example/?o=");
    let head = the_one_answer(&coupond, "HEAD");
    assert_eq!((head.status, head.values("location")), (302, answer.values("location")));
}
