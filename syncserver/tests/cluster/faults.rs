//! A database that is restarted, or killed, under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testdb::{Engine, Options};
use tokio::task::JoinSet;

use crate::client::{Client, record};
use crate::program::{Folder, Server};

/// What a writer was told.
#[derive(Default)]
struct Journal {
    /// Payloads by id. A write that was not acknowledged may be there or not.
    acknowledged: BTreeMap<String, String>,
    attempted: BTreeMap<String, Vec<String>>,
    refused: usize,
    /// The longest time between two acknowledged writes.
    longest_gap: Duration,
}

async fn write(mut client: Client, name: String, stop: Arc<AtomicBool>) -> (u64, Journal) {
    let mut journal = Journal::default();
    let mut last = Instant::now();
    let mut n = 0_u32;
    while !stop.load(Ordering::SeqCst) {
        n += 1;
        let (id, payload) = (format!("{name}-{}", n % 50), format!("{n}"));
        journal.attempted.entry(id.clone()).or_default().push(payload.clone());
        let (method, target, body) = match n % 2 {
            0 => ("PUT", format!("/storage/load/{id}"), record(&payload)),
            _ => ("POST", "/storage/load".to_owned(), json!([{ "id": id, "payload": payload }]).to_string()),
        };
        let answer = client.try_send(method, &target, Some(&body)).await.unwrap();
        match answer.status {
            200 => {
                journal.longest_gap = journal.longest_gap.max(last.elapsed());
                last = Instant::now();
                journal.acknowledged.insert(id, payload);
            }
            503 => {
                assert!(answer.header("Retry-After").is_some(), "{answer:?}");
                journal.refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => panic!("{other} while the database was away: {answer:?}"),
        }
        // Reads go on as well, and never say that something is not there.
        let read = client.get("/storage/meta/global").await;
        assert!(matches!(read.status, 200 | 503), "{read:?}");
    }
    (client.token.uid, journal)
}

/// Has writers at work while `interrupt` is done to the database.
async fn under_load<T: Send + 'static>(
    server: &Server,
    interrupt: impl FnOnce() -> T + Send + 'static,
) -> (Vec<(u64, Journal)>, T) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for n in 0..6_u64 {
        let mut client = server.user(n % 3 + 1).await;
        let put = client.put("/storage/meta/global", &record("meta")).await;
        assert_eq!(put.status, 200, "{put:?}");
        writers.spawn(write(client, format!("w{n}"), Arc::clone(&stop)));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let interrupted = tokio::task::spawn_blocking(interrupt).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::SeqCst);
    (writers.join_all().await, interrupted)
}

async fn check(server: &Server, journals: Vec<(u64, Journal)>) {
    let mut refused = 0;
    for (uid, journal) in journals {
        refused += journal.refused;
        assert!(journal.acknowledged.len() > 10, "there was hardly any load");
        assert!(journal.longest_gap < Duration::from_secs(20), "{:?} without a write", journal.longest_gap);
        let mut client = server.user(uid).await;
        for (id, payload) in &journal.acknowledged {
            let answer = client.get(&format!("/storage/load/{id}")).await;
            assert_eq!(answer.status, 200, "an acknowledged write is lost: {id}");
            let found = answer.json()["payload"].as_str().unwrap().to_owned();
            let since = &journal.attempted[id];
            let from = since.iter().position(|attempt| attempt == payload).unwrap();
            assert!(since[from..].contains(&found), "{id} is {found}, and {payload} was acknowledged");
        }
    }
    assert!(refused > 0, "the database was never away");
    for line in server.log_lines() {
        assert!(!line.contains("panicked"), "{line}");
    }
    // It is quiet again at once.
    let mut client = server.user(1).await;
    for _ in 0..20 {
        assert_eq!(client.put("/storage/meta/global", &record("after")).await.status, 200);
    }
    let mut connection = server.connect().await;
    let heartbeat = connection.send(&testclient::Request::get("/__heartbeat__")).await.unwrap();
    assert_eq!(heartbeat.status, 200, "{heartbeat:?}");
}

/// A server of ours on a database server of its own, which is durable: what it has committed survives its death.
fn start(engine: Engine) -> (Folder, testdb::Server, Server) {
    let database = testdb::Server::start(engine, Options::default().durable(true));
    let folder = Folder::new();
    let url = database.url();
    let settings =
        [("SYNC_SYNCSTORAGE__DATABASE_URL", url.as_str()), ("SYNC_SYNCSTORAGE__DATABASE_POOL_CONNECTION_TIMEOUT", "2")];
    let server = folder.start_with(&settings);
    (folder, database, server)
}

/// What is done to the database, which comes back with it.
fn interrupted(mut database: testdb::Server, killed: bool) -> testdb::Server {
    if killed {
        database.kill();
    } else {
        database.stop();
    }
    std::thread::sleep(Duration::from_millis(500));
    database.start_again();
    database
}

async fn goes_and_comes_back(engine: Engine, killed: bool) {
    let (_folder, database, server) = start(engine);
    let (journals, _database) = under_load(&server, move || interrupted(database, killed)).await;
    check(&server, journals).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_restarted_loses_nothing() {
    goes_and_comes_back(Engine::Postgres, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_killed_loses_nothing() {
    goes_and_comes_back(Engine::Postgres, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_is_restarted_loses_nothing() {
    goes_and_comes_back(Engine::Mysql, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_is_killed_loses_nothing() {
    goes_and_comes_back(Engine::Mysql, true).await;
}

/// A write of user 1 that takes its time has the only connection there is: what comes then is told to come back, after
/// the wait that was set, and is served once there is a connection again. `slow`: has each record of user 1 take ten
/// seconds to be written; `sleeping`: who is at that.
async fn the_pool_is_exhausted(database: testdb::Database, slow: &str, sleeping: &str) {
    let folder = Folder::new();
    let settings = [
        ("SYNC_SYNCSTORAGE__DATABASE_URL", database.url()),
        ("SYNC_SYNCSTORAGE__DATABASE_POOL_MAX_SIZE", "1"),
        ("SYNC_SYNCSTORAGE__DATABASE_POOL_CONNECTION_TIMEOUT", "1"),
        ("SYNC_WORKERS", "1"),
    ];
    let server = folder.start_with(&settings);
    let mut first = server.user(1).await;
    assert_eq!(first.put("/storage/meta/global", &record("before")).await.status, 200);
    database.execute(slow);
    let hanging = tokio::spawn(async move { first.put("/storage/meta/global", &record("after")).await });
    let begun = Instant::now();
    while database.query(sleeping).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the write does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let mut second = server.user(2).await;
    for target in ["/storage/meta/global", "/info/collections"] {
        let begun = Instant::now();
        let answer = second.get(target).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    let lines = server.log_lines();
    assert!(lines.iter().any(|line| line.contains("database_pool_max_size")), "the log names the setting: {lines:?}");

    let answer = hanging.await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(second.get("/info/collections").await.status, 200);
    assert_eq!(second.get("/storage/meta/global").await.status, 404, "now it is sure");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_connection_to_postgres_is_told_to_come_back() {
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN IF NEW.user_id = 1 THEN PERFORM pg_sleep(10); END IF; RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON bsos FOR EACH ROW EXECUTE FUNCTION slow()";
    let sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    the_pool_is_exhausted(testdb::postgres(), slow, sleeping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_connection_to_mariadb_is_told_to_come_back() {
    let slow = "CREATE TRIGGER slow BEFORE INSERT ON bso FOR EACH ROW DO SLEEP(IF(NEW.userid = 1, 10, 0))";
    let sleeping = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User sleep'";
    the_pool_is_exhausted(testdb::mysql(), slow, sleeping).await;
}

/// A lock that somebody else keeps holds up a write of its user as long as a connection is waited for, and nobody else.
async fn a_lock_is_kept(database: testdb::Database, lock: &str, unlock: &str) {
    let folder = Folder::new();
    let settings = [
        ("SYNC_SYNCSTORAGE__DATABASE_URL", database.url()),
        ("SYNC_SYNCSTORAGE__DATABASE_POOL_CONNECTION_TIMEOUT", "1"),
    ];
    let server = folder.start_with(&settings);
    let (mut first, mut second) = (server.user(1).await, server.user(2).await);
    assert_eq!(first.put("/storage/meta/global", &record("before")).await.status, 200);
    database.execute(lock);
    let begun = Instant::now();
    let answer = first.put("/storage/meta/global", &record("after")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("Retry-After").is_some(), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(second.put("/storage/meta/global", &record("mine")).await.status, 200);
    database.execute(unlock);
    assert_eq!(first.put("/storage/meta/global", &record("after")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_kept_on_postgres_holds_up_its_user_alone_and_not_for_ever() {
    // The lock that a write takes on user 1.
    let key = "1::bigint # 6003408211923361792";
    let (lock, unlock) = (format!("SELECT pg_advisory_lock({key})"), format!("SELECT pg_advisory_unlock({key})"));
    a_lock_is_kept(testdb::postgres(), &lock, &unlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_kept_on_mariadb_holds_up_its_user_alone_and_not_for_ever() {
    let lock = "BEGIN; UPDATE syncserver_stores SET userid = userid WHERE userid = 1; \
                SELECT * FROM syncserver_stores WHERE userid = 1 FOR UPDATE";
    a_lock_is_kept(testdb::mysql(), lock, "ROLLBACK").await;
}
