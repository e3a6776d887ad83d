//! Removal of what has expired.

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::{BATCH_LIFETIME_MS, Fault, PurgeBudget, Purged};

/// Pages that one call gives back to the file system, at most: a bounded pause for the writes that wait.
const VACUUM_PAGES: u32 = 1000;

/// Found by the readers, so that the search holds up no write. Each user's expired rows are one
/// stretch of the index; without statistics SQLite may look at the whole of it instead.
const EXPIRED: &str = "
    SELECT b.row_id FROM stores s JOIN bsos b INDEXED BY bsos_expiry
        ON b.user_id = s.user_id AND b.expiry IS NOT NULL AND b.expiry <= ?
    LIMIT ?";

/// By the time of the deletion a row may have been written anew.
const DELETE_BSOS: &str = "
    DELETE FROM bsos WHERE row_id IN (SELECT value FROM json_each(?)) AND expiry <= ?
    RETURNING user_id, collection_id, payload_size";

const UNCOUNT: &str = "
    UPDATE user_collections SET count = count - 1, total_bytes = total_bytes - ?
    WHERE user_id = ? AND collection_id = ?";

const DELETE_BATCHES: &str = "
    DELETE FROM batches WHERE batch_id IN (SELECT batch_id FROM batches WHERE created < ? LIMIT ?)";

pub(crate) async fn purge(engine: &SqliteEngine, now_ms: i64, budget: PurgeBudget) -> Result<Purged, Fault> {
    let limit = i64::from(budget.rows);
    let mut conn = engine.reader().await?;
    let expired: Vec<(i64,)> = sql::<(BigInt,)>(EXPIRED).bind(now_ms).bind(limit).rows(&mut conn)?;
    drop(conn);
    engine
        .write(move |conn| {
            let bsos = delete_bsos(conn, &expired, now_ms)?;
            let stale = now_ms - BATCH_LIFETIME_MS;
            // A batch holds many rows: a few of them are as much work as all the rest.
            let few = (limit / 100).max(1).min(limit - i64::try_from(expired.len()).unwrap_or(limit));
            let batches = sql(DELETE_BATCHES).bind(stale).bind(few).run(conn)?;
            conn.batch_execute(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})")).map_err(Fault::internal)?;
            Ok(Purged {
                bsos,
                batches: u64::try_from(batches).unwrap_or(u64::MAX),
                more: expired.len() >= usize::try_from(limit).unwrap_or(usize::MAX)
                    || i64::try_from(batches).unwrap_or(i64::MAX) >= few,
            })
        })
        .await
}

fn delete_bsos(conn: &mut SqliteConnection, expired: &[(i64,)], now_ms: i64) -> Result<u64, Fault> {
    if expired.is_empty() {
        return Ok(0);
    }
    let row_ids: Vec<String> = expired.iter().map(|(row_id,)| row_id.to_string()).collect();
    let row_ids = format!("[{}]", row_ids.join(","));
    let deleted: Vec<(i64, i64, i64)> =
        sql::<(BigInt, BigInt, BigInt)>(DELETE_BSOS).bind(row_ids.as_str()).bind(now_ms).rows(conn)?;
    for (user, collection, size) in &deleted {
        sql(UNCOUNT).bind(*size).bind(*user).bind(*collection).run(conn)?;
    }
    Ok(u64::try_from(deleted.len()).unwrap_or(u64::MAX))
}
