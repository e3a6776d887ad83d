//! Removal of what nobody needs any more: expired records, stale batches, names of collections that nobody has, and the
//! space that they took.

use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{Reader, Sql, SqliteEngine, give_back, sql};
use syncstorage_db_common::{BATCH_LIFETIME_MS, Fault, PurgeBudget, Purged};

/// Pages that one call gives back to the file system, at most: a bounded pause for the writes that wait.
const VACUUM_PAGES: u32 = 1000;

/// So many free pages are left in the file for the writes to come, which would only make it grow again.
const SPARE_PAGES: u32 = 1000;

/// Each user's expired rows are one stretch of the index. CROSS JOIN has SQLite go by users, one step in the index for
/// each who has none, rather than over all records that will ever expire.
const EXPIRED: &str = "
    SELECT b.row_id FROM stores CROSS JOIN bsos b INDEXED BY bsos_expiry
        ON b.user_id = stores.user_id AND b.expiry IS NOT NULL AND b.expiry <= ?
    LIMIT ?";

/// By the time of the deletion a row may have been written anew.
const DELETE_BSO: &str = "
    DELETE FROM bsos WHERE row_id = ? AND expiry <= ?
    RETURNING user_id, collection_id, payload_size";

const UNCOUNT: &str = "
    UPDATE user_collections SET count = count - 1, total_bytes = total_bytes - ?
    WHERE user_id = ? AND collection_id = ?";

const STALE: &str = "
    SELECT batch_id FROM batches INDEXED BY batches_created WHERE created < ? ORDER BY created LIMIT 1";

const STAGED: &str = "SELECT row_id FROM batch_bsos INDEXED BY batch_bsos_id WHERE batch_id = ? LIMIT ?";

const DELETE_STAGED: &str = "DELETE FROM batch_bsos WHERE row_id = ?";

const DELETE_BATCH: &str = "DELETE FROM batches WHERE batch_id = ?";

/// Should the clock be set back, a batch of which something is missing must not be found any more.
const END_BATCH: &str = "UPDATE batches SET created = 0 WHERE batch_id = ?";

/// Names that some client made up, and that no collection and no batch bears.
const UNUSED: &str = "
    SELECT c.collection_id FROM collections c
    WHERE c.collection_id > 100
        AND NOT EXISTS (
            SELECT 1 FROM user_collections uc INDEXED BY user_collections_named
            WHERE uc.collection_id = c.collection_id AND uc.collection_id > 100)
        AND NOT EXISTS (
            SELECT 1 FROM batches b INDEXED BY batches_named
            WHERE b.collection_id = c.collection_id AND b.collection_id > 100)
    LIMIT ?";

/// By then somebody may have taken the name again. No id is kept beyond the transaction that looked it up, so that
/// nobody else misses it.
const DELETE_NAME: &str = "
    DELETE FROM collections
    WHERE collection_id = ?
        AND NOT EXISTS (
            SELECT 1 FROM user_collections uc INDEXED BY user_collections_named
            WHERE uc.collection_id = collections.collection_id AND uc.collection_id > 100)
        AND NOT EXISTS (
            SELECT 1 FROM batches b INDEXED BY batches_named
            WHERE b.collection_id = collections.collection_id AND b.collection_id > 100)";

/// What a search found for removal.
struct Found {
    /// Rows of records.
    expired: Vec<i64>,
    /// Numbers of collections.
    names: Vec<i64>,
}

pub(crate) async fn purge(engine: &SqliteEngine, now_ms: i64, budget: PurgeBudget) -> Result<Purged, Fault> {
    let limit = usize::try_from(budget.rows).unwrap_or(usize::MAX);
    let conn = engine.reader().await?;
    // By a reader, so that the search holds up no write, and on a thread where it holds up no request: it passes by all
    // users.
    let found = tokio::task::spawn_blocking(move || search(conn, now_ms, limit)).await.map_err(Fault::internal)??;
    engine.write(move |conn| remove(conn, &found, now_ms, limit)).await
}

fn search(mut conn: Reader, now_ms: i64, limit: usize) -> Result<Found, Fault> {
    let expired = numbers(sql(EXPIRED).bind(now_ms).bind(rows(limit)), &mut conn)?;
    let names = match limit - expired.len() {
        0 => Vec::new(),
        left => numbers(sql(UNUSED).bind(rows(left)), &mut conn)?,
    };
    Ok(Found { expired, names })
}

/// Whatever row is deleted counts, staged records and names too: it is work that other writes wait for. Row by row, since
/// SQLite may go over a whole table to find those of a list.
fn remove(conn: &mut SqliteConnection, found: &Found, now_ms: i64, limit: usize) -> Result<Purged, Fault> {
    let bsos = delete_bsos(conn, &found.expired, now_ms)?;
    let mut left = limit.saturating_sub(found.expired.len());
    let batches = delete_batches(conn, now_ms - BATCH_LIFETIME_MS, &mut left)?;
    for name in found.names.iter().take(left) {
        sql(DELETE_NAME).bind(*name).run(conn)?;
    }
    left = left.saturating_sub(found.names.len());
    let space = give_back(conn, SPARE_PAGES, VACUUM_PAGES)?;
    Ok(Purged { bsos, batches, more: left == 0 || space })
}

fn delete_bsos(conn: &mut SqliteConnection, expired: &[i64], now_ms: i64) -> Result<u64, Fault> {
    let mut bsos = 0;
    for row_id in expired {
        let deleted = sql::<(BigInt, BigInt, BigInt)>(DELETE_BSO).bind(*row_id).bind(now_ms);
        if let Some((user, collection, size)) = deleted.row::<(i64, i64, i64)>(conn)? {
            sql(UNCOUNT).bind(size).bind(user).bind(collection).run(conn)?;
            bsos += 1;
        }
    }
    Ok(bsos)
}

/// Deletes batches that were created before `stale_ms`, the records of each first, while there is something `left` of
/// the budget.
fn delete_batches(conn: &mut SqliteConnection, stale_ms: i64, left: &mut usize) -> Result<u64, Fault> {
    let mut batches = 0;
    while *left > 0 {
        let Some((batch_id,)) = sql::<(BigInt,)>(STALE).bind(stale_ms).row::<(i64,)>(conn)? else { break };
        let staged = numbers(sql(STAGED).bind(batch_id).bind(rows(*left)), conn)?;
        for row_id in &staged {
            sql(DELETE_STAGED).bind(*row_id).run(conn)?;
        }
        *left = left.saturating_sub(staged.len());
        if *left == 0 {
            sql(END_BATCH).bind(batch_id).run(conn)?;
        } else {
            sql(DELETE_BATCH).bind(batch_id).run(conn)?;
            *left -= 1;
            batches += 1;
        }
    }
    Ok(batches)
}

fn numbers(statement: Sql<'_, (BigInt,)>, conn: &mut SqliteConnection) -> Result<Vec<i64>, Fault> {
    let rows: Vec<(i64,)> = statement.rows(conn)?;
    Ok(rows.into_iter().map(|(number,)| number).collect())
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
