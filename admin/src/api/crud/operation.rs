//! OpenAPI descriptions of the generic operations.

use axum::handler::Handler;
use axum::routing::MethodRouter;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, PathItem, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::api::request::Id;
use crate::api::state::AppState;

/// An operation for [`OpenApiRouter::routes`](utoipa_axum::router::OpenApiRouter::routes).
pub(crate) type Routes = UtoipaMethodRouter<AppState>;

/// The description of an operation. `openapi` adds id, tags and errors, which follow from the path.
pub(super) struct Operation {
    builder: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
}

pub(super) fn parameters_of<T: IntoParams>() -> Vec<Parameter> {
    T::into_params(|| None)
}

impl Operation {
    pub(super) fn new(about: &str, parameters: Vec<Parameter>) -> Operation {
        let (summary, description) = match about.split_once("\n\n") {
            Some((summary, description)) => (summary, Some(description)),
            None => (about, None),
        };
        let builder = OperationBuilder::new().summary(Some(summary)).description(description);
        Operation { builder: builder.parameters(Some(parameters)), schemas: Vec::new() }
    }

    pub(super) fn with_id<T: IntoParams>(about: &str) -> Operation {
        Operation::new(about, [parameters_of::<Id>(), parameters_of::<T>()].concat())
    }

    pub(super) fn taking<T: ToSchema>(mut self) -> Operation {
        let content = self.content_of::<T>();
        let body = RequestBodyBuilder::new().content("application/json", content);
        let body = body.required(Some(Required::True)).build();
        Operation { builder: self.builder.request_body(Some(body)), ..self }
    }

    pub(super) fn answering<T: ToSchema>(mut self) -> Operation {
        let content = self.content_of::<T>();
        let response = ResponseBuilder::new().content("application/json", content).build();
        Operation { builder: self.builder.response("200", response), ..self }
    }

    fn content_of<T: ToSchema>(&mut self) -> Content {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        ContentBuilder::new().schema(Some(Ref::from_schema_name(T::name()))).build()
    }

    pub(super) fn get<H: Handler<A, AppState>, A: 'static>(self, path: &str, handler: H) -> Routes {
        self.declare(path, HttpMethod::Get, MethodRouter::new().get(handler))
    }

    pub(super) fn post<H: Handler<A, AppState>, A: 'static>(
        self,
        path: &str,
        handler: H,
    ) -> Routes {
        self.declare(path, HttpMethod::Post, MethodRouter::new().post(handler))
    }

    pub(super) fn put<H: Handler<A, AppState>, A: 'static>(self, path: &str, handler: H) -> Routes {
        self.declare(path, HttpMethod::Put, MethodRouter::new().put(handler))
    }

    pub(super) fn patch<H: Handler<A, AppState>, A: 'static>(
        self,
        path: &str,
        handler: H,
    ) -> Routes {
        self.declare(path, HttpMethod::Patch, MethodRouter::new().patch(handler))
    }

    pub(super) fn delete<H: Handler<A, AppState>, A: 'static>(
        self,
        path: &str,
        handler: H,
    ) -> Routes {
        self.declare(path, HttpMethod::Delete, MethodRouter::new().delete(handler))
    }

    fn declare(self, path: &str, method: HttpMethod, handlers: MethodRouter<AppState>) -> Routes {
        let mut paths = Paths::new();
        paths.paths.insert(path.to_owned(), PathItem::new(method, self.builder));
        (self.schemas, paths, handlers)
    }
}
