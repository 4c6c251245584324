//! Blocked traffic: what offers do not take of the partner's visits.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;

use super::codes::own_codes;
use crate::catalog;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::page::{Page, PageResult, html};
use crate::console::switch_labels::{VARIABLES, label};
use crate::console::viewer::Viewer;
use crate::console::words;

/// Active controls with their values.
const API: &str =
    "/v1/affiliates/trafficcontrols?relationship=values&filter=status%3Dactive&page_size=200";
/// Values that rules or people blocked.
const BLOCKED_VALUES: &str = "/v1/affiliates/blockedvalues";
/// Most values of a control on the page.
const MAX_VALUES: usize = 200;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/blocked-traffic", get(show))
}

/// A traffic control as partners see it.
#[derive(Debug, Deserialize)]
struct OwnControl {
    control_type: String,
    comparison_method: String,
    variables: Vec<String>,
    date_valid_from: String,
    date_valid_to: String,
    time_created: i64,
    relationship: Related,
}

#[derive(Debug, Deserialize)]
struct Related {
    network_offer_ids: Option<Vec<u32>>,
    values: Vec<String>,
}

impl OwnControl {
    /// The rule as a sentence without its values.
    fn rule(&self) -> String {
        words::traffic_rule(&self.control_type, &self.variables, &self.comparison_method)
    }

    fn values(&self) -> Vec<String> {
        let shown = self.relationship.values.iter().take(MAX_VALUES);
        shown.map(|value| format::visible(value)).collect()
    }

    /// Number of values that the page leaves out.
    fn more(&self) -> usize {
        self.relationship.values.len().saturating_sub(MAX_VALUES)
    }

    fn days(&self) -> String {
        match self.date_valid_to.as_str() {
            "" => String::new(),
            last => format!("until {last}"),
        }
    }

    /// Whether the last day has passed. Days compare as texts.
    fn has_ended(&self, today: &str) -> bool {
        !self.date_valid_to.is_empty() && self.date_valid_to.as_str() < today
    }
}

/// A blocked value as partners see it.
#[derive(Debug, Deserialize)]
struct OwnBlock {
    variable: String,
    value: String,
    network_offer_ids: Option<Vec<u32>>,
    time_blocked: i64,
}

impl OwnBlock {
    fn variable(&self) -> String {
        label(VARIABLES, &self.variable)
    }

    fn value(&self) -> String {
        match self.variable.as_str() {
            "affiliate" => "All of your visits".into(),
            "country" => self.value.to_ascii_uppercase(),
            _ => format::visible(&self.value),
        }
    }
}

#[derive(Deserialize)]
struct BlockList {
    blocked_values: Vec<OwnBlock>,
}

#[derive(Deserialize)]
struct ControlList {
    traffic_controls: Vec<OwnControl>,
}

#[derive(Template)]
#[template(path = "portal/blocked_traffic.html")]
struct BlockedTrafficPage {
    page: Page,
    controls: Vec<OwnControl>,
    blocks: Vec<OwnBlock>,
    /// Ids and names of the partner's offers.
    offers: Vec<(u32, String)>,
}

impl BlockedTrafficPage {
    fn offer_names(&self, ids: &Option<Vec<u32>>) -> String {
        let Some(ids) = ids else { return "All".into() };
        let name = |id: &u32| {
            let found = self.offers.iter().find(|(offer, _)| offer == id);
            found.map_or_else(|| format!("Offer {id}"), |(_, name)| name.clone())
        };
        ids.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let list: ControlList = state.api.get(&viewer, API).await?;
    let today = catalog::today(viewer.time_zone()).to_string();
    let mut controls = list.traffic_controls;
    controls.retain(|control| !control.has_ended(&today));
    let BlockList { blocked_values: blocks } = state.api.get(&viewer, BLOCKED_VALUES).await?;
    let codes = own_codes(&state, &viewer).await?;
    let offers = codes.iter().map(|code| (code.network_offer_id, code.offer_name())).collect();
    let page = Page::new(&viewer, Menu::PortalTraffic, "Blocked traffic");
    Ok(html(&BlockedTrafficPage { page, controls, blocks, offers }))
}
