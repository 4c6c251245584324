//! The list of custom caps.

use askama::Template;
use axum::extract::State;
use serde_json::Value;

use super::CAPS;
use super::cap::{CapRow, Names};
use super::limits::{self, LimitUse};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "caps/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    caps: Vec<(CapRow, Vec<LimitUse>)>,
    paging: Paging,
    names: Names,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_custom_cap_setting_id").api_query();
    let asked = format!("{asked}&{}", limits::USED);
    let ObjectList { rows, paging } = CAPS.list::<Value>(&state, &viewer, &asked).await?;
    let caps = rows.into_iter().map(|row| {
        let uses = limits::uses(&row);
        Ok((serde_json::from_value(row).map_err(PageError::inside)?, uses))
    });
    let caps = caps.collect::<Result<_, PageError>>()?;
    let names = Names::load(&state, &viewer).await?;
    let page = Page::new(&viewer, CAPS.menu, CAPS.heading).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, caps, paging, names, may_edit }))
}
