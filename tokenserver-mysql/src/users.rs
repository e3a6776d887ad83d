//! What is done to users besides signing them in.

use diesel::sql_types::{BigInt, Text};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::RETIRED;

use crate::{lock, service};

/// Which rows of a table are an account's. Two placeholders take the e-mail: one for the index, which leaves out spaces at
/// the end, and one for every byte.
pub(crate) fn is_account(table: &str) -> String {
    format!("{table}.email = ? AND CAST({table}.email AS BINARY) = CAST(? AS BINARY)")
}

/// The number of users of a service, without the retired ones: accounts that differ by a space are two.
pub(crate) fn counted(service: &str) -> String {
    format!(
        "SELECT COUNT(DISTINCT CAST(email AS BINARY)) FROM users \
         WHERE service = {service} AND generation < {RETIRED}"
    )
}

/// See [`TokenDb::retire_user`](tokenserver_db_common::TokenDb::retire_user).
pub(crate) async fn retire(engine: &MysqlEngine, email: &str, now_ms: i64) -> Result<bool, Fault> {
    engine
        .transaction(&lock::account(email), |conn| {
            let email = email.to_owned();
            async move {
                let statement = sql(format!(
                    "UPDATE users SET generation = ?, replaced_at = COALESCE(replaced_at, ?) \
                     WHERE {} AND service = {} AND (generation < ? OR replaced_at IS NULL)",
                    is_account("users"),
                    service::ID
                ));
                let statement = statement
                    .bind::<BigInt, _>(RETIRED)
                    .bind::<BigInt, _>(now_ms)
                    .bind::<Text, _>(email.clone())
                    .bind::<Text, _>(email)
                    .bind::<BigInt, _>(RETIRED);
                Ok(statement.run(conn).await? > 0)
            }
            .boxed()
        })
        .await
}

const RAISE: &str = "UPDATE users SET generation = ? WHERE uid = ? AND generation < ?";

/// See [`TokenDb::password_changed`](tokenserver_db_common::TokenDb::password_changed).
pub(crate) async fn raise_generation(engine: &MysqlEngine, email: &str, generation: i64) -> Result<bool, Fault> {
    engine
        .transaction(&lock::account(email), |conn| {
            let email = email.to_owned();
            async move {
                let find = sql::<(BigInt,)>(format!(
                    "SELECT users.uid FROM users WHERE {} AND users.service = {} \
                     ORDER BY users.generation DESC, users.created_at DESC, users.uid DESC LIMIT 1",
                    is_account("users"),
                    service::ID
                ));
                let find = find.bind::<Text, _>(email.clone()).bind::<Text, _>(email);
                let current: Option<(i64,)> = find.row(conn).await?;
                let Some((uid,)) = current else { return Ok(false) };
                let raise =
                    sql(RAISE).bind::<BigInt, _>(generation).bind::<BigInt, _>(uid).bind::<BigInt, _>(generation);
                Ok(raise.run(conn).await? > 0)
            }
            .boxed()
        })
        .await
}

/// See [`TokenDb::count_users`](tokenserver_db_common::TokenDb::count_users).
pub(crate) async fn count(engine: &MysqlEngine) -> Result<u64, Fault> {
    let found: Option<(i64,)> = engine.read(|conn| sql::<(BigInt,)>(counted(service::ID)).row(conn)).await?;
    Ok(found.map_or(0, |(count,)| count.unsigned_abs()))
}

/// See [`TokenAdmin::replace_user`](tokenserver_db_common::TokenAdmin::replace_user).
pub(crate) async fn replace(engine: &MysqlEngine, email: &str, now_ms: i64) -> Result<u64, Fault> {
    engine
        .transaction(&lock::account(email), |conn| {
            let email = email.to_owned();
            async move {
                let statement = sql(format!(
                    "UPDATE users SET replaced_at = ? WHERE {} AND service = {} AND replaced_at IS NULL",
                    is_account("users"),
                    service::ID
                ));
                let statement =
                    statement.bind::<BigInt, _>(now_ms).bind::<Text, _>(email.clone()).bind::<Text, _>(email);
                Ok(statement.run(conn).await? as u64)
            }
            .boxed()
        })
        .await
}

/// See [`TokenAdmin::replace_users_of_node`](tokenserver_db_common::TokenAdmin::replace_users_of_node).
pub(crate) async fn replace_on_node(engine: &MysqlEngine, nodeid: i64, now_ms: i64) -> Result<u64, Fault> {
    let replaced = engine
        .write(|conn| {
            let statement = sql(format!(
                "UPDATE users SET replaced_at = ? \
                 WHERE nodeid = ? AND service = {} AND replaced_at IS NULL AND generation < ?",
                service::ID
            ));
            let statement = statement.bind::<BigInt, _>(now_ms).bind::<BigInt, _>(nodeid).bind::<BigInt, _>(RETIRED);
            statement.run(conn)
        })
        .await?;
    Ok(replaced as u64)
}

/// See [`TokenAdmin::users_of_nodes`](tokenserver_db_common::TokenAdmin::users_of_nodes).
pub(crate) async fn on_nodes(engine: &MysqlEngine) -> Result<Vec<(i64, u64)>, Fault> {
    let found: Vec<(i64, i64)> = engine
        .read(|conn| {
            let statement = sql::<(BigInt, BigInt)>(format!(
                "SELECT nodeid, COUNT(*) FROM users \
                 WHERE service = {} AND replaced_at IS NULL AND generation < ? GROUP BY nodeid ORDER BY nodeid",
                service::ID
            ));
            statement.bind::<BigInt, _>(RETIRED).rows(conn)
        })
        .await?;
    Ok(found.into_iter().map(|(nodeid, count)| (nodeid, count.unsigned_abs())).collect())
}
