//! Sign-in, and the confirmation of a signed-in user by password.
//!
//! The order is: look at the counts of failures, wait for a hashing slot, charge the attempt, hash,
//! then give the charge back or record the failure. An unknown, disabled or invited login takes the
//! same steps as a known one with a wrong password.

use std::net::IpAddr;

use super::password::{self, HashError, Hasher, Password};
use super::session::{self, Client, Session};
use super::throttle::{Account, Subjects};
use super::token::{DeviceToken, SessionToken};
use super::{OBJECT, User, link, totp};
use crate::edit::{EditError, audit};
use crate::store::accounts::failures::FailureCount;
use crate::store::accounts::users::{self, Credentials};
use crate::store::accounts::{devices, sessions};
use crate::store::origin::{self, Actor, Origin};
use crate::store::{ReadTx, Store, StoreError, WriteTx, settings};

/// A filled-in sign-in form.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The login as typed.
    pub login: String,
    /// The password as typed.
    pub password: Password,
    /// A code of the authenticator app, or a recovery code.
    pub totp_code: Option<String>,
    /// The browser.
    pub client: Client,
    /// The browser's secret of an earlier sign-in.
    pub device: Option<DeviceToken>,
}

/// A successful sign-in.
#[derive(Debug)]
pub struct SignedInSession {
    /// The user.
    pub user: User,
    /// The secret of the new session.
    pub session: SessionToken,
    /// The secret of the browser, new or as before.
    pub device: DeviceToken,
}

/// Why a sign-in, or a confirmation by password, was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Login, password or code is wrong, or the user is disabled.
    #[error("this login, password or code is wrong")]
    Wrong,
    /// The password is right, and the user has a second factor.
    #[error("the code of the authenticator app is missing")]
    CodeNeeded,
    /// Too many failures.
    #[error("too many failed attempts; try again in {retry_after_s} s")]
    Throttled {
        /// Seconds until the next attempt.
        retry_after_s: u32,
    },
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked at once; try again in some seconds")]
    Busy,
    /// The role of the user must have a second factor.
    #[error("this role must have a second factor")]
    SecondFactorRequired,
    /// The new password is refused.
    #[error(transparent)]
    Invalid(EditError),
    /// Store, memory or random source failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HashError> for SignInError {
    fn from(error: HashError) -> SignInError {
        match error {
            HashError::Busy => SignInError::Busy,
            HashError::Store(error) => SignInError::Store(error),
            HashError::Failed(why) => {
                tracing::error!(why, "password hash failed");
                SignInError::Store(StoreError::Aborted)
            }
        }
    }
}

/// Checks login, password and second factor, and starts a session.
///
/// # Errors
/// [`SignInError::Wrong`] for an unknown login as for a wrong password; see the other variants.
pub async fn sign_in(store: &Store, attempt: Attempt) -> Result<SignedInSession, SignInError> {
    let hasher = admit(store, Charge::of_sign_in(&attempt)).await?;
    let charged = charge(store, Charge::of_sign_in(&attempt)).await?;
    let hash = charged.credentials.as_ref().map(|found| found.password_hash.clone());
    let is_right = hasher.is_equal(&attempt.password, &hash.unwrap_or_default()).await?;
    let Some(found) = charged.credentials.filter(|found| is_right && found.user.is_active) else {
        return refuse(store, charged.subjects, charged.user_id).await;
    };
    let rehashed = match password::needs_rehash(&found.password_hash) {
        true => Some(hasher.hash(&attempt.password).await?),
        false => None,
    };
    drop(hasher);
    let accepted = Accepted { subjects: charged.subjects, before: charged.before, rehashed };
    let user = found.user;
    let (user_id, subjects) = (user.id, charged.subjects);
    let finish = store.write(move |tx| accepted.finish(tx, &user, &attempt));
    match origin::scope(Origin::new(Actor::User(user_id)), finish).await? {
        Some(outcome) => outcome,
        None => refuse(store, subjects, Some(user_id)).await,
    }
}

/// The parts of an attempt that its charge depends on.
struct Charge {
    login: String,
    address: IpAddr,
    device: Option<DeviceToken>,
    /// Of a user who gives the password again.
    session_id: Option<u32>,
}

/// An attempt after its charge.
struct Charged {
    credentials: Option<Credentials>,
    /// The user of the login, for the audit.
    user_id: Option<u32>,
    subjects: Subjects,
    before: FailureCount,
}

impl Charge {
    fn of_sign_in(attempt: &Attempt) -> Charge {
        Charge {
            login: attempt.login.trim().to_owned(),
            address: attempt.client.address,
            device: attempt.device.clone(),
            session_id: None,
        }
    }

    fn of_session(session: &Session, client: &Client) -> Charge {
        let login = session.user.login.clone();
        Charge { login, address: client.address, device: None, session_id: Some(session.id) }
    }

    fn find(&self, tx: &ReadTx<'_>) -> Result<(Option<Credentials>, Subjects), StoreError> {
        let credentials = users::credentials(tx, &self.login)?;
        let device = self.device.as_ref().map(DeviceToken::digest);
        let is_known = match (&credentials, &device) {
            (Some(found), Some(device)) => devices::is_known(tx, found.user.id, device)?,
            _ => false,
        };
        let account = match (self.session_id, &device) {
            (Some(id), _) => Account::Session(id),
            (None, Some(device)) if is_known => Account::Device(device),
            (None, _) => Account::Login(&self.login),
        };
        Ok((credentials, Subjects::new(self.address, account)))
    }
}

/// Waits for a hashing slot, unless the attempt comes too early. Without this look ahead, each early
/// attempt would take a slot and a write.
async fn admit(store: &Store, charge: Charge) -> Result<Hasher, SignInError> {
    let now = jiff::Timestamp::now().as_second();
    store.read(move |tx| check_wait(tx, &charge.find(tx)?.1, now)).await?;
    Ok(Hasher::acquire().await?)
}

async fn charge(store: &Store, charge: Charge) -> Result<Charged, SignInError> {
    store
        .write(move |tx| {
            let (credentials, subjects) = charge.find(tx)?;
            check_wait(tx, &subjects, tx.now())?;
            let before = subjects.charge(tx)?;
            let user_id = credentials.as_ref().map(|found| found.user.id);
            Ok(Charged { credentials, user_id, subjects, before })
        })
        .await
}

fn check_wait(tx: &ReadTx<'_>, subjects: &Subjects, now: i64) -> Result<(), SignInError> {
    match subjects.wait(tx, now)? {
        Some(retry_after_s) => Err(SignInError::Throttled { retry_after_s }),
        None => Ok(()),
    }
}

/// Records the failure: in the audit once a minute for each account.
async fn refuse<T>(
    store: &Store,
    subjects: Subjects,
    user_id: Option<u32>,
) -> Result<T, SignInError> {
    let record = move |tx: &WriteTx<'_>| {
        let is_due = subjects.take_record(tx)?;
        if let Some(id) = user_id.filter(|_| is_due) {
            audit::record_action(tx, OBJECT, "sign_in_failed", id)?;
        }
        Ok::<_, StoreError>(())
    };
    store.write(record).await?;
    Err(SignInError::Wrong)
}

/// An attempt with the right password.
struct Accepted {
    subjects: Subjects,
    before: FailureCount,
    /// The password's hash with the present parameters, if the stored one has weaker ones.
    rehashed: Option<String>,
}

type Outcome = Result<SignedInSession, SignInError>;

impl Accepted {
    /// Checks the code and starts the session; `None` for a wrong code. The refusals are values,
    /// because an error would roll the counts back.
    fn finish(
        self,
        tx: &WriteTx<'_>,
        user: &User,
        attempt: &Attempt,
    ) -> Result<Option<Outcome>, StoreError> {
        let code = attempt.totp_code.as_deref().filter(|code| !code.trim().is_empty());
        match (user.has_totp, code) {
            (true, None) => {
                self.subjects.refund(tx, self.before)?;
                return Ok(Some(Err(SignInError::CodeNeeded)));
            }
            (true, Some(code)) if !totp::check(tx, user.id, code)? => return Ok(None),
            _ => {}
        }
        self.subjects.clear(tx)?;
        if let Some(hash) = &self.rehashed {
            users::set_password(tx, user.id, hash)?;
        }
        let device = match &attempt.device {
            Some(device) if devices::is_known(tx, user.id, &device.digest())? => device.clone(),
            _ => DeviceToken::generate()?,
        };
        devices::remember(tx, user.id, &device.digest())?;
        let session = session::start(tx, user.id, &attempt.client)?;
        audit::record_action(tx, OBJECT, "signed_in", user.id)?;
        Ok(Some(Ok(SignedInSession { user: user.clone(), session, device })))
    }
}

/// Confirms a signed-in user by the password, before a sensitive edit. The session gets a new secret.
///
/// # Errors
/// As [`sign_in`]; never [`SignInError::CodeNeeded`].
pub async fn step_up(
    store: &Store,
    session: &Session,
    password: Password,
    client: Client,
) -> Result<SessionToken, SignInError> {
    let hasher = confirm(store, session, password, client).await?;
    drop(hasher);
    let (id, token) = (session.id, SessionToken::generate()?);
    let digest = token.digest();
    let renew = move |tx: &WriteTx<'_>| sessions::renew(tx, id, &digest);
    let is_renewed = store.write(renew).await.map_err(SignInError::Store)?;
    if is_renewed { Ok(token) } else { Err(SignInError::Wrong) }
}

/// Replaces the password of a signed-in user. The user's other sessions end, and this one gets a new
/// secret.
///
/// # Errors
/// As [`step_up`], and [`SignInError::Invalid`] for a new password against the rules.
pub async fn change_password(
    store: &Store,
    session: &Session,
    present: Password,
    new: Password,
    client: Client,
) -> Result<SessionToken, SignInError> {
    let User { login, name, id: user_id, .. } = &session.user;
    new.check(login, name)
        .map_err(|error| SignInError::Invalid(EditError::Invalid(vec![error])))?;
    let hasher = confirm(store, session, present, client).await?;
    let hash = hasher.hash(&new).await?;
    drop(hasher);
    let (id, user_id, token) = (session.id, *user_id, SessionToken::generate()?);
    let digest = token.digest();
    let save = move |tx: &WriteTx<'_>| {
        link::set_password(tx, user_id, &hash)?;
        sessions::delete_all_but(tx, user_id, Some(id))?;
        audit::record_action(tx, OBJECT, "password_set", user_id)?;
        sessions::renew(tx, id, &digest)
    };
    let save = store.write(save);
    let is_renewed = origin::scope(Origin::new(Actor::User(user_id)), save).await;
    if is_renewed.map_err(SignInError::Store)? { Ok(token) } else { Err(SignInError::Wrong) }
}

/// Switches off the second factor of a signed-in user, after the password and a code of the app or
/// a recovery code. The session gets a new secret.
///
/// # Errors
/// As [`step_up`], [`SignInError::Wrong`] for a wrong code too, and
/// [`SignInError::SecondFactorRequired`].
pub async fn switch_off_second_factor(
    store: &Store,
    session: &Session,
    password: Password,
    code: String,
    client: Client,
) -> Result<SessionToken, SignInError> {
    let (id, user_id, role) = (session.id, session.user.id, session.user.role);
    let policy = store.read(settings::read).await?.settings.second_factor_required;
    if policy.requires(role) {
        return Err(SignInError::SecondFactorRequired);
    }
    let token = SessionToken::generate()?;
    let digest = token.digest();
    let switch_off = move |tx: &WriteTx<'_>| {
        if !totp::check(tx, user_id, &code)? {
            return Ok(false);
        }
        totp::off(tx, user_id)?;
        sessions::renew(tx, id, &digest)
    };
    confirm_and(store, session, password, client, switch_off).await?;
    Ok(token)
}

/// Checks the password of a signed-in user, with the counts of failures of a sign-in.
async fn confirm(
    store: &Store,
    session: &Session,
    password: Password,
    client: Client,
) -> Result<Hasher, SignInError> {
    confirm_and(store, session, password, client, |_| Ok(true)).await
}

/// Checks the password of a signed-in user, and then does `work`. If that returns `false`, the
/// attempt failed as by a wrong password.
async fn confirm_and(
    store: &Store,
    session: &Session,
    password: Password,
    client: Client,
    work: impl FnOnce(&WriteTx<'_>) -> Result<bool, StoreError> + Send + 'static,
) -> Result<Hasher, SignInError> {
    let hasher = admit(store, Charge::of_session(session, &client)).await?;
    let charged = charge(store, Charge::of_session(session, &client)).await?;
    let hash = charged.credentials.map(|found| found.password_hash).unwrap_or_default();
    if !hasher.is_equal(&password, &hash).await? {
        return refuse(store, charged.subjects, charged.user_id).await;
    }
    let (subjects, user_id) = (charged.subjects, session.user.id);
    let finish = move |tx: &WriteTx<'_>| {
        let is_done = work(tx)?;
        if is_done {
            subjects.clear(tx)?;
        }
        Ok::<_, StoreError>(is_done)
    };
    let finish = store.write(finish);
    match origin::scope(Origin::new(Actor::User(user_id)), finish).await? {
        true => Ok(hasher),
        false => refuse(store, subjects, Some(user_id)).await,
    }
}
