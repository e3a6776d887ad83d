//! Why the server cannot start with its databases.

use std::path::PathBuf;

use syncstorage_db_common::Fault;

use crate::causes::chain;
use crate::settings::secret_file;

/// Why the server cannot start; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A URL of no database that this program knows.
    #[error(
        "{setting} must be the path of a SQLite file or a URL that begins with sqlite://, postgres:// or mysql://, found \
         one that begins with {scheme:?}"
    )]
    UnknownScheme {
        /// The setting.
        setting: &'static str,
        /// The beginning of the URL; the rest may hold a password.
        scheme: String,
    },
    /// A SQLite URL that names no file.
    #[error("{setting}: {error}")]
    Location {
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        error: sqlite_engine::InvalidLocation,
    },
    /// A URL of a database server that cannot be understood.
    #[error("{setting}: {error}")]
    Url {
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        error: network_engine::InvalidLocation,
    },
    /// A folder that cannot be made.
    #[error("cannot make the folder {folder} for the database: {error} (settings: data_dir, database_url)")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's word.
        error: std::io::Error,
    },
    /// The SQLite file cannot be opened.
    #[error("database_url: {0}")]
    OpenFile(sqlite_engine::OpenError),
    /// The database on a server cannot be used.
    #[error("database_url: {0}")]
    OpenServer(network_engine::OpenError),
    /// A command beside the server found no database.
    #[error(
        "there is no database {path}. Give this command the settings that the server has: the same --config FILE, or the \
         same environment (settings: syncstorage.database_url, data_dir). The server makes the file at its first start"
    )]
    NoFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A command beside the server found tables of an older version.
    #[error(
        "the tables of {database} are not those of this version; to be done: {pending}. Start the server of this version \
         first, or run `syncserver migrate`"
    )]
    Pending {
        /// The database.
        database: String,
        /// The migrations.
        pending: String,
    },
    /// Something began to fill the database, and did not get to its end.
    #[error(
        "the last {what} into {database} did not finish, so that only a part is there. Run it again, with --force: it \
         begins by clearing what is there"
    )]
    Unfinished {
        /// The database.
        database: String,
        /// A restore or an import.
        what: String,
    },
    /// A database that is to be filled, and is used.
    #[error("{database} is in use. Stop the server, and whatever else has it open, and run this again")]
    InUse {
        /// The database.
        database: String,
    },
    /// A database that is to be copied into itself.
    #[error("{database} is the database of the settings, into which is copied; --from is to name another one")]
    OntoItself {
        /// The database.
        database: String,
    },
    /// A database to copy from that cannot be copied.
    #[error("{option}: {error}")]
    Source {
        /// What names it.
        option: &'static str,
        /// What is wrong.
        error: Box<BackendError>,
    },
    /// No file to copy from.
    #[error("there is no file {path} to copy from")]
    NoSourceFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file to copy from that cannot be read.
    #[error(
        "cannot copy from {path}: {reason}. Expected a SQLite database; a backup is brought back by `syncserver restore`"
    )]
    SourceFile {
        /// The file.
        path: PathBuf,
        /// In SQLite's words.
        reason: String,
    },
    /// A database to copy from that has other tables.
    #[error("{database} has no tables of a Sync server's {what}")]
    NoTables {
        /// The database.
        database: String,
        /// What was looked for.
        what: &'static str,
    },
    /// The database failed at the first question.
    #[error("{0}")]
    Fault(String),
    /// No secret where none may be made.
    #[error(
        "master_secret is not set. With a database on a server it has to be, so that every process which uses that \
         database has the same: set SYNC_MASTER_SECRET, or SYNC_MASTER_SECRET_FILE, to a long random text, such as \
         `syncserver generate-secret` prints"
    )]
    NoSecret,
    /// The secret is gone.
    #[error(
        "the database {database} belongs to a master secret, but none is set and {file} is not there. Put that file \
         back, or set master_secret (SYNC_MASTER_SECRET) to the secret; with another one every client would have to sign \
         in anew"
    )]
    SecretGone {
        /// The database.
        database: String,
        /// Where the secret was expected.
        file: String,
    },
    /// Another secret.
    #[error(
        "the database {database} belongs to another master secret than the one given by {source_of_secret}. Set \
         master_secret (SYNC_MASTER_SECRET) to the old one, or, to change it, add the old one to \
         previous_master_secrets (SYNC_PREVIOUS_MASTER_SECRETS)"
    )]
    OtherSecret {
        /// The database.
        database: String,
        /// Where the secret came from.
        source_of_secret: String,
    },
    /// The secret's file.
    #[error(transparent)]
    SecretFile(#[from] secret_file::SecretFileError),
}

impl From<sqlite_engine::OpenError> for BackendError {
    fn from(error: sqlite_engine::OpenError) -> Self {
        Self::OpenFile(error)
    }
}

impl From<network_engine::OpenError> for BackendError {
    fn from(error: network_engine::OpenError) -> Self {
        Self::OpenServer(error)
    }
}

impl From<Fault> for BackendError {
    fn from(fault: Fault) -> Self {
        Self::Fault(chain(&fault))
    }
}
