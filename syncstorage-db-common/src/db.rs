//! The trait that every storage backend implements.

use std::io;

use async_trait::async_trait;

use crate::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, DbResult, Precondition,
    SyncTimestamp, UserId,
};

/// The storage of all users.
///
/// Each method is one operation of the protocol, whole and atomic: when it fails, nothing of it has happened.
/// What a backend owes its callers:
///
/// - A read sees one committed state of the user's store: the records and the last-modified time that come back
///   belong together.
/// - Writes of one user happen one after the other, whatever process they come through. Each takes its time T inside
///   its own transaction by [`next_write_time`](crate::next_write_time) from the store's last-modified time, so that
///   T is greater than any last-modified time which that store ever had. Where the rule says to wait, the backend
///   waits for a while, and is [unavailable](crate::Fault::Unavailable) after that.
/// - A precondition is checked in the same transaction as what it guards, against the last-modified time of the
///   record, the collection or the store (zero where there is none).
/// - Where several refusals apply, the first of these counts: no such record, the precondition, no such batch, the batch
///   too large, no time to write at, over quota.
/// - An expired record is absent everywhere.
/// - A write is over quota when the quota is enforced, the user's unexpired bytes would be more than its limit after it,
///   and more than before it: who is over it already may still delete and shrink. What is staged in a batch counts at its
///   commit.
/// - When a write returns, it survives a crash of the server.
#[async_trait]
pub trait Db: Send + Sync {
    /// The collections of a user with their last-modified times. Stamped by the store.
    async fn info_collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>>;

    /// The number of unexpired records in each collection that has any. Stamped by the store.
    async fn info_collection_counts(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>>;

    /// The bytes of payload of unexpired records in each collection that has any record. Stamped by the store.
    async fn info_collection_usage(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>>;

    /// The bytes of payload of all unexpired records of a user. Stamped by the store.
    async fn info_quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>>;

    /// Hands the records that `query` selects to `sink`, in order, however many there are, holding only a few at a
    /// time. Returns where the next page begins, if there is more than `query.limit`. Stamped by the collection;
    /// none there is as an empty one.
    ///
    /// Nothing has been handed over when the result is a refusal of the precondition.
    async fn get_bsos(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<Bso>,
    ) -> DbResult<Stamped<Option<Cursor>>>;

    /// As [`Self::get_bsos`], only the ids.
    async fn get_bso_ids(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<BsoId>,
    ) -> DbResult<Stamped<Option<Cursor>>>;

    /// One record, or [`DbError::NotFound`](crate::DbError::NotFound). The precondition is compared with the record;
    /// an absent one is not found, whatever the condition says of modification.
    async fn get_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Bso>;

    /// Writes one record, creating it and its collection where they are not there.
    /// The precondition is compared with the record. Refused when over quota.
    async fn put_bso(&self, at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written>;

    /// Writes records, all at one time T, creating the collection where it is not there, also for no records at all.
    /// No id stands in `changes` twice. The precondition is compared with the collection. Refused when over quota.
    async fn post_bsos(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written>;

    /// Deletes one record, or [`DbError::NotFound`](crate::DbError::NotFound). The collection gets T.
    async fn delete_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Written>;

    /// Deletes those of the records that are there. The collection stays and gets T, whether any was there or not.
    async fn delete_bsos(&self, at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion>;

    /// Deletes a collection with its records and open batches; the store's last-modified time becomes T. Batches of a
    /// collection that is not there yet are ended, too, which nobody can see.
    async fn delete_collection(&self, at: &CollectionRef, condition: Precondition) -> DbResult<Deletion>;

    /// Deletes all that a user has, open batches too; only the store's last-modified time remains, and becomes T.
    async fn delete_store(&self, user: UserId, condition: Precondition) -> DbResult<Written>;

    /// Opens a batch that holds `changes`. Stamped by the collection, which does not change, nor come to be.
    /// No id stands in `changes` twice. Refused when larger than a batch may be.
    async fn create_batch(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<BatchId>>;

    /// Adds to an open batch; a record that it holds already is changed field by field. Stamped by the collection,
    /// which does not change. [`DbError::BatchNotFound`](crate::DbError::BatchNotFound) where no batch of this user
    /// and collection has the id, or it is older than [`BATCH_LIFETIME_MS`](crate::BATCH_LIFETIME_MS). Refused, and the
    /// batch left as it was, when it would become larger than a batch may be.
    async fn append_to_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<()>>;

    /// Adds `changes` as [`Self::append_to_batch`] does, and writes all that the batch holds at one time T. The batch
    /// is gone after that. Every record in it gets `modified` T, whatever fields were written. Refused as an append
    /// and as a write is; the batch stays then.
    async fn commit_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written>;

    /// Removes expired records and stale batches of all users for good, a bounded number at a time: call again while
    /// [`Purged::more`] says so. Changes nothing that a client can see.
    async fn purge(&self, budget: PurgeBudget) -> DbResult<Purged>;

    /// Asks the database for real whether it answers.
    async fn check(&self) -> DbResult<()>;

    /// How busy the connections are; never asks the database.
    fn pool_status(&self) -> PoolStatus;

    /// Makes sure that this database belongs to the server's master secret. See [`SecretClaim`].
    async fn claim_secret(&self, secret: &SecretFingerprint, previous: &[SecretFingerprint]) -> DbResult<SecretClaim>;
}

/// Takes items one by one.
pub trait Sink<T>: Send {
    /// Takes the next one; an error ends the operation with [`DbError::Output`](crate::DbError::Output).
    fn push(&mut self, item: T) -> io::Result<()>;
}

impl<T: Send> Sink<T> for Vec<T> {
    fn push(&mut self, item: T) -> io::Result<()> {
        Self::push(self, item);
        Ok(())
    }
}

/// A value with the last-modified time of the resource it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    /// When the resource was last modified.
    pub last_modified: SyncTimestamp,
    /// What was read.
    pub value: T,
}

/// A write that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The time T of the write.
    pub modified: SyncTimestamp,
    /// Bytes left of the quota, 0 when it is passed; `None` without a quota.
    pub quota_left: Option<u64>,
}

/// How a deletion of records or of a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It was done.
    Done(Written),
    /// There is no such collection, and nothing was written; the store was last modified then.
    NoCollection(SyncTimestamp),
}

/// How much one call of [`Db::purge`] may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeBudget {
    /// At most so many records and batches together.
    pub rows: u32,
}

/// What one call of [`Db::purge`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Expired records removed.
    pub bsos: u64,
    /// Stale batches removed.
    pub batches: u64,
    /// Whether the budget ran out before the work did.
    pub more: bool,
}

/// The connections of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// In use.
    pub in_use: usize,
    /// Open and not in use.
    pub idle: usize,
    /// The most there may be.
    pub max: usize,
    /// Operations that wait for one.
    pub waiting: usize,
    /// Operations that were refused since the process began because none became free in time.
    pub refused: u64,
}

/// A one-way digest of the master secret, as text: safe to keep beside the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFingerprint(pub String);

impl SecretFingerprint {
    /// The name of the note in which a database keeps it.
    pub const NOTE: &'static str = "secret_fingerprint";
}

/// What [`Db::claim_secret`] found.
///
/// Tokens signed with one secret are worth nothing to a server with another one, and a secret that was lost or mixed
/// up shows only as clients that cannot sync. So the database keeps the fingerprint of its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretClaim {
    /// The database had no fingerprint yet and took this one.
    Claimed,
    /// The database has this one.
    Same,
    /// The database had one of the previous secrets and took this one: a rotation.
    Rotated,
    /// The database has another one, and keeps it.
    Other,
}
