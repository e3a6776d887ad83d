//! Request ids, and what is logged of requests.

use testclient::{Request, Response, Token};

use crate::server::{SECRET, TestServer};
use crate::tokenserver::Tokenserver;

fn id(answer: &Response) -> String {
    answer.header("X-Request-ID").expect("every answer has an id").to_owned()
}

#[tokio::test]
async fn every_answer_has_an_id_that_its_line_in_the_log_has_too() {
    let tokens = Tokenserver::start();
    let mut ids = std::collections::BTreeSet::new();
    for request in [
        Request::get("/__heartbeat__"),
        Request::get("/1.5/1/info/collections"),
        Request::get("/1.0/sync/1.5"),
        Request::get("/no/such/path"),
        Request::new("OPTIONS", "/1.0/sync/1.5")
            .header("Origin", "https://example.com")
            .header("Access-Control-Request-Method", "GET"),
    ] {
        let answer = tokens.send(&request).await;
        assert!(ids.insert(id(&answer)), "an id came twice");
        if answer.status >= 400 {
            let line = tokens.server.last_refusal();
            assert!(line.contains(&format!("request_id: {}", id(&answer))), "{line}");
        }
    }
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn the_id_of_a_trusted_proxy_is_taken_over() {
    let tokens = Tokenserver::start();
    let named = |name: &str| Request::get("/1.5/1/info/collections").header("X-Request-ID", name);
    assert_eq!(id(&tokens.send(&named("proxy-1.2_3")).await), "proxy-1.2_3");
    assert!(tokens.server.last_refusal().contains("request_id: proxy-1.2_3"));
    assert_ne!(id(&tokens.send(&named("two words")).await), "two words");
    let strangers = Tokenserver::start_with(&[("SYNC_TRUSTED_PROXIES", "192.0.2.1")]);
    assert_ne!(id(&strangers.send(&named("proxy-1.2_3")).await), "proxy-1.2_3");
    assert!(!strangers.server.last_refusal().contains("proxy-1.2_3"));
}

#[tokio::test]
async fn debug_has_a_line_for_every_request_and_none_for_health_checks() {
    for (level, lines) in [("debug", 1), ("info", 0)] {
        let server = TestServer::start_with(&[("SYNC_LOG_LEVEL", level)]);
        assert_eq!(server.user(7).await.get("/info/collections").await.status, 200);
        for path in ["/__heartbeat__", "/__lbheartbeat__", "/__version__"] {
            server.connect().await.send(&Request::get(path)).await.unwrap();
            server.connect().await.send(&Request::new("POST", path)).await.unwrap();
        }
        let log = server.log_lines();
        let answered: Vec<_> = log.iter().filter(|line| line.contains("answered")).collect();
        assert_eq!(answered.len(), lines, "{log:#?}");
        assert!(
            answered.iter().all(|line| line.contains("path: /1.5/7/info/collections") && line.contains("duration_ms"))
        );
        assert!(log.iter().all(|line| !line.contains("__")), "{log:#?}");
    }
}

#[tokio::test]
async fn trace_tells_the_headers_without_what_nobody_may_see() {
    let server = TestServer::start_with(&[("SYNC_LOG_LEVEL", "trace")]);
    let token = Token::builder(SECRET, 7).build();
    let request = Request::get("/1.5/7/info/collections").auth(&token);
    let request = request.header("User-Agent", "Firefox/153").header("X-KeyID", "1-s3cret").header("Cookie", "s3cret");
    assert_eq!(server.connect().await.send(&request).await.unwrap().status, 200);
    let log = server.log_lines();
    let line = log.iter().find(|line| line.contains("request headers")).expect("a line of headers");
    assert!(line.contains("authorization: Hawk (") && line.contains("user-agent: Firefox/153"), "{line}");
    for secret in [token.id.as_str(), token.key.as_str(), "s3cret", "mac="] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{secret}: {log:#?}");
    }
    let quiet = TestServer::start();
    quiet.connect().await.send(&request).await.unwrap();
    assert!(quiet.log_lines().iter().all(|line| !line.contains("request headers")));
}

#[tokio::test]
async fn the_page_that_fails_on_purpose_is_there_when_it_is_asked_for() {
    let server = TestServer::start_with(&[("SYNC_TEST_ERROR", "true")]);
    let answer = server.connect().await.send(&Request::get("/__error__")).await.unwrap();
    assert_eq!((answer.status, answer.text()), (500, "0"));
    assert!(server.last_refusal().contains("a test error, asked for at /__error__"));
}
