//! The generation that a publication carries: none is given twice, and none is waited for.
//!
//! A few are reserved durably in the store before the first of them is used, so that publication
//! goes on while somebody else, such as a large import, keeps the store from being written. What is
//! published is noted in the store afterwards, beside the way. Three numbers follow each other:
//!
//! | `meta.generation` | `CURRENT` | `meta.generation_reserved` |
//! |---|---|---|
//! | noted as published | published | may be used by this process |
//!
//! A process that starts uses none up to the last reserved, whatever became of them. An index
//! whose generation was not noted is not gone on from: it may be of a store that was since replaced
//! by its backup, in which the same ones were reserved.

use std::ops::RangeInclusive;

use tokio::task::JoinHandle;

use crate::store::{Store, StoreError, publication};

pub(super) struct Generations {
    store: Store,
    /// The last one given, and the last that may be.
    given: u64,
    reserved: u64,
    /// The last one published, and the last one noted or being noted.
    published: u64,
    noted: u64,
    /// What the store is told beside the way. Answers what it reserved.
    telling: Option<JoinHandle<Result<RangeInclusive<u64>, StoreError>>>,
}

impl Generations {
    pub(super) fn new(store: Store) -> Generations {
        Generations { store, given: 0, reserved: 0, published: 0, noted: 0, telling: None }
    }

    /// One that no publication had before, above `floor`.
    ///
    /// # Errors
    /// When none is left and the store cannot be written.
    pub(super) async fn next(&mut self, floor: u64) -> Result<u64, StoreError> {
        self.hear().await;
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

    /// Has it noted that the last one given is published.
    pub(super) async fn published(&mut self) {
        self.published = self.given;
        self.prepare().await;
    }

    /// Has what is published noted and the next ones reserved, where the store is not told yet and
    /// is not busy with what it was told before.
    pub(super) async fn prepare(&mut self) {
        self.hear().await;
        let (floor, published) = (self.given, self.published);
        let is_noted = self.noted == published;
        if self.telling.is_some() || (is_noted && self.given < self.reserved) {
            return;
        }
        self.noted = published;
        let store = self.store.clone();
        self.telling = Some(tokio::spawn(async move {
            let write = store.write(move |tx| match is_noted {
                true => publication::reserve_generations(tx, floor),
                false => publication::note_generation(tx, published),
            });
            write.await
        }));
    }

    /// Takes what the store answered, if it did.
    async fn hear(&mut self) {
        if self.telling.as_ref().is_some_and(JoinHandle::is_finished) {
            self.wait().await;
        }
    }

    /// Waits for the store's answer. What it could not note is noted with the next one.
    async fn wait(&mut self) {
        let Some(telling) = self.telling.take() else { return };
        match telling.await.unwrap_or(Err(StoreError::BrokenOff)) {
            Ok(reserved) => self.take(&reserved),
            Err(error) => {
                tracing::debug!(%error, "the store is not told of generations");
                self.noted = 0;
            }
        }
    }

    fn take(&mut self, reserved: &RangeInclusive<u64>) {
        self.given = self.given.max(reserved.start() - 1);
        self.reserved = self.reserved.max(*reserved.end());
    }

    /// Waits until all is noted.
    #[cfg(test)]
    pub(super) async fn settle(&mut self) {
        while self.telling.is_some() || self.noted < self.published {
            self.wait().await;
            self.prepare().await;
        }
    }
}
