//! Who may ask (section 2): tokens, signatures, and what a refusal says.

use std::time::Duration;

use proptest::prelude::*;
use testclient::{HawkOptions, PayloadHash, Request, Response, Token, TokenBuilder, now};

use crate::check::Check;
use crate::server::{SECRET, TestServer, json};

fn builder() -> TokenBuilder {
    Token::builder(SECRET, 1)
}

fn quota(token: &Token) -> Request {
    Request::get(token.path("/info/quota")).auth(token)
}

async fn send(server: &TestServer, request: &Request) -> Response {
    server.connect().await.send(request).await.unwrap()
}

#[tokio::test]
async fn a_token_needs_only_its_four_certain_fields() {
    let server = TestServer::start();
    let later = now().as_secs_f64() + 60.5;
    for token in [
        builder().build(),
        builder().minimal().build(),
        builder().minimal().expires_float(later).build(),
        builder().field("extra", 1).field("fxa_uid", "").build(),
        builder().salt("").build(),
    ] {
        send(&server, &quota(&token)).await.has(200);
    }
}

#[tokio::test]
async fn a_user_id_may_have_up_to_63_bits() {
    let server = TestServer::start();
    for uid in [0, 1, 9_999_999_999, i64::MAX as u64] {
        server.user(uid).await.get("/info/quota").await.has(200);
    }
    let too_large = Token::builder(SECRET, i64::MAX as u64 + 1).build();
    send(&server, &quota(&too_large)).await.is(401, "0");
}

/// Requests that are not from the holder of a good token of user 1, each for another reason.
fn refused() -> Vec<(&'static str, Request)> {
    let token = builder().build();
    let plain = || Request::get(token.path("/info/quota"));
    let signed = |token: &Token| quota(token);
    let hawk = |options: HawkOptions| quota(&token).hawk(options);
    let header = |value: &str| plain().header("Authorization", value);
    let good_id = token.id.as_str();
    let other_key = Token::from_parts(&token.id, &builder().build().key, 1);
    let text = |text: &str| Some(text.to_owned());
    vec![
        ("no header", plain()),
        ("an empty header", header("")),
        ("Basic", header("Basic YTpi")),
        ("Bearer", header("Bearer abc")),
        ("the scheme alone", header("Hawk")),
        ("no id", header("Hawk ts=\"1\", nonce=\"n\", mac=\"bWFj\"")),
        ("an id that is no base64", header("Hawk id=\"!\", ts=\"1\", nonce=\"n\", mac=\"bWFj\"")),
        ("an id that is too short", header("Hawk id=\"AAAA\", ts=\"1\", nonce=\"n\", mac=\"bWFj\"")),
        ("no mac", header(&format!("Hawk id=\"{good_id}\", ts=\"1\", nonce=\"n\""))),
        ("no ts", header(&format!("Hawk id=\"{good_id}\", nonce=\"n\", mac=\"bWFj\""))),
        ("no nonce", header(&format!("Hawk id=\"{good_id}\", ts=\"1\", mac=\"bWFj\""))),
        ("a ts that is no number", header(&format!("Hawk id=\"{good_id}\", ts=\"x\", nonce=\"n\", mac=\"bWFj\""))),
        ("a wild ts", header(&format!("Hawk id=\"{good_id}\", ts=\"{}\", nonce=\"n\", mac=\"bWFj\"", u64::MAX))),
        ("a flipped signature", signed(&builder().wrong_signature().build())),
        ("another secret's token", signed(&Token::builder("another", 1).build())),
        ("an id signed with another secret", signed(&builder().signed_with("another").build())),
        ("no uid", signed(&builder().without("uid").build())),
        ("no node", signed(&builder().without("node").build())),
        ("no expiry", signed(&builder().without("expires").build())),
        ("no salt", signed(&builder().without("salt").build())),
        ("a uid that is text", signed(&builder().field("uid", "1").build())),
        ("a negative uid", signed(&builder().field("uid", -1).build())),
        ("an expired token", signed(&builder().expired().build())),
        ("a token that expired at the epoch", signed(&builder().expires(0).build())),
        ("another user's token", signed(&builder().claimed_uid(2).build())),
        ("another key", signed(&other_key)),
        ("a mac of nothing", hawk(HawkOptions { mac: text(""), ..Default::default() })),
        ("a made-up mac", hawk(HawkOptions { mac: text("bWFj"), ..Default::default() })),
        ("another method", hawk(HawkOptions { method: text("DELETE"), ..Default::default() })),
        ("another path", hawk(HawkOptions { target: text("/1.5/1/info/collections"), ..Default::default() })),
        ("another query", hawk(HawkOptions { target: text("/1.5/1/info/quota?a"), ..Default::default() })),
        ("another host", hawk(HawkOptions { host: text("localhost"), ..Default::default() })),
        ("another port", hawk(HawkOptions { port: Some(1), ..Default::default() })),
    ]
}

#[tokio::test]
async fn every_refusal_is_401_with_body_0_and_none_says_which_it_was() {
    let server = TestServer::start();
    let mut first: Option<Vec<(String, String)>> = None;
    for (what, request) in refused() {
        let answer = send(&server, &request).await;
        assert_eq!((answer.status, answer.text()), (401, "0"), "{what}: {answer:?}");
        answer.timestamp();
        // The last one lists the others' names in no fixed order.
        let varying = ["date", "x-request-id", "x-weave-timestamp", "access-control-expose-headers"];
        let mut headers: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .filter(|(name, _)| !varying.contains(&name.as_str()))
            .collect();
        headers.sort();
        assert_eq!(first.get_or_insert_with(|| headers.clone()), &headers, "{what}");
    }
}

#[tokio::test]
async fn a_refusal_is_logged_with_its_reason_and_without_the_token() {
    let server = TestServer::start();
    for (what, request) in refused() {
        send(&server, &request).await;
        let line = server.last_refusal();
        // Every token expires, and its client gets a new one.
        let level = if what.contains("expired") { "INFO" } else { "WARN" };
        let start = format!("{level} request refused");
        assert!(line.starts_with(&start) && line.contains("status: 401"), "{what}: {line}");
        for secret in [builder().build().id.get(..24).unwrap(), "bWFj", SECRET] {
            assert!(!line.contains(secret), "{what}: {line}");
        }
    }
}

#[tokio::test]
async fn the_signature_is_checked_first_then_the_expiry_then_the_mac_then_the_user() {
    let server = TestServer::start();
    let all_wrong = builder().claimed_uid(2).expired();
    let no_mac = || HawkOptions { mac: Some("bWFj".into()), ..Default::default() };
    for (token, options, reason) in [
        (all_wrong.clone().signed_with("another").build(), no_mac(), "another master secret"),
        (all_wrong.build(), no_mac(), "expired"),
        (builder().claimed_uid(2).build(), no_mac(), "MAC"),
        (builder().claimed_uid(2).build(), HawkOptions::default(), "user of this path"),
    ] {
        send(&server, &quota(&token).hawk(options)).await.is(401, "0");
        let line = server.last_refusal();
        assert!(line.contains(reason), "{reason}: {line}");
    }
}

#[tokio::test]
async fn an_expired_token_may_ask_for_info_collections_and_nothing_else() {
    let server = TestServer::start();
    let expired = builder().expired().build();
    let ask = |method: &str, target: &str| Request::new(method, expired.path(target)).auth(&expired);
    for request in
        [ask("GET", "/info/collections"), ask("HEAD", "/info/collections"), ask("GET", "/info/collections?newer=0")]
    {
        send(&server, &request).await.has(200);
    }
    for (method, target) in [
        ("GET", "/info/collection_counts"),
        ("GET", "/info/collection_usage"),
        ("GET", "/info/quota"),
        ("GET", "/info/configuration"),
        ("GET", "/storage/info/collections"),
        ("GET", "/storage/x?/info/collections"),
        ("GET", "/storage/info"),
        ("PUT", "/storage/info/collections"),
        ("POST", "/storage/info"),
        ("DELETE", "/storage/info/collections"),
        ("DELETE", "/storage"),
        ("DELETE", ""),
    ] {
        send(&server, &ask(method, target)).await.is(401, "0");
    }
    // All the rest has to be right, there too.
    let other_user = builder().claimed_uid(2).expired().build();
    let wrong_mac = HawkOptions { mac: Some("bWFj".into()), ..Default::default() };
    send(&server, &Request::get("/1.5/1/info/collections").auth(&other_user)).await.is(401, "0");
    send(&server, &ask("GET", "/info/collections").hawk(wrong_mac)).await.is(401, "0");
}

#[tokio::test]
async fn a_token_is_good_until_it_expires() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let expires = u64::try_from(clock.now_ms() / 1000).unwrap() + 100;
    let token = builder().expires(expires).build();
    clock.set(i64::try_from(expires).unwrap() * 1000 - 1);
    send(&server, &quota(&token)).await.has(200);
    clock.advance(2);
    send(&server, &quota(&token)).await.is(401, "0");
    let line = server.last_refusal();
    assert!(line.starts_with("INFO") && line.contains("has expired"), "{line}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_any_time_is_accepted() {
    let server = TestServer::start();
    let token = builder().build();
    let now = i64::try_from(now().as_secs()).unwrap();
    for ts in [now - 12 * 3600, now + 12 * 3600, now - 86_400 * 365, 0, 1, 32_503_680_000] {
        let options = HawkOptions { ts: Some(ts), ..Default::default() };
        send(&server, &quota(&token).hawk(options)).await.has(200);
    }
}

#[tokio::test]
async fn a_previous_master_secret_still_verifies() {
    let environment = [("SYNC_PREVIOUS_MASTER_SECRETS", r#"["oldest","the old one, with a comma"]"#)];
    let server = TestServer::start_with(&environment);
    for secret in [SECRET, "oldest", "the old one, with a comma"] {
        send(&server, &quota(&Token::builder(secret, 1).build())).await.has(200);
    }
    send(&server, &quota(&Token::builder("older still", 1).build())).await.is(401, "0");
}

fn hash(hash: PayloadHash) -> HawkOptions {
    HawkOptions { hash, ..Default::default() }
}

#[tokio::test]
async fn a_payload_hash_is_verified_against_the_body() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let right = || hash(PayloadHash::OfBody);
    let wrong = || hash(PayloadHash::Text(testclient::payload_hash("application/json", b"another body")));
    let put = |options: HawkOptions| move |request: Request| json(request, r#"{"payload":"p"}"#).hawk(options);
    let post = |options: HawkOptions| move |request: Request| json(request, r#"[{"id":"b"}]"#).hawk(options);
    client.send("PUT", "/storage/x/a", put(wrong())).await.is(401, "0");
    client.send("POST", "/storage/x", post(wrong())).await.is(401, "0");
    let newlines = |request: Request| {
        request.header("Content-Type", "Text/Plain; charset=utf-8").body("[]").hawk(hash(PayloadHash::OfBody))
    };
    client.get("/info/collections").await.is(200, "{}");
    client.send("PUT", "/storage/x/a", put(right())).await.has(200);
    client.send("POST", "/storage/x", post(right())).await.has(200);
    client.send("POST", "/storage/x", newlines).await.has(200);
    client.send("POST", "/storage/x", |request| post(right())(request).chunked()).await.has(200);

    // Where there is no body, it is the hash of an empty one.
    for method in ["GET", "DELETE"] {
        client.send(method, "/storage/x/a", |request| request.hawk(wrong())).await.is(401, "0");
        client.send(method, "/storage/x/a", |request| request.hawk(right())).await.has(200);
    }
    client.send("GET", "/storage/x", |request| request.hawk(hash(PayloadHash::Text("?".into())))).await.is(401, "0");
}

#[tokio::test]
async fn application_data_is_covered_by_the_mac() {
    let server = TestServer::start();
    let token = builder().build();
    let options = HawkOptions { ext: Some("some-data".into()), ..Default::default() };
    send(&server, &quota(&token).hawk(options)).await.has(200);
}

#[tokio::test]
async fn a_request_is_refused_before_its_body_is_read() {
    let server = TestServer::start();
    let token = builder().build();
    for (method, target) in [("PUT", "/1.5/1/storage/x/a"), ("POST", "/1.5/1/storage/x")] {
        let mut connection = server.connect().await;
        connection.timeout = Duration::from_secs(10);
        let request = Request::new(method, target).header("Content-Length", 1_000_000);
        let unsigned = request.clone().body("[");
        connection.send(&unsigned).await.unwrap().is(401, "0");
        let mut connection = server.connect().await;
        connection.timeout = Duration::from_secs(10);
        let wrong = request.auth(&token).hawk(HawkOptions { mac: Some("bWFj".into()), ..Default::default() });
        connection.send(&wrong).await.unwrap().is(401, "0");
    }
}

#[tokio::test]
async fn a_path_of_somebody_else_tells_nothing() {
    let server = TestServer::start();
    server.user(2).await.put("/storage/x/a", "{}").await.has(200);
    let token = builder().build();
    for target in ["/1.5/2/storage/x/a", "/1.5/2/storage/x/b", "/1.5/2/storage/b%20d", "/1.5/2/info/collections"] {
        send(&server, &Request::get(target).auth(&token)).await.is(401, "0");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1) })]

    /// One case with many headers: a server for each would take too long.
    #[test]
    fn no_authorization_header_makes_the_server_fail(values in proptest::collection::vec(
        "(?i:hawk) ?((id|ts|nonce|mac|hash|ext|dlg|app|x) ?= ?\"?[ -!#-~]{0,40}\"?[, ]{0,3}){0,6}|[ -~]{0,60}|Hawk [\u{80}-\u{fff}]{0,20}",
        300..301,
    )) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let server = TestServer::start();
            let mut connection = server.connect().await;
            for value in values {
                let request = Request::get("/1.5/1/info/collections").header("Authorization", value.trim());
                let answer = connection.send(&request).await.unwrap();
                assert_eq!((answer.status, answer.text()), (401, "0"), "{value:?}");
            }
        });
    }
}
