//! Registration and revocation of edges, on the command line.

use super::bundle::Bundle;
use super::hub;
use super::sealing::{Secret, VerifyingKey};
use crate::config::check_daemon_name;
use crate::edit::audit;
use crate::nodes::ONLY_DAEMON_NAME;
use crate::store::edges::{self, ControlPlane, EdgeRow, Ownership};
use crate::store::{ReadTx, StoreError, WriteTx};
use coupon_shared::transaction_id::MAX_NODES;
use serde::Serialize;

/// The audit's name for edges.
const OBJECT: &str = "edge";

/// An edge in the audit, by its node.
#[derive(Serialize)]
struct AuditedEdge<'a> {
    name: &'a str,
    node_id: u16,
}

/// Why an order about edges is refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("the name of an edge {0}")]
    Name(String),
    #[error(
        "there is an edge `{0}` already; `coupon-admin edges replace {0}` makes a new bundle for it"
    )]
    NameInUse(String),
    #[error(
        "node {node} is or was another daemon's; `coupon-admin edges list` shows those of edges"
    )]
    NodeInUse { node: u16 },
    #[error("there is no edge `{name}`{known}")]
    Unknown {
        name: String,
        /// The names of edges in service, as a sentence.
        known: String,
    },
    #[error("all {MAX_NODES} node ids were given to daemons already; none is given twice")]
    NoNode,
    #[error(
        "there is no control plane yet: register an edge first (`coupon-admin edges add NAME`)"
    )]
    NoControlPlane,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where edges reach the control plane.
#[derive(Debug, Clone)]
pub struct HubAddress {
    pub network_id: u32,
    pub servers: Vec<String>,
    pub ca_pem: String,
}

/// Registers an edge; returns its bundle. Without a node id it gets the lowest one that no daemon
/// ever had, from 1 on: 0 is the default of a coupond without edges.
///
/// # Errors
/// When name or node are taken or wrong.
pub fn add(
    tx: &WriteTx<'_>,
    name: &str,
    node: Option<u16>,
    hub: HubAddress,
) -> Result<Bundle, RegistrationError> {
    check_daemon_name(name).map_err(RegistrationError::Name)?;
    if name == ONLY_DAEMON_NAME {
        let reason = "must not be `coupond`: this is the coupond beside coupon-admin";
        return Err(RegistrationError::Name(reason.to_owned()));
    }
    if in_service(tx)?.iter().any(|edge| edge.name == name) {
        return Err(RegistrationError::NameInUse(name.to_owned()));
    }
    let used = edges::used_nodes(tx)?;
    let node = match node {
        Some(node) if used.contains(&node) => return Err(RegistrationError::NodeInUse { node }),
        Some(node) => node,
        None => {
            (1..MAX_NODES).find(|node| !used.contains(node)).ok_or(RegistrationError::NoNode)?
        }
    };
    let (control_plane, secret) = (edges::ensure_keys(tx)?, edges::random_secret()?);
    edges::insert(tx, node, name, &secret)?;
    audit::record_created(tx, OBJECT, node.into(), &AuditedEdge { name, node_id: node })?;
    bundle((name, node, secret), &control_plane, hub)
}

/// Gives an edge a new secret; returns the new bundle. The former one is worthless.
///
/// # Errors
/// When there is no such edge.
pub fn replace(tx: &WriteTx<'_>, name: &str, hub: HubAddress) -> Result<Bundle, RegistrationError> {
    let edge = find(tx, name)?;
    let (control_plane, secret) = (edges::ensure_keys(tx)?, edges::random_secret()?);
    edges::replace_secret(tx, edge.node, &secret)?;
    edges::add_fleet_key(tx)?;
    audit::record_action(tx, OBJECT, "rotated", edge.node.into())?;
    bundle((name, edge.node, secret), &control_plane, hub)
}

/// Revokes an edge. It is not heard any more, and cannot open what is published from now on.
///
/// # Errors
/// When there is no such edge.
pub fn revoke(tx: &WriteTx<'_>, name: &str) -> Result<EdgeRow, RegistrationError> {
    let edge = find(tx, name)?;
    edges::revoke(tx, edge.node)?;
    edges::add_fleet_key(tx)?;
    let before = AuditedEdge { name, node_id: edge.node };
    audit::record_deleted(tx, OBJECT, edge.node.into(), &before)?;
    Ok(edge)
}

/// Orders the running control plane to take the edges over from another one.
///
/// # Errors
/// Before the first edge.
pub fn take_over(tx: &WriteTx<'_>) -> Result<(), RegistrationError> {
    edges::control_plane(tx)?.ok_or(RegistrationError::NoControlPlane)?;
    edges::set_ownership(tx, Ownership::TakeOver, 0)?;
    Ok(audit::record_action(tx, OBJECT, "taken_over", 0)?)
}

/// The edges in service, by node.
pub fn in_service(connection: &ReadTx<'_>) -> Result<Vec<EdgeRow>, StoreError> {
    let mut edges = edges::all(connection)?;
    edges.retain(EdgeRow::is_in_service);
    Ok(edges)
}

fn find(connection: &ReadTx<'_>, name: &str) -> Result<EdgeRow, RegistrationError> {
    let mut edges = in_service(connection)?;
    match edges.iter().position(|edge| edge.name == name) {
        Some(at) => Ok(edges.swap_remove(at)),
        None => {
            let names: Vec<&str> = edges.iter().map(|edge| edge.name.as_str()).collect();
            let known = match names.as_slice() {
                [] => "; none is registered".to_owned(),
                names => format!("; there are {}", names.join(", ")),
            };
            Err(RegistrationError::Unknown { name: name.to_owned(), known })
        }
    }
}

fn bundle(
    (name, node, secret): (&str, u16, Secret),
    control_plane: &ControlPlane,
    hub: HubAddress,
) -> Result<Bundle, RegistrationError> {
    let control_plane: VerifyingKey =
        hub::verifying_key(&control_plane.secret).map_err(|_| StoreError::Aborted)?;
    Ok(Bundle {
        name: name.to_owned(),
        network_id: hub.network_id,
        node,
        servers: hub.servers,
        ca_pem: hub.ca_pem,
        secret,
        control_plane,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::audit as recorded;
    use crate::store::rows::Query;

    fn hub() -> HubAddress {
        let servers = vec!["nats://127.0.0.1:4222".into()];
        HubAddress { network_id: 1, servers, ca_pem: String::new() }
    }

    #[tokio::test]
    async fn no_node_is_given_twice_and_a_revoked_name_is_free_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let add = |name: &'static str, node| {
            store.write(move |tx| add(tx, name, node, hub()).map(|bundle| bundle.node))
        };
        assert_eq!(add("a", None).await.unwrap(), 1);
        assert_eq!(add("b", Some(3)).await.unwrap(), 3);
        assert_eq!(add("c", None).await.unwrap(), 2);
        assert!(matches!(add("a", None).await, Err(RegistrationError::NameInUse(_))));
        assert!(matches!(add("d", Some(3)).await, Err(RegistrationError::NodeInUse { node: 3 })));
        assert!(matches!(add("coupond", None).await, Err(RegistrationError::Name(_))));
        assert!(matches!(add("d e", None).await, Err(RegistrationError::Name(_))));
        let keys = || store.read(edges::fleet_keys);
        let before = keys().await.unwrap();
        store.write(|tx| revoke(tx, "a")).await.unwrap();
        assert_ne!(
            keys().await.unwrap().first(),
            before.first(),
            "a revoked edge has the former key"
        );
        assert_eq!(
            add("a", None).await.unwrap(),
            4,
            "clicks name node 1 for as long as they are kept"
        );
        let unknown = store.write(|tx| revoke(tx, "x")).await.unwrap_err();
        assert_eq!(unknown.to_string(), "there is no edge `x`; there are c, b, a");
    }

    #[tokio::test]
    async fn each_order_is_in_the_audit_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (first, second) = store
            .write(|tx| {
                let bundles = (add(tx, "a", Some(3), hub())?, replace(tx, "a", hub())?);
                take_over(tx)?;
                revoke(tx, "a")?;
                Ok::<_, RegistrationError>(bundles)
            })
            .await
            .unwrap();
        store.write(|tx| revoke(tx, "a")).await.unwrap_err();
        let list = |connection: &ReadTx<'_>| recorded::list(connection, &Query::default());
        let rows = store.read(list).await.unwrap().rows;
        let mut found: Vec<_> =
            rows.iter().map(|row| (&*row.object, &*row.action, row.first_id)).collect();
        found.reverse();
        let expected = [("created", 3), ("rotated", 3), ("taken_over", 0), ("deleted", 3)];
        assert_eq!(found, expected.map(|(action, id)| ("edge", action, id)));
        let text = serde_json::to_string(&rows).unwrap();
        assert!(text.contains("\"name\""), "{text}");
        for bundle in [first, second] {
            assert!(!text.contains(&bundle.secret.to_hex()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_replaced_bundle_has_the_same_node_and_another_secret() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = store.write(|tx| add(tx, "a", None, hub())).await.unwrap();
        let second = store.write(|tx| replace(tx, "a", hub())).await.unwrap();
        assert_eq!((second.node, &second.name), (first.node, &first.name));
        assert_eq!(second.control_plane, first.control_plane);
        assert_ne!(second.secret, first.secret);
    }
}
