//! What is done to users besides signing them in.

use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::Fault;
use tokenserver_db_common::RETIRED;

use crate::service;

const RETIRE: &str = "
    UPDATE users
    SET generation = ?, replaced_at = coalesce(replaced_at, ?)
    WHERE email = ? AND service = ? AND (generation < ? OR replaced_at IS NULL)";

const REPLACE: &str = "UPDATE users SET replaced_at = ? WHERE email = ? AND service = ? AND replaced_at IS NULL";

const REPLACE_ON_NODE: &str = "
    UPDATE users
    SET replaced_at = ?
    WHERE nodeid = ? AND service = ? AND replaced_at IS NULL AND generation < ?";

const ON_NODES: &str = "
    SELECT nodeid, count(*) FROM users
    WHERE service = ? AND replaced_at IS NULL AND generation < ?
    GROUP BY nodeid
    ORDER BY nodeid";

const RAISE_GENERATION: &str = "
    UPDATE users
    SET generation = ?
    WHERE uid = (
            SELECT uid
            FROM users
            WHERE email = ? AND service = ?
            ORDER BY generation DESC, created_at DESC, uid DESC
            LIMIT 1
        )
        AND generation < ?";

const COUNT: &str = "SELECT count(DISTINCT email) FROM users WHERE service = ? AND generation < ?";

/// See [`TokenDb::retire_user`](tokenserver_db_common::TokenDb::retire_user).
pub(crate) async fn retire(engine: &SqliteEngine, email: &str, now_ms: i64) -> Result<bool, Fault> {
    let email = email.to_owned();
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let statement = sql(RETIRE).bind(RETIRED).bind(now_ms).bind(email.as_str()).bind(service).bind(RETIRED);
            Ok(statement.run(conn)? > 0)
        })
        .await
}

/// See [`TokenDb::password_changed`](tokenserver_db_common::TokenDb::password_changed).
pub(crate) async fn raise_generation(engine: &SqliteEngine, email: &str, generation: i64) -> Result<bool, Fault> {
    let email = email.to_owned();
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let statement = sql(RAISE_GENERATION).bind(generation).bind(email.as_str()).bind(service).bind(generation);
            Ok(statement.run(conn)? > 0)
        })
        .await
}

/// See [`TokenDb::count_users`](tokenserver_db_common::TokenDb::count_users).
pub(crate) fn count(conn: &mut SqliteConnection, service: i64) -> Result<u64, Fault> {
    let row = sql::<(BigInt,)>(COUNT).bind(service).bind(RETIRED).row::<(i64,)>(conn)?;
    Ok(row.map_or(0, |(count,)| count.unsigned_abs()))
}

/// See [`TokenAdmin::replace_user`](tokenserver_db_common::TokenAdmin::replace_user).
pub(crate) async fn replace(engine: &SqliteEngine, email: &str, now_ms: i64) -> Result<u64, Fault> {
    let email = email.to_owned();
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let replaced = sql(REPLACE).bind(now_ms).bind(email.as_str()).bind(service).run(conn)?;
            Ok(replaced as u64)
        })
        .await
}

/// See [`TokenAdmin::replace_users_of_node`](tokenserver_db_common::TokenAdmin::replace_users_of_node).
pub(crate) async fn replace_on_node(engine: &SqliteEngine, nodeid: i64, now_ms: i64) -> Result<u64, Fault> {
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let replaced = sql(REPLACE_ON_NODE).bind(now_ms).bind(nodeid).bind(service).bind(RETIRED).run(conn)?;
            Ok(replaced as u64)
        })
        .await
}

/// See [`TokenAdmin::users_of_nodes`](tokenserver_db_common::TokenAdmin::users_of_nodes).
pub(crate) fn on_nodes(conn: &mut SqliteConnection) -> Result<Vec<(i64, u64)>, Fault> {
    let service = service::load(conn)?.id;
    let rows = sql::<(BigInt, BigInt)>(ON_NODES).bind(service).bind(RETIRED).rows::<(i64, i64)>(conn)?;
    Ok(rows.into_iter().map(|(nodeid, count)| (nodeid, count.unsigned_abs())).collect())
}
