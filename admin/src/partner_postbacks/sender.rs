//! From the outbox to the partners' servers.
//!
//! - A delivery stays pending in the store until its outcome is written there; what a crash or a
//!   stop leaves in flight is sent again. So it arrives at least once, and a receiver that counts
//!   must know conversions by their id.
//! - At most so many requests are in flight in all, and few to one host; hosts with none come first.
//!   One slow server holds up its own deliveries only; and all servers that did not answer the last
//!   time share a quarter of what may be in flight, so that many of them hold up nobody else either.
//! - What is in flight is known here only, and is never sent twice at a time. An outcome that cannot
//!   be written keeps its place in flight and is written later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Wake;
use super::client::{OutgoingRequest, PostbackClient, RequestOutcome};
use super::delivery_outcome::{DeliveryOutcome, RetryPolicy};
use crate::catalog::OwnHosts;
use crate::store::partner_postbacks::{self, Attempt, Due, InFlight, NextState, Traffic};
use crate::store::{Store, StoreError, domains};

/// How long a delivery that just became due may wait to be seen.
const POLL: Duration = Duration::from_millis(500);
/// Of what may be in flight, this part may be to hosts that did not answer the last time.
const UNRESPONSIVE_SHARE: usize = 4;
/// Between two attempts at writing an outcome.
const REWRITE: Duration = Duration::from_secs(1);

/// How much at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// Requests in flight.
    pub in_flight: usize,
    /// Of them to one host.
    pub per_host: usize,
}

pub(super) struct Sender {
    post: Arc<Post>,
    concurrency: Concurrency,
    wake: Wake,
    flights: JoinSet<IsAnswered>,
    in_flight: HashMap<Id, InFlight>,
    /// Hosts that did not answer the last time.
    unresponsive: HashSet<String>,
    /// Why the store could not be read, so that it is logged once.
    last_error: Option<String>,
}

/// Whether a server answered at all, whatever it said.
type IsAnswered = bool;

/// What a flight needs.
struct Post {
    store: Store,
    client: PostbackClient,
    retry_policy: RetryPolicy,
    stop: CancellationToken,
}

impl Sender {
    pub(super) fn new(
        store: Store,
        client: PostbackClient,
        retry_policy: RetryPolicy,
        concurrency: Concurrency,
        wake: Wake,
        stop: CancellationToken,
    ) -> Sender {
        Sender {
            post: Arc::new(Post { store, client, retry_policy, stop }),
            concurrency,
            wake,
            flights: JoinSet::new(),
            in_flight: HashMap::new(),
            unresponsive: HashSet::new(),
            last_error: None,
        }
    }

    /// Sends until it is told to stop, then lets what is in flight arrive.
    pub(super) async fn run(mut self) {
        let stop = self.post.stop.clone();
        while !stop.is_cancelled() {
            let pause = self.launch().await;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(landed) = self.flights.join_next_with_id() => self.landed(landed),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            while let Some(landed) = self.flights.try_join_next_with_id() {
                self.landed(landed);
            }
        }
        while self.flights.join_next().await.is_some() {}
    }

    fn landed(&mut self, landed: Result<(Id, IsAnswered), tokio::task::JoinError>) {
        let (id, is_answered) = match landed {
            Ok(landed) => landed,
            Err(error) => {
                tracing::error!(%error, "a delivery's task panicked; it is sent again");
                (error.id(), false)
            }
        };
        match self.in_flight.remove(&id) {
            Some(flown) if is_answered => drop(self.unresponsive.remove(&flown.host)),
            Some(flown) => drop(self.unresponsive.insert(flown.host)),
            None => {}
        }
    }

    /// Sends what is due, and says how long nothing else will be.
    async fn launch(&mut self) -> Duration {
        if self.in_flight.len() >= self.concurrency.in_flight {
            return POLL;
        }
        match self.due().await {
            Ok((due, own, pause)) => {
                due.into_iter().for_each(|due| self.send(due, &own));
                self.last_error = None;
                pause
            }
            Err(error) => {
                self.tell(&error);
                POLL
            }
        }
    }

    fn tell(&mut self, error: &StoreError) {
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            tracing::warn!(error = %text, "partner postbacks cannot be read; trying again");
        }
        self.last_error = Some(text);
    }

    /// What is due, the hosts it must not be sent to, and how long nothing else will be.
    async fn due(&self) -> Result<(Vec<Due>, Arc<OwnHosts>, Duration), StoreError> {
        let now_ms = now_ms();
        if self.post.store.read(move |c| partner_postbacks::is_clock_set_back(c, now_ms)).await? {
            self.post.store.write(move |tx| partner_postbacks::forget_waits(tx, now_ms)).await?;
        }
        let traffic = Traffic {
            in_flight: self.in_flight.values().cloned().collect(),
            unresponsive: self.unresponsive.clone(),
            most: self.concurrency.in_flight,
            most_per_host: self.concurrency.per_host,
            most_unresponsive: (self.concurrency.in_flight / UNRESPONSIVE_SHARE).max(1),
        };
        let found = self.post.store.read(move |c| {
            Ok::<_, StoreError>((
                partner_postbacks::due(c, now_ms, &traffic)?,
                domains::own_hosts(c)?,
            ))
        });
        let (partner_postbacks::Outbox { due, next_ms }, own) = found.await?;
        let pause = next_ms.map_or(POLL, |next_ms| {
            Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or_default())
        });
        Ok((due, Arc::new(own), pause.clamp(Duration::from_millis(1), POLL)))
    }

    fn send(&mut self, due: Due, own: &Arc<OwnHosts>) {
        let of = InFlight { id: due.id, host: due.host.clone() };
        let handle = self.flights.spawn(Arc::clone(&self.post).deliver(due, Arc::clone(own)));
        self.in_flight.insert(handle.id(), of);
    }
}

impl Post {
    async fn deliver(self: Arc<Post>, due: Due, own: Arc<OwnHosts>) -> IsAnswered {
        let request = OutgoingRequest {
            url: &due.url,
            signing_key: &due.signing_key,
            delivery_id: Some(due.id),
        };
        let outcome = self.client.run(request, &own).await;
        let verdict = self.retry_policy.after(due.attempts.saturating_add(1), &outcome);
        let is_answered = matches!(outcome, RequestOutcome::Answered { .. });
        let attempt = attempt(due.id, outcome, verdict);
        while let Err(error) = self.write(&attempt).await {
            tracing::warn!(%error, delivery = due.id, "an outcome cannot be written; trying again");
            let stopped = self.stop.run_until_cancelled(tokio::time::sleep(REWRITE)).await;
            if stopped.is_none() {
                break;
            }
        }
        is_answered
    }

    async fn write(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let attempt = attempt.clone();
        self.store.write(move |tx| partner_postbacks::record(tx, &attempt)).await
    }
}

fn attempt(id: u32, outcome: RequestOutcome, verdict: DeliveryOutcome) -> Attempt {
    let now_ms = now_ms();
    let next_state = match verdict {
        DeliveryOutcome::Delivered => NextState::Delivered,
        DeliveryOutcome::Dead => NextState::Dead,
        DeliveryOutcome::RetryAfter(wait) => {
            let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            NextState::Pending { due_ms: now_ms.saturating_add(wait_ms) }
        }
    };
    let (status, error) = match outcome {
        RequestOutcome::Answered { status, .. } if next_state == NextState::Delivered => {
            (status, String::new())
        }
        RequestOutcome::Answered { status, .. } => {
            (status, format!("the server answered {status}"))
        }
        RequestOutcome::Refused(refused) => (0, refused.to_string()),
        RequestOutcome::Failed(error) => (0, error),
    };
    Attempt { id, now_ms, next_state, status, error }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
