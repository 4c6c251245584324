//! The one owner of the question whether anything may be removed for its age now.
//!
//! All who remove ask here; the rule is `coupon_shared::removal_clock`'s. The clock is looked at when
//! somebody asks, once a second at most. What a look leaves is written into the data folder every
//! minute, and at once when the answer changes, so that a restart goes on from there. Where it cannot
//! be written, the look counts for this run.

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
const TIME_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const TIME_BETWEEN_WRITES: Duration = Duration::from_secs(60);

/// Tells by which time things may be removed.
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
    /// Goes on from what the run before has kept in the data folder.
    pub fn open(data_dir: &Path) -> io::Result<RemovalClock> {
        let path = data_dir.join(FILE);
        // What cannot be read says as much as no file: then the clock is watched for a day.
        let kept = durable_file::read(&path)?.and_then(|text| parse(&text));
        let state = State { clock: rule::RemovalClock::new(kept), last: None, written: None };
        Ok(RemovalClock { path, began: Instant::now(), state: Mutex::new(state) })
    }

    /// The time by which things may be removed now, or why none may be.
    pub fn removal_time(&self) -> Result<RemovalTime, RemovalRefused> {
        self.look(Instant::now(), unix_ms())
    }

    /// What is wrong with the clock, for health.
    pub fn problem(&self) -> Option<String> {
        self.removal_time()
            .err()
            .filter(|refused| refused.needs_attention())
            .map(|refused| refused.to_string())
    }

    fn look(&self, now: Instant, unix_ms: u64) -> Result<RemovalTime, RemovalRefused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((looked, kept)) = state.last
            && now.saturating_duration_since(looked) < TIME_BETWEEN_LOOKS
        {
            return kept.removal_time();
        }
        let running_ms = now.saturating_duration_since(self.began).as_millis() as u64;
        let kept = state.clock.read(ClockReading { unix_ms, running_ms });
        if is_problem(kept) && !state.last.is_some_and(|(_, last)| is_problem(last)) {
            tracing::warn!(problem = %kept.removal_time().err().map_or_else(String::new, |e| e.to_string()), "clock");
        }
        state.last = Some((now, kept));
        let is_due = state.written.is_none_or(|(written, before)| {
            now.saturating_duration_since(written) >= TIME_BETWEEN_WRITES
                || before.removal_time().is_ok() != kept.removal_time().is_ok()
        });
        if is_due {
            state.written = Some((now, kept));
            if let Err(error) = durable_file::replace_few_bytes(&self.path, &text(kept)) {
                tracing::debug!(%error, path = %self.path.display(), "cannot keep the clock's reading");
            }
        }
        kept.removal_time()
    }
}

fn is_problem(kept: ClockState) -> bool {
    kept.removal_time().is_err_and(RemovalRefused::needs_attention)
}

/// Always of one length, so that it can be written over on a full disk.
fn text(kept: ClockState) -> Vec<u8> {
    let ClockState { unix_ms, agreed_ms, parted_ms, jump_ms } = kept;
    format!("{unix_ms:020} {agreed_ms:020} {parted_ms:+020} {jump_ms:+020}\n").into_bytes()
}

fn parse(text: &str) -> Option<ClockState> {
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
    std::fs::write(data_dir.join(FILE), text(kept)).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn what_a_look_leaves_is_read_back() {
        for jump_ms in [0, -1, i64::MIN, i64::MAX] {
            let kept = ClockState { unix_ms: u64::MAX, agreed_ms: 7, parted_ms: -5, jump_ms };
            assert_eq!(parse(std::str::from_utf8(&text(kept)).unwrap()), Some(kept));
            assert_eq!(text(kept).len(), text(ClockState { unix_ms: 0, ..kept }).len());
        }
        for bad in ["", "1 2 3", "1 2 3 4 5", "1 2 3 x", "\0\0"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_restart_goes_on_from_what_was_kept_and_finds_a_jump_against_it() {
        let folder = tempfile::tempdir().unwrap();
        let today = 1_795_000_000_000;
        let at = |clock: &RemovalClock, hours: u64, unix_ms: u64| {
            clock.look(clock.began + Duration::from_secs(hours * 3600), unix_ms)
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
            // The right time again, a jump as well.
            let clock = RemovalClock::open(folder.path()).unwrap();
            assert!(at(&clock, 0, today + DAY_MS).unwrap_err().needs_attention(), "{unix_ms}");
        }
        std::fs::write(folder.path().join(FILE), &trusted).unwrap();
        let clock = RemovalClock::open(folder.path()).unwrap();
        assert!(at(&clock, 0, today + DAY_MS + 3_600_000).is_ok());
    }
}
