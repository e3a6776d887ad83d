//! What becomes of the storage of users who were replaced (the end of section 9).

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::server::{Client, TestServer};
use crate::tokenserver::{ALICE, BOB, Device, Tokenserver, storage_token};

const EVERY_SECOND: (&str, &str) = ("SYNC_PURGE_INTERVAL", "1");
const RECORD: &str = "/storage/meta/global";

/// A user with a record, who is replaced by the same account with another key; both.
async fn replaced(tokens: &Tokenserver, fxa_uid: &str) -> (Client, Client) {
    let device = Device::of(fxa_uid);
    let mut old = tokens.storage(&device).await;
    assert_eq!(old.put(RECORD, r#"{"payload":"old"}"#).await.status, 200);
    let device = device.generation(2_000).keys_changed_at(2_000).key(b"the second key..");
    let mut new = tokens.storage(&device).await;
    assert_eq!(new.put(RECORD, r#"{"payload":"new"}"#).await.status, 200);
    (old, new)
}

/// Waits until an account has so many rows.
async fn wait_for_rows(tokens: &Tokenserver, fxa_uid: &str, count: usize) {
    for _ in 0..500 {
        if tokens.rows(fxa_uid).len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}; the log: {:#?}", tokens.rows(fxa_uid), tokens.server.log_lines());
}

/// The client, of the same server after a restart.
async fn again(tokens: &Tokenserver, client: Client) -> Client {
    Client { connection: tokens.server.connect().await, token: client.token }
}

#[tokio::test]
async fn the_storage_of_a_replaced_user_goes_after_a_day_and_nobody_elses() {
    let tokens = Tokenserver::start();
    let (old, new) = replaced(&tokens, ALICE).await;
    let (fresh, _) = replaced(&tokens, BOB).await;
    let retired = tokens.storage(&Device::of("carol")).await;
    tokens.sql(&format!("UPDATE users SET replaced_at = 1000 WHERE uid = {}", old.token.uid));
    tokens.sql(&format!(
        "UPDATE users SET replaced_at = 1000, generation = {} WHERE uid = {}",
        i64::MAX,
        retired.token.uid
    ));
    let tokens = tokens.restart_with(&[EVERY_SECOND]);
    wait_for_rows(&tokens, ALICE, 1).await;
    wait_for_rows(&tokens, "carol", 0).await;
    assert_eq!(again(&tokens, old).await.get("/info/collections").await.text(), "{}");
    assert_eq!(again(&tokens, new).await.get(RECORD).await.json()["payload"], "new");
    // Bob was replaced a moment ago: one of his devices may be in the middle of a sync.
    assert_eq!(tokens.rows(BOB).len(), 2);
    assert_eq!(again(&tokens, fresh).await.get(RECORD).await.json()["payload"], "old");
}

#[tokio::test]
async fn another_node_is_asked_to_delete_and_one_that_does_not_answer_is_asked_again() {
    // A storage of its own, with the same master secret.
    let storage = TestServer::start_with(&[("SYNC_TOKENSERVER__ENABLED", "false")]);
    let tokens = Tokenserver::start();
    let node = format!("http://{}", storage.addr);
    tokens.add_node(&node, 10);
    let mut clients = Vec::new();
    for fxa_uid in [ALICE, BOB, "carol"] {
        let token = storage_token(&tokens.let_in(&Device::of(fxa_uid)).await);
        let mut client = Client { connection: storage.connect().await, token };
        assert_eq!(client.put(RECORD, r#"{"payload":"old"}"#).await.status, 200);
        clients.push(client);
    }
    // Bob's node is told to be down, and at Carol's nobody answers.
    let down = tokens.add_node("http://127.0.0.1:9/down", 10);
    let silent = tokens.add_node("http://127.0.0.1:9", 10);
    tokens.sql(&format!(
        "UPDATE nodes SET downed = 1 WHERE id = {down};
         UPDATE users SET generation = 9223372036854775807, replaced_at = 1000;
         UPDATE users SET nodeid = {down} WHERE email LIKE '{BOB}%';
         UPDATE users SET nodeid = {silent} WHERE email LIKE 'carol%'"
    ));
    let tokens = tokens.restart_with(&[EVERY_SECOND]);
    wait_for_rows(&tokens, ALICE, 0).await;
    assert_eq!(clients[0].get("/info/collections").await.text(), "{}", "{:#?}", storage.log_lines());
    for client in &mut clients[1..] {
        assert_eq!(client.get(RECORD).await.status, 200);
    }
    assert_eq!((tokens.rows(BOB).len(), tokens.rows("carol").len()), (1, 1));
    // The node is there again, under the URL that its row has now.
    tokens.sql(&format!("DELETE FROM nodes WHERE node = '{node}'"));
    tokens.sql(&format!("UPDATE nodes SET node = '{node}/' WHERE id = {silent}"));
    wait_for_rows(&tokens, "carol", 0).await;
    assert_eq!(clients[2].get(RECORD).await.status, 404);
    assert_eq!(tokens.rows(BOB).len(), 1);
    let said = tokens.server.log_lines().iter().any(|line| line.contains("is tried again later"));
    assert!(said, "{:#?}", tokens.server.log_lines());
}

/// Waits until the log says that a storage could not be deleted; that line.
async fn wait_for_failure(tokens: &Tokenserver) -> String {
    for _ in 0..500 {
        let lines = tokens.server.log_lines();
        if let Some(line) = lines.into_iter().find(|line| line.contains("is tried again later")) {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:#?}", tokens.server.log_lines());
}

/// Three users on a node, all of them retired, when the server starts to purge.
async fn replaced_on(node: &str) -> Tokenserver {
    let tokens = Tokenserver::start();
    tokens.add_node(node, 10);
    for fxa_uid in [ALICE, BOB, "carol"] {
        tokens.let_in(&Device::of(fxa_uid)).await;
    }
    tokens.sql("UPDATE users SET generation = 9223372036854775807, replaced_at = 1000");
    tokens.restart_with(&[EVERY_SECOND])
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_asked_once_a_round_and_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!("http://{}", listener.local_addr().unwrap());
    let (asked, questions) = mpsc::channel();
    std::thread::spawn(move || {
        // Hangs up without an answer.
        while listener.accept().is_ok() && asked.send(()).is_ok() {}
    });
    let begin = Instant::now();
    let tokens = replaced_on(&node).await;
    // One who comes after them, and whose node is gone.
    tokens.let_in(&Device::of("dave")).await;
    tokens.sql(
        "UPDATE users SET generation = 9223372036854775807, replaced_at = 1000, nodeid = 4711 WHERE email LIKE 'dave%'",
    );
    wait_for_rows(&tokens, "dave", 0).await;
    // A round is a second, and the first is at the start.
    for _ in 0..2 {
        questions.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    let rounds = 2 + questions.try_iter().count();
    let most = 1 + usize::try_from(begin.elapsed().as_secs()).unwrap();
    assert!(rounds <= most, "{rounds} questions in {most} rounds");
    let lines = tokens.server.log_lines();
    let lines = lines.iter().filter(|line| line.contains("is tried again later")).count();
    let rounds = rounds + questions.try_iter().count();
    assert!((1..=rounds).contains(&lines), "{lines} lines in {rounds} rounds");
    assert_eq!([ALICE, BOB, "carol"].map(|fxa_uid| tokens.rows(fxa_uid).len()), [1, 1, 1]);
}

#[tokio::test]
async fn a_node_that_answers_404_has_not_deleted_anything() {
    // Somebody who has never heard of the path.
    let other = testclient::MockFxa::start();
    let tokens = replaced_on(&other.url()).await;
    let line = wait_for_failure(&tokens).await;
    assert!(line.starts_with("WARN") && line.contains("answered 404") && line.contains(&other.url()), "{line}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!([ALICE, BOB, "carol"].map(|fxa_uid| tokens.rows(fxa_uid).len()), [1, 1, 1]);
}

#[tokio::test]
async fn what_was_on_a_node_that_is_gone_is_forgotten() {
    let tokens = Tokenserver::start();
    tokens.add_node("http://127.0.0.1:9", 10);
    tokens.add_node("http://127.0.0.1:9/other", 10);
    tokens.let_in(&Device::of(ALICE)).await;
    tokens.sql("UPDATE users SET generation = 9223372036854775807, replaced_at = 1000, nodeid = 4711");
    let tokens = tokens.restart_with(&[EVERY_SECOND]);
    wait_for_rows(&tokens, ALICE, 0).await;
}

#[tokio::test]
async fn a_user_who_was_taken_off_a_node_and_has_not_come_back_keeps_what_is_there() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE);
    let mut away = tokens.storage(&device).await;
    assert_eq!(away.put(RECORD, r#"{"payload":"old"}"#).await.status, 200);
    let (replaced_long_ago, _) = replaced(&tokens, BOB).await;
    tokens.sql(&format!(
        "UPDATE users SET replaced_at = 1000 WHERE uid IN ({}, {})",
        away.token.uid, replaced_long_ago.token.uid
    ));
    let tokens = tokens.restart_with(&[EVERY_SECOND]);
    wait_for_rows(&tokens, BOB, 1).await;
    assert_eq!(tokens.rows(ALICE).len(), 1);
    let mut away = again(&tokens, away).await;
    assert_eq!(away.get(RECORD).await.json()["payload"], "old");
    // Back, with a new place; what is at the old one is nobody's any more.
    let back = tokens.storage(&device).await;
    assert_ne!(back.token.uid, away.token.uid);
    wait_for_rows(&tokens, ALICE, 1).await;
    assert_eq!(away.get("/info/collections").await.text(), "{}");
}
