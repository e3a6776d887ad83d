//! What a storage backend of a Sync 1.5 server is.
//!
//! [`Db`] is the whole interface between the web layer and a database: one method is one operation of the
//! protocol, atomic and complete. The types around it ([`CollectionName`], [`BsoId`], [`SyncTimestamp`], …) can
//! only be made from valid values, so that nobody behind the web layer checks again.
//!
//! With the feature `testing`, [`testing`] holds the conformance suite that every backend runs.

mod archive;
mod bind;
mod bso;
mod clock;
mod db;
mod error;
mod names;
mod options;
mod query;
mod timestamp;

#[cfg(feature = "testing")]
pub mod testing;

pub use archive::{
    FoundStore, Growth, NEVER_MS, StorageSource, StorageTarget, StoredBso, StoredItem, UNFINISHED, expiry_unless_never,
    found_stores, growth, unfinished_fault,
};
pub use bind::Bind;
pub use bso::{Bso, BsoChange, NO_PAYLOAD, Patch, expiry};
pub use clock::{Clock, MAX_AHEAD_MS, WriteTime, next_write_time};
pub use db::{Db, Deletion, PoolStatus, PurgeBudget, Purged, SecretClaim, SecretFingerprint, Sink, Stamped, Written};
pub use error::{BoxedError, DbError, DbResult, Fault};
pub use names::{BatchId, BsoId, BsoRef, CollectionName, CollectionRef, InvalidName, UserId};
pub use options::{BATCH_LIFETIME_MS, BatchLimits, DbOptions, Quota};
pub use query::{BsoQuery, Cursor, Precondition, Sort};
pub use timestamp::{InvalidTimestamp, SyncTimestamp, TimeBound};
