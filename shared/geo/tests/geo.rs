//! The databases as both programs use them: files in a folder, addresses in, places out.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "geo/fixtures.rs"]
mod fixtures;

#[path = "geo/flat_files.rs"]
mod flat_files;
#[path = "geo/hostile_files.rs"]
mod hostile_files;
#[path = "geo/known_places.rs"]
mod known_places;
#[path = "geo/look_ups.rs"]
mod look_ups;
#[path = "geo/replaced_files.rs"]
mod replaced_files;
#[path = "geo/several_files.rs"]
mod several_files;
