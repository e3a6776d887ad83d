//! A write: one call of a function that the migrations made, and what comes back of it.

use std::time::{Duration, Instant};

use diesel::data_types::PgTimestamp;
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use network_engine::Sql;
use network_engine::postgres::sql;
use syncstorage_db_common::{
    CollectionName, DbError, DbResult, Fault, Precondition, Quota, SyncTimestamp, UserId, WriteTime, Written,
    next_write_time,
};

use crate::PostgresDb;
use crate::time::{Moment, bounds, sync_time};

/// How long a write waits for a store that is ahead of the clock.
const AHEAD_WAIT_LIMIT: Duration = Duration::from_secs(3);

/// The columns of an answer: outcome, stamp, collection, used, batch.
pub(crate) type Columns = (SmallInt, Nullable<Timestamptz>, Nullable<Integer>, Nullable<BigInt>, Nullable<Text>);

type Row = (i16, Option<PgTimestamp>, Option<i32>, Option<i64>, Option<String>);

/// A call, not sent yet.
pub(crate) type Statement = Sql<'static, Pg, Columns>;

/// What is asked of a function. It may be sent several times.
pub(crate) trait Call: Send + Sync + 'static {
    /// The statement, at a given time.
    fn statement(&self, moment: Moment) -> Statement;

    /// What it is done to.
    fn target(&self) -> &Target;
}

/// What a write is done to, and under which conditions.
pub(crate) struct Target {
    pub(crate) user: UserId,
    /// `None`: the whole store.
    pub(crate) collection: Option<CollectionName>,
    /// The number of the collection's name, if it is known here.
    pub(crate) number: Option<i32>,
    pub(crate) condition: Precondition,
    pub(crate) quota: Option<Quota>,
}

impl Target {
    /// The collection's name.
    pub(crate) fn name(&self) -> Option<String> {
        self.collection.as_ref().map(ToString::to_string)
    }

    /// The statement with the first nine values, which all functions have in common but those for open batches.
    pub(crate) fn statement(&self, text: &'static str, moment: Moment) -> Statement {
        let (modified_since, unmodified_since) = bounds(self.condition);
        sql::<Columns>(text)
            .bind::<BigInt, _>(self.user.get())
            .bind::<Timestamptz, _>(moment.now())
            .bind::<Timestamptz, _>(moment.tick())
            .bind::<Timestamptz, _>(modified_since)
            .bind::<Timestamptz, _>(unmodified_since)
            .bind::<Nullable<BigInt>, _>(self.quota.map(|quota| clamp(quota.limit)))
            .bind::<Bool, _>(self.quota.is_some_and(|quota| quota.enforce))
            .bind::<Nullable<Integer>, _>(self.number)
            .bind::<Nullable<Text>, _>(self.name())
    }
}

/// A limit as the database has it.
pub(crate) fn clamp(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// How a call ended that was not refused.
pub(crate) enum Reply {
    Done(Done),
    /// There is no such collection; the store was last modified then.
    NoCollection(SyncTimestamp),
}

/// What was done.
pub(crate) struct Done {
    /// The time of the write; of a batch that stays open, the collection's last-modified time.
    pub(crate) stamp: SyncTimestamp,
    /// With a quota, what is left of it.
    pub(crate) quota_left: Option<u64>,
    /// The id of the batch that was opened or added to.
    pub(crate) batch: Option<String>,
}

impl Done {
    pub(crate) const fn written(&self) -> Written {
        Written { modified: self.stamp, quota_left: self.quota_left }
    }
}

impl PostgresDb {
    /// Sends a call, again and again while the user's store is too far ahead of the clock.
    pub(crate) async fn call(&self, call: impl Call) -> DbResult<Reply> {
        let started = Instant::now();
        loop {
            let moment = Moment::of(&self.options.clock);
            let found = self.engine.write(|conn| call.statement(moment).row(conn)).await?;
            let found: Row = found.ok_or_else(|| Fault::internal("a function gave no row"))?;
            let last = match self.reply(call.target(), found)? {
                Answer::Reply(reply) => return Ok(reply),
                Answer::Ahead(last) => last,
            };
            let WriteTime::WaitMs(ms) = next_write_time(moment.now_ms, last) else {
                return Err(Fault::internal("the database and the program disagree on the time of a write").into());
            };
            let wait = Duration::from_millis(ms.unsigned_abs());
            if started.elapsed() + wait >= AHEAD_WAIT_LIMIT {
                return Err(Fault::unavailable("one user writes faster than 100 times a second").into());
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The numbers are those of the migration `storage-0005_writing`.
    fn reply(&self, target: &Target, (outcome, stamp, collection, used, batch): Row) -> DbResult<Answer> {
        if let (Some(name), Some(number)) = (&target.collection, collection) {
            self.names.learn(name, number);
        }
        let stamp = stamp.map_or(SyncTimestamp::ZERO, sync_time);
        match outcome {
            0 => {
                let left = |quota: Quota| quota.limit.saturating_sub(used.unwrap_or(0).unsigned_abs());
                let quota_left = target.quota.map(left);
                Ok(Answer::Reply(Reply::Done(Done { stamp, quota_left, batch })))
            }
            1 => Err(DbError::PreconditionFailed(stamp)),
            2 => Err(DbError::NotModified(stamp)),
            3 => Err(DbError::NotFound),
            4 => Err(DbError::BatchNotFound),
            5 => Err(DbError::BatchTooLarge),
            6 => Ok(Answer::Ahead(stamp)),
            7 => Err(DbError::OverQuota),
            8 => Ok(Answer::Reply(Reply::NoCollection(stamp))),
            other => Err(Fault::internal(format!("a function ended with the unknown outcome {other}")).into()),
        }
    }
}

enum Answer {
    Reply(Reply),
    /// No time to write at yet; the store was last modified then.
    Ahead(SyncTimestamp),
}
