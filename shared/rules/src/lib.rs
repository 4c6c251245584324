//! Targeting: facts about a visitor, and whether a rule lets the visitor through.
//!
//! Both programs use it: the daemon to answer visits, the admin to check rules when they are saved,
//! to explain visits, and to report where clicks came from. The package reads no file and no clock.

pub mod agent;
pub mod caps;
pub mod control;
pub mod countries;
pub mod facts;
pub mod language;
pub mod leads;
mod names;
pub mod place;
pub mod ruleset;
pub mod sessions;
pub mod text_match;
pub mod visit_state;
