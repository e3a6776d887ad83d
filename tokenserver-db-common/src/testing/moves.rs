//! Users who get a new row: for a new key, or a new node; and those who get none any more.

use super::*;
use crate::{Node, RETIRED};

pub async fn a_new_client_state_gets_a_new_uid_and_replaces_the_old_row(t: &dyn Fixture) {
    let old = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let new = sign_in(t, &later(request(ALICE, 11, 6, "bb"), 1000)).await;
    assert!(new.uid > old.uid);
    let answered = (new.generation, new.keys_changed_at, new.client_state.as_str(), new.created);
    assert_eq!(answered, (11, Some(6), "bb", false));
    let rows = t.users().await;
    let service = rows[0].service;
    let expected = [
        StoredUser {
            uid: old.uid.get(),
            service,
            created_at: NOW,
            replaced_at: Some(NOW + 1000),
            ..alice(10, Some(5), "aa")
        },
        StoredUser { uid: new.uid.get(), service, created_at: NOW + 1000, ..alice(11, Some(6), "bb") },
    ];
    assert_eq!(rows, expected);
    // The devices that have the new key find it.
    assert_eq!(sign_in(t, &later(request(ALICE, 11, 6, "bb"), 2000)).await, new);
}

pub async fn a_client_state_that_was_replaced_is_refused_for_ever(t: &dyn Fixture) {
    for (n, state) in ["aa", "bb", "cc"].into_iter().enumerate() {
        sign_in(t, &later(request(ALICE, 10 + n as i64, 5 + n as i64, state), 1000 * n as i64)).await;
    }
    for state in ["aa", "bb"] {
        assert_refused(t.db().sign_in(&request(ALICE, 20, 20, state)).await, Refusal::StaleClientState);
    }
    assert_eq!(t.users().await.len(), 3);
}

pub async fn a_new_client_state_takes_no_further_place_on_the_node(t: &dyn Fixture) {
    insert_node(t, "https://n1", 10, 0, 10).await;
    let old = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    // Empty, so that a user who came now would go there.
    insert_node(t, "https://n2", 10, 0, 10).await;
    let nodes = t.db().nodes().await.unwrap();
    let new = sign_in(t, &request(ALICE, 11, 6, "bb")).await;
    assert_eq!(new.node, old.node);
    assert_ne!(new.uid, old.uid);
    assert_eq!(t.db().nodes().await.unwrap(), nodes);
    let rows = t.users().await;
    assert_eq!(rows[0].nodeid, rows[1].nodeid);
}

/// Three rows of Alice's, the last one current and the middle one marked as replaced.
async fn three_rows(t: &dyn Fixture) -> [i64; 3] {
    let at = |created_at, row| StoredUser { created_at: NOW + created_at, ..row };
    [
        insert(t, &at(-300, alice(8, Some(3), "aa"))).await,
        insert(t, &StoredUser { replaced_at: Some(42), ..at(-200, alice(9, Some(4), "bb")) }).await,
        insert(t, &at(-100, alice(10, Some(5), "cc"))).await,
    ]
}

async fn replaced_at(t: &dyn Fixture) -> Vec<Option<i64>> {
    t.users().await.iter().map(|row| row.replaced_at).collect()
}

pub async fn older_rows_are_marked_as_replaced_at_any_sign_in(t: &dyn Fixture) {
    let [.., current] = three_rows(t).await;
    assert_eq!(sign_in(t, &request(ALICE, 10, 5, "cc")).await.uid.get(), current);
    assert_eq!(replaced_at(t).await, [Some(NOW - 100), Some(42), None]);
    t.execute("UPDATE users SET replaced_at = NULL WHERE client_state = 'aa'").await;
    assert_eq!(sign_in(t, &request(ALICE, 11, 6, "cc")).await.uid.get(), current);
    assert_eq!(replaced_at(t).await, [Some(NOW - 100), Some(42), None]);
    t.execute("UPDATE users SET replaced_at = NULL WHERE client_state = 'aa'").await;
    assert_ne!(sign_in(t, &request(ALICE, 12, 7, "dd")).await.uid.get(), current);
    assert_eq!(replaced_at(t).await, [Some(NOW - 100), Some(42), Some(NOW), None]);
}

pub async fn a_refusal_still_marks_older_rows_as_replaced(t: &dyn Fixture) {
    three_rows(t).await;
    let mut expected = t.users().await;
    let refused = t.db().sign_in(&request(ALICE, 9, 5, "cc")).await;
    assert_refused(refused, Refusal::OldGeneration { sent: 9, stored: 10 });
    expected[0].replaced_at = Some(NOW - 100);
    assert_eq!(t.users().await, expected);
}

pub async fn a_replaced_current_row_is_allocated_anew_with_the_stored_data(t: &dyn Fixture) {
    let id = insert_node(t, "https://n1", 10, 3, 10).await;
    let old = StoredUser { replaced_at: Some(NOW - 10), nodeid: id, ..alice(10, None, "aa") };
    let uid = insert(t, &old).await;
    let answer = sign_in(t, &request(ALICE, 0, 0, "aa")).await;
    assert_ne!(answer.uid.get(), uid);
    assert_eq!((answer.generation, answer.keys_changed_at, answer.created), (10, None, false));
    let rows = t.users().await;
    let service = rows[0].service;
    let expected = [
        StoredUser { uid, service, ..old.clone() },
        StoredUser { uid: answer.uid.get(), service, created_at: NOW, replaced_at: None, ..old },
    ];
    assert_eq!(rows, expected);
    let node = node(t, "https://n1").await;
    assert_eq!((node.available, node.current_load), (9, 4));
    assert_eq!(sign_in(t, &request(ALICE, 0, 0, "aa")).await, answer);
}

pub async fn a_user_whose_node_is_gone_is_allocated_anew(t: &dyn Fixture) {
    let gone = insert_node(t, "https://gone", 10, 0, 10).await;
    let old = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert_eq!(old.node, Node::Url("https://gone".into()));
    let id = insert_node(t, "https://n1", 10, 3, 10).await;
    t.execute(&format!("DELETE FROM nodes WHERE id = {gone}")).await;
    // Newer data in the request are stored at once.
    let new = sign_in(t, &later(request(ALICE, 12, 11, "aa"), 1000)).await;
    assert_ne!(new.uid, old.uid);
    assert_eq!(new.node, Node::Url("https://n1".into()));
    let rows = t.users().await;
    let expected = StoredUser {
        uid: new.uid.get(),
        service: rows[0].service,
        created_at: NOW + 1000,
        nodeid: id,
        ..alice(12, Some(11), "aa")
    };
    assert_eq!(rows[1..], [expected]);
    assert_eq!(rows[0].replaced_at, Some(NOW + 1000));
    assert_eq!(sign_in(t, &request(ALICE, 12, 11, "aa")).await.uid, new.uid);
}

pub async fn a_refused_user_of_a_gone_node_is_not_allocated_anew(t: &dyn Fixture) {
    insert_node(t, "https://n1", 10, 3, 10).await;
    insert(t, &StoredUser { nodeid: 999, ..alice(10, Some(5), "aa") }).await;
    let before = (t.users().await, t.db().nodes().await.unwrap());
    let refused = t.db().sign_in(&request(ALICE, 10, 4, "aa")).await;
    assert_refused(refused, Refusal::OldKeys { sent: 4, stored: 5 });
    assert_eq!((t.users().await, t.db().nodes().await.unwrap()), before);
}

/// The current row is told by its time of creation where the generation is the same.
pub async fn a_clock_that_was_set_back_does_not_lock_a_user_out(t: &dyn Fixture) {
    sign_in(t, &request(ALICE, 0, 5, "aa")).await;
    let new = sign_in(t, &later(request(ALICE, 0, 6, "bb"), -3_600_000)).await;
    assert_eq!(sign_in(t, &later(request(ALICE, 0, 6, "bb"), -3_500_000)).await, new);
    assert_eq!(replaced_at(t).await, [Some(NOW), None]);
}

pub async fn a_retired_user_is_refused_except_with_that_very_generation(t: &dyn Fixture) {
    let uid = insert(t, &StoredUser { replaced_at: Some(NOW - 10), ..alice(RETIRED, Some(5), "aa") }).await;
    let before = t.users().await;
    for generation in [10, 0, RETIRED - 1] {
        assert_refused(t.db().sign_in(&request(ALICE, generation, 5, "aa")).await, Refusal::Retired);
    }
    let answer = sign_in(t, &request(ALICE, RETIRED, 5, "aa")).await;
    assert_eq!((answer.uid.get(), answer.generation), (uid, RETIRED));
    assert_eq!(t.users().await, before);
}

pub async fn a_retired_user_without_a_node_is_neither_let_in_nor_moved(t: &dyn Fixture) {
    insert_node(t, "https://n1", 10, 3, 10).await;
    insert(t, &StoredUser { nodeid: 999, ..alice(RETIRED, Some(5), "aa") }).await;
    let before = (t.users().await, t.db().nodes().await.unwrap());
    assert_refused(t.db().sign_in(&request(ALICE, 10, 5, "aa")).await, Refusal::Retired);
    let found = t.db().sign_in(&request(ALICE, RETIRED, 5, "aa")).await;
    assert!(matches!(found, Err(TokenError::RetiredWithoutNode)), "{found:?}");
    assert_eq!((t.users().await, t.db().nodes().await.unwrap()), before);
}
