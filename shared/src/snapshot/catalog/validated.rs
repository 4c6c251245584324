//! An rkyv archive that was validated once.
//!
//! The only place that reads an archive without another validation.

#![allow(unsafe_code)]

use std::marker::PhantomData;

use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::util::AlignedVec;
use rkyv::{Portable, rancor};

/// Bytes in which `rkyv::access` has found a `T`. Never handed out mutably.
pub(super) struct Validated<T> {
    bytes: AlignedVec<16>,
    content: PhantomData<fn() -> T>,
}

impl<T> Validated<T>
where
    T: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    pub(super) fn new(bytes: AlignedVec<16>) -> Result<Self, rancor::Error> {
        rkyv::access::<T, rancor::Error>(&bytes)?;
        Ok(Self { bytes, content: PhantomData })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn get(&self) -> &T {
        // SAFETY: `new` validated exactly these bytes as a `T` at this root position and alignment;
        // they are owned, immutable and not moved by a move of `self`.
        unsafe { rkyv::access_unchecked::<T>(&self.bytes) }
    }
}

impl<T> std::fmt::Debug for Validated<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Validated({} bytes)", self.bytes.len())
    }
}
