//! The databases: chosen by the scheme of a URL, opened, and bound to the master secret.

use std::path::Path;
use std::sync::Arc;

use diesel_migrations::EmbeddedMigrations;
use sqlite_engine::{EngineOptions, OpenError, SqliteEngine, SqliteLocation};
use syncstorage_db_common::{Clock, Db, DbOptions, Fault, SecretClaim};
use syncstorage_sqlite::SqliteDb;
use tokenserver_db_common::TokenDb;
use tokenserver_sqlite::SqliteTokenDb;

use crate::causes::chain;
use crate::settings::{DatabaseSettings, Secret, Settings, secret_file};

/// Why the server cannot start; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A URL of no database that this program knows.
    #[error(
        "{setting} must be the path of a SQLite file or a URL that begins with sqlite://, found one that begins with \
         {scheme:?}"
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
    /// A folder that cannot be made.
    #[error("cannot make the folder {folder} for the database: {error} (settings: data_dir, database_url)")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's word.
        error: std::io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed at the first question.
    #[error("the database failed: {0}")]
    Fault(String),
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

impl From<Fault> for BackendError {
    fn from(fault: Fault) -> Self {
        Self::Fault(chain(&fault))
    }
}

/// The open databases.
pub struct Backends {
    /// The storage.
    pub storage: Arc<dyn Db>,
    /// The users and nodes.
    pub tokens: Arc<dyn TokenDb>,
    /// What the tokenserver tells clients of the storage.
    pub node_type: &'static str,
    /// The secret that signs.
    pub master_secret: Secret,
    /// For the log: where the data is.
    pub description: String,
}

/// Whether this program knows the databases of the settings, without a look at them.
pub fn check(settings: &Settings) -> Result<(), BackendError> {
    sqlite_location("syncstorage.database_url", &settings.syncstorage.database)?;
    sqlite_location("tokenserver.database_url", &settings.tokenserver.database)?;
    Ok(())
}

/// Opens the databases of the settings. On SQLite a master secret is made where there is none yet.
pub async fn open(settings: &Settings, clock: Clock) -> Result<Backends, BackendError> {
    let storage = sqlite_location("syncstorage.database_url", &settings.syncstorage.database)?;
    let tokens = sqlite_location("tokenserver.database_url", &settings.tokenserver.database)?;
    let options = DbOptions {
        clock,
        batch: syncstorage_db_common::BatchLimits {
            records: settings.syncstorage.limits.max_total_records,
            bytes: settings.syncstorage.limits.max_total_bytes,
        },
        quota: settings.syncstorage.quota,
    };

    // One file has one writer, whoever writes.
    let shared = storage == tokens;
    let mut storage_tables = vec![(syncstorage_sqlite::COMPONENT, syncstorage_sqlite::MIGRATIONS)];
    let mut token_tables = Vec::new();
    if settings.tokenserver.run_migrations {
        token_tables.push((tokenserver_sqlite::COMPONENT, tokenserver_sqlite::MIGRATIONS));
    }
    if shared {
        storage_tables.append(&mut token_tables);
    }
    let storage_engine = open_sqlite(&storage, &settings.syncstorage.database, storage_tables)?;
    let token_engine = if shared {
        Arc::clone(&storage_engine)
    } else {
        open_sqlite(&tokens, &settings.tokenserver.database, token_tables)?
    };

    let (master_secret, source_of_secret) = find_secret(settings, &storage_engine).await?;
    let fingerprint = secret_file::fingerprint(master_secret.expose());
    let previous: Vec<_> =
        settings.previous_master_secrets.iter().map(|secret| secret_file::fingerprint(secret.expose())).collect();
    let engines = if shared { vec![&storage_engine] } else { vec![&storage_engine, &token_engine] };
    for engine in engines {
        if engine.claim_secret(&fingerprint, &previous).await? == SecretClaim::Other {
            let database = engine.path().display().to_string();
            return Err(BackendError::OtherSecret { database, source_of_secret });
        }
    }
    Ok(Backends {
        description: storage_engine.path().display().to_string(),
        storage: Arc::new(SqliteDb::new(storage_engine, options)),
        tokens: Arc::new(SqliteTokenDb::new(token_engine)),
        node_type: "sqlite",
        master_secret,
    })
}

/// The master secret, and where it came from.
async fn find_secret(settings: &Settings, storage: &SqliteEngine) -> Result<(Secret, String), BackendError> {
    if let Some(secret) = &settings.master_secret {
        return Ok((secret.clone(), "master_secret or SYNC_MASTER_SECRET".into()));
    }
    let file = secret_file::master_secret_file(&settings.data_dir);
    let source = format!("the file {}", file.display());
    if let Some(secret) = secret_file::read(&file)? {
        return Ok((secret, source));
    }
    if storage.has_secret().await? {
        let database = storage.path().display().to_string();
        return Err(BackendError::SecretGone { database, file: file.display().to_string() });
    }
    Ok((secret_file::create(&file)?, source))
}

fn sqlite_location(setting: &'static str, database: &DatabaseSettings) -> Result<SqliteLocation, BackendError> {
    let url = database.url.expose();
    if let Some((scheme, _)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite") {
        return Err(BackendError::UnknownScheme { setting, scheme: scheme.to_owned() });
    }
    url.parse().map_err(|error| BackendError::Location { setting, error })
}

fn open_sqlite(
    location: &SqliteLocation,
    database: &DatabaseSettings,
    components: Vec<(&str, EmbeddedMigrations)>,
) -> Result<Arc<SqliteEngine>, BackendError> {
    if let SqliteLocation::File(path) = location
        && let Some(folder) = path.parent().filter(|folder| *folder != Path::new(""))
    {
        secret_file::make_private_folder(folder)
            .map_err(|error| BackendError::Folder { folder: folder.display().to_string(), error })?;
    }
    let options = EngineOptions {
        readers: database.pool_max_size,
        wait_limit: database.connection_timeout,
        ..EngineOptions::default()
    };
    Ok(SqliteEngine::open(location, options, components)?)
}
