//! Opens publications as a daemon does: read `CURRENT`, open its files, decide visits.

use std::path::Path;

use coupon_rules::facts::Nobody;
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Answer, Reason, Visit, Visitor, decide};
use coupon_shared::destination::{ArchivedDestination, Macro, MacroSink, MacroValues};
use coupon_shared::index::Index;
use tempfile::TempDir;
use tokio_util::sync::DropGuard;

mod index_cache;
mod prebuilt;

mod merges;
mod syncing;

use std::time::{Duration, Instant};

use super::content::{self, LevelContext};
use super::level_policy::LevelInfo;
use super::older_daemon::CatalogForm;
use super::preload::{PreloadOrder, preload_at};
use super::publisher::KEEP_UNREFERENCED;
use super::syncing::MAX_UNSYNCED;
use super::*;
use crate::daemon_client::DaemonClient;
use crate::daemon_client::fake_daemon::FakeDaemon;
use crate::index_folder::{IndexFolder, MAX_REMOVED_AT_ONCE, Unsynced};
use crate::store::StoreError;
use crate::store::WriteTx;
use crate::store::meta::{self, Sequence};
use crate::wait_policy::WaitPolicy;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName, PREVIOUS};

/// Every macro is `x`.
struct AllX;

impl MacroValues for AllX {
    fn push_value(&self, _: Macro, sink: &mut MacroSink<'_>) {
        sink.push(b"x");
    }
}

/// 2026-06-15 12:00:00 UTC.
const NOW: i64 = 1_781_524_800;

struct Network {
    dir: TempDir,
    store: Store,
    publisher: Publisher,
}

impl Network {
    /// Offer 1 of advertiser 1, partners 1 and 2, a tracking domain.
    async fn new() -> Network {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::open(dir);
        network
            .edit(|tx| {
                tx.next_catalog_sequence()?;
                Ok(tx.raw_connection().execute_batch(
                    "INSERT INTO tracking_domain (base_url, host, time_created, time_saved)
                         VALUES ('http://go.example.com:8080', 'go.example.com:8080', 1, 1);
                     INSERT INTO advertiser (name, account_status, attribution_priority,
                         attribution_method, time_created, time_saved)
                         VALUES ('Shop', 'active', 'click', 'last_touch', 1, 1);
                     INSERT INTO offer (name, offer_status, destination_url, advertiser_id,
                         visibility, session_definition, session_duration,
                         session_tracking_lifespan_hour, append_transaction_id, time_created,
                         time_saved)
                         VALUES ('Jackets', 'active', 'https://shop.example/', 1, 'public',
                         'ip_user_agent', 24, 0, 1, 1, 1);
                     INSERT INTO affiliate (name, account_status, time_created, time_saved)
                         VALUES ('Ann', 'active', 1, 1), ('Bob', 'active', 1, 1);",
                )?)
            })
            .await;
        network
    }

    fn open(dir: TempDir) -> Network {
        let store = Store::open(dir.path()).unwrap();
        let publisher = publisher(&store);
        Network { dir, store, publisher }
    }

    /// Restarts the publisher with an empty memory, as after a crash.
    async fn restarted(mut self) -> Network {
        self.publisher.generations.wait_until_noted().await;
        let Network { dir, store, publisher } = self;
        drop((store, publisher));
        Network::open(dir)
    }

    async fn edit(
        &self,
        work: impl FnOnce(&WriteTx<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        self.store.write(work).await.unwrap();
    }

    async fn code(&self, code: &'static str, affiliate: Option<u32>) {
        self.edit(move |tx| insert(tx, code, affiliate, tx.next_code_sequence()?)).await;
    }

    async fn change(&self, code: &'static str, set: &'static str) {
        self.edit(move |tx| {
            let sql = format!("UPDATE coupon_code SET change_seq = ?1, {set} WHERE folded = ?2");
            tx.raw_connection().execute(&sql, (tx.next_code_sequence()?, code))?;
            Ok(())
        })
        .await;
    }

    async fn publish(&mut self) -> Manifest {
        self.publisher.round().await.unwrap();
        let folder = self.publisher.folder.clone().unwrap();
        self.publisher.syncing.wait_until_at_most(0, &folder).await.unwrap();
        self.manifest()
    }

    /// The last generation noted as published, and the last reserved.
    async fn meta(&self) -> (u64, u64) {
        let read = self.store.read(|connection| {
            let sql = "SELECT generation, generation_reserved FROM meta";
            Ok::<_, StoreError>(
                connection
                    .raw_connection()
                    .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?,
            )
        });
        read.await.unwrap()
    }

    fn index_dir(&self) -> std::path::PathBuf {
        self.dir.path().join(FOLDER_NAME)
    }

    fn manifest(&self) -> Manifest {
        Manifest::parse(&std::fs::read(self.index_dir().join(CURRENT)).unwrap()).unwrap()
    }

    fn nodes(&self, daemon: &DaemonClient) -> NodeRegistry {
        NodeRegistry::with_one(self.store.clone(), daemon.clone())
    }

    fn index(&self) -> Index<Bytes> {
        IndexFolder::open(self.index_dir()).unwrap().index(self.manifest()).unwrap()
    }

    /// Where a visit that asks for a URL of the offer is redirected.
    fn redirected(&self, code: &str, offer_url_id: Option<u32>) -> String {
        let index = self.index();
        let code = FoldedCode::fold(code.as_bytes()).unwrap();
        let visitor = Visitor::<Nobody>::Unchecked;
        let rows = index.lookup(&code);
        let visit = Visit { rows, offer_id: None, offer_url_id, domain: None, visitor };
        match decide(index.catalog(), &visit, NOW).answer {
            Answer::Redirect(to) => {
                let mut url = Vec::new();
                to.expand(&AllX, &mut url);
                String::from_utf8(url).unwrap()
            }
            Answer::Fallback(_) | Answer::NotFound => "nowhere".into(),
        }
    }

    /// Decides a visit; `None` for an unknown code.
    fn visit(&self, code: &str) -> Option<Reason> {
        let index = self.index();
        let code = FoldedCode::fold(code.as_bytes()).unwrap();
        let domain = index.catalog().domain("go.example.com");
        assert!(domain.is_some());
        let visitor = Visitor::<Nobody>::Unchecked;
        let visit = Visit {
            rows: index.lookup(&code),
            offer_id: None,
            offer_url_id: None,
            domain,
            visitor,
        };
        let decision = decide(index.catalog(), &visit, NOW);
        let reason = decision.click.map(|click| click.reason);
        assert_eq!(
            matches!(decision.answer, Answer::Redirect(_)),
            reason == Some(Reason::Redirected)
        );
        reason
    }
}

fn publisher(store: &Store) -> Publisher {
    let nobody = DaemonClient::new(&store.dir().join("no.sock"));
    let nodes = NodeRegistry::with_one(store.clone(), nobody);
    let index = IndexCache::new(IndexFolder::at(store.dir().join(FOLDER_NAME)));
    Publisher::new(store.clone(), 1, PublisherHandle::new(index, nodes))
}

fn insert(
    tx: &WriteTx<'_>,
    code: &str,
    affiliate: Option<u32>,
    sequence: Sequence,
) -> Result<(), StoreError> {
    tx.raw_connection()
        .prepare_cached(
            "INSERT INTO coupon_code (code, folded, offer_id, affiliate_id, status, time_created,
             time_saved, change_seq) VALUES (?1, ?2, 1, ?3, 'active', 1, 1, ?4)",
        )?
        .execute((code, code.to_ascii_lowercase(), affiliate, sequence))?;
    Ok(())
}

fn files(dir: &Path, ending: &str) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(ending)).collect()
}

#[tokio::test]
async fn an_empty_store_publishes_an_empty_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::open(dir);
    let manifest = network.publish().await;
    assert_eq!((manifest.generation, manifest.sequence), (1, 0));
    assert_eq!(network.index().levels().len(), 1);
    assert_eq!(network.publish().await, manifest, "nothing changed, nothing is announced");
}

#[tokio::test]
async fn each_edit_is_decided_by_as_saved() {
    let mut network = Network::new().await;
    network.code("WINTER25", Some(1)).await;
    network.code("Free", None).await;
    network.publish().await;
    assert_eq!(network.visit("winter25"), Some(Reason::Redirected));
    assert_eq!(network.visit("free"), Some(Reason::Unassigned));
    assert_eq!(network.visit("nobodys"), None);

    for (set, reason) in [
        ("status = 'paused'", Some(Reason::Paused)),
        ("status = 'active', end_date = '2026-06-14'", Some(Reason::Expired)),
        ("end_date = '2026-06-15'", Some(Reason::Redirected)),
        ("start_date = '2026-06-16', end_date = NULL", Some(Reason::NotStarted)),
        ("start_date = '2026-06-15'", Some(Reason::Redirected)),
        ("time_deleted = 5", None),
    ] {
        network.change("winter25", set).await;
        network.publish().await;
        assert_eq!(network.visit("winter25"), reason, "{set}");
    }
    assert_eq!(network.index().levels().len(), 2, "the base is not rebuilt by edits");
}

#[tokio::test]
async fn a_renamed_code_is_forgotten_under_its_old_name() {
    let mut network = Network::new().await;
    network.code("summer", Some(1)).await;
    network.publish().await;
    network.change("summer", "code = 'Autumn', folded = 'autumn'").await;
    network.publish().await;
    assert_eq!(network.visit("summer"), None);
    assert_eq!(network.visit("autumn"), Some(Reason::Redirected));
}

#[tokio::test]
async fn an_offers_edit_writes_the_catalog_and_a_codes_edit_does_not() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    let before = network.publish().await;
    network
        .edit(|tx| {
            tx.next_catalog_sequence()?;
            tx.raw_connection().execute("UPDATE offer SET offer_status = 'paused'", [])?;
            Ok(())
        })
        .await;
    let paused = network.publish().await;
    assert_eq!(paused.levels, before.levels);
    assert_ne!(paused.catalog, before.catalog);
    assert_eq!(network.visit("winter25"), Some(Reason::OfferNotActive));
    network.code("more", Some(1)).await;
    let after = network.publish().await;
    assert_eq!(after.catalog, paused.catalog);
    assert_eq!(after.levels.last(), before.levels.last());
    assert_eq!(after.generation, 3);
}

#[tokio::test]
async fn an_older_daemon_gets_offers_with_rules_closed_until_a_newer_one_runs() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network
        .edit(|tx| {
            tx.next_catalog_sequence()?;
            let sql = "INSERT INTO ruleset (offer_id, body, time_created, time_saved) \
                       VALUES (1, '{\"is_block_proxy\": true}', 1, 1)";
            tx.raw_connection().execute(sql, [])?;
            Ok(())
        })
        .await;
    let whole = network.publish().await;
    let set_age = |network: &Network, is_old: bool| {
        let handle = &network.publisher.handle;
        let form = if is_old { CatalogForm::WithoutRules } else { CatalogForm::Whole };
        handle.update_served(|served| served.catalog_form = form);
    };
    let closed = |network: &Network| network.publisher.handle.status().offers_closed_for_old_daemon;
    assert_eq!((network.visit("winter25"), closed(&network)), (Some(Reason::Redirected), 0));
    set_age(&network, true);
    // The status describes the published catalog, so a publication that fails changes nothing in it.
    let (index, aside) = (network.index_dir(), network.dir.path().join("aside"));
    std::fs::rename(&index, &aside).unwrap();
    assert!(network.publisher.round().await.is_err());
    assert_eq!(closed(&network), 0);
    std::fs::rename(&aside, &index).unwrap();
    let without_rules = network.publish().await;
    assert_eq!((network.visit("winter25"), closed(&network)), (Some(Reason::OfferNotActive), 1));
    assert_eq!(network.publish().await, without_rules);
    set_age(&network, false);
    assert_eq!(network.publish().await.catalog, whole.catalog);
    assert_eq!((network.visit("winter25"), closed(&network)), (Some(Reason::Redirected), 0));
}

#[tokio::test]
async fn an_older_daemon_gets_urls_without_macros_that_it_does_not_know() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network
        .edit(|tx| {
            tx.next_catalog_sequence()?;
            let sql = "UPDATE offer SET destination_url = 'https://s.example/?a={gclid}&b={sub1}', \
                       fallback_url = 'https://s.example/?c={adv1}'";
            tx.raw_connection().execute(sql, [])?;
            Ok(())
        })
        .await;
    let whole = network.publish().await;
    let set_form = |network: &Network, form| {
        let handle = &network.publisher.handle;
        handle.update_served(|served| served.catalog_form = form);
    };
    let urls = |network: &Network| {
        let index = network.index();
        let offer = index.catalog().offer(1).unwrap();
        let expand = |destination: &ArchivedDestination| {
            let mut url = Vec::new();
            destination.expand(&AllX, &mut url);
            String::from_utf8(url).unwrap()
        };
        let fallback = offer.fallback.as_ref().map(expand).unwrap();
        (expand(&offer.destinations[0].destination), fallback)
    };
    let id = "&_ef_transaction_id=x";
    let filled = (format!("https://s.example/?a=x&b=x{id}"), "https://s.example/?c=x".into());
    assert_eq!(urls(&network), filled);
    set_form(&network, CatalogForm::WithoutFurtherValues);
    network.publish().await;
    let empty = (format!("https://s.example/?a=&b=x{id}"), "https://s.example/?c=".into());
    assert_eq!(urls(&network), empty);
    set_form(&network, CatalogForm::Whole);
    assert_eq!(network.publish().await.catalog, whole.catalog);
    assert_eq!(urls(&network), filled);
}

#[tokio::test]
async fn urls_of_offers_are_published_for_daemons_that_know_them() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network
        .edit(|tx| {
            tx.next_catalog_sequence()?;
            let connection = tx.raw_connection();
            connection.execute_batch(
                "UPDATE offer SET destination_url = 'https://s.example/?u={offer_url_id}'",
            )?;
            for (url, status, affiliates) in [
                ("https://active.example/?u={offer_url_id}", "active", "[]"),
                ("https://paused.example/", "paused", "[]"),
                ("https://others.example/", "active", "[9]"),
                ("ftp://broken.example/", "active", "[]"),
            ] {
                let sql = "INSERT INTO offer_url (offer_id, name, destination_url, preview_url, \
                           url_status, is_apply_specific_affiliates, affiliate_ids, \
                           is_hidden_affiliate, time_created, time_saved) \
                           VALUES (1, 'A', ?1, '', ?2, ?3 <> '[]', ?3, 0, 1, 1)";
                connection.execute(sql, (url, status, affiliates))?;
            }
            Ok(())
        })
        .await;
    network.publish().await;
    let left_out = network.publisher.handle.status().left_out;
    assert_eq!(left_out.iter().map(|it| it.what.as_str()).collect::<Vec<_>>(), ["offer URL 4"]);
    let appended = "&_ef_transaction_id=x";
    let target = |network: &Network, uid| network.redirected("winter25", Some(uid));
    assert_eq!(target(&network, 1), format!("https://active.example/?u=x{appended}"));
    let destination = format!("https://s.example/?u=x{appended}");
    for uid in [0, 2, 3, 4, 5] {
        assert_eq!(target(&network, uid), destination, "{uid}");
    }
    let handle = &network.publisher.handle;
    handle.update_served(|served| served.catalog_form = CatalogForm::WithoutOfferUrls);
    network.publish().await;
    assert_eq!(target(&network, 1), format!("https://s.example/?u={appended}"));
}

#[tokio::test]
async fn an_offer_whose_url_does_not_parse_keeps_nothing_else_from_being_published() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network
        .edit(|tx| {
            Ok(tx.raw_connection().execute_batch("UPDATE offer SET destination_url = 'ftp://x'")?)
        })
        .await;
    network.publish().await;
    assert_eq!(network.visit("winter25"), Some(Reason::Incomplete));
    assert_eq!(network.publisher.handle.status().left_out[0].what, "offer 1");
}

#[tokio::test]
async fn a_restart_goes_on_from_what_is_published() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    let before = network.publish().await;
    let mut network = network.restarted().await;
    assert_eq!(network.publish().await, before, "nothing changed, nothing is announced");
    network.code("more", Some(1)).await;
    let mut network = network.restarted().await;
    let after = network.publish().await;
    assert_eq!(after.levels.last(), before.levels.last(), "the base was not rebuilt");
    assert!(after.generation > before.generation);
    assert_eq!(network.visit("more"), Some(Reason::Redirected));
}

#[tokio::test]
async fn no_generation_is_given_again_whatever_a_crash_left_of_the_one_before() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    let base = network.publish().await;
    network.publisher.generations.wait_until_noted().await;
    network.code("more", Some(1)).await;
    let crashed = network.publish().await;
    // Published, and not noted.
    network
        .edit(move |tx| {
            tx.raw_connection().execute("UPDATE meta SET generation = ?1", [base.generation])?;
            Ok(())
        })
        .await;
    for name in [CURRENT, PREVIOUS] {
        std::fs::remove_file(network.index_dir().join(name)).unwrap();
    }
    let Network { dir, .. } = network;
    let mut network = Network::open(dir);
    assert!(network.publish().await.generation > crashed.generation);
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_and_old_files_later() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network.publish().await;
    let dir = network.index_dir();
    for name in ["CURRENT.new", "level-1.lvl.new", "level-2.lvl", "catalog-3.cat"] {
        std::fs::write(dir.join(name), "half written").unwrap();
    }
    let mut network = network.restarted().await;
    network.publish().await;
    assert_eq!(files(&dir, ".new"), Vec::<String>::new());
    for _ in 0..2 {
        assert!(dir.join("level-2.lvl").exists());
        network.publisher.garbage.scanned = Instant::now().checked_sub(KEEP_UNREFERENCED).unwrap();
        network.publish().await;
    }
    assert_eq!((files(&dir, ".lvl").len(), files(&dir, ".cat").len()), (1, 1));
    assert_eq!(network.visit("winter25"), Some(Reason::Redirected));
}

#[tokio::test]
async fn many_old_files_go_a_few_at_a_time_so_that_no_publication_waits_for_all_of_them() {
    let mut network = Network::new().await;
    network.publish().await;
    let dir = network.index_dir();
    let old = 2 * MAX_REMOVED_AT_ONCE + 1;
    for number in 0..old {
        std::fs::write(dir.join(format!("level-{number}.lvl")), "old").unwrap();
    }
    let mut left = Vec::new();
    for _ in 0..5 {
        // Only the first two are looks for what is old.
        network.publisher.garbage.scanned = Instant::now().checked_sub(KEEP_UNREFERENCED).unwrap();
        network.publish().await;
        left.push(files(&dir, ".lvl").len() - 1);
    }
    let once = old - MAX_REMOVED_AT_ONCE;
    assert_eq!(left, [old, once, once - MAX_REMOVED_AT_ONCE, 0, 0]);
}

#[tokio::test]
async fn what_a_manifest_names_is_not_removed_while_it_cannot_be_read_and_it_is_written_anew() {
    for damage in ["", "coupond-manifest 1\nnetwork 1\n"] {
        let mut network = Network::new().await;
        network.code("winter25", Some(1)).await;
        network.publish().await;
        network.code("more", Some(1)).await;
        let before = network.publish().await;
        std::fs::write(network.index_dir().join(CURRENT), damage).unwrap();
        for _ in 0..3 {
            network.publisher.garbage.scanned =
                Instant::now().checked_sub(KEEP_UNREFERENCED).unwrap();
            assert!(network.publisher.round().await.is_err());
        }
        for name in &before.levels {
            assert!(network.index_dir().join(name.level_file()).exists());
        }
        // As the publisher does after a failure.
        network.publisher.folder = None;
        assert!(network.publish().await.generation > before.generation);
        assert_eq!(network.visit("more"), Some(Reason::Redirected));
    }
}

#[tokio::test]
async fn published_files_are_readable_by_owner_and_group_only() {
    use std::os::unix::fs::PermissionsExt;
    let mut network = Network::new().await;
    network.publish().await;
    for file in std::fs::read_dir(network.index_dir()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "the catalog holds the key that signs clicks");
    }
}

#[tokio::test]
async fn the_files_of_the_manifest_before_stay() {
    let mut network = Network::new().await;
    for code in ["aaa", "bbb", "ccc", "ddd"] {
        network.code(code, Some(1)).await;
        network.publish().await;
    }
    for _ in 0..2 {
        network.publisher.garbage.scanned = Instant::now().checked_sub(KEEP_UNREFERENCED).unwrap();
        network.publish().await;
    }
    let folder = IndexFolder::open(network.index_dir()).unwrap();
    let before = folder.index(folder.manifest(PREVIOUS).unwrap()).unwrap();
    assert_eq!(before.generation() + 1, network.manifest().generation);
    assert_eq!(files(&network.index_dir(), ".lvl").len(), 3, "base, newest, and the one before");
}

#[tokio::test]
async fn a_damaged_current_is_replaced_by_a_higher_generation() {
    for damage in ["", "coupond-manifest 1\nnetwork 1\n"] {
        let mut network = Network::new().await;
        network.code("winter25", Some(1)).await;
        let before = network.publish().await;
        std::fs::write(network.index_dir().join(CURRENT), damage).unwrap();
        let mut network = network.restarted().await;
        let after = network.publish().await;
        assert!(after.generation > before.generation);
        assert_eq!(network.visit("winter25"), Some(Reason::Redirected));
    }
}

#[tokio::test]
async fn a_torn_level_is_replaced_by_a_higher_generation() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network.publish().await;
    network.code("more", Some(1)).await;
    let before = network.publish().await;
    let newest = network.index_dir().join(before.levels[0].level_file());
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() - 16]).unwrap();
    let mut network = network.restarted().await;
    let after = network.publish().await;
    assert!(after.generation > before.generation);
    assert_eq!(after.levels.last(), before.levels.last(), "the manifest before is gone on from");
    assert_eq!(network.visit("more"), Some(Reason::Redirected));
}

#[tokio::test]
async fn an_index_from_after_a_restored_backup_is_not_gone_on_from() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network.publish().await;
    network.publisher.generations.wait_until_noted().await;
    let backup = network.meta().await;
    network.code("lost", Some(1)).await;
    let newer = network.publish().await;
    network.publisher.generations.wait_until_noted().await;
    assert!(newer.generation <= backup.1, "it was reserved when the backup was made");
    // The backup: made before "lost" was, and edited since in another way.
    network
        .edit(move |tx| {
            tx.raw_connection().execute("DELETE FROM coupon_code WHERE folded = 'lost'", [])?;
            tx.raw_connection()
                .execute("UPDATE meta SET generation = ?1, generation_reserved = ?2", backup)?;
            Ok(())
        })
        .await;
    let mut network = network.restarted().await;
    let after = network.publish().await;
    assert!(after.generation > newer.generation);
    assert_eq!(network.visit("lost"), None);
    assert_eq!(network.visit("winter25"), Some(Reason::Redirected));
}

#[tokio::test]
async fn a_daemon_that_is_ahead_is_overtaken() {
    let mut network = Network::new().await;
    network.publish().await;
    let lineage = network.manifest().lineage;
    network.publisher.handle.update_served(|served| served.ahead = Some((lineage, 60)));
    assert_eq!(network.publish().await.generation, 61);
    assert_eq!(network.publish().await.generation, 61);
}

#[tokio::test]
async fn publication_goes_on_once_the_folder_can_be_written_again() {
    let network = Network::new().await;
    std::fs::write(network.index_dir(), "a file where the folder should be").unwrap();
    let stop = CancellationToken::new();
    let daemon = DaemonClient::new(&network.dir.path().join("nobody.sock"));
    let handle = start(network.store.clone(), 1, network.nodes(&daemon), stop.clone());
    let live = handle.wait_live_for(1, Duration::from_millis(300)).await;
    let Err(WaitLiveError::NotPublished { reason }) = live else { panic!("{live:?}") };
    assert!(reason.contains("index"), "{reason}");
    std::fs::remove_file(network.index_dir()).unwrap();
    let live = handle.wait_live_for(1, Duration::from_secs(3)).await;
    let Err(WaitLiveError::NotServed { reason }) = live else { panic!("{live:?}") };
    assert!(reason.contains("nobody.sock"), "{reason}");
    assert_eq!(network.manifest().sequence, 1);
    stop.cancel();
}

#[tokio::test]
async fn an_edit_of_another_process_is_noticed() {
    let network = Network::new().await;
    let stop = CancellationToken::new();
    let daemon = DaemonClient::new(&network.dir.path().join("nobody.sock"));
    let handle = start(network.store.clone(), 1, network.nodes(&daemon), stop.clone());
    let mut status = handle.subscribe();
    status.wait_for(|status| status.sequence == 1).await.unwrap();
    let mut other = crate::store::connect_writer(network.dir.path()).unwrap();
    let tx = other.begin_write().unwrap();
    insert(&tx, "imported", Some(1), 2).unwrap();
    tx.raw_connection().execute_batch("UPDATE meta SET change_seq = 2").unwrap();
    tx.commit().unwrap();
    let noticed = status.wait_for(|status| status.sequence == 2);
    drop(tokio::time::timeout(Duration::from_secs(3), noticed).await.unwrap().unwrap());
    assert_eq!(network.visit("imported"), Some(Reason::Redirected));
    stop.cancel();
}

#[tokio::test]
async fn an_edit_is_live_when_the_daemon_says_so() {
    let network = Network::new().await;
    let daemon = FakeDaemon::start();
    daemon.hands.lock().unwrap().index_dir = network.index_dir();
    let stop = CancellationToken::new();
    let handle = start(network.store.clone(), 1, network.nodes(&daemon.client), stop.clone());
    assert_eq!(handle.wait_live(1).await.unwrap(), 1);
    network.code("winter25", Some(1)).await;
    assert_eq!(handle.wait_live(2).await.unwrap(), 2);
    assert_eq!(handle.status().daemon_error, None);
    stop.cancel();
}

#[tokio::test]
async fn a_daemon_with_a_later_generation_of_a_replaced_store_is_overtaken() {
    let network = Network::new().await;
    let daemon = FakeDaemon::start();
    daemon.hands.lock().unwrap().index_dir = network.index_dir();
    daemon.hands.lock().unwrap().serves_generation = Some(60);
    let stop = CancellationToken::new();
    let handle = start(network.store.clone(), 1, network.nodes(&daemon.client), stop.clone());
    assert_eq!(handle.wait_live(1).await.unwrap(), 61);
    stop.cancel();
}

#[tokio::test]
async fn codes_for_conversions_only_are_never_published_whatever_their_form() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network.code("save-20", Some(1)).await;
    network.change("save-20", "conversion_only = 1").await;
    network.publish().await;
    assert_eq!(network.visit("winter25"), Some(Reason::Redirected));

    // A level with what changed: one code leaves, one comes, and one was never there.
    network.change("winter25", "conversion_only = 1").await;
    network.change("save-20", "conversion_only = 0, code = 'SAVE20', folded = 'save20'").await;
    network.code("not-20", Some(1)).await;
    network.change("not-20", "conversion_only = 1").await;
    let manifest = network.publish().await;
    assert_eq!(manifest.levels.len(), 2);
    assert_eq!(network.visit("winter25"), None);
    assert_eq!(network.visit("save20"), Some(Reason::Redirected));
}

/// `cargo test -p coupon-admin --release --lib publish::tests::speed -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    let mut network = Network::new().await;
    let rows = 1_000_000_u32;
    network
        .edit(move |tx| {
            let sequence = tx.next_code_sequence()?;
            (0..rows).try_for_each(|n| {
                let n = n.wrapping_mul(2_654_435_761);
                insert(tx, &format!("code{n:010}"), Some(1), sequence)
            })
        })
        .await;
    let begun = Instant::now();
    let manifest = network.publish().await;
    println!("base of {rows} codes: {:?}", begun.elapsed());
    assert_eq!(
        network.index().lookup(&FoldedCode::fold(b"code0000000000").unwrap()).unwrap().len(),
        1
    );
    let mut took = Vec::new();
    for n in 0..200_u32 {
        network
            .edit(move |tx| insert(tx, &format!("new{n}"), Some(1), tx.next_code_sequence()?))
            .await;
        let begun = Instant::now();
        network.publish().await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!("an edit published: median {:?}, p99 {:?}", took[100], took[197]);
    assert_eq!(network.manifest().levels.last(), manifest.levels.last());
    let begun = Instant::now();
    network = network.restarted().await;
    network.publish().await;
    println!("the index taken over at a restart: {:?}", begun.elapsed());
}

/// Two daemons, each of which serves the published index.
fn pair(network: &Network) -> ([FakeDaemon; 2], NodeRegistry) {
    let daemons = [FakeDaemon::start(), FakeDaemon::start()];
    for daemon in &daemons {
        daemon.hands.lock().unwrap().index_dir = network.index_dir();
    }
    let sockets = ["a", "b"].into_iter().zip(daemons.iter().map(|daemon| daemon.socket.as_path()));
    let nodes = NodeRegistry::new(network.store.clone(), sockets);
    (daemons, nodes)
}

#[tokio::test]
async fn an_edit_is_live_when_every_daemon_that_answers_serves_it() {
    let network = Network::new().await;
    let ([_a, b], nodes) = pair(&network);
    let stop = CancellationToken::new();
    let handle = start(network.store.clone(), 1, nodes.clone(), stop.clone());
    assert_eq!(handle.wait_live(1).await.unwrap(), 1);
    let all = LiveNodes { live: 2, all: 2, missing: vec![] };
    // A daemon that was never heard is not waited for.
    handle.wait_for_served(|served| served.live_nodes(&nodes, 1) == Some(all.clone())).await;
    b.hands.lock().unwrap().is_frozen = true;
    network.code("winter25", Some(1)).await;
    // A daemon that has just answered is waited for.
    nodes.note_answer(&nodes.daemons()[1]);
    let live = handle.wait_live_for(2, Duration::from_millis(300)).await;
    let Err(WaitLiveError::NotServed { .. }) = live else { panic!("{live:?}") };
    let missing = LiveNodes { live: 1, all: 2, missing: vec!["b".into()] };
    assert_eq!(handle.live_nodes(2), Some(missing.clone()));
    // A silent one is named, and not waited for.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    nodes.note_answer(&nodes.daemons()[0]);
    assert_eq!(handle.wait_live_for(2, Duration::from_millis(300)).await.unwrap(), 2);
    assert_eq!(handle.live_nodes(2), Some(missing));
    stop.cancel();
}

const LEVEL: ObjectName = ObjectName([0xab; 32]);

/// A handle without a running publisher.
fn handle(network: &Network, nodes: &NodeRegistry) -> PublisherHandle {
    PublisherHandle::new(IndexCache::new(IndexFolder::at(network.index_dir())), nodes.clone())
}

async fn preload(handle: &PublisherHandle, longest_ms: u64) {
    let daemons = handle.nodes.daemons();
    let order = PreloadOrder::new(LEVEL, None, Duration::from_millis(longest_ms));
    preload_at(handle, &order, daemons.iter()).await;
}

/// No daemon is silent until the guard is dropped.
fn keep_answering(nodes: &NodeRegistry) -> DropGuard {
    let note = |nodes: &NodeRegistry| {
        nodes.daemons().iter().for_each(|daemon| nodes.note_answer(daemon));
    };
    note(nodes);
    let (stop, nodes) = (CancellationToken::new(), nodes.clone());
    let noting = async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            note(&nodes);
        }
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(noting));
    stop.drop_guard()
}

fn preload_errors(nodes: &NodeRegistry) -> Vec<String> {
    nodes.statuses().into_iter().filter_map(|status| status.preload_error).collect()
}

#[tokio::test]
async fn a_slow_daemon_delays_the_loading_of_levels_only_once() {
    let network = Network::new().await;
    let ([a, b], nodes) = pair(&network);
    let handle = handle(&network, &nodes);
    let _answering = keep_answering(&nodes);
    b.hands.lock().unwrap().is_frozen = true;
    let began = Instant::now();
    preload(&handle, 300).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "it waits for both");
    assert_eq!(a.hands.lock().unwrap().preloaded.len(), 1);
    let errors = preload_errors(&nodes);
    assert!(matches!(&errors[..], [error] if error.contains("did not answer")), "{errors:?}");
    let began = Instant::now();
    preload(&handle, 60_000).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(a.hands.lock().unwrap().preloaded.len(), 2);
    // It is asked nevertheless, and counts again once it has loaded a level.
    b.hands.lock().unwrap().is_frozen = false;
    while !preload_errors(&nodes).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_daemon_that_becomes_silent_is_not_waited_for_any_longer() {
    let network = Network::new().await;
    let ([_, b], nodes) = pair(&network);
    b.hands.lock().unwrap().is_frozen = true;
    nodes.daemons().iter().for_each(|daemon| nodes.note_answer(daemon));
    let began = Instant::now();
    preload(&handle(&network, &nodes), 60_000).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn of_many_daemons_95_percent_suffice() {
    let network = Network::new().await;
    let daemons: Vec<FakeDaemon> = (0..20).map(|_| FakeDaemon::start()).collect();
    let names: Vec<String> = (0..20).map(|number| format!("d{number}")).collect();
    let sockets = daemons.iter().map(|daemon| daemon.socket.as_path());
    let named = names.iter().map(String::as_str).zip(sockets);
    let nodes = NodeRegistry::new(network.store.clone(), named);
    let handle = handle(&network, &nodes);
    let _answering = keep_answering(&nodes);
    daemons[7].hands.lock().unwrap().is_frozen = true;
    let began = Instant::now();
    preload(&handle, 60_000).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    daemons[8].hands.lock().unwrap().is_frozen = true;
    let began = Instant::now();
    preload(&handle, 1_500).await;
    assert!(began.elapsed() >= Duration::from_millis(1_500), "18 of 20 are too few");
}

#[tokio::test]
async fn an_edit_waits_for_a_daemon_that_joined_until_it_is_retired() {
    let network = Network::new().await;
    let ([near, edge], _) = pair(&network);
    let nodes = network.nodes(&near.client);
    let stop = CancellationToken::new();
    let handle = start(network.store.clone(), 1, nodes.clone(), stop.clone());
    assert_eq!(handle.wait_live(1).await.unwrap(), 1);
    assert_eq!(handle.live_nodes(1), None);
    // A daemon that answers and has no index yet is not waited for.
    edge.hands.lock().unwrap().is_without_index = true;
    let joined = nodes.add("edge", edge.client.clone(), Duration::ZERO);
    nodes.note_answer(&joined);
    network.code("first", Some(1)).await;
    assert_eq!(handle.wait_live_for(2, Duration::from_millis(900)).await.unwrap(), 2);
    let missing = LiveNodes { live: 1, all: 2, missing: vec!["edge".into()] };
    assert_eq!(handle.live_nodes(2), Some(missing));
    edge.hands.lock().unwrap().is_without_index = false;
    let both = LiveNodes { live: 2, all: 2, missing: vec![] };
    handle.wait_for_served(|served| served.live_nodes(&nodes, 2) == Some(both.clone())).await;
    // The first daemon has no name in the configuration.
    near.hands.lock().unwrap().is_frozen = true;
    network.code("winter25", Some(1)).await;
    nodes.daemons().iter().for_each(|daemon| nodes.note_answer(daemon));
    handle.wait_live_for(3, Duration::from_millis(300)).await.unwrap_err();
    let missing = LiveNodes { live: 1, all: 2, missing: vec!["coupond".into()] };
    assert_eq!(handle.live_nodes(3), Some(missing));
    let one = handle.clone().with_wait_policy(WaitPolicy::One);
    assert_eq!(one.wait_live_for(3, Duration::from_millis(300)).await.unwrap(), 3);
    near.hands.lock().unwrap().is_frozen = false;

    edge.hands.lock().unwrap().is_frozen = true;
    network.code("save20", Some(1)).await;
    nodes.daemons().iter().for_each(|daemon| nodes.note_answer(daemon));
    let waiting = handle.wait_live_for(4, Duration::from_secs(20));
    let retiring = async {
        // The other daemon serves it meanwhile.
        tokio::time::sleep(Duration::from_millis(900)).await;
        let live = handle.live_generation(4);
        nodes.retire(&joined);
        live
    };
    let began = Instant::now();
    let (live, before) = tokio::join!(waiting, retiring);
    assert_eq!((live.unwrap(), before), (4, None));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(handle.live_nodes(4), None);
    assert_eq!(handle.status().served_generation, Some(4));
    stop.cancel();
}

#[tokio::test]
async fn a_retired_daemon_delays_no_loading_of_levels() {
    let network = Network::new().await;
    let ([_, b], nodes) = pair(&network);
    b.hands.lock().unwrap().is_frozen = true;
    nodes.daemons().iter().for_each(|daemon| nodes.note_answer(daemon));
    let handle = handle(&network, &nodes);
    let preloading = preload(&handle, 60_000);
    let retiring = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        nodes.retire(&nodes.daemons()[1]);
    };
    let both = async { tokio::join!(preloading, retiring) };
    tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
}

#[tokio::test]
async fn without_a_daemon_edits_are_published_and_not_live() {
    let network = Network::new().await;
    let nodes = NodeRegistry::new(network.store.clone(), []);
    let stop = CancellationToken::new();
    let handle = start(network.store.clone(), 1, nodes.clone(), stop.clone());
    network.code("winter25", Some(1)).await;
    let began = Instant::now();
    let live = handle.wait_live_for(2, Duration::from_secs(60)).await;
    assert!(matches!(live, Err(WaitLiveError::NoDaemon)), "{live:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "as soon as it is published");
    assert_eq!(network.visit("winter25"), Some(Reason::Redirected));
    assert_eq!(handle.live_nodes(2), Some(LiveNodes { live: 0, all: 0, missing: vec![] }));
    let status = handle.status();
    assert_eq!((status.served_generation, status.daemon_error), (None, None));
    // An edit that waits is live as soon as a daemon joins and serves it.
    let daemon = FakeDaemon::start();
    daemon.hands.lock().unwrap().index_dir = network.index_dir();
    nodes.add("edge", daemon.client.clone(), Duration::ZERO);
    assert_eq!(handle.wait_live(2).await.unwrap(), status.generation);
    stop.cancel();
}
