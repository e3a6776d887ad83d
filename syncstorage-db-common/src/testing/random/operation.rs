//! Operations, and what a database answers to one.

use std::fmt::Debug;
use std::sync::Arc;

use crate::testing::TestUser;
use crate::testing::user::by_name;
use crate::{
    BatchId, BsoChange, BsoId, BsoQuery, BsoRef, CollectionRef, Db, Precondition, PurgeBudget, SyncTimestamp, UserId,
};

/// One operation, with all its arguments. A batch goes by the number of the attempt to open it.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    InfoCollections(UserId, Precondition),
    InfoCounts(UserId, Precondition),
    InfoUsage(UserId, Precondition),
    InfoQuota(UserId, Precondition),
    GetBsos(CollectionRef, BsoQuery, Precondition),
    GetIds(CollectionRef, BsoQuery, Precondition),
    GetPages(CollectionRef, BsoQuery),
    GetBso(BsoRef, Precondition),
    Put(CollectionRef, BsoChange, Precondition),
    Post(CollectionRef, Vec<BsoChange>, Precondition),
    DeleteBso(BsoRef, Precondition),
    DeleteBsos(CollectionRef, Vec<BsoId>, Precondition),
    DeleteCollection(CollectionRef, Precondition),
    DeleteStore(UserId, Precondition),
    CreateBatch(CollectionRef, Vec<BsoChange>, Precondition),
    Append(CollectionRef, usize, Vec<BsoChange>, Precondition),
    Commit(CollectionRef, usize, Vec<BsoChange>, Precondition),
    Purge(PurgeBudget),
    /// By so many ms. The run does it.
    MoveClock(i64),
}

/// One of the two databases, with its own ids of the batches: `None` for each that was refused.
pub(super) struct Side {
    pub(super) db: Arc<dyn Db>,
    batches: Vec<Option<BatchId>>,
}

impl Side {
    pub(super) fn new(db: Arc<dyn Db>) -> Self {
        Self { db, batches: Vec::new() }
    }

    pub(super) fn user(&self, id: UserId) -> TestUser {
        TestUser { db: Arc::clone(&self.db), id }
    }

    /// Carries out an operation, and gives the answer in a form that is the same for all backends.
    pub(super) async fn apply(&mut self, operation: &Operation) -> String {
        let db = &self.db;
        match operation.clone() {
            Operation::InfoCollections(user, condition) => {
                told(&db.info_collections(user, condition).await.map(by_name))
            }
            Operation::InfoCounts(user, condition) => {
                told(&db.info_collection_counts(user, condition).await.map(by_name))
            }
            Operation::InfoUsage(user, condition) => {
                told(&db.info_collection_usage(user, condition).await.map(by_name))
            }
            Operation::InfoQuota(user, condition) => told(&db.info_quota(user, condition).await),
            Operation::GetBsos(at, query, condition) => {
                let mut bsos = Vec::new();
                let read = db.get_bsos(&at, &query, condition, &mut bsos).await;
                told(&(read, bsos))
            }
            Operation::GetIds(at, query, condition) => {
                let mut ids = Vec::new();
                let read = db.get_bso_ids(&at, &query, condition, &mut ids).await;
                told(&(read, ids))
            }
            Operation::GetPages(at, query) => self.pages(&at, query).await,
            Operation::GetBso(at, condition) => told(&db.get_bso(&at, condition).await),
            Operation::Put(at, change, condition) => told(&db.put_bso(&at, change, condition).await),
            Operation::Post(at, changes, condition) => told(&db.post_bsos(&at, changes, condition).await),
            Operation::DeleteBso(at, condition) => told(&db.delete_bso(&at, condition).await),
            Operation::DeleteBsos(at, ids, condition) => told(&db.delete_bsos(&at, &ids, condition).await),
            Operation::DeleteCollection(at, condition) => told(&db.delete_collection(&at, condition).await),
            Operation::DeleteStore(user, condition) => told(&db.delete_store(user, condition).await),
            Operation::CreateBatch(at, changes, condition) => self.create(&at, changes, condition).await,
            Operation::Append(at, number, changes, condition) => {
                told(&db.append_to_batch(&at, &self.batch(number), changes, condition).await)
            }
            Operation::Commit(at, number, changes, condition) => {
                told(&db.commit_batch(&at, &self.batch(number), changes, condition).await)
            }
            Operation::Purge(budget) => self.purge(budget).await,
            Operation::MoveClock(_) => "moved".to_owned(),
        }
    }

    async fn create(&mut self, at: &CollectionRef, changes: Vec<BsoChange>, condition: Precondition) -> String {
        let created = self.db.create_batch(at, changes, condition).await;
        let answer = told(&created.as_ref().map(|stamped| ("a batch", stamped.last_modified)));
        self.batches.push(created.ok().map(|stamped| stamped.value));
        answer
    }

    /// The id of a batch, or one that is no batch's.
    fn batch(&self, number: usize) -> BatchId {
        self.batches.get(number).cloned().flatten().unwrap_or_else(|| BatchId(format!("no-batch-{number}")))
    }

    async fn pages(&self, at: &CollectionRef, mut query: BsoQuery) -> String {
        let mut pages: Vec<(SyncTimestamp, Vec<String>)> = Vec::new();
        loop {
            let mut ids = Vec::new();
            match self.db.get_bso_ids(at, &query, Precondition::None, &mut ids).await {
                Ok(page) => {
                    pages.push((page.last_modified, ids.iter().map(ToString::to_string).collect()));
                    query.after = page.value;
                }
                Err(error) => return format!("{pages:?} and then {error:?}"),
            }
            if query.after.is_none() || pages.len() > 100 {
                return told(&pages);
            }
        }
    }

    /// How much a purge finds to remove is the backend's own affair.
    async fn purge(&self, budget: PurgeBudget) -> String {
        match self.db.purge(budget).await {
            Ok(purged) if purged.bsos + purged.batches <= u64::from(budget.rows) => "purged".to_owned(),
            other => told(&other),
        }
    }
}

/// What was answered, refusals included, as text: it compares, and it can be shown.
fn told<T: Debug>(answer: &T) -> String {
    format!("{answer:?}")
}
