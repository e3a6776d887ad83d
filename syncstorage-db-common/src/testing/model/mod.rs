//! The model: a storage over plain maps.

mod batches;
mod select;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use self::batches::Batches;
use self::select::select;
use self::store::Store;
use crate::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbError, DbOptions,
    DbResult, Deletion, Fault, PoolStatus, Precondition, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink,
    Stamped, SyncTimestamp, UserId, WriteTime, Written, next_write_time,
};

/// A storage in memory, so plain that it can be seen to be right: the oracle of the tests, and a fake for others.
///
/// It is written from the protocol alone, and shares no code with any backend but the rules of this crate. Every
/// operation takes one lock, works on a copy of the user's store, and puts the copy in place when all went well.
///
/// What it decides where the protocol leaves room:
/// - Refusals come in this order: record not found (whatever the condition), precondition, batch not found, batch too
///   large, no time to write at, over quota.
/// - With an enforced quota, a write is refused if the unexpired bytes of payload after it are more than the limit
///   and more than before it. So a user who is over already may delete, shrink and replace like by like.
/// - A batch is stale when it is older than its lifetime; at exactly that age it is still open.
/// - A deletion of a collection drops the open batches for it even where the collection itself is not there yet.
/// - A write that would have to wait for the clock is unavailable at once.
#[derive(Debug)]
pub struct ModelDb {
    options: DbOptions,
    world: Arc<Mutex<World>>,
}

/// All that is stored.
#[derive(Debug, Default)]
struct World {
    stores: BTreeMap<UserId, Store>,
    batches: Batches,
    secret: Option<SecretFingerprint>,
}

impl World {
    /// A copy of what the user has; nothing, for a user who never wrote.
    fn store(&self, user: UserId) -> Store {
        self.stores.get(&user).cloned().unwrap_or_default()
    }
}

impl ModelDb {
    /// An empty storage.
    #[must_use]
    pub fn new(options: DbOptions) -> Self {
        Self { options, world: Arc::default() }
    }

    /// The same storage, as another server with other options has it.
    #[must_use]
    pub fn beside(&self, options: DbOptions) -> Self {
        Self { options, world: Arc::clone(&self.world) }
    }

    /// The first moment after `now_ms` at which a record expires, so that a test can go there.
    pub(super) fn next_expiry(&self, now_ms: i64) -> Option<i64> {
        self.world().stores.values().filter_map(|store| store.next_expiry(now_ms)).min()
    }

    /// The last-modified times of a user's store and of all that is in it, so that a test can ask for times close by.
    pub(super) fn times(&self, user: UserId) -> Vec<SyncTimestamp> {
        self.world().store(user).times()
    }

    /// How long a write of `user` would have to wait for the clock, in ms.
    pub(super) fn wait_ms(&self, user: UserId) -> i64 {
        match next_write_time(self.now_ms(), self.world().store(user).last_modified) {
            WriteTime::At(_) => 0,
            WriteTime::WaitMs(ms) => ms,
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no operation of the model panics")
    }

    fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// The user's store as it is now, if the condition holds for it.
    fn read(&self, user: UserId, condition: Precondition) -> DbResult<Store> {
        let store = self.world().store(user);
        condition.check(store.last_modified)?;
        Ok(store)
    }

    /// The time of the next write to the store.
    fn write_time(&self, store: &Store) -> DbResult<SyncTimestamp> {
        match next_write_time(self.now_ms(), store.last_modified) {
            WriteTime::At(time) => Ok(time),
            WriteTime::WaitMs(ms) => Err(Fault::unavailable(format!("the clock is {ms} ms behind")).into()),
        }
    }

    /// Ends a write at `time`: puts the changed store in place of the user's old one, unless the quota is against it.
    fn finish(&self, world: &mut World, user: UserId, mut store: Store, time: SyncTimestamp) -> DbResult<Written> {
        let now_ms = self.now_ms();
        let before = world.store(user).bytes(now_ms);
        let after = store.bytes(now_ms);
        if self.options.quota.is_some_and(|quota| quota.enforce && after > quota.limit && after > before) {
            return Err(DbError::OverQuota);
        }
        store.last_modified = time;
        world.stores.insert(user, store);
        let quota_left = self.options.quota.map(|quota| quota.limit.saturating_sub(after));
        Ok(Written { modified: time, quota_left })
    }

    fn page(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
    ) -> DbResult<(SyncTimestamp, Vec<Bso>, Option<Cursor>)> {
        let store = self.world().store(at.user);
        let last_modified = store.collection_time(&at.collection);
        condition.check(last_modified)?;
        let (bsos, next) = select(store.visible(&at.collection, self.now_ms()), query);
        Ok((last_modified, bsos, next))
    }
}

#[async_trait]
impl Db for ModelDb {
    async fn info_collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
        let store = self.read(user, condition)?;
        Ok(Stamped { last_modified: store.last_modified, value: store.collection_times() })
    }

    async fn info_collection_counts(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let store = self.read(user, condition)?;
        Ok(Stamped { last_modified: store.last_modified, value: store.counts(self.now_ms()) })
    }

    async fn info_collection_usage(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let store = self.read(user, condition)?;
        Ok(Stamped { last_modified: store.last_modified, value: store.usage(self.now_ms()) })
    }

    async fn info_quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>> {
        let store = self.read(user, condition)?;
        Ok(Stamped { last_modified: store.last_modified, value: store.bytes(self.now_ms()) })
    }

    async fn get_bsos(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<Bso>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        let (last_modified, bsos, next) = self.page(at, query, condition)?;
        for bso in bsos {
            sink.push(bso).map_err(DbError::Output)?;
        }
        Ok(Stamped { last_modified, value: next })
    }

    async fn get_bso_ids(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<BsoId>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        let (last_modified, bsos, next) = self.page(at, query, condition)?;
        for bso in bsos {
            sink.push(bso.id).map_err(DbError::Output)?;
        }
        Ok(Stamped { last_modified, value: next })
    }

    async fn get_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Bso> {
        let store = self.world().store(at.user);
        let bso = store.bso(&at.collection, &at.id, self.now_ms()).ok_or(DbError::NotFound)?;
        condition.check(bso.modified)?;
        Ok(bso)
    }

    async fn put_bso(&self, at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written> {
        let mut world = self.world();
        let mut store = world.store(at.user);
        let now_ms = self.now_ms();
        condition.check(store.bso_time(&at.collection, &change.id, now_ms))?;
        let time = self.write_time(&store)?;
        let moves = change.moves_modified();
        store.write(&at.collection, &change, time, now_ms, moves);
        store.touch(&at.collection, time);
        self.finish(&mut world, at.user, store, time)
    }

    async fn post_bsos(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let mut world = self.world();
        let mut store = world.store(at.user);
        condition.check(store.collection_time(&at.collection))?;
        let time = self.write_time(&store)?;
        for change in &changes {
            store.write(&at.collection, change, time, self.now_ms(), change.moves_modified());
        }
        store.touch(&at.collection, time);
        self.finish(&mut world, at.user, store, time)
    }

    async fn delete_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Written> {
        let mut world = self.world();
        let mut store = world.store(at.user);
        let bso = store.bso(&at.collection, &at.id, self.now_ms()).ok_or(DbError::NotFound)?;
        condition.check(bso.modified)?;
        let time = self.write_time(&store)?;
        store.remove(&at.collection, &at.id);
        store.touch(&at.collection, time);
        self.finish(&mut world, at.user, store, time)
    }

    async fn delete_bsos(&self, at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion> {
        let mut world = self.world();
        let mut store = world.store(at.user);
        condition.check(store.collection_time(&at.collection))?;
        if !store.has(&at.collection) {
            return Ok(Deletion::NoCollection(store.last_modified));
        }
        let time = self.write_time(&store)?;
        for id in ids {
            store.remove(&at.collection, id);
        }
        store.touch(&at.collection, time);
        self.finish(&mut world, at.user, store, time).map(Deletion::Done)
    }

    async fn delete_collection(&self, at: &CollectionRef, condition: Precondition) -> DbResult<Deletion> {
        let mut world = self.world();
        let mut store = world.store(at.user);
        condition.check(store.collection_time(&at.collection))?;
        if !store.has(&at.collection) {
            world.batches.drop_collection(at);
            return Ok(Deletion::NoCollection(store.last_modified));
        }
        let time = self.write_time(&store)?;
        store.remove_collection(&at.collection);
        world.batches.drop_collection(at);
        self.finish(&mut world, at.user, store, time).map(Deletion::Done)
    }

    async fn delete_store(&self, user: UserId, condition: Precondition) -> DbResult<Written> {
        let mut world = self.world();
        let store = world.store(user);
        condition.check(store.last_modified)?;
        let time = self.write_time(&store)?;
        world.batches.drop_user(user);
        self.finish(&mut world, user, Store::default(), time)
    }

    async fn create_batch(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<BatchId>> {
        let mut world = self.world();
        let last_modified = world.store(at.user).collection_time(&at.collection);
        condition.check(last_modified)?;
        let held = batches::merge(Vec::new(), changes, self.options.batch)?;
        let id = world.batches.open(at, held, self.now_ms());
        Ok(Stamped { last_modified, value: id })
    }

    async fn append_to_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<()>> {
        let mut world = self.world();
        let last_modified = world.store(at.user).collection_time(&at.collection);
        condition.check(last_modified)?;
        let held = world.batches.held(at, batch, self.now_ms())?;
        let held = batches::merge(held, changes, self.options.batch)?;
        world.batches.hold(batch, held);
        Ok(Stamped { last_modified, value: () })
    }

    async fn commit_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let mut world = self.world();
        let mut store = world.store(at.user);
        condition.check(store.collection_time(&at.collection))?;
        let held = world.batches.held(at, batch, self.now_ms())?;
        let held = batches::merge(held, changes, self.options.batch)?;
        let time = self.write_time(&store)?;
        for change in &held {
            store.write(&at.collection, change, time, self.now_ms(), true);
        }
        store.touch(&at.collection, time);
        let written = self.finish(&mut world, at.user, store, time)?;
        world.batches.close(batch);
        Ok(written)
    }

    async fn purge(&self, budget: PurgeBudget) -> DbResult<Purged> {
        let mut world = self.world();
        let now_ms = self.now_ms();
        let mut left = u64::from(budget.rows);
        let bsos = world.stores.values_mut().map(|store| store.purge(now_ms, &mut left)).sum();
        let batches = world.batches.purge(now_ms, &mut left);
        let more = world.stores.values().any(|store| store.has_expired(now_ms)) || world.batches.any_stale(now_ms);
        Ok(Purged { bsos, batches, more })
    }

    async fn check(&self) -> DbResult<()> {
        Ok(())
    }

    fn pool_status(&self) -> PoolStatus {
        PoolStatus::default()
    }

    async fn claim_secret(&self, secret: &SecretFingerprint, previous: &[SecretFingerprint]) -> DbResult<SecretClaim> {
        let kept = &mut self.world().secret;
        let claim = match kept {
            None => SecretClaim::Claimed,
            Some(kept) if kept == secret => SecretClaim::Same,
            Some(kept) if previous.contains(kept) => SecretClaim::Rotated,
            Some(_) => return Ok(SecretClaim::Other),
        };
        *kept = Some(secret.clone());
        Ok(claim)
    }
}
