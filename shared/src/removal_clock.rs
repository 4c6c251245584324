//! Decides whether data may be removed for its age now.
//!
//! A machine's clock can be wrong: by years after its battery failed, by an administrator's typing
//! error, or between start and the first answer of a time server. A removal under such a clock
//! loses data, so a removal never trusts a single reading.
//!
//! - The module compares readings with each other: the wall clock must advance as fast as the
//!   machine runs. The clock has jumped where both differ by more than [`MAX_JUMP_MS`], at once or
//!   bit by bit, or where the wall clock is that far from the last reading of the previous run.
//! - After a jump, and before the first reading, nothing is removed until the clock has agreed with
//!   itself for [`REQUIRED_AGREEMENT_MS`] of running time. The state survives restarts
//!   ([`ClockState`]).
//! - [`RemovalTime`] is the only time for removals, and only this module makes it.
//!
//! No clock is read here: readings are values.

/// Largest accepted difference between wall clock and running time, in milliseconds: a day.
pub const MAX_JUMP_MS: u64 = DAY_MS;
/// Running time for which the clock must agree with itself before anything is removed, in
/// milliseconds: a day.
pub const REQUIRED_AGREEMENT_MS: u64 = DAY_MS;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock, in Unix milliseconds.
    pub unix_ms: u64,
    /// A clock that starts with the program and that nobody can set, in milliseconds.
    pub running_ms: u64,
}

/// The state that must survive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockState {
    /// The last reading of the wall clock, in Unix milliseconds.
    pub unix_ms: u64,
    /// Running time for which the clock has agreed with itself, at most [`REQUIRED_AGREEMENT_MS`].
    pub agreed_ms: u64,
    /// Accumulated difference between wall clock and running time, in milliseconds.
    pub parted_ms: i64,
    /// Size of the last jump, in milliseconds; 0 without one.
    pub jump_ms: i64,
}

/// A time by which data may be removed for its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalTime(u64);

impl RemovalTime {
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// Unix milliseconds of the time `days` earlier; 0 where that is before 1970.
    pub fn days_before(self, days: u32) -> u64 {
        self.0.saturating_sub(u64::from(days).saturating_mul(DAY_MS))
    }
}

/// Why nothing is removed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemovalRefused {
    /// There was no earlier reading to compare with.
    #[error("the clock is compared with itself for {hours} more hour(s) before anything is removed for its age", hours = hours(*.left_ms))]
    New {
        /// Remaining running time, in milliseconds.
        left_ms: u64,
    },
    /// The clock jumped.
    #[error(
        "the clock jumped by {} since it was last looked at: nothing is removed for its age until \
         it has agreed with itself for {} more hour(s); check the machine's clock and its time server",
        span(*.jump_ms), hours(*.left_ms)
    )]
    Jumped {
        /// Size of the jump, in milliseconds; negative for back.
        jump_ms: i64,
        /// Remaining running time, in milliseconds.
        left_ms: u64,
    },
}

impl RemovalRefused {
    /// Whether an administrator should check the machine's clock.
    pub fn needs_attention(self) -> bool {
        matches!(self, RemovalRefused::Jumped { .. })
    }
}

fn hours(ms: u64) -> u64 {
    ms.div_ceil(DAY_MS / 24)
}

fn span(ms: i64) -> String {
    let way = if ms < 0 { "back" } else { "ahead" };
    let days = ms.unsigned_abs() / DAY_MS;
    format!("{days} day(s) {way}")
}

impl ClockState {
    /// The time by which data may be removed, as of the last reading.
    pub fn removal_time(self) -> Result<RemovalTime, RemovalRefused> {
        let left_ms = REQUIRED_AGREEMENT_MS.saturating_sub(self.agreed_ms);
        match (left_ms, self.jump_ms) {
            (0, _) => Ok(RemovalTime(self.unix_ms)),
            (_, 0) => Err(RemovalRefused::New { left_ms }),
            (_, jump_ms) => Err(RemovalRefused::Jumped { jump_ms, left_ms }),
        }
    }

    fn first(unix_ms: u64) -> ClockState {
        ClockState { unix_ms, agreed_ms: 0, parted_ms: 0, jump_ms: 0 }
    }

    /// The state after a further reading. `running_ms` is 0 across a restart, because the time
    /// between two runs is unknown.
    fn next(self, unix_ms: u64, running_ms: u64) -> ClockState {
        let passed = signed(unix_ms).saturating_sub(signed(self.unix_ms));
        let apart = passed.saturating_sub(signed(running_ms));
        // Only the wall clock knows how long the program was stopped, so a restart adds no drift.
        let parted_ms =
            if running_ms == 0 { self.parted_ms } else { self.parted_ms.saturating_add(apart) };
        for jump_ms in [apart, parted_ms] {
            if jump_ms.unsigned_abs() > MAX_JUMP_MS {
                return ClockState { unix_ms, agreed_ms: 0, parted_ms: 0, jump_ms };
            }
        }
        let agreed_ms = self.agreed_ms.saturating_add(running_ms).min(REQUIRED_AGREEMENT_MS);
        ClockState { unix_ms, agreed_ms, parted_ms, jump_ms: self.jump_ms }
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Compares the readings of one run with each other and with the state of the previous run.
#[derive(Debug)]
pub struct RemovalClock {
    kept: Option<ClockState>,
    running_ms: Option<u64>,
}

impl RemovalClock {
    /// Starts from the state of the previous run, if there is one.
    pub fn new(kept: Option<ClockState>) -> RemovalClock {
        RemovalClock { kept, running_ms: None }
    }

    /// Takes a reading; returns the state to store.
    pub fn read(&mut self, reading: ClockReading) -> ClockState {
        let ClockReading { unix_ms, running_ms } = reading;
        let since = self.running_ms.replace(running_ms);
        let passed = since.map_or(0, |since| running_ms.saturating_sub(since));
        let kept = match self.kept {
            Some(kept) => kept.next(unix_ms, passed),
            None => ClockState::first(unix_ms),
        };
        self.kept = Some(kept);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = DAY_MS / 24;
    const TODAY_MS: u64 = 1_795_000_000_000;

    /// One run: reads every ten minutes for some hours, with a wall clock that is `off_ms` wrong.
    fn run(kept: Option<ClockState>, right_ms: &mut u64, hours: u64, off_ms: i64) -> ClockState {
        let mut clock = RemovalClock::new(kept);
        let reading = |right_ms: u64, running_ms| ClockReading {
            unix_ms: right_ms.saturating_add_signed(off_ms),
            running_ms,
        };
        let mut kept = clock.read(reading(*right_ms, 5));
        for tens in 1..=hours * 6 {
            *right_ms += 600_000;
            kept = clock.read(reading(*right_ms, 5 + tens * 600_000));
        }
        kept
    }

    #[test]
    fn a_clock_is_trusted_after_a_day_of_running_however_often_the_program_restarts() {
        let mut now = TODAY_MS;
        let kept = run(None, &mut now, 23, 0);
        assert_eq!(kept.removal_time(), Err(RemovalRefused::New { left_ms: HOUR_MS }));
        assert!(!kept.removal_time().unwrap_err().needs_attention());
        let kept = run(Some(kept), &mut now, 1, 0);
        assert_eq!(kept.removal_time().map(RemovalTime::unix_ms), Ok(now));
        now += 20 * HOUR_MS;
        assert!(run(Some(kept), &mut now, 0, 0).removal_time().is_ok());
    }

    #[test]
    fn a_jump_of_more_than_a_day_in_either_direction_stops_removal_for_a_day_of_running() {
        const DAY: i64 = DAY_MS as i64;
        let mut now = TODAY_MS;
        let trusted = run(None, &mut now, 24, 0);
        let to_1999 = -(now as i64) + 930_000_000_000;
        for off_ms in [200 * DAY, 2 * DAY, -400 * DAY, to_1999, i64::MAX] {
            let mut now = now;
            let kept = run(Some(trusted), &mut now, 23, off_ms);
            let refused = kept.removal_time().unwrap_err();
            assert!(refused.needs_attention(), "{off_ms}: {refused}");
            // Set right again, which is a jump as well.
            let kept = run(Some(kept), &mut now, 23, 0);
            assert!(kept.removal_time().unwrap_err().needs_attention(), "{off_ms}");
            let kept = run(Some(kept), &mut now, 1, 0);
            assert_eq!(kept.removal_time().map(RemovalTime::unix_ms), Ok(now), "{off_ms}");
        }
    }

    #[test]
    fn a_jump_is_seen_while_the_program_runs_and_also_one_in_small_steps() {
        let mut clock = RemovalClock::new(None);
        let mut unix_ms = TODAY_MS;
        let mut kept = ClockState::first(0);
        for running in 0..=25 {
            kept = clock.read(ClockReading { unix_ms, running_ms: running * HOUR_MS });
            unix_ms += HOUR_MS;
        }
        assert!(kept.removal_time().is_ok());
        let far = ClockReading { unix_ms: unix_ms + 30 * DAY_MS, running_ms: 26 * HOUR_MS };
        let refused = clock.read(far).removal_time().unwrap_err();
        assert_eq!(
            refused,
            RemovalRefused::Jumped { jump_ms: 30 * DAY_MS as i64, left_ms: REQUIRED_AGREEMENT_MS }
        );
        let mut clock = RemovalClock::new(Some(kept));
        let steps =
            |at: u64| ClockReading { unix_ms: kept.unix_ms + at * 2 * HOUR_MS, running_ms: at };
        let found = (0..20).map(|at| clock.read(steps(at)).removal_time().is_ok());
        assert_eq!(found.filter(|may| *may).count(), 13);
    }

    #[test]
    fn small_corrections_change_nothing() {
        let mut now = TODAY_MS;
        let kept = run(None, &mut now, 24, 0);
        for off_ms in [900_000, -3_600_000, 0, 20 * 3_600_000] {
            assert!(
                run(Some(kept), &mut now.clone(), 2, off_ms).removal_time().is_ok(),
                "{off_ms}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_readings_are_taken_and_none_is_trusted_before_a_day_of_agreement(
            readings in proptest::collection::vec((any::<u64>(), any::<u64>()), 1..20)
        ) {
            let mut clock = RemovalClock::new(None);
            let mut agreed_since = 0;
            for (unix_ms, running_ms) in readings {
                let kept = clock.read(ClockReading { unix_ms, running_ms });
                if kept.agreed_ms == 0 {
                    agreed_since = running_ms;
                }
                if kept.removal_time().is_ok() {
                    prop_assert!(kept.agreed_ms == REQUIRED_AGREEMENT_MS && running_ms >= agreed_since);
                }
                let _ = kept.removal_time().map_err(|refused| refused.to_string());
            }
        }
    }
}
