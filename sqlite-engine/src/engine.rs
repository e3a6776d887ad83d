//! The database file, its writer and its readers.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use syncstorage_db_common::{Fault, PoolStatus, SecretClaim, SecretFingerprint, UNFINISHED, unfinished_fault};
use tempfile::TempDir;

use crate::location::SqliteLocation;
use crate::open::OpenError;
use crate::sql::sql;
use crate::writer::Writer;
use crate::writer_status::WriterStatus;
use crate::{migrate, note, open, secret};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// How an engine is run.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// At most so many connections read at once.
    pub readers: usize,
    /// At most so many writes wait; a further one is refused as unavailable.
    pub write_queue: usize,
    /// How long a read waits for a connection, and a write for its turn.
    pub wait_limit: Duration,
    /// How long a write waits for another program that has locked the file.
    pub busy_timeout: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            readers: 10,
            write_queue: 1024,
            wait_limit: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// One SQLite file. See the [crate documentation](crate).
pub struct SqliteEngine {
    readers: Pool<ReaderManager>,
    writer: Writer,
    path: PathBuf,
    /// Reads that got no connection in time.
    refused: AtomicU64,
    // Goes last, after the connections to the file in it.
    _temporary: Option<TempDir>,
}

impl SqliteEngine {
    /// Opens the file, or makes it, and brings up the tables of each component: its name and its migrations, whose
    /// folders are called `<name>-0001_…`. Where there is nothing to change, it waits for no lock of another program.
    pub fn open(
        location: &SqliteLocation,
        options: EngineOptions,
        components: Vec<(&str, EmbeddedMigrations)>,
    ) -> Result<Arc<Self>, OpenError> {
        let temporary = match location {
            SqliteLocation::File(_) => None,
            SqliteLocation::Temporary => Some(
                tempfile::tempdir()
                    .map_err(|error| OpenError::Refused { path: std::env::temp_dir(), reason: error.to_string() })?,
            ),
        };
        let path = match (location, &temporary) {
            (SqliteLocation::File(path), _) => path.clone(),
            (SqliteLocation::Temporary, folder) => {
                folder.as_ref().map(|folder| folder.path().join("sync.db")).unwrap_or_default()
            }
        };
        let mut conn = open::writer(&path, options.busy_timeout, temporary.is_none())?;
        let components: Vec<_> = std::iter::once(("engine", MIGRATIONS)).chain(components).collect();
        migrate::run(&mut conn, &path, components)?;
        let refused = |reason: String| OpenError::Refused { path: path.clone(), reason };
        let writer =
            Writer::start(conn, options.write_queue, options.wait_limit).map_err(|error| refused(error.to_string()))?;
        let timeouts = Timeouts { wait: Some(options.wait_limit), ..Timeouts::default() };
        let readers = Pool::builder(ReaderManager { path: path.clone(), busy_timeout: options.busy_timeout })
            .max_size(options.readers.max(1))
            // The connection used last has the warmest cache, and the others need not even be opened.
            .queue_mode(QueueMode::Lifo)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Arc::new(Self { readers, writer, path, refused: AtomicU64::new(0), _temporary: temporary }))
    }

    /// The migrations that [`Self::open`] would run, in order. Changes nothing: makes no file, and no table.
    pub fn pending(
        location: &SqliteLocation,
        components: Vec<(&str, EmbeddedMigrations)>,
    ) -> Result<Vec<String>, OpenError> {
        let components: Vec<_> = std::iter::once(("engine", MIGRATIONS)).chain(components).collect();
        match location {
            SqliteLocation::File(path) if path.exists() => {
                let mut conn = open::reader(path, EngineOptions::default().busy_timeout)
                    .map_err(|fault| OpenError::Refused { path: path.clone(), reason: fault.reason() })?;
                migrate::pending(&mut conn, path, &components)
            }
            SqliteLocation::File(_) | SqliteLocation::Temporary => {
                let versions = components.iter().map(|(_, migrations)| migrate::versions(migrations));
                let versions = versions
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| OpenError::Migration { path: PathBuf::new(), reason: error.to_string() })?;
                Ok(versions.concat())
            }
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection to read with, for as long as it is held. Small reads are best done right where they are asked for:
    /// a change of threads costs more than they do.
    pub async fn reader(&self) -> Result<Reader, Fault> {
        self.readers.get().await.map(Reader).map_err(|error| match error {
            PoolError::Backend(fault) => fault,
            PoolError::Timeout(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Fault::unavailable("all database connections are in use")
            }
            other => Fault::unavailable(other.to_string()),
        })
    }

    /// Runs `work` in a transaction on the writer's thread, together with other writes that wait, and returns when it is
    /// committed. When `work` fails, what it wrote is undone, and nothing else is.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Reads one row of the file, and has the writer answer. Fails, too, while something fills the database: see
    /// [`UNFINISHED`].
    pub async fn check(&self) -> Result<(), Fault> {
        let unfinished = self.note(UNFINISHED).await?;
        if let Some(what) = unfinished {
            return Err(unfinished_fault(&what));
        }
        // A write that changes nothing: it takes SQLite's lock and comes back, without touching the disk.
        self.write(|_| Ok::<(), Fault>(())).await
    }

    /// How busy the connections are. `waiting` holds the writes that wait, too, and `refused` those that waited in vain.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let status = self.readers.status();
        let writer = self.writer.status();
        PoolStatus {
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            max: status.max_size,
            waiting: status.waiting + writer.queued,
            refused: self.refused.load(Ordering::Relaxed) + writer.refused,
        }
    }

    /// How busy the writer is.
    #[must_use]
    pub fn writer_status(&self) -> WriterStatus {
        self.writer.status()
    }

    /// See [`SecretClaim`].
    pub async fn claim_secret(
        &self,
        fingerprint: &SecretFingerprint,
        previous: &[SecretFingerprint],
    ) -> Result<SecretClaim, Fault> {
        let (fingerprint, previous) = (fingerprint.clone(), previous.to_vec());
        self.write(move |conn| secret::claim(conn, &fingerprint, &previous)).await
    }

    /// A note about the database as a whole that was left in it.
    pub async fn note(&self, name: &str) -> Result<Option<String>, Fault> {
        note::read(&mut *self.reader().await?, name)
    }

    /// Leaves such a note, or takes it away.
    pub async fn set_note(&self, name: &'static str, value: Option<String>) -> Result<(), Fault> {
        self.write(move |conn| note::write(conn, name, value.as_deref())).await
    }
}

/// A connection of the pool; it goes back there when it is dropped. If that is by a panic, it is not used again: it may
/// have been in the middle of a snapshot, and whoever came next would read what is long past.
pub struct Reader(Object<ReaderManager>);

impl Deref for Reader {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0.conn
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.conn
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.is_spoilt |= std::thread::panicking();
    }
}

/// Runs several reads on one committed state of the database.
pub fn snapshot<T, E: From<Fault>>(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
) -> Result<T, E> {
    sql("BEGIN").run(conn)?;
    let result = work(conn);
    // Nothing was written: this only lets go of the snapshot, in one way or the other.
    let ended = sql("COMMIT").run(conn);
    if ended.is_err() {
        let _ = sql("ROLLBACK").run(conn);
    }
    let value = result?;
    ended?;
    Ok(value)
}

struct ReaderManager {
    path: PathBuf,
    busy_timeout: Duration,
}

/// A connection as it lies in the pool.
struct Pooled {
    conn: SqliteConnection,
    is_spoilt: bool,
}

impl managed::Manager for ReaderManager {
    type Type = Pooled;
    type Error = Fault;

    async fn create(&self) -> Result<Pooled, Fault> {
        Ok(Pooled { conn: open::reader(&self.path, self.busy_timeout)?, is_spoilt: false })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<Fault> {
        if pooled.is_spoilt { Err(RecycleError::message("a read panicked")) } else { Ok(()) }
    }
}
