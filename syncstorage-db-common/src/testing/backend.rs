//! How the suite comes by databases to test.

use std::any::Any;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{ManualClock, TestUser};
use crate::{BatchLimits, Db, DbOptions, Quota, UserId};

/// No case takes a tenth of this; one that hangs is to fail, not to hold up the others.
const DEADLINE: Duration = Duration::from_secs(120);

/// An open database, with what has to live as long as it does, such as a temporary folder.
pub struct TestDb {
    db: Arc<dyn Db>,
    guard: Box<dyn Any>,
}

impl TestDb {
    /// A database that needs `guard` to stay alive; `()` where it needs nothing.
    pub fn new(db: Arc<dyn Db>, guard: impl Any) -> Self {
        Self { db, guard: Box::new(guard) }
    }
}

impl From<Arc<dyn Db>> for TestDb {
    fn from(db: Arc<dyn Db>) -> Self {
        Self::new(db, ())
    }
}

impl<D: Db + 'static> From<Arc<D>> for TestDb {
    fn from(db: Arc<D>) -> Self {
        Self::new(db, ())
    }
}

impl fmt::Debug for TestDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestDb")
    }
}

type Opener = Box<dyn Fn(DbOptions) -> Pin<Box<dyn Future<Output = TestDb>>>>;

/// A backend under test: how to open databases of it.
pub struct Backend {
    own: Opener,
    shared: Option<Opener>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl Backend {
    /// `open` gives an empty database that nothing else uses.
    pub fn new<F, D>(open: impl Fn(DbOptions) -> F + 'static) -> Self
    where
        F: Future<Output = D> + 'static,
        D: Into<TestDb>,
    {
        Self { own: opener(open), shared: None }
    }

    /// `open` gives a database that other cases use at the same time, with other clocks, options and users. It is
    /// asked for the cases that bear that, where a database for each would take too long to make.
    #[must_use]
    pub fn sharing<F, D>(self, open: impl Fn(DbOptions) -> F + 'static) -> Self
    where
        F: Future<Output = D> + 'static,
        D: Into<TestDb>,
    {
        Self { shared: Some(opener(open)), ..self }
    }

    /// A database for a case that keeps to its own users.
    pub async fn fixture(&self) -> Fixture {
        self.fixture_with(|_| {}).await
    }

    /// A database with an enforced quota of so many bytes.
    pub async fn with_quota(&self, limit: u64) -> Fixture {
        self.fixture_with(|options| options.quota = Some(Quota { limit, enforce: true })).await
    }

    /// A database with limits of what a batch may hold.
    pub async fn with_batch_limits(&self, records: u64, bytes: u64) -> Fixture {
        self.fixture_with(|options| options.batch = BatchLimits { records, bytes }).await
    }

    /// A database with options of the case's choice.
    pub async fn fixture_with(&self, choose: impl FnOnce(&mut DbOptions)) -> Fixture {
        Fixture::open(self.shared.as_ref().unwrap_or(&self.own), ManualClock::default(), choose).await
    }

    /// An empty database of its own, for a case that looks at all users at once.
    pub async fn own_fixture(&self) -> Fixture {
        self.own_fixture_with(|_| {}).await
    }

    /// An empty database of its own, with options of the case's choice.
    pub async fn own_fixture_with(&self, choose: impl FnOnce(&mut DbOptions)) -> Fixture {
        Fixture::open(&self.own, ManualClock::default(), choose).await
    }

    /// Two servers that go by one clock, each with options of the case's choice, for a backend that opens one and the
    /// same database each time.
    pub async fn two_fixtures(
        &self,
        choose_first: impl FnOnce(&mut DbOptions),
        choose_second: impl FnOnce(&mut DbOptions),
    ) -> [Fixture; 2] {
        let first = Fixture::open(&self.own, ManualClock::default(), choose_first).await;
        let second = Fixture::open(&self.own, first.clock.clone(), choose_second).await;
        [first, second]
    }
}

fn opener<F, D>(open: impl Fn(DbOptions) -> F + 'static) -> Opener
where
    F: Future<Output = D> + 'static,
    D: Into<TestDb>,
{
    Box::new(move |options| {
        let opening = open(options);
        Box::pin(async move { opening.await.into() })
    })
}

/// A database and the clock that it goes by.
pub struct Fixture {
    /// The database under test.
    pub db: Arc<dyn Db>,
    /// Its clock; it stands at [`ManualClock::START_MS`] at first.
    pub clock: ManualClock,
    /// The options that it was opened with.
    pub options: DbOptions,
    // The last field, so that it is dropped after the database.
    _guard: Box<dyn Any>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("clock", &self.clock).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Fixture {
    async fn open(open: &Opener, clock: ManualClock, choose: impl FnOnce(&mut DbOptions)) -> Self {
        let mut options = DbOptions { clock: clock.clock(), ..DbOptions::default() };
        choose(&mut options);
        let TestDb { db, guard } = open(options.clone()).await;
        Self { db, clock, options, _guard: guard }
    }

    /// A user whom nobody else uses, with nothing stored.
    #[must_use]
    pub fn user(&self) -> TestUser {
        self.same_user(fresh_user_id())
    }

    /// A user whom another server knows already.
    #[must_use]
    pub fn same_user(&self, id: UserId) -> TestUser {
        TestUser { db: Arc::clone(&self.db), id }
    }
}

/// An id that no other test comes upon, in this process or another one that shares the database.
fn fresh_user_id() -> UserId {
    let random = RandomState::new().build_hasher().finish() >> 1;
    UserId::try_from(i64::try_from(random).expect("63 bits")).expect("not negative")
}

/// Runs one case to its end, on threads of its own.
pub fn run(backend: &Backend, case: impl AsyncFnOnce(&Backend)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, case(backend)).await });
    assert!(ended.is_ok(), "the case hangs");
}
