//! The storage of a Sync 1.5 server on SQLite.
//!
//! [`SqliteDb`] carries out each operation of [`Db`] as one read of a snapshot, or as one write on the engine's
//! writer thread. The modules follow the protocol: `read`, `list` and `select` for what is asked, `write`, `delete` and
//! `batch` for what is changed, `purge` for what nobody misses, `archive` for the storage as a whole, and `others` for the
//! tables of the old server in Python, which are only read.

mod archive;
mod batch;
mod delete;
mod list;
mod others;
mod purge;
mod read;
mod select;
mod transaction;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use sqlite_engine::SqliteEngine;
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbOptions, DbResult,
    Deletion, Fault, PoolStatus, Precondition, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink, Stamped,
    SyncTimestamp, UserId, Written,
};

pub use crate::archive::{SqliteArchive, SqliteSource};
pub use crate::others::OthersSource;
use crate::transaction::{Failure, Transaction};

/// The name of this component in the database.
pub const COMPONENT: &str = "storage";

/// The tables of this component, for [`SqliteEngine::open`].
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// How long a write waits for a store that is ahead of the clock.
const AHEAD_WAIT_LIMIT: Duration = Duration::from_secs(3);

/// The storage in one SQLite file.
pub struct SqliteDb {
    engine: Arc<SqliteEngine>,
    options: Arc<DbOptions>,
}

impl SqliteDb {
    /// Of an engine that was opened with [`MIGRATIONS`].
    #[must_use]
    pub fn new(engine: Arc<SqliteEngine>, options: DbOptions) -> Self {
        Self { engine, options: Arc::new(options) }
    }

    /// Runs `work` as one write of `user`, again and again while the user's store is too far ahead of the clock.
    async fn write<T, F>(&self, user: UserId, work: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: Fn(&mut Transaction<'_>) -> Result<T, Failure> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let started = Instant::now();
        loop {
            let (work, options) = (Arc::clone(&work), Arc::clone(&self.options));
            let result = self.engine.write(move |conn| work(&mut Transaction::new(conn, user, &options))).await;
            match result {
                Ok(value) => return Ok(value),
                Err(Failure::Db(error)) => return Err(error),
                Err(Failure::Ahead { wait }) if started.elapsed() + wait < AHEAD_WAIT_LIMIT => {
                    tokio::time::sleep(wait).await;
                }
                Err(Failure::Ahead { .. }) => {
                    return Err(Fault::unavailable("one user writes faster than 100 times a second").into());
                }
            }
        }
    }
}

#[async_trait]
impl Db for SqliteDb {
    async fn info_collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
        read::collections(&mut *self.engine.reader().await?, user, condition)
    }

    async fn info_collection_counts(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let now_ms = self.options.clock.now_ms();
        read::usage(&mut *self.engine.reader().await?, user, condition, now_ms, |usage| usage.records)
    }

    async fn info_collection_usage(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let now_ms = self.options.clock.now_ms();
        read::usage(&mut *self.engine.reader().await?, user, condition, now_ms, |usage| usage.bytes)
    }

    async fn info_quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>> {
        read::quota(&mut *self.engine.reader().await?, user, condition, self.options.clock.now_ms())
    }

    async fn get_bsos(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<Bso>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        self.list(list::Columns::All, at, query, condition, &mut |bso| sink.push(bso)).await
    }

    async fn get_bso_ids(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<BsoId>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        self.list(list::Columns::NoPayload, at, query, condition, &mut |bso| sink.push(bso.id)).await
    }

    async fn get_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Bso> {
        read::bso(&mut *self.engine.reader().await?, at, condition, self.options.clock.now_ms())
    }

    async fn put_bso(&self, at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written> {
        let collection = at.collection.clone();
        self.write(at.user, move |tx| write::put(tx, &collection, &change, condition)).await
    }

    async fn post_bsos(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let collection = at.collection.clone();
        self.write(at.user, move |tx| write::post(tx, &collection, &changes, condition)).await
    }

    async fn delete_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Written> {
        let (collection, id) = (at.collection.clone(), at.id.clone());
        self.write(at.user, move |tx| delete::bso(tx, &collection, &id, condition)).await
    }

    async fn delete_bsos(&self, at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion> {
        let (collection, ids) = (at.collection.clone(), ids.to_vec());
        self.write(at.user, move |tx| delete::bsos(tx, &collection, &ids, condition)).await
    }

    async fn delete_collection(&self, at: &CollectionRef, condition: Precondition) -> DbResult<Deletion> {
        let collection = at.collection.clone();
        self.write(at.user, move |tx| delete::collection(tx, &collection, condition)).await
    }

    async fn delete_store(&self, user: UserId, condition: Precondition) -> DbResult<Written> {
        self.write(user, move |tx| delete::store(tx, condition)).await
    }

    async fn create_batch(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<BatchId>> {
        let collection = at.collection.clone();
        self.write(at.user, move |tx| batch::create(tx, &collection, &changes, condition)).await
    }

    async fn append_to_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<()>> {
        let (collection, batch) = (at.collection.clone(), batch.clone());
        self.write(at.user, move |tx| batch::append(tx, &collection, &batch, &changes, condition)).await
    }

    async fn commit_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let (collection, batch) = (at.collection.clone(), batch.clone());
        self.write(at.user, move |tx| batch::commit(tx, &collection, &batch, &changes, condition)).await
    }

    async fn purge(&self, budget: PurgeBudget) -> DbResult<Purged> {
        purge::purge(&self.engine, self.options.clock.now_ms(), budget).await.map_err(Into::into)
    }

    async fn check(&self) -> DbResult<()> {
        Ok(self.engine.check().await?)
    }

    fn pool_status(&self) -> PoolStatus {
        self.engine.status()
    }

    async fn claim_secret(&self, secret: &SecretFingerprint, previous: &[SecretFingerprint]) -> DbResult<SecretClaim> {
        Ok(self.engine.claim_secret(secret, previous).await?)
    }
}
