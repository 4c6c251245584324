//! Targeting: what a rule can ask about a visitor, and whether a rule lets the visitor through.
//!
//! Both programs use it: the daemon to answer visits, the admin to check rules when they are saved,
//! to explain visits, and to report where clicks came from. Nothing here reads a file or a clock.

pub mod countries;
pub mod place;
