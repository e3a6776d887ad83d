//! The space that deleted rows leave in the file.

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::Fault;

use crate::open::fault;
use crate::sql::sql;

const FREE: &str = "SELECT freelist_count FROM pragma_freelist_count";

/// Gives free pages of the file back to the file system, at most so many, and leaves some to spare in it. To be run as a
/// write, or at the end of one. Returns whether there is more to give back.
pub fn give_back(conn: &mut SqliteConnection, spare_pages: u32, most_pages: u32) -> Result<bool, Fault> {
    let free: Option<(i64,)> = sql::<(BigInt,)>(FREE).row(conn)?;
    let superfluous = free.map_or(0, |(free,)| free) - i64::from(spare_pages);
    if superfluous <= 0 {
        return Ok(false);
    }
    let now = superfluous.min(most_pages.into());
    // As a batch, since it is done only when it has been stepped through to its end, and each page is a step.
    conn.batch_execute(&format!("PRAGMA incremental_vacuum({now})")).map_err(fault)?;
    Ok(superfluous > now)
}
