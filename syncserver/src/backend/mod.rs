//! The databases: chosen by the scheme of a URL, opened, and bound to the master secret.

mod engine;
mod error;
mod whole;

use std::sync::Arc;

use sqlite_engine::SqliteLocation;
pub use sqlite_engine::{COMMIT_SIZES, WriterStatus};
use syncstorage_db_common::{BatchLimits, Clock, Db, DbOptions, PoolStatus, SecretClaim};
use tokenserver_db_common::{TokenAdmin, TokenDb};

use self::engine::{Contents, Engine, Place};
pub use self::error::BackendError;
pub use self::whole::{Whole, sources};
use crate::settings::{DatabaseSettings, Secret, Settings, secret_file};

/// The open databases.
pub struct Backends {
    /// The storage.
    pub storage: Arc<dyn Db>,
    /// The users and nodes.
    pub tokens: Arc<dyn TokenDb>,
    /// The same, as an operator sees them.
    pub admin: Arc<dyn TokenAdmin>,
    /// What the tokenserver tells clients of the storage.
    pub node_type: &'static str,
    /// The secret that signs.
    pub master_secret: Secret,
    /// For the log: where the data is.
    pub description: String,
    /// How busy each database is: one, or two where the tokenserver has its own.
    pub probes: Vec<Probe>,
}

/// Asks a database how busy it is, without a question to the database itself. `None` once it is closed.
pub struct Probe {
    /// `storage`, or `tokenserver` for a database that is the tokenserver's alone.
    pub name: &'static str,
    /// Its connections.
    pub pool: Box<dyn Fn() -> Option<PoolStatus> + Send + Sync>,
    /// What writes, on SQLite.
    pub writer: Option<Box<dyn Fn() -> Option<WriterStatus> + Send + Sync>>,
}

/// Whether this program knows the databases of the settings, and has what they take, without a look at them.
pub fn check(settings: &Settings) -> Result<(), BackendError> {
    refuse_no_secret(settings, &databases(settings)?)
}

/// A server's database may be used by several processes, none of which could make up the secret of all.
fn refuse_no_secret(settings: &Settings, databases: &[Database<'_>]) -> Result<(), BackendError> {
    match databases[0].place {
        Place::Server(_) if settings.master_secret.is_none() => Err(BackendError::NoSecret),
        _ => Ok(()),
    }
}

/// What [`migrate`] did, or would do, in one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Where the database is, without a password.
    pub database: String,
    /// The migrations, in order.
    pub migrations: Vec<String>,
}

/// Brings the tables of the databases of the settings up to date, or only looks what there is to do.
pub async fn migrate(settings: &Settings, dry_run: bool) -> Result<Vec<Migrated>, BackendError> {
    let mut all = Vec::new();
    for Database { place, contents, settings: database } in databases(settings)? {
        let migrations = Engine::pending(&place, contents).await?;
        if !dry_run {
            Engine::open(&place, contents, database, 0).await?;
        }
        all.push(Migrated { database: place.to_string(), migrations });
    }
    Ok(all)
}

/// The databases of the settings, for a command beside the server: see [`attach`].
pub struct Attached {
    /// The storage.
    pub storage: Arc<dyn Db>,
    /// The users and nodes.
    pub tokens: Arc<dyn TokenDb>,
    /// The same, as an operator sees them.
    pub admin: Arc<dyn TokenAdmin>,
    /// For people: where the data is.
    pub description: String,
    /// The secret that signs; `None` where none is set and the server has not made one.
    pub master_secret: Option<Secret>,
}

/// Opens databases that are there already, whether a server runs on them or not. Makes nothing: no file, no table, no
/// secret.
pub async fn attach(settings: &Settings, clock: Clock) -> Result<Attached, BackendError> {
    let (storage, tokens) = pair(&attached(settings).await?);
    Ok(Attached {
        description: storage.describe(),
        storage: storage.storage(options(settings, clock)),
        tokens: tokens.clone().tokens(),
        admin: tokens.admin(),
        master_secret: known_secret(settings)?,
    })
}

/// The engines of [`attach`].
async fn attached(settings: &Settings) -> Result<Vec<Engine>, BackendError> {
    let mut engines = Vec::new();
    for Database { place, contents, settings: database } in databases(settings)? {
        if let Place::File(SqliteLocation::File(path)) = &place
            && !path.exists()
        {
            return Err(BackendError::NoFile { path: path.clone() });
        }
        let pending = Engine::pending(&place, contents).await?;
        if !pending.is_empty() {
            return Err(BackendError::Pending { database: place.to_string(), pending: pending.join(", ") });
        }
        engines.push(Engine::open(&place, contents, database, 0).await?);
    }
    whole::refuse_unfinished(&engines).await?;
    Ok(engines)
}

/// The storage's engine and the tokenserver's.
fn pair(engines: &[Engine]) -> (Engine, Engine) {
    match engines {
        [storage, tokens] => (storage.clone(), tokens.clone()),
        shared => (shared[0].clone(), shared[0].clone()),
    }
}

fn options(settings: &Settings, clock: Clock) -> DbOptions {
    let limits = &settings.syncstorage.limits;
    DbOptions {
        clock,
        batch: BatchLimits { records: limits.max_total_records, bytes: limits.max_total_bytes },
        quota: settings.syncstorage.quota,
    }
}

/// Opens the databases of the settings. On SQLite a master secret is made where there is none yet.
pub async fn open(settings: &Settings, clock: Clock) -> Result<Backends, BackendError> {
    let databases = databases(settings)?;
    refuse_no_secret(settings, &databases)?;
    let mut engines = Vec::with_capacity(databases.len());
    for Database { place, contents, settings: database } in databases {
        engines.push(Engine::open(&place, contents, database, settings.workers).await?);
    }
    whole::refuse_unfinished(&engines).await?;
    let (storage, tokens) = pair(&engines);
    let (master_secret, source_of_secret) = find_secret(settings, &storage).await?;
    let fingerprint = secret_file::fingerprint(master_secret.expose());
    let previous: Vec<_> =
        settings.previous_master_secrets.iter().map(|secret| secret_file::fingerprint(secret.expose())).collect();
    for engine in &engines {
        if engine.claim_secret(&fingerprint, &previous).await? == SecretClaim::Other {
            return Err(BackendError::OtherSecret { database: engine.describe(), source_of_secret });
        }
    }
    Ok(Backends {
        description: storage.describe(),
        node_type: storage.node_type(),
        probes: engines.iter().zip(["storage", "tokenserver"]).map(|(engine, name)| engine.probe(name)).collect(),
        storage: storage.storage(options(settings, clock)),
        tokens: tokens.clone().tokens(),
        admin: tokens.admin(),
        master_secret,
    })
}

/// A database of the settings.
struct Database<'a> {
    place: Place,
    contents: Contents,
    settings: &'a DatabaseSettings,
}

/// The storage's database, and the tokenserver's where that is another one.
fn databases(settings: &Settings) -> Result<Vec<Database<'_>>, BackendError> {
    let storage = Place::of("syncstorage.database_url", &settings.syncstorage.database)?;
    let tokens = Place::of("tokenserver.database_url", &settings.tokenserver.database)?;
    let run_migrations = settings.tokenserver.run_migrations;
    // One file has one writer and one database one pool, whoever uses it.
    let shared = storage.is(&tokens);
    let mut databases = vec![Database {
        place: storage,
        contents: Contents { storage: true, tokens: shared && run_migrations },
        settings: &settings.syncstorage.database,
    }];
    if !shared {
        databases.push(Database {
            place: tokens,
            contents: Contents { storage: false, tokens: run_migrations },
            settings: &settings.tokenserver.database,
        });
    }
    Ok(databases)
}

/// The master secret of the settings, or the one that the server has made; `None` where there is neither. Makes nothing.
fn known_secret(settings: &Settings) -> Result<Option<Secret>, BackendError> {
    match &settings.master_secret {
        Some(secret) => Ok(Some(secret.clone())),
        None => Ok(secret_file::read(&secret_file::master_secret_file(&settings.data_dir))?),
    }
}

/// The master secret, and where it came from.
async fn find_secret(settings: &Settings, storage: &Engine) -> Result<(Secret, String), BackendError> {
    if let Some(secret) = &settings.master_secret {
        return Ok((secret.clone(), "master_secret or SYNC_MASTER_SECRET".into()));
    }
    let Engine::Sqlite(file) = storage else { return Err(BackendError::NoSecret) };
    let secret_path = secret_file::master_secret_file(&settings.data_dir);
    let source = format!("the file {}", secret_path.display());
    if let Some(secret) = secret_file::read(&secret_path)? {
        return Ok((secret, source));
    }
    if file.has_secret().await? {
        return Err(BackendError::SecretGone { database: storage.describe(), file: secret_path.display().to_string() });
    }
    Ok((secret_file::create(&secret_path)?, source))
}
