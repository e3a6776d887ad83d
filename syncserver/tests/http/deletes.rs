//! Deleting records, collections and everything (section 3).

use serde_json::json;

use crate::check::{Check, seconds};
use crate::server::{Client, TestServer};

/// Two collections with two records each; when the last of them was written.
async fn fill(client: &mut Client) -> i64 {
    client.post("/storage/x", r#"[{"id":"a","payload":"p"},{"id":"b","payload":"p"}]"#).await.has(200);
    client.post("/storage/y", r#"[{"id":"a","payload":"p"},{"id":"b","payload":"p"}]"#).await.written()
}

#[tokio::test]
async fn a_delete_of_the_store_takes_everything_but_its_time() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let mut other = server.user(2).await;
    fill(&mut other).await;
    for target in ["", "/storage", "/", "/storage/"] {
        let before = fill(&mut client).await;
        let answer = client.delete(target).await.is(200, "{}");
        let time = answer.written();
        assert!(time > before);
        for info in ["/info/collections", "/info/collection_counts", "/info/collection_usage"] {
            let answer = client.get(info).await.is(200, "{}");
            assert_eq!(answer.last_modified(), time, "{info}");
        }
        client.get("/info/quota").await.says(&json!([0.0, null]));
        client.get("/storage/x").await.is(200, "[]");
        client.get("/storage/x/a").await.is(404, "0");
        // Nothing is earlier than that, not even when the clock is.
        clock.advance(-5_000);
        assert!(client.put("/storage/x/a", "{}").await.written() > time);
    }
    // Of nothing, too.
    let mut nobody = server.user(3).await;
    assert!(nobody.delete("/storage").await.is(200, "{}").written() > 0);
    assert_eq!(other.get("/info/collection_counts").await.json(), json!({ "x": 2, "y": 2 }));
}

#[tokio::test]
async fn a_delete_of_a_collection_takes_its_record_in_info_collections_too() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let before = fill(&mut client).await;
    let answer = client.delete("/storage/x").await;
    let time = answer.written();
    assert!(time > before);
    answer.is(200, &format!("{{\"modified\":{}}}", seconds(time)));
    let info = client.get("/info/collections").await.is(200, &format!("{{\"y\":{}}}", seconds(before)));
    assert_eq!(info.last_modified(), time);
    let list = client.get("/storage/x").await.is(200, "[]");
    assert_eq!(list.must_have("X-Last-Modified"), "0.00");
    client.get("/storage/x/a").await.is(404, "0");
    assert_eq!(client.get("/storage/y").await.ids().len(), 2);
    assert!(client.put("/storage/x/c", "{}").await.written() > time);
    assert_eq!(client.get("/storage/x").await.ids(), ["c"]);
}

#[tokio::test]
async fn a_delete_in_a_collection_that_is_not_there_writes_nothing() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for target in ["/storage/z", "/storage/z?ids=a,b", "/storage/z?ids="] {
        client.delete(target).await.is(200, r#"{"modified":0.00}"#);
    }
    let last = fill(&mut client).await;
    for target in ["/storage/z", "/storage/z?ids=a,b", "/storage/z?ids="] {
        let answer = client.delete(target).await.is(200, &format!("{{\"modified\":{}}}", seconds(last)));
        assert_eq!(answer.last_modified(), last);
        let info = client.get("/info/collections").await;
        assert_eq!((info.last_modified(), info.json().as_object().unwrap().len()), (last, 2));
    }
}

#[tokio::test]
async fn a_delete_by_ids_takes_those_and_the_collection_stays() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let mut last = fill(&mut client).await;
    client
        .post("/storage/x", &json!([{ "id": "{c+d/e=}" }, { "id": "f g" }, { "id": "h%i" }]).to_string())
        .await
        .has(200);
    for (ids, left) in [
        ("nobody", vec!["a", "b", "f g", "h%i", "{c+d/e=}"]),
        ("", vec!["a", "b", "f g", "h%i", "{c+d/e=}"]),
        (",,", vec!["a", "b", "f g", "h%i", "{c+d/e=}"]),
        ("a,nobody,a", vec!["b", "f g", "h%i", "{c+d/e=}"]),
        ("{c+d/e=}", vec!["b", "f g", "h%i"]),
        ("f%20g%2Ch%25i", vec!["b"]),
        ("b", vec![]),
        ("b", vec![]),
    ] {
        let answer = client.delete(&format!("/storage/x?ids={ids}")).await;
        let time = answer.written();
        assert!(time > last, "{ids}");
        last = time;
        answer.is(200, &format!("{{\"modified\":{}}}", seconds(time)));
        let list = client.get("/storage/x").await;
        let mut ids = list.ids();
        ids.sort();
        assert_eq!((ids, list.last_modified()), (left.into_iter().map(str::to_owned).collect(), time));
        assert!(client.get("/info/collections").await.json()["x"].is_number());
    }
    assert_eq!(client.get("/storage/y").await.ids().len(), 2);
}

#[tokio::test]
async fn a_delete_names_at_most_100_ids() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let ids: Vec<String> = (0..101).map(|number| format!("{{{number}}}")).collect();
    let records: Vec<_> = ids[..100].iter().map(|id| json!({ "id": id })).collect();
    client.post("/storage/x", &json!(records).to_string()).await.has(200);
    client.delete(&format!("/storage/x?ids={}", ids.join(","))).await.is(400, "0");
    assert_eq!(client.get("/storage/x").await.ids().len(), 100);
    client.delete(&format!("/storage/x?ids={}", ids[..100].join(","))).await.written();
    client.get("/storage/x").await.is(200, "[]");
}

#[tokio::test]
async fn a_delete_never_deletes_more_than_it_names() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let last = fill(&mut client).await;
    for selector in ["newer=1", "older=1", "limit=1", "offset=x", "sort=newest", "newer", "limit=", "older=x"] {
        for target in [
            format!("/storage/x?{selector}"),
            format!("/storage/x?ids=a&{selector}"),
            format!("/storage?{selector}"),
            format!("?{selector}"),
        ] {
            client.delete(&target).await.is(400, "0");
        }
    }
    for target in ["/storage?ids=a", "?ids=a", "/storage/x?ids=%0A", "/storage/x?ids=a&ids=b", "/storage/x?ids=%FF"] {
        client.delete(target).await.is(400, "0");
    }
    assert_eq!(client.get("/info/collections").await.last_modified(), last);
    assert_eq!(client.get("/info/collection_counts").await.json(), json!({ "x": 2, "y": 2 }));
    // What it does not know is ignored, as everywhere.
    client.delete("/storage/x?ids=a&unknown=1").await.written();
    assert_eq!(client.get("/storage/x").await.ids(), ["b"]);
}

#[tokio::test]
async fn a_collection_that_lost_its_last_record_lives_on() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/a", "{}").await.has(200);
    let time = client.delete("/storage/x/a").await.written();
    client.get("/info/collections").await.is(200, &format!("{{\"x\":{}}}", seconds(time)));
    assert!(client.delete("/storage/x").await.written() > time);
    client.get("/info/collections").await.is(200, "{}");
}

#[tokio::test]
async fn a_write_and_a_delete_at_once_both_succeed_at_different_times() {
    let (server, _clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let written = client.post("/storage/x", r#"[{"id":"a"},{"id":"b"}]"#).await.written();
    let deleted = client.delete("/storage/x?ids=a").await.written();
    assert!(deleted > written);
    assert_eq!(client.get("/storage/x").await.ids(), ["b"]);
}
