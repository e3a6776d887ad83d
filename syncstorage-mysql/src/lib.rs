//! The storage of a Sync 1.5 server on MySQL or MariaDB.
//!
//! [`MysqlDb`] carries out each operation of [`Db`] in the tables of syncstorage-rs. The modules follow the protocol:
//! `read` and `list` for what is asked, `write`, `delete` and `batch` for what is changed, `purge` for what nobody misses,
//! and `archive` for the storage as a whole.
//!
//! - **A read is one statement**, so that it sees one state of the store and costs one round trip.
//! - **A write is one transaction of four round trips**: BEGIN with the lock of the user's store; a statement that loads
//!   all that is needed to decide; one that writes the records, however many; and the times of the collection together
//!   with COMMIT. The lock is an upsert of a row in a table of ours: it serialises the writes of one user and no others,
//!   and it holds for a user who has no row anywhere yet.
//! - **Locks are taken in one order**, the store's first and records by their primary key, in READ COMMITTED, where gaps
//!   are not locked: users do not meet each other, nor the purge.

mod archive;
mod batch;
mod delete;
mod find;
mod list;
mod names;
mod open_batch;
mod purge;
mod read;
mod rows;
mod transaction;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use network_engine::MysqlEngine;
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbOptions, DbResult,
    Deletion, Fault, PoolStatus, Precondition, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink, Stamped,
    SyncTimestamp, UserId, Written,
};

pub use crate::archive::MysqlArchive;
use crate::names::Names;
use crate::transaction::{Failure, Transaction};

/// The name of this component in the database.
pub const COMPONENT: &str = "storage";

/// The tables of this component, for [`Engine::open`](network_engine::Engine::open).
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// How long a write waits for a store that is ahead of the clock.
const AHEAD_WAIT_LIMIT: Duration = Duration::from_secs(3);

/// The storage in one MySQL or MariaDB database.
pub struct MysqlDb {
    engine: Arc<MysqlEngine>,
    options: Arc<DbOptions>,
    names: Arc<Names>,
}

impl MysqlDb {
    /// Of an engine that was opened with [`MIGRATIONS`].
    #[must_use]
    pub fn new(engine: Arc<MysqlEngine>, options: DbOptions) -> Self {
        Self { engine, options: Arc::new(options), names: Arc::default() }
    }

    /// Runs `work` as one write of `user`, again and again while the user's store is too far ahead of the clock.
    async fn write<T, F>(&self, user: UserId, work: F) -> DbResult<T>
    where
        T: Send,
        F: for<'c> Fn(Transaction<'c>) -> BoxFuture<'c, Result<T, Failure>> + Send + Sync,
    {
        let lock = transaction::lock(user.get());
        let started = Instant::now();
        loop {
            let result = self
                .engine
                .transaction(&lock, |conn| work(Transaction::new(conn, user, Arc::clone(&self.options))))
                .await;
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

    /// The number of a collection's name; that of no collection where nobody has used the name.
    async fn number(&self, collection: &CollectionName) -> DbResult<i64> {
        Ok(self.names.find(&self.engine, collection).await?.unwrap_or(names::NOBODYS))
    }

    /// The number of a collection's name, given one where it has none.
    async fn new_number(&self, collection: &CollectionName) -> DbResult<i64> {
        Ok(self.names.find_or_add(&self.engine, collection).await?)
    }
}

#[async_trait]
impl Db for MysqlDb {
    async fn info_collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
        read::collections(&self.engine, &self.names, user, condition).await
    }

    async fn info_collection_counts(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let now_ms = self.options.clock.now_ms();
        read::usage(&self.engine, user, condition, now_ms, |usage| usage.records).await
    }

    async fn info_collection_usage(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let now_ms = self.options.clock.now_ms();
        read::usage(&self.engine, user, condition, now_ms, |usage| usage.bytes).await
    }

    async fn info_quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>> {
        read::quota(&self.engine, user, condition, self.options.clock.now_ms()).await
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
        read::bso(&self.engine, &self.names, at, condition, self.options.clock.now_ms()).await
    }

    async fn put_bso(&self, at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written> {
        let collection = self.new_number(&at.collection).await?;
        let change = Arc::new(change);
        self.write(at.user, |tx| write::put(tx, collection, Arc::clone(&change), condition).boxed()).await
    }

    async fn post_bsos(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let collection = self.new_number(&at.collection).await?;
        let changes = rows::in_order(changes);
        self.write(at.user, |tx| write::post(tx, collection, Arc::clone(&changes), condition).boxed()).await
    }

    async fn delete_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Written> {
        let collection = self.number(&at.collection).await?;
        self.write(at.user, |tx| delete::bso(tx, collection, at.id.clone(), condition).boxed()).await
    }

    async fn delete_bsos(&self, at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion> {
        let collection = self.number(&at.collection).await?;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let ids: Arc<[BsoId]> = ids.into();
        self.write(at.user, |tx| delete::bsos(tx, collection, Arc::clone(&ids), condition).boxed()).await
    }

    async fn delete_collection(&self, at: &CollectionRef, condition: Precondition) -> DbResult<Deletion> {
        let collection = self.number(&at.collection).await?;
        self.write(at.user, |tx| delete::collection(tx, collection, condition).boxed()).await
    }

    async fn delete_store(&self, user: UserId, condition: Precondition) -> DbResult<Written> {
        self.write(user, |tx| delete::store(tx, condition).boxed()).await
    }

    async fn create_batch(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<BatchId>> {
        let collection = self.new_number(&at.collection).await?;
        let changes = rows::in_order(changes);
        self.write(at.user, |tx| batch::create(tx, collection, Arc::clone(&changes), condition).boxed()).await
    }

    async fn append_to_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<()>> {
        let collection = self.number(&at.collection).await?;
        let batch = open_batch::number(batch);
        let changes = rows::in_order(changes);
        self.write(at.user, |tx| batch::append(tx, collection, batch, Arc::clone(&changes), condition).boxed()).await
    }

    async fn commit_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let collection = self.number(&at.collection).await?;
        let batch = open_batch::number(batch);
        let changes = rows::in_order(changes);
        self.write(at.user, |tx| batch::commit(tx, collection, batch, Arc::clone(&changes), condition).boxed()).await
    }

    async fn purge(&self, budget: PurgeBudget) -> DbResult<Purged> {
        Ok(purge::purge(&self.engine, self.options.clock.now_ms(), budget).await?)
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
