//! What operators, load balancers and people with a browser ask (section 10).

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use serde_json::json;
use testclient::{MockFxa, Reply, Request};

use crate::store::{Backend, is_elsewhere};
use crate::tokenserver::Tokenserver;

const PAGES: [&str; 5] = ["/__heartbeat__", "/__lbheartbeat__", "/__version__", "/api-doc/openapi.json", "/"];

#[tokio::test]
async fn the_heartbeat_says_that_all_is_well() {
    let tokens = Tokenserver::start();
    let answer = tokens.send(&Request::get("/__heartbeat__")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "status": "Ok",
            "database": "Ok",
            "quota": { "enabled": false, "enforced": false, "size": 0 },
        })
    );
    assert!(answer.header("Retry-After").is_none());
}

#[tokio::test]
async fn the_heartbeat_tells_of_the_quota() {
    let quota = ("SYNC_SYNCSTORAGE__LIMITS__MAX_QUOTA_LIMIT", "1000000");
    let tokens = Tokenserver::start_with(&[("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", "true"), quota]);
    let answer = tokens.send(&Request::get("/__heartbeat__")).await;
    assert_eq!(answer.json()["quota"], json!({ "enabled": true, "enforced": true, "size": 1_000_000 }));
    let tokens = Tokenserver::start_with(&[("SYNC_SYNCSTORAGE__ENABLE_QUOTA", "true"), quota]);
    let answer = tokens.send(&Request::get("/__heartbeat__")).await;
    assert_eq!(answer.json()["quota"], json!({ "enabled": true, "enforced": false, "size": 1_000_000 }));
}

#[tokio::test]
async fn the_heartbeat_is_503_when_the_database_fails() {
    // On a file the storage looks at a table of its own, on a database server for an answer.
    let own = (Backend::of_tests() == Backend::Sqlite).then_some("DROP TABLE server_meta");
    for broken in ["DROP TABLE services", "DELETE FROM services"].into_iter().chain(own) {
        let tokens = Tokenserver::start();
        tokens.sql(broken);
        let answer = tokens.send(&Request::get("/__heartbeat__")).await;
        assert_eq!(answer.status, 503, "{broken}");
        assert!(answer.header("Retry-After").is_some(), "{broken}");
        let body = answer.json();
        assert_eq!((&body["status"], &body["database"]), (&json!("Err"), &json!("Err")), "{broken}");
        assert_eq!(body["version"], env!("CARGO_PKG_VERSION"), "{broken}");
        assert!(!answer.text().contains("table"), "the cause is for the log: {answer:?}");
        let lines = tokens.server.log_lines();
        assert!(lines.iter().any(|line| line.starts_with("ERRO") && line.contains("heartbeat")), "{lines:#?}");
    }
}

#[tokio::test]
async fn the_heartbeat_is_503_when_the_database_takes_no_writes_and_recovers() {
    if is_elsewhere("ops::the_heartbeat_is_503_when_the_database_takes_no_writes_and_recovers") {
        return;
    }
    let tokens = Tokenserver::start();
    let mut other_program = tokens.store.open_file();
    other_program.batch_execute("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    assert_eq!(tokens.send(&Request::get("/__heartbeat__")).await.status, 503);
    // One wait for the lock, not one for each of the two parts that share the file.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    other_program.batch_execute("ROLLBACK").unwrap();
    assert_eq!(tokens.send(&Request::get("/__heartbeat__")).await.status, 200);
}

#[tokio::test]
async fn many_heartbeats_at_once_are_one_question_to_the_database() {
    let tokens = Tokenserver::start();
    tokens.sql("DROP TABLE services");
    let mut connection = tokens.server.connect().await;
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(connection.send(&Request::get("/__heartbeat__")).await.unwrap().status, 503);
    }
    // Each failed question is a line. All requests of one connection meet the same worker.
    let questions = tokens.server.log_lines().iter().filter(|line| line.contains("heartbeat")).count();
    let most = 1 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&questions), "{questions} questions in {:?}", start.elapsed());
}

#[tokio::test]
async fn the_load_balancers_heartbeat_does_not_touch_the_database() {
    let tokens = Tokenserver::start_with(&[("SYNC_SYNCSTORAGE__DATABASE_POOL_MAX_SIZE", "7")]);
    tokens.sql("DROP TABLE services");
    let other_program = (Backend::of_tests() == Backend::Sqlite).then(|| {
        let mut file = tokens.store.open_file();
        file.batch_execute("BEGIN EXCLUSIVE").unwrap();
        file
    });
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let answer = tokens.send(&Request::get("/__lbheartbeat__")).await;
        assert_eq!(answer.status, 200);
        // Whoever waits for the lock does so for five seconds.
        assert!(asked.elapsed() < Duration::from_secs(4));
        let figures = answer.json();
        assert_eq!(figures["max_connections"], json!(7));
        assert!(figures["idle_connections"].is_u64(), "{figures}");
        if figures["active_connections"] == json!(0) {
            break;
        }
        // The users are counted at the start, on a connection of the same pool.
        assert!(start.elapsed() < Duration::from_secs(10), "{figures}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(other_program);
}

#[tokio::test]
async fn a_process_of_the_age_at_which_it_is_to_be_replaced_says_so_to_the_load_balancer_alone() {
    let age = [("SYNC_SYNCSTORAGE__LBHEARTBEAT_TTL", "1"), ("SYNC_SYNCSTORAGE__LBHEARTBEAT_TTL_JITTER", "0")];
    let tokens = Tokenserver::start_with(&age);
    assert_eq!(tokens.send(&Request::get("/__lbheartbeat__")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(tokens.send(&Request::get("/__lbheartbeat__")).await.status, 500);
    assert_eq!(tokens.send(&Request::get("/__heartbeat__")).await.status, 200);
}

#[tokio::test]
async fn the_version_is_told() {
    let tokens = Tokenserver::start();
    let answer = tokens.send(&Request::get("/__version__")).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    let mut names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["build", "commit", "instance", "public_url", "source", "version"]);
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert!(["source", "commit", "build"].iter().all(|name| body[name].is_string()), "{body}");
    // The same as long as the process lives, and no other process's.
    let instance = |answer: testclient::Response| answer.json()["instance"].as_str().unwrap().to_owned();
    let again = tokens.send(&Request::get("/__version__?nonce=1")).await;
    assert_eq!(again.header("Cache-Control"), Some("no-store"));
    let elsewhere = Tokenserver::start_with(&[("SYNC_PUBLIC_URL", "https://example.com/sync/")]);
    let other = elsewhere.send(&Request::get("/__version__")).await;
    assert_eq!(other.json()["public_url"], "https://example.com/sync");
    let first = body["instance"].as_str().unwrap();
    assert!(first == instance(again) && first != instance(other), "{first}");
}

#[tokio::test]
async fn there_is_no_page_that_fails_on_purpose_and_no_metrics_on_the_public_port() {
    let tokens = Tokenserver::start();
    for path in ["/__error__", "/metrics", "/__metrics__"] {
        let answer = tokens.send(&Request::get(path)).await;
        assert_eq!((answer.status, answer.text()), (404, "0"), "{path}");
    }
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let tokens = Tokenserver::start();
    for page in PAGES {
        let get = tokens.send(&Request::get(page)).await;
        let head = tokens.send(&Request::head(page)).await;
        assert_eq!((get.status, head.status), (200, 200), "{page}");
        assert_eq!(head.header("Content-Type"), get.header("Content-Type"), "{page}");
        assert_eq!(head.header("Content-Length"), Some(get.body.len().to_string().as_str()), "{page}");
        // The next request on the same connection finds its own answer: there was no body.
        let mut connection = tokens.server.connect().await;
        assert_eq!(connection.send(&Request::head(page)).await.unwrap().status, 200);
        assert_eq!(connection.send(&Request::get(page)).await.unwrap().body, get.body, "{page}");
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let tokens = Tokenserver::start();
    for page in PAGES {
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(tokens.send(&Request::new(method, page)).await.status, 405, "{method} {page}");
        }
    }
}

#[tokio::test]
async fn web_pages_may_ask_for_the_heartbeat() {
    let tokens = Tokenserver::start();
    let origin = "https://status.example.com";
    let answer = tokens.send(&Request::get("/__heartbeat__").header("Origin", origin)).await;
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(origin));
    let preflight = Request::new("OPTIONS", "/__heartbeat__")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "x-anything");
    let answer = tokens.send(&preflight).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(origin));
    assert_eq!(answer.header("Access-Control-Max-Age"), Some("1728000"));
}

#[tokio::test]
async fn health_checks_are_not_logged() {
    let tokens = Tokenserver::start();
    tokens.wait_for_keys().await;
    let before = tokens.server.log_lines().len();
    for page in PAGES {
        tokens.send(&Request::get(page)).await;
    }
    let lines = tokens.server.log_lines();
    assert!(lines[before..].iter().all(|line| !line.contains("__")), "{lines:#?}");
}

#[tokio::test]
async fn the_start_says_which_url_to_paste_and_does_not_wait_for_the_accounts_server() {
    let fxa = MockFxa::start();
    fxa.set_jwks(Reply::status(200, "{}").after(Duration::from_secs(30)));
    let url = fxa.url();
    let tokens = Tokenserver::start_with(&[
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &url),
        ("SYNC_TOKENSERVER__FXA_OAUTH_REQUEST_TIMEOUT", "1"),
        ("SYNC_PUBLIC_URL", "https://sync.example.com"),
    ]);
    assert_eq!(tokens.send(&Request::get("/__heartbeat__")).await.status, 200);
    let lines = tokens.server.log_lines();
    assert!(lines.iter().any(|line| line.contains("https://sync.example.com/1.0/sync/1.5")), "{lines:#?}");
}

#[tokio::test]
async fn an_accounts_server_that_hangs_does_not_hold_up_the_end() {
    let fxa = MockFxa::start();
    fxa.set_jwks(Reply::status(200, "{}").after(Duration::from_secs(60)));
    let url = fxa.url();
    let tokens = Tokenserver::start_with(&[
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &url),
        ("SYNC_TOKENSERVER__FXA_OAUTH_REQUEST_TIMEOUT", "20"),
    ]);
    while fxa.jwks_requests() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let start = Instant::now();
    drop(tokens);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
