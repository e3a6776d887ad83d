//! The quota (sections 4, 5 and 7).

use serde_json::json;
use testclient::Response;

use crate::check::Check;
use crate::server::{Client, TestServer};

const LIMIT: (&str, &str) = ("SYNC_SYNCSTORAGE__LIMITS__MAX_QUOTA_LIMIT", "10240");

fn remaining(answer: &Response) -> f64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.must_have("X-Weave-Quota-Remaining").parse().unwrap()
}

fn payload(kb: usize) -> String {
    "x".repeat(kb * 1024)
}

async fn put(client: &mut Client, id: &str, kb: usize) -> Response {
    client.put(&format!("/storage/x/{id}"), &json!({ "payload": payload(kb) }).to_string()).await
}

#[tokio::test]
async fn there_is_no_quota_by_default() {
    let server = TestServer::start_with(&[LIMIT]);
    let mut client = server.user(1).await;
    let answer = put(&mut client, "a", 20).await.has(200);
    assert!(answer.header("X-Weave-Quota-Remaining").is_none());
    client.get("/info/quota").await.says(&json!([20.0, null]));
}

#[tokio::test]
async fn a_quota_that_is_not_enforced_refuses_nothing_and_is_told() {
    let server = TestServer::start_with(&[LIMIT, ("SYNC_SYNCSTORAGE__ENABLE_QUOTA", "true")]);
    let mut client = server.user(1).await;
    assert_eq!(remaining(&put(&mut client, "a", 4).await), 6.0);
    assert_eq!(remaining(&put(&mut client, "b", 8).await), 0.0);
    assert_eq!(client.get("/info/quota").await.has(200).json()[0], 12.0);
}

#[tokio::test]
async fn what_is_left_of_the_quota_is_told_in_kb_on_every_write() {
    let server = TestServer::start_with(&[LIMIT, ("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", "true")]);
    let mut client = server.user(1).await;
    client.get("/info/quota").await.says(&json!([0.0, 10.0]));
    assert_eq!(remaining(&put(&mut client, "a", 4).await), 6.0);
    assert_eq!(remaining(&put(&mut client, "a", 3).await), 7.0);
    let post = json!([{ "id": "b", "payload": payload(2) }, { "id": "c", "payload": "x".repeat(512) }]).to_string();
    assert_eq!(remaining(&client.post("/storage/y", &post).await), 4.5);
    let opened = client.post("/storage/y?batch=true", &post).await.has(202).json();
    let commit = format!("/storage/y?batch={}&commit=true", opened["batch"].as_str().unwrap());
    assert_eq!(remaining(&client.post(&commit, "[]").await), 4.5);
    assert_eq!(remaining(&client.delete("/storage/y/c").await), 5.0);
    assert_eq!(remaining(&client.delete("/storage/y?ids=b").await), 7.0);
    assert_eq!(remaining(&client.delete("/storage/y").await), 7.0);
    client.get("/info/quota").await.says(&json!([3.0, 10.0]));
    assert_eq!(remaining(&client.delete("").await), 10.0);
    assert!(client.get("/storage/x").await.header("X-Weave-Quota-Remaining").is_none());
}

#[tokio::test]
async fn a_write_that_would_pass_the_quota_is_403_with_body_14_and_nothing_of_it_is_stored() {
    let server = TestServer::start_with(&[LIMIT, ("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", "true")]);
    let mut client = server.user(1).await;
    let last = put(&mut client, "a", 8).await.written();
    let records = json!([{ "id": "small", "payload": "p" }, { "id": "b", "payload": payload(3) }]).to_string();
    let opened = client.post("/storage/x?batch=true", &records).await.has(202).json();
    let commit = format!("/storage/x?batch={}&commit=true", opened["batch"].as_str().unwrap());

    put(&mut client, "b", 3).await.is(403, "14");
    put(&mut client, "a", 11).await.is(403, "14");
    client.post("/storage/x", &records).await.is(403, "14");
    client.post("/storage/new", &records).await.is(403, "14");
    client.post("/storage/x?batch=true&commit=true", &records).await.is(403, "14");
    client.post(&commit, "[]").await.is(403, "14");
    let info = client.get("/info/collections").await;
    assert_eq!((info.last_modified(), info.json().as_object().unwrap().len()), (last, 1));
    assert_eq!(client.get("/storage/x").await.ids(), ["a"]);
    client.get("/info/quota").await.says(&json!([8.0, 10.0]));

    // Others have their own.
    put(&mut server.user(2).await, "a", 10).await.has(200);
    // With room made, it goes on; the batch, too.
    put(&mut client, "a", 2).await.has(200);
    client.post(&commit, "[]").await.has(200);
    assert_eq!(client.get("/storage/x").await.ids().len(), 3);
}

#[tokio::test]
async fn expired_records_do_not_count_towards_the_quota() {
    let (server, clock) = TestServer::start_with_clock(&[LIMIT, ("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", "true")]);
    let mut client = server.user(1).await;
    let short = json!({ "payload": payload(8), "ttl": 60 }).to_string();
    client.put("/storage/x/a", &short).await.has(200);
    put(&mut client, "b", 4).await.is(403, "14");
    clock.advance(61_000);
    put(&mut client, "b", 4).await.has(200);
    client.get("/info/quota").await.says(&json!([4.0, 10.0]));
}
