//! Every call against a real nats-server, and what the users of an edge may do there.

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
             include \"users.conf\"\n",
            folder.path().display().to_string()
        );
        let config = folder.path().join("nats.conf");
        std::fs::write(&config, text).unwrap();
        let process = Command::new("nats-server")
            .arg("-c")
            .arg(&config)
            .arg("-l")
            .arg(folder.path().join("nats.log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Some(Server { folder, process })
    }

    /// The address, from the file that the server writes when it listens.
    async fn address(&self) -> String {
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
        let user = match node {
            None => control_plane_user(&secret(1)),
            Some(node) => nats_secret(&secret(node as u8)),
        };
        let nats = Nats::connect(&NatsSettings {
            servers: vec![self.address().await],
            ca_pem: String::new(),
            user_seed: user.nats_user().unwrap().seed,
            inbox_prefix: SUBJECTS.inbox_prefix(node),
            name: "test".into(),
        })
        .await
        .unwrap();
        while nats.problem().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        nats
    }
}

fn heads() -> StreamSettings {
    StreamSettings {
        name: SUBJECTS.head_stream(),
        subjects: vec![SUBJECTS.head(), SUBJECTS.owner()],
        max_bytes: 1 << 20,
    }
}

fn objects() -> StreamSettings {
    let subjects = vec![SUBJECTS.all_objects()];
    StreamSettings { name: SUBJECTS.object_stream(), subjects, max_bytes: 1 << 20 }
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
    let first = hub.replace(head.clone(), text("one"), 0).await.unwrap();
    let second = hub.replace(head.clone(), text("two"), first).await.unwrap();
    let late = hub.replace(head.clone(), text("three"), first).await;
    assert!(matches!(late, Err(NatsError::Overtaken)), "{late:?}");
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
