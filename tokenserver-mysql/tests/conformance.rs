//! The conformance suite, and what only this backend promises.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::sync::Arc;

use async_trait::async_trait;
use network_engine::{EngineOptions, MysqlEngine};
use testdb::Database;
use tokenserver_db_common::testing::{Fixture, StoredUser};
use tokenserver_db_common::{Account, Policy, SignIn, TokenAdmin, TokenDb, TokenTarget};
use tokenserver_mysql::{COMPONENT, MIGRATIONS, MysqlTokenArchive, MysqlTokenDb};

struct MysqlFixture {
    engine: Arc<MysqlEngine>,
    // Goes last, after the connections to it.
    database: Database,
}

async fn engine(database: &Database) -> Arc<MysqlEngine> {
    let options = EngineOptions { max_size: 8, ..EngineOptions::default() };
    MysqlEngine::open(&database.url().parse().unwrap(), options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap()
}

async fn open() -> MysqlFixture {
    let database = testdb::mysql();
    MysqlFixture { engine: engine(&database).await, database }
}

#[async_trait]
impl Fixture for MysqlFixture {
    fn db(&self) -> Arc<dyn TokenDb> {
        Arc::new(MysqlTokenDb::new(Arc::clone(&self.engine)))
    }

    fn archive(&self) -> Arc<dyn TokenTarget> {
        Arc::new(MysqlTokenArchive::new(Arc::clone(&self.engine)))
    }

    fn admin(&self) -> Arc<dyn TokenAdmin> {
        Arc::new(MysqlTokenDb::new(Arc::clone(&self.engine)))
    }

    async fn execute(&self, statement: &str) {
        self.database.execute(statement);
    }

    async fn users(&self) -> Vec<StoredUser> {
        // The columns in the order of the table, which is part of what other programs rely on.
        let rows = self.database.query("SELECT * FROM users ORDER BY uid");
        let user = |row: Vec<Option<String>>| {
            let number = |at: usize| row[at].as_ref().map(|text| text.parse::<i64>().unwrap());
            let text = |at: usize| row[at].clone().unwrap();
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
        };
        rows.into_iter().map(user).collect()
    }
}

mod conformance {
    tokenserver_db_common::conformance_suite!(super::open);
}

fn request(email: &str, generation: i64) -> SignIn {
    let account = Account::new(email, Some(generation), Some(5), "aa").unwrap();
    SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }
}

#[tokio::test]
async fn a_sign_in_that_changes_nothing_waits_for_no_lock() {
    let t = open().await;
    let db = t.db();
    db.sign_in(&request("a@x", 10)).await.unwrap();
    // All that a writer could hold.
    t.database.execute(
        "SET autocommit = 0; SELECT * FROM users FOR UPDATE; SELECT * FROM services FOR UPDATE;
         SELECT * FROM syncserver_account_locks FOR UPDATE",
    );
    for generation in [10, 9] {
        assert_eq!(db.sign_in(&request("a@x", generation)).await.is_ok(), generation == 10);
    }
    t.database.execute("ROLLBACK");
}

/// Two engines are as two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_sign_ins_through_two_processes_make_one_row() {
    let t = open().await;
    let other = engine(&t.database).await;
    let dbs = [t.db(), Arc::new(MysqlTokenDb::new(other)) as Arc<dyn TokenDb>];
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

/// The collation of the column says that these are one.
#[tokio::test]
async fn accounts_that_differ_by_a_space_or_a_letter_are_counted_and_retired_one_by_one() {
    let t = open().await;
    let db = t.db();
    let emails = ["é@x", "e@x", "E@x", "e@x ", "e@x  ", "🦊@x", "\u{1}@x", "'@x\\"];
    for email in emails {
        assert!(db.sign_in(&request(email, 10)).await.unwrap().created, "{email:?}");
    }
    assert_eq!(db.count_users().await.unwrap(), emails.len() as u64);
    let four = Policy { max_users: Some(emails.len() as u64), ..Policy::default() };
    let refused = SignIn { policy: Arc::new(four), ..request("e@x   ", 10) };
    assert!(db.sign_in(&refused).await.is_err());
    assert!(db.password_changed("e@x ", 20).await.unwrap());
    assert!(db.retire_user("e@x", 1_700_000_000_000).await.unwrap());
    assert_eq!(db.count_users().await.unwrap(), emails.len() as u64 - 1);
    let generations: Vec<i64> = t.users().await.iter().map(|row| row.generation).collect();
    assert_eq!(generations, [10, i64::MAX, 10, 20, 10, 10, 10, 10]);
}

#[tokio::test]
async fn the_tables_are_those_that_every_tokenserver_has() {
    let t = open().await;
    let texts = |query: &str| -> Vec<String> {
        t.database.query(query).into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect()
    };
    let columns = |table: &str| {
        texts(&format!(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY ordinal_position"
        ))
    };
    assert_eq!(columns("services"), ["id int NO", "service varchar NO", "pattern varchar NO"]);
    let nodes = [
        "id bigint NO",
        "service int NO",
        "node varchar NO",
        "available int NO",
        "current_load int NO",
        "capacity int NO",
        "downed int NO",
        "backoff int NO",
    ];
    assert_eq!(columns("nodes"), nodes);
    let users = [
        "uid bigint NO",
        "service int NO",
        "email varchar NO",
        "generation bigint NO",
        "client_state varchar NO",
        "created_at bigint NO",
        "replaced_at bigint YES",
        "nodeid bigint NO",
        "keys_changed_at bigint YES",
    ];
    assert_eq!(columns("users"), users);
    let indexes =
        "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
                   WHERE table_schema = DATABASE() AND table_name = 'users' GROUP BY index_name ORDER BY index_name";
    let expected = [
        "lookup_idx email,service,created_at",
        "node_idx nodeid",
        "PRIMARY uid",
        "replaced_at_idx service,replaced_at",
    ];
    assert_eq!(texts(indexes), expected);
    assert_eq!(texts("SELECT pattern FROM services WHERE service = 'sync-1.5'"), ["{node}/1.5/{uid}"]);
}
