//! Batches (section 6).

use std::sync::Arc;

use serde_json::json;
use testclient::{Request, Response};

use crate::check::{Check, seconds};
use crate::server::{Client, TestServer, json as with_json};

/// The query value that names the batch of a 202.
fn batch(answer: &Response) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["batch"].as_str().unwrap_or_else(|| panic!("no text: {answer:?}")).to_owned()
}

/// Opens a batch for `x`.
async fn open(client: &mut Client, body: &str) -> String {
    batch(&client.post("/storage/x?batch=true", body).await)
}

async fn append(client: &mut Client, batch: &str, body: &str) -> Response {
    client.post(&format!("/storage/x?batch={batch}"), body).await
}

async fn commit(client: &mut Client, batch: &str, body: &str) -> Response {
    client.post(&format!("/storage/x?batch={batch}&commit=true"), body).await
}

async fn payload(client: &mut Client, id: &str) -> String {
    client.get(&format!("/storage/x/{id}")).await.has(200).json()["payload"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_batch_is_invisible_until_its_commit_and_then_has_one_time() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let before = client.put("/storage/x/old", r#"{"payload":"old"}"#).await.written();
    let opened =
        client.post("/storage/x?batch=true", r#"[{"id":"a","payload":"1"},{"id":"old","payload":"new"}]"#).await;
    let id = batch(&opened);
    assert_eq!(opened.last_modified(), before);
    assert!(opened.timestamp() >= before);
    let body = opened.json();
    assert_eq!((&body["success"], &body["failed"]), (&json!(["a", "old"]), &json!({})));
    assert!(body["modified"].is_null() && body.as_object().unwrap().len() == 3, "{body}");

    let appended = append(&mut client, &id, r#"[{"id":"b","sortindex":4},{"id":"bad","ttl":"x"}]"#).await.has(202);
    assert_eq!(appended.last_modified(), before);
    assert_eq!(appended.json()["batch"], id.as_str());
    assert_eq!(appended.json()["success"], json!(["b"]));
    assert!(appended.json()["failed"]["bad"].is_string());

    assert_eq!(client.get("/storage/x?full").await.ids(), ["old"]);
    assert_eq!(payload(&mut client, "old").await, "old");
    let info = client.get("/info/collections").await;
    assert_eq!((info.json(), info.last_modified()), (json!({ "x": before as f64 / 100.0 }), before));
    client.get("/info/collection_counts").await.says(&json!({ "x": 1 }));
    client.get("/info/quota").await.says(&json!([3.0 / 1024.0, null]));

    let committed = commit(&mut client, &id, r#"[{"id":"c"}]"#).await;
    let time = committed.written();
    assert!(time > before);
    let body = committed.json();
    assert!(committed.text().starts_with(&format!("{{\"modified\":{}", seconds(time))), "{committed:?}");
    assert_eq!((&body["success"], &body["failed"], &body["batch"]), (&json!(["c"]), &json!({}), &json!(null)));
    let list = client.get("/storage/x?full&sort=oldest").await;
    assert_eq!(list.last_modified(), time);
    let mut ids = list.ids();
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "old"]);
    for record in list.json().as_array().unwrap() {
        assert_eq!(record["modified"].to_string().parse::<f64>().unwrap(), time as f64 / 100.0);
    }
    assert_eq!(payload(&mut client, "old").await, "new");
    assert_eq!(client.get("/storage/x/b").await.json()["sortindex"], 4);
}

#[tokio::test]
async fn batch_and_commit_at_once_are_a_plain_post() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let first = client.put("/storage/x/a", r#"{"payload":"p"}"#).await.written();
    for query in ["batch=true&commit=true", "commit=TRUE&batch=True", "batch=%74rue&commit=true"] {
        let answer = client.post(&format!("/storage/x?{query}"), r#"[{"id":"a"},{"id":"b"}]"#).await;
        answer.written();
        assert!(answer.json()["batch"].is_null());
        assert_eq!(answer.json()["success"], json!(["a", "b"]));
        // Not as a commit, which moves the time of every record in it.
        assert_eq!(client.get("/storage/x/a").await.last_modified(), first);
    }
}

#[tokio::test]
async fn a_commit_stamps_every_record_of_the_batch() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.post("/storage/x", r#"[{"id":"a","payload":"p"},{"id":"b","payload":"q","sortindex":1}]"#).await.has(200);
    let id = open(&mut client, r#"[{"id":"a"}]"#).await;
    let time = commit(&mut client, &id, r#"[{"id":"b","ttl":100}]"#).await.written();
    for id in ["a", "b"] {
        assert_eq!(client.get(&format!("/storage/x/{id}")).await.last_modified(), time);
    }
    assert_eq!((payload(&mut client, "a").await, payload(&mut client, "b").await), ("p".into(), "q".into()));
}

#[tokio::test]
async fn the_same_record_later_in_a_batch_replaces_the_earlier_field_by_field() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/r", r#"{"payload":"stored","sortindex":9}"#).await.has(200);
    let id =
        open(&mut client, r#"[{"id":"a","payload":"1","sortindex":1},{"id":"b","payload":"1","sortindex":1}]"#).await;
    append(&mut client, &id, r#"[{"id":"a","payload":"2"},{"id":"b","sortindex":null}]"#).await.has(202);
    append(&mut client, &id, r#"[{"id":"a","sortindex":3},{"id":"r","sortindex":2}]"#).await.has(202);
    append(&mut client, &id, r#"[{"id":"r","sortindex":null}]"#).await.has(202);
    commit(&mut client, &id, r#"[{"id":"b","payload":"commit"}]"#).await.has(200);
    let record = |answer: Response| {
        let json = answer.has(200).json();
        (json["payload"].as_str().unwrap().to_owned(), json["sortindex"].as_i64())
    };
    assert_eq!(record(client.get("/storage/x/a").await), ("2".into(), Some(3)));
    assert_eq!(record(client.get("/storage/x/b").await), ("commit".into(), None));
    assert_eq!(record(client.get("/storage/x/r").await), ("stored".into(), None));
}

#[tokio::test]
async fn an_append_changes_only_the_records_that_it_names() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let id = open(&mut client, r#"[{"id":"a","payload":"a","sortindex":1},{"id":"b","payload":"b","ttl":50}]"#).await;
    append(&mut client, &id, r#"[{"id":"c","payload":"c","sortindex":3,"ttl":null}]"#).await.has(202);
    append(&mut client, &id, r#"[{"id":"b","sortindex":2}]"#).await.has(202);
    commit(&mut client, &id, "[]").await.has(200);
    let list = client.get("/storage/x?full&sort=index").await.json();
    let seen: Vec<_> = list.as_array().unwrap().iter().map(|bso| (&bso["payload"], &bso["sortindex"])).collect();
    assert_eq!(json!(seen), json!([["c", 3], ["b", 2], ["a", 1]]));
}

#[tokio::test]
async fn a_commit_needs_no_records_and_a_batch_none_either() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let id = open(&mut client, "[]").await;
    let time = commit(&mut client, &id, "[]").await.written();
    client.get("/info/collections").await.is(200, &format!("{{\"x\":{}}}", seconds(time)));
    let empty = |request: Request| request.header("Content-Type", "application/newlines").body("");
    let id = batch(&client.send("POST", "/storage/x?batch=true", empty).await);
    client.send("POST", &format!("/storage/x?batch={id}&commit=true"), empty).await.has(200);
}

#[tokio::test]
async fn a_batch_that_is_not_open_is_400_and_nothing_is_stored() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let mut other_user = server.user(2).await;
    let committed = open(&mut client, "[]").await;
    commit(&mut client, &committed, "[]").await.has(200);
    let others = open(&mut other_user, "[]").await;
    let elsewhere = batch(&client.post("/storage/y?batch=true", "[]").await);
    let expired = open(&mut client, r#"[{"id":"expired"}]"#).await;
    clock.advance(2 * 3_600_000 - 1000);
    append(&mut client, &expired, "[]").await.has(202);
    clock.advance(1001);
    let list = ["1", "0", "-1", "abc", "", "MTIz", "MTIz%3D", "%00", "%F0%9F%A6%8A", "99999999999999999999999"];
    let uuid = "3f1a2b3c-0000-4000-8000-0123456789ab";
    let ids = list.into_iter().chain([uuid, &committed, &others, &elsewhere, &expired]);
    for id in ids {
        for target in [format!("/storage/x?batch={id}"), format!("/storage/x?batch={id}&commit=true")] {
            let answer = client.post(&target, r#"[{"id":"a"}]"#).await;
            assert_eq!((answer.status, answer.text()), (400, "0"), "{target}: {answer:?}");
        }
    }
    client.get("/storage/x").await.is(200, "[]");
    // Those of others are as they were.
    client.post(&format!("/storage/y?batch={elsewhere}"), "[]").await.has(400);
}

#[tokio::test]
async fn a_commit_without_a_batch_or_with_another_value_than_true_is_400() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let id = open(&mut client, r#"[{"id":"a"}]"#).await;
    for query in [
        "commit=true".to_owned(),
        "commit".into(),
        "commit=false".into(),
        format!("batch={id}&commit=false"),
        format!("batch={id}&commit="),
        format!("batch={id}&commit"),
        format!("batch={id}&commit=1"),
        format!("batch={id}&commit=yes"),
        "batch=true&commit=0".into(),
    ] {
        client.post(&format!("/storage/x?{query}"), r#"[{"id":"b"}]"#).await.is(400, "0");
    }
    client.get("/info/collections").await.is(200, "{}");
    for (number, value) in ["true", "TRUE", "True", "%74rue"].iter().enumerate() {
        let id = open(&mut client, &format!(r#"[{{"id":"{number}"}}]"#)).await;
        client.post(&format!("/storage/x?batch={id}&commit={value}"), "[]").await.has(200);
    }
    assert_eq!(client.get("/storage/x").await.ids().len(), 4);
}

#[tokio::test]
async fn a_batch_id_may_be_percent_encoded() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let id = open(&mut client, r#"[{"id":"a"}]"#).await;
    let encoded = crate::check::encoded(&id);
    append(&mut client, &encoded, r#"[{"id":"b"}]"#).await.has(202);
    commit(&mut client, &encoded, r#"[{"id":"c"}]"#).await.has(200);
    assert_eq!(client.get("/storage/x").await.ids().len(), 3);
}

#[tokio::test]
async fn a_wipe_takes_the_open_batches_with_it() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for wipe in ["", "/storage", "/storage/x"] {
        for stored in [false, true] {
            if stored {
                client.put("/storage/x/stored", "{}").await.has(200);
            }
            let id = open(&mut client, r#"[{"id":"revived"}]"#).await;
            client.delete(wipe).await.has(200);
            append(&mut client, &id, "[]").await.is(400, "0");
            commit(&mut client, &id, "[]").await.is(400, "0");
            client.get("/storage/x").await.is(200, "[]");
            client.get("/info/collections").await.is(200, "{}");
        }
    }
    // One of another collection goes with the store alone.
    let id = open(&mut client, r#"[{"id":"a"}]"#).await;
    client.put("/storage/y/a", "{}").await.has(200);
    client.delete("/storage/y").await.has(200);
    commit(&mut client, &id, "[]").await.has(200);
}

#[tokio::test]
async fn the_ttl_of_a_batch_counts_from_its_commit_and_none_is_for_ever() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    client.put("/storage/x/kept", r#"{"ttl":9000}"#).await.has(200);
    client.put("/storage/x/reset", r#"{"ttl":9000}"#).await.has(200);
    let body = r#"[{"id":"short","ttl":100},{"id":"none"},{"id":"null","ttl":null},{"id":"kept","payload":"p"},{"id":"reset","ttl":null}]"#;
    let id = open(&mut client, body).await;
    clock.advance(3_600_000);
    commit(&mut client, &id, "[]").await.has(200);
    let listed = async |client: &mut Client| {
        let mut ids = client.get("/storage/x").await.ids();
        ids.sort();
        ids.concat()
    };
    clock.advance(99_000);
    assert_eq!(listed(&mut client).await, "keptnonenullresetshort");
    clock.advance(1_001);
    assert_eq!(listed(&mut client).await, "keptnonenullreset");
    clock.advance(9_000_000);
    assert_eq!(listed(&mut client).await, "nonenullreset");
    clock.advance(300 * 86_400_000);
    assert_eq!(listed(&mut client).await, "nonenullreset");
}

#[tokio::test]
async fn the_condition_is_checked_on_each_request_of_a_batch() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let since = seconds(client.put("/storage/x/a", "{}").await.written());
    let unmodified = |request: Request| with_json(request, "[]").header("X-If-Unmodified-Since", &since);
    let id = batch(&client.send("POST", "/storage/x?batch=true", unmodified).await);
    let target = format!("/storage/x?batch={id}");
    client.send("POST", &target, unmodified).await.has(202);
    // Other collections do not count.
    client.put("/storage/y/a", "{}").await.has(200);
    client.send("POST", &target, unmodified).await.has(202);
    let later = client.put("/storage/x/b", "{}").await.written();
    for target in [&target, &format!("{target}&commit=true"), "/storage/x?batch=true"] {
        assert_eq!(client.send("POST", target, unmodified).await.is(412, "0").last_modified(), later);
    }
    let since = seconds(later);
    let unmodified = |request: Request| with_json(request, "[]").header("X-If-Unmodified-Since", &since);
    client.send("POST", &format!("{target}&commit=true"), unmodified).await.has(200);
}

#[tokio::test]
async fn what_a_batch_really_holds_is_limited() {
    let server = TestServer::start_with(&[
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_RECORDS", "5"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS", "5"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_BYTES", "100"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES", "100"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_RECORD_PAYLOAD_BYTES", "100"),
    ]);
    let mut client = server.user(1).await;
    let ids = |ids: &str| json!(ids.chars().map(|id| json!({ "id": id })).collect::<Vec<_>>()).to_string();
    let id = open(&mut client, &ids("abc")).await;
    // The same records again are no more records.
    append(&mut client, &id, &ids("abcd")).await.has(202);
    append(&mut client, &id, &ids("ef")).await.is(400, "17");
    commit(&mut client, &id, &ids("ef")).await.is(400, "17");
    client.get("/storage/x").await.is(200, "[]");
    // What was refused left nothing behind.
    commit(&mut client, &id, &ids("f")).await.has(200);
    assert_eq!(client.get("/info/collection_counts").await.json(), json!({ "x": 5 }));

    let bytes = |id: &str, length: usize| json!([{ "id": id, "payload": "x".repeat(length) }]).to_string();
    let id = open(&mut client, &bytes("a", 60)).await;
    append(&mut client, &id, &bytes("b", 41)).await.is(400, "17");
    append(&mut client, &id, &bytes("a", 50)).await.has(202);
    append(&mut client, &id, &bytes("b", 50)).await.has(202);
    commit(&mut client, &id, &bytes("c", 1)).await.is(400, "17");
    commit(&mut client, &id, "[]").await.has(200);
    client.get("/info/quota").await.says(&json!([100.0 / 1024.0, null]));
}

#[tokio::test]
async fn open_batches_of_two_devices_do_not_mix() {
    let server = TestServer::start();
    let (mut one, mut two) = (server.user(1).await, server.user(1).await);
    let [first, second] =
        [open(&mut one, r#"[{"id":"a","payload":"1"}]"#).await, open(&mut two, r#"[{"id":"a","payload":"2"}]"#).await];
    assert_ne!(first, second);
    append(&mut one, &first, r#"[{"id":"b"}]"#).await.has(202);
    commit(&mut two, &second, "[]").await.has(200);
    assert_eq!(one.get("/storage/x").await.ids(), ["a"]);
    assert_eq!(payload(&mut one, "a").await, "2");
    commit(&mut one, &first, "[]").await.has(200);
    assert_eq!(payload(&mut one, "a").await, "1");
}

#[tokio::test]
async fn an_unfinished_batch_leaves_the_store_as_it_was_when_the_server_stops() {
    let store = Arc::default();
    let server = TestServer::start_again_on(&store, &[]);
    let mut client = server.user(1).await;
    let time = client.put("/storage/x/a", r#"{"payload":"old"}"#).await.written();
    let id = open(&mut client, r#"[{"id":"a","payload":"new"},{"id":"b"}]"#).await;
    drop(server);
    let server = TestServer::start_again_on(&store, &[]);
    let mut client = server.user(1).await;
    let list = client.get("/storage/x?full").await;
    assert_eq!(
        (list.ids(), list.last_modified(), payload(&mut client, "a").await),
        (vec!["a".into()], time, "old".into())
    );
    // It may go on where it was.
    commit(&mut client, &id, r#"[{"id":"c"}]"#).await.has(200);
    assert_eq!(client.get("/storage/x").await.ids().len(), 3);
}
