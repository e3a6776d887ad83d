//! Rows that are no longer in use.

use diesel::sql_types::{BigInt, Text};
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{RETIRED, ReplacedRow, SERVICE, columns};

const REPLACED: &str = "
    SELECT
        users.uid, users.email, users.generation, users.keys_changed_at, users.client_state, users.replaced_at,
        users.nodeid, nodes.node, EXISTS (SELECT 1 FROM nodes n WHERE n.service = services.id)
    FROM services
        JOIN users ON users.service = services.id
        LEFT JOIN nodes ON nodes.id = users.nodeid
    WHERE
        services.service = $1 AND users.replaced_at < $2 AND users.uid > $3 AND coalesce(nodes.downed, 0) = 0
        AND (
            users.generation = $4
            OR EXISTS (
                SELECT 1 FROM users present
                WHERE
                    present.email = users.email AND present.service = users.service AND present.replaced_at IS NULL
            )
        )
    ORDER BY users.uid
    LIMIT $5";

/// What was noted of the row goes with it.
const FORGET: &str = "
    WITH gone AS (
        DELETE FROM users
        WHERE uid = $1 AND service = (SELECT id FROM services WHERE service = $2) AND replaced_at IS NOT NULL
        RETURNING uid
    ), devices AS (
        DELETE FROM syncserver_devices WHERE uid IN (SELECT uid FROM gone)
    )
    SELECT uid FROM gone";

/// See [`TokenDb::replaced_rows`](tokenserver_db_common::TokenDb::replaced_rows).
pub(crate) async fn replaced_rows(
    engine: &PostgresEngine,
    older_than_ms: i64,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<ReplacedRow>, Fault> {
    engine
        .read(move |conn| {
            let statement = sql::<columns::ReplacedRow>(REPLACED)
                .bind::<Text, _>(SERVICE)
                .bind::<BigInt, _>(older_than_ms)
                .bind::<BigInt, _>(after.map_or(-1, UserId::get))
                .bind::<BigInt, _>(RETIRED)
                .bind::<BigInt, _>(i64::from(limit));
            statement.rows(conn.without_limit())
        })
        .await
}

/// See [`TokenDb::forget_row`](tokenserver_db_common::TokenDb::forget_row).
pub(crate) async fn forget_row(engine: &PostgresEngine, uid: UserId) -> Result<bool, Fault> {
    let forgotten: Option<(i64,)> = engine
        .write(move |conn| sql::<(BigInt,)>(FORGET).bind::<BigInt, _>(uid.get()).bind::<Text, _>(SERVICE).row(conn))
        .await?;
    Ok(forgotten.is_some())
}
