//! Questions about earlier visits and conversions.

use crate::caps::Cap;
use crate::sessions::Session;

/// What a decision asks about earlier visits and conversions. Answers stay the same during one
/// decision.
pub trait VisitState {
    /// Whether a hard cap takes no more visits.
    fn is_cap_reached(&self, cap: &Cap) -> bool;
    /// Whether the visitor's last accepted click on the offer lies within the session.
    fn is_repeat(&self, offer_id: u32, session: &Session) -> bool;
    /// Whether a conversion came from the visitor's click on the offer.
    fn has_converted(&self, offer_id: u32, session: &Session) -> bool;
}

/// The state of a network without any visit: nothing is reached.
#[derive(Debug, Clone, Copy)]
pub struct NoState;

impl VisitState for NoState {
    fn is_cap_reached(&self, _cap: &Cap) -> bool {
        false
    }

    fn is_repeat(&self, _offer_id: u32, _session: &Session) -> bool {
        false
    }

    fn has_converted(&self, _offer_id: u32, _session: &Session) -> bool {
        false
    }
}
