//! The users and nodes as a whole.

use super::{ALICE, BOB, Fixture, NOW, insert, insert_for, insert_node, insert_other_service, later, request, sign_in};
use crate::{AccountItem, DeviceItem, NodeItem, Numbers, RETIRED, TokenItem, UserItem};

async fn dump(t: &dyn Fixture) -> Vec<TokenItem> {
    let mut items = Vec::new();
    t.archive().dump(&mut items).await.unwrap();
    items
}

fn user(uid: i64) -> UserItem {
    UserItem {
        uid,
        email: ALICE.to_owned(),
        generation: 1,
        client_state: "aa".to_owned(),
        created_at: NOW,
        replaced_at: None,
        nodeid: 0,
        keys_changed_at: None,
    }
}

/// Columns that no sign-in writes so, among them.
fn odd() -> Vec<TokenItem> {
    let node = NodeItem {
        id: 5,
        url: "https://n5".to_owned(),
        available: -1,
        current_load: i64::from(i32::MAX),
        capacity: 0,
        downed: 3,
        backoff: -2,
    };
    vec![
        TokenItem::Node(node.clone()),
        TokenItem::Node(NodeItem { id: 8, url: "https://N5".to_owned(), downed: 0, ..node }),
        TokenItem::User(user(3)),
        TokenItem::User(UserItem {
            email: "ä🦊@x ".to_owned(),
            client_state: String::new(),
            created_at: -1,
            ..user(4)
        }),
        TokenItem::User(UserItem { replaced_at: Some(0), keys_changed_at: Some(0), nodeid: 5, ..user(7) }),
        TokenItem::User(UserItem { generation: RETIRED, replaced_at: Some(NOW), nodeid: 99, ..user(1 << 40) }),
        TokenItem::Account(AccountItem {
            email: "A@x".to_owned(),
            verdict: Some("allowed".to_owned()),
            decided_at: Some(NOW),
            refusals: 0,
            refused_first: None,
            refused_last: None,
            reason: None,
        }),
        TokenItem::Account(AccountItem {
            email: "a@x ".to_owned(),
            verdict: None,
            decided_at: None,
            refusals: 3,
            refused_first: Some(0),
            refused_last: Some(NOW),
            reason: Some("closed".to_owned()),
        }),
        TokenItem::Device(DeviceItem {
            uid: 3,
            agent: "Firefox (Linux)".to_owned(),
            user_agent: "Firefox/140.0 (Linux)".to_owned(),
            first_seen: 0,
            last_seen: NOW,
        }),
        TokenItem::Numbers(Numbers { uid: (1 << 40) + 5, node: 9 }),
    ]
}

pub async fn rows_of_every_kind_come_back_as_they_were_loaded(t: &dyn Fixture) {
    t.archive().load(odd()).await.unwrap();
    assert_eq!(dump(t).await, odd());
    let rows = t.users().await;
    assert_eq!(rows.iter().map(|row| row.uid).collect::<Vec<_>>(), [3, 4, 7, 1 << 40]);
    t.archive().clear(true).await.unwrap();
    assert_eq!(dump(t).await.len(), 1, "what is noted of accounts and devices goes with them");
    assert_eq!((rows[2].replaced_at, rows[2].keys_changed_at, rows[2].nodeid), (Some(0), Some(0), 5));
}

pub async fn what_sign_ins_made_is_dumped_by_uid_and_loaded_again(t: &dyn Fixture) {
    insert_node(t, "https://n", 5, 0, 10).await;
    let first = sign_in(t, &request(ALICE, 1, 1, "aa")).await;
    sign_in(t, &request(BOB, 0, 0, "")).await;
    let second = sign_in(t, &later(request(ALICE, 2, 2, "bb"), 10)).await;
    let items = dump(t).await;
    let [
        TokenItem::Node(node),
        TokenItem::User(old),
        TokenItem::User(_),
        TokenItem::User(new),
        TokenItem::Numbers(last),
    ] = &*items
    else {
        panic!("{items:?}")
    };
    assert_eq!((node.url.as_str(), node.available, node.current_load, node.capacity), ("https://n", 3, 2, 10));
    assert_eq!((old.uid, old.replaced_at, old.nodeid), (first.uid.get(), Some(NOW + 10), node.id));
    assert_eq!((new.uid, new.generation, new.keys_changed_at), (second.uid.get(), 2, Some(2)));
    assert!(last.uid >= new.uid && last.node >= node.id);
    t.archive().clear(true).await.unwrap();
    t.archive().load(items.clone()).await.unwrap();
    assert_eq!(dump(t).await, items);
    assert_eq!(sign_in(t, &later(request(ALICE, 2, 2, "bb"), 20)).await.uid, second.uid);
}

pub async fn a_number_that_was_given_elsewhere_is_not_given_again(t: &dyn Fixture) {
    t.archive().load(vec![TokenItem::Numbers(Numbers { uid: 41, node: 6 })]).await.unwrap();
    assert_eq!(sign_in(t, &request(ALICE, 1, 1, "aa")).await.uid.get(), 42);
    t.db().init_node("https://n", 1).await.unwrap();
    assert_eq!(t.db().nodes().await.unwrap()[0].id, 7);
    // Never lowered.
    t.archive().load(vec![TokenItem::Numbers(Numbers { uid: 3, node: 0 })]).await.unwrap();
    assert_eq!(sign_in(t, &request(BOB, 1, 1, "aa")).await.uid.get(), 43);
}

pub async fn a_clear_takes_users_and_nodes_and_keeps_their_numbers(t: &dyn Fixture) {
    assert!(t.archive().is_empty().await.unwrap());
    let node = insert_node(t, "https://n", 5, 0, 10).await;
    assert!(t.archive().is_empty().await.unwrap(), "a node is made by a start");
    insert_node(t, "https://second", 5, 0, 10).await;
    assert!(!t.archive().is_empty().await.unwrap(), "two nodes are not");
    t.archive().clear(true).await.unwrap();
    let refused = AccountItem {
        email: ALICE.to_owned(),
        verdict: None,
        decided_at: None,
        refusals: 1,
        refused_first: Some(1),
        refused_last: Some(1),
        reason: Some("closed".to_owned()),
    };
    let denied = AccountItem { email: BOB.to_owned(), verdict: Some("denied".to_owned()), ..refused.clone() };
    t.archive().load(vec![TokenItem::Account(refused)]).await.unwrap();
    assert!(t.archive().is_empty().await.unwrap(), "who was refused does not count");
    t.archive().load(vec![TokenItem::Account(denied)]).await.unwrap();
    assert!(!t.archive().is_empty().await.unwrap(), "a verdict does");
    assert!(t.archive().knows_accounts().await.unwrap());
    t.archive().clear(false).await.unwrap();
    let kept = dump(t).await;
    assert_eq!(kept.iter().filter(|item| matches!(item, TokenItem::Account(_))).count(), 2, "{kept:?}");
    t.archive().clear(true).await.unwrap();
    let node = insert_node(t, "https://n", 5, 0, 10).await.max(node);
    let uid = sign_in(t, &request(ALICE, 1, 1, "aa")).await.uid;
    assert!(!t.archive().is_empty().await.unwrap());
    t.archive().clear(true).await.unwrap();
    assert!(t.archive().is_empty().await.unwrap());
    assert_eq!(dump(t).await.len(), 1, "only the numbers");
    assert!(insert_node(t, "https://n", 5, 0, 10).await > node);
    assert!(sign_in(t, &request(ALICE, 1, 1, "aa")).await.uid > uid);
}

pub async fn rows_of_other_services_are_neither_dumped_nor_cleared(t: &dyn Fixture) {
    let other = insert_other_service(t).await;
    insert_for(t, other, &super::alice(1, None, "aa")).await;
    insert(t, &super::alice(1, None, "bb")).await;
    let users = |items: &[TokenItem]| items.iter().filter(|item| matches!(item, TokenItem::User(_))).count();
    assert_eq!(users(&dump(t).await), 1);
    t.archive().clear(true).await.unwrap();
    assert!(t.archive().is_empty().await.unwrap());
    assert_eq!(t.users().await.len(), 1);
}

pub async fn a_load_that_fails_leaves_nothing(t: &dyn Fixture) {
    let twice = vec![TokenItem::User(user(3)), TokenItem::User(user(3))];
    assert!(t.archive().load(twice).await.is_err());
    assert!(t.archive().is_empty().await.unwrap());
}
