//! What an agent and the control plane tell each other every few seconds: who the agent is and what
//! its coupond serves; and whether the agent is the one to be asked.

use std::time::Duration;

use coupon_shared::node_identity::StoreId;
use coupon_shared::transaction_id::MAX_NODES;
use serde::{Deserialize, Serialize};

use super::sealing::{SealError, SealingKey, Secret};
use super::subjects::SessionId;
use crate::foreign_text::printable;

/// How often an agent says hello.
pub(crate) const HELLO_INTERVAL: Duration = Duration::from_secs(5);
/// An agent is silent after three missed hellos; then another one may take its place.
pub(crate) const LEASE_TIME: Duration = Duration::from_secs(15);

/// Most problems in a hello, and their lengths: the control plane shows them in lists.
const MAX_PROBLEMS: usize = 16;
const MAX_PROBLEM_CHARS: usize = 1_000;
/// Longest name of a machine or version.
const MAX_NAME_CHARS: usize = 100;

/// State of an agent and its coupond.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Run of the agent, 32 hex digits.
    pub session: String,
    /// Grows with each hello of a session.
    pub number: u64,
    /// Name of the machine.
    pub host: String,
    /// Names machine, boot and index folder: a later run in the same place replaces the one before.
    pub place: String,
    pub version: String,
    /// Start of the agent, in Unix seconds.
    pub started: i64,
    /// The highest run of a control plane that the edge has followed.
    pub epoch: u64,
    /// The machine's clock, in Unix milliseconds.
    pub now_ms: u64,
    /// The daemon, as of its last answer to the agent.
    pub daemon: Option<DaemonState>,
    /// What keeps the agent from its work, each a sentence.
    pub problems: Vec<String>,
    /// Hex digits of objects that were not found at NATS, or damaged: at most as many as an index has.
    pub lacks_objects: Vec<String>,
    /// First and last second of the certificate of the NATS server that ends first, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<(i64, i64)>,
}

/// The daemon beside an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DaemonState {
    pub node: u16,
    /// Id of the data folder, 32 hex digits.
    pub store: String,
    pub former_nodes: Vec<u16>,
    pub generation: Option<u64>,
    /// `None` from an agent of before there was this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<DaemonHealth>,
}

/// Figures of the daemon's health; `None` for a figure that the daemon does not state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DaemonHealth {
    pub version: Option<String>,
    /// Clicks of this run that found no room in the click log.
    pub clicks_unlogged: Option<u64>,
    /// Blocks of clicks that the control plane has not acknowledged.
    pub blocks_waiting: Option<u64>,
    pub wal_bytes: Option<u64>,
    pub wal_max_bytes: Option<u64>,
    /// Postbacks without a verdict.
    pub postbacks_waiting: Option<u64>,
    /// The least of the folders.
    pub disk_free_bytes: Option<u64>,
}

impl DaemonState {
    pub(crate) fn store_id(&self) -> Option<StoreId> {
        self.store.parse().ok()
    }
}

/// Answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum HelloAnswer {
    /// The agent is the one to be asked.
    Leased {
        /// Run of the control plane; a lower one than before is not followed.
        epoch: u64,
        /// Id and hex digits of each key that opens heads and objects.
        fleet_keys: Vec<(u32, String)>,
    },
    /// The agent is not asked.
    Refused {
        /// With what to do about it.
        reason: String,
    },
}

/// The keys that an edge speaks with.
#[derive(Debug, Clone)]
pub(crate) struct EdgeKeys {
    pub(crate) asks: SealingKey,
    hellos: SealingKey,
}

impl EdgeKeys {
    pub(crate) fn new(secret: &Secret) -> EdgeKeys {
        EdgeKeys {
            asks: secret.derive("coupon edge: questions and answers").sealing_key(),
            hellos: secret.derive("coupon edge: hellos and leases").sealing_key(),
        }
    }

    pub(crate) fn seal_hello(&self, hello: &Hello) -> Result<Vec<u8>, SealError> {
        self.hellos.seal("hello", &serde_json::to_vec(hello).unwrap_or_default())
    }

    /// Opens a hello. Its texts are shown to operators, and a taken machine may write anything there.
    pub(crate) fn open_hello(&self, sealed: &[u8]) -> Option<Hello> {
        let hello: Hello = serde_json::from_slice(&self.hellos.open("hello", sealed).ok()?).ok()?;
        Some(hello.within_bounds())
    }

    pub(crate) fn seal_answer(
        &self,
        hello: &Hello,
        answer: &HelloAnswer,
    ) -> Result<Vec<u8>, SealError> {
        self.hellos.seal(&purpose(hello), &serde_json::to_vec(answer).unwrap_or_default())
    }

    pub(crate) fn open_answer(&self, hello: &Hello, sealed: &[u8]) -> Option<HelloAnswer> {
        serde_json::from_slice(&self.hellos.open(&purpose(hello), sealed).ok()?).ok()
    }
}

/// An answer belongs to one hello.
fn purpose(hello: &Hello) -> String {
    format!("answer to hello {} of {}", hello.number, hello.session)
}

/// The secret of an edge's user at NATS.
pub(crate) fn nats_secret(secret: &Secret) -> Secret {
    secret.derive("coupon edge: user at NATS")
}

/// Name of this machine.
pub(crate) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Hello {
    fn within_bounds(mut self) -> Hello {
        let shorten = |text: &mut String| *text = printable(text, MAX_NAME_CHARS);
        [&mut self.host, &mut self.version, &mut self.place].into_iter().for_each(shorten);
        if let Some(daemon) = &mut self.daemon {
            daemon.former_nodes.truncate(MAX_NODES.into());
            let health = daemon.health.as_mut();
            health.and_then(|health| health.version.as_mut()).into_iter().for_each(shorten);
        }
        self.problems.truncate(MAX_PROBLEMS);
        for problem in &mut self.problems {
            *problem = printable(problem, MAX_PROBLEM_CHARS);
        }
        self
    }

    pub(crate) fn session_id(&self) -> Option<SessionId> {
        let is_hex =
            self.session.len() == 32 && self.session.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(&self.session, 16).ok().filter(|_| is_hex)?;
        Some(SessionId(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The daemon in a hello of before there was its health.
    #[derive(Debug, PartialEq, Deserialize)]
    struct FormerDaemonState {
        node: u16,
        store: String,
        former_nodes: Vec<u16>,
        generation: Option<u64>,
    }

    #[test]
    fn agents_and_control_planes_of_before_the_health_understand_and_are_understood() {
        let former = json!({"node": 7, "store": "ab", "former_nodes": [], "generation": 3});
        let read: DaemonState = serde_json::from_value(former.clone()).unwrap();
        assert_eq!((read.node, read.generation, read.health.clone()), (7, Some(3), None));
        assert_eq!(serde_json::to_value(&read).unwrap(), former);
        let health = DaemonHealth { blocks_waiting: Some(4), ..DaemonHealth::default() };
        let new = DaemonState { health: Some(health), ..read };
        let sent = serde_json::to_value(&new).unwrap();
        assert_eq!(serde_json::from_value::<DaemonState>(sent.clone()).unwrap(), new);
        let read: FormerDaemonState = serde_json::from_value(sent).unwrap();
        assert_eq!((read.node, read.generation), (7, Some(3)));
        // A later agent may leave figures out, and send others.
        let later: DaemonHealth =
            serde_json::from_value(json!({"wal_bytes": 9, "threads": 2})).unwrap();
        assert_eq!((later.wal_bytes, later.blocks_waiting), (Some(9), None));
    }

    #[test]
    fn texts_of_a_hello_are_bounded_and_printable() {
        let keys = EdgeKeys::new(&Secret::from_bytes([1; 32]));
        let health = DaemonHealth { version: Some("2\u{1b}".into()), ..DaemonHealth::default() };
        let daemon = DaemonState { health: Some(health), ..DaemonState::default() };
        let hello = Hello {
            host: "h\u{7}".repeat(500),
            daemon: Some(daemon),
            problems: vec!["p\n".repeat(5_000); 40],
            ..Hello::default()
        };
        let opened = keys.open_hello(&keys.seal_hello(&hello).unwrap()).unwrap();
        assert_eq!(opened.host, "h".repeat(MAX_NAME_CHARS));
        assert_eq!(opened.problems, vec!["p".repeat(MAX_PROBLEM_CHARS); MAX_PROBLEMS]);
        assert_eq!(opened.daemon.unwrap().health.unwrap().version.as_deref(), Some("2"));
    }

    #[test]
    fn hellos_and_answers_open_for_their_edge_alone() {
        let keys = EdgeKeys::new(&Secret::from_bytes([1; 32]));
        let session = SessionId([0xa1; 16]);
        let hello = Hello { session: session.to_string(), number: 4, ..Hello::default() };
        let sealed = keys.seal_hello(&hello).unwrap();
        assert_eq!(keys.open_hello(&sealed), Some(hello.clone()));
        assert_eq!(hello.session_id(), Some(session));
        assert_eq!(EdgeKeys::new(&Secret::from_bytes([2; 32])).open_hello(&sealed), None);
        let answer = HelloAnswer::Leased { epoch: 3, fleet_keys: vec![(1, "ab".into())] };
        let sealed = keys.seal_answer(&hello, &answer).unwrap();
        assert_eq!(keys.open_answer(&hello, &sealed), Some(answer));
        let next = Hello { number: 5, ..hello.clone() };
        assert_eq!(keys.open_answer(&next, &sealed), None, "of an earlier hello");
        assert_eq!(keys.open_hello(&sealed), None, "an answer is no hello");
        assert_eq!(Hello { session: "+1".into(), ..hello }.session_id(), None);
    }

    proptest! {
        #[test]
        fn sealed_texts_that_are_no_hello_are_refused(text in ".*") {
            let keys = EdgeKeys::new(&Secret::from_bytes([1; 32]));
            let sealed = keys.hellos.seal("hello", text.as_bytes()).unwrap();
            prop_assert_eq!(keys.open_hello(&sealed), None);
            prop_assert_eq!(keys.open_hello(text.as_bytes()), None);
        }
    }
}
