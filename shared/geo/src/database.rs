//! One file, in memory.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use coupon_rules::place::{Carrier, Place, PlaceParts, ProxyKinds, Region};
use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use crate::database_check::{check_tree, find_layout};
use crate::database_error::{DatabaseError, DatabaseFault};
use crate::fields::{CityField, ProxyFlags, Subdivisions, Text};
use crate::layout::{Field, Layout, Record, number, text};

/// Most bytes of a file. The largest city databases of today have a quarter of it.
pub const MAX_DATABASE_BYTES: u64 = 2 << 30;
/// A file is read in pieces, so that a thread of low priority makes room between two of them.
const PIECE_BYTES: u64 = 256 << 10;
/// Most networks of a walk over all records. Nodes that are their own descendants would make the walk
/// endless; the largest databases of today have a third of it.
const MOST_NETWORKS: usize = 60_000_000;
/// Parts that mean something only together with the country of the same database.
const PARTS_OF_A_COUNTRY: [PlaceParts; 4] =
    [PlaceParts::REGION, PlaceParts::CITY, PlaceParts::POSTAL_CODE, PlaceParts::DMA];

/// A checked database.
pub(crate) struct Database {
    reader: Reader<Vec<u8>>,
    layout: Layout,
    info: DatabaseInfo,
    unreadable: AtomicU64,
}

/// Facts about a database in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    pub path: PathBuf,
    /// The maker's name for the type, such as `GeoLite2-City`.
    pub kind: String,
    /// Time at which the maker built the database, in Unix seconds.
    pub build_unix_s: u64,
    pub parts: PlaceParts,
    pub bytes: u64,
}

impl DatabaseInfo {
    /// The file's name without its folder.
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// 0 for a database of the future.
    #[must_use]
    pub fn age_s(&self, now_unix_s: u64) -> u64 {
        now_unix_s.saturating_sub(self.build_unix_s)
    }

    #[must_use]
    pub fn age_days(&self, now_unix_s: u64) -> u64 {
        self.age_s(now_unix_s) / (24 * 60 * 60)
    }
}

/// Properties that differ between two versions of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileStamp {
    pub(crate) fn read(path: &Path) -> io::Result<FileStamp> {
        std::fs::metadata(path).map(|metadata| FileStamp::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &Metadata) -> FileStamp {
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Seconds since the last write; 0 for a time in the future.
    pub(crate) fn seconds_since_write(self, now_unix_s: u64) -> u64 {
        now_unix_s.saturating_sub(u64::try_from(self.modified.0).unwrap_or(0))
    }
}

impl Database {
    /// Reads and checks a file.
    pub(crate) fn open(path: &Path) -> Result<Database, DatabaseError> {
        let failed = |fault| DatabaseError { path: path.to_owned(), fault };
        let bytes = read_file(path).map_err(failed)?;
        Database::from_bytes(path, bytes).map_err(failed)
    }

    fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Database, DatabaseFault> {
        check_tree(&bytes)?;
        let length = bytes.len() as u64;
        let reader = Reader::from_source(bytes).map_err(DatabaseFault::Format)?;
        let layout = find_layout(&reader)?;
        let metadata = reader.metadata();
        let info = DatabaseInfo {
            path: path.to_owned(),
            kind: metadata.database_type.chars().filter(|c| !c.is_control()).take(100).collect(),
            build_unix_s: metadata.build_epoch,
            parts: layout.parts(),
            bytes: length,
        };
        Ok(Database { reader, layout, info, unreadable: AtomicU64::new(0) })
    }

    pub(crate) fn info(&self) -> &DatabaseInfo {
        &self.info
    }

    /// Look-ups that found a damaged record.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Every record once, by the first of its networks.
    pub(crate) fn distinct_records(
        &self,
    ) -> impl Iterator<Item = Result<Record<'_>, MaxMindDbError>> {
        let networks = self.reader.networks(WithinOptions::default()).into_iter().flatten();
        let mut seen = OffsetSet::new(self.info.bytes);
        networks.take(MOST_NETWORKS).filter(move |network| match network {
            Ok(record) => record.offset().is_some_and(|offset| seen.insert(offset)),
            Err(_) => true,
        })
    }

    /// Fills the wanted parts that this database knows of the address into the place.
    pub(crate) fn fill<'a>(&'a self, address: IpAddr, wanted: PlaceParts, place: &mut Place<'a>) {
        let is_covered = address.is_ipv4() || self.reader.metadata().ip_version == 6;
        let wanted = wanted.common(self.info.parts);
        if wanted.is_empty() || !is_covered {
            return;
        }
        let found = self.reader.lookup(address);
        let filled = found.and_then(|record| match record.has_data() {
            true => self.fill_from(&record, wanted, place),
            false => Ok(()),
        });
        if filled.is_err() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn fill_from<'a>(
        &self,
        record: &Record<'a>,
        wanted: PlaceParts,
        place: &mut Place<'a>,
    ) -> Result<(), MaxMindDbError> {
        let mut wanted = wanted;
        if self.is_of_another_country(record, wanted, place)? {
            wanted = PARTS_OF_A_COUNTRY.into_iter().fold(wanted, |left, part| left - part);
        }
        let fields = RecordFields { record, layout: &self.layout };
        if wanted.has(PlaceParts::COUNTRY) {
            place.country = fields.text(Field::Country)?.country_code();
        }
        if wanted.has(PlaceParts::REGION) {
            place.regions = fields.regions()?;
        }
        if wanted.has(PlaceParts::CITY) {
            place.city = fields.decode::<CityField<'_>>(Field::City)?.0;
        }
        if wanted.has(PlaceParts::POSTAL_CODE) {
            place.postal_code = fields.text(Field::PostalCode)?.0;
        }
        if wanted.has(PlaceParts::DMA) {
            place.dma = u16::try_from(fields.number(Field::Dma)?).unwrap_or(0);
        }
        if wanted.has(PlaceParts::TIME_ZONE) {
            place.time_zone = fields.text(Field::TimeZone)?.0;
        }
        if wanted.has(PlaceParts::ISP) {
            fields.fill_isp(place)?;
        }
        if wanted.has(PlaceParts::CARRIER) {
            place.carrier = Carrier {
                mcc: fields.text(Field::MobileCountryCode)?.0,
                mnc: fields.text(Field::MobileNetworkCode)?.0,
            };
        }
        if wanted.has(PlaceParts::CONNECTION) {
            place.connection = fields.text(Field::Connection)?.connection();
        }
        if wanted.has(PlaceParts::PROXY) {
            place.proxy = Some(place.proxy.unwrap_or_default() | fields.proxy_kinds()?);
        }
        Ok(())
    }

    /// Whether an earlier database knows the address in another country: "WA" is a region of the
    /// United States and one of Australia, so region and country must come from one view.
    fn is_of_another_country(
        &self,
        record: &Record<'_>,
        wanted: PlaceParts,
        place: &Place<'_>,
    ) -> Result<bool, MaxMindDbError> {
        let depends = PARTS_OF_A_COUNTRY.into_iter().any(|part| wanted.has(part));
        if !depends || place.country.is_empty() {
            return Ok(false);
        }
        let Some(path) = self.layout.path(Field::Country) else { return Ok(false) };
        let country = text(record, path)?.country_code();
        Ok(!country.is_empty() && country != place.country)
    }
}

/// Offsets within a file, a bit each.
struct OffsetSet(Vec<u64>);

impl OffsetSet {
    fn new(file_bytes: u64) -> OffsetSet {
        OffsetSet(vec![0; file_bytes as usize / 64 + 1])
    }

    /// Whether the offset is new.
    fn insert(&mut self, offset: usize) -> bool {
        let (word, bit) = (&mut self.0[offset / 64], 1 << (offset % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// The fields of one record.
struct RecordFields<'r, 'a> {
    record: &'r Record<'a>,
    layout: &'r Layout,
}

impl<'a> RecordFields<'_, 'a> {
    fn decode<T: Default + serde::Deserialize<'a>>(
        &self,
        field: Field,
    ) -> Result<T, MaxMindDbError> {
        let Some(path) = self.layout.path(field) else { return Ok(T::default()) };
        Ok(self.record.decode_path(path)?.unwrap_or_default())
    }

    fn text(&self, field: Field) -> Result<Text<'a>, MaxMindDbError> {
        self.decode(field)
    }

    fn number(&self, field: Field) -> Result<u32, MaxMindDbError> {
        self.layout.path(field).map_or(Ok(0), |path| number(self.record, path))
    }

    fn regions(&self) -> Result<[Region<'a>; 2], MaxMindDbError> {
        if self.layout.path(Field::Subdivisions).is_some() {
            return Ok(self.decode::<Subdivisions<'_>>(Field::Subdivisions)?.0);
        }
        let wider = Region {
            code: self.text(Field::RegionCode)?.region_code(),
            name: self.text(Field::RegionName)?.0,
        };
        Ok([wider, Region { code: "", name: self.text(Field::SecondRegionName)?.0 }])
    }

    /// Adds what is missing: a database of networks mostly lies beside one of providers.
    fn fill_isp(&self, place: &mut Place<'a>) -> Result<(), MaxMindDbError> {
        if place.isp.asn == 0 {
            place.isp.asn = self.number(Field::Asn)?;
        }
        if place.isp.name.is_empty() {
            place.isp.name = self.text(Field::Isp)?.0;
        }
        if place.isp.name.is_empty() {
            place.isp.name = self.text(Field::Organisation)?.0;
        }
        Ok(())
    }

    fn proxy_kinds(&self) -> Result<ProxyKinds, MaxMindDbError> {
        Ok(self.decode::<ProxyFlags>(Field::ProxyFlags)?.kinds)
    }
}

/// Reads a whole file that does not change meanwhile.
fn read_file(path: &Path) -> Result<Vec<u8>, DatabaseFault> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(DatabaseFault::NotAFile);
    }
    let stamp = FileStamp::from_metadata(&metadata);
    if stamp.bytes > MAX_DATABASE_BYTES {
        return Err(DatabaseFault::TooLarge { bytes: stamp.bytes });
    }
    let mut bytes = Vec::new();
    let no_memory = |_| DatabaseFault::NoMemory { bytes: stamp.bytes };
    bytes.try_reserve_exact(stamp.bytes as usize).map_err(no_memory)?;
    while (bytes.len() as u64) < stamp.bytes {
        let piece = PIECE_BYTES.min(stamp.bytes - bytes.len() as u64);
        if file.by_ref().take(piece).read_to_end(&mut bytes)? == 0 {
            return Err(DatabaseFault::Changing);
        }
    }
    if FileStamp::from_metadata(&file.metadata()?) != stamp {
        return Err(DatabaseFault::Changing);
    }
    Ok(bytes)
}
