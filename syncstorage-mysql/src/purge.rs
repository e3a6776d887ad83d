//! Removal of what has expired.
//!
//! It is found without locks, and removed in small pieces by primary key, as the users' writes lock it: what holds up a
//! write is one piece, and what was written anew in the meantime stays.

use diesel::sql_types::{BigInt, Binary};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{BATCH_LIFETIME_MS, Fault, PurgeBudget, Purged};

use crate::open_batch::SPREAD_MS;
use crate::transaction::lock;

/// Records of one statement and transaction.
const PIECE: usize = 64;

const EXPIRED: &str = "
    SELECT userid, collection, id FROM bso FORCE INDEX (bso_expiry_idx)
    WHERE ttl <= ?
    ORDER BY ttl
    LIMIT ?";

/// The primary key of a record.
type BsoKey = (i64, i64, Vec<u8>);

/// The first condition keeps to the primary key, since the number is about the time.
const STALE: &str = "
    SELECT batch, userid FROM batch_uploads
    WHERE batch < ? AND COALESCE(created, batch) < ?
    ORDER BY batch
    LIMIT ?";

pub(crate) async fn purge(engine: &MysqlEngine, now_ms: i64, budget: PurgeBudget) -> Result<Purged, Fault> {
    let limit = i64::from(budget.rows);
    let mut expired: Vec<BsoKey> = engine
        .read(|conn| {
            let statement = sql::<(BigInt, BigInt, Binary)>(EXPIRED);
            statement.bind::<BigInt, _>(now_ms).bind::<BigInt, _>(limit).rows(conn.without_limit())
        })
        .await?;
    let found = i64::try_from(expired.len()).unwrap_or(limit);
    expired.sort_unstable();
    let mut purged = Purged::default();
    for piece in expired.chunks(PIECE) {
        purged.bsos += delete_bsos(engine, now_ms, piece).await?;
    }

    // A batch holds many rows: a few of them are as much work as all the rest.
    let few = (limit / 100).max(1).min(limit - found);
    let stale: Vec<(i64, i64)> = engine
        .read(|conn| {
            let before = now_ms - BATCH_LIFETIME_MS;
            let statement = sql::<(BigInt, BigInt)>(STALE)
                .bind::<BigInt, _>(before + SPREAD_MS + 1)
                .bind::<BigInt, _>(before)
                .bind::<BigInt, _>(few);
            statement.rows(conn.without_limit())
        })
        .await?;
    for (batch, user) in &stale {
        delete_batch(engine, *batch, *user).await?;
        purged.batches += 1;
    }
    purged.more = found >= limit || i64::try_from(stale.len()).unwrap_or(few) >= few;
    Ok(purged)
}

/// The form with a table's name twice is the one that takes an index; no other rows must be walked, and locked.
async fn delete_bsos(engine: &MysqlEngine, now_ms: i64, piece: &[BsoKey]) -> Result<u64, Fault> {
    let deleted = engine
        .write(|conn| {
            let mut text = String::with_capacity(4096);
            text.push_str("DELETE b FROM bso b FORCE INDEX (PRIMARY) WHERE b.ttl <= ? AND (");
            for index in 0..PIECE {
                text.push_str(if index == 0 { "" } else { " OR " });
                text.push_str("(b.userid = ? AND b.collection = ? AND b.id = ?)");
            }
            text.push(')');
            let mut statement = sql(text).bind::<BigInt, _>(now_ms);
            // A smaller piece says its last record again and again.
            for (user, collection, id) in piece.iter().chain(piece.last().into_iter().cycle()).take(PIECE) {
                statement =
                    statement.bind::<BigInt, _>(*user).bind::<BigInt, _>(*collection).bind::<Binary, _>(id.clone());
            }
            statement.run(conn)
        })
        .await?;
    Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
}

/// Under the user's lock: a request that finds the batch still open, by a clock that is behind, is done before or after.
async fn delete_batch(engine: &MysqlEngine, batch: i64, user: i64) -> Result<(), Fault> {
    engine
        .transaction(&lock(user), |conn| {
            async move {
                conn.without_limit().finish_with(format!(
                    "DELETE i FROM batch_upload_items i FORCE INDEX (PRIMARY) \
                     WHERE i.batch = {batch} AND i.userid = {user}; \
                     DELETE u FROM batch_uploads u FORCE INDEX (PRIMARY) WHERE u.batch = {batch} AND u.userid = {user}"
                ));
                Ok(())
            }
            .boxed()
        })
        .await
}
