//! What the server tells Prometheus.

use std::net::SocketAddr;

use testclient::{Connection, HawkOptions, PayloadHash, Request, Response, Token};

use crate::exposition::Exposition;
use crate::server::{SECRET, json};
use crate::store::Backend;
use crate::tokenserver::{ALICE, BOB, Device, Tokenserver};

const LISTEN: (&str, &str) = ("SYNC_METRICS_LISTEN", "127.0.0.1:0");

pub(crate) async fn fetch(metrics: SocketAddr, request: &Request) -> Response {
    Connection::connect(metrics).await.unwrap().send(request).await.unwrap()
}

async fn exposition(tokens: &Tokenserver) -> Exposition {
    let answer = fetch(tokens.server.metrics.unwrap(), &Request::get("/metrics")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::of(answer.text())
}

/// A server that has seen something of all that there is to count.
pub(crate) async fn after_some_traffic() -> (Tokenserver, Exposition) {
    let closed = ("SYNC_TOKENSERVER__MAX_USERS", "1");
    let tokens = Tokenserver::start_with(&[LISTEN, closed, ("SYNC_PURGE_INTERVAL", "1")]);
    tokens.wait_for_keys().await;
    let mut client = tokens.storage(&Device::of(ALICE)).await;
    let body = format!(r#"[{{"id":"a","payload":"{}"}}]"#, "x".repeat(2000));
    assert_eq!(client.post("/storage/tabs", &body).await.status, 200);
    assert_eq!(client.put("/storage/meta/global", r#"{"payload":"a payload"}"#).await.status, 200);
    assert!(client.get("/storage/tabs?full=1").await.body.len() > 2000);
    assert_eq!(client.get("/storage/tabs/none").await.status, 404);
    assert_eq!(client.get("/info/collections").await.status, 200);
    assert_eq!(client.delete("/storage").await.status, 200);
    client.token = Token::builder("another secret", 1).build();
    assert_eq!(client.get("/info/collections").await.status, 401);
    assert_eq!(tokens.sign_in(&Device::of(BOB)).await.status, 403);
    tokens.send(&Request::get("/no/such/path")).await;
    // An operation that fails: the table is not there.
    tokens.sql("DROP TABLE services");
    assert_eq!(tokens.send(&Request::get("/__heartbeat__")).await.status, 503);
    for _ in 0..200 {
        let exposition = exposition(&tokens).await;
        let purged = exposition.value("syncserver_purge_last_run_timestamp_seconds", &[]);
        let has = |name: &str| exposition.names().contains(name);
        if purged > Some(0.0) && has("syncserver_tokenserver_users") && has("syncserver_tokenserver_jwks_age_seconds") {
            return (tokens, exposition);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no purge, no users or no keys: {:#?}", tokens.server.log_lines());
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let (_tokens, told) = after_some_traffic().await;
    let requests = |route, method, status| {
        told.value("syncserver_http_requests_total", &[("route", route), ("method", method), ("status", status)])
    };
    assert_eq!(requests("/1.5/{uid}/storage/{collection}", "POST", "200"), Some(1.0));
    assert_eq!(requests("/1.5/{uid}/storage/{collection}/{id}", "PUT", "200"), Some(1.0));
    assert_eq!(requests("/1.5/{uid}/storage/{collection}/{id}", "GET", "404"), Some(1.0));
    assert_eq!(requests("/1.5/{uid}/info/collections", "GET", "200"), Some(1.0));
    assert_eq!(requests("/1.5/{uid}/info/collections", "GET", "401"), Some(1.0));
    assert_eq!(requests("/1.5/{uid}/storage", "DELETE", "200"), Some(1.0));
    assert_eq!(requests("/1.0/sync/1.5", "GET", "200"), Some(1.0));
    assert_eq!(requests("/1.0/sync/1.5", "GET", "403"), Some(1.0));
    assert_eq!(requests("/__heartbeat__", "GET", "503"), Some(1.0));
    assert_eq!(requests("unmatched", "GET", "404"), Some(1.0));
    let posts = [("route", "/1.5/{uid}/storage/{collection}"), ("method", "POST")];
    assert_eq!(told.value("syncserver_http_request_duration_seconds_count", &posts), Some(1.0));
    let seconds = told.value("syncserver_http_request_duration_seconds_sum", &posts).unwrap();
    assert!(seconds > 0.0 && seconds < 20.0, "{seconds}");
}

#[tokio::test]
async fn bytes_operations_refusals_and_sign_ins_are_counted() {
    let (_tokens, told) = after_some_traffic().await;
    let collection = [("route", "/1.5/{uid}/storage/{collection}")];
    let posted = (2000 + r#"[{"id":"a","payload":""}]"#.len()) as f64;
    assert_eq!(told.value("syncserver_http_request_body_bytes_total", &collection), Some(posted));
    assert!(told.value("syncserver_http_response_body_bytes_total", &collection).unwrap() > 2000.0);
    let operation = |database, operation| {
        let labels = [("database", database), ("operation", operation)];
        told.value("syncserver_database_operation_duration_seconds_count", &labels).unwrap_or_default()
    };
    assert_eq!((operation("storage", "post_bsos"), operation("storage", "get_bsos")), (1.0, 1.0));
    assert!(operation("tokenserver", "sign_in") == 2.0 && operation("storage", "purge") >= 1.0);
    let failed = [("database", "tokenserver"), ("operation", "check")];
    assert!(told.sum("syncserver_database_operation_failures_total", &failed) >= 1.0);
    let refused = |reason| told.value("syncserver_hawk_refusals_total", &[("reason", reason)]);
    assert_eq!((refused("token"), refused("host")), (Some(1.0), Some(0.0)));
    let sign_ins = |status| told.value("syncserver_tokenserver_sign_ins_total", &[("status", status)]);
    assert_eq!((sign_ins("success"), sign_ins("new-users-disabled")), (Some(1.0), Some(1.0)));
    assert_eq!(told.value("syncserver_tokenserver_new_users_total", &[]), Some(1.0));
    let newcomers = "syncserver_tokenserver_registration_refusals_total";
    assert_eq!(told.value(newcomers, &[("reason", "max_users")]), Some(1.0));
    assert_eq!(told.value(newcomers, &[("reason", "closed")]), Some(0.0));
    assert!(told.value("syncserver_tokenserver_token_verification_duration_seconds_count", &[]) == Some(2.0));
    assert!(told.value("syncserver_pool_connections_max", &[("database", "storage")]).unwrap() >= 1.0);
    if Backend::of_tests() == Backend::Sqlite {
        let writer = [("database", "storage")];
        let writes = told.value("syncserver_sqlite_commit_writes_sum", &writer).unwrap();
        assert!(writes >= 4.0 && told.value("syncserver_sqlite_commit_writes_count", &writer).unwrap() <= writes);
        assert_eq!(told.value("syncserver_sqlite_writer_queue_capacity", &writer), Some(1024.0));
    }
    assert!(told.value("process_resident_memory_bytes", &[]).unwrap() > 1e6);
    assert!(told.value("process_cpu_seconds_total", &[]).unwrap() > 0.0);
}

#[tokio::test]
async fn hawk_refusals_are_told_apart() {
    let public = ("SYNC_PUBLIC_URL", "https://sync.example.com/sync");
    let tokens = Tokenserver::start_with(&[LISTEN, public]);
    let token = Token::builder(SECRET, 7).build();
    let path = "/1.5/7/info/collections";
    let host = || HawkOptions { host: Some("sync.example.com".into()), port: Some(443), ..Default::default() };
    let signed = |path: &str, token: &Token| Request::get(path).auth(token).hawk(host());
    let elsewhere = HawkOptions { target: Some("/sync/1.5/7/info/collections".into()), ..host() };
    let covered = HawkOptions { hash: PayloadHash::Text("bm9uZQ==".into()), ..host() };
    for (reason, request) in [
        ("missing", Request::get(path)),
        ("malformed", Request::get(path).header("Authorization", "Hawk")),
        ("malformed", Request::get(path).header("Authorization", "Bearer x")),
        ("token", signed(path, &Token::builder("another secret", 7).build())),
        ("expired", signed("/1.5/7/info/quota", &Token::builder(SECRET, 7).expires(1).build())),
        ("host", Request::get(path).auth(&token)),
        ("path", Request::get(path).auth(&token).hawk(elsewhere)),
        ("user", signed("/1.5/8/info/collections", &token)),
        ("mac", signed(path, &Token::from_parts(&token.id, "a wrong key", 7))),
        ("payload", Request::get(path).auth(&token).hawk(covered)),
    ] {
        let before = exposition(&tokens).await;
        assert_eq!(tokens.send(&request).await.status, 401, "{reason}");
        let after = exposition(&tokens).await;
        let count = |told: &Exposition| told.value("syncserver_hawk_refusals_total", &[("reason", reason)]).unwrap();
        assert_eq!(count(&after), count(&before) + 1.0, "{reason}");
        let all = |told: &Exposition| told.sum("syncserver_hawk_refusals_total", &[]);
        assert_eq!(all(&after), all(&before) + 1.0, "{reason}");
    }
    assert_eq!(tokens.send(&signed(path, &token)).await.status, 200);
}

#[tokio::test]
async fn nothing_about_a_person_is_told() {
    let (tokens, told) = after_some_traffic().await;
    assert!(told.text.len() > 10_000);
    for personal in [ALICE, BOB, "/storage/tabs", "global", "/no/such/path", "a payload", "127.0.0.1", "api.accounts"] {
        assert!(!told.text.contains(personal), "{personal}");
    }
    // However many paths, methods and addresses clients make up, there are no more lines.
    let lines = exposition(&tokens).await.text.lines().count();
    for n in 0..20 {
        tokens.send(&Request::get(format!("/1.5/{n}/storage/c{n}/x{n}"))).await;
        tokens.send(&Request::new(&format!("BREW{n}"), format!("/{n}"))).await;
    }
    let more = exposition(&tokens).await.text.lines().count() - lines;
    assert!(more < 60, "{more} lines more");
}

#[tokio::test]
async fn a_token_guards_the_metrics_and_other_paths_are_not_there() {
    let tokens = Tokenserver::start_with(&[LISTEN, ("SYNC_METRICS_TOKEN", "s3cret token")]);
    let metrics = tokens.server.metrics.unwrap();
    let bear = |value: &str| Request::get("/metrics").header("Authorization", value);
    for wrong in [
        Request::get("/metrics"),
        bear("Bearer s3cret toke"),
        bear("Bearer s3cret tokenx"),
        bear("Bearer"),
        bear("Basic s3cret token"),
    ] {
        let answer = fetch(metrics, &wrong).await;
        assert_eq!((answer.status, answer.header("WWW-Authenticate")), (401, Some("Bearer")), "{wrong:?}");
        assert!(answer.body.is_empty());
    }
    for right in ["Bearer s3cret token", "bearer s3cret token"] {
        assert_eq!(fetch(metrics, &bear(right)).await.status, 200);
    }
    for other in ["/", "/metrics/", "/1.0/sync/1.5", "/__heartbeat__"] {
        assert_eq!(fetch(metrics, &Request::get(other)).await.status, 404, "{other}");
    }
    assert_eq!(fetch(metrics, &json(Request::new("POST", "/metrics"), "{}")).await.status, 405);
    assert_eq!(tokens.send(&bear("Bearer s3cret token")).await.status, 404, "never on the public address");
}

#[tokio::test]
async fn metrics_that_are_switched_off_are_nowhere() {
    let tokens = Tokenserver::start_with(&[("SYNC_METRICS_LISTEN", "off")]);
    assert_eq!(tokens.server.metrics, None);
    assert_eq!(tokens.send(&Request::get("/__heartbeat__")).await.status, 200);
}
