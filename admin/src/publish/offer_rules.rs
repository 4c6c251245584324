//! The rules of an offer as they stand in the catalog: filters, ruleset, forwarding, fail traffic.

use coupon_rules::control::VariableMatch;
use coupon_rules::leads::{FailGroup, FailRedirect, FailTraffic, Forwarding, ForwardingRule};
use coupon_rules::ruleset::Ruleset as Rules;
use coupon_rules::text_match::TextMatch;
use coupon_shared::snapshot::catalog::Rule;
use serde::de::DeserializeOwned;

use crate::catalog::{FailReason, Ruleset, TrafficFilter, VariableCondition};
use crate::store::publication::{FailTrafficRow, ForwardingRow, OfferRow, RedirectRow};

/// The rules of one offer.
#[derive(Debug, Default)]
pub(super) struct PublishedRules {
    /// In the order of the checks.
    pub(super) rules: Vec<Rule>,
    /// Of all rulesets among the rules.
    pub(super) zones: Vec<ZonesNeeded>,
}

/// The zones a catalog must have for a ruleset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ZonesNeeded {
    One(String),
    /// Any visitor's.
    All,
}

impl PublishedRules {
    /// Reads the rules of an offer; an error is a sentence about the first unusable one.
    pub(super) fn read(row: &OfferRow) -> Result<PublishedRules, String> {
        let mut published = PublishedRules::default();
        published.add_filters(&row.traffic_filters)?;
        if let Some((id, body)) = &row.ruleset {
            let of_ruleset = |error| unusable("its ruleset", error);
            published.add_ruleset(*id, body).map_err(of_ruleset)?;
        }
        published.add_forwarding(&row.forwarding_rules)?;
        if let Some(fail_traffic) = &row.fail_traffic {
            published.add_fail_traffic(fail_traffic)?;
        }
        Ok(published)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn add_filters(&mut self, list: &str) -> Result<(), String> {
        let of_filters = |error| unusable("its traffic filters", error);
        let filters: Vec<TrafficFilter> = read(list).map_err(of_filters)?;
        for (position, filter) in (1..).zip(&filters) {
            let control = filter.control();
            control.check().map_err(of_filters)?;
            self.add(Rule::control(position, &control))?;
        }
        Ok(())
    }

    fn add_ruleset(&mut self, id: u32, body: &str) -> Result<(), String> {
        let rules = self.ruleset(body)?;
        if !rules.is_empty() {
            self.add(Rule::ruleset(id, &rules))?;
        }
        Ok(())
    }

    fn add_forwarding(&mut self, rows: &[ForwardingRow]) -> Result<(), String> {
        let mut rules = Vec::with_capacity(rows.len());
        for row in rows {
            let of_rule = |error| unusable(&format!("its forwarding rule {}", row.id), error);
            rules.push(self.forwarding_rule(row).map_err(of_rule)?);
        }
        if rules.is_empty() {
            return Ok(());
        }
        // The sort is stable: rules that name partners come first, each part in the list's order.
        rules.sort_by_key(|rule| rule.partners.is_empty());
        self.add(Rule::forwarding(&Forwarding { rules }))
    }

    fn add_fail_traffic(&mut self, row: &FailTrafficRow) -> Result<(), String> {
        let mut redirects = Vec::with_capacity(row.redirects.len());
        for redirect in &row.redirects {
            let of_redirect = |error| unusable(&format!("its redirect {}", redirect.id), error);
            redirects.push(self.fail_redirect(redirect).map_err(of_redirect)?);
        }
        let (is_by_weight, ends_at_network_url) =
            (row.routing.is_by_weight(), row.routing.ends_at_global_url());
        if redirects.is_empty() && !ends_at_network_url {
            return Ok(());
        }
        let fail_traffic = FailTraffic { is_by_weight, ends_at_network_url, redirects };
        fail_traffic.check().map_err(|error| unusable("its fail traffic", error))?;
        self.add(Rule::fail_traffic(&fail_traffic))
    }

    fn forwarding_rule(&mut self, row: &ForwardingRow) -> Result<ForwardingRule, String> {
        let mut partners: Vec<u32> = read(&row.affiliate_ids)?;
        partners.sort_unstable();
        let variables: Vec<VariableCondition> = read(&row.variables)?;
        Ok(ForwardingRule {
            id: row.id,
            partners,
            destination_offer: row.destination_offer_id,
            ruleset: self.ruleset(&row.ruleset)?,
            variables: variables.iter().map(variable_match).collect(),
            days: (row.first_day.0, row.last_day.0),
        })
    }

    fn fail_redirect(&mut self, row: &RedirectRow) -> Result<FailRedirect, String> {
        let reasons: Vec<FailReason> = read(&row.fail_reasons)?;
        Ok(FailRedirect {
            id: row.id,
            offer: row.destination_offer_id,
            weight: row.routing_value,
            ruleset: self.ruleset(&row.ruleset)?,
            groups: fail_groups(&reasons),
        })
    }

    /// Compiles a ruleset, and notes the zones that it needs.
    fn ruleset(&mut self, body: &str) -> Result<Rules, String> {
        let ruleset: Ruleset = read(body)?;
        ruleset.check().map_err(|fields| {
            let sentences = fields.iter().map(|field| format!("{} {}", field.field, field.error));
            sentences.collect::<Vec<_>>().join(", ")
        })?;
        let rules = ruleset.rules();
        self.zones.extend(
            rules
                .hours
                .as_ref()
                .map(|hours| hours.zone.clone().map_or(ZonesNeeded::All, ZonesNeeded::One)),
        );
        Ok(rules)
    }

    fn add<E: std::fmt::Display>(&mut self, rule: Result<Rule, E>) -> Result<(), String> {
        self.rules.push(rule.map_err(|error| error.to_string())?);
        Ok(())
    }
}

fn unusable(what: &str, error: String) -> String {
    format!("{what} cannot be used: {error}; save it again")
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| error.to_string())
}

fn fail_groups(reasons: &[FailReason]) -> u8 {
    let group = |reason: &FailReason| match reason {
        FailReason::OfferExpired => FailGroup::OfferExpired,
        FailReason::Caps => FailGroup::Caps,
        FailReason::Geotargeting => FailGroup::Geotargeting,
        FailReason::Other => FailGroup::Other,
    };
    match reasons {
        [] => FailGroup::ALL_BITS,
        reasons => reasons.iter().fold(0, |bits, reason| bits | group(reason) as u8),
    }
}

fn variable_match(condition: &VariableCondition) -> VariableMatch {
    let comparison = condition.comparison_method.comparison();
    let value = Some(condition.variable_value.as_str()).filter(|value| !value.is_empty());
    VariableMatch {
        variable: condition.variable.variable() as u8,
        matching: TextMatch::new(comparison, value),
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::civil_day::Day;

    use super::*;
    use crate::catalog::RedirectRoutingType;

    fn offer() -> OfferRow {
        OfferRow {
            id: 1,
            advertiser_id: 1,
            active: true,
            visibility: "public".into(),
            last_day: Day::LAST,
            destination_url: "https://shop.example/".into(),
            append_transaction_id: false,
            fallback_url: String::new(),
            ruleset: None,
            forwarding_rules: Vec::new(),
            fail_traffic: None,
            traffic_filters: "[]".into(),
        }
    }

    fn forwarding(id: u32, affiliate_ids: &str) -> ForwardingRow {
        ForwardingRow {
            id,
            affiliate_ids: affiliate_ids.into(),
            destination_offer_id: 2,
            ruleset: "{}".into(),
            variables: r#"[{"variable": "asn", "comparison_method": "not_present"}]"#.into(),
            first_day: Day::FIRST,
            last_day: Day::LAST,
        }
    }

    fn fail_traffic(routing: RedirectRoutingType, ruleset: &str) -> FailTrafficRow {
        let redirect = RedirectRow {
            id: 7,
            destination_offer_id: 3,
            routing_value: 0,
            fail_reasons: r#"["caps", "other"]"#.into(),
            ruleset: ruleset.into(),
        };
        FailTrafficRow { routing, redirects: vec![redirect] }
    }

    fn compiled(row: &ForwardingRow) -> ForwardingRule {
        PublishedRules::default().forwarding_rule(row).unwrap()
    }

    #[test]
    fn rules_that_name_partners_come_first_and_keep_their_order() {
        let rows = [
            forwarding(1, "[]"),
            forwarding(2, "[9, 4]"),
            forwarding(3, "[]"),
            forwarding(4, "[4]"),
        ];
        let mut published = PublishedRules::default();
        published.add_forwarding(&rows).unwrap();
        let expected = [2, 4, 1, 3].map(|id: usize| compiled(&rows[id - 1])).to_vec();
        assert_eq!(expected[0].partners, [4, 9]);
        assert_eq!(Forwarding { rules: expected.clone() }.check(), Ok(()));
        let expected = Rule::forwarding(&Forwarding { rules: expected }).unwrap();
        assert_eq!(published.rules, [expected]);
    }

    #[test]
    fn fail_traffic_is_compiled_with_its_reasons_and_zones() {
        let hours = r#"{"is_use_day_parting": true, "day_parting_apply_to": "selected_timezone",
            "day_parting_timezone_id": 80,
            "days_parting": [{"day_of_week": 1, "start_hour": 9, "end_hour": 16}]}"#;
        let row = fail_traffic(RedirectRoutingType::PriorityGlobal, hours);
        let redirect = PublishedRules::default().fail_redirect(&row.redirects[0]).unwrap();
        assert_eq!(redirect.groups, FailGroup::Caps as u8 | FailGroup::Other as u8);
        assert_eq!(fail_groups(&[]), FailGroup::ALL_BITS);
        let published =
            PublishedRules::read(&OfferRow { fail_traffic: Some(row), ..offer() }).unwrap();
        assert_eq!(published.zones, [ZonesNeeded::One("America/New_York".into())]);
        let expected = FailTraffic {
            is_by_weight: false,
            ends_at_network_url: true,
            redirects: vec![redirect],
        };
        assert_eq!(published.rules, [Rule::fail_traffic(&expected).unwrap()]);
        let none = FailTrafficRow { routing: RedirectRoutingType::Priority, redirects: vec![] };
        let published =
            PublishedRules::read(&OfferRow { fail_traffic: Some(none), ..offer() }).unwrap();
        assert!(published.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let broken_rule = ForwardingRow { variables: "[{}]".into(), ..forwarding(5, "[]") };
        let broken_rule = OfferRow { forwarding_rules: vec![broken_rule], ..offer() };
        let weightless = fail_traffic(RedirectRoutingType::Weight, "{}");
        let weightless = OfferRow { fail_traffic: Some(weightless), ..offer() };
        let broken_redirect = fail_traffic(RedirectRoutingType::Priority, "[]");
        let broken_redirect = OfferRow { fail_traffic: Some(broken_redirect), ..offer() };
        for (row, what) in [
            (broken_rule, "its forwarding rule 5 cannot be used"),
            (weightless, "its fail traffic cannot be used"),
            (broken_redirect, "its redirect 7 cannot be used"),
        ] {
            let error = PublishedRules::read(&row).unwrap_err();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
