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
