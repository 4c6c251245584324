//! Free text and URLs.

use url::Url;

/// Longest CSV field.
const MAX_NOTE_BYTES: usize = 8 * 1024;
const MAX_NAME_CHARS: usize = 255;
const MAX_URL_BYTES: usize = 2048;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TextError {
    #[error("must not be empty")]
    Empty,
    #[error("has {chars} characters; at most {MAX_NAME_CHARS} fit")]
    LongName { chars: usize },
    #[error("has {bytes} bytes; at most {MAX_NOTE_BYTES} fit")]
    LongNote { bytes: usize },
    #[error("contains a control character; remove it")]
    Control,
    #[error("contains a NUL character; remove it")]
    Nul,
}

/// Checks a name: visible characters on one line.
pub(super) fn name(text: &str) -> Result<(), TextError> {
    let chars = text.chars().count();
    if text.trim().is_empty() {
        return Err(TextError::Empty);
    }
    if chars > MAX_NAME_CHARS {
        return Err(TextError::LongName { chars });
    }
    if text.contains(char::is_control) { Err(TextError::Control) } else { Ok(()) }
}

/// Checks a note: any text without NUL, or none.
pub(super) fn note(text: &str) -> Result<(), TextError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(TextError::LongNote { bytes: text.len() });
    }
    if text.contains('\0') { Err(TextError::Nul) } else { Ok(()) }
}

/// A character without width on a screen: marks of byte order and of direction, joiners, spaces of
/// no width, variants, tags. Users do not type such characters on purpose.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text without surrounding spaces, control characters and invisible characters.
pub(crate) fn trim_invisible(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("is not a URL: {0}; write it like `https://www.example.com/`")]
    NotAUrl(#[from] url::ParseError),
    #[error("has the scheme `{0}`; only http and https lead visitors anywhere")]
    Scheme(String),
    #[error("has {bytes} bytes; at most {MAX_URL_BYTES} fit")]
    Long { bytes: usize },
    #[error("carries a user name or password; remove it")]
    Credentials,
    #[error("contains `{{`; macros are for destination URLs only")]
    Macro,
    #[error("has a path, query or fragment; a tracking domain is scheme, host and port only")]
    MoreThanOrigin,
}

/// Parses and normalises an absolute http(s) URL: ASCII, hence one line in a `Location` header.
pub(super) fn http_url(text: &str) -> Result<Url, UrlError> {
    if text.contains(['{', '}']) {
        return Err(UrlError::Macro);
    }
    let url = Url::parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme(url.scheme().into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(UrlError::Long { bytes: url.as_str().len() });
    }
    Ok(url)
}

/// Checks a URL that may be empty.
pub(super) fn optional_http_url(text: &str) -> Result<(), UrlError> {
    if text.is_empty() { Ok(()) } else { http_url(text).map(drop) }
}

/// Parses a URL that has only scheme, host and port.
pub(super) fn origin(text: &str) -> Result<Url, UrlError> {
    let url = http_url(text)?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if bare { Ok(url) } else { Err(UrlError::MoreThanOrigin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_a_fallback_are_refused() {
        let cases = [
            ("www.example.com", "NotAUrl"),
            ("javascript:alert(1)", "Scheme"),
            ("https://user:secret@example.com/", "Credentials"),
            ("https://example.com/{sub1}", "Macro"),
        ];
        for (text, expected) in cases {
            let error = http_url(text).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{text}: {error:?}");
        }
        let long = format!("https://example.com/{}", "a".repeat(3000));
        assert!(matches!(http_url(&long), Err(UrlError::Long { .. })));
    }

    #[test]
    fn a_url_becomes_one_line_of_ascii() {
        let url = http_url("https://b\u{fc}cher.example/\u{e4}\n?q=\u{2028}").unwrap();
        assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic()), "{url}");
    }

    #[test]
    fn what_nobody_sees_around_a_text_is_cut() {
        for around in [" ", "\u{feff}", "\u{200b}", "\u{a0}\u{2060}\t", "\u{200e}\0", "\u{ad}"] {
            assert_eq!(trim_invisible(&format!("{around}A B{around}")), "A B", "{around:?}");
        }
        assert_eq!(trim_invisible("\u{feff}"), "");
        assert_eq!(trim_invisible("a\u{200b}b"), "a\u{200b}b");
    }

    #[test]
    fn names_are_visible_and_on_one_line() {
        assert_eq!(name(" \t"), Err(TextError::Empty));
        assert_eq!(name("two\nlines"), Err(TextError::Control));
        assert_eq!(name(&"x".repeat(256)), Err(TextError::LongName { chars: 256 }));
        assert_eq!(name("J\u{f8}rgen & S\u{f8}nner"), Ok(()));
        assert_eq!(note("two\nlines"), Ok(()));
        assert_eq!(note("a\0b"), Err(TextError::Nul));
    }
}
