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
