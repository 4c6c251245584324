//! `/v1/networks/couponcodes/generate`: codes from a pattern, and how many there are.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema};

use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Json, Wait, parameters, unknown};
use crate::api::schema::parameter;
use crate::catalog::{Generation, LinkState, Pattern, TrackingLink, tracking_link};
use crate::disk::Disk;
use crate::edit::coupon_codes::{self as edit, PatternPreview};
use crate::store::coupon_codes::Generated;
use crate::store::{Store, WriteTx};

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

/// `pattern` and `alphabet`.
pub(super) struct PatternParameters(Pattern);

impl<S: Sync> FromRequestParts<S> for PatternParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (mut pattern, mut alphabet) = (String::new(), String::new());
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "pattern" => pattern = value,
                "alphabet" => alphabet = value,
                _ => return Err(unknown(&name, "pattern, alphabet")),
            }
        }
        Pattern::parse(&pattern, &alphabet).map(PatternParameters).map_err(ApiError::fields)
    }
}

impl IntoParams for PatternParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about| parameter(name, ParameterIn::Query, about, String::schema());
        let mut pattern = query("pattern", "Letters, digits and `#`, such as `SUMMER####`");
        pattern.required = Required::True;
        vec![
            pattern,
            query("alphabet", "Characters for `#`; empty: ones that people do not confuse"),
        ]
    }
}

/// How many codes a pattern has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PatternAnswer {
    /// Codes of the pattern, taken ones included; `null` beyond 64 bits.
    possible: Option<u64>,
    /// Codes that are or were in use.
    taken: u64,
    /// At most 10 codes as a generation would draw them.
    examples: Vec<String>,
}

/// Counts the codes of a pattern, and creates none.
#[utoipa::path(get, path = "/couponcodes/generate", params(PatternParameters), responses((status = 200, body = PatternAnswer)))]
pub(super) async fn preview(
    State(store): State<Store>,
    PatternParameters(pattern): PatternParameters,
) -> Result<Response, ApiError> {
    let counted = store.read(move |connection| edit::preview(connection, &pattern));
    let PatternPreview { possible, taken, examples } = counted.await?;
    Ok(PatternAnswer { possible, taken, examples }.into_answer())
}

impl Answer for PatternAnswer {}

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
