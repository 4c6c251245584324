//! Loads published indexes and puts them into service.
//!
//! Invariants: an index is served only after every byte of it was checked, and replaces the
//! previous index in a single store; after any error the previous index stays in service. Within
//! one run the served generation never goes back and the lineage never changes. Files are read into
//! memory of our own, so no program can change or truncate checked bytes.
//!
//! At start the previous manifest is acceptable; later only the current one counts. Visitors never
//! wait for the loader: while an index is served, a large file is read and checked in otherwise
//! idle processor time (`background`).

mod background;
mod index_loader;
mod thread;

pub use index_loader::{LoadError, Loaded, Loader};
pub use thread::{LoaderHandle, LoaderStatus, ServedIndexInfo};
