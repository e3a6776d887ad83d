//! How often a sign-in asks the database and waits for the answer.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use network_engine::{EngineOptions, MysqlEngine};
use testdb::RoundTrips;
use tokenserver_db_common::{Account, Agent, DEVICE_INTERVAL_MS, SignIn, TokenAdmin, TokenDb};
use tokenserver_mysql::{COMPONENT, MIGRATIONS, MysqlTokenDb};

fn request(email: &str, generation: i64, client_state: &str) -> SignIn {
    let account = Account::new(email, Some(generation), Some(generation), client_state).unwrap();
    SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }
}

#[tokio::test]
async fn a_sign_in_keeps_to_its_round_trips() {
    let database = testdb::mysql();
    let round_trips = RoundTrips::before(&database);
    let options = EngineOptions { max_size: 1, ..EngineOptions::default() };
    let engine =
        MysqlEngine::open(&round_trips.url().parse().unwrap(), options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap();
    let db = MysqlTokenDb::new(engine);
    let counted = async |request: SignIn| {
        let before = round_trips.count();
        let let_in = db.sign_in(&request).await.is_ok();
        (let_in, round_trips.count() - before)
    };
    let without_nodes = [("new", 6), ("same", 1), ("refused", 1), ("newer", 4), ("new key", 6)];
    // A place on a node takes two more: the lock, and the nodes.
    let with_nodes = [("new", 8), ("same", 1), ("refused", 1), ("newer", 4), ("new key", 6)];
    for (nodes, expected) in [(false, without_nodes), (true, with_nodes)] {
        if nodes {
            assert!(db.init_node("https://one.example", 100).await.unwrap());
        }
        let mut found = Vec::new();
        // The first two users make the connection know the statements.
        for n in 0..3 {
            let email = format!("{n}{nodes}@x");
            found = vec![
                ("new", counted(request(&email, 10, "aa")).await),
                ("same", counted(request(&email, 10, "aa")).await),
                ("refused", counted(request(&email, 9, "aa")).await),
                ("newer", counted(request(&email, 11, "aa")).await),
                ("new key", counted(request(&email, 12, "bb")).await),
            ];
        }
        println!("round trips, nodes: {nodes}: {found:?}");
        for ((what, (let_in, turns)), (_, most)) in found.into_iter().zip(expected) {
            assert_eq!(let_in, what != "refused", "{what}");
            assert!((1..=most).contains(&turns), "{what}: {turns}, nodes: {nodes}");
        }
    }
    // A device that was noted within the day is asked for once more by a process that does not know it, and no more.
    let (uid, agent) = (db.sign_in(&request("0true@x", 12, "bb")).await.unwrap().uid, Agent::of("Firefox/153.0"));
    for (now, most) in [(0, 8), (1, 1), (DEVICE_INTERVAL_MS - 1, 1), (DEVICE_INTERVAL_MS, 4)] {
        let before = round_trips.count();
        db.note_device(uid, &agent, now).await.unwrap();
        let turns = round_trips.count() - before;
        assert!((1..=most).contains(&turns), "{now}: {turns}");
    }
}
