//! Batches: staged in tables of their own, where nobody sees them, until their commit.

use diesel::sql_types::BigInt;
use sqlite_engine::sql;
use syncstorage_db_common::{
    BATCH_LIFETIME_MS, BatchId, BsoChange, CollectionName, DbError, Fault, Patch, Precondition, Stamped, SyncTimestamp,
    Written,
};

use crate::transaction::{Failure, Growth, Transaction};
use crate::write::finish;

/// Bits of `batch_bsos.given`.
const SORTINDEX: i64 = 1;
const TTL: i64 = 2;
const PAYLOAD: i64 = 4;

/// A random number, so that an id which a client makes up or keeps from another database is not found.
const CREATE: &str = "
    INSERT INTO batches (batch_id, user_id, collection_id, created, records, bytes)
    VALUES (random() & 9223372036854775807, ?, ?, ?, 0, 0)
    RETURNING batch_id";

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    changes: &[BsoChange],
    condition: Precondition,
) -> Result<Stamped<BatchId>, Failure> {
    let found = tx.find(collection)?;
    condition.check(found.last_modified()).map_err(Failure::Db)?;
    let collection_id = tx.collection_id(&found, collection)?;
    let row = sql::<(BigInt,)>(CREATE).bind(tx.user).bind(collection_id).bind(tx.now_ms).row::<(i64,)>(tx.conn)?;
    let (batch_id,) = row.ok_or_else(|| Fault::internal("a new batch got no number"))?;
    stage(tx, &OpenBatch { batch_id, records: 0, bytes: 0 }, changes)?;
    Ok(Stamped { last_modified: found.last_modified(), value: BatchId(batch_id.to_string()) })
}

pub(crate) fn append(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    batch: &BatchId,
    changes: &[BsoChange],
    condition: Precondition,
) -> Result<Stamped<()>, Failure> {
    let found = tx.find(collection)?;
    condition.check(found.last_modified()).map_err(Failure::Db)?;
    let open = OpenBatch::find(tx, found.collection_id, batch)?;
    stage(tx, &open, changes)?;
    Ok(Stamped { last_modified: found.last_modified(), value: () })
}

pub(crate) fn commit(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    batch: &BatchId,
    changes: &[BsoChange],
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection)?;
    condition.check(found.last_modified()).map_err(Failure::Db)?;
    let open = OpenBatch::find(tx, found.collection_id, batch)?;
    // A batch too large counts before no time to write at.
    stage(tx, &open, changes)?;
    let time = tx.time(found.store_modified)?;
    let collection_id = tx.collection_id(&found, collection)?;
    let growth = publish(tx, collection_id, open.batch_id, time)?;
    sql("DELETE FROM batches WHERE batch_id = ?").bind(open.batch_id).run(tx.conn)?;
    finish(tx, collection_id, time, growth)
}

/// A batch that may be added to.
struct OpenBatch {
    batch_id: i64,
    records: i64,
    bytes: i64,
}

const FIND: &str = "
    SELECT batch_id, records, bytes FROM batches
    WHERE batch_id = ? AND user_id = ? AND collection_id = ? AND created >= ?";

impl OpenBatch {
    fn find(tx: &mut Transaction<'_>, collection_id: Option<i64>, batch: &BatchId) -> Result<Self, DbError> {
        let batch_id: i64 = batch.0.parse().map_err(|_| DbError::BatchNotFound)?;
        if batch_id.to_string() != batch.0 {
            // Another way to write the number is no id that was given out.
            return Err(DbError::BatchNotFound);
        }
        let collection_id = collection_id.ok_or(DbError::BatchNotFound)?;
        let row: Option<(i64, i64, i64)> = sql::<(BigInt, BigInt, BigInt)>(FIND)
            .bind(batch_id)
            .bind(tx.user)
            .bind(collection_id)
            .bind(tx.now_ms - BATCH_LIFETIME_MS)
            .row(tx.conn)?;
        let (batch_id, records, bytes) = row.ok_or(DbError::BatchNotFound)?;
        Ok(Self { batch_id, records, bytes })
    }
}

const STAGED_SIZE: &str = "SELECT payload_size FROM batch_bsos WHERE batch_id = ? AND id = ?";

const STAGE: &str = "
    INSERT INTO batch_bsos (batch_id, id, given, sortindex, ttl, payload_size, payload) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (batch_id, id) DO UPDATE SET
        given = given | excluded.given,
        sortindex = iif(excluded.given & 1, excluded.sortindex, sortindex),
        ttl = iif(excluded.given & 2, excluded.ttl, ttl),
        payload_size = iif(excluded.given & 4, excluded.payload_size, payload_size),
        payload = iif(excluded.given & 4, excluded.payload, payload)";

const COUNT: &str = "UPDATE batches SET records = ?, bytes = ? WHERE batch_id = ?";

/// Adds to what the batch holds, and refuses when that is too much.
fn stage(tx: &mut Transaction<'_>, open: &OpenBatch, changes: &[BsoChange]) -> Result<(), DbError> {
    let (mut records, mut bytes) = (open.records, open.bytes);
    for change in changes {
        let id = change.id.as_str();
        let size = i64::try_from(change.payload_bytes()).unwrap_or(i64::MAX);
        let staged: Option<(i64,)> = sql::<(BigInt,)>(STAGED_SIZE).bind(open.batch_id).bind(id).row(tx.conn)?;
        records += i64::from(staged.is_none());
        if !change.payload.is_keep() {
            bytes += size - staged.map_or(0, |(size,)| size);
        }
        let (sortindex_given, sortindex) = parts(change.sortindex.as_ref(), SORTINDEX, |value| i64::from(*value));
        let (ttl_given, ttl) = parts(change.ttl.as_ref(), TTL, |value| i64::from(*value));
        let (payload_given, payload) = parts(change.payload.as_ref(), PAYLOAD, String::as_str);
        sql(STAGE)
            .bind(open.batch_id)
            .bind(id)
            .bind(sortindex_given | ttl_given | payload_given)
            .bind(sortindex)
            .bind(ttl)
            .bind(size)
            .bind(payload)
            .run(tx.conn)?;
    }
    let limits = tx.options.batch;
    if records.unsigned_abs() > limits.records || bytes.unsigned_abs() > limits.bytes {
        return Err(DbError::BatchTooLarge);
    }
    sql(COUNT).bind(records).bind(bytes).bind(open.batch_id).run(tx.conn)?;
    Ok(())
}

/// A patch as its bit in `given` and its value.
fn parts<'a, T: ?Sized, V>(patch: Patch<&'a T>, bit: i64, value: impl Fn(&'a T) -> V) -> (i64, Option<V>) {
    match patch {
        Patch::Keep => (0, None),
        Patch::Reset => (bit, None),
        Patch::Set(set) => (bit, Some(value(set))),
    }
}

// A batch and a collection may each be a few records or very many. In the statements below CROSS JOIN has SQLite begin
// with the batch and look each of its records up in the collection, whatever it knows or guesses of their sizes.

/// An expired record is to be written as a new one.
const CLEAR_EXPIRED: &str = "
    DELETE FROM bsos
    WHERE row_id IN (
        SELECT b.row_id
        FROM batch_bsos s INDEXED BY batch_bsos_id CROSS JOIN bsos b INDEXED BY bsos_id
            ON b.user_id = ? AND b.collection_id = ? AND b.id = s.id
        WHERE s.batch_id = ? AND b.expiry <= ?)";

/// Not UPDATE … FROM, where SQLite would choose the order, and would keep a copy of all payloads.
const UPDATE: &str = "
    UPDATE bsos SET
        modified = ?,
        (sortindex, expiry, payload_size, payload) = (
            SELECT
                iif(s.given & 1, s.sortindex, bsos.sortindex),
                iif(s.given & 2, ? + s.ttl * 1000, bsos.expiry),
                iif(s.given & 4, s.payload_size, bsos.payload_size),
                iif(s.given & 4, ifnull(s.payload, ''), bsos.payload)
            FROM batch_bsos s
            WHERE s.batch_id = ? AND s.id = bsos.id)
    WHERE row_id IN (
        SELECT b.row_id
        FROM batch_bsos s INDEXED BY batch_bsos_id CROSS JOIN bsos b INDEXED BY bsos_id
            ON b.user_id = ? AND b.collection_id = ? AND b.id = s.id
        WHERE s.batch_id = ?)";

const INSERT: &str = "
    INSERT INTO bsos (user_id, collection_id, id, modified, sortindex, expiry, payload_size, payload)
    SELECT ?, ?, s.id, ?, s.sortindex, ? + s.ttl * 1000, s.payload_size, ifnull(s.payload, '')
    FROM batch_bsos s INDEXED BY batch_bsos_id WHERE s.batch_id = ?
    ON CONFLICT (user_id, collection_id, id) DO NOTHING";

/// Writes all that a batch holds. The payloads never leave the database for it.
fn publish(tx: &mut Transaction<'_>, collection_id: i64, batch_id: i64, time: SyncTimestamp) -> Result<Growth, Fault> {
    let before = Extent::of(tx, collection_id, batch_id)?;
    sql(CLEAR_EXPIRED).bind(tx.user).bind(collection_id).bind(batch_id).bind(tx.now_ms).run(tx.conn)?;
    // Where a ttl counts from; a null ttl makes a null expiry.
    let base = time.as_ms().min(tx.now_ms);
    sql(UPDATE)
        .bind(time.as_ms())
        .bind(base)
        .bind(batch_id)
        .bind(tx.user)
        .bind(collection_id)
        .bind(batch_id)
        .run(tx.conn)?;
    sql(INSERT).bind(tx.user).bind(collection_id).bind(time.as_ms()).bind(base).bind(batch_id).run(tx.conn)?;
    let after = Extent::of(tx, collection_id, batch_id)?;
    Ok(Growth {
        records: after.records - before.records,
        bytes: after.bytes - before.bytes,
        live_bytes: after.live_bytes - before.live_bytes,
    })
}

/// What the collection holds of the records that a batch names.
struct Extent {
    records: i64,
    bytes: i64,
    live_bytes: i64,
}

const EXTENT: &str = "
    SELECT count(*), ifnull(sum(b.payload_size), 0),
        ifnull(sum(b.payload_size) FILTER (WHERE b.expiry IS NULL OR b.expiry > ?), 0)
    FROM batch_bsos s INDEXED BY batch_bsos_id CROSS JOIN bsos b INDEXED BY bsos_id
        ON b.user_id = ? AND b.collection_id = ? AND b.id = s.id
    WHERE s.batch_id = ?";

impl Extent {
    fn of(tx: &mut Transaction<'_>, collection_id: i64, batch_id: i64) -> Result<Self, Fault> {
        let row: Option<(i64, i64, i64)> = sql::<(BigInt, BigInt, BigInt)>(EXTENT)
            .bind(tx.now_ms)
            .bind(tx.user)
            .bind(collection_id)
            .bind(batch_id)
            .row(tx.conn)?;
        let (records, bytes, live_bytes) = row.unwrap_or_default();
        Ok(Self { records, bytes, live_bytes })
    }
}
