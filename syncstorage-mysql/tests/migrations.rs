//! The tables come up from wherever they are, and end the same.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use syncstorage_db_common::testing::{Fields, TestUser, change};
use syncstorage_db_common::{DbOptions, UserId};
use syncstorage_mysql::MysqlDb;
use testdb::Database;

/// The migrations, in order.
const STEPS: [(&str, &str); 2] = [
    ("storage-0001", include_str!("../migrations/storage-0001_tables/up.sql")),
    ("storage-0002", include_str!("../migrations/storage-0002_unicode/up.sql")),
];

/// What may be in the tables after the first step.
const DATA: &str = "
    INSERT INTO bso VALUES (7, 7, 'a', 5, 'old', 0, 1600000000000, 9000000000000);
    INSERT INTO user_collections VALUES (7, 7, 1600000000000, NULL, NULL);
    INSERT INTO collections (name) VALUES ('own');
    INSERT INTO batch_uploads (batch, userid, collection) VALUES (1600000000000, 7, 7);
    INSERT INTO batch_upload_items (batch, userid, id, payload) VALUES (1600000000000, 7, 'b', 'x')";

/// All there is to know of the tables but what is in them.
fn schema(database: &Database) -> Vec<Vec<Option<String>>> {
    let mut all = database.query(
        "SELECT table_name, ordinal_position, column_name, column_type, is_nullable, column_default, character_set_name,
             collation_name, extra
         FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
    );
    all.extend(database.query(
        "SELECT table_name, index_name, seq_in_index, column_name, non_unique
         FROM information_schema.statistics WHERE table_schema = DATABASE()
         ORDER BY table_name, index_name, seq_in_index",
    ));
    all.extend(database.query(
        "SELECT table_name, engine, table_collation FROM information_schema.tables
         WHERE table_schema = DATABASE() ORDER BY table_name",
    ));
    all.extend(database.query("SELECT version FROM syncserver_schema ORDER BY version"));
    all.extend(database.query("SELECT id, name FROM collections WHERE name <> 'own' ORDER BY id"));
    all
}

async fn open(database: &Database) -> Arc<MysqlDb> {
    Arc::new(MysqlDb::new(common::engine(database.url(), 4).await, DbOptions::default()))
}

async fn fresh() -> Vec<Vec<Option<String>>> {
    let database = testdb::mysql();
    open(&database).await;
    schema(&database)
}

/// The statements of a migration, one by one.
fn statements(step: &str) -> Vec<String> {
    let code: Vec<&str> = step.lines().filter(|line| !line.starts_with("--")).collect();
    code.join("\n").split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// A database on which the first steps were done, and which has data since.
fn after(steps: usize) -> Database {
    let database = testdb::mysql();
    database.execute(
        "CREATE TABLE syncserver_schema (version varchar(100) NOT NULL PRIMARY KEY,
        run_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    );
    for (number, (version, step)) in STEPS.iter().take(steps).enumerate() {
        database.execute(step);
        database.execute(&format!("INSERT INTO syncserver_schema (version) VALUES ('{version}')"));
        if number == 0 {
            database.execute(DATA);
        }
    }
    database
}

async fn assert_serves(database: &Database, records: &[&str]) {
    let user = TestUser { db: open(database).await, id: UserId::try_from(7).unwrap() };
    for id in records {
        assert_eq!(user.payload("bookmarks", id).await, "old");
    }
    user.put("own", change("a ").payload("🦊")).await;
    assert_eq!(user.payload("own", "a ").await, "🦊");
    assert_eq!(user.bytes().await, 4 + 3 * records.len() as u64);
}

#[tokio::test]
async fn from_every_step_the_end_is_that_of_a_fresh_install() {
    let fresh = fresh().await;
    for steps in 0..=STEPS.len() {
        let database = after(steps);
        let records: &[&str] = if steps == 0 { &[] } else { &["a"] };
        assert_serves(&database, records).await;
        assert_eq!(schema(&database), fresh, "after {steps} steps");
    }
}

/// MySQL commits each statement that changes a table by itself, so that a migration may have been cut anywhere.
#[tokio::test]
async fn a_migration_that_was_cut_in_the_middle_is_done_again() {
    let fresh = fresh().await;
    for (number, (version, step)) in STEPS.iter().enumerate() {
        let statements = statements(step);
        assert!(statements.len() > 3, "{version} has more statements than one");
        for cut in 1..=statements.len() {
            let database = after(number);
            database.execute(&statements[..cut].join(";\n"));
            let records: &[&str] = if number == 0 { &[] } else { &["a"] };
            assert_serves(&database, records).await;
            assert_eq!(schema(&database), fresh, "{version} after {cut} statements");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_may_open_a_new_database_at_once() {
    let fresh = fresh().await;
    let database = Arc::new(testdb::mysql());
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let database = Arc::clone(&database);
            tokio::spawn(async move { drop(open(&database).await) })
        })
        .collect();
    for task in opening {
        task.await.unwrap();
    }
    assert_eq!(schema(&database), fresh);
    assert_serves(&database, &[]).await;
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let database = after(1);
    open(&database).await;
    let before = schema(&database);
    assert_serves(&database, &["a"]).await;
    assert_eq!(schema(&database), before);
}
