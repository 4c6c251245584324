//! Requests to a daemon's Unix socket.
//!
//! One connection per request: connecting to a Unix socket costs microseconds, and a request never
//! meets the dead connection of a restarted daemon.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::DaemonError;

/// A daemon's control socket.
#[derive(Debug, Clone)]
pub(crate) struct SocketLink {
    socket: Arc<Path>,
}

impl SocketLink {
    pub(crate) fn new(socket: &Path) -> SocketLink {
        SocketLink { socket: Arc::from(socket) }
    }

    /// Sends a request and returns the answer. Without an answer it waits for ever: the caller has a
    /// deadline.
    pub(crate) async fn exchange(
        &self,
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, DaemonError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| DaemonError::Connect { socket: self.socket.to_path_buf(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = AbortOnDrop(tokio::spawn(connection));
        let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, max_bytes).collect().await.map_err(DaemonError::Body)?;
        drop(driver);
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// Closes the connection with the request, even if the request is dropped at its deadline.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
