//! A database that was away and is back costs nobody anything.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::Duration;

use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::{TestUser, change};
use testdb::Database;

/// Ends all connections but that of the test, as the end of the server does, and waits for the word to get round.
async fn cut_off(database: &Database) {
    let ended = database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    assert!(!ended.is_empty(), "there were no connections");
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// Several connections, so that one that is dead may be followed by another such one.
async fn warm_up(user: &TestUser) {
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let user = user.clone();
            tokio::spawn(async move { user.all("c").await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_over_connections_that_were_lost() {
    let database = testdb::postgres();
    let user = TestUser { db: common::open_at(&database, DbOptions::default()).await, id: 1.try_into().unwrap() };
    user.post("c", vec![change("a"), change("b")]).await;
    for _ in 0..3 {
        warm_up(&user).await;
        cut_off(&database).await;
        assert_eq!(user.all("c").await.len(), 2);
        warm_up(&user).await;
        cut_off(&database).await;
        assert!(user.get("c", "a").await.is_some());
        warm_up(&user).await;
        cut_off(&database).await;
        assert_eq!(user.collections().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_over_connections_that_were_lost() {
    let database = testdb::postgres();
    let user = TestUser { db: common::open_at(&database, DbOptions::default()).await, id: 1.try_into().unwrap() };
    user.post("c", vec![change("a"), change("b")]).await;
    for _ in 0..3 {
        warm_up(&user).await;
        cut_off(&database).await;
        user.put("c", change("a")).await;
        assert_eq!(user.ids("c").await, ["a", "b"]);
    }
}
