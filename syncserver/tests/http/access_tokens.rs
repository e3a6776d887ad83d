//! How access tokens are verified: by the keys of the accounts server, and where there are none by asking it (section 9).

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testclient::{Jwt, Key, Reply, Response, SYNC_SCOPE};

use crate::tokenserver::{ALICE, BOB, Device, Tokenserver, assert_error};

/// A little more than the time that has to pass between two fetches of the keys.
const SHORT_WHILE: Duration = Duration::from_millis(5_200);

impl Tokenserver {
    async fn try_token(&self, token: &str) -> Response {
        self.send(&Device::of(ALICE).request_with("/1.0/sync/1.5", token)).await
    }

    async fn assert_invalid(&self, token: &str) {
        assert_error(&self.try_token(token).await, 401, "invalid-credentials", "body", "", "Unauthorized");
    }
}

fn access() -> Jwt {
    Device::of(ALICE).jwt()
}

fn sign(jwt: &Jwt) -> String {
    jwt.sign(&Key::first())
}

/// What `/v1/verify` says of a good token.
fn verified(user: &str) -> Value {
    json!({ "user": user, "client_id": "5882386c6d801776", "scope": [SYNC_SCOPE], "generation": 1_000 })
}

#[tokio::test]
async fn the_keys_are_fetched_once_and_not_for_each_request() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    for _ in 0..20 {
        tokens.let_in(&Device::of(ALICE)).await;
    }
    assert_eq!((tokens.fxa.jwks_requests(), tokens.fxa.verify_requests()), (1, 0));
}

#[tokio::test]
async fn what_is_wrong_with_a_jwt_is_found_out_here_and_the_accounts_server_is_not_asked() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    tokens.fxa.set_verify(Reply::json(&verified(ALICE)));
    let now = testclient::now().as_secs();
    assert_eq!(tokens.try_token(&sign(&access())).await.status, 200);
    for bad in [
        access().sign_wrongly(&Key::first()),
        access().sign(&Key::second().with_kid("test-key-1")),
        access().sign(&Key::second()),
        sign(&access().header("alg", "RS512")),
        sign(&access().header("alg", "HS256")),
        sign(&access().header("alg", "none")),
        sign(&access().header("alg", Value::Null)),
        sign(&access().header("typ", Value::Null)),
        sign(&access().header("typ", "JWT")),
        sign(&access().header("typ", "secevent+jwt")),
        sign(&access().claim("exp", now - 1)),
        sign(&access().without_claim("exp")),
        sign(&access().claim("exp", "tomorrow")),
        sign(&access().claim("scope", "profile")),
        sign(&access().claim("scope", "")),
        sign(&access().claim("scope", format!("{SYNC_SCOPE}/more"))),
        sign(&access().claim("scope", "https://identity.mozilla.com/apps")),
        sign(&access().without_claim("scope")),
        sign(&access().without_claim("sub")),
        sign(&access().claim("sub", "")),
    ] {
        tokens.assert_invalid(&bad).await;
    }
    assert_eq!((tokens.fxa.jwks_requests(), tokens.fxa.verify_requests()), (1, 0));
    assert_eq!(tokens.rows(ALICE).len(), 1);
}

#[tokio::test]
async fn a_token_that_says_no_signature_is_needed_is_refused() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    let good = sign(&access().header("alg", "none"));
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    tokens.assert_invalid(&format!("{unsigned}.")).await;
    // The public key as the secret of a MAC, which is the oldest trick.
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"test-key-1"}"#);
    let claims = good.split('.').nth(1).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, Key::first().n().as_bytes());
    let mac = ring::hmac::sign(&key, format!("{head}.{claims}").as_bytes());
    tokens.assert_invalid(&format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac))).await;
    assert_eq!(tokens.fxa.verify_requests(), 0);
}

#[tokio::test]
async fn what_a_good_token_may_look_like() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    for good in [
        access(),
        access().header("typ", "application/at+jwt"),
        access().header("typ", "at+JWT"),
        access().header("kid", Value::Null),
        access().claim("scope", format!("profile {SYNC_SCOPE} openid")),
        access().claim("scope", format!("profile,{SYNC_SCOPE},openid")),
        access().claim("scope", format!("profile, {SYNC_SCOPE}")),
        access().claim("aud", json!(["anybody", "else"])),
        access().without_claim("aud"),
        access().without_claim("iss"),
        access().claim("unknown", json!({ "of": "the future" })),
    ] {
        let answer = tokens.try_token(&sign(&good)).await;
        assert_eq!(answer.status, 200, "{good:?}: {answer:?}");
    }
    assert_eq!(tokens.fxa.verify_requests(), 0);
}

#[tokio::test]
async fn a_generation_may_be_absent_or_null() {
    let tokens = Tokenserver::start();
    for (account, jwt) in [
        ("absent", Jwt::access("absent", 0).without_claim("fxa-generation")),
        ("null", Jwt::access("null", 0).claim("fxa-generation", Value::Null)),
        ("zero", Jwt::access("zero", 0)),
    ] {
        assert_eq!(tokens.try_token(&sign(&jwt)).await.status, 200, "{account}");
        assert_eq!(tokens.rows(account)[0].generation, 0, "{account}");
    }
    assert_eq!(tokens.try_token(&sign(&Jwt::access("set", 1_234))).await.status, 200);
    assert_eq!(tokens.rows("set")[0].generation, 1_234);
}

/// Three stories at once, since each has to wait for [`SHORT_WHILE`].
#[tokio::test]
async fn keys_are_fetched_again_when_a_token_names_an_unknown_one_and_not_in_a_flood() {
    tokio::join!(
        a_new_key_of_the_accounts_server_is_fetched_once_when_a_token_names_it(),
        a_token_with_an_unknown_key_is_refused_after_one_more_look(),
        keys_that_cannot_be_fetched_any_more_stay_known(),
    );
}

async fn a_new_key_of_the_accounts_server_is_fetched_once_when_a_token_names_it() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    tokens.let_in(&Device::of(ALICE)).await;
    tokens.fxa.set_jwks(Reply::jwks(&[&Key::first(), &Key::second()]));
    tokio::time::sleep(SHORT_WHILE).await;
    assert_eq!(tokens.try_token(&access().sign(&Key::second())).await.status, 200);
    assert_eq!(tokens.fxa.jwks_requests(), 2);
    // A flood of tokens with made-up keys fetches nothing, and shuts nobody out.
    let mut flood = tokio::task::JoinSet::new();
    for n in 0..30 {
        let mut connection = tokens.server.connect().await;
        let token = access().sign(&Key::second().with_kid(&format!("made-up-{n}")));
        let request = Device::of(ALICE).request_with("/1.0/sync/1.5", &token);
        flood.spawn(async move { connection.send(&request).await.unwrap().status });
    }
    assert!(flood.join_all().await.iter().all(|status| *status == 401));
    tokens.let_in(&Device::of(ALICE)).await;
    assert_eq!((tokens.fxa.jwks_requests(), tokens.fxa.verify_requests()), (2, 0));
}

async fn a_token_with_an_unknown_key_is_refused_after_one_more_look() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    tokens.let_in(&Device::of(ALICE)).await;
    tokio::time::sleep(SHORT_WHILE).await;
    // Several at once look once.
    let mut devices = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut connection = tokens.server.connect().await;
        let request = Device::of(ALICE).request_with("/1.0/sync/1.5", &access().sign(&Key::second()));
        devices.spawn(async move { connection.send(&request).await.unwrap().status });
    }
    assert_eq!(devices.join_all().await, [401; 5]);
    assert_eq!((tokens.fxa.jwks_requests(), tokens.fxa.verify_requests()), (2, 0));
}

async fn keys_that_cannot_be_fetched_any_more_stay_known() {
    let stay = async |no_keys: Reply| {
        let tokens = Tokenserver::start();
        tokens.wait_for_keys().await;
        tokens.let_in(&Device::of(ALICE)).await;
        tokens.fxa.set_jwks(no_keys);
        tokio::time::sleep(SHORT_WHILE).await;
        tokens.assert_invalid(&access().sign(&Key::second())).await;
        assert_eq!(tokens.fxa.jwks_requests(), 2);
        tokens.let_in(&Device::of(ALICE)).await;
        assert_eq!(tokens.fxa.verify_requests(), 0);
    };
    tokio::join!(
        stay(Reply::status(500, "{}")),
        // As from a proxy that has a page for everything.
        stay(Reply::status(200, "<html>")),
        stay(Reply::json(&json!({ "keys": "later" }))),
    );
}

#[tokio::test]
async fn entries_that_are_no_rsa_keys_are_skipped() {
    let tokens = Tokenserver::start();
    tokens.fxa.set_jwks(Reply::json(&json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "test-key-1", "x": "AA", "y": "AA" },
        { "kty": "RSA", "kid": "no numbers" },
        { "kty": "RSA", "kid": "bad numbers", "n": "%%%", "e": 7 },
        { "kty": "oct", "kid": "test-key-1", "k": "AA" },
        "nonsense",
        null,
        Key::first().jwk(),
    ] })));
    let tokens = tokens.restart_with(&[]);
    tokens.let_in(&Device::of(ALICE)).await;
    assert_eq!(tokens.fxa.verify_requests(), 0);
}

#[tokio::test]
async fn without_a_usable_key_the_accounts_server_is_asked() {
    let unreachable = Reply::hang_up();
    let broken = Reply::status(500, "oops");
    let no_json = Reply::status(200, "<html>");
    let empty = Reply::json(&json!({ "keys": [] }));
    let no_rsa =
        Reply::json(&json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "test-key-1", "x": "", "y": "" }] }));
    for jwks in [unreachable, broken, no_json, empty, no_rsa] {
        let tokens = Tokenserver::start();
        tokens.fxa.set_jwks(jwks.clone());
        tokens.fxa.set_verify(Reply::json(&verified(ALICE)));
        let tokens = tokens.restart_with(&[]);
        let token = sign(&access());
        let asked = tokens.try_token(&token).await;
        assert_eq!(asked.status, 200, "{jwks:?}: {asked:?} {:#?}", tokens.server.log_lines());
        assert_eq!(tokens.fxa.verify_bodies(), [json!({ "token": token })], "{jwks:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_no_jwt_is_sent_to_the_accounts_server() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    tokens.fxa.set_verify(Reply::json(&verified(BOB)));
    let opaque = "3f9a5c0d".repeat(8);
    assert_eq!(tokens.try_token(&opaque).await.status, 200);
    assert_eq!(tokens.fxa.verify_bodies(), [json!({ "token": opaque })]);
    assert_eq!(tokens.rows(BOB)[0].generation, 1_000);
    assert!(tokens.rows(ALICE).is_empty());
}

#[tokio::test]
async fn the_accounts_servers_word_is_read_with_care() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    for good in [
        json!({ "user": ALICE, "scope": [SYNC_SCOPE] }),
        json!({ "user": ALICE, "scope": ["profile", SYNC_SCOPE], "generation": null }),
        json!({ "user": ALICE, "scope": [SYNC_SCOPE], "generation": 2_000, "profile_changed_at": 1, "new": {} }),
    ] {
        tokens.fxa.set_verify(Reply::json(&good));
        assert_eq!(tokens.try_token("opaque").await.status, 200, "{good}");
    }
    assert_eq!(tokens.rows(ALICE)[0].generation, 2_000);
    for bad in [
        json!({ "user": ALICE, "scope": ["profile"] }),
        json!({ "user": ALICE, "scope": [] }),
        json!({ "user": ALICE }),
        json!({ "user": "", "scope": [SYNC_SCOPE] }),
    ] {
        tokens.fxa.set_verify(Reply::json(&bad));
        tokens.assert_invalid("opaque").await;
    }
    for status in [400, 401, 403, 404, 429, 500, 503] {
        tokens.fxa.set_verify(Reply::status(status, verified(ALICE).to_string()));
        tokens.assert_invalid("opaque").await;
    }
}

#[tokio::test]
async fn an_accounts_server_that_does_not_answer_is_503_soon() {
    let timeout = ("SYNC_TOKENSERVER__FXA_OAUTH_REQUEST_TIMEOUT", "1");
    let tokens = Tokenserver::start_with(&[timeout]);
    tokens.wait_for_keys().await;
    tokens.fxa.set_verify(Reply::json(&verified(ALICE)).after(Duration::from_secs(4)));
    let start = Instant::now();
    let answer = tokens.try_token("opaque").await;
    assert_error(&answer, 503, "error", "body", "", "Resource is not available");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // Those whose tokens can be verified here do not notice.
    tokens.let_in(&Device::of(ALICE)).await;
    tokens.fxa.set_verify(Reply::hang_up());
    let answer = tokens.try_token("opaque").await;
    assert_error(&answer, 503, "error", "body", "", "Resource is not available");
    // Nobody there at all.
    let tokens = tokens.restart_with(&[timeout, ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", "http://127.0.0.1:9")]);
    for token in ["opaque", &sign(&access())] {
        let answer = tokens.try_token(token).await;
        assert_error(&answer, 503, "error", "body", "", "Resource is not available");
    }
}

#[tokio::test]
async fn the_url_of_the_accounts_server_may_end_as_it_likes() {
    let tokens = Tokenserver::start();
    let url = tokens.fxa.url();
    let mut tokens = tokens;
    for (asked, end) in ["/", "/v1", "/v1/"].into_iter().enumerate() {
        let before = tokens.fxa.jwks_requests();
        let url = format!("{url}{end}");
        tokens = tokens.restart_with(&[("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &url)]);
        tokens.let_in(&Device::of(ALICE)).await;
        assert!(tokens.fxa.jwks_requests() > before, "{end}");
        assert_eq!(tokens.try_token("opaque").await.status, 401);
        assert_eq!(tokens.fxa.verify_requests(), asked + 1, "{end}");
    }
}

#[tokio::test]
async fn configured_keys_are_used_and_none_is_fetched() {
    let (first, second) = (Key::first(), Key::second());
    let (n1, e1, n2, e2) = (first.n(), first.e(), second.n(), second.e());
    let primary = [
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__KTY", "RSA"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__ALG", "RS256"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__KID", "test-key-1"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__FXA_CREATED_AT", "1700000000"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__USE", "sig"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__N", n1.as_str()),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__E", e1.as_str()),
    ];
    let secondary = [
        ("SYNC_TOKENSERVER__FXA_OAUTH_SECONDARY_JWK__KID", "test-key-2"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_SECONDARY_JWK__N", n2.as_str()),
        ("SYNC_TOKENSERVER__FXA_OAUTH_SECONDARY_JWK__E", e2.as_str()),
    ];
    let tokens = Tokenserver::start_with(&primary);
    assert_eq!(tokens.try_token(&access().sign(&first)).await.status, 200);
    tokens.assert_invalid(&access().sign(&second)).await;
    let tokens = tokens.restart_with(&[&primary[..], &secondary].concat());
    assert_eq!(tokens.try_token(&access().sign(&first)).await.status, 200);
    assert_eq!(tokens.try_token(&access().sign(&second)).await.status, 200);
    tokens.assert_invalid(&access().sign(&second.with_kid("unknown"))).await;
    assert_eq!((tokens.fxa.jwks_requests(), tokens.fxa.verify_requests()), (0, 0));
}

#[tokio::test]
async fn the_accounts_server_is_asked_about_a_few_tokens_at_once() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    tokens.fxa.set_verify(Reply::json(&verified(ALICE)).after(Duration::from_secs(4)));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut connection = tokens.server.connect().await;
        let request = Device::of(ALICE).request_with("/1.0/sync/1.5", "opaque");
        flood.spawn(async move {
            let answer = connection.send(&request).await.unwrap();
            // Here, since its time is compared with now.
            if answer.status != 200 {
                assert_error(&answer, 503, "error", "body", "", "Resource is not available");
            }
            answer.status == 200
        });
    }
    let let_in = flood.join_all().await.into_iter().filter(|let_in| *let_in).count();
    assert_eq!((let_in, tokens.fxa.verify_requests()), (16, 16));
    // Their places are free again.
    tokens.fxa.set_verify(Reply::json(&verified(ALICE)));
    assert_eq!(tokens.try_token("opaque").await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_too_long_is_refused_without_asking() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    tokens.fxa.set_verify(Reply::json(&verified(ALICE)));
    tokens.assert_invalid(&"x".repeat(8193)).await;
    assert_eq!(tokens.fxa.verify_requests(), 0);
    assert_eq!(tokens.try_token(&"x".repeat(8192)).await.status, 200);
}
