//! The way down from a row to a report about the row alone, and the way back.
//!
//! The address keeps earlier reports as `crumb`s: their queries without crumbs.

use super::question::{BREAKDOWNS, Question, is_time, is_valued, label};
use super::table::{AnswerColumn, AnswerRow};
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::list::{ListQuery, encode};
use crate::console::report;
use crate::console::viewer::Viewer;

const PATH: &str = "/console/flex";
/// The most earlier reports of an address.
const MAX_CRUMBS: usize = 8;
/// The longest period of a search for clicks, in days.
const MAX_CLICK_DAYS: usize = 14;
/// The value for all values beyond the counted ones. No filter selects this value.
const OTHERS: &str = "(other)";

/// A link from a row.
pub(super) struct DrillLink {
    pub(super) text: String,
    pub(super) path: String,
}

/// Filters, period and currency of a report about a row alone.
struct Narrowed {
    filters: Vec<(String, String)>,
    from: String,
    to: String,
    currency: String,
}

impl Narrowed {
    /// `None` where no filter selects the row.
    fn new(question: &Question, columns: &[AnswerColumn]) -> Option<Narrowed> {
        let known = report::facets(&question.query).into_iter();
        let mut narrowed = Narrowed {
            filters: known.map(|(facet, value)| (facet.to_owned(), value.to_owned())).collect(),
            from: question.period.from.clone(),
            to: question.period.to.clone(),
            currency: question.currency().to_owned(),
        };
        for column in columns {
            narrowed.add(column)?;
        }
        Some(narrowed)
    }

    fn add(&mut self, column: &AnswerColumn) -> Option<()> {
        let AnswerColumn { column_type, id, label } = column;
        match column_type.as_str() {
            "date" => (self.from, self.to) = (label.clone(), label.clone()),
            "hour" => {
                // `2026-11-28T14:00:00+01:00`: the day and the hour, as the network's clocks say.
                let (day, hour) = (id.get(..10)?, id.get(11..13)?);
                self.from = format!("{day} {hour}:00:00");
                self.to = format!("{day} {hour}:59:59");
            }
            "currency" => self.currency.clone_from(id),
            _ if id == OTHERS => return None,
            facet => {
                // Values of one facet are alternatives, and the row is one of them.
                self.filters.retain(|(known, _)| known != facet);
                self.filters.push((facet.to_owned(), id.clone()));
            }
        }
        Some(())
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs =
            vec![("from".to_owned(), self.from.clone()), ("to".to_owned(), self.to.clone())];
        let filter =
            |(facet, value): &(String, String)| ("filter".to_owned(), format!("{facet}={value}"));
        pairs.extend(self.filters.iter().map(filter));
        if !self.currency.is_empty() {
            pairs.push(("currency".into(), self.currency.clone()));
        }
        pairs
    }

    /// Further breakdowns of the row.
    fn breakdowns(&self, question: &Question) -> Vec<&'static str> {
        let is_one_day = self.from.get(..10) == self.to.get(..10);
        let has_value = self.filters.iter().any(|(facet, _)| is_valued(facet));
        let is_fixed = |name: &str| {
            question.breakdowns.iter().any(|breakdown| breakdown == name)
                || self.filters.iter().any(|(facet, _)| facet == name)
        };
        let is_offered = |name: &&str| match *name {
            "date" => !is_one_day,
            "hour" => is_one_day && self.from.len() == 10,
            "currency" => false,
            // The links of a row name the usual sub id alone.
            name if name.starts_with("sub") && name != "sub1" => false,
            name => !(is_fixed(name) || is_valued(name) && has_value),
        };
        BREAKDOWNS.iter().map(|(name, _)| *name).filter(is_offered).collect()
    }

    /// The list of clicks or conversions of the row; `None` if the list lacks a filter.
    fn list(&self, path: &str, knows: fn(&str) -> bool, from: &str) -> Option<String> {
        self.filters.iter().all(|(facet, _)| knows(facet)).then(|| {
            let mut address = format!("{path}?from={}&to={}", encode(from), encode(&self.to));
            for (facet, value) in &self.filters {
                address.push_str("&filter=");
                address.push_str(&encode(&format!("{facet}={value}")));
            }
            address
        })
    }
}

/// The links of a row: reports by further breakdowns, then clicks and conversions.
pub(super) fn links(question: &Question, row: &AnswerRow) -> Vec<DrillLink> {
    let Some(narrowed) = Narrowed::new(question, &row.columns) else { return Vec::new() };
    let base = below(question, &narrowed);
    let by = |name: &'static str| {
        let by = [("by".to_owned(), name.to_owned())];
        let text = format!("By {}", label(name).to_ascii_lowercase());
        DrillLink { text, path: question.query.address(by.iter().chain(&base)) }
    };
    let mut links: Vec<DrillLink> = narrowed.breakdowns(question).into_iter().map(by).collect();
    let is_object =
        |facet: &str| matches!(facet, "offer" | "affiliate" | "advertiser" | "coupon_code");
    let days = narrowed.days(question);
    let (text, from) = match days.len().checked_sub(MAX_CLICK_DAYS) {
        Some(first @ 1..) => {
            (format!("Clicks of the last {MAX_CLICK_DAYS} days"), days[first].clone())
        }
        _ => ("Clicks".to_owned(), narrowed.from.clone()),
    };
    let clicks = narrowed.list("/console/clicks", |_| true, &from);
    links.extend(clicks.map(|path| DrillLink { text, path }));
    let conversions = narrowed.list("/console/conversions", is_object, &narrowed.from);
    links.extend(conversions.map(|path| DrillLink { text: "Conversions".into(), path }));
    links
}

impl Narrowed {
    /// The days of the period; empty for a row of a day or an hour.
    fn days(&self, question: &Question) -> Vec<String> {
        if self.from != question.period.from {
            return Vec::new();
        }
        question.period.days().iter().map(ToString::to_string).collect()
    }
}

/// The parameters of a report below, without breakdowns.
fn below(question: &Question, narrowed: &Narrowed) -> Vec<(String, String)> {
    let mut pairs = narrowed.pairs();
    let kept = question
        .query
        .pairs()
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "measure" | "chart" | "compare" | "crumb"));
    pairs.extend(kept.cloned());
    let crumbs = question.query.values("crumb").len();
    if crumbs < MAX_CRUMBS {
        pairs.push(("crumb".into(), without_crumbs(question)));
    }
    pairs
}

fn without_crumbs(question: &Question) -> String {
    let mut pairs: Vec<(String, String)> =
        question.breakdowns.iter().map(|by| ("by".to_owned(), by.clone())).collect();
    pairs.push(("from".into(), question.period.from.clone()));
    pairs.push(("to".into(), question.period.to.clone()));
    let kept = question
        .query
        .pairs()
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "crumb" | "by" | "from" | "to" | "page"));
    pairs.extend(kept.cloned());
    let address = question.query.address(pairs.iter());
    address.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned())
}

/// An earlier report.
pub(super) struct Crumb {
    pub(super) text: String,
    pub(super) path: String,
}

/// The reports above, the topmost first, and the name of the present report.
pub(super) async fn trail(
    state: &ConsoleState,
    viewer: &Viewer,
    question: &Question,
) -> Result<(Vec<Crumb>, String), Refusal> {
    let kept = question.query.values("crumb");
    let (mut crumbs, mut above): (Vec<Crumb>, Option<Question>) = (Vec::new(), None);
    for (at, crumb) in kept.iter().enumerate().take(MAX_CRUMBS) {
        let earlier = Question::new(ListQuery::parse(PATH, crumb), viewer.time_zone());
        let text = name(state, viewer, above.as_ref(), &earlier).await?;
        let before = kept[..at].iter().map(|crumb| format!("&crumb={}", encode(crumb)));
        crumbs.push(Crumb { text, path: format!("{PATH}?{crumb}{}", before.collect::<String>()) });
        above = Some(earlier);
    }
    let own = name(state, viewer, above.as_ref(), question).await?;
    Ok((crumbs, own))
}

/// The name of a report: filters added to the report above, and breakdowns.
async fn name(
    state: &ConsoleState,
    viewer: &Viewer,
    above: Option<&Question>,
    question: &Question,
) -> Result<String, Refusal> {
    let known = above.map(|above| report::facets(&above.query)).unwrap_or_default();
    let mut added = Vec::new();
    for (facet, value) in report::facets(&question.query) {
        if above.is_some() && !known.contains(&(facet, value)) {
            added.push(report::name_of(&state.api, viewer, facet, value).await?);
        }
    }
    if above.is_some_and(|above| above.period != question.period) {
        added.push(span(&question.period.from, &question.period.to));
    }
    let by: Vec<String> =
        question.breakdowns.iter().map(|by| label(by).to_ascii_lowercase()).collect();
    let by = by.join(" and ");
    Ok(if added.is_empty() { format!("By {by}") } else { format!("{}: by {by}", added.join(", ")) })
}

fn span(from: &str, to: &str) -> String {
    if from == to { from.to_owned() } else { format!("{from} to {to}") }
}

/// The breakdown with the series of a chart; `None` for breakdowns by time alone.
pub(super) fn compared_breakdown(question: &Question) -> Option<&str> {
    question.breakdowns.iter().map(String::as_str).find(|breakdown| !is_time(breakdown))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(columns: serde_json::Value) -> AnswerRow {
        serde_json::from_value(json!({"columns": columns, "reporting": {}})).unwrap()
    }

    fn question(query: &str) -> Question {
        Question::new(ListQuery::parse(PATH, query), "UTC")
    }

    #[test]
    fn a_row_becomes_a_filter_and_the_report_above_is_kept() {
        let asked = question("by=coupon_code&by=date&from=2026-11-01&to=2026-11-30&measure=cv");
        let row = row(json!([
            {"column_type": "coupon_code", "id": "41", "label": "WINTER25"},
            {"column_type": "date", "id": "1795824000", "label": "2026-11-28"},
        ]));
        let links = links(&asked, &row);
        let texts: Vec<&str> = links.iter().map(|link| link.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "By offer",
                "By partner",
                "By advertiser",
                "By hour",
                "By device",
                "By system",
                "By browser",
                "By country",
                "By region",
                "By city",
                "By source",
                "By sub 1",
                "Clicks",
                "Conversions"
            ]
        );
        assert_eq!(
            links[1].path,
            "/console/flex?by=affiliate&from=2026-11-28&to=2026-11-28&filter=coupon_code%3D41\
             &measure=cv&crumb=by%3Dcoupon_code%26by%3Ddate%26from%3D2026-11-01%26to%3D2026-11-30\
             %26measure%3Dcv"
        );
        let below = ListQuery::parse(PATH, links[1].path.split_once('?').unwrap().1);
        assert_eq!(
            below.value("crumb"),
            "by=coupon_code&by=date&from=2026-11-01&to=2026-11-30&measure=cv"
        );
        assert_eq!(
            links[13].path,
            "/console/conversions?from=2026-11-28&to=2026-11-28&filter=coupon_code%3D41"
        );
    }

    #[test]
    fn a_row_that_no_filter_selects_has_no_links() {
        let asked = question("by=sub1");
        let others = row(json!([{"column_type": "sub1", "id": "(other)", "label": "(other)"}]));
        assert!(links(&asked, &others).is_empty());
        let story = row(json!([{"column_type": "sub1", "id": "story", "label": "story"}]));
        let texts: Vec<String> = links(&asked, &story).into_iter().map(|link| link.text).collect();
        assert!(!texts.contains(&"By device".to_owned()), "one of them at a time: {texts:?}");
        assert!(!texts.contains(&"Conversions".to_owned()), "no such filter there: {texts:?}");
        let asked = question("by=platform");
        let systems = row(json!([{"column_type": "platform", "id": "iOS", "label": "iOS"}]));
        let clicks = links(&asked, &systems).pop().unwrap();
        assert!(clicks.path.ends_with("&filter=platform%3DiOS"), "{}", clicks.path);
    }
}
