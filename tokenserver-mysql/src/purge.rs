//! Rows that are no longer in use.

use diesel::sql_types::BigInt;
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{RETIRED, ReplacedRow, columns};

use crate::{devices, service};

/// See [`TokenDb::replaced_rows`](tokenserver_db_common::TokenDb::replaced_rows).
pub(crate) async fn replaced_rows(
    engine: &MysqlEngine,
    older_than_ms: i64,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<ReplacedRow>, Fault> {
    engine
        .read(|conn| {
            let service = service::ID;
            let statement = sql::<columns::ReplacedRow>(format!(
                "SELECT
                    u.uid, u.email, u.generation, u.keys_changed_at, u.client_state, u.replaced_at, u.nodeid, n.node,
                    EXISTS (SELECT 1 FROM nodes WHERE service = {service})
                FROM users u LEFT JOIN nodes n ON n.id = u.nodeid
                WHERE
                    u.service = {service} AND u.replaced_at < ? AND u.uid > ? AND COALESCE(n.downed, 0) = 0
                    AND (
                        u.generation = {RETIRED}
                        OR EXISTS (
                            SELECT 1 FROM users present
                            WHERE
                                present.email = u.email AND present.service = u.service
                                AND present.replaced_at IS NULL
                        )
                    )
                ORDER BY u.uid
                LIMIT ?"
            ));
            let statement = statement
                .bind::<BigInt, _>(older_than_ms)
                .bind::<BigInt, _>(after.map_or(-1, UserId::get))
                .bind::<BigInt, _>(i64::from(limit));
            statement.rows(conn.without_limit())
        })
        .await
}

/// See [`TokenDb::forget_row`](tokenserver_db_common::TokenDb::forget_row).
pub(crate) async fn forget_row(engine: &MysqlEngine, uid: UserId) -> Result<bool, Fault> {
    engine
        .transaction("", |conn| {
            async move {
                let statement = sql(format!(
                    "DELETE FROM users WHERE uid = ? AND service = {} AND replaced_at IS NOT NULL",
                    service::ID
                ));
                let forgotten = statement.bind::<BigInt, _>(uid.get()).run(conn).await? > 0;
                if forgotten {
                    conn.finish_with(devices::forget(uid));
                }
                Ok(forgotten)
            }
            .boxed()
        })
        .await
}
