//! The words of rules that compare what a link or a visitor brings: variables and comparisons.
//! Traffic controls and forwarding rules have the same ones.

use coupon_rules::countries::{COUNTRIES, Country};
use coupon_rules::text_match::{Comparison, Variable};

use super::words::words;

words! {
    /// The fact about a visit that a rule compares.
    TrafficVariable {
        /// The partner's first sub id.
        Sub1 = "sub1",
        /// The partner's second sub id.
        Sub2 = "sub2",
        /// The partner's third sub id.
        Sub3 = "sub3",
        /// The partner's fourth sub id.
        Sub4 = "sub4",
        /// The partner's fifth sub id.
        Sub5 = "sub5",
        /// The partner's id of the traffic source.
        SourceId = "source_id",
        /// The English name of the visitor's country.
        CountryName = "country_name",
        /// The host of the link.
        TrackingDomain = "tracking_domain",
        /// The coupon code of the link.
        CouponCode = "coupon_code",
        /// The host of the page with the link.
        RefererHost = "referer_host",
        /// The number of the visitor's network.
        Asn = "asn",
        /// The language that the visitor prefers.
        Language = "language",
        /// The visitor's browser, as the browser names itself.
        UserAgent = "user_agent",
    }
}

words! {
    /// The comparison of a variable with the values of a rule. Case does not count.
    ComparisonMethod {
        /// The variable is the value.
        ExactMatch = "exact_match",
        /// The variable contains the value.
        Contains = "contains",
        /// The variable does not contain the value.
        DoesNotContain = "does_not_contain",
        /// The variable starts with the value.
        StartsWith = "starts_with",
        /// The variable ends with the value.
        EndsWith = "ends_with",
        /// The variable is empty or absent.
        NotPresent = "not_present",
        /// The variable is not the value.
        DoesNotMatch = "does_not_match",
    }
}

impl TrafficVariable {
    /// The variable in published rules.
    #[must_use]
    pub fn variable(self) -> Variable {
        match self {
            TrafficVariable::Sub1 => Variable::Sub1,
            TrafficVariable::Sub2 => Variable::Sub2,
            TrafficVariable::Sub3 => Variable::Sub3,
            TrafficVariable::Sub4 => Variable::Sub4,
            TrafficVariable::Sub5 => Variable::Sub5,
            TrafficVariable::SourceId => Variable::SourceId,
            TrafficVariable::CountryName => Variable::CountryName,
            TrafficVariable::TrackingDomain => Variable::TrackingDomain,
            TrafficVariable::CouponCode => Variable::CouponCode,
            TrafficVariable::RefererHost => Variable::RefererHost,
            TrafficVariable::Asn => Variable::Asn,
            TrafficVariable::Language => Variable::Language,
            TrafficVariable::UserAgent => Variable::UserAgent,
        }
    }
}

impl ComparisonMethod {
    /// The comparison in published rules.
    #[must_use]
    pub fn comparison(self) -> Comparison {
        match self {
            ComparisonMethod::ExactMatch => Comparison::ExactMatch,
            ComparisonMethod::Contains => Comparison::Contains,
            ComparisonMethod::DoesNotContain => Comparison::DoesNotContain,
            ComparisonMethod::StartsWith => Comparison::StartsWith,
            ComparisonMethod::EndsWith => Comparison::EndsWith,
            ComparisonMethod::NotPresent => Comparison::NotPresent,
            ComparisonMethod::DoesNotMatch => Comparison::DoesNotMatch,
        }
    }
}

impl TrafficVariable {
    /// Refuses a value that no visit has, if values are compared as a whole.
    pub(super) fn check_whole_value(self, value: &str) -> Result<(), String> {
        match self {
            TrafficVariable::CountryName => check_country(value),
            TrafficVariable::Asn => check_number(value),
            _ => Ok(()),
        }
    }
}

impl ComparisonMethod {
    /// Whether a value is compared as a whole, so a value that no visit has never matches.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, ComparisonMethod::ExactMatch | ComparisonMethod::DoesNotMatch)
    }
}

fn check_country(value: &str) -> Result<(), String> {
    if COUNTRIES.iter().any(|country| country.name.eq_ignore_ascii_case(value)) {
        return Ok(());
    }
    let example = match Country::find_by_code(value) {
        Some(country) => format!("write {}", country.name),
        None => "/v1/meta/countries lists them".into(),
    };
    Err(format!("`{value}` is no English name of a country; {example}"))
}

fn check_number(value: &str) -> Result<(), String> {
    match value.parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{value}` is no number of a network; write it like 15169")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::WordSet as _;

    #[test]
    fn variables_have_the_same_word_in_published_rules() {
        for word in TrafficVariable::WORDS {
            assert_eq!(word.parse::<TrafficVariable>().unwrap().variable().as_str(), *word);
        }
        assert_eq!(TrafficVariable::WORDS.len(), Variable::ALL.len());
    }
}
