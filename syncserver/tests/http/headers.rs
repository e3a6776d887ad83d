//! What stands at the head of every answer (sections 3.7, 3.8, 4 and 5).

use std::sync::Arc;

use testclient::{Request, Response, Token};

use crate::check::Check;
use crate::server::{SECRET, TestServer, json};
use crate::store::{Backend, Store};

/// Every path of the storage API with the methods that it takes.
const ROUTES: [(&str, &[&str]); 9] = [
    ("/1.5/1/info/collections", &["GET", "HEAD"]),
    ("/1.5/1/info/collection_counts", &["GET", "HEAD"]),
    ("/1.5/1/info/collection_usage", &["GET", "HEAD"]),
    ("/1.5/1/info/quota", &["GET", "HEAD"]),
    ("/1.5/1/info/configuration", &["GET", "HEAD"]),
    ("/1.5/1/storage/x", &["GET", "HEAD", "POST", "DELETE"]),
    ("/1.5/1/storage/x/a", &["GET", "HEAD", "PUT", "DELETE"]),
    ("/1.5/1/storage", &["DELETE"]),
    ("/1.5/1", &["DELETE"]),
];

const METHODS: [&str; 7] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE"];

fn token() -> Token {
    Token::builder(SECRET, 1).build()
}

async fn send(server: &TestServer, request: &Request) -> Response {
    server.connect().await.send(request).await.unwrap()
}

/// A valid request for a route.
fn request(method: &str, target: &str) -> Request {
    let request = Request::new(method, target).auth(&token());
    match method {
        "PUT" => json(request, "{}"),
        "POST" => json(request, "[]"),
        _ => request,
    }
}

#[tokio::test]
async fn every_answer_has_the_time_of_the_server() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    clock.set(clock.now_ms() / 1000 * 1000 + 1_000);
    send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.has(200);
    clock.advance(5_500);
    let large = " ".repeat(2_700_000);
    let get = |target: &str| request("GET", target);
    for (request, status) in [
        (get("/1.5/1/info/collections"), 200),
        (get("/1.5/1/info/configuration"), 200),
        (get("/1.5/1/storage/x?full"), 200),
        (get("/1.5/1/storage/x").header("X-If-Modified-Since", "4102405200000"), 304),
        (get("/1.5/1/storage/x?sort=x"), 400),
        (get("/1.5/1/storage/x%20y"), 400),
        (json(Request::new("POST", "/1.5/1/storage/x").auth(&token()), "{"), 400),
        (Request::get("/1.5/1/storage/x"), 401),
        (get("/1.5/1/storage/x/b"), 404),
        (get("/1.5/1/nothing"), 404),
        (get("/1.5/nothing"), 404),
        (get("/1.5/x/info/collections"), 404),
        (get("/1.5"), 404),
        (get("/1.0/nothing"), 404),
        (get("/1.0/sync/1.5"), 401),
        (request("PATCH", "/1.5/1/storage/x"), 405),
        (request("POST", "/1.0/sync/1.5"), 405),
        (get("/1.5/1/storage/x").header("Accept", "text/html"), 406),
        (get("/1.5/1/storage/x").header("X-If-Unmodified-Since", "0"), 412),
        (json(Request::new("POST", "/1.5/1/storage/x").auth(&token()), &large), 413),
        (request("PUT", "/1.5/1/storage/x/a").set_header("Content-Type", "image/png"), 415),
        (request("DELETE", "/1.5/1/storage/none"), 200),
    ] {
        let answer = send(&server, &request).await.has(status);
        assert_eq!(answer.timestamp(), clock.now_ms() / 10, "{request:?}");
    }
}

#[tokio::test]
async fn the_time_of_a_write_is_the_time_of_its_answer() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    // Twice each, so that the second one is ahead of the clock.
    for (method, target) in
        [("PUT", "/1.5/1/storage/x/a"), ("POST", "/1.5/1/storage/x"), ("DELETE", "/1.5/1/storage/x/a")]
    {
        for _ in 0..2 {
            send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.written();
            send(&server, &request(method, target)).await.written();
        }
    }
    for target in ["/1.5/1/storage/x?ids=a", "/1.5/1/storage/x", "/1.5/1/storage", "/1.5/1"] {
        send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.written();
        send(&server, &request("DELETE", target)).await.written();
    }
    // And never before the time that the answer itself speaks of.
    let last = send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.written();
    clock.advance(-60_000);
    for target in ["/1.5/1/info/collections", "/1.5/1/storage/x", "/1.5/1/storage/x/a"] {
        let answer = send(&server, &request("GET", target)).await.has(200);
        assert_eq!((answer.last_modified(), answer.timestamp()), (last, last), "{target}");
        let conditional = request("GET", target).header("X-If-Modified-Since", "4102405200000");
        assert_eq!(send(&server, &conditional).await.has(304).timestamp(), last, "{target}");
    }
}

#[tokio::test]
async fn every_success_has_a_last_modified_time_and_json() {
    let server = TestServer::start();
    send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.has(200);
    for (target, methods) in ROUTES {
        for method in methods.iter().filter(|method| **method != "HEAD") {
            let answer = send(&server, &request(method, target)).await.has(200);
            assert!(answer.timestamp() >= answer.last_modified(), "{method} {target}");
            assert!(answer.must_have("Content-Type").starts_with("application/json"), "{method} {target}");
            answer.json();
            if *method == "DELETE" {
                send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.has(200);
            }
        }
    }
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let (server, _clock) = TestServer::start_with_clock(&[]);
    let long = format!(r#"{{"payload":"{}"}}"#, "x".repeat(5000));
    send(&server, &json(Request::new("PUT", "/1.5/1/storage/x/a").auth(&token()), &long)).await.has(200);
    let targets = ROUTES.iter().filter(|(_, methods)| methods.contains(&"HEAD")).map(|(target, _)| *target);
    for target in targets.chain(["/1.5/1/storage/x?full", "/1.5/1/storage/x/none", "/1.5/1/storage/x?limit=x"]) {
        let get = send(&server, &request("GET", target)).await;
        let mut connection = server.connect().await;
        for _ in 0..2 {
            let head = connection.send(&request("HEAD", target)).await.unwrap();
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{target}");
            for name in ["X-Last-Modified", "X-Weave-Records", "X-Weave-Timestamp", "Content-Type", "Content-Length"] {
                assert_eq!(head.header(name), get.header(name), "{target}: {name}");
            }
        }
    }
    send(&server, &Request::head("/1.5/1/info/collections")).await.has(401);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_404_with_body_0() {
    let server = TestServer::start();
    for target in [
        "/1.5",
        "/1.5/",
        "/1.5/1/info",
        "/1.5/1/info/",
        "/1.5/1/info/nothing",
        "/1.5/1/info/collections/x",
        "/1.5/1/nothing",
        "/1.5/1/storages/x",
        "/1.4/1/info/collections",
        "/nothing",
        "/1.5/1/info/collections%20",
    ] {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            send(&server, &request(method, target)).await.is(404, "0").timestamp();
            send(&server, &Request::new(method, target)).await.is(404, "0").timestamp();
        }
    }
}

#[tokio::test]
async fn a_method_that_the_path_does_not_take_is_405() {
    let server = TestServer::start();
    for (target, methods) in ROUTES {
        for method in METHODS.iter().filter(|method| !methods.contains(method)) {
            let answer = send(&server, &request(method, target)).await;
            assert_eq!(answer.status, 405, "{method} {target}");
            answer.timestamp();
            if *method != "HEAD" {
                answer.is(405, "1");
            }
        }
    }
}

#[tokio::test]
async fn a_fault_is_logged_with_its_cause_and_never_shown_to_the_client() {
    let store = Arc::<Store>::default();
    let server = TestServer::start_again_on(&store, &[]);
    send(&server, &request("PUT", "/1.5/1/storage/x/a")).await.has(200);
    let tables = store.tables("bso");
    assert!(!tables.is_empty());
    for name in &tables {
        store.execute(&format!("ALTER TABLE {name} RENAME TO gone_{name}"));
    }
    for request in [
        request("GET", "/1.5/1/storage/x/a"),
        request("GET", "/1.5/1/storage/x?full"),
        request("PUT", "/1.5/1/storage/x/a"),
        json(Request::new("POST", "/1.5/1/storage/x").auth(&token()), r#"[{"id":"a"}]"#),
    ] {
        let answer = send(&server, &request).await.is(500, "0");
        answer.timestamp();
        assert!(!format!("{answer:?}").contains("bso"), "{answer:?}");
        let line = server.last_refusal();
        let words = match Backend::of_tests() {
            Backend::Sqlite => "no such table",
            Backend::Postgres => "does not exist",
            Backend::Mysql => "doesn't exist",
        };
        assert!(line.starts_with("ERRO request failed") && line.contains(words), "{line}");
    }
    for name in &tables {
        store.execute(&format!("ALTER TABLE gone_{name} RENAME TO {name}"));
    }
    // No write was half applied.
    send(&server, &request("GET", "/1.5/1/storage/x/a")).await.has(200);
    assert_eq!(send(&server, &request("GET", "/1.5/1/storage/x")).await.ids(), ["a"]);
}

#[tokio::test]
async fn clients_are_asked_to_stay_away_when_the_operator_wishes_it_or_the_server_cannot_keep_up() {
    let server = TestServer::start();
    let answer = server.user(1).await.get("/info/collections").await;
    assert_eq!((answer.status, answer.header("X-Weave-Backoff")), (200, None));
    let server = TestServer::start_with(&[("SYNC_BACKOFF", "300")]);
    let mut client = server.user(1).await;
    for target in ["/info/collections", "/storage/meta/global"] {
        assert_eq!(client.get(target).await.header("X-Weave-Backoff"), Some("300"), "{target}");
    }
    let agent = "Firefox-iOS-Sync/18.0b1 (iPhone; iPhone OS 13.2.2) (Fennec (synctesting))";
    let server = TestServer::start();
    let refused = server.user(1).await.send("GET", "/info/collections", |r| r.header("User-Agent", agent)).await;
    assert_eq!((refused.status, refused.header("X-Weave-Backoff")), (503, refused.header("Retry-After")));
}
