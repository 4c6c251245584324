//! The visitors an offer is for. Each list of the ruleset is a pair of text areas, one value a line:
//! who passes, and who is refused.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use askama::Template;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::OFFERS;
use super::rules_change::RulesChange;
use super::targeting_lines::{LISTS, TargetingList};
use crate::access::Right;
use crate::catalog::FieldError;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::viewer::Viewer;

/// Names of the days from Sunday, as the API counts them.
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Networks that hide their users: the API's word, and the name on the page.
pub(super) const PROXIES: [(&str, &str); 5] = [
    ("vpn", "VPNs"),
    ("public_proxy", "Public proxies"),
    ("tor", "Tor"),
    ("residential_proxy", "Proxies in homes"),
    ("hosting", "Data centres (companies and privacy relays, too)"),
];

#[derive(Template)]
#[template(path = "offers/targeting.html")]
struct TargetingPage {
    page: Page,
    id: u32,
    name: String,
    form: Form,
}

impl TargetingPage {
    fn lists(&self) -> &'static [TargetingList] {
        LISTS
    }

    fn days(&self) -> [(String, &'static str); 7] {
        std::array::from_fn(|day| (format!("day.{day}"), DAYS[day]))
    }

    fn proxies(&self) -> [(String, &'static str); 5] {
        PROXIES.map(|(word, name)| (format!("proxy.{word}"), name))
    }

    /// Everflow's numbered zones by name, as the options of a choice.
    fn zones(&self) -> Vec<(String, &'static str)> {
        let mut zones: Vec<_> = (1..)
            .zip(crate::catalog::time_zones::NUMBERED)
            .map(|(id, name): (u32, _)| (id.to_string(), name))
            .collect();
        zones.sort_by_key(|(_, name)| *name);
        zones
    }
}

async fn targeting_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    form: Form,
) -> Result<TargetingPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let offer = OFFERS.read(state, viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let page = Page::new(viewer, OFFERS.menu, format!("Visitors of {name} – Offers"));
    Ok(TargetingPage { page, id, name, form })
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let offer = OFFERS.read(&state, &viewer, id, "").await?;
    let mut form = Form::of_object(&json!({}), &offer.etag);
    for (input, value) in inputs(&offer.body["ruleset"]) {
        form.set(&input, value);
    }
    Ok(html(&targeting_page(&state, &viewer, id, form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let ruleset = match ruleset(&submitted) {
        Ok(ruleset) => ruleset,
        Err(errors) => {
            let form = Form::with_errors(&submitted, &errors);
            return Ok(refused(&targeting_page(&state, &viewer, id, form).await?));
        }
    };
    let change = RulesChange {
        offer_id: id,
        submitted: &submitted,
        body: json!({"ruleset": ruleset}),
        fields: &ALL_FIELDS,
        inputs: |offer| json!(inputs(&offer["ruleset"])),
    };
    match change.save(&state, &viewer).await? {
        Ok(response) => Ok(response),
        Err(refusal) => {
            let refusal = at_inputs(refusal, &submitted);
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&targeting_page(&state, &viewer, id, form).await?))
        }
    }
}

/// The inputs that a conflict with somebody else's edit shows.
static ALL_FIELDS: LazyLock<Vec<FormField>> = LazyLock::new(|| {
    let lists = LISTS.iter().flat_map(|list| [list.only, list.not]);
    lists.chain(["clock", "zone"]).map(|name| FormField::new(name, Kind::Text)).collect()
});

/// The ruleset in words: names of its parts with their values.
pub(super) fn summary(ruleset: &Value) -> Vec<(String, String)> {
    let inputs = inputs(ruleset);
    let value = |input: &str| inputs.get(input).map(String::as_str).unwrap_or_default();
    let mut parts = Vec::new();
    for list in LISTS {
        for (input, side) in [(list.only, "only"), (list.not, "never")] {
            let lines = value(input).replace('\n', ", ");
            if !lines.is_empty() {
                parts.push((format!("{}, {side}", list.heading), format::visible(&lines)));
            }
        }
    }
    let refused = PROXIES.iter().filter(|(word, _)| value(&format!("proxy.{word}")) == "true");
    let refused: Vec<&str> = refused.map(|(_, name)| *name).collect();
    if !refused.is_empty() {
        parts.push(("Hidden networks, never".into(), refused.join(", ")));
    }
    if !value("clock").is_empty() {
        let days = DAYS.iter().enumerate();
        let open = days.map(|(day, name)| (name, value(&format!("day.{day}"))));
        let open = open.filter(|(_, hours)| !hours.is_empty());
        let open: Vec<String> = open.map(|(name, hours)| format!("{name} {hours}")).collect();
        parts.push(("Hours".into(), open.join("; ")));
    }
    parts
}

/// The values of the page's inputs.
fn inputs(ruleset: &Value) -> BTreeMap<String, String> {
    let mut inputs = BTreeMap::new();
    for list in LISTS {
        for (input, side) in [(list.only, "include"), (list.not, "exclude")] {
            let entries = ruleset[list.name].as_array().map(Vec::as_slice).unwrap_or_default();
            let of_side = entries.iter().filter(|entry| entry["targeting_type"] == side);
            let lines: Vec<String> = of_side.map(|entry| (list.line)(entry)).collect();
            inputs.insert(input.into(), lines.join("\n"));
        }
    }
    let is_on = |field: &str| ruleset[field] == true;
    let clock = match is_on("is_use_day_parting") {
        true => ruleset["day_parting_apply_to"].as_str().unwrap_or_default(),
        false => "",
    };
    inputs.insert("clock".into(), clock.into());
    inputs.insert("zone".into(), ruleset["day_parting_timezone_id"].to_string());
    for (day, slots) in hours(&ruleset["days_parting"]) {
        inputs.insert(format!("day.{day}"), slots);
    }
    let named: Vec<&str> = texts(&ruleset["proxy_kinds"]);
    for (at, (word, _)) in PROXIES.iter().enumerate() {
        // Without names, all but the last kind are meant.
        let is_meant = if named.is_empty() { at < PROXIES.len() - 1 } else { named.contains(word) };
        let is_ticked = is_on("is_block_proxy") && is_meant;
        inputs.insert(format!("proxy.{word}"), is_ticked.to_string());
    }
    inputs
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The hours of each day, such as `09:00-16:59, 18:00-20:59`.
fn hours(slots: &Value) -> BTreeMap<u64, String> {
    let mut days: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for slot in slots.as_array().into_iter().flatten() {
        let number = |field: &str| slot[field].as_u64().unwrap_or_default();
        let text = format!(
            "{:02}:{:02}-{:02}:{:02}",
            number("start_hour"),
            number("start_minute"),
            number("end_hour"),
            number("end_minute")
        );
        days.entry(number("day_of_week")).or_default().push(text);
    }
    days.into_iter().map(|(day, slots)| (day, slots.join(", "))).collect()
}

/// The ruleset of a submitted form.
fn ruleset(submitted: &Submitted) -> Result<Value, Vec<FieldError>> {
    let mut ruleset = Map::new();
    for list in LISTS {
        let sides = [(list.only, "include"), (list.not, "exclude")];
        let entries = sides.into_iter().flat_map(|(input, side)| {
            lines(submitted.value(input)).map(move |line| {
                let mut entry = (list.entry)(line);
                entry["targeting_type"] = side.into();
                entry
            })
        });
        ruleset.insert(list.name.into(), entries.collect());
    }
    let (slots, errors) = slots(submitted);
    if !errors.is_empty() {
        return Err(errors);
    }
    let clock = submitted.value("clock");
    ruleset.insert("days_parting".into(), slots.into());
    ruleset.insert("is_use_day_parting".into(), (!clock.is_empty()).into());
    let clock = if clock.is_empty() { "null_value" } else { clock };
    ruleset.insert("day_parting_apply_to".into(), clock.into());
    let zone = submitted.value("zone").parse::<u32>().unwrap_or_default();
    ruleset.insert("day_parting_timezone_id".into(), zone.into());
    let kinds = PROXIES.iter().map(|(word, _)| *word);
    let kinds: Vec<&str> = kinds.filter(|word| submitted.has(&format!("proxy.{word}"))).collect();
    ruleset.insert("is_block_proxy".into(), (!kinds.is_empty()).into());
    ruleset.insert("proxy_kinds".into(), kinds.into());
    Ok(ruleset.into())
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// The slots of all days, and what is no slot.
fn slots(submitted: &Submitted) -> (Vec<Value>, Vec<FieldError>) {
    let (mut slots, mut errors) = (Vec::new(), Vec::new());
    for (day, name) in DAYS.into_iter().enumerate() {
        let input = format!("day.{day}");
        let parts = submitted.value(&input).split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            match slot(day, part) {
                Some(slot) => slots.push(slot),
                None => errors.push(FieldError {
                    field: input.clone(),
                    error: format!("{name}: `{part}` is no time of a day, such as 09:00-16:59"),
                }),
            }
        }
    }
    (slots, errors)
}

fn slot(day: usize, text: &str) -> Option<Value> {
    let (start, end) = text.split_once(['-', '–'])?;
    let time = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        Some((hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?))
    };
    let ((start_hour, start_minute), (end_hour, end_minute)) = (time(start)?, time(end)?);
    Some(json!({
        "day_of_week": day, "start_hour": start_hour, "start_minute": start_minute,
        "end_hour": end_hour, "end_minute": end_minute,
    }))
}

/// The errors of the API at the inputs of the page: an entry of a list is a line of one area.
fn at_inputs(mut refusal: Refusal, submitted: &Submitted) -> Refusal {
    for error in &mut refusal.fields {
        let Some(path) = error.field.strip_prefix("ruleset.") else { continue };
        let (name, number) = match path.split_once('[') {
            Some((name, rest)) => {
                (name, rest.split(']').next().and_then(|number| number.parse::<usize>().ok()))
            }
            None => (path, None),
        };
        let Some(list) = LISTS.iter().find(|list| list.name == name) else {
            error.field = if name.contains("timezone") { "zone" } else { "clock" }.into();
            continue;
        };
        let only: Vec<&str> = lines(submitted.value(list.only)).collect();
        let not: Vec<&str> = lines(submitted.value(list.not)).collect();
        let line = number.and_then(|at| only.iter().chain(&not).nth(at));
        let is_of_only = number.is_none_or(|number| number < only.len());
        if let Some(line) = line {
            error.error = format!("“{line}”: {}", error.error);
        }
        error.field = if is_of_only { list.only } else { list.not }.into();
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Ruleset;

    fn submitted(pairs: &BTreeMap<String, String>) -> Submitted {
        let pairs = pairs.iter().filter(|(_, value)| *value != "false");
        Submitted::of_pairs(pairs.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    #[test]
    fn a_ruleset_stays_the_same_through_the_form() {
        let ruleset: Value = json!({
            "countries": [
                {"country_code": "US", "targeting_type": "include"},
                {"country_code": "DE", "targeting_type": "include"},
                {"country_code": "CA", "targeting_type": "exclude"},
            ],
            "regions": [
                {"country_code": "US", "region_code": "WA", "targeting_type": "include"},
                {"country_code": "DE", "region_name": "Land Berlin", "targeting_type": "include"},
                {"country_code": "AU", "region_code": "NSW", "region_name": "New South Wales", "targeting_type": "include"},
            ],
            "cities": [
                {"country_code": "US", "region_code": "WA", "city_name": "Milton", "targeting_type": "include"},
                {"country_code": "US", "city_name": "New York", "targeting_type": "include"},
                {"geoname_id": 5_803_556, "targeting_type": "exclude"},
                {"country_code": "US", "region_code": "OR", "city_name": "Portland", "geoname_id": 5_746_545, "targeting_type": "exclude"},
                {"country_code": "FR", "city_name": "Paris (1er)", "geoname_id": 2_988_507, "targeting_type": "exclude"},
            ],
            "dmas": [{"dma_code": 819, "targeting_type": "include"}],
            "postal_codes": [
                {"postal_code": "98354", "targeting_type": "include"},
                {"postal_code": "OX1", "country_code": "GB", "match_type": "starts_with", "targeting_type": "include"},
            ],
            "mobile_carriers": [
                {"mcc": "310", "mnc": "004", "targeting_type": "include"},
                {"carrier_name": "Verizon Wireless", "targeting_type": "exclude"},
                {"mcc": "505", "mnc": "01", "carrier_name": "Telstra Mobile", "targeting_type": "exclude"},
            ],
            "isps": [
                {"asn": 1221, "targeting_type": "exclude"},
                {"isp_name": "telstra", "match_type": "contains", "targeting_type": "exclude"},
                {"isp_name": "Comcast", "targeting_type": "exclude"},
            ],
            "connection_types": [{"name": "mobile", "targeting_type": "include"}],
            "ips": [
                {"cidr": "2001:db8::/32", "match_type": "range", "targeting_type": "include"},
                {"ip_from": "10.0.0.1", "targeting_type": "exclude"},
                {"ip_from": "10.0.0.5", "ip_to": "10.0.0.9", "match_type": "range", "targeting_type": "exclude"},
            ],
            "platforms": [{"name": "iOS", "targeting_type": "include"}],
            "os_versions": [
                {"platform_id": 1, "version": "12", "match_type": "minimum", "targeting_type": "include"},
                {"platform_id": 2, "version": "17.5", "match_type": "maximum", "targeting_type": "include"},
                {"platform_id": 7, "version": "8", "targeting_type": "exclude"},
            ],
            "device_types": [{"name": "Tablet", "targeting_type": "exclude"}],
            "browsers": [{"name": "Samsung Internet", "targeting_type": "exclude"}],
            "brands": [{"name": "Apple", "targeting_type": "include"}],
            "languages": [{"language_code": "pt-BR", "targeting_type": "include"}],
            "is_block_proxy": true,
            "proxy_kinds": ["vpn", "hosting"],
            "is_use_day_parting": true,
            "day_parting_apply_to": "selected_timezone",
            "day_parting_timezone_id": 80,
            "days_parting": [
                {"day_of_week": 1, "start_hour": 9, "start_minute": 0, "end_hour": 16, "end_minute": 59},
                {"day_of_week": 1, "start_hour": 18, "start_minute": 0, "end_hour": 20, "end_minute": 59},
            ],
        });
        let before: Ruleset = serde_json::from_value(ruleset).unwrap();
        assert_eq!(before.check(), Ok(()));
        let shown = inputs(&serde_json::to_value(&before).unwrap());
        let sent = super::ruleset(&submitted(&shown)).unwrap();
        let after: Ruleset =
            serde_json::from_value(sent.clone()).unwrap_or_else(|error| panic!("{error}: {sent}"));
        assert_eq!(after, before);
    }

    #[test]
    fn an_empty_form_is_for_everybody() {
        let shown = inputs(&serde_json::to_value(Ruleset::default()).unwrap());
        let sent = super::ruleset(&submitted(&shown)).unwrap();
        let ruleset: Ruleset = serde_json::from_value(sent).unwrap();
        assert!(ruleset.is_empty());
    }

    #[test]
    fn times_that_are_none_are_named() {
        let pairs = BTreeMap::from([("day.1".to_owned(), "9-17, 08:00-09:30".to_owned())]);
        let errors = super::ruleset(&submitted(&pairs)).unwrap_err();
        assert_eq!(errors[0].field, "day.1");
        assert!(errors[0].error.contains("Monday: `9-17` is no time of a day"), "{errors:?}");
    }
}
