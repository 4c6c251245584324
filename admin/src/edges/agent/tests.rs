//! Levels that are fetched ahead of their heads, over a real nats-server.

use std::collections::HashSet;
use std::path::PathBuf;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use coupon_shared::civil_day::Day;
use coupon_shared::code::FoldedCode;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::level::{CodeRecord, LevelMeta};
use coupon_shared::snapshot::manifest::Manifest;

use super::objects::ObjectOrigin;
use super::*;
use crate::daemon_client::fake_daemon::FakeDaemon;
use crate::edges::head::{Description, Head, IndexObject, part_purpose};
use crate::edges::message::FetchOrder;
use crate::edges::nats::tests::{SUBJECTS, Server, secret};
use crate::edges::objects::ObjectStore;
use crate::index_folder::{MergeRecipe, Unsynced};
use crate::worker::Worker as _;

const NODE: u16 = 7;
const KEY_ID: u32 = 3;
const LEVEL: ObjectName = ObjectName([0xab; 32]);

/// A control plane that stores objects, and an edge that fetches them.
struct TestBed {
    control_plane: Nats,
    objects: ObjectStore,
    folders: [TempDir; 2],
    daemon: FakeDaemon,
    shared: Arc<AgentShared>,
    edge_objects: Arc<FolderObjects>,
    preparer: Preparer,
    _server: Server,
}

impl TestBed {
    /// `None` where no nats-server is installed.
    async fn start() -> Option<TestBed> {
        let server = Server::start()?;
        let nats = server.connect(Some(NODE)).await;
        Some(TestBed::with(server, nats).await)
    }

    /// Objects come over a line with this many bytes a second.
    async fn on_a_line(bytes_per_second: usize) -> Option<TestBed> {
        let server = Server::start()?;
        let line = thin_line(&server.address().await, bytes_per_second).await;
        let nats = server.connect_over(line, Some(NODE)).await;
        Some(TestBed::with(server, nats).await)
    }

    async fn with(server: Server, nats: Nats) -> TestBed {
        let control_plane = server.connect(None).await;
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let folder = IndexFolder::at(folders[0].path().into());
        let objects = ObjectStore::new(control_plane.clone(), SUBJECTS, folder);
        objects.set_fleet_keys(vec![(KEY_ID, secret(9))]);
        objects.open(64 << 20, 1).await.unwrap();
        let daemon = FakeDaemon::start();
        let shared = agent(nats, &daemon, folders[1].path());
        let folder = IndexFolder::open(folders[1].path().into()).unwrap();
        let edge_objects = Arc::new(FolderObjects::new(Arc::clone(&shared), folder));
        let preparer = Preparer::new(Arc::clone(&shared), Arc::clone(&edge_objects));
        TestBed {
            control_plane,
            objects,
            folders,
            daemon,
            shared,
            edge_objects,
            preparer,
            _server: server,
        }
    }

    /// Writes a level of these many bytes, which do not compress; returns them.
    fn write_level(&self, level: ObjectName, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).unwrap();
        std::fs::write(self.folders[0].path().join(level.level_file()), &bytes).unwrap();
        bytes
    }

    fn at_edge(&self, level: ObjectName) -> PathBuf {
        self.folders[1].path().join(level.level_file())
    }

    fn files_at_edge(&self) -> usize {
        std::fs::read_dir(self.folders[1].path()).unwrap().count()
    }

    /// Asks until there is an answer.
    async fn prepare(&self, level: ObjectName, key_id: u32) -> Response<Bytes> {
        self.prepare_by(level, FetchOrder { key_id, recipe: None }).await
    }

    async fn prepare_by(&self, level: ObjectName, order: FetchOrder) -> Response<Bytes> {
        loop {
            let answer = self.preparer.prepare(level, order.clone()).await;
            if answer.status() != StatusCode::ACCEPTED {
                return answer;
            }
        }
    }

    /// Writes three neighbouring levels into both folders, and their merged level into the control
    /// plane's; returns the recipe.
    fn write_merge(&self) -> MergeRecipe {
        let [control_plane, edge] =
            self.folders.each_ref().map(|folder| IndexFolder::at(folder.path().into()));
        let write = |from: u64, codes: std::ops::Range<u32>, rows: &[CodeRecord]| {
            let names = [&control_plane, &edge].map(|folder| {
                let mut level = folder.begin_level(level_meta(from)).unwrap();
                for code in codes.clone() {
                    let code = format!("code{code:05}");
                    level.push(&FoldedCode::fold(code.as_bytes()).unwrap(), rows).unwrap();
                }
                let level = level.finish().unwrap();
                folder.put_level(level, &mut Unsynced::default()).unwrap().0
            });
            assert_eq!(names[0], names[1]);
            names[0]
        };
        let row = |offer_id| CodeRecord {
            code_id: 1,
            offer_id,
            partner_id: 0,
            active: true,
            first_day: Day::FIRST,
            last_day: Day::LAST,
        };
        let base = write(0, 0..50_000, &[row(1)]);
        let newest_first = vec![write(2, 30..90, &[]), write(1, 80..60_000, &[row(2)]), base];
        let merged = control_plane.merge_levels(&newest_first, || true).unwrap();
        let (level, codes) = control_plane.put_level(merged, &mut Unsynced::default()).unwrap();
        assert_eq!(codes, 60_000 - 60, "the deleted ones are gone from a base");
        MergeRecipe { level, newest_first }
    }
}

fn level_meta(from: u64) -> LevelMeta {
    LevelMeta {
        network_id: 1,
        lineage: Lineage([5; 16]),
        sequence_from: from,
        sequence_to: from + 1,
    }
}

/// The address of a line to the server, slow towards the edge.
async fn thin_line(server: &str, bytes_per_second: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("nats://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("nats://").to_owned();
    tokio::spawn(async move {
        while let Ok((edge, _)) = listener.accept().await {
            let (mut from_edge, to_edge) = edge.into_split();
            let server = TcpStream::connect(&server).await.unwrap();
            let (from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_edge, &mut to_server).await });
            tokio::spawn(copy_slowly(from_server, to_edge, bytes_per_second));
        }
    });
    address
}

async fn copy_slowly(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes_per_second: usize) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(Duration::from_secs_f64(read as f64 / bytes_per_second as f64)).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

fn agent(nats: Nats, daemon: &FakeDaemon, folder: &Path) -> Arc<AgentShared> {
    let bundle = Bundle {
        name: "edge".into(),
        network_id: SUBJECTS.network_id,
        node: NODE,
        servers: Vec::new(),
        ca_pem: String::new(),
        secret: secret(7),
        control_plane: secret(1).signing_key().unwrap().public(),
    };
    Arc::new(AgentShared {
        session: SessionId([1; 16]),
        place: String::new(),
        started: 0,
        subjects: SUBJECTS,
        index_nats: nats.clone(),
        region: None,
        nats,
        daemon: SocketLink::new(&daemon.socket),
        keys: EdgeKeys::new(&bundle.secret),
        fleet_keys: Mutex::new(vec![(KEY_ID, secret(9))]),
        epoch: Epoch::open(folder),
        greet: Notify::new(),
        fetch_problem: Mutex::default(),
        merge_problem: Mutex::default(),
        lacks_objects: Mutex::default(),
        server_certificate: ServerCertificate::default(),
        bundle,
    })
}

#[tokio::test]
async fn a_level_is_fetched_ahead_of_its_head_kept_and_loaded() {
    let Some(bed) = TestBed::start().await else { return };
    let bytes = bed.write_level(LEVEL, 3 << 20);
    // Several callers at once store it once, whole.
    let stored = tokio::join!(bed.objects.put_ahead(LEVEL), bed.objects.put_ahead(LEVEL));
    assert!(stored.0.unwrap() && stored.1.unwrap());
    let answers = tokio::join!(bed.prepare(LEVEL, KEY_ID), bed.prepare(LEVEL, KEY_ID));
    assert_eq!((answers.0.status(), answers.1.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(std::fs::read(bed.at_edge(LEVEL)).unwrap(), bytes);
    assert_eq!(bed.daemon.hands.lock().unwrap().preloaded.first(), Some(&LEVEL.to_string()));
    let unreferenced = [LEVEL.level_file(), "level-old.lvl".to_owned()];
    let removable = bed.edge_objects.removable(HashSet::from(unreferenced));
    assert_eq!(removable, HashSet::from(["level-old.lvl".to_owned()]));
    // Asked once more, such as after a lost answer, it is not fetched again.
    bed.control_plane.purge(&SUBJECTS.object_stream(), SUBJECTS.all_objects()).await.unwrap();
    assert_eq!(bed.prepare(LEVEL, KEY_ID).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_small_level_is_not_stored_ahead_because_it_comes_with_its_head() {
    let Some(bed) = TestBed::start().await else { return };
    bed.write_level(LEVEL, 1_000);
    assert!(!bed.objects.put_ahead(LEVEL).await.unwrap());
    assert_eq!(bed.prepare(LEVEL, KEY_ID).await.status(), StatusCode::INSUFFICIENT_STORAGE);
}

#[tokio::test]
async fn a_damaged_or_missing_level_is_refused_reported_and_leaves_no_file() {
    let Some(bed) = TestBed::start().await else { return };
    bed.write_level(LEVEL, 3 << 20);
    bed.objects.put_ahead(LEVEL).await.unwrap();
    let part = SUBJECTS.object_part(KEY_ID, &LEVEL, 2);
    bed.control_plane.put(part, Bytes::from_static(b"damaged")).await.unwrap();
    let before = bed.files_at_edge();
    let answer = bed.prepare(LEVEL, KEY_ID).await;
    assert_eq!(answer.status(), StatusCode::INSUFFICIENT_STORAGE, "{answer:?}");
    assert_eq!(*bed.shared.lacks_objects.lock().unwrap(), [LEVEL.to_string()]);
    assert_eq!(bed.files_at_edge(), before);
    assert!(bed.daemon.hands.lock().unwrap().preloaded.is_empty());
    // The control plane hears of it, and stores it again.
    bed.objects.forget(LEVEL);
    bed.objects.put_ahead(LEVEL).await.unwrap();
    assert_eq!(bed.prepare(LEVEL, KEY_ID).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_edge_without_the_key_is_asked_again_and_one_that_cannot_write_is_not() {
    let Some(bed) = TestBed::start().await else { return };
    bed.write_level(LEVEL, 3 << 20);
    bed.objects.put_ahead(LEVEL).await.unwrap();
    let without_key = bed.prepare(LEVEL, KEY_ID + 1).await;
    assert_eq!(without_key.status(), StatusCode::SERVICE_UNAVAILABLE, "{without_key:?}");
    std::fs::remove_dir_all(bed.folders[1].path()).unwrap();
    let unwritable = bed.prepare(LEVEL, KEY_ID).await;
    assert_eq!(unwritable.status(), StatusCode::INSUFFICIENT_STORAGE, "{unwritable:?}");
}

#[tokio::test]
async fn a_head_waits_for_the_level_that_is_fetched_ahead_of_it() {
    let Some(bed) = TestBed::start().await else { return };
    let bytes = bed.write_level(LEVEL, 3 << 20);
    bed.objects.put_ahead(LEVEL).await.unwrap();
    let progress = Arc::default();
    let from_nats = |key_id| ObjectOrigin::Nats { key_id, recipe: None, progress: &progress };
    let ahead = bed.edge_objects.bring_ahead(LEVEL, from_nats(KEY_ID));
    let object = IndexObject { name: LEVEL, is_catalog: false };
    // With another key it could not be fetched again.
    let mut unsynced = Unsynced::default();
    let of_head = bed.edge_objects.bring(object, from_nats(0), &mut unsynced);
    let (ahead, of_head) = tokio::join!(ahead, of_head);
    ahead.unwrap();
    of_head.unwrap();
    assert_eq!(std::fs::read(bed.at_edge(LEVEL)).unwrap(), bytes);
}

#[tokio::test]
async fn a_level_that_takes_longer_than_one_request_comes_over_a_thin_line() {
    let Some(bed) = TestBed::on_a_line(512 << 10).await else { return };
    let bytes = bed.write_level(LEVEL, 4 << 20);
    bed.objects.put_ahead(LEVEL).await.unwrap();
    let began = std::time::Instant::now();
    let progress = Arc::default();
    let origin = ObjectOrigin::Nats { key_id: KEY_ID, recipe: None, progress: &progress };
    bed.edge_objects.bring_ahead(LEVEL, origin).await.unwrap();
    assert!(began.elapsed() > crate::edges::nats::REQUEST_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(std::fs::read(bed.at_edge(LEVEL)).unwrap(), bytes);
}

#[tokio::test]
async fn a_merged_level_is_made_from_the_levels_here_without_a_transfer() {
    let Some(bed) = TestBed::start().await else { return };
    let recipe = bed.write_merge();
    let level = recipe.level;
    // Nothing is stored at NATS.
    let order = FetchOrder { key_id: KEY_ID, recipe: Some(recipe) };
    let answer = bed.prepare_by(level, order).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let whole = std::fs::read(bed.folders[0].path().join(level.level_file())).unwrap();
    assert_eq!(std::fs::read(bed.at_edge(level)).unwrap(), whole);
    assert_eq!(bed.daemon.hands.lock().unwrap().preloaded, [level.to_string()]);
    assert_eq!(bed.shared.problems().count(), 0);
}

#[tokio::test]
async fn a_merged_level_is_fetched_where_an_input_is_missing_or_damaged() {
    let Some(bed) = TestBed::start().await else { return };
    let recipe = bed.write_merge();
    let (level, input) = (recipe.level, bed.at_edge(recipe.newest_first[1]));
    let order = FetchOrder { key_id: KEY_ID, recipe: Some(recipe) };
    let mut bytes = std::fs::read(&input).unwrap();
    bytes[5_000] ^= 1;
    std::fs::write(&input, bytes).unwrap();
    let unreachable = bed.prepare_by(level, order.clone()).await;
    assert_eq!(unreachable.status(), StatusCode::INSUFFICIENT_STORAGE, "{unreachable:?}");
    assert!(!input.exists(), "a damaged file is fetched anew when a head names it");
    bed.objects.put_ahead(level).await.unwrap();
    let answer = bed.prepare_by(level, order).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    assert!(bed.at_edge(level).exists());
}

#[tokio::test]
async fn a_wrong_recipe_is_reported_and_its_level_is_fetched() {
    let Some(bed) = TestBed::start().await else { return };
    let recipe = bed.write_merge();
    let level = recipe.level;
    bed.objects.put_ahead(level).await.unwrap();
    let whole = std::fs::read(bed.folders[0].path().join(level.level_file())).unwrap();
    let [newest, middle, base] = recipe.newest_first[..] else { panic!() };
    for wrong in [vec![middle, base], vec![newest, base], vec![]] {
        let recipe = MergeRecipe { level, newest_first: wrong };
        let order = FetchOrder { key_id: KEY_ID, recipe: Some(recipe) };
        let answer = bed.prepare_by(level, order).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        assert_eq!(std::fs::read(bed.at_edge(level)).unwrap(), whole);
        assert_eq!(bed.shared.problems().count(), 1, "{:?}", bed.shared.merge_problem);
        bed.edge_objects.remove(vec![level.level_file()]).await.unwrap();
    }
    let order = FetchOrder { key_id: KEY_ID, recipe: Some(recipe) };
    assert_eq!(bed.prepare_by(level, order).await.status(), StatusCode::OK);
    assert_eq!(bed.shared.problems().count(), 0, "mended");
}

#[tokio::test]
async fn a_merge_waits_for_an_input_that_is_on_its_way() {
    let Some(bed) = TestBed::on_a_line(1 << 20).await else { return };
    let recipe = bed.write_merge();
    let (level, input) = (recipe.level, recipe.newest_first[1]);
    std::fs::remove_file(bed.at_edge(input)).unwrap();
    assert!(bed.objects.put_ahead(input).await.unwrap());
    let object = IndexObject { name: input, is_catalog: false };
    let (progress, mut unsynced) = (Arc::default(), Unsynced::default());
    let origin = ObjectOrigin::Nats { key_id: KEY_ID, recipe: None, progress: &progress };
    let fetching = bed.edge_objects.bring(object, origin, &mut unsynced);
    let order = FetchOrder { key_id: KEY_ID, recipe: Some(recipe) };
    let (fetched, answer) = tokio::join!(fetching, bed.prepare_by(level, order));
    fetched.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    assert!(bed.at_edge(level).exists(), "merged: NATS does not have it");
}

#[tokio::test]
async fn a_level_that_finds_no_room_is_not_transferred() {
    let Some(bed) = TestBed::start().await else { return };
    let description = Description { parts: 9, bytes: 1 << 60, hash: String::new() };
    let description = serde_json::to_vec(&description).unwrap();
    let sealed = secret(9).sealing_key().seal(&part_purpose(&LEVEL, 0), &description).unwrap();
    let part = SUBJECTS.object_part(KEY_ID, &LEVEL, 0);
    bed.control_plane.put(part, Bytes::from(sealed)).await.unwrap();
    let answer = bed.prepare(LEVEL, KEY_ID).await;
    assert_eq!(answer.status(), StatusCode::INSUFFICIENT_STORAGE);
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(text.contains("free some space"), "{text}");
    assert_eq!(*bed.shared.lacks_objects.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn old_files_go_also_while_a_head_cannot_be_followed_and_its_own_files_stay() {
    let Some(bed) = TestBed::start().await else { return };
    let base = *bed.write_merge().newest_first.last().unwrap();
    let folder = IndexFolder::at(bed.folders[1].path().into());
    let manifest = |generation, levels| Manifest {
        network_id: 1,
        lineage: Lineage([5; 16]),
        generation,
        sequence: 1,
        catalog: ObjectName([0xcc; 32]),
        levels,
    };
    let current = manifest(1, vec![ObjectName([2; 32])]);
    folder.announce(&current, false, &mut Unsynced::default()).unwrap();
    let old = bed.at_edge(ObjectName([1; 32]));
    std::fs::write(&old, b"old").unwrap();
    // The head has a level that is nowhere.
    let named = manifest(2, vec![LEVEL, base]);
    let head = Head { epoch: 1, manifest: named, recipes: vec![], inline: vec![] };
    let signing = secret(1).signing_key().unwrap();
    let stored = Bytes::from(head.encode(&signing, (KEY_ID, &secret(9))).unwrap());
    let handle = FetcherHandle::default();
    let (shared, objects) = (Arc::clone(&bed.shared), Arc::clone(&bed.edge_objects));
    let mut fetcher = Fetcher::new(shared, folder, objects, handle.clone());
    for _ in 0..3 {
        assert!(old.exists());
        let offering = handle.fetch(stored.clone(), Duration::from_secs(20));
        let (offered, step) = tokio::join!(offering, fetcher.step());
        assert!(offered.is_err() && step.is_err());
        fetcher.age_garbage();
    }
    assert!(!old.exists());
    assert!(bed.at_edge(base).exists(), "it would be fetched again");
}
