//! The client against the mock accounts server, and against servers that answer in odd ways.
#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that goes wrong")]

use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use testclient::{Connection, Key, MockFxa, Reply, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that reads so many bytes, answers with these, and hangs up.
async fn canned(read: usize, answer: impl Into<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, answer) = (listener.local_addr().unwrap(), answer.into());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut vec![0; read]).await.unwrap();
        stream.write_all(&answer).await.unwrap();
        stream.shutdown().await.unwrap();
        // Until the client hangs up too; else what it still sends would reset the connection under its answer.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
    });
    addr
}

#[tokio::test]
async fn the_mock_answers_what_it_is_told_and_counts() {
    let mock = MockFxa::start();
    let mut connection = Connection::connect(mock.addr()).await.unwrap();
    let jwks = connection.send(&Request::get("/v1/jwks")).await.unwrap();
    assert_eq!(jwks.json(), json!({"keys": [Key::first().jwk()]}));
    assert_eq!(jwks.header("CONTENT-type"), Some("application/json"));

    let verify = Request::post("/v1/verify", r#"{"token":"t"}"#);
    assert_eq!(connection.send(&verify).await.unwrap().status, 400);
    mock.set_verify(Reply::json(&json!({"user": "u", "scope": []})).after(Duration::from_millis(30)));
    let start = std::time::Instant::now();
    assert_eq!(connection.send(&verify).await.unwrap().json()["user"], "u");
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(connection.send(&Request::get("/v1/other")).await.unwrap().status, 404);

    mock.set_jwks(Reply::hang_up());
    assert!(connection.send(&Request::get("/v1/jwks")).await.is_err());
    assert!(connection.is_closed());
    assert_eq!((mock.jwks_requests(), mock.verify_requests()), (2, 2));
    assert_eq!(mock.verify_bodies()[0], json!({"token": "t"}));
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let two = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let mut connection = Connection::connect(canned(0, two).await).await.unwrap();
    assert_eq!(connection.send(&Request::get("/")).await.unwrap().status, 304);
    let head = connection.send(&Request::head("/")).await.unwrap();
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("5")));
}

#[tokio::test]
async fn a_chunked_body_can_be_read_in_small_bits() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    let mut connection = Connection::connect_with_buffer(canned(0, answer).await, 4096).await.unwrap();
    let mut body = connection.send_for_body(&Request::get("/")).await.unwrap();
    let mut bits = Vec::new();
    while let Some(bit) = body.next(2).await.unwrap() {
        assert!(bit.len() <= 2);
        bits.extend(bit);
    }
    assert_eq!(bits, b"hello!");
    assert!(!connection.is_closed());
    assert!(connection.is_hung_up_within(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_taken() {
    let answer = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\n\r\n17";
    let addr = canned(100, answer).await;
    let mut connection = Connection::connect(addr).await.unwrap();
    let response = connection.send(&Request::post("/", vec![b'x'; 64 << 20])).await.unwrap();
    assert_eq!((response.status, response.text()), (413, "17"));
}

#[tokio::test]
async fn a_body_cut_short_is_an_error_and_one_without_a_length_is_not() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell";
    let mut connection = Connection::connect(canned(0, cut).await).await.unwrap();
    assert!(connection.send(&Request::get("/")).await.is_err());
    let endless = "HTTP/1.1 200 OK\r\n\r\nhell";
    let mut connection = Connection::connect(canned(0, endless).await).await.unwrap();
    assert_eq!(connection.send(&Request::get("/")).await.unwrap().text(), "hell");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn raw_bytes_go_out_as_they_are() {
    let mut connection = Connection::connect(canned(4, "HTTP/1.1 400 Bad Request\r\n\r\n").await).await.unwrap();
    connection.send_raw(b"\x00\r\n\r").await.unwrap();
    assert_eq!(connection.read_response().await.unwrap().status, 400);
}
