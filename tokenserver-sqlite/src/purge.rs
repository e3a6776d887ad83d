//! Rows that are no longer in use.

use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{RETIRED, ReplacedRow, columns};

use crate::devices;
use crate::service;

const REPLACED: &str = "
    SELECT
        users.uid, users.email, users.generation, users.keys_changed_at, users.client_state, users.replaced_at,
        users.nodeid, nodes.node, EXISTS (SELECT 1 FROM nodes AS n WHERE n.service = users.service)
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
    sql::<columns::ReplacedRow>(REPLACED)
        .bind(service::load(conn)?.id)
        .bind(older_than_ms)
        .bind(after.map_or(-1, UserId::get))
        .bind(RETIRED)
        .bind(i64::from(limit))
        .rows(conn)
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
