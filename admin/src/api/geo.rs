//! Databases of places in answers.

use coupon_geo::GeoWatcher;
use jiff::Timestamp;
use serde::Serialize;

/// A database that says where visitors are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct GeoDatabase {
    /// As configured.
    path: String,
    /// The maker's name for the type, such as `GeoLite2-City`; `null` if the file was never usable.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// When the maker built the database.
    build: Option<u64>,
    age_days: Option<u64>,
    bytes: Option<u64>,
    /// The facts that the database knows of some addresses: `country`, `region`, `city`,
    /// `postal_code`, `dma`, `time_zone`, `isp`, `carrier`, `connection`, `proxy`.
    parts: Vec<&'static str>,
    /// Look-ups that found a damaged record.
    unreadable_look_ups: u64,
    /// Why the file on the disk is not in service, and how to mend it.
    pub(crate) problem: Option<String>,
    /// Set for a database of more than 30 days.
    pub(crate) warning: Option<String>,
}

/// The configured databases, in the order in which they answer.
pub(super) fn databases(watcher: &GeoWatcher) -> Vec<GeoDatabase> {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let rendered = watcher.status().into_iter().map(|file| {
        let database = file.database.as_ref();
        GeoDatabase {
            path: file.path.display().to_string(),
            kind: database.map(|database| database.kind.clone()),
            build: database.map(|database| database.build_unix_s),
            age_days: database.map(|database| database.age_days(now)),
            bytes: database.map(|database| database.bytes),
            parts: database.map_or_else(Vec::new, |database| database.parts.names().collect()),
            unreadable_look_ups: file.unreadable,
            warning: file.age_warning(now),
            problem: file.problem,
        }
    });
    rendered.collect()
}
