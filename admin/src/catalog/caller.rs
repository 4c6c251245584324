//! Roles of API keys and users, and the caller of a request.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{UnknownWord, WordSet};
use crate::store::origin::Actor;

/// Permissions of a key or a user; `access` says which rights each role has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything below `/v1/networks`.
    Admin,
    /// The network's daily work: everything but secrets, settings, keys, users and erasure.
    Manager,
    /// Reading everything below `/v1/networks`.
    #[value(alias = "read_only")]
    ReadOnly,
    /// One partner's own things, below `/v1/affiliates`.
    Partner,
    /// One advertiser's own things, below `/v1/advertisers`. A role of API keys alone.
    Advertiser,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] =
        [Role::Admin, Role::Manager, Role::ReadOnly, Role::Partner, Role::Advertiser];

    /// The word in JSON and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Manager => "manager",
            Role::ReadOnly => "read_only",
            Role::Partner => "partner",
            Role::Advertiser => "advertiser",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Role, UnknownWord> {
        Role::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| UnknownWord {
            found: word.into(),
            allowed: "`admin` `manager` `read_only` `partner` `advertiser`",
        })
    }
}

impl WordSet for Role {
    const WORDS: &'static [&'static str] =
        &["admin", "manager", "read_only", "partner", "advertiser"];

    fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
        word.parse().map(Role::as_str)
    }
}

words! {
    /// The status of a user.
    UserStatus {
        /// May sign in.
        Active = "active",
        /// May not sign in.
        Disabled = "disabled",
    }
}

/// The key or user behind a request, with the permissions at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The author of the request's writes, and the holder of its budget of requests.
    pub actor: Actor,
    /// Permissions.
    pub role: Role,
    /// The partner of a partner's key or user.
    pub affiliate_id: Option<u32>,
    /// The advertiser of an advertiser's key.
    pub advertiser_id: Option<u32>,
}
