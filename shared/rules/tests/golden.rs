//! The bytes of a ruleset in files, which programs of other versions read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_rules::ruleset::hours::{Hours, Slot};
use coupon_rules::ruleset::number_set::NumberSet;
use coupon_rules::ruleset::places::{CityEntry, Places, PostalCodeEntry, PostalCodes, RegionEntry};
use coupon_rules::ruleset::versions::{VersionComparison, VersionEntry, Versions};
use coupon_rules::ruleset::{CarrierEntry, IspEntry, Ruleset, Sides};

fn numbers(include: &[u8], exclude: &[u8]) -> Sides<NumberSet> {
    Sides { include: include.iter().copied().collect(), exclude: exclude.iter().copied().collect() }
}

fn places() -> Places {
    let postal_code = |code: &str, is_beginning| PostalCodeEntry {
        country: Some(*b"GB"),
        code: code.into(),
        is_beginning,
    };
    Places {
        countries: Sides { include: vec![*b"GB", *b"US"], exclude: vec![*b"CA"] },
        regions: Sides {
            include: vec![RegionEntry {
                country: *b"US",
                code: "WA".into(),
                name: "Washington".into(),
            }],
            exclude: vec![],
        },
        cities: Sides {
            include: vec![],
            exclude: vec![CityEntry {
                geoname_id: 5_803_556,
                country: *b"US",
                region_code: "WA".into(),
                name: "Milton".into(),
            }],
        },
        dmas: Sides { include: vec![819], exclude: vec![] },
        postal_codes: Sides {
            include: PostalCodes::new(&[postal_code("OX1", false), postal_code("SW", true)]),
            exclude: PostalCodes::default(),
        },
    }
}

/// A ruleset with each kind of entry.
fn ruleset() -> Ruleset {
    let entry = |comparison, minor, includes| VersionEntry {
        platform: 1,
        comparison,
        major: 12,
        minor,
        includes,
    };
    let address = |text: &str| text.parse().unwrap();
    Ruleset {
        places: places(),
        platforms: numbers(&[1, 2], &[]),
        devices: numbers(&[], &[3]),
        browsers: numbers(&[1], &[255]),
        os_versions: Versions(vec![
            entry(VersionComparison::Minimum, None, true),
            entry(VersionComparison::Maximum, Some(4), true),
            entry(VersionComparison::Exact, None, false),
        ]),
        languages: Sides { include: vec!["pt-BR".into()], exclude: vec!["en".into()] },
        brands: numbers(&[1], &[]),
        addresses: Sides {
            include: AddressRanges::new([(address("2001:db8::"), address("2001:db8::ffff"))]),
            exclude: AddressRanges::new([(address("10.0.0.1"), address("10.0.0.9"))]),
        },
        isps: Sides {
            include: vec![IspEntry::Asn(1221)],
            exclude: vec![IspEntry::Name("Comcast".into()), IspEntry::Contains("telstra".into())],
        },
        connections: numbers(&[2], &[]),
        carriers: Sides {
            include: vec![CarrierEntry::Codes { mcc: "310".into(), mnc: "004".into() }],
            exclude: vec![CarrierEntry::Name("Verizon".into())],
        },
        hours: Some(Hours::new(
            Some("Europe/Berlin".into()),
            &[Slot { day: 1, first_minute: 540, last_minute: 1019 }],
        )),
        refused_proxies: 0b1_0001,
    }
}

fn golden_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ruleset_v1.bin")
}

#[test]
#[ignore = "writes the file of a new version, if there is none"]
fn write_golden() {
    if !golden_path().exists() {
        std::fs::write(golden_path(), ruleset().encode().unwrap()).unwrap();
    }
}

#[test]
fn a_ruleset_has_the_bytes_it_had_and_old_bytes_are_read() {
    let golden = std::fs::read(golden_path()).unwrap();
    let bytes = ruleset().encode().unwrap();
    assert_eq!(bytes, golden, "a change of the bytes needs an opcode of its own");
    assert_eq!(Ruleset::decode(&golden), Ok(ruleset()));
}
