//! The files that answer together.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use coupon_rules::place::{City, Isp, Place, PlaceParts, Region};

use crate::database::{Database, DatabaseInfo};

/// The databases in service, in the order of the configuration.
#[derive(Clone, Default)]
pub struct Databases {
    files: Vec<Arc<Database>>,
    parts: PlaceParts,
}

impl Databases {
    pub(crate) fn new(files: Vec<Arc<Database>>) -> Databases {
        let parts =
            files.iter().fold(PlaceParts::default(), |parts, file| parts | file.info().parts);
        Databases { files, parts }
    }

    /// The wanted parts of the place of an address, each from the first database that knows it.
    ///
    /// Costs one look-up in each database that has a wanted part, and decodes the wanted parts only.
    #[must_use]
    pub fn look_up(&self, address: IpAddr, wanted: PlaceParts) -> Place<'_> {
        // Databases of some makers know an IPv4 address only as such.
        let address = address.to_canonical();
        let mut place = Place::default();
        let mut open = wanted.common(self.parts);
        for file in &self.files {
            file.fill(address, open, &mut place);
            open = open - known_parts(&place);
            if open.is_empty() {
                break;
            }
        }
        place
    }

    /// Whether the databases answer every one of these parts, for some addresses at least.
    #[must_use]
    pub fn has(&self, parts: PlaceParts) -> bool {
        (parts - self.parts).is_empty()
    }

    /// The parts that the databases answer together.
    #[must_use]
    pub fn parts(&self) -> PlaceParts {
        self.parts
    }

    pub fn sources(&self) -> impl Iterator<Item = &DatabaseInfo> {
        self.files.iter().map(|file| file.info())
    }

    pub(crate) fn files(&self) -> &[Arc<Database>] {
        &self.files
    }
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources()).finish()
    }
}

/// The parts that need no other database. Kinds of proxies are added up over all databases.
fn known_parts(place: &Place<'_>) -> PlaceParts {
    let is_known = [
        (PlaceParts::COUNTRY, !place.country.is_empty()),
        (PlaceParts::REGION, place.regions[0] != Region::default()),
        (PlaceParts::CITY, place.city != City::default()),
        (PlaceParts::POSTAL_CODE, !place.postal_code.is_empty()),
        (PlaceParts::DMA, place.dma != 0),
        (PlaceParts::TIME_ZONE, !place.time_zone.is_empty()),
        (PlaceParts::ISP, matches!(place.isp, Isp { asn: 1.., name } if !name.is_empty())),
        (PlaceParts::CARRIER, !place.carrier.mcc.is_empty()),
        (PlaceParts::CONNECTION, place.connection.is_some()),
    ];
    let known = is_known.into_iter().filter(|(_, is_known)| *is_known);
    known.fold(PlaceParts::default(), |parts, (part, _)| parts | part)
}
