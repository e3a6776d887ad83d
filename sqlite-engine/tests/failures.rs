//! What the engine does when something goes wrong in the middle.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, give_back, snapshot, sql};
use syncstorage_db_common::Fault;
use tempfile::TempDir;
use tokio::sync::oneshot;

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("sync.db")
}

async fn engine(folder: &TempDir, options: EngineOptions) -> Arc<SqliteEngine> {
    let engine = SqliteEngine::open(&SqliteLocation::File(file(folder)), options, Vec::new()).unwrap();
    let make =
        |conn: &mut SqliteConnection| sql("CREATE TABLE t (n INTEGER NOT NULL PRIMARY KEY, text TEXT)").run(conn);
    engine.write(make).await.unwrap();
    engine
}

fn past_the_engine(folder: &TempDir) -> SqliteConnection {
    SqliteConnection::establish(file(folder).to_str().unwrap()).unwrap()
}

async fn insert(engine: &SqliteEngine, n: i64, bytes: usize) -> Result<usize, Fault> {
    let text = "x".repeat(bytes);
    engine.write(move |conn| sql("INSERT INTO t VALUES (?, ?)").bind(n).bind(text.as_str()).run(conn)).await
}

fn numbers(conn: &mut SqliteConnection) -> Vec<i64> {
    let rows: Vec<(i64,)> = sql::<(BigInt,)>("SELECT n FROM t ORDER BY n").rows(conn).unwrap();
    rows.into_iter().map(|(n,)| n).collect()
}

async fn run(engine: &SqliteEngine, text: &'static str) {
    let work = move |conn: &mut SqliteConnection| conn.batch_execute(text).map_err(Fault::internal);
    engine.write(work).await.unwrap();
}

/// In the words of the log: the source of a fault that is transient.
fn cause(result: Result<usize, Fault>) -> String {
    let fault = result.unwrap_err();
    assert!(matches!(fault, Fault::Unavailable(_)), "{fault:?}");
    fault.source().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_the_write_that_filled_it_and_undoes_those_beside_it() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, EngineOptions::default()).await;
    // To SQLite this is the end of the disk. It ends the transaction itself then, in the middle of a statement.
    run(&engine, "PRAGMA max_page_count = 100").await;
    let (release, held) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let first = {
        let engine = Arc::clone(&engine);
        let hold = move |_: &mut SqliteConnection| {
            let _ = begun.send(());
            Ok::<_, Fault>(held.recv())
        };
        tokio::spawn(async move { engine.write(hold).await })
    };
    begins.await.unwrap();
    // So long that the transaction of the first takes no others.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut tasks = Vec::new();
    for (n, bytes) in [(1, 10), (2, 1_000_000), (3, 10)] {
        let engine_of_task = Arc::clone(&engine);
        tasks.push(tokio::spawn(async move { insert(&engine_of_task, n, bytes).await }));
        while engine.status().waiting < tasks.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    release.send(()).unwrap();
    first.await.unwrap().unwrap().unwrap();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    let [before, full, after] = results.try_into().unwrap();
    assert!(cause(before).contains("another write"));
    assert!(cause(full).contains("database or disk is full"));
    // This one is in a transaction of its own.
    after.unwrap();
    assert_eq!(numbers(&mut past_the_engine(&folder)), [3]);
    insert(&engine, 4, 10).await.unwrap();
    run(&engine, "PRAGMA max_page_count = 100000").await;
    insert(&engine, 5, 1_000_000).await.unwrap();
    assert_eq!(numbers(&mut past_the_engine(&folder)), [3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waited_too_long_for_the_lock_of_another_program_is_not_run() {
    let folder = TempDir::new().unwrap();
    drop(engine(&folder, EngineOptions::default()).await);
    let wait_limit = Duration::from_millis(500);
    let options = EngineOptions { wait_limit, busy_timeout: Duration::from_secs(60), ..EngineOptions::default() };
    let engine = SqliteEngine::open(&SqliteLocation::File(file(&folder)), options, Vec::new()).unwrap();
    let mut other = past_the_engine(&folder);
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    // Here and not in a task, which might begin late: then it would not have waited too long.
    let mut waiting = std::pin::pin!(insert(&engine, 1, 1));
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.is_err());
    other.batch_execute("COMMIT").unwrap();
    assert!(cause(waiting.await).contains("too long"));
    assert_eq!(numbers(&mut other), [0; 0]);
    insert(&engine, 2, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_caller_went_away_while_it_waited_for_a_lock_is_not_run() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, EngineOptions::default()).await;
    let mut other = past_the_engine(&folder);
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let waiting = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { insert(&engine, 1, 1).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    other.batch_execute("COMMIT").unwrap();
    insert(&engine, 2, 1).await.unwrap();
    assert_eq!(numbers(&mut other), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_panics_leaves_no_old_snapshot_to_the_next() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, EngineOptions { readers: 1, ..EngineOptions::default() }).await;
    insert(&engine, 1, 1).await.unwrap();
    let panicking = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            let mut conn = engine.reader().await.unwrap();
            snapshot(&mut conn, |conn| -> Result<(), Fault> {
                assert_eq!(numbers(conn), [1]);
                panic!("a test's panic")
            })
        })
    };
    assert!(panicking.await.unwrap_err().is_panic());
    insert(&engine, 2, 1).await.unwrap();
    let mut conn = engine.reader().await.unwrap();
    assert_eq!(numbers(&mut conn), [1, 2]);
    drop(conn);
    assert_eq!((engine.status().in_use, engine.status().max), (0, 1));
}

/// They would be those of one moment, a moment without open batches perhaps, and lead SQLite astray when there are many.
#[tokio::test(flavor = "multi_thread")]
async fn the_engine_keeps_no_statistics_and_removes_those_that_it_finds() {
    let folder = TempDir::new().unwrap();
    let statistics = || {
        let query = "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'sqlite_stat*'";
        let found: Option<(i64,)> = sql::<(BigInt,)>(query).row(&mut past_the_engine(&folder)).unwrap();
        found.unwrap().0
    };
    let first = engine(&folder, EngineOptions::default()).await;
    run(&first, "CREATE INDEX i ON t (text); CREATE INDEX j ON t (text, n)").await;
    for n in 0..100 {
        insert(&first, n, 1).await.unwrap();
    }
    // What PRAGMA optimize looks for: a choice of indexes.
    run(&first, "SELECT * FROM t WHERE text = 'x' AND n > 7").await;
    drop(first);
    assert_eq!(statistics(), 0);
    past_the_engine(&folder).batch_execute("ANALYZE").unwrap();
    assert!(statistics() > 0);
    SqliteEngine::open(&SqliteLocation::File(file(&folder)), EngineOptions::default(), Vec::new()).unwrap();
    assert_eq!(statistics(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_pages_are_given_back_a_bounded_number_at_a_time_and_some_are_spared() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, EngineOptions::default()).await;
    insert(&engine, 1, 400_000).await.unwrap();
    run(&engine, "DELETE FROM t").await;
    let free = |conn: &mut SqliteConnection| {
        sql::<(BigInt,)>("SELECT freelist_count FROM pragma_freelist_count").row::<(i64,)>(conn).unwrap().unwrap().0
    };
    let mut other = past_the_engine(&folder);
    let before = free(&mut other);
    assert!(before > 90, "{before}");
    assert!(engine.write(|conn| give_back(conn, 30, 50)).await.unwrap(), "there is more");
    assert_eq!(free(&mut other), before - 50);
    assert!(!engine.write(|conn| give_back(conn, 30, 50)).await.unwrap());
    assert_eq!(free(&mut other), 30);
    assert!(!engine.write(|conn| give_back(conn, 30, 50)).await.unwrap());
    assert_eq!(free(&mut other), 30);
}
