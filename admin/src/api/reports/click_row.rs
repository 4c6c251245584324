//! A click as reports show it.

use std::borrow::Cow;
use std::collections::HashMap;

use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::Reason;
use rusqlite::Connection;
use serde_json::{Value, json};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::Network;
use crate::api::openapi::field;
use crate::store::rollups::{Dimension, OneOf};
use crate::store::{StoreError, labels};

/// Our reasons begin here, above Everflow's error codes.
const FIRST_ERROR_CODE: u32 = 1_000;

/// A click taken out of its block.
#[derive(Debug, Clone)]
pub(super) struct ClickRow {
    pub(super) head: ClickHead,
    code: String,
    user_ip: String,
    /// Everything else that is shown as it was recorded.
    texts: Vec<(&'static str, String)>,
}

const TEXTS: [(&str, Tag); 10] = [
    ("sub1", Tag::Sub1),
    ("sub2", Tag::Sub2),
    ("sub3", Tag::Sub3),
    ("sub4", Tag::Sub4),
    ("sub5", Tag::Sub5),
    ("source_id", Tag::SourceId),
    ("uid", Tag::Uid),
    ("referer", Tag::Referer),
    ("user_agent", Tag::UserAgent),
    ("language", Tag::Language),
];

impl ClickRow {
    pub(super) fn of(click: &Click<'_>) -> ClickRow {
        ClickRow {
            head: click.head,
            code: String::from_utf8_lossy(click.code).into_owned(),
            user_ip: click.address().map_or_else(String::new, |address| address.to_string()),
            texts: TEXTS.map(|(name, tag)| (name, click.text(tag).into_owned())).to_vec(),
        }
    }

    /// Whether it is among those asked for.
    pub(super) fn matches(head: &ClickHead, filters: &[OneOf]) -> bool {
        filters.iter().all(|one_of| one_of.ids.contains(&id_of(head, one_of.dimension)))
    }
}

fn id_of(head: &ClickHead, dimension: Dimension) -> u32 {
    match dimension {
        Dimension::Code => head.code_id,
        Dimension::Offer => head.offer_id,
        Dimension::Affiliate => head.partner_id,
        Dimension::Advertiser => head.advertiser_id,
    }
}

/// A click as answered.
pub(super) struct Answered;

impl PartialSchema for Answered {
    fn schema() -> RefOr<Schema> {
        let mut click = Object::new();
        for name in ["transaction_id", "coupon_code", "user_ip", "error_message"] {
            click = field::<String>(click, name);
        }
        for name in ["unix_timestamp", "network_coupon_code_id", "error_code"] {
            click = field::<u64>(click, name);
        }
        for (name, _) in TEXTS {
            click = field::<String>(click, name);
        }
        click = field::<bool>(click, "is_prefetch");
        let related = ObjectBuilder::new().description(Some(
            "offer, affiliate and advertiser; null where the click belongs to none",
        ));
        click.properties.insert("relationship".into(), related.into());
        click.into()
    }
}

impl ToSchema for Answered {
    fn name() -> Cow<'static, str> {
        "Click".into()
    }
}

/// The newest clicks, and whether there are more.
pub(super) struct AnsweredStream;

impl PartialSchema for AnsweredStream {
    fn schema() -> RefOr<Schema> {
        let clicks = ArrayBuilder::new().items(Ref::from_schema_name(Answered::name()));
        let mut stream = field::<bool>(Object::new(), "incomplete_results");
        stream.properties.insert("clicks".into(), clicks.into());
        stream.required.push("clicks".into());
        stream.into()
    }
}

impl ToSchema for AnsweredStream {
    fn name() -> Cow<'static, str> {
        "ClickStream".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Answered::name().into(), Answered::schema()));
    }
}

/// The clicks as JSON, with the names of what they belong to.
pub(super) fn render(
    connection: &Connection,
    network: Network,
    clicks: &[ClickRow],
) -> Result<Vec<Value>, StoreError> {
    let names = |dimension| {
        let ids: Vec<u32> = clicks.iter().map(|click| id_of(&click.head, dimension)).collect();
        labels::names(connection, dimension, &ids)
    };
    let names = Names {
        offers: names(Dimension::Offer)?,
        affiliates: names(Dimension::Affiliate)?,
        advertisers: names(Dimension::Advertiser)?,
        network,
    };
    Ok(clicks.iter().map(|click| names.row(click)).collect())
}

struct Names {
    offers: HashMap<u32, String>,
    affiliates: HashMap<u32, String>,
    advertisers: HashMap<u32, String>,
    network: Network,
}

impl Names {
    fn row(&self, click: &ClickRow) -> Value {
        let head = &click.head;
        let (error_code, error_message) = error(head.reason);
        let mut row = json!({
            "transaction_id": head.transaction_id.to_string(),
            "unix_timestamp": head.unix_ms / 1000,
            "coupon_code": click.code,
            "network_coupon_code_id": head.code_id,
            "user_ip": click.user_ip,
            "error_code": error_code,
            "error_message": error_message,
            "is_prefetch": head.kind == VisitKind::Prefetch,
            "relationship": {
                "offer": self.related("network_offer_id", head.offer_id, &self.offers),
                "affiliate":
                    self.related("network_affiliate_id", head.partner_id, &self.affiliates),
                "advertiser":
                    self.related("network_advertiser_id", head.advertiser_id, &self.advertisers),
            },
        });
        if let Some(object) = row.as_object_mut() {
            object.extend(click.texts.iter().map(|(name, text)| ((*name).into(), json!(text))));
        }
        row
    }

    /// Null where the click belongs to none.
    fn related(&self, id_field: &str, id: u32, names: &HashMap<u32, String>) -> Value {
        if id == 0 {
            return Value::Null;
        }
        let name = names.get(&id).map_or("", String::as_str);
        json!({ id_field: id, "network_id": self.network.id, "name": name })
    }
}

/// Zero and nothing for a click that was redirected.
fn error(reason: Reason) -> (u32, &'static str) {
    match reason {
        Reason::Redirected => (0, ""),
        other => (FIRST_ERROR_CODE + u32::from(other as u8), other.as_str()),
    }
}
