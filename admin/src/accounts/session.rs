//! Sessions of browsers. A session ends after a time without a request, after a time since its start,
//! and when the user is disabled, changed in role, or given another password.
//!
//! Staff: two hours idle, twelve in all, within the bounds of NIST SP 800-63B for AAL2. Partners, who
//! look at their own figures only: 14 and 30 days, the bounds of AAL1. `console.*` configures them.

use std::net::IpAddr;
use std::time::Duration;

use super::token::SessionToken;
use super::{OBJECT, User};
use crate::catalog::Role;
use crate::edit::{EditError, audit};
use crate::store::accounts::{sessions, users};
use crate::store::{ReadTx, StoreError, WriteTx};

pub use crate::store::accounts::sessions::SessionRow;

/// Requests of a session are recorded at most this often.
const TOUCH_INTERVAL_S: i64 = 60;
/// Most characters that are kept of a `User-Agent`.
const MAX_AGENT_CHARS: usize = 512;

/// The browser behind a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its `User-Agent`, or empty.
    pub user_agent: String,
}

/// The longest sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Longest time of a staff session without a request.
    pub staff_idle: Duration,
    /// Longest staff session.
    pub staff: Duration,
    /// Longest time of a partner's session without a request.
    pub partner_idle: Duration,
    /// Longest session of a partner.
    pub partner: Duration,
}

impl Default for Lifetimes {
    fn default() -> Lifetimes {
        const HOUR_S: u64 = 60 * 60;
        const DAY_S: u64 = 24 * HOUR_S;
        Lifetimes {
            staff_idle: Duration::from_secs(2 * HOUR_S),
            staff: Duration::from_secs(12 * HOUR_S),
            partner_idle: Duration::from_secs(14 * DAY_S),
            partner: Duration::from_secs(30 * DAY_S),
        }
    }
}

impl Lifetimes {
    fn is_over(&self, role: Role, session: &SessionRow, now: i64) -> bool {
        let (idle, absolute) = match role {
            // No user is an advertiser's; the shorter times would hold.
            Role::Admin | Role::Manager | Role::ReadOnly | Role::Advertiser => {
                (self.staff_idle, self.staff)
            }
            Role::Partner => (self.partner_idle, self.partner),
        };
        let seconds = |limit: Duration| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        now - session.time_seen >= seconds(idle) || now - session.time_created >= seconds(absolute)
    }
}

/// A session that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Never reused.
    pub id: u32,
    /// The user, as of now.
    pub user: User,
    /// When the user last gave the password, in Unix seconds.
    pub time_authenticated: i64,
    /// Last recorded request, in Unix seconds.
    pub time_seen: i64,
}

impl Session {
    /// Whether [`touch`] would record a request.
    #[must_use]
    pub fn needs_touch(&self, now: i64) -> bool {
        now - self.time_seen >= TOUCH_INTERVAL_S
    }
}

/// Starts a session; returns the secret for the browser.
pub fn start(tx: &WriteTx<'_>, user_id: u32, client: &Client) -> Result<SessionToken, StoreError> {
    let token = SessionToken::generate()?;
    let agent: String = client.user_agent.chars().take(MAX_AGENT_CHARS).collect();
    sessions::insert(tx, user_id, &token.digest(), &client.address.to_string(), &agent)?;
    users::record_sign_in(tx, user_id)?;
    Ok(token)
}

/// Finds the session of a browser, unless it is over or its user is disabled.
pub fn find(
    connection: &ReadTx<'_>,
    token: &SessionToken,
    lifetimes: &Lifetimes,
    now: i64,
) -> Result<Option<Session>, StoreError> {
    let found = sessions::find(connection, &token.digest())?;
    Ok(found.and_then(|found| in_force(found, lifetimes, now)))
}

/// Finds a session, unless it is over or its user is disabled.
pub fn find_by_id(
    connection: &ReadTx<'_>,
    id: u32,
    lifetimes: &Lifetimes,
    now: i64,
) -> Result<Option<Session>, StoreError> {
    let found = sessions::find_by_id(connection, id)?;
    Ok(found.and_then(|found| in_force(found, lifetimes, now)))
}

fn in_force((row, user): (SessionRow, User), lifetimes: &Lifetimes, now: i64) -> Option<Session> {
    let is_in_force = user.is_active && !lifetimes.is_over(user.role, &row, now);
    is_in_force.then_some(Session {
        id: row.id,
        user,
        time_authenticated: row.time_authenticated,
        time_seen: row.time_seen,
    })
}

/// Records a request of a session, at most once a minute.
pub fn touch(tx: &WriteTx<'_>, session_id: u32) -> Result<(), StoreError> {
    sessions::touch(tx, session_id, TOUCH_INTERVAL_S)
}

/// Sessions of a user, the newest first, without those that are over.
pub fn list(
    connection: &ReadTx<'_>,
    user: &User,
    lifetimes: &Lifetimes,
    now: i64,
) -> Result<Vec<SessionRow>, StoreError> {
    let mut rows = sessions::list(connection, user.id)?;
    rows.retain(|row| !lifetimes.is_over(user.role, row, now));
    Ok(rows)
}

/// Ends a session of a user.
///
/// # Errors
/// When the user has no such session.
pub fn end(tx: &WriteTx<'_>, user_id: u32, session_id: u32) -> Result<(), EditError> {
    if !sessions::delete(tx, user_id, session_id)? {
        return Err(EditError::NotFound { what: "session", id: session_id });
    }
    audit::record_action(tx, OBJECT, "session_ended", user_id)?;
    Ok(())
}

/// Ends all sessions of a user, except one.
pub fn end_all_but(
    tx: &WriteTx<'_>,
    user_id: u32,
    session_id: Option<u32>,
) -> Result<(), StoreError> {
    sessions::delete_all_but(tx, user_id, session_id)?;
    audit::record_action(tx, OBJECT, "session_ended", user_id)
}
