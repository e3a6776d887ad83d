//! Small reads: one statement each, so that each sees one state of the store.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::sql;
use syncstorage_db_common::{
    Bso, BsoRef, CollectionName, DbError, DbResult, Fault, Precondition, Stamped, SyncTimestamp, UserId,
};

/// The store first, without a name, then its collections.
const COLLECTIONS: &str = "
    SELECT NULL, modified FROM stores WHERE user_id = ?
    UNION ALL
    SELECT c.name, uc.modified
    FROM user_collections uc JOIN collections c USING (collection_id)
    WHERE uc.user_id = ?";

pub(crate) fn collections(
    conn: &mut SqliteConnection,
    user: UserId,
    condition: Precondition,
) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
    let mut last_modified = SyncTimestamp::ZERO;
    let mut collections = Vec::with_capacity(16);
    sql::<(Nullable<Text>, BigInt)>(COLLECTIONS).bind(user.get()).bind(user.get()).each(
        conn,
        |(name, modified): (Option<String>, i64)| {
            let modified = SyncTimestamp::from_ms(modified);
            match name {
                Some(name) => collections.push((CollectionName::from_stored(name), modified)),
                None => last_modified = modified,
            }
            Ok::<(), Fault>(())
        },
    )?;
    condition.check(last_modified)?;
    Ok(Stamped { last_modified, value: collections })
}

/// What a collection holds that has not expired.
pub(crate) struct Usage {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
}

/// As [`COLLECTIONS`], with the counters less what has expired and is not purged yet.
const USAGE: &str = "
    SELECT NULL, modified, 0, 0 FROM stores WHERE user_id = ?
    UNION ALL
    SELECT c.name, 0,
        uc.count - count(b.expiry), uc.total_bytes - ifnull(sum(b.payload_size), 0)
    FROM user_collections uc
        JOIN collections c USING (collection_id)
        LEFT JOIN bsos b INDEXED BY bsos_expiry
            ON b.user_id = uc.user_id AND b.expiry IS NOT NULL AND b.expiry <= ? AND b.collection_id = uc.collection_id
    WHERE uc.user_id = ?
    GROUP BY c.collection_id";

pub(crate) fn usage(
    conn: &mut SqliteConnection,
    user: UserId,
    condition: Precondition,
    now_ms: i64,
    figure: fn(&Usage) -> u64,
) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
    let mut last_modified = SyncTimestamp::ZERO;
    let mut figures = Vec::with_capacity(16);
    sql::<(Nullable<Text>, BigInt, BigInt, BigInt)>(USAGE).bind(user.get()).bind(now_ms).bind(user.get()).each(
        conn,
        |(name, modified, records, bytes): (Option<String>, i64, i64, i64)| {
            let usage = Usage { records: records.unsigned_abs(), bytes: bytes.unsigned_abs() };
            match name {
                Some(name) if usage.records > 0 => {
                    figures.push((CollectionName::from_stored(name), figure(&usage)));
                }
                Some(_) => {}
                None => last_modified = SyncTimestamp::from_ms(modified),
            }
            Ok::<(), Fault>(())
        },
    )?;
    condition.check(last_modified)?;
    Ok(Stamped { last_modified, value: figures })
}

/// The store's time, and all its bytes less the expired ones.
const QUOTA: &str = "
    SELECT
        (SELECT modified FROM stores WHERE user_id = ?),
        (SELECT ifnull(sum(total_bytes), 0) FROM user_collections WHERE user_id = ?)
        - (SELECT ifnull(sum(payload_size), 0) FROM bsos INDEXED BY bsos_expiry
           WHERE user_id = ? AND expiry IS NOT NULL AND expiry <= ?)";

pub(crate) fn quota(
    conn: &mut SqliteConnection,
    user: UserId,
    condition: Precondition,
    now_ms: i64,
) -> DbResult<Stamped<u64>> {
    let user = user.get();
    let (modified, used) = sql::<(Nullable<BigInt>, BigInt)>(QUOTA)
        .bind(user)
        .bind(user)
        .bind(user)
        .bind(now_ms)
        .row::<(Option<i64>, i64)>(conn)?
        .ok_or_else(|| Fault::internal("a statement without FROM gave no row"))?;
    let last_modified = SyncTimestamp::from_ms(modified.unwrap_or(0));
    condition.check(last_modified)?;
    Ok(Stamped { last_modified, value: used.unsigned_abs() })
}

const BSO: &str = "
    SELECT modified, sortindex, payload FROM bsos
    WHERE user_id = ? AND collection_id = (SELECT collection_id FROM collections WHERE name = ?) AND id = ?
        AND (expiry IS NULL OR expiry > ?)";

pub(crate) fn bso(conn: &mut SqliteConnection, at: &BsoRef, condition: Precondition, now_ms: i64) -> DbResult<Bso> {
    let row: Option<(i64, Option<i64>, String)> = sql::<(BigInt, Nullable<BigInt>, Text)>(BSO)
        .bind(at.user.get())
        .bind(at.collection.as_str())
        .bind(at.id.as_str())
        .bind(now_ms)
        .row(conn)?;
    let (modified, sortindex, payload) = row.ok_or(DbError::NotFound)?;
    let modified = SyncTimestamp::from_ms(modified);
    condition.check(modified)?;
    Ok(Bso { id: at.id.clone(), modified, sortindex: stored_sortindex(sortindex), payload })
}

/// SQLite's integers have 64 bits; a sortindex fits into 32, as it was checked when it came in.
pub(crate) fn stored_sortindex(sortindex: Option<i64>) -> Option<i32> {
    sortindex.and_then(|sortindex| i32::try_from(sortindex).ok())
}
