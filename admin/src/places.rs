//! The places that the databases in service know, listed once for each set of databases.

use std::sync::{Arc, Mutex, PoisonError};

use coupon_geo::{DatabaseInfo, GeoWatcher, KnownPlaces};

/// The lists of places.
#[derive(Clone)]
pub struct PlaceLists {
    watcher: Arc<GeoWatcher>,
    last: Arc<Mutex<Option<(Vec<DatabaseInfo>, Arc<KnownPlaces>)>>>,
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
            Some((of, places)) if *of == sources => Arc::clone(places),
            _ => {
                let places = Arc::new(databases.known_places());
                *last = Some((sources, Arc::clone(&places)));
                places
            }
        }
    }
}
