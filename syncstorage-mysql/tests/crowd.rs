//! Many users at once: they do not meet each other, and where the server says deadlock, no caller hears of it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use syncstorage_db_common::testing::{Fields, TestUser, change};
use syncstorage_db_common::{Db, DbOptions, PurgeBudget, UserId};
use syncstorage_mysql::MysqlDb;
use testdb::Database;
use tokio::task::JoinSet;

const USERS: i64 = 1000;

/// Two engines, as two processes would have them.
async fn servers(database: &Database) -> [Arc<MysqlDb>; 2] {
    let open = async || Arc::new(MysqlDb::new(common::engine(database.url(), 8).await, DbOptions::default()));
    [open().await, open().await]
}

/// Users with numbers that lie side by side, and so do their rows.
fn user(servers: &[Arc<MysqlDb>; 2], number: i64) -> TestUser {
    let db = Arc::clone(&servers[usize::from(number % 2 == 0)]);
    TestUser { db: db as _, id: UserId::try_from(number).unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_new_users_may_write_at_once() {
    let database = testdb::mysql();
    let servers = servers(&database).await;
    let mut tasks = JoinSet::new();
    for number in 0..USERS {
        let user = user(&servers, number);
        tasks.spawn(async move {
            let records = (0..3).map(|n| change(&n.to_string()).payload("x"));
            user.post("never-heard-of", records.collect()).await;
            let batch = user.create_batch("bookmarks", vec![change("a").payload("x")]).await;
            user.commit("bookmarks", &batch, vec![change("b")]).await;
            assert_eq!(user.collections().await.len(), 2);
        });
    }
    tasks.join_all().await;
    assert_eq!(database.query("SELECT COUNT(*) FROM bso"), [[Some((USERS * 5).to_string())]]);
    assert_eq!(database.query("SELECT COUNT(*) FROM batch_upload_items"), [[Some("0".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purge_is_in_nobodys_way() {
    let database = testdb::mysql();
    let servers = servers(&database).await;
    let done = Arc::new(AtomicBool::new(false));
    let purging = {
        let done = Arc::clone(&done);
        // With connections of its own: it is to be in the way, if it can.
        let engine = common::engine(database.url(), 1).await;
        let db = MysqlDb::new(engine, DbOptions::default());
        tokio::spawn(async move {
            let mut purged = 0;
            while !done.load(Ordering::SeqCst) {
                purged += db.purge(PurgeBudget { rows: 500 }).await.unwrap().bsos;
            }
            purged
        })
    };
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let user = user(&servers, number);
        tasks.spawn(async move {
            for round in 0..10 {
                // Every other one expires at once, and is written over before or after the purge.
                let ttl = |n: u32| (n + round) % 2 * 1000;
                let records = (0..20).map(|n| change(&format!("{n:02}")).payload("x").ttl(ttl(n)));
                user.post("bookmarks", records.collect()).await;
                if round == 5 {
                    user.delete_collection("bookmarks").await;
                }
            }
            assert_eq!(user.all("bookmarks").await.len(), 10);
        });
    }
    tasks.join_all().await;
    done.store(true, Ordering::SeqCst);
    assert!(purging.await.unwrap() > 0);
}
