//! Case folding of text, equal in Rust and in SQL. SQLite's own `lower` handles ASCII only.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::StoreError;

/// The text without differences of case, for comparison only.
#[must_use]
pub fn casefolded(text: &str) -> String {
    // Upper case first: it unifies letters with several lower-case forms, such as σ and ς.
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Registers the SQL function `casefold(text)` on this connection.
pub(super) fn register(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("casefold", 1, flags, |context| {
        Ok(casefolded(context.get_raw(0).as_str()?))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_case_only_are_folded_to_one() {
        for (one, other) in [
            ("MÜNCHEN Outlet", "münchen outlet"),
            ("Straße", "STRASSE"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("Ærø", "ÆRØ"),
            ("Ёлка", "ёЛКА"),
        ] {
            assert_eq!(casefolded(one), casefolded(other));
        }
        assert_ne!(casefolded("Muenchen"), casefolded("München"));
    }
}
