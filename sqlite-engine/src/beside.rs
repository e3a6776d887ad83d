//! Looking at a file from beside its engine: commands do, while a server may run on it.

use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::Fault;

use crate::note;
use crate::open::{self, fault};
use crate::sql::sql;

/// A reader waits only for the moment in which another process makes or removes the log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection of its own to a file that is there, to read with. Not for requests, which share the engine's.
pub fn open_to_read(path: &Path) -> Result<SqliteConnection, Fault> {
    if !path.is_file() {
        return Err(Fault::unavailable(format!("there is no file {}", path.display())));
    }
    open::reader(path, BUSY_TIMEOUT)
}

/// The names of the columns of a table, in order; none where there is no such table.
pub fn columns(conn: &mut SqliteConnection, table: &str) -> Result<Vec<String>, Fault> {
    let rows = sql::<(Text,)>("SELECT name FROM pragma_table_info(?) ORDER BY cid").bind(table).rows(conn)?;
    Ok(rows.into_iter().map(|(name,): (String,)| name).collect())
}

/// A note that was left in a file: see [`SqliteEngine::note`](crate::SqliteEngine::note). None in one of another program.
pub fn note_in(path: &Path, name: &str) -> Result<Option<String>, Fault> {
    let mut conn = open_to_read(path)?;
    if columns(&mut conn, "server_meta")?.is_empty() { Ok(None) } else { note::read(&mut conn, name) }
}

/// Whether another connection, of this process or another one, has the file open. To find out, the file is taken out of
/// WAL mode for a moment, for which SQLite wants to have it alone; the next engine puts it back.
pub fn is_in_use(path: &Path) -> Result<bool, Fault> {
    if !path.exists() {
        return Ok(false);
    }
    let mut conn = open::connect(path, Duration::ZERO).map_err(Fault::unavailable)?;
    if open::is_foreign(&mut conn).map_err(Fault::unavailable)? {
        // Not one to be touched; whoever opens it says so.
        return Ok(false);
    }
    match conn.batch_execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; COMMIT") {
        Ok(()) => Ok(false),
        Err(error) if error.to_string().contains("locked") => Ok(true),
        Err(error) => Err(fault(error)),
    }
}
