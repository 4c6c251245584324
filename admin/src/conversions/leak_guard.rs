//! Whether a code seems to be used by people it was not given to.
//!
//! Two signs, of conversions that came by the code alone, without a click: the code has a link and
//! was never clicked; or there were many more of them in the last hour than in an hour of the two
//! weeks before. What follows is the network's setting: nothing, a flag, or a flag and a person's
//! decision.

use crate::catalog::words::words;
use crate::catalog::{CodeLeakGuard, LeakAction};

/// The hours of the two weeks before the last hour.
pub const HOURS_BEFORE: u64 = 14 * 24;

words! {
    /// Why a code seems to have leaked.
    Sign {
        /// It has a link that nobody ever followed.
        NeverClicked = "never_clicked",
        /// Many more conversions than usual.
        Spike = "spike",
    }
}

/// What is known of a code, with all its rows, when one more conversion comes by it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// It has no link, so that nobody can follow it.
    pub conversion_only: bool,
    /// Clicks ever that were sent to an offer.
    pub clicks: u64,
    /// Conversions by the code alone within the last hour, this one too.
    pub last_hour: u64,
    /// The same in the [`HOURS_BEFORE`] before that hour.
    pub before: u64,
}

/// What is to be done about a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub sign: Sign,
    /// It waits for somebody to decide.
    pub hold: bool,
    /// The reason for people.
    pub detail: String,
}

/// Looks at a conversion that came by a code alone.
#[must_use]
pub fn inspect(guard: &CodeLeakGuard, usage: &Usage) -> Option<Finding> {
    if guard.action == LeakAction::Off {
        return None;
    }
    let (sign, detail) = spike(guard, usage).or_else(|| never_clicked(usage))?;
    Some(Finding { sign, hold: guard.action == LeakAction::Hold, detail })
}

fn spike(guard: &CodeLeakGuard, usage: &Usage) -> Option<(Sign, String)> {
    let Usage { last_hour, before, .. } = *usage;
    let usual = u128::from(before) * u128::from(guard.spike_factor);
    let is_above = u128::from(last_hour) * u128::from(HOURS_BEFORE) > usual;
    (is_above && last_hour >= u64::from(guard.spike_minimum)).then(|| {
        let detail = format!(
            "{last_hour} conversions by the code alone within an hour, after {before} in the two weeks before"
        );
        (Sign::Spike, detail)
    })
}

fn never_clicked(usage: &Usage) -> Option<(Sign, String)> {
    let has_none = !usage.conversion_only && usage.clicks == 0;
    has_none.then(|| (Sign::NeverClicked, "nobody ever followed the code's link".to_owned()))
}
