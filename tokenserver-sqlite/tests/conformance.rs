//! The conformance suite, and what only this backend promises.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable, Text};
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, sql};
use syncstorage_db_common::Fault;
use tempfile::TempDir;
use tokenserver_db_common::testing::{Fixture, StoredUser};
use tokenserver_db_common::{Account, SignIn, TokenAdmin, TokenDb, TokenTarget};
use tokenserver_sqlite::{COMPONENT, MIGRATIONS, SqliteTokenArchive, SqliteTokenDb};

struct SqliteFixture {
    engine: Arc<SqliteEngine>,
    // Goes last, after the connections to the file in it.
    _folder: Option<TempDir>,
}

fn engine(location: &SqliteLocation) -> Arc<SqliteEngine> {
    SqliteEngine::open(location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).unwrap()
}

async fn temporary() -> SqliteFixture {
    SqliteFixture { engine: engine(&"sqlite://:memory:".parse().unwrap()), _folder: None }
}

async fn file() -> SqliteFixture {
    let folder = tempfile::tempdir().unwrap();
    let location = SqliteLocation::File(folder.path().join("sync.db"));
    SqliteFixture { engine: engine(&location), _folder: Some(folder) }
}

#[async_trait]
impl Fixture for SqliteFixture {
    fn db(&self) -> Arc<dyn TokenDb> {
        Arc::new(SqliteTokenDb::new(Arc::clone(&self.engine)))
    }

    fn archive(&self) -> Arc<dyn TokenTarget> {
        Arc::new(SqliteTokenArchive::new(Arc::clone(&self.engine)))
    }

    fn admin(&self) -> Arc<dyn TokenAdmin> {
        Arc::new(SqliteTokenDb::new(Arc::clone(&self.engine)))
    }

    async fn execute(&self, statement: &str) {
        let statement = statement.to_owned();
        self.engine.write(move |conn| sql(statement).run(conn)).await.unwrap();
    }

    async fn users(&self) -> Vec<StoredUser> {
        type Columns = (BigInt, BigInt, Text, BigInt, Text, BigInt, Nullable<BigInt>, BigInt, Nullable<BigInt>);
        type Row = (i64, i64, String, i64, String, i64, Option<i64>, i64, Option<i64>);
        let mut conn = self.engine.reader().await.unwrap();
        // The columns in the order of the table, which is part of what other programs rely on.
        let rows = sql::<Columns>("SELECT * FROM users ORDER BY uid").rows::<Row>(&mut conn).unwrap();
        let user =
            |(uid, service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)| {
                StoredUser {
                    uid,
                    service,
                    email,
                    generation,
                    client_state,
                    created_at,
                    replaced_at,
                    nodeid,
                    keys_changed_at,
                }
            };
        rows.into_iter().map(user).collect()
    }
}

mod on_a_temporary_database {
    tokenserver_db_common::conformance_suite!(super::temporary);
}

mod on_a_file {
    tokenserver_db_common::conformance_suite!(super::file);
}

fn request(email: &str, generation: i64) -> SignIn {
    let account = Account::new(email, Some(generation), Some(5), "aa").unwrap();
    SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_changes_nothing_does_not_wait_for_the_writer() {
    let t = temporary().await;
    let db = t.db();
    db.sign_in(&request("a@x", 10)).await.unwrap();
    let (started, is_started) = channel();
    let (release, is_released) = channel::<()>();
    let engine = Arc::clone(&t.engine);
    let writer = tokio::spawn(async move {
        engine
            .write(move |_| {
                started.send(()).unwrap();
                is_released.recv().unwrap();
                Ok::<(), Fault>(())
            })
            .await
    });
    is_started.recv().unwrap();
    for generation in [10, 9] {
        let answer = tokio::time::timeout(Duration::from_secs(20), db.sign_in(&request("a@x", generation))).await;
        assert_eq!(answer.expect("an answer while the writer is busy").is_ok(), generation == 10);
    }
    release.send(()).unwrap();
    writer.await.unwrap().unwrap();
}

/// Two engines are as two processes: each has a writer of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_sign_ins_through_two_processes_make_one_row() {
    let t = file().await;
    let other = engine(&SqliteLocation::File(t.engine.path().to_owned()));
    let dbs = [t.db(), Arc::new(SqliteTokenDb::new(other)) as Arc<dyn TokenDb>];
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let db = Arc::clone(&dbs[n % 2]);
            tokio::spawn(async move { db.sign_in(&request("a@x", 10)).await.unwrap().uid })
        })
        .collect();
    let mut uids = Vec::new();
    for task in tasks {
        uids.push(task.await.unwrap().get());
    }
    let rows = t.users().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(uids, [rows[0].uid; 20]);
}

#[tokio::test]
async fn users_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let location = SqliteLocation::File(folder.path().join("sync.db"));
    let first = SqliteTokenDb::new(engine(&location)).sign_in(&request("a@x", 10)).await.unwrap();
    let again = SqliteTokenDb::new(engine(&location)).sign_in(&request("a@x", 10)).await.unwrap();
    assert_eq!((again.uid, again.created), (first.uid, false));
}

#[tokio::test]
async fn the_tables_are_those_that_every_tokenserver_has() {
    let t = temporary().await;
    let mut conn = t.engine.reader().await.unwrap();
    let mut texts = |query: &'static str, table: &str| -> Vec<String> {
        let rows = sql::<(Text,)>(query).bind(table).rows::<(String,)>(&mut conn).unwrap();
        rows.into_iter().map(|(text,)| text).collect()
    };
    const COLUMNS: &str = "SELECT name || iif(\"notnull\" OR pk, '', ' null') FROM pragma_table_info(?) ORDER BY cid";
    assert_eq!(texts(COLUMNS, "services"), ["id", "service", "pattern"]);
    let nodes = ["id", "service", "node", "available", "current_load", "capacity", "downed", "backoff"];
    assert_eq!(texts(COLUMNS, "nodes"), nodes);
    let users = [
        "uid",
        "service",
        "email",
        "generation",
        "client_state",
        "created_at",
        "replaced_at null",
        "nodeid",
        "keys_changed_at null",
    ];
    assert_eq!(texts(COLUMNS, "users"), users);
    const INDEXES: &str = "SELECT name FROM pragma_index_list(?) ORDER BY name";
    assert_eq!(texts(INDEXES, "users"), ["lookup_idx", "node_idx", "replaced_at_idx"]);
    const PATTERN: &str = "SELECT pattern FROM services WHERE service = ?";
    assert_eq!(texts(PATTERN, "sync-1.5"), ["{node}/1.5/{uid}"]);
}
