//! The place and the network of an address, as databases know them.

use std::ops::{BitOr, BitOrAssign, Sub};

use crate::names::named_numbers;

/// Parts of a [`Place`]: a look-up decodes only the parts in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlaceParts(u16);

impl PlaceParts {
    pub const COUNTRY: PlaceParts = PlaceParts(1);
    pub const REGION: PlaceParts = PlaceParts(1 << 1);
    pub const CITY: PlaceParts = PlaceParts(1 << 2);
    pub const POSTAL_CODE: PlaceParts = PlaceParts(1 << 3);
    pub const DMA: PlaceParts = PlaceParts(1 << 4);
    pub const TIME_ZONE: PlaceParts = PlaceParts(1 << 5);
    pub const ISP: PlaceParts = PlaceParts(1 << 6);
    pub const CARRIER: PlaceParts = PlaceParts(1 << 7);
    pub const CONNECTION: PlaceParts = PlaceParts(1 << 8);
    pub const PROXY: PlaceParts = PlaceParts(1 << 9);

    /// The parts by the words of logs and of the API, from the widest place to the network.
    pub const NAMES: [(PlaceParts, &'static str); 10] = [
        (PlaceParts::COUNTRY, "country"),
        (PlaceParts::REGION, "region"),
        (PlaceParts::CITY, "city"),
        (PlaceParts::POSTAL_CODE, "postal_code"),
        (PlaceParts::DMA, "dma"),
        (PlaceParts::TIME_ZONE, "time_zone"),
        (PlaceParts::ISP, "isp"),
        (PlaceParts::CARRIER, "carrier"),
        (PlaceParts::CONNECTION, "connection"),
        (PlaceParts::PROXY, "proxy"),
    ];

    /// Whether any of these parts is among the parts.
    #[must_use]
    pub fn has(self, parts: PlaceParts) -> bool {
        self.0 & parts.0 != 0
    }

    /// The parts among both.
    #[must_use]
    pub fn common(self, parts: PlaceParts) -> PlaceParts {
        PlaceParts(self.0 & parts.0)
    }

    /// The parts of these names; names of later versions are left out.
    #[must_use]
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n str>) -> PlaceParts {
        let part = |name| PlaceParts::NAMES.into_iter().find(|(_, known)| *known == name);
        let parts = names.into_iter().filter_map(part);
        parts.fold(PlaceParts::default(), |parts, (part, _)| parts | part)
    }

    /// The names of the parts.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        PlaceParts::NAMES.into_iter().filter(move |(part, _)| self.has(*part)).map(|(_, name)| name)
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for PlaceParts {
    type Output = PlaceParts;

    fn bitor(self, other: PlaceParts) -> PlaceParts {
        PlaceParts(self.0 | other.0)
    }
}

impl BitOrAssign for PlaceParts {
    fn bitor_assign(&mut self, other: PlaceParts) {
        *self = *self | other;
    }
}

impl Sub for PlaceParts {
    type Output = PlaceParts;

    /// The parts without the other ones.
    fn sub(self, other: PlaceParts) -> PlaceParts {
        PlaceParts(self.0 & !other.0)
    }
}

/// The place of an address. An empty text, a zero or `None` is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// ISO 3166-1 alpha-2, in upper case. Where the visitor is, never where a network is registered.
    pub country: &'a str,
    /// The wider subdivision first, as England of England and West Berkshire.
    pub regions: [Region<'a>; 2],
    pub city: City<'a>,
    pub postal_code: &'a str,
    /// Designated market area (United States).
    pub dma: u16,
    /// IANA name.
    pub time_zone: &'a str,
    pub isp: Isp<'a>,
    /// Codes of the mobile network.
    pub carrier: Carrier<'a>,
    pub connection: Option<Connection>,
    /// `None` if no database knows the address; no kind if it is known as an ordinary one.
    pub proxy: Option<ProxyKinds>,
}

/// A subdivision of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Region<'a> {
    /// ISO 3166-2 without the country, in upper case. Some databases have names alone.
    pub code: &'a str,
    /// In English.
    pub name: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct City<'a> {
    pub geoname_id: u32,
    /// In English, without an addition in brackets.
    pub name: &'a str,
}

/// The network that an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Isp<'a> {
    /// Number of the autonomous system.
    pub asn: u32,
    /// Name of the provider, else of the autonomous system's organisation.
    pub name: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carrier<'a> {
    /// Mobile country code.
    pub mcc: &'a str,
    /// Mobile network code.
    pub mnc: &'a str,
}

named_numbers! {
    /// How the visitor is connected. The numbers are Everflow's.
    pub enum Connection {
        /// Any network but a cellular one.
        Wifi = 1, "wifi";
        Mobile = 2, "mobile";
    }
}

/// Kinds of networks that hide their users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyKinds(u8);

impl ProxyKinds {
    pub const VPN: ProxyKinds = ProxyKinds(1);
    pub const PUBLIC_PROXY: ProxyKinds = ProxyKinds(1 << 1);
    pub const TOR: ProxyKinds = ProxyKinds(1 << 2);
    pub const RESIDENTIAL_PROXY: ProxyKinds = ProxyKinds(1 << 3);
    /// A data centre. The networks of companies and privacy relays are among them.
    pub const HOSTING: ProxyKinds = ProxyKinds(1 << 4);

    /// The kinds by the words of logs and of the API.
    pub const NAMES: [(ProxyKinds, &'static str); 5] = [
        (ProxyKinds::VPN, "vpn"),
        (ProxyKinds::PUBLIC_PROXY, "public_proxy"),
        (ProxyKinds::TOR, "tor"),
        (ProxyKinds::RESIDENTIAL_PROXY, "residential_proxy"),
        (ProxyKinds::HOSTING, "hosting"),
    ];

    /// The names of the kinds.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ProxyKinds::NAMES.into_iter().filter(move |(kind, _)| self.has(*kind)).map(|(_, name)| name)
    }

    /// Whether any of these kinds is among the kinds.
    #[must_use]
    pub fn has(self, kinds: ProxyKinds) -> bool {
        self.0 & kinds.0 != 0
    }

    /// The kinds as bits, for files.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// `None` if a bit stands for no kind.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<ProxyKinds> {
        (bits < 1 << 5).then_some(ProxyKinds(bits))
    }
}

impl BitOr for ProxyKinds {
    type Output = ProxyKinds;

    fn bitor(self, other: ProxyKinds) -> ProxyKinds {
        ProxyKinds(self.0 | other.0)
    }
}

impl BitOrAssign for ProxyKinds {
    fn bitor_assign(&mut self, other: ProxyKinds) {
        *self = *self | other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_every_kind_has_a_name() {
        let parts = PlaceParts::NAMES.iter().fold(PlaceParts::default(), |all, (part, _)| {
            assert!(!all.has(*part), "each part has a bit of its own");
            all | *part
        });
        assert_eq!(parts.names().count(), PlaceParts::NAMES.len());
        let kinds = ProxyKinds::NAMES.iter().map(|(kind, _)| kind.bits()).sum();
        assert_eq!(ProxyKinds::from_bits(kinds).unwrap().names().count(), 5);
        assert_eq!(ProxyKinds::from_bits(kinds + 1), None);
    }

    #[test]
    fn parts_are_added_compared_and_taken_away() {
        let both = PlaceParts::CITY | PlaceParts::COUNTRY;
        assert_eq!(both.names().collect::<Vec<_>>(), ["country", "city"]);
        assert_eq!(both - PlaceParts::CITY, PlaceParts::COUNTRY);
        assert_eq!(both.common(PlaceParts::CITY | PlaceParts::DMA), PlaceParts::CITY);
        assert!((both - both).is_empty());
    }
}
