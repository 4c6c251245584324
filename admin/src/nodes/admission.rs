//! Decides whether a daemon's answer is used; pure code.

use coupon_shared::node_identity::NodeIdentity;

use crate::store::nodes::NodeRow;

/// Why a daemon cannot be told from another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeConflict {
    #[error(
        "coupond `{daemon}` is too old to state its node, and beside other daemons it cannot be \
         told from them: update coupond there"
    )]
    TooOld { daemon: String },
    #[error(
        "coupond `{daemon}` has the data folder of coupond `{other}`, or a copy of it: give each \
         coupond a control socket of its own and a data_dir of its own that was not copied. A folder \
         that moved from `{other}` to `{daemon}` is taken once `{other}` answers with another folder \
         or is out of [[daemons]]"
    )]
    SameFolder { daemon: String, other: String },
    #[error(
        "coupond `{daemon}` has node_id {node}, as coupond `{other}` has: set another node_id in \
         the coupond.toml of `{daemon}` and restart it; its clicks and postbacks wait there until then"
    )]
    SameNode { daemon: String, other: String, node: u16 },
    #[error(
        "coupond `{daemon}` has node_id {node} and another data folder than that node had before; \
         its clicks and postbacks wait until the other daemons have answered"
    )]
    Unsettled { daemon: String, node: u16 },
}

/// The last answer of a daemon.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastAnswer<'a> {
    pub(super) name: &'a str,
    /// The name in texts.
    pub(super) shown_name: &'a str,
    pub(super) identity: Option<&'a NodeIdentity>,
    /// Admitted, and not silent.
    pub(super) is_alive: bool,
    pub(super) was_heard: bool,
}

/// A daemon's answer among those of all present daemons.
pub(super) struct Question<'a> {
    pub(super) rows: &'a [NodeRow],
    pub(super) answers: &'a [LastAnswer<'a>],
    /// The daemon that answers.
    pub(super) daemon: usize,
    /// The program has just been started.
    pub(super) is_settling: bool,
}

impl Question<'_> {
    /// Returns the node's row if the answer is used and the node had another data folder.
    pub(super) fn judge(
        &self,
        identity: Option<&NodeIdentity>,
    ) -> Result<Option<NodeRow>, NodeConflict> {
        let Some(identity) = identity else {
            let is_only = self.others().next().is_none();
            let conflict = || NodeConflict::TooOld { daemon: self.shown_name() };
            return if is_only { Ok(None) } else { Err(conflict()) };
        };
        self.check_folder(identity)?;
        let row = self.rows.iter().find(|row| row.id == identity.node);
        let replaced = row.filter(|row| row.store != identity.store);
        replaced.map_or(Ok(()), |row| self.check_replacement(row))?;
        Ok(replaced.cloned())
    }

    /// Checks that the data folder is no other daemon's: a copy of it numbers other
    /// clicks alike, also while the original is down.
    fn check_folder(&self, identity: &NodeIdentity) -> Result<(), NodeConflict> {
        let owners = self.rows.iter().filter(|row| row.store == identity.store);
        let owners: Vec<&str> = owners.map(|row| row.name.as_str()).collect();
        let is_owner = |name: &str| owners.contains(&name) && !owners.contains(&self.name());
        let has_folder = |answer: &&LastAnswer<'_>| match answer.identity {
            Some(other) if answer.is_alive => other.store == identity.store,
            Some(other) => other.store == identity.store && is_owner(answer.name),
            None => is_owner(answer.name),
        };
        match self.others().find(has_folder) {
            None => Ok(()),
            Some(answer) => {
                let other = answer.shown_name.to_owned();
                Err(NodeConflict::SameFolder { daemon: self.shown_name(), other })
            }
        }
    }

    /// Checks that a new data folder may take a node's place.
    fn check_replacement(&self, row: &NodeRow) -> Result<(), NodeConflict> {
        let node = row.id;
        let is_node =
            |answer: &&LastAnswer<'_>| answer.identity.is_some_and(|other| other.node == node);
        if let Some(answer) = self.others().find(|answer| answer.is_alive && is_node(answer)) {
            let other = answer.shown_name.to_owned();
            return Err(NodeConflict::SameNode { daemon: self.shown_name(), other, node });
        }
        if row.name == self.name() {
            return Ok(());
        }
        match self.others().find(|answer| answer.name == row.name) {
            // The owner may be down; only an answer under another node id gives this one away.
            Some(owner) if owner.identity.is_none_or(|other| other.node == node) => {
                let other = owner.shown_name.to_owned();
                Err(NodeConflict::SameNode { daemon: self.shown_name(), other, node })
            }
            Some(_) => Ok(()),
            // The owner may have another name now, and answer in a moment.
            None if self.is_settling && self.others().any(|answer| !answer.was_heard) => {
                Err(NodeConflict::Unsettled { daemon: self.shown_name(), node })
            }
            None => Ok(()),
        }
    }

    fn others(&self) -> impl Iterator<Item = &LastAnswer<'_>> {
        let of_others = move |(index, _): &(usize, _)| *index != self.daemon;
        self.answers.iter().enumerate().filter(of_others).map(|(_, answer)| answer)
    }

    fn name(&self) -> &str {
        self.answers.get(self.daemon).map_or("", |answer| answer.name)
    }

    fn shown_name(&self) -> String {
        self.answers.get(self.daemon).map_or("", |answer| answer.shown_name).to_owned()
    }
}
