//! Deletions: of one record, some, a collection, everything.

use diesel::sql_types::BigInt;
use sqlite_engine::sql;
use syncstorage_db_common::{BsoId, CollectionName, DbError, Deletion, Precondition, SyncTimestamp, Written};

use crate::select::json_list;
use crate::transaction::{Failure, Growth, Transaction};
use crate::write::{Row, finish};

pub(crate) fn bso(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    id: &BsoId,
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection)?;
    let collection_id = found.collection_id.ok_or(DbError::NotFound)?;
    let now_ms = tx.now_ms;
    let row = Row::find(tx, collection_id, id)?.filter(|row| row.is_live(now_ms)).ok_or(DbError::NotFound)?;
    condition.check(row.modified).map_err(Failure::Db)?;
    let time = tx.time(found.store_modified)?;
    sql("DELETE FROM bsos WHERE row_id = ?").bind(row.row_id).run(tx.conn)?;
    let growth = Growth { records: -1, bytes: -row.size, live_bytes: -row.size };
    finish(tx, collection_id, time, growth)
}

const DELETE_BSOS: &str = "
    DELETE FROM bsos INDEXED BY bsos_id
    WHERE user_id = ? AND collection_id = ? AND id IN (SELECT value FROM json_each(?))
    RETURNING payload_size";

pub(crate) fn bsos(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    ids: &[BsoId],
    condition: Precondition,
) -> Result<Deletion, Failure> {
    let found = tx.find(collection)?;
    condition.check(found.last_modified()).map_err(Failure::Db)?;
    let (Some(collection_id), Some(_)) = (found.collection_id, found.modified) else {
        return Ok(Deletion::NoCollection(found.store_modified));
    };
    let time = tx.time(found.store_modified)?;
    let sizes: Vec<(i64,)> =
        sql::<(BigInt,)>(DELETE_BSOS).bind(tx.user).bind(collection_id).bind(json_list(ids).as_str()).rows(tx.conn)?;
    let bytes: i64 = sizes.iter().map(|(size,)| size).sum();
    let records = i64::try_from(sizes.len()).unwrap_or(i64::MAX);
    // No larger than before, whatever of it had expired: all that the quota wants to know.
    let growth = Growth { records: -records, bytes: -bytes, live_bytes: 0 };
    finish(tx, collection_id, time, growth).map(Deletion::Done)
}

/// The records of a batch go with it.
const DELETE_BATCHES: &str = "DELETE FROM batches INDEXED BY batches_user WHERE user_id = ? AND collection_id = ?";

const COLLECTION: [&str; 2] = [
    "DELETE FROM bsos WHERE user_id = ? AND collection_id = ?",
    "DELETE FROM user_collections WHERE user_id = ? AND collection_id = ?",
];

pub(crate) fn collection(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    condition: Precondition,
) -> Result<Deletion, Failure> {
    let found = tx.find(collection)?;
    condition.check(found.last_modified()).map_err(Failure::Db)?;
    let Some(collection_id) = found.collection_id else { return Ok(Deletion::NoCollection(found.store_modified)) };
    // Those of a collection that is yet to come, too: its client does not want them any more.
    sql(DELETE_BATCHES).bind(tx.user).bind(collection_id).run(tx.conn)?;
    if found.modified.is_none() {
        return Ok(Deletion::NoCollection(found.store_modified));
    }
    let time = tx.time(found.store_modified)?;
    for statement in COLLECTION {
        sql(statement).bind(tx.user).bind(collection_id).run(tx.conn)?;
    }
    emptied(tx, time).map(Deletion::Done)
}

const STORE: [&str; 3] = [
    "DELETE FROM bsos WHERE user_id = ?",
    "DELETE FROM batches INDEXED BY batches_user WHERE user_id = ?",
    "DELETE FROM user_collections WHERE user_id = ?",
];

pub(crate) fn store(tx: &mut Transaction<'_>, condition: Precondition) -> Result<Written, Failure> {
    let store_modified = tx.store_modified()?;
    condition.check(store_modified).map_err(Failure::Db)?;
    let time = tx.time(store_modified)?;
    for statement in STORE {
        sql(statement).bind(tx.user).run(tx.conn)?;
    }
    emptied(tx, time)
}

/// The end of a deletion that leaves no collection to stamp.
fn emptied(tx: &mut Transaction<'_>, time: SyncTimestamp) -> Result<Written, Failure> {
    tx.stamp_store(time)?;
    tx.written(time, Growth::default()).map_err(Failure::Db)
}
