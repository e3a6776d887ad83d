//! The engine on real files.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, RunQueryDsl};
use sqlite_engine::{EngineOptions, OpenError, SqliteEngine, SqliteLocation, snapshot, sql};
use syncstorage_db_common::{Fault, SecretClaim, SecretFingerprint};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// As long as anything may take on a slow machine.
const A_WHILE: Duration = Duration::from_secs(60);

fn open(folder: &TempDir, options: EngineOptions) -> Result<Arc<SqliteEngine>, OpenError> {
    SqliteEngine::open(&SqliteLocation::File(folder.path().join("sync.db")), options, Vec::new())
}

async fn engine(folder: &TempDir) -> Arc<SqliteEngine> {
    let engine = open(folder, EngineOptions::default()).unwrap();
    let make = |conn: &mut SqliteConnection| sql("CREATE TABLE t (n INTEGER NOT NULL PRIMARY KEY)").run(conn);
    engine.write(make).await.unwrap();
    engine
}

async fn insert(engine: &SqliteEngine, n: i64) -> Result<usize, Fault> {
    engine.write(move |conn| sql("INSERT INTO t VALUES (?)").bind(n).run(conn)).await
}

async fn all(engine: &SqliteEngine) -> Vec<i64> {
    let mut conn = engine.reader().await.unwrap();
    let rows: Vec<(i64,)> = sql::<(BigInt,)>("SELECT n FROM t ORDER BY n").rows(&mut conn).unwrap();
    rows.into_iter().map(|(n,)| n).collect()
}

/// Has the writer wait until the sender is dropped or used, so that other writes pile up behind. It does so already when
/// this returns.
async fn hold_up(engine: &Arc<SqliteEngine>) -> (mpsc::Sender<()>, JoinHandle<Result<(), Fault>>) {
    let (release, held) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let engine = Arc::clone(engine);
    let task = tokio::spawn(async move {
        let wait = move |_: &mut SqliteConnection| {
            let _ = begun.send(());
            let _ = held.recv();
            Ok(())
        };
        engine.write(wait).await
    });
    begins.await.unwrap();
    (release, task)
}

/// Waits until so many writes wait.
async fn waiting(engine: &SqliteEngine, count: usize) {
    let begin = Instant::now();
    while engine.status().waiting < count {
        assert!(begin.elapsed() < A_WHILE, "{:?}", engine.status());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_there_for_every_read_after_it() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    for n in 0..50 {
        insert(&engine, n).await.unwrap();
        assert_eq!(all(&engine).await.len(), usize::try_from(n).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_write_takes_nothing_else_with_it() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    let (release, held) = hold_up(&engine).await;
    let writes: Vec<_> = (0..20)
        .map(|n| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                let work = move |conn: &mut SqliteConnection| {
                    sql("INSERT INTO t VALUES (?)").bind(n).run(conn)?;
                    match n % 4 {
                        1 => Err(Fault::internal("refused")),
                        2 => panic!("a test's panic"),
                        // Breaks a constraint: the second row is the first again.
                        3 => sql("INSERT INTO t VALUES (?)").bind(n).run(conn),
                        _ => Ok(1),
                    }
                };
                engine.write(work).await.is_ok()
            })
        })
        .collect();
    waiting(&engine, 20).await;
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    let mut kept = Vec::new();
    for (n, write) in (0i64..).zip(writes) {
        if write.await.unwrap() {
            kept.push(n);
        }
    }
    assert_eq!(kept, [0, 4, 8, 12, 16]);
    assert_eq!(all(&engine).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_recovers() {
    let folder = TempDir::new().unwrap();
    drop(engine(&folder).await);
    let engine = open(&folder, EngineOptions { write_queue: 4, ..EngineOptions::default() }).unwrap();
    let (release, held) = hold_up(&engine).await;
    let writes: Vec<_> = (0..4)
        .map(|n| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { insert(&engine, n).await })
        })
        .collect();
    waiting(&engine, 4).await;
    assert!(matches!(insert(&engine, 99).await, Err(Fault::Unavailable(_))));
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    insert(&engine, 100).await.unwrap();
    assert_eq!(all(&engine).await, [0, 1, 2, 3, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waited_too_long_is_not_run() {
    let folder = TempDir::new().unwrap();
    drop(engine(&folder).await);
    let engine =
        open(&folder, EngineOptions { wait_limit: Duration::from_millis(500), ..EngineOptions::default() }).unwrap();
    let (release, held) = hold_up(&engine).await;
    let late = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { insert(&engine, 1).await })
    };
    waiting(&engine, 1).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert!(matches!(late.await.unwrap(), Err(Fault::Unavailable(_))));
    assert_eq!(all(&engine).await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_is_written_before_the_engine_goes() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    let (release, held) = hold_up(&engine).await;
    let writes: Vec<_> = (0..10)
        .map(|n| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { insert(&engine, n).await })
        })
        .collect();
    waiting(&engine, 10).await;
    drop(engine);
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let engine = open(&folder, EngineOptions::default()).unwrap();
    assert_eq!(all(&engine).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_does_not_see_what_is_written_meanwhile() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    insert(&engine, 1).await.unwrap();
    let count = "SELECT count(*) FROM t";
    let mut conn = engine.reader().await.unwrap();
    let (saw, seen) = mpsc::channel();
    let (written, go_on) = mpsc::channel::<()>();
    let reading = tokio::task::spawn_blocking(move || {
        snapshot(&mut conn, |conn| {
            let before: Option<(i64,)> = sql::<(BigInt,)>(count).row(conn)?;
            saw.send(()).unwrap();
            go_on.recv().unwrap();
            let after: Option<(i64,)> = sql::<(BigInt,)>(count).row(conn)?;
            Ok::<_, Fault>((before, after))
        })
    });
    tokio::task::spawn_blocking(move || seen.recv()).await.unwrap().unwrap();
    insert(&engine, 2).await.unwrap();
    written.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (Some((1,)), Some((1,))));
    assert_eq!(all(&engine).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_program_is_waited_for_and_never_an_error_of_its_own_kind() {
    let folder = TempDir::new().unwrap();
    drop(engine(&folder).await);
    let options = EngineOptions { busy_timeout: Duration::from_millis(300), ..EngineOptions::default() };
    let engine = open(&folder, options).unwrap();
    let mut other = SqliteConnection::establish(folder.path().join("sync.db").to_str().unwrap()).unwrap();

    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    assert!(matches!(insert(&engine, 1).await, Err(Fault::Unavailable(_))));
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
    assert_eq!(all(&engine).await, [0; 0], "readers wait for nobody");
    drop(engine);

    let engine = open(&folder, EngineOptions { busy_timeout: A_WHILE, ..options }).unwrap();
    let waiting = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { insert(&engine, 2).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    other.batch_execute("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(all(&engine).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_opened_and_read_while_another_program_writes_to_it() {
    let folder = TempDir::new().unwrap();
    insert(&*engine(&folder).await, 1).await.unwrap();
    let mut other = SqliteConnection::establish(folder.path().join("sync.db").to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let engine = open(&folder, EngineOptions { busy_timeout: Duration::ZERO, ..EngineOptions::default() }).unwrap();
    assert_eq!(all(&engine).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_gets_its_turn_while_one_write_follows_the_other() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                loop {
                    // Long enough for a transaction of its own, and for few moments between two of them.
                    let slow = |_: &mut SqliteConnection| {
                        std::thread::sleep(Duration::from_millis(500));
                        Ok::<_, Fault>(())
                    };
                    engine.write(slow).await.unwrap();
                }
            })
        })
        .collect();
    waiting(&engine, 2).await;
    let mut other = SqliteConnection::establish(folder.path().join("sync.db").to_str().unwrap()).unwrap();
    let turn = tokio::task::spawn_blocking(move || {
        other.batch_execute("PRAGMA busy_timeout = 60000; INSERT INTO t VALUES (1)")
    });
    turn.await.unwrap().unwrap();
    for writer in writers {
        writer.abort();
    }
    assert_eq!(all(&engine).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_can_read_the_file_and_it_has_the_pragmas_it_should_have() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    insert(&engine, 7).await.unwrap();
    let mut other = SqliteConnection::establish(folder.path().join("sync.db").to_str().unwrap()).unwrap();
    for (pragma, value) in [("journal_mode", "wal"), ("auto_vacuum", "2"), ("application_id", "1400467043")] {
        let row: (String,) =
            sql::<(diesel::sql_types::Text,)>(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"))
                .get_result(&mut other)
                .unwrap();
        assert_eq!(row.0, value, "{pragma}");
    }
    let row: (i64,) = sql::<(BigInt,)>("SELECT n FROM t").get_result(&mut other).unwrap();
    assert_eq!(row.0, 7);
    let synchronous =
        |conn: &mut SqliteConnection| sql::<(BigInt,)>("SELECT synchronous FROM pragma_synchronous").row(conn);
    assert_eq!(engine.write(synchronous).await.unwrap(), Some((2i64,)), "2 is FULL");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_read_the_file_or_its_log() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    insert(&engine, 1).await.unwrap();
    for name in ["sync.db", "sync.db-wal", "sync.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cannot_write() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    let mut conn = engine.reader().await.unwrap();
    assert!(sql("INSERT INTO t VALUES (1)").run(&mut conn).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_beyond_the_pool_wait_and_are_told_after_a_while() {
    let folder = TempDir::new().unwrap();
    drop(engine(&folder).await);
    let options = EngineOptions { readers: 1, wait_limit: Duration::from_millis(50), ..EngineOptions::default() };
    let engine = open(&folder, options).unwrap();
    let first = engine.reader().await.unwrap();
    assert!(matches!(engine.reader().await.map(drop), Err(Fault::Unavailable(_))));
    drop(first);
    engine.reader().await.unwrap();
}

#[test]
fn a_file_that_is_no_database_of_ours_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sync.db");
    std::fs::write(&path, "this is a text file, and rather longer than the header of a database".repeat(20)).unwrap();
    assert!(matches!(open(&folder, EngineOptions::default()).map(drop), Err(OpenError::Corrupt { .. })));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is a text file"));

    std::fs::remove_file(&path).unwrap();
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("CREATE TABLE moz_places (id INTEGER)").unwrap();
    assert!(matches!(open(&folder, EngineOptions::default()).map(drop), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_folder_that_is_not_there_is_refused() {
    let location = SqliteLocation::File(Path::new("/nowhere/at/all/sync.db").into());
    let error = SqliteEngine::open(&location, EngineOptions::default(), Vec::new()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/at/all/sync.db"), "{error}");
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder, EngineOptions::default()).unwrap());
    let mut other = SqliteConnection::establish(folder.path().join("sync.db").to_str().unwrap()).unwrap();
    other.batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('engine9999')").unwrap();
    let error = open(&folder, EngineOptions::default()).map(drop).unwrap_err();
    assert!(matches!(&error, OpenError::TooNew { found, .. } if found == "engine9999"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_may_start_at_once() {
    let folder = TempDir::new().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = folder.path().join("sync.db");
            std::thread::spawn(move || {
                SqliteEngine::open(&SqliteLocation::File(path), EngineOptions::default(), Vec::new()).map(drop)
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_the_fingerprint_of_its_secret() {
    let folder = TempDir::new().unwrap();
    let [old, new, other] = ["old", "new", "other"].map(|name| SecretFingerprint(name.to_owned()));
    let engine = open(&folder, EngineOptions::default()).unwrap();
    assert_eq!(engine.note(SecretFingerprint::NOTE).await.unwrap(), None);
    assert_eq!(engine.claim_secret(&old, &[]).await.unwrap(), SecretClaim::Claimed);
    drop(engine);
    let engine = open(&folder, EngineOptions::default()).unwrap();
    assert_eq!(engine.note(SecretFingerprint::NOTE).await.unwrap(), Some(old.0.clone()));
    assert_eq!(engine.claim_secret(&old, &[]).await.unwrap(), SecretClaim::Same);
    assert_eq!(engine.claim_secret(&other, &[]).await.unwrap(), SecretClaim::Other);
    assert_eq!(engine.claim_secret(&new, std::slice::from_ref(&old)).await.unwrap(), SecretClaim::Rotated);
    assert_eq!(engine.claim_secret(&old, &[]).await.unwrap(), SecretClaim::Other);
}

#[tokio::test]
async fn a_statement_whose_places_and_values_differ_in_number_is_not_run() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder).await;
    for values in [0, 1, 3] {
        let insert = move |conn: &mut SqliteConnection| {
            let mut statement = sql("INSERT INTO t SELECT coalesce(?, 1) + coalesce(?, 1)");
            for n in 0..values {
                statement = statement.bind(n);
            }
            statement.run(conn)
        };
        assert!(engine.write(insert).await.is_err(), "{values} values for two places");
    }
    assert_eq!(all(&engine).await, [0; 0]);
}

#[test]
fn what_would_be_done_is_told_and_not_done() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sync.db");
    let location = SqliteLocation::File(file.clone());
    let all = SqliteEngine::pending(&location, Vec::new()).unwrap();
    assert!(all.iter().all(|version| version.starts_with("engine")) && !all.is_empty(), "{all:?}");
    assert!(!file.exists());
    // An empty file is a database without tables.
    std::fs::write(&file, "").unwrap();
    assert_eq!(SqliteEngine::pending(&location, Vec::new()).unwrap(), all);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
    drop(open(&folder, EngineOptions::default()).unwrap());
    assert!(SqliteEngine::pending(&location, Vec::new()).unwrap().is_empty());
}
