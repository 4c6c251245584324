//! Fail traffic: the offers for visitors whom another offer refuses, in Everflow's shape.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::ruleset::{self, Ruleset};
use super::words::words;
use super::{id, nullable};

/// Most redirects of an offer.
pub(super) const MAX_REDIRECTS: usize = 100;
const MAX_WEIGHT: u32 = 1_000_000;

words! {
    /// Who chooses where refused visitors go.
    RedirectRoutingMethod {
        /// The redirects of the offer.
        Internal = "internal" | "null_value",
    }
}

words! {
    /// The choice among the redirects that take a visit.
    RedirectRoutingType {
        /// The first of the list.
        Priority = "priority" | "null_value",
        /// By weight; a visitor always gets the same one.
        Weight = "weight",
        /// The first of the list, else the network's global URL.
        PriorityGlobal = "priority_global",
        /// By weight, else the network's global URL.
        WeightGlobal = "weight_global",
    }
}

words! {
    /// A group of reasons for which an offer refuses visitors.
    FailReason {
        /// The offer is over.
        OfferExpired = "offer_expired",
        /// A cap is reached.
        Caps = "caps",
        /// The visitor is elsewhere.
        Geotargeting = "geotargeting",
        /// Any other reason.
        Other = "other",
    }
}

impl RedirectRoutingType {
    /// Whether the weights choose.
    #[must_use]
    pub fn is_by_weight(self) -> bool {
        matches!(self, RedirectRoutingType::Weight | RedirectRoutingType::WeightGlobal)
    }

    /// Whether visits without a redirect go to the network's global URL.
    #[must_use]
    pub fn ends_at_global_url(self) -> bool {
        matches!(self, RedirectRoutingType::PriorityGlobal | RedirectRoutingType::WeightGlobal)
    }
}

/// An offer for refused visitors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InternalRedirect {
    /// The id of an existing redirect in a replacement; a redirect without an id is new.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub network_offer_redirect_id: Option<u32>,
    /// The offer that the visitors get.
    #[serde(default)]
    #[schema(required = true)]
    pub redirect_network_offer_id: u32,
    /// A URL of that offer; 0: the offer's destination.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub redirect_network_offer_url_id: Option<u32>,
    /// Always 0: groups of offers take no visitors.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub redirect_network_offer_group_id: Option<u32>,
    /// The weight, for the routing types by weight.
    #[serde(default)]
    #[schema(maximum = 1000000)]
    pub routing_value: u32,
    /// The visitors that the redirect is for; `{}`: everybody.
    #[serde(default, deserialize_with = "ruleset::null_is_everybody")]
    #[schema(value_type = Option<Ruleset>, required = false)]
    pub ruleset: Ruleset,
    /// The reasons that the redirect is for; empty: all.
    #[serde(default, deserialize_with = "nullable::null_is_default")]
    #[schema(value_type = Option<Vec<FailReason>>, required = false)]
    pub fail_reasons: Vec<FailReason>,
}

impl InternalRedirect {
    fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        if self.redirect_network_offer_group_id.is_some() {
            let error = "groups of offers take no visitors here; name an offer instead";
            problems.add("redirect_network_offer_group_id", error);
        } else if self.redirect_network_offer_id == 0 {
            problems.add("redirect_network_offer_id", "is missing; name the offer");
        }
        if self.routing_value > MAX_WEIGHT {
            problems.add("routing_value", format!("is more than {MAX_WEIGHT}"));
        }
        let mut seen = HashSet::new();
        for (index, reason) in self.fail_reasons.iter().enumerate() {
            if !seen.insert(reason.as_str()) {
                problems.add(format!("fail_reasons[{index}]"), "stands twice in the list");
            }
        }
        problems.add_nested("ruleset", self.ruleset.check().err().unwrap_or_default());
        problems.finish()
    }
}

/// Checks the redirects of an offer with one another.
pub(super) fn check_redirects(
    problems: &mut Problems,
    routing: RedirectRoutingType,
    redirects: &[InternalRedirect],
) {
    const LIST: &str = "internal_redirects";
    if redirects.len() > MAX_REDIRECTS {
        let error = format!("has {} redirects; at most {MAX_REDIRECTS} fit", redirects.len());
        return problems.add(LIST, error);
    }
    let has_weight = redirects.iter().any(|redirect| redirect.routing_value > 0);
    if routing.is_by_weight() && !redirects.is_empty() && !has_weight {
        problems.add(LIST, "has only redirects with the routing_value 0, so none would be chosen");
    }
    let mut seen = HashSet::new();
    for (index, redirect) in redirects.iter().enumerate() {
        let path = format!("{LIST}[{index}]");
        if redirect.network_offer_redirect_id.is_some_and(|id| !seen.insert(id)) {
            let field = format!("{path}.network_offer_redirect_id");
            problems.add(field, "stands on two redirects");
        }
        problems.add_nested(&path, redirect.check().err().unwrap_or_default());
    }
}
