//! What is done to users besides signing them in.

use diesel::sql_types::{BigInt, Text};
use futures_util::FutureExt;
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::{RETIRED, SERVICE};

use crate::service::{Conn, has_nul};
use crate::sign_in::account_lock;

const RETIRE: &str = "
    UPDATE users
    SET generation = $1, replaced_at = coalesce(replaced_at, $2)
    WHERE email = $3 AND service = (SELECT id FROM services WHERE service = $4)
        AND (generation < $1 OR replaced_at IS NULL)";

const REPLACE: &str = "
    UPDATE users
    SET replaced_at = $1
    WHERE email = $2 AND service = (SELECT id FROM services WHERE service = $3) AND replaced_at IS NULL";

const REPLACE_ON_NODE: &str = "
    UPDATE users
    SET replaced_at = $1
    WHERE nodeid = $2 AND service = (SELECT id FROM services WHERE service = $3)
        AND replaced_at IS NULL AND generation < $4";

const ON_NODES: &str = "
    SELECT nodeid, count(*) FROM users
    WHERE service = (SELECT id FROM services WHERE service = $1) AND replaced_at IS NULL AND generation < $2
    GROUP BY nodeid
    ORDER BY nodeid";

const RAISE_GENERATION: &str = "
    UPDATE users
    SET generation = $1
    WHERE uid = (
            SELECT uid
            FROM users
            WHERE email = $2 AND service = (SELECT id FROM services WHERE service = $3)
            ORDER BY generation DESC, created_at DESC, uid DESC
            LIMIT 1
        )
        AND generation < $1";

const COUNT: &str = "
    SELECT count(DISTINCT email) FROM users
    WHERE service = (SELECT id FROM services WHERE service = $1) AND generation < $2";

/// See [`TokenDb::retire_user`](tokenserver_db_common::TokenDb::retire_user).
pub(crate) async fn retire(engine: &PostgresEngine, email: &str, now_ms: i64) -> Result<bool, Fault> {
    if has_nul(email) {
        return Ok(false);
    }
    let email = email.to_owned();
    engine
        .transaction(&account_lock(&email), |conn| {
            let statement = sql::<()>(RETIRE)
                .bind::<BigInt, _>(RETIRED)
                .bind::<BigInt, _>(now_ms)
                .bind::<Text, _>(email.clone())
                .bind::<Text, _>(SERVICE);
            async move { Ok(statement.run(conn).await? > 0) }.boxed()
        })
        .await
}

/// See [`TokenDb::password_changed`](tokenserver_db_common::TokenDb::password_changed).
pub(crate) async fn raise_generation(engine: &PostgresEngine, email: &str, generation: i64) -> Result<bool, Fault> {
    if has_nul(email) {
        return Ok(false);
    }
    let email = email.to_owned();
    engine
        .transaction(&account_lock(&email), |conn| {
            let statement = sql::<()>(RAISE_GENERATION)
                .bind::<BigInt, _>(generation)
                .bind::<Text, _>(email.clone())
                .bind::<Text, _>(SERVICE);
            async move { Ok(statement.run(conn).await? > 0) }.boxed()
        })
        .await
}

/// See [`TokenDb::count_users`](tokenserver_db_common::TokenDb::count_users).
pub(crate) async fn count_all(engine: &PostgresEngine) -> Result<u64, Fault> {
    engine.read(|conn| count(conn).boxed()).await
}

pub(crate) async fn count(conn: &mut Conn) -> Result<u64, Fault> {
    let statement = sql::<(BigInt,)>(COUNT).bind::<Text, _>(SERVICE).bind::<BigInt, _>(RETIRED);
    let found: Option<(i64,)> = statement.row(conn).await?;
    Ok(found.map_or(0, |(count,)| count.unsigned_abs()))
}

/// See [`TokenAdmin::replace_user`](tokenserver_db_common::TokenAdmin::replace_user).
pub(crate) async fn replace(engine: &PostgresEngine, email: &str, now_ms: i64) -> Result<u64, Fault> {
    if has_nul(email) {
        return Ok(0);
    }
    let email = email.to_owned();
    engine
        .transaction(&account_lock(&email), |conn| {
            let statement =
                sql::<()>(REPLACE).bind::<BigInt, _>(now_ms).bind::<Text, _>(email.clone()).bind::<Text, _>(SERVICE);
            async move { Ok(statement.run(conn).await? as u64) }.boxed()
        })
        .await
}

/// See [`TokenAdmin::replace_users_of_node`](tokenserver_db_common::TokenAdmin::replace_users_of_node).
pub(crate) async fn replace_on_node(engine: &PostgresEngine, nodeid: i64, now_ms: i64) -> Result<u64, Fault> {
    let replaced = engine
        .write(|conn| {
            let statement = sql::<()>(REPLACE_ON_NODE)
                .bind::<BigInt, _>(now_ms)
                .bind::<BigInt, _>(nodeid)
                .bind::<Text, _>(SERVICE)
                .bind::<BigInt, _>(RETIRED);
            statement.run(conn)
        })
        .await?;
    Ok(replaced as u64)
}

/// See [`TokenAdmin::users_of_nodes`](tokenserver_db_common::TokenAdmin::users_of_nodes).
pub(crate) async fn on_nodes(engine: &PostgresEngine) -> Result<Vec<(i64, u64)>, Fault> {
    let found: Vec<(i64, i64)> = engine
        .read(|conn| {
            let statement = sql::<(BigInt, BigInt)>(ON_NODES).bind::<Text, _>(SERVICE);
            statement.bind::<BigInt, _>(RETIRED).rows(conn)
        })
        .await?;
    Ok(found.into_iter().map(|(nodeid, count)| (nodeid, count.unsigned_abs())).collect())
}
