//! The kinds of alerts of the visit state.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AlertKind {
    /// The file of the admin's last message.
    File,
    SeenTable,
}
