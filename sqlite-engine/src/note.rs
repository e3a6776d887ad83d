//! Notes about the database as a whole, kept in it.

use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::Fault;

use crate::sql::sql;

const READ: &str = "SELECT value FROM server_meta WHERE name = ?";

const WRITE: &str = "
    INSERT INTO server_meta (name, value) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

const REMOVE: &str = "DELETE FROM server_meta WHERE name = ?";

/// The note of that name.
pub(crate) fn read(conn: &mut SqliteConnection, name: &str) -> Result<Option<String>, Fault> {
    Ok(sql::<(Text,)>(READ).bind(name).row(conn)?.map(|(value,)| value))
}

/// Writes the note of that name, or removes it.
pub(crate) fn write(conn: &mut SqliteConnection, name: &str, value: Option<&str>) -> Result<(), Fault> {
    let statement = match value {
        Some(value) => sql(WRITE).bind(name).bind(value),
        None => sql(REMOVE).bind(name),
    };
    statement.run(conn).map(drop)
}
