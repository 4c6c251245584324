//! Detects coupon codes that are probably used by people outside their audience.
//!
//! Only conversions by a code without a click are checked. There are two signs: the code has a link
//! that was never clicked, or the last hour had many more such conversions than an average hour of
//! the two weeks before. The network's settings choose the effect: none, a flag, or a flag and a
//! hold until a person decides.

use crate::catalog::words::words;
use crate::catalog::{CodeLeakGuard, LeakAction};

/// The hours of the two weeks before the last hour.
pub const HOURS_BEFORE: u64 = 14 * 24;

words! {
    /// The sign of a leaked code.
    FraudSign {
        /// The code's link was never clicked.
        NeverClicked = "never_clicked",
        /// There are many more conversions than usual.
        Spike = "spike",
    }
}

/// Usage of a code, over all its rows, at a new conversion by the code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CodeUsage {
    /// The code has no link.
    pub conversion_only: bool,
    /// Redirected clicks of all time.
    pub clicks: u64,
    /// Conversions by the code alone within the last hour, including this one.
    pub last_hour: u64,
    /// Such conversions in the [`HOURS_BEFORE`] before that hour.
    pub before: u64,
}

/// A sign of fraud, and its effect on the conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FraudFinding {
    pub sign: FraudSign,
    /// The conversion becomes pending.
    pub hold: bool,
    pub detail: String,
}

/// Checks a conversion by a code alone.
#[must_use]
pub fn inspect(guard: &CodeLeakGuard, usage: &CodeUsage) -> Option<FraudFinding> {
    if guard.action == LeakAction::Off {
        return None;
    }
    let (sign, detail) = spike(guard, usage).or_else(|| never_clicked(usage))?;
    Some(FraudFinding { sign, hold: guard.action == LeakAction::Hold, detail })
}

/// Whether a finding is the first of its kind: the conversion before had no such sign.
#[must_use]
pub fn is_first(guard: &CodeLeakGuard, usage: &CodeUsage, finding: &FraudFinding) -> bool {
    let CodeUsage { last_hour, before, .. } = *usage;
    let earlier = CodeUsage { last_hour: last_hour.saturating_sub(1), ..*usage };
    let is_known = inspect(guard, &earlier).is_some_and(|known| known.sign == finding.sign);
    !is_known || last_hour + before <= 1
}

fn spike(guard: &CodeLeakGuard, usage: &CodeUsage) -> Option<(FraudSign, String)> {
    let CodeUsage { last_hour, before, .. } = *usage;
    let usual = u128::from(before) * u128::from(guard.spike_factor);
    let is_above = u128::from(last_hour) * u128::from(HOURS_BEFORE) > usual;
    (is_above && last_hour >= u64::from(guard.spike_minimum)).then(|| {
        let detail = format!(
            "{last_hour} conversions by the code alone within an hour, after {before} in the two weeks before"
        );
        (FraudSign::Spike, detail)
    })
}

fn never_clicked(usage: &CodeUsage) -> Option<(FraudSign, String)> {
    let has_none = !usage.conversion_only && usage.clicks == 0;
    has_none.then(|| (FraudSign::NeverClicked, "nobody ever followed the code's link".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(action: LeakAction, usage: CodeUsage) -> Option<(FraudSign, bool)> {
        let guard = CodeLeakGuard { action, spike_factor: 10, spike_minimum: 20 };
        inspect(&guard, &usage).map(|finding| (finding.sign, finding.hold))
    }

    #[test]
    fn a_code_whose_link_nobody_followed_is_flagged() {
        let usage = CodeUsage { last_hour: 1, ..CodeUsage::default() };
        assert_eq!(found(LeakAction::Flag, usage), Some((FraudSign::NeverClicked, false)));
        assert_eq!(found(LeakAction::Hold, usage), Some((FraudSign::NeverClicked, true)));
        assert_eq!(found(LeakAction::Off, usage), None);
        assert_eq!(found(LeakAction::Hold, CodeUsage { clicks: 1, ..usage }), None);
        assert_eq!(found(LeakAction::Hold, CodeUsage { conversion_only: true, ..usage }), None);
    }

    #[test]
    fn a_spike_is_many_and_many_times_as_many_as_usual() {
        let usual = CodeUsage { clicks: 1, before: 2 * HOURS_BEFORE, ..CodeUsage::default() };
        for (last_hour, is_spike) in [(1, false), (20, false), (21, true), (1000, true)] {
            let sign = found(LeakAction::Hold, CodeUsage { last_hour, ..usual });
            assert_eq!(sign, is_spike.then_some((FraudSign::Spike, true)), "{last_hour}");
        }
        let rare = CodeUsage { before: 0, ..usual };
        for (last_hour, is_spike) in [(1, false), (19, false), (20, true)] {
            let sign = found(LeakAction::Hold, CodeUsage { last_hour, ..rare });
            assert_eq!(sign.is_some(), is_spike, "{last_hour}");
        }
    }

    #[test]
    fn the_largest_numbers_are_counted_with() {
        let most =
            CodeUsage { clicks: 1, last_hour: u64::MAX, before: u64::MAX, conversion_only: false };
        assert_eq!(found(LeakAction::Hold, most), Some((FraudSign::Spike, true)));
    }
}
