//! The visitor of a simulated visit, and the rules that the visitor meets.

use std::net::{IpAddr, Ipv4Addr};

use coupon_geo::Databases;
use coupon_rules::agent::{Agent, ClientHints};
use coupon_rules::facts::VisitorFacts;
use coupon_rules::language;
use coupon_rules::place::{Place, PlaceParts};
use coupon_rules::ruleset::{Dimension, Refusal, Verdict};
use coupon_shared::decision::{Candidate, Reason};
use coupon_shared::snapshot::catalog::CatalogFile;
use serde::Serialize;

use super::{SimulatedVisit, text};
use crate::catalog::click_error_code;

/// Facts about the visitor as the daemon would have them.
pub(super) struct SimulatedVisitor<'a> {
    databases: &'a Databases,
    address: IpAddr,
    agent: Agent,
    language: &'a [u8],
}

impl<'a> SimulatedVisitor<'a> {
    pub(super) fn new(visit: &'a SimulatedVisit, databases: &'a Databases) -> SimulatedVisitor<'a> {
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
            language: or_header(&visit.language, "Accept-Language").as_bytes(),
        }
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
    /// The ruleset, as clicks name it.
    pub network_ruleset_id: u32,
    /// The part of the ruleset, such as `place` or `language`.
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
    let asked = rows.iter().filter(|row| row.reason == Reason::Redirected || row.rule != 0);
    let offers = asked.filter_map(|row| row.offer);
    let rulesets = offers.flat_map(|offer| {
        catalog.rules_of(offer).map(move |ruleset| (offer.id.to_native(), ruleset))
    });
    let rules = rulesets.flat_map(|(offer_id, rule)| {
        rule.ruleset.dimensions().iter().map(move |dimension| {
            let verdict = rule.ruleset.verdict(*dimension, visitor, catalog, now);
            let because = text::because(*dimension, verdict, facts, visitor);
            explain_rule(offer_id, rule.id, *dimension, verdict, because)
        })
    });
    rules.collect()
}

fn explain_rule(
    network_offer_id: u32,
    network_ruleset_id: u32,
    dimension: Dimension,
    verdict: Verdict,
    because: String,
) -> ExplainedRule {
    let reason = verdict.refusal().map(|refusal: Refusal| Reason::from(refusal));
    ExplainedRule {
        network_offer_id,
        network_ruleset_id,
        kind: text::dimension(dimension),
        verdict: if reason.is_some() { "refused" } else { "passed" },
        is_unknown: matches!(verdict, Verdict::PassedUnknown | Verdict::RefusedUnknown(_)),
        error_code: reason.map_or(0, click_error_code),
        error_name: reason.map_or("", Reason::as_str),
        because,
    }
}
