//! Decides whether old data may be removed now. All removal by age asks this module.
//!
//! The rule is in `coupon_shared::removal_clock`. The clock is read when a caller asks, once a
//! second at most. The state is written into the data folder every minute, and at once when the
//! answer changes, so that a restart continues from the stored state. A state that cannot be
//! written counts for this run only.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coupon_shared::removal_clock::{
    self as rule, ClockReading, ClockState, RemovalRefused, RemovalTime,
};

use crate::clock::unix_ms;
use crate::durable_file;

const FILE: &str = "removal_clock";
const READ_INTERVAL: Duration = Duration::from_secs(1);
const WRITE_INTERVAL: Duration = Duration::from_secs(60);

/// The clock for removals by age.
#[derive(Debug)]
pub struct RemovalClock {
    path: PathBuf,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    clock: rule::RemovalClock,
    last: Option<(Instant, ClockState)>,
    written: Option<(Instant, ClockState)>,
}

impl RemovalClock {
    /// Continues from the state that the previous run stored in the data folder.
    pub fn open(data_dir: &Path) -> io::Result<RemovalClock> {
        let path = data_dir.join(FILE);
        // An unreadable state counts as none: then the clock is observed for a day first.
        let kept = durable_file::read(&path)?.and_then(|text| decode(&text));
        let state = State { clock: rule::RemovalClock::new(kept), last: None, written: None };
        Ok(RemovalClock { path, began: Instant::now(), state: Mutex::new(state) })
    }

    /// The time by which old data may be removed, or the reason why none may be.
    pub fn removal_time(&self) -> Result<RemovalTime, RemovalRefused> {
        self.read_clock(Instant::now(), unix_ms())
    }

    /// The clock's fault, for health.
    pub fn problem(&self) -> Option<String> {
        self.removal_time()
            .err()
            .filter(|refused| refused.needs_attention())
            .map(|refused| refused.to_string())
    }

    fn read_clock(&self, now: Instant, unix_ms: u64) -> Result<RemovalTime, RemovalRefused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((looked, kept)) = state.last
            && now.saturating_duration_since(looked) < READ_INTERVAL
        {
            return kept.removal_time();
        }
        let running_ms = now.saturating_duration_since(self.began).as_millis() as u64;
        let kept = state.clock.read(ClockReading { unix_ms, running_ms });
        if needs_attention(kept) && !state.last.is_some_and(|(_, last)| needs_attention(last)) {
            tracing::warn!(problem = %kept.removal_time().err().map_or_else(String::new, |e| e.to_string()), "clock");
        }
        state.last = Some((now, kept));
        let is_due = state.written.is_none_or(|(written, before)| {
            now.saturating_duration_since(written) >= WRITE_INTERVAL
                || before.removal_time().is_ok() != kept.removal_time().is_ok()
        });
        if is_due {
            state.written = Some((now, kept));
            if let Err(error) = durable_file::replace_few_bytes(&self.path, &encode(kept)) {
                tracing::debug!(%error, path = %self.path.display(), "clock state not written");
            }
        }
        kept.removal_time()
    }
}

fn needs_attention(kept: ClockState) -> bool {
    kept.removal_time().is_err_and(RemovalRefused::needs_attention)
}

/// Constant length, so that the state can be overwritten on a full disk.
fn encode(kept: ClockState) -> Vec<u8> {
    let ClockState { unix_ms, agreed_ms, parted_ms, jump_ms } = kept;
    format!("{unix_ms:020} {agreed_ms:020} {parted_ms:+020} {jump_ms:+020}\n").into_bytes()
}

fn decode(text: &str) -> Option<ClockState> {
    let mut fields = text.split_whitespace();
    let kept = ClockState {
        unix_ms: fields.next()?.parse().ok()?,
        agreed_ms: fields.next()?.parse().ok()?,
        parted_ms: fields.next()?.parse().ok()?,
        jump_ms: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(kept)
}

/// Makes the next run over a data folder trust its clock.
#[cfg(test)]
pub(crate) fn trust(data_dir: &Path) {
    let agreed_ms = rule::REQUIRED_AGREEMENT_MS;
    let kept = ClockState { unix_ms: unix_ms(), agreed_ms, parted_ms: 0, jump_ms: 0 };
    std::fs::write(data_dir.join(FILE), encode(kept)).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn what_a_look_leaves_is_read_back() {
        for jump_ms in [0, -1, i64::MIN, i64::MAX] {
            let kept = ClockState { unix_ms: u64::MAX, agreed_ms: 7, parted_ms: -5, jump_ms };
            assert_eq!(decode(std::str::from_utf8(&encode(kept)).unwrap()), Some(kept));
            assert_eq!(encode(kept).len(), encode(ClockState { unix_ms: 0, ..kept }).len());
        }
        for bad in ["", "1 2 3", "1 2 3 4 5", "1 2 3 x", "\0\0"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_restart_goes_on_from_what_was_kept_and_finds_a_jump_against_it() {
        let folder = tempfile::tempdir().unwrap();
        let today = 1_795_000_000_000;
        let at = |clock: &RemovalClock, hours: u64, unix_ms: u64| {
            clock.read_clock(clock.began + Duration::from_secs(hours * 3600), unix_ms)
        };
        let clock = RemovalClock::open(folder.path()).unwrap();
        for hour in 0..24 {
            let refused = at(&clock, hour, today + hour * 3_600_000).unwrap_err();
            assert!(!refused.needs_attention());
        }
        assert!(at(&clock, 24, today + DAY_MS).is_ok());
        drop(clock);
        let trusted = std::fs::read(folder.path().join(FILE)).unwrap();
        for unix_ms in [today + 201 * DAY_MS, today + 3 * DAY_MS, 930_000_000_000, 0] {
            std::fs::write(folder.path().join(FILE), &trusted).unwrap();
            let clock = RemovalClock::open(folder.path()).unwrap();
            assert!(at(&clock, 0, unix_ms).unwrap_err().needs_attention(), "{unix_ms}");
            drop(clock);
            // Going back to the right time is a jump as well.
            let clock = RemovalClock::open(folder.path()).unwrap();
            assert!(at(&clock, 0, today + DAY_MS).unwrap_err().needs_attention(), "{unix_ms}");
        }
        std::fs::write(folder.path().join(FILE), &trusted).unwrap();
        let clock = RemovalClock::open(folder.path()).unwrap();
        assert!(at(&clock, 0, today + DAY_MS + 3_600_000).is_ok());
    }
}
