//! Databases in MaxMind's format (`.mmdb`), from any maker: the place of an address.
//!
//! Up to [`MAX_DATABASES`] files answer together. Each file answers the parts of a place that its
//! records have, and an earlier file goes before a later one. The fields of the records decide
//! which parts those are ([`layout`]), because makers name files and types as they like.
//!
//! Invariants:
//! - A file is in service only after a check within a bounded processor time, and replaces the
//!   former file in a single store. After any error the former file stays in service.
//! - Files are read into memory of our own, so no program can change or truncate checked bytes.
//! - A look-up never fails, waits or panics, and allocates nothing. An unreadable record is an
//!   unknown place, and counted.
//!
//! Deliberately absent: memory maps, `Reader::verify` (it refuses good databases without a
//! description, and its time is unbounded), downloads, and any use of `registered_country`.

mod database;
mod database_check;
mod database_error;
mod databases;
mod fields;
mod known_places;
mod layout;
mod watcher;

pub use database::{DatabaseInfo, MAX_DATABASE_BYTES};
pub use database_error::{DatabaseError, DatabaseFault};
pub use databases::Databases;
pub use known_places::{KnownCarrier, KnownCity, KnownPlaces, KnownRegion};
pub use watcher::{FaultyFiles, GeoReader, GeoStatus, GeoWatcher, LiveDatabases, check_files};

/// Most files that answer together.
pub const MAX_DATABASES: usize = 4;
/// Age of a database from which on its operator is reminded of a newer one.
pub const OLD_AFTER_DAYS: u64 = 30;
