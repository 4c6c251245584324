//! Users of the console: who they are, how they sign in, and how long they stay signed in. Nothing
//! here knows HTTP.
//!
//! - [`create`], [`change`], [`disable`] and [`remove`] edit users; the last admin who can sign in
//!   stays.
//! - [`link`] makes one-time links, by which a user sets a password; [`first_run`] makes the link of
//!   the first admin.
//! - [`sign_in()`] checks password and second factor, and slows guessing down ([`throttle`]).
//! - [`session`] says who a browser's session belongs to.
//!
//! Secrets of browsers and links are [`token::Token`]s: 256 random bits, stored as a hash. Every
//! edit, sign-in and failed sign-in has an entry in the audit.

pub mod link;
pub mod password;
pub mod session;
pub mod token;
pub mod totp;
pub mod views;

mod sign_in;
mod throttle;
mod users;

pub use crate::store::accounts::preferences::{find as find_preferences, save as save_preferences};
pub use crate::store::accounts::users::{User, id_of_login};
pub use link::first_run;
pub use sign_in::{
    Attempt, SignInError, SignedInSession, change_password, sign_in, step_up,
    switch_off_second_factor,
};
pub use token::{DeviceToken, LinkToken, SessionToken};
pub use users::{UserEdit, change, create, disable, find, list, remove, reset, reset_totp};

/// The name of a user in error texts.
pub(crate) const WHAT: &str = "user";
/// The audit's name for a user.
const OBJECT: &str = "user";

#[cfg(test)]
mod tests;
