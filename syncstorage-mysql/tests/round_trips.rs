//! How often each operation asks the database and waits for the answer: a read once, a write five times at most.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use syncstorage_db_common::testing::{Fields, TestUser, change, id, name};
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, CollectionRef, Cursor, Db, DbOptions, Precondition, PurgeBudget, Quota,
    Sort, UserId,
};
use syncstorage_mysql::MysqlDb;
use testdb::RoundTrips;

const READ: u64 = 1;
const WRITE: u64 = 5;

const NONE: Precondition = Precondition::None;

struct Counted {
    round_trips: RoundTrips,
    user: TestUser,
    table: Vec<(String, u64, u64)>,
}

impl Counted {
    /// Does something three times; the first two times the connection comes to know the statements. `prepare` is not
    /// counted.
    async fn op<T>(
        &mut self,
        what: &str,
        budget: u64,
        prepare: impl AsyncFn(&TestUser) -> T,
        operation: impl AsyncFn(&TestUser, T),
    ) {
        let mut turns = 0;
        for _ in 0..3 {
            let prepared = prepare(&self.user).await;
            let before = self.round_trips.count();
            operation(&self.user, prepared).await;
            turns = self.round_trips.count() - before;
        }
        self.table.push((what.to_owned(), turns, budget));
    }

    /// The same without anything to prepare.
    async fn plain(&mut self, what: &str, budget: u64, operation: impl AsyncFn(&TestUser)) {
        self.op(what, budget, async |_| (), async |user, ()| operation(user).await).await;
    }
}

fn at(user: &TestUser) -> CollectionRef {
    user.at("bookmarks")
}

fn records(count: usize, bytes: usize) -> Vec<BsoChange> {
    (0..count).map(|n| change(&format!("r{n:04}")).payload("x".repeat(bytes))).collect()
}

async fn batch(user: &TestUser) -> BatchId {
    user.create_batch("bookmarks", records(3, 10)).await
}

async fn list(user: &TestUser, query: BsoQuery) {
    let mut bsos: Vec<Bso> = Vec::new();
    user.db.get_bsos(&at(user), &query, NONE, &mut bsos).await.unwrap();
}

/// Every operation of the trait.
async fn measure(counted: &mut Counted) {
    counted.user.post("bookmarks", records(200, 100)).await;
    reads(counted).await;
    writes(counted).await;
    batches(counted).await;
}

async fn reads(counted: &mut Counted) {
    counted.plain("info_collections", READ, async |u| drop(u.db.info_collections(u.id, NONE).await.unwrap())).await;
    counted
        .plain("info_collection_counts", READ, async |u| drop(u.db.info_collection_counts(u.id, NONE).await.unwrap()))
        .await;
    counted
        .plain("info_collection_usage", READ, async |u| drop(u.db.info_collection_usage(u.id, NONE).await.unwrap()))
        .await;
    counted
        .plain("info_quota", READ, async |u| {
            u.db.info_quota(u.id, NONE).await.unwrap();
        })
        .await;
    counted.plain("get_bsos, all", READ, async |u| list(u, BsoQuery::default()).await).await;
    for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
        let query = BsoQuery { sort, limit: Some(25), ..BsoQuery::default() };
        counted.plain(&format!("get_bsos, {sort:?}"), READ, async |u| list(u, query.clone()).await).await;
    }
    let last = counted.user.read("bookmarks", &BsoQuery { limit: Some(25), ..BsoQuery::default() }).await.next;
    assert!(matches!(last, Some(Cursor::Modified(..))));
    let query = BsoQuery { limit: Some(25), after: last, ..BsoQuery::default() };
    counted.plain("get_bsos, the next page", READ, async |u| list(u, query.clone()).await).await;
    let ids = (0..100).map(|n| id(&format!("r{n:04}"))).collect();
    let query = BsoQuery { ids: Some(ids), ..BsoQuery::default() };
    counted.plain("get_bsos, a hundred ids", READ, async |u| list(u, query.clone()).await).await;
    let unknown = |user: &TestUser| CollectionRef { user: user.id, collection: name("unknown") };
    counted
        .plain("get_bsos, no such name", READ, async |u| {
            u.db.get_bsos(&unknown(u), &BsoQuery::default(), NONE, &mut Vec::<Bso>::new()).await.unwrap();
        })
        .await;
    counted
        .plain("get_bso_ids", READ, async |u| {
            u.db.get_bso_ids(&at(u), &BsoQuery::default(), NONE, &mut Vec::<BsoId>::new()).await.unwrap();
        })
        .await;
    counted.plain("get_bso", READ, async |u| drop(u.get("bookmarks", "r0001").await.unwrap())).await;
    // A heartbeat, of which there is one a second at most, writes and reads.
    counted.plain("check", 2 * READ, async |u| u.db.check().await.unwrap()).await;
}

async fn writes(counted: &mut Counted) {
    counted
        .plain("put_bso", WRITE, async |u| {
            u.put("bookmarks", change("a").payload("x")).await;
        })
        .await;
    for (count, bytes) in [(0, 0), (1, 300), (10, 300), (100, 300), (100, 26_000), (1000, 300)] {
        let changes = records(count, bytes);
        let what = format!("post_bsos, {count} of {bytes} bytes");
        counted
            .plain(&what, WRITE, async |u| {
                u.post("bookmarks", changes.clone()).await;
            })
            .await;
    }
    counted
        .op(
            "delete_bso",
            WRITE,
            async |u| {
                u.put("bookmarks", change("gone")).await;
            },
            async |u, ()| {
                u.delete_bso("bookmarks", "gone").await;
            },
        )
        .await;
    counted
        .plain("delete_bsos", WRITE, async |u| {
            u.delete_bsos("bookmarks", &["a", "b", "c"]).await;
        })
        .await;
    counted
        .op(
            "delete_collection",
            WRITE,
            async |u| {
                u.post("history", records(10, 10)).await;
                u.create_batch("history", records(10, 10)).await;
            },
            async |u, ()| {
                u.delete_collection("history").await;
            },
        )
        .await;
}

async fn batches(counted: &mut Counted) {
    for count in [0, 100] {
        let changes = records(count, 300);
        let what = |operation: &str| format!("{operation}, {count} records");
        counted
            .plain(&what("create_batch"), WRITE, async |u| {
                drop(u.create_batch("bookmarks", changes.clone()).await);
            })
            .await;
        counted
            .op(&what("append_to_batch"), WRITE, batch, async |u, batch| {
                u.append("bookmarks", &batch, changes.clone()).await;
            })
            .await;
        counted
            .op(&what("commit_batch"), WRITE, batch, async |u, batch| {
                u.commit("bookmarks", &batch, changes.clone()).await;
            })
            .await;
    }
    counted
        .plain("delete_store", WRITE, async |u| {
            u.delete_store().await;
        })
        .await;
    // It looks for records and for batches, and finds none.
    counted
        .plain("purge of nothing", 2, async |u| {
            u.db.purge(PurgeBudget { rows: 100 }).await.unwrap();
        })
        .await;
}

/// On a warm connection, with a quota and without.
#[tokio::test]
async fn every_operation_keeps_to_its_round_trips() {
    let mut over = Vec::new();
    for quota in [None, Some(Quota { limit: 1_000_000_000, enforce: true })] {
        let database = testdb::mysql();
        let round_trips = RoundTrips::before(&database);
        let engine = common::engine(round_trips.url(), 1).await;
        let db: Arc<dyn Db> = Arc::new(MysqlDb::new(engine, DbOptions { quota, ..DbOptions::default() }));
        let user = TestUser { db, id: UserId::try_from(1).unwrap() };
        let mut counted = Counted { round_trips, user, table: Vec::new() };
        measure(&mut counted).await;
        println!("\nround trips, quota: {}", quota.is_some());
        for (what, turns, budget) in &counted.table {
            println!("  {what:30} {turns}");
            // Nothing comes for free: a count of 0 would mean that the wrong thing is counted.
            if !(1..=*budget).contains(turns) {
                over.push(format!("{what}: {turns} of {budget}, quota: {}", quota.is_some()));
            }
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
