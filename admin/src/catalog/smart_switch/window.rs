//! How often a rule runs, and the time that a run measures.

use super::super::words::words;

words! {
    /// The time from one run of a rule to the next.
    RunFrequency {
        /// An hour.
        OneHour = "1_hour",
        /// Three hours.
        ThreeHours = "3_hours",
        /// Six hours.
        SixHours = "6_hours",
        /// Twelve hours.
        TwelveHours = "12_hours",
        /// A day.
        OneDay = "24_hours",
    }
}

impl RunFrequency {
    /// In hours.
    #[must_use]
    pub fn hours(self) -> u64 {
        match self {
            RunFrequency::OneHour => 1,
            RunFrequency::ThreeHours => 3,
            RunFrequency::SixHours => 6,
            RunFrequency::TwelveHours => 12,
            RunFrequency::OneDay => 24,
        }
    }
}

words! {
    /// The measured time before a run.
    LookbackWindow {
        /// An hour.
        OneHour = "1_hour",
        /// Three hours.
        ThreeHours = "3_hours",
        /// Six hours.
        SixHours = "6_hours",
        /// Twelve hours.
        TwelveHours = "12_hours",
        /// A day.
        OneDay = "24_hours",
        /// Two days.
        TwoDays = "48_hours",
        /// Three days.
        ThreeDays = "72_hours",
        /// A week.
        OneWeek = "7_days",
        /// Two weeks.
        TwoWeeks = "14_days",
        /// Thirty days.
        ThirtyDays = "30_days",
    }
}

impl LookbackWindow {
    /// In hours.
    #[must_use]
    pub fn hours(self) -> u64 {
        match self {
            LookbackWindow::OneHour => 1,
            LookbackWindow::ThreeHours => 3,
            LookbackWindow::SixHours => 6,
            LookbackWindow::TwelveHours => 12,
            LookbackWindow::OneDay => 24,
            LookbackWindow::TwoDays => 48,
            LookbackWindow::ThreeDays => 72,
            LookbackWindow::OneWeek => 7 * 24,
            LookbackWindow::TwoWeeks => 14 * 24,
            LookbackWindow::ThirtyDays => 30 * 24,
        }
    }
}
