//! The search of the frame: finds codes, offers, partners, advertisers, clicks, conversions and
//! postbacks by id, name or order id. A single exact hit opens its page.

use std::collections::HashSet;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{Page, PageResult, html};
use crate::console::viewer::Viewer;
use crate::store::casefolded;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/search", get(show))
}

/// Hits of one group at most; the group then links to its list.
const MAX_HITS: usize = 10;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    page: Page,
    asked: String,
    groups: Vec<Group>,
}

/// Hits of one kind.
struct Group {
    title: &'static str,
    hits: Vec<Hit>,
    /// The list with all hits; empty if the group shows all.
    all: String,
}

struct Hit {
    label: String,
    path: String,
    /// Whether the whole text was found, as an id, a code or a name.
    is_exact: bool,
}

/// A catalog of objects with names.
struct Catalog {
    title: &'static str,
    /// Path and plural in the API.
    api: &'static str,
    id: &'static str,
    /// Path of its pages.
    pages: &'static str,
}

const CATALOGS: [Catalog; 3] = [
    Catalog { title: "Offers", api: "offers", id: "network_offer_id", pages: "offers" },
    Catalog { title: "Partners", api: "affiliates", id: "network_affiliate_id", pages: "partners" },
    Catalog {
        title: "Advertisers",
        api: "advertisers",
        id: "network_advertiser_id",
        pages: "advertisers",
    },
];

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let asked = query.value("q").to_owned();
    let search = Search { state: &state, viewer: &viewer, asked: &asked };
    let groups = if asked.is_empty() { Vec::new() } else { search.all().await? };
    if let Some(path) = only_exact(&groups) {
        return Ok(Redirect::to(path).into_response());
    }
    let page = Page::new(&viewer, Menu::Search, "Search");
    Ok(html(&SearchPage { page, asked, groups }))
}

/// The page of the only exact hit.
fn only_exact(groups: &[Group]) -> Option<&str> {
    let mut exact = groups.iter().flat_map(|group| &group.hits).filter(|hit| hit.is_exact);
    exact.next().filter(|_| exact.next().is_none()).map(|hit| hit.path.as_str())
}

struct Search<'a> {
    state: &'a ConsoleState,
    viewer: &'a Viewer,
    asked: &'a str,
}

impl Search<'_> {
    async fn all(&self) -> Result<Vec<Group>, Refusal> {
        let mut groups = vec![self.codes().await?];
        for catalog in &CATALOGS {
            groups.push(self.named(catalog).await?);
        }
        groups.push(self.conversions().await?);
        if is_long_id(self.asked) {
            groups.push(self.click().await?);
            groups.push(self.postback().await?);
        }
        for group in &mut groups {
            // An object can be found in two ways, such as by its id and by its name.
            let mut seen = HashSet::new();
            group.hits.retain(|hit| seen.insert(hit.path.clone()));
        }
        groups.retain(|group| !group.hits.is_empty());
        Ok(groups)
    }

    /// Asks the API; what it cannot find or cannot be asked for is no hit.
    async fn find_matches<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Refusal> {
        found(self.state.api.get(self.viewer, path).await)
    }

    /// A number that can be an id.
    fn id(&self) -> Option<u32> {
        self.asked.parse().ok()
    }

    async fn codes(&self) -> Result<Group, Refusal> {
        let mut hits = Vec::new();
        if let Some(id) = self.id() {
            let row: Option<Value> =
                self.find_matches(&format!("/v1/networks/couponcodes/{id}")).await?;
            hits.extend(row.as_ref().map(|row| code_hit(row, true)));
        }
        let query = format!("prefix={}", encode(self.asked));
        let path =
            format!("/v1/networks/couponcodes?{query}&page_size={MAX_HITS}&relationship=offer");
        let list: Value = self.find_matches(&path).await?.unwrap_or_default();
        for row in rows(&list, "coupon_codes") {
            let is_exact = text(row, "coupon_code").eq_ignore_ascii_case(self.asked);
            hits.push(code_hit(row, is_exact));
        }
        let all = more(&list).then(|| format!("/console/coupon-codes?{query}"));
        Ok(Group { title: "Coupon codes", hits, all: all.unwrap_or_default() })
    }

    async fn named(&self, catalog: &Catalog) -> Result<Group, Refusal> {
        let Catalog { title, api, id: id_field, pages } = catalog;
        let mut hits = Vec::new();
        let hit = |row: &Value, is_exact| Hit {
            label: format!("{} (id {})", format::visible(text(row, "name")), row[id_field]),
            path: format!("/console/{pages}/{}", row[id_field]),
            is_exact,
        };
        if let Some(id) = self.id() {
            let row: Option<Value> = self.find_matches(&format!("/v1/networks/{api}/{id}")).await?;
            hits.extend(row.as_ref().map(|row| hit(row, true)));
        }
        let query = format!("search={}", encode(self.asked));
        let path = format!("/v1/networks/{api}?{query}&page_size={MAX_HITS}");
        let list: Value = self.find_matches(&path).await?.unwrap_or_default();
        for row in rows(&list, api) {
            let is_exact = casefolded(text(row, "name")) == casefolded(self.asked);
            hits.push(hit(row, is_exact));
        }
        let all = more(&list).then(|| format!("/console/{pages}?{query}"));
        Ok(Group { title, hits, all: all.unwrap_or_default() })
    }

    /// Conversions by their id, by the click or by the order.
    async fn conversions(&self) -> Result<Group, Refusal> {
        let mut hits = Vec::new();
        if is_long_id(self.asked) {
            let asked = self.asked;
            let path = format!("/v1/networks/reporting/conversions/{asked}");
            let row: Option<Value> = self.find_matches(&path).await?;
            hits.extend(row.as_ref().map(conversion_hit));
            let path = format!("/v1/networks/reporting/events/{asked}");
            let list: Value = self.find_matches(&path).await?.unwrap_or_default();
            hits.extend(rows(&list, "events").iter().map(conversion_hit));
        }
        let body = json!({
            "from": "2000-01-01", "to": "2999-12-31", "page": 1, "page_size": MAX_HITS,
            "query": {"filters": [{"resource_type": "order_id", "filter_id_value": self.asked}]},
        });
        let path = "/v1/networks/reporting/conversions";
        let list = found(self.state.api.query::<Value>(self.viewer, path, body).await)?;
        let list = list.unwrap_or_default();
        hits.extend(rows(&list, "conversions").iter().map(conversion_hit));
        Ok(Group { title: "Conversions", hits, all: String::new() })
    }

    async fn click(&self) -> Result<Group, Refusal> {
        let asked = self.asked.to_ascii_lowercase();
        let row: Option<Value> =
            self.find_matches(&format!("/v1/networks/reporting/clicks/{asked}")).await?;
        let hit = row.map(|_| Hit {
            label: format!("Click {asked}"),
            path: format!("/console/clicks/{asked}"),
            is_exact: true,
        });
        Ok(Group { title: "Clicks", hits: hit.into_iter().collect(), all: String::new() })
    }

    async fn postback(&self) -> Result<Group, Refusal> {
        let asked = self.asked.to_ascii_lowercase();
        let row: Option<Value> =
            self.find_matches(&format!("/v1/networks/postbacks/{asked}")).await?;
        let hit = row.map(|_| Hit {
            label: format!("Postback {asked}"),
            path: format!("/console/postbacks/{asked}"),
            is_exact: true,
        });
        Ok(Group { title: "Postbacks", hits: hit.into_iter().collect(), all: String::new() })
    }
}

fn found<T>(answer: Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(refusal) if refusal.is_of_form() || refusal.status == StatusCode::NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Whether a text can be the id of a click, a conversion or a postback.
fn is_long_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn rows<'a>(list: &'a Value, plural: &str) -> &'a [Value] {
    list[plural].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// Whether a list has more rows than its page.
fn more(list: &Value) -> bool {
    list["paging"]["total_count"].as_u64().unwrap_or_default() > MAX_HITS as u64
}

fn code_hit(row: &Value, is_exact: bool) -> Hit {
    let offer = text(&row["relationship"]["offer"], "name");
    let on_offer =
        if offer.is_empty() { String::new() } else { format!(", {}", format::visible(offer)) };
    let id = &row["network_coupon_code_id"];
    Hit {
        label: format!("{}{on_offer} (id {id})", text(row, "coupon_code")),
        path: format!("/console/coupon-codes/{id}"),
        is_exact,
    }
}

fn conversion_hit(row: &Value) -> Hit {
    let (id, order) = (text(row, "conversion_id"), text(row, "order_id"));
    let of_order = if order.is_empty() {
        String::new()
    } else {
        format!(", order {}", format::visible(order))
    };
    Hit {
        label: format!("Conversion {id}{of_order}"),
        path: format!("/console/conversions/{id}"),
        is_exact: true,
    }
}
