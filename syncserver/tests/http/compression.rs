//! Compressed answers and requests (section 4).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::json;
use testclient::{HawkOptions, PayloadHash, Request, Response};

use crate::check::Check;
use crate::server::{Client, TestServer};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The body of an answer, and the name of the encoding that it came in.
fn inflated(answer: &Response) -> (String, Vec<u8>) {
    let encoding = answer.header("Content-Encoding").unwrap_or("identity").to_owned();
    let mut bytes = Vec::new();
    let body = answer.body.as_slice();
    match encoding.as_str() {
        "gzip" => _ = GzDecoder::new(body).read_to_end(&mut bytes).unwrap(),
        "br" => _ = brotli::Decompressor::new(body, 4096).read_to_end(&mut bytes).unwrap(),
        "zstd" => bytes = zstd::stream::decode_all(body).unwrap(),
        "identity" => bytes = body.to_vec(),
        other => panic!("nobody asked for {other}"),
    }
    (encoding, bytes)
}

async fn get(client: &mut Client, target: &str, accept: &str) -> Response {
    client.send("GET", target, |request| request.header("Accept-Encoding", accept)).await.has(200)
}

async fn fill(client: &mut Client, records: usize, length: usize) {
    for start in (0..records).step_by(100) {
        let some: Vec<_> = (start..records.min(start + 100))
            .map(|number| json!({ "id": format!("{number}"), "payload": format!("{number}é").repeat(length / 4) }))
            .collect();
        client.post("/storage/x", &json!(some).to_string()).await.has(200);
    }
}

#[tokio::test]
async fn an_answer_comes_in_the_encoding_that_the_client_asks_for() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    fill(&mut client, 50, 200).await;
    let plain = client.get("/storage/x?full").await.has(200);
    assert!(plain.header("Content-Encoding").is_none());
    for (accept, expected) in [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("identity", "identity"),
        ("deflate", "identity"),
        ("compress, x-unknown", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.5, br;q=0.9", "br"),
        ("br;q=0.1, gzip", "gzip"),
    ] {
        let answer = get(&mut client, "/storage/x?full", accept).await;
        let (encoding, body) = inflated(&answer);
        assert_eq!(encoding, expected, "{accept}");
        assert!(body == plain.body, "{accept}");
        for name in ["X-Weave-Records", "X-Last-Modified", "Content-Type"] {
            assert_eq!(answer.header(name), plain.header(name), "{accept}: {name}");
        }
        assert!(answer.headers.get_all("Vary").any(|vary| vary.to_ascii_lowercase().contains("accept-encoding")));
        if expected != "identity" {
            assert!(answer.body.len() < plain.body.len() / 2, "{accept}");
        }
    }
    // As browsers ask.
    for accept in ["gzip, deflate, br, zstd", "gzip, deflate, br", "gzip, deflate", "*"] {
        assert!(inflated(&get(&mut client, "/storage/x?full", accept).await).1 == plain.body, "{accept}");
    }
}

#[tokio::test]
async fn a_large_answer_is_the_same_in_every_encoding() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    fill(&mut client, 1000, 2000).await;
    let plain = client.get("/storage/x?full").await.has(200);
    assert!(plain.body.len() > 2_000_000);
    for accept in ["gzip", "br", "zstd"] {
        let answer = get(&mut client, "/storage/x?full", accept).await;
        assert!(inflated(&answer) == (accept.to_owned(), plain.body.clone()), "{accept}");
        let lines =
            |request: Request| request.header("Accept", "application/newlines").header("Accept-Encoding", accept);
        let lines = client.send("GET", "/storage/x?full&limit=500", lines).await.has(200);
        assert_eq!(String::from_utf8(inflated(&lines).1).unwrap().lines().count(), 500);
        let one = get(&mut client, "/storage/x/7", accept).await;
        let record: serde_json::Value = serde_json::from_slice(&inflated(&one).1).unwrap();
        assert_eq!(record["payload"], "7é".repeat(500));
    }
}

#[tokio::test]
async fn an_error_can_be_read_whatever_encodings_the_client_takes() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let accept = |request: Request| request.header("Accept-Encoding", "gzip, br, zstd");
    let answer = client.send("GET", "/storage/x/none", accept).await.has(404);
    assert_eq!(inflated(&answer).1, b"0");
    let cached = |request: Request| accept(request).header("X-If-Modified-Since", "4102405200000");
    client.put("/storage/x/a", "{}").await.has(200);
    assert!(client.send("GET", "/storage/x", cached).await.has(304).body.is_empty());
}

fn packed(request: Request, body: &[u8]) -> Request {
    request.header("Content-Type", "application/json").header("Content-Encoding", "gzip").body(gzip(body))
}

#[tokio::test]
async fn a_request_may_come_compressed() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let payload = "payload é🦊 ".repeat(1000);
    let put = json!({ "payload": payload }).to_string();
    let post = json!([{ "id": "b", "payload": payload }]).to_string();
    client.send("PUT", "/storage/x/a", |request| packed(request, put.as_bytes())).await.has(200);
    client.send("POST", "/storage/x", |request| packed(request, post.as_bytes()).chunked()).await.has(200);
    for id in ["a", "b"] {
        assert_eq!(client.get(&format!("/storage/x/{id}")).await.json()["payload"], payload);
    }
    // Lines, and with the hash of what is in it.
    let lines = |request: Request| {
        request
            .header("Content-Type", "application/newlines")
            .header("Content-Encoding", "GZIP")
            .body(gzip(b"{\"id\":\"c\"}\n"))
    };
    client.send("POST", "/storage/x", lines).await.has(200);
    let hash = testclient::payload_hash("application/json", put.as_bytes());
    let hash = || HawkOptions { hash: PayloadHash::Text(hash.clone()), ..Default::default() };
    client.send("PUT", "/storage/x/d", |request| packed(request, put.as_bytes()).hawk(hash())).await.has(200);
    client.send("PUT", "/storage/x/d", |request| packed(request, b"{}").hawk(hash())).await.is(401, "0");
}

#[tokio::test]
async fn a_request_that_does_not_inflate_is_400_and_an_unknown_encoding_415() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let whole = gzip(r#"{"payload":"some text that is longer than nothing"}"#.as_bytes());
    for broken in [&b"{}"[..], &b"\x1f\x8b"[..], &whole[..whole.len() - 9], &whole[..12]] {
        let put = |request: Request| packed(request, b"").body(broken);
        let answer = client.send("PUT", "/storage/x/a", put).await;
        assert_eq!(answer.status, 400, "{broken:?}: {answer:?}");
    }
    for encoding in ["compress", "x-rot13", "gzip, gzip", "br", "zstd", "deflate"] {
        let put = |request: Request| packed(request, b"{}").set_header("Content-Encoding", encoding);
        let answer = client.send("PUT", "/storage/x/a", put).await;
        assert_eq!(answer.status, 415, "{encoding}: {answer:?}");
    }
    client.get("/info/collections").await.is(200, "{}");
    let identity = |request: Request| crate::server::json(request, "{}").header("Content-Encoding", "identity");
    client.send("PUT", "/storage/x/a", identity).await.has(200);
}

#[tokio::test]
async fn limits_are_of_the_inflated_size() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    client.send("PUT", "/storage/x/a", |request| packed(request, padded(2_625_536).as_bytes())).await.has(200);
    client.send("PUT", "/storage/x/a", |request| packed(request, padded(2_625_537).as_bytes())).await.is(413, "17");
    let payload = json!({ "payload": "x".repeat(2_621_441) }).to_string();
    client.send("PUT", "/storage/x/a", |request| packed(request, payload.as_bytes())).await.is(413, "17");
    let post = format!("[{payload}]").replace("{\"payload\"", "{\"id\":\"a\",\"payload\"");
    let answer = client.send("POST", "/storage/x", |request| packed(request, post.as_bytes())).await.has(200);
    assert_eq!(answer.json()["failed"], json!({ "a": "retry bytes" }));
}

#[tokio::test]
async fn a_small_bomb_is_413() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    // 64 MB of spaces.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&spaces).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 500_000);
    for (method, target) in [("PUT", "/storage/x/a"), ("POST", "/storage/x")] {
        for chunked in [false, true] {
            let send = |request: Request| {
                let request = packed(request, b"").body(bomb.clone());
                if chunked { request.chunked() } else { request }
            };
            client.send(method, target, send).await.is(413, "17");
        }
    }
    client.get("/info/collections").await.is(200, "{}");
}
