//! Batches: staged in tables of their own, where nobody sees them, until their commit.

use std::sync::Arc;

use diesel::sql_types::BigInt;
use network_engine::mysql::sql;
use syncstorage_db_common::{
    BatchId, BsoChange, Fault, NEVER_MS, NO_PAYLOAD, Patch, Precondition, Stamped, SyncTimestamp, Written,
};

use crate::open_batch::{id, new_number};
use crate::rows::{Item, merge};
use crate::transaction::{Failure, Growth, Transaction, grown};

/// The ttl of a record that is to live for ever, in seconds, in a column where null means something else.
const NEVER: i64 = NEVER_MS / 1000;

pub(crate) async fn create(
    mut tx: Transaction<'_>,
    collection: i64,
    changes: Arc<[BsoChange]>,
    condition: Precondition,
) -> Result<Stamped<BatchId>, Failure> {
    let (batch, found) = loop {
        let batch = new_number(tx.now_ms);
        let found = tx.find_batch(collection, batch, &[]).await?;
        if found.batch.is_none() {
            break (batch, found);
        }
    };
    condition.check(found.found.last_modified())?;
    found.check_room(&tx, &changes)?;
    stage(&mut tx, batch, &changes).await?;
    tx.conn.finish_with(format!(
        "INSERT INTO batch_uploads (batch, userid, collection, created) VALUES ({batch}, {}, {collection}, {})",
        tx.user, tx.now_ms
    ));
    Ok(Stamped { last_modified: found.found.last_modified(), value: id(batch) })
}

pub(crate) async fn append(
    mut tx: Transaction<'_>,
    collection: i64,
    batch: Option<i64>,
    changes: Arc<[BsoChange]>,
    condition: Precondition,
) -> Result<Stamped<()>, Failure> {
    // No batch has the number 0.
    let number = batch.unwrap_or(0);
    let found = tx.find_batch(collection, number, &changes).await?;
    condition.check(found.found.last_modified())?;
    found.check_open(collection, tx.now_ms)?;
    found.check_room(&tx, &changes)?;
    stage(&mut tx, number, &changes).await?;
    Ok(Stamped { last_modified: found.found.last_modified(), value: () })
}

pub(crate) async fn commit(
    mut tx: Transaction<'_>,
    collection: i64,
    batch: Option<i64>,
    changes: Arc<[BsoChange]>,
    condition: Precondition,
) -> Result<Written, Failure> {
    let number = batch.unwrap_or(0);
    let found = tx.find_batch(collection, number, &changes).await?;
    condition.check(found.found.last_modified())?;
    found.check_open(collection, tx.now_ms)?;
    found.check_room(&tx, &changes)?;
    let time = tx.time(found.found.store_modified)?;
    stage(&mut tx, number, &changes).await?;
    let usage = found.found.usage;
    let growth = match usage {
        Some(_) => growth(&mut tx, collection, number, time).await?,
        None => Growth::default(),
    };
    let written = tx.written(time, usage, growth)?;
    // All of it is numbers, so that it travels with the COMMIT.
    let user = tx.user;
    let last = format!(
        "{}; {}; \
         DELETE i FROM batch_upload_items i FORCE INDEX (PRIMARY) WHERE i.batch = {number} AND i.userid = {user}; \
         DELETE u FROM batch_uploads u FORCE INDEX (PRIMARY) WHERE u.batch = {number} AND u.userid = {user}",
        publish(&tx, collection, number, time),
        tx.stamp(collection, time, grown(usage, growth)),
    );
    tx.conn.finish_with(last);
    Ok(written)
}

/// Adds to what the batch holds.
async fn stage(tx: &mut Transaction<'_>, batch: i64, changes: &[BsoChange]) -> Result<(), Fault> {
    let items: Vec<Item<'_>> = changes
        .iter()
        .map(|change| Item {
            id: &change.id,
            sortindex: match change.sortindex {
                Patch::Set(sortindex) => Some(i64::from(sortindex)),
                Patch::Keep | Patch::Reset => None,
            },
            sortindex_reset: matches!(change.sortindex, Patch::Reset),
            payload: match &change.payload {
                Patch::Set(payload) => Some(payload.as_str()),
                Patch::Reset => Some(NO_PAYLOAD),
                Patch::Keep => None,
            },
            ttl: match change.ttl {
                Patch::Set(ttl) => Some(i64::from(ttl)),
                Patch::Reset => Some(NEVER),
                Patch::Keep => None,
            },
        })
        .collect();
    merge(tx.conn, tx.user, batch, &items).await
}

/// Where a ttl counts from: see [`expiry`](syncstorage_db_common::expiry).
fn base(tx: &Transaction<'_>, time: SyncTimestamp) -> i64 {
    time.as_ms().min(tx.now_ms)
}

/// The statement that writes all that a batch holds. The payloads never leave the database for it. What the batch does not
/// say stays as it is in the row, unless that has expired. The columns are assigned from left to right, so that `ttl`,
/// which the others ask for, comes last.
fn publish(tx: &Transaction<'_>, collection: i64, batch: i64, time: SyncTimestamp) -> String {
    let Transaction { user, now_ms, .. } = tx;
    let (base, time) = (base(tx, time), time.as_ms());
    let never = time + NEVER_MS;
    format!(
        "INSERT INTO bso (userid, collection, id, sortindex, payload, payload_size, modified, ttl) \
         SELECT i.userid, {collection}, i.id, i.sortindex, COALESCE(i.payload, ''), COALESCE(LENGTH(i.payload), 0), \
             {time}, COALESCE({base} + i.ttl_offset * 1000, {never}) \
         FROM batch_upload_items i FORCE INDEX (PRIMARY) \
         WHERE i.batch = {batch} AND i.userid = {user} \
         ON DUPLICATE KEY UPDATE \
             sortindex = IF( \
                 bso.ttl > {now_ms} AND i.sortindex IS NULL AND i.sortindex_reset IS NULL, \
                 bso.sortindex, VALUES(sortindex)), \
             payload = IF(bso.ttl > {now_ms} AND i.payload IS NULL, bso.payload, VALUES(payload)), \
             payload_size = IF(bso.ttl > {now_ms} AND i.payload IS NULL, bso.payload_size, VALUES(payload_size)), \
             modified = VALUES(modified), \
             ttl = IF(bso.ttl > {now_ms} AND i.ttl_offset IS NULL, bso.ttl, VALUES(ttl))"
    )
}

/// What [`publish`] is going to make of the records that the batch names.
const GROWTH: &str = "
    SELECT
        CAST(COALESCE(SUM(stays) - SUM(was), 0) AS SIGNED),
        CAST(COALESCE(SUM(IF(stays, size, 0)) - SUM(old_size), 0) AS SIGNED)
    FROM (
        SELECT
            b.id IS NOT NULL AS was,
            COALESCE(b.payload_size, 0) AS old_size,
            COALESCE(LENGTH(i.payload), b.payload_size, 0) AS size,
            i.ttl_offset IS NULL OR ? + i.ttl_offset * 1000 > ? AS stays
        FROM batch_upload_items i FORCE INDEX (PRIMARY)
            LEFT JOIN bso b FORCE INDEX (PRIMARY)
                ON b.userid = i.userid AND b.collection = ? AND b.id = i.id AND b.ttl > ?
        WHERE i.batch = ? AND i.userid = ?
    ) changed";

async fn growth(tx: &mut Transaction<'_>, collection: i64, batch: i64, time: SyncTimestamp) -> Result<Growth, Failure> {
    let statement = sql::<(BigInt, BigInt)>(GROWTH)
        .bind::<BigInt, _>(base(tx, time))
        .bind::<BigInt, _>(tx.now_ms)
        .bind::<BigInt, _>(collection)
        .bind::<BigInt, _>(tx.now_ms)
        .bind::<BigInt, _>(batch)
        .bind::<BigInt, _>(tx.user);
    let row: Option<(i64, i64)> = statement.row(tx.conn).await?;
    let (records, bytes) = row.unwrap_or_default();
    Ok(Growth { records, bytes })
}
