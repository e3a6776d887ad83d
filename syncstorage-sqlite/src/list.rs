//! Reads of a collection: a page, or all of it.

use std::io;

use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{Reader, snapshot, sql};
use syncstorage_db_common::{
    Bso, BsoId, BsoQuery, CollectionRef, Cursor, DbError, DbResult, Fault, Precondition, Stamped, SyncTimestamp,
};
use tokio::sync::mpsc;

use crate::SqliteDb;
use crate::read::stored_sortindex;
use crate::select::{self, json_list};

/// A read that is sure to be smaller than this, in bytes of payload, is done where it is asked for; a larger one would
/// hold up the other requests of that thread.
const SMALL_BYTES: i64 = 256 * 1024;

/// The same in records.
const SMALL_RECORDS: i64 = 1000;

/// A large read hands over so many records at once…
const CHUNK_RECORDS: usize = 256;

/// …or so many bytes of payload.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is read of each record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// The record.
    All,
    /// The record with an empty payload.
    NoPayload,
}

/// Where the records go.
type Take<'a> = &'a mut (dyn FnMut(Bso) -> io::Result<()> + Send);

/// What is known of a collection before it is read.
pub(crate) struct Extent {
    last_modified: SyncTimestamp,
    pub(crate) collection_id: i64,
    records: i64,
    bytes: i64,
}

impl SqliteDb {
    pub(crate) async fn list(
        &self,
        columns: Columns,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        take: Take<'_>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        let now_ms = self.options.clock.now_ms();
        let mut conn = self.engine.reader().await?;
        let done = snapshot(&mut conn, |conn| {
            let Some(extent) = extent(conn, at)? else {
                condition.check(SyncTimestamp::ZERO)?;
                return Ok(Some(Stamped { last_modified: SyncTimestamp::ZERO, value: None }));
            };
            condition.check(extent.last_modified)?;
            if selects_nothing(query, &extent) {
                return Ok(Some(Stamped { last_modified: extent.last_modified, value: None }));
            }
            if !is_small(columns, query, &extent) {
                return Ok(None);
            }
            page(conn, columns, at, &extent, query, now_ms, &mut |bso| take(bso).map_err(DbError::Output)).map(Some)
        })?;
        match done {
            Some(page) => Ok(page),
            None => large(conn, columns, at.clone(), query.clone(), condition, now_ms, take).await,
        }
    }
}

const EXTENT: &str = "
    SELECT uc.modified, uc.collection_id, uc.count, uc.total_bytes
    FROM collections c JOIN user_collections uc USING (collection_id)
    WHERE c.name = ? AND uc.user_id = ?";

fn extent(conn: &mut SqliteConnection, at: &CollectionRef) -> Result<Option<Extent>, Fault> {
    let row: Option<(i64, i64, i64, i64)> =
        sql::<(BigInt, BigInt, BigInt, BigInt)>(EXTENT).bind(at.collection.as_str()).bind(at.user.get()).row(conn)?;
    Ok(row.map(|(modified, collection_id, records, bytes)| Extent {
        last_modified: SyncTimestamp::from_ms(modified),
        collection_id,
        records,
        bytes,
    }))
}

/// The most common question is for what is newer than all there is.
fn selects_nothing(query: &BsoQuery, extent: &Extent) -> bool {
    query.limit == Some(0)
        || query.ids.as_ref().is_some_and(Vec::is_empty)
        || query.newer.is_some_and(|newer| newer.floor_ms() >= extent.last_modified.as_ms())
}

fn is_small(columns: Columns, query: &BsoQuery, extent: &Extent) -> bool {
    if extent.bytes <= SMALL_BYTES && extent.records <= SMALL_RECORDS {
        return true;
    }
    let ids = query.ids.as_ref().map(Vec::len);
    let limit = query.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let Some(most) = ids.into_iter().chain(limit).min().and_then(|most| i64::try_from(most).ok()) else { return false };
    let average = extent.bytes / extent.records.max(1);
    most <= SMALL_RECORDS && (columns == Columns::NoPayload || most.saturating_mul(average) <= SMALL_BYTES)
}

/// Reads on a thread where nothing else waits, a chunk ahead of `take`. When nobody takes any more, it ends.
async fn large(
    mut conn: Reader,
    columns: Columns,
    at: CollectionRef,
    query: BsoQuery,
    condition: Precondition,
    now_ms: i64,
    take: Take<'_>,
) -> DbResult<Stamped<Option<Cursor>>> {
    let (chunks, mut taken) = mpsc::channel::<Vec<Bso>>(1);
    let reading = tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        let hand_over = |chunk: &mut Vec<Bso>| {
            chunks.blocking_send(std::mem::take(chunk)).map_err(|_| DbError::Output(io::ErrorKind::BrokenPipe.into()))
        };
        let result = snapshot(&mut conn, |conn| {
            let Some(extent) = extent(conn, &at)? else {
                condition.check(SyncTimestamp::ZERO)?;
                return Ok(Stamped { last_modified: SyncTimestamp::ZERO, value: None });
            };
            condition.check(extent.last_modified)?;
            page(conn, columns, &at, &extent, &query, now_ms, &mut |bso| {
                bytes += bso.payload.len();
                chunk.push(bso);
                if chunk.len() >= CHUNK_RECORDS || bytes >= CHUNK_BYTES {
                    bytes = 0;
                    hand_over(&mut chunk)?;
                }
                Ok(())
            })
        })?;
        hand_over(&mut chunk)?;
        Ok(result)
    });
    while let Some(chunk) = taken.recv().await {
        for bso in chunk {
            take(bso).map_err(DbError::Output)?;
        }
    }
    reading.await.map_err(Fault::internal)?
}

/// Hands the records of `query` to `take`, in order. Returns where the next page begins.
fn page(
    conn: &mut SqliteConnection,
    columns: Columns,
    at: &CollectionRef,
    extent: &Extent,
    query: &BsoQuery,
    now_ms: i64,
    take: &mut dyn FnMut(Bso) -> DbResult<()>,
) -> DbResult<Stamped<Option<Cursor>>> {
    let limit = query.limit.unwrap_or(u64::MAX);
    let ids = query.ids.as_deref().map(json_list);
    let statement = select::statement(conn, columns, at, extent, query, ids.as_deref(), now_ms)?;
    let mut count: u64 = 0;
    let mut last: Option<Cursor> = None;
    let mut more = false;
    statement.each(conn, |(id, modified, sortindex, payload): (String, i64, Option<i64>, String)| {
        if count == limit {
            more = true;
            return Ok(());
        }
        count += 1;
        let bso = Bso {
            id: BsoId::from_stored(id),
            modified: SyncTimestamp::from_ms(modified),
            sortindex: stored_sortindex(sortindex),
            payload,
        };
        if count == limit {
            last = Some(Cursor::of(query.sort, &bso.id, bso.modified, bso.sortindex));
        }
        take(bso)
    })?;
    Ok(Stamped { last_modified: extent.last_modified, value: last.filter(|_| more) })
}
