//! A connection in use.

use std::time::Duration;

use deadpool::managed::Object;
use diesel::QueryResult;
use diesel::result::Error;
use syncstorage_db_common::Fault;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::driver::{Driver, Trouble};
use crate::pool::Manager;

/// A connection of the pool. It goes back there when it is dropped, unless it is in the middle of something.
pub struct Connection<C: Driver> {
    object: Option<Object<Manager<C>>>,
    /// How long an answer is waited for.
    limit: Duration,
    /// A statement has been sent, and its answer not yet read whole.
    busy: bool,
    in_transaction: bool,
    trouble: Option<Trouble>,
    finish: Option<String>,
}

impl<C: Driver> Connection<C> {
    pub(crate) fn new(object: Object<Manager<C>>, limit: Duration) -> Self {
        Self { object: Some(object), limit, busy: false, in_transaction: false, trouble: None, finish: None }
    }

    /// From now on a statement may take so many times as long.
    pub(crate) const fn multiply_limit(&mut self, factor: u32) {
        self.limit = self.limit.saturating_mul(factor);
    }

    /// From now on a statement may take as long as it needs: for work on much data, which no client waits for.
    pub const fn without_limit(&mut self) -> &mut Self {
        self.limit = Duration::MAX;
        self
    }

    /// Runs statements as text, in one round trip. Nothing from outside may be in it but integers.
    pub async fn batch(&mut self, text: &str) -> Result<(), Fault> {
        let limit = self.start();
        let result = timeout(limit, self.driver().batch_execute(text)).await;
        self.told(result)
    }

    /// Inside of [`Engine::transaction`](crate::Engine::transaction): sends `text` together with the COMMIT that follows,
    /// in one round trip. Nothing from outside may be in it but integers.
    pub fn finish_with(&mut self, text: String) {
        self.finish = Some(text);
    }

    pub(crate) async fn texts(&mut self, statement: &'static str, value: Option<&str>) -> Result<Vec<String>, Fault> {
        let limit = self.start();
        let result = timeout(limit, self.driver().texts(statement, value)).await;
        self.told(result)
    }

    pub(crate) async fn change(&mut self, statement: &'static str, values: Vec<String>) -> Result<usize, Fault> {
        let limit = self.start();
        let result = timeout(limit, self.driver().change(statement, values)).await;
        self.told(result)
    }

    /// Begins a transaction with `first` as its first statement, in one round trip.
    pub(crate) async fn begin(&mut self, first: &str) -> Result<(), Fault> {
        self.in_transaction = true;
        self.batch(&format!("START TRANSACTION; {first}")).await
    }

    /// Begins a transaction that only reads, and that ends when this connection is dropped.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<(), Fault> {
        self.in_transaction = true;
        self.batch(C::BEGIN_SNAPSHOT).await
    }

    /// Commits, after what [`Self::finish_with`] was given. Until this is called, nothing can have happened.
    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        let text = match self.finish.take() {
            Some(last) => format!("{last}; COMMIT"),
            None => "COMMIT".to_owned(),
        };
        self.batch(&text).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Takes a transaction back. A connection that cannot do that is given up, which takes it back as well.
    pub(crate) async fn roll_back(&mut self) {
        if !self.is_lost() && self.batch("ROLLBACK").await.is_ok() {
            self.in_transaction = false;
        }
    }

    /// What the last statement that failed met.
    pub(crate) const fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.trouble == Some(Trouble::Lost)
    }

    /// The driver's connection. Whoever sends something says [`Self::start`] before and [`Self::told`] after it.
    pub(crate) fn driver(&mut self) -> &mut C {
        // It is only taken out by `drop`.
        #[expect(clippy::expect_used, reason = "nothing else could be returned")]
        self.object.as_mut().expect("a connection that is in use")
    }

    /// Takes note that a statement is sent; how long its answer is to be waited for.
    pub(crate) const fn start(&mut self) -> Duration {
        self.busy = true;
        self.limit
    }

    pub(crate) const fn finished(&mut self) {
        self.busy = false;
    }

    /// Takes note of how a statement ended, if it did.
    pub(crate) fn told<T>(&mut self, result: Result<QueryResult<T>, Elapsed>) -> Result<T, Fault> {
        let Ok(result) = result else { return Err(self.silent()) };
        self.finished();
        result.map_err(|error| self.failed(error))
    }

    /// Gives the connection up, whose server is frozen, out of reach or far too slow.
    pub(crate) fn silent(&mut self) -> Fault {
        self.trouble = Some(Trouble::Lost);
        Fault::unavailable(format!("the database did not answer a statement within {} s", self.limit.as_secs()))
    }

    pub(crate) fn failed(&mut self, error: Error) -> Fault {
        let trouble = if self.driver().is_broken() { Trouble::Lost } else { C::trouble(&error) };
        // The answer to a statement that failed is read, except where nothing can be read any more.
        self.busy = trouble == Trouble::Lost;
        self.trouble = Some(trouble);
        match trouble {
            Trouble::Lost | Trouble::Contended | Trouble::Busy => Fault::unavailable(error),
            Trouble::Other => Fault::internal(error),
        }
    }
}

impl<C: Driver> Drop for Connection<C> {
    fn drop(&mut self) {
        if (self.busy || self.in_transaction || self.is_lost())
            && let Some(object) = self.object.take()
        {
            // Closed instead of given back: the server takes back what was not committed.
            drop(Object::take(object));
        }
    }
}
