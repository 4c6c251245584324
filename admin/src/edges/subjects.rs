//! Names of subjects and streams at NATS. All begin with the network, so that several networks can
//! share a server.
//!
//! | subject | direction | contents |
//! |---|---|---|
//! | `coupon.<network>.hello.<node>` | edge to control plane, answered | hello, lease |
//! | `coupon.<network>.inbox.<node>.>` | to edge | answers |
//! | `coupon.<network>.ask.<node>.<session>` | control plane to edge, answered | requests to coupond |
//! | `coupon.<network>.head` | stored by the control plane | the published generation |
//! | `coupon.<network>.owner` | stored by the control plane | which control plane owns the edges |
//! | `coupon.<network>.obj.<key>.<object>.<part>` | stored by the control plane | one object of the index, in parts |

use std::fmt;

use coupon_shared::snapshot::manifest::ObjectName;

/// The subjects of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subjects {
    pub(crate) network_id: u32,
}

/// A run of an edge's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

impl SessionId {
    pub(crate) fn random() -> std::io::Result<SessionId> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(SessionId(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Subjects {
    fn prefix(self) -> String {
        format!("coupon.{}", self.network_id)
    }

    pub(crate) fn hello(self, node: u16) -> String {
        format!("{}.hello.{node}", self.prefix())
    }

    /// The hellos of all nodes.
    pub(crate) fn hellos(self) -> String {
        format!("{}.hello.*", self.prefix())
    }

    /// The node of a hello's subject.
    pub(crate) fn node_of_hello(self, subject: &str) -> Option<u16> {
        subject.strip_prefix(&format!("{}.hello.", self.prefix()))?.parse().ok()
    }

    /// The questions to a run of an agent.
    pub(crate) fn questions(self, node: u16, session: SessionId) -> String {
        format!("{}.ask.{node}.{session}", self.prefix())
    }

    /// The questions to a node, of any session.
    pub(crate) fn asks_of_node(self, node: u16) -> String {
        format!("{}.ask.{node}.*", self.prefix())
    }

    pub(crate) fn head(self) -> String {
        format!("{}.head", self.prefix())
    }

    /// The control plane that owns the edges.
    pub(crate) fn owner(self) -> String {
        format!("{}.owner", self.prefix())
    }

    pub(crate) fn head_stream(self) -> String {
        format!("COUPON_{}", self.network_id)
    }

    pub(crate) fn object_stream(self) -> String {
        format!("COUPON_{}_OBJ", self.network_id)
    }

    pub(crate) fn all_objects(self) -> String {
        format!("{}.obj.>", self.prefix())
    }

    /// One part of an object; part 0 describes the others.
    pub(crate) fn object_part(self, key_id: u32, object: &ObjectName, part: u32) -> String {
        format!("{}.obj.{key_id}.{object}.{part}", self.prefix())
    }

    /// All parts of an object.
    pub(crate) fn object_parts(self, key_id: u32, object: &ObjectName) -> String {
        format!("{}.obj.{key_id}.{object}.>", self.prefix())
    }

    /// The descriptions of all objects.
    pub(crate) fn object_descriptions(self) -> String {
        format!("{}.obj.*.*.0", self.prefix())
    }

    /// Key and object of a stored description.
    pub(crate) fn described_object(self, subject: &str) -> Option<(u32, ObjectName)> {
        let rest = subject.strip_prefix(&format!("{}.obj.", self.prefix()))?;
        let mut tokens = rest.strip_suffix(".0")?.split('.');
        let (key_id, object) =
            (tokens.next()?.parse().ok()?, ObjectName::from_hex(tokens.next()?)?);
        tokens.next().is_none().then_some((key_id, object))
    }

    /// Prefix of the subjects for answers to one connection.
    pub(crate) fn inbox_prefix(self, node: Option<u16>) -> String {
        match node {
            Some(node) => format!("{}.inbox.{node}", self.prefix()),
            None => format!("{}.inbox.hub", self.prefix()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_read_back() {
        let subjects = Subjects { network_id: 12 };
        assert_eq!(subjects.node_of_hello(&subjects.hello(7)), Some(7));
        assert_eq!(subjects.node_of_hello("coupon.1.hello.7"), None, "another network's");
        assert_eq!(subjects.node_of_hello("coupon.12.hello.7.8"), None);
        let object = ObjectName([0xab; 32]);
        let part = |part| subjects.object_part(3, &object, part);
        assert_eq!(subjects.described_object(&part(0)), Some((3, object)));
        assert_eq!(subjects.described_object(&part(1)), None);
        let session = SessionId([1; 16]);
        assert_eq!(subjects.questions(7, session), format!("coupon.12.ask.7.{}", "01".repeat(16)));
    }
}
