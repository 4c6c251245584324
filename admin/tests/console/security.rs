//! The console against strangers, against users who want more than their role allows, and against
//! texts that want to become code.

#[path = "security/injection.rs"]
mod injection;
#[path = "security/rights.rs"]
mod rights;
#[path = "security/routes.rs"]
mod routes;
#[path = "security/sessions.rs"]
mod sessions;
#[path = "security/strangers.rs"]
mod strangers;
