//! A database, and how work is done in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel_migrations::EmbeddedMigrations;
use futures_util::future::BoxFuture;
use syncstorage_db_common::{Fault, PoolStatus, SecretClaim, SecretFingerprint, UNFINISHED, unfinished_fault};

use crate::connection::Connection;
use crate::driver::{Driver, Trouble};
use crate::location::Location;
use crate::open::{OpenError, connect, told};
use crate::pool::Pools;
use crate::{migrate, secret};

/// How often work is begun anew because of other transactions, for no longer than a request waits for a connection. In a
/// deadlock one of those that take part goes on, so that each time there is one fewer in the way; a lock that is never
/// given back is another matter.
const MOST_ATTEMPTS: u32 = 10;

/// How long a statement that reads may take, besides what it may wait for a lock: the answer is to be there before a proxy
/// gives the request up, as most do after a minute.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// Where work writes, its statements have so many times as long: it takes back what a slow machine had nearly done, and
/// the client would begin all of it anew, for ever perhaps.
const WRITES_TAKE: u32 = 10;

/// How often work is begun anew on another connection.
const MOST_CONNECTIONS: u32 = 2;

/// How an engine is run.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// At most so many connections together; but one for each runtime in any case.
    pub max_size: usize,
    /// Workers with a runtime of their own, which share them and leave one to the runtime that the engine was opened on.
    /// Without any, that one has them all.
    pub workers: usize,
    /// How long an operation waits for a connection, a connection for its server, and a statement for a lock.
    pub wait_limit: Duration,
    /// How long a statement that reads may take besides, and a tenth of what one that writes may: then its connection is
    /// given up. For all but what is said to be [without a limit](Connection::without_limit).
    pub statement_limit: Duration,
    /// The age at which a connection is replaced.
    pub lifespan: Option<Duration>,
    /// How long a connection may have been idle and still be used.
    pub max_idle: Option<Duration>,
}

impl EngineOptions {
    /// The connections of a runtime: of a worker's, or of the one that the engine was opened on.
    pub(crate) fn share(&self, of_worker: bool) -> usize {
        match self.workers {
            0 => self.max_size,
            _ if !of_worker => 1,
            workers => (self.max_size.saturating_sub(1) / workers).max(1),
        }
    }

    /// The most connections that there may be of all runtimes together.
    pub(crate) fn most(&self) -> usize {
        if self.workers == 0 { self.max_size } else { self.max_size.max(self.workers + 1) }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_size: 10,
            workers: 0,
            wait_limit: Duration::from_secs(10),
            statement_limit: STATEMENT_LIMIT,
            lifespan: None,
            max_idle: None,
        }
    }
}

/// One database on a server. See the [crate documentation](crate).
pub struct Engine<C: Driver> {
    location: Arc<Location>,
    pools: Pools<C>,
    /// See [`MOST_ATTEMPTS`].
    patience: Duration,
}

impl<C: Driver> Engine<C> {
    /// Connects, and brings up the tables of each component: its name and its migrations, whose folders are called
    /// `<name>-0001_…`. Several processes may do this at once.
    pub async fn open(
        location: &Location,
        options: EngineOptions,
        components: Vec<(&'static str, EmbeddedMigrations)>,
    ) -> Result<Arc<Self>, OpenError> {
        let mut conn = connect::<C>(location).await?;
        conn.check_version(location).await?;
        migrate::run(conn, location, components).await?;
        let location = Arc::new(location.clone());
        let pools = Pools::new(Arc::clone(&location), options);
        Ok(Arc::new(Self { location, pools, patience: options.wait_limit }))
    }

    /// A database that is only to be read: it is taken as it is, be it another server's.
    #[must_use]
    pub fn of_others(location: &Location, options: EngineOptions) -> Arc<Self> {
        let location = Arc::new(location.clone());
        let pools = Pools::new(Arc::clone(&location), options);
        Arc::new(Self { location, pools, patience: options.wait_limit })
    }

    /// How many other connections of this program the database has, as far as its server tells.
    pub async fn count_others(location: &Location) -> Result<u64, OpenError> {
        let Some(count) = C::COUNT_OTHERS else { return Ok(0) };
        let mut conn = connect::<C>(location).await?;
        let found = conn
            .texts(count, None)
            .await
            .map_err(|error| OpenError::Unreachable { location: location.to_string(), reason: told(&error) })?;
        Ok(found.first().and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// The migrations that [`Self::open`] would run, in order. Changes nothing.
    pub async fn pending(
        location: &Location,
        components: Vec<(&'static str, EmbeddedMigrations)>,
    ) -> Result<Vec<String>, OpenError> {
        let mut conn = connect::<C>(location).await?;
        conn.check_version(location).await?;
        migrate::pending(conn, location, components).await
    }

    /// Where the database is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// A connection to use outside of any transaction, without a second attempt. For work that cannot be begun anew.
    pub async fn connection(&self) -> Result<Connection<C>, Fault> {
        self.pools.get().await
    }

    /// A connection in a transaction that sees one committed state, until it is dropped. For reading much, without a
    /// second attempt, and without a limit.
    pub async fn snapshot(&self) -> Result<Connection<C>, Fault> {
        let mut conn = self.connection().await?;
        conn.without_limit().begin_snapshot().await?;
        Ok(conn)
    }

    /// Whether the database has a table of that name.
    pub async fn has_table(&self, name: &'static str) -> Result<bool, Fault> {
        let mut conn = self.connection().await?;
        Ok(!conn.texts(C::FIND_TABLE, Some(name)).await?.is_empty())
    }

    /// A note about the database as a whole that was left in it.
    pub async fn note(&self, name: &'static str) -> Result<Option<String>, Fault> {
        let mut conn = self.connection().await?;
        Ok(conn.texts(C::READ_META, Some(name)).await?.pop())
    }

    /// Leaves such a note, in the place of the one that is there, or takes it away. By one statement: there is no moment
    /// without a note in between.
    pub async fn set_note(&self, name: &'static str, value: Option<String>) -> Result<(), Fault> {
        let mut conn = self.connection().await?;
        let changed = match value {
            Some(value) => conn.change(C::WRITE_META, vec![name.to_owned(), value]).await,
            None => conn.change(C::REMOVE_META, vec![name.to_owned()]).await,
        };
        changed.map(drop)
    }

    /// Runs `work`, which only reads, on a connection outside of any transaction. It is begun anew where its connection
    /// turns out to be dead.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<Fault>,
        F: for<'c> Fn(&'c mut Connection<C>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let mut attempt = Attempts::new();
        loop {
            let mut conn = self.connection().await?;
            let result = work(&mut conn).await;
            if result.is_ok() || !self.again(conn, &mut attempt, true).await {
                return result;
            }
        }
    }

    /// Runs `work` on a connection outside of any transaction. Its last statement may write, and no other. It is begun
    /// anew where another transaction was in the way; not where the connection was lost, since the write may have been
    /// done.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<Fault>,
        F: for<'c> Fn(&'c mut Connection<C>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let mut attempt = Attempts::new();
        loop {
            let mut conn = self.connection().await?;
            conn.multiply_limit(WRITES_TAKE);
            let result = work(&mut conn).await;
            if result.is_ok() || !self.again(conn, &mut attempt, false).await {
                return result;
            }
        }
    }

    /// Runs `work` in a transaction whose first statement is `first`, sent together with the BEGIN; nothing from outside
    /// may be in it but integers. It is begun anew where another transaction was in the way, or where the connection was
    /// lost before the COMMIT. Takes everything back when `work` fails.
    pub async fn transaction<T, E, F>(&self, first: &str, work: F) -> Result<T, E>
    where
        E: From<Fault>,
        F: for<'c> Fn(&'c mut Connection<C>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    {
        let mut attempt = Attempts::new();
        loop {
            let mut conn = self.connection().await?;
            conn.multiply_limit(WRITES_TAKE);
            let mut committing = false;
            let result: Result<T, E> = async {
                conn.begin(first).await?;
                let value = work(&mut conn).await?;
                committing = true;
                conn.commit().await?;
                Ok(value)
            }
            .await;
            if result.is_ok() {
                return result;
            }
            conn.roll_back().await;
            if !self.again(conn, &mut attempt, !committing).await {
                return result;
            }
        }
    }

    /// Whether work that failed on `conn` is to be begun anew; waits a moment where that helps.
    async fn again(&self, conn: Connection<C>, attempts: &mut Attempts, harmless: bool) -> bool {
        let trouble = conn.trouble();
        // Before the next connection is asked for: there may be no more than this one.
        drop(conn);
        match trouble {
            Some(Trouble::Lost) => {
                self.pools.forget_idle();
                attempts.connections += 1;
                harmless && attempts.connections < MOST_CONNECTIONS
            }
            Some(Trouble::Contended) => {
                attempts.contended += 1;
                tokio::time::sleep(Duration::from_millis(u64::from(attempts.contended) * 2)).await;
                attempts.contended < MOST_ATTEMPTS && attempts.begun.elapsed() < self.patience
            }
            Some(Trouble::Busy | Trouble::Other) | None => false,
        }
    }

    /// Has the server take a write that changes nothing: whether it answers, has our tables, and is no read-only copy.
    /// Fails, too, while something fills the database: see [`UNFINISHED`].
    pub async fn check(&self) -> Result<(), Fault> {
        let mut conn = self.connection().await?;
        conn.change(C::CHANGE_META, ["", "no such name", ""].map(ToOwned::to_owned).to_vec()).await?;
        match conn.texts(C::READ_META, Some(UNFINISHED)).await?.pop() {
            Some(what) => Err(unfinished_fault(&what)),
            None => Ok(()),
        }
    }

    /// How busy the connections are.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.pools.status()
    }

    /// See [`SecretClaim`].
    pub async fn claim_secret(
        &self,
        fingerprint: &SecretFingerprint,
        previous: &[SecretFingerprint],
    ) -> Result<SecretClaim, Fault> {
        secret::claim(self, fingerprint, previous).await
    }
}

/// How often something was begun, and when for the first time.
struct Attempts {
    begun: Instant,
    connections: u32,
    contended: u32,
}

impl Attempts {
    fn new() -> Self {
        Self { begun: Instant::now(), connections: 0, contended: 0 }
    }
}
