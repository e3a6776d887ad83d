//! A database that another server filled is served as it is, and what is written into it is as that server has it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use syncstorage_db_common::testing::{Fields, ManualClock, TestUser, change};
use syncstorage_db_common::{
    BatchId, BsoQuery, Cursor, DbError, DbOptions, Precondition, PurgeBudget, Quota, Sort, SyncTimestamp,
};
use testdb::Database;

const DEPLOYMENT: &str = include_str!("common/deployment.sql");

/// The open batch of user 5 for bookmarks, and the one for prefs, which are not there yet.
const OPEN: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const STALE: &str = "11111111-8b86-4d01-b42d-00cf4fc964ff";
const OF_PREFS: &str = "22222222-8b86-4d01-b42d-00cf4fc964ff";

/// 2023-11-14 00:00:00, in ms since the epoch.
const MIDNIGHT: i64 = 1_699_920_000_000;

fn at(hours: i64, minutes: i64, ms: i64) -> SyncTimestamp {
    SyncTimestamp::from_ms(MIDNIGHT + hours * 3_600_000 + minutes * 60_000 + ms)
}

struct Deployment {
    database: Database,
    db: Arc<syncstorage_postgres::PostgresDb>,
    clock: ManualClock,
}

impl Deployment {
    async fn open(choose: impl FnOnce(&mut DbOptions)) -> Self {
        let database = testdb::postgres();
        database.execute(DEPLOYMENT);
        let clock = ManualClock::default();
        let mut options = DbOptions { clock: clock.clock(), ..DbOptions::default() };
        choose(&mut options);
        let db = common::open_at(&database, options).await;
        Self { database, db, clock }
    }

    fn user(&self, id: i64) -> TestUser {
        TestUser { db: self.db.clone(), id: id.try_into().unwrap() }
    }

    /// The rows of a statement, each as one line of its columns.
    fn rows(&self, sql: &str) -> Vec<String> {
        let line = |row: &Vec<Option<String>>| {
            row.iter().map(|value| value.as_deref().unwrap_or("null")).collect::<Vec<_>>().join(" | ")
        };
        self.database.query(sql).iter().map(line).collect()
    }
}

fn batch(id: &str) -> BatchId {
    BatchId(id.to_owned())
}

#[tokio::test]
async fn all_of_it_is_served() {
    let t = Deployment::open(|_| {}).await;
    let user = t.user(5);
    let mut collections = user.collections().await;
    collections.sort();
    let expected = [
        ("bookmarks", at(22, 0, 570)),
        ("crypto", at(21, 0, 10)),
        ("extension-storage", at(21, 31, 990)),
        ("history", at(21, 30, 0)),
    ];
    assert_eq!(collections, expected.map(|(name, time)| (name.to_owned(), time)));
    assert_eq!(user.store_time().await, at(22, 0, 570));
    let menu = user.get("bookmarks", "menu").await.unwrap();
    assert_eq!((menu.payload.as_str(), menu.sortindex, menu.modified), ("émenu", Some(5), at(22, 0, 570)));
    assert_eq!(user.payload("bookmarks", "Menu").await, "other");
    assert_eq!(user.ids("history").await, ["later"], "one has expired");
    assert_eq!(user.payload("extension-storage", "x").await, "text");
    assert_eq!(user.bytes().await, 18 + 6 + 5 + 5 + 4);
    let mut counts = user.counts().await;
    counts.sort();
    let expected = [("bookmarks", 2), ("crypto", 1), ("extension-storage", 1), ("history", 1)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
    // Without a ttl a record lives for decades.
    t.clock.advance(60 * 365 * 86_400_000);
    assert_eq!(user.payload("crypto", "keys").await, "{\"ciphertext\":\"k\"}");

    let page = t.user(5).read("bookmarks", &BsoQuery { limit: Some(1), ..BsoQuery::default() }).await;
    let Some(Cursor::Modified(time, id)) = &page.next else { panic!("{page:?}") };
    assert_eq!((*time, id.as_str()), (at(22, 0, 290), "Menu"));
    let newest = BsoQuery { sort: Sort::Newest, newer: Some(at(22, 0, 290).into()), ..BsoQuery::default() };
    assert_eq!(user.read("bookmarks", &newest).await.bsos.len(), 1);

    assert_eq!((t.user(6).collections().await, t.user(6).store_time().await), (Vec::new(), at(20, 0, 420)));
    assert_eq!(t.user(7).store_time().await, at(20, 0, 420));
    assert_eq!(t.user(7).collections().await, [("clients".to_owned(), at(19, 0, 0))]);
    assert_eq!(t.user(8).collections().await, []);
}

#[tokio::test]
async fn an_open_batch_goes_on_and_is_committed() {
    let t = Deployment::open(|_| {}).await;
    let user = t.user(5);
    assert!(matches!(user.try_append("bookmarks", &batch(STALE), vec![]).await, Err(DbError::BatchNotFound)));
    user.append("bookmarks", &batch(OPEN), vec![change("menu").null_sortindex(), change("fresh").null_ttl()]).await;
    let staged = "SELECT batch_bso_id, sortindex, sortindex_reset, payload, ttl FROM batch_bsos
        WHERE batch_id = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff' ORDER BY 1";
    let expected =
        ["Menu | 8 | null | null | null", "fresh | 3 | null | f | 2100000000", "menu | null | t | new menu | null"];
    assert_eq!(t.rows(staged), expected);
    let time = user.commit("bookmarks", &batch(OPEN), vec![change("last").payload("z").ttl(60)]).await;
    assert_eq!(time, t.clock.now());
    let fields = "SELECT bso_id, sortindex, payload, modified, expiry - modified FROM bsos
        WHERE user_id = 5 AND collection_id = 7 ORDER BY 1";
    // The kept expiries count from the old times of the records: 2,100,000,000 s are 24305 days and 13:20:00.
    let expected = [
        "Menu | 8 | other | 2023-11-14 22:13:20+00 | 24305 days 13:06:40.29",
        "fresh | 3 | f | 2023-11-14 22:13:20+00 | 24305 days 13:20:00",
        "last | null | z | 2023-11-14 22:13:20+00 | 00:01:00",
        "menu | null | new menu | 2023-11-14 22:13:20+00 | 24305 days 13:06:40.57",
    ];
    assert_eq!(t.rows(fields), expected);
    assert_eq!(t.rows("SELECT count(*) FROM batches WHERE collection_id = 7"), ["1"], "the stale one");

    user.commit("prefs", &batch(OF_PREFS), vec![]).await;
    assert_eq!(user.payload("prefs", "pref").await, "p");
    let purged = t.db_purge().await;
    assert_eq!((purged.bsos, purged.batches), (1, 1));
}

impl Deployment {
    async fn db_purge(&self) -> syncstorage_db_common::Purged {
        use syncstorage_db_common::Db;
        self.db.purge(PurgeBudget { rows: 1000 }).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_written_is_as_the_other_server_has_it() {
    let t = Deployment::open(|_| {}).await;
    let user = t.user(5);
    // Keeps the ttl: an expiry of "never" that counts from the old time stays.
    user.put("bookmarks", change("menu").payload("m2")).await;
    t.clock.advance(10);
    user.post("history", vec![change("later").sortindex(2), change("ttl").payload("x").ttl(10), change("bare")]).await;
    t.clock.advance(10);
    user.put("brand-new", change("a").payload("ü")).await;
    let batch = user.create_batch("tabs", vec![change("t").null_payload().null_ttl(), change("u").ttl(5)]).await;
    let bsos = "SELECT collection_id, bso_id, sortindex, payload, modified, expiry FROM bsos
        WHERE user_id = 5 AND modified >= '2023-11-14 22:13:20+00' ORDER BY 1, 2";
    let seen = t.rows(bsos);
    let expected = [
        "4 | bare | null |  | 2023-11-14 22:13:20.01+00 | 2090-06-01 11:33:20.01+00",
        "4 | later | 2 | stays | 2023-11-14 22:13:20.01+00 | 2023-11-15 21:30:00+00",
        "4 | ttl | null | x | 2023-11-14 22:13:20.01+00 | 2023-11-14 22:13:30.01+00",
        "7 | menu | 5 | m2 | 2023-11-14 22:13:20+00 | 2090-06-01 11:20:00.57+00",
        "103 | a | null | ü | 2023-11-14 22:13:20.02+00 | 2090-06-01 11:33:20.02+00",
    ];
    assert_eq!(seen, expected);
    let staged = "SELECT b.expiry, s.* FROM batches b JOIN batch_bsos s USING (batch_id) WHERE b.collection_id = 9
        ORDER BY batch_bso_id";
    let expected = [
        format!("2023-11-15 00:13:20.02+00 | 5 | 9 | {} | t | null |  | 2100000000 | null", batch.0),
        format!("2023-11-15 00:13:20.02+00 | 5 | 9 | {} | u | null | null | 5 | null", batch.0),
    ];
    assert_eq!(t.rows(staged), expected);
    let collections = "SELECT collection_id, modified, count, total_bytes FROM user_collections
        WHERE user_id = 5 ORDER BY 1";
    let expected = [
        "2 | 2023-11-14 21:00:00.01+00 | null | null",
        "4 | 2023-11-14 22:13:20.01+00 | null | null",
        "7 | 2023-11-14 22:13:20+00 | null | null",
        "8 | 0001-01-01 00:00:00+00 | null | null",
        "9 | 0001-01-01 00:00:00+00 | null | null",
        "101 | 2023-11-14 21:31:00.99+00 | 1 | 4",
        "103 | 2023-11-14 22:13:20.02+00 | null | null",
    ];
    assert_eq!(t.rows(collections), expected);
    assert_eq!(t.rows("SELECT name FROM collections WHERE collection_id = 103"), ["brand-new"]);

    let deleted = user.delete_collection("bookmarks").await;
    assert_eq!(deleted.as_ms(), t.clock.now_ms() + 10);
    assert_eq!(
        t.rows("SELECT modified FROM user_collections WHERE user_id = 5 AND collection_id = 0"),
        ["2023-11-14 22:13:20.03+00"]
    );
    assert_eq!(t.rows("SELECT count(*) FROM bsos WHERE user_id = 5 AND collection_id = 7"), ["0"]);
    user.delete_store().await;
    assert_eq!(t.rows(collections), ["0 | 2023-11-14 22:13:20.04+00 | null | null"]);
    for table in ["bsos", "batches", "batch_bsos"] {
        assert_eq!(t.rows(&format!("SELECT count(*) FROM {table} WHERE user_id = 5")), ["0"], "{table}");
    }
    // Later than the tombstone of the other server, though its clock may have been ahead.
    t.clock.set(at(19, 0, 0).as_ms());
    assert_eq!(t.user(6).put("tabs", change("a")).await, at(20, 0, 430));
}

#[tokio::test]
async fn with_a_quota_the_collection_has_its_figures() {
    let t = Deployment::open(|options| options.quota = Some(Quota { limit: 1000, enforce: true })).await;
    let user = t.user(5);
    let left = user.try_put("history", change("later").payload("12"), Precondition::None).await.unwrap().quota_left;
    assert_eq!(left, Some(1000 - (18 + 11 + 2 + 4)));
    user.post("bookmarks", vec![change("a").payload("123"), change("gone").payload("x").ttl(0)]).await;
    let figures = "SELECT collection_id, count, total_bytes FROM user_collections
        WHERE user_id = 5 AND modified >= '2023-11-14 22:13:20+00' ORDER BY 1";
    assert_eq!(t.rows(figures), ["4 | 1 | 2", "7 | 3 | 14"]);
    user.delete_bso("bookmarks", "a").await;
    assert_eq!(t.rows(figures), ["4 | 1 | 2", "7 | 2 | 11"]);
}

/// A time that no client can name would be asked for again and again.
#[tokio::test]
async fn a_time_between_two_ticks_is_taken_back_to_the_tick() {
    let database = testdb::postgres();
    database.execute(DEPLOYMENT);
    database.execute("UPDATE bsos SET modified = modified + interval '3.007 milliseconds' WHERE collection_id = 7");
    database.execute("UPDATE user_collections SET modified = modified + interval '9.999 milliseconds'");
    let clock = ManualClock::default();
    let db = common::open_at(&database, DbOptions { clock: clock.clock(), ..DbOptions::default() }).await;
    let user = TestUser { db, id: 5.try_into().unwrap() };
    assert_eq!(user.store_time().await, at(22, 0, 570));
    assert_eq!(user.get("bookmarks", "menu").await.unwrap().modified, at(22, 0, 570));
    let newer = BsoQuery { newer: Some(at(22, 0, 570).into()), ..BsoQuery::default() };
    assert_eq!(user.read("bookmarks", &newer).await.bsos, []);
    user.try_put("bookmarks", change("menu"), Precondition::UnmodifiedSince(at(22, 0, 570).into())).await.unwrap();
}

/// Times have a hundredth of a second, in the table as in the answers.
#[tokio::test]
async fn every_tick_of_a_second_is_stored_and_found_exactly() {
    let t = Deployment::open(|_| {}).await;
    let user = t.user(9);
    for tick in 0..100 {
        t.clock.set(ManualClock::START_MS + 10_000 + tick * 10);
        let time = user.put("c", change("a").payload("x")).await;
        assert_eq!(time.as_ms(), t.clock.now_ms());
        assert_eq!(user.get("c", "a").await.unwrap().modified, time);
        let found = async |query: BsoQuery| user.read("c", &query).await.bsos.len();
        let before = SyncTimestamp::from_ms(time.as_ms() - 10);
        let query = BsoQuery::default;
        assert_eq!(found(BsoQuery { newer: Some(time.into()), ..query() }).await, 0, "{time}");
        assert_eq!(found(BsoQuery { newer: Some(before.into()), ..query() }).await, 1, "{time}");
        assert_eq!(found(BsoQuery { older: Some(time.into()), ..query() }).await, 0, "{time}");
        assert_eq!(found(BsoQuery { older: Some(time.next().into()), ..query() }).await, 1, "{time}");
        let unmodified = Precondition::UnmodifiedSince(time.into());
        assert!(user.try_read("c", &query(), unmodified).await.is_ok(), "{time}");
        let unmodified = Precondition::UnmodifiedSince(before.into());
        assert!(user.try_read("c", &query(), unmodified).await.is_err(), "{time}");
    }
}
