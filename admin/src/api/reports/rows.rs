//! Report rows as JSON objects, and their schemas, both made from the columns of a view.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::state::Network;
use crate::attribution::decision_step::DecisionStep;
use crate::reports::amount::Amount;
use crate::reports::clicks::{self, ReportedClick};
use crate::reports::code_leaks::{self, CodeLeak};
use crate::reports::column::{Column, Kind};
use crate::reports::conversions::{self, ReportedConversion};
use crate::reports::entity::{CURRENCY, MEASURES, Sums};
use crate::reports::related::{NamedObject, Related};
use crate::reports::view::View;
use crate::store::conversions::{Rank, Status};

/// A type of JSON objects: a report row with the columns of one view, and fields after them.
macro_rules! row_object {
    ($name:ident($row:ty) as $schema:literal, $about:literal:
     $view:expr, $columns:expr $(, $field:ident: $kind:ty)*) => {
        pub(super) struct $name {
            row: $row,
            $($field: $kind,)*
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                for column in $columns {
                    map.serialize_entry(column.name, &column.value(&self.row))?;
                }
                $(map.serialize_entry(stringify!($field), &self.$field)?;)*
                map.end()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let mut object = ObjectBuilder::new().schema_type(Type::Object).description(Some($about));
                for column in $columns {
                    let schema = column_schema(column.kind(), $view.description(column));
                    object = object.property(column.name, schema).required(column.name);
                }
                $(
                    let schema = Ref::from_schema_name(<$kind as ToSchema>::name());
                    object = object.property(stringify!($field), schema).required(stringify!($field));
                )*
                object.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $schema.into()
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                add_schema::<Amount>(schemas);
                if $columns.into_iter().any(|column| column.kind() == Kind::Status) {
                    add_schema::<Status>(schemas);
                }
                $(add_schema::<$kind>(schemas);)*
            }
        }
    };
}

fn add_schema<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn column_schema(kind: Kind, description: &str) -> RefOr<Schema> {
    let mut schema = match kind {
        Kind::Text => String::schema(),
        Kind::Id => u32::schema(),
        Kind::Unsigned => u64::schema(),
        Kind::Integer => i64::schema(),
        Kind::Flag => bool::schema(),
        Kind::Amount => Ref::from_schema_name(Amount::name()).into(),
        Kind::Status => Ref::from_schema_name(Status::name()).into(),
    };
    match &mut schema {
        _ if description.is_empty() => {}
        RefOr::Ref(reference) => reference.description = description.into(),
        RefOr::T(Schema::Object(object)) => object.description = Some(description.into()),
        RefOr::T(_) => {}
    }
    schema
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let kinds = SchemaType::from_iter([Type::Number, Type::Null]);
        ObjectBuilder::new().schema_type(kinds).examples([12.5]).into()
    }
}

impl ToSchema for Amount {}

row_object!(ClickObject(ReportedClick) as "Click", "A click as answered.":
    View::Network, clicks::COLUMNS.columns(View::Network).iter().copied(),
    relationship: RelatedToClick);

row_object!(PartnerClickObject(ReportedClick) as "PartnerClick", "All that a partner sees of a click.":
    View::Partner, clicks::COLUMNS.columns(View::Partner).iter().copied(),
    relationship: RelatedToPartnerClick);

row_object!(AdvertiserClickObject(ReportedClick) as "AdvertiserClick",
    "All that an advertiser sees of a click.":
    View::Advertiser, clicks::COLUMNS.columns(View::Advertiser).iter().copied(),
    relationship: RelatedToAdvertiserRow);

row_object!(ConversionObject(ReportedConversion) as "Conversion", "A conversion, or an event of one.":
    View::Network, conversions::COLUMNS.columns(View::Network).iter().copied(),
    attribution: Attribution, relationship: RelatedToConversion);

row_object!(PartnerConversionObject(ReportedConversion) as "PartnerConversion",
    "All that a partner sees of a conversion.":
    View::Partner, conversions::COLUMNS.columns(View::Partner).iter().copied(),
    relationship: RelatedToPartnerConversion);

row_object!(AdvertiserConversionObject(ReportedConversion) as "AdvertiserConversion",
    "All that an advertiser sees of a conversion.":
    View::Advertiser, conversions::COLUMNS.columns(View::Advertiser).iter().copied(),
    relationship: RelatedToAdvertiserRow);

row_object!(NetworkReporting(Sums) as "Reporting",
    "What the network sees. Ratios of nothing are 0; percentages are of 100.":
    View::Network, reporting_columns(View::Network));

row_object!(PartnerReporting(Sums) as "PartnerReporting",
    "All that a partner sees of his clicks and sales. Ratios of nothing are 0; percentages are of\n100.":
    View::Partner, reporting_columns(View::Partner));

row_object!(AdvertiserReporting(Sums) as "AdvertiserReporting",
    "All that an advertiser sees of clicks and sales. Ratios of nothing are 0; percentages are of\n100.":
    View::Advertiser, reporting_columns(View::Advertiser));

row_object!(CodeLeakObject(CodeLeak) as "CodeLeak", "What one code brought by itself, without a click.":
    View::Network, code_leaks::COLUMNS.iter());

fn reporting_columns(view: View) -> impl Iterator<Item = &'static Column<Sums>> {
    MEASURES.columns(view).iter().copied().chain([&CURRENCY])
}

impl ClickObject {
    pub(super) fn new(network: Network, row: ReportedClick) -> ClickObject {
        let Related { offer, affiliate, advertiser } = row.related.clone();
        let relationship = RelatedToClick {
            offer: offer.map(|object| RelatedOffer::new(network, object)),
            affiliate: affiliate.map(|object| RelatedAffiliate::new(network, object)),
            advertiser: advertiser.map(|object| RelatedAdvertiser::new(network, object)),
        };
        ClickObject { row, relationship }
    }
}

impl PartnerClickObject {
    pub(super) fn new(network: Network, row: ReportedClick) -> PartnerClickObject {
        let offer = row.related.offer.clone();
        let offer = offer.map(|object| RelatedOffer::new(network, object));
        PartnerClickObject { row, relationship: RelatedToPartnerClick { offer } }
    }
}

impl AdvertiserClickObject {
    pub(super) fn new(network: Network, row: ReportedClick) -> AdvertiserClickObject {
        let relationship = RelatedToAdvertiserRow::new(network, row.related.clone());
        AdvertiserClickObject { row, relationship }
    }
}

impl ConversionObject {
    pub(super) fn new(network: Network, row: ReportedConversion) -> ConversionObject {
        let Related { offer, affiliate, advertiser } = row.related.clone();
        let relationship = RelatedToConversion {
            offer: offer.map(|object| RelatedOffer::new(network, object)),
            affiliate: affiliate.map(|object| RelatedAffiliate::new(network, object)),
            advertiser: advertiser.map(|object| RelatedAdvertiser::new(network, object)),
        };
        let attribution = Attribution {
            method: row.attribution_method().into(),
            evidence: row.evidence(),
            steps: row.attribution_steps(),
        };
        ConversionObject { row, attribution, relationship }
    }
}

impl PartnerConversionObject {
    pub(super) fn new(network: Network, row: ReportedConversion) -> PartnerConversionObject {
        let offer = row.related.offer.clone();
        let offer = offer.map(|object| RelatedOffer::new(network, object));
        PartnerConversionObject { row, relationship: RelatedToPartnerConversion { offer } }
    }
}

impl AdvertiserConversionObject {
    pub(super) fn new(network: Network, row: ReportedConversion) -> AdvertiserConversionObject {
        let relationship = RelatedToAdvertiserRow::new(network, row.related.clone());
        AdvertiserConversionObject { row, relationship }
    }
}

impl From<Sums> for NetworkReporting {
    fn from(row: Sums) -> NetworkReporting {
        NetworkReporting { row }
    }
}

impl From<Sums> for PartnerReporting {
    fn from(row: Sums) -> PartnerReporting {
        PartnerReporting { row }
    }
}

impl From<Sums> for AdvertiserReporting {
    fn from(row: Sums) -> AdvertiserReporting {
        AdvertiserReporting { row }
    }
}

impl From<CodeLeak> for CodeLeakObject {
    fn from(row: CodeLeak) -> CodeLeakObject {
        CodeLeakObject { row }
    }
}

/// Related objects; null for none.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RelatedToClick {
    offer: Option<RelatedOffer>,
    affiliate: Option<RelatedAffiliate>,
    advertiser: Option<RelatedAdvertiser>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RelatedToPartnerClick {
    /// Null where the visit belongs to no offer.
    offer: Option<RelatedOffer>,
}

/// Related objects; null for none.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RelatedToConversion {
    offer: Option<RelatedOffer>,
    affiliate: Option<RelatedAffiliate>,
    advertiser: Option<RelatedAdvertiser>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RelatedToPartnerConversion {
    offer: Option<RelatedOffer>,
}

/// The objects of an advertiser's row; null for none.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RelatedToAdvertiserRow {
    offer: Option<RelatedOffer>,
    affiliate: Option<RelatedAffiliate>,
}

impl RelatedToAdvertiserRow {
    fn new(network: Network, related: Related) -> RelatedToAdvertiserRow {
        let Related { offer, affiliate, .. } = related;
        RelatedToAdvertiserRow {
            offer: offer.map(|object| RelatedOffer::new(network, object)),
            affiliate: affiliate.map(|object| RelatedAffiliate::new(network, object)),
        }
    }
}

macro_rules! related {
    ($name:ident, $id:ident as $schema:ident) => {
        #[derive(Debug, Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        struct $name {
            $id: u32,
            network_id: u32,
            name: String,
        }

        impl $name {
            fn new(network: Network, NamedObject { id, name }: NamedObject) -> $name {
                $name { $id: id, network_id: network.id, name }
            }
        }
    };
}
related!(RelatedOffer, network_offer_id as ReportedOffer);
related!(RelatedAffiliate, network_affiliate_id as ReportedAffiliate);
related!(RelatedAdvertiser, network_advertiser_id as ReportedAdvertiser);

/// How it was decided.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionAttribution)]
struct Attribution {
    /// Identifier that attributed it; empty for none.
    method: String,
    /// How well that is proved: by a `trusted` sender, by the id of a `click`, or by a `code`
    /// alone.
    evidence: Rank,
    steps: Vec<DecisionStep>,
}
