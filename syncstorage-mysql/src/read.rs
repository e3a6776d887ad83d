//! Small reads: one statement each, so that each sees one state of the store.

use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{
    Bso, BsoRef, CollectionName, DbError, DbResult, Fault, Precondition, Stamped, SyncTimestamp, UserId,
};

use crate::names::Names;
use crate::transaction::TOMBSTONE;

/// The times alone: the names are known.
const COLLECTIONS: &str = "SELECT collection, last_modified FROM user_collections WHERE userid = ?";

/// For numbers that this process has not seen yet.
const NAMED_COLLECTIONS: &str = "
    SELECT uc.collection, uc.last_modified, c.name
    FROM user_collections uc LEFT JOIN collections c ON c.id = uc.collection
    WHERE uc.userid = ?";

pub(crate) async fn collections(
    engine: &MysqlEngine,
    names: &Names,
    user: UserId,
    condition: Precondition,
) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
    let user = user.get();
    let found: Vec<(i64, i64)> =
        engine.read(|conn| sql::<(BigInt, BigInt)>(COLLECTIONS).bind::<BigInt, _>(user).rows(conn)).await?;
    let named: Option<Vec<_>> = found
        .iter()
        .filter(|(collection, _)| *collection != TOMBSTONE)
        .map(|(collection, modified)| Some((names.name(*collection)?, SyncTimestamp::from_ms(*modified))))
        .collect();
    let times = found.iter().map(|(_, modified)| *modified);
    let (last_modified, value) = match named {
        Some(named) => (store_modified(times), named),
        None => named_collections(engine, names, user).await?,
    };
    condition.check(last_modified)?;
    Ok(Stamped { last_modified, value })
}

async fn named_collections(
    engine: &MysqlEngine,
    names: &Names,
    user: i64,
) -> Result<(SyncTimestamp, Vec<(CollectionName, SyncTimestamp)>), Fault> {
    let found: Vec<(i64, i64, Option<String>)> = engine
        .read(|conn| {
            let statement = sql::<(BigInt, BigInt, Nullable<Text>)>(NAMED_COLLECTIONS);
            statement.bind::<BigInt, _>(user).rows(conn)
        })
        .await?;
    let last_modified = store_modified(found.iter().map(|(_, modified, _)| *modified));
    let mut value = Vec::with_capacity(found.len());
    for (collection, modified, name) in found {
        if let Some(name) = name
            && collection != TOMBSTONE
        {
            let name = CollectionName::from_stored(name);
            names.remember(name.clone(), collection);
            value.push((name, SyncTimestamp::from_ms(modified)));
        }
    }
    Ok((last_modified, value))
}

/// The time of the store is the latest of its collections, of the one that remembers deletions, too.
fn store_modified(times: impl Iterator<Item = i64>) -> SyncTimestamp {
    SyncTimestamp::from_ms(times.max().unwrap_or(0))
}

/// What a collection holds that has not expired.
pub(crate) struct Usage {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
}

const USAGE: &str = "
    SELECT
        uc.collection, MAX(uc.last_modified), MAX(c.name),
        COUNT(b.id), CAST(COALESCE(SUM(b.payload_size), 0) AS SIGNED)
    FROM user_collections uc
        LEFT JOIN collections c ON c.id = uc.collection
        LEFT JOIN bso b FORCE INDEX (PRIMARY)
            ON b.userid = uc.userid AND b.collection = uc.collection AND b.ttl > ?
    WHERE uc.userid = ?
    GROUP BY uc.collection";

pub(crate) async fn usage(
    engine: &MysqlEngine,
    user: UserId,
    condition: Precondition,
    now_ms: i64,
    figure: fn(&Usage) -> u64,
) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
    type Columns = (BigInt, BigInt, Nullable<Text>, BigInt, BigInt);
    let user = user.get();
    let found: Vec<(i64, i64, Option<String>, i64, i64)> =
        engine.read(|conn| sql::<Columns>(USAGE).bind::<BigInt, _>(now_ms).bind::<BigInt, _>(user).rows(conn)).await?;
    let last_modified = store_modified(found.iter().map(|(_, modified, ..)| *modified));
    condition.check(last_modified)?;
    let value = found
        .into_iter()
        .filter_map(|(collection, _, name, records, bytes)| {
            let usage = Usage { records: records.unsigned_abs(), bytes: bytes.unsigned_abs() };
            let name = name.filter(|_| collection != TOMBSTONE && usage.records > 0)?;
            Some((CollectionName::from_stored(name), figure(&usage)))
        })
        .collect();
    Ok(Stamped { last_modified, value })
}

const QUOTA: &str = "
    SELECT
        (SELECT MAX(last_modified) FROM user_collections WHERE userid = ?),
        (
            SELECT CAST(COALESCE(SUM(payload_size), 0) AS SIGNED)
            FROM bso FORCE INDEX (PRIMARY)
            WHERE userid = ? AND ttl > ?
        )";

pub(crate) async fn quota(
    engine: &MysqlEngine,
    user: UserId,
    condition: Precondition,
    now_ms: i64,
) -> DbResult<Stamped<u64>> {
    let user = user.get();
    let found: Option<(Option<i64>, i64)> = engine
        .read(|conn| {
            let statement = sql::<(Nullable<BigInt>, BigInt)>(QUOTA)
                .bind::<BigInt, _>(user)
                .bind::<BigInt, _>(user)
                .bind::<BigInt, _>(now_ms);
            statement.row(conn)
        })
        .await?;
    let (modified, used) = found.ok_or_else(|| Fault::internal("a statement without FROM gave no row"))?;
    let last_modified = SyncTimestamp::from_ms(modified.unwrap_or(0));
    condition.check(last_modified)?;
    Ok(Stamped { last_modified, value: used.unsigned_abs() })
}

pub(crate) async fn bso(
    engine: &MysqlEngine,
    names: &Names,
    at: &BsoRef,
    condition: Precondition,
    now_ms: i64,
) -> DbResult<Bso> {
    type Columns = (BigInt, Nullable<BigInt>, Text);
    let user = at.user.get();
    let key = names.key(&at.collection);
    let id = at.id.as_str().as_bytes().to_vec();
    let found: Option<(i64, Option<i64>, String)> = engine
        .read(|conn| {
            let text = format!(
                "SELECT modified, sortindex, payload FROM bso \
                 WHERE userid = ? AND collection = {} AND id = ? AND ttl > ?",
                key.text()
            );
            let statement = key.bind(sql::<Columns>(text).bind::<BigInt, _>(user));
            statement.bind::<Binary, _>(id.clone()).bind::<BigInt, _>(now_ms).row(conn)
        })
        .await?;
    let (modified, sortindex, payload) = found.ok_or(DbError::NotFound)?;
    let modified = SyncTimestamp::from_ms(modified);
    condition.check(modified)?;
    Ok(Bso { id: at.id.clone(), modified, sortindex: stored_sortindex(sortindex), payload })
}

/// A sortindex fits into 32 bits, as its column does.
pub(crate) fn stored_sortindex(sortindex: Option<i64>) -> Option<i32> {
    sortindex.and_then(|sortindex| i32::try_from(sortindex).ok())
}
