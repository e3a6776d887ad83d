//! What is done to users besides signing them in, and what the operator asks.

use syncstorage_db_common::{SecretClaim, SecretFingerprint, UserId};

use super::*;
use crate::{Node, RETIRED, ReplacedRow};

pub async fn a_deleted_account_is_retired_in_all_its_rows(t: &dyn Fixture) {
    let first = insert(t, &StoredUser { replaced_at: Some(42), ..alice(5, None, "aa") }).await;
    let second = insert(t, &StoredUser { created_at: NOW - 10, ..alice(10, Some(5), "bb") }).await;
    let bob = insert(t, &StoredUser { email: BOB.into(), ..alice(10, Some(5), "aa") }).await;
    let mut expected = t.users().await;
    assert!(t.db().retire_user(ALICE, NOW).await.unwrap());
    expected[0].generation = RETIRED;
    expected[1].generation = RETIRED;
    expected[1].replaced_at = Some(NOW);
    assert_eq!(t.users().await, expected);
    assert_eq!(expected.iter().map(|row| row.uid).collect::<Vec<_>>(), [first, second, bob]);
    // Neither by a token that is still good, nor once the current row is purged, does the user come back.
    assert_refused(t.db().sign_in(&request(ALICE, 11, 5, "bb")).await, Refusal::Retired);
    assert!(t.db().forget_row(UserId::try_from(second).unwrap()).await.unwrap());
    assert_refused(t.db().sign_in(&request(ALICE, 11, 5, "aa")).await, Refusal::Retired);
    // Told twice, and of an unknown user.
    expected.remove(1);
    assert!(!t.db().retire_user(ALICE, NOW + 1000).await.unwrap());
    assert!(!t.db().retire_user("nobody@x", NOW).await.unwrap());
    assert_eq!(t.users().await, expected);
}

pub async fn a_changed_password_raises_the_generation_of_the_current_row_and_never_lowers_it(t: &dyn Fixture) {
    insert(t, &StoredUser { replaced_at: Some(42), ..alice(5, None, "aa") }).await;
    insert(t, &StoredUser { created_at: NOW - 10, ..alice(10, Some(5), "bb") }).await;
    insert(t, &StoredUser { email: BOB.into(), ..alice(10, Some(5), "aa") }).await;
    let mut expected = t.users().await;
    assert!(t.db().password_changed(ALICE, 20).await.unwrap());
    expected[1].generation = 20;
    assert_eq!(t.users().await, expected);
    for (email, generation) in [(ALICE, 20), (ALICE, 19), (ALICE, 0), (ALICE, -1), ("nobody@x", 30)] {
        assert!(!t.db().password_changed(email, generation).await.unwrap(), "{email} {generation}");
        assert_eq!(t.users().await, expected, "{email} {generation}");
    }
    let refused = t.db().sign_in(&request(ALICE, 19, 5, "bb")).await;
    assert_refused(refused, Refusal::OldGeneration { sent: 19, stored: 20 });
    assert!(t.db().retire_user(BOB, NOW).await.unwrap());
    assert!(!t.db().password_changed(BOB, NOW).await.unwrap());
    assert_refused(t.db().sign_in(&request(BOB, 11, 5, "aa")).await, Refusal::Retired);
}

pub async fn replaced_rows_are_listed_by_uid_in_pages(t: &dyn Fixture) {
    let mut uids = Vec::new();
    for age in [500, 100, 300, 200, 400] {
        let row = StoredUser { replaced_at: Some(NOW - age), ..alice(10, Some(5), "aa") };
        uids.push(UserId::try_from(insert(t, &row).await).unwrap());
    }
    insert(t, &StoredUser { created_at: NOW, ..alice(10, Some(5), "aa") }).await;
    let page = async |older_than, after, limit| -> Vec<UserId> {
        let rows = t.db().replaced_rows(older_than, after, limit).await.unwrap();
        rows.iter().map(|row| row.uid).collect()
    };
    assert_eq!(page(NOW, None, 10).await, uids);
    assert_eq!(page(NOW, None, 0).await, []);
    // Strictly older.
    assert_eq!(page(NOW - 300, None, 10).await, [uids[0], uids[4]]);
    assert_eq!(page(NOW - 299, None, 10).await, [uids[0], uids[2], uids[4]]);
    let first = page(NOW - 100, None, 3).await;
    assert_eq!(first, [uids[0], uids[2], uids[3]]);
    assert_eq!(page(NOW - 100, first.last().copied(), 3).await, [uids[4]]);
    assert_eq!(page(NOW - 100, Some(uids[4]), 3).await, []);
}

pub async fn the_only_row_of_a_user_who_has_not_come_back_is_kept(t: &dyn Fixture) {
    let replaced = StoredUser { replaced_at: Some(NOW - 100), ..alice(10, Some(5), "aa") };
    let away = insert(t, &replaced).await;
    insert(t, &StoredUser { email: BOB.into(), ..alice(10, Some(5), "aa") }).await;
    let found = async || -> Vec<i64> {
        let rows = t.db().replaced_rows(NOW, None, 10).await.unwrap();
        rows.iter().map(|row| row.uid.get()).collect()
    };
    assert_eq!(found().await, [], "somebody else's row does not stand for it");
    let back = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert!(!back.created && back.uid.get() != away);
    assert_eq!(found().await, [away]);
    t.db().retire_user(BOB, NOW - 100).await.unwrap();
    assert_eq!(found().await.len(), 2, "a retired user does not come back");
}

pub async fn replaced_rows_say_where_the_storage_is_except_on_a_node_that_is_down(t: &dyn Fixture) {
    let replaced = |nodeid, keys_changed_at| StoredUser {
        replaced_at: Some(NOW - 10),
        nodeid,
        ..alice(RETIRED, keys_changed_at, "aa")
    };
    let n1 = insert_node(t, "https://n1", 10, 3, 10).await;
    let n2 = insert_node(t, "https://n2", 10, 3, 10).await;
    let mut expected = Vec::new();
    for (nodeid, keys_changed_at, node) in [
        (n1, Some(5), Some(Node::Url("https://n1".into()))),
        (n2, Some(5), Some(Node::Url("https://n2".into()))),
        (0, None, Some(Node::PublicUrl)),
        (999, Some(0), None),
    ] {
        expected.push(ReplacedRow {
            uid: UserId::try_from(insert(t, &replaced(nodeid, keys_changed_at)).await).unwrap(),
            email: ALICE.into(),
            generation: RETIRED,
            keys_changed_at,
            client_state: "aa".into(),
            replaced_at: NOW - 10,
            node,
        });
    }
    let found = async || t.db().replaced_rows(NOW, None, 10).await.unwrap();
    assert_eq!(found().await, expected);
    t.execute("UPDATE nodes SET backoff = 1").await;
    assert_eq!(found().await, expected, "backing off");
    t.execute("UPDATE nodes SET downed = 1 WHERE node = 'https://n2'").await;
    let without_n2 = [0, 2, 3].map(|row| ReplacedRow::clone(&expected[row]));
    assert_eq!(found().await, without_n2);
    t.execute("DELETE FROM nodes").await;
    for row in &mut expected {
        row.node = Some(Node::PublicUrl);
    }
    assert_eq!(found().await, expected, "without nodes");
}

pub async fn only_a_replaced_row_can_be_forgotten(t: &dyn Fixture) {
    let old = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let forget = async |uid| t.db().forget_row(uid).await.unwrap();
    assert!(!forget(old.uid).await);
    let new = sign_in(t, &request(ALICE, 11, 6, "bb")).await;
    assert!(!forget(new.uid).await);
    assert!(forget(old.uid).await);
    assert!(!forget(old.uid).await);
    let uids: Vec<i64> = t.users().await.iter().map(|row| row.uid).collect();
    assert_eq!(uids, [new.uid.get()]);
}

pub async fn a_uid_is_never_given_twice(t: &dyn Fixture) {
    sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let highest = sign_in(t, &request(BOB, 10, 5, "aa")).await.uid;
    t.db().retire_user(BOB, NOW).await.unwrap();
    assert!(t.db().forget_row(highest).await.unwrap());
    let back = sign_in(t, &request(BOB, 10, 5, "aa")).await;
    assert!(back.created);
    assert!(back.uid > highest);
    t.db().retire_user(BOB, NOW).await.unwrap();
    t.db().retire_user(ALICE, NOW).await.unwrap();
    for row in t.db().replaced_rows(NOW + 1, None, 10).await.unwrap() {
        assert!(t.db().forget_row(row.uid).await.unwrap());
    }
    assert_eq!(t.users().await, []);
    assert!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid > back.uid);
}

pub async fn users_are_counted_by_account_without_the_retired(t: &dyn Fixture) {
    let count = async || t.db().count_users().await.unwrap();
    assert_eq!(count().await, 0);
    sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    sign_in(t, &request(BOB, 10, 5, "aa")).await;
    assert_eq!(count().await, 2);
    sign_in(t, &request(ALICE, 11, 6, "bb")).await;
    assert_eq!(count().await, 2);
    t.execute("UPDATE users SET replaced_at = 42").await;
    assert_eq!(count().await, 2, "who will be allocated anew is a user");
    t.db().retire_user(ALICE, NOW).await.unwrap();
    assert_eq!(count().await, 1);
}

pub async fn the_database_belongs_to_one_secret_and_follows_its_rotation(t: &dyn Fixture) {
    let [first, second, third] = ["1", "2", "3"].map(|text| SecretFingerprint(text.repeat(64)));
    let claim = async |secret: &SecretFingerprint, previous: &[SecretFingerprint]| {
        t.db().claim_secret(secret, previous).await.unwrap()
    };
    assert_eq!(claim(&first, &[]).await, SecretClaim::Claimed);
    assert_eq!(claim(&first, &[]).await, SecretClaim::Same);
    assert_eq!(claim(&second, &[]).await, SecretClaim::Other);
    assert_eq!(claim(&second, std::slice::from_ref(&third)).await, SecretClaim::Other);
    assert_eq!(claim(&first, &[]).await, SecretClaim::Same);
    assert_eq!(claim(&second, &[third, first.clone()]).await, SecretClaim::Rotated);
    assert_eq!(claim(&second, &[]).await, SecretClaim::Same);
    assert_eq!(claim(&first, &[]).await, SecretClaim::Other);
}

pub async fn the_database_answers_when_asked(t: &dyn Fixture) {
    t.db().check().await.unwrap();
    let status = t.db().pool_status();
    assert!(status.max > 0);
    assert_eq!((status.in_use, status.waiting), (0, 0));
}
