//! Which node a user gets (section 8): one server for all, several, and the way from the one to the other.

use crate::tokenserver::{ALICE, BOB, Device, Tokenserver, assert_error};

const PUBLIC_URL: (&str, &str) = ("SYNC_PUBLIC_URL", "https://sync.example.com");

#[tokio::test]
async fn without_nodes_everybody_is_on_the_public_url() {
    let tokens = Tokenserver::start_with(&[PUBLIC_URL]);
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://sync.example.com");
    assert_eq!(tokens.rows(ALICE)[0].nodeid, 0);
    // Whatever the row says, as long as there is no node.
    tokens.sql("UPDATE users SET nodeid = 7");
    let uid = tokens.uid(&Device::of(ALICE)).await;
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://sync.example.com");
    assert_eq!(tokens.rows(ALICE).len(), 1, "{uid}");
}

#[tokio::test]
async fn without_a_public_url_it_is_the_address_that_the_server_listens_on() {
    let tokens = Tokenserver::start_with(&[("SYNC_HOST", "0.0.0.0")]);
    let node = tokens.node(&Device::of(ALICE)).await;
    assert!(node.starts_with("http://127.0.0.1:"), "{node}");
}

#[tokio::test]
async fn a_changed_public_url_simply_counts() {
    let tokens = Tokenserver::start_with(&[PUBLIC_URL]);
    let uid = tokens.uid(&Device::of(ALICE)).await;
    let tokens = tokens.restart_with(&[("SYNC_PUBLIC_URL", "https://moved.example.org:8443/sync")]);
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://moved.example.org:8443/sync");
    assert_eq!(tokens.uid(&Device::of(ALICE)).await, uid);
    assert_eq!(tokens.rows(ALICE).len(), 1);
}

#[tokio::test]
async fn nodes_are_added_and_removed_and_nobody_is_lost() {
    let tokens = Tokenserver::start_with(&[PUBLIC_URL]);
    let (alice, bob) = (Device::of(ALICE), Device::of(BOB));
    let alice_uid = tokens.uid(&alice).await;
    // From the next request on, without a restart.
    tokens.add_node("https://node1.example.com", 100);
    assert_eq!(tokens.node(&alice).await, "https://sync.example.com", "who was there first stays");
    assert_eq!(tokens.uid(&alice).await, alice_uid);
    assert_eq!(tokens.node(&bob).await, "https://node1.example.com");
    let bob_uid = tokens.uid(&bob).await;
    // A new key stays where the old one was.
    let reset = alice.clone().generation(2_000).keys_changed_at(2_000).key(b"the second key..");
    assert_eq!(tokens.node(&reset).await, "https://sync.example.com");
    // And back: everybody is on the public URL, with the uid that everybody had.
    tokens.sql("DELETE FROM nodes");
    assert_eq!(tokens.node(&bob).await, "https://sync.example.com");
    assert_eq!(tokens.uid(&bob).await, bob_uid);
    assert_eq!(tokens.rows(BOB).len(), 1);
}

#[tokio::test]
async fn the_user_of_a_node_that_is_gone_gets_a_place_on_another() {
    let tokens = Tokenserver::start_with(&[PUBLIC_URL]);
    let alice = Device::of(ALICE);
    tokens.add_node("https://node1.example.com", 100);
    let uid = tokens.uid(&alice).await;
    tokens.add_node("https://node2.example.com", 100);
    tokens.sql("DELETE FROM nodes WHERE node = 'https://node1.example.com'");
    // One sign-in with the old account data is refused before anybody is moved.
    let answer = tokens.sign_in(&alice.clone().generation(1)).await;
    assert_error(&answer, 401, "invalid-generation", "body", "", "Unauthorized");
    assert_eq!(tokens.node(&alice).await, "https://node2.example.com");
    let rows = tokens.rows(ALICE);
    assert_eq!(rows.len(), 2);
    assert_ne!(tokens.uid(&alice).await, uid);
    assert_eq!(rows[0].replaced_at, Some(rows[1].created_at));
}

#[tokio::test]
async fn the_node_of_the_settings_is_added_once() {
    let node = [
        ("SYNC_TOKENSERVER__INIT_NODE_URL", "https://node.example.com/"),
        ("SYNC_TOKENSERVER__INIT_NODE_CAPACITY", "3"),
    ];
    let tokens = Tokenserver::start_with(&node);
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://node.example.com");
    let tokens = tokens.restart_with(&node);
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://node.example.com");
    assert_eq!(tokens.node(&Device::of(BOB)).await, "https://node.example.com");
    assert_eq!(tokens.node(&Device::of("carol")).await, "https://node.example.com");
    let answer = tokens.sign_in(&Device::of("dave")).await;
    assert_error(&answer, 503, "internal-error", "internal", "", "Server error");
}

#[tokio::test]
async fn a_full_house_is_503_and_the_log_says_what_to_change() {
    let tokens = Tokenserver::start();
    tokens.add_node("https://node1.example.com", 1);
    tokens.add_node("https://node2.example.com", 100);
    tokens.sql("UPDATE nodes SET downed = 1 WHERE capacity = 100");
    tokens.let_in(&Device::of(ALICE)).await;
    let answer = tokens.sign_in(&Device::of(BOB)).await;
    assert_error(&answer, 503, "internal-error", "internal", "", "Server error");
    assert!(tokens.rows(BOB).is_empty(), "no row without a place");
    let lines = tokens.server.log_lines();
    let said = lines
        .iter()
        .any(|line| line.contains("no node has room") && line.contains("SYNC_TOKENSERVER__INIT_NODE_CAPACITY"));
    assert!(said, "{lines:#?}");
    // Who has a place keeps it, and once the operator makes room the next one gets in.
    tokens.let_in(&Device::of(ALICE)).await;
    tokens.sql("UPDATE nodes SET downed = 0");
    assert_eq!(tokens.node(&Device::of(BOB)).await, "https://node2.example.com");
}

#[tokio::test]
async fn the_emptiest_node_is_taken_and_its_places_are_counted() {
    let tokens = Tokenserver::start();
    tokens.add_node("https://big.example.com", 1_000);
    tokens.add_node("https://small.example.com", 10);
    tokens.sql("UPDATE nodes SET current_load = 5, available = 5 WHERE capacity = 10");
    tokens.sql("UPDATE nodes SET current_load = 20, available = 980 WHERE capacity = 1000");
    // ln 5 / ln 10 = 0.70, ln 20 / ln 1000 = 0.43.
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://big.example.com");
    tokens.sql("UPDATE nodes SET backoff = 1 WHERE capacity = 1000");
    assert_eq!(tokens.node(&Device::of(BOB)).await, "https://small.example.com");
    let node = tokens.nodes().into_iter().map(|node| (node.available, node.current_load)).collect::<Vec<_>>();
    assert_eq!(node, [(979, 21), (4, 6)]);
}

#[tokio::test]
async fn capacity_is_released_when_no_node_has_places_left() {
    let tokens = Tokenserver::start_with(&[("SYNC_TOKENSERVER__NODE_CAPACITY_RELEASE_RATE", "0.2")]);
    tokens.add_node("https://node.example.com", 100);
    tokens.sql("UPDATE nodes SET available = 0, current_load = 50");
    tokens.let_in(&Device::of(ALICE)).await;
    let nodes = tokens.nodes();
    assert_eq!((nodes[0].available, nodes[0].current_load), (19, 51));
}

#[tokio::test]
async fn an_only_node_that_is_not_the_public_url_is_told_at_start() {
    let node = ("SYNC_TOKENSERVER__INIT_NODE_URL", "https://old.example.com");
    let tokens = Tokenserver::start_with(&[PUBLIC_URL, node]);
    assert!(warned(&tokens), "{:#?}", tokens.server.log_lines());
    assert_eq!(tokens.node(&Device::of(ALICE)).await, "https://old.example.com");
    // The same URL, or a public URL that comes from the node, is as it should be.
    let tokens = tokens.restart_with(&[("SYNC_PUBLIC_URL", "https://old.example.com"), node]);
    assert!(!warned(&tokens), "{:#?}", tokens.server.log_lines());
    let tokens = tokens.restart_with(&[node]);
    assert!(!warned(&tokens), "{:#?}", tokens.server.log_lines());
}

fn warned(tokens: &Tokenserver) -> bool {
    tokens.server.log_lines().iter().any(|line| line.starts_with("WARN") && line.contains("table nodes"))
}
