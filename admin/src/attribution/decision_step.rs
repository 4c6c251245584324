//! One step of a decision, kept with the conversion: a word for programs, a sentence for people.
//!
//! Steps are shown to the network's own people only. They never hold a secret, an address or an
//! e-mail, so that erasing personal data leaves them alone.

use std::borrow::Cow;
use std::fmt;

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = ConversionStep)]
pub struct DecisionStep {
    /// A stable word.
    #[schema(value_type = String, example = "click_found")]
    pub step: Cow<'static, str>,
    /// What happened, for people.
    pub detail: String,
}

/// The steps of a decision, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DecisionSteps(pub Vec<DecisionStep>);

impl DecisionSteps {
    /// Adds one.
    pub fn note(&mut self, step: &'static str, detail: impl fmt::Display) {
        self.0.push(DecisionStep { step: step.into(), detail: detail.to_string() });
    }

    /// Whether one of them has this word.
    #[must_use]
    pub fn has(&self, step: &str) -> bool {
        self.0.iter().any(|noted| noted.step == step)
    }
}
