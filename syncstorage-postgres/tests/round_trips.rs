//! How many round trips to the database each operation takes, counted on the wire: one for a read, one for a write.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use network_engine::{EngineOptions, Location, PostgresEngine};
use syncstorage_db_common::testing::{Fields, TestUser, change, id};
use syncstorage_db_common::{BsoQuery, Cursor, DbOptions, Precondition, Quota, Sort};
use syncstorage_postgres::{COMPONENT, MIGRATIONS, PostgresDb};
use testdb::{Database, RoundTrips};

const NONE: Precondition = Precondition::None;

/// One read; the helper of the conformance suite asks twice.
async fn read(user: &TestUser, collection: &str, query: &BsoQuery) -> Option<Cursor> {
    let mut bsos = Vec::new();
    let page = user.db.get_bsos(&user.at(collection), query, NONE, &mut bsos).await.unwrap();
    assert!(collection == "absent" || !bsos.is_empty());
    page.value
}

struct Counted {
    round_trips: RoundTrips,
    user: TestUser,
    table: Vec<(String, u64)>,
}

impl Counted {
    /// With one connection, so that it is warm after its first use.
    async fn open(database: &Database, quota: Option<Quota>) -> Self {
        let round_trips = RoundTrips::before(database);
        let location: Location = round_trips.url().parse().unwrap();
        let options = EngineOptions { max_size: 1, ..EngineOptions::default() };
        let engine = PostgresEngine::open(&location, options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap();
        let db = Arc::new(PostgresDb::new(engine, DbOptions { quota, ..DbOptions::default() }));
        Self { round_trips, user: TestUser { db, id: 1.try_into().unwrap() }, table: Vec::new() }
    }

    /// Does it twice, and counts the second time.
    async fn count<T>(&mut self, name: &str, work: impl AsyncFn(&TestUser) -> T) {
        work(&self.user).await;
        self.count_once(name, work).await;
    }

    async fn count_once<T>(&mut self, name: &str, work: impl AsyncFn(&TestUser) -> T) -> T {
        let before = self.round_trips.count();
        let value = work(&self.user).await;
        self.table.push((name.to_owned(), self.round_trips.count() - before));
        value
    }

    async fn count_all(&mut self) {
        self.user.post("c", (0..100).map(|n| change(&n.to_string()).payload("x")).collect()).await;
        self.user.collections().await;
        self.count("info_collections", async |user| user.collections().await).await;
        self.count("info_collection_counts", async |user| user.counts().await).await;
        self.count("info_collection_usage", async |user| user.usage().await).await;
        self.count("info_quota", async |user| user.bytes().await).await;
        for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
            let query = BsoQuery { sort, limit: Some(10), ..BsoQuery::default() };
            self.count(&format!("get_bsos, {sort:?}"), async |user| read(user, "c", &query).await).await;
            let query = BsoQuery { after: read(&self.user, "c", &query).await, ..query };
            self.count(&format!("get_bsos, {sort:?}, next page"), async |user| read(user, "c", &query).await).await;
        }
        self.count("get_bsos, all", async |user| read(user, "c", &BsoQuery::default()).await).await;
        let query = BsoQuery { ids: Some(vec![id("1"), id("2"), id("absent")]), ..BsoQuery::default() };
        self.count("get_bsos, by id", async |user| read(user, "c", &query).await).await;
        self.count("get_bsos, no such collection", async |user| read(user, "absent", &BsoQuery::default()).await).await;
        self.count("get_bso_ids", async |user| {
            user.db.get_bso_ids(&user.at("c"), &BsoQuery::default(), NONE, &mut Vec::new()).await.unwrap()
        })
        .await;
        self.count("get_bso", async |user| user.get("c", "1").await.unwrap()).await;
        self.count("get_bso, not there", async |user| user.get("c", "absent").await).await;
        self.count("get_bso, no such collection", async |user| user.get("absent", "a").await).await;

        self.count("put_bso", async |user| user.put("c", change("1").payload("y")).await).await;
        self.count("put_bso, sortindex only", async |user| user.put("c", change("1").sortindex(1)).await).await;
        self.count_once("put_bso, new collection", async |user| user.put("new", change("1")).await).await;
        self.count("post_bsos of 1", async |user| user.post("c", vec![change("1").payload("z")]).await).await;
        self.count("post_bsos of 100", async |user| {
            user.post("c", (0..100).map(|n| change(&n.to_string()).payload("y".repeat(500))).collect()).await
        })
        .await;
        self.count_once("post_bsos, new collection", async |user| user.post("new2", vec![change("1")]).await).await;
        self.user.delete_bso("c", "1").await;
        self.count_once("delete_bso", async |user| user.delete_bso("c", "2").await).await;
        self.count("delete_bsos", async |user| user.delete_bsos("c", &["3", "4"]).await).await;
        let changes = || (0..100).map(|n| change(&n.to_string()).payload("b")).collect::<Vec<_>>();
        for round in 0..2 {
            let table = self.table.len();
            let batch = self.count_once("create_batch", async |user| user.create_batch("c", changes()).await).await;
            self.count_once("append_to_batch", async |user| user.append("c", &batch, changes()).await).await;
            self.count_once("commit_batch", async |user| user.commit("c", &batch, changes()).await).await;
            if round == 0 {
                self.table.truncate(table);
            }
        }
        self.user.delete_collection("new").await;
        self.count_once("delete_collection", async |user| user.delete_collection("c").await).await;
        self.count("delete_store", async |user| user.delete_store().await).await;
        self.count("check", async |user| user.db.check().await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_one_round_trip() {
    for quota in [None, Some(Quota { limit: 1_000_000_000, enforce: true })] {
        let database = testdb::postgres();
        let mut counted = Counted::open(&database, quota).await;
        counted.count_all().await;
        println!("round trips, quota {quota:?}");
        for (name, turns) in &counted.table {
            println!("{turns:4} {name}");
        }
        assert!(counted.table.len() > 25);
        // The first use of a name by its number is another statement than the one by name.
        // A heartbeat, of which there is one a second at most, writes and reads.
        let budget = |name: &str| if name == "check" { 2 } else { 1 };
        let over: Vec<_> = counted.table.iter().filter(|(name, turns)| *turns != budget(name)).collect();
        assert!(over.is_empty(), "not one round trip: {over:?}");
    }
}
