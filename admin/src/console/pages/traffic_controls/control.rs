//! The page of a traffic control.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::TRAFFIC_CONTROLS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::history::HistoryRow;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::Found;
use crate::console::viewer::Viewer;
use crate::console::words;

/// Entries of the history.
const HISTORY_ROWS: u32 = 20;

/// A traffic control in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct ControlRow {
    pub(super) network_traffic_control_id: u32,
    pub(super) name: String,
    status: String,
    control_type: String,
    targeting_action: String,
    comparison_method: String,
    is_apply_all_affiliates: bool,
    is_apply_all_offers: bool,
    variables: Vec<String>,
    network_offer_ids: Vec<u32>,
    network_affiliate_ids: Vec<u32>,
    network_advertiser_ids: Vec<u32>,
    /// Empty in lists.
    #[serde(default)]
    values: Vec<String>,
    date_valid_from: String,
    date_valid_to: String,
    time_created: i64,
    pub(super) time_saved: i64,
    #[serde(default)]
    warnings: Vec<String>,
}

impl ControlRow {
    /// Class and word of the status.
    pub(super) fn state(&self) -> (&'static str, &'static str) {
        match self.status.as_str() {
            "active" => ("good", "Active"),
            _ => ("off", "Inactive"),
        }
    }

    /// The rule as a sentence without its values.
    pub(super) fn rule(&self) -> String {
        words::traffic_rule(&self.control_type, &self.variables, &self.comparison_method)
    }

    fn compares_values(&self) -> bool {
        self.comparison_method != "not_present"
    }

    pub(super) fn offers(&self) -> String {
        if self.is_apply_all_offers {
            return "All".into();
        }
        let offers = self.network_offer_ids.len();
        match self.network_advertiser_ids.len() {
            0 => format::count(offers),
            advertisers => format!(
                "{}, and all of {}",
                format::count(offers),
                format::counted(advertisers, "advertisers")
            ),
        }
    }

    pub(super) fn partners(&self) -> String {
        match self.is_apply_all_affiliates {
            true => "All".into(),
            false => format::count(self.network_affiliate_ids.len()),
        }
    }

    /// The days on which the control acts.
    pub(super) fn days(&self) -> String {
        words::valid_days(&self.date_valid_from, &self.date_valid_to)
    }

    fn refused_go(&self) -> &'static str {
        match self.targeting_action.as_str() {
            "fail_traffic" => "To the fail traffic of the offer, else to the fallback",
            _ => "To the fallback",
        }
    }
}

/// Names of the objects that a control names.
pub(super) struct Names {
    pub(super) offers: Options,
    pub(super) partners: Options,
    pub(super) advertisers: Options,
}

impl Names {
    pub(super) async fn load(state: &ConsoleState, viewer: &Viewer) -> Result<Names, PageError> {
        Ok(Names {
            offers: Options::load(&state.api, viewer, Referred::Offer).await?,
            partners: Options::load(&state.api, viewer, Referred::Partner).await?,
            advertisers: Options::load(&state.api, viewer, Referred::Advertiser).await?,
        })
    }

    /// The label of an object, such as `3 – Winter Jackets`.
    fn label(&self, options: &Options, id: &u32) -> String {
        format::visible(&options.label_of(&id.to_string()))
    }
}

#[derive(Deserialize)]
struct AuditList {
    audit: Vec<HistoryRow>,
}

#[derive(Template)]
#[template(path = "traffic_controls/control.html")]
struct ControlPage {
    page: Page,
    control: ControlRow,
    names: Names,
    history: Vec<HistoryRow>,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let answer = match TRAFFIC_CONTROLS.find(&state, &viewer, id, &query, "").await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let control: ControlRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let names = Names::load(&state, &viewer).await?;
    let audit = format!(
        "/v1/networks/audit?filter=object%3Dtraffic_control&filter=first_id%3D{id}\
         &page_size={HISTORY_ROWS}"
    );
    let history: AuditList = state.api.get(&viewer, &audit).await?;
    let title = format!("{} – Traffic controls", format::visible(&control.name));
    let page = Page::new(&viewer, TRAFFIC_CONTROLS.menu, title);
    let page = page.with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ControlPage { page, control, names, history: history.audit, may_edit }))
}
