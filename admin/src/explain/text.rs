//! Describes a decision in sentences.

use coupon_rules::control::ControlKind;
use coupon_rules::facts::VisitorFacts;
use coupon_rules::ruleset::{Dimension, Verdict};
use coupon_rules::text_match::Variable;
use coupon_shared::civil_day::{Day, UNIX_DAYS_OF_DAY_0};
use coupon_shared::decision::{Candidate, DecidedClick, Reason};
use coupon_shared::visit_state::CapWindow;
use jiff::ToSpan;
use jiff::civil::date;

use super::earlier_visits::ReachedWindow;
use super::explanation::{ExplainedHop, Explanation};
use super::visitor::{ExplainedFacts, ExplainedRule};

/// Formats a day as in the API.
pub(super) fn day(day: Day) -> String {
    let days = UNIX_DAYS_OF_DAY_0 + i64::from(day.0);
    let epoch = date(1970, 1, 1);
    epoch.checked_add(days.days()).map(|day| day.to_string()).unwrap_or_default()
}

pub(super) fn rows(count: usize) -> String {
    match count {
        1 => "the code stands on one offer".into(),
        several => format!("the code stands on {several} offers"),
    }
}

/// Describes the obstacle of a row.
pub(super) fn reason(row: &Candidate<'_>) -> String {
    let (offer, partner) = (row.reached.offer_id, row.row.partner_id);
    match row.reason {
        Reason::Redirected => "nothing stands in its way".into(),
        Reason::Paused => "the coupon code is paused".into(),
        Reason::Unassigned => "the coupon code has no partner".into(),
        Reason::NotStarted => format!("it starts on {}", day(row.row.first_day)),
        Reason::Expired => format!("its last day was {}", day(row.row.last_day)),
        Reason::OfferNotActive => format!("offer {offer} is not active"),
        Reason::OfferEnded => {
            let last = row.reached.offer.map(|offer| day(Day(offer.last_day.to_native())));
            format!("the last day of offer {offer} was {}", last.unwrap_or_default())
        }
        Reason::PartnerNotActive => format!("partner {partner} is not active"),
        Reason::NotRunnable => format!("partner {partner} may not run offer {offer}"),
        Reason::NotOnOffer => "another offer was asked for".into(),
        Reason::Incomplete => {
            format!("the published index lacks offer {offer} or partner {partner}")
        }
        Reason::Platform
        | Reason::Device
        | Reason::Browser
        | Reason::OsVersion
        | Reason::Language
        | Reason::Country
        | Reason::Region
        | Reason::City
        | Reason::Dma
        | Reason::AddressNotIncluded
        | Reason::AddressExcluded
        | Reason::Isp
        | Reason::Hours
        | Reason::Connection
        | Reason::Carrier
        | Reason::Proxy
        | Reason::Brand
        | Reason::PostalCode
        | Reason::TrafficControl
        | Reason::TrackingDomain
        | Reason::SmartSwitch
        | Reason::Blocked
        | Reason::FilteredSub1
        | Reason::FilteredSub2
        | Reason::FilteredSub3
        | Reason::FilteredSub4
        | Reason::FilteredSub5
        | Reason::FilteredSourceId
        | Reason::Cap
        | Reason::GroupCap
        | Reason::AlreadyConverted
        | Reason::Duplicate => {
            format!("offer {offer} is not for this visitor: {}", refused_by(row.reason))
        }
    }
}

/// The rule that refused, in words.
fn refused_by(reason: Reason) -> &'static str {
    match reason {
        Reason::Platform => "its rule on operating systems",
        Reason::Device => "its rule on devices",
        Reason::Browser => "its rule on browsers",
        Reason::OsVersion => "its rule on versions",
        Reason::Language => "its rule on languages",
        Reason::Country => "its rule on countries",
        Reason::Region => "its rule on regions",
        Reason::City => "its rule on cities",
        Reason::Dma => "its rule on market areas",
        Reason::PostalCode => "its rule on postal codes",
        Reason::AddressNotIncluded => "the address is in none of its ranges",
        Reason::AddressExcluded => "the address is in a range that it or the network refuses",
        Reason::Isp => "its rule on providers",
        Reason::Hours => "its hours",
        Reason::Connection => "its rule on connections",
        Reason::Carrier => "its rule on mobile networks",
        Reason::Proxy => "its rule on networks that hide visitors",
        Reason::Brand => "its rule on brands",
        Reason::TrafficControl | Reason::TrackingDomain => "a traffic control",
        Reason::Cap => "a cap that is reached",
        Reason::GroupCap => "a cap of its group that is reached",
        Reason::AlreadyConverted => "its block of visitors who have converted",
        Reason::Duplicate => "its filter of repeated visits",
        Reason::SmartSwitch => "SmartSwitch blocks a value of the visit",
        Reason::Blocked => "a value of the visit is blocked",
        Reason::FilteredSub1
        | Reason::FilteredSub2
        | Reason::FilteredSub3
        | Reason::FilteredSub4
        | Reason::FilteredSub5
        | Reason::FilteredSourceId => "one of its traffic filters",
        _ => "",
    }
}

/// Name of a part of a ruleset in answers.
pub(super) fn dimension(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Place => "place",
        Dimension::Platform => "platform",
        Dimension::Device => "device_type",
        Dimension::Browser => "browser",
        Dimension::OsVersion => "os_version",
        Dimension::Language => "language",
        Dimension::Brand => "brand",
        Dimension::Address => "ip",
        Dimension::Isp => "isp",
        Dimension::Connection => "connection_type",
        Dimension::Carrier => "mobile_carrier",
        Dimension::Hours => "day_parting",
        Dimension::Proxy => "proxy",
    }
}

/// A language tag as text.
pub(super) fn tag(tag: Option<&[u8]>) -> String {
    tag.map(|tag| String::from_utf8_lossy(tag).into_owned()).unwrap_or_default()
}

pub(super) fn rules(rules: &[ExplainedRule]) -> String {
    let refused = rules.iter().filter(|rule| rule.error_code != 0).count();
    match (rules.len(), refused) {
        (0, _) => "no rule of an offer was asked".into(),
        (1, 0) => "one rule was asked, and lets the visitor pass".into(),
        (all, 0) => format!("{all} rules were asked, and all let the visitor pass"),
        (1, _) => "one rule was asked, and refuses the visitor".into(),
        (all, 1) => format!("{all} rules were asked, and one of them refuses the visitor"),
        (all, refused) => {
            format!("{all} rules were asked, and {refused} of them refuse the visitor")
        }
    }
}

/// The visitor's value that a rule was asked about.
pub(super) fn because(
    dimension: Dimension,
    verdict: Verdict,
    facts: &ExplainedFacts,
    visitor: &impl VisitorFacts,
) -> String {
    let place = [&facts.city, &facts.postal_code, &facts.region, &facts.country_code];
    let place: Vec<&str> =
        place.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let (name, value) = match dimension {
        Dimension::Place => ("place", place.join(", ")),
        Dimension::Platform => ("operating system", facts.platform.clone()),
        Dimension::Device => ("device", facts.device_type.clone()),
        Dimension::Browser => ("browser", facts.browser.clone()),
        Dimension::OsVersion => ("version", format!("{} {}", facts.platform, facts.os_version)),
        Dimension::Language => ("language", facts.language.clone()),
        Dimension::Brand => ("brand", facts.brand.clone()),
        Dimension::Address => ("address", visitor.address().to_string()),
        Dimension::Isp => ("provider", format!("{} AS{}", facts.isp, facts.asn)),
        Dimension::Connection => ("connection", facts.connection_type.clone()),
        Dimension::Carrier => ("mobile network", facts.isp.clone()),
        Dimension::Hours => ("time zone", facts.timezone.clone()),
        Dimension::Proxy => ("kind of network", facts.proxy_kinds.join(", ")),
    };
    let is_unknown = matches!(verdict, Verdict::PassedUnknown | Verdict::RefusedUnknown(_));
    match (is_unknown, value.trim()) {
        (true, _) => format!("the visitor's {name} is unknown"),
        (false, "") => format!("the visitor's {name} is none of those"),
        (false, value) => format!("the visitor's {name} is {value}"),
    }
}

/// The limit of a cap that is reached.
pub(super) fn cap(reached: Option<&ReachedWindow>) -> String {
    let Some(ReachedWindow { window, clicks }) = reached else {
        return "no limit is reached, as far as coupon-admin has counted".into();
    };
    let period = match window {
        CapWindow::Daily => "today",
        CapWindow::Weekly => "this week",
        CapWindow::Monthly => "this month",
        CapWindow::Global => "in all",
    };
    match clicks {
        Some((count, limit)) => format!("{count} of {limit} clicks are used {period}"),
        None => format!("conversions, payout or revenue are at their limit {period}"),
    }
}

/// The state of a visitor whom a block of converted visitors asks about.
pub(super) fn converted(has_converted: bool) -> &'static str {
    match has_converted {
        true => "a conversion came from a click of this visitor on the offer",
        false => "no conversion of this visitor on the offer is known",
    }
}

/// Name of a kind of controls in answers.
pub(super) fn control(kind: ControlKind) -> &'static str {
    match kind {
        ControlKind::TrafficControl => "traffic_control",
        ControlKind::SmartSwitch => "smart_switch",
        ControlKind::ByHand => "blocked",
        ControlKind::OfferFilter => "traffic_filter",
    }
}

/// The visit's text that a control compares.
pub(super) fn variable(
    variable: Variable,
    visitor: &impl VisitorFacts,
    facts: &ExplainedFacts,
) -> String {
    let asn = if facts.asn == 0 { String::new() } else { facts.asn.to_string() };
    let value = match variable {
        Variable::CountryName => facts.country_code.clone(),
        Variable::Asn => asn,
        Variable::Language => facts.language.clone(),
        _ => String::from_utf8_lossy(visitor.request_text(variable)).into_owned(),
    };
    match value.as_str() {
        "" => format!("{} is absent", variable.as_str()),
        value => format!("{} is {value}", variable.as_str()),
    }
}

/// Describes the offers on the way.
pub(super) fn path(path: &[ExplainedHop]) -> String {
    let hops = path.iter().map(|hop| match (hop.via, hop.network_offer_id) {
        ("forwarding_rule", offer) => format!("a forwarding rule leads to offer {offer}"),
        ("fail_traffic", offer) => format!("fail traffic leads to offer {offer}"),
        ("global_fail_traffic", _) => "the network's URL for failed visits takes it".into(),
        (_, offer) => format!("the visit begins at offer {offer}"),
    });
    hops.collect::<Vec<String>>().join("; ")
}

/// Describes why this row was chosen.
pub(super) fn choice(
    rows: &[Candidate<'_>],
    click: &DecidedClick,
    offer_id: Option<u32>,
) -> String {
    let id = click.row.code_id;
    let first = rows.iter().find(|row| row.reason != Reason::NotOnOffer);
    let Some(first) = first else {
        return format!(
            "the code is not on offer {}, and an offer asked for is never replaced; \
             the click is kept with coupon code {id}",
            offer_id.unwrap_or_default()
        );
    };
    if first.row.code_id != id {
        return format!(
            "coupon code {} comes first and cannot redirect; coupon code {id} is the next of \
             advertiser {} that can",
            first.row.code_id, click.advertiser_id
        );
    }
    match (offer_id, click.reason) {
        (Some(offer), _) => format!("coupon code {id} is on offer {offer}, which was asked for"),
        (None, Reason::Redirected) => {
            format!("coupon code {id} has the lowest id and can redirect")
        }
        (None, _) => format!(
            "coupon code {id} has the lowest id and cannot redirect, and no other of advertiser {} can",
            click.advertiser_id
        ),
    }
}

pub(super) fn answer(explanation: &Explanation) -> String {
    match explanation.answer {
        "offer" => format!("302 to the offer: {}", explanation.location),
        "fail_traffic_url" => {
            format!("302 to the network's URL for failed visits: {}", explanation.location)
        }
        "fallback" => {
            let of = explanation.fallbacks.iter().find(|fallback| !fallback.url.is_empty());
            let of = of.map_or("", |fallback| fallback.of).replace('_', " ");
            format!("302 to the fallback URL of the {of}: {}", explanation.location)
        }
        _ => "the 404 page: offer, tracking domain and network have no fallback URL".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_in_the_api() {
        assert_eq!(day(Day(0)), "2000-01-01");
        assert_eq!(day(Day(9662)), "2026-06-15");
        assert_eq!(day(Day::LAST), "2179-06-06");
    }
}
