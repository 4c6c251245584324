//! The visitor of a simulated visit, and the rules that the visitor meets.

use std::net::{IpAddr, Ipv4Addr};

use coupon_geo::Databases;
use coupon_rules::agent::{Agent, ClientHints};
use coupon_rules::caps::Cap;
use coupon_rules::control::{Control, ControlKind};
use coupon_rules::facts::VisitorFacts;
use coupon_rules::language;
use coupon_rules::place::{Place, PlaceParts};
use coupon_rules::ruleset::{Dimension, PreparedRuleset, Refusal, Verdict};
use coupon_rules::sessions::SessionDefinition;
use coupon_rules::text_match::Variable;
use coupon_rules::visit_state::VisitState;
use coupon_shared::decision::{Candidate, Reason, today};
use coupon_shared::dice::dice;
use coupon_shared::snapshot::catalog::rules::OfferRule;
use coupon_shared::snapshot::catalog::{ArchivedOffer, CatalogFile};
use coupon_shared::snapshot::level::CodeRecord;
use coupon_shared::transaction_id::ClickIdKey;
use coupon_shared::visit_target::Parameters;
use coupon_shared::visitor_key::{VisitorKey, VisitorKeys};
use serde::Serialize;

use super::earlier_visits::EarlierVisits;
use super::{SimulatedVisit, text};
use crate::catalog::click_error_code;

/// Facts about the visitor as the daemon would have them.
pub(super) struct SimulatedVisitor<'a> {
    databases: &'a Databases,
    address: IpAddr,
    agent: Agent,
    user_agent: &'a [u8],
    /// `Accept-Language` as sent.
    pub(super) language: &'a [u8],
    /// `Referer` as sent.
    pub(super) referer: &'a [u8],
    link: SimulatedLink<'a>,
    pub(super) earlier: EarlierVisits<'a>,
}

/// The link that a simulated visitor follows.
#[derive(Clone, Copy)]
pub(super) struct SimulatedLink<'a> {
    pub(super) parameters: &'a Parameters,
    /// Without port.
    pub(super) host: &'a [u8],
    /// As typed; empty if it is no code.
    pub(super) code: &'a [u8],
    pub(super) key: ClickIdKey,
}

impl<'a> SimulatedVisitor<'a> {
    pub(super) fn new(
        visit: &'a SimulatedVisit,
        databases: &'a Databases,
        link: SimulatedLink<'a>,
        earlier: EarlierVisits<'a>,
    ) -> SimulatedVisitor<'a> {
        let header = |wanted: &str| {
            let found = visit.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map_or("", |(_, value)| value)
        };
        let or_header = |value: &'a str, name| if value.is_empty() { header(name) } else { value };
        let hints = ClientHints {
            platform: header("Sec-CH-UA-Platform").as_bytes(),
            mobile: header("Sec-CH-UA-Mobile").as_bytes(),
        };
        let user_agent = or_header(&visit.user_agent, "User-Agent");
        SimulatedVisitor {
            databases,
            // Nobody visits from this address, so no database knows it.
            address: visit.ip.map_or(Ipv4Addr::UNSPECIFIED.into(), |ip| ip.to_canonical()),
            agent: Agent::identify(user_agent.as_bytes(), &hints),
            user_agent: user_agent.as_bytes(),
            language: or_header(&visit.language, "Accept-Language").as_bytes(),
            referer: or_header(&visit.referer, "Referer").as_bytes(),
            link,
            earlier,
        }
    }
}

impl SimulatedVisitor<'_> {
    /// The visitor's key under a session definition.
    pub(super) fn visitor_key(&self, definition: SessionDefinition) -> VisitorKey {
        VisitorKeys::new(&self.link.key).identify(definition, self.address, self.user_agent)
    }
}

impl VisitorFacts for SimulatedVisitor<'_> {
    fn address(&self) -> IpAddr {
        self.address
    }

    fn look_up_place(&self, wanted: PlaceParts) -> Place<'_> {
        self.databases.look_up(self.address, wanted)
    }

    fn agent(&self) -> Agent {
        self.agent
    }

    fn language(&self) -> Option<&[u8]> {
        language::preferred(self.language)
    }

    fn request_text(&self, variable: Variable) -> &[u8] {
        let other = match variable {
            Variable::TrackingDomain => self.link.host,
            Variable::CouponCode => self.link.code,
            Variable::RefererHost => self.referer,
            Variable::UserAgent => self.user_agent,
            _ => b"",
        };
        self.link.parameters.variable(variable).unwrap_or(other)
    }

    fn dice(&self, offer: u32) -> u64 {
        dice(&self.link.key, self.address, self.user_agent, offer)
    }

    fn visit_state(&self) -> &dyn VisitState {
        self
    }
}

/// Everything known of the visitor; empty where nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ExplainedFacts {
    /// ISO 3166-1 alpha-2.
    pub country_code: String,
    /// ISO 3166-2 without the country, else the name.
    pub region: String,
    pub city: String,
    pub postal_code: String,
    /// 0 if unknown.
    pub dma_code: u16,
    /// As in the IANA database.
    pub timezone: String,
    pub isp: String,
    /// 0 if unknown.
    pub asn: u32,
    /// `wifi` or `mobile`.
    pub connection_type: String,
    /// Kinds of networks that hide the visitor.
    pub proxy_kinds: Vec<&'static str>,
    pub device_type: String,
    pub platform: String,
    pub os_version: String,
    pub browser: String,
    pub brand: String,
    /// The preferred language.
    pub language: String,
    /// The databases that were asked.
    pub sources: Vec<FactSource>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FactSource {
    /// The file's name.
    pub database: String,
    /// Unix seconds.
    pub time_built: u64,
}

impl ExplainedFacts {
    pub(super) fn new(visitor: &SimulatedVisitor<'_>) -> ExplainedFacts {
        let place = visitor.look_up_place(visitor.databases.parts());
        let [region, _] = place.regions;
        let region = if region.code.is_empty() { region.name } else { region.code };
        let agent = visitor.agent();
        let sources = visitor.databases.sources().map(|source| FactSource {
            database: source.file_name(),
            time_built: source.build_unix_s,
        });
        ExplainedFacts {
            country_code: place.country.into(),
            region: region.into(),
            city: place.city.name.into(),
            postal_code: place.postal_code.into(),
            dma_code: place.dma,
            timezone: place.time_zone.into(),
            isp: place.isp.name.into(),
            asn: place.isp.asn,
            connection_type: place.connection.map_or("", |kind| kind.as_str()).into(),
            proxy_kinds: place.proxy.map(|kinds| kinds.names().collect()).unwrap_or_default(),
            device_type: agent.device.as_str().into(),
            platform: agent.platform.as_str().into(),
            os_version: agent.os_version.map(|version| version.to_string()).unwrap_or_default(),
            browser: agent.browser.as_str().into(),
            brand: agent.brand.map_or("", |brand| brand.as_str()).into(),
            language: text::tag(visitor.language()),
            sources: sources.collect(),
        }
    }
}

/// A rule of an offer, and whether the visitor passes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ExplainedRule {
    /// The offer.
    pub network_offer_id: u32,
    /// The ruleset, as clicks name it; 0 for another rule.
    pub network_ruleset_id: u32,
    /// The traffic control or SmartSwitch rule, as clicks name it; 0 for another rule.
    pub network_traffic_control_id: u32,
    /// The cap; 0 for another rule.
    pub network_cap_id: u32,
    /// The part of the ruleset, such as `place` or `language`; or `ip_blocklist`, `traffic_control`,
    /// `traffic_filter`, `smart_switch`, `blocked`, `cap`, `group_cap`, `already_converted`,
    /// `duplicate`.
    pub kind: &'static str,
    /// `passed` or `refused`.
    pub verdict: &'static str,
    /// Whether nothing is known of the visitor that the rule asks for.
    pub is_unknown: bool,
    /// The number in click reports; 0 for a rule that is passed.
    pub error_code: u32,
    /// The reason in click reports; empty for a rule that is passed.
    pub error_name: &'static str,
    /// The visitor's value, as a sentence.
    pub because: String,
}

/// All rules of the rows that nothing but rules may stop, also those behind the first refusal.
pub(super) fn rules(
    catalog: &CatalogFile,
    rows: &[Candidate<'_>],
    visitor: &SimulatedVisitor<'_>,
    facts: &ExplainedFacts,
    now: i64,
) -> Vec<ExplainedRule> {
    let questions = Questions { catalog, visitor, facts, now };
    let is_asked = |row: &&Candidate<'_>| {
        // The network's blocked addresses have no id.
        let is_refused = row.rule != 0 || row.reason == Reason::AddressExcluded;
        is_refused || row.reason == Reason::Redirected
    };
    rows.iter().filter(is_asked).flat_map(|row| questions.rules_of(row)).collect()
}

/// Everything that answers of rules depend on.
struct Questions<'a> {
    catalog: &'a CatalogFile,
    visitor: &'a SimulatedVisitor<'a>,
    facts: &'a ExplainedFacts,
    now: i64,
}

impl Questions<'_> {
    fn rules_of(&self, row: &Candidate<'_>) -> Vec<ExplainedRule> {
        let Some(offer) = row.reached.offer else { return Vec::new() };
        let everywhere = self.catalog.controls_everywhere();
        let rules = everywhere.chain(self.catalog.rules_of(offer));
        let mut explained: Vec<_> =
            self.explain_address(row.reached.offer_id).into_iter().collect();
        explained.extend(rules.flat_map(|rule| self.explain_rule(row, rule)));
        let CodeRecord { code_id, partner_id, .. } = row.row;
        let caps = self.catalog.caps_of(code_id, partner_id, offer).filter(|cap| cap.can_refuse());
        explained.extend(caps.map(|cap| self.explain_cap(row.reached.offer_id, cap)));
        explained.extend(self.explain_visitor_rules(offer));
        explained
    }

    /// The addresses that the network refuses on every offer.
    fn explain_address(&self, network_offer_id: u32) -> Option<ExplainedRule> {
        let blocked = self.catalog.blocked_addresses();
        let address = self.visitor.address();
        let (is_blocked, is_unknown) = (blocked.has(address), address.is_unspecified());
        (!blocked.is_empty()).then(|| ExplainedRule {
            kind: "ip_blocklist",
            is_unknown,
            because: if is_unknown {
                "address: unknown".into()
            } else {
                format!("address: {address}")
            },
            ..ExplainedRule::with_reason(
                network_offer_id,
                is_blocked.then_some(Reason::AddressExcluded),
            )
        })
    }

    fn explain_rule(&self, row: &Candidate<'_>, rule: &OfferRule) -> Vec<ExplainedRule> {
        let offer_id = row.reached.offer_id;
        match rule {
            OfferRule::Ruleset { id, ruleset } => {
                let dimensions = ruleset.dimensions().iter();
                let explain = |dimension| self.explain_dimension(offer_id, *id, ruleset, dimension);
                dimensions.map(|dimension| explain(*dimension)).collect()
            }
            OfferRule::Control { id, control } => {
                vec![self.explain_control(offer_id, row.row.partner_id, *id, control)]
            }
            OfferRule::Cap(_)
            | OfferRule::AlreadyConverted(_)
            | OfferRule::Duplicates(_)
            | OfferRule::Session(_)
            | OfferRule::Forwarding(_)
            | OfferRule::FailTraffic(_) => Vec::new(),
        }
    }

    fn explain_dimension(
        &self,
        network_offer_id: u32,
        network_ruleset_id: u32,
        ruleset: &PreparedRuleset,
        dimension: Dimension,
    ) -> ExplainedRule {
        let verdict = ruleset.verdict(dimension, self.visitor, self.catalog, self.now);
        let reason = verdict.refusal().map(|refusal: Refusal| Reason::from(refusal));
        ExplainedRule {
            network_ruleset_id,
            kind: text::dimension(dimension),
            is_unknown: matches!(verdict, Verdict::PassedUnknown | Verdict::RefusedUnknown(_)),
            because: text::because(dimension, verdict, self.facts, self.visitor),
            ..ExplainedRule::with_reason(network_offer_id, reason)
        }
    }

    fn explain_cap(&self, network_offer_id: u32, cap: &Cap) -> ExplainedRule {
        let reached = self.visitor.earlier.reached_window(cap);
        let reason = if cap.is_group { Reason::GroupCap } else { Reason::Cap };
        ExplainedRule {
            network_cap_id: cap.id,
            kind: reason.as_str(),
            because: text::cap(reached.as_ref()),
            ..ExplainedRule::with_reason(network_offer_id, reached.map(|_| reason))
        }
    }

    /// The rules on earlier visits and conversions of the visitor.
    fn explain_visitor_rules(&self, offer: &ArchivedOffer) -> Vec<ExplainedRule> {
        let offer_id = offer.id.to_native();
        let rules = self.catalog.visitor_rules_of(offer);
        let has_converted = self.visitor.has_converted(offer_id, &rules.session);
        let converted = rules.already_converted.map(|_| {
            let reason = has_converted.then_some(Reason::AlreadyConverted);
            ExplainedRule {
                kind: Reason::AlreadyConverted.as_str(),
                because: text::converted(has_converted).into(),
                ..ExplainedRule::with_reason(offer_id, reason)
            }
        });
        let repeats = rules.duplicates.map(|_| ExplainedRule {
            kind: Reason::Duplicate.as_str(),
            is_unknown: true,
            because: "only coupond knows which visitors came before".into(),
            ..ExplainedRule::with_reason(offer_id, None)
        });
        converted.into_iter().chain(repeats).collect()
    }

    fn explain_control(
        &self,
        network_offer_id: u32,
        partner_id: u32,
        network_traffic_control_id: u32,
        control: &Control,
    ) -> ExplainedRule {
        let today = today(self.catalog, self.now);
        let refuses = control.refuses(self.visitor, true, partner_id, today.0);
        let variables = control.variables.iter().filter_map(|number| {
            let variable = Variable::from_number(*number)?;
            Some(text::variable(variable, self.visitor, self.facts))
        });
        // A filter stands in the offer and has no id of its own.
        let is_filter = control.kind == ControlKind::OfferFilter;
        ExplainedRule {
            network_traffic_control_id: if is_filter { 0 } else { network_traffic_control_id },
            kind: text::control(control.kind),
            because: variables.collect::<Vec<_>>().join(", "),
            ..ExplainedRule::with_reason(
                network_offer_id,
                refuses.then(|| Reason::of_control(control)),
            )
        }
    }
}

impl ExplainedRule {
    /// A rule that refused for this reason, or passed.
    fn with_reason(network_offer_id: u32, reason: Option<Reason>) -> ExplainedRule {
        ExplainedRule {
            network_offer_id,
            network_ruleset_id: 0,
            network_traffic_control_id: 0,
            network_cap_id: 0,
            kind: "",
            verdict: if reason.is_some() { "refused" } else { "passed" },
            is_unknown: false,
            error_code: reason.map_or(0, click_error_code),
            error_name: reason.map_or("", Reason::as_str),
            because: String::new(),
        }
    }
}
