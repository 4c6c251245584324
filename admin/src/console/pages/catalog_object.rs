//! The common parts of the pages of offers, partners, advertisers and tracking domains.
//!
//! Each kind has a list, a page, a form, a page of consequences in front of a deletion, and a
//! restoration. An [`ObjectKind`] holds the paths of the API and the words of the pages.

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::home::count;
use crate::access::Right;
use crate::catalog;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Notice, Page, PageResult, conflict, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;

/// A kind of object with pages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObjectKind {
    pub(super) menu: Menu,
    /// The heading of the list, such as `Offers`.
    pub(super) heading: &'static str,
    /// The name of an object in a sentence, such as `offer`.
    pub(super) noun: &'static str,
    /// The list of the API.
    pub(super) api: &'static str,
    /// The part of the address behind `/console/`.
    pub(super) path: &'static str,
    /// The field of the API's list with the objects.
    pub(super) plural: &'static str,
    pub(super) id_field: &'static str,
    pub(super) name_field: &'static str,
    /// The field with the status, for the button to pause; empty without a status.
    pub(super) status_field: &'static str,
    /// The filter of an object's coupon codes.
    pub(super) codes: CodesOf,
    /// The filter of an object's offers; empty if offers do not name the kind.
    pub(super) offers_filter: &'static str,
    /// The kind in filters of reports; empty if reports do not know the kind.
    pub(super) facet: &'static str,
}

/// Coupon codes that depend on an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CodesOf {
    /// Codes that name the object in this field.
    Field(&'static str),
    /// All codes: every tracking domain serves every code.
    Network,
    /// Codes do not name the object.
    None,
}

/// A list of the API.
pub(super) struct ObjectList<T> {
    pub(super) rows: Vec<T>,
    pub(super) paging: Paging,
}

/// The result of a submitted form.
pub(super) enum Submission {
    Saved(Response),
    /// The form with the reasons, to be shown again.
    Refused(Form),
}

/// The object of an address.
pub(super) enum Found {
    Present(ApiAnswer),
    /// The page of a deleted object.
    Deleted(Response),
}

/// Counts of the objects and clicks that depend on an object.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    pub(super) codes: u64,
    pub(super) active_codes: u64,
    pub(super) offers: u64,
    /// Clicks of the last seven days.
    pub(super) clicks: u64,
}

impl ObjectKind {
    /// The routes of each kind.
    pub(super) fn routes(&'static self) -> Router<ConsoleState> {
        let at = |action: &str| format!("/{}/{{id}}/{action}", self.path);
        let show = move |state: State<ConsoleState>, viewer: Viewer, id: Path<u32>| {
            show_delete(self, state, viewer, id)
        };
        let delete =
            move |state: State<ConsoleState>, viewer: Viewer, id: Path<u32>, form: Submitted| {
                delete(self, state, viewer, id, form)
            };
        let restore = move |state: State<ConsoleState>, viewer: Viewer, id: Path<u32>| {
            restore(self, state, viewer, id)
        };
        let routes = Router::new()
            .route(&at("delete"), get(show).post(delete))
            .route(&at("restore"), post(restore));
        if self.status_field.is_empty() {
            return routes;
        }
        let set =
            move |state: State<ConsoleState>, viewer: Viewer, id: Path<u32>, form: Submitted| {
                set_status(self, state, viewer, id, form)
            };
        routes.route(&at("status"), post(set))
    }

    /// The address of the list.
    pub(super) fn list_path(&self) -> String {
        format!("/console/{}", self.path)
    }

    /// The address of an object's page.
    pub(super) fn at(&self, id: u32) -> String {
        format!("/console/{}/{id}", self.path)
    }

    /// The address that takes the form of an object, or of a new one.
    pub(super) fn action(&self, id: Option<u32>) -> String {
        id.map_or_else(|| format!("{}/new", self.list_path()), |id| format!("{}/edit", self.at(id)))
    }

    /// The page to go back to from a form.
    pub(super) fn back(&self, id: Option<u32>) -> String {
        id.map_or_else(|| self.list_path(), |id| self.at(id))
    }

    /// The title of a form.
    pub(super) fn edit_title(&self, id: Option<u32>, form: &Form) -> String {
        match id {
            None => format!("New {}", self.noun),
            Some(_) => format!("Edit {} – {}", form.value(self.name_field), self.heading),
        }
    }

    pub(super) fn name_of<'a>(&self, object: &'a Value) -> &'a str {
        object[self.name_field].as_str().unwrap_or_default()
    }

    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        state: &ConsoleState,
        viewer: &Viewer,
        query: &str,
    ) -> Result<ObjectList<T>, Refusal> {
        #[derive(Deserialize)]
        struct List<T> {
            #[serde(default)]
            paging: Paging,
            #[serde(flatten)]
            rows: BTreeMap<String, Vec<T>>,
        }
        let path = format!("{}{query}", self.api);
        let mut list: List<T> = state.api.get(viewer, &path).await?;
        let rows = list.rows.remove(self.plural).unwrap_or_default();
        Ok(ObjectList { rows, paging: list.paging })
    }

    pub(super) async fn read(
        &self,
        state: &ConsoleState,
        viewer: &Viewer,
        id: u32,
        query: &str,
    ) -> Result<ApiAnswer, Refusal> {
        let path = format!("{}/{id}{query}", self.api);
        state.api.send(viewer, ApiRequest::new(Method::GET, path)).await
    }

    /// Reads an object for a page. A deleted object gets a page with a button to restore.
    pub(super) async fn find(
        &self,
        state: &ConsoleState,
        viewer: &Viewer,
        id: u32,
        query: &ListQuery,
        relationships: &str,
    ) -> Result<Found, PageError> {
        let refusal = match self.read(state, viewer, id, relationships).await {
            Ok(answer) => return Ok(Found::Present(answer)),
            Err(refusal) => refusal,
        };
        let asked = format!("?filter={}%3D{id}&filter=deleted%3Dtrue", self.id_field);
        let deleted: ObjectList<Value> = self.list(state, viewer, &asked).await?;
        let object = deleted.rows.into_iter().next().ok_or(refusal)?;
        let name = format::visible(self.name_of(&object));
        let title = format!("{name} (deleted) – {}", self.heading);
        let may_edit = viewer.may(Right::EditCatalog);
        let notice = notice_of(query.pairs()).map(|notice| Notice {
            action: may_edit.then(|| (format!("{}/restore", self.at(id)), "Undo")),
            ..notice
        });
        let page = Page::new(viewer, self.menu, title).with_notice(notice);
        Ok(Found::Deleted(html(&DeletedPage { page, kind: self, id, name, may_edit })))
    }

    /// Creates an object, or changes the object with this id.
    pub(super) async fn submit(
        &self,
        state: &ConsoleState,
        viewer: &Viewer,
        id: Option<u32>,
        fields: &'static [FormField],
        submitted: &Submitted,
    ) -> Result<Submission, PageError> {
        let body = submitted.to_json(fields);
        let request = match id {
            None => ApiRequest::post(format!("{}?wait=live", self.api), body)
                .idempotency_key(submitted.value("form_id")),
            Some(id) => ApiRequest::patch(format!("{}/{id}?wait=live", self.api), body)
                .if_match(submitted.value("etag")),
        };
        let refusal = match (state.api.send(viewer, request).await, id) {
            (Ok(answer), Some(id)) => {
                return Ok(Submission::Saved(saved(&self.at(id), "saved", answer.is_live)));
            }
            (Ok(answer), None) => {
                let path = format!("{}/{}", self.list_path(), answer.number(self.id_field));
                return Ok(Submission::Saved(saved(&path, "created", answer.is_live)));
            }
            (Err(refusal), _) => refusal,
        };
        if let Some(id) = id.filter(|_| refusal.is_stale()) {
            let now = self.read(state, viewer, id, "").await?;
            let page = conflict(viewer, self.menu, fields, submitted, &now);
            return Ok(Submission::Saved(page));
        }
        Form::refused(submitted, refusal).map(Submission::Refused)
    }

    /// Counts the codes, offers and clicks of an object.
    pub(super) async fn dependents(
        &self,
        state: &ConsoleState,
        viewer: &Viewer,
        id: u32,
    ) -> Result<Dependents, Refusal> {
        let mut found = Dependents::default();
        let active = "couponcodes?filter=coupon_status%3Dactive";
        match self.codes {
            CodesOf::Field(field) => {
                let own = format!("filter={field}%3D{id}");
                found.codes = count(state, viewer, &format!("couponcodes?{own}")).await?;
                found.active_codes = count(state, viewer, &format!("{active}&{own}")).await?;
            }
            CodesOf::Network => found.active_codes = count(state, viewer, active).await?,
            CodesOf::None => {}
        }
        if !self.offers_filter.is_empty() {
            let list = format!("offers?filter={}%3D{id}", self.offers_filter);
            found.offers = count(state, viewer, &list).await?;
        }
        if !self.facet.is_empty() {
            found.clicks = clicks_of_week(state, viewer, self.facet, id).await?;
        }
        Ok(found)
    }

    /// The consequences of a deletion, as sentences.
    fn consequences(&self, found: &Dependents) -> Vec<String> {
        let noun = self.noun;
        let mut sentences = Vec::new();
        match self.codes {
            CodesOf::Field(_) => sentences.push(format!(
                "Coupon codes of this {noun}: {}; active: {}. Their links will lead to the \
                 fallback page, and sales with them will be invalid.",
                format::count(found.codes),
                format::count(found.active_codes),
            )),
            CodesOf::Network => sentences.push(format!(
                "Active coupon codes of the network: {}. Known links with this {noun} will end.",
                format::count(found.active_codes),
            )),
            CodesOf::None => {}
        }
        if !self.offers_filter.is_empty() {
            sentences.push(format!("Offers of this {noun}: {}.", format::count(found.offers)));
        }
        if !self.facet.is_empty() {
            let clicks = format::count(found.clicks);
            sentences.push(format!("Clicks in the last seven days: {clicks}."));
        }
        sentences.push("Reports keep its figures. You can restore it later.".into());
        sentences
    }
}

/// An active code of an offer, if possible of a partner, for examples; empty without a code.
pub(super) async fn some_code(
    state: &ConsoleState,
    viewer: &Viewer,
    offer_id: u64,
) -> Result<String, Refusal> {
    let path = format!(
        "/v1/networks/couponcodes?filter=network_offer_id%3D{offer_id}\
         &filter=coupon_status%3Dactive&page_size=20"
    );
    let list: Value = state.api.get(viewer, &path).await?;
    let codes = list["coupon_codes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let assigned = codes.iter().find(|code| code["network_affiliate_id"] != 0);
    let code = assigned.or(codes.first()).and_then(|code| code["coupon_code"].as_str());
    Ok(code.unwrap_or_default().to_owned())
}

async fn clicks_of_week(
    state: &ConsoleState,
    viewer: &Viewer,
    facet: &str,
    id: u32,
) -> Result<u64, Refusal> {
    let today = catalog::today(viewer.time_zone());
    let first = today.checked_sub(jiff::Span::new().days(6)).unwrap_or(today);
    let asked = json!({
        "from": first.to_string(), "to": today.to_string(), "columns": [{"column": facet}],
        "query": {"filters": [{"resource_type": facet, "filter_id_value": id}]},
    });
    let answer: Value = state.api.query(viewer, "/v1/networks/reporting/entity", asked).await?;
    Ok(answer["summary"]["total_click"].as_u64().unwrap_or_default())
}

#[derive(Template)]
#[template(path = "catalog_object/deleted.html")]
struct DeletedPage<'a> {
    page: Page,
    kind: &'a ObjectKind,
    id: u32,
    name: String,
    may_edit: bool,
}

#[derive(Template)]
#[template(path = "catalog_object/delete.html")]
struct DeletePage<'a> {
    page: Page,
    kind: &'a ObjectKind,
    id: u32,
    name: String,
    consequences: Vec<String>,
    /// Whether links would end, which needs a confirmation.
    ends_links: bool,
    form: Form,
}

async fn delete_page(
    kind: &'static ObjectKind,
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    form: Form,
) -> Result<DeletePage<'static>, PageError> {
    viewer.require(Right::EditCatalog)?;
    let object = kind.read(state, viewer, id, "").await?;
    let found = kind.dependents(state, viewer, id).await?;
    let name = format::visible(kind.name_of(&object.body));
    let page = Page::new(viewer, kind.menu, format!("Delete {name}? – {}", kind.heading));
    let consequences = kind.consequences(&found);
    Ok(DeletePage { page, kind, id, name, consequences, ends_links: found.active_codes > 0, form })
}

async fn show_delete(
    kind: &'static ObjectKind,
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(html(&delete_page(kind, &state, &viewer, id, Form::new(&[])).await?))
}

async fn delete(
    kind: &'static ObjectKind,
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let force = if submitted.has("force") { "&force=true" } else { "" };
    let request = ApiRequest::delete(format!("{}/{id}?wait=live{force}", kind.api));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved(&kind.at(id), "deleted", answer.is_live)),
        Err(refusal) => {
            // The fields of the refusal are no inputs of this form.
            let refusal = Refusal { fields: Vec::new(), ..refusal };
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&delete_page(kind, &state, &viewer, id, form).await?))
        }
    }
}

async fn restore(
    kind: &'static ObjectKind,
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let path = format!("{}/{id}/restore?wait=live", kind.api);
    let answer = state.api.send(&viewer, ApiRequest::post(path, json!({}))).await?;
    Ok(saved(&kind.at(id), "restored", answer.is_live))
}

async fn set_status(
    kind: &'static ObjectKind,
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let status = submitted.value("status");
    let body = Map::from_iter([(kind.status_field.to_owned(), Value::from(status))]);
    let path = format!("{}/{id}?wait=live", kind.api);
    let answer = state.api.send(&viewer, ApiRequest::patch(path, Value::Object(body))).await?;
    let notice = match status {
        "paused" => "paused",
        "active" => "activated",
        _ => "saved",
    };
    Ok(saved(&kind.at(id), notice, answer.is_live))
}
