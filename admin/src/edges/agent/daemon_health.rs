//! The state of coupond as its `/health` tells it.

use bytes::Bytes;
use coupon_shared::node_identity::{IdentityHeaderError, NodeStamp};
use hyper::Response;
use serde::Deserialize;

use crate::edges::hello::{DaemonHealth, DaemonState};
use crate::foreign_text::printable;

/// Most problems of coupond in a hello, and their length.
const MAX_PROBLEMS: usize = 8;
const MAX_PROBLEM_CHARS: usize = 400;

/// The parts of `/health` that are used. An older coupond leaves some out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    generation: Option<u64>,
    version: Option<String>,
    problems: Vec<String>,
    clicks: Clicks,
    wal: Wal,
    postbacks: Postbacks,
    disk: Vec<Disk>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Clicks {
    unlogged: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wal {
    bytes: Option<u64>,
    bytes_limit: Option<u64>,
    blocks_not_at_the_admin: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postbacks {
    not_at_the_admin: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Disk {
    free_bytes: u64,
}

/// The daemon's state, and its problems. `None` if the daemon is too old to state its node.
///
/// # Errors
/// When the node is not stated in the known form.
pub(super) fn read(
    answer: &Response<Bytes>,
) -> Result<(Option<DaemonState>, Vec<String>), IdentityHeaderError> {
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let stamp = NodeStamp::read(header)?;
    let health: Health = serde_json::from_slice(answer.body()).unwrap_or_default();
    let mut problems: Vec<String> = Vec::new();
    if stamp.is_none() {
        problems.push(
            "its coupond is too old to state its node, so nothing of it is taken in: update coupond"
                .to_owned(),
        );
    }
    let of_daemon = health.problems.iter().take(MAX_PROBLEMS);
    problems.extend(
        of_daemon.map(|problem| format!("coupond: {}", printable(problem, MAX_PROBLEM_CHARS))),
    );
    let state = stamp.map(|stamp| DaemonState {
        node: stamp.identity.node,
        store: stamp.identity.store.to_string(),
        former_nodes: stamp.identity.former_nodes,
        generation: health.generation,
        health: Some(DaemonHealth {
            version: health.version,
            clicks_unlogged: health.clicks.unlogged,
            blocks_waiting: health.wal.blocks_not_at_the_admin,
            wal_bytes: health.wal.bytes,
            wal_max_bytes: health.wal.bytes_limit,
            postbacks_waiting: health.postbacks.not_at_the_admin,
            disk_free_bytes: health.disk.iter().map(|disk| disk.free_bytes).min(),
        }),
    });
    Ok((state, problems))
}

#[cfg(test)]
mod tests {
    use coupon_shared::node_identity::{NodeIdentity, StoreId};
    use serde_json::{Value, json};

    use super::*;

    fn answer(is_stated: bool, body: &Value) -> Response<Bytes> {
        let identity = NodeIdentity {
            node: 7,
            store: StoreId([1; 16]),
            incarnation: 1,
            run: None,
            former_nodes: vec![],
        };
        let mut answer = Response::builder();
        if is_stated {
            for (name, value) in (NodeStamp { identity, now_ms: 5 }).headers() {
                answer = answer.header(name, value);
            }
        }
        answer.body(Bytes::from(body.to_string())).unwrap()
    }

    #[test]
    fn the_health_of_a_coupond_is_read_as_far_as_it_is_stated() {
        let full = json!({
            "generation": 5, "version": "2.0", "problems": ["the disk is full: free some space"],
            "clicks": {"unlogged": 3}, "wal": {"bytes": 10, "bytes_limit": 20, "blocks_not_at_the_admin": 2},
            "postbacks": {"not_at_the_admin": 1},
            "disk": [{"free_bytes": 9, "folder": "data_dir"}, {"free_bytes": 7}],
        });
        let (state, problems) = read(&answer(true, &full)).unwrap();
        let state = state.unwrap();
        assert_eq!((state.node, state.generation), (7, Some(5)));
        assert_eq!(
            state.health.unwrap(),
            DaemonHealth {
                version: Some("2.0".into()),
                clicks_unlogged: Some(3),
                blocks_waiting: Some(2),
                wal_bytes: Some(10),
                wal_max_bytes: Some(20),
                postbacks_waiting: Some(1),
                disk_free_bytes: Some(7),
            }
        );
        assert_eq!(problems, ["coupond: the disk is full: free some space"]);
        let (state, problems) = read(&answer(true, &json!({"generation": 5}))).unwrap();
        assert_eq!(state.unwrap().health, Some(DaemonHealth::default()));
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_coupond_too_old_to_state_its_node_is_to_be_updated() {
        let (state, problems) = read(&answer(false, &json!({"generation": 5}))).unwrap();
        assert_eq!(state, None);
        assert!(problems[0].ends_with("update coupond"), "{problems:?}");
    }
}
