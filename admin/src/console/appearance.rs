//! The preferences of the viewer, for everything that is rendered while the viewer's request is
//! answered: no page has to pass them on, and error pages have them, too.

use crate::catalog::Preferences;

tokio::task_local! {
    static PREFERENCES: Preferences;
}

/// Answers a request with the viewer's preferences.
pub(crate) async fn scope<F: Future>(preferences: Preferences, answer: F) -> F::Output {
    PREFERENCES.scope(preferences, answer).await
}

/// The viewer's preferences; the defaults where nobody is signed in.
pub(crate) fn preferences() -> Preferences {
    PREFERENCES.try_with(|preferences| *preferences).unwrap_or_default()
}
