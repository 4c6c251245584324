//! Offers with rules, and a visitor whom all of them let pass.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use coupon_geo::{Databases, LiveDatabases};
use coupon_rules::agent::{Agent, Browser, ClientHints, Device, Platform, RecentAgents};
use coupon_rules::control::{Control, ControlKind};
use coupon_rules::facts::VisitorFacts;
use coupon_rules::language;
use coupon_rules::place::{City, Place, PlaceParts, ProxyKinds, Region};
use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_rules::ruleset::hours::{Hours, Slot};
use coupon_rules::ruleset::number_set::NumberSet;
use coupon_rules::ruleset::places::{CityEntry, Places, PostalCodeEntry, PostalCodes, RegionEntry};
use coupon_rules::ruleset::versions::{VersionComparison, VersionEntry, Versions};
use coupon_rules::ruleset::{CarrierEntry, IspEntry, Ruleset, Sides};
use coupon_rules::text_match::{Comparison, TextMatch, Variable};
use coupon_shared::snapshot::catalog::Rule;

use crate::inputs::AGENTS;

/// The rules of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// A country.
    Country,
    /// A ruleset with entries in all of its lists.
    Full,
    /// A control of a source with 3,000 values.
    Values3000,
    /// A control of a source that contains one of 100 texts.
    Contains100,
}

impl Rules {
    /// Everything that offers are benchmarked with.
    pub const ALL: [Rules; 4] =
        [Rules::Country, Rules::Full, Rules::Values3000, Rules::Contains100];

    /// The rule of the catalog.
    pub fn rule(self) -> Rule {
        let rule = match self {
            Rules::Country => Rule::ruleset(1, &Ruleset { places: country(), ..no_rules() }),
            Rules::Full => Rule::ruleset(1, &full()),
            Rules::Values3000 => Rule::control(1, &control(Comparison::ExactMatch, 3_000)),
            Rules::Contains100 => Rule::control(1, &control(Comparison::Contains, 100)),
        };
        rule.expect("memory for a rule")
    }
}

fn no_rules() -> Ruleset {
    Ruleset::default()
}

fn country() -> Places {
    Places { countries: include(vec![*b"US"]), ..Places::default() }
}

fn include<T: Default>(include: T) -> Sides<T> {
    Sides { include, exclude: T::default() }
}

fn exclude<T: Default>(exclude: T) -> Sides<T> {
    Sides { include: T::default(), exclude }
}

fn one(number: u8) -> NumberSet {
    [number].into_iter().collect()
}

/// Each list has an entry; the visitor passes every one, so that all are compared.
fn full() -> Ruleset {
    let postal_code =
        PostalCodeEntry { country: Some(*b"US"), code: "10001".into(), is_beginning: false };
    let region = RegionEntry { country: *b"US", code: "CA".into(), name: "California".into() };
    let city = CityEntry {
        geoname_id: 0,
        country: *b"US",
        region_code: "WA".into(),
        name: "Milton".into(),
    };
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let slots = [0, 1, 2, 3, 4, 5, 6].map(|day| Slot { day, first_minute: 0, last_minute: 1439 });
    Ruleset {
        places: Places {
            regions: exclude(vec![region]),
            cities: include(vec![city]),
            dmas: exclude(vec![501]),
            postal_codes: exclude(PostalCodes::new(&[postal_code])),
            ..country()
        },
        platforms: include(one(Platform::Ios as u8)),
        devices: include(one(Device::Mobile as u8)),
        browsers: exclude(one(Browser::Edge as u8)),
        os_versions: Versions(vec![VersionEntry {
            platform: Platform::Ios as u8,
            comparison: VersionComparison::Minimum,
            major: 16,
            minor: None,
            includes: true,
        }]),
        languages: include(vec!["de".into(), "en".into()]),
        brands: exclude(one(2)),
        addresses: exclude(AddressRanges::new([(address("10.0.0.0"), address("10.0.0.255"))])),
        isps: exclude(vec![IspEntry::Asn(1221), IspEntry::Contains("telstra".into())]),
        connections: exclude(one(2)),
        carriers: exclude(vec![CarrierEntry::Codes { mcc: "310".into(), mnc: "004".into() }]),
        hours: Some(Hours::new(None, &slots)),
        refused_proxies: ProxyKinds::VPN.bits(),
    }
}

/// A blacklist that does not match the visitor's source.
fn control(comparison: Comparison, values: usize) -> Control {
    let values: Vec<String> = (0..values).map(|number| format!("publisher-{number:05}")).collect();
    Control {
        kind: ControlKind::TrafficControl,
        is_whitelist: false,
        fails_over: false,
        is_everywhere: false,
        variables: vec![Variable::SourceId as u8],
        matching: TextMatch::new(comparison, values.iter().map(String::as_str)),
        partners: None,
        days: (0, u16::MAX),
    }
}

/// The test databases of MaxMind, which answer every question about a visitor.
pub fn test_databases() -> Arc<Databases> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/geo/tests/data");
    let names = ["City", "ISP", "Connection-Type", "Anonymous-IP"];
    let paths = names.map(|name| folder.join(format!("GeoIP2-{name}-Test.mmdb")));
    let databases = LiveDatabases::open(&paths);
    assert_eq!(databases.problems(), Vec::<String>::new());
    databases.current()
}

/// A phone in Milton, Washington. Facts are kept for one visit, as in coupond.
pub struct American<'a> {
    /// `None` for a visitor whose place is known without a look-up.
    databases: Option<&'a Databases>,
    /// The serving thread's memory of agents; `None` for an agent that is not in it.
    agents: Option<&'a RefCell<RecentAgents>>,
    agent: Cell<Option<Agent>>,
    place: Cell<Option<(PlaceParts, Place<'a>)>>,
}

impl<'a> American<'a> {
    /// A new visit.
    pub fn new(
        databases: Option<&'a Databases>,
        agents: Option<&'a RefCell<RecentAgents>>,
    ) -> Self {
        American { databases, agents, agent: Cell::default(), place: Cell::default() }
    }

    fn identify(&self) -> Agent {
        let (agent, hints) = (AGENTS[0].as_bytes(), ClientHints::default());
        match self.agents {
            Some(agents) => agents.borrow_mut().identify(agent, &hints),
            None => Agent::identify(agent, &hints),
        }
    }
}

/// The visitor's place in the test databases.
fn milton<'a>() -> Place<'a> {
    Place {
        country: "US",
        regions: [Region { code: "WA", name: "Washington" }, Region::default()],
        city: City { geoname_id: 5_803_556, name: "Milton" },
        postal_code: "98354",
        dma: 819,
        time_zone: "America/Los_Angeles",
        ..Place::default()
    }
}

impl VisitorFacts for American<'_> {
    fn address(&self) -> IpAddr {
        [216, 160, 83, 56].into()
    }

    fn look_up_place(&self, wanted: PlaceParts) -> Place<'_> {
        match self.place.get() {
            Some((known, place)) if (wanted - known).is_empty() => place,
            before => {
                let wanted = before.map_or(wanted, |(known, _)| known | wanted);
                let databases = self.databases;
                let place =
                    databases.map_or_else(milton, |all| all.look_up(self.address(), wanted));
                self.place.set(Some((wanted, place)));
                place
            }
        }
    }

    fn agent(&self) -> Agent {
        let agent = self.agent.get().unwrap_or_else(|| self.identify());
        self.agent.set(Some(agent));
        agent
    }

    fn language(&self) -> Option<&[u8]> {
        language::preferred(b"de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7")
    }

    fn request_text(&self, variable: Variable) -> &[u8] {
        match variable {
            Variable::SourceId => b"newsletter-autumn-4711",
            _ => b"",
        }
    }

    fn dice(&self, _offer: u32) -> u64 {
        0
    }
}
