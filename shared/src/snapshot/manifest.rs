//! The manifest: names the files of the index to serve.
//!
//! A short text, so that an operator can read it. The index folder holds it as [`CURRENT`],
//! and the previous manifest as [`PREVIOUS`]. Lines end with a line feed and come in this order:
//!
//! ```text
//! coupond-manifest 1
//! network 1
//! lineage 09090909090909090909090909090909
//! generation 42
//! sequence 1337
//! catalog 64 hex digits
//! level 64 hex digits
//! checksum 64 hex digits
//! ```
//!
//! `level` stands once for each level, newest first, at most [`MAX_LEVELS`] times. The checksum is
//! the BLAKE3 of all bytes before its line. A later generation replaces an earlier one of the same
//! lineage; `sequence` is the last change of the store that the index holds.

use super::{HASH_LEN, Lineage};

/// File name of the manifest.
pub const CURRENT: &str = "CURRENT";
/// File name of the manifest before.
pub const PREVIOUS: &str = "CURRENT.prev";
/// Most levels an index has.
pub const MAX_LEVELS: usize = 4;
/// Upper bound of a manifest's length.
pub const MAX_BYTES: usize = 1024;

const FIRST_LINE: &str = "coupond-manifest 1";

/// Names an immutable file by the hash in its header.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectName(pub [u8; HASH_LEN]);

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl std::fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectName({self})")
    }
}

impl ObjectName {
    /// Parses 64 hex digits.
    pub fn from_hex(text: &str) -> Option<ObjectName> {
        blake3::Hash::from_hex(text).ok().map(|hash| ObjectName(*hash.as_bytes()))
    }

    /// Name of a level file with this hash.
    pub fn level_file(&self) -> String {
        format!("level-{self}.lvl")
    }

    /// Name of a catalog file with this hash.
    pub fn catalog_file(&self) -> String {
        format!("catalog-{self}.cat")
    }
}

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub network_id: u32,
    /// The store's history.
    pub lineage: Lineage,
    /// Number of the publication.
    pub generation: u64,
    /// The last change in the index.
    pub sequence: u64,
    pub catalog: ObjectName,
    /// The levels, newest first.
    pub levels: Vec<ObjectName>,
}

/// Why a text is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The first line differs.
    #[error(
        "the manifest begins with `{got}`, not `{FIRST_LINE}`: it is foreign or of a newer version"
    )]
    FirstLine { got: String },
    /// A line is missing, out of order or unreadable.
    #[error("the manifest's `{field}` line is missing or unreadable: it is damaged")]
    Field { field: &'static str },
    /// The checksum differs.
    #[error("the manifest's checksum differs: it is damaged")]
    Checksum,
    /// Too many or no levels.
    #[error("the manifest names {got} levels; 1 to {MAX_LEVELS} are possible")]
    Levels { got: usize },
}

impl Manifest {
    /// The manifest's text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{FIRST_LINE}\nnetwork {}\nlineage {}\ngeneration {}\nsequence {}\ncatalog {}\n",
            self.network_id, self.lineage, self.generation, self.sequence, self.catalog
        );
        for level in &self.levels {
            text.push_str(&format!("level {level}\n"));
        }
        let checksum = blake3::hash(text.as_bytes()).to_hex();
        text + "checksum " + &checksum + "\n"
    }

    /// Parses a manifest. Accepts exactly the output of [`Manifest::to_text`].
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let text = std::str::from_utf8(text).map_err(|_| ManifestError::Checksum)?;
        let first = text.lines().next().unwrap_or_default();
        if first != FIRST_LINE {
            return Err(ManifestError::FirstLine { got: first.chars().take(40).collect() });
        }
        let manifest = parse_fields(text)?;
        if manifest.levels.is_empty() || manifest.levels.len() > MAX_LEVELS {
            return Err(ManifestError::Levels { got: manifest.levels.len() });
        }
        if manifest.to_text() != text {
            return Err(ManifestError::Checksum);
        }
        Ok(manifest)
    }
}

fn parse_fields(text: &str) -> Result<Manifest, ManifestError> {
    let mut lines = text.lines().skip(1);
    let mut field = |field: &'static str| {
        let line = lines.next().and_then(|line| line.strip_prefix(field));
        line.and_then(|line| line.strip_prefix(' ')).ok_or(ManifestError::Field { field })
    };
    let number = |text: &str, field| text.parse().map_err(|_| ManifestError::Field { field });
    Ok(Manifest {
        network_id: field("network")?
            .parse()
            .map_err(|_| ManifestError::Field { field: "network" })?,
        lineage: lineage(field("lineage")?)?,
        generation: number(field("generation")?, "generation")?,
        sequence: number(field("sequence")?, "sequence")?,
        catalog: object_name(field("catalog")?, "catalog")?,
        levels: lines
            .map_while(|line| line.strip_prefix("level "))
            .map(|name| object_name(name, "level"))
            .collect::<Result<_, _>>()?,
    })
}

fn lineage(text: &str) -> Result<Lineage, ManifestError> {
    let number = u128::from_str_radix(text, 16);
    number.map(|n| Lineage(n.to_be_bytes())).map_err(|_| ManifestError::Field { field: "lineage" })
}

fn object_name(text: &str, field: &'static str) -> Result<ObjectName, ManifestError> {
    ObjectName::from_hex(text).ok_or(ManifestError::Field { field })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Manifest {
        Manifest {
            network_id: 1,
            lineage: Lineage([9; 16]),
            generation: 42,
            sequence: 1337,
            catalog: ObjectName([1; 32]),
            levels: vec![ObjectName([2; 32]), ObjectName([3; 32])],
        }
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        assert_eq!(Manifest::parse(sample().to_text().as_bytes()), Ok(sample()));
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_is_read() {
        let good = sample().to_text().into_bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::parse(&bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(Manifest::parse(&good[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn one_to_four_levels_are_possible() {
        for (levels, possible) in [(0, false), (1, true), (4, true), (5, false)] {
            let manifest = Manifest { levels: vec![ObjectName([2; 32]); levels], ..sample() };
            assert_eq!(Manifest::parse(manifest.to_text().as_bytes()).is_ok(), possible);
        }
    }

    #[test]
    fn the_longest_manifest_is_within_the_bound() {
        let longest = Manifest {
            network_id: u32::MAX,
            generation: u64::MAX,
            sequence: u64::MAX,
            levels: vec![ObjectName([2; 32]); MAX_LEVELS],
            ..sample()
        };
        assert!(longest.to_text().len() < MAX_BYTES);
    }

    proptest! {
        #[test]
        fn reading_any_text_never_panics(text in "(coupond-manifest 1\n)?\\PC{0,200}") {
            let _ = Manifest::parse(text.as_bytes());
        }

        #[test]
        fn any_manifest_reads_back_and_no_other_way_to_write_it_does(
            network_id in any::<u32>(),
            lineage in any::<[u8; 16]>(),
            numbers in any::<[u64; 2]>(),
            names in proptest::collection::vec(any::<[u8; 32]>(), 2..=1 + MAX_LEVELS),
            at in any::<prop::sample::Index>(),
            with in "[0-9A-F +\n]",
        ) {
            let manifest = Manifest {
                network_id,
                lineage: Lineage(lineage),
                generation: numbers[0],
                sequence: numbers[1],
                catalog: ObjectName(names[0]),
                levels: names[1..].iter().copied().map(ObjectName).collect(),
            };
            let text = manifest.to_text();
            prop_assert!(text.len() < MAX_BYTES);
            prop_assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest));
            let fields = &text[..text.find("checksum").unwrap()];
            let mut other = fields.to_owned();
            let at = at.index(other.len());
            other.replace_range(at..at + 1, &with);
            let checksum = blake3::hash(other.as_bytes()).to_hex();
            let resealed = format!("{other}checksum {checksum}\n");
            if let Ok(read) = Manifest::parse(resealed.as_bytes()) {
                prop_assert_eq!(read.to_text(), resealed);
            }
        }
    }
}
