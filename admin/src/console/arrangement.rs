//! Lists as users arrange them: the columns that a list shows, saved views, and the view that the
//! list opens with. The columns of the address, which a view sets, hold before those of the user.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;

use super::ConsoleState;
use super::error_page::PageError;
use super::form::Submitted;
use super::format;
use super::list::ListQuery;
use super::page::{PageResult, saved};
use super::profile::write_as;
use super::sign_in;
use super::viewer::Viewer;
use crate::accounts::views::{self, SavedView};
use crate::catalog::ListName;
use crate::edit::EditError;
use crate::store::{StoreError, WriteTx};

/// A column that a list can show beside its first one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The name in addresses: of the API's field, where the column shows a single one.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// The field that the list is sorted by; empty: by none.
    pub(crate) sort: &'static str,
    /// Shown until the user chooses columns.
    pub(crate) is_default: bool,
}

impl Column {
    pub(crate) const fn new(name: &'static str, label: &'static str) -> Column {
        Column { name, label, sort: "", is_default: true }
    }

    pub(crate) const fn sorted_by(self, sort: &'static str) -> Column {
        Column { sort, ..self }
    }

    /// Hidden until the user chooses it.
    pub(crate) const fn on_choice(self) -> Column {
        Column { is_default: false, ..self }
    }
}

/// The list as the viewer sees it.
pub(crate) struct Arrangement {
    pub(crate) list: &'static str,
    /// In the order of the table.
    pub(crate) columns: Vec<&'static Column>,
    /// Columns that the list does not show.
    pub(crate) others: Vec<&'static Column>,
    pub(crate) views: Vec<ViewLink>,
    pub(crate) may_share: bool,
    opens_with: Option<String>,
}

/// A saved view as the list names it.
pub(crate) struct ViewLink {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) address: String,
    /// The list shows this view.
    pub(crate) is_current: bool,
    /// The list opens with this view.
    pub(crate) is_default: bool,
    pub(crate) is_shared: bool,
    pub(crate) may_delete: bool,
}

impl Arrangement {
    pub(crate) async fn load(
        state: &ConsoleState,
        viewer: &Viewer,
        list: ListName,
        all: &'static [Column],
        query: &ListQuery,
    ) -> Result<Arrangement, PageError> {
        let user_id = viewer.user().id;
        let read = state.store.read(move |tx| {
            let preference = views::preference(tx, user_id, list)?;
            Ok::<_, StoreError>((preference, views::list(tx, user_id, list)?))
        });
        let (preference, saved_views) = read.await.map_err(sign_in::broken)?;
        let of_address = query.value("columns");
        let wanted = if of_address.is_empty() { &preference.columns } else { of_address };
        let (columns, others) = chosen(all, wanted);
        let link = |view: SavedView| {
            let address = address(list, &view);
            let is_default = preference.default_view_id == Some(view.id);
            ViewLink {
                id: view.id,
                is_current: query.is_same_list(&address),
                is_default,
                may_delete: views::may_delete(viewer.user(), &view),
                is_shared: view.is_shared,
                name: format::visible(&view.name),
                address,
            }
        };
        let links: Vec<ViewLink> = saved_views.into_iter().map(link).collect();
        let opens_with = links.iter().find(|view| view.is_default).map(|view| view.address.clone());
        let may_share = views::may_share(viewer.user());
        Ok(Arrangement {
            list: list.as_str(),
            columns,
            others,
            views: links,
            may_share,
            opens_with,
        })
    }

    /// Leads to the view that the list opens with, if the address asks for nothing else.
    pub(crate) fn opening(&self, query: &ListQuery) -> Option<Response> {
        let address = self.opens_with.as_ref().filter(|_| query.pairs().is_empty())?;
        Some(Redirect::to(address).into_response())
    }

    /// Whether the list opens with a view, so the whole list needs an address of its own.
    pub(crate) fn opens_with_view(&self) -> bool {
        self.opens_with.is_some()
    }

    /// The address of the whole list.
    pub(crate) fn whole(&self) -> String {
        format!("/console/{}?view=all", self.list)
    }

    /// The names of the columns, as addresses have them.
    pub(crate) fn column_names(&self) -> String {
        names(&self.columns)
    }
}

/// The columns with these names in this order, and the rest. Unknown names, of a version with other
/// columns, are left out.
fn chosen(all: &'static [Column], wanted: &str) -> (Vec<&'static Column>, Vec<&'static Column>) {
    let named = wanted.split(',').filter_map(|name| all.iter().find(|column| column.name == name));
    let mut columns: Vec<&Column> = Vec::new();
    for column in named {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    if columns.is_empty() {
        columns = all.iter().filter(|column| column.is_default).collect();
    }
    let others = all.iter().filter(|column| !columns.contains(column)).collect();
    (columns, others)
}

fn names(columns: &[&Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(",")
}

fn path(list: ListName) -> String {
    format!("/console/{}", list.as_str())
}

fn address(list: ListName, view: &SavedView) -> String {
    let query = ListQuery::parse(&path(list), &view.query);
    let address = query.with("columns", &view.columns);
    if address.contains('?') { address } else { format!("{address}?view=all") }
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/views/{list}", post(save))
        .route("/views/{list}/columns", post(set_columns))
        .route("/views/{list}/default", post(set_default))
        .route("/views/{list}/{id}/delete", post(delete))
}

fn list_of(word: &str) -> Result<ListName, PageError> {
    word.parse().map_err(|_unknown| PageError::not_found())
}

/// The list that the form was on, without what one look at it asked for.
fn back(list: ListName, submitted: &Submitted) -> ListQuery {
    ListQuery::parse(&path(list), submitted.value("return"))
}

/// Shows the ticked columns in their order. A button moves one column first.
async fn set_columns(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(list): Path<String>,
    submitted: Submitted,
) -> PageResult {
    let list = list_of(&list)?;
    let mut order = submitted.values("order");
    let (direction, moved) = submitted.value("move").split_once(':').unwrap_or_default();
    if let Some(place) = order.iter().position(|name| *name == moved) {
        let beside = if direction == "up" { place.checked_sub(1) } else { Some(place + 1) };
        if let Some(beside) = beside.filter(|beside| *beside < order.len()) {
            order.swap(place, beside);
        }
    }
    let ticked = submitted.values("column");
    order.retain(|name| ticked.contains(name) && is_column_name(name));
    let columns = if submitted.has("reset") { String::new() } else { order.join(",") };
    let user_id = viewer.user().id;
    let save = move |tx: &WriteTx<'_>| views::set_columns(tx, user_id, list, &columns);
    write_as(&state, &viewer, save).await.map_err(sign_in::broken)?;
    // The chooser stays open for the next move.
    let choose = if moved.is_empty() { "" } else { "columns" };
    let address = back(list, &submitted).with_all(&[("columns", ""), ("choose", choose)]);
    let address = if address.contains('?') { address } else { format!("{address}?view=all") };
    Ok(Redirect::to(&format!("{address}#columns")).into_response())
}

/// Names of columns are words; the list ignores words that name none of its columns.
fn is_column_name(name: &str) -> bool {
    name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(list): Path<String>,
    submitted: Submitted,
) -> PageResult {
    let list = list_of(&list)?;
    let query = back(list, &submitted);
    let view = SavedView {
        id: 0,
        user_id: viewer.user().id,
        name: submitted.value("view_name").to_owned(),
        query: query.of_view(),
        columns: submitted.value("columns").to_owned(),
        is_shared: submitted.has("is_shared"),
    };
    let (user, opens) = (viewer.user().clone(), submitted.has("is_default"));
    let shown = address(list, &view);
    let work = move |tx: &WriteTx<'_>| {
        let id = views::save(tx, &user, list, view)?;
        if opens { views::set_default(tx, &user, list, Some(id)) } else { Ok(()) }
    };
    write_as(&state, &viewer, work).await.map_err(refused)?;
    Ok(saved(&shown, "saved", None))
}

async fn set_default(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(list): Path<String>,
    submitted: Submitted,
) -> PageResult {
    let list = list_of(&list)?;
    let (user, id) = (viewer.user().clone(), submitted.value("view_id").parse().ok());
    let work = move |tx: &WriteTx<'_>| views::set_default(tx, &user, list, id);
    write_as(&state, &viewer, work).await.map_err(refused)?;
    Ok(saved(&format!("{}?view=all", path(list)), "saved", None))
}

async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((list, id)): Path<(String, u32)>,
) -> PageResult {
    let list = list_of(&list)?;
    let user = viewer.user().clone();
    let work = move |tx: &WriteTx<'_>| views::delete(tx, &user, list, id);
    write_as(&state, &viewer, work).await.map_err(refused)?;
    Ok(saved(&format!("{}?view=all", path(list)), "deleted", None))
}

fn refused(error: EditError) -> PageError {
    match error {
        EditError::Invalid(errors) => {
            let error = errors.first().map_or("", |error| error.error.as_str());
            let sentence = format!("The view was not changed: {error}.");
            PageError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence)
        }
        EditError::NotFound { .. } => PageError::not_found(),
        EditError::Store(error) => sign_in::broken(error),
        error => {
            tracing::error!(%error, "a saved view was not changed");
            let sentence = "The view could not be saved; the log says more. Try again.";
            PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Column] =
        &[Column::new("a", "A"), Column::new("b", "B"), Column::new("c", "C").on_choice()];

    #[test]
    fn columns_come_in_the_chosen_order_and_else_as_delivered() {
        let of = |wanted| {
            let (columns, others) = chosen(ALL, wanted);
            (names(&columns), names(&others))
        };
        assert_eq!(of(""), ("a,b".into(), "c".into()));
        assert_eq!(of("c,a"), ("c,a".into(), "b".into()));
        assert_eq!(of("c,gone,c"), ("c".into(), "a,b".into()));
        assert_eq!(of("gone"), ("a,b".into(), "c".into()));
    }
}
