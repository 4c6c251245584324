//! `/v1/networks/offers/{id}/forwardingrules`: visits that an offer hands on to another offer.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, Object, Resource, done};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Fields, Id, Json, MissingData, RuleOptions, Wait};
use super::ruleset_data::{MissingFacts, RulesetData};
use super::schema::{Patched, parameter};
use super::state::{AppState, Network};
use crate::catalog::ForwardingRule;
use crate::edit::forwarding_rules::{self, RemarkedRule, RulesOfOffer};
use crate::edit::{Change, EditError, Saved};
use crate::store::{Store, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(reorder))
        .routes(routes!(read, replace, patch, delete))
}

impl Resource for ForwardingRule {
    const SCHEMA: &'static str = "ForwardingRule";
    const PLURAL: &'static str = "forwarding_rules";
    const ID_FIELD: &'static str = "network_forwarding_rule_id";
}

type Rule = Object<ForwardingRule>;
type Patch = Patched<ForwardingRule>;

/// The rules of an offer.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ForwardingRuleList)]
struct RuleList {
    /// Rules that name partners come before rules for all; otherwise the first that fits forwards.
    forwarding_rules: Vec<Rule>,
    /// The offer's.
    #[serde(skip)]
    revision: u64,
}

impl Answer for RuleList {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// The order of an offer's rules.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ForwardingOrder {
    /// Each rule of the offer once.
    ids: Vec<u32>,
}

fn rule(network: Network, RemarkedRule { stored, remarks }: RemarkedRule) -> Rule {
    Object::new(network, stored).with_warnings(remarks)
}

fn rule_list(network: Network, RulesOfOffer { rules, revision }: RulesOfOffer) -> RuleList {
    let rules = rules.into_iter().map(|remarked| rule(network, remarked));
    RuleList { forwarding_rules: rules.collect(), revision }
}

/// The ids of an offer and of one of its rules. A path with other segments than numbers is 404.
struct RulePath {
    offer: u32,
    rule: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for RulePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<RulePath, ApiError> {
        let nothing = || ApiError::not_found("there is no such forwarding rule");
        let path = Path::<(u32, u32)>::from_request_parts(parts, state).await;
        let Path((offer, rule)) = path.map_err(|_not_numbers| nothing())?;
        Ok(RulePath { offer, rule })
    }
}

impl IntoParams for RulePath {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The rule's id";
        let rule = parameter("rule_id", ParameterIn::Path, about, u32::schema());
        [Id::into_params(place), vec![rule]].concat()
    }
}

/// Refuses a ruleset that no database answers, unless it was saved before or the caller allows it.
fn check_data(
    data: &RulesetData,
    missing_data: MissingData,
    before: Option<&ForwardingRule>,
    now: &ForwardingRule,
) -> Result<(), EditError> {
    let is_known = before.is_some_and(|before| before.ruleset == now.ruleset);
    if is_known || missing_data == MissingData::Allowed {
        return Ok(());
    }
    let mut missing = MissingFacts::default();
    data.check(&mut missing, "ruleset", &now.ruleset);
    missing.finish()
}

/// Lists the forwarding rules of an offer in their order.
#[utoipa::path(get, path = "/offers/{id}/forwardingrules", params(Id), responses((status = 200, body = RuleList)))]
async fn list(
    State(store): State<Store>,
    State(network): State<Network>,
    Id(offer): Id,
) -> Result<Response, ApiError> {
    let rules = store.read(move |connection| forwarding_rules::list(connection, offer)).await?;
    Ok(rule_list(network, rules).into_answer())
}

/// Creates a forwarding rule behind the others of the offer.
///
/// A visit with a code of the offer that the rule fits goes on to the destination, if that offer
/// is active, live and open to the partner. The click counts for the destination.
#[utoipa::path(post, path = "/offers/{id}/forwardingrules", params(Id, RuleOptions), request_body = ForwardingRule, responses((status = 200, body = Rule)))]
async fn create(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(data): State<RulesetData>,
    RuleOptions { wait, missing_data }: RuleOptions,
    Id(offer): Id,
    Json(wanted): Json<ForwardingRule>,
) -> Result<Response, ApiError> {
    let work = move |tx: &WriteTx<'_>| {
        let saved = forwarding_rules::create(tx, offer, wanted)?;
        check_data(&data, missing_data, None, &saved.now.stored.object)?;
        Ok(saved)
    };
    edits.create(wait, work, move |created| rule(network, created)).await
}

/// One forwarding rule.
#[utoipa::path(get, path = "/offers/{id}/forwardingrules/{rule_id}", params(RulePath), responses((status = 200, body = Rule)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
    RulePath { offer, rule: id }: RulePath,
) -> Result<Response, ApiError> {
    let found = store.read(move |connection| forwarding_rules::find(connection, offer, id)).await?;
    Ok(rule(network, found).into_answer())
}

/// Replaces all of a forwarding rule.
#[utoipa::path(put, path = "/offers/{id}/forwardingrules/{rule_id}", params(RulePath, RuleOptions), request_body = ForwardingRule, responses((status = 200, body = Rule)))]
async fn replace(
    edits: State<Edits>,
    network: State<Network>,
    data: State<RulesetData>,
    options: RuleOptions,
    path: RulePath,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(edits, network, data, options, path, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/offers/{id}/forwardingrules/{rule_id}", params(RulePath, RuleOptions), request_body = Patch, responses((status = 200, body = Rule)))]
async fn patch(
    edits: State<Edits>,
    network: State<Network>,
    data: State<RulesetData>,
    options: RuleOptions,
    path: RulePath,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(edits, network, data, options, path, Change::Patch(fields)).await
}

async fn change(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(data): State<RulesetData>,
    RuleOptions { wait, missing_data }: RuleOptions,
    RulePath { offer, rule: id }: RulePath,
    change: Change,
) -> Result<Response, ApiError> {
    let work = move |tx: &WriteTx<'_>| {
        let before = forwarding_rules::find(tx, offer, id)?.stored.object;
        let saved = forwarding_rules::change(tx, offer, id, change)?;
        check_data(&data, missing_data, Some(&before), &saved.now.stored.object)?;
        Ok::<Saved<_>, EditError>(saved)
    };
    edits.change(wait, work, |changed| rule(network, changed)).await
}

/// Deletes a forwarding rule. Its id is never used again.
#[utoipa::path(delete, path = "/offers/{id}/forwardingrules/{rule_id}", params(RulePath, Wait), responses((status = 200, body = Done)))]
async fn delete(
    State(edits): State<Edits>,
    wait: Wait,
    RulePath { offer, rule }: RulePath,
) -> Result<Response, ApiError> {
    edits.change(wait, move |tx| forwarding_rules::remove(tx, offer, rule), done).await
}

/// Orders the forwarding rules of an offer. `If-Match` takes the ETag of the list.
#[utoipa::path(put, path = "/offers/{id}/forwardingrules/order", params(Id, Wait), request_body = ForwardingOrder, responses((status = 200, body = RuleList)))]
async fn reorder(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(offer): Id,
    Json(ForwardingOrder { ids }): Json<ForwardingOrder>,
) -> Result<Response, ApiError> {
    let work = move |tx: &WriteTx<'_>| forwarding_rules::reorder(tx, offer, &ids);
    edits.change(wait, work, |rules| rule_list(network, rules)).await
}
