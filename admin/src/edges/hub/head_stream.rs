//! The stream with the head and the owner of the edges.

use bytes::Bytes;

use crate::edges::nats::{Nats, NatsError, StreamSettings};
use crate::edges::subjects::Subjects;

/// Room of the stream.
const MAX_BYTES: i64 = 16 << 20;

#[derive(Clone)]
pub(super) struct HeadStream {
    pub(super) nats: Nats,
    pub(super) subjects: Subjects,
    /// Servers of a cluster that keep it.
    pub(super) replicas: usize,
}

impl HeadStream {
    pub(super) async fn open(&self) -> Result<(), NatsError> {
        let subjects = self.subjects;
        let settings = StreamSettings {
            name: subjects.head_stream(),
            subjects: vec![subjects.head(), subjects.owner()],
            max_bytes: MAX_BYTES,
            replicas: self.replicas,
        };
        self.nats.open_stream(settings).await
    }

    /// The last message of a subject with its sequence. Of a cluster the leader is asked: a server that
    /// is a moment behind would make this control plane doubt what it stored. A single server is asked
    /// as edges ask it, which users files of earlier releases allow.
    pub(super) async fn last(&self, subject: String) -> Result<Option<(u64, Bytes)>, NatsError> {
        let stream = self.subjects.head_stream();
        match self.replicas {
            1 => self.nats.last(&stream, subject).await,
            _ => self.nats.last_at_leader(&stream, &subject).await,
        }
    }
}
