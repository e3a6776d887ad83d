//! From each kind of database to each other kind, and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use syncserver::archive::Item;
use syncserver::backend::{self, Whole};
use syncstorage_db_common::testing::archive::fill_with_edges;
use syncstorage_db_common::testing::{Fields, ManualClock, TestUser, change, random};
use syncstorage_db_common::{Clock, DbOptions, StoredItem, UserId};
use tokenserver_db_common::{
    Account, AccountItem, DeviceItem, NodeItem, Numbers, RETIRED, SignIn, TokenDb, TokenItem, UserItem,
};

use crate::{Place, backup, items, restore};

const USERS: [i64; 3] = [7, 12, 4_000_000_000];

const LAST: i64 = 4_000_000_010;

pub(crate) fn sign_in(email: &str, client_state: &str, generation: i64, now_ms: i64) -> SignIn {
    let account = Account::new(email, Some(generation), Some(generation), client_state).unwrap();
    SignIn { account, policy: Arc::default(), now_ms }
}

/// Rows of every kind: in use, replaced, retired, purged, on a node that is gone; and what no sign-in makes.
async fn fill_tokens(tokens: &Arc<dyn TokenDb>, now_ms: i64) {
    tokens.init_node("https://one.example", 100).await.unwrap();
    tokens.init_node("https://two.example", 1).await.unwrap();
    for (number, email) in ["a@x", "A@x", "älice@🦊", "a@x "].into_iter().enumerate() {
        tokens.sign_in(&sign_in(email, "aa", 10, now_ms + number as i64)).await.unwrap();
    }
    tokens.sign_in(&sign_in("a@x", "bb", 11, now_ms + 10)).await.unwrap();
    tokens.retire_user("A@x", now_ms + 20).await.unwrap();
    // The greatest uid is given to nobody again, though its row is gone.
    let last = tokens.sign_in(&sign_in("gone@x", "aa", 10, now_ms)).await.unwrap();
    tokens.retire_user("gone@x", now_ms).await.unwrap();
    assert!(tokens.forget_row(last.uid).await.unwrap());
}

fn odd_rows() -> Vec<TokenItem> {
    let user = UserItem {
        uid: 100,
        email: "odd@x".to_owned(),
        generation: RETIRED,
        client_state: String::new(),
        created_at: -1,
        replaced_at: Some(0),
        nodeid: 99,
        keys_changed_at: Some(0),
    };
    let node = NodeItem {
        id: 50,
        url: "https://odd.example".to_owned(),
        available: -1,
        current_load: i64::from(i32::MAX),
        capacity: 0,
        downed: 7,
        backoff: -3,
    };
    vec![
        TokenItem::Node(node),
        TokenItem::User(user.clone()),
        TokenItem::User(UserItem { uid: 102, keys_changed_at: None, replaced_at: None, nodeid: 0, ..user }),
        TokenItem::Account(AccountItem {
            email: "Odd ä🦊@x ".to_owned(),
            verdict: None,
            decided_at: None,
            refusals: 3,
            refused_first: Some(1),
            refused_last: Some(0),
            reason: Some("closed".to_owned()),
        }),
        TokenItem::Account(AccountItem {
            email: "denied@x".to_owned(),
            verdict: Some("denied".to_owned()),
            decided_at: Some(7),
            refusals: 0,
            refused_first: None,
            refused_last: None,
            reason: None,
        }),
        TokenItem::Device(DeviceItem {
            uid: 100,
            agent: "Firefox (Windows)".to_owned(),
            user_agent: "Firefox/140.0 (Windows)".to_owned(),
            first_seen: 1,
            last_seen: 2,
        }),
        // What was ever given: no less than any number that the storage knows, but for one that no counter reaches.
        TokenItem::Numbers(Numbers { uid: LAST, node: 60 }),
    ]
}

/// A database with all that there can be.
async fn filled(place: &Place, clock: &ManualClock) {
    let opened = backend::open(&place.settings(), clock.clock()).await.unwrap();
    fill_with_edges(&opened.storage, clock, USERS).await;
    let options = DbOptions { clock: clock.clock(), ..DbOptions::default() };
    random::fill(&opened.storage, clock, &options, &[1, 2, 3, 4, 5], 11, 2500).await;
    let large = TestUser { db: Arc::clone(&opened.storage), id: UserId::try_from(i64::MAX).unwrap() };
    large.post("large", vec![change("a").payload("🦊\n\u{1}\"".repeat(300_000)), change("b")]).await;
    let many = |n| change(&format!("{n:05}")).payload(format!("{n}"));
    large.post("many", (0..2500).map(many).collect()).await;
    fill_tokens(&opened.tokens, clock.now_ms()).await;
    drop(opened);
    let whole = Whole::attach(&place.settings()).await.unwrap();
    whole.targets.tokens.load(odd_rows()).await.unwrap();
}

async fn backup_of(place: &Place, now_ms: i64) -> Vec<u8> {
    let whole = Whole::attach(&place.settings()).await.unwrap();
    backup(&whole.targets.sources(), now_ms).await
}

/// The same bytes after SQLite, PostgreSQL, MySQL, and SQLite again: nothing is lost, added, rounded or put in another
/// order on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_postgres_to_mysql_to_sqlite_not_a_byte_changes() {
    let clock = ManualClock::default();
    let first = Place::sqlite();
    filled(&first, &clock).await;
    let now_ms = clock.now_ms();
    let original = backup_of(&first, now_ms).await;
    let all = items(&original);
    let count = |wanted: fn(&Item) -> bool| all.iter().filter(|item| wanted(item)).count();
    assert!(count(|item| matches!(item, Item::Storage(_))) > 2600);
    assert_eq!(count(|item| matches!(item, Item::Token(TokenItem::Node(_)))), 3);
    assert_eq!(count(|item| matches!(item, Item::Token(TokenItem::User(_)))), 7);
    assert!(all.contains(&Item::Token(TokenItem::Numbers(Numbers { uid: LAST, node: 60 }))));

    let mut last = original.clone();
    for place in [Place::on(testdb::postgres()), Place::on(testdb::mysql()), Place::sqlite()] {
        let counts = restore(&place.settings(), &last).await;
        assert_eq!(counts.users, 7, "{}", place.url());
        last = backup_of(&place, now_ms).await;
        assert_eq!(items(&last), all, "{}", place.url());
        assert!(last == original, "{}", place.url());
        check_that_users_go_on(&place, &clock).await;
    }
}

/// What was given is not given again, and what was written is not written over.
async fn check_that_users_go_on(place: &Place, clock: &ManualClock) {
    let opened = backend::open(&place.settings(), clock.clock()).await.unwrap();
    let now_ms = clock.now_ms();
    let new = opened.tokens.sign_in(&sign_in("new@x", "aa", 10, now_ms)).await.unwrap();
    assert_eq!((new.uid.get(), new.created), (LAST + 1, true), "{}", place.url());
    let known = opened.tokens.sign_in(&sign_in("a@x", "bb", 11, now_ms)).await.unwrap();
    assert!(!known.created);
    assert!(opened.tokens.sign_in(&sign_in("a@x", "aa", 10, now_ms)).await.is_err(), "an old key");
    opened.tokens.init_node("https://new.example", 1).await.unwrap();
    assert_eq!(opened.tokens.nodes().await.unwrap().last().unwrap().id, 61);
    let gone = TestUser { db: opened.storage, id: UserId::try_from(USERS[2]).unwrap() };
    let deleted = gone.store_time().await;
    assert!(deleted.as_ms() > 0 && gone.put("new", change("x")).await > deleted);
}

/// A server that is started in between must not serve a half, nor must a backup be made of one.
#[tokio::test]
async fn a_database_that_was_not_filled_to_the_end_is_not_served() {
    for place in [Place::sqlite(), Place::on(testdb::postgres()), Place::on(testdb::mysql())] {
        let whole = Whole::open(&place.settings()).await.unwrap();
        assert_eq!(whole.unfinished().await.unwrap(), None);
        whole.begin("import").await.unwrap();
        assert_eq!(whole.unfinished().await.unwrap().as_deref(), Some("import"));
        let refused = [
            backend::open(&place.settings(), Clock::system()).await.err().unwrap(),
            backend::attach(&place.settings(), Clock::system()).await.err().unwrap(),
            Whole::attach(&place.settings()).await.err().unwrap(),
        ];
        for error in refused {
            let error = error.to_string();
            assert!(error.contains("the last import into") && error.contains("--force"), "{error}");
        }
        whole.end().await.unwrap();
        backend::open(&place.settings(), Clock::system()).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_a_server_has_open_is_not_filled() {
    for place in [Place::sqlite(), Place::on(testdb::postgres()), Place::on(testdb::mysql())] {
        let server = backend::open(&place.settings(), Clock::system()).await.unwrap();
        server.storage.check().await.unwrap();
        let refused = Whole::open(&place.settings()).await.err().unwrap().to_string();
        assert!(refused.contains("is in use"), "{refused}");
        drop(server);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while let Err(error) = Whole::open(&place.settings()).await {
            assert!(std::time::Instant::now() < deadline, "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// While users write: of the counter in each of two collections, that in the second is never behind, and ahead by one at
/// most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_users_write_is_of_one_moment() {
    for place in [Place::sqlite(), Place::on(testdb::postgres()), Place::on(testdb::mysql())] {
        let server = backend::open(&place.settings(), Clock::system()).await.unwrap();
        let user = TestUser { db: Arc::clone(&server.storage), id: UserId::try_from(1).unwrap() };
        let enough = Arc::new(AtomicBool::new(false));
        let is_enough = Arc::clone(&enough);
        let writer = tokio::spawn(async move {
            // Two digits, so that all payloads are of one length.
            for number in (10..100).cycle() {
                if is_enough.load(Ordering::Relaxed) {
                    break;
                }
                for collection in ["second", "first"] {
                    user.post(
                        collection,
                        (0..10).map(|id| change(&id.to_string()).payload(number.to_string())).collect(),
                    )
                    .await;
                }
            }
        });
        let whole = Whole::attach(&place.settings()).await.unwrap();
        let mut seen = 0;
        while seen < 10 {
            assert!(!writer.is_finished(), "the writer failed");
            let now_ms = Clock::system().now_ms();
            let numbers = numbers(&items(&backup(&whole.targets.sources(), now_ms).await));
            if let [first, second] = &*numbers {
                let next = if first[0] == 99 { 10 } else { first[0] + 1 };
                assert!(first.iter().all(|n| *n == first[0]) && second.iter().all(|n| *n == second[0]), "{numbers:?}");
                assert!(second[0] == first[0] || second[0] == next, "{numbers:?}");
                seen += 1;
            }
        }
        enough.store(true, Ordering::Relaxed);
        writer.await.unwrap();
    }
}

/// The payloads of each collection.
fn numbers(items: &[Item]) -> Vec<Vec<u32>> {
    let mut numbers: Vec<Vec<u32>> = Vec::new();
    for item in items {
        match item {
            Item::Storage(StoredItem::Collection { .. }) => numbers.push(Vec::new()),
            Item::Storage(StoredItem::Bso(bso)) => numbers.last_mut().unwrap().push(bso.bso.payload.parse().unwrap()),
            _ => {}
        }
    }
    numbers
}
