//! Background merges of larger levels during edits.

use std::collections::BTreeMap;

use coupon_shared::snapshot::level::CodeRecord;

use super::super::level_policy::Range;
use super::super::merge::{Merge, MergedLevel};
use super::prebuilt::immediate;
use super::*;
use crate::index_folder::MergeRecipe;
use crate::store::publication;

impl Network {
    /// Rounds until no merge is under way or due.
    async fn publish_until_merged(&mut self) -> Manifest {
        loop {
            self.publish().await;
            if self.publisher.merging.running.is_none() {
                return self.manifest();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A merge of all levels up to `to` begins.
    fn begin_base(&mut self, to: Sequence) {
        let context = self.publisher.level_context(self.publisher.folder.as_ref().unwrap());
        self.begin(Range { from: 0, to }, context);
    }

    fn begin(&mut self, range: Range, context: LevelContext) {
        let handle = self.publisher.handle.clone();
        let levels = (&*self.publisher.published.levels, range);
        let merge = Merge::start(self.store.clone(), context, levels, handle);
        self.publisher.merging.begin(merge);
    }

    /// Waits until the running merge is finished; its level is not published yet.
    async fn merge_done(&mut self) {
        while self.publisher.merging.running.is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.publisher.merging.take_result();
        }
    }

    async fn import(&self, codes: std::ops::Range<u32>, partner: u32) {
        self.edit(move |tx| {
            let sequence = tx.next_code_sequence()?;
            codes.into_iter().try_for_each(|n| insert(tx, &name(n), Some(partner), sequence))
        })
        .await;
    }

    /// Imports with a prebuilt level, which the next publication contains.
    async fn import_ahead(&mut self, codes: std::ops::Range<u32>, partner: u32) {
        self.publish().await;
        let levels = self.publisher.with_merged().levels;
        let context = self.publisher.level_context(self.publisher.folder.as_ref().unwrap());
        let mut connection = crate::store::connect_writer(self.dir.path()).unwrap();
        let tx = immediate(&mut connection);
        let sequence = tx.next_code_sequence().unwrap();
        codes.into_iter().for_each(|n| insert(&tx, &name(n), Some(partner), sequence).unwrap());
        let (meta, cut) = (meta::read(&tx).unwrap(), self.publisher.merging.cut());
        let built = content::new_level(&tx, &levels, cut, &meta, &context).unwrap().unwrap();
        self.publisher.prebuilt =
            Some(built.put(&context.folder, &mut Unsynced::default()).unwrap());
        tx.commit().unwrap();
    }

    /// The store's records of each code.
    async fn stored(&self) -> BTreeMap<FoldedCode, Vec<CodeRecord>> {
        let read = self.store.read(|connection| {
            let mut codes = BTreeMap::new();
            publication::all_codes(connection, |code, rows| {
                codes.insert(*code, rows.to_vec());
                Ok::<_, StoreError>(())
            })?;
            Ok::<_, StoreError>(codes)
        });
        read.await.unwrap()
    }

    /// Asserts equal records of these codes in the published index and the store.
    async fn assert_published(&self, codes: impl Iterator<Item = String>) {
        let (index, stored) = (self.index(), self.stored().await);
        for code in codes {
            let code = FoldedCode::fold(code.as_bytes()).unwrap();
            let published = index.lookup(&code).map(|rows| rows.iter().collect::<Vec<_>>());
            assert_eq!(published.as_ref(), stored.get(&code), "{code}");
        }
    }

    fn codes_by_level(&self) -> Vec<u64> {
        self.publisher.published.levels.iter().map(|level| level.codes).collect()
    }
}

fn name(number: u32) -> String {
    format!("n{number:06}")
}

#[tokio::test]
async fn an_import_is_a_level_of_its_own_that_edits_leave_alone() {
    let mut network = Network::new().await;
    network.import(0..9_000, 1).await;
    let base = network.publish_until_merged().await;
    network.code("before", Some(1)).await;
    network.publish().await;
    network.import(100_000..101_100, 2).await;
    let imported = network.publish_until_merged().await;
    assert_eq!(network.codes_by_level(), [1_101, 9_000], "with the small level it would bury");
    for code in ["aaa", "bbb", "ccc"] {
        network.code(code, Some(1)).await;
        let edited = network.publish().await;
        assert_eq!(edited.levels[1..], [imported.levels[0], base.levels[0]]);
        assert_eq!(network.visit(code), Some(Reason::Redirected));
    }
}

#[tokio::test]
async fn what_has_become_an_eighth_of_the_base_is_merged_with_it() {
    let mut network = Network::new().await;
    network.import(0..8_000, 1).await;
    let before = network.publish_until_merged().await;
    network.import(8_000..9_100, 2).await;
    let after = network.publish_until_merged().await;
    assert_eq!(network.codes_by_level(), [9_100]);
    assert_ne!(after.levels, before.levels);
    assert_eq!(after.sequence, before.sequence + 1);
    network.assert_published((0..9_200).map(name)).await;
}

/// The file of a base as the store's codes give it.
async fn base_of_the_store(network: &Network, to: Sequence) -> ObjectName {
    let context = network.publisher.level_context(network.publisher.folder.as_ref().unwrap());
    let read = network.store.read(move |connection| {
        let lineage = meta::read(connection)?.lineage;
        content::write_level(connection, Range { from: 0, to }, lineage, &context, || true)
    });
    read.await.unwrap().name()
}

#[tokio::test]
async fn a_merge_of_files_gives_the_file_that_the_store_would_give() {
    let mut network = Network::new().await;
    network.import(0..3_000, 1).await;
    network.publish_until_merged().await;
    network.change("n000003", "time_deleted = 7").await;
    network.change("n000004", "code = 'Moved', folded = 'moved'").await;
    network.publish().await;
    network.import(3_000..4_100, 2).await;
    network.publish().await;
    let inputs = network.publisher.published.levels.clone();
    let merged = network.publish_until_merged().await;
    assert_eq!(network.codes_by_level(), [4_100 - 2 + 1], "one deleted, one moved");
    assert_eq!(merged.levels, [base_of_the_store(&network, merged.sequence).await]);
    let newest_first = inputs.iter().map(|level| level.name).collect();
    let recipe = MergeRecipe { level: merged.levels[0], newest_first };
    assert_eq!(network.publisher.handle.recipes(), [recipe]);
    // The recipe is of no use without its level.
    network.import(10_000..20_000, 1).await;
    network.publish_until_merged().await;
    let levels: Vec<_> =
        network.publisher.handle.recipes().iter().map(|recipe| recipe.level).collect();
    assert!(!levels.contains(&merged.levels[0]), "{levels:?}");
}

#[tokio::test]
async fn codes_are_read_from_the_store_where_an_input_of_a_merge_is_damaged() {
    let mut network = Network::new().await;
    network.import(0..3_000, 1).await;
    let to = network.publish_until_merged().await.sequence;
    let base = network.index_dir().join(network.manifest().levels[0].level_file());
    network.code("winter25", Some(1)).await;
    network.publish().await;
    let whole = std::fs::read(&base).unwrap();
    std::fs::write(&base, &whole[..whole.len() - 1]).unwrap();
    network.begin_base(to);
    network.merge_done().await;
    let merged = network.publisher.merging.merged.clone().unwrap();
    assert_eq!((merged.info.codes, merged.recipe), (3_001, None));
    network.publish().await;
    network.assert_published((0..3_000).map(name)).await;
}

#[tokio::test]
async fn edits_while_a_merge_reads_are_in_the_levels_above_it() {
    for (edits_before, edits_after) in [(true, false), (false, true), (true, true)] {
        let mut network = Network::new().await;
        network.import(0..3_000, 1).await;
        let cut = network.publish_until_merged().await.sequence;
        if edits_before {
            // Seen by the merge, though its range ends before.
            network.change("n000001", "status = 'paused'").await;
            network.change("n000002", "code = 'Renamed', folded = 'renamed'").await;
            network.code("early", Some(1)).await;
        }
        network.begin_base(cut);
        network.merge_done().await;
        if edits_after {
            network.change("n000003", "time_deleted = 7").await;
            network.change("n000004", "code = 'Moved', folded = 'moved'").await;
            network.code("late", Some(2)).await;
        }
        network.publish().await;
        assert_eq!(network.codes_by_level().len(), 2, "a base, and what changed since its cut");
        let codes = ["renamed", "early", "moved", "late"].into_iter().map(str::to_owned);
        network.assert_published((0..3_000).map(name).chain(codes)).await;
    }
}

#[tokio::test]
async fn what_a_merge_made_is_no_old_file_while_the_daemon_loads_it() {
    let mut network = Network::new().await;
    network.import(0..3_000, 1).await;
    network.publish_until_merged().await;
    network.change("n000001", "status = 'paused'").await;
    let to = network.publish().await.sequence;
    let socket = network.store.dir().join("silent.sock");
    let _says_nothing = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    network.publisher.handle.nodes = network.nodes(&DaemonClient::new(&socket));
    network.begin_base(to);
    let made = loop {
        let merge = network.publisher.merging.running.as_ref().unwrap();
        let made = merge.file().map(|file| network.index_dir().join(file));
        if let Some(made) = made.filter(|made| made.exists()) {
            break made;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    for _ in 0..3 {
        network.publisher.garbage.scanned = Instant::now().checked_sub(KEEP_UNREFERENCED).unwrap();
        network.publisher.round().await.unwrap();
    }
    assert!(made.exists(), "it is about to be published");
}

#[tokio::test]
async fn levels_published_while_a_merge_reads_stay_as_they_are() {
    let mut network = Network::new().await;
    network.import(0..3_000, 1).await;
    let to = network.publish_until_merged().await.sequence;
    let (merge, done) = Merge::of_a_test(Range { from: 0, to });
    network.publisher.merging.begin(Ok(merge));
    network.code("first", Some(1)).await;
    let meanwhile = network.publish().await;
    assert_eq!(network.codes_by_level(), [1, 3_000]);
    // What it makes: the same codes once more, which is another file because of its range.
    let info = LevelInfo { to, ..network.publisher.published.levels[1] };
    done.send(Ok(MergedLevel { info, recipe: None })).ok().unwrap();
    let after = network.publish().await;
    assert_eq!(after.levels, meanwhile.levels);
    assert_eq!(after.generation, meanwhile.generation, "nothing differs, nothing is announced");
}

#[tokio::test]
async fn a_change_too_large_to_find_a_place_gives_the_merge_up() {
    let mut network = Network::new().await;
    network.import(0..1_500, 1).await;
    // The levels below count as large ones, so that no merge is due.
    for (level, codes) in [(0, 70_000), (0, 8_100)] {
        network.publish().await;
        network.publisher.published.levels[level].codes = codes;
        let first = 100_000 + codes as u32;
        network.import(first..first + 1_001, 1).await;
    }
    network.publish().await;
    assert_eq!(network.codes_by_level(), [1_001, 8_100, 70_000]);
    let to = network.manifest().sequence;
    let (merge, _done) = Merge::of_a_test(Range { from: 0, to });
    network.publisher.merging.begin(Ok(merge));
    network.code("small", Some(1)).await;
    network.publish().await;
    assert_eq!(network.publisher.merging.cut(), to, "an edit finds its place on top");
    network.import(300_000..308_100, 2).await;
    network.publish().await;
    assert_ne!(network.publisher.merging.cut(), to);
    network.publish_until_merged().await;
    network.assert_published((0..1_600).chain(300_000..308_200).map(name)).await;
}

#[tokio::test]
async fn a_merge_that_fails_stops_no_edit_and_leaves_nothing() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    let cut = network.publish().await.sequence;
    let elsewhere = IndexFolder::at(network.dir.path().join("no such folder"));
    let context = LevelContext {
        folder: elsewhere,
        ..network.publisher.level_context(&IndexFolder::at("".into()))
    };
    network.begin(Range { from: 0, to: cut }, context);
    network.merge_done().await;
    assert!(network.publisher.merging.merged.is_none());
    assert!(!network.publisher.merging.may_begin(), "it is not tried again at once");
    network.code("more", Some(1)).await;
    network.publish().await;
    assert_eq!(network.visit("more"), Some(Reason::Redirected));
    assert_eq!(files(&network.index_dir(), ".new"), Vec::<String>::new());
}

#[tokio::test]
async fn a_merge_that_is_given_up_leaves_nothing() {
    let mut network = Network::new().await;
    network.import(0..10_000, 1).await;
    let before = network.publish_until_merged().await;
    network.begin_base(before.sequence);
    network.publisher.merging.cancel();
    let is_over = || files(&network.index_dir(), ".new").is_empty();
    tokio::time::timeout(Duration::from_secs(5), async {
        // The thread may not have begun its file yet.
        tokio::time::sleep(Duration::from_millis(100)).await;
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(network.publish().await, before);
}

#[tokio::test]
async fn a_crash_amid_a_merge_leaves_the_old_index() {
    let mut network = Network::new().await;
    network.import(0..3_000, 1).await;
    network.publish_until_merged().await;
    network.import(3_000..4_100, 2).await;
    network.publish().await;
    assert!(network.publisher.merging.running.is_some());
    let before = network.manifest();
    let mut network = network.restarted().await;
    assert_eq!(network.manifest(), before);
    network.publish_until_merged().await;
    assert_eq!(network.codes_by_level(), [4_100]);
    network.assert_published((0..4_200).map(name)).await;
}

#[tokio::test]
async fn any_history_of_edits_imports_merges_and_restarts_publishes_what_the_store_holds() {
    let mut network = Network::new().await;
    let mut random = 7_u32;
    let mut next = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut imported = 0;
    for step in 0..120 {
        let old = name(next(imported + 1));
        match next(12) {
            0 => {
                let rows = [900, 1_100, 3_000, 9_000][next(4) as usize];
                let codes = imported..imported + rows;
                match next(2) {
                    0 => network.import(codes, 1 + next(2)).await,
                    _ => network.import_ahead(codes, 1 + next(2)).await,
                }
                imported += rows;
            }
            1..4 => change(&network, old, "time_deleted = 7".into()).await,
            4..6 => {
                let new = format!("renamed{step}");
                change(&network, old, format!("code = '{new}', folded = '{new}'")).await;
            }
            6..10 => change(&network, old, "affiliate_id = 2".into()).await,
            10 => network = network.restarted().await,
            _ => tokio::time::sleep(Duration::from_millis(u64::from(next(30)))).await,
        }
        if next(3) > 0 {
            network.publish().await;
        }
    }
    network.publish_until_merged().await;
    let renamed = (0..120).map(|step| format!("renamed{step}"));
    network.assert_published((0..=imported).map(name).chain(renamed)).await;
}

async fn change(network: &Network, code: String, set: String) {
    network
        .edit(move |tx| {
            let sql = format!(
                "UPDATE coupon_code SET change_seq = ?1, {set} WHERE folded = ?2 AND time_deleted = 0"
            );
            tx.raw_connection().execute(&sql, (tx.next_code_sequence()?, code))?;
            Ok(())
        })
        .await;
}
