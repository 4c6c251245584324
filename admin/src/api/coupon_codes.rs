//! `/v1/networks/couponcodes`.

mod generate;
pub(super) mod list_spec;
mod status;

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf, Object, Resource, label};
use super::crud::{self, CrudResource, EditOptions, NoRules, Restorable};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Json, ListSpec, ReissueOptions, Relationships, Wait};
use super::schema::flattened;
use super::state::{AppState, Network};
use crate::catalog::{self, CouponCodeEdit, LinkState, Role, TrackingLink, tracking_link};
use crate::edit::{Change, EditError, Saved, coupon_codes as edit};
use crate::json::Each;
use crate::store::coupon_codes::{self, CodeRow};
use crate::store::rows::{Listed, Query, Stored};
use crate::store::{ReadTx, StoreError, WriteTx, affiliates, offers};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<CouponCodes>("/couponcodes", "Lists coupon codes."))
        .routes(crud::create::<CouponCodes>("/couponcodes", "Creates a coupon code."))
        .routes(routes!(create_bulk))
        .routes(routes!(status::set_status))
        .routes(routes!(generate::preview, generate::generate))
        .routes(crud::read::<CouponCodes>("/couponcodes/{id}", "One coupon code."))
        .routes(crud::replace::<CouponCodes>(
            "/couponcodes/{id}",
            "Replaces all of a coupon code.",
        ))
        .routes(crud::patch::<CouponCodes>("/couponcodes/{id}", "Changes what the body names."))
        .routes(crud::delete::<CouponCodes>(
            "/couponcodes/{id}",
            "Deletes a coupon code; it is kept, and its id is never used again.",
        ))
        .routes(crud::restore::<CouponCodes>(
            "/couponcodes/{id}/restore",
            "Restores a deleted coupon code as it was, if it can stand beside the codes there are now.",
        ))
}

/// Searches, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    let table = crud::table::<CouponCodes>(
        "/couponcodestable",
        "Lists coupon codes by a body with searches and filters.",
    );
    OpenApiRouter::new().routes(table)
}

/// A coupon code with its tracking link.
#[derive(Serialize)]
pub(super) struct LinkedCode {
    #[serde(flatten)]
    code: CouponCodeEdit,
    tracking_link: String,
    tracking_link_unavailable_reason: LinkState,
}

flattened!(LinkedCode as "CouponCodeAnswer" = CouponCodeEdit; "tracking_link": String, "tracking_link_unavailable_reason": LinkState);
type CodeList = ListOf<Object<LinkedCode>>;

impl Resource for LinkedCode {
    const SCHEMA: &'static str = "CouponCode";
    const PLURAL: &'static str = "coupon_codes";
    const ID_FIELD: &'static str = "network_coupon_code_id";
}

struct CouponCodes;

impl CrudResource for CouponCodes {
    type Edit = CouponCodeEdit;
    type Row = CodeRow;
    type Created = CodeRow;
    type Answer = Object<LinkedCode>;
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const NAME: &'static str = "coupon code";
    const LIST: ListSpec = list_spec::LIST;

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<CodeRow>, StoreError> {
        coupon_codes::list(connection, query)
    }

    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<CodeRow>, StoreError> {
        coupon_codes::find(connection, id)
    }

    fn create(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        edit: CouponCodeEdit,
        _options: Wait,
    ) -> Result<Saved<CodeRow>, EditError> {
        edit::create(tx, edit)
    }

    fn change(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        _role: Role,
        id: u32,
        change: Change,
        _options: Wait,
    ) -> Result<Saved<CodeRow>, EditError> {
        edit::change(tx, id, change)
    }

    fn delete(tx: &WriteTx<'_>, id: u32, _options: Wait) -> Result<Saved<()>, EditError> {
        edit::remove(tx, id)
    }

    fn render_rows(
        connection: &ReadTx<'_>,
        network: Network,
        _role: Role,
        rows: Vec<CodeRow>,
        relationships: &Relationships,
    ) -> Result<Vec<Object<LinkedCode>>, StoreError> {
        let mut objects: Vec<_> = rows.into_iter().map(|row| render(network, row)).collect();
        add_relationships(connection, network, &mut objects, relationships)?;
        Ok(objects)
    }

    fn render_changed(network: Network, _role: Role, row: CodeRow) -> Object<LinkedCode> {
        render(network, row)
    }

    fn render_created(network: Network, _role: Role, row: CodeRow) -> Object<LinkedCode> {
        render(network, row)
    }
}

impl Restorable for CouponCodes {
    type RestoreOptions = ReissueOptions;

    fn restore(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        id: u32,
        options: ReissueOptions,
    ) -> Result<Saved<CodeRow>, EditError> {
        edit::restore(tx, id, options.allow_reissue)
    }
}

impl EditOptions for ReissueOptions {
    fn wait(&self) -> Wait {
        self.wait
    }
}

/// Creates all codes of an array, or no code.
#[utoipa::path(post, path = "/couponcodes/bulk", params(Wait), request_body = Vec<CouponCodeEdit>, responses((status = 200, body = CodeList)))]
async fn create_bulk(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Json(array): Json<Each<CouponCodeEdit>>,
) -> Result<Response, ApiError> {
    let create = move |tx: &WriteTx<'_>| edit::create_bulk(tx, array);
    let render_list = move |rows: Vec<CodeRow>| {
        let total_count = rows.len() as u64;
        List::new(
            "coupon_codes",
            rows.into_iter().map(|row| render(network, row)).collect(),
            None,
            total_count,
        )
    };
    edits.create(wait, create, render_list).await
}

fn render(network: Network, row: CodeRow) -> Object<LinkedCode> {
    let Stored { id, object: mut code, times } = row.stored;
    let link = tracking_link(TrackingLink {
        base_url: row.base_url.as_deref(),
        code: &code.coupon_code,
        offer_id: code.network_offer_id,
        is_on_several_offers: row.is_on_several_offers,
        state: row.link_state,
    });
    code.description =
        catalog::sanitized_description(&code.description, code.is_description_plain_text)
            .into_owned();
    let object =
        LinkedCode { code, tracking_link: link, tracking_link_unavailable_reason: row.link_state };
    Object::new(network, Stored { id, object, times })
}

fn add_relationships(
    connection: &ReadTx<'_>,
    network: Network,
    codes: &mut [Object<LinkedCode>],
    wanted: &Relationships,
) -> Result<(), StoreError> {
    let code_of = |object: &Object<LinkedCode>| {
        let code = &object.content().code;
        (code.network_offer_id, code.network_affiliate_id)
    };
    let (offer_ids, partner_ids): (Vec<u32>, Vec<Option<u32>>) = codes.iter().map(code_of).unzip();
    let known_partner_ids: Vec<u32> = partner_ids.iter().flatten().copied().collect();
    let offers =
        if wanted.has("offer") { offers::labels(connection, &offer_ids)? } else { HashMap::new() };
    let partners = if wanted.has("affiliate") {
        affiliates::labels(connection, &known_partner_ids)?
    } else {
        HashMap::new()
    };
    for ((object, offer_id), partner_id) in codes.iter_mut().zip(offer_ids).zip(partner_ids) {
        if let Some(found) = offers.get(&offer_id) {
            let offer = label("network_offer_id", "offer_status", network, offer_id, found);
            object.relate("offer", offer);
        }
        if let Some((id, found)) = partner_id.and_then(|id| Some((id, partners.get(&id)?))) {
            let partner = label("network_affiliate_id", "account_status", network, id, found);
            object.relate("affiliate", partner);
        }
    }
    Ok(())
}
