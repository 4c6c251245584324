//! The page of an advertiser.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::Value;

use super::ADVERTISERS;
use super::instructions::{Instructions, Reporter};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::{Dependents, Found, some_code};
use crate::console::viewer::Viewer;
use crate::console::words;

/// An advertiser in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct AdvertiserRow {
    pub(super) network_advertiser_id: u32,
    network_id: u64,
    pub(super) name: String,
    account_status: String,
    attribution_priority: String,
    attribution_method: String,
    /// Empty without [`Right::ViewSecrets`].
    verification_token: String,
    /// Empty without [`Right::ViewSecrets`].
    signing_key: String,
    ip_allow_list: Vec<String>,
    trust_rules: Vec<String>,
    pub(super) time_created: i64,
    pub(super) time_saved: i64,
}

impl AdvertiserRow {
    /// Class and word of the status.
    pub(super) fn state(&self) -> (&'static str, String) {
        words::account_state(&self.account_status)
    }

    fn has_rule(&self, rule: &str) -> bool {
        self.trust_rules.iter().any(|known| known == rule)
    }

    /// Class of the box, and the possible reporters of sales as a sentence.
    fn verdict(&self) -> (&'static str, String) {
        let rules: Vec<&str> = self.rules();
        match rules.as_slice() {
            [] => ("bad", "Anybody can report sales.".into()),
            [rule] => ("good", format!("Only a sender with {rule} can report sales.")),
            [first @ .., last] => (
                "good",
                format!("Only a sender with {} and {last} can report sales.", first.join(", ")),
            ),
        }
    }

    fn rules(&self) -> Vec<&'static str> {
        let sentences = [
            ("verification_token", "the token"),
            ("ip_allow_list", "an allowed address"),
            ("signing_key", "a signature"),
        ];
        let known = sentences.into_iter().filter(|(rule, _)| self.has_rule(rule));
        known.map(|(_, sentence)| sentence).collect()
    }

    /// The verdict in a cell of the list.
    pub(super) fn trust(&self) -> (&'static str, String) {
        match self.rules().as_slice() {
            [] => ("bad", "Anybody".into()),
            rules => ("good", words::word(&rules.join(", "))),
        }
    }

    /// Whether a script on a page of the shop can report sales.
    fn allows_scripts(&self) -> bool {
        self.trust_rules.is_empty()
    }

    fn first(&self) -> &'static str {
        match self.attribution_priority.as_str() {
            "click" => "The click, then the coupon code",
            _ => "The coupon code, then the click",
        }
    }

    fn touch(&self) -> &'static str {
        match self.attribution_method.as_str() {
            "first_touch" => "The first",
            _ => "The last",
        }
    }
}

#[derive(Template)]
#[template(path = "advertisers/advertiser.html")]
struct AdvertiserPage {
    page: Page,
    advertiser: AdvertiserRow,
    dependents: Dependents,
    /// `None` without a tracking domain.
    instructions: Option<Instructions>,
    may_edit: bool,
    may_see_secrets: bool,
    may_manage_keys: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let answer = match ADVERTISERS.find(&state, &viewer, id, &query, "").await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let advertiser: AdvertiserRow =
        serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let dependents = ADVERTISERS.dependents(&state, &viewer, id).await?;
    let instructions = instructions(&state, &viewer, &advertiser).await?;
    let title = format!("{} – Advertisers", format::visible(&advertiser.name));
    let page = Page::new(&viewer, ADVERTISERS.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    let may_see_secrets = viewer.may(Right::ViewSecrets);
    let may_manage_keys = viewer.may(Right::ManageKeys);
    Ok(html(&AdvertiserPage {
        page,
        advertiser,
        dependents,
        instructions,
        may_edit,
        may_see_secrets,
        may_manage_keys,
    }))
}

/// The texts for the default tracking domain.
async fn instructions(
    state: &ConsoleState,
    viewer: &Viewer,
    advertiser: &AdvertiserRow,
) -> Result<Option<Instructions>, Refusal> {
    let settings: Value = state.api.get(viewer, "/v1/networks/settings").await?;
    let domain = settings["default_tracking_domain_id"].as_u64().unwrap_or_default();
    if domain == 0 {
        return Ok(None);
    }
    let path = format!("/v1/networks/trackingdomains/{domain}");
    let domain: Value = state.api.get(viewer, &path).await?;
    let (code, offer_id) = code_and_offer(state, viewer, advertiser.network_advertiser_id).await?;
    let reporter = Reporter {
        base_url: domain["base_url"].as_str().unwrap_or_default(),
        network_id: advertiser.network_id,
        advertiser_id: advertiser.network_advertiser_id,
        needs_token: advertiser.has_rule("verification_token"),
        needs_signature: advertiser.has_rule("signing_key"),
        code: &code,
        offer_id,
    };
    Ok(Some(reporter.instructions()))
}

/// An active code of an active offer of the advertiser, and the offer; empty without a code.
async fn code_and_offer(
    state: &ConsoleState,
    viewer: &Viewer,
    advertiser_id: u32,
) -> Result<(String, u64), Refusal> {
    let offers = format!(
        "/v1/networks/offers?filter=network_advertiser_id%3D{advertiser_id}\
         &filter=offer_status%3Dactive&page_size=1"
    );
    let offers: Value = state.api.get(viewer, &offers).await?;
    let offer = offers["offers"][0]["network_offer_id"].as_u64().unwrap_or_default();
    Ok((some_code(state, viewer, offer).await?, offer))
}
