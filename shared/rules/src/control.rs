//! Traffic controls: rules on the texts of a visit, such as its source.
//!
//! A **blacklist** refuses visits that match one of its values in one of its variables. A
//! **whitelist** refuses visits that match none.

use rkyv::{Archive, Deserialize, Serialize};

use crate::facts::VisitorFacts;
use crate::text_match::{TextMatch, Variable};

/// The author of a control. The kind decides the reason of its refusals.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ControlKind {
    TrafficControl = 1,
    /// A rule that watches the quality of traffic.
    SmartSwitch = 2,
    /// A person, value by value.
    ByHand = 3,
    /// A filter in the offer's own list.
    OfferFilter = 4,
}

/// A traffic control.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub kind: ControlKind,
    pub is_whitelist: bool,
    /// Whether the fail traffic of the offer gets refused visits.
    pub fails_over: bool,
    /// Binds every offer; else the offers that name the control.
    pub is_everywhere: bool,
    /// Numbers of [`Variable`].
    pub variables: Vec<u8>,
    pub matching: TextMatch,
    /// In ascending order; `None` binds every partner.
    pub partners: Option<Vec<u32>>,
    /// First and last day in the network's zone.
    pub days: (u16, u16),
}

impl Control {
    /// Whether the control refuses a visit for a partner. If a server reports the visit, texts
    /// about the visitor are unknown.
    #[must_use]
    pub fn refuses(
        &self,
        facts: &impl VisitorFacts,
        is_visitor_known: bool,
        partner: u32,
        today: u16,
    ) -> bool {
        if !self.binds(partner, today) {
            return false;
        }
        let known = |variable: &Variable| is_visitor_known || !variable.describes_visitor();
        let variables =
            || self.variables.iter().filter_map(|number| Variable::from_number(*number));
        let matches = variables().filter(known).any(|which| self.matching.holds(which, facts));
        if self.is_whitelist { !matches && variables().all(|which| known(&which)) } else { matches }
    }

    fn binds(&self, partner: u32, today: u16) -> bool {
        let (first, last) = self.days;
        let names = |partners: &Vec<u32>| partners.binary_search(&partner).is_ok();
        (first..=last).contains(&today) && self.partners.as_ref().is_none_or(names)
    }

    /// Checks what [`Control::refuses`] relies on.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        check_variables(&self.variables)?;
        check_ids("partners", self.partners.as_deref().unwrap_or_default())?;
        self.matching.check()
    }
}

/// A part of the visit that a forwarding rule asks for.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct VariableMatch {
    /// Number of a [`Variable`].
    pub variable: u8,
    pub matching: TextMatch,
}

impl VariableMatch {
    #[must_use]
    pub fn holds(&self, facts: &impl VisitorFacts, is_visitor_known: bool) -> bool {
        let known = |which: &Variable| is_visitor_known || !which.describes_visitor();
        let variable = Variable::from_number(self.variable).filter(known);
        variable.is_some_and(|variable| self.matching.holds(variable, facts))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        check_variables(&[self.variable])?;
        self.matching.check()
    }
}

fn check_variables(numbers: &[u8]) -> Result<(), String> {
    let unknown = numbers.iter().find(|number| Variable::from_number(**number).is_none());
    match (numbers, unknown) {
        ([], _) => Err("it names no variable".into()),
        (_, Some(number)) => Err(format!("variable {number} is not known here: upgrade coupond")),
        (_, None) => Ok(()),
    }
}

pub(crate) fn check_ids(what: &str, ids: &[u32]) -> Result<(), String> {
    match ids.windows(2).all(|pair| pair[0] < pair[1]) {
        true => Ok(()),
        false => Err(format!("its {what} are out of order")),
    }
}

#[cfg(test)]
mod tests;
