//! `POST /v1/networks/couponcodes/generate`: codes made of a pattern.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::request::{Json, Wait};
use super::super::{AppState, live};
use crate::catalog::{Generation, LinkState, TrackingLink, tracking_link};
use crate::edit::coupon_codes as edit;
use crate::store::WriteTx;
use crate::store::coupon_codes::Generated;

/// What was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::api) struct GenerationAnswer {
    coupon_codes: Vec<GeneratedCode>,
}

/// A generated code: what differs from the others.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::api) struct GeneratedCode {
    network_coupon_code_id: u32,
    coupon_code: String,
    tracking_link: String,
    tracking_link_unavailable_reason: LinkState,
}

/// Makes codes of a pattern.
#[utoipa::path(post, path = "/couponcodes/generate", params(Wait), request_body = Generation, responses((status = 200, body = GenerationAnswer)))]
pub(super) async fn generate(
    State(state): State<AppState>,
    wait: Wait,
    Json(wanted): Json<Generation>,
) -> Result<Response, ApiError> {
    state.disk.ensure_free(0)?;
    let create = move |tx: &WriteTx<'_>| edit::generate(tx, wanted);
    live::create(&state, wait, create, GenerationAnswer::from).await
}

impl Answer for GenerationAnswer {}

impl From<Generated> for GenerationAnswer {
    fn from(made: Generated) -> GenerationAnswer {
        let codes = made.rows.iter().map(|(id, code)| {
            // A new code stands on no other offer.
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
