//! Filters of lists: each field has a column and a value type.
//!
//! A value is parsed as the type of its field, or refused. A comparison with the raw text could
//! select other rows than intended, and filters also select the codes of a bulk change.

use std::fmt::Write as _;

use rusqlite::types::Value;

use super::{Sort, day_text};
use crate::catalog::{DayError, UnknownWord, WordSet, parse_day};
use crate::store::casefolded;

/// A field by which a list can be filtered.
#[derive(Debug, Clone, Copy)]
pub struct Filterable {
    /// Public name of the field.
    pub field: &'static str,
    /// The column, or an expression over columns. Private to the store: callers pass no SQL.
    pub(in crate::store) column: &'static str,
    /// Type of the values.
    pub kind: Compared,
}

/// The field for `search`, for objects with names.
pub const NAME: Filterable =
    Filterable { field: "name", column: "casefold(name)", kind: Compared::Text };

/// Lists the deleted objects instead of the others.
pub const DELETED: Filterable =
    Filterable { field: "deleted", column: TIME_DELETED, kind: Compared::Deletion };

const TIME_DELETED: &str = "time_deleted";

/// Type of a filter's value.
#[derive(Debug, Clone, Copy)]
pub enum Compared {
    /// A whole number.
    Number,
    /// An id; 0 selects rows without one.
    OptionalId,
    /// An id of 32 hex digits.
    HexId,
    /// Unix seconds.
    Time,
    /// A civil day; empty selects rows without one.
    Day,
    /// A word of a closed set.
    Word(Vocabulary),
    /// Text, compared byte by byte.
    Text,
    /// Text of a code, compared without case.
    Code,
    /// Whether the object is deleted: `true` or `false`.
    Deletion,
}

/// Words of a column, with synonyms.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    /// All words.
    pub words: &'static [&'static str],
    canonical: fn(&str) -> Result<&'static str, UnknownWord>,
}

impl Vocabulary {
    /// Words of a closed set.
    #[must_use]
    pub const fn from_word_set<T: WordSet>() -> Vocabulary {
        Vocabulary { words: T::WORDS, canonical: T::canonical }
    }

    /// The stored word for a typed word.
    ///
    /// # Errors
    /// When it is none of the set.
    pub fn canonical(self, word: &str) -> Result<&'static str, UnknownWord> {
        (self.canonical)(word)
    }
}

/// Operator of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// Substring.
    Contains,
    /// Beginning of the text.
    Prefix,
    /// Equality with one of the values of a JSON array.
    OneOf,
}

/// A condition of a list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// From a [`Filterable`], never from a request.
    pub(in crate::store) column: &'static str,
    /// The operator.
    pub operator: Operator,
    /// The value.
    pub value: Value,
}

impl Filter {
    /// The text of a filter by this field.
    #[must_use]
    pub fn text_of(&self, filterable: &Filterable) -> Option<String> {
        match &self.value {
            Value::Text(text) if self.column == filterable.column => Some(text.clone()),
            _ => None,
        }
    }
}

/// Reasons why a value cannot be compared with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The field holds whole numbers.
    #[error("`{0}` is not a whole number")]
    Number(String),
    /// The field holds instants.
    #[error("`{0}` is not a time; write Unix seconds, like 1767225600")]
    Time(String),
    /// The field holds ids of 32 hex digits.
    #[error("`{0}` is not an id of 32 hex digits")]
    HexId(String),
    /// The field holds civil days.
    #[error("{0}, or leave it empty after = to find what has none")]
    Day(#[from] DayError),
    /// The field holds words of a closed set.
    #[error(transparent)]
    Word(#[from] UnknownWord),
    /// The field takes `true` and `false` only.
    #[error("`{0}` is not `true` or `false`")]
    Deletion(String),
    /// The field does not support this operator.
    #[error("can only be compared with {allowed}")]
    Operator {
        /// The supported operators.
        allowed: &'static str,
    },
}

/// Reasons why a text such as `coupon_status=active` is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterTextError {
    /// The text has no operator.
    #[error("must look like coupon_status=active, with =, > or <")]
    Form,
    /// The list has no such field.
    #[error("`{field}` cannot be filtered by; known: {known}")]
    Field {
        /// As typed.
        field: String,
        /// The fields of the list.
        known: String,
    },
    /// The value does not fit the field.
    #[error("{field}: {error}")]
    Value {
        /// The field.
        field: String,
        /// The reason.
        error: FilterError,
    },
}

/// Reads a filter, written as field, operator (`=`, `>` or `<`) and value.
///
/// # Errors
/// When the text has another form, the field is unknown, or the value does not fit it.
pub fn parse_filter(text: &str, known: &[Filterable]) -> Result<Filter, FilterTextError> {
    let split = text.char_indices().find(|(_, c)| matches!(c, '=' | '>' | '<'));
    let (at, operator) = split.ok_or(FilterTextError::Form)?;
    let (field, value) = (&text[..at], &text[at + 1..]);
    let Some(filterable) = known.iter().find(|filterable| filterable.field == field) else {
        let names: Vec<&str> = known.iter().map(|filterable| filterable.field).collect();
        return Err(FilterTextError::Field { field: field.into(), known: names.join(", ") });
    };
    let operator = match operator {
        '>' => Operator::Greater,
        '<' => Operator::Less,
        _ => Operator::Equal,
    };
    filterable
        .filter(operator, value)
        .map_err(|error| FilterTextError::Value { field: field.into(), error })
}

impl Filterable {
    /// Builds a field without a column: the caller reads its filter and leaves it out of the query.
    #[must_use]
    pub const fn without_column(field: &'static str, kind: Compared) -> Filterable {
        Filterable { field, column: field, kind }
    }

    /// Builds the condition that the field equals `value`.
    #[must_use]
    pub fn equals(&self, value: impl Into<Value>) -> Filter {
        Filter { column: self.column, operator: Operator::Equal, value: value.into() }
    }

    /// Builds the condition that the field's text contains `text`, in any case.
    #[must_use]
    pub fn contains(&self, text: &str) -> Filter {
        let value = match self.kind {
            Compared::Code => text.to_ascii_lowercase(),
            _ => casefolded(text),
        };
        Filter { column: self.column, operator: Operator::Contains, value: value.into() }
    }

    /// Builds the condition that a code begins with `text`, in any case.
    #[must_use]
    pub fn begins_with(&self, text: &str) -> Filter {
        Filter { operator: Operator::Prefix, ..self.contains(text) }
    }

    /// Builds the condition that the field equals one of the values.
    ///
    /// # Errors
    /// When a value is none of the field's type, or stands for rows without a value beside others.
    pub fn one_of(&self, typed: &[String]) -> Result<Filter, FilterError> {
        if let [one] = typed {
            return self.filter(Operator::Equal, one);
        }
        if matches!(self.kind, Compared::Deletion) {
            return Err(FilterError::Operator { allowed: "=" });
        }
        let read = |typed: &String| match self.kind.read(Operator::Equal, typed)? {
            Value::Integer(number) => Ok(serde_json::Value::from(number)),
            Value::Text(text) => Ok(text.into()),
            // SQL finds no NULL in a list.
            _ => Err(FilterError::Operator { allowed: "one value where it is 0 or empty" }),
        };
        let values = typed.iter().map(read).collect::<Result<serde_json::Value, _>>()?;
        let value = Value::Text(values.to_string());
        Ok(Filter { column: self.column, operator: Operator::OneOf, value })
    }

    /// Orders a list by the field.
    #[must_use]
    pub fn sort(&self, is_descending: bool) -> Sort {
        Sort { column: self.column, is_descending }
    }

    /// Builds the condition from an operator and a typed value.
    ///
    /// # Errors
    /// When the value is none of the field's type, or its type has no such order.
    pub fn filter(&self, operator: Operator, typed: &str) -> Result<Filter, FilterError> {
        let value = self.kind.read(operator, typed)?;
        let filter = Filter { column: self.column, operator, value };
        Ok(match (self.kind, &filter.value) {
            (Compared::Deletion, Value::Integer(1)) => {
                Filter { operator: Operator::Greater, value: 0.into(), ..filter }
            }
            _ => filter,
        })
    }
}

impl Compared {
    fn read(self, operator: Operator, typed: &str) -> Result<Value, FilterError> {
        let is_equal = operator == Operator::Equal;
        match self {
            Compared::Word(_) | Compared::HexId | Compared::Deletion if !is_equal => {
                return Err(FilterError::Operator { allowed: "=" });
            }
            // Rows without an id are 0 in requests, and NULL, which has no order, in the store.
            Compared::OptionalId if operator == Operator::Less => {
                return Err(FilterError::Operator { allowed: "= or >" });
            }
            _ => {}
        }
        let number = || typed.parse::<i64>().map_err(|_| FilterError::Number(shortened(typed)));
        Ok(match self {
            Compared::Number => number()?.into(),
            Compared::OptionalId if number()? == 0 && is_equal => Value::Null,
            Compared::OptionalId => number()?.into(),
            Compared::HexId => hex_id(typed)?.into(),
            Compared::Time => {
                number().map_err(|_not_a_number| FilterError::Time(shortened(typed)))?.into()
            }
            Compared::Day => match parse_day(typed)? {
                None if !is_equal => {
                    return Err(FilterError::Operator { allowed: "= where it is empty" });
                }
                day => day_text(day).into(),
            },
            Compared::Word(vocabulary) => vocabulary.canonical(typed)?.to_owned().into(),
            Compared::Text => typed.to_owned().into(),
            Compared::Code => typed.to_ascii_lowercase().into(),
            Compared::Deletion => {
                let deleted: bool =
                    typed.parse().map_err(|_| FilterError::Deletion(shortened(typed)))?;
                deleted.into()
            }
        })
    }
}

fn hex_id(typed: &str) -> Result<String, FilterError> {
    let is_id = typed.len() == 32 && typed.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(typed.to_ascii_lowercase()) } else { Err(FilterError::HexId(shortened(typed))) }
}

fn shortened(typed: &str) -> String {
    typed.chars().take(40).collect()
}

/// The condition on deletion: rows are not deleted, unless a filter selects deleted ones.
pub(in crate::store) fn only_deletion(filters: &[Filter]) -> &'static str {
    if filters.iter().any(|filter| filter.column == TIME_DELETED) {
        "true"
    } else {
        "time_deleted = 0"
    }
}

/// WHERE clause of a first condition and the filters, with its values.
pub(in crate::store) fn conditions(first: &str, filters: &[Filter]) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let filters: Vec<&Filter> = filters.iter().collect();
    let condition = conditions_beside(first, &filters, None, &mut values);
    (condition, values)
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Bound {
    Lower,
    Upper,
}

/// WHERE clause of a first condition, whose values are `values`, and the filters, which add theirs.
///
/// If the first condition bounds a column, as `beside` says, the walk along the column's index has to
/// begin there, also where a filter bounds the column at the same end.
pub(in crate::store) fn conditions_beside(
    first: &str,
    filters: &[&Filter],
    beside: Option<(&str, Bound)>,
    values: &mut Vec<Value>,
) -> String {
    let mut condition = String::from(first);
    for filter in filters {
        values.push(filter.value.clone());
        let (column, place) = (filter.column, values.len());
        // SQLite uses no index for a term with a unary plus.
        let plus = |bound| if beside == Some((column, bound)) { "+" } else { "" };
        let (lower, upper) = (plus(Bound::Lower), plus(Bound::Upper));
        let _ = match filter.operator {
            Operator::Equal => write!(condition, " AND {column} IS ?{place}"),
            Operator::Greater => write!(condition, " AND {lower}{column} > ?{place}"),
            Operator::Less => write!(condition, " AND {upper}{column} < ?{place}"),
            Operator::OneOf => {
                write!(condition, " AND {column} IN (SELECT value FROM json_each(?{place}))")
            }
            Operator::Contains => write!(condition, " AND instr({column}, ?{place}) > 0"),
            // Codes have no byte above this one, so it ends the range of a prefix.
            Operator::Prefix => write!(
                condition,
                " AND {lower}{column} >= ?{place} AND {upper}{column} < ?{place} || char(127)"
            ),
        };
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CouponStatus;

    fn read(kind: Compared, operator: Operator, typed: &str) -> Result<Value, FilterError> {
        let field = Filterable { field: "field", column: "column", kind };
        field.filter(operator, typed).map(|filter| filter.value)
    }

    #[test]
    fn a_value_is_read_as_the_type_of_its_field() {
        use Operator::{Equal, Greater, Less};
        let status = Compared::Word(Vocabulary::from_word_set::<CouponStatus>());
        let text = |text: &str| Value::Text(text.into());
        let hex = "0192F0C1D2E3F405A6B7C8D9EAF00112";
        for (kind, operator, typed, expected) in [
            (Compared::Number, Less, "-3", 3_i64.wrapping_neg().into()),
            (Compared::OptionalId, Equal, "0", Value::Null),
            (Compared::OptionalId, Greater, "0", 0.into()),
            (Compared::Time, Greater, "1767225600", 1_767_225_600.into()),
            (Compared::Day, Less, "2027-09-01", text("2027-09-01")),
            (Compared::Day, Equal, "", Value::Null),
            (status, Equal, "inactive", text("paused")),
            (Compared::Text, Greater, "M", text("M")),
            (Compared::Code, Equal, "SAVE", text("save")),
            (Compared::HexId, Equal, hex, text(&hex.to_ascii_lowercase())),
        ] {
            assert_eq!(read(kind, operator, typed), Ok(expected), "{kind:?} {typed}");
        }
    }

    #[test]
    fn what_is_none_of_the_type_is_refused() {
        use Operator::{Equal, Greater, Less};
        let status = Compared::Word(Vocabulary::from_word_set::<CouponStatus>());
        for (kind, operator, typed) in [
            (Compared::Number, Equal, ""),
            (Compared::Number, Equal, "1.5"),
            (Compared::OptionalId, Less, "5"),
            (Compared::Time, Greater, "2026-01-01"),
            (Compared::Day, Less, "2027-9-1"),
            (Compared::Day, Less, "tomorrow"),
            (Compared::Day, Less, ""),
            (status, Equal, "gone"),
            (status, Equal, ""),
            (status, Greater, "active"),
            (Compared::HexId, Equal, "12"),
            (Compared::Deletion, Equal, "yes"),
        ] {
            assert!(read(kind, operator, typed).is_err(), "{kind:?} {typed}");
        }
    }
}
