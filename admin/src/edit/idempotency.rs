//! A creation that its caller may send again: the first one creates, every other one is answered
//! what the first was.
//!
//! A creation that was refused is not kept, and is judged anew.

use super::EditError;
use crate::store::WriteTx;
use crate::store::idempotency::{self, Kept, MAX_PER_KEY};
use crate::store::meta::Sequence;
use crate::store::origin::Actor;

/// A creation as answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreationAnswer {
    /// The answer's body.
    pub body: Vec<u8>,
    /// What a repetition is answered, where that must not be the same: a secret is told once.
    pub body_to_store: Option<Vec<u8>>,
    /// The answer's entity tag, or nothing.
    pub etag: String,
    /// The change's place in the sequence.
    pub sequence: Option<Sequence>,
    /// It was created earlier.
    pub is_repetition: bool,
}

/// Creates, unless this was done already.
///
/// # Errors
/// What `create` answers, that the key was used for another request, or that too many are kept.
pub fn idempotent<E: From<EditError>>(
    tx: &WriteTx<'_>,
    create: impl FnOnce() -> Result<CreationAnswer, E>,
) -> Result<CreationAnswer, E> {
    let origin = tx.origin();
    let (Actor::ApiKey(caller), Some(repeatable)) = (origin.actor, &origin.repeatable) else {
        return create();
    };
    let (key, fingerprint) = (&repeatable.key, repeatable.fingerprint());
    if let Some(kept) = find(tx, caller, key)? {
        return repeated(kept, fingerprint).map_err(E::from);
    }
    let answered = create()?;
    let kept = Kept {
        fingerprint,
        body: answered.body_to_store.clone().unwrap_or_else(|| answered.body.clone()),
        etag: answered.etag.clone(),
        sequence: answered.sequence,
    };
    idempotency::keep(tx, caller, key, &kept).map_err(EditError::from)?;
    Ok(answered)
}

fn find(tx: &WriteTx<'_>, caller: u32, key: &str) -> Result<Option<Kept>, EditError> {
    idempotency::expire(tx)?;
    let found = idempotency::find(tx, caller, key)?;
    if found.is_none() {
        let kept = idempotency::count(tx, caller)?;
        if kept >= MAX_PER_KEY {
            return Err(EditError::TooManyRepeatable { kept });
        }
    }
    Ok(found)
}

fn repeated(kept: Kept, fingerprint: [u8; 32]) -> Result<CreationAnswer, EditError> {
    if kept.fingerprint != fingerprint {
        return Err(EditError::NotARepetition);
    }
    let Kept { body, etag, sequence, .. } = kept;
    Ok(CreationAnswer { body, body_to_store: None, etag, sequence, is_repetition: true })
}
