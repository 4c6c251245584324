//! The header of a file: maps column names to positions.

use csv::ByteRecord;

use super::read_error::ReadError;
use crate::catalog::text::trim_invisible;
use crate::catalog::{BulkMode, COLUMNS};

/// Position of each known column in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) places: [Option<usize>; COLUMNS.len()],
    pub(super) cells: usize,
}

impl Header {
    pub(super) fn read(mode: BulkMode, header: &ByteRecord) -> Result<Header, ReadError> {
        let mut places = [None; COLUMNS.len()];
        for (place, cell) in header.iter().enumerate() {
            let column = known(cell)?;
            if places[column].replace(place).is_some() {
                return Err(ReadError::Twice(COLUMNS[column]));
            }
        }
        let header = Header { places, cells: header.len() };
        let missing: Vec<&str> =
            needed(mode).iter().copied().filter(|name| !header.has(name)).collect();
        if !missing.is_empty() {
            return Err(ReadError::Missing { missing, needed: needed(mode).join(", ") });
        }
        if mode == BulkMode::Update && !COLUMNS[2..10].iter().any(|name| header.has(name)) {
            return Err(ReadError::NothingToSet);
        }
        Ok(header)
    }

    fn has(&self, name: &str) -> bool {
        COLUMNS.iter().zip(self.places).any(|(known, place)| *known == name && place.is_some())
    }
}

/// The required columns.
pub(super) fn needed(mode: BulkMode) -> &'static [&'static str] {
    match mode {
        BulkMode::Add => &["offer_id", "affiliate_id", "coupon_code", "status"],
        BulkMode::Update => &["coupon_code"],
    }
}

fn known(cell: &[u8]) -> Result<usize, ReadError> {
    let name = std::str::from_utf8(cell).ok().filter(|name| !name.contains('\0'));
    let name = name.ok_or(ReadError::NotUtf8)?;
    let folded = trim_invisible(name).to_ascii_lowercase();
    let folded = if folded == "notes" { "internal_notes" } else { folded.as_str() };
    let place = COLUMNS.iter().position(|known| *known == folded);
    place.ok_or_else(|| ReadError::Unknown(name.chars().take(60).collect()))
}
