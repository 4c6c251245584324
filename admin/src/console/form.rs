//! Forms: a submitted form becomes the JSON object that the API takes, and the errors of its
//! answer stand at the inputs, because inputs have the names of the API's fields.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::api_client::Refusal;
use super::error_page::PageError;
use super::words;
use crate::catalog::FieldError;

/// Bytes of a submitted form.
const MAX_FORM_BYTES: usize = 256 << 10;
/// Fields of a submitted form.
const MAX_FORM_FIELDS: usize = 1024;

/// The fields of a submitted form, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Submitted(Vec<(String, String)>);

impl<S: Sync> FromRequest<S> for Submitted {
    type Rejection = PageError;

    async fn from_request(request: Request, _state: &S) -> Result<Submitted, PageError> {
        Submitted::read(request.into_body()).await
    }
}

impl Submitted {
    pub(crate) async fn read(body: Body) -> Result<Submitted, PageError> {
        let too_large = |_| {
            let sentence = "The form is too large. Shorten its texts, or use an upload.";
            PageError::new(StatusCode::PAYLOAD_TOO_LARGE, sentence)
        };
        let bytes = to_bytes(body, MAX_FORM_BYTES).await.map_err(too_large)?;
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(&bytes)
            .take(MAX_FORM_FIELDS + 1)
            .map(|(name, value)| (name.into_owned(), unix_lines(&value)))
            .collect();
        if fields.len() > MAX_FORM_FIELDS {
            let sentence = format!("The form has more than {MAX_FORM_FIELDS} fields.");
            return Err(PageError::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
        Ok(Submitted(renumbered(fields)))
    }

    #[cfg(test)]
    pub(crate) fn of_pairs(pairs: Vec<(String, String)>) -> Submitted {
        Submitted(pairs)
    }

    /// The value of a field, or an empty text.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// All values of a field, such as the ids of ticked rows.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The ids of a field with one object a line, alone or in front of a name.
    pub(crate) fn references(&self, name: &str) -> Value {
        let lines = self.value(name).lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(reference).collect()
    }

    /// The form without the rows of a list whose box `remove` is ticked.
    pub(crate) fn without_removed(&self, list: &str) -> Submitted {
        let removed = |name: &str| {
            let row = name.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?.0;
            Some(self.has(&format!("{list}[{row}].remove")))
        };
        let kept = self.0.iter().filter(|(name, _)| removed(name) != Some(true));
        Submitted(renumbered(kept.cloned().collect()))
    }

    /// The same form with 0 in those of these inputs that are blank.
    pub(crate) fn with_zeros(&self, inputs: &[&str]) -> Submitted {
        let filled = |(input, value): &(String, String)| {
            let is_blank = inputs.contains(&input.as_str()) && value.trim().is_empty();
            (input.clone(), if is_blank { "0".to_owned() } else { value.clone() })
        };
        Submitted(self.0.iter().map(filled).collect())
    }

    /// The same form with `https://` before an address that has no scheme.
    pub(crate) fn with_scheme(&self, name: &str) -> Submitted {
        let complete = |(input, value): &(String, String)| {
            let is_bare = input == name && !value.trim().is_empty() && !value.contains("://");
            let value = if is_bare { format!("https://{}", value.trim()) } else { value.clone() };
            (input.clone(), value)
        };
        Submitted(self.0.iter().map(complete).collect())
    }

    /// The names of a field's inputs: one for each row, where the field is a part of a list.
    pub(crate) fn inputs(&self, field: &FormField) -> Vec<String> {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        inputs(field, names)
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The JSON object that the API takes. Fields that the form does not have are left out.
    pub(crate) fn to_json(&self, fields: &[FormField]) -> Value {
        let mut object = Map::new();
        for field in fields {
            match (field.name.split_once("[]."), field.name.split_once('.')) {
                (Some((list, part)), _) => self.put_in_rows(list, part, field, &mut object),
                (None, Some((name, part))) => {
                    let nested = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(nested) = nested {
                        field.put(self, field.name, part, nested);
                    }
                }
                (None, None) => field.put(self, field.name, field.name, &mut object),
            }
        }
        Value::Object(object)
    }

    /// Sets a part of each row of a list, such as `payout_revenue[].payout_amount`.
    fn put_in_rows(
        &self,
        list: &str,
        part: &str,
        field: &FormField,
        object: &mut Map<String, Value>,
    ) {
        let rows = self.rows(list);
        let entry = object.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(entries) = entry else { return };
        entries.resize_with(rows.len().max(entries.len()), || Value::Object(Map::new()));
        for (row, entry) in rows.iter().zip(entries) {
            if let Value::Object(entry) = entry {
                field.put(self, &format!("{list}[{row}].{part}"), part, entry);
            }
        }
    }

    /// The numbers of a list's rows in the form, from 0.
    fn rows(&self, list: &str) -> BTreeSet<usize> {
        row_numbers(list, self.0.iter().map(|(name, _)| name.as_str()))
    }
}

/// Numbers the rows of each list from 0 without gaps, as in the array that the API gets, so its
/// errors name the rows of the form. Rows whose inputs are all blank are dropped.
fn renumbered(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    let parts = |name: &str| {
        let (list, rest) = name.split_once('[')?;
        let (number, part) = rest.split_once(']')?;
        Some((list.to_owned(), number.parse::<usize>().ok()?, part.to_owned()))
    };
    let mut rows: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (name, value) in &fields {
        if let Some((list, number, _)) = parts(name).filter(|_| !value.trim().is_empty()) {
            rows.entry(list).or_default().insert(number);
        }
    }
    let renumber = |(name, value): (String, String)| {
        let Some((list, number, part)) = parts(&name) else { return Some((name, value)) };
        let place = rows.get(&list)?.iter().position(|row| *row == number)?;
        Some((format!("{list}[{place}]{part}"), value))
    };
    fields.into_iter().filter_map(renumber).collect()
}

/// Browsers send line breaks as CRLF.
fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// How the text of an input becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text as typed; days and amounts too, since the API takes them as texts.
    Text,
    /// A word of a list; blank is left out, so the API's default holds.
    Choice,
    /// A checkbox: absent, blank and `false` are false.
    Truth,
    /// A whole number; blank is left out.
    Number,
    /// An id, alone or in front of a name as in `3 – Winter Jackets`; blank is 0.
    Reference,
    /// One entry for each line that is not blank.
    Lines,
}

/// An input of a form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormField {
    /// The API's name; `list[].part` for a part of each row of a list, `object.part` for a part of
    /// a nested object.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The input, and the API's parameter, that saves rules which no database answers.
const ALLOW_MISSING_DATA: &str = "allow_missing_data";

impl Submitted {
    /// A path of the API for the edit of rules, which waits until the edit is live.
    pub(crate) fn live_path_of_rules(&self, path: &str) -> String {
        match self.has(ALLOW_MISSING_DATA) {
            true => format!("{path}?wait=live&{ALLOW_MISSING_DATA}=true"),
            false => format!("{path}?wait=live"),
        }
    }
}

impl FormField {
    pub(crate) const fn new(name: &'static str, kind: Kind) -> FormField {
        FormField { name, kind }
    }

    fn put(&self, submitted: &Submitted, input: &str, key: &str, object: &mut Map<String, Value>) {
        let typed = submitted.value(input);
        let value = match self.kind {
            Kind::Truth => Some(Value::Bool(!matches!(typed, "" | "false"))),
            _ if !submitted.has(input) => None,
            Kind::Text => Some(Value::String(typed.to_owned())),
            Kind::Choice => Some(typed).filter(|typed| !typed.is_empty()).map(Value::from),
            Kind::Number if typed.trim().is_empty() => None,
            Kind::Number => Some(number_or_text(typed.trim())),
            Kind::Reference => Some(reference(typed)),
            Kind::Lines => Some(lines(typed)),
        };
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    }
}

/// A text that is no number is passed on, so the API says what is wrong with it.
fn number_or_text(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

fn reference(typed: &str) -> Value {
    let typed = typed.trim();
    if typed.is_empty() {
        return Value::from(0);
    }
    let digits = typed.find(|c: char| !c.is_ascii_digit()).map_or(typed, |end| &typed[..end]);
    if digits.is_empty() { Value::from(typed) } else { number_or_text(digits) }
}

fn lines(typed: &str) -> Value {
    typed.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// A form as a page shows it: the values of its inputs, and the errors that stand at them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
    /// A sentence for the whole form, beside those at inputs.
    problem: Option<String>,
    /// The state of the object that the user saw.
    pub(crate) etag: String,
    /// Recognises a form that is sent twice.
    pub(crate) form_id: String,
}

impl Form {
    /// An empty form with defaults.
    pub(crate) fn new(defaults: &[(&str, &str)]) -> Form {
        let values = defaults.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Form { values: values.collect(), form_id: form_id(), ..Form::default() }
    }

    /// The form of an existing object.
    pub(crate) fn of_object(object: &Value, etag: &str) -> Form {
        let mut values = BTreeMap::new();
        flatten("", object, &mut values);
        Form { values, etag: etag.to_owned(), form_id: form_id(), ..Form::default() }
    }

    /// A refused form: all values as typed, each error at its input.
    ///
    /// # Errors
    /// The error page of a refusal that no edit of the form can mend.
    pub(crate) fn refused(submitted: &Submitted, refusal: Refusal) -> Result<Form, PageError> {
        if !refusal.is_of_form() {
            return Err(refusal.into());
        }
        let errors: Vec<FieldError> = refusal.fields.iter().map(words::at_input).collect();
        let problem = errors.is_empty().then(|| words::sentence(&refusal));
        let mut form = Form { errors, problem, ..Form::typed(submitted) };
        if refusal.code == "no_data_for_rule" {
            // A box that nobody has ticked yet.
            form.values.entry(ALLOW_MISSING_DATA.into()).or_default();
        }
        Ok(form)
    }

    /// A form with one error of the console itself.
    pub(crate) fn wrong(submitted: &Submitted, field: &str, error: &str) -> Form {
        let errors = vec![FieldError { field: field.into(), error: error.into() }];
        Form { errors, ..Form::typed(submitted) }
    }

    /// A form with errors of rules, not of the API.
    pub(crate) fn with_errors(submitted: &Submitted, errors: &[FieldError]) -> Form {
        Form { errors: errors.iter().map(words::at_input).collect(), ..Form::typed(submitted) }
    }

    /// A form as it was sent.
    pub(crate) fn typed(submitted: &Submitted) -> Form {
        Form {
            values: submitted.0.iter().cloned().collect(),
            etag: submitted.value("etag").to_owned(),
            // A refused creation is not kept, so the same key serves the next attempt.
            form_id: submitted.value("form_id").to_owned(),
            ..Form::default()
        }
    }

    /// Whether the form offers to save rules that no database answers.
    pub(crate) fn offers_missing_data(&self) -> bool {
        self.values.contains_key(ALLOW_MISSING_DATA)
    }

    pub(crate) fn set_problem(&mut self, sentence: &str) {
        self.problem = Some(sentence.to_owned());
    }

    /// The value of an input, or an empty text.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The names of a field's inputs: one for each row, where the field is a part of a list.
    pub(crate) fn inputs(&self, field: &FormField) -> Vec<String> {
        inputs(field, self.values.keys().map(String::as_str))
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Whether a checkbox is ticked.
    pub(crate) fn is_ticked(&self, name: &str) -> bool {
        matches!(self.value(name), "true" | "on")
    }

    /// Whether a choice has this value.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.value(name) == value
    }

    /// The error at an input.
    pub(crate) fn error(&self, name: &str) -> Option<&str> {
        let found = self.errors.iter().find(|error| error.field == name);
        found.map(|error| error.error.as_str())
    }

    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.problem.is_some() || !self.errors.is_empty()
    }

    /// The numbers of the rows of a list, and of `more` blank rows behind them.
    pub(crate) fn rows(&self, list: &str, more: usize) -> Vec<usize> {
        let numbers = row_numbers(list, self.values.keys().map(String::as_str));
        let mut rows: Vec<usize> = numbers.into_iter().collect();
        let next = rows.last().map_or(0, |last| last + 1);
        rows.extend(next..next + more);
        rows
    }
}

fn inputs<'a>(field: &FormField, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let Some((list, part)) = field.name.split_once("[].") else { return vec![field.name.into()] };
    let rows = row_numbers(list, names).into_iter();
    rows.map(|row| format!("{list}[{row}].{part}")).collect()
}

fn row_numbers<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> BTreeSet<usize> {
    let prefix = format!("{list}[");
    let number = |name: &str| name.strip_prefix(&prefix)?.split_once(']')?.0.parse().ok();
    names.filter_map(number).collect()
}

/// A key that recognises a form that is sent twice: 128 random bits.
fn form_id() -> String {
    let mut random = [0_u8; 16];
    // Without random bits the form is only not protected against being sent twice.
    if getrandom::fill(&mut random).is_err() {
        return String::new();
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns a JSON object into the values of inputs; a nested field gets its path as name.
fn flatten(path: &str, value: &Value, values: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, values);
            }
        }
        Value::Array(entries) if entries.iter().all(|entry| !entry.is_object()) => {
            let lines: Vec<String> = entries.iter().map(text_of).collect();
            values.insert(path.to_owned(), lines.join("\n"));
        }
        Value::Array(entries) => {
            for (place, entry) in entries.iter().enumerate() {
                flatten(&format!("{path}[{place}]"), entry, values);
            }
        }
        value => {
            values.insert(path.to_owned(), text_of(value));
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: &[FormField] = &[
        FormField::new("name", Kind::Text),
        FormField::new("network_offer_id", Kind::Reference),
        FormField::new("network_affiliate_id", Kind::Reference),
        FormField::new("is_default", Kind::Truth),
        FormField::new("days", Kind::Number),
        FormField::new("status", Kind::Choice),
        FormField::new("hosts", Kind::Lines),
        FormField::new("payout_revenue[].payout_amount", Kind::Text),
        FormField::new("payout_revenue[].is_default", Kind::Truth),
        FormField::new("guard.action", Kind::Choice),
        FormField::new("guard.minimum", Kind::Number),
    ];

    fn submitted(text: &str) -> Submitted {
        Submitted(renumbered(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }

    #[test]
    fn a_form_becomes_the_object_that_the_api_takes() {
        let form = submitted(
            "name=A&network_offer_id=3+%E2%80%93+Jackets&network_affiliate_id=&days=7&status=\
             &hosts=a%0A%0Ab&payout_revenue[0].payout_amount=1&payout_revenue[2].payout_amount=2\
             &payout_revenue[2].is_default=on&payout_revenue[3].payout_amount=\
             &guard.action=hold&guard.minimum=20",
        );
        assert_eq!(
            form.to_json(FIELDS),
            json!({
                "name": "A", "network_offer_id": 3, "network_affiliate_id": 0, "is_default": false,
                "days": 7, "hosts": ["a", "b"],
                "payout_revenue": [
                    {"payout_amount": "1", "is_default": false},
                    {"payout_amount": "2", "is_default": true},
                ],
                "guard": {"action": "hold", "minimum": 20},
            })
        );
        let wrong = submitted("network_offer_id=Jackets&days=many");
        let object = wrong.to_json(FIELDS);
        assert_eq!(
            (&object["network_offer_id"], &object["days"]),
            (&json!("Jackets"), &json!("many"))
        );
    }

    #[test]
    fn a_row_is_removed_by_its_box() {
        let form = submitted(
            "name=A&payout_revenue[0].payout_amount=1&payout_revenue[0].remove=true\
             &payout_revenue[1].payout_amount=2&payout_revenue[2].payout_amount=",
        );
        let form = form.without_removed("payout_revenue");
        assert_eq!(
            form.to_json(FIELDS)["payout_revenue"],
            json!([{"payout_amount": "2", "is_default": false}])
        );
        assert_eq!(form.inputs(&FIELDS[7]), ["payout_revenue[0].payout_amount"]);
        assert_eq!(form.inputs(&FIELDS[0]), ["name"]);
    }

    #[test]
    fn an_object_fills_the_inputs_of_its_form() {
        let object = json!({"name": "A", "hosts": ["a", "b"], "n": null,
                            "payout_revenue": [{"payout_amount": "1", "is_default": true}]});
        let form = Form::of_object(&object, "\"7\"");
        assert_eq!(form.value("hosts"), "a\nb");
        assert!(form.is_ticked("payout_revenue[0].is_default"));
        assert_eq!(form.value("payout_revenue[0].payout_amount"), "1");
        assert_eq!(form.rows("payout_revenue", 2), [0, 1, 2]);
        assert_eq!(form.form_id.len(), 32);
    }
}
