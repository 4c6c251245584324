//! The list of SmartSwitch rules.

use askama::Template;
use axum::extract::State;

use super::RULES;
use super::rule::RuleRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "smart_switch/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    rules: Vec<RuleRow>,
    paging: Paging,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_smart_switch_rule_id").api_query();
    let ObjectList { rows: rules, paging } = RULES.list(&state, &viewer, &asked).await?;
    let page = Page::new(&viewer, RULES.menu, RULES.heading).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, rules, paging, may_edit }))
}
