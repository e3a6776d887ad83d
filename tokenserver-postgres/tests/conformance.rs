//! The conformance suite of tokenserver backends, on Postgres, and what only this backend promises.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use network_engine::{EngineOptions, Location, PostgresEngine};
use testdb::Database;
use tokenserver_db_common::testing::{Fixture, StoredUser};
use tokenserver_db_common::{Account, Policy, SignIn, TokenAdmin, TokenDb, TokenTarget};
use tokenserver_postgres::{COMPONENT, MIGRATIONS, PostgresTokenArchive, PostgresTokenDb};

struct PostgresFixture {
    engine: Arc<PostgresEngine>,
    // Goes last, after the connections to it.
    database: Database,
}

async fn engine(database: &Database) -> Arc<PostgresEngine> {
    let location: Location = database.url().parse().unwrap();
    let options = EngineOptions { max_size: 8, ..EngineOptions::default() };
    PostgresEngine::open(&location, options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap()
}

async fn open() -> PostgresFixture {
    let database = testdb::postgres();
    PostgresFixture { engine: engine(&database).await, database }
}

#[async_trait]
impl Fixture for PostgresFixture {
    fn db(&self) -> Arc<dyn TokenDb> {
        Arc::new(PostgresTokenDb::new(Arc::clone(&self.engine)))
    }

    fn archive(&self) -> Arc<dyn TokenTarget> {
        Arc::new(PostgresTokenArchive::new(Arc::clone(&self.engine)))
    }

    fn admin(&self) -> Arc<dyn TokenAdmin> {
        Arc::new(PostgresTokenDb::new(Arc::clone(&self.engine)))
    }

    async fn execute(&self, statement: &str) {
        self.database.execute(statement);
    }

    async fn users(&self) -> Vec<StoredUser> {
        // The columns in the order of the table, which is part of what other programs rely on.
        self.database.query("SELECT * FROM users ORDER BY uid").iter().map(|row| user(row)).collect()
    }
}

fn user(row: &[Option<String>]) -> StoredUser {
    let text = |column: usize| row[column].clone().unwrap();
    let number = |column: usize| row[column].as_ref().map(|text| text.parse::<i64>().unwrap());
    StoredUser {
        uid: number(0).unwrap(),
        service: number(1).unwrap(),
        email: text(2),
        generation: number(3).unwrap(),
        client_state: text(4),
        created_at: number(5).unwrap(),
        replaced_at: number(6),
        nodeid: number(7).unwrap(),
        keys_changed_at: number(8),
    }
}

mod conformance {
    tokenserver_db_common::conformance_suite!(super::open);
}

fn request(email: &str, generation: i64) -> SignIn {
    let account = Account::new(email, Some(generation), Some(5), "aa").unwrap();
    SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }
}

/// Two engines are as two processes: each has connections of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_sign_ins_through_two_processes_make_one_row() {
    let t = open().await;
    t.database.execute(
        "INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
         VALUES ((SELECT id FROM services WHERE service = 'sync-1.5'), 'https://n1', 10, 0, 10, 0, 0)",
    );
    let other = PostgresTokenDb::new(engine(&t.database).await);
    let dbs = [t.db(), Arc::new(other) as Arc<dyn TokenDb>];
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
    assert_eq!(t.database.query("SELECT current_load FROM nodes"), [[Some("1".to_owned())]]);
}

/// With places to be given away, a limit on users, and both in one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_new_users_at_once_are_all_let_in() {
    let t = open().await;
    t.db().init_node("https://n1", 1000).await.unwrap();
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let db = t.db();
            let max_users = (n % 2 == 0).then_some(1000);
            let request = SignIn {
                policy: Arc::new(Policy { max_users, ..Policy::default() }),
                ..request(&format!("{n}@x"), 10)
            };
            tokio::spawn(async move { db.sign_in(&request).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(t.db().count_users().await.unwrap(), 60);
    assert_eq!(t.db().nodes().await.unwrap()[0].current_load, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_changes_nothing_waits_for_no_other() {
    let t = open().await;
    let db = t.db();
    db.sign_in(&request("a@x", 10)).await.unwrap();
    // A sign-in that wrote, or locked a row or an account, would wait for this one.
    t.database.execute("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE; SELECT pg_advisory_xact_lock(1398361665, 1)");
    let writes = tokio::time::timeout(Duration::from_millis(300), db.sign_in(&request("a@x", 11))).await;
    assert!(writes.is_err(), "the table is not locked");
    for generation in [10, 9] {
        let answer = tokio::time::timeout(Duration::from_secs(20), db.sign_in(&request("a@x", generation))).await;
        assert_eq!(answer.expect("an answer while the row is locked").is_ok(), generation == 10);
    }
    t.database.execute("ROLLBACK");
}

/// U+0000 is in no text that Postgres holds.
#[tokio::test]
async fn an_impossible_name_is_nobodys() {
    let t = open().await;
    assert!(!t.db().retire_user("a\0@x", 1).await.unwrap());
    assert!(!t.db().password_changed("a\0@x", 1).await.unwrap());
    assert!(t.db().init_node("https://a\0", 1).await.is_err());
}

#[tokio::test]
async fn the_tables_are_those_that_every_tokenserver_has() {
    let t = open().await;
    let columns = |table: &str| -> Vec<String> {
        let rows = t.database.query(&format!(
            "SELECT column_name || ' ' || data_type || coalesce('(' || character_maximum_length || ')', '')
                 || CASE WHEN is_nullable = 'YES' THEN ' null' ELSE '' END
             FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        ));
        rows.into_iter().flatten().map(Option::unwrap).collect()
    };
    let services = ["id integer", "service character varying(30) null", "pattern character varying(128) null"];
    assert_eq!(columns("services"), services);
    let nodes = [
        "id bigint",
        "service integer",
        "node character varying(64)",
        "available integer",
        "current_load integer",
        "capacity integer",
        "downed integer",
        "backoff integer",
    ];
    assert_eq!(columns("nodes"), nodes);
    let users = [
        "uid bigint",
        "service integer",
        "email character varying(255)",
        "generation bigint",
        "client_state character varying(32)",
        "created_at bigint",
        "replaced_at bigint null",
        "nodeid bigint",
        "keys_changed_at bigint null",
    ];
    assert_eq!(columns("users"), users);
    let rows = t.database.query("SELECT indexname FROM pg_indexes WHERE tablename = 'users' ORDER BY indexname");
    let indexes: Vec<String> = rows.into_iter().flatten().map(Option::unwrap).collect();
    assert_eq!(indexes, ["lookup_idx", "node_idx", "replaced_at_idx", "users_pkey"]);
    let pattern = t.database.query("SELECT pattern FROM services WHERE service = 'sync-1.5'");
    assert_eq!(pattern, [[Some("{node}/1.5/{uid}".to_owned())]]);
}
