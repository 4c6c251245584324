//! Coupon codes: the rules for one row by itself.
//!
//! The rules that involve other rows (unique on an offer, one partner for all rows of a code,
//! re-issue) are in `edit`.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::row_code::RowCode;
use super::words::words;
use super::{day, id, text};

words! {
    /// The status of a coupon code.
    CouponStatus {
        /// The code redirects and attributes conversions.
        Active = "active",
        /// The code does neither; "inactive" is an alias.
        Paused = "paused" | "inactive",
    }
}

/// A coupon code as edited, before the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CouponCodeEdit {
    /// 3 to 64 ASCII letters and digits, shown as typed; with `conversion_only` 1 to 64 printable
    /// ASCII characters. A new code cannot be a placeholder: `null`, `undefined`, `[…]`, `{…}`,
    /// `${…}`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]{1,64}$", example = "WINTER25")]
    pub coupon_code: String,
    /// The offer of the code.
    #[schema(example = 1)]
    pub network_offer_id: u32,
    /// The partner who owns the code; absent until the code is assigned.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub network_affiliate_id: Option<u32>,
    /// The status.
    pub coupon_status: CouponStatus,
    /// The first valid day, in the network's time zone.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub start_date: Option<Date>,
    /// The last valid day.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub end_date: Option<Date>,
    /// Shown to the partner; plain text or HTML.
    #[serde(default)]
    pub description: String,
    /// The description is plain text, not HTML.
    #[serde(default = "plain")]
    pub is_description_plain_text: bool,
    /// Never shown to the partner.
    #[serde(default)]
    pub internal_notes: String,
    /// In a creation: confirms that a code of another partner is to be issued again.
    #[serde(default, skip_serializing)]
    pub allow_reissue: bool,
    /// The code has no link and only attributes conversions, so other characters are allowed.
    #[serde(default)]
    pub conversion_only: bool,
}

fn plain() -> bool {
    true
}

/// A coupon code that is valid by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCode {
    /// The code as typed, and whether the code has a link.
    pub code: RowCode,
    /// The offer of the code.
    pub offer_id: u32,
    /// The partner who owns the code.
    pub affiliate_id: Option<u32>,
    /// The status.
    pub status: CouponStatus,
    /// The first valid day.
    pub start_date: Option<Date>,
    /// The last valid day.
    pub end_date: Option<Date>,
    /// The description as typed.
    pub description: String,
    /// The description is plain text, not HTML.
    pub is_description_plain_text: bool,
    /// Never shown to the partner.
    pub internal_notes: String,
}

impl CouponCodeEdit {
    /// Checks a new row, or a row that gets another code. Placeholder codes from before this rule
    /// stay, and can be edited and deleted.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check_new(self) -> Result<CheckedCode, Vec<FieldError>> {
        let checked = self.check()?;
        let mut problems = Problems::default();
        problems.take("coupon_code", checked.code.check_new());
        problems.finish().map(|()| checked)
    }

    /// Checks the row without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(self) -> Result<CheckedCode, Vec<FieldError>> {
        let mut problems = Problems::default();
        let code =
            problems.take("coupon_code", RowCode::parse(&self.coupon_code, self.conversion_only));
        if self.start_date.zip(self.end_date).is_some_and(|(start, end)| start > end) {
            problems.add("end_date", "is before start_date");
        }
        problems.take("description", text::note(&self.description));
        problems.take("internal_notes", text::note(&self.internal_notes));
        let Some(code) = code else { return Err(problems.finish().err().unwrap_or_default()) };
        problems.finish().map(|()| CheckedCode {
            code,
            offer_id: self.network_offer_id,
            affiliate_id: self.network_affiliate_id,
            status: self.coupon_status,
            start_date: self.start_date,
            end_date: self.end_date,
            description: self.description,
            is_description_plain_text: self.is_description_plain_text,
            internal_notes: self.internal_notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(json: serde_json::Value) -> CouponCodeEdit {
        let mut base = serde_json::json!({"coupon_code": "WINTER25", "network_offer_id": 1, "coupon_status": "active"});
        base.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn a_code_is_right_or_its_wrong_fields_are_named() {
        let cases = [
            (serde_json::json!({}), vec![]),
            (
                serde_json::json!({"coupon_status": "inactive", "network_affiliate_id": null}),
                vec![],
            ),
            (serde_json::json!({"start_date": "2026-01-01", "end_date": "2026-01-01"}), vec![]),
            (serde_json::json!({"coupon_code": "AB"}), vec!["coupon_code"]),
            (serde_json::json!({"coupon_code": "SAVE-20"}), vec!["coupon_code"]),
            (serde_json::json!({"coupon_code": "Clk"}), vec!["coupon_code"]),
            (serde_json::json!({"coupon_code": "\u{212a}elvin"}), vec!["coupon_code"]),
            (
                serde_json::json!({"start_date": "2026-01-02", "end_date": "2026-01-01"}),
                vec!["end_date"],
            ),
            (serde_json::json!({"coupon_code": "SAVE-20", "conversion_only": true}), vec![]),
            (
                serde_json::json!({"coupon_code": "", "description": "x".repeat(9000)}),
                vec!["coupon_code", "description"],
            ),
        ];
        for (change, expected) in cases {
            let wrong: Vec<String> = edit(change.clone())
                .check()
                .err()
                .unwrap_or_default()
                .into_iter()
                .map(|e| e.field)
                .collect();
            assert_eq!(wrong, expected, "{change}");
        }
    }

    #[test]
    fn a_placeholder_is_no_new_code_but_one_that_is_there_can_be_edited() {
        for code in ["null", "UNDEFINED", "[VIP]"] {
            let json = serde_json::json!({"coupon_code": code, "conversion_only": true});
            let wrong = edit(json.clone()).check_new().unwrap_err();
            assert_eq!(wrong[0].field, "coupon_code");
            edit(json).check().unwrap();
        }
        edit(serde_json::json!({})).check_new().unwrap();
    }

    #[test]
    fn inactive_is_paused() {
        assert_eq!(
            edit(serde_json::json!({"coupon_status": "inactive"})).coupon_status,
            CouponStatus::Paused
        );
    }
}
