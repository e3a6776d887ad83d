//! The rules of sign-ins (section 8, 1 to 9), as stories of people and their devices.

use serde_json::json;
use testclient::{Key, Reply};

use crate::tokenserver::{ALICE, BOB, Device, Tokenserver, assert_error};

const GENERATION: &str = "invalid-generation";
const KEYS: &str = "invalid-keysChangedAt";

/// A device that is turned away because of what its account or key was at some time.
async fn refused(tokens: &Tokenserver, device: &Device, status: &str) {
    assert_error(&tokens.sign_in(device).await, 401, status, "body", "", "Unauthorized");
}

/// A device that is turned away because of its key; `why` is the end of the description.
async fn bad_client_state(tokens: &Tokenserver, device: &Device, why: &str) {
    let description = format!("Unacceptable client-state value {why}");
    let answer = tokens.sign_in(device).await;
    assert_error(&answer, 401, "invalid-client-state", "header", "X-Client-State", &description);
}

#[tokio::test]
async fn a_changed_password_shuts_out_the_devices_that_have_not_heard_of_it() {
    let tokens = Tokenserver::start();
    let phone = Device::of(ALICE).generation(1_000).keys_changed_at(1_000);
    let uid = tokens.uid(&phone).await;
    // On the desktop she changes the password and keeps her key.
    let desktop = phone.clone().generation(2_000);
    assert_eq!(tokens.uid(&desktop).await, uid);
    refused(&tokens, &phone, GENERATION).await;
    assert_eq!(tokens.uid(&desktop).await, uid, "a refusal changes nothing");
    // The phone signs in again.
    assert_eq!(tokens.uid(&phone.generation(2_000)).await, uid);
    let rows = tokens.rows(ALICE);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].generation, rows[0].keys_changed_at), (2_000, Some(1_000)));
}

#[tokio::test]
async fn a_new_key_gets_a_new_storage_and_the_old_key_never_comes_back() {
    let tokens = Tokenserver::start();
    let old = Device::of(ALICE).generation(1_000).keys_changed_at(1_000);
    let mut old_storage = tokens.storage(&old).await;
    assert_eq!(old_storage.put("/storage/meta/global", r#"{"payload":"old"}"#).await.status, 200);
    // She resets her account: password and key are new.
    let new = old.clone().generation(2_000).keys_changed_at(2_000).key(b"the second key..");
    let mut new_storage = tokens.storage(&new).await;
    assert_ne!(new_storage.token.uid, old_storage.token.uid);
    assert_eq!(new_storage.get("/storage/meta/global").await.status, 404, "the new storage is empty");
    // Rule 4: the old device has its old session, or a new one with the old key.
    bad_client_state(&tokens, &old, "stale value").await;
    bad_client_state(&tokens, &old.clone().generation(3_000).keys_changed_at(3_000), "stale value").await;
    // The storage behind the old token lives on until the token ends.
    assert_eq!(old_storage.get("/storage/meta/global").await.status, 200);

    let rows = tokens.rows(ALICE);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].replaced_at, Some(rows[1].created_at));
    assert_eq!(rows[1].replaced_at, None);
    assert_eq!((rows[1].generation, rows[1].keys_changed_at), (2_000, Some(2_000)));
    // A third key, and both earlier ones are stale.
    let newest = new.clone().generation(4_000).keys_changed_at(4_000).key(b"the third key...");
    let uid = tokens.uid(&newest).await;
    bad_client_state(&tokens, &old, "stale value").await;
    bad_client_state(&tokens, &new, "stale value").await;
    assert_eq!(tokens.uid(&newest).await, uid);
}

#[tokio::test]
async fn keys_that_changed_after_the_session_began_are_not_believed() {
    let tokens = Tokenserver::start();
    tokens.uid(&Device::of(ALICE).generation(1_000).keys_changed_at(1_000)).await;
    // Rule 2 comes before rule 7: the generation is old, too.
    refused(&tokens, &Device::of(ALICE).generation(1_500).keys_changed_at(2_000), KEYS).await;
    refused(&tokens, &Device::of(ALICE).generation(500).keys_changed_at(2_000), KEYS).await;
    // A first sign-in has nothing to compare with.
    tokens.uid(&Device::of(BOB).generation(500).keys_changed_at(2_000)).await;
}

#[tokio::test]
async fn a_device_that_has_lost_its_key_is_turned_away() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE);
    tokens.uid(&device).await;
    bad_client_state(&tokens, &device.clone().key(b""), "empty string").await;
    bad_client_state(&tokens, &device.generation(9_000).keys_changed_at(9_000).key(b""), "empty string").await;
}

#[tokio::test]
async fn a_user_who_never_had_a_key_may_get_one() {
    let tokens = Tokenserver::start();
    let without = Device::of(ALICE).generation(1_000).keys_changed_at(0).key(b"");
    let first = tokens.uid(&without).await;
    assert_eq!(tokens.uid(&without).await, first);
    let second = tokens.uid(&without.generation(2_000).keys_changed_at(2_000).key(b"a key")).await;
    assert_ne!(second, first);
}

#[tokio::test]
async fn a_new_key_needs_a_new_generation() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE).generation(1_000).keys_changed_at(1_000);
    tokens.uid(&device).await;
    let other_key = device.clone().key(b"the second key..");
    bad_client_state(&tokens, &other_key, "new value with no generation change").await;
    let older = other_key.clone().generation(900).keys_changed_at(900);
    bad_client_state(&tokens, &older, "new value with no generation change").await;
    assert_eq!(tokens.rows(ALICE).len(), 1);
}

#[tokio::test]
async fn a_new_key_needs_a_new_time_of_keys() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE).generation(1_000).keys_changed_at(1_000);
    tokens.uid(&device).await;
    let other_key = device.clone().generation(2_000).key(b"the second key..");
    bad_client_state(&tokens, &other_key, "new value with no keys_changed_at change").await;
    let older = other_key.clone().keys_changed_at(900);
    bad_client_state(&tokens, &older, "new value with no keys_changed_at change").await;
    assert_eq!(tokens.rows(ALICE).len(), 1);
    // Rule 9, with a new key: none of the earlier rules has anything to compare.
    refused(&tokens, &other_key.keys_changed_at(0), KEYS).await;
}

#[tokio::test]
async fn the_time_of_a_key_never_goes_back() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE).generation(1_000).keys_changed_at(1_000);
    let uid = tokens.uid(&device).await;
    assert_eq!(tokens.uid(&device.clone().generation(2_000).keys_changed_at(2_000)).await, uid);
    // Rule 8, with a generation that is good.
    refused(&tokens, &device.clone().generation(2_000).keys_changed_at(1_500), KEYS).await;
    // Rule 9.
    refused(&tokens, &device.generation(2_000).keys_changed_at(0), KEYS).await;
    assert_eq!(tokens.rows(ALICE)[0].keys_changed_at, Some(2_000));
}

#[tokio::test]
async fn a_token_without_a_generation_is_judged_by_its_key_alone() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE).generation(None).keys_changed_at(1_000);
    let uid = tokens.uid(&device).await;
    assert_eq!(tokens.rows(ALICE)[0].generation, 0);
    assert_eq!(tokens.uid(&device.clone().generation(5_000)).await, uid);
    assert_eq!(tokens.uid(&device).await, uid, "an absent generation is compared with nothing");
    assert_eq!(tokens.rows(ALICE)[0].generation, 5_000, "and overwrites nothing");
    // The time of a key that is newer than all that is stored becomes the generation.
    assert_eq!(tokens.uid(&device.clone().keys_changed_at(6_000)).await, uid);
    assert_eq!((tokens.rows(ALICE)[0].generation, tokens.rows(ALICE)[0].keys_changed_at), (6_000, Some(6_000)));
    refused(&tokens, &device.generation(5_500).keys_changed_at(6_000), GENERATION).await;
}

#[tokio::test]
async fn when_registration_is_closed_only_users_sign_in() {
    let tokens = Tokenserver::start();
    let alice = Device::of(ALICE);
    let uid = tokens.uid(&alice).await;
    for closed in [("SYNC_TOKENSERVER__REGISTRATION", "closed"), ("SYNC_TOKENSERVER__ALLOW_NEW_USERS", "false")] {
        let tokens = Tokenserver::start_with(&[closed]);
        let answer = tokens.sign_in(&Device::of(BOB)).await;
        assert_error(&answer, 403, "new-users-disabled", "body", "", "New users are not allowed");
        assert!(tokens.rows(BOB).is_empty());
        assert!(tokens.server.log_lines().iter().any(|line| line.contains("registration is closed")));
    }
    let tokens = tokens.restart_with(&[("SYNC_TOKENSERVER__REGISTRATION", "closed")]);
    assert_eq!(tokens.uid(&alice).await, uid);
    // A reset of the account is no registration.
    let reset = alice.generation(2_000).keys_changed_at(2_000).key(b"the second key..");
    assert_ne!(tokens.uid(&reset).await, uid);
    let answer = tokens.sign_in(&Device::of(BOB)).await;
    assert_error(&answer, 403, "new-users-disabled", "body", "", "New users are not allowed");
}

#[tokio::test]
async fn only_those_on_the_allow_list_become_users() {
    let list = format!("{ALICE},someone-else");
    let tokens = Tokenserver::start_with(&[("SYNC_TOKENSERVER__ALLOW_LIST", &list)]);
    let uid = tokens.uid(&Device::of(ALICE)).await;
    let answer = tokens.sign_in(&Device::of(BOB)).await;
    assert_error(&answer, 403, "new-users-disabled", "body", "", "New users are not allowed");
    // The operator needs to know whom to add.
    let lines = tokens.server.log_lines();
    assert!(lines.iter().any(|line| line.contains("allow list") && line.contains(BOB)), "{lines:#?}");
    // Taken off the list, she stays a user.
    let tokens = tokens.restart_with(&[("SYNC_TOKENSERVER__ALLOW_LIST", "someone-else")]);
    assert_eq!(tokens.uid(&Device::of(ALICE)).await, uid);
}

#[tokio::test]
async fn there_are_no_more_users_than_there_may_be() {
    let tokens = Tokenserver::start_with(&[("SYNC_TOKENSERVER__MAX_USERS", "2")]);
    tokens.uid(&Device::of(ALICE)).await;
    tokens.uid(&Device::of(BOB)).await;
    // A second row of one account is not a second user.
    tokens.uid(&Device::of(BOB).generation(2_000).keys_changed_at(2_000).key(b"the second key..")).await;
    let answer = tokens.sign_in(&Device::of("carol")).await;
    assert_error(&answer, 403, "new-users-disabled", "body", "", "New users are not allowed");
    tokens.uid(&Device::of(ALICE)).await;
    let tokens = tokens.restart_with(&[("SYNC_TOKENSERVER__MAX_USERS", "3")]);
    tokens.uid(&Device::of("carol")).await;
}

#[tokio::test]
async fn a_row_that_the_operator_marks_replaced_is_allocated_anew() {
    let tokens = Tokenserver::start();
    let device = Device::of(ALICE).generation(2_000).keys_changed_at(1_500);
    let uid = tokens.uid(&device).await;
    tokens.sql("UPDATE users SET replaced_at = created_at + 1");
    // Refusals are decided first.
    refused(&tokens, &device.clone().generation(1_900), GENERATION).await;
    assert_eq!(tokens.rows(ALICE).len(), 1);
    // The stored account data goes into the new row, where the request has none.
    let second = tokens.uid(&device.clone().generation(None)).await;
    assert_ne!(second, uid);
    let rows = tokens.rows(ALICE);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[1].generation, rows[1].keys_changed_at, rows[1].replaced_at), (2_000, Some(1_500), None));
    assert_eq!(tokens.uid(&device).await, second);
}

#[tokio::test]
async fn older_rows_get_their_time_of_replacement_at_the_next_sign_in_even_when_it_is_refused() {
    let tokens = Tokenserver::start();
    let old = Device::of(ALICE);
    tokens.uid(&old).await;
    tokens.uid(&old.clone().generation(2_000).keys_changed_at(2_000).key(b"the second key..")).await;
    // As other programs may leave them.
    tokens.sql("UPDATE users SET replaced_at = NULL");
    bad_client_state(&tokens, &old, "stale value").await;
    let rows = tokens.rows(ALICE);
    assert_eq!((rows[0].replaced_at, rows[1].replaced_at), (Some(rows[1].created_at), None));
}

#[tokio::test]
async fn a_retired_user_is_let_in_by_nothing() {
    let tokens = Tokenserver::start();
    tokens.uid(&Device::of(ALICE)).await;
    tokens.sql("UPDATE users SET generation = 9223372036854775807, replaced_at = created_at");
    refused(&tokens, &Device::of(ALICE).generation(8_000_000_000_000_000_000), GENERATION).await;
    refused(&tokens, &Device::of(ALICE).generation(None), GENERATION).await;
    let tokens = tokens.restart_with(&[("SYNC_TOKENSERVER__MAX_USERS", "1")]);
    tokens.uid(&Device::of(BOB)).await;
}

#[tokio::test]
async fn the_same_rules_hold_for_a_token_that_the_accounts_server_vouches_for() {
    let tokens = Tokenserver::start();
    let scope = testclient::SYNC_SCOPE;
    let verified = |generation: i64| json!({ "user": ALICE, "scope": [scope], "generation": generation });
    let device = Device::of(ALICE);
    let uid = tokens.uid(&device).await;
    let opaque = device.request_with("/1.0/sync/1.5", "0123456789abcdef");
    tokens.fxa.set_verify(Reply::json(&verified(2_000)));
    assert_eq!(tokens.send(&opaque).await.json()["uid"], uid);
    tokens.fxa.set_verify(Reply::json(&verified(1_999)));
    assert_error(&tokens.send(&opaque).await, 401, GENERATION, "body", "", "Unauthorized");
    let jwt = device.jwt().sign(&Key::first());
    let answer = tokens.send(&device.request_with("/1.0/sync/1.5", &jwt)).await;
    assert_error(&answer, 401, GENERATION, "body", "", "Unauthorized");
}
