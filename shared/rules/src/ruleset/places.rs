//! Rules on the place of a visitor, on five levels: city, market area, postal code, region, country.
//!
//! The most specific level with a matching entry decides; on one level an exclude beats an include.
//! So with *exclude US* and *include New York*, visitors from New York pass. If no entry matches,
//! the visitor passes only if no level has includes. The refusal names the level that decided, else
//! the widest level with includes.

use rkyv::{Archive, Deserialize, Serialize};

use super::sorted_texts::SortedTexts;
use super::{Refusal, Sides, Verdict};
use crate::place::{Place, PlaceParts};

/// ISO 3166-1 alpha-2 in upper case.
pub type CountryCode = [u8; 2];

/// Longest postal code that is compared; longer ones match nothing.
const MAX_POSTAL_CODE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaceLevel {
    City,
    Dma,
    PostalCode,
    Region,
    Country,
}

impl PlaceLevel {
    /// The most specific level first.
    pub const IN_ORDER: [PlaceLevel; 5] = [
        PlaceLevel::City,
        PlaceLevel::Dma,
        PlaceLevel::PostalCode,
        PlaceLevel::Region,
        PlaceLevel::Country,
    ];

    fn part(self) -> PlaceParts {
        match self {
            PlaceLevel::City => PlaceParts::CITY,
            PlaceLevel::Dma => PlaceParts::DMA,
            PlaceLevel::PostalCode => PlaceParts::POSTAL_CODE,
            PlaceLevel::Region => PlaceParts::REGION,
            PlaceLevel::Country => PlaceParts::COUNTRY,
        }
    }
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// In ascending order of codes.
    pub countries: Sides<Vec<CountryCode>>,
    pub regions: Sides<Vec<RegionEntry>>,
    pub cities: Sides<Vec<CityEntry>>,
    /// In ascending order.
    pub dmas: Sides<Vec<u16>>,
    pub postal_codes: Sides<PostalCodes>,
}

/// A subdivision. Databases without codes are compared by its name.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct RegionEntry {
    pub country: CountryCode,
    /// ISO 3166-2 without the country; may be empty.
    pub code: String,
    /// In English; may be empty.
    pub name: String,
}

/// A city, by number or by name.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct CityEntry {
    /// 0 if the entry goes by name alone. With a name, too, the number decides where the database
    /// has one.
    pub geoname_id: u32,
    pub country: CountryCode,
    /// ISO 3166-2 without the country; empty for any.
    pub region_code: String,
    pub name: String,
}

/// Postal codes, whole ones and beginnings.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct PostalCodes {
    /// Country, then the code in upper case without spaces.
    whole: SortedTexts,
    beginnings: SortedTexts,
}

/// A postal code of a country; without a country, of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostalCodeEntry {
    pub country: Option<CountryCode>,
    pub code: String,
    /// Whether all codes match that begin so.
    pub is_beginning: bool,
}

/// Stands for any country: no code has these bytes.
const ANY_COUNTRY: CountryCode = [0, 0];

impl PostalCodes {
    #[must_use]
    pub fn new(entries: &[PostalCodeEntry]) -> PostalCodes {
        let keys = |are_beginnings: bool| {
            let entries = entries.iter().filter(|entry| entry.is_beginning == are_beginnings);
            let keys = entries.map(|entry| {
                let code = entry.code.bytes().filter(|byte| *byte != b' ');
                let country = entry.country.unwrap_or(ANY_COUNTRY);
                country.into_iter().chain(code.map(|byte| byte.to_ascii_uppercase())).collect()
            });
            SortedTexts::new(keys.collect())
        };
        PostalCodes { whole: keys(false), beginnings: keys(true).without_longer() }
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty()
    }

    fn matches(&self, place: &Place<'_>) -> bool {
        if place.postal_code.is_empty() {
            return false;
        }
        let mut key = [0; 2 + MAX_POSTAL_CODE];
        let mut len = 2;
        for byte in place.postal_code.bytes().filter(|byte| *byte != b' ') {
            if len == key.len() {
                return false;
            }
            key[len] = byte.to_ascii_uppercase();
            len += 1;
        }
        let mut has = |country: CountryCode| {
            key[..2].copy_from_slice(&country);
            self.whole.has(&key[..len]) || self.beginnings.has_beginning_of(&key[..len])
        };
        has(ANY_COUNTRY) || country_code(place).is_some_and(has)
    }
}

fn country_code(place: &Place<'_>) -> Option<CountryCode> {
    place.country.as_bytes().try_into().ok()
}

impl RegionEntry {
    fn matches(&self, place: &Place<'_>) -> bool {
        let is_same =
            |ours: &str, theirs: &str| !ours.is_empty() && ours.eq_ignore_ascii_case(theirs);
        country_code(place) == Some(self.country)
            && place.regions.iter().any(|region| {
                is_same(&self.code, region.code)
                    || (is_same(&self.name, region.name)
                        && (self.code.is_empty() || region.code.is_empty()))
            })
    }
}

impl CityEntry {
    fn matches(&self, place: &Place<'_>) -> bool {
        // Another maker's database may have no numbers; then the name decides.
        if self.geoname_id != 0 && (place.city.geoname_id != 0 || self.name.is_empty()) {
            return self.geoname_id == place.city.geoname_id;
        }
        let region_fits = self.region_code.is_empty()
            || place
                .regions
                .iter()
                .any(|region| region.code.eq_ignore_ascii_case(&self.region_code));
        country_code(place) == Some(self.country)
            && region_fits
            && place.city.name.eq_ignore_ascii_case(&self.name)
    }
}

/// What the entries of one level say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LevelMatch {
    Include,
    Exclude,
    Neither,
}

impl Places {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        PlaceLevel::IN_ORDER.into_iter().all(|level| !self.has(level))
    }

    /// Whether the level has entries.
    #[must_use]
    pub fn has(&self, level: PlaceLevel) -> bool {
        match level {
            PlaceLevel::City => !self.cities.is_empty(),
            PlaceLevel::Dma => !self.dmas.is_empty(),
            PlaceLevel::PostalCode => {
                !(self.postal_codes.include.is_empty() && self.postal_codes.exclude.is_empty())
            }
            PlaceLevel::Region => !self.regions.is_empty(),
            PlaceLevel::Country => !self.countries.is_empty(),
        }
    }

    fn has_includes(&self, level: PlaceLevel) -> bool {
        match level {
            PlaceLevel::City => !self.cities.include.is_empty(),
            PlaceLevel::Dma => !self.dmas.include.is_empty(),
            PlaceLevel::PostalCode => !self.postal_codes.include.is_empty(),
            PlaceLevel::Region => !self.regions.include.is_empty(),
            PlaceLevel::Country => !self.countries.include.is_empty(),
        }
    }

    /// The parts of a place that a check asks for.
    pub(super) fn parts(&self) -> PlaceParts {
        let levels = PlaceLevel::IN_ORDER.into_iter().filter(|level| self.has(*level));
        let parts = levels.fold(PlaceParts::default(), |parts, level| parts | level.part());
        // The other levels' entries name the country, and some the region.
        match parts.is_empty() {
            true => parts,
            false if self.has(PlaceLevel::City) => parts | PlaceParts::COUNTRY | PlaceParts::REGION,
            false => parts | PlaceParts::COUNTRY,
        }
    }

    pub(super) fn verdict(&self, place: &Place<'_>) -> Verdict {
        for level in PlaceLevel::IN_ORDER {
            match self.level_match(level, place) {
                LevelMatch::Include => return Verdict::Passed,
                LevelMatch::Exclude => return Verdict::Refused(Refusal::Place(level)),
                LevelMatch::Neither => {}
            }
        }
        let mut widest_first = PlaceLevel::IN_ORDER.into_iter().rev();
        let is_known =
            PlaceLevel::IN_ORDER.into_iter().any(|level| self.has(level) && is_known(level, place));
        match widest_first.find(|level| self.has_includes(*level)) {
            Some(level) if is_known => Verdict::Refused(Refusal::Place(level)),
            Some(level) => Verdict::RefusedUnknown(Refusal::Place(level)),
            None if is_known => Verdict::Passed,
            None => Verdict::PassedUnknown,
        }
    }

    fn level_match(&self, level: PlaceLevel, place: &Place<'_>) -> LevelMatch {
        match level {
            PlaceLevel::City => any(&self.cities, |entry| entry.matches(place)),
            PlaceLevel::Dma => any(&self.dmas, |dma| place.dma != 0 && *dma == place.dma),
            PlaceLevel::PostalCode => {
                let codes = &self.postal_codes;
                match () {
                    () if codes.exclude.matches(place) => LevelMatch::Exclude,
                    () if codes.include.matches(place) => LevelMatch::Include,
                    () => LevelMatch::Neither,
                }
            }
            PlaceLevel::Region => any(&self.regions, |entry| entry.matches(place)),
            PlaceLevel::Country => {
                let code = country_code(place);
                any(&self.countries, |country| Some(*country) == code)
            }
        }
    }

    pub(super) fn check_order(&self) -> Result<(), String> {
        for codes in [&self.postal_codes.include, &self.postal_codes.exclude] {
            codes.whole.check_order()?;
            codes.beginnings.check_order()?;
        }
        Ok(())
    }
}

fn any<T>(sides: &Sides<Vec<T>>, mut matches: impl FnMut(&T) -> bool) -> LevelMatch {
    match () {
        () if sides.exclude.iter().any(&mut matches) => LevelMatch::Exclude,
        () if sides.include.iter().any(&mut matches) => LevelMatch::Include,
        () => LevelMatch::Neither,
    }
}

fn is_known(level: PlaceLevel, place: &Place<'_>) -> bool {
    match level {
        PlaceLevel::City => !place.city.name.is_empty() || place.city.geoname_id != 0,
        PlaceLevel::Dma => place.dma != 0,
        PlaceLevel::PostalCode => !place.postal_code.is_empty(),
        PlaceLevel::Region => place.regions.iter().any(|region| *region != Default::default()),
        PlaceLevel::Country => !place.country.is_empty(),
    }
}
