//! Sessions: when a visitor of an offer counts as the same visitor again.

/// The facts that make two visits one visitor's. The numbers are part of the catalog's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SessionDefinition {
    /// The address.
    Address = 1,
    /// Address and user agent.
    AddressAndUserAgent = 2,
}

impl SessionDefinition {
    /// Parses the number in a catalog.
    #[must_use]
    pub fn from_number(number: u8) -> Option<SessionDefinition> {
        [Self::Address, Self::AddressAndUserAgent].into_iter().find(|it| *it as u8 == number)
    }
}

/// An offer's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session {
    pub definition: SessionDefinition,
    /// Seconds from an accepted click during which the same visitor is no new one.
    pub seconds: u32,
}

impl Session {
    /// The session of an offer that does not say: a day, by address and user agent.
    pub const DEFAULT: Session =
        Session { definition: SessionDefinition::AddressAndUserAgent, seconds: 86_400 };
}
