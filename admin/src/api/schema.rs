//! Building blocks of the API's schemas and parameters.

use std::marker::PhantomData;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, Object, Schema};
use utoipa::openapi::{RefOr, Required};
use utoipa::{PartialSchema, ToSchema};

/// A parameter; only a part of the path is required.
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

/// The fields of several schemas in one object, like `#[serde(flatten)]`.
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

/// The schema of an answer: every field is present, and request-only fields are absent.
pub(super) fn answered(mut object: Object) -> Object {
    object.properties.remove("allow_reissue");
    object.required = object.properties.keys().cloned().collect();
    object.additional_properties = None;
    object
}

/// Adds a required field.
pub(super) fn field<T: PartialSchema>(mut object: Object, name: &str) -> Object {
    object.properties.insert(name.into(), T::schema());
    object.required.push(name.into());
    object
}

/// A type that lists hold.
pub(super) trait Row: ToSchema {
    /// The field of a list that holds the rows.
    const PLURAL: &'static str;
}

/// The body of a `PATCH`: any subset of the fields of `T`.
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

/// The schema of a type that flattens other types and adds fields.
macro_rules! flattened {
    ($type:ty as $name:literal = $($part:ty),+ $(; $($field:literal: $kind:ty),+)?) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use $crate::api::schema::{answered, merged};
                let object = answered(merged([$(<$part as utoipa::PartialSchema>::schema()),+]));
                $($(let object = $crate::api::schema::field::<$kind>(object, $field);)+)?
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

/// Declares a type with the parameters of a list, for the attributes of handlers.
macro_rules! listing {
    ($name:ident, $spec:expr) => {
        struct $name;

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $spec.parameters()
            }
        }
    };
}
pub(super) use listing;
