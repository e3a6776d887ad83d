//! Open batches of the model.

use crate::{BATCH_LIFETIME_MS, BatchId, BatchLimits, BsoChange, CollectionRef, DbError, DbResult, UserId};

/// The batches that are open, stale ones among them until they are purged.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: Vec<Batch>,
    opened: u64,
}

#[derive(Debug)]
struct Batch {
    id: BatchId,
    at: CollectionRef,
    created_ms: i64,
    held: Vec<BsoChange>,
}

impl Batch {
    fn is_stale(&self, now_ms: i64) -> bool {
        now_ms - self.created_ms > BATCH_LIFETIME_MS
    }
}

impl Batches {
    pub(super) fn open(&mut self, at: &CollectionRef, held: Vec<BsoChange>, now_ms: i64) -> BatchId {
        self.opened += 1;
        let id = BatchId(format!("model-batch-{}", self.opened));
        self.open.push(Batch { id: id.clone(), at: at.clone(), created_ms: now_ms, held });
        id
    }

    /// What the batch holds.
    pub(super) fn held(&self, at: &CollectionRef, id: &BatchId, now_ms: i64) -> DbResult<Vec<BsoChange>> {
        self.open
            .iter()
            .find(|batch| batch.id == *id && batch.at == *at && !batch.is_stale(now_ms))
            .map(|batch| batch.held.clone())
            .ok_or(DbError::BatchNotFound)
    }

    /// Replaces what the batch holds.
    pub(super) fn hold(&mut self, id: &BatchId, held: Vec<BsoChange>) {
        if let Some(batch) = self.open.iter_mut().find(|batch| batch.id == *id) {
            batch.held = held;
        }
    }

    pub(super) fn close(&mut self, id: &BatchId) {
        self.open.retain(|batch| batch.id != *id);
    }

    pub(super) fn drop_collection(&mut self, at: &CollectionRef) {
        self.open.retain(|batch| batch.at != *at);
    }

    pub(super) fn drop_user(&mut self, user: UserId) {
        self.open.retain(|batch| batch.at.user != user);
    }

    /// Removes stale batches while `left` lasts, and says how many.
    pub(super) fn purge(&mut self, now_ms: i64, left: &mut u64) -> u64 {
        let before = *left;
        self.open.retain(|batch| {
            let goes = *left > 0 && batch.is_stale(now_ms);
            *left -= u64::from(goes);
            !goes
        });
        before - *left
    }

    pub(super) fn any_stale(&self, now_ms: i64) -> bool {
        self.open.iter().any(|batch| batch.is_stale(now_ms))
    }
}

/// What a batch holds after `changes` came on top of `held`, if it may hold so much.
pub(super) fn merge(
    mut held: Vec<BsoChange>,
    changes: Vec<BsoChange>,
    limits: BatchLimits,
) -> DbResult<Vec<BsoChange>> {
    for change in changes {
        match held.iter().position(|earlier| earlier.id == change.id) {
            Some(found) => held[found] = held[found].clone().then(change),
            None => held.push(change),
        }
    }
    let bytes: usize = held.iter().map(BsoChange::payload_bytes).sum();
    if held.len() as u64 > limits.records || bytes as u64 > limits.bytes {
        return Err(DbError::BatchTooLarge);
    }
    Ok(held)
}
