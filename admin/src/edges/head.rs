//! The head: the published generation as edges get it, and the objects of the index at NATS.
//!
//! ```text
//! stored head := key id u32 little-endian, sealed(zstd(signed(head)))
//! head        := length of JSON u32 little-endian, JSON, bytes of the inline objects
//! ```
//!
//! An object of the index, a level or the catalog, is inline in the head if it is small. Else it is
//! stored in parts, each sealed for its place: part 0 describes the object, the others are pieces of
//! its compressed bytes. Part 0 is stored last.
//!
//! The signature is the control plane's. Every edge has the key of the seal, so the seal alone would
//! let one edge write for all.

use std::io::Read as _;

use coupon_shared::snapshot::manifest::{Manifest, ManifestError, ObjectName};
use serde::{Deserialize, Serialize};

use super::sealing::{SealError, Secret, SigningKey, VerifyingKey};
use crate::index_folder::MergeRecipe;

const KEY_ID_LEN: usize = 4;
const LENGTH_LEN: usize = 4;
const HEAD_PURPOSE: &str = "head";
/// Bytes of objects in a head, before compression. The rest of the head has at most 3 KiB, and NATS
/// carries 768 KiB.
pub(crate) const MAX_INLINE_BYTES: usize = 512 << 10;
/// Longest head before compression: bounds the memory of whoever opens it.
const MAX_HEAD_BYTES: u64 = (MAX_INLINE_BYTES + (64 << 10)) as u64;
const COMPRESSION_LEVEL: i32 = 3;

/// Why a stored head is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("the head is sealed with key {id}, which this edge does not have")]
    UnknownKey { id: u32 },
    #[error("the head: {0}")]
    Seal(#[from] SealError),
    #[error(
        "the published index is not signed by the control plane of this bundle: make a new bundle with \
         `coupon-admin edges replace NAME` there, and use it as it is"
    )]
    ForeignSignature,
    #[error("the head is damaged: {0}")]
    Form(String),
    #[error("the head's manifest: {0}")]
    Manifest(#[from] ManifestError),
    #[error("the head is of network {got}; this edge is of network {expected}")]
    Network { got: u32, expected: u32 },
}

/// An object of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IndexObject {
    pub(crate) name: ObjectName,
    pub(crate) is_catalog: bool,
}

impl IndexObject {
    pub(crate) fn file(&self) -> String {
        if self.is_catalog { self.name.catalog_file() } else { self.name.level_file() }
    }
}

/// The objects of an index: the levels, newest first, and the catalog.
pub(crate) fn objects(manifest: &Manifest) -> impl Iterator<Item = IndexObject> + '_ {
    let level = |name: &ObjectName| IndexObject { name: *name, is_catalog: false };
    let catalog = IndexObject { name: manifest.catalog, is_catalog: true };
    manifest.levels.iter().map(level).chain([catalog])
}

/// A published generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the control plane's run.
    pub(crate) epoch: u64,
    pub(crate) manifest: Manifest,
    /// How levels follow from earlier ones, for edges that have these.
    pub(crate) recipes: Vec<MergeRecipe>,
    /// Small objects with their bytes.
    pub(crate) inline: Vec<(ObjectName, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
struct HeadText {
    epoch: u64,
    manifest: String,
    #[serde(default)]
    recipes: Vec<MergeRecipe>,
    /// Hex digits and length of each inline object.
    inline: Vec<(String, usize)>,
}

impl Head {
    /// Signs, compresses and seals the head.
    pub(crate) fn encode(
        &self,
        signing: &SigningKey,
        (key_id, key): (u32, &Secret),
    ) -> Result<Vec<u8>, HeadError> {
        let text = HeadText {
            epoch: self.epoch,
            manifest: self.manifest.to_text(),
            recipes: self.recipes.clone(),
            inline: self
                .inline
                .iter()
                .map(|(name, bytes)| (name.to_string(), bytes.len()))
                .collect(),
        };
        let json = serde_json::to_vec(&text).map_err(form)?;
        let mut head = Vec::from(u32::try_from(json.len()).map_err(form)?.to_le_bytes());
        head.extend_from_slice(&json);
        self.inline.iter().for_each(|(_, bytes)| head.extend_from_slice(bytes));
        let signed = signing.sign(head);
        let compressed = zstd::encode_all(&signed[..], COMPRESSION_LEVEL).map_err(form)?;
        let mut stored = Vec::from(key_id.to_le_bytes());
        stored.extend(key.sealing_key().seal(HEAD_PURPOSE, &compressed)?);
        Ok(stored)
    }

    /// Opens and checks a stored head.
    pub(crate) fn open(
        stored: &[u8],
        control_plane: VerifyingKey,
        network_id: u32,
        key: impl Fn(u32) -> Option<Secret>,
    ) -> Result<Head, HeadError> {
        let cut = || form("it is cut");
        let id = key_id(stored).ok_or_else(cut)?;
        let sealed = stored.get(KEY_ID_LEN..).ok_or_else(cut)?;
        let key = key(id).ok_or(HeadError::UnknownKey { id })?;
        let compressed = key.sealing_key().open(HEAD_PURPOSE, sealed)?;
        let mut signed = Vec::new();
        let decoder = zstd::Decoder::new(&compressed[..]).map_err(form)?;
        decoder.take(MAX_HEAD_BYTES).read_to_end(&mut signed).map_err(form)?;
        let head = control_plane.verify(&signed).map_err(|_| HeadError::ForeignSignature)?;
        let (length, rest) = head.split_first_chunk::<LENGTH_LEN>().ok_or_else(cut)?;
        let (json, mut bytes) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
        let text: HeadText = serde_json::from_slice(json).map_err(form)?;
        let manifest = Manifest::parse(text.manifest.as_bytes())?;
        if manifest.network_id != network_id {
            return Err(HeadError::Network { got: manifest.network_id, expected: network_id });
        }
        let mut inline = Vec::with_capacity(text.inline.len());
        for (name, length) in text.inline {
            let name = ObjectName::from_hex(&name).ok_or_else(|| form("an object's name"))?;
            let (object, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
            inline.push((name, object.to_vec()));
            bytes = rest;
        }
        Ok(Head { epoch: text.epoch, manifest, recipes: text.recipes, inline })
    }
}

fn form(error: impl std::fmt::Display) -> HeadError {
    HeadError::Form(error.to_string())
}

/// The key that a stored head and its objects are sealed with; `None` if the head is cut.
pub(crate) fn key_id(stored: &[u8]) -> Option<u32> {
    stored.first_chunk::<KEY_ID_LEN>().map(|id| u32::from_le_bytes(*id))
}

/// Part 0 of a stored object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Parts with bytes.
    pub(crate) parts: u32,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// BLAKE3 of the file, 64 hex digits.
    pub(crate) hash: String,
}

/// The purpose of a sealed part.
pub(crate) fn part_purpose(object: &ObjectName, part: u32) -> String {
    format!("object {object} {part}")
}

#[cfg(test)]
mod tests {
    use coupon_shared::snapshot::Lineage;
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        let name = |byte| ObjectName([byte; 32]);
        let manifest = Manifest {
            network_id: 1,
            lineage: Lineage([9; 16]),
            generation: 42,
            sequence: 1337,
            catalog: name(1),
            levels: vec![name(2), name(3)],
        };
        let recipes = vec![MergeRecipe { level: name(3), newest_first: vec![name(4), name(5)] }];
        Head {
            epoch: 5,
            manifest,
            recipes,
            inline: vec![(name(2), b"level".to_vec()), (name(1), vec![])],
        }
    }

    #[test]
    fn a_head_reads_back_and_every_changed_bit_is_refused() {
        let (signing, key) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
        let signing = signing.signing_key().unwrap();
        let public = signing.public();
        let stored = head().encode(&signing, (7, &key)).unwrap();
        let known = |id| (id == 7).then(|| Secret::from_bytes([2; 32]));
        let open = |stored: &[u8], network| Head::open(stored, public, network, known);
        assert_eq!(open(&stored, 1), Ok(head()));
        assert_eq!(open(&stored, 2), Err(HeadError::Network { got: 1, expected: 2 }));
        let unknown = Head::open(&stored, public, 1, |_| None);
        assert_eq!(unknown, Err(HeadError::UnknownKey { id: 7 }));
        for at in 0..stored.len() {
            for bit in 0..8 {
                let mut damaged = stored.clone();
                damaged[at] ^= 1 << bit;
                assert!(open(&damaged, 1).is_err(), "bit {bit} of byte {at}");
            }
            assert!(open(&stored[..at], 1).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_head_that_another_edge_sealed_is_refused() {
        let key = Secret::from_bytes([2; 32]);
        let (own, foreign) = (Secret::from_bytes([1; 32]), Secret::from_bytes([3; 32]));
        let stored = head().encode(&foreign.signing_key().unwrap(), (7, &key)).unwrap();
        let public = own.signing_key().unwrap().public();
        let opened = Head::open(&stored, public, 1, |_| Some(key.clone()));
        assert_eq!(opened, Err(HeadError::ForeignSignature));
        let text = HeadError::ForeignSignature.to_string();
        assert!(text.contains("edges replace NAME"), "{text}");
    }

    #[test]
    fn a_head_of_an_earlier_release_has_no_recipes() {
        let text = HeadText { epoch: 5, manifest: String::new(), recipes: vec![], inline: vec![] };
        let mut json = serde_json::to_value(&text).unwrap();
        json.as_object_mut().unwrap().remove("recipes");
        let read: HeadText = serde_json::from_value(json).unwrap();
        assert_eq!((read.epoch, read.recipes), (5, vec![]));
    }

    proptest! {
        #[test]
        fn no_signed_head_makes_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let key = Secret::from_bytes([2; 32]);
            let signing = Secret::from_bytes([1; 32]).signing_key().unwrap();
            let whole = head().encode(&signing, (7, &key)).unwrap();
            let compressed = key.sealing_key().open(HEAD_PURPOSE, &whole[KEY_ID_LEN..]).unwrap();
            let signed = zstd::decode_all(&compressed[..]).unwrap();
            let mut changed = signing.public().verify(&signed).unwrap().to_vec();
            for (at, to) in changes {
                *at.get_mut(&mut changed) = to;
            }
            for head in [bytes, changed] {
                let compressed = zstd::encode_all(&signing.sign(head)[..], 1).unwrap();
                let mut stored = Vec::from(7_u32.to_le_bytes());
                stored.extend(key.sealing_key().seal(HEAD_PURPOSE, &compressed).unwrap());
                let _ = Head::open(&stored, signing.public(), 1, |_| Some(key.clone()));
            }
        }
    }
}
