//! How the server carries the statements out: how many rows it reads, and that it sorts none.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::sql_types::Text;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::testing::{Fields, TestUser, change, id};
use syncstorage_db_common::{Bso, BsoQuery, Cursor, DbOptions, Precondition, PurgeBudget, Sort, SyncTimestamp, UserId};
use syncstorage_mysql::MysqlDb;
use testdb::Database;

/// A user with 60,000 records of one time and one sortindex, another one without a sortindex, and 2,000 neighbours with
/// a few each.
const ROWS: &str = "
    CREATE TEMPORARY TABLE digits (d INT PRIMARY KEY);
    INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
    CREATE TABLE numbers (n INT PRIMARY KEY);
    INSERT INTO numbers SELECT d FROM digits;
    INSERT INTO numbers SELECT n + 10 * d FROM numbers, (SELECT d FROM digits WHERE d > 0) more;
    INSERT INTO numbers SELECT n + 100 * d FROM numbers, (SELECT d FROM digits WHERE d > 0) more;
    INSERT INTO numbers SELECT n + 1000 * d FROM numbers, (SELECT d FROM digits WHERE d > 0) more;
    INSERT INTO numbers SELECT n + 10000 * d FROM numbers, (SELECT d FROM digits WHERE d BETWEEN 1 AND 5) more;
    INSERT INTO bso (userid, collection, id, sortindex, payload, payload_size, modified, ttl)
        SELECT 1, 7, LPAD(n, 8, '0'), 100, 'payload', 7, 1600000000000, 9000000000000 FROM numbers;
    INSERT INTO bso (userid, collection, id, sortindex, payload, payload_size, modified, ttl)
        SELECT 2, 7, LPAD(n, 8, '0'), NULL, 'payload', 7, 1600000000000, 9000000000000 FROM numbers;
    INSERT INTO bso (userid, collection, id, sortindex, payload, payload_size, modified, ttl)
        SELECT 10 + n DIV 10, 7, LPAD(n, 8, '0'), NULL, 'payload', 7, 1600000000000, 9000000000000
        FROM numbers WHERE n < 20000;
    INSERT INTO user_collections (userid, collection, last_modified)
        SELECT DISTINCT userid, collection, modified FROM bso;
    INSERT INTO syncserver_stores SELECT userid FROM user_collections;
    INSERT INTO batch_uploads (batch, userid, collection)
        SELECT 1900000000000, userid, collection FROM user_collections;
    INSERT INTO batch_upload_items (batch, userid, id)
        SELECT batch, userid, 'x' FROM batch_uploads";

/// A database with one connection, so that what it tells of itself is what was done here.
struct Watched {
    engine: Arc<MysqlEngine>,
    db: Arc<MysqlDb>,
    _database: Database,
}

/// What was done between two looks, by the names of the server's own counters.
type Work = BTreeMap<String, i64>;

impl Watched {
    async fn open() -> Self {
        let database = testdb::mysql();
        let engine = common::engine(database.url(), 1).await;
        database.execute(ROWS);
        let db = Arc::new(MysqlDb::new(Arc::clone(&engine), DbOptions::default()));
        Self { engine, db, _database: database }
    }

    fn user(&self, id: i64) -> TestUser {
        TestUser { db: Arc::clone(&self.db) as _, id: UserId::try_from(id).unwrap() }
    }

    async fn counters(&self) -> Work {
        let mut conn = self.engine.connection().await.unwrap();
        let status = "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%' OR Variable_name LIKE 'Sort_%'";
        let rows: Vec<(String, String)> = sql::<(Text, Text)>(status).rows(&mut conn).await.unwrap();
        rows.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect()
    }

    /// The work of something, less that of looking.
    async fn work(&self, something: impl AsyncFn()) -> Work {
        something().await;
        let first = self.counters().await;
        let second = self.counters().await;
        something().await;
        let third = self.counters().await;
        third.into_iter().map(|(name, value)| (name.clone(), value - 2 * second[&name] + first[&name])).collect()
    }
}

/// The number of records.
async fn read(user: &TestUser, query: &BsoQuery) -> usize {
    let mut bsos: Vec<Bso> = Vec::new();
    user.db.get_bsos(&user.at("bookmarks"), query, Precondition::None, &mut bsos).await.unwrap();
    bsos.len()
}

fn rows_read(work: &Work) -> i64 {
    work.iter().filter(|(name, _)| name.starts_with("Handler_read")).map(|(_, count)| count).sum()
}

fn sorts(work: &Work) -> i64 {
    work["Sort_range"] + work["Sort_scan"] + work["Sort_rows"]
}

#[tokio::test]
async fn a_page_costs_the_same_however_deep_it_is() {
    let watched = Watched::open().await;
    let time = SyncTimestamp::from_ms(1_600_000_000_000);
    let place = id("00030000");
    for (user, sort, after) in [
        (1, Sort::Newest, Cursor::Modified(time, place.clone())),
        (1, Sort::Oldest, Cursor::Modified(time, place.clone())),
        (1, Sort::Index, Cursor::Index(Some(100), place.clone())),
        (2, Sort::Index, Cursor::Index(None, place.clone())),
    ] {
        let user = watched.user(user);
        let first = BsoQuery { sort, limit: Some(100), ..BsoQuery::default() };
        let deep = BsoQuery { after: Some(after), ..first.clone() };
        let newer = BsoQuery { newer: Some(SyncTimestamp::from_ms(10).into()), ..deep.clone() };
        for query in [&first, &deep, &newer] {
            if sort == Sort::Index && query.newer.is_some() {
                continue;
            }
            let work = watched.work(async || assert_eq!(read(&user, query).await, 100)).await;
            assert!((101..=110).contains(&rows_read(&work)), "{sort:?} {query:?}: {work:?}");
            assert_eq!(sorts(&work), 0, "{sort:?} {query:?}: {work:?}");
        }
    }
}

/// The question for news is the most frequent one of all.
#[tokio::test]
async fn to_find_nothing_new_reads_next_to_nothing() {
    let watched = Watched::open().await;
    let user = watched.user(1);
    let newer = Some(SyncTimestamp::from_ms(1_600_000_000_000).into());
    for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
        let query = BsoQuery { newer, sort, ..BsoQuery::default() };
        let work = watched.work(async || assert_eq!(read(&user, &query).await, 0)).await;
        assert!(rows_read(&work) <= 5, "{sort:?}: {work:?}");
    }
    let work = watched
        .work(async || assert_eq!(user.db.info_collections(user.id, Precondition::None).await.unwrap().value.len(), 1))
        .await;
    assert!(rows_read(&work) <= 6, "{work:?}");
}

/// Nor is any of the rows locked that are not read.
#[tokio::test]
async fn a_write_looks_at_its_own_records_only() {
    let watched = Watched::open().await;
    let user = watched.user(1);
    let neighbour = watched.user(500);
    let few: Vec<_> = (0..10).map(|n| change(&format!("{n:08}")).payload("new")).collect();
    let put = watched
        .work(async || {
            user.put("bookmarks", change("00000007").payload("new")).await;
        })
        .await;
    let post = watched
        .work(async || {
            user.post("bookmarks", few.clone()).await;
        })
        .await;
    let delete = watched
        .work(async || {
            user.delete_bsos("bookmarks", &["00000001", "00000002", "not-there"]).await;
        })
        .await;
    let batch = watched
        .work(async || {
            let batch = user.create_batch("bookmarks", few.clone()).await;
            user.append("bookmarks", &batch, few.clone()).await;
            user.commit("bookmarks", &batch, Vec::new()).await;
        })
        .await;
    let collection = watched
        .work(async || {
            neighbour.put("bookmarks", change("x")).await;
            neighbour.create_batch("bookmarks", vec![change("x")]).await;
            neighbour.delete_collection("bookmarks").await;
        })
        .await;
    let store = watched
        .work(async || {
            neighbour.delete_store().await;
        })
        .await;
    let purge = watched
        .work(async || {
            neighbour.put("bookmarks", change("x").ttl(0)).await;
            assert_eq!(neighbour.db.purge(PurgeBudget { rows: 100 }).await.unwrap().bsos, 1);
        })
        .await;
    let all = [
        ("put", put, 12),
        ("post", post, 50),
        ("delete", delete, 25),
        ("batch", batch, 200),
        ("collection", collection, 60),
        ("store", store, 30),
        ("purge", purge, 40),
    ];
    for (what, work, most) in all {
        println!("{what:12} {} rows read: {work:?}", rows_read(&work));
        assert!(rows_read(&work) <= most, "{what}: {work:?}");
        assert_eq!(sorts(&work), 0, "{what}: {work:?}");
    }
}
