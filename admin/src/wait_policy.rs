//! Which daemons must serve an edit before it counts as live.

use std::fmt;
use std::str::FromStr;

/// The daemons that an edit waits for. Silent and refused ones are in no case among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// Each one.
    #[default]
    All,
    /// Any one.
    One,
    /// This share of them, in percent, rounded up.
    Share(u8),
}

impl WaitPolicy {
    /// Whether an edit is live that so many of the counted daemons serve.
    pub(crate) fn is_reached(self, serving: usize, counted: usize) -> bool {
        let needed = match self {
            WaitPolicy::All => counted,
            WaitPolicy::One => 1,
            WaitPolicy::Share(percent) => (counted * usize::from(percent)).div_ceil(100),
        };
        serving > 0 && serving >= needed
    }
}

impl fmt::Display for WaitPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitPolicy::All => f.write_str("all"),
            WaitPolicy::One => f.write_str("one"),
            WaitPolicy::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for WaitPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<WaitPolicy, String> {
        let share = || {
            let percent = text.strip_suffix('%')?.parse().ok()?;
            (1..=100).contains(&percent).then_some(WaitPolicy::Share(percent))
        };
        match text {
            "all" => Ok(WaitPolicy::All),
            "one" => Ok(WaitPolicy::One),
            _ => share().ok_or_else(|| {
                format!("must be \"all\", \"one\" or a share such as \"95%\", not {text:?}")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_back_and_wrong_ones_are_refused() {
        for text in ["all", "one", "1%", "95%", "100%"] {
            assert_eq!(text.parse::<WaitPolicy>().unwrap().to_string(), text);
        }
        for text in ["", "0%", "101%", "95", "-1%", "ALL"] {
            assert!(text.parse::<WaitPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_says_how_many_daemons_suffice() {
        let least = |policy: WaitPolicy, counted| {
            (0..=counted).find(|serving| policy.is_reached(*serving, counted))
        };
        let share = WaitPolicy::Share(95);
        let policies = [WaitPolicy::All, WaitPolicy::One, share];
        assert_eq!(policies.map(|policy| least(policy, 200)), [Some(200), Some(1), Some(190)]);
        assert_eq!(policies.map(|policy| least(policy, 3)), [Some(3), Some(1), Some(3)]);
        assert_eq!(policies.map(|policy| least(policy, 0)), [None; 3], "nobody serves it");
    }
}
