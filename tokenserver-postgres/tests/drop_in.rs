//! A database that another tokenserver filled is taken as it is.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use network_engine::{EngineOptions, Location, PostgresEngine};
use testdb::Database;
use tokenserver_db_common::{Account, Node, SignIn, TokenDb};
use tokenserver_postgres::{COMPONENT, MIGRATIONS, PostgresTokenDb};

/// The tables as other servers make them, in use for a while: the service has some other number, one of two nodes is
/// down, and a user has come back with a new key.
const OTHERS: &str = include_str!("deployment.sql");

async fn open(database: &Database) -> PostgresTokenDb {
    let location: Location = database.url().parse().unwrap();
    let engine =
        PostgresEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).await.unwrap();
    PostgresTokenDb::new(engine)
}

fn request(email: &str, generation: i64, keys_changed_at: i64, client_state: &str) -> SignIn {
    let account = Account::new(email, Some(generation), Some(keys_changed_at), client_state).unwrap();
    SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }
}

#[tokio::test]
async fn the_users_of_another_server_sign_in_as_before() {
    let database = testdb::postgres();
    database.execute(OTHERS);
    let db = open(&database).await;
    let node = Node::Url("https://n3".to_owned());
    let a = db.sign_in(&request("a@x", 6, 6, "bb")).await.unwrap();
    assert_eq!((a.uid.get(), &a.node, a.created), (12, &node, false));
    assert!(db.sign_in(&request("a@x", 7, 7, "aa")).await.is_err(), "an old key");
    let b = db.sign_in(&request("B@x", 1, 1, "")).await.unwrap();
    assert_eq!((b.uid.get(), b.generation, b.created), (13, 1, false));
    // A new one gets the next uid, and a place on the node that is up.
    let c = db.sign_in(&request("b@x", 1, 1, "")).await.unwrap();
    assert_eq!((c.uid.get(), &c.node, c.created), (14, &node, true));
    let users = database.query("SELECT * FROM users WHERE uid = 14");
    let expected = ["14", "7", "b@x", "1", "", "1700000000000", "", "3", "1"].map(str::to_owned);
    assert_eq!(users[0].iter().map(|value| value.clone().unwrap_or_default()).collect::<Vec<_>>(), expected);
    let nodes = database.query("SELECT available, current_load FROM nodes ORDER BY id");
    assert_eq!(nodes[0], ["8", "2"].map(|value| Some(value.to_owned())));
    // Opened again, nothing is added.
    drop(db);
    open(&database).await.check().await.unwrap();
    assert_eq!(database.query("SELECT id FROM services"), [[Some("7".to_owned())]]);
}

#[tokio::test]
async fn a_service_that_is_missing_is_added_beside_others() {
    let database = testdb::postgres();
    database.execute(OTHERS);
    database.execute("UPDATE services SET service = 'other-1.0'");
    let db = open(&database).await;
    assert!(db.init_node("https://n3", 10).await.unwrap(), "the same URL may serve both");
    assert!(db.sign_in(&request("a@x", 6, 6, "bb")).await.unwrap().created);
    // What others add after that gets a number of its own.
    database.execute("INSERT INTO services (service, pattern) VALUES ('third', '')");
    assert_eq!(database.query("SELECT count(DISTINCT id) FROM services"), [[Some("3".to_owned())]]);
}
