//! Texts of other programs and machines, for people.

/// A text without control characters, which could move the cursor of a terminal, and of bounded length.
pub(crate) fn printable(text: &str, max_chars: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_and_has_no_control_characters() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{9b}cä", 7), "a[2Jbcä");
        assert_eq!(printable("abc", 2), "ab");
    }
}
