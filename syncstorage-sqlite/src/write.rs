//! PUT and plain POST.

use diesel::sql_types::{BigInt, Nullable};
use sqlite_engine::{Sql, sql};
use syncstorage_db_common::{
    BsoChange, BsoId, CollectionName, DbError, Fault, NO_PAYLOAD, Patch, Precondition, SyncTimestamp, Written, expiry,
};

use crate::transaction::{Failure, Growth, Transaction};

pub(crate) fn put(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    change: &BsoChange,
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection)?;
    let collection_id = tx.collection_id(&found, collection)?;
    let row = Row::find(tx, collection_id, &change.id)?;
    let modified = row.as_ref().filter(|row| row.is_live(tx.now_ms)).map_or(SyncTimestamp::ZERO, |row| row.modified);
    condition.check(modified).map_err(Failure::Db)?;
    let time = tx.time(found.store_modified)?;
    let growth = apply(tx, collection_id, time, change, row.as_ref())?;
    finish(tx, collection_id, time, growth)
}

pub(crate) fn post(
    tx: &mut Transaction<'_>,
    collection: &CollectionName,
    changes: &[BsoChange],
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection)?;
    condition.check(found.last_modified()).map_err(Failure::Db)?;
    let time = tx.time(found.store_modified)?;
    let collection_id = tx.collection_id(&found, collection)?;
    let mut growth = Growth::default();
    for change in changes {
        let row = Row::find(tx, collection_id, &change.id)?;
        let one = apply(tx, collection_id, time, change, row.as_ref())?;
        growth.records += one.records;
        growth.bytes += one.bytes;
        growth.live_bytes += one.live_bytes;
    }
    finish(tx, collection_id, time, growth)
}

/// Stamps the collection and the store, and checks the quota.
pub(crate) fn finish(
    tx: &mut Transaction<'_>,
    collection_id: i64,
    time: SyncTimestamp,
    growth: Growth,
) -> Result<Written, Failure> {
    tx.stamp(collection_id, time, growth)?;
    tx.written(time, growth).map_err(Failure::Db)
}

/// A record's row, which may have expired, without its payload.
pub(crate) struct Row {
    pub(crate) row_id: i64,
    pub(crate) modified: SyncTimestamp,
    sortindex: Option<i64>,
    expiry: Option<i64>,
    pub(crate) size: i64,
}

type RowColumns = (i64, i64, Option<i64>, Option<i64>, i64);

const FIND: &str = "
    SELECT row_id, modified, sortindex, expiry, payload_size FROM bsos
    WHERE user_id = ? AND collection_id = ? AND id = ?";

impl Row {
    pub(crate) fn find(tx: &mut Transaction<'_>, collection_id: i64, id: &BsoId) -> Result<Option<Self>, Fault> {
        let row: Option<RowColumns> = sql::<(BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, BigInt)>(FIND)
            .bind(tx.user)
            .bind(collection_id)
            .bind(id.as_str())
            .row(tx.conn)?;
        Ok(row.map(|(row_id, modified, sortindex, expiry, size)| Self {
            row_id,
            modified: SyncTimestamp::from_ms(modified),
            sortindex,
            expiry,
            size,
        }))
    }

    pub(crate) fn is_live(&self, now_ms: i64) -> bool {
        is_live(self.expiry, now_ms)
    }
}

fn is_live(expiry: Option<i64>, now_ms: i64) -> bool {
    expiry.is_none_or(|expiry| expiry > now_ms)
}

const INSERT: &str = "
    INSERT INTO bsos (user_id, collection_id, id, modified, sortindex, expiry, payload_size, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

/// The statement that changes a row. It names only what is to change: SQLite writes every index that a named column is
/// part of, whether the value differs or not.
fn update<'a>(
    row_id: i64,
    modified: SyncTimestamp,
    sortindex: Option<Option<i64>>,
    expiry: Option<Option<i64>>,
    payload: Option<(i64, &'a str)>,
) -> Sql<'a> {
    let mut text = String::with_capacity(128);
    text.push_str("UPDATE bsos SET modified = ?");
    for (is_set, column) in [
        (sortindex.is_some(), ", sortindex = ?"),
        (expiry.is_some(), ", expiry = ?"),
        (payload.is_some(), ", payload_size = ?, payload = ?"),
    ] {
        if is_set {
            text.push_str(column);
        }
    }
    text.push_str(" WHERE row_id = ?");
    let mut statement = sql(text).bind(modified.as_ms());
    if let Some(sortindex) = sortindex {
        statement = statement.bind(sortindex);
    }
    if let Some(expiry) = expiry {
        statement = statement.bind(expiry);
    }
    if let Some((size, payload)) = payload {
        statement = statement.bind(size).bind(payload);
    }
    statement.bind(row_id)
}

/// Writes one record over its row, if it has one. What the change does not say stays, unless the row has expired.
fn apply(
    tx: &mut Transaction<'_>,
    collection_id: i64,
    time: SyncTimestamp,
    change: &BsoChange,
    row: Option<&Row>,
) -> Result<Growth, DbError> {
    let live = row.filter(|row| row.is_live(tx.now_ms));
    let sortindex = match change.sortindex {
        Patch::Keep => live.and_then(|row| row.sortindex),
        Patch::Reset => None,
        Patch::Set(sortindex) => Some(i64::from(sortindex)),
    };
    let expiry = match change.ttl {
        Patch::Keep => live.and_then(|row| row.expiry),
        Patch::Reset => None,
        Patch::Set(ttl) => Some(expiry(time, tx.now_ms, ttl)),
    };
    let modified = match live {
        Some(row) if !change.moves_modified() => row.modified,
        Some(_) | None => time,
    };
    let payload = match (&change.payload, live) {
        (Patch::Keep, Some(_)) => None,
        (Patch::Set(payload), _) => Some(payload.as_str()),
        (Patch::Keep | Patch::Reset, _) => Some(NO_PAYLOAD),
    };
    let old_size = row.map_or(0, |row| row.size);
    let old_live_size = live.map_or(0, |row| row.size);
    let size = payload.map_or(old_size, |payload| i64::try_from(payload.len()).unwrap_or(i64::MAX));

    match (row, payload) {
        (None, payload) => {
            sql(INSERT)
                .bind(tx.user)
                .bind(collection_id)
                .bind(change.id.as_str())
                .bind(modified.as_ms())
                .bind(sortindex)
                .bind(expiry)
                .bind(size)
                .bind(payload.unwrap_or(NO_PAYLOAD))
                .run(tx.conn)?;
        }
        (Some(row), payload) => {
            let sortindex = (sortindex != row.sortindex).then_some(sortindex);
            let expiry = (expiry != row.expiry).then_some(expiry);
            update(row.row_id, modified, sortindex, expiry, payload.map(|payload| (size, payload))).run(tx.conn)?;
        }
    }
    let live_size = if is_live(expiry, tx.now_ms) { size } else { 0 };
    Ok(Growth { records: i64::from(row.is_none()), bytes: size - old_size, live_bytes: live_size - old_live_size })
}
