//! What became of a conversion.

use crate::catalog::words::words;

words! {
    /// What became of a conversion.
    Status {
        /// It counts, and the partner is paid.
        Approved = "approved",
        /// Somebody has to decide.
        Pending = "pending",
        /// It was understood, and does not count.
        Rejected = "rejected",
        /// It cannot be read, or nobody can be named.
        Invalid = "invalid",
    }
}
