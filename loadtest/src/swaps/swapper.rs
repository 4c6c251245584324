//! Publishes the indexes during the load, and notes when each became live.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::publications::{Kind, Publication};
use crate::generations::Generations;
use crate::server::Server;
use crate::server::control_socket::ControlSocket;
use crate::server::published::IndexFolder;

/// Interval between queries of the number of retired indexes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// coupond checks every second for retired indexes that it can free.
const FREED_WITHIN: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(20);

/// Inputs of publishing besides the publications.
pub(super) struct Swapper<'a> {
    pub(super) index: &'a IndexFolder,
    pub(super) control: ControlSocket,
    pub(super) server: &'a Server,
    pub(super) generations: &'a Generations,
    /// Set when the load is over.
    pub(super) over: AtomicBool,
}

/// Times of one swap.
#[derive(Debug, Clone)]
pub(super) struct Swap {
    pub(super) kind: Kind,
    pub(super) published: Instant,
    pub(super) live: Instant,
    /// Start and end of freeing the old index; for a level swap the time when it became live,
    /// because its level is small.
    pub(super) freeing: Instant,
    pub(super) freed: Instant,
    /// CPU time of the loader's thread.
    pub(super) loader: Duration,
    /// Time in which the serving thread was runnable without a core.
    pub(super) waited: Duration,
}

impl Swapper<'_> {
    /// Publishes the first swap after `first_in`, then one per `every`.
    pub(super) fn run(
        &self,
        publications: &[Publication],
        first_in: Duration,
        every: Duration,
    ) -> anyhow::Result<Vec<Swap>> {
        let begin = Instant::now() + first_in;
        let mut swaps = Vec::new();
        for (publication, number) in publications.iter().zip(0..) {
            if !self.sleep_until(begin + every * number) {
                break;
            }
            swaps.push(self.swap(publication)?);
        }
        Ok(swaps)
    }

    fn swap(&self, publication: &Publication) -> anyhow::Result<Swap> {
        let Publication { kind, manifest } = publication;
        let family = &self.server.family;
        let (cpu, wait) = (family.cpu_time()?, family.core_wait()?);
        self.generations.announce(manifest.generation);
        let published = Instant::now();
        self.index.publish(manifest)?;
        self.control.reload()?;
        let live = Instant::now();
        self.generations.confirm(manifest.generation);
        let (freeing, freed) = match kind {
            Kind::Base => self.wait_until_freed()?,
            Kind::Level => (live, live),
        };
        let loader = family.cpu_time()?.since(&cpu).of_threads("loader");
        let waited = family.core_wait()?.since(&wait).of_threads("serve-");
        Ok(Swap { kind: *kind, published, live, freeing, freed, loader, waited })
    }

    /// Times of the last query with a retired index, and of the first without.
    fn wait_until_freed(&self) -> anyhow::Result<(Instant, Instant)> {
        let deadline = Instant::now() + FREED_WITHIN;
        let mut seen = Instant::now();
        while self.control.metric("coupond_index_retired")? > 0 {
            ensure!(
                seen < deadline,
                "coupond holds on to a retired index for more than {FREED_WITHIN:?}"
            );
            seen = Instant::now();
            std::thread::sleep(LOOK_EVERY);
        }
        Ok((seen, Instant::now()))
    }

    /// False if the load ends earlier.
    fn sleep_until(&self, when: Instant) -> bool {
        while !self.over.load(Ordering::Relaxed) {
            match when.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return true,
                left => std::thread::sleep(left.min(STEP)),
            }
        }
        false
    }
}
