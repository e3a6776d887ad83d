//! The storage of a Sync 1.5 server on Postgres, in the tables that other servers of the protocol have there.
//!
//! Each operation of [`Db`] is one question to the database:
//!
//! - A read is one statement, and so sees one state. A list is a walk along an index, whose rows are handed on as they
//!   come in.
//! - A write is one call of a function in PL/pgSQL, which the migrations make: it takes a lock on the user, finds the
//!   time T, checks what is to be checked, and writes, in a transaction that is the statement itself.
//!
//! The modules follow the protocol: `read` and `list` for what is asked, `write` and `delete` for what is changed
//! (`call` is what these have in common), `purge` for what nobody misses. `names` knows the numbers of collections'
//! names, `time` how times are stored. `archive` is about the storage as a whole.

mod archive;
mod call;
mod delete;
mod list;
mod names;
#[cfg(test)]
mod plans;
mod purge;
mod read;
mod time;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use network_engine::PostgresEngine;
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbOptions, DbResult,
    Deletion, Fault, PoolStatus, Precondition, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink, Stamped,
    SyncTimestamp, UserId, Written,
};

pub use crate::archive::PostgresArchive;
use crate::call::{Call, Done, Reply, Target};
use crate::delete::{DeleteAll, DeleteOne, DeleteSome};
use crate::list::Columns;
use crate::names::Names;
use crate::purge::Sweep;
use crate::read::Figure;
use crate::write::{Post, Put, Stage, known_form};

/// The name of this component in the database.
pub const COMPONENT: &str = "storage";

/// The tables and functions of this component, for [`Engine::open`](network_engine::Engine::open).
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The storage in one Postgres database.
pub struct PostgresDb {
    engine: Arc<PostgresEngine>,
    options: Arc<DbOptions>,
    names: Names,
    sweep: Sweep,
}

impl PostgresDb {
    /// Of an engine that was opened with [`COMPONENT`] and [`MIGRATIONS`]. Does not ask the database yet.
    #[must_use]
    pub fn new(engine: Arc<PostgresEngine>, options: DbOptions) -> Self {
        Self { engine, options: Arc::new(options), names: Names::default(), sweep: Sweep::default() }
    }

    fn target(&self, at: &CollectionRef, condition: Precondition) -> Target {
        Target {
            user: at.user,
            number: self.names.number(&at.collection),
            collection: Some(at.collection.clone()),
            condition,
            quota: self.options.quota,
        }
    }

    /// A call that does not end with "no such collection".
    async fn done(&self, call: impl Call) -> DbResult<Done> {
        match self.call(call).await? {
            Reply::Done(done) => Ok(done),
            Reply::NoCollection(_) => {
                Err(Fault::internal("a function misses a collection that it does not need").into())
            }
        }
    }

    async fn deletion(&self, call: impl Call) -> DbResult<Deletion> {
        Ok(match self.call(call).await? {
            Reply::Done(done) => Deletion::Done(done.written()),
            Reply::NoCollection(store_modified) => Deletion::NoCollection(store_modified),
        })
    }
}

#[async_trait]
impl Db for PostgresDb {
    async fn info_collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
        self.collections(user, condition).await
    }

    async fn info_collection_counts(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        self.figures(Figure::Records, user, condition).await
    }

    async fn info_collection_usage(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        self.figures(Figure::Bytes, user, condition).await
    }

    async fn info_quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>> {
        self.quota(user, condition).await
    }

    async fn get_bsos(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<Bso>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        self.list(Columns::All, at, query, condition, &mut |bso| sink.push(bso)).await
    }

    async fn get_bso_ids(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<BsoId>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        self.list(Columns::NoPayload, at, query, condition, &mut |bso| sink.push(bso.id)).await
    }

    async fn get_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Bso> {
        self.bso(at, condition).await
    }

    async fn put_bso(&self, at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written> {
        let target = self.target(at, condition);
        Ok(self.done(Put { target, change }).await?.written())
    }

    async fn post_bsos(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let target = self.target(at, condition);
        Ok(self.done(Post { target, changes, batch: None, limits: self.options.batch }).await?.written())
    }

    async fn delete_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Written> {
        let collection = CollectionRef { user: at.user, collection: at.collection.clone() };
        let target = self.target(&collection, condition);
        Ok(self.done(DeleteOne { target, id: at.id.clone() }).await?.written())
    }

    async fn delete_bsos(&self, at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion> {
        self.deletion(DeleteSome { target: self.target(at, condition), ids: ids.to_vec() }).await
    }

    async fn delete_collection(&self, at: &CollectionRef, condition: Precondition) -> DbResult<Deletion> {
        self.deletion(DeleteAll { target: self.target(at, condition) }).await
    }

    async fn delete_store(&self, user: UserId, condition: Precondition) -> DbResult<Written> {
        let target = Target { user, collection: None, number: None, condition, quota: self.options.quota };
        Ok(self.done(DeleteAll { target }).await?.written())
    }

    async fn create_batch(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<BatchId>> {
        let target = self.target(at, condition);
        let done = self.done(Stage { target, changes, batch: None, limits: self.options.batch }).await?;
        let id = done.batch.ok_or_else(|| Fault::internal("a new batch got no id"))?;
        Ok(Stamped { last_modified: done.stamp, value: BatchId(id) })
    }

    async fn append_to_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<()>> {
        let batch = known_form(batch);
        let target = self.target(at, condition);
        let done = self.done(Stage { target, changes, batch: Some(batch), limits: self.options.batch }).await?;
        Ok(Stamped { last_modified: done.stamp, value: () })
    }

    async fn commit_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        let batch = known_form(batch);
        let target = self.target(at, condition);
        Ok(self.done(Post { target, changes, batch: Some(batch), limits: self.options.batch }).await?.written())
    }

    async fn purge(&self, budget: PurgeBudget) -> DbResult<Purged> {
        Ok(self.purge_some(budget).await?)
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
