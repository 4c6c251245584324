//! The users of a NATS server: what each edge may do there, and nothing else.

use std::fmt::Write as _;

use super::hello::nats_secret;
use super::hub::control_plane_user;
use super::sealing::Secret;
use super::subjects::Subjects;
use crate::store::edges::{ControlPlane, EdgeRow};

/// Most pieces of an answer, and how long it may take: a click feed waits, and a level is large.
const ANSWER_PIECES: usize = 64;
const ANSWER_SECONDS: u64 = 130;

/// The `authorization` block of nats-server's configuration: one user for the control plane, and one
/// for each edge in service. Its text has public keys alone.
///
/// # Errors
/// When the library refuses a key.
pub fn configuration(
    network_id: u32,
    control_plane: &ControlPlane,
    edges: &[EdgeRow],
) -> Result<String, nkeys::error::Error> {
    let mut text = format!(
        "# Users of coupon network {network_id}; written by `coupon-admin edges nats-config`.\n\
         # Include it in nats-server.conf, and reload the server after each change.\n\
         authorization {{\n  timeout: 5\n  users: [\n"
    );
    let subjects = Subjects { network_id };
    let own = control_plane_user(&control_plane.secret).nats_user()?.public_key;
    let _ = write!(text, "    # the control plane\n    {{ nkey: {own}, permissions: {{\n");
    let _ = write!(text, "{}", control_plane_rights(subjects));
    text.push_str("    } }\n");
    for edge in edges {
        let user = user(&edge.secret)?;
        let (name, node) = (&edge.name, edge.node);
        let _ = write!(text, "    # {name}\n    {{ nkey: {user}, permissions: {{\n");
        let _ = write!(text, "{}", edge_rights(subjects, node));
        text.push_str("    } }\n");
    }
    text.push_str("  ]\n}\n");
    Ok(text)
}

fn user(secret: &Secret) -> Result<String, nkeys::error::Error> {
    Ok(nats_secret(secret).nats_user()?.public_key)
}

fn control_plane_rights(subjects: Subjects) -> String {
    let (network, heads) = (subjects.network_id, subjects.head_stream());
    let (objects, inbox) = (subjects.object_stream(), subjects.inbox_prefix(None));
    let streams = [heads, objects].map(|stream| {
        let api = ["CREATE", "UPDATE", "INFO", "PURGE", "MSG.GET"]
            .map(|order| format!("\"$JS.API.STREAM.{order}.{stream}\""))
            .join(", ");
        format!("{api}, \"$JS.API.DIRECT.GET.{stream}\", \"$JS.API.DIRECT.GET.{stream}.>\"")
    });
    let streams = streams.join(",\n        ");
    // The copies in regions, whose servers have domains of their own.
    let copies = ["CREATE", "INFO", "DELETE"]
        .map(|order| format!("\"$JS.*.API.STREAM.{order}.{}\"", subjects.object_stream()))
        .join(", ");
    format!(
        "      publish: [\"coupon.{network}.>\",\n        \
         {streams},\n        \
         {copies}]\n      \
         subscribe: [\"coupon.{network}.hello.*\", \"{inbox}.>\"]\n"
    )
}

/// An edge says hello, reads the published index, and answers what it is asked. A right to make
/// consumers would let it have the server publish elsewhere. The subjects with `*` are the same reads
/// through a leaf node, which names the domain of the server with the streams.
fn edge_rights(subjects: Subjects, node: u16) -> String {
    let (hello, asks) = (subjects.hello(node), subjects.asks_of_node(node));
    let (heads, objects) = (subjects.head_stream(), subjects.object_stream());
    let (head, all_objects) = (subjects.head(), subjects.all_objects());
    let inbox = subjects.inbox_prefix(Some(node));
    let reads = ["$JS.API", "$JS.*.API"].map(|api| {
        format!(
            ",\n        \"{api}.DIRECT.GET.{heads}.{head}\",\n        \
             \"{api}.DIRECT.GET.{objects}.{all_objects}\""
        )
    });
    let reads = reads.concat();
    format!(
        "      publish: [\"{hello}\"{reads}]\n      \
         subscribe: [\"{asks}\", \"{inbox}.>\"]\n      \
         allow_responses: {{ max: {ANSWER_PIECES}, expires: \"{ANSWER_SECONDS}s\" }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::edges::Ownership;

    #[test]
    fn an_edge_may_use_its_own_subjects_alone_and_no_secret_is_written() {
        let secret = |byte| Secret::from_bytes([byte; 32]);
        let control_plane =
            ControlPlane { secret: secret(1), epoch: 1, ownership: Ownership::Usual };
        let edge = |node, byte| EdgeRow {
            node,
            name: format!("edge-{node}"),
            secret: secret(byte),
            store: None,
            created: 0,
            revoked: 0,
        };
        let text = configuration(12, &control_plane, &[edge(7, 2), edge(8, 3)]).unwrap();
        let of_seven = text.split("# edge-7").nth(1).unwrap().split("# edge-8").next().unwrap();
        assert!(of_seven.contains("coupon.12.ask.7.*") && of_seven.contains("coupon.12.inbox.7.>"));
        for foreign in ["hello.8", "ask.8", "inbox.8", "CONSUMER", "STREAM.", "\"$JS.>\"", "owner"]
        {
            assert!(!of_seven.contains(foreign), "{foreign}");
        }
        assert_eq!(text.matches("nkey: U").count(), 3);
        assert!(!text.contains("SU"), "seeds stay secret");
    }
}
