//! Creations with an `Idempotency-Key`: the first request creates the object, and repetitions get
//! the first answer.
//!
//! A refused creation is not stored, so a repetition is checked again.

use super::EditError;
use crate::store::WriteTx;
use crate::store::idempotency::{self, MAX_PER_CALLER, RepeatingCaller, StoredResponse};
use crate::store::meta::Sequence;

/// The answer to a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreationAnswer {
    /// The body.
    pub body: Vec<u8>,
    /// The body for repetitions, if different: a secret appears in the first answer only.
    pub body_to_store: Option<Vec<u8>>,
    /// The entity tag, or empty.
    pub etag: String,
    /// The position in the change sequence.
    pub sequence: Option<Sequence>,
    /// An earlier request created the object.
    pub is_repetition: bool,
}

/// Runs `create`, or returns the stored answer of the same request.
///
/// # Errors
/// An error of `create`, a key that belongs to another request, or too many stored answers.
pub fn idempotent<E: From<EditError>>(
    tx: &WriteTx<'_>,
    create: impl FnOnce() -> Result<CreationAnswer, E>,
) -> Result<CreationAnswer, E> {
    let origin = tx.origin();
    let caller = RepeatingCaller::from_actor(origin.actor);
    let (Some(caller), Some(repeatable)) = (caller, &origin.repeatable) else {
        return create();
    };
    let (key, fingerprint) = (&repeatable.key, repeatable.fingerprint());
    if let Some(kept) = find(tx, caller, key)? {
        return repeated(kept, fingerprint).map_err(E::from);
    }
    let answered = create()?;
    let kept = StoredResponse {
        fingerprint,
        body: answered.body_to_store.clone().unwrap_or_else(|| answered.body.clone()),
        etag: answered.etag.clone(),
        sequence: answered.sequence,
    };
    idempotency::keep(tx, caller, key, &kept).map_err(EditError::from)?;
    Ok(answered)
}

fn find(
    tx: &WriteTx<'_>,
    caller: RepeatingCaller,
    key: &str,
) -> Result<Option<StoredResponse>, EditError> {
    idempotency::expire(tx)?;
    let found = idempotency::find(tx, caller, key)?;
    if found.is_none() {
        let kept = idempotency::count(tx, caller)?;
        if kept >= MAX_PER_CALLER {
            return Err(EditError::TooManyRepeatable { kept });
        }
    }
    Ok(found)
}

fn repeated(kept: StoredResponse, fingerprint: [u8; 32]) -> Result<CreationAnswer, EditError> {
    if kept.fingerprint != fingerprint {
        return Err(EditError::NotARepetition);
    }
    let StoredResponse { body, etag, sequence, .. } = kept;
    Ok(CreationAnswer { body, body_to_store: None, etag, sequence, is_repetition: true })
}
