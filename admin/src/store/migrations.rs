//! Numbered migrations, run in order, each in one transaction.
//!
//! A released migration never changes; a schema change is a new number. A store of a newer program,
//! or a database of another program, is refused before any change.

use rusqlite::{Connection, TransactionBehavior};

use super::migration_copies::MigrationCopies;
use super::origin::{Actor, Origin};
use super::{StoreError, WriteTx};

/// "Cpon": marks the file as a coupon store, so no other database is migrated by mistake.
const APPLICATION_ID: i32 = 0x4370_6f6e;

/// SQL from schema N to N + 1, in order.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_catalog.sql"),
    include_str!("migrations/0002_publication_and_clicks.sql"),
    include_str!("migrations/0003_conversion_only.sql"),
    include_str!("migrations/0004_audit.sql"),
    include_str!("migrations/0005_uploads.sql"),
    include_str!("migrations/0006_lists.sql"),
    include_str!("migrations/0007_conversions.sql"),
    include_str!("migrations/0008_rollups.sql"),
    include_str!("migrations/0009_pixels.sql"),
    include_str!("migrations/0010_privacy.sql"),
    include_str!("migrations/0011_code_leak_guard.sql"),
    include_str!("migrations/0012_bot_list.sql"),
    include_str!("migrations/0013_offer_revisions.sql"),
    include_str!("migrations/0014_generations_ahead.sql"),
    include_str!("migrations/0015_bare_dates.sql"),
    include_str!("migrations/0016_waiting_order.sql"),
    include_str!("migrations/0017_visits.sql"),
    include_str!("migrations/0018_whole_host_names.sql"),
    include_str!("migrations/0019_removal_clock.sql"),
    include_str!("migrations/0020_unidentified_postbacks.sql"),
    include_str!("migrations/0021_deleted_codes.sql"),
    include_str!("migrations/0022_conversion_evidence.sql"),
    include_str!("migrations/0023_acme.sql"),
    include_str!("migrations/0024_accounts.sql"),
    include_str!("migrations/0025_preferences.sql"),
    include_str!("migrations/0026_jobs.sql"),
    include_str!("migrations/0027_second_factor.sql"),
    include_str!("migrations/0028_api_key_use.sql"),
    include_str!("migrations/0029_unread_uploads.sql"),
    include_str!("migrations/0030_views.sql"),
    include_str!("migrations/0031_agents.sql"),
    include_str!("migrations/0032_rulesets.sql"),
    include_str!("migrations/0033_traffic_controls.sql"),
    include_str!("migrations/0034_forwarding.sql"),
    include_str!("migrations/0035_caps.sql"),
    include_str!("migrations/0036_smart_switch.sql"),
    include_str!("migrations/0037_webhooks.sql"),
    include_str!("migrations/0038_places.sql"),
    include_str!("migrations/0039_blocked_addresses_and_filters.sql"),
    include_str!("migrations/0040_advertisers_of_destinations.sql"),
    include_str!("migrations/0041_target_values.sql"),
    include_str!("migrations/0042_address_alerts.sql"),
    include_str!("migrations/0043_kept_fields.sql"),
    include_str!("migrations/0044_further_values.sql"),
    include_str!("migrations/0045_keys_of_advertisers.sql"),
    include_str!("migrations/0046_offer_urls.sql"),
    include_str!("migrations/0047_nodes.sql"),
    include_str!("migrations/0048_run_ids.sql"),
    include_str!("migrations/0049_edges.sql"),
];

/// Migrates the database to this program's schema, after a copy of one with an older schema.
///
/// # Errors
/// When the file belongs to another program, was written by a newer one, the copy fails, or SQLite
/// fails.
pub(super) fn migrate(
    connection: &mut Connection,
    copies: &MigrationCopies,
) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = known_schema(&tx)?;
    copies.remove_leftovers();
    if (1..newest_schema()).contains(&found) {
        copies.make(found, newest_schema(), database_bytes(&tx)?)?;
    }
    for (number, sql) in (1..).zip(MIGRATIONS) {
        if number > found {
            tx.execute_batch(sql)?;
            tx.pragma_update(None, "user_version", number)?;
        }
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    let now = jiff::Timestamp::now().as_second();
    let writer = WriteTx::within(&tx, now, Origin::new(Actor::Program));
    super::meta::ensure(&writer)?;
    super::bot_list::ensure(&writer)?;
    super::click_terms::backfill(&writer)?;
    tx.commit()?;
    Ok(())
}

fn newest_schema() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Bytes of the database file once its write-ahead log is in it.
fn database_bytes(connection: &Connection) -> Result<u64, StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    Ok(number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?))
}

/// Schema number of a store that this program can read.
///
/// # Errors
/// When it is another program's, a newer one's, or SQLite fails.
pub(super) fn known_schema(connection: &Connection) -> Result<i64, StoreError> {
    let (known, found) = (newest_schema(), schema_version(connection)?);
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

/// Schema number; 0 for a new file.
fn schema_version(connection: &Connection) -> Result<i64, StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let owner: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = version == 0 && owner == 0 && objects == 0;
    if owner != APPLICATION_ID && !is_new {
        return Err(StoreError::Foreign { application_id: owner });
    }
    Ok(version)
}

/// Migrates an empty database to the schema before the first migration that contains a text, as a
/// released program left it.
#[cfg(test)]
pub(super) fn migrate_before(connection: &mut Connection, says: &str) {
    let before = MIGRATIONS.iter().position(|sql| sql.contains(says)).unwrap();
    for sql in &MIGRATIONS[..before] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", before).unwrap();
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    super::meta::ensure(&WriteTx::within(connection, 1, Origin::new(Actor::Program))).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ReadTx;

    /// Without copies, because these databases are in memory.
    fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
        super::migrate(connection, &MigrationCopies::new(std::path::Path::new(""), 0))
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let lineage = |c: &Connection| -> Vec<u8> {
            c.query_row("SELECT lineage FROM meta", [], |row| row.get(0)).unwrap()
        };
        let before = lineage(&connection);
        migrate(&mut connection).unwrap();
        assert_eq!(before, lineage(&connection));
    }

    /// A store as left by the program with this many migrations.
    fn earlier(migrations: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for sql in &MIGRATIONS[..migrations] {
            connection.execute_batch(sql).unwrap();
        }
        connection.pragma_update(None, "user_version", migrations as i64).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection
    }

    #[test]
    fn hosts_lose_the_dot_at_their_end_unless_another_domain_has_the_name() {
        let number = MIGRATIONS.iter().position(|sql| sql.contains("whole name")).unwrap();
        let mut connection = earlier(number);
        for host in ["a.example.", "b.example.:8443", "c.example", "c.example.", "d.e.example:80"] {
            let sql = "INSERT INTO tracking_domain (base_url, host, time_created, time_saved)
                       VALUES ('https://' || ?1, ?1, 0, 0)";
            connection.execute(sql, [host]).unwrap();
        }
        migrate(&mut connection).unwrap();
        let sql = "SELECT group_concat(base_url || ' ' || host, ', ') FROM tracking_domain";
        let hosts: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(
            hosts,
            "https://a.example a.example, https://b.example:8443 b.example:8443, \
             https://c.example c.example, https://c.example. c.example., \
             https://d.e.example:80 d.e.example:80"
        );
    }

    #[test]
    fn an_earlier_stores_archive_is_judged_again_by_the_same_list() {
        let number = MIGRATIONS.iter().position(|sql| sql.contains("ADD COLUMN rules")).unwrap();
        let mut connection = earlier(number);
        let sql = "INSERT INTO bot_list (id, wanted, in_force) VALUES (1, 'own bot', 'own bot')";
        connection.execute(sql, []).unwrap();
        migrate(&mut connection).unwrap();
        let work = crate::store::bot_list::pending_work(&ReadTx::within(&connection)).unwrap();
        assert!(matches!(work, crate::store::bot_list::PendingWork::Start), "{work:?}");
        let list = crate::store::bot_list::in_force(&ReadTx::within(&connection)).unwrap();
        assert!(list.has(b"an own bot/1") && !list.has(b"curl/8"));
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new).unwrap();
        let work = crate::store::bot_list::pending_work(&ReadTx::within(&new)).unwrap();
        assert!(matches!(work, crate::store::bot_list::PendingWork::UpToDate), "{work:?}");
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 900).unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::Newer { found: 900, .. })));
        assert_eq!(schema_version(&connection).unwrap(), 900);
    }

    #[test]
    fn keys_keep_their_ids_secrets_uses_and_audit() {
        let number = MIGRATIONS.iter().position(|sql| sql.contains("keys of advertisers")).unwrap();
        let mut connection = earlier(number);
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        let rows = "INSERT INTO affiliate (name, account_status, time_created, time_saved)
                VALUES ('Ann', 'active', 1, 1);
            INSERT INTO api_key (id, name, role, affiliate_id, hash, hint, time_created, time_saved, revision)
                VALUES (3, 'admin', 'admin', NULL, zeroblob(32), 'cpk_0', 1, 1, 4),
                (7, 'gone', 'partner', 1, randomblob(32), 'cpk_1', 1, 2, 2);
            UPDATE api_key SET time_deleted = 9, revision = 3 WHERE id = 7;
            INSERT INTO api_key_use VALUES (7, 5, '192.0.2.1');
            INSERT INTO audit (time_created, actor, api_key_id, api_key_name, object, action, first_id, last_id)
                VALUES (1, 'api_key', 3, 'admin', 'offer', 'created', 1, 1);";
        connection.execute_batch(rows).unwrap();
        let keys = |c: &Connection| -> String {
            let sql = "SELECT group_concat(format('%s %s %s %s %s %s', id, role, affiliate_id, \
                       hex(hash), time_deleted, revision), ', ') FROM api_key";
            c.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        let before = keys(&connection);
        migrate(&mut connection).unwrap();
        assert_eq!(keys(&connection), before);
        let broken = "SELECT count(*) FROM pragma_foreign_key_check";
        assert_eq!(connection.query_row(broken, [], |row| row.get(0)), Ok(0));
        let next = "INSERT INTO api_key (name, role, hash, hint, time_created, time_saved)
            VALUES ('new', 'admin', randomblob(32), '', 1, 1) RETURNING id";
        assert_eq!(connection.query_row(next, [], |row| row.get(0)), Ok(8));
        let use_of_none = "INSERT INTO api_key_use VALUES (9, 5, '')";
        assert!(connection.execute(use_of_none, []).is_err(), "references are still checked");
    }

    #[test]
    fn postbacks_that_waited_before_hold_up_those_about_the_same_sale() {
        let mut connection = Connection::open_in_memory().unwrap();
        let before = 15;
        for sql in &MIGRATIONS[..before] {
            connection.execute_batch(sql).unwrap();
        }
        connection.pragma_update(None, "user_version", before as i64).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        let rows =
            "INSERT INTO postback VALUES (7, zeroblob(16), zeroblob(16), 1, 1, 0, 'server', 0,
                '', '', '', '', '', '', '', 1, '', '', '', 0, 0, '', 'A1', '', '', '', 'queued',
                'waits', 0, '', NULL, 0, '[]', NULL);
            INSERT INTO postback_waiting VALUES (7, zeroblob(16), 0, 0, 5, x'01');";
        connection.execute_batch(rows).unwrap();
        migrate(&mut connection).unwrap();
        use crate::store::postbacks::waiting::{PassedNodes, SequenceKey, blocker, ripe};
        let order =
            |id| blocker(&ReadTx::within(&connection), &[SequenceKey::Order(id)], None).unwrap();
        assert_eq!((order("A1"), order("A2")), (Some(7), None));
        let waits = |passed_ms, others_ms| {
            let passed = PassedNodes { by_node: vec![(0, passed_ms), (1, 0)], others_ms };
            ripe(&ReadTx::within(&connection), &passed, 0, 10).unwrap()
        };
        assert_eq!(waits(5, 0)[0].message, [1]);
        assert_eq!(waits(4, 9), []);
        let unknown = PassedNodes { by_node: vec![(1, 0)], others_ms: 5 };
        assert_eq!(ripe(&ReadTx::within(&connection), &unknown, 0, 10).unwrap().len(), 1);
    }

    #[test]
    fn another_programs_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::Foreign { application_id: 0 })));
    }
}
