//! The databases, with a watch beside each operation.

use std::sync::Arc;

use async_trait::async_trait;
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbResult, Deletion, Fault,
    PoolStatus, Precondition, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink, Stamped, SyncTimestamp, UserId,
    Written,
};
use tokenserver_db_common::{NodeRow, ReplacedRow, SignIn, SignedIn, TokenDb, TokenError};

use super::operations::Operation;
use super::statsd::Part;
use super::Metrics;

/// Wraps a trait's methods, all alike: each gets a watch of its name.
macro_rules! timed {
    (
        $(#[$doc:meta])* $timed:ident is $trait:ident of $part:expr;
        $(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*
    ) => {
        $(#[$doc])*
        pub struct $timed {
            inner: Arc<dyn $trait>,
            metrics: Arc<Metrics>,
            $($name: Operation,)*
        }

        impl $timed {
            /// Around a database.
            #[must_use]
            pub fn new(inner: Arc<dyn $trait>, metrics: &Arc<Metrics>) -> Self {
                Self {
                    inner,
                    metrics: Arc::clone(metrics),
                    $($name: metrics.operation($part, stringify!($name)),)*
                }
            }
        }

        #[async_trait]
        impl $trait for $timed {
            $(async fn $name(&self, $($argument: $type),*) -> $result {
                let result = self.$name.time(self.inner.$name($($argument),*)).await;
                self.metrics.$name(&result);
                result
            })*

            fn pool_status(&self) -> PoolStatus {
                self.inner.pool_status()
            }
        }
    };
}
