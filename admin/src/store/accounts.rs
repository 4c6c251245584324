//! Users of the console, and the secrets by which they sign in: password hashes, sessions, one-time
//! links, known browsers, second factors. Secrets of browsers and links are stored as SHA-256.

pub mod devices;
pub mod failures;
pub mod links;
pub mod preferences;
pub mod second_factor;
pub mod sessions;
pub mod users;
pub mod views;

/// SHA-256 of a secret.
pub type Digest = [u8; 32];
