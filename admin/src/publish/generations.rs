//! Generations of publications: each is used once, and publication rarely waits for the store.
//!
//! A few generations are reserved durably in the store before the first of them is used. So
//! publication continues while another writer, such as a large import, holds the write lock. The
//! published generation is noted in the store afterwards, in the background. Three numbers follow
//! each other:
//!
//! | `meta.generation` | `CURRENT` | `meta.generation_reserved` |
//! |---|---|---|
//! | noted as published | published | may be used by this process |
//!
//! A starting process skips all reserved generations, used or not. Publication does not build on an
//! index whose generation was not noted: the store may since have been replaced by its backup, in
//! which the same generations were reserved.

use std::ops::RangeInclusive;

use tokio::task::JoinHandle;

use crate::store::{Store, StoreError, publication};

pub(super) struct Generations {
    store: Store,
    /// The last generation used, and the last reserved.
    given: u64,
    reserved: u64,
    /// The last generation published, and the last noted or being noted.
    published: u64,
    noted: u64,
    /// Write to the store in progress. Returns the reserved generations.
    writing: Option<JoinHandle<Result<RangeInclusive<u64>, StoreError>>>,
}

impl Generations {
    pub(super) fn new(store: Store) -> Generations {
        Generations { store, given: 0, reserved: 0, published: 0, noted: 0, writing: None }
    }

    /// Returns an unused generation above `floor`.
    ///
    /// # Errors
    /// When none is reserved and the store cannot be written.
    pub(super) async fn next(&mut self, floor: u64) -> Result<u64, StoreError> {
        self.take_finished().await;
        let floor = floor.max(self.given);
        if floor >= self.reserved {
            let write = self.store.write(move |tx| publication::reserve_generations(tx, floor));
            self.take(&write.await?);
        } else {
            self.given = floor;
        }
        self.given += 1;
        Ok(self.given)
    }

    /// Notes in the background that the last generation is published.
    pub(super) async fn published(&mut self) {
        self.published = self.given;
        self.prepare().await;
    }

    /// Starts to note the published generation or to reserve more, if due and no write is in
    /// progress.
    pub(super) async fn prepare(&mut self) {
        self.take_finished().await;
        let (floor, published) = (self.given, self.published);
        let is_noted = self.noted == published;
        if self.writing.is_some() || (is_noted && self.given < self.reserved) {
            return;
        }
        self.noted = published;
        let store = self.store.clone();
        self.writing = Some(tokio::spawn(async move {
            let write = store.write(move |tx| match is_noted {
                true => publication::reserve_generations(tx, floor),
                false => publication::note_generation(tx, published),
            });
            write.await
        }));
    }

    /// Takes the result of a finished write.
    async fn take_finished(&mut self) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.wait().await;
        }
    }

    /// Waits for the write in progress. A failed note is repeated with the next one.
    async fn wait(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        match writing.await.unwrap_or(Err(StoreError::Aborted)) {
            Ok(reserved) => self.take(&reserved),
            Err(error) => {
                tracing::debug!(%error, "generation not noted in the store");
                self.noted = 0;
            }
        }
    }

    fn take(&mut self, reserved: &RangeInclusive<u64>) {
        self.given = self.given.max(reserved.start() - 1);
        self.reserved = self.reserved.max(*reserved.end());
    }

    /// Waits until the published generation is noted.
    #[cfg(test)]
    pub(super) async fn wait_until_noted(&mut self) {
        while self.writing.is_some() || self.noted < self.published {
            self.wait().await;
            self.prepare().await;
        }
    }
}
