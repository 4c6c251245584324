//! The last use of each API key, kept in memory and written once a minute, so that a request costs
//! no write. A crash loses the uses of its last minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::api_keys::{self, KeyUse};
use crate::store::{Store, StoreError};
use crate::worker::{self, RetryDelays, Worker};

const FLUSH_INTERVAL: Duration = Duration::from_secs(60);

/// Uses that are not written yet, at most one for each key; clones share them.
#[derive(Debug, Clone, Default)]
pub struct KeyUses(Arc<Mutex<HashMap<u32, KeyUse>>>);

impl KeyUses {
    /// Notes a request with a key, by the client at this address.
    pub fn note(&self, key_id: u32, address: IpAddr) {
        let time = jiff::Timestamp::now().as_second();
        self.unwritten().insert(key_id, KeyUse { time, address: address.to_string() });
    }

    /// Writes the uses. After a failure they are tried again, unless newer ones came.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let uses = std::mem::take(&mut *self.unwritten());
        if uses.is_empty() {
            return Ok(());
        }
        let written = uses.clone();
        let result = store.write(move |tx| api_keys::record_uses(tx, &written)).await;
        if result.is_err() {
            let mut unwritten = self.unwritten();
            for (key, last) in uses {
                unwritten.entry(key).or_insert(last);
            }
        }
        result
    }

    /// Writes the uses once a minute until `stop`.
    pub fn flush_regularly(&self, store: Store, stop: CancellationToken) {
        worker::spawn(Flusher { uses: self.clone(), store }, stop);
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<u32, KeyUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Flusher {
    uses: KeyUses,
    store: Store,
}

impl Worker for Flusher {
    const NAME: &'static str = "uses of API keys";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(FLUSH_INTERVAL);
    type Error = StoreError;

    async fn step(&mut self) -> Result<(), StoreError> {
        self.uses.flush(&self.store).await
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(FLUSH_INTERVAL).await;
    }
}
