//! `syncserver node`, while the server runs, and what becomes of users on other nodes.

use serde_json::{Value, json};

use crate::program::Folder;
use crate::site::{ALICE, BOB, Site};

const STORAGE_ALONE: (&str, &str) = ("SYNC_TOKENSERVER__ENABLED", "false");

#[tokio::test]
async fn nodes_are_added_listed_and_changed() {
    let site = Site::start(&[]);
    site.sign_in(ALICE).await;
    assert_eq!(site.done(&["node", "list"]), format!("There are no nodes: every user (1) is on {}.\n", site.url()));
    let first = site.command(&["node", "add", "HTTP://Node1.example.com:80/", "--capacity", "10"]);
    assert_eq!(String::from_utf8(first.stdout).unwrap(), "Added http://node1.example.com with room for 10 users.\n");
    assert!(String::from_utf8(first.stderr).unwrap().contains("the first one"));
    let again = site.refused(&["node", "add", "http://node1.example.com", "--capacity", "10"]);
    assert!(again.contains("already"), "{again}");
    let nodes = site.json(&["node", "list", "--json"]);
    assert_eq!((&nodes[0]["id"], &nodes[0]["url"], &nodes[0]["users"]), (&json!(0), &json!(site.url()), &json!(1)));
    let id = nodes[1]["id"].as_i64().unwrap().to_string();
    let expected = json!({
        "id": nodes[1]["id"], "url": "http://node1.example.com", "users": 0, "capacity": 10, "current_load": 0,
        "available": 10, "downed": false, "backoff": false,
    });
    assert_eq!(nodes[1], expected);
    // A new user goes there at once, and the one who was first stays.
    let answer = site.ask(BOB, "").await.json();
    assert!(answer["api_endpoint"].as_str().unwrap().starts_with("http://node1.example.com/1.5/"), "{answer}");
    assert!(site.ask(ALICE, "").await.json()["api_endpoint"].as_str().unwrap().starts_with(&site.url()));
    site.done(&["node", "set", &id, "--capacity", "5", "--downed", "true"]);
    site.done(&["node", "set", "http://node1.example.com/", "--backoff", "true", "--available", "3"]);
    let node = site.json(&["node", "list", "--json"])[1].clone();
    let numbers = ["capacity", "available", "current_load", "users"].map(|name| node[name].as_i64().unwrap());
    assert_eq!((numbers, &node["downed"], &node["backoff"]), ([5, 3, 1, 1], &json!(true), &json!(true)));
    site.done(&["node", "set", &id, "--downed", "false", "--backoff", "false"]);
    // Moved: the same user finds the same storage at the new URL.
    site.done(&["node", "add", "http://node2.example.com", "--capacity", "10"]);
    let taken = site.refused(&["node", "set", &id, "--url", "http://node2.example.com/"]);
    assert!(taken.contains("another node has"), "{taken}");
    site.done(&["node", "set", &id, "--url", "http://node3.example.com/sync/"]);
    let moved = site.ask(BOB, "").await.json();
    assert_eq!(moved["uid"], answer["uid"]);
    assert!(moved["api_endpoint"].as_str().unwrap().starts_with("http://node3.example.com/sync/1.5/"), "{moved}");
    let table = site.done(&["node", "list"]);
    assert!(table.contains("AVAILABLE") && table.contains("http://node3.example.com/sync"), "{table}");
    for (arguments, why) in [
        (&["node", "set", &id][..], "nothing to change"),
        (&["node", "set", "77", "--capacity", "1"], "there is no node"),
        (&["node", "add", "node4.example.com", "--capacity", "1"], "must begin with http"),
        (&["node", "drain", "http://elsewhere"], "there is no node"),
    ] {
        let refused = site.refused(arguments);
        assert!(refused.contains(why), "{arguments:?}: {refused}");
    }
    assert_eq!(site.command(&["node", "add", "http://x", "--capacity", "0"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_node_is_drained_and_its_users_go_elsewhere() {
    let site = Site::start(&[]);
    site.done(&["node", "add", "http://node1.example.com", "--capacity", "10"]);
    let uid = site.ask(ALICE, "").await.json()["uid"].clone();
    let node = site.json(&["node", "list", "--json"])[0]["id"].to_string();
    let refused = site.refused(&["node", "drain", &node, "--move", "--yes"]);
    assert!(refused.contains("no other node has room"), "{refused}");
    assert_eq!(site.json(&["node", "list", "--json"])[0]["backoff"], false, "nothing was done");
    site.done(&["node", "add", "http://node2.example.com", "--capacity", "10"]);
    site.done(&["node", "drain", "http://node1.example.com"]);
    let on = |answer: &Value, url: &str| answer["api_endpoint"].as_str().unwrap().starts_with(url);
    assert!(on(&site.ask(BOB, "").await.json(), "http://node2.example.com/"));
    let stays = site.ask(ALICE, "").await.json();
    assert!(on(&stays, "http://node1.example.com/") && stays["uid"] == uid, "{stays}");
    let refused = site.refused(&["node", "drain", &node, "--move"]);
    assert!(refused.contains("sends 1 users away") && refused.contains("--yes"), "{refused}");
    let done = site.done(&["node", "drain", &node, "--move", "--yes"]);
    assert!(done.contains("1 go elsewhere"), "{done}");
    let moved = site.ask(ALICE, "").await.json();
    assert!(on(&moved, "http://node2.example.com/") && moved["uid"] != uid, "{moved}");
    assert_eq!(site.json(&["user", "show", ALICE, "--json"])["rows"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_on_another_node_is_deleted_there() {
    // The storage of the other node is in a file of its own.
    let (other_folder, site) = (Folder::new(), Site::start(&[]));
    let other = other_folder.start_with(&[STORAGE_ALONE]);
    let url = format!("http://{}", other.addr);
    site.done(&["node", "add", &url, "--capacity", "10"]);
    let answer = site.ask(ALICE, "").await.json();
    assert_eq!(answer["api_endpoint"], format!("{url}/1.5/{}", answer["uid"]));
    let uid = answer["uid"].as_u64().unwrap();
    let mut client = other.user(uid).await;
    client.keep("a", "hers").await;
    let shown = site.json(&["user", "show", ALICE, "--json"]);
    assert_eq!((&shown["storage"], &shown["node"]), (&Value::Null, &json!(url)));
    assert!(site.done(&["user", "show", ALICE]).contains(&format!("It is on {url}: ask there.")));
    assert_eq!(site.json(&["user", "list", "--json"])[0]["bytes"], Value::Null);
    let said = site.done(&["user", "wipe", ALICE, "--yes"]);
    assert!(said.contains(&format!("at {url}")), "{said}");
    assert_eq!(client.get("/storage/kept/a").await.status, 404);
    client.keep("a", "anew").await;
    // A node that is away keeps the row for later.
    let addr = other.addr.port().to_string();
    other.stop();
    let failed = site.refused(&["user", "delete", ALICE, "--yes"]);
    assert!(failed.contains("could not be deleted") && failed.contains("out of use"), "{failed}");
    assert_eq!(site.json(&["user", "show", ALICE, "--json"])["uid"], uid);
    assert!(site.done(&["user", "list"]).contains("out of use"));
    assert!(site.json(&["user", "list", "--json"])[0]["replaced"].is_string());
    let other = other_folder.start_with(&[STORAGE_ALONE, ("SYNC_PORT", &addr)]);
    site.done(&["user", "delete", ALICE, "--yes"]);
    assert!(site.refused(&["user", "show", ALICE]).contains("is no user"));
    assert_eq!(other.user(uid).await.get("/storage/kept/a").await.status, 404);
}

#[tokio::test]
async fn a_user_of_a_node_that_is_out_of_order_can_be_deleted() {
    let site = Site::start(&[]);
    // Nobody listens there.
    site.done(&["node", "add", "http://127.0.0.1:9", "--capacity", "10"]);
    let answer = site.ask(ALICE, "").await.json();
    assert!(answer["api_endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:9/"), "{answer}");
    let node = site.json(&["node", "list", "--json"])[0]["id"].to_string();
    site.done(&["node", "set", &node, "--downed", "true"]);
    let deleted = site.command(&["user", "delete", ALICE, "--yes"]);
    assert_eq!(deleted.status.code(), Some(0), "{deleted:?}");
    let said = String::from_utf8(deleted.stderr).unwrap();
    assert!(said.contains("stays on http://127.0.0.1:9"), "{said}");
    assert_eq!(site.json(&["user", "list", "--json"]), json!([]));
}
