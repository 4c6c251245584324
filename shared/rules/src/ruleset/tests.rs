//! Each dimension against visitors of whom everything, something or nothing is known.

use std::net::IpAddr;

use proptest::prelude::*;

use super::hours::Slot;
use super::places::{CityEntry, PostalCodeEntry, PostalCodes, RegionEntry};
use super::versions::{VersionComparison, VersionEntry};
use super::*;
use crate::agent::{Agent, ClientHints};
use crate::place::{Carrier, City, Connection, Isp, Region};
use crate::text_match::Variable;

/// 2026-06-15, a Monday, 00:00 UTC.
const MONDAY: i64 = 1_781_481_600;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 9; SM-G960F) AppleWebKit/537.36 (KHTML, like \
                       Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const FROZEN_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like \
                              Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                    Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0";

#[derive(Clone, Copy)]
struct Visitor<'a> {
    place: Place<'a>,
    user_agent: &'a str,
    language: &'a str,
    address: &'a str,
}

impl VisitorFacts for Visitor<'_> {
    fn address(&self) -> IpAddr {
        self.address.parse().unwrap()
    }

    fn look_up_place(&self, _wanted: PlaceParts) -> Place<'_> {
        self.place
    }

    fn agent(&self) -> Agent {
        Agent::identify(self.user_agent.as_bytes(), &ClientHints::default())
    }

    fn language(&self) -> Option<&[u8]> {
        language::preferred(self.language.as_bytes())
    }

    fn request_text(&self, _variable: Variable) -> &[u8] {
        unreachable!("rulesets ask for no text of the request")
    }

    fn dice(&self, _offer: u32) -> u64 {
        unreachable!("rulesets draw nothing")
    }
}

/// Berlin is two hours ahead, New York four behind, the network one ahead.
struct SummerClocks;

impl Clocks for SummerClocks {
    fn network_offset(&self, _: i64) -> i32 {
        3600
    }

    fn offset(&self, zone: &str, _: i64) -> Option<i32> {
        match zone {
            "Europe/Berlin" => Some(2 * 3600),
            "America/New_York" => Some(-4 * 3600),
            _ => None,
        }
    }
}

const NOBODY: Visitor<'_> = Visitor {
    place: Place {
        country: "",
        regions: [Region { code: "", name: "" }; 2],
        city: City { geoname_id: 0, name: "" },
        postal_code: "",
        dma: 0,
        time_zone: "",
        isp: Isp { asn: 0, name: "" },
        carrier: Carrier { mcc: "", mnc: "" },
        connection: None,
        proxy: None,
    },
    user_agent: "",
    language: "",
    address: "192.0.2.1",
};

fn at<'a>(country: &'a str, region: &'a str, city: &'a str) -> Visitor<'a> {
    let place = Place {
        country,
        regions: [Region { code: region, name: "" }, Region::default()],
        city: City { geoname_id: 0, name: city },
        ..NOBODY.place
    };
    Visitor { place, ..NOBODY }
}

fn milton() -> Visitor<'static> {
    let mut visitor = at("US", "WA", "Milton");
    visitor.place.dma = 819;
    visitor.place.postal_code = "98354";
    visitor.place.time_zone = "America/Los_Angeles";
    visitor
}

fn check(ruleset: &Ruleset, visitor: &Visitor<'_>) -> Result<(), Refusal> {
    check_at(ruleset, visitor, MONDAY)
}

fn check_at(ruleset: &Ruleset, visitor: &Visitor<'_>, now: i64) -> Result<(), Refusal> {
    let decoded = Ruleset::decode(&ruleset.encode().unwrap()).unwrap();
    assert_eq!(decoded, *ruleset);
    PreparedRuleset::from(decoded).check(visitor, &SummerClocks, now)
}

fn refused_at<T>(level: PlaceLevel) -> Result<T, Refusal> {
    Err(Refusal::Place(level))
}

fn countries(include: &[&CountryCode], exclude: &[&CountryCode]) -> Ruleset {
    let codes = |list: &[&CountryCode]| list.iter().map(|code| **code).collect();
    let mut ruleset = Ruleset::default();
    ruleset.places.countries = Sides { include: codes(include), exclude: codes(exclude) };
    ruleset
}

use places::CountryCode;

fn region(country: &CountryCode, code: &str) -> RegionEntry {
    RegionEntry { country: *country, code: code.into(), name: String::new() }
}

fn city(country: &CountryCode, name: &str) -> CityEntry {
    CityEntry { geoname_id: 0, country: *country, region_code: String::new(), name: name.into() }
}

#[test]
fn a_city_with_a_number_goes_by_its_name_where_the_database_has_no_numbers() {
    let numbered = CityEntry { geoname_id: 7, ..city(b"US", "Milton") };
    let mut ruleset = Ruleset::default();
    ruleset.places.cities.include = vec![numbered];
    assert_eq!(check(&ruleset, &milton()), Ok(()));
    let with_number = |geoname_id| {
        let mut visitor = milton();
        visitor.place.city.geoname_id = geoname_id;
        visitor
    };
    assert_eq!(check(&ruleset, &with_number(7)), Ok(()));
    assert_eq!(check(&ruleset, &with_number(8)), refused_at(PlaceLevel::City));
    ruleset.places.cities.include[0].name.clear();
    assert_eq!(check(&ruleset, &milton()), refused_at(PlaceLevel::City));
}

#[test]
fn an_include_refuses_the_unknown_and_an_exclude_lets_it_pass() {
    let (gb, us) = (at("GB", "", ""), at("US", "", ""));
    let include = countries(&[b"GB"], &[]);
    assert_eq!(check(&include, &gb), Ok(()));
    assert_eq!(check(&include, &us), refused_at(PlaceLevel::Country));
    assert_eq!(check(&include, &NOBODY), refused_at(PlaceLevel::Country));
    let exclude = countries(&[], &[b"GB"]);
    assert_eq!(check(&exclude, &gb), refused_at(PlaceLevel::Country));
    assert_eq!((check(&exclude, &us), check(&exclude, &NOBODY)), (Ok(()), Ok(())));
    let verdict = |ruleset: &Ruleset, visitor| {
        let prepared = PreparedRuleset::from(ruleset.clone());
        prepared.verdict(Dimension::Place, visitor, &SummerClocks, MONDAY)
    };
    assert_eq!(
        verdict(&include, &NOBODY),
        Verdict::RefusedUnknown(Refusal::Place(PlaceLevel::Country))
    );
    assert_eq!(verdict(&exclude, &NOBODY), Verdict::PassedUnknown);
}

#[test]
fn the_most_specific_level_with_a_match_decides() {
    let mut ruleset = countries(&[], &[b"US"]);
    ruleset.places.cities.include = vec![city(b"US", "milton")];
    assert_eq!(check(&ruleset, &milton()), Ok(()));
    assert_eq!(check(&ruleset, &at("US", "WA", "Seattle")), refused_at(PlaceLevel::Country));

    let mut ruleset = countries(&[b"US"], &[]);
    ruleset.places.regions.exclude = vec![region(b"US", "WA")];
    assert_eq!(check(&ruleset, &milton()), refused_at(PlaceLevel::Region));
    assert_eq!(check(&ruleset, &at("US", "OH", "")), Ok(()));
    // Without a match, the widest level with includes is the reason.
    ruleset.places.cities.include = vec![city(b"GB", "London")];
    assert_eq!(check(&ruleset, &at("JP", "", "")), refused_at(PlaceLevel::Country));
    ruleset.places.countries.include.clear();
    assert_eq!(check(&ruleset, &at("JP", "", "")), refused_at(PlaceLevel::City));
}

#[test]
fn includes_of_two_levels_are_alternatives_and_both_subdivisions_count() {
    let mut ruleset = countries(&[b"GB"], &[]);
    ruleset.places.regions.include = vec![region(b"GB", "ENG")];
    assert_eq!(check(&ruleset, &at("GB", "", "")), Ok(()));
    let mut boxford = at("GB", "ENG", "Boxford");
    boxford.place.regions[1] = Region { code: "WBK", name: "West Berkshire" };
    let mut ruleset = Ruleset::default();
    ruleset.places.regions.include = vec![region(b"GB", "wbk")];
    assert_eq!(check(&ruleset, &boxford), Ok(()));
    // Some databases know names alone.
    boxford.place.regions[1].code = "";
    assert_eq!(check(&ruleset, &boxford), refused_at(PlaceLevel::Region));
    ruleset.places.regions.include[0].name = "West Berkshire".into();
    assert_eq!(check(&ruleset, &boxford), Ok(()));
}

#[test]
fn market_areas_and_postal_codes_are_compared_whole_or_by_their_beginning() {
    let mut ruleset = Ruleset::default();
    ruleset.places.dmas.include = vec![819];
    assert_eq!(check(&ruleset, &milton()), Ok(()));
    let codes = |entries: &[(Option<CountryCode>, &str, bool)]| {
        let entries = entries.iter().map(|(country, code, is_beginning)| PostalCodeEntry {
            country: *country,
            code: (*code).into(),
            is_beginning: *is_beginning,
        });
        let mut ruleset = Ruleset::default();
        ruleset.places.postal_codes.include = PostalCodes::new(&entries.collect::<Vec<_>>());
        ruleset
    };
    let mut london = at("GB", "", "");
    london.place.postal_code = "SW1A 1AA";
    for (entries, milton_passes, london_passes) in [
        (&[(None, "98354", false)][..], true, false),
        (&[(Some(*b"GB"), "98354", false)], false, false),
        (&[(Some(*b"US"), "983", true), (None, "98", false)], true, false),
        (&[(None, "sw1a1aa", false)], false, true),
        (&[(Some(*b"GB"), "SW1A 1", true), (Some(*b"GB"), "SW", true)], false, true),
        (&[(None, "9835", false)], false, false),
    ] {
        let refused = refused_at(PlaceLevel::PostalCode);
        let expected = |passes| if passes { Ok(()) } else { refused };
        assert_eq!(check(&codes(entries), &milton()), expected(milton_passes), "{entries:?}");
        assert_eq!(check(&codes(entries), &london), expected(london_passes), "{entries:?}");
    }
    let mut long = milton();
    long.place.postal_code = "98354983549835498354";
    assert!(check(&codes(&[(None, "983", true)]), &long).is_err());
}

#[test]
fn platform_device_browser_and_brand_go_by_number() {
    let on = |user_agent| Visitor { user_agent, ..NOBODY };
    let only = |number| Sides { include: NumberSet::from_iter([number]), ..Sides::default() };
    let never = |number| Sides { exclude: NumberSet::from_iter([number]), ..Sides::default() };
    let ios = Ruleset { platforms: only(Platform::Ios as u8), ..Ruleset::default() };
    assert_eq!(check(&ios, &on(IPHONE)), Ok(()));
    assert_eq!(check(&ios, &on(ANDROID)), Err(Refusal::Platform));
    assert_eq!(check(&ios, &NOBODY), Err(Refusal::Platform));
    let phones = Ruleset { devices: only(Device::Mobile as u8), ..Ruleset::default() };
    assert_eq!(
        (check(&phones, &on(ANDROID)), check(&phones, &on(EDGE))),
        (Ok(()), Err(Refusal::Device))
    );
    assert_eq!(check(&phones, &NOBODY), Err(Refusal::Device));
    let no_edge = Ruleset { browsers: never(Browser::Edge as u8), ..Ruleset::default() };
    assert_eq!(
        (check(&no_edge, &on(EDGE)), check(&no_edge, &on(IPHONE))),
        (Err(Refusal::Browser), Ok(()))
    );
    let apple = Ruleset { brands: only(crate::agent::Brand::Apple as u8), ..Ruleset::default() };
    assert_eq!(
        (check(&apple, &on(IPHONE)), check(&apple, &on(FROZEN_ANDROID))),
        (Ok(()), Err(Refusal::Brand))
    );
}

#[test]
fn a_version_binds_its_platform_and_an_unknown_one_passes() {
    let entry = |platform: Platform, comparison, major, includes| VersionEntry {
        platform: platform as u8,
        comparison,
        major,
        minor: None,
        includes,
    };
    let check = |entries: &[VersionEntry], user_agent| {
        let ruleset = Ruleset { os_versions: Versions(entries.to_vec()), ..Ruleset::default() };
        check(&ruleset, &Visitor { user_agent, ..NOBODY }).is_ok()
    };
    use VersionComparison::{Exact, Maximum, Minimum};
    let new_android = [entry(Platform::Android, Minimum, 12, true)];
    assert!(!check(&new_android, ANDROID));
    assert!(
        check(&new_android, FROZEN_ANDROID)
            && check(&new_android, IPHONE)
            && check(&new_android, "")
    );
    let range = |first, last| {
        [entry(Platform::Ios, Minimum, first, true), entry(Platform::Ios, Maximum, last, true)]
    };
    assert!(check(&range(16, 17), IPHONE) && !check(&range(15, 16), IPHONE));
    assert!(check(&[entry(Platform::Ios, Exact, 17, true)], IPHONE));
    assert!(!check(&[entry(Platform::Ios, Exact, 17, false)], IPHONE));
    assert!(!check(&[entry(Platform::Ios, Exact, 16, true)], IPHONE));
    let minor = VersionEntry { minor: Some(4), ..entry(Platform::Ios, Exact, 17, true) };
    assert!(!check(&[minor], IPHONE));
}

#[test]
fn languages_cover_their_regions_and_absent_ones_are_unknown() {
    let ruleset = |include: &[&str], exclude: &[&str]| Ruleset {
        languages: Sides {
            include: include.iter().map(|tag| (*tag).into()).collect(),
            exclude: exclude.iter().map(|tag| (*tag).into()).collect(),
        },
        ..Ruleset::default()
    };
    for (include, accepted, passes) in [
        ("de", "de-AT,en;q=0.8", true),
        ("de", "en,de;q=0.9", false),
        ("de", "*", false),
        ("de", "", false),
        ("pt-BR", "pt-PT", false),
        ("pt-BR", "pt-br", true),
    ] {
        let visitor = Visitor { language: accepted, ..NOBODY };
        assert_eq!(check(&ruleset(&[include], &[]), &visitor).is_ok(), passes, "{accepted}");
    }
    assert_eq!(check(&ruleset(&[], &["en"]), &NOBODY), Ok(()));
}

#[test]
fn addresses_in_an_excluded_range_are_told_from_those_in_no_included_one() {
    let ranges = |first: &str, last: &str| {
        AddressRanges::new([(first.parse().unwrap(), last.parse().unwrap())])
    };
    let from = |address| Visitor { address, ..NOBODY };
    let mut ruleset = Ruleset::default();
    ruleset.addresses.exclude = ranges("10.11.12.13", "10.11.12.100");
    assert_eq!(check(&ruleset, &from("10.11.12.13")), Err(Refusal::AddressExcluded));
    assert_eq!(check(&ruleset, &from("::ffff:10.11.12.100")), Err(Refusal::AddressExcluded));
    assert_eq!(check(&ruleset, &from("10.11.12.101")), Ok(()));
    let mut ruleset = Ruleset::default();
    ruleset.addresses.include = ranges("2001:db8::", "2001:db8:ffff::");
    assert_eq!(check(&ruleset, &from("2001:db8:1::1")), Ok(()));
    assert_eq!(check(&ruleset, &from("1.2.3.4")), Err(Refusal::AddressNotIncluded));
}

#[test]
fn provider_carrier_connection_and_hidden_networks_come_from_the_databases() {
    let mut telstra = NOBODY;
    telstra.place.isp = Isp { asn: 1221, name: "Telstra Internet" };
    telstra.place.carrier = Carrier { mcc: "310", mnc: "004" };
    telstra.place.connection = Some(Connection::Mobile);
    telstra.place.proxy = Some(ProxyKinds::HOSTING);
    let isp = |entry| Ruleset {
        isps: Sides { exclude: vec![entry], ..Sides::default() },
        ..Ruleset::default()
    };
    for entry in [
        IspEntry::Contains("telstra".into()),
        IspEntry::Asn(1221),
        IspEntry::Name("TELSTRA INTERNET".into()),
    ] {
        assert_eq!(check(&isp(entry.clone()), &telstra), Err(Refusal::Isp), "{entry:?}");
        assert_eq!(check(&isp(entry), &NOBODY), Ok(()));
    }
    assert_eq!(check(&isp(IspEntry::Name("Telstra".into())), &telstra), Ok(()));
    let carrier = |mnc: &str| Ruleset {
        carriers: Sides {
            include: vec![CarrierEntry::Codes { mcc: "310".into(), mnc: mnc.into() }],
            ..Sides::default()
        },
        ..Ruleset::default()
    };
    assert_eq!(check(&carrier("004"), &telstra), Ok(()));
    assert_eq!(check(&carrier("005"), &telstra), Err(Refusal::Carrier));
    let wifi = Ruleset {
        connections: Sides {
            include: NumberSet::from_iter([Connection::Wifi as u8]),
            ..Sides::default()
        },
        ..Ruleset::default()
    };
    assert_eq!(check(&wifi, &telstra), Err(Refusal::Connection));
    assert_eq!(check(&wifi, &NOBODY), Err(Refusal::Connection));
    let hidden =
        |kinds: ProxyKinds| Ruleset { refused_proxies: kinds.bits(), ..Ruleset::default() };
    assert_eq!(check(&hidden(ProxyKinds::VPN | ProxyKinds::TOR), &telstra), Ok(()));
    assert_eq!(
        check(&hidden(ProxyKinds::VPN | ProxyKinds::HOSTING), &telstra),
        Err(Refusal::Proxy)
    );
    assert_eq!(check(&hidden(ProxyKinds::VPN), &NOBODY), Ok(()));
}

fn monday_from_nine_to_five(zone: Option<&str>) -> Ruleset {
    let slot = Slot { day: 1, first_minute: 9 * 60, last_minute: 16 * 60 + 59 };
    let hours = Hours::new(zone.map(Into::into), &[slot]);
    Ruleset { hours: Some(hours), ..Ruleset::default() }
}

#[test]
fn hours_go_by_the_zone_the_visitor_or_the_network() {
    let passes = |zone: Option<&str>, visitor: &Visitor<'_>, hour: i64| {
        check_at(&monday_from_nine_to_five(zone), visitor, MONDAY + hour * 3600).is_ok()
    };
    let new_york = Some("America/New_York");
    assert!(passes(new_york, &NOBODY, 13) && !passes(new_york, &NOBODY, 12));
    assert!(passes(new_york, &NOBODY, 20) && !passes(new_york, &NOBODY, 21));
    let mut berliner = NOBODY;
    berliner.place.time_zone = "Europe/Berlin";
    assert!(passes(None, &berliner, 7) && !passes(None, &berliner, 15));
    // By the network's clock, an hour ahead of UTC.
    assert!(passes(None, &NOBODY, 8) && !passes(None, &NOBODY, 7));
    assert!(passes(None, &milton(), 8));
}

#[test]
fn a_visit_that_a_server_reports_is_bound_by_fixed_hours_alone() {
    let check = |ruleset: Ruleset, hour: i64| {
        PreparedRuleset::from(ruleset).check_time(&SummerClocks, MONDAY + hour * 3600)
    };
    assert_eq!(check(monday_from_nine_to_five(Some("Europe/Berlin")), 7), Ok(()));
    assert_eq!(check(monday_from_nine_to_five(Some("Europe/Berlin")), 6), Err(Refusal::Hours));
    assert_eq!(check(monday_from_nine_to_five(None), 0), Ok(()));
    assert_eq!(check(countries(&[b"GB"], &[]), 0), Ok(()));
}

#[test]
fn all_dimensions_must_agree_and_the_first_refusal_is_the_reason() {
    let mut ruleset = countries(&[b"US"], &[]);
    ruleset.platforms.include.insert(Platform::Ios as u8);
    let visit =
        |country, user_agent| check(&ruleset, &Visitor { user_agent, ..at(country, "", "") });
    assert_eq!(visit("US", ANDROID), Err(Refusal::Platform));
    assert_eq!(visit("GB", IPHONE), refused_at(PlaceLevel::Country));
    assert_eq!(visit("GB", ANDROID), refused_at(PlaceLevel::Country));
    assert_eq!(visit("US", IPHONE), Ok(()));
    assert!(Ruleset::default().is_empty() && !ruleset.is_empty());
}

#[test]
fn a_check_asks_for_the_parts_of_a_place_that_its_rules_name() {
    assert!(Ruleset::default().place_parts().is_empty());
    let parts = countries(&[b"US"], &[]).place_parts();
    assert_eq!(parts, PlaceParts::COUNTRY);
    let mut ruleset = Ruleset { refused_proxies: ProxyKinds::VPN.bits(), ..Ruleset::default() };
    ruleset.places.cities.include = vec![city(b"US", "Milton")];
    let parts = PlaceParts::COUNTRY | PlaceParts::REGION | PlaceParts::CITY | PlaceParts::PROXY;
    assert_eq!(ruleset.place_parts(), parts);
}

#[test]
fn a_ruleset_that_checks_cannot_use_is_refused() {
    let good = monday_from_nine_to_five(None).encode().unwrap();
    for len in 0..good.len() {
        assert!(Ruleset::decode(&good[..len]).is_err(), "cut to {len}");
    }
    let unknown_kind = Ruleset { refused_proxies: 0x80, ..Ruleset::default() };
    let error = Ruleset::decode(&unknown_kind.encode().unwrap()).unwrap_err();
    assert!(error.contains("stands for no kinds"), "{error}");
}

proptest! {
    #[test]
    fn no_damage_to_the_bytes_panics_when_they_are_read_and_used(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut ruleset = countries(&[b"US"], &[b"CA"]);
        ruleset.hours = monday_from_nine_to_five(None).hours;
        ruleset.addresses.exclude =
            AddressRanges::new([("1.2.3.4".parse().unwrap(), "1.2.3.9".parse().unwrap())]);
        let entry = PostalCodeEntry { country: None, code: "98354".into(), is_beginning: false };
        ruleset.places.postal_codes.include = PostalCodes::new(&[entry]);
        ruleset.isps.include = vec![IspEntry::Contains("telstra".into())];
        let mut bytes = ruleset.encode().unwrap();
        for (at, to) in &changes {
            *at.get_mut(&mut bytes) = *to;
        }
        if let Ok(damaged) = Ruleset::decode(&bytes) {
            let prepared = PreparedRuleset::from(damaged);
            for visitor in [NOBODY, milton()] {
                let _ = prepared.check(&visitor, &SummerClocks, MONDAY);
            }
        }
    }
}
