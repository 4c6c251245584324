//! Control Center – Bots: the list of user agents that are no people.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::access::Right;
use crate::catalog::FieldError;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{Page, PageResult, conflict, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/botlist";
const PAGE: &str = "/console/bots";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/bots", get(show).post(save)).route("/bots/reset", post(reset))
}

const FIELDS: &[FormField] = &[FormField::new("patterns", Kind::Lines)];

#[derive(Debug, Deserialize)]
struct BotList {
    is_built_in: bool,
    is_in_force: bool,
    blocks_judged: u64,
    blocks: u64,
    time_saved: i64,
}

/// The answer about one user agent.
#[derive(Debug, Deserialize)]
struct Check {
    is_bot: bool,
    pattern: String,
    line: u64,
}

impl Check {
    /// The verdict as a sentence.
    fn sentence(&self) -> String {
        let (pattern, line) = (format::visible(&self.pattern), self.line);
        match (self.is_bot, line) {
            (true, _) => format!("This user agent is a bot, by line {line}: {pattern}"),
            (false, 0) => "This user agent is not in the list, so it counts as a person.".into(),
            (false, _) => {
                format!("This user agent is a person, by the exception in line {line}: {pattern}")
            }
        }
    }
}

#[derive(Template)]
#[template(path = "bots/bots.html")]
struct BotsPage {
    page: Page,
    form: Form,
    list: BotList,
    user_agent: String,
    check: Option<Check>,
    may_edit: bool,
}

impl BotsPage {
    fn line_count(&self) -> usize {
        self.form.value("patterns").lines().count()
    }
}

async fn read(state: &ConsoleState, viewer: &Viewer) -> Result<ApiAnswer, Refusal> {
    state.api.send(viewer, ApiRequest::new(Method::GET, API)).await
}

/// The page; `form` is a refused one, else the form shows the present list.
async fn bots_page(
    state: &ConsoleState,
    viewer: &Viewer,
    form: Option<Form>,
    user_agent: &str,
) -> Result<BotsPage, PageError> {
    let list: BotList = state.api.get(viewer, API).await?;
    let form = match form {
        Some(form) => form,
        None => {
            read(state, viewer).await.map(|answer| Form::of_object(&answer.body, &answer.etag))?
        }
    };
    let check = match user_agent {
        "" => None,
        agent => {
            let path = format!("{API}/check?user_agent={}", encode(agent));
            Some(state.api.get(viewer, &path).await?)
        }
    };
    let page = Page::new(viewer, Menu::Bots, "Bots");
    let may_edit = viewer.may(Right::EditBotList);
    Ok(BotsPage { page, form, list, user_agent: user_agent.to_owned(), check, may_edit })
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let mut page = bots_page(&state, &viewer, None, query.value("user_agent")).await?;
    page.page.notice = notice_of(query.pairs());
    Ok(html(&page))
}

async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::put(API, submitted.to_json(FIELDS)).if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(_) => Ok(saved(PAGE, "saved", None)),
        Err(refusal) if refusal.is_stale() => {
            let now = read(&state, &viewer).await?;
            Ok(conflict(&viewer, Menu::Bots, FIELDS, &submitted, &now))
        }
        Err(refusal) => {
            let form = Form::refused(&submitted, at_the_list(refusal))?;
            Ok(refused(&bots_page(&state, &viewer, Some(form), "").await?))
        }
    }
}

/// All patterns are one input, so an error of a pattern names its line.
fn at_the_list(refusal: Refusal) -> Refusal {
    let number =
        |field: &str| field.strip_prefix("patterns[")?.strip_suffix(']')?.parse::<usize>().ok();
    let fields = refusal.fields.iter().map(|found| {
        let error = match number(&found.field) {
            Some(place) => format!("pattern {} {}", place + 1, found.error),
            None => found.error.clone(),
        };
        FieldError { field: "patterns".into(), error }
    });
    Refusal { fields: fields.collect(), ..refusal }
}

async fn reset(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    state.api.send(&viewer, ApiRequest::delete(API)).await?;
    Ok(saved(PAGE, "restored", None))
}
