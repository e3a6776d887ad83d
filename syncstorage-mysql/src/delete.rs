//! Deletions: of one record, some, a collection, everything.

use std::sync::Arc;

use diesel::sql_types::{BigInt, Binary};
use network_engine::mysql::sql;
use syncstorage_db_common::{BsoId, DbError, Deletion, Fault, Precondition, Written};

use crate::rows::{padded, placeholders};
use crate::transaction::{Failure, Growth, TOMBSTONE, Transaction};

pub(crate) async fn bso(
    mut tx: Transaction<'_>,
    collection: i64,
    id: BsoId,
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection, vec![&id]).await?;
    let row = found.rows.get(id.as_str()).ok_or(DbError::NotFound)?;
    condition.check(row.modified)?;
    let time = tx.time(found.store_modified)?;
    let growth = Growth { records: -1, bytes: -row.size };
    delete(&mut tx, collection, vec![&id]).await?;
    Ok(tx.finish(collection, time, found.usage, growth)?)
}

pub(crate) async fn bsos(
    mut tx: Transaction<'_>,
    collection: i64,
    ids: Arc<[BsoId]>,
    condition: Precondition,
) -> Result<Deletion, Failure> {
    // The rows are of interest for their sizes.
    let looked_for = if tx.options.quota.is_some() { &*ids } else { &[] };
    let found = tx.find(collection, looked_for.iter().collect()).await?;
    condition.check(found.last_modified())?;
    if found.modified.is_none() {
        return Ok(Deletion::NoCollection(found.store_modified));
    }
    let time = tx.time(found.store_modified)?;
    let growth = found
        .rows
        .values()
        .fold(Growth::default(), |sum, row| Growth { records: sum.records - 1, bytes: sum.bytes - row.size });
    delete(&mut tx, collection, ids.iter().collect()).await?;
    Ok(Deletion::Done(tx.finish(collection, time, found.usage, growth)?))
}

/// The index is named so that no plan ever walks, and locks, the rows of other users.
async fn delete(tx: &mut Transaction<'_>, collection: i64, ids: Vec<&BsoId>) -> Result<(), Fault> {
    let ids = padded(ids);
    if ids.is_empty() {
        return Ok(());
    }
    let mut text = String::with_capacity(512);
    text.push_str("DELETE b FROM bso b FORCE INDEX (PRIMARY) WHERE b.userid = ? AND b.collection = ? AND b.id IN ");
    placeholders(&mut text, ids.len());
    let mut statement = sql(text).bind::<BigInt, _>(tx.user).bind::<BigInt, _>(collection);
    for id in ids {
        statement = statement.bind::<Binary, _>(id.as_str().as_bytes());
    }
    statement.run(tx.conn).await.map(drop)
}

pub(crate) async fn collection(
    mut tx: Transaction<'_>,
    collection: i64,
    condition: Precondition,
) -> Result<Deletion, Failure> {
    let found = tx.find(collection, Vec::new()).await?;
    condition.check(found.last_modified())?;
    let user = tx.user;
    // Those of a collection that is yet to come, too: its client does not want them any more.
    let batches = delete_batches(&format!("u.userid = {user} AND u.collection = {collection}"));
    if found.modified.is_none() {
        tx.conn.finish_with(batches);
        return Ok(Deletion::NoCollection(found.store_modified));
    }
    let time = tx.time(found.store_modified)?;
    let growth = found.usage.map_or_else(Growth::default, |usage| Growth { records: 0, bytes: -usage.bytes });
    let written = tx.written(time, found.usage, growth)?;
    let last = format!(
        "{batches}; \
         DELETE b FROM bso b FORCE INDEX (PRIMARY) WHERE b.userid = {user} AND b.collection = {collection}; \
         DELETE c FROM user_collections c FORCE INDEX (PRIMARY) \
         WHERE c.userid = {user} AND c.collection = {collection}; \
         {}",
        tx.stamp(TOMBSTONE, time, None)
    );
    tx.conn.finish_with(last);
    Ok(Deletion::Done(written))
}

pub(crate) async fn store(mut tx: Transaction<'_>, condition: Precondition) -> Result<Written, Failure> {
    let found = tx.find(TOMBSTONE, Vec::new()).await?;
    condition.check(found.store_modified)?;
    let time = tx.time(found.store_modified)?;
    let growth = found.usage.map_or_else(Growth::default, |usage| Growth { records: 0, bytes: -usage.used });
    let written = tx.written(time, found.usage, growth)?;
    let user = tx.user;
    let last = format!(
        "{}; \
         DELETE b FROM bso b FORCE INDEX (PRIMARY) WHERE b.userid = {user}; \
         DELETE c FROM user_collections c FORCE INDEX (PRIMARY) WHERE c.userid = {user}; \
         {}",
        delete_batches(&format!("u.userid = {user}")),
        tx.stamp(TOMBSTONE, time, None)
    );
    tx.conn.finish_with(last);
    Ok(written)
}

/// Batches with what they hold.
fn delete_batches(which: &str) -> String {
    format!(
        "DELETE i FROM batch_uploads u FORCE INDEX (syncserver_user_idx) \
         STRAIGHT_JOIN batch_upload_items i FORCE INDEX (PRIMARY) ON i.batch = u.batch AND i.userid = u.userid \
         WHERE {which}; \
         DELETE u FROM batch_uploads u FORCE INDEX (syncserver_user_idx) WHERE {which}"
    )
}
