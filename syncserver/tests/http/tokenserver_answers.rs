//! What the tokenserver answers when it lets somebody in, and at which addresses (section 8).

use ring::hmac;
use serde_json::Value;
use testclient::{Request, open_token_id};

use crate::server::{Client, SECRET};
use crate::store::Backend;
use crate::tokenserver::{
    ALICE, BOB, Device, METRICS_SECRET, Tokenserver, assert_common_headers, assert_error, storage_token,
};

/// The first 32 hex digits of a MAC under the metrics secret, computed here anew.
fn hashed(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, METRICS_SECRET.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn contents(answer: &Value) -> Value {
    open_token_id(SECRET, answer["id"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn an_answer_has_these_members_and_no_others() {
    let tokens = Tokenserver::start_with(&[("SYNC_PUBLIC_URL", "https://sync.example.com")]);
    let answer = tokens.sign_in(&Device::of(ALICE)).await;
    assert_eq!(answer.status, 200);
    assert_common_headers(&answer);
    let answer = answer.json();
    let mut names: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = ["api_endpoint", "duration", "hashalg", "hashed_fxa_uid", "id", "key", "node_type", "uid"];
    assert_eq!(names, expected);
    let uid = answer["uid"].as_u64().unwrap();
    assert_eq!(answer["api_endpoint"], format!("https://sync.example.com/1.5/{uid}"));
    assert_eq!(answer["duration"], 3600);
    assert_eq!(answer["hashalg"], "sha256");
    assert_eq!(answer["hashed_fxa_uid"], hashed(ALICE));
    assert_eq!(answer["node_type"], Backend::of_tests().node_type());
    let salt = contents(&answer)["salt"].as_str().unwrap().to_owned();
    assert_eq!(answer["key"], testclient::hawk_key(SECRET, &salt, answer["id"].as_str().unwrap()));
}

#[tokio::test]
async fn the_token_says_whose_it_is_and_where_it_is_good() {
    let tokens = Tokenserver::start_with(&[("SYNC_PUBLIC_URL", "https://sync.example.com")]);
    let before = testclient::now().as_secs();
    let device = Device::of(ALICE).generation(1_700_000_000_123).keys_changed_at(1_700_000_000_000);
    let answer = tokens.let_in(&device).await;
    let token = contents(&answer);
    let mut names: Vec<_> = token.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "expires",
        "fxa_kid",
        "fxa_uid",
        "hashed_device_id",
        "hashed_fxa_uid",
        "node",
        "salt",
        "tokenserver_origin",
        "uid",
    ];
    assert_eq!(names, expected);
    assert_eq!(token["uid"], answer["uid"]);
    assert_eq!(token["node"], "https://sync.example.com");
    assert_eq!(token["fxa_uid"], ALICE);
    assert_eq!(token["fxa_kid"], "1700000000000-dGhlIGZpcnN0IGtleS4uLg");
    assert_eq!(token["hashed_fxa_uid"], hashed(ALICE));
    assert_eq!(token["hashed_device_id"], hashed(&format!("{}none", hashed(ALICE))));
    assert_eq!(token["tokenserver_origin"], "rust");
    let expires = token["expires"].as_f64().unwrap();
    let after = testclient::now().as_secs();
    assert!((before + 3600) as f64 <= expires && expires <= (after + 3600) as f64, "{expires}");
    let other = contents(&tokens.let_in(&device).await);
    assert_ne!(token["salt"], other["salt"], "each token has a salt of its own");
}

#[tokio::test]
async fn the_key_in_the_token_has_13_digits_and_falls_back_to_the_generation() {
    let tokens = Tokenserver::start();
    let kid = async |device: &Device| contents(&tokens.let_in(device).await)["fxa_kid"].as_str().unwrap().to_owned();
    assert_eq!(kid(&Device::of(ALICE).generation(5).keys_changed_at(5).key(b"\xff\xef")).await, "0000000000005-_-8");
    let without_key_time = Device::of(BOB).generation(1_234).keys_changed_at(0);
    assert_eq!(kid(&without_key_time).await, "0000000001234-dGhlIGZpcnN0IGtleS4uLg");
    assert_eq!(kid(&Device::of("carol").generation(None).keys_changed_at(0).key(b"")).await, "0000000000000-");
}

#[tokio::test]
async fn accounts_are_hashed_under_a_key_of_the_server_even_when_none_is_set() {
    let tokens = Tokenserver::start_with(&[("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET", "")]);
    let first = tokens.let_in(&Device::of(ALICE)).await["hashed_fxa_uid"].as_str().unwrap().to_owned();
    assert_eq!(first.len(), 32);
    assert!(first.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_ne!(first, hashed(ALICE));
    let tokens = tokens.restart_with(&[("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET", "")]);
    assert_eq!(tokens.let_in(&Device::of(ALICE)).await["hashed_fxa_uid"], first);
}

#[tokio::test]
async fn a_client_may_ask_for_a_token_that_lives_shorter() {
    let tokens = Tokenserver::start();
    for (query, seconds) in [
        ("?duration=1", 1),
        ("?duration=600", 600),
        ("?duration=3600", 3600),
        ("?duration=3601", 3600),
        ("?duration=0", 3600),
        ("?duration=-5", 3600),
        ("?duration=", 3600),
        ("?duration=1.5", 3600),
        ("?duration=soon", 3600),
        ("?duration=99999999999999999999999", 3600),
        ("?duration=%FF", 3600),
        ("?other=1&duration=7&", 7),
        ("?", 3600),
    ] {
        let answer = tokens.send(&Device::of(ALICE).request(&format!("/1.0/sync/1.5{query}"))).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.json()["duration"], seconds, "{query}");
        let left = contents(&answer.json())["expires"].as_f64().unwrap() - testclient::now().as_secs_f64();
        assert!((left - f64::from(seconds)).abs() < 5.0, "{query}: {left}");
    }
}

#[tokio::test]
async fn the_operator_sets_how_long_tokens_live_and_what_the_storage_is_called() {
    let tokens = Tokenserver::start_with(&[
        ("SYNC_TOKENSERVER__TOKEN_DURATION", "86400"),
        ("SYNC_TOKENSERVER__NODE_TYPE", "spanner"),
    ]);
    let answer = tokens.let_in(&Device::of(ALICE)).await;
    assert_eq!((&answer["duration"], &answer["node_type"]), (&86_400.into(), &"spanner".into()));
    let answer = tokens.send(&Device::of(ALICE).request("/1.0/sync/1.5?duration=7200")).await;
    assert_eq!(answer.json()["duration"], 7200);
}

/// All that users paste into `identity.sync.tokenserver.uri`, as a path.
const ADDRESSES: [&str; 12] = [
    "/1.0/sync/1.5",
    "/1.0/sync/1.5/",
    "/token/1.0/sync/1.5",
    "/token/1.0/sync/1.5/",
    "/tokenserver/1.0/sync/1.5",
    "/tokenserver/1.0/sync/1.5/",
    "/token",
    "/token/",
    "/tokenserver",
    "/tokenserver/",
    "/",
    "/?duration=3600",
];

#[tokio::test]
async fn every_address_that_users_paste_gives_a_token() {
    let tokens = Tokenserver::start();
    let uid = tokens.uid(&Device::of(ALICE)).await;
    for address in ADDRESSES {
        let answer = tokens.send(&Device::of(ALICE).request(address)).await;
        assert_eq!(answer.status, 200, "{address}: {answer:?}");
        assert_eq!(answer.json()["uid"], uid, "{address}");
        assert_common_headers(&answer);
    }
    for elsewhere in ["/1.0", "/1.0/sync", "/1.0/sync/1.5/x", "/other/1.0/sync/1.5", "/token/x"] {
        let answer = tokens.send(&Device::of(ALICE).request(elsewhere)).await;
        assert_eq!((answer.status, answer.text()), (404, "0"), "{elsewhere}");
    }
}

#[tokio::test]
async fn without_a_bearer_token_the_root_is_the_front_page_and_nothing_else_is() {
    let tokens = Tokenserver::start();
    for authorization in [None, Some("Basic eDp5"), Some("Hawk id=\"x\""), Some("Bearer")] {
        let mut request = Request::get("/");
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        let answer = tokens.send(&request).await;
        assert_eq!(answer.status, 200, "{authorization:?}");
        assert!(answer.header("Content-Type").unwrap().starts_with("text/html"), "{authorization:?}");
    }
    for address in ADDRESSES.iter().filter(|address| !address.starts_with("/?") && **address != "/") {
        let answer = tokens.send(&Request::get(*address)).await;
        assert_error(&answer, 401, "error", "body", "", "Unauthorized");
    }
}

#[tokio::test]
async fn under_a_public_url_with_a_path_everything_is_found_below_that_path() {
    let tokens = Tokenserver::start_with(&[("SYNC_PUBLIC_URL", "https://example.com/firefox/sync/")]);
    let uid = tokens.uid(&Device::of(ALICE)).await;
    // A proxy may leave the path or take it off.
    for prefix in ["/firefox/sync", ""] {
        for address in ADDRESSES {
            let address = format!("{prefix}{address}");
            let answer = tokens.send(&Device::of(ALICE).request(&address)).await;
            assert_eq!(answer.status, 200, "{address}: {answer:?}");
            let answer = answer.json();
            assert_eq!(answer["api_endpoint"], format!("https://example.com/firefox/sync/1.5/{uid}"), "{address}");
            assert_eq!(contents(&answer)["node"], "https://example.com/firefox/sync", "{address}");
        }
        for page in ["", "/", "/__heartbeat__", "/__lbheartbeat__", "/__version__"] {
            let address = format!("{prefix}{page}");
            if address.is_empty() {
                continue;
            }
            assert_eq!(tokens.send(&Request::get(&address)).await.status, 200, "{address}");
        }
    }
    let bare = tokens.send(&Device::of(ALICE).request("/firefox/sync")).await;
    assert_eq!(bare.json()["uid"], uid);
    // The client signs what the answer told it: the public host and port, and the path with its prefix.
    let mut client = Client {
        connection: tokens.server.connect().await,
        token: storage_token(&tokens.let_in(&Device::of(ALICE)).await),
    };
    client.connection.host = "example.com".into();
    client.connection.port = 443;
    let target = format!("/firefox/sync/1.5/{uid}/info/collections");
    let request = Request::get(&target).auth(&client.token);
    let answer = client.connection.send(&request).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "{}"), "{:#?}", tokens.server.log_lines());
}

#[tokio::test]
async fn the_token_opens_the_storage_of_its_user_and_no_other() {
    let tokens = Tokenserver::start();
    let mut alice = tokens.storage(&Device::of(ALICE)).await;
    let mut bob = tokens.storage(&Device::of(BOB)).await;
    assert_ne!(alice.token.uid, bob.token.uid);
    assert_eq!(alice.put("/storage/tabs/a", r#"{"payload":"of Alice"}"#).await.status, 200);
    assert_eq!(alice.get("/storage/tabs/a").await.json()["payload"], "of Alice");
    assert_eq!(bob.get("/storage/tabs/a").await.status, 404);
    let trespass = Request::get(alice.token.path("/storage/tabs/a")).auth(&bob.token);
    let answer = bob.connection.send(&trespass).await.unwrap();
    assert_eq!((answer.status, answer.text()), (401, "0"));
}

#[tokio::test]
async fn a_new_sign_in_finds_the_data_of_the_last_one() {
    let tokens = Tokenserver::start();
    let mut first = tokens.storage(&Device::of(ALICE)).await;
    assert_eq!(first.put("/storage/meta/global", r#"{"payload":"{}"}"#).await.status, 200);
    let tokens = tokens.restart_with(&[]);
    let mut second = tokens.storage(&Device::of(ALICE)).await;
    assert_eq!(second.token.uid, first.token.uid);
    assert_eq!(second.get("/storage/meta/global").await.status, 200);
}

#[tokio::test]
async fn ten_first_sign_ins_at_once_make_one_user() {
    let tokens = Tokenserver::start();
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(tokens.server.connect().await);
    }
    let request = Device::of(ALICE).request("/1.0/sync/1.5");
    let mut devices = tokio::task::JoinSet::new();
    for mut connection in connections {
        let request = request.clone();
        devices.spawn(async move { connection.send(&request).await.unwrap().json()["uid"].as_i64().unwrap() });
    }
    let mut uids = devices.join_all().await;
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 1, "{uids:?}");
    let rows = tokens.rows(ALICE);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].uid, rows[0].replaced_at), (uids[0], None));
}

#[tokio::test]
async fn a_tokenserver_alone_and_a_storage_alone_serve_only_their_part() {
    let tokens = Tokenserver::start_with(&[("SYNC_SYNCSTORAGE__ENABLED", "false")]);
    let mut client = tokens.storage(&Device::of(ALICE)).await;
    // Not 404: a client that comes to the wrong server would wipe its account's data.
    for target in ["/info/collections", "/storage/meta/global"] {
        let answer = client.get(target).await;
        assert_eq!((answer.status, answer.text(), answer.header("Retry-After")), (503, "0", Some("30")), "{target}");
    }
    let storage = tokens.restart_with(&[("SYNC_TOKENSERVER__ENABLED", "false")]);
    assert_eq!(storage.sign_in(&Device::of(ALICE)).await.status, 404);
    let mut client = Client { connection: storage.server.connect().await, token: client.token };
    assert_eq!(client.get("/info/collections").await.status, 200);
}
