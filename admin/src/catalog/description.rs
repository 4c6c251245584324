//! Descriptions: kept as typed, made harmless whenever they are answered.

use std::borrow::Cow;

/// The description as it may be shown: plain text as it is, HTML through an allow-list.
#[must_use]
pub fn shown(description: &str, is_plain_text: bool) -> Cow<'_, str> {
    if is_plain_text || description.is_empty() {
        Cow::Borrowed(description)
    } else {
        Cow::Owned(ammonia::clean(description))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_loses_what_could_run_and_keeps_what_shows() {
        let typed = "35$ off on <strong>dress pants</strong><script>alert(1)</script><img src=x onerror=alert(1)>";
        let html = shown(typed, false);
        assert!(html.contains("<strong>dress pants</strong>"), "{html}");
        assert!(!html.contains("script") && !html.contains("onerror"), "{html}");
    }

    #[test]
    fn plain_text_is_not_touched() {
        assert_eq!(shown("3 < 4 & 5 > 4", true), "3 < 4 & 5 > 4");
    }
}
