//! The API's description, made from the handlers: each route is declared by `routes!`, which takes
//! path, parameters and schemas from the handler's attribute. What is the same for many routes
//! stands here once, by rule: names and tags from the path, the key, and the errors.
//!
//! It is served without a key at `/openapi.json`, and can be browsed at `/docs` with assets that
//! are part of this program.

use std::marker::PhantomData;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Object, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::error::ErrorBody;

const SECURITY: &str = "api_key";
/// What the assets of `/docs` need, and nothing from outside.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pages that need no key: the description, and what shows it.
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

/// Adds what is the same for many routes.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info = InfoBuilder::new()
        .title("coupond admin API")
        .description(Some(ABOUT))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(
            utoipa::openapi::LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build(),
        ))
        .build();
    let components = description.components.get_or_insert_default();
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let mut nested = Vec::new();
    ErrorBody::schemas(&mut nested);
    components.schemas.extend(nested);
    let key = ApiKeyValue::with_description(
        "X-Eflow-API-Key",
        "An admin key, a read-only key, or below /v1/affiliates a partner's key.",
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
    description
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
        [_, "offers" | "affiliates", .., "visibility"] => "visibility".to_owned(),
        [_, resource, ..] => (*resource).to_owned(),
        _ => "other".to_owned(),
    }]);
    operation.security = Some(vec![SecurityRequirement::new(SECURITY, Vec::<String>::new())]);
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
    for status in errors(path, method, operation.request_body.is_some()) {
        let code = status.as_u16().to_string();
        operation.responses.responses.entry(code).or_insert_with(|| RefOr::T(error(status)));
    }
}

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

/// The errors that a route can answer.
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

fn error(status: StatusCode) -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name(ErrorBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let reason = status.canonical_reason().unwrap_or("Refused");
    ResponseBuilder::new().description(reason).content("application/json", content).build()
}

/// A parameter, which may be left out unless it is a part of the path.
pub(super) fn parameter(
    name: &str,
    place: ParameterIn,
    about: &str,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    let is_required = matches!(place, ParameterIn::Path);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if is_required { Required::True } else { Required::False })
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// The fields of several schemas in one object, as `#[serde(flatten)]` puts them.
pub(super) fn merged(parts: impl IntoIterator<Item = RefOr<Schema>>) -> Object {
    let mut whole = Object::new();
    for part in parts {
        if let RefOr::T(Schema::Object(part)) = part {
            whole.properties.extend(part.properties);
            whole.required.extend(part.required);
        }
    }
    whole
}

/// As answered: every field is there, and none that is only sent.
pub(super) fn answered(mut object: Object) -> Object {
    object.properties.remove("allow_reissue");
    object.required = object.properties.keys().cloned().collect();
    object.additional_properties = None;
    object
}

/// One field more.
pub(super) fn field<T: PartialSchema>(mut object: Object, name: &str) -> Object {
    object.properties.insert(name.into(), T::schema());
    object.required.push(name.into());
    object
}

/// Of which there are lists.
pub(super) trait Row: ToSchema {
    /// The rows' name in a list.
    const PLURAL: &'static str;
}

/// A list of rows.
pub(super) struct ListOf<T>(PhantomData<T>);

impl<T: Row> PartialSchema for ListOf<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).build();
        let mut list = Object::new();
        list.properties.insert(T::PLURAL.into(), rows.into());
        list.required.push(T::PLURAL.into());
        list.properties.insert("paging".into(), super::answer::Paging::schema());
        RefOr::T(Schema::Object(list))
    }
}

impl<T: Row> ToSchema for ListOf<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// Some fields of an object.
pub(super) struct Patched<T>(PhantomData<T>);

impl<T: ToSchema> PartialSchema for Patched<T> {
    fn schema() -> RefOr<Schema> {
        let mut object = merged([T::schema()]);
        object.required.clear();
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        object.description = Some("Only what is named changes".into());
        RefOr::T(Schema::Object(object))
    }
}

impl<T: ToSchema> ToSchema for Patched<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("{}Patch", T::name().trim_end_matches("Edit")).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

/// A type that flattens others: their fields and some more.
macro_rules! flattened {
    ($type:ty as $name:literal = $($part:ty),+ $(; $($field:literal: $kind:ty),+)?) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use $crate::api::openapi::{answered, merged};
                let object = answered(merged([$(<$part as utoipa::PartialSchema>::schema()),+]));
                $($(let object = $crate::api::openapi::field::<$kind>(object, $field);)+)?
                utoipa::openapi::RefOr::T(utoipa::openapi::Schema::Object(object))
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                $(<$part as utoipa::ToSchema>::schemas(schemas);)+
            }
        }
    };
}
pub(super) use flattened;

/// The parameters of a resource's list as a type that handlers' attributes can name.
macro_rules! listing {
    ($name:ident, $offer:expr) => {
        struct $name;

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $offer.parameters()
            }
        }
    };
}
pub(super) use listing;
