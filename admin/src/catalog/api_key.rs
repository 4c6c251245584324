//! API keys: roles, and the caller that a key identifies.

use serde::{Deserialize, Serialize};

use super::{UnknownWord, WordSet};

/// Permissions of a key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything below `/v1/networks`.
    Admin,
    /// Reading everything below `/v1/networks`.
    #[value(alias = "read_only")]
    ReadOnly,
    /// One partner's own things, below `/v1/affiliates`.
    Partner,
}

impl Role {
    /// The word in JSON and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::ReadOnly => "read_only",
            Role::Partner => "partner",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Role, UnknownWord> {
        [Role::Admin, Role::ReadOnly, Role::Partner]
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| UnknownWord {
                found: word.into(),
                allowed: "`admin` `read_only` `partner`",
            })
    }
}

impl WordSet for Role {
    const WORDS: &'static [&'static str] = &["admin", "read_only", "partner"];

    fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
        word.parse().map(Role::as_str)
    }
}

/// The holder of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Id of the key's row.
    pub key_id: u32,
    /// Permissions.
    pub role: Role,
    /// The partner of a partner's key.
    pub affiliate_id: Option<u32>,
}
