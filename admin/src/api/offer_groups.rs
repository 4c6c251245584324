//! `/v1/networks/offergroups`: offers of one advertiser with common caps.

use utoipa_axum::router::OpenApiRouter;

use super::answer::{Object, Resource};
use super::cap_relationships::{REMAINING, USED, relate_caps};
use super::crud::{self, CatalogResource, NoRules};
use super::request::{ListSpec, Relationships, Wait};
use super::state::{AppState, Network};
use crate::catalog::OfferGroup;
use crate::store::caps::CapOwner;
use crate::store::rows::{self, Entity};
use crate::store::{ReadTx, StoreError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<OfferGroup>("/offergroups", "Lists offer groups."))
        .routes(crud::create::<OfferGroup>(
            "/offergroups",
            "Creates an offer group, whose caps count the clicks and conversions of all its offers.\n\
             \n\
             An offer enters a group by its field `network_offer_group_id`. The caps of a group are hard.",
        ))
        .routes(crud::read::<OfferGroup>("/offergroups/{id}", "One offer group."))
        .routes(crud::replace::<OfferGroup>(
            "/offergroups/{id}",
            "Replaces all of an offer group.",
        ))
        .routes(crud::patch::<OfferGroup>("/offergroups/{id}", "Changes what the body names."))
        .routes(crud::delete::<OfferGroup>(
            "/offergroups/{id}",
            "Deletes an offer group without offers.",
        ))
        .routes(crud::restore::<OfferGroup>(
            "/offergroups/{id}/restore",
            "Restores a deleted offer group as it was.",
        ))
}

impl Resource for OfferGroup {
    const SCHEMA: &'static str = "OfferGroup";
    const PLURAL: &'static str = "offer_groups";
    const ID_FIELD: &'static str = "network_offer_group_id";
}

impl CatalogResource for OfferGroup {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: OfferGroup::FILTERS,
        relationships: &[REMAINING, USED],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn add_relationships(
        connection: &ReadTx<'_>,
        _network: Network,
        groups: &mut [Object<OfferGroup>],
        wanted: &Relationships,
    ) -> Result<(), StoreError> {
        relate_caps(connection, groups, wanted, CapOwner::Group)
    }
}
