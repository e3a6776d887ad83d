//! Who is let in, as whom, and what the rows say then.

use super::*;
use crate::{Node, RETIRED, Registration};

pub async fn a_new_user_gets_a_row_that_says_what_the_request_says(t: &dyn Fixture) {
    let answer = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let rows = t.users().await;
    let expected =
        StoredUser { uid: answer.uid.get(), service: rows[0].service, created_at: NOW, ..alice(10, Some(5), "aa") };
    assert_eq!(rows, [expected]);
    let SignedIn { uid, .. } = answer;
    assert!(uid.get() > 0);
    let expected = SignedIn {
        uid,
        generation: 10,
        keys_changed_at: Some(5),
        client_state: "aa".into(),
        node: Node::PublicUrl,
        created: true,
    };
    assert_eq!(answer, expected);
}

pub async fn what_a_new_user_does_not_tell_is_stored_as_0_and_null(t: &dyn Fixture) {
    let answer = sign_in(t, &request(ALICE, 0, 0, "")).await;
    assert_eq!((answer.generation, answer.keys_changed_at, answer.client_state.as_str()), (0, None, ""));
    let row = stored(t, answer.uid.get()).await;
    assert_eq!((row.generation, row.keys_changed_at, row.client_state.as_str()), (0, None, ""));
    let again = sign_in(t, &request(ALICE, 0, 0, "")).await;
    assert_eq!(again, SignedIn { created: false, ..answer });
}

pub async fn the_same_user_again_gets_the_same_answer_and_writes_nothing(t: &dyn Fixture) {
    let first = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let rows = t.users().await;
    for _ in 0..2 {
        let again = sign_in(t, &later(request(ALICE, 10, 5, "aa"), 1000)).await;
        assert_eq!(again, SignedIn { created: false, ..first.clone() });
        assert_eq!(t.users().await, rows);
    }
}

pub async fn two_accounts_are_two_users(t: &dyn Fixture) {
    let (a, b) = (sign_in(t, &request(ALICE, 10, 5, "aa")).await, sign_in(t, &request(BOB, 3, 2, "aa")).await);
    assert_ne!(a.uid, b.uid);
    assert_eq!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid, a.uid);
    assert_eq!(sign_in(t, &request(BOB, 3, 2, "aa")).await.uid, b.uid);
}

/// The uid of an account is any text, and another accounts service may tell `a` from `A`.
pub async fn accounts_are_told_apart_byte_for_byte(t: &dyn Fixture) {
    let emails =
        ["abc@x", "ABC@x", "abc@X", "äbc@x", "abc@x ", " abc@x", "a'b\"c\\@x", "a%c@x", "日本語😀@x", "ab?c@x"];
    let mut uids = Vec::new();
    for email in emails {
        let answer = sign_in(t, &request(email, 10, 5, "aa")).await;
        assert!(answer.created, "{email:?}");
        uids.push(answer.uid);
    }
    for (email, uid) in emails.into_iter().zip(uids) {
        assert_eq!(sign_in(t, &request(email, 10, 5, "aa")).await.uid, uid, "{email:?}");
        assert_eq!(stored(t, uid.get()).await.email, email);
    }
    t.db().retire_user("ABC@x", NOW).await.unwrap();
    assert_eq!(t.users().await.iter().filter(|row| row.generation == RETIRED).count(), 1);
}

pub async fn greater_values_are_stored_in_place(t: &dyn Fixture) {
    let first = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    for (generation, keys_changed_at) in [(11, 5), (11, 6), (20, 15)] {
        let answer = sign_in(t, &later(request(ALICE, generation, keys_changed_at, "aa"), 1000)).await;
        let expected = SignedIn { generation, keys_changed_at: Some(keys_changed_at), created: false, ..first.clone() };
        assert_eq!(answer, expected);
        let rows = t.users().await;
        let expected = StoredUser {
            uid: first.uid.get(),
            service: rows[0].service,
            created_at: NOW,
            ..alice(generation, Some(keys_changed_at), "aa")
        };
        assert_eq!(rows, [expected]);
    }
}

pub async fn absent_values_overwrite_nothing(t: &dyn Fixture) {
    for (email, stored_keys, sent, expected) in [
        ("1@x", None, (11, 0), (11, None)),
        ("2@x", Some(0), (11, 0), (11, Some(0))),
        ("3@x", Some(5), (0, 6), (10, Some(6))),
        ("4@x", Some(5), (0, 5), (10, Some(5))),
    ] {
        let uid = insert(t, &StoredUser { email: email.into(), ..alice(10, stored_keys, "aa") }).await;
        let answer = sign_in(t, &request(email, sent.0, sent.1, "aa")).await;
        let row = stored(t, uid).await;
        assert_eq!((row.generation, row.keys_changed_at), expected, "{email}");
        let answered = (answer.generation, answer.keys_changed_at);
        assert_eq!(answered, (expected.0, expected.1.filter(|keys| *keys != 0)), "{email}");
    }
}

pub async fn newer_keys_without_a_generation_become_the_generation(t: &dyn Fixture) {
    for (email, stored_values, keys, expected) in [
        ("1@x", (10, Some(5)), 12, 12),
        ("2@x", (10, Some(5)), 9, 10),
        ("3@x", (10, None), 12, 12),
        ("4@x", (0, Some(5)), 12, 12),
        ("5@x", (3, Some(5)), 5, 3),
    ] {
        let row = StoredUser { email: email.into(), ..alice(stored_values.0, stored_values.1, "aa") };
        let uid = insert(t, &row).await;
        assert_eq!(sign_in(t, &request(email, 0, keys, "aa")).await.generation, expected, "{email}");
        let row = stored(t, uid).await;
        assert_eq!((row.generation, row.keys_changed_at), (expected, Some(keys)), "{email}");
    }
}

pub async fn each_refusal_leaves_the_tables_as_they_were(t: &dyn Fixture) {
    insert_node(t, "https://n1", 10, 1, 10).await;
    let replaced =
        StoredUser { created_at: NOW - 2_000_000, replaced_at: Some(NOW - 1_000_000), ..alice(5, Some(2), "old") };
    insert(t, &replaced).await;
    insert(t, &alice(10, Some(5), "aa")).await;
    let before = (t.users().await, t.db().nodes().await.unwrap());
    for (request, refusal) in [
        (request(ALICE, 11, 12, "aa"), Refusal::KeysAheadOfGeneration { sent: 12, stored: 5, generation: 11 }),
        (request(ALICE, 11, 6, ""), Refusal::EmptyClientState),
        (request(ALICE, 11, 6, "old"), Refusal::StaleClientState),
        (request(ALICE, 10, 6, "bb"), Refusal::ClientStateWithoutGeneration { sent: 10, stored: 10 }),
        (request(ALICE, 11, 5, "bb"), Refusal::ClientStateWithoutKeysChange { sent: 5, stored: 5 }),
        (request(ALICE, 9, 5, "aa"), Refusal::OldGeneration { sent: 9, stored: 10 }),
        (request(ALICE, 10, 4, "aa"), Refusal::OldKeys { sent: 4, stored: 5 }),
        (request(ALICE, 10, 0, "aa"), Refusal::NoKeysChangedAt { stored: 5 }),
    ] {
        assert_refused(t.db().sign_in(&request).await, refusal);
        assert_eq!((t.users().await, t.db().nodes().await.unwrap()), before, "{refusal:?}");
    }
}

pub async fn an_unknown_account_is_refused_where_registration_is_closed(t: &dyn Fixture) {
    sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let closed = Policy { registration: Registration::Closed, ..Policy::default() };
    let bob = under(request(BOB, 10, 5, "aa"), closed.clone());
    assert_refused(t.db().sign_in(&bob).await, Refusal::RegistrationClosed);
    assert_eq!(t.users().await.len(), 1);
    // Who is a user stays one, with a new key too.
    assert!(!sign_in(t, &under(request(ALICE, 10, 5, "aa"), closed.clone())).await.created);
    assert!(!sign_in(t, &under(request(ALICE, 11, 6, "bb"), closed)).await.created);
}

pub async fn an_unknown_account_must_be_on_the_allow_list(t: &dyn Fixture) {
    let list = |emails: &[&str]| Policy {
        registration: Registration::AllowList(emails.iter().map(|&email| email.into()).collect()),
        ..Policy::default()
    };
    let bob = || request(BOB, 10, 5, "aa");
    assert_refused(t.db().sign_in(&under(bob(), list(&[ALICE]))).await, Refusal::NotOnAllowList);
    assert_eq!(t.users().await, []);
    assert!(sign_in(t, &under(bob(), list(&[ALICE, BOB]))).await.created);
    assert!(!sign_in(t, &under(bob(), list(&[]))).await.created);
}

pub async fn there_are_no_more_users_than_there_may_be(t: &dyn Fixture) {
    let two = || Policy { max_users: Some(2), ..Policy::default() };
    let attempt = |email: &str| under(request(email, 10, 5, "aa"), two());
    sign_in(t, &attempt(ALICE)).await;
    sign_in(t, &attempt(BOB)).await;
    // Several rows of one account are one user.
    sign_in(t, &under(request(ALICE, 11, 6, "bb"), two())).await;
    let third = attempt("c@accounts.example");
    assert_refused(t.db().sign_in(&third).await, Refusal::UserLimit { max_users: 2 });
    assert!(!sign_in(t, &attempt(BOB)).await.created);
    t.db().retire_user(BOB, NOW).await.unwrap();
    assert!(sign_in(t, &third).await.created);
}

pub async fn the_id_of_the_service_may_be_any_number(t: &dyn Fixture) {
    t.execute(&format!("UPDATE services SET id = 4711 WHERE service = '{SERVICE}'")).await;
    assert!(t.db().init_node("https://n1", 10).await.unwrap());
    let answer = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert_eq!(answer.node, Node::Url("https://n1".into()));
    let row = stored(t, answer.uid.get()).await;
    assert_eq!((row.service, row.nodeid), (4711, node(t, "https://n1").await.id));
    assert_eq!(sign_in(t, &request(ALICE, 11, 6, "aa")).await.uid, answer.uid);
    assert_eq!(t.db().count_users().await.unwrap(), 1);
    assert!(t.db().password_changed(ALICE, 12).await.unwrap());
    assert!(t.db().retire_user(ALICE, NOW).await.unwrap());
    assert_eq!(t.db().replaced_rows(NOW + 1, None, 10).await.unwrap().len(), 1);
    assert!(t.db().forget_row(answer.uid).await.unwrap());
    t.db().check().await.unwrap();
}

pub async fn rows_of_other_services_are_not_looked_at(t: &dyn Fixture) {
    let other = insert_other_service(t).await;
    let uid = insert_for(t, other, &StoredUser { replaced_at: Some(1), ..alice(20, Some(9), "zz") }).await;
    insert_for(t, other, &alice(30, Some(9), "yy")).await;
    let before = t.users().await;
    let db = t.db();
    assert_eq!(db.count_users().await.unwrap(), 0);
    assert_eq!(db.replaced_rows(NOW, None, 10).await.unwrap(), []);
    assert!(!db.password_changed(ALICE, 100).await.unwrap());
    assert!(!db.retire_user(ALICE, NOW).await.unwrap());
    assert!(!db.forget_row(uid.try_into().unwrap()).await.unwrap());
    let answer = sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    assert!(answer.created);
    assert!(db.retire_user(ALICE, NOW).await.unwrap());
    assert!(db.forget_row(answer.uid).await.unwrap());
    assert_eq!(t.users().await, before);
}
