//! Rules of a catalog, typed once when it is opened.
//!
//! # Bytes
//!
//! The operands of each rule begin with the rule's id (4 bytes, little endian), which stays the same
//! in all publications. Opcodes:
//!
//! | opcode | after the id |
//! |---|---|
//! | 1 ruleset | the rkyv archive of a [`Ruleset`] |
//! | 2 zones | the rkyv archive of the [`Zone`]s that rulesets name, by ascending name; id 0 |
//!
//! Another opcode refuses the catalog: a rule that is not understood must not be left out.

use coupon_rules::ruleset::{PreparedRuleset, Ruleset};
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};

use super::{ArchivedRule, Rule, SnapshotError, ZoneOffset};

const RULESET: u16 = 1;
const ZONES: u16 = 2;
const ID_LEN: usize = 4;

/// A zone of the IANA database.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub name: String,
    /// By ascending time; the first holds from the beginning.
    pub offsets: Vec<ZoneOffset>,
}

/// A ruleset with its id.
#[derive(Debug)]
pub struct CatalogRuleset {
    pub id: u32,
    pub ruleset: PreparedRuleset,
}

/// The rules of an opened catalog.
#[derive(Debug, Default)]
pub(super) struct TypedRules {
    /// By position; `None` where another kind of rule stands.
    rulesets: Vec<Option<CatalogRuleset>>,
    zones: Vec<Zone>,
}

impl Rule {
    /// A rule for the offers that name its position.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn ruleset(id: u32, ruleset: &Ruleset) -> Result<Rule, SnapshotError> {
        let mut operands = id.to_le_bytes().to_vec();
        operands.extend(ruleset.encode().map_err(content_error)?);
        Ok(Rule { opcode: RULESET, operands })
    }

    /// The zones that rulesets name.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn zones(mut zones: Vec<Zone>) -> Result<Rule, SnapshotError> {
        zones.sort_by(|one, other| one.name.cmp(&other.name));
        let mut operands = vec![0; ID_LEN];
        let archive = rkyv::to_bytes::<rancor::Error>(&zones).map_err(content_error)?;
        operands.extend_from_slice(&archive);
        Ok(Rule { opcode: ZONES, operands })
    }
}

fn content_error(error: rancor::Error) -> SnapshotError {
    SnapshotError::Content { file: super::FILE, reason: error.to_string() }
}

impl TypedRules {
    pub(super) fn new(rules: &[ArchivedRule]) -> Result<TypedRules, String> {
        let mut typed = TypedRules::default();
        for (position, rule) in (1..).zip(rules) {
            let explain = |reason| format!("rule {position}: {reason}");
            typed.add(rule).map_err(explain)?;
        }
        Ok(typed)
    }

    fn add(&mut self, rule: &ArchivedRule) -> Result<(), String> {
        let (id, operands) =
            rule.operands.split_first_chunk::<ID_LEN>().ok_or("its operands have no id")?;
        match rule.opcode.to_native() {
            RULESET => {
                let (id, ruleset) = (u32::from_le_bytes(*id), Ruleset::decode(operands)?.into());
                self.rulesets.push(Some(CatalogRuleset { id, ruleset }));
            }
            ZONES => {
                self.zones = zones(operands)?;
                self.rulesets.push(None);
            }
            opcode => return Err(format!("opcode {opcode} is not known here: upgrade coupond")),
        }
        Ok(())
    }

    /// The ruleset at a position from 1.
    #[inline]
    pub(super) fn ruleset(&self, position: u32) -> Option<&CatalogRuleset> {
        self.rulesets.get((position as usize).checked_sub(1)?)?.as_ref()
    }

    pub(super) fn zone(&self, name: &str) -> Option<&Zone> {
        let at = self.zones.binary_search_by(|zone| zone.name.as_str().cmp(name)).ok()?;
        Some(&self.zones[at])
    }
}

fn zones(operands: &[u8]) -> Result<Vec<Zone>, String> {
    let mut aligned = AlignedVec::<16>::with_capacity(operands.len());
    aligned.extend_from_slice(operands);
    let zones = rkyv::from_bytes::<Vec<Zone>, rancor::Error>(&aligned)
        .map_err(|error| format!("its zones are damaged: {error}"))?;
    super::ascending("zones", &zones, |zone| zone.name.clone())?;
    for zone in &zones {
        super::ascending("zone offsets", &zone.offsets, |offset| offset.from)?;
    }
    Ok(zones)
}

/// Seconds ahead of UTC at a moment; `None` without any offset.
pub(super) fn offset_at(offsets: &[ZoneOffset], unix_seconds: i64) -> Option<i32> {
    let after = offsets.partition_point(|offset| offset.from <= unix_seconds);
    offsets.get(after.saturating_sub(1)).map(|offset| offset.utc_offset)
}
