//! From an answered row to an object of the catalog. Unknown fields and unusable values are left out
//! with a remark, unless the field is essential.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

use super::listing::Row;
use super::object_kind::ObjectKind;
use crate::catalog::kept_fields::{self, asks_nothing};
use crate::catalog::{FieldError, KeepsFields, PayoutType, RevenueType, WordSet};
use crate::json::parse;

/// Most fields of one object that are left out.
const MAX_LEFT_OUT: usize = 500;
/// Parts of an offer that Everflow answers below `relationship`.
const RELATED: [&str; 5] =
    ["payout_revenue", "ruleset", "internal_redirects", "traffic_filters", "labels"];
const DAYS: [&str; 3] = ["date_live_until", "start_date", "end_date"];
/// Lists of a ruleset whose ids differ between networks: the list, the id, and the names.
const NAMED_VALUES: [(&str, &str, [&str; 2]); 3] = [
    ("regions", "region_id", ["region_code", "region_name"]),
    ("cities", "city_id", ["geoname_id", "city_name"]),
    ("mobile_carriers", "mobile_carrier_id", ["mcc", "carrier_name"]),
];
/// Values of fields without effect that fit the behaviour here.
const AS_HERE: [(&str, &str); 2] =
    [("conversion_method", "server_postback"), ("redirect_mode", "standard")];

/// A remark on a part that does not carry over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    /// The field's path without indexes, or field and value.
    pub(super) field: String,
    pub(super) text: String,
}

/// A row on its way to an object.
#[derive(Debug, Clone)]
pub(super) struct ObjectReader {
    kind: ObjectKind,
    fields: Map<String, Value>,
    pub(super) remarks: Vec<Remark>,
}

impl ObjectReader {
    pub(super) fn new(kind: ObjectKind, row: Row) -> ObjectReader {
        ObjectReader { kind, fields: row, remarks: Vec::new() }
    }

    /// An id in a field, as a number or text; 0 for none.
    pub(super) fn id_in(&self, field: &str) -> u32 {
        let value = self.fields.get(field);
        let number = value.and_then(|value| {
            value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        });
        number.and_then(|number| number.try_into().ok()).unwrap_or(0)
    }

    pub(super) fn text_in(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    pub(super) fn list_in(&self, field: &str) -> &[Value] {
        self.fields.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.into(), value.into());
    }

    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field)
    }

    pub(super) fn remark(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.remarks.push(Remark { field: field.into(), text: text.into() });
    }

    /// Whether the source has deleted the object.
    pub(super) fn is_deleted(&self) -> bool {
        let is_marked = self.fields.get("time_deleted").is_some_and(|time| !asks_nothing(time));
        let statuses =
            ["offer_status", "account_status", "coupon_status", "pixel_status", "url_status"];
        is_marked || statuses.iter().any(|field| self.text_in(field) == "deleted")
    }

    /// Brings the row into the shape of an edit: parts out of `relationship`, no nulls, days without
    /// hours.
    pub(super) fn normalize<T: PartialSchema>(&mut self, read_only: &[&str]) {
        let own = field_names::<T>();
        let related = self.fields.remove("relationship");
        for name in RELATED {
            let part = related.as_ref().and_then(|related| related.get(name));
            let Some(part) = part.filter(|_| !self.has(name)) else { continue };
            let part = part.get("entries").unwrap_or(part);
            // Labels are kept, so no labels are no field.
            if own.contains(name) || name == "labels" && !asks_nothing(part) {
                self.set(name, part.clone());
            }
        }
        let is_unset = |name: &str, value: &Value| value.is_null() && own.contains(name);
        self.fields
            .retain(|name, value| !read_only.contains(&name.as_str()) && !is_unset(name, value));
        for name in DAYS {
            if let Some(Value::String(text)) = self.fields.get_mut(name) {
                cut_hours(text);
            }
        }
        self.normalize_entries();
        if let Some(ruleset) = self.fields.get_mut("ruleset") {
            drop_ids_beside_names(ruleset);
        }
        let redirects = self.fields.get_mut("internal_redirects").and_then(Value::as_array_mut);
        for redirect in redirects.into_iter().flatten() {
            if let Some(ruleset) = redirect.get_mut("ruleset") {
                drop_ids_beside_names(ruleset);
            }
        }
    }

    /// Payout types that are not possible here pay nothing; the entry keeps its id.
    fn normalize_entries(&mut self) {
        let Some(mut entries) = self.fields.remove("payout_revenue") else { return };
        if let Some(nested) = entries.get_mut("entries") {
            entries = nested.take();
        }
        for entry in entries.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            entry.retain(|_, value| !value.is_null());
            self.replace_type::<PayoutType>(entry, "payout_type");
            self.replace_type::<RevenueType>(entry, "revenue_type");
        }
        self.fields.insert("payout_revenue".into(), entries);
    }

    fn replace_type<W: WordSet>(&mut self, entry: &mut Map<String, Value>, field: &str) {
        let word = entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        if W::canonical(&word).is_err() {
            entry.insert(field.into(), json!("null_value"));
            let shown = if word.is_empty() { "(none)" } else { &word };
            let field = format!("payout_revenue[].{field} = {shown}");
            self.remark(
                field,
                "is not possible here; the entry pays nothing until you set its type",
            );
        }
    }

    /// Reads the object, without unusable fields.
    ///
    /// # Errors
    /// The wrong essential fields.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> Result<T, Vec<FieldError>> {
        loop {
            let text = Value::Object(self.fields.clone()).to_string();
            match parse::<T>(&text, "") {
                Ok(object) => return Ok(object),
                Err(error) => self.leave_out(error)?,
            }
        }
    }

    /// Leaves a wrong field out.
    ///
    /// # Errors
    /// The error, if the field is essential.
    pub(super) fn leave_out(&mut self, error: FieldError) -> Result<(), Vec<FieldError>> {
        let FieldError { field, error: message } = &error;
        let top = field.split(['.', '[']).next().unwrap_or_default().to_owned();
        if self.remarks.len() >= MAX_LEFT_OUT || !self.fields.contains_key(&top) {
            return Err(vec![error]);
        }
        if message.starts_with("is not a field here")
            && let Some(value) = remove_path(&mut self.fields, field)
        {
            if !asks_nothing(&value) {
                self.remark(without_indexes(field), "is unknown here and left out");
            }
            return Ok(());
        }
        if self.kind.essential_fields().contains(&top.as_str()) {
            return Err(vec![error]);
        }
        self.fields.remove(&top);
        let why = format!("is left out: {} {message}", without_indexes(field));
        if top == "ruleset" && self.text_in("offer_status") == "active" {
            // Without its rules the offer would be open to everybody.
            self.set("offer_status", "paused");
            self.remark(top, format!("{why}; the offer is paused until you set its targeting"));
        } else {
            self.remark(top, why);
        }
        Ok(())
    }

    /// Leaves wrong fields out.
    ///
    /// # Errors
    /// The first error in an essential field.
    pub(super) fn leave_all_out(&mut self, errors: Vec<FieldError>) -> Result<(), Vec<FieldError>> {
        let mut left_out = BTreeSet::new();
        for error in errors {
            let top = error.field.split(['.', '[']).next().unwrap_or_default().to_owned();
            if left_out.insert(top) {
                self.leave_out(error)?;
            }
        }
        Ok(())
    }

    /// Adds remarks about kept fields without effect.
    pub(super) fn remark_kept<T: KeepsFields>(&mut self, path: &str, kept: &Map<String, Value>) {
        for (name, value) in kept_fields::asking::<T>(kept) {
            let word = value.as_str().unwrap_or_default();
            if AS_HERE.contains(&(name, word)) {
                continue;
            }
            let has_words = AS_HERE.iter().any(|(field, _)| *field == name);
            let field =
                if has_words { format!("{name} = {word}") } else { format!("{path}{name}") };
            let text = match name {
                "conversion_method" => {
                    "conversions come by server postback here, or by the script of the tracking domain"
                }
                "redirect_mode" => "visitors get one 302 here",
                _ => "is kept and given back, without effect",
            };
            self.remark(field, text);
        }
    }
}

/// Names of the fields of a type, without kept fields.
fn field_names<T: PartialSchema>() -> BTreeSet<String> {
    match T::schema() {
        RefOr::T(Schema::Object(schema)) => schema.properties.into_keys().collect(),
        _ => BTreeSet::new(),
    }
}

/// Leaves the names of places and mobile networks, which mean the same everywhere.
fn drop_ids_beside_names(ruleset: &mut Value) {
    for (list, id, names) in NAMED_VALUES {
        let entries = ruleset.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
            let is_named = |name: &&str| entry.get(*name).is_some_and(|name| !asks_nothing(name));
            if names.iter().any(is_named) {
                entry.remove(id);
            }
        }
    }
}

/// A day out of a time such as `2026-12-31 00:00:00`; the day 0 is none.
fn cut_hours(text: &mut String) {
    if text.len() > 10 && text.is_char_boundary(10) {
        text.truncate(10);
    }
    if text == "0000-00-00" {
        text.clear();
    }
}

/// `payout_revenue[3].x` as `payout_revenue[].x`.
fn without_indexes(path: &str) -> String {
    let mut parts = path.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("[]");
        text.push_str(part.split_once(']').map_or(part, |(_, rest)| rest));
    }
    text
}

/// Removes a field by its path, such as `payout_revenue[0].x`.
fn remove_path(fields: &mut Map<String, Value>, path: &str) -> Option<Value> {
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    if parents.is_empty() {
        return fields.remove(name);
    }
    let mut steps = parents.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    let mut value = fields.get_mut(steps.next()?)?;
    for step in steps {
        value = match step.parse::<usize>() {
            Ok(index) => value.get_mut(index)?,
            Err(_) => value.get_mut(step)?,
        };
    }
    value.as_object_mut()?.remove(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Affiliate, CouponCodeEdit, Offer, OfferStatus};
    use crate::edit::Editable as _;

    fn reader(kind: ObjectKind, value: Value) -> ObjectReader {
        let Value::Object(fields) = value else { panic!("{value} is no object") };
        ObjectReader::new(kind, fields)
    }

    fn remarks(reader: &ObjectReader) -> Vec<&str> {
        reader.remarks.iter().map(|remark| remark.field.as_str()).collect()
    }

    fn offer(over: Value) -> ObjectReader {
        let mut base = json!({
            "network_offer_id": 7, "name": "Coats", "offer_status": "active",
            "network_advertiser_id": 1, "destination_url": "https://shop.example/",
        });
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        let mut reader = reader(ObjectKind::Offers, base);
        reader.normalize::<Offer>(Offer::READ_ONLY_FIELDS);
        reader
    }

    #[test]
    fn parts_below_relationship_are_read_and_unknown_fields_left_out() {
        let entry = json!({
            "network_offer_payout_revenue_id": 31, "payout_type": "cpa", "payout_amount": 2,
            "revenue_type": "rpx", "is_default": true, "colour": "red", "network_id": 1,
        });
        let mut offer = offer(json!({
            "date_live_until": "2027-01-31 00:00:00", "session_duration": null, "today_clicks": 9,
            "is_new": false, "relationship": {
                "payout_revenue": {"total": 1, "entries": [entry]}, "advertiser": {"name": "x"},
                "labels": {"total": 1, "entries": ["warm"]},
            },
        }));
        let read: Offer = offer.read().unwrap();
        assert_eq!(read.payout_revenue[0].network_offer_payout_revenue_id, Some(31));
        assert_eq!(read.date_live_until.unwrap().to_string(), "2027-01-31");
        assert_eq!((read.session_duration, &read.kept["labels"]), (24, &json!(["warm"])));
        let expected =
            ["payout_revenue[].revenue_type = rpx", "payout_revenue[].colour", "today_clicks"];
        let mut found = remarks(&offer);
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_offer_whose_targeting_cannot_be_read_is_paused() {
        let country = json!({"country_id": 999_999, "targeting_type": "include"});
        let mut offer = offer(json!({"ruleset": {"countries": [country]}}));
        let read: Offer = offer.read().unwrap();
        assert_eq!(read.offer_status, OfferStatus::Paused);
        assert!(offer.remarks[0].text.ends_with("paused until you set its targeting"));
    }

    #[test]
    fn places_are_known_by_their_names_alone() {
        let region = json!({"region_id": 7, "country_code": "US", "region_code": "CA", "targeting_type": "include"});
        let unnamed = json!({"region_id": 8, "targeting_type": "exclude"});
        let ruleset = json!({"regions": [region, unnamed]});
        let offer =
            offer(json!({"ruleset": ruleset, "internal_redirects": [{"ruleset": ruleset}]}));
        for ruleset in [&offer.fields["ruleset"], &offer.fields["internal_redirects"][0]["ruleset"]]
        {
            let ids = [0, 1].map(|index| ruleset["regions"][index].get("region_id"));
            assert_eq!(ids, [None, Some(&json!(8))]);
        }
    }

    #[test]
    fn an_object_that_would_mean_something_else_is_refused() {
        let code = json!({"coupon_code": "A1B2", "network_offer_id": 1, "coupon_status": "odd"});
        let mut code = reader(ObjectKind::CouponCodes, code);
        assert_eq!(code.read::<CouponCodeEdit>().unwrap_err()[0].field, "coupon_status");
        let partner = json!({"name": 5, "account_status": "active"});
        let mut partner = reader(ObjectKind::Partners, partner);
        assert_eq!(partner.read::<Affiliate>().unwrap_err()[0].field, "name");
    }

    #[test]
    fn paths_lead_to_their_fields() {
        let Value::Object(mut fields) = json!({"a": [{"b": {"c": 1}}, {"d": 2}], "e": 3}) else {
            panic!("no object");
        };
        assert_eq!(remove_path(&mut fields, "a[0].b.c"), Some(json!(1)));
        assert_eq!(remove_path(&mut fields, "a[1].d"), Some(json!(2)));
        assert_eq!(remove_path(&mut fields, "a[2].d"), None);
        assert_eq!(remove_path(&mut fields, "e"), Some(json!(3)));
        assert_eq!(without_indexes("a[12].b[0].c"), "a[].b[].c");
    }
}
