//! The form for a conversion's amounts and notes.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde_json::{Map, Value};

use super::API;
use super::conversion::{ConversionRow, find};
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::{Form, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::encode;
use crate::console::page::{Page, PageResult, html, refused, saved};
use crate::console::viewer::Viewer;

/// The inputs. The form also has a hidden input for the value seen by the user.
const FIELDS: [&str; 4] = ["payout", "revenue", "sale_amount", "notes"];

#[derive(Template)]
#[template(path = "conversions/edit.html")]
struct EditPage {
    page: Page,
    row: ConversionRow,
    form: Form,
}

impl EditPage {
    /// The value seen by the user.
    fn seen(&self, name: &str) -> &str {
        self.form.value(&seen(name))
    }
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: &str,
    form: Form,
) -> Result<EditPage, PageError> {
    let row = find(state, viewer, id).await?.row;
    let time = format::time(row.conversion_unix_timestamp, viewer.time_zone());
    let page = Page::new(viewer, Menu::Conversions, format!("Edit the conversion of {time}"));
    Ok(EditPage { page, row, form })
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> PageResult {
    let request = ApiRequest::new(Method::GET, format!("{API}/{}", encode(&id)));
    let object = state.api.send(&viewer, request).await?.body;
    let mut form = Form::of_object(&object, "");
    for name in FIELDS {
        form.set(&seen(name), form.value(name).to_owned());
    }
    Ok(html(&edit_page(&state, &viewer, &id, form).await?))
}

fn seen(name: &str) -> String {
    format!("seen.{name}")
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<String>,
    submitted: Submitted,
) -> PageResult {
    // Only edited fields are sent: an amount set by hand is not computed anew by later refunds, and
    // another user may have edited the other fields meanwhile.
    let is_edited = |name: &&&str| submitted.value(name) != submitted.value(&seen(name));
    let edited = FIELDS.iter().filter(is_edited);
    let body: Map<String, Value> =
        edited.map(|name| ((*name).to_owned(), submitted.value(name).into())).collect();
    let path = format!("/console/conversions/{}", encode(&id));
    let request = ApiRequest::patch(format!("{API}/{}", encode(&id)), Value::Object(body));
    match state.api.send(&viewer, request).await {
        Ok(_answer) => Ok(saved(&path, "saved", None)),
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&edit_page(&state, &viewer, &id, form).await?))
        }
    }
}
