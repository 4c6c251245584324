//! The regions, cities, market areas and mobile networks that the records of databases name, for
//! lists to choose from.
//!
//! Every record is read once, so a large database takes seconds: not for the path of a visit.

use std::collections::{BTreeMap, BTreeSet};

use coupon_rules::countries::Country;
use coupon_rules::place::{Place, PlaceParts, Region};

use crate::database::Database;
use crate::databases::Databases;

/// Most cities of a list; the largest databases of today name half as many.
const MOST_CITIES: usize = 400_000;

/// Places by country and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPlaces {
    pub regions: Vec<KnownRegion>,
    pub cities: Vec<KnownCity>,
    /// Market areas of the United States, with the names of the regions in which they lie.
    pub dmas: BTreeMap<u16, BTreeSet<String>>,
    pub carriers: Vec<KnownCarrier>,
    /// False if a damaged record or the bound on cities left places out.
    pub is_complete: bool,
}

/// A subdivision of a country.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownRegion {
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// In English.
    pub name: String,
    /// ISO 3166-2 without the country; empty in databases that have names alone.
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownCity {
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// In English, without an addition in brackets.
    pub name: String,
    pub region_name: String,
    pub region_code: String,
    /// 0 in databases without these numbers.
    pub geoname_id: u32,
}

/// A mobile network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownCarrier {
    /// ISO 3166-1 alpha-2 of the first of its addresses; empty if no database knows it.
    pub country: &'static str,
    /// The provider of the first of its addresses.
    pub name: String,
    /// Mobile country code.
    pub mcc: String,
    /// Mobile network code.
    pub mnc: String,
}

impl Databases {
    /// Reads all records.
    #[must_use]
    pub fn known_places(&self) -> KnownPlaces {
        let mut collector = PlaceCollector { is_complete: true, ..PlaceCollector::default() };
        for file in self.files() {
            collector.add_database(file);
            collector.add_carriers(file, self);
        }
        collector.finish()
    }
}

#[derive(Default)]
struct PlaceCollector {
    regions: BTreeSet<KnownRegion>,
    cities: BTreeSet<KnownCity>,
    dmas: BTreeMap<u16, BTreeSet<String>>,
    /// By the two codes.
    carriers: BTreeMap<(String, String), KnownCarrier>,
    is_complete: bool,
}

impl PlaceCollector {
    fn add_database(&mut self, database: &Database) {
        let place_parts = PlaceParts::REGION | PlaceParts::CITY | PlaceParts::DMA;
        let wanted = database.info().parts.common(PlaceParts::COUNTRY | place_parts);
        if !wanted.has(place_parts) {
            return;
        }
        for record in database.distinct_records() {
            let mut place = Place::default();
            let read = record.and_then(|record| database.fill_from(&record, wanted, &mut place));
            match read {
                Ok(()) => self.add(&place),
                Err(_) => self.is_complete = false,
            }
        }
    }

    fn add(&mut self, place: &Place<'_>) {
        let Some(Country { code: country, .. }) = Country::find_by_code(place.country) else {
            return;
        };
        for region in place.regions.iter().filter(|region| **region != Region::default()) {
            self.regions.insert(KnownRegion {
                country,
                name: region.name.to_owned(),
                code: region.code.to_owned(),
            });
        }
        let region = place.regions[0];
        if place.dma != 0 {
            self.dmas.entry(place.dma).or_default().insert(region.name.to_owned());
        }
        if place.city.name.is_empty() {
            return;
        }
        if self.cities.len() >= MOST_CITIES {
            self.is_complete = false;
            return;
        }
        self.cities.insert(KnownCity {
            country,
            name: place.city.name.to_owned(),
            region_name: region.name.to_owned(),
            region_code: region.code.to_owned(),
            geoname_id: place.city.geoname_id,
        });
    }

    /// Adds the mobile networks. Databases of providers know no countries, so another one tells the
    /// country.
    fn add_carriers(&mut self, database: &Database, all: &Databases) {
        let parts = PlaceParts::CARRIER | PlaceParts::ISP;
        let wanted = database.info().parts.common(parts);
        if !wanted.has(PlaceParts::CARRIER) {
            return;
        }
        for record in database.distinct_records() {
            let mut place = Place::default();
            let address = record.and_then(|record| {
                database.fill_from(&record, wanted, &mut place)?;
                record.network().map(|network| network.ip())
            });
            let Ok(address) = address else {
                self.is_complete = false;
                continue;
            };
            let key = (place.carrier.mcc.to_owned(), place.carrier.mnc.to_owned());
            if key.0.is_empty() || self.carriers.contains_key(&key) {
                continue;
            }
            let country = all.look_up(address, PlaceParts::COUNTRY).country;
            let carrier = KnownCarrier {
                country: Country::find_by_code(country).map_or("", |country| country.code),
                name: place.isp.name.to_owned(),
                mcc: key.0.clone(),
                mnc: key.1.clone(),
            };
            self.carriers.insert(key, carrier);
        }
    }

    fn finish(self) -> KnownPlaces {
        let mut carriers: Vec<KnownCarrier> = self.carriers.into_values().collect();
        carriers.sort_unstable();
        KnownPlaces {
            regions: self.regions.into_iter().collect(),
            cities: self.cities.into_iter().collect(),
            dmas: self.dmas,
            carriers,
            is_complete: self.is_complete,
        }
    }
}
