//! Events that the accounts server sends (section 9).

use std::time::Duration;

use serde_json::{Value, json};
use testclient::{Jwt, Key, Reply, Request, Response};

use crate::tokenserver::{ALICE, BOB, Device, Tokenserver, assert_common_headers, assert_error};

const EVENTS: &str = "/1.0/webhooks/fxa/events";
const ISSUER: &str = "https://accounts.firefox.com/";
const CLIENT_ID: &str = "f8ae4c3ce2d14ec5";
const DELETE_USER: &str = "https://schemas.accounts.firefox.com/event/delete-user";
const PASSWORD_CHANGE: &str = "https://schemas.accounts.firefox.com/event/password-change";

const ON: [(&str, &str); 2] =
    [("SYNC_TOKENSERVER__FXA_WEBHOOK_ENABLED", "true"), ("SYNC_TOKENSERVER__FXA_WEBHOOK_SET_CLIENT_ID", CLIENT_ID)];

impl Tokenserver {
    async fn event(&self, token: &str) -> Response {
        self.send(&Request::new("POST", EVENTS).header("Authorization", format_args!("Bearer {token}"))).await
    }

    async fn take(&self, event: &Jwt) {
        let answer = self.event(&event.sign(&Key::first())).await;
        assert_eq!(answer.status, 200, "{answer:?}; the log: {:#?}", self.server.log_lines());
        assert_common_headers(&answer);
    }

    async fn refuse(&self, token: &str) {
        assert_error(&self.event(token).await, 401, "invalid-credentials", "body", "", "Unauthorized");
    }
}

fn event(fxa_uid: &str, name: &str, details: &Value) -> Jwt {
    Jwt::security_event(ISSUER, CLIENT_ID, fxa_uid, name, details)
}

fn password_change(fxa_uid: &str, change_time: impl Into<Value>) -> Jwt {
    event(fxa_uid, PASSWORD_CHANGE, &json!({ "changeTime": change_time.into() }))
}

#[tokio::test]
async fn webhooks_are_off_unless_they_are_switched_on() {
    let tokens = Tokenserver::start();
    let answer = tokens.event(&event(ALICE, DELETE_USER, &json!({})).sign(&Key::first())).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_deleted_account_is_retired() {
    let tokens = Tokenserver::start_with(&ON);
    let device = Device::of(ALICE);
    tokens.let_in(&device).await;
    tokens.let_in(&device.clone().generation(2_000).keys_changed_at(2_000).key(b"the second key..")).await;
    let bob = tokens.uid(&Device::of(BOB)).await;
    tokens.take(&event(ALICE, DELETE_USER, &json!({}))).await;
    for row in tokens.rows(ALICE) {
        assert_eq!(row.generation, i64::MAX);
        assert!(row.replaced_at.is_some(), "the purge takes the storage: {row:?}");
    }
    let latest = device.clone().generation(9_000).keys_changed_at(9_000).key(b"the second key..");
    let answer = tokens.sign_in(&latest).await;
    assert_error(&answer, 401, "invalid-generation", "body", "", "Unauthorized");
    for other_key in [b"the first key...", b"the third key..."] {
        assert_eq!(tokens.sign_in(&latest.clone().key(other_key)).await.status, 401);
    }
    assert_eq!(tokens.uid(&Device::of(BOB)).await, bob);
    // Sent again, as webhooks are.
    let before = tokens.rows(ALICE);
    tokens.take(&event(ALICE, DELETE_USER, &json!({}))).await;
    assert_eq!(tokens.rows(ALICE), before);
}

#[tokio::test]
async fn a_changed_password_raises_the_generation_and_never_lowers_it() {
    let tokens = Tokenserver::start_with(&ON);
    let device = Device::of(ALICE).generation(1_000);
    let uid = tokens.uid(&device).await;
    tokens.take(&password_change(ALICE, 5_000)).await;
    assert_eq!(tokens.rows(ALICE)[0].generation, 4_999);
    let answer = tokens.sign_in(&device).await;
    assert_error(&answer, 401, "invalid-generation", "body", "", "Unauthorized");
    assert_eq!(tokens.uid(&device.clone().generation(5_000)).await, uid, "the first sign-in after the change");
    tokens.take(&password_change(ALICE, 3_000)).await;
    assert_eq!(tokens.rows(ALICE)[0].generation, 5_000);
    assert_eq!(tokens.rows(ALICE)[0].replaced_at, None);
}

#[tokio::test]
async fn the_time_of_a_change_is_any_number() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.let_in(&Device::of(ALICE)).await;
    for (number, generation) in [("5000.0", 4_999), ("6e3", 5_999), ("7000.75", 6_999), ("8000", 7_999)] {
        tokens.take(&password_change(ALICE, serde_json::from_str::<Value>(number).unwrap())).await;
        assert_eq!(tokens.rows(ALICE)[0].generation, generation, "{number}");
    }
}

#[tokio::test]
async fn a_wild_time_of_a_change_does_not_retire_anybody() {
    let tokens = Tokenserver::start_with(&ON);
    let device = Device::of(ALICE);
    tokens.let_in(&device).await;
    for wild in [
        json!(i64::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(-1),
        json!(0),
        json!(1e300),
        json!("soon"),
        Value::Null,
        json!([1]),
    ] {
        tokens.take(&password_change(ALICE, wild.clone())).await;
        let rows = tokens.rows(ALICE);
        assert_ne!(rows[0].generation, i64::MAX, "{wild}");
        assert!(rows[0].generation >= 1_000, "{wild}");
        assert_eq!((rows.len(), rows[0].replaced_at), (1, None), "{wild}");
    }
    tokens.take(&event(ALICE, PASSWORD_CHANGE, &json!({}))).await;
    tokens.take(&event(ALICE, PASSWORD_CHANGE, &json!("nonsense"))).await;
    // Retired means more than a high generation: a new password of the account itself still gets in.
    let answer = tokens.sign_in(&device.clone().generation(i64::MAX - 1)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn other_events_and_other_people_change_nothing() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.let_in(&Device::of(ALICE)).await;
    let before = tokens.rows(ALICE);
    tokens.take(&event(ALICE, "https://schemas.accounts.firefox.com/event/profile-change", &json!({}))).await;
    tokens.take(&event(ALICE, "https://schemas.accounts.firefox.com/event/of-the-future", &json!([1]))).await;
    tokens.take(&event("nobody", DELETE_USER, &json!({}))).await;
    tokens.take(&password_change("nobody", 5_000)).await;
    tokens.take(&event(ALICE, "x", &json!({})).claim("events", json!({}))).await;
    assert_eq!(tokens.rows(ALICE), before);
    assert!(tokens.rows("nobody").is_empty());
}

#[tokio::test]
async fn several_events_may_come_in_one_token() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.let_in(&Device::of(ALICE)).await;
    let events = json!({ "x": {}, PASSWORD_CHANGE: { "changeTime": 7_000 } });
    tokens.take(&event(ALICE, "x", &json!({})).claim("events", events)).await;
    assert_eq!(tokens.rows(ALICE)[0].generation, 6_999);
}

#[tokio::test]
async fn only_the_accounts_server_is_believed() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.let_in(&Device::of(ALICE)).await;
    let before = tokens.rows(ALICE);
    let delete = event(ALICE, DELETE_USER, &json!({}));
    let now = testclient::now().as_secs();
    for bad in [
        delete.sign_wrongly(&Key::first()),
        delete.sign(&Key::second()),
        delete.sign(&Key::second().with_kid("test-key-1")),
        delete.clone().header("alg", "HS256").sign(&Key::first()),
        delete.clone().header("alg", "none").sign(&Key::first()),
        delete.clone().header("typ", "at+jwt").sign(&Key::first()),
        delete.clone().header("typ", "application/at+jwt").sign(&Key::first()),
        delete.clone().claim("iss", "https://accounts.example.com/").sign(&Key::first()),
        delete.clone().claim("iss", "https://accounts.firefox.com").sign(&Key::first()),
        delete.clone().without_claim("iss").sign(&Key::first()),
        delete.clone().claim("aud", "another-client").sign(&Key::first()),
        delete.clone().without_claim("aud").sign(&Key::first()),
        delete.clone().without_claim("sub").sign(&Key::first()),
        delete.clone().claim("exp", now - 10).sign(&Key::first()),
        delete.clone().claim("events", json!("nonsense")).sign(&Key::first()),
        "opaque".to_owned(),
        "a.b.c".to_owned(),
        String::new(),
    ] {
        tokens.refuse(&bad).await;
    }
    // An access token, with all that an event has.
    let access = Device::of(ALICE).jwt().claim("iss", ISSUER).claim("aud", CLIENT_ID);
    tokens.refuse(&access.claim("events", json!({ DELETE_USER: {} })).sign(&Key::first())).await;
    for request in [Request::new("POST", EVENTS), Request::new("POST", EVENTS).header("Authorization", "Basic eDp5")] {
        let answer = tokens.send(&request).await;
        assert_error(&answer, 401, "invalid-credentials", "body", "", "Unauthorized");
    }
    assert_eq!(tokens.rows(ALICE), before);
    assert_eq!(tokens.fxa.verify_requests(), 0, "the accounts server is not asked about its own events");
}

#[tokio::test]
async fn a_good_event_has_some_freedom_of_form() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.let_in(&Device::of(ALICE)).await;
    let later = testclient::now().as_secs() + 60;
    let other = "https://schemas.accounts.firefox.com/event/profile-change";
    let event = event(ALICE, other, &json!({}));
    tokens.take(&event.clone().header("typ", Value::Null)).await;
    tokens.take(&event.clone().header("typ", "JWT")).await;
    tokens.take(&event.clone().header("typ", "application/secevent+jwt")).await;
    tokens.take(&event.clone().claim("exp", later)).await;
    tokens.take(&event.clone().claim("aud", json!(["other", CLIENT_ID]))).await;
}

#[tokio::test]
async fn the_issuer_is_a_setting() {
    let issuer = ("SYNC_TOKENSERVER__FXA_WEBHOOK_SET_ISSUER", "https://accounts.example.com");
    let tokens = Tokenserver::start_with(&[ON[0], ON[1], issuer]);
    tokens.refuse(&event(ALICE, DELETE_USER, &json!({})).sign(&Key::first())).await;
    tokens.take(&event(ALICE, DELETE_USER, &json!({})).claim("iss", issuer.1)).await;
}

#[tokio::test]
async fn events_may_be_counted_without_acting_on_them() {
    let only = ("SYNC_TOKENSERVER__FXA_WEBHOOK_METRICS_ONLY", "true");
    let tokens = Tokenserver::start_with(&[ON[0], ON[1], only]);
    tokens.let_in(&Device::of(ALICE)).await;
    let before = tokens.rows(ALICE);
    tokens.take(&event(ALICE, DELETE_USER, &json!({}))).await;
    tokens.take(&password_change(ALICE, 9_000)).await;
    tokens.refuse(&event(ALICE, DELETE_USER, &json!({})).sign(&Key::second())).await;
    assert_eq!(tokens.rows(ALICE), before);
}

#[tokio::test]
async fn an_event_is_logged_without_the_account_it_is_about() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.take(&event(ALICE, DELETE_USER, &json!({}))).await;
    let lines = tokens.server.log_lines();
    assert!(lines.iter().any(|line| line.contains(DELETE_USER)), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains(ALICE)), "{lines:#?}");
}

#[tokio::test]
async fn under_a_public_url_with_a_path_events_arrive_there() {
    let tokens = Tokenserver::start_with(&[ON[0], ON[1], ("SYNC_PUBLIC_URL", "https://example.com/sync")]);
    let token = event(ALICE, DELETE_USER, &json!({})).sign(&Key::first());
    let request = Request::new("POST", format!("/sync{EVENTS}")).header("Authorization", format!("Bearer {token}"));
    assert_eq!(tokens.send(&request).await.status, 200);
    for address in [EVENTS, &format!("/sync{EVENTS}")] {
        let answer = tokens.send(&Request::get(address)).await;
        assert_error(&answer, 405, "error", "body", "", "Method Not Allowed");
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_makes_the_accounts_server_send_the_event_again() {
    let tokens = Tokenserver::start_with(&ON);
    tokens.let_in(&Device::of(ALICE)).await;
    tokens.sql("ALTER TABLE users RENAME TO gone");
    let answer = tokens.event(&event(ALICE, DELETE_USER, &json!({})).sign(&Key::first())).await;
    assert_error(&answer, 500, "internal-error", "internal", "", "Server error");
    tokens.sql("ALTER TABLE gone RENAME TO users");
    assert_ne!(tokens.rows(ALICE)[0].generation, i64::MAX);
}

#[tokio::test]
async fn an_event_that_comes_before_any_key_is_known_is_to_be_sent_again() {
    let tokens = Tokenserver::start();
    tokens.let_in(&Device::of(ALICE)).await;
    tokens.fxa.set_jwks(Reply::status(503, "{}"));
    let tokens = tokens.restart_with(&ON);
    let delete = event(ALICE, DELETE_USER, &json!({}));
    let answer = tokens.event(&delete.sign(&Key::first())).await;
    assert_error(&answer, 503, "error", "body", "", "Resource is not available");
    // What is no event at all is refused for good.
    tokens.refuse("opaque").await;
    tokens.refuse(&delete.clone().header("typ", "at+jwt").sign(&Key::first())).await;
    assert_ne!(tokens.rows(ALICE)[0].generation, i64::MAX);
    tokens.fxa.set_jwks(Reply::jwks(&[&Key::first()]));
    // A little more than the time that has to pass between two fetches of the keys.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    tokens.take(&delete).await;
    assert_eq!(tokens.rows(ALICE)[0].generation, i64::MAX);
    assert_eq!(tokens.fxa.verify_requests(), 0);
}
