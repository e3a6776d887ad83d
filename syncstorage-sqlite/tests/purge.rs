//! What a purge does to the file, which no client sees.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::sync::Arc;

use diesel::Connection;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, sql};
use syncstorage_db_common::testing::{Fields, ManualClock, TestUser, change};
use syncstorage_db_common::{BATCH_LIFETIME_MS, DbError, DbOptions, PurgeBudget, Purged, UserId};
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};
use tempfile::TempDir;

struct Server {
    user: TestUser,
    clock: ManualClock,
    path: PathBuf,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("sync.db");
        let location = SqliteLocation::File(path.clone());
        let engine = SqliteEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).unwrap();
        let clock = ManualClock::default();
        let db = SqliteDb::new(engine, DbOptions { clock: clock.clock(), ..DbOptions::default() });
        let user = TestUser { db: Arc::new(db), id: UserId::try_from(7).unwrap() };
        Self { user, clock, path, _folder: folder }
    }

    async fn purge(&self, rows: u32) -> Purged {
        self.user.db.purge(PurgeBudget { rows }).await.unwrap()
    }

    async fn purge_all(&self, rows: u32) {
        for _ in 0..1000 {
            if !self.purge(rows).await.more {
                return;
            }
        }
        panic!("the purge has no end");
    }

    /// Asks the file, past the server.
    fn number(&self, query: &'static str) -> i64 {
        let mut conn = SqliteConnection::establish(self.path.to_str().unwrap()).unwrap();
        sql::<(BigInt,)>(query).row::<(i64,)>(&mut conn).unwrap().unwrap().0
    }

    /// The names of collections beyond those that every server has.
    fn names(&self) -> Vec<String> {
        let mut conn = SqliteConnection::establish(self.path.to_str().unwrap()).unwrap();
        let query = "SELECT name FROM collections WHERE collection_id > 100 ORDER BY name";
        let rows: Vec<(String,)> = sql::<(Text,)>(query).rows(&mut conn).unwrap();
        rows.into_iter().map(|(name,)| name).collect()
    }
}

const STAGED: &str = "SELECT count(*) FROM batch_bsos";

#[tokio::test(flavor = "multi_thread")]
async fn a_large_stale_batch_is_removed_piece_by_piece() {
    let server = Server::start();
    for batch in 0..2 {
        server.user.create_batch("c", (0..50).map(|n| change(&format!("{batch}-{n}"))).collect()).await;
    }
    server.clock.advance(BATCH_LIFETIME_MS + 1);
    let mut left = 100;
    while left > 0 {
        let purged = server.purge(10).await;
        let now_left = server.number(STAGED);
        assert!(now_left < left && left - now_left <= 10, "{left} records, then {now_left}");
        assert!(purged.more || now_left == 0, "{now_left} records are left, and it says that nothing is");
        left = now_left;
    }
    server.purge_all(10).await;
    assert_eq!(server.number("SELECT count(*) FROM batches"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_half_removed_is_never_committed() {
    let server = Server::start();
    let batch = server.user.create_batch("c", (0..50).map(|n| change(&n.to_string())).collect()).await;
    server.clock.advance(BATCH_LIFETIME_MS + 1);
    assert!(server.purge(10).await.more);
    // The clock is set back, or another server on the same file is behind.
    server.clock.advance(-1000);
    let refused = server.user.try_commit("c", &batch, Vec::new()).await;
    assert!(matches!(refused, Err(DbError::BatchNotFound)), "{refused:?}");
    server.clock.advance(1000);
    server.purge_all(10).await;
    assert_eq!(server.number(STAGED), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_uses_any_more_are_removed() {
    let server = Server::start();
    let user = &server.user;
    for name in ["gone", "kept", "emptied", "bookmarks"] {
        user.put(name, change("a")).await;
    }
    user.delete_collection("gone").await;
    user.delete_collection("bookmarks").await;
    user.delete_bsos("emptied", &["a"]).await;
    let open = user.create_batch("open", vec![change("a")]).await;
    user.create_batch("stale", vec![change("a")]).await;
    assert_eq!(server.names(), ["emptied", "gone", "kept", "open", "stale"]);
    server.purge_all(100).await;
    assert_eq!(server.names(), ["emptied", "kept", "open", "stale"]);
    user.commit("open", &open, Vec::new()).await;
    server.clock.advance(BATCH_LIFETIME_MS + 1);
    // The first one ends the batch.
    server.purge_all(100).await;
    server.purge_all(100).await;
    assert_eq!(server.names(), ["emptied", "kept", "open"]);
    assert_eq!(server.number("SELECT count(*) FROM collections WHERE collection_id <= 100"), 14);
    // A name that comes again is a new one.
    user.put("gone", change("b")).await;
    user.put("bookmarks", change("b")).await;
    assert_eq!(user.ids("gone").await, ["b"]);
    assert_eq!(user.ids("bookmarks").await, ["b"]);
    assert_eq!(user.ids("kept").await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_removed_a_bounded_number_at_a_time() {
    let server = Server::start();
    for n in 0..25 {
        server.user.put(&format!("name{n}"), change("a")).await;
    }
    server.user.delete_store().await;
    assert!(server.purge(10).await.more);
    assert_eq!(server.names().len(), 15);
    server.purge_all(10).await;
    assert_eq!(server.names().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back() {
    let server = Server::start();
    // 10,000 pages of 4 KiB.
    for n in 0..10 {
        let records = (0..4).map(|key| change(&format!("{n}-{key}")).payload("x".repeat(1_000_000))).collect();
        server.user.post("c", records).await;
    }
    const PAGES: &str = "SELECT page_count FROM pragma_page_count";
    assert!(server.number(PAGES) > 9000);
    server.user.delete_store().await;
    let before = server.number(PAGES);
    assert!(server.purge(100).await.more, "much is still to be given back");
    let after = server.number(PAGES);
    assert!(after < before && before - after <= 1100, "{before} pages, then {after}");
    server.purge_all(100).await;
    // A few stay for what is written next.
    assert!(server.number(PAGES) < 1100, "{} pages", server.number(PAGES));
    assert_eq!(server.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}
