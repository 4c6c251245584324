//! The OpenAPI description, generated from the routes: `routes!` takes path, parameters and schemas
//! from the handler's attribute, `crud` from the types. Common parts are added here by rule:
//! operation ids and tags from the path, the key, and the errors.
//!
//! Served without a key at `/openapi.json`, and browsable at `/docs` with assets that
//! are part of this program.

use std::collections::BTreeSet;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, Components, Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Server,
};
use utoipa::{PartialSchema, ToSchema};

use super::error::ErrorBody;
use super::schema::parameter;
use crate::catalog::{Advertiser, Affiliate, KeepsFields, Offer, PayoutRevenue, kept_fields};

const SECURITY: &str = "api_key";
/// Allows the assets of `/docs` and no external resources.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes without a key: the description and its browser.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(description: &OpenApi) -> Router<S> {
    let json = description.to_json().unwrap_or_default();
    let describe =
        move || async move { ([(CONTENT_TYPE, "application/json")], json).into_response() };
    let config = utoipa_swagger_ui::Config::from("/openapi.json");
    let docs: Router<S> = utoipa_swagger_ui::SwaggerUi::new("/docs").config(config).into();
    #[allow(clippy::disallowed_methods, reason = "it describes the others")]
    let json = Router::new().route("/openapi.json", get(describe));
    docs.layer(map_response(restrict)).merge(json)
}

async fn restrict(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOCS_POLICY));
    response
}

/// Adds the common parts of all operations.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info = InfoBuilder::new()
        .title("coupond admin API")
        .description(Some(ABOUT))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(
            utoipa::openapi::LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build(),
        ))
        .build();
    // The description is served by the API itself.
    description.servers = Some(vec![Server::new("/")]);
    let components = description.components.get_or_insert_default();
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let mut nested = Vec::new();
    ErrorBody::schemas(&mut nested);
    components.schemas.extend(nested);
    describe_kept::<Offer>(components);
    describe_kept::<PayoutRevenue>(components);
    describe_kept::<Advertiser>(components);
    describe_kept::<Affiliate>(components);
    let key = ApiKeyValue::with_description(
        "X-Eflow-API-Key",
        "A key of an admin, a manager or a reader; below /v1/affiliates a partner's key, and below \
         /v1/advertisers an advertiser's.",
    );
    components.add_security_scheme(SECURITY, SecurityScheme::ApiKey(ApiKey::Header(key)));
    for (path, item) in &mut description.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                complete_operation(path, method, operation);
            }
        }
    }
    description.tags = Some(tags(&description));
    description
}

/// The tags of all operations.
fn tags(description: &OpenApi) -> Vec<Tag> {
    let items = description.paths.paths.values();
    let operations = items.flat_map(|item| {
        [&item.get, &item.post, &item.put, &item.patch, &item.delete].into_iter().flatten()
    });
    let names: BTreeSet<&String> = operations.flat_map(|it| it.tags.iter().flatten()).collect();
    let tag = |name: &String| {
        let about = format!("Operations on {}.", name.replace('_', " "));
        TagBuilder::new().name(name).description(Some(about)).build()
    };
    names.into_iter().map(tag).collect()
}

/// Adds the fields that a type keeps to its schemas: of the body, of a `PATCH`, and of the answer.
fn describe_kept<T: KeepsFields + ToSchema>(components: &mut Components) {
    let edit = T::name();
    let answer = edit.trim_end_matches("Edit");
    for name in [edit.to_string(), format!("{answer}Patch"), answer.to_owned()] {
        let Some(RefOr::T(Schema::Object(schema))) = components.schemas.get_mut(&name) else {
            continue;
        };
        for kept in kept_fields::names::<T>() {
            let about = match T::WITHOUT_EFFECT.contains(&kept) {
                true => "Kept as sent and given back, without effect",
                false => "Kept as sent and given back",
            };
            let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
            let any = any.description(Some(about)).build();
            schema.properties.entry(kept.into()).or_insert(any.into());
        }
        schema.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

const ABOUT: &str = "Offers, partners, coupon codes and reports of one network. Objects are sent and answered as \
    JSON. Every error has one shape: a sentence, a stable word, and the fields that are wrong. A change is durable \
    when it is answered; `?wait=live` answers when visitors meet it. `ETag` and `If-Match` keep two editors apart, and \
    `Idempotency-Key` makes the repetition of a creation harmless for a day.";

fn complete_operation(path: &str, method: &str, operation: &mut Operation) {
    let words: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != "v1").collect();
    let id: Vec<String> = words.iter().map(|word| word.replace(['{', '}', '.'], "")).collect();
    operation.operation_id = Some(format!("{method}_{}", id.join("_")));
    operation.tags = Some(vec![match words.as_slice() {
        ["affiliates", ..] => "partners' own view".to_owned(),
        ["advertisers", ..] => "advertisers' own view".to_owned(),
        [_, "offers" | "affiliates", .., "visibility"] => "visibility".to_owned(),
        [_, resource, ..] => (*resource).to_owned(),
        _ => "other".to_owned(),
    }]);
    let key = SecurityRequirement::new(SECURITY, Vec::<String>::new());
    operation.security = Some(match path {
        WITHOUT_KEY => vec![SecurityRequirement::default(), key],
        _ => vec![key],
    });
    let header = match method {
        "post" => Some(IDEMPOTENCY_KEY),
        "put" | "patch" | "delete" => Some(IF_MATCH),
        _ => None,
    };
    let parameters = operation.parameters.get_or_insert_default();
    parameters.extend(header.map(|(name, pattern, about)| {
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
        RefOr::T(parameter(name, ParameterIn::Header, about, schema.build()))
    }));
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = reason(status.parse().unwrap_or_default()).to_owned();
        }
    }
    for status in errors(path, method, operation.request_body.is_some()) {
        let code = status.as_u16().to_string();
        operation.responses.responses.entry(code).or_insert_with(|| RefOr::T(error(status)));
    }
}

/// The path that needs no key.
const WITHOUT_KEY: &str = "/v1/meta/timezones";

const IDEMPOTENCY_KEY: (&str, &str, &str) = (
    "Idempotency-Key",
    "^[!-~]{1,255}$",
    "Any key of yours; a second request with it is answered as the first and does nothing, for 24 hours",
);
const IF_MATCH: (&str, &str, &str) = (
    "If-Match",
    r#"^(\*|((W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)?)$"#,
    "The ETag of an answer: the change is refused with 412 when the object has changed since",
);

/// The error statuses of a route.
fn errors(path: &str, method: &str, has_body: bool) -> Vec<StatusCode> {
    let mut errors = vec![
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::INTERNAL_SERVER_ERROR,
    ];
    if path.contains('{') {
        errors.push(StatusCode::NOT_FOUND);
    }
    if has_body {
        errors.extend([
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::SERVICE_UNAVAILABLE,
        ]);
    }
    let is_question = path.contains("/reporting/") || path.ends_with("/explain");
    if method != "get" && !(method == "post" && is_question) {
        errors.extend([StatusCode::CONFLICT, StatusCode::INSUFFICIENT_STORAGE]);
    }
    if matches!(method, "put" | "patch" | "delete") {
        errors.push(StatusCode::PRECONDITION_FAILED);
    }
    errors
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Refused")
}

fn error(status: StatusCode) -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name(ErrorBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let reason = reason(status);
    ResponseBuilder::new().description(reason).content("application/json", content).build()
}
