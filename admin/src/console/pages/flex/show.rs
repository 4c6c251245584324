//! The page of a flex report, and its file.

use askama::Template;
use axum::extract::State;
use serde_json::{Map, Value};

use super::API;
use super::drill::{self, Crumb, DrillLink};
use super::picture;
use super::question::{BREAKDOWNS, MAX_BREAKDOWNS, MEASURES, Measure, Question, is_time, label};
use super::table::{self, Answer, Before, Cell, SumRow};
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::chart::Chart;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{Chip, ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult};
use crate::console::report;
use crate::console::typed_period::Preset;
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "flex/report.html")]
struct FlexPage {
    page: Page,
    question: Question,
    presets: Vec<Preset>,
    chips: Vec<Chip>,
    crumbs: Vec<Crumb>,
    own_name: String,
    chart: Chart,
    rows: Vec<Row>,
    sums: Vec<SumRow>,
    currencies: Vec<String>,
    paging: Paging,
    is_incomplete: bool,
    warnings: Vec<String>,
    offers: Options,
    partners: Options,
    problem: Option<String>,
    curl: String,
}

/// A row with its cells and the ways on from it.
struct Row {
    names: Vec<String>,
    cells: Vec<Cell>,
    links: Vec<DrillLink>,
}

impl FlexPage {
    fn head(&self) -> Vec<String> {
        self.question.breakdowns.iter().map(|breakdown| label(breakdown)).collect()
    }

    fn places() -> std::ops::Range<usize> {
        0..MAX_BREAKDOWNS
    }

    fn breakdowns() -> &'static [(&'static str, &'static str)] {
        &BREAKDOWNS
    }

    fn measures() -> &'static [Measure] {
        &MEASURES
    }

    /// A filter of the form, and money that is not in the chosen currency, may hide rows.
    fn has_several_currencies(&self) -> bool {
        self.currencies.len() > 1
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let question = Question::new(query, viewer.time_zone());
    let number = report::page_number(&question.query);
    let path = format!("{API}?page={number}&page_size={}", report::PAGE_SIZE);
    let asked = state.api.query(&viewer, &path, question.body()).await;
    let (answer, problem): (Answer, _) = report::or_problem(asked)?;
    let earlier = earlier(&state, &viewer, &question, problem.is_some()).await?;
    let before = earlier.as_ref().map(Before::new);
    let (chart, sums) = match &problem {
        Some(_) => (no_chart(), Vec::new()),
        None => (
            picture::chart(&state, &viewer, &question).await?,
            sums(&state, &viewer, &question, &answer, before.as_ref()).await?,
        ),
    };
    // Days of the period before are other days, so only sums are compared.
    let of_rows = before.as_ref().filter(|_| !question.breakdowns.iter().any(|by| is_time(by)));
    let row = |row: &table::AnswerRow| Row {
        names: row.columns.iter().map(table::AnswerColumn::text).collect(),
        cells: table::cells(&question.measures, row, of_rows),
        links: drill::links(&question, row),
    };
    let rows = answer.table.iter().map(row).collect();
    let (crumbs, own_name) = drill::trail(&state, &viewer, &question).await?;
    let page = FlexPage {
        page: Page::new(&viewer, Menu::Flex, format!("{own_name} – Flex report")),
        presets: question.period.presets(&question.query, &[7, 30]),
        chips: report::chips(&state.api, &viewer, &question.query).await?,
        curl: report::as_curl(API, &question.body()),
        offers: Options::load(&state.api, &viewer, Referred::Offer).await?,
        partners: Options::load(&state.api, &viewer, Referred::Partner).await?,
        question,
        crumbs,
        own_name,
        chart,
        rows,
        sums,
        currencies: answer.currencies.clone(),
        paging: answer.paging,
        is_incomplete: answer.incomplete_results,
        warnings: answer.warnings.iter().map(|warning| warning.message.clone()).collect(),
        problem,
    };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

fn no_chart() -> Chart {
    Chart {
        title: String::new(),
        places_name: "",
        places: Vec::new(),
        series: Vec::new(),
        is_line: false,
    }
}

/// The same report about the period before; `None` where it is not asked for.
async fn earlier(
    state: &ConsoleState,
    viewer: &Viewer,
    question: &Question,
    is_refused: bool,
) -> Result<Option<Answer>, Refusal> {
    let Some(period) = question.period.before().filter(|_| question.compares() && !is_refused)
    else {
        return Ok(None);
    };
    let breakdowns: Vec<&str> = question.breakdowns.iter().map(String::as_str).collect();
    state.api.query(viewer, API, question.body_by(&breakdowns, &period)).await.map(Some)
}

/// The sums of all rows; money of several currencies in a line for each.
async fn sums(
    state: &ConsoleState,
    viewer: &Viewer,
    question: &Question,
    answer: &Answer,
    before: Option<&Before<'_>>,
) -> Result<Vec<SumRow>, Refusal> {
    let measures = &question.measures;
    let row = |name: String, sums: &Map<String, Value>, before: Option<&Before<'_>>| SumRow {
        name,
        cells: table::sum_cells(measures, sums, before),
    };
    let mut rows = vec![row("All rows".into(), &answer.summary, before)];
    if answer.currencies.len() < 2 || question.breakdowns.iter().any(|by| by == "currency") {
        return Ok(rows);
    }
    for currency in &answer.currencies {
        let breakdowns: Vec<&str> = question.breakdowns.iter().map(String::as_str).collect();
        let mut body = question.body_by(&breakdowns, &question.period);
        body["currency_id"] = currency.as_str().into();
        let path = format!("{API}?page=1&page_size=1");
        let of_currency: Answer = state.api.query(viewer, &path, body).await?;
        rows.push(row(format!("Money in {currency}"), &of_currency.summary, None));
    }
    Ok(rows)
}

/// All rows as CSV.
pub(super) async fn export(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let question = Question::new(query, viewer.time_zone());
    let path = format!("{API}/table/export");
    report::export(&state, &viewer, &path, &question.query, &question.body()).await
}
