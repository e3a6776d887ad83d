//! The row of `services` that all the others refer to.

use diesel::sql_types::{Integer, Text};
use diesel_async::AsyncPgConnection;
use network_engine::postgres::sql;
use network_engine::{Connection, PostgresEngine};
use syncstorage_db_common::Fault;
use tokenserver_db_common::SERVICE;

/// A connection to the database.
pub(crate) type Conn = Connection<AsyncPgConnection>;

const LOAD: &str = "SELECT id FROM services WHERE service = $1";

/// The id of the service of this server.
pub(crate) async fn load(conn: &mut Conn) -> Result<i32, Fault> {
    let found: Option<(i32,)> = sql::<(Integer,)>(LOAD).bind::<Text, _>(SERVICE).row(conn).await?;
    found.map(|(id,)| id).ok_or_else(lost)
}

/// What is wrong when there is no such row.
pub(crate) fn lost() -> Fault {
    Fault::internal(format!("the table services has lost its row {SERVICE:?}; insert it again"))
}

/// Asks the database for the row.
pub(crate) async fn check(engine: &PostgresEngine) -> Result<(), Fault> {
    // A check is to fail when the server does not answer now, so that it gets no second attempt.
    let mut conn = engine.connection().await?;
    load(&mut conn).await.map(drop)
}

/// Whether a text is one that no row can have: Postgres knows no U+0000.
pub(crate) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}
