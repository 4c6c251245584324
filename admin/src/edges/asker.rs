//! Sends requests to edges and collects the pieces of their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::nats::{Messages, Nats, NatsError, Received};
use super::pieces::{self, Joining, PieceError};

/// Pieces that wait in memory for one request: the longest message has 54.
const MAX_WAITING_PIECES: usize = 64;

/// Why a request over NATS got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Piece(#[from] PieceError),
}

/// Asks edges; clones share the subject for answers.
#[derive(Clone)]
pub(crate) struct Asker {
    nats: Nats,
    inbox: Arc<str>,
    waiting: Waiting,
}

type Waiting = Arc<Mutex<HashMap<String, mpsc::Sender<Received>>>>;

impl Asker {
    /// Begins to listen for answers.
    pub(crate) async fn start(nats: Nats) -> Result<Asker, NatsError> {
        let inbox: Arc<str> = nats.new_inbox().into();
        let answers = nats.subscribe(format!("{inbox}.*")).await?;
        let waiting = Waiting::default();
        tokio::spawn(hand_out(answers, Arc::clone(&waiting)));
        Ok(Asker { nats, inbox, waiting })
    }

    /// Sends a message and returns the answer. Without an answer it waits for ever: the caller has
    /// a deadline.
    pub(crate) async fn request(
        &self,
        subject: &str,
        message: &[u8],
        max_bytes: usize,
    ) -> Result<Vec<u8>, AskError> {
        let pieces = pieces::split(message)?;
        let mut waiting = Expected::new(self);
        for piece in pieces {
            let reply = waiting.subject.clone();
            self.nats.publish_with_reply(subject.to_owned(), reply, piece).await?;
        }
        let mut joining = Joining::default();
        while let Some(Received { payload, is_without_listener, .. }) = waiting.pieces.recv().await
        {
            if is_without_listener {
                return Err(NatsError::NoListener.into());
            }
            if let Some(answer) = joining.add(&payload, max_bytes)? {
                return Ok(answer);
            }
        }
        Err(NatsError::Disconnected("the connection was closed".to_owned()).into())
    }
}

/// Hands each piece to the waiting request. A late piece is dropped.
async fn hand_out(mut answers: Messages, waiting: Waiting) {
    while let Some(received) = answers.next().await {
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = waiting.get(&received.subject) {
            // A full channel holds more pieces than an answer has.
            let _ = request.try_send(received);
        }
    }
}

/// A request that waits for its answer; forgotten with the request, also at a deadline.
struct Expected<'a> {
    asker: &'a Asker,
    subject: String,
    pieces: mpsc::Receiver<Received>,
}

impl<'a> Expected<'a> {
    fn new(asker: &'a Asker) -> Expected<'a> {
        let own = asker.nats.new_inbox();
        let token = own.rsplit('.').next().unwrap_or_default();
        let subject = format!("{}.{token}", asker.inbox);
        let (sender, pieces) = mpsc::channel(MAX_WAITING_PIECES);
        asker.waiting().insert(subject.clone(), sender);
        Expected { asker, subject, pieces }
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.asker.waiting().remove(&self.subject);
    }
}

impl Asker {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<Received>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
