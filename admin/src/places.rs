//! The places that the databases in service know, listed once for each set of databases.

use std::sync::{Arc, Mutex, PoisonError};

use coupon_geo::{DatabaseInfo, GeoWatcher, KnownPlaces};

/// The lists of places.
#[derive(Clone)]
pub struct PlaceLists {
    watcher: Arc<GeoWatcher>,
    last: Arc<Mutex<Option<PlaceList>>>,
}

/// The places of one set of databases.
struct PlaceList {
    sources: Vec<DatabaseInfo>,
    places: Arc<KnownPlaces>,
}

impl PlaceLists {
    #[must_use]
    pub fn new(watcher: Arc<GeoWatcher>) -> PlaceLists {
        PlaceLists { watcher, last: Arc::default() }
    }

    /// The places of the databases in service. The first call after a database was replaced takes
    /// seconds; further callers wait for it.
    #[must_use]
    pub fn read(&self) -> Arc<KnownPlaces> {
        let databases = self.watcher.current();
        // Descriptions and not the databases: they would stay in memory after they are replaced.
        let sources: Vec<DatabaseInfo> = databases.sources().cloned().collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(list) if list.sources == sources => Arc::clone(&list.places),
            _ => {
                let places = Arc::new(databases.known_places());
                *last = Some(PlaceList { sources, places: Arc::clone(&places) });
                places
            }
        }
    }
}
