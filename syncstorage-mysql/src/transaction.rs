//! One write of one user: what every operation that changes something needs.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncMysqlConnection;
use network_engine::Connection;
use syncstorage_db_common::{DbError, DbOptions, Fault, SyncTimestamp, UserId, WriteTime, Written, next_write_time};

/// A connection of the engine.
pub(crate) type Conn = Connection<AsyncMysqlConnection>;

/// How a write can fail.
pub(crate) enum Failure {
    /// For the caller.
    Db(DbError),
    /// The store is too far ahead of the clock: try the whole write again after a while.
    Ahead {
        /// That while.
        wait: Duration,
    },
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Db(fault.into())
    }
}

/// The statement that has the writes of one user follow each other: the row is locked until the transaction ends,
/// whether it was there or not.
pub(crate) fn lock(user: i64) -> String {
    format!("INSERT INTO syncserver_stores (userid) VALUES ({user}) ON DUPLICATE KEY UPDATE userid = userid")
}

/// A write under way, once it has the user's lock: no other write of that user comes between its statements.
pub(crate) struct Transaction<'c> {
    pub(crate) conn: &'c mut Conn,
    pub(crate) user: i64,
    /// The clock's time, one for the whole write.
    pub(crate) now_ms: i64,
    pub(crate) options: Arc<DbOptions>,
}

/// What a user has that has not expired, and one collection's part of it.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Bytes of payload of the user.
    pub(crate) used: i64,
    /// Bytes of payload in the collection.
    pub(crate) bytes: i64,
    /// Records in the collection.
    pub(crate) records: i64,
}

/// How a write changes what has not expired.
#[derive(Clone, Copy, Default)]
pub(crate) struct Growth {
    /// Records.
    pub(crate) records: i64,
    /// Bytes of payload.
    pub(crate) bytes: i64,
}

/// The collection whose row remembers the time of the last deletion, and which is none.
pub(crate) const TOMBSTONE: i64 = 0;

impl<'c> Transaction<'c> {
    pub(crate) fn new(conn: &'c mut Conn, user: UserId, options: Arc<DbOptions>) -> Self {
        Self { conn, user: user.get(), now_ms: options.clock.now_ms(), options }
    }

    /// The time T of this write, after the store's last-modified time.
    pub(crate) fn time(&self, store_modified: SyncTimestamp) -> Result<SyncTimestamp, Failure> {
        match next_write_time(self.now_ms, store_modified) {
            WriteTime::At(time) => Ok(time),
            WriteTime::WaitMs(ms) => Err(Failure::Ahead { wait: Duration::from_millis(ms.unsigned_abs()) }),
        }
    }

    /// The statement that gives a collection, made where it is not there, and with it the store, the time of the
    /// write. The sums are exact where there is a quota, and null where nobody counts.
    pub(crate) fn stamp(&self, collection: i64, time: SyncTimestamp, usage: Option<Usage>) -> String {
        let null = |value: Option<i64>| value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
        format!(
            "INSERT INTO user_collections (userid, collection, last_modified, total_bytes, count) \
             VALUES ({}, {collection}, {}, {}, {}) \
             ON DUPLICATE KEY UPDATE last_modified = VALUES(last_modified), total_bytes = VALUES(total_bytes), \
             count = VALUES(count)",
            self.user,
            time.as_ms(),
            null(usage.map(|usage| usage.bytes)),
            null(usage.map(|usage| usage.records)),
        )
    }

    /// The end of a write of records: checks the quota, and stamps the collection and the store with the COMMIT.
    pub(crate) fn finish(
        self,
        collection: i64,
        time: SyncTimestamp,
        usage: Option<Usage>,
        growth: Growth,
    ) -> Result<Written, DbError> {
        let written = self.written(time, usage, growth)?;
        let stamp = self.stamp(collection, time, grown(usage, growth));
        self.conn.finish_with(stamp);
        Ok(written)
    }

    /// What the caller is told of a write. A user who is over the quota may still write what makes the store no larger.
    pub(crate) fn written(
        &self,
        modified: SyncTimestamp,
        usage: Option<Usage>,
        growth: Growth,
    ) -> Result<Written, DbError> {
        let (Some(quota), Some(usage)) = (self.options.quota, usage) else {
            return Ok(Written { modified, quota_left: None });
        };
        let used = (usage.used + growth.bytes).max(0).unsigned_abs();
        if quota.enforce && used > quota.limit && growth.bytes > 0 {
            return Err(DbError::OverQuota);
        }
        Ok(Written { modified, quota_left: Some(quota.limit.saturating_sub(used)) })
    }
}

/// The sums after a write.
pub(crate) fn grown(usage: Option<Usage>, growth: Growth) -> Option<Usage> {
    usage.map(|usage| Usage {
        used: usage.used + growth.bytes,
        bytes: usage.bytes + growth.bytes,
        records: usage.records + growth.records,
    })
}
