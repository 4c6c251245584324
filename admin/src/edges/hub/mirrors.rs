//! Copies of the index in regions: a leaf node with a JetStream domain of its own keeps one, so that an
//! object crosses the long line to the region once, and not once for each edge there.
//!
//! A copy is made again when its original is another stream than before, or was set back: the server
//! would wait for ever for the sequence that the copy had. Edges fetch from the original meanwhile.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::HubShared;
use crate::config::HUB_DOMAIN;
use crate::edges::nats::{MirrorSettings, Nats, NatsError, StreamState};
use crate::worker::{RetryDelays, Worker};

/// How often copies are compared with the original.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a copy may stand still that lacks something.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(60);

/// The copy of the index at the leaf node of a region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RegionStatus {
    /// The JetStream domain of the leaf node.
    pub name: String,
    /// Parts of the index that the copy lacks; `null` while it is not known.
    pub parts_behind: Option<u64>,
    /// Why edges of the region fetch the index from the hub.
    pub problem: Option<String>,
}

/// Keeps the copies.
pub(super) struct Mirrors {
    shared: Arc<HubShared>,
    regions: Vec<Region>,
    max_bytes: i64,
}

struct Region {
    name: String,
    nats: Nats,
    progress: Progress,
}

/// Since when the last sequence of a copy is what it is.
#[derive(Default)]
struct Progress {
    last: Option<(u64, Instant)>,
}

impl Mirrors {
    pub(super) fn new(shared: Arc<HubShared>, regions: &[String], max_bytes: u64) -> Mirrors {
        let region = |name: &String| Region {
            name: name.clone(),
            nats: shared.nats.in_domain(name),
            progress: Progress::default(),
        };
        let regions = regions.iter().map(region).collect();
        Mirrors { shared, regions, max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX) }
    }

    async fn look(&mut self) -> Vec<RegionStatus> {
        let mut found = Vec::with_capacity(self.regions.len());
        for region in &mut self.regions {
            let compared = region.compare(&self.shared, self.max_bytes).await;
            let (name, now) = (region.name.clone(), Instant::now());
            found.push(match compared {
                Ok(copy) => RegionStatus {
                    name,
                    parts_behind: copy.as_ref().map(|copy| copy.behind),
                    problem: copy.and_then(|copy| region.progress.problem(&copy, now)),
                },
                Err(problem) => RegionStatus { name, parts_behind: None, problem: Some(problem) },
            });
        }
        found
    }
}

impl Worker for Mirrors {
    const NAME: &'static str = "copies of the index in regions";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(INTERVAL);
    type Error = Infallible;

    async fn step(&mut self) -> Result<(), Infallible> {
        // The copies are of whoever owns the edges.
        let mut control = self.shared.control.clone();
        if control.wait_for(|control| control.epoch.is_some()).await.is_err() {
            // At the end of the program.
            return std::future::pending().await;
        }
        let found = self.look().await;
        *self.shared.regions.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}

impl Region {
    /// Compares the copy with the original, and makes it where it is missing or of another original;
    /// `None` if it has just been made, or there is no original yet.
    async fn compare(
        &self,
        shared: &HubShared,
        max_bytes: i64,
    ) -> Result<Option<StreamState>, String> {
        let stream = shared.subjects.object_stream();
        let explained = |error: NatsError| explain(&self.name, &error);
        // The copy first: it is not ahead of its original then.
        let copy = self.nats.stream_state(&stream).await.map_err(explained)?;
        let original = shared.nats.in_domain(HUB_DOMAIN).stream_state(&stream).await;
        let Some(original) = original.map_err(|error| explain_hub(&error))? else {
            return Ok(None);
        };
        let description = format!("copy of the stream of {}", original.created);
        match copy {
            Some(copy)
                if copy.description == description
                    && copy.max_bytes == max_bytes
                    && copy.last_sequence <= original.last_sequence =>
            {
                return Ok(Some(copy.with_first_lag(&original)));
            }
            Some(_) => self.nats.remove_stream(&stream).await.map_err(explained)?,
            None => {}
        }
        let origin_domain = HUB_DOMAIN.to_owned();
        let settings = MirrorSettings { stream, origin_domain, max_bytes, description };
        self.nats.make_mirror(settings).await.map_err(explained)?;
        tracing::info!(region = self.name, "copy of the index begun in a region");
        Ok(None)
    }
}

impl StreamState {
    /// The server counts nothing that a copy lacks before the copy has reached its original.
    fn with_first_lag(mut self, original: &StreamState) -> StreamState {
        if self.last_sequence == 0 {
            self.behind = original.last_sequence;
        }
        self
    }
}

impl Progress {
    /// What is wrong with a copy that lacks something and stands still.
    fn problem(&mut self, copy: &StreamState, now: Instant) -> Option<String> {
        let last = self.last.filter(|(sequence, _)| *sequence == copy.last_sequence);
        let (_, since) = *self.last.insert(last.unwrap_or((copy.last_sequence, now)));
        if copy.behind == 0 {
            self.last = None;
            return None;
        }
        (now.duration_since(since) >= LONGEST_STANDSTILL).then(|| {
            format!(
                "its copy of the index lacks {} parts and stands still: look at the log of its \
                 nats-server and the line to the hub; its edges fetch from the hub meanwhile",
                copy.behind
            )
        })
    }
}

fn explain(name: &str, error: &NatsError) -> String {
    match error {
        NatsError::NoStream => format!(
            "no leaf node with `jetstream {{ domain: {name} }}` is connected: look at the log of its \
             nats-server; its edges fetch from the hub meanwhile"
        ),
        error => format!("{error}; its edges fetch from the hub meanwhile"),
    }
}

/// Edges of regions ask for the hub by its domain.
fn explain_hub(error: &NatsError) -> String {
    match error {
        NatsError::NoStream => format!(
            "the servers of hub.servers have no `jetstream {{ domain: {HUB_DOMAIN} }}`, by which edges of \
             regions find the index: set it, and restart them"
        ),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(last_sequence: u64, behind: u64) -> StreamState {
        let (created, description) = (String::new(), String::new());
        StreamState { created, description, max_bytes: 1, bytes: 0, last_sequence, behind }
    }

    #[test]
    fn a_copy_that_lacks_something_has_a_minute_to_move() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let mut at = |seconds, sequence, behind| {
            let now = start + Duration::from_secs(seconds);
            progress.problem(&copy(sequence, behind), now).is_some()
        };
        assert!(!at(0, 10, 5) && !at(50, 10, 5) && at(60, 10, 5), "stands still");
        assert!(!at(70, 11, 5) && !at(120, 11, 5), "moves");
        assert!(!at(600, 11, 0), "lacks nothing");
        assert!(!at(610, 11, 3) && at(670, 11, 3), "stands still since it lacks something");
    }

    #[test]
    fn a_copy_that_never_had_anything_lacks_everything() {
        assert_eq!(copy(0, 0).with_first_lag(&copy(9, 0)).behind, 9);
        assert_eq!(copy(7, 2).with_first_lag(&copy(9, 0)).behind, 2, "as the server says");
    }

    #[test]
    fn an_absent_leaf_node_is_named_with_its_mend() {
        let text = explain("fra", &NatsError::NoStream);
        assert!(text.contains("domain: fra") && text.contains("leaf node"), "{text}");
        let text = explain_hub(&NatsError::NoStream);
        assert!(text.contains("domain: hub") && text.contains("hub.servers"), "{text}");
    }
}
