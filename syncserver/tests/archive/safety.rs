//! What must not happen: somebody gets the storage of somebody else, or a database is lost by a mistake.

use syncserver::archive::Item;
use syncserver::archive::copy::{GAP, Incoming, Stop};
use syncserver::backend::{self, Whole};
use syncstorage_db_common::testing::ManualClock;
use syncstorage_db_common::{Clock, Sink, StoredItem, SyncTimestamp, UserId};

use crate::Place;
use crate::moves::sign_in;

fn everywhere() -> [Place; 3] {
    [Place::sqlite(), Place::on(testdb::postgres()), Place::on(testdb::mysql())]
}

async fn newcomer(place: &Place) -> i64 {
    let clock = ManualClock::default();
    let opened = backend::open(&place.settings(), clock.clock()).await.unwrap();
    opened.tokens.sign_in(&sign_in("new@x", "aa", 10, clock.now_ms())).await.unwrap().uid.get()
}

fn store(user: i64) -> Item {
    StoredItem::Store { user: UserId::try_from(user).unwrap(), modified: SyncTimestamp::from_ms(10) }.into()
}

/// As where the users stand in another database, and that was not named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_without_users_is_given_to_no_newcomer() {
    for (gap, expected) in [(0, 4_000_000_001), (GAP, 4_000_000_001 + GAP)] {
        for place in everywhere() {
            let whole = Whole::open(&place.settings()).await.unwrap();
            let produce = |to: &mut dyn Sink<Item>| {
                // The last one is of a number to which no counter gets.
                [3, 4_000_000_000, i64::MAX]
                    .into_iter()
                    .try_for_each(|user| to.push(store(user)))
                    .map_err(|e| e.to_string())
            };
            let incoming = Incoming::begin(produce, &Stop::default()).await.unwrap();
            assert!(!incoming.is_empty());
            whole.targets.take(incoming, gap, |_| {}).await.unwrap();
            assert_eq!(newcomer(&place).await, expected, "{}", place.url());
        }
    }
}

#[tokio::test]
async fn a_source_that_fails_or_holds_nothing_is_known_before_anything_is_cleared() {
    let stop = Stop::default();
    let nothing = Incoming::begin(|_: &mut dyn Sink<Item>| Ok(()), &stop).await.unwrap();
    assert!(nothing.is_empty());
    let failed = Incoming::begin(|_: &mut dyn Sink<Item>| Err("it broke".to_owned()), &stop).await;
    assert_eq!(failed.err().unwrap(), "it broke");
}

/// By what is written into the one and found in the other.
#[tokio::test]
async fn a_database_is_known_by_another_name() {
    for place in [Place::on(testdb::postgres()), Place::on(testdb::mysql())] {
        let other_name = place.url().replace("127.0.0.1", "localhost");
        assert_ne!(other_name, place.url());
        let whole = Whole::open(&place.settings()).await.unwrap();
        let refused = whole.refuse_sources(&[other_name]).await.err().unwrap().to_string();
        assert!(refused.contains("is the database of the settings"), "{refused}");
        let others = everywhere();
        for other in &others {
            backend::open(&other.settings(), Clock::system()).await.unwrap();
        }
        whole.refuse_sources(&others.each_ref().map(Place::url)).await.unwrap();
    }
}

/// One that was started before, on another machine perhaps.
#[tokio::test]
async fn a_server_on_a_database_that_is_being_filled_is_unwell() {
    for place in everywhere() {
        let server = backend::open(&place.settings(), Clock::system()).await.unwrap();
        server.storage.check().await.unwrap();
        let whole = Whole::attach(&place.settings()).await.unwrap();
        // A second one takes the place of the first.
        whole.begin("import").await.unwrap();
        whole.begin("restore").await.unwrap();
        let why = format!("{:?}", server.storage.check().await.unwrap_err());
        assert!(why.contains("its last restore did not finish"), "{why}");
        whole.end().await.unwrap();
        server.storage.check().await.unwrap();
    }
}
