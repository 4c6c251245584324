//! Sends deliveries from an outbox to the servers of others.
//!
//! - A delivery stays pending in the store until its outcome is written there. Deliveries in flight
//!   during a crash or a stop are sent again. So a delivery arrives at least once, and a receiver
//!   must recognise what it has by an id in the request.
//! - The number of requests in flight is limited, in total and per host; hosts without a request in
//!   flight come first. A slow server delays only its own deliveries. All unresponsive hosts, which
//!   did not answer the last request, share a quarter of the total, so that many of them do not
//!   delay other hosts either.
//! - Only this worker knows the requests in flight, and it never sends a delivery twice at a time.
//!   A delivery whose outcome cannot be written stays in flight until the outcome is written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::client::{OutgoingClient, OutgoingRequest, RequestOutcome};
use super::delivery_outcome::{DeliveryOutcome, RetryPolicy};
use crate::catalog::OwnHosts;
use crate::store::outbox::{
    self, Attempt, Due, DueDeliveries, InFlight, NextState, Outbox, Traffic,
};
use crate::store::{Store, StoreError, domains};
use crate::worker::{self, RetryDelays, Worker};

/// How long a due delivery may wait to be found.
const POLL: Duration = Duration::from_millis(500);
/// Divisor of [`Concurrency::in_flight`] for all unresponsive hosts together.
const UNRESPONSIVE_SHARE: usize = 4;
/// Delay between two attempts to write an outcome.
const REWRITE: Duration = Duration::from_secs(1);

/// Limits on requests in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// In total.
    pub in_flight: usize,
    /// To one host.
    pub per_host: usize,
}

/// An outbox, and the form of its requests.
pub(crate) trait OutgoingQueue: Send + Sync + 'static {
    /// The rows.
    type Outbox: Outbox;
    /// The name in logs.
    const NAME: &'static str;

    fn request(&self, due: &Due<Self::Outbox>) -> OutgoingRequest;
}

pub(crate) struct Sender<Q> {
    delivering: Arc<Delivering<Q>>,
    concurrency: Concurrency,
    wake: Arc<Notify>,
    flights: JoinSet<IsAnswered>,
    in_flight: HashMap<Id, InFlight>,
    /// Hosts that did not answer the last request.
    unresponsive: HashSet<String>,
    /// How long no further delivery becomes due.
    pause: Duration,
}

/// Whether a server answered, with any status.
type IsAnswered = bool;

/// Shared by the requests in flight.
struct Delivering<Q> {
    queue: Q,
    store: Store,
    client: OutgoingClient,
    retry_policy: RetryPolicy,
    stop: CancellationToken,
}

impl<Q: OutgoingQueue> Sender<Q> {
    pub(crate) fn new(
        queue: Q,
        store: Store,
        client: OutgoingClient,
        settings: &Settings,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> Sender<Q> {
        let retry_policy = settings.retry_policy.clone();
        Sender {
            delivering: Arc::new(Delivering { queue, store, client, retry_policy, stop }),
            concurrency: settings.concurrency.clone(),
            wake,
            flights: JoinSet::new(),
            in_flight: HashMap::new(),
            unresponsive: HashSet::new(),
            pause: POLL,
        }
    }

    /// Sends until the token is cancelled, then waits for the requests in flight.
    pub(crate) async fn run(mut self) {
        let stop = self.delivering.stop.clone();
        worker::run(&mut self, &stop).await;
        while self.flights.join_next().await.is_some() {}
    }

    fn note_finished(&mut self, finished: Result<(Id, IsAnswered), tokio::task::JoinError>) {
        let (id, is_answered) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                tracing::error!(queue = Q::NAME, %error, "delivery panicked; it is sent again");
                (error.id(), false)
            }
        };
        match self.in_flight.remove(&id) {
            Some(request) if is_answered => drop(self.unresponsive.remove(&request.host)),
            Some(request) => drop(self.unresponsive.insert(request.host)),
            None => {}
        }
    }

    /// Returns the due deliveries, the hosts that must not be contacted, and how long nothing else
    /// becomes due.
    async fn due(&self) -> Result<(Vec<Due<Q::Outbox>>, Arc<OwnHosts>, Duration), StoreError> {
        let (now_ms, store) = (now_ms(), &self.delivering.store);
        if store.read(move |c| outbox::is_clock_set_back::<Q::Outbox>(c, now_ms)).await? {
            store.write(move |tx| outbox::forget_waits::<Q::Outbox>(tx, now_ms)).await?;
        }
        let traffic = Traffic {
            in_flight: self.in_flight.values().cloned().collect(),
            unresponsive: self.unresponsive.clone(),
            max_in_flight: self.concurrency.in_flight,
            max_per_host: self.concurrency.per_host,
            max_unresponsive: (self.concurrency.in_flight / UNRESPONSIVE_SHARE).max(1),
        };
        let found = store.read(move |c| {
            let due = outbox::due::<Q::Outbox>(c, now_ms, &traffic)?;
            Ok::<_, StoreError>((due, domains::own_hosts(c)?))
        });
        let (DueDeliveries { due, next_ms }, own) = found.await?;
        let pause = next_ms.map_or(POLL, |next_ms| {
            Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or_default())
        });
        Ok((due, Arc::new(own), pause.clamp(Duration::from_millis(1), POLL)))
    }

    fn send(&mut self, due: Due<Q::Outbox>, own: &Arc<OwnHosts>) {
        let of = InFlight { id: due.id, host: due.host.clone() };
        let handle = self.flights.spawn(Arc::clone(&self.delivering).deliver(due, Arc::clone(own)));
        self.in_flight.insert(handle.id(), of);
    }
}

impl<Q: OutgoingQueue> Worker for Sender<Q> {
    const NAME: &'static str = Q::NAME;
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(POLL);
    type Error = StoreError;

    /// Starts requests for the due deliveries.
    async fn step(&mut self) -> Result<(), StoreError> {
        self.pause = POLL;
        if self.in_flight.len() >= self.concurrency.in_flight {
            return Ok(());
        }
        let (due, own, pause) = self.due().await?;
        self.pause = pause;
        due.into_iter().for_each(|due| self.send(due, &own));
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        self.wait_for_retry(self.pause).await;
    }

    /// Returns earlier when a request finishes or a new delivery is queued.
    async fn wait_for_retry(&mut self, delay: Duration) {
        tokio::select! {
            Some(finished) = self.flights.join_next_with_id() => self.note_finished(finished),
            () = self.wake.notified() => {}
            () = tokio::time::sleep(delay) => {}
        }
        while let Some(finished) = self.flights.try_join_next_with_id() {
            self.note_finished(finished);
        }
    }
}

impl<Q: OutgoingQueue> Delivering<Q> {
    async fn deliver(self: Arc<Self>, due: Due<Q::Outbox>, own: Arc<OwnHosts>) -> IsAnswered {
        let outcome = self.client.run(self.queue.request(&due), &own).await;
        let next = self.retry_policy.after(due.attempts.saturating_add(1), &outcome);
        let is_answered = matches!(outcome, RequestOutcome::Answered { .. });
        let attempt = attempt(due.id, outcome, next);
        while let Err(error) = self.write(&attempt).await {
            tracing::warn!(queue = Q::NAME, %error, delivery = due.id, "outcome not written; retrying");
            let stopped = self.stop.run_until_cancelled(tokio::time::sleep(REWRITE)).await;
            if stopped.is_none() {
                break;
            }
        }
        is_answered
    }

    async fn write(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let attempt = attempt.clone();
        self.store.write(move |tx| outbox::record::<Q::Outbox>(tx, &attempt)).await
    }
}

fn attempt(id: u32, outcome: RequestOutcome, next: DeliveryOutcome) -> Attempt {
    let now_ms = now_ms();
    let next_state = match next {
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
