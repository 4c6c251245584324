//! Copies of a stream at servers of other JetStream domains, such as the leaf nodes of regions.

use std::error::Error as _;

use async_nats::jetstream::context::{GetStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Source};
use async_nats::jetstream::{self, ErrorCode};

use super::{Nats, NatsError, failed, no_stream};

/// What a server says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamState {
    /// When the stream was made, as the server writes the time.
    pub(crate) created: String,
    pub(crate) description: String,
    pub(crate) max_bytes: i64,
    /// Bytes that it takes at the server.
    pub(crate) bytes: u64,
    pub(crate) last_sequence: u64,
    /// Messages of the original that a copy lacks.
    pub(crate) behind: u64,
}

/// A copy of the stream with the same name in another domain. When it is full, the oldest messages go.
pub(crate) struct MirrorSettings {
    pub(crate) stream: String,
    pub(crate) origin_domain: String,
    pub(crate) max_bytes: i64,
    pub(crate) description: String,
}

impl Nats {
    /// The same connection, with the streams of another domain.
    pub(crate) fn in_domain(&self, domain: &str) -> Nats {
        Nats { jetstream: jetstream::with_domain(self.client.clone(), domain), ..self.clone() }
    }

    /// `None` where the server does not have the stream.
    ///
    /// # Errors
    /// [`NatsError::NoStream`] if no server of the domain answers.
    pub(crate) async fn stream_state(
        &self,
        stream: &str,
    ) -> Result<Option<StreamState>, NatsError> {
        self.check_connected()?;
        let found = match self.jetstream.get_stream(stream).await {
            Ok(found) => found,
            Err(error) => {
                return match error.kind() {
                    GetStreamErrorKind::JetStream(of_server)
                        if of_server.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                    {
                        Ok(None)
                    }
                    _ if is_without_listener(&error) => Err(NatsError::NoStream),
                    _ => Err(failed("show a stream")(error)),
                };
            }
        };
        let info = found.cached_info();
        Ok(Some(StreamState {
            created: info.created.to_string(),
            description: info.config.description.clone().unwrap_or_default(),
            max_bytes: info.config.max_bytes,
            bytes: info.state.bytes,
            last_sequence: info.state.last_sequence,
            behind: info.mirror.as_ref().map_or(0, |mirror| mirror.lag),
        }))
    }

    pub(crate) async fn make_mirror(&self, settings: MirrorSettings) -> Result<(), NatsError> {
        let origin = Source {
            name: settings.stream.clone(),
            domain: Some(settings.origin_domain),
            ..Source::default()
        };
        let config = Config {
            name: settings.stream,
            description: Some(settings.description),
            mirror: Some(origin),
            max_messages_per_subject: 1,
            max_bytes: settings.max_bytes,
            discard: DiscardPolicy::Old,
            allow_direct: true,
            ..Config::default()
        };
        let made = self.jetstream.create_stream(config).await;
        made.map(drop).map_err(no_stream("make a copy of a stream"))
    }

    pub(crate) async fn remove_stream(&self, stream: &str) -> Result<(), NatsError> {
        let removed = self.jetstream.delete_stream(stream).await;
        removed.map(drop).map_err(failed("remove a stream"))
    }
}

fn is_without_listener(error: &jetstream::context::GetStreamError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<RequestError>());
    source.is_some_and(|error| error.kind() == RequestErrorKind::NoResponders)
}
