//! Opening connections, and telling what went wrong with one.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::result::Error;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::Fault;

use crate::sql::sql;

/// Marks the file as this server's (`PRAGMA application_id`): "Sync" in ASCII.
const APPLICATION_ID: i64 = 0x5379_6e63;

/// Why a database could not be opened; for the operator, complete with the path and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refused.
    #[error(
        "cannot open the database {path}: {reason}. Expected a file that this server may create, read and write in a \
         folder that it may write to"
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// In SQLite's words.
        reason: String,
    },
    /// Not a database, or a damaged one.
    #[error(
        "{path} is not a sound SQLite database: {reason}. Restore it from a backup, or move it away to start with an \
         empty one"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// In SQLite's words.
        reason: String,
    },
    /// Another program's database.
    #[error(
        "{path} is a SQLite database, but not one of this server. Expected an empty or missing file, or one that this \
         server made"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A migration of a later version of this program has been here.
    #[error(
        "the database {path} has the schema {found} of a newer version of this server; this version knows {component} \
         up to {known}. Run the newer version, or restore a backup made before the upgrade"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Whose tables: `storage`, `tokenserver` or `engine`.
        component: String,
        /// The unknown migration.
        found: String,
        /// The last migration that this program has.
        known: String,
    },
    /// A migration failed; the database is as it was before.
    #[error("cannot bring the tables of the database {path} up to date: {reason}")]
    Migration {
        /// The file.
        path: PathBuf,
        /// In Diesel's or SQLite's words.
        reason: String,
    },
}

/// Opens the connection that writes, making the file where it is not there.
pub(crate) fn writer(path: &Path, busy_timeout: Duration, durable: bool) -> Result<SqliteConnection, OpenError> {
    let told = |error: String| {
        if error.contains("not a database") || error.contains("malformed") {
            OpenError::Corrupt { path: path.to_owned(), reason: error }
        } else {
            OpenError::Refused { path: path.to_owned(), reason: error }
        }
    };
    make_private(path).map_err(|error| told(error.to_string()))?;
    let mut conn = connect(path, busy_timeout).map_err(told)?;
    if is_foreign(&mut conn).map_err(told)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if application_id(&mut conn).map_err(told)? != APPLICATION_ID {
        // Once, since these two take SQLite's lock, which a busy server may have.
        // auto_vacuum counts only before the first table is made, and before the file is in WAL mode.
        let mark = format!("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID}");
        conn.batch_execute(&mark).map_err(|error| told(error.to_string()))?;
    }
    let synchronous = if durable { "FULL" } else { "OFF" };
    // Pages are written to the log first and copied into the file at a checkpoint. With four times SQLite's usual number
    // of pages between two of them, a page that changes often is copied less often.
    // No statistics (PRAGMA optimize, ANALYZE): they would be those of one moment, when no batch was open perhaps, and
    // SQLite would go by them when there are thousands. Without them it takes the index that fits best.
    conn.batch_execute(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         DROP TABLE IF EXISTS sqlite_stat1;
         DROP TABLE IF EXISTS sqlite_stat4;"
    ))
    .map_err(|error| told(error.to_string()))?;
    Ok(conn)
}

/// Makes the file where it is not there, for this user alone to read: it is about people's passwords, encrypted or not.
/// SQLite gives its log the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens a connection that reads.
pub(crate) fn reader(path: &Path, busy_timeout: Duration) -> Result<SqliteConnection, Fault> {
    let mut conn = connect(path, busy_timeout).map_err(Fault::unavailable)?;
    conn.batch_execute("PRAGMA query_only = ON; PRAGMA cache_size = -2048").map_err(fault)?;
    Ok(conn)
}

pub(crate) fn connect(path: &Path, busy_timeout: Duration) -> Result<SqliteConnection, String> {
    let text = path.to_str().ok_or("the path is not valid UTF-8")?;
    // Diesel takes a leading "file:" or "sqlite:" for a URL; "./" makes a path of any name.
    let name = if path.is_absolute() { text.to_owned() } else { format!("./{text}") };
    let mut conn = SqliteConnection::establish(&name).map_err(|error| error.to_string())?;
    conn.batch_execute(&format!("PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON", busy_timeout.as_millis()))
        .map_err(|error| error.to_string())?;
    Ok(conn)
}

/// Whether the database has tables and was not made by this server. Reads the file for the first time, too.
pub(crate) fn is_foreign(conn: &mut SqliteConnection) -> Result<bool, String> {
    // In this order: another process that starts at the same time marks the file before it makes a table.
    let table = sql::<(Text,)>("SELECT name FROM sqlite_schema LIMIT 1").row::<(String,)>(conn);
    let table = table.map_err(|fault| fault.reason())?;
    Ok(application_id(conn)? != APPLICATION_ID && table.is_some())
}

/// Whose database it is; 0 where nobody has said so.
fn application_id(conn: &mut SqliteConnection) -> Result<i64, String> {
    let id = sql::<(BigInt,)>("SELECT application_id FROM pragma_application_id").row(conn);
    Ok(id.map_err(|fault| fault.reason())?.map_or(0, |(id,)| id))
}

/// Tells a transient failure of a statement from one that is not. Diesel does not pass SQLite's codes on, so its
/// words have to do; they are fixed in SQLite's `sqlite3ErrStr`.
pub(crate) fn fault(error: Error) -> Fault {
    const TRANSIENT: [&str; 6] = [
        "database is locked",
        "database table is locked",
        "database or disk is full",
        "disk I/O error",
        "unable to open database file",
        "attempt to write a readonly database",
    ];
    let words = error.to_string();
    if TRANSIENT.iter().any(|transient| words.contains(transient)) {
        Fault::unavailable(error)
    } else {
        Fault::internal(error)
    }
}
