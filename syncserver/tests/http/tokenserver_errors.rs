//! The table of errors of section 8, row by row, as it stands on the wire. The rules of sign-ins are in `sign_in`, those
//! of nodes in `nodes`, and the accounts server's failures in `access_tokens`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::connection::SimpleConnection;
use serde_json::json;
use testclient::{Jwt, Key, Reply, Request, Response};

use crate::store::is_elsewhere;
use crate::tokenserver::{ALICE, Device, Tokenserver, assert_common_headers, assert_error};

fn good() -> Request {
    Device::of(ALICE).request("/1.0/sync/1.5")
}

/// Checks an error with location `body` and an empty name, as most are.
#[track_caller]
fn assert_refused(answer: &Response, code: u16, status: &str, description: &str) {
    assert_error(answer, code, status, "body", "", description);
}

#[tokio::test]
async fn no_authorization_is_told_as_such() {
    let tokens = Tokenserver::start();
    let none = good().without_header("Authorization");
    assert_refused(&tokens.send(&none).await, 401, "error", "Unauthorized");
    for without_space in ["Bearer", "bearer", "token", ""] {
        let answer = tokens.send(&good().set_header("Authorization", without_space)).await;
        assert_refused(&answer, 401, "error", "Unauthorized");
    }
}

#[tokio::test]
async fn another_scheme_is_unsupported() {
    let tokens = Tokenserver::start();
    for value in ["Basic eDp5", "BrowserID abc", "Hawk id=\"x\"", "Bearer: abc", "Bear abc"] {
        let answer = tokens.send(&good().set_header("Authorization", value)).await;
        assert_refused(&answer, 401, "error", "Unsupported");
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let tokens = Tokenserver::start();
    let token = Device::of(ALICE).jwt().sign(&Key::first());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        for address in ["/1.0/sync/1.5", "/"] {
            let request =
                Device::of(ALICE).request(address).set_header("Authorization", format_args!("{scheme} {token}"));
            assert_eq!(tokens.send(&request).await.status, 200, "{scheme} at {address}");
        }
    }
}

#[tokio::test]
async fn a_bad_token_is_invalid_credentials_whatever_characters_it_has() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    let good_token = Device::of(ALICE).jwt().sign(&Key::first());
    let wrong = Device::of(ALICE).jwt().sign_wrongly(&Key::first());
    for token in ["x", "a b c", "tökén", "{\"a\": 1}", ".", "..", "a.b.c", &wrong, &format!("{good_token} ")[1..]] {
        let answer = tokens.send(&good().set_header("Authorization", format_args!("Bearer {token}"))).await;
        assert_refused(&answer, 401, "invalid-credentials", "Unauthorized");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_a_bad_token() {
    let tokens = Tokenserver::start();
    let mut connection = tokens.server.connect().await;
    let head = b"GET /1.0/sync/1.5 HTTP/1.1\r\nHost: x\r\nX-KeyID: 1-qqqq\r\nAuthorization: Bearer \xff\xfe\r\n\r\n";
    connection.send_raw(head).await.unwrap();
    let answer = connection.read_response().await.unwrap();
    assert_refused(&answer, 401, "invalid-credentials", "Unauthorized");
}

#[tokio::test]
async fn no_key_id_is_told_as_such() {
    let tokens = Tokenserver::start();
    let answer = tokens.send(&good().without_header("X-KeyID")).await;
    assert_error(&answer, 401, "invalid-key-id", "header", "", "Missing X-KeyID header");
}

#[tokio::test]
async fn a_key_id_of_another_form_is_invalid_credentials() {
    let tokens = Tokenserver::start();
    for key_id in [
        "",
        "1000",
        "-dGhlIGZpcnN0IGtleS4uLg",
        "x-dGhlIGZpcnN0IGtleS4uLg",
        "1.5-dGhlIGZpcnN0IGtleS4uLg",
        "1e3-dGhlIGZpcnN0IGtleS4uLg",
        "0x10-dGhlIGZpcnN0IGtleS4uLg",
        "99999999999999999999-dGhlIGZpcnN0IGtleS4uLg",
        "1000-not base64",
        "1000-a+b/",
        "1000-q",
        // 17 bytes.
        "1000-AAECAwQFBgcICQoLDA0ODxA",
    ] {
        let answer = tokens.send(&good().set_header("X-KeyID", key_id)).await;
        assert_eq!(answer.status, 401, "{key_id:?}: {answer:?}");
        assert_refused(&answer, 401, "invalid-credentials", "Unauthorized");
    }
}

#[tokio::test]
async fn a_key_id_is_split_at_its_first_hyphen() {
    let tokens = Tokenserver::start();
    // The client state begins with a hyphen of its own.
    let device = Device::of(ALICE).key(b"\xfb\xff\xbf");
    assert_eq!(device.key_id(), "1000--_-_");
    tokens.let_in(&device).await;
    assert_eq!(tokens.rows(ALICE)[0].client_state, "fbffbf");
}

#[tokio::test]
async fn a_client_state_has_to_be_well_formed() {
    let tokens = Tokenserver::start();
    let too_long = "a".repeat(33);
    for state in ["", "ab cd", "ab/cd", "ab+cd", "abcd=", "äöü", too_long.as_str()] {
        let answer = tokens.send(&good().header("X-Client-State", state)).await;
        assert_error(&answer, 400, "error", "header", "X-Client-State", "Invalid client state value");
    }
}

#[tokio::test]
async fn a_client_state_has_to_be_that_of_the_key_id() {
    let tokens = Tokenserver::start();
    // "the first key..." in hex.
    let same = good().header("X-Client-State", "746865206669727374206b65792e2e2e");
    assert_eq!(tokens.send(&same).await.status, 200);
    for other in ["746865206669727374206b65792e2e2f", "74", "a.b_c-d", "dGhlIGZpcnN0IGtleS4uLg"] {
        let answer = tokens.send(&good().header("X-Client-State", other)).await;
        assert_refused(&answer, 401, "invalid-client-state", "Unauthorized");
    }
}

#[tokio::test]
async fn another_application_or_version_is_not_found() {
    let tokens = Tokenserver::start();
    for base in ["", "/token", "/tokenserver"] {
        for slash in ["", "/"] {
            for (path, name, description) in [
                ("sync/1.1", "1.1", "Unsupported application version"),
                ("sync/2", "2", "Unsupported application version"),
                ("sync/1.5.1", "1.5.1", "Unsupported application version"),
                ("queuey/1.5", "application", "Unsupported application"),
                ("queuey/1.0", "application", "Unsupported application"),
                ("Sync/1.5", "application", "Unsupported application"),
            ] {
                let target = format!("{base}/1.0/{path}{slash}");
                let answer = tokens.send(&Device::of(ALICE).request(&target)).await;
                assert_error(&answer, 404, "error", "url", name, description);
            }
        }
    }
    // Said before anything else is asked for.
    let answer = tokens.send(&Request::get("/1.0/sync/1.1")).await;
    assert_error(&answer, 404, "error", "url", "1.1", "Unsupported application version");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_unavailable_and_a_client_comes_back() {
    if is_elsewhere("tokenserver_errors::a_database_that_does_not_answer_is_unavailable_and_a_client_comes_back") {
        return;
    }
    let tokens = Tokenserver::start();
    tokens.let_in(&Device::of(ALICE)).await;
    let mut other_program = tokens.store.open_file();
    other_program.batch_execute("BEGIN IMMEDIATE").unwrap();
    let waits = Device::of("a new user");
    let answer = tokens.sign_in(&waits).await;
    assert_error(&answer, 503, "error", "body", "", "Resource is not available");
    let failure = tokens.server.log_lines().into_iter().find(|line| line.starts_with("ERRO")).unwrap_or_default();
    assert!(failure.contains("database is locked"), "{failure}");
    // Who is known needs no write.
    tokens.let_in(&Device::of(ALICE)).await;
    other_program.batch_execute("ROLLBACK").unwrap();
    tokens.let_in(&waits).await;
}

#[tokio::test]
async fn what_nobody_foresaw_is_an_internal_error_that_tells_the_client_nothing() {
    let tokens = Tokenserver::start();
    tokens.sql("DELETE FROM services");
    let answer = tokens.sign_in(&Device::of(ALICE)).await;
    assert_error(&answer, 500, "internal-error", "internal", "", "Server error");
    assert!(tokens.server.log_lines().iter().any(|line| line.contains("the table services has lost its row")));
}

#[tokio::test]
async fn another_method_is_not_allowed() {
    let tokens = Tokenserver::start();
    for address in ["/1.0/sync/1.5", "/token", "/tokenserver/1.0/sync/1.5/", "/"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = tokens.send(&Request::new(method, address).header("Authorization", "Bearer x")).await;
            assert_error(&answer, 405, "error", "body", "", "Method Not Allowed");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_a_line_of_the_log_that_says_why_and_holds_no_token() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    let token = Device::of(ALICE).jwt().claim("exp", 1_000).sign(&Key::first());
    let answer = tokens.send(&Device::of(ALICE).request_with("/1.0/sync/1.5", &token)).await;
    assert_refused(&answer, 401, "invalid-credentials", "Unauthorized");
    tokens.send(&good().without_header("X-KeyID")).await;
    let lines = tokens.server.log_lines();
    let why = lines.iter().find(|line| line.contains("request refused") && line.contains("has expired"));
    assert!(why.is_some_and(|line| line.starts_with("INFO")), "that is normal: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("the X-KeyID header is missing")), "{lines:#?}");
    let parts = token.split('.').filter(|part| part.len() > 20);
    for secret in parts.chain([Device::of(ALICE).key_id().as_str()]) {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{secret} is in {lines:#?}");
    }
}

#[tokio::test]
async fn an_error_can_be_read_by_web_pages_too() {
    let tokens = Tokenserver::start();
    let request = good().without_header("X-KeyID").header("Origin", "https://example.com");
    let answer = tokens.send(&request).await;
    assert_common_headers(&answer);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://example.com"));
}

#[tokio::test]
async fn no_text_of_a_token_gets_into_the_log() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    let device = Device::of(ALICE);
    let marker = "MARKER5e2a";
    let sign = |jwt: Jwt| jwt.sign(&Key::first());
    let odd = |claim: &str| sign(device.jwt().claim(claim, marker));
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{marker}","typ":"at+jwt"}}"#));
    for token in [
        odd("exp"),
        odd("fxa-generation"),
        odd("scope"),
        sign(device.jwt().claim("sub", json!([marker]))),
        sign(device.jwt().header("typ", marker)),
        sign(device.jwt().header("alg", marker)),
        sign(device.jwt().header("kid", marker)),
        format!("{header}.{marker}.{marker}"),
        marker.to_owned(),
    ] {
        let answer = tokens.send(&device.request_with("/1.0/sync/1.5", &token)).await;
        assert_refused(&answer, 401, "invalid-credentials", "Unauthorized");
        let line = tokens.server.last_refusal();
        assert!(line.starts_with("WARN"), "{line}");
    }
    // A token without its scheme stands where the scheme would.
    let answer = tokens.send(&good().set_header("Authorization", format_args!("{marker} x"))).await;
    assert_refused(&answer, 401, "error", "Unsupported");
    tokens.fxa.set_verify(Reply::json(&json!({ "user": [marker], "scope": marker, "generation": marker })));
    let answer = tokens.send(&device.request_with("/1.0/sync/1.5", "opaque")).await;
    assert_refused(&answer, 503, "error", "Resource is not available");
    let lines = tokens.server.log_lines();
    assert!(lines.iter().all(|line| !line.contains(marker)), "{lines:#?}");
}
