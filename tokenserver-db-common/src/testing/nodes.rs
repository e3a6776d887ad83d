//! On which node a user is.

use super::*;
use crate::{Node, NodeChange, NodeChanged, NodeName, RETIRED, UserFilter};

fn url(url: &str) -> Node {
    Node::Url(url.into())
}

async fn counts(t: &dyn Fixture, url: &str) -> (i64, i64) {
    let node = node(t, url).await;
    (node.available, node.current_load)
}

pub async fn without_nodes_a_user_is_on_the_public_url(t: &dyn Fixture) {
    let answer = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert_eq!(answer.node, Node::PublicUrl);
    assert_eq!(stored(t, answer.uid.get()).await.nodeid, 0);
    // Whatever node the row names.
    let uid = insert(t, &StoredUser { email: BOB.into(), nodeid: 999, ..alice(10, Some(5), "aa") }).await;
    let answer = sign_in(t, &request(BOB, 10, 5, "aa")).await;
    assert_eq!((answer.uid.get(), answer.node), (uid, Node::PublicUrl));
    assert_eq!(stored(t, uid).await.nodeid, 999);
}

pub async fn the_least_loaded_node_takes_a_new_user_and_counts_it(t: &dyn Fixture) {
    insert_node(t, "https://full", 0, 10, 10).await;
    let id = insert_node(t, "https://light", 5, 2, 100).await;
    insert_node(t, "https://heavy", 50, 50, 100).await;
    let answer = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert_eq!(answer.node, url("https://light"));
    assert_eq!(stored(t, answer.uid.get()).await.nodeid, id);
    assert_eq!(counts(t, "https://light").await, (4, 3));
    assert_eq!(counts(t, "https://heavy").await, (50, 50));
    assert_eq!(counts(t, "https://full").await, (0, 10));
    // The user is there now, and takes no further place.
    assert_eq!(sign_in(t, &request(ALICE, 11, 6, "aa")).await.node, url("https://light"));
    assert_eq!(counts(t, "https://light").await, (4, 3));
}

pub async fn a_slash_at_the_end_of_a_url_is_no_part_of_it(t: &dyn Fixture) {
    insert_node(t, "https://light/", 5, 2, 100).await;
    for _ in 0..2 {
        assert_eq!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.node, url("https://light"));
    }
    let listed = t.admin().users(&UserFilter::Current, None, 10).await.unwrap();
    assert_eq!(listed[0].home, Some(url("https://light")));
}

pub async fn nodes_that_are_down_or_back_off_take_nobody_and_keep_their_users(t: &dyn Fixture) {
    insert_node(t, "https://n1", 10, 0, 10).await;
    let old = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    insert_node(t, "https://n2", 10, 9, 10).await;
    for state in ["downed = 1, backoff = 0", "downed = 0, backoff = 1"] {
        t.execute(&format!("UPDATE nodes SET {state} WHERE node = 'https://n1'")).await;
        let again = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
        assert_eq!((again.uid, again.node), (old.uid, url("https://n1")), "{state}");
        t.execute("UPDATE nodes SET current_load = 9, available = 10 WHERE node = 'https://n2'").await;
        assert_eq!(sign_in(t, &request(&format!("{state}@x"), 10, 5, "aa")).await.node, url("https://n2"), "{state}");
    }
}

pub async fn nodes_of_other_services_do_not_count(t: &dyn Fixture) {
    let other = insert_other_service(t).await;
    t.execute(&format!(
        "INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
         VALUES ((SELECT id FROM services WHERE service = '{other}'), 'https://other', 10, 0, 10, 0, 0)"
    ))
    .await;
    assert_eq!(t.db().nodes().await.unwrap(), []);
    assert_eq!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.node, Node::PublicUrl);
    // The same URL may serve both.
    assert!(t.db().init_node("https://other", 3).await.unwrap());
    assert_eq!(sign_in(t, &request(BOB, 10, 5, "aa")).await.node, url("https://other"));
    assert_eq!(counts(t, "https://other").await, (2, 1));
}

pub async fn capacity_is_released_when_no_node_has_places_left(t: &dyn Fixture) {
    insert_node(t, "https://n1", 0, 50, 100).await;
    insert_node(t, "https://n2", -2, 97, 100).await;
    insert_node(t, "https://full", 0, 10, 10).await;
    insert_node(t, "https://down", 0, 0, 10).await;
    t.execute("UPDATE nodes SET downed = 1 WHERE node = 'https://down'").await;
    assert_eq!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.node, url("https://n1"));
    assert_eq!(counts(t, "https://n1").await, (9, 51));
    assert_eq!(counts(t, "https://n2").await, (3, 97));
    assert_eq!(counts(t, "https://full").await, (0, 10));
    assert_eq!(counts(t, "https://down").await, (0, 0));
    // How much is released is a setting.
    t.execute("UPDATE nodes SET available = 0").await;
    let half = Policy { node_capacity_release_rate: 0.25, ..Policy::default() };
    assert_eq!(sign_in(t, &under(request(BOB, 10, 5, "aa"), half)).await.node, url("https://n1"));
    assert_eq!(counts(t, "https://n1").await, (24, 52));
}

pub async fn a_node_of_capacity_1_releases_its_place(t: &dyn Fixture) {
    insert_node(t, "https://n1", 0, 0, 1).await;
    assert_eq!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.node, url("https://n1"));
    assert_eq!(counts(t, "https://n1").await, (0, 1));
}

pub async fn without_room_nobody_is_let_in_and_nothing_is_written(t: &dyn Fixture) {
    insert_node(t, "https://full", 5, 10, 10).await;
    insert_node(t, "https://down", 5, 0, 10).await;
    t.execute("UPDATE nodes SET downed = 1 WHERE node = 'https://down'").await;
    insert(t, &StoredUser { nodeid: 999, ..alice(10, Some(5), "aa") }).await;
    let before = (t.users().await, t.db().nodes().await.unwrap());
    for email in [ALICE, BOB] {
        let found = t.db().sign_in(&request(email, 10, 5, "aa")).await;
        assert!(matches!(found, Err(TokenError::NoNode)), "{found:?}");
        assert_eq!((t.users().await, t.db().nodes().await.unwrap()), before);
    }
    t.execute("UPDATE nodes SET downed = 0").await;
    assert_eq!(sign_in(t, &request(BOB, 10, 5, "aa")).await.node, url("https://down"));
}

pub async fn nodes_that_come_and_go_lose_nobody_a_uid(t: &dyn Fixture) {
    let first = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let id = insert_node(t, "https://n1", 10, 0, 10).await;
    let again = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert_eq!((again.uid, again.node), (first.uid, Node::PublicUrl), "with a node");
    let second = sign_in(t, &request(BOB, 10, 5, "aa")).await;
    assert_eq!(second.node, url("https://n1"));
    t.execute(&format!("DELETE FROM nodes WHERE id = {id}")).await;
    for (email, uid) in [(ALICE, first.uid), (BOB, second.uid)] {
        let answer = sign_in(t, &request(email, 10, 5, "aa")).await;
        assert_eq!((answer.uid, answer.node), (uid, Node::PublicUrl), "{email} without the node");
    }
    assert_eq!(t.users().await.len(), 2);
}

pub async fn a_first_node_is_added_once_and_then_left_as_it_is(t: &dyn Fixture) {
    let db = t.db();
    assert!(db.init_node("https://n1", 3).await.unwrap());
    let added = node(t, "https://n1").await;
    let id = added.id;
    let expected = NodeRow {
        id,
        url: "https://n1".into(),
        available: 3,
        current_load: 0,
        capacity: 3,
        downed: false,
        backoff: false,
    };
    assert_eq!(added, expected);
    assert!(id > 0);
    sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert!(!db.init_node("https://n1", 100_000).await.unwrap());
    assert_eq!(node(t, "https://n1").await, NodeRow { available: 2, current_load: 1, ..expected });
    assert!(db.init_node("https://n2", 100_000).await.unwrap());
    assert_eq!(db.nodes().await.unwrap().len(), 2);
}

pub async fn nodes_are_listed_by_id(t: &dyn Fixture) {
    let ids = [insert_node(t, "https://b", 1, 2, 3).await, insert_node(t, "https://a", 4, 5, 6).await];
    t.execute("UPDATE nodes SET downed = 1, backoff = 2 WHERE node = 'https://a'").await;
    let node = |id, url: &str, available, current_load, capacity, off| NodeRow {
        id,
        url: url.into(),
        available,
        current_load,
        capacity,
        downed: off,
        backoff: off,
    };
    let expected = [node(ids[0], "https://b", 1, 2, 3, false), node(ids[1], "https://a", 4, 5, 6, true)];
    assert_eq!(t.db().nodes().await.unwrap(), expected);
}

pub async fn a_node_is_changed_by_its_id_or_url(t: &dyn Fixture) {
    let id = insert_node(t, "https://n1", 10, 3, 10).await;
    insert_node(t, "https://n2", 10, 3, 10).await;
    let other = insert_other_service(t).await;
    t.execute(&format!(
        "INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
         VALUES ((SELECT id FROM services WHERE service = '{other}'), 'https://n3', 1, 1, 1, 0, 0)"
    ))
    .await;
    let set = async |name: NodeName, change: NodeChange| t.admin().set_node(&name, &change).await.unwrap();
    let by_url = |url: &str| NodeName::Url(url.to_owned());
    let none = NodeChange::default;
    let all = NodeChange { available: Some(7), downed: Some(true), backoff: Some(true), ..none() };
    assert_eq!(set(NodeName::Id(id), all).await, NodeChanged::Done);
    let changed = node(t, "https://n1").await;
    assert_eq!((changed.available, changed.capacity, changed.downed, changed.backoff), (7, 10, true, true));
    let up = NodeChange { capacity: Some(i32::MAX.unsigned_abs()), downed: Some(false), ..none() };
    assert_eq!(set(by_url("https://n1"), up).await, NodeChanged::Done);
    let changed = node(t, "https://n1").await;
    assert_eq!((changed.capacity, changed.downed, changed.backoff), (i32::MAX.into(), false, true));
    let moved = |url: &str| NodeChange { url: Some(url.to_owned()), ..none() };
    assert_eq!(set(by_url("https://n1"), moved("https://n2")).await, NodeChanged::UrlTaken);
    assert_eq!(set(by_url("https://n1"), moved("https://new")).await, NodeChanged::Done);
    assert_eq!(node(t, "https://new").await.id, id);
    for unknown in [by_url("https://n1"), by_url("https://n3"), NodeName::Id(12_345)] {
        assert_eq!(set(unknown, moved("https://x")).await, NodeChanged::NoNode);
    }
    assert_eq!(counts(t, "https://n2").await, (10, 3));
    // What is ours alone is taken; what is another service's may have the same URL.
    assert_eq!(set(by_url("https://n2"), moved("https://n3")).await, NodeChanged::Done);
}

pub async fn a_node_that_is_drained_keeps_nobody(t: &dyn Fixture) {
    let n1 = insert_node(t, "https://n1", 10, 3, 10).await;
    let on = |nodeid| StoredUser { nodeid, ..alice(10, Some(5), "aa") };
    let user = insert(t, &on(n1)).await;
    let replaced = insert(t, &StoredUser { email: "c@x".into(), replaced_at: Some(42), ..on(n1) }).await;
    let retired = insert(t, &StoredUser { email: "d@x".into(), generation: RETIRED, ..on(n1) }).await;
    let other = insert(t, &StoredUser { email: BOB.into(), ..on(0) }).await;
    assert_eq!(t.admin().replace_users_of_node(n1, NOW).await.unwrap(), 1);
    let mut found = Vec::new();
    for uid in [user, replaced, retired, other] {
        found.push(stored(t, uid).await.replaced_at);
    }
    assert_eq!(found, [Some(NOW), Some(42), None, None]);
    // At the next sign-in the user goes to where there is room.
    t.admin().set_node(&NodeName::Id(n1), &NodeChange { backoff: Some(true), ..NodeChange::default() }).await.unwrap();
    insert_node(t, "https://n2", 10, 0, 10).await;
    let answer = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert_eq!((answer.node, answer.created), (url("https://n2"), false));
    assert!(answer.uid.get() > other);
    assert_eq!(t.admin().replace_users_of_node(n1, NOW).await.unwrap(), 0);
}

pub async fn users_are_counted_by_node(t: &dyn Fixture) {
    assert_eq!(t.admin().users_of_nodes().await.unwrap(), []);
    let n1 = insert_node(t, "https://n1", 10, 3, 10).await;
    let on = |email: &str, nodeid| StoredUser { email: email.into(), nodeid, ..alice(10, Some(5), "aa") };
    for row in [
        on("a@x", n1),
        on("b@x", n1),
        on("c@x", 0),
        StoredUser { replaced_at: Some(1), ..on("d@x", n1) },
        StoredUser { generation: RETIRED, ..on("e@x", n1) },
    ] {
        insert(t, &row).await;
    }
    let other = insert_other_service(t).await;
    insert_for(t, other, &on("f@x", n1)).await;
    assert_eq!(t.admin().users_of_nodes().await.unwrap(), [(0, 1), (n1, 2)]);
}
