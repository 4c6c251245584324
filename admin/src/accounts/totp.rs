//! The second factor: codes of an authenticator app (RFC 6238: SHA-1, six digits, 30 s, one step of
//! clock difference either way), each good once, and ten recovery codes.

use sha2::{Digest as _, Sha256};
use totp_rs::{Builder, Secret, Totp};

use super::users::find_existing;
use super::{OBJECT, User};
use crate::edit::{EditError, audit};
use crate::store::accounts::Digest;
use crate::store::accounts::second_factor::{self, TotpSecrets};
use crate::store::{ReadTx, StoreError, WriteTx};

/// As RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
const RECOVERY_CODES: usize = 10;
/// 80 random bits: beyond guessing even for a thief of the hashes.
const RECOVERY_CHARS: usize = 16;
const RECOVERY_GROUP: usize = 4;
/// Without letters that look like digits; 32 signs, so five bits of a byte choose one evenly.
const RECOVERY_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A secret for an authenticator app, shown to its user once.
pub struct Enrolment {
    /// For typing, in base 32.
    pub secret: String,
    /// For the QR code: `otpauth://totp/…`.
    pub url: String,
}

/// Makes a secret, which is in force after [`confirm`]. `issuer` names the network in the app.
///
/// # Errors
/// When there is no such user.
pub fn begin(tx: &WriteTx<'_>, user_id: u32, issuer: &str) -> Result<Enrolment, EditError> {
    let user = find_existing(tx, user_id)?;
    let mut secret = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(StoreError::from)?;
    let totp = named_totp(&secret, issuer, &user).map_err(unusable)?;
    let url = totp.to_url().map_err(unusable)?;
    let before = second_factor::find(tx, user_id)?;
    let saved = TotpSecrets { pending: Some(secret.to_vec()), ..before };
    second_factor::save(tx, user_id, &saved)?;
    Ok(Enrolment { secret: totp.secret().to_base32(), url })
}

/// Puts the secret of [`begin`] into force, after a first code of the app. Returns recovery codes,
/// each good once in place of a code; earlier ones stop working.
///
/// # Errors
/// When nothing was begun, or the code is wrong.
pub fn confirm(tx: &WriteTx<'_>, user_id: u32, code: &str) -> Result<Vec<String>, EditError> {
    let before = second_factor::find(tx, user_id)?;
    let Some(pending) = before.pending else {
        return Err(EditError::field("code", "has no secret to belong to; begin again"));
    };
    let Some(step) = matching_step(&pending, code, tx.now()) else {
        let message = "is not the present code; check that the phone's clock is right";
        return Err(EditError::field("code", message));
    };
    let saved = TotpSecrets { secret: Some(pending), pending: None, last_step: step };
    second_factor::save(tx, user_id, &saved)?;
    audit::record_action(tx, OBJECT, "totp_on", user_id)?;
    renew_recovery_codes(tx, user_id)
}

fn renew_recovery_codes(tx: &WriteTx<'_>, user_id: u32) -> Result<Vec<String>, EditError> {
    let codes =
        (0..RECOVERY_CODES).map(|_| random_recovery_code()).collect::<Result<Vec<_>, _>>()?;
    let hashes: Vec<Digest> = codes.iter().map(|code| recovery_hash(code)).collect();
    second_factor::set_recovery_codes(tx, user_id, &hashes)?;
    Ok(codes)
}

/// Checks a code of the app, or a recovery code. A good code is used up.
pub fn check(tx: &WriteTx<'_>, user_id: u32, code: &str) -> Result<bool, StoreError> {
    let TotpSecrets { secret, pending, last_step } = second_factor::find(tx, user_id)?;
    let Some(secret) = secret else { return Ok(false) };
    let digits: String = code.chars().filter(|sign| !sign.is_whitespace()).collect();
    match matching_step(&secret, &digits, tx.now()).filter(|step| *step > last_step) {
        Some(step) => {
            let saved = TotpSecrets { secret: Some(secret), pending, last_step: step };
            second_factor::save(tx, user_id, &saved)?;
            Ok(true)
        }
        None => second_factor::use_recovery_code(tx, user_id, &recovery_hash(code)),
    }
}

/// Switches the second factor off, for the user. The caller has checked password and code.
pub fn off(tx: &WriteTx<'_>, user_id: u32) -> Result<(), StoreError> {
    remove(tx, user_id)?;
    audit::record_action(tx, OBJECT, "totp_off", user_id)
}

/// Number of unused recovery codes.
pub fn count_recovery_codes(connection: &ReadTx<'_>, user_id: u32) -> Result<u64, StoreError> {
    second_factor::count_recovery_codes(connection, user_id)
}

pub(super) fn remove(tx: &WriteTx<'_>, user_id: u32) -> Result<(), StoreError> {
    second_factor::save(tx, user_id, &TotpSecrets::default())?;
    second_factor::set_recovery_codes(tx, user_id, &[])
}

/// The time step of a good code.
fn matching_step(secret: &[u8], code: &str, now: i64) -> Option<u64> {
    let totp = Builder::new().with_secret(Secret::new(secret.into())).build().ok()?;
    totp.check(code, u64::try_from(now).ok()?)
}

fn named_totp(secret: &[u8], issuer: &str, user: &User) -> Result<Totp, totp_rs::TotpError> {
    // The URL separates issuer and account by a colon.
    let (issuer, account) = (issuer.replace(':', " "), user.login.replace(':', " "));
    Builder::new()
        .with_secret(Secret::new(secret.into()))
        .with_issuer(Some(issuer))
        .with_account_name(account)
        .build()
}

fn unusable(error: totp_rs::TotpError) -> EditError {
    EditError::field("login", format!("cannot be the name in an authenticator app: {error}"))
}

fn random_recovery_code() -> Result<String, StoreError> {
    let mut random = [0_u8; RECOVERY_CHARS];
    getrandom::fill(&mut random)?;
    let signs: Vec<char> =
        random.iter().map(|byte| char::from(RECOVERY_ALPHABET[usize::from(byte % 32)])).collect();
    let groups: Vec<String> = signs.chunks(RECOVERY_GROUP).map(String::from_iter).collect();
    Ok(groups.join("-"))
}

/// Hash of a recovery code as typed: in any case, with or without hyphens and spaces.
fn recovery_hash(code: &str) -> Digest {
    let signs: String = code
        .chars()
        .filter(|sign| !sign.is_whitespace() && *sign != '-')
        .flat_map(char::to_lowercase)
        .collect();
    Sha256::digest(signs.as_bytes()).into()
}
