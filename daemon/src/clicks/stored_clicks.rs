//! Reads the newest clicks out of the click store.

use std::thread;
use std::time::Duration;

use coupon_shared::click::{Click, StreamId};
use coupon_shared::feed::blocks;

use super::ClickLog;
use super::log_state::Phase;
use super::store::date_of;

const POLL: Duration = Duration::from_millis(10);
/// Clicks that are asked for at a time: the store thread goes on with its work in between.
const PIECE_CLICKS: u64 = 20_000;
/// Most bytes of a piece. Later clicks of a longer piece are left out.
const PIECE_BYTES: usize = 64 << 20;

impl ClickLog {
    /// Passes on the clicks since a moment that the click store has: of each stream the newest pieces
    /// first, streams of later runs before those of earlier ones. Waits until the store has all clicks
    /// of earlier runs. Ends early when the caller has enough, or the click log ends.
    ///
    /// A click may be passed on twice. Returns false if the store did not answer.
    pub(crate) fn read_stored_clicks(
        &self,
        since_unix_ms: u64,
        has_enough: impl Fn() -> bool,
        mut each: impl FnMut(&Click<'_>),
    ) -> bool {
        while !self.state.history_is_known() {
            if self.state.phase() != Phase::Running {
                return false;
            }
            thread::sleep(POLL);
        }
        let mut streams: Vec<(StreamId, u64)> =
            self.state.stored().last.iter().map(|(stream, last)| (*stream, *last)).collect();
        streams.sort_unstable_by_key(|(stream, _)| std::cmp::Reverse(stream.incarnation));
        for (stream, last) in streams {
            let mut to = last;
            while to > 0 && !has_enough() && self.state.phase() == Phase::Running {
                let from = to.saturating_sub(PIECE_CLICKS - 1).max(1);
                let Some(is_recent) = self.read_piece(stream, from, to, since_unix_ms, &mut each)
                else {
                    return false;
                };
                if !is_recent {
                    break;
                }
                to = from - 1;
            }
        }
        true
    }

    /// Whether a click of the piece is recent; `None` if the store did not answer.
    fn read_piece(
        &self,
        stream: StreamId,
        from: u64,
        to: u64,
        since_unix_ms: u64,
        each: &mut impl FnMut(&Click<'_>),
    ) -> Option<bool> {
        let from_day = date_of(since_unix_ms);
        let found = self.feed.read_history(stream, from..=to, from_day, PIECE_BYTES)?;
        let mut is_recent = false;
        for block in blocks(&found).flatten() {
            // A block of a newer program, or a damaged one, has its alert elsewhere.
            let Ok(decoded) = block.decode() else { continue };
            for click in decoded.clicks().filter(|click| click.head.unix_ms >= since_unix_ms) {
                is_recent = true;
                each(&click);
            }
        }
        Some(is_recent)
    }
}
