//! Sends requests to edges and collects the pieces of their answers.
//!
//! Requests are made ready and sent one at a time. A publication makes one for each edge at once, and
//! an edit that comes then must wait for a few of them, not for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, mpsc};

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
    sending: Arc<AsyncMutex<()>>,
}

/// The right to make a request ready and to send it.
pub(crate) struct SendTurn<'a> {
    asker: &'a Asker,
    _lock: AsyncMutexGuard<'a, ()>,
}

type Waiting = Arc<Mutex<HashMap<String, mpsc::Sender<Received>>>>;

impl Asker {
    /// Begins to listen for answers.
    pub(crate) async fn start(nats: Nats) -> Result<Asker, NatsError> {
        let inbox: Arc<str> = nats.new_inbox().into();
        let answers = nats.subscribe(format!("{inbox}.*")).await?;
        let waiting = Waiting::default();
        tokio::spawn(hand_out(answers, Arc::clone(&waiting)));
        Ok(Asker { nats, inbox, waiting, sending: Arc::default() })
    }

    pub(crate) async fn take_turn(&self) -> SendTurn<'_> {
        SendTurn { asker: self, _lock: self.sending.lock().await }
    }
}

impl<'a> SendTurn<'a> {
    /// Sends a message; ends the turn.
    pub(crate) async fn send(
        self,
        subject: &str,
        message: &[u8],
    ) -> Result<ExpectedAnswer<'a>, AskError> {
        let expected = ExpectedAnswer::new(self.asker);
        for piece in pieces::split(message)? {
            let (subject, reply) = (subject.to_owned(), expected.subject.clone());
            self.asker.nats.publish_with_reply(subject, reply, piece).await?;
        }
        Ok(expected)
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

/// The answer to a request; forgotten with the request, also at a deadline.
pub(crate) struct ExpectedAnswer<'a> {
    asker: &'a Asker,
    subject: String,
    pieces: mpsc::Receiver<Received>,
}

impl<'a> ExpectedAnswer<'a> {
    fn new(asker: &'a Asker) -> ExpectedAnswer<'a> {
        let own = asker.nats.new_inbox();
        let token = own.rsplit('.').next().unwrap_or_default();
        let subject = format!("{}.{token}", asker.inbox);
        let (sender, pieces) = mpsc::channel(MAX_WAITING_PIECES);
        asker.waiting().insert(subject.clone(), sender);
        ExpectedAnswer { asker, subject, pieces }
    }

    /// Waits for the answer, without one for ever: the caller has a deadline.
    pub(crate) async fn receive(mut self, max_bytes: usize) -> Result<Vec<u8>, AskError> {
        let mut joining = Joining::default();
        while let Some(Received { payload, is_without_listener, .. }) = self.pieces.recv().await {
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

impl Drop for ExpectedAnswer<'_> {
    fn drop(&mut self) {
        self.asker.waiting().remove(&self.subject);
    }
}

impl Asker {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<Received>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
