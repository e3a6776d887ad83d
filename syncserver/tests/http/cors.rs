//! Web pages that talk to the server (section 4).

use testclient::{Request, Response, Token};

use crate::check::Check;
use crate::server::{SECRET, TestServer, json};

const ORIGIN: &str = "https://app.example.com";

const PATHS: [&str; 13] = [
    "/1.5/1/info/collections",
    "/1.5/1/info/quota",
    "/1.5/1/info/configuration",
    "/1.5/1/storage",
    "/1.5/1/storage/x",
    "/1.5/1/storage/x/a",
    "/1.5/1",
    "/1.0/sync/1.5",
    "/token/1.0/sync/1.5",
    "/__heartbeat__",
    "/__lbheartbeat__",
    "/__version__",
    "/api-doc/openapi.json",
];

async fn send(server: &TestServer, request: &Request) -> Response {
    server.connect().await.send(request).await.unwrap()
}

fn preflight(path: &str, origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "authorization,content-type,x-if-unmodified-since,x-anything")
}

fn words(answer: &Response, name: &str) -> Vec<String> {
    let mut words: Vec<_> = answer.must_have(name).split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
    words.sort();
    words
}

#[tokio::test]
async fn a_preflight_is_answered_on_every_route_before_hawk() {
    let server = TestServer::start();
    for path in PATHS {
        for method in ["DELETE", "GET", "POST", "PUT"] {
            let answer = send(&server, &preflight(path, ORIGIN, method)).await.has(200);
            assert_eq!(answer.must_have("Access-Control-Allow-Origin"), ORIGIN, "{path}");
            assert_eq!(words(&answer, "Access-Control-Allow-Methods"), ["delete", "get", "post", "put"], "{path}");
            assert_eq!(
                words(&answer, "Access-Control-Allow-Headers"),
                ["authorization", "content-type", "x-anything", "x-if-unmodified-since"],
                "{path}"
            );
            assert_eq!(answer.must_have("Access-Control-Max-Age"), "1728000", "{path}");
            if path.starts_with("/1.") {
                answer.timestamp();
            }
        }
    }
}

#[tokio::test]
async fn every_answer_echoes_the_origin_errors_too() {
    let server = TestServer::start();
    let token = Token::builder(SECRET, 1).build();
    let signed = |method: &str, path: &str| Request::new(method, path).auth(&token).header("Origin", ORIGIN);
    for path in PATHS {
        let answer = send(&server, &Request::get(path).header("Origin", ORIGIN)).await;
        assert_eq!(answer.must_have("Access-Control-Allow-Origin"), ORIGIN, "{path}: {answer:?}");
    }
    for (request, status) in [
        (json(signed("PUT", "/1.5/1/storage/x/a"), "{}"), 200),
        (signed("GET", "/1.5/1/storage/x?full"), 200),
        (signed("GET", "/1.5/1/storage/x").header("X-If-Modified-Since", "4102405200000"), 304),
        (json(signed("POST", "/1.5/1/storage/x"), "{"), 400),
        (Request::get("/1.5/1/storage/x").header("Origin", ORIGIN), 401),
        (signed("GET", "/1.5/1/storage/x/none"), 404),
        (signed("GET", "/1.5/1/none"), 404),
        (signed("POST", "/1.5/1/info/quota"), 405),
        (signed("GET", "/1.5/1/storage/x").header("Accept", "text/html"), 406),
        (signed("GET", "/1.5/1/storage/x").header("X-If-Unmodified-Since", "0"), 412),
        (signed("PUT", "/1.5/1/storage/x/a").header("Content-Type", "image/png").body("{}"), 415),
        (Request::get("/1.0/sync/1.5").header("Origin", ORIGIN), 401),
        (Request::get("/__heartbeat__").header("Origin", "null"), 200),
    ] {
        let answer = send(&server, &request).await.has(status);
        let origin = answer.must_have("Access-Control-Allow-Origin");
        assert!(origin == ORIGIN || origin == "null", "{answer:?}");
    }
    // A page may read our headers.
    let answer = send(&server, &signed("GET", "/1.5/1/storage/x?full&limit=0")).await;
    let exposed = words(&answer, "Access-Control-Expose-Headers");
    for name in ["x-last-modified", "x-weave-records"] {
        assert!(exposed.iter().any(|exposed| exposed == name), "{name}: {exposed:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_no_web_page_gets_no_origin() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let answer = client.get("/info/collections").await.has(200);
    assert!(answer.header("Access-Control-Allow-Origin").is_none(), "{answer:?}");
}

#[tokio::test]
async fn who_may_do_what_is_configurable() {
    let server = TestServer::start_with(&[
        ("SYNC_CORS_ALLOWED_ORIGIN", r#"["https://app.example.com","https://other.example.com"]"#),
        ("SYNC_CORS_ALLOWED_METHODS", r#"["GET"]"#),
        ("SYNC_CORS_MAX_AGE", "60"),
    ]);
    for origin in [ORIGIN, "https://other.example.com"] {
        let answer = send(&server, &preflight("/1.5/1/storage/x", origin, "GET")).await.has(200);
        assert_eq!(answer.must_have("Access-Control-Allow-Origin"), origin);
        assert_eq!(answer.must_have("Access-Control-Max-Age"), "60");
        assert_eq!(words(&answer, "Access-Control-Allow-Methods"), ["get"]);
    }
    let refused = send(&server, &preflight("/1.5/1/storage/x", "https://evil.example.com", "GET")).await;
    assert!(refused.status >= 400 || refused.header("Access-Control-Allow-Origin").is_none(), "{refused:?}");
    let refused = send(&server, &preflight("/1.5/1/storage/x", ORIGIN, "DELETE")).await;
    assert!(refused.status >= 400 || words(&refused, "Access-Control-Allow-Methods") == ["get"], "{refused:?}");
}
