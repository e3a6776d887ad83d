//! The row of `services` that all the others refer to.

use diesel::sql_types::{BigInt, Text};
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::SERVICE;

use crate::Conn;

/// The id of this server's service, in any statement. It may be any number.
pub(crate) const ID: &str = "(SELECT id FROM services WHERE service = 'sync-1.5')";

const LOCK: &str = "SELECT id FROM services WHERE service = ? FOR UPDATE";

const CHECK: &str = "SELECT id FROM services WHERE service = ?";

/// Locks the row to the end of the transaction; its id.
pub(crate) async fn lock(conn: &mut Conn) -> Result<i64, Fault> {
    let found: Option<(i64,)> = sql::<(BigInt,)>(LOCK).bind::<Text, _>(SERVICE).row(conn).await?;
    found.map(|(id,)| id).ok_or_else(lost)
}

/// The id of the row.
pub(crate) async fn find(conn: &mut Conn) -> Result<i64, Fault> {
    let found: Option<(i64,)> = sql::<(BigInt,)>(CHECK).bind::<Text, _>(SERVICE).row(conn).await?;
    found.map(|(id,)| id).ok_or_else(lost)
}

/// Asks the database for real.
pub(crate) async fn check(engine: &MysqlEngine) -> Result<(), Fault> {
    let found: Option<(i64,)> = engine.read(|conn| sql::<(BigInt,)>(CHECK).bind::<Text, _>(SERVICE).row(conn)).await?;
    found.map(drop).ok_or_else(lost)
}

/// The row was there when the tables were made.
pub(crate) fn lost() -> Fault {
    Fault::internal(format!("the table services has lost its row {SERVICE:?}; insert it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_name_the_service() {
        assert!(ID.contains(&format!("'{SERVICE}'")));
    }
}
