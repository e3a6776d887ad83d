//! One write of one user: what every operation that changes something needs.

use std::time::Duration;

use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::sql;
use syncstorage_db_common::{
    CollectionName, DbError, DbOptions, Fault, Precondition, SyncTimestamp, UserId, WriteTime, Written, next_write_time,
};

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

/// A write under way. It runs alone: no other write of any user comes between its statements.
pub(crate) struct Transaction<'a> {
    pub(crate) conn: &'a mut SqliteConnection,
    pub(crate) user: i64,
    /// The clock's time, one for the whole write.
    pub(crate) now_ms: i64,
    pub(crate) options: &'a DbOptions,
}

/// A collection as a write finds it.
pub(crate) struct Found {
    /// `None` while no user has a collection of that name.
    pub(crate) collection_id: Option<i64>,
    /// `None` where this user has no such collection.
    pub(crate) modified: Option<SyncTimestamp>,
    /// Of the store.
    pub(crate) store_modified: SyncTimestamp,
}

impl Found {
    /// What a precondition on the collection is compared with.
    pub(crate) fn last_modified(&self) -> SyncTimestamp {
        self.modified.unwrap_or(SyncTimestamp::ZERO)
    }
}

/// How a write changes the counters of a collection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Growth {
    /// Rows.
    pub(crate) records: i64,
    /// Bytes of payload in all rows.
    pub(crate) bytes: i64,
    /// Bytes of payload in rows that have not expired: what the quota counts.
    pub(crate) live_bytes: i64,
}

const FIND: &str = "
    SELECT (SELECT modified FROM stores WHERE user_id = ?), c.collection_id, uc.modified
    FROM (SELECT 1)
        LEFT JOIN collections c ON c.name = ?
        LEFT JOIN user_collections uc ON uc.user_id = ? AND uc.collection_id = c.collection_id";

const NAME_COLLECTION: &str = "INSERT INTO collections (name) VALUES (?) RETURNING collection_id";

const STAMP_STORE: &str = "
    INSERT INTO stores (user_id, modified) VALUES (?, ?)
    ON CONFLICT (user_id) DO UPDATE SET modified = excluded.modified";

const STAMP_COLLECTION: &str = "
    INSERT INTO user_collections (user_id, collection_id, modified, count, total_bytes) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (user_id, collection_id) DO UPDATE SET
        modified = excluded.modified,
        count = count + excluded.count,
        total_bytes = total_bytes + excluded.total_bytes";

impl<'a> Transaction<'a> {
    pub(crate) fn new(conn: &'a mut SqliteConnection, user: UserId, options: &'a DbOptions) -> Self {
        Self { conn, user: user.get(), now_ms: options.clock.now_ms(), options }
    }

    /// Looks a collection up.
    pub(crate) fn find(&mut self, collection: &CollectionName) -> Result<Found, Fault> {
        let row = sql::<(Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)>(FIND)
            .bind(self.user)
            .bind(collection.as_str())
            .bind(self.user)
            .row::<(Option<i64>, Option<i64>, Option<i64>)>(self.conn)?;
        let (store, collection_id, modified) = row.unwrap_or_default();
        Ok(Found {
            collection_id,
            modified: modified.map(SyncTimestamp::from_ms),
            store_modified: SyncTimestamp::from_ms(store.unwrap_or(0)),
        })
    }

    /// When anything of the user's was last written.
    pub(crate) fn store_modified(&mut self) -> Result<SyncTimestamp, Fault> {
        let row = sql::<(BigInt,)>("SELECT modified FROM stores WHERE user_id = ?").bind(self.user).row(self.conn)?;
        Ok(row.map_or(SyncTimestamp::ZERO, |(modified,): (i64,)| SyncTimestamp::from_ms(modified)))
    }

    /// The number of a collection's name, given one where it has none.
    pub(crate) fn collection_id(&mut self, found: &Found, collection: &CollectionName) -> Result<i64, Fault> {
        if let Some(id) = found.collection_id {
            return Ok(id);
        }
        let row = sql::<(BigInt,)>(NAME_COLLECTION).bind(collection.as_str()).row::<(i64,)>(self.conn)?;
        row.map(|(id,)| id).ok_or_else(|| Fault::internal("a new collection got no number"))
    }

    /// The time T of this write, after the store's last-modified time.
    pub(crate) fn time(&self, store_modified: SyncTimestamp) -> Result<SyncTimestamp, Failure> {
        match next_write_time(self.now_ms, store_modified) {
            WriteTime::At(time) => Ok(time),
            WriteTime::WaitMs(ms) => Err(Failure::Ahead { wait: Duration::from_millis(ms.unsigned_abs()) }),
        }
    }

    /// Gives the store its new last-modified time.
    pub(crate) fn stamp_store(&mut self, time: SyncTimestamp) -> Result<(), Fault> {
        sql(STAMP_STORE).bind(self.user).bind(time.as_ms()).run(self.conn).map(|_| ())
    }

    /// Gives a collection, made where it is not there, and the store their new last-modified time.
    pub(crate) fn stamp(&mut self, collection_id: i64, time: SyncTimestamp, growth: Growth) -> Result<(), Fault> {
        sql(STAMP_COLLECTION)
            .bind(self.user)
            .bind(collection_id)
            .bind(time.as_ms())
            .bind(growth.records)
            .bind(growth.bytes)
            .run(self.conn)?;
        self.stamp_store(time)
    }

    /// The end of a write, after everything is stamped: checks the quota. A user who is over it may still write what
    /// makes the store no larger.
    pub(crate) fn written(&mut self, modified: SyncTimestamp, growth: Growth) -> Result<Written, DbError> {
        let Some(quota) = self.options.quota else { return Ok(Written { modified, quota_left: None }) };
        let user = UserId::try_from(self.user).map_err(Fault::internal)?;
        let used = crate::read::quota(self.conn, user, Precondition::None, self.now_ms)?.value;
        if quota.enforce && used > quota.limit && growth.live_bytes > 0 {
            return Err(DbError::OverQuota);
        }
        Ok(Written { modified, quota_left: Some(quota.limit.saturating_sub(used)) })
    }
}
