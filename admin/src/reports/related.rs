//! The offer, partner and advertiser of a click or a conversion, with their names.

use std::collections::{BTreeSet, HashMap};

use super::column::Column;
use super::facet::Facet;
use super::view::View;
use crate::store::rollups::Dimension;
use crate::store::{ReadTx, StoreError, labels};

/// An object and its name, also where the object was deleted since.
#[derive(Debug, Clone)]
pub struct NamedObject {
    /// Never 0.
    pub id: u32,
    /// Empty where no object ever had the id.
    pub name: String,
}

/// The objects of a row. `None` where the row has no such object, or the view hides the object.
#[derive(Debug, Clone)]
pub struct Related {
    /// The offer.
    pub offer: Option<NamedObject>,
    /// The partner.
    pub affiliate: Option<NamedObject>,
    /// The advertiser.
    pub advertiser: Option<NamedObject>,
}

/// The ids of a row's objects; 0 for no object.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelatedIds {
    pub(super) offer: u32,
    pub(super) affiliate: u32,
    pub(super) advertiser: u32,
}

/// The names of the objects of several rows, without the objects hidden by the view.
pub(super) struct RelatedNames {
    offers: Option<HashMap<u32, String>>,
    affiliates: Option<HashMap<u32, String>>,
    advertisers: Option<HashMap<u32, String>>,
}

impl RelatedNames {
    pub(super) fn load(
        connection: &ReadTx<'_>,
        view: View,
        rows: &[RelatedIds],
    ) -> Result<RelatedNames, StoreError> {
        let load = |facet: Facet, dimension: Dimension, id: fn(&RelatedIds) -> u32| {
            if !view.shows(facet) {
                return Ok(None);
            }
            let ids: BTreeSet<u32> = rows.iter().map(id).collect();
            labels::names(connection, dimension, &Vec::from_iter(ids)).map(Some)
        };
        Ok(RelatedNames {
            offers: load(Facet::Offer, Dimension::Offer, |ids| ids.offer)?,
            affiliates: load(Facet::Affiliate, Dimension::Affiliate, |ids| ids.affiliate)?,
            advertisers: load(Facet::Advertiser, Dimension::Advertiser, |ids| ids.advertiser)?,
        })
    }

    pub(super) fn related(&self, ids: RelatedIds) -> Related {
        Related {
            offer: named(&self.offers, ids.offer),
            affiliate: named(&self.affiliates, ids.affiliate),
            advertiser: named(&self.advertisers, ids.advertiser),
        }
    }
}

fn named(names: &Option<HashMap<u32, String>>, id: u32) -> Option<NamedObject> {
    let names = names.as_ref().filter(|_| id != 0)?;
    Some(NamedObject { id, name: names.get(&id).cloned().unwrap_or_default() })
}

/// A row with an offer, a partner and an advertiser.
pub(super) trait HasRelated: 'static {
    fn related(&self) -> &Related;
}

/// The ids and names of the objects, as columns of files. Without an object the id is 0 and the
/// name empty.
pub(super) const fn columns<R: HasRelated>() -> [Column<R>; 6] {
    [
        Column::id("network_offer_id", "", |row| id(&row.related().offer)),
        Column::text("offer", "", |row| name(&row.related().offer).into()),
        Column::id("network_affiliate_id", "", |row| id(&row.related().affiliate)),
        Column::text("affiliate", "", |row| name(&row.related().affiliate).into()),
        Column::id("network_advertiser_id", "", |row| id(&row.related().advertiser)),
        Column::text("advertiser", "", |row| name(&row.related().advertiser).into()),
    ]
}

fn id(object: &Option<NamedObject>) -> u32 {
    object.as_ref().map_or(0, |object| object.id)
}

fn name(object: &Option<NamedObject>) -> &str {
    object.as_ref().map_or("", |object| &object.name)
}
