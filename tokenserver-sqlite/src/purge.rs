//! Rows that are no longer in use.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{RETIRED, ReplacedRow, home};

use crate::devices;
use crate::service;
use crate::sign_in::stored_uid;

const REPLACED: &str = "
    SELECT
        users.uid, users.email, users.generation, users.keys_changed_at, users.client_state, users.replaced_at,
        users.nodeid, nodes.node
    FROM users LEFT JOIN nodes ON nodes.id = users.nodeid
    WHERE
        users.service = ? AND users.replaced_at < ? AND users.uid > ? AND coalesce(nodes.downed, 0) = 0
        AND (
            users.generation = ?
            OR EXISTS (
                SELECT 1 FROM users AS present
                WHERE
                    present.email = users.email AND present.service = users.service AND present.replaced_at IS NULL
            )
        )
    ORDER BY users.uid
    LIMIT ?";

const FORGET: &str = "DELETE FROM users WHERE uid = ? AND service = ? AND replaced_at IS NOT NULL";

/// See [`TokenDb::replaced_rows`](tokenserver_db_common::TokenDb::replaced_rows).
pub(crate) fn replaced_rows(
    conn: &mut SqliteConnection,
    older_than_ms: i64,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<ReplacedRow>, Fault> {
    type Columns = (BigInt, Text, BigInt, Nullable<BigInt>, Text, BigInt, BigInt, Nullable<Text>);
    type Row = (i64, String, i64, Option<i64>, String, i64, i64, Option<String>);
    let service = service::load(conn)?;
    let rows = sql::<Columns>(REPLACED)
        .bind(service.id)
        .bind(older_than_ms)
        .bind(after.map_or(-1, UserId::get))
        .bind(RETIRED)
        .bind(i64::from(limit))
        .rows::<Row>(conn)?;
    rows.into_iter()
        .map(|(uid, email, generation, keys_changed_at, client_state, replaced_at, nodeid, url)| {
            Ok(ReplacedRow {
                uid: stored_uid(uid)?,
                email,
                generation,
                keys_changed_at,
                client_state,
                replaced_at,
                node: home(nodeid, url.as_deref(), service.has_nodes),
            })
        })
        .collect()
}

/// See [`TokenDb::forget_row`](tokenserver_db_common::TokenDb::forget_row).
pub(crate) async fn forget_row(engine: &SqliteEngine, uid: UserId) -> Result<bool, Fault> {
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let forgotten = sql(FORGET).bind(uid.get()).bind(service).run(conn)? > 0;
            if forgotten {
                devices::forget(conn, uid)?;
            }
            Ok(forgotten)
        })
        .await
}
