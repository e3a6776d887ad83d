//! A database of any kind, opened: the one place that knows which kinds there are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use diesel_migrations::EmbeddedMigrations;
use network_engine::{Kind, Location, MysqlEngine, PostgresEngine};
use sqlite_engine::{SqliteEngine, SqliteLocation};
use syncstorage_db_common::{Db, DbOptions, Fault, PoolStatus, SecretClaim, SecretFingerprint};
use syncstorage_mysql::MysqlDb;
use syncstorage_postgres::PostgresDb;
use syncstorage_sqlite::SqliteDb;
use tokenserver_db_common::{TokenAdmin, TokenDb};
use tokenserver_mysql::MysqlTokenDb;
use tokenserver_postgres::PostgresTokenDb;
use tokenserver_sqlite::SqliteTokenDb;

use super::{BackendError, Probe};
use crate::files;
use crate::settings::{DatabaseSettings, secret_file};

/// How long a command waits for the lock of a SQLite file. Nobody's request waits behind it.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(SqliteLocation),
    Server(Location),
}

impl Place {
    /// The place that a setting names.
    pub(super) fn of(setting: &'static str, database: &DatabaseSettings) -> Result<Self, BackendError> {
        Self::parse(setting, database.url.expose())
    }

    /// The place of a URL that was given by `setting`.
    pub(super) fn parse(setting: &'static str, url: &str) -> Result<Self, BackendError> {
        match url.split_once("://") {
            Some((scheme, _)) if Kind::of_scheme(scheme).is_some() => {
                url.parse().map(Self::Server).map_err(|error| BackendError::Url { setting, error })
            }
            Some((scheme, _)) if scheme != "sqlite" => {
                Err(BackendError::UnknownScheme { setting, scheme: scheme.to_owned() })
            }
            _ => url.parse().map(Self::File).map_err(|error| BackendError::Location { setting, error }),
        }
    }

    /// Whether both are one database, however they are written.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(SqliteLocation::File(one)), Self::File(SqliteLocation::File(other))) => {
                files::are_one(one, other)
            }
            _ => self == other,
        }
    }

    /// The files of SQLite's that it is in, be they there or not: the database, and what SQLite keeps beside it.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(SqliteLocation::File(path)) => {
                // SQLite, too, goes by the file that a symbolic link leads to.
                let path = files::resolved(path);
                let beside = |end: &str| {
                    let mut name = path.clone().into_os_string();
                    name.push(end);
                    name.into()
                };
                ["", "-wal", "-shm", "-journal"].map(beside).into()
            }
            Self::File(SqliteLocation::Temporary) | Self::Server(_) => Vec::new(),
        }
    }

    /// The file that its URL names for the connection to a server.
    pub(super) fn root_certificates(&self) -> Option<PathBuf> {
        match self {
            Self::File(_) => None,
            Self::Server(location) => location.root_certificates().map(Path::to_owned),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(SqliteLocation::File(path)) => path.display().fmt(f),
            Self::File(SqliteLocation::Temporary) => f.write_str("a temporary file"),
            Self::Server(location) => location.fmt(f),
        }
    }
}

/// What is kept in a database.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contents {
    /// The tables of the storage are to be brought up to date.
    pub(super) storage: bool,
    /// Those of the tokenserver.
    pub(super) tokens: bool,
}

impl Contents {
    fn components(
        self,
        storage: (&'static str, EmbeddedMigrations),
        tokens: (&'static str, EmbeddedMigrations),
    ) -> Vec<(&'static str, EmbeddedMigrations)> {
        let storage = self.storage.then_some(storage);
        storage.into_iter().chain(self.tokens.then_some(tokens)).collect()
    }

    fn on_sqlite(self) -> Vec<(&'static str, EmbeddedMigrations)> {
        self.components(
            (syncstorage_sqlite::COMPONENT, syncstorage_sqlite::MIGRATIONS),
            (tokenserver_sqlite::COMPONENT, tokenserver_sqlite::MIGRATIONS),
        )
    }

    fn on_postgres(self) -> Vec<(&'static str, EmbeddedMigrations)> {
        self.components(
            (syncstorage_postgres::COMPONENT, syncstorage_postgres::MIGRATIONS),
            (tokenserver_postgres::COMPONENT, tokenserver_postgres::MIGRATIONS),
        )
    }

    fn on_mysql(self) -> Vec<(&'static str, EmbeddedMigrations)> {
        self.components(
            (syncstorage_mysql::COMPONENT, syncstorage_mysql::MIGRATIONS),
            (tokenserver_mysql::COMPONENT, tokenserver_mysql::MIGRATIONS),
        )
    }
}

/// Who opens a database.
#[derive(Clone, Copy, Debug)]
pub(super) enum User {
    /// A server, whose workers share the connections.
    Server { workers: usize },
    /// A command, perhaps beside a server.
    Command,
}

/// An open database. Whoever keeps something in it shares it.
#[derive(Clone)]
pub(super) enum Engine {
    Sqlite(Arc<SqliteEngine>),
    Postgres(Arc<PostgresEngine>),
    Mysql(Arc<MysqlEngine>),
}

impl Engine {
    /// Opens the database and brings its tables up to date.
    pub(super) async fn open(
        place: &Place,
        contents: Contents,
        database: &DatabaseSettings,
        user: User,
    ) -> Result<Self, BackendError> {
        let location = match place {
            Place::File(location) => return open_file(location, contents, database, user).map(Self::Sqlite),
            Place::Server(location) => location,
        };
        let options = network_engine::EngineOptions {
            max_size: database.pool_max_size,
            workers: match user {
                User::Server { workers } => workers,
                User::Command => 0,
            },
            wait_limit: database.connection_timeout,
            lifespan: database.connection_lifespan,
            max_idle: database.connection_max_idle,
            ..network_engine::EngineOptions::default()
        };
        Ok(match location.kind() {
            Kind::Postgres => Self::Postgres(PostgresEngine::open(location, options, contents.on_postgres()).await?),
            Kind::Mysql => Self::Mysql(MysqlEngine::open(location, options, contents.on_mysql()).await?),
        })
    }

    /// The migrations that [`Self::open`] would run. Changes nothing.
    pub(super) async fn pending(place: &Place, contents: Contents) -> Result<Vec<String>, BackendError> {
        Ok(match place {
            Place::File(location) => SqliteEngine::pending(location, contents.on_sqlite())?,
            Place::Server(location) => match location.kind() {
                Kind::Postgres => PostgresEngine::pending(location, contents.on_postgres()).await?,
                Kind::Mysql => MysqlEngine::pending(location, contents.on_mysql()).await?,
            },
        })
    }

    pub(super) fn storage(self, options: DbOptions) -> Arc<dyn Db> {
        match self {
            Self::Sqlite(engine) => Arc::new(SqliteDb::new(engine, options)),
            Self::Postgres(engine) => Arc::new(PostgresDb::new(engine, options)),
            Self::Mysql(engine) => Arc::new(MysqlDb::new(engine, options)),
        }
    }

    pub(super) fn tokens(self) -> Arc<dyn TokenDb> {
        match self {
            Self::Sqlite(engine) => Arc::new(SqliteTokenDb::new(engine)),
            Self::Postgres(engine) => Arc::new(PostgresTokenDb::new(engine)),
            Self::Mysql(engine) => Arc::new(MysqlTokenDb::new(engine)),
        }
    }

    pub(super) fn admin(self) -> Arc<dyn TokenAdmin> {
        match self {
            Self::Sqlite(engine) => Arc::new(SqliteTokenDb::new(engine)),
            Self::Postgres(engine) => Arc::new(PostgresTokenDb::new(engine)),
            Self::Mysql(engine) => Arc::new(MysqlTokenDb::new(engine)),
        }
    }

    /// What the tokenserver tells clients of a storage here.
    pub(super) const fn node_type(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
        }
    }

    /// Where it is, without a password.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Sqlite(engine) => engine.path().display().to_string(),
            Self::Postgres(engine) => engine.location().to_string(),
            Self::Mysql(engine) => engine.location().to_string(),
        }
    }

    /// How to ask how busy it is. What it returns does not keep the database open.
    pub(super) fn probe(&self, name: &'static str) -> Probe {
        fn of<T: Send + Sync + 'static>(
            engine: &Arc<T>,
            status: impl Fn(&T) -> PoolStatus + Send + Sync + 'static,
        ) -> Box<dyn Fn() -> Option<PoolStatus> + Send + Sync> {
            let engine = Arc::downgrade(engine);
            Box::new(move || engine.upgrade().map(|engine| status(&engine)))
        }
        match self {
            Self::Sqlite(engine) => {
                let writer = Arc::downgrade(engine);
                Probe {
                    name,
                    pool: of(engine, SqliteEngine::status),
                    writer: Some(Box::new(move || writer.upgrade().map(|engine| engine.writer_status()))),
                }
            }
            Self::Postgres(engine) => Probe { name, pool: of(engine, PostgresEngine::status), writer: None },
            Self::Mysql(engine) => Probe { name, pool: of(engine, MysqlEngine::status), writer: None },
        }
    }

    /// A note that was left in the database.
    pub(super) async fn note(&self, name: &'static str) -> Result<Option<String>, Fault> {
        match self {
            Self::Sqlite(engine) => engine.note(name).await,
            Self::Postgres(engine) => engine.note(name).await,
            Self::Mysql(engine) => engine.note(name).await,
        }
    }

    /// Leaves such a note, or takes it away.
    pub(super) async fn set_note(&self, name: &'static str, value: Option<String>) -> Result<(), Fault> {
        match self {
            Self::Sqlite(engine) => engine.set_note(name, value).await,
            Self::Postgres(engine) => engine.set_note(name, value).await,
            Self::Mysql(engine) => engine.set_note(name, value).await,
        }
    }

    pub(super) async fn claim_secret(
        &self,
        secret: &SecretFingerprint,
        previous: &[SecretFingerprint],
    ) -> Result<SecretClaim, Fault> {
        match self {
            Self::Sqlite(engine) => engine.claim_secret(secret, previous).await,
            Self::Postgres(engine) => engine.claim_secret(secret, previous).await,
            Self::Mysql(engine) => engine.claim_secret(secret, previous).await,
        }
    }
}

fn open_file(
    location: &SqliteLocation,
    contents: Contents,
    database: &DatabaseSettings,
    user: User,
) -> Result<Arc<SqliteEngine>, BackendError> {
    if let SqliteLocation::File(path) = location
        && let Some(folder) = path.parent().filter(|folder| *folder != Path::new(""))
    {
        secret_file::make_private_folder(folder)
            .map_err(|error| BackendError::Folder { folder: folder.display().to_string(), error })?;
    }
    let mut options = sqlite_engine::EngineOptions {
        readers: database.pool_max_size,
        wait_limit: database.connection_timeout,
        ..sqlite_engine::EngineOptions::default()
    };
    if matches!(user, User::Command) {
        // The lock is the server's as long as it has writes to do, and it is only free by the way.
        options.busy_timeout = COMMAND_PATIENCE;
        options.wait_limit = options.wait_limit.max(COMMAND_PATIENCE);
    }
    Ok(SqliteEngine::open(location, options, contents.on_sqlite())?)
}
