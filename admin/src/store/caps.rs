//! Caps as rows: the limits of offers, groups and custom caps, and the caps that count a conversion.
//!
//! A cap has an id of its own, whichever object it belongs to. The id stays when the object is
//! edited, because clicks name the cap that refused them.

use std::collections::HashSet;

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row};

use super::rows::{Compared, DELETED, Entity, FIRST, Filterable, NAME, Stored, optional_id};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{CapLimits, CustomCap, Money};

mod alerts;
mod conversion_use;

pub use alerts::{AlertLevel, CapAlert, alerts, record_alert};
pub use conversion_use::{ConversionUse, conversions_in, read_conversions_in};
pub(super) use conversion_use::{add_conversion, change_conversion};

/// The object that a cap belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CapOwner {
    /// An offer.
    Offer(u32),
    /// A group of offers.
    Group(u32),
    /// A custom cap.
    Custom(u32),
}

impl CapOwner {
    /// The column of the owner's id, and the id.
    fn column(self) -> (&'static str, u32) {
        match self {
            CapOwner::Offer(id) => ("offer_id", id),
            CapOwner::Group(id) => ("group_id", id),
            CapOwner::Custom(id) => ("custom_id", id),
        }
    }
}

/// The clicks and conversions that count for a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CapScope {
    /// Those of an offer.
    Offer(u32),
    /// Those of a partner on an offer.
    Partner {
        /// The offer.
        offer: u32,
        /// The partner.
        partner: u32,
    },
    /// Those of a row of a coupon code.
    Code {
        /// The offer that the code belongs to now.
        offer: u32,
        /// The partner; 0 for the partner of the code.
        partner: u32,
        /// The row of the code.
        code: u32,
    },
    /// Those of all offers of a group.
    Group(u32),
}

/// A cap that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// Stays the same for all edits.
    pub id: u32,
    /// The object with the limits.
    pub owner: CapOwner,
    /// Counted clicks and conversions.
    pub scope: CapScope,
    /// Whether the cap only alerts.
    pub is_soft: bool,
    /// The limits.
    pub limits: CapLimits,
}

impl Cap {
    /// The offer that the cap is about; `None` for a group.
    #[must_use]
    pub fn offer_id(&self) -> Option<u32> {
        match self.scope {
            CapScope::Offer(offer)
            | CapScope::Partner { offer, .. }
            | CapScope::Code { offer, .. } => Some(offer),
            CapScope::Group(_) => None,
        }
    }
}

/// Saves the limits of an object. An object that never had limits gets no cap.
pub(super) fn save(
    tx: &WriteTx<'_>,
    owner: CapOwner,
    limits: &CapLimits,
) -> Result<(), StoreError> {
    let (column, id) = owner.column();
    let body = serde_json::to_string(limits)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql = format!("UPDATE cap SET limits = ?2 WHERE {column} = ?1");
    let known = tx.prepare_cached(&sql)?.execute((id, &body))?;
    if known == 0 && *limits != CapLimits::default() {
        let sql = format!("INSERT INTO cap ({column}, limits) VALUES (?1, ?2)");
        tx.prepare_cached(&sql)?.execute((id, &body))?;
    }
    Ok(())
}

/// The limits of an object, whether they hold or not.
pub fn limits(connection: &ReadTx<'_>, owner: CapOwner) -> Result<CapLimits, StoreError> {
    let (column, id) = owner.column();
    let sql = format!("SELECT limits FROM cap WHERE {column} = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id], |row| read_limits(row, 0));
    Ok(found.optional()?.unwrap_or_default())
}

fn read_limits(row: &Row<'_>, at: usize) -> rusqlite::Result<CapLimits> {
    serde_json::from_str(row.get_ref(at)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

/// Caps of codes come first, then those of partners, of offers and of groups.
const CODES_AND_PARTNERS: &str = "SELECT cap.id, limits, custom.is_soft_cap, custom.id, \
     coalesce((SELECT offer_id FROM coupon_code WHERE coupon_code.id = code_id), custom.offer_id), \
     ifnull(affiliate_id, 0), ifnull(code_id, 0) \
     FROM custom_cap custom JOIN cap ON cap.custom_id = custom.id WHERE custom.time_deleted = 0";
const ORDER: &str = "ORDER BY code_id IS NULL, cap.id";
const OFFERS: &str = "SELECT cap.id, limits, offer.is_soft_cap, offer.id \
     FROM offer JOIN cap ON cap.offer_id = offer.id WHERE offer.is_caps_enabled";
const GROUPS: &str = "SELECT cap.id, limits, 0, member.id FROM offer_group member \
     JOIN cap ON cap.group_id = member.id WHERE member.status = 'active' AND member.time_deleted = 0";

/// All caps that hold and have a limit: those of codes first, then of partners, offers and groups.
pub fn all(connection: &ReadTx<'_>) -> Result<Vec<Cap>, StoreError> {
    let mut caps = read(connection, &format!("{CODES_AND_PARTNERS} {ORDER}"), [], custom)?;
    caps.extend(read(connection, &format!("{OFFERS} ORDER BY offer.id"), [], offer)?);
    caps.extend(read(connection, &format!("{GROUPS} ORDER BY member.id"), [], group)?);
    Ok(caps)
}

/// The caps that count a conversion of this offer, partner and code, in the order of [`all`].
pub fn binding(
    connection: &ReadTx<'_>,
    offer_id: u32,
    affiliate_id: u32,
    code_id: u32,
) -> Result<Vec<Cap>, StoreError> {
    let sql = format!(
        "{CODES_AND_PARTNERS} AND ((code_id = ?3 AND ifnull(affiliate_id, ?2) = ?2) \
         OR (code_id IS NULL AND custom.offer_id = ?1 AND affiliate_id = ?2)) {ORDER}"
    );
    let mut caps = read(connection, &sql, [offer_id, affiliate_id, code_id], custom)?;
    let sql = format!("{OFFERS} AND offer.id = ?1");
    caps.extend(read(connection, &sql, [offer_id], offer)?);
    let sql = format!("{GROUPS} AND member.id = (SELECT offer_group_id FROM offer WHERE id = ?1)");
    caps.extend(read(connection, &sql, [offer_id], group)?);
    Ok(caps)
}

/// The hard caps of a partner and its codes, then those of these offers.
pub fn of_partner(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    offer_ids: &HashSet<u32>,
) -> Result<Vec<Cap>, StoreError> {
    let sql = format!(
        "{CODES_AND_PARTNERS} AND ifnull(affiliate_id, \
         (SELECT affiliate_id FROM coupon_code WHERE coupon_code.id = code_id)) = ?1 {ORDER}"
    );
    let mut caps = read(connection, &sql, [affiliate_id], custom)?;
    caps.extend(read(connection, &format!("{OFFERS} ORDER BY offer.id"), [], offer)?);
    caps.retain(|cap| !cap.is_soft && cap.offer_id().is_some_and(|id| offer_ids.contains(&id)));
    Ok(caps)
}

/// The cap of an object if it holds and has a limit.
pub fn of_owner(connection: &ReadTx<'_>, owner: CapOwner) -> Result<Option<Cap>, StoreError> {
    let caps = match owner {
        CapOwner::Offer(id) => {
            read(connection, &format!("{OFFERS} AND offer.id = ?1"), [id], offer)?
        }
        CapOwner::Group(id) => {
            read(connection, &format!("{GROUPS} AND member.id = ?1"), [id], group)?
        }
        CapOwner::Custom(id) => {
            let sql = format!("{CODES_AND_PARTNERS} AND custom.id = ?1");
            read(connection, &sql, [id], custom)?
        }
    };
    Ok(caps.into_iter().next())
}

fn read<const N: usize>(
    connection: &ReadTx<'_>,
    sql: &str,
    parameters: [u32; N],
    scope: fn(&Row<'_>) -> rusqlite::Result<(CapOwner, CapScope)>,
) -> Result<Vec<Cap>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
        let (owner, scope) = scope(row)?;
        let (id, limits) = (row.get(0)?, read_limits(row, 1)?);
        Ok(Cap { id, owner, scope, is_soft: row.get(2)?, limits })
    })?;
    let mut caps: Vec<Cap> = rows.collect::<Result<_, _>>()?;
    caps.retain(|cap| cap.limits != CapLimits::default());
    Ok(caps)
}

fn custom(row: &Row<'_>) -> rusqlite::Result<(CapOwner, CapScope)> {
    let (offer, partner, code) = (row.get(4)?, row.get(5)?, row.get(6)?);
    let scope = match code {
        0 => CapScope::Partner { offer, partner },
        code => CapScope::Code { offer, partner, code },
    };
    Ok((CapOwner::Custom(row.get(3)?), scope))
}

fn offer(row: &Row<'_>) -> rusqlite::Result<(CapOwner, CapScope)> {
    let id = row.get(3)?;
    Ok((CapOwner::Offer(id), CapScope::Offer(id)))
}

fn group(row: &Row<'_>) -> rusqlite::Result<(CapOwner, CapScope)> {
    let id = row.get(3)?;
    Ok((CapOwner::Group(id), CapScope::Group(id)))
}

/// Offers of groups, as (group, offer).
pub fn group_members(connection: &ReadTx<'_>) -> Result<Vec<(u32, u32)>, StoreError> {
    let sql = "SELECT offer_group_id, id FROM offer WHERE offer_group_id IS NOT NULL ORDER BY 1, 2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Entity for CustomCap {
    const TABLE: &'static str = "custom_cap";
    const SELECT: &'static str =
        "name, offer_id, ifnull(affiliate_id, 0), ifnull(code_id, 0), is_soft_cap";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_custom_cap_setting_id", column: "id", kind: Compared::Number },
        NAME,
        Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
        Filterable {
            field: "network_affiliate_id",
            column: "affiliate_id",
            kind: Compared::OptionalId,
        },
        Filterable {
            field: "network_coupon_code_id",
            column: "code_id",
            kind: Compared::OptionalId,
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<CustomCap> {
        Ok(CustomCap {
            name: row.get(FIRST)?,
            network_offer_id: row.get(FIRST + 1)?,
            network_affiliate_id: row.get(FIRST + 2)?,
            network_coupon_code_id: row.get(FIRST + 3)?,
            is_soft_cap: row.get(FIRST + 4)?,
            daily_conversion_cap: 0,
            weekly_conversion_cap: 0,
            monthly_conversion_cap: 0,
            global_conversion_cap: 0,
            daily_payout_cap: Money::default(),
            weekly_payout_cap: Money::default(),
            monthly_payout_cap: Money::default(),
            global_payout_cap: Money::default(),
            daily_revenue_cap: Money::default(),
            weekly_revenue_cap: Money::default(),
            monthly_revenue_cap: Money::default(),
            global_revenue_cap: Money::default(),
            daily_click_cap: 0,
            weekly_click_cap: 0,
            monthly_click_cap: 0,
            global_click_cap: 0,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("name", self.name.clone().into()),
            ("offer_id", self.network_offer_id.into()),
            ("affiliate_id", optional_id(self.network_affiliate_id)),
            ("code_id", optional_id(self.network_coupon_code_id)),
            ("is_soft_cap", self.is_soft_cap.into()),
        ]
    }

    fn save_parts(&self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        save(tx, CapOwner::Custom(id), &self.limits())
    }

    fn load_parts(
        connection: &ReadTx<'_>,
        caps: &mut [Stored<CustomCap>],
    ) -> Result<(), StoreError> {
        for cap in caps {
            cap.object.set_limits(&limits(connection, CapOwner::Custom(cap.id))?);
        }
        Ok(())
    }
}

/// Whether another custom cap has the same offer, partner and code.
pub fn has_same_scope(
    connection: &ReadTx<'_>,
    cap: &CustomCap,
    id: Option<u32>,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM custom_cap WHERE offer_id = ?1 AND ifnull(affiliate_id, 0) = ?2 \
               AND ifnull(code_id, 0) = ?3 AND time_deleted = 0 AND id IS NOT ?4";
    let (offer, partner) = (cap.network_offer_id, cap.network_affiliate_id);
    let scope = (offer, partner, cap.network_coupon_code_id, id);
    Ok(connection.prepare_cached(sql)?.exists(scope)?)
}
