//! Earlier visits and conversions as far as coupon-admin knows them: the state that it last made for
//! the daemon. Which visitors came before, only the daemon knows.

use coupon_rules::caps::Cap;
use coupon_rules::sessions::Session;
use coupon_rules::visit_state::VisitState;
use coupon_shared::visit_state::{CapState, CapWindow, PublishedState};

use super::visitor::SimulatedVisitor;

/// The answers of a state at the time of a visit.
#[derive(Clone, Copy)]
pub(super) struct EarlierVisits<'a> {
    /// `None` while no rule of the network asks for one.
    pub(super) state: Option<&'a PublishedState>,
    pub(super) unix_seconds: i64,
}

/// One limit of a cap that is reached.
pub(super) struct ReachedWindow {
    pub(super) window: CapWindow,
    /// Count and limit of clicks; `None` if conversions, payout or revenue are at their limit.
    pub(super) clicks: Option<(u64, u64)>,
}

impl<'a> EarlierVisits<'a> {
    /// The windows of a cap that hold at the time of the visit.
    fn windows(self, cap: &Cap) -> impl Iterator<Item = &'a CapState> {
        let (id, now) = (cap.id, self.unix_seconds);
        let caps = self.state.map_or(&[][..], |state| &state.caps);
        let first = caps.partition_point(|known| known.cap_id < id);
        let own = caps[first..].iter().take_while(move |known| known.cap_id == id);
        own.filter(move |known| known.bounds.contain(now))
    }

    /// The first window whose limit is reached.
    pub(super) fn reached_window(self, cap: &Cap) -> Option<ReachedWindow> {
        self.windows(cap).find_map(|known| {
            let limit = cap.click_limits[known.window as usize - 1];
            let is_by_clicks = limit > 0 && known.clicks >= limit;
            let clicks = is_by_clicks.then_some((known.clicks, limit));
            // The count may be older than an edit that took the limits on conversions away.
            let is_by_conversions = cap.has_conversion_limits && known.is_reached;
            (is_by_clicks || is_by_conversions)
                .then_some(ReachedWindow { window: known.window, clicks })
        })
    }
}

impl VisitState for SimulatedVisitor<'_> {
    fn is_cap_reached(&self, cap: &Cap) -> bool {
        cap.can_refuse() && self.earlier.reached_window(cap).is_some()
    }

    fn is_repeat(&self, _offer_id: u32, _session: &Session) -> bool {
        false
    }

    fn has_converted(&self, offer_id: u32, session: &Session) -> bool {
        let hash = self.visitor_key(session.definition).hash_with_offer(offer_id);
        self.earlier.state.is_some_and(|state| state.has_converted(hash))
    }
}
