//! `/info/…` (section 3): what there is, without the records.

use serde_json::json;

use crate::check::{Check, seconds};
use crate::server::TestServer;

#[tokio::test]
async fn an_empty_store_has_nothing_and_was_never_modified() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for target in ["/info/collections", "/info/collection_counts", "/info/collection_usage"] {
        let answer = client.get(target).await.is(200, "{}");
        assert_eq!(answer.must_have("X-Weave-Records"), "0");
        assert_eq!(answer.must_have("X-Last-Modified"), "0.00");
    }
    let quota = client.get("/info/quota").await.says(&json!([0.0, null]));
    assert_eq!(quota.must_have("X-Last-Modified"), "0.00");
}

#[tokio::test]
async fn info_collections_has_the_time_of_each_collection_with_two_decimals() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let start = clock.now_ms() / 1000 * 1000;
    clock.set(start);
    client.put("/storage/bookmarks/a", "{}").await.has(200);
    clock.set(start + 1100);
    client.post("/storage/a.b_C-9", "[]").await.has(200);
    clock.set(start + 2057);
    client.put("/storage/tabs/a", "{}").await.has(200);
    let [first, second, third] = [0, 110, 205].map(|later| seconds(start / 10 + later));
    let answer = client.get("/info/collections").await.has(200);
    for member in [format!("\"bookmarks\":{first}"), format!("\"a.b_C-9\":{second}"), format!("\"tabs\":{third}")] {
        assert!(answer.text().contains(&member), "{member}: {answer:?}");
    }
    assert_eq!(answer.json().as_object().unwrap().len(), 3);
    assert_eq!(answer.must_have("X-Weave-Records"), "3");
    assert_eq!(answer.must_have("X-Last-Modified"), third);
}

#[tokio::test]
async fn counts_and_usage_are_of_unexpired_records_alone() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let short = "x".repeat(512);
    let long = "é".repeat(1024);
    client.put("/storage/x/a", &json!({ "payload": short }).to_string()).await.has(200);
    client.put("/storage/x/b", &json!({ "payload": long, "ttl": 10 }).to_string()).await.has(200);
    let last = client.put("/storage/y/c", r#"{"payload":"abc","ttl":20}"#).await.written();

    let counts = client.get("/info/collection_counts").await.says(&json!({ "x": 2, "y": 1 }));
    assert_eq!((counts.must_have("X-Weave-Records"), counts.last_modified()), ("2", last));
    let usage = client.get("/info/collection_usage").await.says(&json!({ "x": 2.5, "y": 3.0 / 1024.0 }));
    assert_eq!((usage.must_have("X-Weave-Records"), usage.last_modified()), ("2", last));
    let quota = client.get("/info/quota").await.says(&json!([2.5 + 3.0 / 1024.0, null]));
    assert_eq!(quota.last_modified(), last);

    clock.advance(11_000);
    client.get("/info/collection_counts").await.says(&json!({ "x": 1, "y": 1 }));
    client.get("/info/collection_usage").await.says(&json!({ "x": 0.5, "y": 3.0 / 1024.0 }));
    client.get("/info/quota").await.says(&json!([0.5 + 3.0 / 1024.0, null]));
    clock.advance(10_000);
    let counts = client.get("/info/collection_counts").await.has(200).json();
    assert_eq!((&counts["x"], counts["y"].as_u64().unwrap_or(0)), (&json!(1), 0));
    client.get("/info/quota").await.says(&json!([0.5, null]));
    // A collection lives on without records.
    assert!(client.get("/info/collections").await.json()["y"].is_number());
}

#[tokio::test]
async fn the_configuration_tells_the_limits() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/a", "{}").await.has(200);
    let answer = client.get("/info/configuration").await.says(&json!({
        "max_post_bytes": 2_621_440,
        "max_post_records": 100,
        "max_record_payload_bytes": 2_621_440,
        "max_request_bytes": 2_625_536,
        "max_total_bytes": 262_144_000,
        "max_total_records": 10_000,
    }));
    assert_eq!(answer.must_have("X-Last-Modified"), "0.00");

    let server = TestServer::start_with(&[
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES", "1002"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS", "3"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_RECORD_PAYLOAD_BYTES", "1001"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES", "5004"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_BYTES", "10005"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_RECORDS", "6"),
    ]);
    server.user(1).await.get("/info/configuration").await.says(&json!({
        "max_post_bytes": 1002,
        "max_post_records": 3,
        "max_record_payload_bytes": 1001,
        "max_request_bytes": 5004,
        "max_total_bytes": 10005,
        "max_total_records": 6,
    }));
}

#[tokio::test]
async fn a_collection_is_there_from_its_first_write_until_it_is_deleted_as_a_whole() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let names = |answer: testclient::Response| -> Vec<String> {
        answer.has(200).json().as_object().unwrap().keys().cloned().collect()
    };
    client.get("/storage/x").await.is(200, "[]");
    client.get("/storage/x/a").await.is(404, "0");
    client.put("/storage/x/a", r#"{"bad":1}"#).await.is(400, "8");
    client.post("/storage/x?batch=true", r#"[{"id":"a"}]"#).await.has(202);
    assert!(names(client.get("/info/collections").await).is_empty());
    client.post("/storage/x", "[]").await.has(200);
    assert_eq!(names(client.get("/info/collections").await), ["x"]);
    client.put("/storage/x/a", "{}").await.has(200);
    client.delete("/storage/x/a").await.has(200);
    assert_eq!(names(client.get("/info/collections").await), ["x"]);
    client.delete("/storage/x").await.has(200);
    assert!(names(client.get("/info/collections").await).is_empty());
}

#[tokio::test]
async fn users_do_not_see_each_other() {
    let server = TestServer::start();
    let (mut one, mut two) = (server.user(1).await, server.user(2).await);
    one.put("/storage/x/a", r#"{"payload":"one"}"#).await.has(200);
    two.get("/info/collections").await.is(200, "{}");
    two.get("/storage/x?full").await.is(200, "[]");
    two.get("/storage/x/a").await.is(404, "0");
    two.delete("").await.has(200);
    assert_eq!(one.get("/storage/x/a").await.has(200).json()["payload"], "one");
}
