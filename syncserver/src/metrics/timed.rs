//! The databases, with a watch beside each operation.

use std::sync::Arc;

use async_trait::async_trait;
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbResult, Deletion,
    Fault, PoolStatus, Precondition, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink, Stamped, SyncTimestamp,
    UserId, Written,
};
use tokenserver_db_common::{NodeRow, ReplacedRow, SignIn, SignedIn, TokenDb, TokenError};

use super::operations::Operation;
use super::{Metrics, Part};

/// Wraps the methods of a trait, all alike: each gets a watch that has its name. `then` names a method of [`Metrics`] that
/// is shown the result, too.
macro_rules! timed {
    (
        $(#[$doc:meta])*
        $timed:ident: $trait:ident, $part:expr;
        $(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty $(, then $seen:ident)?;)*
    ) => {
        $(#[$doc])*
        pub struct $timed {
            inner: Arc<dyn $trait>,
            // Not all need it.
            _metrics: Arc<Metrics>,
            $($name: Operation,)*
        }

        impl $timed {
            /// Around a database.
            #[must_use]
            pub fn new(inner: Arc<dyn $trait>, metrics: &Arc<Metrics>) -> Self {
                Self {
                    inner,
                    _metrics: Arc::clone(metrics),
                    $($name: metrics.operation($part, stringify!($name)),)*
                }
            }
        }

        #[async_trait]
        impl $trait for $timed {
            $(async fn $name(&self, $($argument: $type),*) -> $result {
                let result = self.$name.time(self.inner.$name($($argument),*)).await;
                $(self._metrics.$seen(&result);)?
                result
            })*

            fn pool_status(&self) -> PoolStatus {
                self.inner.pool_status()
            }
        }
    };
}

timed! {
    /// A storage whose operations are timed.
    TimedDb: Db, Part::Storage;
    fn info_collections(user: UserId, condition: Precondition)
        -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>>;
    fn info_collection_counts(user: UserId, condition: Precondition) -> DbResult<Stamped<Vec<(CollectionName, u64)>>>;
    fn info_collection_usage(user: UserId, condition: Precondition) -> DbResult<Stamped<Vec<(CollectionName, u64)>>>;
    fn info_quota(user: UserId, condition: Precondition) -> DbResult<Stamped<u64>>;
    fn get_bsos(at: &CollectionRef, query: &BsoQuery, condition: Precondition, sink: &mut dyn Sink<Bso>)
        -> DbResult<Stamped<Option<Cursor>>>;
    fn get_bso_ids(at: &CollectionRef, query: &BsoQuery, condition: Precondition, sink: &mut dyn Sink<BsoId>)
        -> DbResult<Stamped<Option<Cursor>>>;
    fn get_bso(at: &BsoRef, condition: Precondition) -> DbResult<Bso>;
    fn put_bso(at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written>;
    fn post_bsos(at: &CollectionRef, changes: Vec<BsoChange>, condition: Precondition) -> DbResult<Written>;
    fn delete_bso(at: &BsoRef, condition: Precondition) -> DbResult<Written>;
    fn delete_bsos(at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion>;
    fn delete_collection(at: &CollectionRef, condition: Precondition) -> DbResult<Deletion>;
    fn delete_store(user: UserId, condition: Precondition) -> DbResult<Written>;
    fn create_batch(at: &CollectionRef, changes: Vec<BsoChange>, condition: Precondition)
        -> DbResult<Stamped<BatchId>>;
    fn append_to_batch(at: &CollectionRef, batch: &BatchId, changes: Vec<BsoChange>, condition: Precondition)
        -> DbResult<Stamped<()>>;
    fn commit_batch(at: &CollectionRef, batch: &BatchId, changes: Vec<BsoChange>, condition: Precondition)
        -> DbResult<Written>;
    fn purge(budget: PurgeBudget) -> DbResult<Purged>;
    fn check() -> DbResult<()>;
    fn claim_secret(secret: &SecretFingerprint, previous: &[SecretFingerprint]) -> DbResult<SecretClaim>;
}

timed! {
    /// A tokenserver's database whose operations are timed.
    TimedTokenDb: TokenDb, Part::Tokenserver;
    fn sign_in(request: &SignIn) -> Result<SignedIn, TokenError>, then user_signed_in;
    fn retire_user(email: &str, now_ms: i64) -> Result<bool, Fault>;
    fn password_changed(email: &str, generation: i64) -> Result<bool, Fault>;
    fn init_node(url: &str, capacity: u32) -> Result<bool, Fault>;
    fn nodes() -> Result<Vec<NodeRow>, Fault>;
    fn replaced_rows(older_than_ms: i64, after: Option<UserId>, limit: u32) -> Result<Vec<ReplacedRow>, Fault>;
    fn forget_row(uid: UserId) -> Result<bool, Fault>;
    fn count_users() -> Result<u64, Fault>;
    fn check() -> Result<(), Fault>;
    fn claim_secret(secret: &SecretFingerprint, previous: &[SecretFingerprint]) -> Result<SecretClaim, Fault>;
}
