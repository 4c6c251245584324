//! Formats an error with its causes as one sentence.

/// Joins an error and its causes. Most errors already include the text of their cause; such a cause
/// is not repeated.
#[must_use]
pub fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::import::ReadError;

    #[test]
    fn a_cause_is_text_once() {
        let source = || std::io::Error::from_raw_os_error(2);
        let open = ReadError::Open { path: "codes.csv".into(), source: source() };
        let text = sentence(&anyhow::Error::from(open).context("cannot import codes.csv"));
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
        let text = sentence(&Err::<(), _>(source()).context("cannot write x").unwrap_err());
        assert!(text.starts_with("cannot write x: No such file"), "{text}");
    }
}
