//! The bot list: the configured one, the one in force, and the progress of classifying the archive
//! again by another list, by newer rules of the program, or with further databases of places.
//!
//! One list is in force at a time, for all counts and all new visits. After a change, the archive
//! is classified by the new list beside the present counts. When this has caught up, both change
//! places in one transaction. So reports never mix two lists, and are complete throughout. Days
//! with removed or changed clicks keep their counts.
//!
//! A database of places that was not there before is a reason to classify again; a newer file of the
//! same type is none, and a missing database takes no place from counted visits. New visits are
//! counted by the databases in service.
//!
//! Afterwards visits with approved conversions are reclassified as clicks, one by one: the list
//! decides which of them were bots.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{ReadTx, StoreError, WriteTx, click_archive, rollups};
use crate::classification::RULES_VERSION;
use crate::classification::bot_list::{BotList, built_in};

/// The configured list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredBotList {
    /// Its patterns; the built-in ones if the network has no list.
    pub patterns: Vec<String>,
    /// Whether they are built in.
    pub is_built_in: bool,
    /// Last edit, in Unix seconds; 0 for none.
    pub time_saved: i64,
    /// Increases with each edit.
    pub revision: u64,
}

/// Progress of classifying the archive by the configured list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Whether the configured list is in force.
    pub is_in_force: bool,
    /// Blocks classified by it.
    pub blocks_classified: u64,
    /// All blocks.
    pub blocks: u64,
}

/// The next work.
#[derive(Debug, Clone)]
pub enum PendingWork {
    /// None: the list in force is the configured one.
    UpToDate,
    /// Start classifying the archive again.
    Start,
    /// Classify by this list, from this frame on.
    Classify(Arc<BotList>, u64),
    /// Reclassify visits with approved conversions as clicks, after this position.
    MarkConverted(u64),
}

fn built_in_text() -> String {
    built_in().join("\n")
}

/// Makes the row of a new store, and of a store from before bot lists: its counts were made by the
/// built-in list and older rules.
pub(super) fn ensure(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO bot_list (id, in_force, rules) \
               SELECT 1, ?1, iif(EXISTS (SELECT 1 FROM click_block), 0, ?2)";
    tx.execute(sql, (built_in_text(), RULES_VERSION))?;
    Ok(())
}

/// The configured list.
pub fn configured(connection: &ReadTx<'_>) -> Result<ConfiguredBotList, StoreError> {
    let sql = "SELECT wanted, time_saved, revision FROM bot_list";
    let (own, time_saved, revision) = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get::<_, Option<String>>(0)?, row.get(1)?, row.get(2)?)))?;
    let patterns = |text: &str| text.lines().map(str::to_owned).collect();
    let is_built_in = own.is_none();
    let patterns = patterns(&own.unwrap_or_else(built_in_text));
    Ok(ConfiguredBotList { patterns, is_built_in, time_saved, revision })
}

/// Configures other patterns; `None` for the built-in ones.
pub fn replace(tx: &WriteTx<'_>, patterns: Option<&[String]>) -> Result<(), StoreError> {
    let sql = "UPDATE bot_list SET wanted = ?1, time_saved = ?2";
    tx.execute(sql, (patterns.map(|patterns| patterns.join("\n")), tx.now()))?;
    Ok(())
}

/// The list in force.
pub fn in_force(connection: &ReadTx<'_>) -> Result<Arc<BotList>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT in_force FROM bot_list")?;
    Ok(statement.query_row([], |row| Ok(BotList::compiled(row.get_ref(0)?.as_str()?)))?)
}

/// A number that changes with the list in force, and with the counts that it made.
pub fn version_in_force(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT in_force, in_force_from_slot, rules FROM bot_list";
    let version = connection.prepare_cached(sql)?.query_row([], |row| {
        let mut hasher = DefaultHasher::new();
        row.get_ref(0)?.as_str()?.hash(&mut hasher);
        (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?).hash(&mut hasher);
        Ok(hasher.finish())
    });
    Ok(version?)
}

/// Whether all counts of this quarter hour were made by the list in force.
pub fn covers_slot(connection: &ReadTx<'_>, slot: u64) -> Result<bool, StoreError> {
    let sql = "SELECT ?1 >= in_force_from_slot FROM bot_list";
    Ok(connection.prepare_cached(sql)?.query_row([slot], |row| row.get(0))?)
}

/// The next work.
pub fn pending_work(connection: &ReadTx<'_>) -> Result<PendingWork, StoreError> {
    let sql = "SELECT ifnull(wanted, ?1), in_force, judging, next_frame, turned_through, rules, \
               wanted_places = places, wanted_places = judging_places FROM bot_list";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([built_in_text()], |row| {
        let (wanted, in_force) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
        let judging = row.get_ref(2)?.as_str_or_null()?;
        let (has_places, judges_places): (bool, bool) = (row.get(6)?, row.get(7)?);
        let is_outdated = wanted != in_force || row.get::<_, u32>(5)? != RULES_VERSION;
        Ok(match (judging, row.get(4)?) {
            (Some(judging), _) if judging == wanted && judges_places => {
                PendingWork::Classify(BotList::compiled(wanted), row.get(3)?)
            }
            (Some(_), _) => PendingWork::Start,
            _ if is_outdated || !has_places => PendingWork::Start,
            (None, Some(through)) => PendingWork::MarkConverted(through),
            (None, None) => PendingWork::UpToDate,
        })
    })?)
}

/// Present progress.
pub fn progress(connection: &ReadTx<'_>) -> Result<Progress, StoreError> {
    let work = pending_work(connection)?;
    let count = |before: u64| -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM click_block WHERE archive_sequence < ?1";
        Ok(connection.prepare_cached(sql)?.query_row([before], |row| row.get(0))?)
    };
    let blocks = count(i64::MAX as u64)?;
    let blocks_classified = match work {
        PendingWork::Start => 0,
        PendingWork::Classify(_, next_frame) => count(next_frame)?,
        PendingWork::MarkConverted(_) | PendingWork::UpToDate => blocks,
    };
    Ok(Progress { is_in_force: matches!(work, PendingWork::UpToDate), blocks_classified, blocks })
}

/// Starts classifying the archive by the configured list from its first frame, or stops if this
/// list is in force under the program's rules and with all places.
pub fn start_classifying(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    rollups::delete_judged_again(tx)?;
    let sql = "UPDATE bot_list SET next_frame = 0, judging_places = wanted_places, \
               judging = iif(rules = ?2 AND wanted_places = places, \
               nullif(ifnull(wanted, ?1), in_force), ifnull(wanted, ?1))";
    tx.execute(sql, (built_in_text(), RULES_VERSION))?;
    Ok(())
}

/// Records that earlier frames are classified.
pub fn set_next_frame(tx: &WriteTx<'_>, next_frame: u64) -> Result<(), StoreError> {
    tx.execute("UPDATE bot_list SET next_frame = ?1", [next_frame])?;
    Ok(())
}

/// Puts the list of the completed classification in force.
pub fn put_in_force(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let from_slot = click_archive::first_as_recorded(tx)?;
    rollups::take_judged_again(tx, from_slot)?;
    let sql = "UPDATE bot_list SET in_force = judging, in_force_from_slot = ?1, judging = NULL, \
               places = judging_places, next_frame = 0, turned_through = 0, rules = ?2";
    tx.execute(sql, (from_slot, RULES_VERSION))?;
    Ok(())
}

/// Records which databases of places are in service, one a line. Those beyond the ones that told the
/// places of the counts make the archive be classified again.
pub fn set_place_sources(tx: &WriteTx<'_>, sources: &str) -> Result<(), StoreError> {
    let counted = place_sources(tx)?;
    let has_clicks = "SELECT EXISTS (SELECT 1 FROM click_block)";
    let has_clicks: bool = tx.query_row(has_clicks, [], |row| row.get(0))?;
    let is_new = |source: &str| !counted.lines().any(|known| known == source);
    // Visits counted from now on may lack a part, so the return of a database is news.
    let is_counted = !has_clicks || !sources.lines().any(is_new);
    let sql = "UPDATE bot_list SET wanted_places = ?1, places = iif(?2, ?1, places)";
    tx.execute(sql, (sources, is_counted))?;
    Ok(())
}

/// The databases that told the places of the counts, one a line.
pub fn place_sources(connection: &ReadTx<'_>) -> Result<String, StoreError> {
    let mut statement = connection.prepare_cached("SELECT places FROM bot_list")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// The databases of places in service, one a line.
pub fn place_sources_in_service(connection: &ReadTx<'_>) -> Result<String, StoreError> {
    let mut statement = connection.prepare_cached("SELECT wanted_places FROM bot_list")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Whether the classification under way finds places that the counts lack.
pub fn is_judging_other_places(connection: &ReadTx<'_>) -> Result<bool, StoreError> {
    let sql = "SELECT places <> judging_places FROM bot_list";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Puts the configured list in force, before a recount from a quarter hour on.
pub(super) fn put_in_force_for_rebuild(tx: &WriteTx<'_>, from_slot: u64) -> Result<(), StoreError> {
    rollups::delete_judged_again(tx)?;
    let sql = "UPDATE bot_list SET judging = NULL, next_frame = 0, turned_through = 0, \
               places = wanted_places, \
               in_force_from_slot = iif(in_force = ifnull(wanted, ?1) AND rules = ?3, \
               in_force_from_slot, ?2), in_force = ifnull(wanted, ?1), rules = ?3";
    tx.execute(sql, (built_in_text(), from_slot, RULES_VERSION))?;
    Ok(())
}

/// The visit at this position, and later ones, must be reclassified.
pub(super) fn mark_converted_from(tx: &WriteTx<'_>, place: u64) -> Result<(), StoreError> {
    let sql = "UPDATE bot_list SET turned_through = min(ifnull(turned_through, ?1), ?1)";
    tx.prepare_cached(sql)?.execute([place - 1])?;
    Ok(())
}

/// Visits up to this position are reclassified; `None`: all are.
pub fn set_converted_through(tx: &WriteTx<'_>, through: Option<u64>) -> Result<(), StoreError> {
    tx.execute("UPDATE bot_list SET turned_through = ?1", [through])?;
    Ok(())
}
