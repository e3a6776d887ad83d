//! The databases as a whole, for commands that copy them: see [`crate::archive`].

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use network_engine::{Kind, Location, MysqlEngine, PostgresEngine};
use ring::rand::{SecureRandom, SystemRandom};
use sqlite_engine::SqliteLocation;
use syncstorage_db_common::{Fault, SecretFingerprint, StorageSource, StorageTarget, UNFINISHED};
use syncstorage_mysql::MysqlArchive;
use syncstorage_postgres::PostgresArchive;
use syncstorage_sqlite::{OthersSource, SqliteArchive, SqliteSource};
use tokenserver_db_common::{TokenDb, TokenSource, TokenTarget};
use tokenserver_mysql::MysqlTokenArchive;
use tokenserver_postgres::PostgresTokenArchive;
use tokenserver_sqlite::{SqliteTokenArchive, SqliteTokenSource};

use super::engine::{Engine, Place, User};
use super::{BackendError, Database, attached, databases, pair};
use crate::archive::copy::{Sources, Targets};
use crate::causes::chain;
use crate::hex::hex;
use crate::settings::Settings;

/// Under which a target has a random note for a moment: a source in which that is found is the same database.
const MARK: &str = "copying";

/// So long connections that are being closed may still be seen.
const CLOSING: Duration = Duration::from_secs(2);

/// The databases of the settings.
pub struct Whole {
    engines: Vec<Engine>,
    /// The storage, and the users and nodes.
    pub targets: Targets,
    /// What kind of database has the storage.
    pub storage: &'static str,
    /// What kind has the users and nodes.
    pub tokenserver: &'static str,
    /// For a look at the nodes.
    pub tokens: Arc<dyn TokenDb>,
}

impl Whole {
    /// As [`attach`](super::attach): they are there, whether a server runs on them or not.
    pub async fn attach(settings: &Settings) -> Result<Self, BackendError> {
        Ok(Self::of(attached(settings).await?))
    }

    /// To be filled: made, where they are not there, and brought up to date. Refused while a server runs on them, as far
    /// as that can be told.
    pub async fn open(settings: &Settings) -> Result<Self, BackendError> {
        let mut engines = Vec::new();
        for Database { place, contents, settings: database } in databases(settings)? {
            let begun = Instant::now();
            while is_in_use(&place).await? {
                if begun.elapsed() > CLOSING {
                    return Err(BackendError::InUse { database: place.to_string() });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            engines.push(Engine::open(&place, contents, database, User::Command).await?);
        }
        Ok(Self::of(engines))
    }

    /// Takes back what [`Self::begin`] noted; `before` was there.
    pub async fn take_back(settings: &Settings, before: Option<String>) -> Result<(), BackendError> {
        for Database { place, contents, settings: database } in databases(settings)? {
            Engine::open(&place, contents, database, User::Command).await?.set_note(UNFINISHED, before.clone()).await?;
        }
        Ok(())
    }

    fn of(engines: Vec<Engine>) -> Self {
        let (storage, tokens) = pair(&engines);
        Self {
            engines,
            storage: storage.node_type(),
            tokenserver: tokens.node_type(),
            tokens: tokens.clone().tokens(),
            targets: Targets { storage: storage.storage_target(), tokens: tokens.token_target() },
        }
    }

    /// Where they are, without passwords.
    #[must_use]
    pub fn describe(&self) -> String {
        self.engines.iter().map(Engine::describe).collect::<Vec<_>>().join(" and ")
    }

    /// Refuses to go on where one of these URLs leads to one of these databases, by whatever name: what is written here
    /// is found there.
    pub async fn refuse_sources(&self, urls: &[String]) -> Result<(), BackendError> {
        if urls.is_empty() {
            return Ok(());
        }
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| BackendError::Fault("the system has no randomness".into()))?;
        let mark = hex(&random);
        let mut same = Ok(());
        for engine in &self.engines {
            engine.set_note(MARK, Some(mark.clone())).await?;
            same = async {
                for url in urls {
                    if note_at(&Place::parse("--from", url)?, MARK).await?.as_ref() == Some(&mark) {
                        return Err(BackendError::OntoItself { database: engine.describe() });
                    }
                }
                Ok(())
            }
            .await;
            engine.set_note(MARK, None).await?;
            if same.is_err() {
                break;
            }
        }
        same
    }

    /// What began to fill them and did not get to its end.
    pub async fn unfinished(&self) -> Result<Option<String>, BackendError> {
        for engine in &self.engines {
            if let Some(what) = engine.note(UNFINISHED).await? {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }

    /// Notes in them that they are being filled, so that no server serves half of the contents.
    pub async fn begin(&self, what: &str) -> Result<(), BackendError> {
        for engine in &self.engines {
            engine.set_note(UNFINISHED, Some(what.to_owned())).await?;
        }
        Ok(())
    }

    /// Takes the note away, and that of the master secret: which one goes with what is in them now, the next start of a
    /// server says. A machine's first start, before anything was brought to it, may have made another.
    pub async fn end(&self) -> Result<(), BackendError> {
        for engine in &self.engines {
            engine.set_note(SecretFingerprint::NOTE, None).await?;
            engine.set_note(UNFINISHED, None).await?;
        }
        Ok(())
    }
}

/// Refuses databases that something began to fill.
pub(super) async fn refuse_unfinished(engines: &[Engine]) -> Result<(), BackendError> {
    for engine in engines {
        if let Some(what) = engine.note(UNFINISHED).await? {
            return Err(BackendError::Unfinished { database: engine.describe(), what });
        }
    }
    Ok(())
}

/// A note in a database, be it of another program.
async fn note_at(place: &Place, name: &'static str) -> Result<Option<String>, BackendError> {
    Ok(match place {
        Place::File(SqliteLocation::File(path)) => sqlite_engine::note_in(path, name)?,
        Place::File(SqliteLocation::Temporary) => None,
        Place::Server(location) => match location.kind() {
            Kind::Postgres => {
                let engine = postgres(location);
                if engine.has_table("syncserver_meta").await? { engine.note(name).await? } else { None }
            }
            Kind::Mysql => {
                let engine = mysql(location);
                if engine.has_table("syncserver_meta").await? { engine.note(name).await? } else { None }
            }
        },
    })
}

async fn is_in_use(place: &Place) -> Result<bool, BackendError> {
    Ok(match place {
        Place::File(SqliteLocation::File(path)) => sqlite_engine::is_in_use(path)?,
        Place::File(SqliteLocation::Temporary) => false,
        Place::Server(location) => match location.kind() {
            Kind::Postgres => PostgresEngine::count_others(location).await? > 0,
            Kind::Mysql => MysqlEngine::count_others(location).await? > 0,
        },
    })
}

impl Engine {
    fn storage_target(self) -> Arc<dyn StorageTarget> {
        match self {
            Self::Sqlite(engine) => Arc::new(SqliteArchive::new(engine)),
            Self::Postgres(engine) => Arc::new(PostgresArchive::new(engine)),
            Self::Mysql(engine) => Arc::new(MysqlArchive::new(engine)),
        }
    }

    fn token_target(self) -> Arc<dyn TokenTarget> {
        match self {
            Self::Sqlite(engine) => Arc::new(SqliteTokenArchive::new(engine)),
            Self::Postgres(engine) => Arc::new(PostgresTokenArchive::new(engine)),
            Self::Mysql(engine) => Arc::new(MysqlTokenArchive::new(engine)),
        }
    }
}

/// Another database to copy from, of this server or another one, given by URL. It is only read. The users may be in yet
/// another one.
pub async fn sources(settings: &Settings, from: &str, tokens_from: Option<&str>) -> Result<Sources, BackendError> {
    let storage_place = Place::parse("--from", from)?;
    let tokens_place = tokens_from.map(|url| Place::parse("--tokenserver-from", url)).transpose()?;
    for target in databases(settings)? {
        if [Some(&storage_place), tokens_place.as_ref()].into_iter().flatten().any(|place| place.is(&target.place)) {
            return Err(BackendError::OntoItself { database: target.place.to_string() });
        }
    }
    let of = |option| move |error| BackendError::Source { option, error: Box::new(error) };
    let storage = storage_source(&storage_place).await.map_err(of("--from"))?;
    let tokens = match &tokens_place {
        Some(place) => token_source(place).await.map_err(of("--tokenserver-from"))?,
        None => token_source(&storage_place).await.map_err(of("--from"))?,
    };
    if let (None, Some(place)) = (&tokens, tokens_place) {
        return Err(BackendError::NoTables { database: place.to_string(), what: "users (table users)" });
    }
    Ok(Sources { storage, tokens })
}

async fn storage_source(place: &Place) -> Result<Arc<dyn StorageSource>, BackendError> {
    let found: Option<Arc<dyn StorageSource>> = match place {
        Place::File(SqliteLocation::File(path)) => of_file(path, file_source)?,
        Place::File(SqliteLocation::Temporary) => None,
        Place::Server(location) => match location.kind() {
            Kind::Postgres => {
                let engine = postgres(location);
                engine.has_table("bsos").await?.then(|| Arc::new(PostgresArchive::new(engine)) as _)
            }
            Kind::Mysql => {
                let engine = mysql(location);
                engine.has_table("bso").await?.then(|| Arc::new(MysqlArchive::new(engine)) as _)
            }
        },
    };
    let what = "storage (tables bso or bsos, user_collections, collections)";
    found.ok_or_else(|| BackendError::NoTables { database: place.to_string(), what })
}

/// What is found in a file.
fn of_file<T>(path: &Path, find: impl FnOnce(&Path) -> Result<T, Fault>) -> Result<T, BackendError> {
    if !path.exists() {
        return Err(BackendError::NoSourceFile { path: path.to_owned() });
    }
    find(path).map_err(|fault| BackendError::SourceFile { path: path.to_owned(), reason: chain(&fault) })
}

fn file_source(path: &Path) -> Result<Option<Arc<dyn StorageSource>>, Fault> {
    let ours = !sqlite_engine::columns(&mut sqlite_engine::open_to_read(path)?, "stores")?.is_empty();
    if ours {
        return Ok(Some(Arc::new(SqliteSource::new(path.to_owned()))));
    }
    Ok(OthersSource::find(path)?.map(|source| Arc::new(source) as _))
}

async fn token_source(place: &Place) -> Result<Option<Arc<dyn TokenSource>>, BackendError> {
    Ok(match place {
        Place::File(SqliteLocation::File(path)) => {
            of_file(path, SqliteTokenSource::find)?.map(|source| Arc::new(source) as _)
        }
        Place::File(SqliteLocation::Temporary) => None,
        Place::Server(location) => match location.kind() {
            Kind::Postgres => {
                let engine = postgres(location);
                engine.has_table("users").await?.then(|| Arc::new(PostgresTokenArchive::new(engine)) as _)
            }
            Kind::Mysql => {
                let engine = mysql(location);
                engine.has_table("users").await?.then(|| Arc::new(MysqlTokenArchive::new(engine)) as _)
            }
        },
    })
}

fn postgres(location: &Location) -> Arc<PostgresEngine> {
    PostgresEngine::of_others(location, network_engine::EngineOptions::default())
}

fn mysql(location: &Location) -> Arc<MysqlEngine> {
    MysqlEngine::of_others(location, network_engine::EngineOptions::default())
}
