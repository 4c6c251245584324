//! The preferences of a user: how the pages look and work.

use super::words::words;

words! {
    /// The colours of the pages.
    Theme {
        /// As the browser prefers.
        Auto = "auto",
        /// Dark text on light ground.
        Light = "light",
        /// Light text on dark ground.
        Dark = "dark",
    }
}

words! {
    /// The height of the rows of tables.
    Density {
        /// 40 pixels.
        Regular = "regular",
        /// 32 pixels.
        Compact = "compact",
    }
}

words! {
    /// The mark between whole and fraction of a figure; thousands get the other one.
    DecimalMark {
        /// `1,234.50`
        Point = "point",
        /// `1.234,50`
        Comma = "comma",
    }
}

words! {
    /// A list that users arrange: columns, and saved views. The words are the paths of the pages.
    ListName {
        /// Coupon codes.
        CouponCodes = "coupon-codes",
        /// Offers.
        Offers = "offers",
    }
}

/// How the pages look and work for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preferences {
    /// The colours.
    pub theme: Theme,
    /// The height of rows.
    pub density: Density,
    /// The form of figures.
    pub decimal_mark: DecimalMark,
    /// Single keys act, such as `/` for the search. Some tools for speech and switches send keys
    /// that their user does not mean (WCAG 2.1.4).
    pub has_single_key_actions: bool,
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences {
            theme: Theme::Auto,
            density: Density::Regular,
            decimal_mark: DecimalMark::Point,
            has_single_key_actions: true,
        }
    }
}
