//! Who may become a user, by the settings and by what the operator has said; and what is noted of those who come.

use std::time::Duration;

use testclient::Response;

use crate::tokenserver::{ALICE, BOB, Device, Tokenserver, assert_error};

const REGISTRATION: &str = "SYNC_TOKENSERVER__REGISTRATION";
const ALLOW_LIST: (&str, &str) = (REGISTRATION, "allow_list");
const CAROL: &str = "ca401000000000000000000000000003";

const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
const PHONE: &str = "Mozilla/5.0 (Android 14; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0";

#[track_caller]
fn assert_not_let_in(answer: &Response) {
    assert_error(answer, 403, "new-users-disabled", "body", "", "New users are not allowed");
}

/// Says something of an account, as `syncserver user` does.
fn say(tokens: &Tokenserver, fxa_uid: &str, verdict: &str) {
    let email = format!("{fxa_uid}@api.accounts.firefox.com");
    tokens.sql(&format!("DELETE FROM syncserver_accounts WHERE email = '{email}'"));
    tokens.sql(&format!("INSERT INTO syncserver_accounts (email, verdict) VALUES ('{email}', '{verdict}')"));
}

/// These columns of the rows of a table, once there are as many as expected: they are written after the answer.
async fn noted(tokens: &Tokenserver, columns: &[&str], from: &str, count: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for _ in 0..500 {
        rows = tokens.store.select(columns, from);
        if rows.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rows.len(), count, "{from}: {rows:?}");
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
}

/// Signs a device in that says what it is.
async fn sign_in_as(tokens: &Tokenserver, device: &Device, user_agent: &str) -> Response {
    tokens.send(&device.request("/1.0/sync/1.5").header("User-Agent", user_agent)).await
}

#[tokio::test]
async fn an_account_is_let_in_by_the_setting_or_by_the_operator_s_word() {
    let tokens = Tokenserver::start_with(&[ALLOW_LIST, ("SYNC_TOKENSERVER__ALLOW_LIST", ALICE)]);
    tokens.uid(&Device::of(ALICE)).await;
    for stranger in [BOB, CAROL] {
        assert_not_let_in(&tokens.sign_in(&Device::of(stranger)).await);
    }
    assert!(tokens.rows(BOB).is_empty(), "refused before any row was made");
    // From the next request on, without a restart.
    say(&tokens, BOB, "allowed");
    tokens.uid(&Device::of(BOB)).await;
    assert_not_let_in(&tokens.sign_in(&Device::of(CAROL)).await);
    assert!(tokens.rows(CAROL).is_empty());
    // With nobody in the setting, those who are users stay users.
    let tokens = tokens.restart_with(&[ALLOW_LIST]);
    tokens.uid(&Device::of(ALICE)).await;
    say(&tokens, CAROL, "allowed");
    tokens.uid(&Device::of(CAROL)).await;
}

#[tokio::test]
async fn nobody_is_let_in_where_registration_is_closed_or_the_server_is_full() {
    for settings in [
        &[(REGISTRATION, "closed")][..],
        &[("SYNC_TOKENSERVER__ALLOW_NEW_USERS", "false")],
        &[ALLOW_LIST, ("SYNC_TOKENSERVER__MAX_USERS", "1")],
    ] {
        let tokens = Tokenserver::start_with(settings);
        if settings.len() > 1 {
            say(&tokens, ALICE, "allowed");
            tokens.uid(&Device::of(ALICE)).await;
        }
        say(&tokens, BOB, "allowed");
        assert_not_let_in(&tokens.sign_in(&Device::of(BOB)).await);
        assert!(tokens.rows(BOB).is_empty(), "{settings:?}");
    }
}

#[tokio::test]
async fn an_account_that_is_denied_gets_no_token_and_keeps_its_data() {
    let tokens = Tokenserver::start();
    let alice = Device::of(ALICE);
    let mut storage = tokens.storage(&alice).await;
    assert_eq!(storage.put("/storage/meta/global", r#"{"payload":"hers"}"#).await.status, 200);
    for account in [ALICE, BOB] {
        say(&tokens, account, "denied");
        assert_not_let_in(&tokens.sign_in(&Device::of(account)).await);
    }
    // Not even a new key makes a row.
    let reset = alice.clone().generation(2_000).keys_changed_at(2_000).key(b"the second key..");
    assert_not_let_in(&tokens.sign_in(&reset).await);
    assert_eq!((tokens.rows(ALICE).len(), tokens.rows(BOB).len()), (1, 0));
    let refusal = tokens.server.last_refusal();
    let command = format!("`syncserver user allow {ALICE}`");
    assert!(refusal.contains("denied") && refusal.contains(&command), "{refusal}");
    say(&tokens, ALICE, "allowed");
    assert_eq!(tokens.uid(&alice).await, storage.token.uid as i64);
    assert_eq!(storage.get("/storage/meta/global").await.json()["payload"], "hers");
}

#[tokio::test]
async fn who_was_refused_is_noted_once_a_minute_and_the_log_has_the_command_that_lets_in() {
    let tokens = Tokenserver::start_with(&[ALLOW_LIST]);
    for _ in 0..3 {
        assert_not_let_in(&tokens.sign_in(&Device::of(BOB)).await);
    }
    let refusal = tokens.server.last_refusal();
    assert!(refusal.contains(&format!("to let it in, run `syncserver user allow {BOB}`")), "{refusal}");
    let columns = ["email", "refusals", "reason", "refused_first - refused_last"];
    let rows = noted(&tokens, &columns[1..], "syncserver_accounts", 1).await;
    assert_eq!(rows, [["1", "allow_list", "0"]]);
    // Whoever cannot prove to be an account is not noted, nor is a user whose token is old.
    tokens.send(&Device::of(CAROL).request_with("/1.0/sync/1.5", "nonsense")).await;
    say(&tokens, ALICE, "allowed");
    tokens.uid(&Device::of(ALICE).generation(2_000)).await;
    assert_eq!(tokens.sign_in(&Device::of(ALICE)).await.status, 401);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let rows = noted(&tokens, &["refusals"], "syncserver_accounts ORDER BY refusals", 2).await;
    assert_eq!(rows, [["0"], ["1"]], "the one that was allowed, and the one that was refused");
}

#[tokio::test]
async fn the_log_says_what_to_do_where_a_word_for_one_account_would_not_help() {
    let closed = Tokenserver::start_with(&[(REGISTRATION, "closed")]);
    assert_not_let_in(&closed.sign_in(&Device::of(BOB)).await);
    let refusal = closed.server.last_refusal();
    assert!(refusal.contains("set tokenserver.registration to") && refusal.contains("user allow"), "{refusal}");
    let full = Tokenserver::start_with(&[("SYNC_TOKENSERVER__MAX_USERS", "1")]);
    full.uid(&Device::of(ALICE)).await;
    assert_not_let_in(&full.sign_in(&Device::of(BOB)).await);
    let refusal = full.server.last_refusal();
    assert!(refusal.contains("raise tokenserver.max_users") && refusal.contains(BOB), "{refusal}");
}

#[tokio::test]
async fn the_devices_of_a_user_are_noted_when_they_ask_for_a_token() {
    let tokens = Tokenserver::start();
    let alice = Device::of(ALICE);
    let columns = ["uid", "agent", "user_agent"];
    for user_agent in [DESKTOP, PHONE, DESKTOP] {
        assert_eq!(sign_in_as(&tokens, &alice, user_agent).await.status, 200);
    }
    let uid = tokens.uid(&Device::of(BOB)).await;
    let mut rows = noted(&tokens, &columns, "syncserver_devices ORDER BY uid, agent", 3).await;
    assert_eq!(rows.pop(), Some(vec![uid.to_string(), String::new(), String::new()]), "one that says nothing");
    assert_eq!(rows[0][1..], ["Mozilla (Android; Mobile; rv) Gecko Firefox", PHONE]);
    assert_eq!(rows[1][1..], ["Mozilla (X11; Linux x86_64; rv) Gecko Firefox", DESKTOP]);
    // An update is the same device, and a refusal is no visit.
    assert_eq!(sign_in_as(&tokens, &alice, &DESKTOP.replace("153", "154")).await.status, 200);
    let old = alice.clone().generation(1);
    assert_eq!(sign_in_as(&tokens, &old, "Something/1.0").await.status, 401);
    tokio::time::sleep(Duration::from_millis(200)).await;
    noted(&tokens, &columns, "syncserver_devices", 3).await;
    // Seen again, with a new process that remembers nothing: within the day nothing is written.
    let seen = noted(&tokens, &["first_seen", "last_seen"], "syncserver_devices ORDER BY uid, agent", 3).await;
    let tokens = tokens.restart_with(&[]);
    assert_eq!(sign_in_as(&tokens, &alice, DESKTOP).await.status, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(noted(&tokens, &["first_seen", "last_seen"], "syncserver_devices ORDER BY uid, agent", 3).await, seen);
    // A day later it is.
    tokens.sql("UPDATE syncserver_devices SET first_seen = 1, last_seen = 2");
    let tokens = tokens.restart_with(&[]);
    assert_eq!(sign_in_as(&tokens, &alice, DESKTOP).await.status, 200);
    let from = "syncserver_devices WHERE last_seen > 2";
    assert_eq!(noted(&tokens, &["first_seen"], from, 1).await, [["1"]]);
}
