//! Codes for handing out: a sheet of cards for printing, and a file of codes and links.

use std::io;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse as _;
use serde::Deserialize;

use super::code::CodeRow;
use super::listing::API;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html};
use crate::console::qr::QrPicture;
use crate::console::viewer::Viewer;
use crate::csv_file::{BYTE_ORDER_MARK, CsvWriter};

/// Cards of a sheet: each has a picture that is rendered into the page.
const MAX_CARDS: u32 = 200;
/// Rows that the API answers at once.
const ROWS_AT_ONCE: u32 = 2_000;
/// Rows of a file: as many as one request can generate.
const MAX_ROWS: u64 = 100_000;

#[derive(Deserialize)]
struct CodeList {
    coupon_codes: Vec<CodeRow>,
    paging: Paging,
}

/// One page of the codes that a list selects.
async fn selected(
    state: &ConsoleState,
    viewer: &Viewer,
    query: &ListQuery,
    page: u32,
    size: u32,
) -> Result<CodeList, Refusal> {
    let selection = query.selection();
    let mark = if selection.is_empty() { '?' } else { '&' };
    let path = format!("{API}{selection}{mark}page={page}&page_size={size}&relationship=offer");
    state.api.get(viewer, &path).await
}

#[derive(Template)]
#[template(path = "coupon_codes/sheet.html")]
struct SheetPage {
    page: Page,
    query: ListQuery,
    cards: Vec<Card>,
    total_count: u64,
}

/// A code on the sheet.
struct Card {
    code: CodeRow,
    qr: Option<QrPicture>,
}

impl Card {
    fn new(code: CodeRow) -> Card {
        let link = Some(&code.tracking_link).filter(|link| !link.is_empty());
        let qr = link.and_then(|link| QrPicture::new(link));
        Card { code, qr }
    }

    /// The days on which the code works.
    fn days(&self) -> String {
        let CodeRow { start_date, end_date, .. } = &self.code;
        match (start_date.as_str(), end_date.as_str()) {
            ("", "") => String::new(),
            (start, "") => format!("from {start}"),
            ("", end) => format!("until {end}"),
            (start, end) => format!("{start} to {end}"),
        }
    }
}

pub(super) async fn sheet(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let CodeList { coupon_codes, paging } = selected(&state, &viewer, &query, 1, MAX_CARDS).await?;
    let page = Page::new(&viewer, Menu::CouponCodes, "Print sheet – Coupon Codes");
    let cards = coupon_codes.into_iter().map(Card::new).collect();
    Ok(html(&SheetPage { page, query, cards, total_count: paging.total_count }))
}

/// Codes and links as CSV; a file for a later upload is the export of the list.
pub(super) async fn links(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let mut rows = Vec::new();
    for page in 1.. {
        let list = selected(&state, &viewer, &query, page, ROWS_AT_ONCE).await?;
        if list.paging.total_count > MAX_ROWS {
            return Err(too_many(list.paging.total_count));
        }
        let is_last = list.coupon_codes.is_empty() || u64::from(page) >= list.paging.last();
        rows.extend(list.coupon_codes);
        if is_last {
            break;
        }
    }
    let file = written(&rows, query.is_for_excel()).map_err(|error| {
        tracing::error!(%error, "codes and links not written");
        PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "The file could not be written.")
    })?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"codes-and-links.csv\""),
    ];
    Ok((headers, file).into_response())
}

fn too_many(count: u64) -> PageError {
    let sentence = format!(
        "The filters select {} codes; a file with links has at most {}. Set more filters.",
        format::count(count),
        format::count(MAX_ROWS)
    );
    PageError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence)
}

fn written(rows: &[CodeRow], is_for_excel: bool) -> io::Result<Vec<u8>> {
    let start = if is_for_excel { BYTE_ORDER_MARK.to_vec() } else { Vec::new() };
    let mut out = CsvWriter::begin(start, &["coupon_code", "tracking_link", "offer"])?;
    for row in rows {
        out.text(&row.coupon_code)?;
        out.text(&row.tracking_link)?;
        out.text(&row.offer_name())?;
        out.end_row()?;
    }
    out.finish()
}
