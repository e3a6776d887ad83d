//! In place of syncstorage-rs: on the tables that it made and filled; and the tables come up from wherever they are.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use network_engine::{EngineOptions, MysqlEngine};
use testdb::Database;
use tokenserver_db_common::{Account, Node, SignIn, SignedIn, TokenDb, TokenError};
use tokenserver_mysql::{COMPONENT, MIGRATIONS, MysqlTokenDb};

/// The tables as a deployment of release 0.2x has them, with a service id of its own, two nodes and some users.
const DEPLOYMENT: &str = include_str!("deployment.sql");

const STEPS: [(&str, &str); 3] = [
    ("tokenserver-0001", include_str!("../migrations/tokenserver-0001_tables/up.sql")),
    ("tokenserver-0002", include_str!("../migrations/tokenserver-0002_unicode/up.sql")),
    ("tokenserver-0003", include_str!("../migrations/tokenserver-0003_accounts/up.sql")),
];

async fn open(database: &Database) -> MysqlTokenDb {
    let options = EngineOptions { max_size: 4, ..EngineOptions::default() };
    let engine = MysqlEngine::open(&database.url().parse().unwrap(), options, vec![(COMPONENT, MIGRATIONS)]).await;
    MysqlTokenDb::new(engine.unwrap())
}

async fn sign_in(db: &MysqlTokenDb, email: &str, client_state: &str) -> Result<SignedIn, TokenError> {
    let account = Account::new(email, Some(10), Some(5), client_state).unwrap();
    db.sign_in(&SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }).await
}

#[tokio::test]
async fn the_users_of_a_deployment_stay_who_they_are() {
    let database = testdb::mysql();
    database.execute(DEPLOYMENT);
    let db = open(&database).await;
    let alice = sign_in(&db, "alice@accounts.example", "bb").await.unwrap();
    assert_eq!((alice.uid.get(), alice.node, alice.created), (42, Node::Url("https://two.example".into()), false));
    assert!(matches!(sign_in(&db, "gone@accounts.example", "aa").await, Err(TokenError::Refused(_))));
    assert!(matches!(sign_in(&db, "alice@accounts.example", "aa").await, Err(TokenError::Refused(_))));
    assert_eq!(db.count_users().await.unwrap(), 1);
    // Others are new, whatever the collation said of them, or another service has of them.
    for (n, email) in ["ALICE@accounts.example", "alice@accounts.example ", "älice@🦊", "bob@accounts.example"]
        .into_iter()
        .enumerate()
    {
        let new = sign_in(&db, email, "aa").await.unwrap();
        assert_eq!((new.uid.get(), new.created), (5000 + n as i64, true), "{email:?}");
        assert_eq!(new.node, Node::Url("https://one.example".into()), "{email:?}");
    }
    let row = database.query("SELECT * FROM users WHERE uid = 5002");
    let expected =
        ["5002", "5", "älice@🦊", "10", "aa", "1700000000000", "NULL", "10", "5"].map(|text| Some(text.to_owned()));
    let shown: Vec<_> = row[0].iter().map(|value| value.clone().or(Some("NULL".to_owned()))).collect();
    assert_eq!(shown, expected);
    let load = database.query("SELECT available, current_load FROM nodes WHERE id = 10");
    assert_eq!(load, [[Some("1".to_owned()), Some("9".to_owned())]]);
    let replaced = db.replaced_rows(1_700_000_000_000, None, 10).await.unwrap();
    assert_eq!(replaced.iter().map(|row| row.uid.get()).collect::<Vec<_>>(), [41, 43]);
}

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
    all.extend(database.query("SELECT version FROM syncserver_schema ORDER BY version"));
    all.extend(database.query("SELECT service, pattern FROM services"));
    all
}

fn statements(step: &str) -> Vec<String> {
    let code: Vec<&str> = step.lines().filter(|line| !line.starts_with("--")).collect();
    code.join("\n").split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// MySQL commits each statement that changes a table by itself, so that a migration may have been cut anywhere.
#[tokio::test]
async fn from_every_step_and_every_cut_the_end_is_that_of_a_fresh_install() {
    let fresh = {
        let database = testdb::mysql();
        open(&database).await;
        schema(&database)
    };
    for (number, (_, step)) in STEPS.iter().enumerate() {
        let statements = statements(step);
        for cut in 0..=statements.len() {
            let database = testdb::mysql();
            database.execute(
                "CREATE TABLE syncserver_schema (version varchar(100) NOT NULL PRIMARY KEY,
                run_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)",
            );
            for (version, done) in &STEPS[..number] {
                database.execute(done);
                database.execute(&format!("INSERT INTO syncserver_schema (version) VALUES ('{version}')"));
            }
            if number > 0 {
                database.execute("INSERT INTO users VALUES (7, 1, 'a@x', 10, 'aa', 1600000000000, NULL, 0, 5)");
            }
            for statement in &statements[..cut] {
                database.execute(statement);
            }
            let db = open(&database).await;
            assert_eq!(schema(&database), fresh, "{cut} statements of step {number}");
            let answer = sign_in(&db, "a@x", "aa").await.unwrap();
            assert_eq!(answer.created, number == 0);
        }
    }
}
