//! Every call against a real nats-server, and what the users of an edge may do there.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::edges::hello::nats_secret;
use crate::edges::hub::control_plane_user;
use crate::edges::rights;
use crate::edges::sealing::Secret;
use crate::edges::subjects::Subjects;
use crate::store::edges::{ControlPlane, EdgeRow, Ownership};

pub(in crate::edges) const SUBJECTS: Subjects = Subjects { network_id: 1 };

const CONFIG: &str = "nats.conf";

/// A nats-server with the users of a control plane and of the edges 7 and 8.
pub(in crate::edges) struct Server {
    folder: TempDir,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(in crate::edges) fn secret(byte: u8) -> Secret {
    Secret::from_bytes([byte; 32])
}

impl Server {
    /// `None` where no nats-server is installed.
    pub(in crate::edges) fn start() -> Option<Server> {
        Server::start_with("", |_| {})
    }

    /// `prepare` writes further files into the server's folder, which is its working folder.
    fn start_with(options: &str, prepare: impl FnOnce(&Path)) -> Option<Server> {
        if Command::new("nats-server").arg("--version").output().is_err() {
            let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
            assert!(!must_be, "nats-server is not installed");
            eprintln!("skipped: nats-server is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let edge = |node| EdgeRow {
            node,
            name: format!("edge-{node}"),
            secret: secret(node as u8),
            store: None,
            created: 0,
            revoked: 0,
        };
        let control_plane =
            ControlPlane { secret: secret(1), epoch: 1, ownership: Ownership::Usual };
        let users = rights::configuration(1, &control_plane, &[edge(7), edge(8)]).unwrap();
        std::fs::write(folder.path().join("users.conf"), users).unwrap();
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {0:?}\njetstream {{ store_dir: {0:?} }}\n\
             include \"users.conf\"\n{options}\n",
            folder.path().display().to_string()
        );
        std::fs::write(folder.path().join(CONFIG), text).unwrap();
        prepare(folder.path());
        let process = run(folder.path());
        Some(Server { folder, process })
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &process]).status();
        assert!(sent.unwrap().success());
    }

    fn run_again(&mut self) {
        self.process = run(self.folder.path());
    }

    /// The address, from the file that the server writes when it listens.
    pub(in crate::edges) async fn address(&self) -> String {
        let name = format!("nats-server_{}.ports", self.process.id());
        for _ in 0..500 {
            let text = std::fs::read(self.folder.path().join(&name)).unwrap_or_default();
            let ports: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            if let Some(address) = ports["nats"][0].as_str() {
                return address.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nats-server does not listen");
    }

    pub(in crate::edges) async fn connect(&self, node: Option<u16>) -> Nats {
        self.connect_over(self.address().await, node).await
    }

    /// Connects to another address that leads to the server.
    pub(in crate::edges) async fn connect_over(&self, address: String, node: Option<u16>) -> Nats {
        let nats = Nats::connect(&settings(address, node)).await.unwrap();
        while nats.problem().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        nats
    }
}

fn run(folder: &Path) -> Child {
    Command::new("nats-server")
        .current_dir(folder)
        .args(["-c", CONFIG, "-l", "nats.log"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn settings(server: String, node: Option<u16>) -> NatsSettings {
    let user = match node {
        None => control_plane_user(&secret(1)),
        Some(node) => nats_secret(&secret(node as u8)),
    };
    NatsSettings {
        servers: vec![server],
        ca_pem: String::new(),
        user_seed: user.nats_user().unwrap().seed,
        inbox_prefix: SUBJECTS.inbox_prefix(node),
        name: "test".into(),
        request_timeout: REQUEST_TIMEOUT,
    }
}

fn heads() -> StreamSettings {
    StreamSettings {
        name: SUBJECTS.head_stream(),
        subjects: vec![SUBJECTS.head(), SUBJECTS.owner()],
        max_bytes: 1 << 20,
        replicas: 1,
    }
}

fn objects() -> StreamSettings {
    let subjects = vec![SUBJECTS.all_objects()];
    StreamSettings { name: SUBJECTS.object_stream(), subjects, max_bytes: 1 << 20, replicas: 1 }
}

/// Returns once the server has taken everything that was sent before: it answers in order.
async fn wait_for_server(nats: &Nats) {
    let head = nats.last(&SUBJECTS.head_stream(), SUBJECTS.head()).await;
    head.unwrap();
}

async fn next(messages: &mut Messages) -> Received {
    let message = tokio::time::timeout(REQUEST_TIMEOUT, messages.next()).await;
    message.expect("a message").unwrap()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn the_server_does_what_the_calls_say() {
    let Some(server) = Server::start() else { return };
    let (hub, edge) = (server.connect(None).await, server.connect(Some(7)).await);
    for _ in 0..2 {
        hub.open_stream(heads()).await.unwrap();
        hub.open_stream(objects()).await.unwrap();
    }
    let (stream, head) = (SUBJECTS.head_stream(), SUBJECTS.head());
    assert_eq!(hub.last(&stream, head.clone()).await.unwrap(), None);
    assert_eq!(hub.last_at_leader(&stream, &head).await.unwrap(), None);
    let first = hub.replace(head.clone(), text("one"), 0).await.unwrap();
    let second = hub.replace(head.clone(), text("two"), first).await.unwrap();
    let late = hub.replace(head.clone(), text("three"), first).await;
    assert!(matches!(late, Err(NatsError::Overtaken)), "{late:?}");
    assert_eq!(hub.last_at_leader(&stream, &head).await.unwrap(), Some((second, text("two"))));
    assert_eq!(edge.last(&stream, head).await.unwrap(), Some((second, text("two"))));

    let stream = SUBJECTS.object_stream();
    let object = coupon_shared::snapshot::manifest::ObjectName([0xab; 32]);
    let part = |part| SUBJECTS.object_part(1, &object, part);
    for number in [1, 0] {
        hub.put(part(number), text("part")).await.unwrap();
    }
    assert!(edge.last(&stream, part(1)).await.unwrap().is_some());
    let listed = hub.stored_subjects(&stream, SUBJECTS.object_descriptions()).await.unwrap();
    assert_eq!(listed, [part(0)]);
    hub.purge(&stream, SUBJECTS.object_parts(1, &object)).await.unwrap();
    assert_eq!(edge.last(&stream, part(1)).await.unwrap(), None);

    let nobody = edge.request(SUBJECTS.hello(7), text("hello")).await;
    assert!(matches!(nobody, Err(NatsError::NoListener)), "{nobody:?}");
    let mut hellos = hub.subscribe(SUBJECTS.hellos()).await.unwrap();
    wait_for_server(&hub).await;
    let asking = tokio::spawn({
        let edge = edge.clone();
        async move { edge.request(SUBJECTS.hello(7), text("hello")).await }
    });
    let hello = next(&mut hellos).await;
    assert_eq!((hello.subject.as_str(), &hello.payload[..]), ("coupon.1.hello.7", &b"hello"[..]));
    hub.publish(hello.reply.unwrap(), text("lease")).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), text("lease"));
}

#[tokio::test]
async fn an_edge_reaches_no_subject_but_its_own() {
    let Some(server) = Server::start() else { return };
    let (hub, edge) = (server.connect(None).await, server.connect(Some(7)).await);
    hub.open_stream(heads()).await.unwrap();
    hub.open_stream(objects()).await.unwrap();
    hub.replace(SUBJECTS.head(), text("head"), 0).await.unwrap();
    let mut seen = hub.subscribe(SUBJECTS.hellos()).await.unwrap();
    wait_for_server(&hub).await;

    // Published subjects reach nobody.
    let session = crate::edges::subjects::SessionId([1; 16]);
    let published = [
        SUBJECTS.hello(8),
        SUBJECTS.questions(7, session),
        SUBJECTS.questions(8, session),
        SUBJECTS.head(),
        SUBJECTS.owner(),
        "coupon.1.inbox.8.x".into(),
        "coupon.1.inbox.hub.x".into(),
        "coupon.1.obj.1.ab.0".into(),
        "$SYS.REQ.SERVER.PING".into(),
    ];
    for subject in published {
        edge.publish(subject, text("forged")).await.unwrap();
    }
    let requests = [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.COUPON_1",
        "$JS.API.STREAM.CREATE.OWN",
        "$JS.API.STREAM.UPDATE.COUPON_1",
        "$JS.API.STREAM.PURGE.COUPON_1",
        "$JS.API.STREAM.DELETE.COUPON_1",
        "$JS.API.STREAM.MSG.GET.COUPON_1",
        "$JS.API.STREAM.MSG.DELETE.COUPON_1",
        "$JS.API.STREAM.SNAPSHOT.COUPON_1",
        "$JS.API.STREAM.RESTORE.COUPON_1",
        "$JS.API.CONSUMER.CREATE.COUPON_1",
        "$JS.API.CONSUMER.CREATE.COUPON_1.own",
        "$JS.API.CONSUMER.DURABLE.CREATE.COUPON_1.own",
        "$JS.API.CONSUMER.NAMES.COUPON_1",
        "$JS.API.CONSUMER.MSG.NEXT.COUPON_1.own",
        "$JS.API.DIRECT.GET.COUPON_1",
        "$JS.API.DIRECT.GET.COUPON_1.coupon.1.owner",
        "$JS.API.META.LEADER.STEPDOWN",
    ];
    let asked = requests.map(|subject| edge.request(subject.to_owned(), text("{}")));
    for (subject, answer) in requests.iter().zip(futures_util::future::join_all(asked).await) {
        assert!(answer.is_err(), "{subject} was answered: {answer:?}");
    }
    // The node or the network of the bundle is wrong.
    for subject in [SUBJECTS.hello(8), Subjects { network_id: 2 }.hello(7)] {
        let answer = edge.request(subject.clone(), text("hello")).await;
        let Err(NatsError::Forbidden(said)) = &answer else { panic!("{subject}: {answer:?}") };
        assert!(said.contains(&subject), "{said}");
    }
    assert_eq!(edge.problem(), None, "the server is reached");
    let foreign = ["coupon.1.>", "coupon.1.ask.8.*", "coupon.1.inbox.8.>", "coupon.1.inbox.hub.>"];
    let mut heard = Vec::new();
    for subject in foreign {
        heard.push((subject, edge.subscribe(subject.to_owned()).await.unwrap()));
    }
    wait_for_server(&edge).await;
    for subject in [SUBJECTS.questions(8, session), "coupon.1.inbox.8.x".into(), SUBJECTS.hello(8)]
    {
        hub.publish(subject, text("secret")).await.unwrap();
    }
    wait_for_server(&hub).await;
    let pause = Duration::from_millis(300);
    for (subject, mut messages) in heard {
        let message = tokio::time::timeout(pause, messages.next()).await;
        assert!(!matches!(message, Ok(Some(_))), "{subject}: {message:?}");
    }
    // Its own one came, and nothing that the edge forged.
    let first = next(&mut seen).await;
    assert_eq!(first.payload, text("secret"), "{first:?}");
    let head = hub.last(&SUBJECTS.head_stream(), SUBJECTS.head()).await.unwrap();
    assert_eq!(head.unwrap().1, text("head"));
}

#[tokio::test]
async fn a_server_without_room_for_a_stream_says_what_to_set() {
    let Some(server) = Server::start() else { return };
    let nats = server.connect(None).await;
    let large = StreamSettings { max_bytes: 1 << 60, ..heads() };
    let error = nats.open_stream(large).await.unwrap_err().to_string();
    assert!(error.contains("hub.object_max_bytes"), "{error}");
    let in_a_cluster = StreamSettings { replicas: 3, ..heads() };
    let error = nats.open_stream(in_a_cluster).await.unwrap_err().to_string();
    assert!(error.contains("hub.replicas"), "{error}");
}

/// Three servers that keep streams together.
async fn cluster() -> Option<Vec<Server>> {
    let routes: Vec<u16> = {
        let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
    };
    let urls: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let urls = urls.join(", ");
    let mut servers = Vec::new();
    for port in routes {
        let options = format!(
            "server_name: s{port}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", \
             no_advertise: true, routes: [{urls}] }}"
        );
        servers.push(Server::start_with(&options, |_| {})?);
    }
    Some(servers)
}

/// Calls again until it works: servers elect a leader first.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, NatsError>) -> T {
    let began = Instant::now();
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn any_one_server_of_a_cluster_may_fail() {
    let Some(mut servers) = cluster().await else { return };
    let mut addresses = Vec::new();
    for server in &servers {
        addresses.push(server.address().await);
    }
    let settings = NatsSettings { servers: addresses, ..settings(String::new(), None) };
    let hub = Nats::connect(&settings).await.unwrap();
    let kept = || StreamSettings { replicas: 3, ..heads() };
    patiently(async || hub.open_stream(kept()).await).await;
    let (stream, head) = (SUBJECTS.head_stream(), SUBJECTS.head());
    let mut sequence = hub.replace(head.clone(), text("head"), 0).await.unwrap();
    for server in servers.iter_mut().take(2) {
        server.kill();
        let before = patiently(async || hub.last_at_leader(&stream, &head).await).await;
        assert_eq!(before, Some((sequence, text("head"))));
        sequence =
            patiently(async || hub.replace(head.clone(), text("head"), sequence).await).await;
        server.run_again();
        server.address().await;
    }
    let at_a_replica = patiently(async || hub.last(&stream, head.clone()).await).await;
    assert_eq!(at_a_replica, Some((sequence, text("head"))));
}

/// A certificate for `localhost` until this year, and the key, as a server reads them; returns the PEM
/// of its authority.
fn write_certificate(folder: &Path, authority_name: &str, last_year: i32) -> String {
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, authority_name);
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(authority, authority_key).unwrap();
    let mut server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    server.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    authority.pem()
}

const TLS: &str = "tls { cert_file: \"server.pem\", key_file: \"server.key\" }";

/// Waits for the connection, or for a reason that it fails with.
async fn connection(server: &Server, host: &str, ca_pem: &str) -> Result<(), String> {
    let address = server.address().await;
    let port = address.rsplit(':').next().unwrap().to_owned();
    let settings =
        NatsSettings { ca_pem: ca_pem.to_owned(), ..settings(format!("{host}:{port}"), Some(7)) };
    let nats = Nats::connect(&settings).await.unwrap();
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        match nats.problem() {
            None => return Ok(()),
            Some(problem) if problem.contains(&port) => return Err(problem),
            Some(_) => {}
        }
    }
    panic!("neither connected nor refused: {:?}", nats.problem())
}

#[tokio::test]
async fn a_failed_attempt_to_connect_says_what_to_mend() {
    let mut authority = String::new();
    let prepare = |folder: &Path| authority = write_certificate(folder, "own", 4000);
    let Some(server) = Server::start_with(TLS, prepare) else { return };
    let foreign = write_certificate(tempfile::tempdir().unwrap().path(), "foreign", 4000);
    assert_eq!(connection(&server, "tls://localhost", &authority).await, Ok(()));
    let problem = async |host, ca: &str| connection(&server, host, ca).await.unwrap_err();
    let unsigned = problem("tls://localhost", &foreign).await;
    assert!(unsigned.contains("none of the known authorities"), "{unsigned}");
    let misnamed = problem("tls://127.0.0.1", &authority).await;
    assert!(misnamed.contains("for another name"), "{misnamed}");
    let prepare = |folder: &Path| authority = write_certificate(folder, "own", 2020);
    let expired = Server::start_with(TLS, prepare).unwrap();
    let expired = connection(&expired, "tls://localhost", &authority).await.unwrap_err();
    assert!(expired.contains("renew it"), "{expired}");
    let plain = Server::start().unwrap();
    let without_tls = connection(&plain, "tls://127.0.0.1", &authority).await.unwrap_err();
    assert!(without_tls.contains("does not speak TLS"), "{without_tls}");
    let address = plain.address().await;
    drop(plain);
    let nats = Nats::connect(&settings(address, Some(7))).await.unwrap();
    while !nats.problem().is_some_and(|problem| problem.contains("refused")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_dates_of_a_certificate_are_seen_also_of_a_renewed_one() {
    let mut authority = String::new();
    let prepare = |folder: &Path| authority = write_certificate(folder, "own", 3999);
    let Some(server) = Server::start_with(TLS, prepare) else { return };
    let address = server.address().await.replace("127.0.0.1", "localhost");
    let address = address.replace("nats://", "tls://");
    let settings = NatsSettings { ca_pem: authority, ..settings(address.clone(), Some(7)) };
    let _connection = Nats::connect(&settings).await.unwrap();
    let year = |end: i64| jiff::Timestamp::from_second(end).unwrap().to_string();
    let end = certificate_dates(&settings).await.unwrap().not_after;
    assert!(year(end).starts_with("3999-01-01"), "{}", year(end));
    // Of several servers the first end counts, and one that is away says nothing.
    let away = NatsSettings { servers: vec!["tls://localhost:1".to_owned(), address], ..settings };
    assert_eq!(certificate_dates(&away).await.unwrap().not_after, end);
    let ca_pem = write_certificate(server.folder.path(), "own", 4000);
    server.signal("HUP");
    let renewed = NatsSettings { ca_pem, ..away };
    let began = Instant::now();
    loop {
        let dates = certificate_dates(&renewed).await;
        match dates.filter(|dates| dates.not_after > end) {
            Some(dates) => break assert!(year(dates.not_after).starts_with("4000-01-01")),
            None => assert!(began.elapsed() < Duration::from_secs(20), "{dates:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let plain = Server::start().unwrap();
    let plain = NatsSettings { servers: vec![plain.address().await], ..renewed };
    assert_eq!(certificate_dates(&plain).await, None);
}

#[tokio::test]
async fn a_missing_stream_and_a_missing_domain_are_told_apart() {
    let Some(server) = Server::start() else { return };
    let (nats, stream) = (server.connect(None).await, SUBJECTS.object_stream());
    assert_eq!(nats.stream_state(&stream).await.unwrap(), None);
    let elsewhere = nats.in_domain("hub").stream_state(&stream).await;
    assert!(matches!(elsewhere, Err(NatsError::NoStream)), "{elsewhere:?}");
    let edge = server.connect(Some(7)).await;
    let part = edge.in_domain("fra").last(&stream, "coupon.1.obj.1.a.1".to_owned()).await;
    assert!(matches!(part, Err(NatsError::NoStream)), "{part:?}");
}
