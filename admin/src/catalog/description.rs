//! Descriptions: stored as typed, sanitized in every answer.

use std::borrow::Cow;
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};

/// Allows text formatting, links to pages and mail addresses, and pictures; no scripts, no styles.
/// A relative URL would resolve against the page that shows the description.
static ALLOWED: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut allowed = Builder::default();
    allowed.url_schemes(["http", "https", "mailto"].into());
    allowed.url_relative(UrlRelative::Deny);
    allowed
});

/// The description for answers: plain text unchanged, HTML reduced by an allow-list.
#[must_use]
pub fn sanitized_description(description: &str, is_plain_text: bool) -> Cow<'_, str> {
    if is_plain_text || description.is_empty() {
        Cow::Borrowed(description)
    } else {
        Cow::Owned(ALLOWED.clean(description).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_loses_what_could_run_and_keeps_what_shows() {
        let typed = "35$ off on <strong>dress pants</strong><script>alert(1)</script><img src=x onerror=alert(1)>";
        let html = sanitized_description(typed, false);
        assert!(html.contains("<strong>dress pants</strong>"), "{html}");
        assert!(!html.contains("script") && !html.contains("onerror"), "{html}");
    }

    #[test]
    fn plain_text_is_not_touched() {
        assert_eq!(sanitized_description("3 < 4 & 5 > 4", true), "3 < 4 & 5 > 4");
    }
}
