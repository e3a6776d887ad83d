//! The connections that are open, a pool for each runtime.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool::managed::{
    self, Metrics, Pool, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use syncstorage_db_common::{Fault, PoolStatus};
use tokio::runtime::{self, Handle};

use crate::connection::Connection;
use crate::driver::Driver;
use crate::engine::EngineOptions;
use crate::location::Location;
use crate::open::connect;

/// A connection that nobody used for so long is asked whether it is alive before it is used again: a server that was
/// restarted meanwhile, or a firewall that forgot the connection, costs no request then. Under load none is asked.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(1);

/// How long that question may take.
const DOUBT_LIMIT: Duration = Duration::from_secs(2);

/// The pools of one database.
pub(crate) struct Pools<C: Driver> {
    location: Arc<Location>,
    options: EngineOptions,
    /// The runtime that the engine was opened on.
    home: Option<runtime::Id>,
    by_runtime: RwLock<HashMap<runtime::Id, Pool<Manager<C>>>>,
    refused: AtomicU64,
}

impl<C: Driver> Pools<C> {
    pub(crate) fn new(location: Arc<Location>, options: EngineOptions) -> Self {
        let home = Handle::try_current().ok().map(|runtime| runtime.id());
        Self { location, options, home, by_runtime: RwLock::default(), refused: AtomicU64::new(0) }
    }

    /// A connection for the runtime that this is called on.
    pub(crate) async fn get(&self) -> Result<Connection<C>, Fault> {
        let object = self.here()?.get().await.map_err(|error| match error {
            PoolError::Backend(fault) => fault,
            PoolError::Timeout(TimeoutType::Wait) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Fault::unavailable(format!(
                    "all {} database connections of this worker were in use for {} s (setting: database_pool_max_size)",
                    self.share_here(),
                    self.options.wait_limit.as_secs(),
                ))
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => Fault::unavailable(format!(
                "the database {} did not answer within {} s",
                self.location,
                self.options.wait_limit.as_secs(),
            )),
            other => Fault::unavailable(other.to_string()),
        })?;
        Ok(Connection::new(object, self.options.wait_limit.saturating_add(self.options.statement_limit)))
    }

    /// Closes what is idle on this runtime: a connection has turned out to be dead, so that the others will be, too.
    pub(crate) fn forget_idle(&self) {
        if let Ok(pool) = self.here() {
            pool.retain(|_, _| false);
        }
    }

    fn share_here(&self) -> usize {
        self.options.share(self.home != Handle::try_current().ok().map(|runtime| runtime.id()))
    }

    fn here(&self) -> Result<Pool<Manager<C>>, Fault> {
        let id = Handle::current().id();
        if let Some(pool) = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(pool.clone());
        }
        let mut pools = self.by_runtime.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&id) {
            return Ok(pool.clone());
        }
        let manager = Manager { location: Arc::clone(&self.location), options: self.options, driver: PhantomData };
        let limit = Some(self.options.wait_limit);
        let pool = Pool::builder(manager)
            .max_size(self.share_here())
            // The connection used last is the one that is surely alive, and the others may grow old.
            .queue_mode(QueueMode::Lifo)
            .timeouts(Timeouts { wait: limit, create: limit, recycle: limit })
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| Fault::internal(error.to_string()))?;
        pools.insert(id, pool.clone());
        Ok(pool)
    }

    /// Of all pools together.
    pub(crate) fn status(&self) -> PoolStatus {
        let pools = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner);
        let refused = self.refused.load(Ordering::Relaxed);
        let none = PoolStatus { max: self.options.most(), refused, ..PoolStatus::default() };
        pools.values().map(Pool::status).fold(none, |sum, status| PoolStatus {
            in_use: sum.in_use + status.size.saturating_sub(status.available),
            idle: sum.idle + status.available,
            max: sum.max,
            waiting: sum.waiting + status.waiting,
            refused: sum.refused,
        })
    }
}

/// Makes connections, and looks them over before they are used again.
pub(crate) struct Manager<C> {
    location: Arc<Location>,
    options: EngineOptions,
    driver: PhantomData<fn() -> C>,
}

impl<C: Driver> managed::Manager for Manager<C> {
    type Type = C;
    type Error = Fault;

    async fn create(&self) -> Result<C, Fault> {
        let mut conn = connect::<C>(&self.location).await.map_err(Fault::unavailable)?;
        // Servers wait for ever by themselves, or for so long that the client has given up. A migration, which may have to
        // wait for others, comes through a connection of its own.
        let limit = C::limit_locks(self.options.wait_limit.as_secs().max(1));
        conn.batch_execute(&limit).await.map_err(Fault::unavailable)?;
        Ok(conn)
    }

    async fn recycle(&self, conn: &mut C, metrics: &Metrics) -> RecycleResult<Fault> {
        let old = self.options.lifespan.is_some_and(|lifespan| metrics.age() > lifespan);
        let idle = self.options.max_idle.is_some_and(|max_idle| metrics.last_used() > max_idle);
        if old || idle || conn.is_broken() {
            return Err(RecycleError::message("to be replaced"));
        }
        if metrics.last_used() > DOUBTFUL_AFTER {
            let answer = tokio::time::timeout(DOUBT_LIMIT, conn.batch_execute("SELECT 1")).await;
            if !matches!(answer, Ok(Ok(()))) {
                return Err(RecycleError::message("does not answer"));
            }
        }
        Ok(())
    }
}
