//! Random operations on a backend and on the model: every answer has to be the same.
//!
//! A run is determined by its seed. To look further than the stamped cases do, set `CONFORMANCE_SEED` and
//! `CONFORMANCE_OPERATIONS`.

mod generate;
mod operation;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use self::generate::Generator;
use self::operation::{Operation, Side};
use super::user::TestUser;
use super::{Backend, Fixture, ManualClock, ModelDb};
use crate::{BsoQuery, Db, DbOptions, PurgeBudget, Sort, UserId};

/// How many operations a message about a difference shows.
const SHOWN: usize = 15;

/// After how many operations all that can be seen is compared.
const COMPARE_EVERY: usize = 50;

/// Runs `operations` random operations on a new database and on the model, both with the options that `choose` makes.
///
/// # Panics
///
/// At the first answer in which the two differ; the message has the seed and the last operations.
pub async fn compare(backend: &Backend, seed: u64, operations: usize, choose: impl FnOnce(&mut DbOptions)) {
    let seed = from_environment("CONFORMANCE_SEED").unwrap_or(seed);
    let operations = from_environment("CONFORMANCE_OPERATIONS").map_or(operations, |number| number as usize);
    // Of its own, since it purges while it moves the clock.
    let fixture = backend.own_fixture_with(choose).await;
    let mut run = Run::new(&fixture, seed);
    for number in 0..operations {
        run.step(number).await;
        if number % COMPARE_EVERY == 0 {
            run.compare_everything().await;
        }
    }
    run.compare_everything().await;
}

/// Carries out random operations of these users on a database that goes by this clock, and compares nothing: for what
/// they leave. The clock stands no earlier afterwards.
pub async fn fill(
    db: &Arc<dyn Db>,
    clock: &ManualClock,
    options: &DbOptions,
    users: &[i64],
    seed: u64,
    operations: usize,
) {
    let begun = clock.now_ms();
    let users: Vec<UserId> = users.iter().map(|id| UserId::try_from(*id).expect("not negative")).collect();
    // The generator looks at the model to make up what is sensible.
    let model = Arc::new(ModelDb::new(options.clone()));
    let mut generator = Generator::new(seed, users.clone());
    let (mut model_side, mut side) = (Side::new(model.clone()), Side::new(Arc::clone(db)));
    for _ in 0..operations {
        for user in &users {
            clock.advance(model.wait_ms(*user));
        }
        let operation = generator.next(&model, clock.now_ms());
        if let Operation::MoveClock(ms) = operation {
            clock.advance(ms.max(0));
        }
        model_side.apply(&operation).await;
        side.apply(&operation).await;
    }
    clock.set(clock.now_ms().max(begun));
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

struct Run<'a> {
    fixture: &'a Fixture,
    seed: u64,
    model: Arc<ModelDb>,
    users: Vec<UserId>,
    generator: Generator,
    expected: Side,
    actual: Side,
    log: VecDeque<String>,
}

impl<'a> Run<'a> {
    fn new(fixture: &'a Fixture, seed: u64) -> Self {
        let model = Arc::new(ModelDb::new(fixture.options.clone()));
        let users: Vec<_> = (0..2).map(|_| fixture.user().id).collect();
        let generator = Generator::new(seed, users.clone());
        let (expected, actual) = (Side::new(model.clone()), Side::new(Arc::clone(&fixture.db)));
        Self { fixture, seed, model, users, generator, expected, actual, log: VecDeque::new() }
    }

    async fn step(&mut self, number: usize) {
        let clock = &self.fixture.clock;
        // A backend may wait for the clock where the model refuses at once, and so neither gets there.
        for user in &self.users {
            clock.advance(self.model.wait_ms(*user));
        }
        let operation = self.generator.next(&self.model, clock.now_ms());
        if let Operation::MoveClock(ms) = operation {
            if ms < 0 {
                self.purge_all().await;
            }
            clock.advance(ms);
        }
        let expected = self.expected.apply(&operation).await;
        let actual = self.actual.apply(&operation).await;
        self.log.push_back(format!("{number} at {} ms: {operation:?}\n      -> {expected}", clock.now_ms()));
        if self.log.len() > SHOWN {
            self.log.pop_front();
        }
        if expected != actual {
            self.fail(&format!("expected {expected}\n     got {actual}"));
        }
    }

    /// Whether a record that has expired comes back when the clock is set back, nobody says; so none is left then.
    async fn purge_all(&self) {
        for db in [&self.expected.db, &self.actual.db] {
            while db.purge(PurgeBudget { rows: 1000 }).await.expect("a purge succeeds").more {}
        }
    }

    async fn compare_everything(&self) {
        for user in &self.users {
            let [expected, actual] = [&self.expected, &self.actual].map(|side| side.user(*user));
            let (seen, other) = (expected.everything().await, actual.everything().await);
            if seen != other {
                self.fail(&format!("all of {expected:?}:\nexpected {seen:?}\n     got {other:?}"));
            }
            for (collection, _) in &seen.collections.value {
                for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
                    let (seen, other) =
                        (paged(&expected, collection, sort).await, paged(&actual, collection, sort).await);
                    if seen != other {
                        self.fail(&format!("{collection} by {sort:?}:\nexpected {seen}\n     got {other}"));
                    }
                }
            }
        }
    }

    fn fail(&self, difference: &str) -> ! {
        let mut story = String::new();
        for line in &self.log {
            let _ = writeln!(story, "  {line}");
        }
        panic!(
            "the backend and the model differ\nseed {}, {:?}\nthe last operations, with the model's answers:\n\
             {story}{difference}",
            self.seed, self.fixture.options
        );
    }
}

/// A whole collection, read by pages of three.
async fn paged(user: &TestUser, collection: &str, sort: Sort) -> String {
    let mut query = BsoQuery { sort, limit: Some(3), ..BsoQuery::default() };
    let mut pages = String::new();
    loop {
        let page = user.read(collection, &query).await;
        let _ = write!(pages, "{page:?} ");
        if page.next.is_none() {
            return pages;
        }
        query.after = page.next;
    }
}
