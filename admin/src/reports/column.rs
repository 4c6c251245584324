//! Columns of report rows.
//!
//! A column says once what JSON objects, CSV files and the API's description need: its name, the
//! type of its values, a description for readers, and how a row's value is read.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::amount::Amount;
use crate::store::conversions::Status;

/// One column of the rows `R`.
pub struct Column<R: 'static> {
    /// The name in JSON objects and files.
    pub name: &'static str,
    read: Read<R>,
    description: &'static str,
    partner_description: Option<&'static str>,
    advertiser_description: Option<&'static str>,
}

/// The value of a row, by type. The functions' types keep values and [`Kind`]s in agreement.
enum Read<R> {
    Text(for<'a> fn(&'a R) -> Cow<'a, str>),
    Id(fn(&R) -> u32),
    Unsigned(fn(&R) -> u64),
    Integer(fn(&R) -> i64),
    Flag(fn(&R) -> bool),
    Amount(fn(&R) -> Amount),
    Status(fn(&R) -> Status),
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// An unsigned number of 32 bits.
    Id,
    /// An unsigned number of 64 bits.
    Unsigned,
    /// A signed number of 64 bits.
    Integer,
    /// `true` or `false`.
    Flag,
    /// A decimal number or null.
    Amount,
    /// A conversion's status.
    Status,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Typed by a person or a program; files quote and neutralise it.
    Text(Cow<'a, str>),
    /// An id, a count or a time.
    Unsigned(u64),
    /// A count that may be negative.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// Money or a ratio.
    Amount(Amount),
}

impl<R> Column<R> {
    const fn new(name: &'static str, description: &'static str, read: Read<R>) -> Column<R> {
        let (partner_description, advertiser_description) = (None, None);
        Column { name, read, description, partner_description, advertiser_description }
    }

    pub(super) const fn text(
        name: &'static str,
        description: &'static str,
        read: for<'a> fn(&'a R) -> Cow<'a, str>,
    ) -> Column<R> {
        Column::new(name, description, Read::Text(read))
    }

    pub(super) const fn id(
        name: &'static str,
        description: &'static str,
        read: fn(&R) -> u32,
    ) -> Column<R> {
        Column::new(name, description, Read::Id(read))
    }

    pub(super) const fn unsigned(
        name: &'static str,
        description: &'static str,
        read: fn(&R) -> u64,
    ) -> Column<R> {
        Column::new(name, description, Read::Unsigned(read))
    }

    pub(super) const fn integer(
        name: &'static str,
        description: &'static str,
        read: fn(&R) -> i64,
    ) -> Column<R> {
        Column::new(name, description, Read::Integer(read))
    }

    pub(super) const fn flag(
        name: &'static str,
        description: &'static str,
        read: fn(&R) -> bool,
    ) -> Column<R> {
        Column::new(name, description, Read::Flag(read))
    }

    pub(super) const fn amount(
        name: &'static str,
        description: &'static str,
        read: fn(&R) -> Amount,
    ) -> Column<R> {
        Column::new(name, description, Read::Amount(read))
    }

    pub(super) const fn status(
        name: &'static str,
        description: &'static str,
        read: fn(&R) -> Status,
    ) -> Column<R> {
        Column::new(name, description, Read::Status(read))
    }

    /// The same column with another description for partners.
    pub(super) const fn for_partners(self, description: &'static str) -> Column<R> {
        Column { partner_description: Some(description), ..self }
    }

    /// The same column with another description for advertisers.
    pub(super) const fn for_advertisers(self, description: &'static str) -> Column<R> {
        Column { advertiser_description: Some(description), ..self }
    }

    pub(super) fn network_description(&self) -> &'static str {
        self.description
    }

    pub(super) fn partner_description(&self) -> &'static str {
        self.partner_description.unwrap_or(self.description)
    }

    pub(super) fn advertiser_description(&self) -> &'static str {
        self.advertiser_description.unwrap_or(self.description)
    }

    /// The type of the column's values.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.read {
            Read::Text(_) => Kind::Text,
            Read::Id(_) => Kind::Id,
            Read::Unsigned(_) => Kind::Unsigned,
            Read::Integer(_) => Kind::Integer,
            Read::Flag(_) => Kind::Flag,
            Read::Amount(_) => Kind::Amount,
            Read::Status(_) => Kind::Status,
        }
    }

    /// The row's value in this column.
    #[must_use]
    pub fn value<'a>(&self, row: &'a R) -> Value<'a> {
        match self.read {
            Read::Text(read) => Value::Text(read(row)),
            Read::Id(read) => Value::Unsigned(read(row).into()),
            Read::Unsigned(read) => Value::Unsigned(read(row)),
            Read::Integer(read) => Value::Integer(read(row)),
            Read::Flag(read) => Value::Flag(read(row)),
            Read::Amount(read) => Value::Amount(read(row)),
            Read::Status(read) => Value::Text(read(row).as_str().into()),
        }
    }
}

impl Value<'_> {
    /// The number to sort by; null for texts and flags.
    pub(super) fn number(&self) -> Amount {
        match self {
            Value::Integer(number) => Amount::from(*number),
            Value::Amount(amount) => *amount,
            Value::Text(_) | Value::Unsigned(_) | Value::Flag(_) => Amount::from(None),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Text(text) => text.serialize(serializer),
            Value::Unsigned(number) => number.serialize(serializer),
            Value::Integer(number) => number.serialize(serializer),
            Value::Flag(flag) => flag.serialize(serializer),
            Value::Amount(amount) => amount.serialize(serializer),
        }
    }
}
