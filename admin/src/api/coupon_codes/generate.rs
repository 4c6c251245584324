//! `POST /v1/networks/couponcodes/generate`: codes from a pattern.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Json, Wait};
use crate::catalog::{Generation, LinkState, TrackingLink, tracking_link};
use crate::disk::Disk;
use crate::edit::coupon_codes as edit;
use crate::store::WriteTx;
use crate::store::coupon_codes::Generated;

/// The generated codes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct GenerationAnswer {
    coupon_codes: Vec<GeneratedCode>,
}

/// The fields of a generated code that differ between codes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct GeneratedCode {
    network_coupon_code_id: u32,
    coupon_code: String,
    tracking_link: String,
    tracking_link_unavailable_reason: LinkState,
}

/// Generates codes from a pattern.
#[utoipa::path(post, path = "/couponcodes/generate", params(Wait), request_body = Generation, responses((status = 200, body = GenerationAnswer)))]
pub(super) async fn generate(
    State(edits): State<Edits>,
    State(disk): State<Disk>,
    wait: Wait,
    Json(wanted): Json<Generation>,
) -> Result<Response, ApiError> {
    disk.ensure_free(0)?;
    let create = move |tx: &WriteTx<'_>| edit::generate(tx, wanted);
    edits.create(wait, create, GenerationAnswer::from).await
}

impl Answer for GenerationAnswer {}

impl From<Generated> for GenerationAnswer {
    fn from(made: Generated) -> GenerationAnswer {
        let codes = made.rows.iter().map(|(id, code)| {
            // No other offer has a new code.
            let link = tracking_link(TrackingLink {
                base_url: made.base_url.as_deref(),
                code,
                offer_id: made.offer_id,
                is_on_several_offers: false,
                state: made.link_state,
            });
            GeneratedCode {
                network_coupon_code_id: *id,
                coupon_code: code.clone(),
                tracking_link: link,
                tracking_link_unavailable_reason: made.link_state,
            }
        });
        GenerationAnswer { coupon_codes: codes.collect() }
    }
}
