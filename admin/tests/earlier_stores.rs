//! Stores that earlier versions made: this version opens them, and what was counted, promised and
//! paid stays as it was.
//!
//! Each folder below `earlier_stores/` holds a backup that the programs of one version made, the
//! answers that they gave for it, and the keys that open it.

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
