//! Offers and their payout entries.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row};

use super::caps::{self, CapOwner};
use super::rows::{
    Compared, DELETED, Entity, FIRST, Filterable, Stored, Vocabulary, day, day_text, from_json,
    json_column, optional_id, word,
};
use super::{ReadTx, StoreError, WriteTx, click_terms, redirects, rulesets};
use crate::catalog::{
    Money, Offer, PayoutRevenue, RedirectRoutingMethod, Ruleset, UnknownWord, Visibility, WordSet,
};

/// Statuses for filters: the statuses of offers that are not deleted.
struct ListedStatus;

impl WordSet for ListedStatus {
    const WORDS: &'static [&'static str] = &["active", "paused", "pending"];

    fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
        let known = Self::WORDS.iter().copied().find(|known| *known == word);
        known.ok_or_else(|| UnknownWord {
            found: word.into(),
            allowed: "`active` `paused` `pending` (`deleted=true` lists deleted offers)",
        })
    }
}

const ID: Filterable =
    Filterable { field: "network_offer_id", column: "id", kind: Compared::Number };
const NAME: Filterable = Filterable { field: "name", column: "name", kind: Compared::Text };
const STATUS: Filterable = Filterable {
    field: "offer_status",
    column: "offer_status",
    kind: Compared::Word(Vocabulary::from_word_set::<ListedStatus>()),
};
const TIME_CREATED: Filterable =
    Filterable { field: "time_created", column: "time_created", kind: Compared::Time };
const TIME_SAVED: Filterable =
    Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time };

/// The advertiser of an offer.
pub const ADVERTISER: Filterable =
    Filterable { field: "network_advertiser_id", column: "advertiser_id", kind: Compared::Number };

/// Filters of the list that an advertiser has of its own offers. Deleted offers are not among them.
pub const FILTERS_FOR_ADVERTISERS: &[Filterable] = &[ID, NAME, STATUS, TIME_CREATED, TIME_SAVED];

impl Entity for Offer {
    const TABLE: &'static str = "offer";
    // The column keeps the status from before a deletion, for a restore.
    const SELECT: &'static str = "name, iif(time_deleted = 0, offer_status, 'deleted'), destination_url, advertiser_id, tracking_domain_id, visibility, \
                                  date_live_until, currency_id, session_definition, session_duration, \
                                  session_tracking_lifespan_hour, is_must_approve_conversion, \
                                  is_allow_duplicate_conversion, append_transaction_id, fallback_url, \
                                  ifnull(offer_group_id, 0), is_caps_enabled, is_soft_cap, \
                                  is_duplicate_filter_enabled, duplicate_filter_targeting_action, \
                                  is_block_already_converted, already_converted_action, \
                                  session_tracking_minimum_lifespan_second, \
                                  is_fail_traffic_enabled, redirect_internal_routing_type, \
                                  traffic_filters, kept_fields";
    // Rows deleted by older versions have lost the status.
    const ON_RESTORE: &'static str =
        ", offer_status = iif(offer_status = 'deleted', 'paused', offer_status)";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        ID,
        NAME,
        STATUS,
        ADVERTISER,
        Filterable {
            field: "network_tracking_domain_id",
            column: "tracking_domain_id",
            kind: Compared::OptionalId,
        },
        Filterable {
            field: "network_offer_group_id",
            column: "offer_group_id",
            kind: Compared::OptionalId,
        },
        Filterable {
            field: "visibility",
            column: "visibility",
            kind: Compared::Word(Vocabulary::from_word_set::<Visibility>()),
        },
        TIME_CREATED,
        TIME_SAVED,
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<Offer> {
        Ok(Offer {
            name: row.get(FIRST)?,
            offer_status: word(row, FIRST + 1)?,
            destination_url: row.get(FIRST + 2)?,
            network_advertiser_id: row.get(FIRST + 3)?,
            network_tracking_domain_id: row.get(FIRST + 4)?,
            visibility: word(row, FIRST + 5)?,
            date_live_until: day(row, FIRST + 6)?,
            currency_id: row.get(FIRST + 7)?,
            payout_revenue: Vec::new(),
            session_definition: word(row, FIRST + 8)?,
            session_duration: row.get(FIRST + 9)?,
            session_tracking_lifespan_hour: row.get(FIRST + 10)?,
            is_must_approve_conversion: row.get(FIRST + 11)?,
            is_allow_duplicate_conversion: row.get(FIRST + 12)?,
            append_transaction_id: row.get(FIRST + 13)?,
            fallback_url: row.get(FIRST + 14)?,
            ruleset: Ruleset::default(),
            network_offer_group_id: row.get(FIRST + 15)?,
            is_caps_enabled: row.get(FIRST + 16)?,
            is_soft_cap: row.get(FIRST + 17)?,
            is_duplicate_filter_enabled: row.get(FIRST + 18)?,
            duplicate_filter_targeting_action: word(row, FIRST + 19)?,
            is_block_already_converted: row.get(FIRST + 20)?,
            already_converted_action: word(row, FIRST + 21)?,
            session_tracking_minimum_lifespan_second: row.get(FIRST + 22)?,
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
            is_fail_traffic_enabled: row.get(FIRST + 23)?,
            redirect_routing_method: RedirectRoutingMethod::Internal,
            redirect_internal_routing_type: word(row, FIRST + 24)?,
            traffic_filters: from_json(row, FIRST + 25)?,
            internal_redirects: Vec::new(),
            kept: from_json(row, FIRST + 26)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("name", self.name.clone().into()),
            ("offer_status", self.offer_status.as_str().to_owned().into()),
            ("destination_url", self.destination_url.clone().into()),
            ("advertiser_id", self.network_advertiser_id.into()),
            ("tracking_domain_id", self.network_tracking_domain_id.into()),
            ("visibility", self.visibility.as_str().to_owned().into()),
            ("date_live_until", day_text(self.date_live_until).into()),
            ("currency_id", self.currency_id.clone().into()),
            ("session_definition", self.session_definition.as_str().to_owned().into()),
            ("session_duration", self.session_duration.into()),
            ("session_tracking_lifespan_hour", self.session_tracking_lifespan_hour.into()),
            ("is_must_approve_conversion", self.is_must_approve_conversion.into()),
            ("is_allow_duplicate_conversion", self.is_allow_duplicate_conversion.into()),
            ("append_transaction_id", self.append_transaction_id.into()),
            ("fallback_url", self.fallback_url.clone().into()),
            ("offer_group_id", optional_id(self.network_offer_group_id)),
            ("is_caps_enabled", self.is_caps_enabled.into()),
            ("is_soft_cap", self.is_soft_cap.into()),
            ("is_duplicate_filter_enabled", self.is_duplicate_filter_enabled.into()),
            (
                "duplicate_filter_targeting_action",
                self.duplicate_filter_targeting_action.as_str().to_owned().into(),
            ),
            ("is_block_already_converted", self.is_block_already_converted.into()),
            ("already_converted_action", self.already_converted_action.as_str().to_owned().into()),
            (
                "session_tracking_minimum_lifespan_second",
                self.session_tracking_minimum_lifespan_second.into(),
            ),
            ("is_fail_traffic_enabled", self.is_fail_traffic_enabled.into()),
            (
                "redirect_internal_routing_type",
                self.redirect_internal_routing_type.as_str().to_owned().into(),
            ),
            ("traffic_filters", serde_json::json!(self.traffic_filters).to_string().into()),
            ("kept_fields", json_column(&self.kept)),
        ]
    }

    /// Named entries keep their ids; omitted entries are marked as deleted.
    fn save_parts(&self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        tx.prepare_cached("UPDATE offer_payout_revenue SET time_deleted = ?2 WHERE offer_id = ?1 AND time_deleted = 0")?
            .execute((id, tx.now()))?;
        for (position, entry) in (0..).zip(&self.payout_revenue) {
            save_entry(tx, id, position, entry)?;
        }
        rulesets::save(tx, id, &self.ruleset)?;
        caps::save(tx, CapOwner::Offer(id), &self.limits())?;
        redirects::save(tx, id, &self.internal_redirects)?;
        click_terms::record(tx, id, self)
    }

    fn load_parts(connection: &ReadTx<'_>, offers: &mut [Stored<Offer>]) -> Result<(), StoreError> {
        for offer in offers {
            offer.object.payout_revenue = entries_of(connection, offer.id)?;
            let ruleset = rulesets::find(connection, offer.id)?;
            offer.object.ruleset = ruleset.map(|found| found.ruleset).unwrap_or_default();
            offer.object.set_limits(&caps::limits(connection, CapOwner::Offer(offer.id))?);
            offer.object.internal_redirects = redirects::find(connection, offer.id)?;
        }
        Ok(())
    }
}

fn save_entry(
    tx: &WriteTx<'_>,
    offer_id: u32,
    position: u32,
    entry: &PayoutRevenue,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO offer_payout_revenue (id, offer_id, position, entry_name, payout_type, payout_amount, \
               payout_percentage, revenue_type, revenue_amount, revenue_percentage, is_default, \
               kept_fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
               ON CONFLICT (id) DO UPDATE SET position = ?3, entry_name = ?4, payout_type = ?5, payout_amount = ?6, \
               payout_percentage = ?7, revenue_type = ?8, revenue_amount = ?9, revenue_percentage = ?10, \
               is_default = ?11, kept_fields = ?12, time_deleted = 0";
    tx.prepare_cached(sql)?.execute((
        entry.network_offer_payout_revenue_id,
        offer_id,
        position,
        &entry.entry_name,
        entry.payout_type.as_str(),
        entry.payout_amount.to_string(),
        entry.payout_percentage.to_string(),
        entry.revenue_type.as_str(),
        entry.revenue_amount.to_string(),
        entry.revenue_percentage.to_string(),
        entry.is_default,
        json_column(&entry.kept),
    ))?;
    Ok(())
}

/// Entries that are not deleted, in order.
pub fn entries_of(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<PayoutRevenue>, StoreError> {
    let sql = "SELECT id, entry_name, payout_type, payout_amount, payout_percentage, revenue_type, revenue_amount, \
               revenue_percentage, is_default, kept_fields FROM offer_payout_revenue \
               WHERE offer_id = ?1 AND time_deleted = 0 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let entries = statement.query_map([offer_id], |row| {
        Ok(PayoutRevenue {
            network_offer_payout_revenue_id: row.get(0)?,
            entry_name: row.get(1)?,
            payout_type: word(row, 2)?,
            payout_amount: word(row, 3)?,
            payout_percentage: word(row, 4)?,
            revenue_type: word(row, 5)?,
            revenue_amount: word(row, 6)?,
            revenue_percentage: word(row, 7)?,
            is_default: row.get(8)?,
            kept: from_json(row, 9)?,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// URLs of an offer.
#[derive(Debug)]
pub struct OfferUrls {
    /// The offer.
    pub id: u32,
    /// With macros.
    pub destination_url: String,
    /// May be empty.
    pub fallback_url: String,
}

/// URLs of all offers that are not deleted.
pub fn urls(connection: &ReadTx<'_>) -> Result<Vec<OfferUrls>, StoreError> {
    let sql =
        "SELECT id, destination_url, fallback_url FROM offer WHERE time_deleted = 0 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let urls = statement.query_map([], |row| {
        Ok(OfferUrls { id: row.get(0)?, destination_url: row.get(1)?, fallback_url: row.get(2)? })
    })?;
    Ok(urls.collect::<Result<_, _>>()?)
}

/// The offer of an entry, deleted or not; `None` if no entry has the id.
pub fn offer_of_entry(connection: &ReadTx<'_>, entry_id: u32) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT offer_id FROM offer_payout_revenue WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([entry_id], |row| row.get(0)).optional()?)
}

/// Whether an entry, deleted or not, belongs to the offer.
pub fn has_entry(
    connection: &ReadTx<'_>,
    offer_id: u32,
    entry_id: u32,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM offer_payout_revenue WHERE id = ?1 AND offer_id = ?2";
    Ok(connection.prepare_cached(sql)?.exists((entry_id, offer_id))?)
}

/// Whether an offer exists and is visible for a partner.
pub fn is_visible_for(
    connection: &ReadTx<'_>,
    offer_id: u32,
    affiliate_id: u32,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM offer o LEFT JOIN offer_visibility v ON v.offer_id = o.id AND v.affiliate_id = ?2 \
               WHERE o.id = ?1 AND o.time_deleted = 0 \
               AND coalesce(v.status, iif(o.visibility = 'public', 'visible', 'hidden')) = 'visible'";
    Ok(connection.prepare_cached(sql)?.exists((offer_id, affiliate_id))?)
}

/// Offers that are visible for a partner, with their advertisers, by id.
pub fn visible_for(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
) -> Result<Vec<(u32, u32)>, StoreError> {
    let sql = "SELECT o.id, o.advertiser_id FROM offer o \
               LEFT JOIN offer_visibility v ON v.offer_id = o.id AND v.affiliate_id = ?1 \
               WHERE o.time_deleted = 0 \
               AND coalesce(v.status, iif(o.visibility = 'public', 'visible', 'hidden')) = 'visible' \
               ORDER BY o.id";
    let mut statement = connection.prepare_cached(sql)?;
    let offers = statement.query_map([affiliate_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(offers.collect::<Result<_, _>>()?)
}

/// Name and status of offers, deleted ones included, for answers about other objects.
pub fn labels(
    connection: &ReadTx<'_>,
    ids: &[u32],
) -> Result<HashMap<u32, (String, String)>, StoreError> {
    super::rows::labels(
        connection,
        "SELECT name, iif(time_deleted = 0, offer_status, 'deleted') FROM offer WHERE id = ?1",
        ids,
    )
}
