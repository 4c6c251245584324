//! The status of a conversion.

use crate::catalog::words::words;

words! {
    /// The status of a conversion.
    Status {
        /// The conversion counts, and the partner is paid.
        Approved = "approved",
        /// A person has to decide.
        Pending = "pending",
        /// The postback is complete, but the conversion does not count.
        Rejected = "rejected",
        /// The postback cannot be read, or no partner is found.
        Invalid = "invalid",
    }
}
