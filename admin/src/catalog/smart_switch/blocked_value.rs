//! Values of a variable whose visits are refused, by a SmartSwitch rule or by hand.

use coupon_rules::countries::Country;
use serde::{Deserialize, Serialize};

use super::super::problems::{FieldError, Problems};
use super::super::text;
use super::super::words::words;
use super::{SmartSwitchAction, SwitchVariable};

/// The longest value that visits are compared with.
pub const MAX_VALUE_BYTES: usize = 256;

words! {
    /// The status of a blocked value.
    BlockedValueStatus {
        /// A rule warned; the value is checked again before the action.
        Warned = "warned",
        /// The action is in force.
        Active = "active",
        /// The action has ended. For the rule's window the rule does not act again.
        Released = "released",
        /// No rule acts on the value, and no other block of it is in force.
        Exempt = "exempt",
    }
}

/// A metric as measured when a value was blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricReading {
    /// The metric.
    pub metric: super::SmartSwitchMetric,
    /// The comparison of the rule.
    pub operator: super::ConditionOperator,
    /// The bound of the rule.
    pub value: String,
    /// The measured number, rounded to four decimals.
    pub measured: String,
    /// The clicks that the minimum of the rule was compared with.
    pub clicks: u64,
    /// The conversions that the minimum of the rule was compared with.
    pub conversions: u64,
}

/// A blocked value as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BlockedValueEdit)]
#[serde(deny_unknown_fields)]
pub struct BlockedValue {
    /// The variable.
    pub variable: SwitchVariable,
    /// The value. Case of ASCII letters does not count.
    #[schema(min_length = 1, max_length = 256, example = "bad_source")]
    pub value: String,
    /// The offer; 0 is all offers.
    #[serde(default)]
    pub network_offer_id: u32,
    /// The advertiser, for all its offers; 0 is all offers.
    #[serde(default)]
    pub network_advertiser_id: u32,
    /// The partner; 0 is all partners. With the variable `affiliate`, the value is the partner.
    #[serde(default)]
    pub network_affiliate_id: u32,
    /// The action: `block`, `fail_traffic` or `hold_conversions` by hand.
    #[serde(default = "block")]
    pub action: SmartSwitchAction,
    /// The status.
    #[serde(default = "active")]
    pub blocked_value_status: BlockedValueStatus,
    /// For your own records; partners do not see it.
    #[serde(default)]
    pub notes: String,
    /// Only in answers.
    #[serde(skip)]
    #[schema(ignore)]
    pub facts: BlockedValueFacts,
}

/// Fields of a blocked value that no edit sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BlockedValueFacts {
    /// The rule; 0 if blocked by hand.
    pub network_smart_switch_rule_id: u32,
    /// Name of the rule.
    pub rule_name: String,
    /// The run of the rule; 0 for none.
    pub run_id: u64,
    /// The numbers at that time.
    pub measured: Vec<MetricReading>,
    /// When a warned value is checked again; 0 for others.
    pub time_due: i64,
    /// When the action began; 0 if it never did.
    pub time_blocked: i64,
    /// When the action ended; 0 if it did not.
    pub time_released: i64,
    /// Until then the rule does not act again; 0 for no time.
    pub exempt_until: i64,
}

fn block() -> SmartSwitchAction {
    SmartSwitchAction::Block
}

fn active() -> BlockedValueStatus {
    BlockedValueStatus::Active
}

impl BlockedValue {
    /// Checks the value without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        self.check_value(&mut problems);
        problems.take("notes", text::note(&self.notes));
        if self.network_offer_id != 0 && self.network_advertiser_id != 0 {
            let message = "name the offer or the advertiser, not both";
            problems.add("network_advertiser_id", message);
        }
        if self.variable == SwitchVariable::Affiliate && self.network_affiliate_id != 0 {
            let message = "with the variable affiliate the value is the partner; leave this out";
            problems.add("network_affiliate_id", message);
        }
        self.check_action(&mut problems);
        problems.finish()
    }

    /// The value as stored: ASCII letters in lower case.
    #[must_use]
    pub fn folded_value(&self) -> String {
        self.value.to_ascii_lowercase()
    }

    fn check_value(&self, problems: &mut Problems) {
        let value = &self.value;
        if value.is_empty() {
            problems.add("value", "is empty; visits without a value cannot be blocked");
        } else if value.len() > MAX_VALUE_BYTES {
            let bytes = value.len();
            problems.add("value", format!("has {bytes} bytes; at most {MAX_VALUE_BYTES} fit"));
        } else if value.contains(char::is_control) {
            problems.add("value", "contains a control character; remove it");
        } else {
            self.check_kind(problems);
        }
    }

    fn check_kind(&self, problems: &mut Problems) {
        let value = &self.value;
        let is_number = value.parse::<u32>().is_ok_and(|number| number > 0);
        let error = match self.variable {
            SwitchVariable::Affiliate if !is_number => "is no partner's id",
            SwitchVariable::Asn if !is_number => "is no number of a network, such as 3320",
            SwitchVariable::Country if Country::find_by_code(value).is_none() => {
                "is no country; send two letters, such as DE"
            }
            _ => return,
        };
        problems.add("value", format!("`{value}` {error}"));
    }

    fn check_action(&self, problems: &mut Problems) {
        let message = match self.action {
            SmartSwitchAction::Block | SmartSwitchAction::FailTraffic => return,
            SmartSwitchAction::HoldConversions | SmartSwitchAction::PauseCode
                if self.variable == SwitchVariable::CouponCode =>
            {
                return;
            }
            SmartSwitchAction::Alert => "alert blocks nothing; choose block or fail_traffic",
            SmartSwitchAction::HoldConversions | SmartSwitchAction::PauseCode => {
                "needs the variable coupon_code"
            }
        };
        problems.add("action", message);
    }
}
