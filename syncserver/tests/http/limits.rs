//! What requests may hold (sections 3.4, 4 and 7).

use std::time::Duration;

use serde_json::json;
use testclient::Request;

use crate::check::Check;
use crate::server::{Client, TestServer};

const SMALL: [(&str, &str); 6] = [
    ("SYNC_SYNCSTORAGE__LIMITS__MAX_RECORD_PAYLOAD_BYTES", "100"),
    ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES", "250"),
    ("SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES", "2000"),
    ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS", "5"),
    ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_RECORDS", "8"),
    ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_BYTES", "400"),
];

/// A list of records, named a, b, c and so on, with payloads of these lengths.
fn records(lengths: &[usize]) -> String {
    let record = |(number, length): (usize, &usize)| {
        let id = char::from(b'a' + u8::try_from(number).unwrap());
        json!({ "id": id, "payload": "x".repeat(*length) })
    };
    json!(lengths.iter().enumerate().map(record).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn what_a_request_has_too_much_of_fails_with_a_word_to_send_it_again() {
    let server = TestServer::start_with(&SMALL);
    let mut client = server.user(1).await;
    for query in ["", "?batch=true&commit=true", "?batch=true"] {
        for (lengths, failed) in [
            (vec![0; 5], json!({})),
            (vec![0; 7], json!({ "f": "retry bso", "g": "retry bso" })),
            (vec![101, 100, 0], json!({ "a": "retry bytes" })),
            (vec![100, 100, 50], json!({})),
            (vec![100, 100, 51], json!({ "c": "retry bytes" })),
            (vec![100, 100, 51, 50], json!({ "c": "retry bytes" })),
            (vec![100, 100, 50, 0, 0, 0], json!({ "f": "retry bso" })),
        ] {
            client.delete("").await.has(200);
            let target = format!("/storage/x{query}");
            let answer = client.post(&target, &records(&lengths)).await;
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            let answer = answer.json();
            assert_eq!(answer["failed"], failed, "{lengths:?}");
            let stored = lengths.len() - failed.as_object().unwrap().len();
            assert_eq!(answer["success"].as_array().unwrap().len(), stored, "{lengths:?}");
            if let Some(batch) = answer["batch"].as_str() {
                client.post(&format!("/storage/x?batch={batch}&commit=true"), "[]").await.has(200);
            }
            let mut ids = client.get("/storage/x").await.ids();
            ids.sort();
            assert_eq!(json!(ids), answer["success"]);
        }
    }
}

#[tokio::test]
async fn sizes_are_bytes_of_payload_not_of_json() {
    let server = TestServer::start_with(&SMALL);
    let mut client = server.user(1).await;
    let post = |payload: String| json!([{ "id": "a", "payload": payload }]).to_string();
    for (payload, failed) in
        [("\n".repeat(100), json!({})), ("é".repeat(50), json!({})), ("é".repeat(51), json!({ "a": "retry bytes" }))]
    {
        let answer = client.post("/storage/x", &post(payload)).await.has(200).json();
        assert_eq!(answer["failed"], failed);
    }
}

#[tokio::test]
async fn a_limit_may_be_a_collections_own() {
    let own = r#"{"history":{"max_record_payload_bytes":10,"max_post_bytes":15,"max_request_bytes":200},"tabs":{"max_record_payload_bytes":150}}"#;
    let mut environment = SMALL.to_vec();
    environment.push(("SYNC_SYNCSTORAGE__LIMITS__COLLECTIONS", own));
    let server = TestServer::start_with(&environment);
    let mut client = server.user(1).await;
    let put = |length: usize| json!({ "payload": "x".repeat(length) }).to_string();
    for (collection, length, status) in [
        ("history", 10, 200),
        ("history", 11, 413),
        ("tabs", 150, 200),
        ("tabs", 151, 413),
        ("bookmarks", 100, 200),
        ("bookmarks", 101, 413),
    ] {
        let answer = client.put(&format!("/storage/{collection}/a"), &put(length)).await;
        assert_eq!(answer.status, status, "{collection} {length}");
    }
    let answer = client.post("/storage/history", &records(&[10, 6, 5])).await.has(200).json();
    assert_eq!(answer["failed"], json!({ "b": "retry bytes" }));
    let answer = client.post("/storage/tabs", &records(&[150, 100])).await.has(200).json();
    assert_eq!(answer["failed"], json!({}));
    let padded = format!("{}{}", " ".repeat(200), records(&[1]));
    client.post("/storage/history", &padded).await.is(413, "17");
    client.post("/storage/bookmarks", &padded).await.has(200);
    for (collection, bytes, status) in [("history", 15, 200), ("history", 16, 400), ("tabs", 250, 200)] {
        let announce = |request: Request| crate::server::json(request, "[]").header("X-Weave-Bytes", bytes);
        client.send("POST", &format!("/storage/{collection}"), announce).await.has(status);
    }
}

async fn announce(client: &mut Client, target: &str, name: &str, value: &str) -> testclient::Response {
    client.send("POST", target, |request| crate::server::json(request, r#"[{"id":"a"}]"#).header(name, value)).await
}

#[tokio::test]
async fn an_announced_size_over_the_limit_is_400_with_body_17() {
    let server = TestServer::start_with(&SMALL);
    let mut client = server.user(1).await;
    for (name, limit, targets) in [
        ("X-Weave-Records", 5, ["/storage/x", "/storage/x?batch=true"]),
        ("X-Weave-Bytes", 250, ["/storage/x", "/storage/x?batch=true"]),
        ("X-Weave-Total-Records", 8, ["/storage/x?batch=true&commit=true", "/storage/x?batch=true"]),
        ("X-Weave-Total-Bytes", 400, ["/storage/x?batch=true&commit=true", "/storage/x?batch=true"]),
    ] {
        for target in targets {
            client.delete("").await.has(200);
            for too_large in [(limit + 1).to_string(), "99999999999999999999999".into()] {
                announce(&mut client, target, name, &too_large).await.is(400, "17");
            }
            for no_number in ["", "-1", "x", "1.5", "+1", "1e1", "0x1", "1 2", "NaN"] {
                let answer = announce(&mut client, target, name, no_number).await;
                assert_eq!((answer.status, answer.text()), (400, "0"), "{name}: {no_number:?}");
            }
            client.get("/info/collections").await.is(200, "{}");
            for fits in ["0", "1", &limit.to_string(), "0000000000000000000000000000001"] {
                let answer = announce(&mut client, target, name, fits).await;
                assert!(matches!(answer.status, 200 | 202), "{name}: {fits}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_announced_total_without_a_batch_is_400_with_body_1() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for name in ["X-Weave-Total-Records", "X-Weave-Total-Bytes"] {
        for value in ["0", "1", "999999999999"] {
            announce(&mut client, "/storage/x", name, value).await.is(400, "1");
        }
    }
    client.get("/info/collections").await.is(200, "{}");
}

#[tokio::test]
async fn a_body_over_the_request_limit_is_413() {
    let server = TestServer::start_with(&SMALL);
    let mut client = server.user(1).await;
    let padded = |body: &str, length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    client.put("/storage/x/a", &padded("{}", 2000)).await.has(200);
    client.put("/storage/x/a", &padded("{}", 2001)).await.is(413, "17");
    client.post("/storage/x", &padded("[]", 2000)).await.has(200);
    client.post("/storage/x", &padded("[]", 2001)).await.is(413, "17");
    for (length, status) in [(2000, 200), (2001, 413)] {
        let body = padded("[]", length);
        client.send("POST", "/storage/x", |request| crate::server::json(request, &body).chunked()).await.has(status);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read_whole() {
    let server = TestServer::start();
    for (method, target) in [("PUT", "/storage/x/a"), ("POST", "/storage/x"), ("POST", "/storage/x?batch=true")] {
        // Announced, and never sent.
        let mut client = server.user(1).await;
        client.connection.timeout = Duration::from_secs(10);
        let announced = |request: Request| crate::server::json(request, "[").header("Content-Length", 2_625_537);
        client.send(method, target, announced).await.is(413, "17");
        // Not announced, and never ended.
        let mut connection = server.connect().await;
        connection.timeout = Duration::from_secs(10);
        let token = &server.user(1).await.token;
        let head =
            Request::new(method, token.path(target)).auth(token).header("Transfer-Encoding", "chunked").chunked();
        let head = crate::server::json(head, "").to_bytes(&connection.host, connection.port);
        let end = head.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        connection.send_raw(&head[..end]).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        for _ in 0..41 {
            // The server may hang up before the last.
            if connection.send_raw(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        connection.read_response().await.unwrap().is(413, "17");
    }
}

#[tokio::test]
async fn the_largest_record_of_the_default_limits_fits() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let payload = "x".repeat(2_621_440);
    client.put("/storage/x/a", &json!({ "payload": payload }).to_string()).await.has(200);
    let posted = client.post("/storage/x", &json!([{ "id": "b", "payload": payload }]).to_string()).await;
    assert_eq!(posted.has(200).json()["success"], json!(["b"]));
    assert_eq!(client.get("/storage/x/b").await.json()["payload"], payload);
    client.put("/storage/x/a", &json!({ "payload": payload + "x" }).to_string()).await.is(413, "17");
}

#[test]
fn limits_that_contradict_each_other_are_refused_at_the_start() {
    for (name, value) in [
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES", "1000"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES", "1000"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_RECORD_PAYLOAD_BYTES", "99999999"),
        ("SYNC_SYNCSTORAGE__LIMITS__COLLECTIONS", r#"{"history":{"max_request_bytes":1000}}"#),
    ] {
        let refused = syncserver::settings::load(None, [("SYNC_MASTER_SECRET", "x"), (name, value)]);
        assert!(refused.is_err(), "{name}={value}");
    }
}
