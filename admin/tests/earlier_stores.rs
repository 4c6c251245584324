//! Stores of earlier versions: this version opens them, and counts, promises and payments stay the
//! same.
//!
//! Each folder below `earlier_stores/` holds a backup made by one version, the answers of that
//! version, and the keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "earlier_stores/answers.rs"]
mod answers;
#[path = "end_to_end/http.rs"]
#[allow(dead_code, reason = "written for the tests of both programs")]
mod http;
#[path = "end_to_end/programs.rs"]
#[allow(dead_code, reason = "written for the tests of both programs")]
mod programs;

#[path = "earlier_stores/making.rs"]
mod making;
#[path = "earlier_stores/opening.rs"]
mod opening;
