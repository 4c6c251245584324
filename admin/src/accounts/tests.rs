//! Users, links, sessions and sign-ins on a real store.

use serde_json::json;
use tempfile::TempDir;
use totp_rs::{Builder, Secret};

use super::link::{self, LinkPurpose, RedeemError, Redemption};
use super::password::Password;
use super::session::{self, Client, Lifetimes, Session};
use super::*;
use crate::catalog::{Role, UserStatus};
use crate::edit::{Change, EditError};
use crate::json::Fields;
use crate::store::audit::{self, Recorded};
use crate::store::rows::Query;
use crate::store::{ReadTx, Store, StoreError, WriteTx};

const GOOD: &str = "correct horse battery";
const OTHER: &str = "purple tables sing low";

struct Accounts {
    _dir: TempDir,
    store: Store,
}

fn client(address: &str) -> Client {
    Client { address: address.parse().unwrap(), user_agent: "Firefox".into() }
}

fn edit(login: &str, role: Role) -> UserEdit {
    let affiliate = (role == Role::Partner).then_some(1);
    UserEdit {
        name: format!("Name of {login}"),
        login: login.into(),
        role,
        network_affiliate_id: affiliate,
        user_status: UserStatus::Active,
    }
}

fn attempt(login: &str, password: &str) -> Attempt {
    Attempt {
        login: login.into(),
        password: Password::new(password.into()),
        totp_code: None,
        client: client("192.0.2.1"),
        device: None,
    }
}

fn redemption(password: &str) -> Redemption {
    Redemption {
        name: String::new(),
        login: String::new(),
        password: Password::new(password.into()),
    }
}

fn patch(fields: serde_json::Value) -> Change {
    Change::Patch(Fields::from_object(&fields).unwrap())
}

fn code_and_fields(error: &EditError) -> (&'static str, Vec<String>) {
    match error {
        EditError::Conflict { code, fields, .. } => {
            (code, fields.iter().map(|field| field.field.clone()).collect())
        }
        EditError::Invalid(fields) => {
            ("invalid", fields.iter().map(|field| field.field.clone()).collect())
        }
        _ => ("other", vec![]),
    }
}

impl Accounts {
    /// With partner 1, and no user.
    async fn empty() -> Accounts {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let accounts = Accounts { _dir: dir, store };
        let partner = "INSERT INTO affiliate (name, account_status, time_created, time_saved) \
                       VALUES ('Ann', 'active', 1, 1)";
        accounts.sql(partner).await;
        accounts
    }

    /// With the admin `root`, who has the password [`GOOD`].
    async fn with_admin() -> Accounts {
        let accounts = Accounts::empty().await;
        accounts.user("root", Role::Admin).await;
        accounts
    }

    async fn sql(&self, sql: &'static str) {
        self.write(move |tx| {
            tx.raw_connection().execute_batch(sql).unwrap();
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    }

    async fn write<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.store.write(work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.read(work).await.unwrap()
    }

    async fn invite(&self, login: &'static str, role: Role) -> (User, LinkToken) {
        self.write(move |tx| create(tx, &edit(login, role))).await.unwrap().now
    }

    /// A user with the password [`GOOD`].
    async fn user(&self, login: &'static str, role: Role) -> User {
        let (_, invitation) = self.invite(login, role).await;
        link::redeem(&self.store, &invitation, redemption(GOOD)).await.unwrap()
    }

    async fn sign_in(&self, attempt: Attempt) -> Result<SignedInSession, SignInError> {
        sign_in(&self.store, attempt).await
    }

    async fn session(&self, token: &SessionToken, after_s: i64) -> Option<Session> {
        let (token, now) = (token.clone(), now() + after_s);
        self.read(move |tx| session::find(tx, &token, &Lifetimes::default(), now)).await
    }

    async fn audit(&self) -> Vec<Recorded> {
        self.read(|tx| audit::list(tx, &Query::default())).await.rows
    }

    /// The second factor of a user, and the recovery codes.
    async fn enrol(&self, user_id: u32) -> (String, Vec<String>) {
        let begun = self.write(move |tx| totp::begin(tx, user_id, "Shop: ours")).await.unwrap();
        let secret = begun.secret.clone();
        let code = code(&secret, now());
        let recovery = self.write(move |tx| totp::confirm(tx, user_id, &code)).await.unwrap();
        assert!(begun.url.starts_with("otpauth://totp/"), "{}", begun.url);
        assert!(begun.url.contains(&secret), "{}", begun.url);
        (secret, recovery)
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn code(secret: &str, time: i64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    totp.generate(u64::try_from(time).unwrap()).to_string()
}

#[tokio::test]
async fn the_first_admin_is_made_by_a_link_that_works_once() {
    let accounts = Accounts::empty().await;
    let earlier = first_run(&accounts.store).await.unwrap().unwrap();
    let link = first_run(&accounts.store).await.unwrap().unwrap();
    let root = |password: &str| Redemption {
        name: "Ada".into(),
        login: "ada@example.com".into(),
        ..redemption(password)
    };
    let refused = link::redeem(&accounts.store, &earlier, root(GOOD)).await;
    assert!(matches!(refused, Err(RedeemError::NotValid)), "{refused:?}");
    let refused = link::redeem(&accounts.store, &link, redemption(GOOD)).await;
    assert!(matches!(refused, Err(RedeemError::Edit(EditError::Invalid(_)))), "{refused:?}");
    let refused = link::redeem(&accounts.store, &link, root("ada@example.com or so")).await;
    let Err(RedeemError::Edit(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(code_and_fields(&refused), ("invalid", vec!["password".into()]));
    let user = link::redeem(&accounts.store, &link, root(GOOD)).await.unwrap();
    assert_eq!((user.role, user.login.as_str()), (Role::Admin, "ada@example.com"));
    let refused = link::redeem(&accounts.store, &link, root(GOOD)).await;
    assert!(matches!(refused, Err(RedeemError::NotValid)), "{refused:?}");
    assert!(first_run(&accounts.store).await.unwrap().is_none());
    assert_eq!(accounts.sign_in(attempt("ADA@example.com", GOOD)).await.unwrap().user.id, 1);
}

#[tokio::test]
async fn a_setup_link_is_void_as_soon_as_there_is_an_admin() {
    let accounts = Accounts::empty().await;
    let link = first_run(&accounts.store).await.unwrap().unwrap();
    accounts.invite("later", Role::Admin).await;
    assert!(first_run(&accounts.store).await.unwrap().is_some(), "nobody can sign in yet");
    let link = first_run(&accounts.store).await.unwrap().unwrap_or(link);
    accounts.user("root", Role::Admin).await;
    let found = accounts.read(move |tx| link::find(tx, &link, now())).await;
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_link_is_good_for_a_day_and_a_new_one_replaces_it() {
    let accounts = Accounts::with_admin().await;
    let (user, invitation) = accounts.invite("mia", Role::Manager).await;
    let found = async |token: &LinkToken, after_s: i64| {
        let (token, now) = (token.clone(), now() + after_s);
        accounts.read(move |tx| link::find(tx, &token, now)).await
    };
    let link = found(&invitation, 86_390).await.unwrap();
    assert_eq!((link.purpose, link.user), (LinkPurpose::Invite, Some(user)));
    assert_eq!(found(&invitation, 86_400).await, None);
    let second = accounts.write(|tx| reset(tx, 2)).await.unwrap().now.1;
    assert_eq!(found(&invitation, 0).await, None);
    link::redeem(&accounts.store, &second, redemption(GOOD)).await.unwrap();
    let third = accounts.write(|tx| reset(tx, 2)).await.unwrap().now.1;
    assert_eq!(found(&third, 0).await.unwrap().purpose, LinkPurpose::Reset);
    accounts.write(|tx| disable(tx, 2)).await.unwrap();
    assert_eq!(found(&third, 0).await, None);
}

#[tokio::test]
async fn a_new_password_by_a_link_ends_the_sessions_and_the_old_password() {
    let accounts = Accounts::with_admin().await;
    let session = accounts.sign_in(attempt("root", GOOD)).await.unwrap().session;
    let link = accounts.write(|tx| reset(tx, 1)).await.unwrap().now.1;
    assert!(accounts.session(&session, 0).await.is_some());
    link::redeem(&accounts.store, &link, redemption(OTHER)).await.unwrap();
    assert_eq!(accounts.session(&session, 0).await, None);
    assert!(matches!(accounts.sign_in(attempt("root", GOOD)).await, Err(SignInError::Wrong)));
    accounts.sign_in(attempt("root", OTHER)).await.unwrap();
}

#[tokio::test]
async fn logins_are_unique_in_any_case_and_free_after_a_deletion() {
    let accounts = Accounts::with_admin().await;
    let made = async |login: &'static str| {
        let made = accounts.write(move |tx| create(tx, &edit(login, Role::ReadOnly))).await;
        made.map(|saved| saved.now.0.id).map_err(|error| code_and_fields(&error))
    };
    assert_eq!(made("MÜLLER@example.com").await, Ok(2));
    let taken = Err(("user.login_taken", vec!["login".to_owned()]));
    assert_eq!(made("müller@EXAMPLE.com").await, taken);
    for wrong in ["", " ", "two words"] {
        assert_eq!(made(wrong).await, Err(("invalid", vec!["login".to_owned()])), "{wrong:?}");
    }
    accounts.write(|tx| remove(tx, 2)).await.unwrap();
    assert_eq!(made("müller@EXAMPLE.com").await, Ok(3));
    let again = accounts.write(|tx| change(tx, 3, patch(json!({"login": "Root"})))).await;
    assert_eq!(code_and_fields(&again.unwrap_err()).0, "user.login_taken");
    let same = accounts.write(|tx| change(tx, 3, patch(json!({"login": "Müller@example.com"}))));
    assert_eq!(same.await.unwrap().now.login, "Müller@example.com");
}

#[tokio::test]
async fn a_partners_user_has_an_existing_partner_and_no_other_has() {
    let accounts = Accounts::with_admin().await;
    let made = async |role: Role, affiliate: Option<u32>| {
        let wanted = UserEdit { network_affiliate_id: affiliate, ..edit("p", role) };
        let made = accounts.write(move |tx| create(tx, &wanted)).await;
        made.map(|saved| saved.now.0.affiliate_id).map_err(|error| code_and_fields(&error).1)
    };
    let field = || Err(vec!["network_affiliate_id".to_owned()]);
    assert_eq!(made(Role::Partner, None).await, field());
    assert_eq!(made(Role::Partner, Some(9)).await, field());
    assert_eq!(made(Role::Manager, Some(1)).await, field());
    assert_eq!(made(Role::Partner, Some(1)).await, Ok(Some(1)));
}

#[tokio::test]
async fn the_last_admin_who_can_sign_in_stays() {
    let accounts = Accounts::with_admin().await;
    // Invited, and without a password.
    accounts.invite("second", Role::Admin).await;
    for fields in [json!({"role": "manager"}), json!({"user_status": "disabled"})] {
        let refused = accounts.write(move |tx| change(tx, 1, patch(fields))).await.unwrap_err();
        assert_eq!(code_and_fields(&refused).0, "user.last_admin");
    }
    let refused = accounts.write(|tx| disable(tx, 1)).await.unwrap_err();
    assert_eq!(code_and_fields(&refused).0, "user.last_admin");
    let refused = accounts.write(|tx| remove(tx, 1)).await.unwrap_err();
    assert_eq!(code_and_fields(&refused).0, "user.last_admin");
    accounts.write(|tx| change(tx, 1, patch(json!({"name": "Root"})))).await.unwrap();
    accounts.user("third", Role::Admin).await;
    accounts.write(|tx| remove(tx, 1)).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_by_time_and_by_a_change_of_rights() {
    let accounts = Accounts::with_admin().await;
    accounts.user("mia", Role::Manager).await;
    accounts.user("ann", Role::Partner).await;
    let staff = accounts.sign_in(attempt("mia", GOOD)).await.unwrap().session;
    let partner = accounts.sign_in(attempt("ann", GOOD)).await.unwrap().session;
    let (hour, day) = (3600, 86_400);
    assert!(accounts.session(&staff, 2 * hour - 10).await.is_some());
    assert_eq!(accounts.session(&staff, 2 * hour).await, None);
    assert!(accounts.session(&partner, 14 * day - 10).await.is_some());
    assert_eq!(accounts.session(&partner, 14 * day).await, None);
    accounts.sql("UPDATE user_session SET time_seen = time_seen + 86400 * 40").await;
    assert!(accounts.session(&staff, 12 * hour - 10).await.is_some());
    assert_eq!(accounts.session(&staff, 12 * hour).await, None);
    assert_eq!(accounts.session(&partner, 30 * day).await, None);
    assert!(accounts.session(&SessionToken::generate().unwrap(), 0).await.is_none());

    accounts.write(|tx| change(tx, 2, patch(json!({"name": "Mia"})))).await.unwrap();
    assert_eq!(accounts.session(&staff, 0).await.unwrap().user.name, "Mia");
    accounts.write(|tx| change(tx, 2, patch(json!({"role": "read_only"})))).await.unwrap();
    assert_eq!(accounts.session(&staff, 0).await, None);
    accounts.sql("UPDATE affiliate SET time_deleted = 5").await;
    assert_eq!(accounts.session(&partner, 0).await, None);
    assert!(matches!(accounts.sign_in(attempt("ann", GOOD)).await, Err(SignInError::Wrong)));
}

#[tokio::test]
async fn a_session_is_touched_once_a_minute_and_ended_by_its_user_only() {
    let accounts = Accounts::with_admin().await;
    accounts.user("mia", Role::Manager).await;
    let tokens = [
        accounts.sign_in(attempt("root", GOOD)).await.unwrap().session,
        accounts.sign_in(attempt("root", GOOD)).await.unwrap().session,
    ];
    let seen = async || accounts.session(&tokens[0], 0).await.unwrap();
    assert!(!seen().await.needs_touch(now()) && seen().await.needs_touch(now() + 60));
    accounts.sql("UPDATE user_session SET time_seen = time_seen - 59").await;
    let before = seen().await.time_seen;
    accounts.write(|tx| session::touch(tx, 1)).await.unwrap();
    let first = seen().await.time_seen;
    accounts.sql("UPDATE user_session SET time_seen = time_seen - 60 WHERE id = 1").await;
    accounts.write(|tx| session::touch(tx, 1)).await.unwrap();
    assert!(first - before <= 1 + 59 && seen().await.time_seen >= before + 59);

    let root = seen().await.user;
    let list = accounts.read(move |tx| session::list(tx, &root, &Lifetimes::default(), now()));
    let list: Vec<_> = list.await.into_iter().map(|row| (row.id, row.address)).collect();
    assert_eq!(list, [(2, "192.0.2.1".into()), (1, "192.0.2.1".into())]);
    assert!(accounts.write(|tx| session::end(tx, 2, 1)).await.is_err(), "mia's");
    accounts.write(|tx| session::end_all_but(tx, 1, Some(1))).await.unwrap();
    assert!(accounts.session(&tokens[1], 0).await.is_none());
    accounts.write(|tx| session::end(tx, 1, 1)).await.unwrap();
    assert!(accounts.session(&tokens[0], 0).await.is_none());
}

#[tokio::test]
async fn unknown_disabled_and_invited_logins_are_refused_alike() {
    let accounts = Accounts::with_admin().await;
    accounts.invite("invited", Role::Manager).await;
    accounts.user("gone", Role::Manager).await;
    accounts.write(|tx| disable(tx, 3)).await.unwrap();
    for login in ["root", "nobody", "invited", "gone"] {
        let password = if login == "root" { OTHER } else { GOOD };
        let refused = accounts.sign_in(attempt(login, password)).await.unwrap_err();
        assert!(matches!(refused, SignInError::Wrong), "{login}: {refused:?}");
    }
}

#[tokio::test]
async fn an_address_has_ten_failures_a_minute() {
    let accounts = Accounts::with_admin().await;
    let from = |address: &str, login: String| Attempt {
        client: client(address),
        ..attempt(&login, OTHER)
    };
    for number in 0..10 {
        let address = format!("2001:db8::{number}");
        let refused = accounts.sign_in(from(&address, format!("user{number}"))).await;
        assert!(matches!(refused, Err(SignInError::Wrong)), "{number}: {refused:?}");
    }
    let refused = accounts.sign_in(from("2001:db8::ff", "another".into())).await;
    let Err(SignInError::Throttled { retry_after_s }) = refused else { panic!("{refused:?}") };
    assert!((1..=60).contains(&retry_after_s), "{retry_after_s}");
    let good = Attempt { client: client("2001:db8:0:1::1"), ..attempt("root", GOOD) };
    accounts.sign_in(good).await.unwrap();
    accounts.sql("UPDATE sign_in_failure SET time_counted = time_counted - 60").await;
    let refused = accounts.sign_in(from("2001:db8::ff", "another".into())).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
}

#[tokio::test]
async fn an_account_waits_after_five_failures_and_its_own_browser_does_not() {
    let accounts = Accounts::with_admin().await;
    let device = accounts.sign_in(attempt("root", GOOD)).await.unwrap().device;
    let from = |number: u32, login: &str| Attempt {
        client: client(&format!("192.0.2.{number}")),
        ..attempt(login, OTHER)
    };
    // The clock of the test may reach the next second; the wait of a second is then over.
    accounts.sql("UPDATE sign_in_failure SET failures = 0").await;
    for login in ["ROOT", "nobody"] {
        for number in 0..5 {
            let refused = accounts.sign_in(from(number, login)).await;
            assert!(matches!(refused, Err(SignInError::Wrong)), "{login}: {refused:?}");
        }
    }
    accounts.sql("UPDATE sign_in_failure SET failures = 12 WHERE failures = 5").await;
    for login in ["root", "nobody"] {
        let refused = accounts.sign_in(from(77, login)).await;
        let Err(SignInError::Throttled { retry_after_s }) = refused else { panic!("{refused:?}") };
        assert!((120..=128).contains(&retry_after_s), "{login}: {retry_after_s}");
    }
    let stranger = Attempt { device: Some(DeviceToken::generate().unwrap()), ..from(78, "root") };
    let refused = accounts.sign_in(stranger).await;
    assert!(matches!(refused, Err(SignInError::Throttled { .. })), "{refused:?}");
    let own = |password| Attempt { device: Some(device.clone()), ..attempt("root", password) };
    let refused = accounts.sign_in(own(OTHER)).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
    let signed_in = accounts.sign_in(own(GOOD)).await.unwrap();
    assert_eq!(signed_in.device.reveal(), device.reveal());
}

#[tokio::test]
async fn sign_ins_and_failures_are_in_the_audit_and_failures_once_a_minute() {
    let accounts = Accounts::with_admin().await;
    for _ in 0..3 {
        accounts.sign_in(attempt("root", OTHER)).await.unwrap_err();
    }
    accounts.sign_in(attempt("root", GOOD)).await.unwrap();
    let entries = accounts.audit().await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.actor.as_str(), entry.network_user_id))
        .collect();
    assert_eq!(
        told,
        [
            ("signed_in", "user", 1),
            ("sign_in_failed", "program", 0),
            ("password_set", "user", 1),
            ("invited", "program", 0),
            ("created", "program", 0),
        ]
    );
    assert_eq!(entries[0].user_name, "Name of root");
    let all = format!("{entries:?}");
    assert!(!all.contains("argon2") && !all.contains(GOOD), "{all}");
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let accounts = Accounts::with_admin().await;
    let (secret, recovery) = accounts.enrol(1).await;
    let with = |code: &str| Attempt { totp_code: Some(code.into()), ..attempt("root", GOOD) };
    for missing in [attempt("root", GOOD), with(" ")] {
        let refused = accounts.sign_in(missing).await;
        assert!(matches!(refused, Err(SignInError::CodeNeeded)), "{refused:?}");
    }
    // The code of the confirmation is used up.
    let used = accounts.sign_in(with(&code(&secret, now()))).await;
    assert!(matches!(used, Err(SignInError::Wrong)), "{used:?}");
    let next = code(&secret, now() + 30);
    let spaced = format!("{} {}", &next[..3], &next[3..]);
    assert!(accounts.sign_in(with(&spaced)).await.unwrap().user.has_totp);
    let replayed = accounts.sign_in(with(&next)).await;
    assert!(matches!(replayed, Err(SignInError::Wrong)), "{replayed:?}");
    assert_eq!(recovery.len(), 10);
    let typed = recovery[3].to_ascii_uppercase().replace('-', " ");
    accounts.sign_in(with(&typed)).await.unwrap();
    let replayed = accounts.sign_in(with(&recovery[3])).await;
    assert!(matches!(replayed, Err(SignInError::Wrong)), "{replayed:?}");
    assert_eq!(accounts.read(|tx| totp::count_recovery_codes(tx, 1)).await, 9);
    accounts.write(|tx| reset_totp(tx, 1)).await.unwrap();
    accounts.sign_in(attempt("root", GOOD)).await.unwrap();
}

#[tokio::test]
async fn a_second_factor_needs_a_first_code() {
    let accounts = Accounts::with_admin().await;
    let refused = accounts.write(|tx| totp::confirm(tx, 1, "123456")).await.unwrap_err();
    assert_eq!(code_and_fields(&refused).1, ["code"]);
    accounts.write(|tx| totp::begin(tx, 1, "Ours").map(drop)).await.unwrap();
    let refused = accounts.write(|tx| totp::confirm(tx, 1, "12345")).await.unwrap_err();
    assert_eq!(code_and_fields(&refused).1, ["code"]);
    assert!(!accounts.sign_in(attempt("root", GOOD)).await.unwrap().user.has_totp);
}

#[tokio::test]
async fn guessing_codes_with_the_right_password_is_slowed_down() {
    let accounts = Accounts::with_admin().await;
    accounts.enrol(1).await;
    for _ in 0..4 {
        let guess = Attempt { totp_code: Some("000000".into()), ..attempt("root", GOOD) };
        accounts.sign_in(guess).await.unwrap_err();
        // Without a code nothing is forgotten.
        let refused = accounts.sign_in(attempt("root", GOOD)).await;
        assert!(matches!(refused, Err(SignInError::CodeNeeded)), "{refused:?}");
    }
    let failures = accounts.read(|tx| {
        let sql = "SELECT max(failures) FROM sign_in_failure";
        let row = tx.raw_connection().query_row(sql, [], |row| row.get::<_, u32>(0));
        Ok(row.unwrap())
    });
    assert_eq!(failures.await, 4);
}

#[tokio::test]
async fn a_hash_with_weaker_parameters_is_made_anew_at_the_next_sign_in() {
    let accounts = Accounts::with_admin().await;
    use argon2::password_hash::PasswordHasher as _;
    let weak = argon2::Params::new(8 * 1024, 1, 1, None).unwrap();
    let weak = argon2::Argon2::from(weak).hash_password_with_salt(GOOD.as_bytes(), &[7; 16]);
    let weak = weak.unwrap().to_string();
    let kept = weak.clone();
    let set = move |tx: &WriteTx<'_>| crate::store::accounts::users::set_password(tx, 1, &kept);
    accounts.write(set).await.unwrap();
    accounts.sign_in(attempt("root", GOOD)).await.unwrap();
    let now = accounts.read(|tx| crate::store::accounts::users::credentials_of(tx, 1)).await;
    let now = now.unwrap().password_hash;
    assert!(now != weak && now.contains("m=19456"), "{now}");
    accounts.sign_in(attempt("root", GOOD)).await.unwrap();
}

#[tokio::test]
async fn a_confirmation_or_a_new_password_replaces_the_secret_of_the_session() {
    let accounts = Accounts::with_admin().await;
    let first = accounts.sign_in(attempt("root", GOOD)).await.unwrap().session;
    let other = accounts.sign_in(attempt("root", GOOD)).await.unwrap().session;
    accounts.sql("UPDATE user_session SET time_authenticated = 5").await;
    let session = accounts.session(&first, 0).await.unwrap();
    let password = |text: &str| Password::new(text.into());
    let (store, here) = (&accounts.store, || client("192.0.2.1"));
    let refused = step_up(store, &session, password(OTHER), here()).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
    let second = step_up(store, &session, password(GOOD), here()).await.unwrap();
    assert!(accounts.session(&first, 0).await.is_none());
    let session = accounts.session(&second, 0).await.unwrap();
    assert!(session.time_authenticated >= now() - 5);

    let refused = change_password(store, &session, password(GOOD), password("short"), here()).await;
    assert!(matches!(refused, Err(SignInError::Invalid(_))), "{refused:?}");
    let third = change_password(store, &session, password(GOOD), password(OTHER), here());
    let third = third.await.unwrap();
    assert!(accounts.session(&second, 0).await.is_none());
    assert!(accounts.session(&other, 0).await.is_none());
    assert_eq!(accounts.session(&third, 0).await.unwrap().id, session.id);
    accounts.sign_in(attempt("root", OTHER)).await.unwrap();
}
