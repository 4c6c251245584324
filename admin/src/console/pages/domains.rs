//! Control Center – Domains: the list, the page with certificate and name record, and the form.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::catalog_object::{CodesOf, Dependents, Found, ObjectKind, ObjectList, Submission};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;

static DOMAINS: ObjectKind = ObjectKind {
    menu: Menu::Domains,
    heading: "Domains",
    noun: "tracking domain",
    api: "/v1/networks/trackingdomains",
    path: "domains",
    plural: "tracking_domains",
    id_field: "network_tracking_domain_id",
    name_field: "base_url",
    status_field: "",
    codes: CodesOf::Network,
    offers_filter: "network_tracking_domain_id",
    facet: "",
};

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("base_url", Kind::Text),
    FormField::new("is_default", Kind::Truth),
    FormField::new("fallback_url", Kind::Text),
    FormField::new("certificate", Kind::Choice),
];

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/domains", get(list))
        .route("/domains/new", get(show_new).post(create))
        .route("/domains/{id}", get(show))
        .route("/domains/{id}/edit", get(show_edit).post(save))
        .route("/domains/{id}/renew", post(renew))
        .merge(DOMAINS.routes())
}

/// A tracking domain in an answer of the API.
#[derive(Debug, Deserialize)]
struct DomainRow {
    network_tracking_domain_id: u32,
    base_url: String,
    is_default: bool,
    fallback_url: String,
    certificate: String,
    certificate_state: CertificateState,
    time_created: i64,
    time_saved: i64,
}

#[derive(Debug, Deserialize)]
struct CertificateState {
    status: String,
    expires_at: i64,
    error: String,
    next_attempt: i64,
}

impl DomainRow {
    /// The host without scheme and port.
    fn host(&self) -> &str {
        let (_, host) = self.base_url.split_once("://").unwrap_or(("", &self.base_url));
        host.rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'))
            .map_or(host, |(host, _)| host)
    }

    /// Whether the host is a name, which needs a record, and no address.
    fn needs_record(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host != "localhost" && host.parse::<std::net::IpAddr>().is_err()
    }

    fn record(&self) -> String {
        format!("{}.  A  {{address of the machine of coupond}}", self.host())
    }

    fn wants_certificate(&self) -> bool {
        self.certificate == "acme"
    }

    /// Class and words for the certificate.
    fn certificate_state(&self, time_zone: &str) -> (&'static str, String) {
        let until = format::time(self.certificate_state.expires_at, time_zone);
        match (self.certificate.as_str(), self.certificate_state.status.as_str()) {
            ("none", _) if self.base_url.starts_with("https:") => {
                ("off", "From files, or from a proxy".into())
            }
            ("none", _) => ("off", "None: plain HTTP".into()),
            (_, "issued") => ("good", format!("Valid until {until}")),
            (_, "failed") if self.certificate_state.expires_at > 0 => {
                ("bad", format!("The renewal failed; valid until {until}"))
            }
            (_, "failed") => ("bad", "The order failed".into()),
            _ => ("wait", "Being ordered".into()),
        }
    }
}

#[derive(Template)]
#[template(path = "domains/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    domains: Vec<DomainRow>,
    paging: Paging,
    may_edit: bool,
}

async fn list(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let asked = query.or_sorted("network_tracking_domain_id").api_query();
    let ObjectList { rows: domains, paging } = DOMAINS.list(&state, &viewer, &asked).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, DOMAINS.menu, DOMAINS.heading).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, domains, paging, may_edit }))
}

#[derive(Template)]
#[template(path = "domains/domain.html")]
struct DomainPage {
    page: Page,
    domain: DomainRow,
    dependents: Dependents,
    may_edit: bool,
}

async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let answer = match DOMAINS.find(&state, &viewer, id, &query, "").await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let domain: DomainRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let dependents = DOMAINS.dependents(&state, &viewer, id).await?;
    let title = format!("{} – Domains", domain.host());
    let page = Page::new(&viewer, DOMAINS.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&DomainPage { page, domain, dependents, may_edit }))
}

/// Orders a certificate now.
async fn renew(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let path = format!("{}/{id}/certificate/renew", DOMAINS.api);
    state.api.send(&viewer, ApiRequest::post(path, json!({}))).await?;
    Ok(saved(&DOMAINS.at(id), "requested", None))
}

#[derive(Template)]
#[template(path = "domains/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The domain; `None` for a new one.
    id: Option<u32>,
}

fn edit_page(viewer: &Viewer, id: Option<u32>, form: Form) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let page = Page::new(viewer, DOMAINS.menu, DOMAINS.edit_title(id, &form));
    Ok(EditPage { page, kind: &DOMAINS, form, id })
}

async fn show_new(viewer: Viewer) -> PageResult {
    Ok(html(&edit_page(&viewer, None, Form::new(&[("certificate", "none")]))?))
}

async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, None, &submitted).await
}

async fn show_edit(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let answer = DOMAINS.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&viewer, Some(id), form)?))
}

async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, Some(id), &submitted).await
}

async fn submit(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    submitted: &Submitted,
) -> PageResult {
    let submitted = submitted.with_scheme("base_url");
    match DOMAINS.submit(state, viewer, id, FIELDS, &submitted).await? {
        Submission::Saved(response) => Ok(response),
        Submission::Refused(form) => Ok(refused(&edit_page(viewer, id, form)?)),
    }
}
