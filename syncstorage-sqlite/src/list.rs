//! Reads of a collection: a page, or all of it.

use std::fmt::Write;
use std::io;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{Reader, Sql, snapshot, sql};
use syncstorage_db_common::{
    Bso, BsoId, BsoQuery, CollectionRef, Cursor, DbError, DbResult, Fault, Precondition, Sort, Stamped, SyncTimestamp,
};
use tokio::sync::mpsc;

use crate::SqliteDb;
use crate::read::stored_sortindex;

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
struct Extent {
    last_modified: SyncTimestamp,
    collection_id: i64,
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

type BsoRow = (Text, BigInt, Nullable<BigInt>, Text);

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
    let mut count: u64 = 0;
    let mut last: Option<Cursor> = None;
    let mut more = false;
    statement(columns, at, extent, query, ids.as_deref(), now_ms).each(
        conn,
        |(id, modified, sortindex, payload): (String, i64, Option<i64>, String)| {
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
        },
    )?;
    Ok(Stamped { last_modified: extent.last_modified, value: last.filter(|_| more) })
}

/// The statement for a query. Its text depends on which conditions there are, never on their values, so that the
/// prepared forms are few. Each order walks an index from the place of the cursor on; with `newer` or `older` besides,
/// SQLite may choose that bound for the range where it has no statistics, and pass over what lies between.
fn statement<'a>(
    columns: Columns,
    at: &CollectionRef,
    extent: &Extent,
    query: &'a BsoQuery,
    ids: Option<&'a str>,
    now_ms: i64,
) -> Sql<'a, BsoRow> {
    let mut text = String::with_capacity(384);
    text.push_str(match columns {
        Columns::All => "SELECT id, modified, sortindex, payload",
        Columns::NoPayload => "SELECT id, modified, sortindex, ''",
    });
    text.push_str(" FROM bsos WHERE user_id = ? AND collection_id = ? AND (expiry IS NULL OR expiry > ?)");
    if ids.is_some() {
        text.push_str(" AND id IN (SELECT value FROM json_each(?))");
    }
    if query.newer.is_some() {
        text.push_str(" AND modified > ?");
    }
    if query.older.is_some() {
        text.push_str(" AND modified < ?");
    }
    let (key, direction, beyond) = match query.sort {
        Sort::Newest => ("modified", "DESC", "<"),
        Sort::Oldest => ("modified", "ASC", ">"),
        Sort::Index => ("ifnull(sortindex, -1000000000)", "DESC", "<"),
    };
    if query.after.is_some() {
        // Writing to a String cannot fail.
        // The first condition says nothing new, but it is the one that SQLite makes a range of the index of.
        let _ = write!(text, " AND {key} {beyond}= ? AND ({key}, id) {beyond} (?, ?)");
    }
    let _ = write!(text, " ORDER BY {key} {direction}, id {direction}");
    if query.limit.is_some() {
        text.push_str(" LIMIT ?");
    }

    let mut statement = sql::<BsoRow>(text).bind(at.user.get()).bind(extent.collection_id).bind(now_ms);
    if let Some(ids) = ids {
        statement = statement.bind(ids);
    }
    if let Some(newer) = query.newer {
        statement = statement.bind(newer.floor_ms());
    }
    if let Some(older) = query.older {
        statement = statement.bind(older.ceil_ms());
    }
    if let Some(after) = &query.after {
        let (key, id) = match after {
            Cursor::Modified(modified, id) => (modified.as_ms(), id),
            Cursor::Index(sortindex, id) => (sortindex.map_or(-1_000_000_000, i64::from), id),
        };
        statement = statement.bind(key).bind(key).bind(id.as_str());
    }
    if let Some(limit) = query.limit {
        // One more than asked for tells whether there is a next page.
        statement = statement.bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
    }
    statement
}

/// The ids as a JSON list: one value for any number of them.
pub(crate) fn json_list(ids: &[BsoId]) -> String {
    let mut json = String::with_capacity(2 + ids.len() * 16);
    json.push('[');
    for (index, id) in ids.iter().enumerate() {
        json.push_str(if index == 0 { "\"" } else { ",\"" });
        // An id is printable ASCII: only these two have a meaning in a JSON string.
        for character in id.as_str().chars() {
            if matches!(character, '"' | '\\') {
                json.push('\\');
            }
            json.push(character);
        }
        json.push('"');
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_ids_make_a_json_list() {
        let ids = [r#"a"b"#, r"\", "{x,y}", "' OR 1"].map(|id| BsoId::new(id).unwrap());
        assert_eq!(json_list(&ids), r#"["a\"b","\\","{x,y}","' OR 1"]"#);
        assert_eq!(json_list(&[]), "[]");
    }
}
