//! What a write may hold and what it leaves alone (sections 1 and 3.5), and its time.

use serde_json::json;

use crate::check::Check;
use crate::server::{Client, TestServer};

#[tokio::test]
async fn an_invalid_record_is_400_with_body_8_and_nothing_is_stored() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for body in [
        "",
        "{",
        "[]",
        "[{}]",
        "null",
        "1",
        "\"a\"",
        "{}x",
        "{} {}",
        r#"{"id":1}"#,
        r#"{"id":null}"#,
        r#"{"payload":1}"#,
        r#"{"payload":{}}"#,
        r#"{"payload":["a"]}"#,
        r#"{"payload":true}"#,
        r#"{"payload":"a\u0000b"}"#,
        r#"{"payload":"\ud800"}"#,
        r#"{"payload":"a	b"}"#,
        r#"{"sortindex":"1"}"#,
        r#"{"sortindex":1.5}"#,
        r#"{"sortindex":1e2}"#,
        r#"{"sortindex":true}"#,
        r#"{"sortindex":1000000000}"#,
        r#"{"sortindex":-1000000000}"#,
        r#"{"sortindex":99999999999999999999}"#,
        r#"{"ttl":"60"}"#,
        r#"{"ttl":-1}"#,
        r#"{"ttl":1000000000}"#,
        r#"{"ttl":1.5}"#,
        r#"{"ttl":[]}"#,
        r#"{"extra":1}"#,
        r#"{"Payload":"p"}"#,
        r#"{"payload_size":1}"#,
    ] {
        let answer = client.put("/storage/x/a", body).await;
        assert_eq!((answer.status, answer.text()), (400, "8"), "{body}");
    }
    let not_utf8 =
        |request: testclient::Request| request.header("Content-Type", "text/plain").body(b"{\"payload\":\"\xff\"}");
    client.send("PUT", "/storage/x/a", not_utf8).await.is(400, "8");
    client.get("/info/collections").await.is(200, "{}");
}

#[tokio::test]
async fn the_edges_of_what_is_valid_are_accepted() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for body in [
        "{}",
        " {} \n",
        r#"{"id":"a"}"#,
        r#"{"id":"a","modified":0}"#,
        r#"{"modified":"any","collection":[1]}"#,
        r#"{"modified":1388635807.41}"#,
        r#"{"sortindex":-999999999}"#,
        r#"{"sortindex":999999999}"#,
        r#"{"sortindex":null,"payload":null,"ttl":null}"#,
        r#"{"ttl":999999999}"#,
        r#"{"p\u0061yload":"p"}"#,
    ] {
        let answer = client.put("/storage/x/a", body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
    }
    assert_eq!(client.get("/storage/x/a").await.json()["payload"], "p");
}

#[tokio::test]
async fn a_record_comes_as_json_text_or_a_line_and_nothing_else() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for (content_type, status) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("APPLICATION/JSON"), 200),
        (Some("text/plain"), 200),
        (Some("text/plain;charset=UTF-8"), 200),
        (Some("application/newlines"), 200),
        (None, 200),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("text/html"), 415),
        (Some("application/octet-stream"), 415),
        (Some("application/jsonx"), 415),
    ] {
        let put = |request: testclient::Request| match content_type {
            Some(value) => request.header("Content-Type", value).body(r#"{"payload":"p"}"#),
            None => request.body(r#"{"payload":"p"}"#),
        };
        let answer = client.send("PUT", "/storage/x/a", put).await;
        assert_eq!(answer.status, status, "{content_type:?}: {answer:?}");
        if status == 415 {
            answer.is(415, "0");
        }
    }
}

async fn fields(client: &mut Client, target: &str) -> (String, i64, Option<i64>) {
    let read = client.get(target).await.has(200);
    let json = read.json();
    (json["payload"].as_str().unwrap().to_owned(), read.last_modified(), json["sortindex"].as_i64())
}

#[tokio::test]
async fn an_absent_field_stays_and_a_null_one_is_reset() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let all = r#"{"payload":"p","sortindex":5,"ttl":100}"#;
    client.put("/storage/x/a", all).await.has(200);
    let time = client.put("/storage/x/a", r#"{"payload":"q"}"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await, ("q".into(), time, Some(5)));
    let time = client.put("/storage/x/a", r#"{"sortindex":6}"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await, ("q".into(), time, Some(6)));
    let time = client.post("/storage/x", r#"[{"id":"a","sortindex":null}]"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await, ("q".into(), time, None));
    let time = client.put("/storage/x/a", r#"{"payload":null}"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await, (String::new(), time, None));
    clock.advance(101_000);
    client.get("/storage/x/a").await.is(404, "0");
    client.put("/storage/x/b", all).await.has(200);
    client.put("/storage/x/b", r#"{"ttl":null}"#).await.has(200);
    clock.advance(101_000);
    client.get("/storage/x/b").await.has(200);
}

#[tokio::test]
async fn a_write_of_neither_payload_nor_sortindex_leaves_modified_alone() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let first = client.put("/storage/x/a", r#"{"payload":"p"}"#).await.written();
    for body in ["{}", r#"{"ttl":100}"#, r#"{"ttl":null}"#, r#"{"id":"a","modified":5}"#] {
        let time = client.put("/storage/x/a", body).await.written();
        assert!(time > first);
        assert_eq!(fields(&mut client, "/storage/x/a").await.1, first, "{body}");
        assert_eq!(client.get("/storage/x").await.last_modified(), time, "{body}");
        assert_eq!(client.get("/info/collections").await.last_modified(), time, "{body}");
    }
    let time = client.post("/storage/x", r#"[{"id":"a"},{"id":"b"}]"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await.1, first);
    assert_eq!(fields(&mut client, "/storage/x/b").await.1, time);
    // Null counts as present.
    let time = client.put("/storage/x/a", r#"{"sortindex":null}"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await.1, time);
    let time = client.put("/storage/x/a", r#"{"payload":null}"#).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await.1, time);
}

#[tokio::test]
async fn an_expired_record_is_absent_everywhere_and_may_be_overwritten() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    client.put("/storage/x/a", r#"{"payload":"old","sortindex":1,"ttl":10}"#).await.has(200);
    clock.advance(9_000);
    client.get("/storage/x/a").await.has(200);
    clock.advance(1_001);
    client.get("/storage/x/a").await.is(404, "0");
    client.delete("/storage/x/a").await.is(404, "0");
    client.get("/storage/x").await.is(200, "[]");
    client.get("/storage/x?full&ids=a").await.is(200, "[]");
    client.get("/info/quota").await.says(&json!([0.0, null]));
    // As a record that is not there: nothing of the old one is left, and its condition is that of an absent one.
    let unmodified = |request: testclient::Request| {
        crate::server::json(request, r#"{"sortindex":2}"#).header("X-If-Unmodified-Since", "0")
    };
    let time = client.send("PUT", "/storage/x/a", unmodified).await.written();
    assert_eq!(fields(&mut client, "/storage/x/a").await, (String::new(), time, Some(2)));
    clock.advance(1_000_000);
    client.get("/storage/x/a").await.has(200);

    client.put("/storage/x/b", r#"{"ttl":0}"#).await.has(200);
    client.get("/storage/x/b").await.is(404, "0");
    client.put("/storage/x/c", r#"{"ttl":999999999}"#).await.has(200);
    client.get("/storage/x/c").await.has(200);
}

#[tokio::test]
async fn a_new_ttl_counts_from_its_own_write() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    client.put("/storage/x/a", r#"{"payload":"p","ttl":10}"#).await.has(200);
    clock.advance(8_000);
    client.post("/storage/x", r#"[{"id":"a","ttl":10}]"#).await.has(200);
    clock.advance(8_000);
    assert_eq!(fields(&mut client, "/storage/x/a").await.0, "p");
    clock.advance(2_001);
    client.get("/storage/x/a").await.is(404, "0");
}

#[tokio::test]
async fn a_payload_over_the_limit_is_413() {
    let server = TestServer::start_with(&[("SYNC_SYNCSTORAGE__LIMITS__MAX_RECORD_PAYLOAD_BYTES", "100")]);
    let mut client = server.user(1).await;
    let put = |payload: &str| json!({ "payload": payload }).to_string();
    client.put("/storage/x/a", &put(&"x".repeat(100))).await.has(200);
    client.put("/storage/x/a", &put(&"é".repeat(50))).await.has(200);
    client.put("/storage/x/a", &put(&"x".repeat(101))).await.is(413, "17");
    client.put("/storage/x/a", &put(&"é".repeat(51))).await.is(413, "17");
    assert_eq!(fields(&mut client, "/storage/x/a").await.0, "é".repeat(50));
}

#[tokio::test]
async fn keys_that_would_lock_the_user_out_are_refused() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let payload = r#"{"ciphertext":"x","IV":"AAAAAAAAAAAAAAAAAAAAAA==","hmac":"y"}"#;
    let [bad, good] = [payload.to_owned(), payload.replacen("AAA", "AAB", 1)];
    let record = |payload: &str| json!({ "id": "keys", "payload": payload });
    client.put("/storage/crypto/keys", &record(&bad).to_string()).await.is(400, "8");
    client.post("/storage/crypto", &json!([record(&bad)]).to_string()).await.is(400, "8");
    client.post("/storage/crypto", &json!([{ "id": "a" }, record(&bad)]).to_string()).await.is(400, "8");
    client.post("/storage/crypto?batch=true", &json!([record(&bad)]).to_string()).await.is(400, "8");
    client.get("/info/collections").await.is(200, "{}");
    client.put("/storage/crypto/keys", &record(&good).to_string()).await.has(200);
    client.put("/storage/crypto/keys", &record("no JSON AAAAAAAAAAAAAAAAAAAAAA==").to_string()).await.has(200);
    client.put("/storage/crypto2/keys", &record(&bad).to_string()).await.has(200);
    client.put("/storage/bookmarks/keys", &record(&bad).to_string()).await.has(200);
}

#[tokio::test]
async fn writes_in_one_tick_get_different_times_and_no_clock_sets_them_back() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let mut last = 0;
    for step in [0, 0, 3, 0, 10, -1, -5_000, 0, -7_200_000, 20] {
        clock.advance(step);
        for write in 0..3 {
            let written = match write {
                0 => client.put("/storage/x/a", r#"{"payload":"p"}"#).await,
                1 => client.post("/storage/y", r#"[{"id":"a","payload":"p"},{"id":"b","payload":"p"}]"#).await,
                _ => client.delete("/storage/y?ids=a").await,
            };
            let time = written.written();
            assert!(time > last, "{time} after {last}");
            last = time;
        }
        assert_eq!(client.get("/info/collections").await.last_modified(), last);
        assert!(client.get("/info/collections").await.timestamp() >= last);
    }
}

#[tokio::test]
async fn a_burst_of_one_user_ends_in_503_with_retry_after_and_loses_nothing() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    let mut last = 0;
    for number in 0..=200 {
        let time = client.put("/storage/x/a", &json!({ "sortindex": number }).to_string()).await.written();
        assert!(time > last && time * 10 <= clock.now_ms() + 2_000);
        last = time;
    }
    let refused = client.put("/storage/x/a", r#"{"sortindex":777}"#).await.is(503, "0");
    assert!(refused.must_have("Retry-After").parse::<u32>().unwrap() > 0);
    assert_eq!(fields(&mut client, "/storage/x/a").await, (String::new(), last, Some(200)));
    // Others are not held up, and the user is not for long.
    server.user(2).await.put("/storage/x/a", "{}").await.has(200);
    clock.advance(100);
    client.put("/storage/x/a", r#"{"sortindex":777}"#).await.has(200);
}
