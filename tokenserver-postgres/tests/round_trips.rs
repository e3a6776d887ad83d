//! How many round trips to the database a sign-in takes, counted on the wire. The usual one changes nothing, and is
//! one.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use network_engine::{EngineOptions, Location, PostgresEngine};
use testdb::RoundTrips;
use tokenserver_db_common::{Account, Agent, DEVICE_INTERVAL_MS, SignIn, TokenAdmin, TokenDb};
use tokenserver_postgres::{COMPONENT, MIGRATIONS, PostgresTokenDb};

fn request(email: &str, generation: i64, client_state: &str) -> SignIn {
    let account = Account::new(email, Some(generation), Some(generation), client_state).unwrap();
    SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_changes_nothing_is_one_round_trip() {
    let database = testdb::postgres();
    let round_trips = RoundTrips::before(&database);
    let location: Location = round_trips.url().parse().unwrap();
    // One connection, so that it is warm after its first use.
    let options = EngineOptions { max_size: 1, ..EngineOptions::default() };
    let engine = PostgresEngine::open(&location, options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap();
    let db = PostgresTokenDb::new(engine);
    let warm = [request("a@x", 1, "aa"), request("a@x", 2, "aa"), request("a@x", 3, "bb"), request("a@x", 3, "bb")];
    for request in &warm {
        db.sign_in(request).await.unwrap();
    }
    for (name, request, expected) in [
        ("nothing new", request("a@x", 3, "bb"), 1),
        ("refused", request("a@x", 2, "bb"), 1),
        // Two plans, BEGIN with the lock, and COMMIT with the change.
        ("a greater generation", request("a@x", 4, "bb"), 4),
        ("a new user", request("b@x", 4, "bb"), 5),
        ("a new key", request("b@x", 5, "cc"), 5),
    ] {
        let before = round_trips.count();
        let answer = db.sign_in(&request).await;
        assert_eq!(answer.is_ok(), name != "refused", "{name}");
        assert_eq!(round_trips.count() - before, expected, "{name}");
    }
    // A device that was noted within the day is asked for once more by a process that does not know it, and no more.
    let (uid, agent) = (db.sign_in(&request("b@x", 5, "cc")).await.unwrap().uid, Agent::of("Firefox/153.0"));
    for (now, expected) in [(0, 0), (1, 1), (DEVICE_INTERVAL_MS - 1, 1), (DEVICE_INTERVAL_MS, 2)] {
        for warm in [Agent::of("warm"), agent.clone()] {
            let before = round_trips.count();
            db.note_device(uid, &warm, now).await.unwrap();
            if now > 0 {
                assert_eq!(round_trips.count() - before, expected, "{now}");
            }
        }
    }
    let generations = database.query("SELECT generation, replaced_at FROM users ORDER BY uid");
    let expected = [("2", Some("1700000000000")), ("4", None), ("4", Some("1700000000000")), ("5", None)];
    let expected = expected.map(|(generation, at)| [Some(generation.to_owned()), at.map(str::to_owned)]);
    assert_eq!(generations, expected);
}
