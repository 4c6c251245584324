//! The rights of each role, in one table. API, console and templates ask [`Role::may`] and never
//! compare roles.

use crate::catalog::Role;

/// A permission to see or do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// See and export everything of the network, without the secrets.
    View,
    /// Edit coupon codes, uploads, offers, partners and their access, advertisers, tracking domains,
    /// partner postbacks and webhooks.
    EditCatalog,
    /// Approve, reject and adjust conversions.
    DecideConversions,
    /// See verification tokens and signing keys in clear, and remove them.
    ViewSecrets,
    /// Edit the network's settings.
    EditSettings,
    /// Edit the bot list.
    EditBotList,
    /// Erase the personal data of a visitor.
    ErasePersonalData,
    /// Create, change and revoke API keys.
    ManageKeys,
    /// See and edit users and their sessions.
    ManageUsers,
    /// See lists of countries, cities and other values that rules choose from.
    ViewChoices,
    /// See and edit the own things of one partner.
    UseAsPartner,
    /// See the own things of one advertiser.
    UseAsAdvertiser,
}

impl Right {
    /// All rights.
    pub const ALL: [Right; 12] = [
        Right::View,
        Right::EditCatalog,
        Right::DecideConversions,
        Right::ViewSecrets,
        Right::EditSettings,
        Right::EditBotList,
        Right::ErasePersonalData,
        Right::ManageKeys,
        Right::ManageUsers,
        Right::ViewChoices,
        Right::UseAsPartner,
        Right::UseAsAdvertiser,
    ];

    /// The right as a verb phrase, for "… may not …".
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Right::View => "see the network",
            Right::EditCatalog => "edit codes, offers, partners, advertisers and domains",
            Right::DecideConversions => "decide conversions",
            Right::ViewSecrets => "see tokens and signing keys",
            Right::EditSettings => "change the settings",
            Right::EditBotList => "change the bot list",
            Right::ErasePersonalData => "erase personal data",
            Right::ManageKeys => "manage API keys",
            Right::ManageUsers => "manage users",
            Right::ViewChoices => "see lists of countries and cities",
            Right::UseAsPartner => "act as a partner",
            Right::UseAsAdvertiser => "act as an advertiser",
        }
    }
}

impl Role {
    /// Whether the role has the right.
    #[must_use]
    pub fn may(self, right: Right) -> bool {
        match right {
            Right::View => matches!(self, Role::Admin | Role::Manager | Role::ReadOnly),
            Right::EditCatalog | Right::DecideConversions => {
                matches!(self, Role::Admin | Role::Manager)
            }
            Right::ViewSecrets
            | Right::EditSettings
            | Right::EditBotList
            | Right::ErasePersonalData
            | Right::ManageKeys
            | Right::ManageUsers => self == Role::Admin,
            Right::ViewChoices => true,
            Right::UseAsPartner => self == Role::Partner,
            Right::UseAsAdvertiser => self == Role::Advertiser,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_its_rights_and_no_other() {
        use Right::{
            DecideConversions, EditCatalog, UseAsAdvertiser, UseAsPartner, View, ViewChoices,
        };
        let rights = |role: Role| Right::ALL.into_iter().filter(move |right| role.may(*right));
        let admin: Vec<Right> = rights(Role::Admin).collect();
        assert_eq!(admin, Right::ALL[..10]);
        assert!(rights(Role::Manager).eq([View, EditCatalog, DecideConversions, ViewChoices]));
        assert!(rights(Role::ReadOnly).eq([View, ViewChoices]));
        assert!(rights(Role::Partner).eq([ViewChoices, UseAsPartner]));
        assert!(rights(Role::Advertiser).eq([ViewChoices, UseAsAdvertiser]));
    }
}
