//! The steps of a decision, stored with the conversion: a code for programs, a sentence for people.
//!
//! Only the network's own users see the steps. Steps never contain a secret, an address or an
//! e-mail, so the erasure of personal data does not touch them.

use std::borrow::Cow;
use std::fmt;

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = ConversionStep)]
pub struct DecisionStep {
    /// A stable code.
    #[schema(value_type = String, example = "click_found")]
    pub step: Cow<'static, str>,
    /// A description for people.
    pub detail: String,
}

/// The steps of a decision, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DecisionSteps(pub Vec<DecisionStep>);

impl DecisionSteps {
    pub fn note(&mut self, step: &'static str, detail: impl fmt::Display) {
        self.0.push(DecisionStep { step: step.into(), detail: detail.to_string() });
    }

    #[must_use]
    pub fn has(&self, step: &str) -> bool {
        self.0.iter().any(|noted| noted.step == step)
    }

    /// A JSON array of `{step, detail}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "[]".into())
    }
}
