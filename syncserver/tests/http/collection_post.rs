//! Writing records to a collection (section 3.4).

use serde_json::json;
use testclient::Request;

use crate::check::{Check, seconds};
use crate::server::TestServer;

#[tokio::test]
async fn a_post_answers_its_time_and_what_became_of_each_record() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let answer = client.post("/storage/x", r#"[{"id":"b","payload":"p"},{"id":"a"},{"id":"c","ttl":"1"}]"#).await;
    let time = answer.written();
    let body = answer.json();
    assert!(answer.text().contains(&format!("\"modified\":{}", seconds(time))), "{answer:?}");
    assert_eq!(body["success"], json!(["b", "a"]));
    assert_eq!(body["failed"].as_object().unwrap().keys().collect::<Vec<_>>(), ["c"]);
    assert!(body["failed"]["c"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert_eq!(body.as_object().unwrap().len(), 3);
    for id in ["a", "b"] {
        assert_eq!(client.get(&format!("/storage/x/{id}")).await.last_modified(), time);
    }
    assert_eq!(client.get("/storage/x").await.last_modified(), time);
    assert_eq!(client.get("/info/collections").await.json(), json!({ "x": body["modified"] }));
}

#[tokio::test]
async fn a_post_of_nothing_writes_the_time_of_the_collection() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let answer = client.post("/storage/x", "[]").await;
    let time = answer.written();
    assert_eq!(answer.text(), format!(r#"{{"modified":{},"success":[],"failed":{{}}}}"#, seconds(time)));
    assert_eq!(client.get("/storage/x").await.last_modified(), time);
    let empty = |request: Request| request.header("Content-Type", "application/newlines").body("");
    let answer = client.send("POST", "/storage/x", empty).await;
    assert!(answer.written() > time);
    assert_eq!(answer.json()["success"], json!([]));
}

#[tokio::test]
async fn a_body_is_a_list_or_lines_by_its_content_type() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let list = r#"[{"id":"a","payload":"1"},{"id":"b","payload":"2"}]"#;
    let lines = "{\"id\":\"a\",\"payload\":\"1\"}\n{\"id\":\"b\",\"payload\":\"2\"}";
    let ended = format!("{lines}\n");
    for (content_type, body, status) in [
        (Some("application/json"), list, 200),
        (Some("application/json;charset=utf-8"), list, 200),
        (Some("text/plain"), list, 200),
        (Some("Text/Plain; charset=UTF-8"), list, 200),
        (None, list, 200),
        (Some("application/newlines"), lines, 200),
        (Some("application/newlines"), ended.as_str(), 200),
        (Some("application/newlines; charset=utf-8"), ended.as_str(), 200),
        (Some("application/json"), lines, 400),
        (Some("text/plain"), lines, 400),
        (Some("application/newlines"), list, 400),
        (Some("application/octet-stream"), list, 415),
        (Some("application/x-www-form-urlencoded"), list, 415),
        (Some("multipart/form-data; boundary=x"), list, 415),
        (Some("text/json"), list, 415),
    ] {
        client.delete("/storage/x").await.has(200);
        let post = |request: Request| match content_type {
            Some(value) => request.header("Content-Type", value).body(body),
            None => request.body(body),
        };
        let answer = client.send("POST", "/storage/x", post).await;
        assert_eq!(answer.status, status, "{content_type:?}: {answer:?}");
        match status {
            200 => assert_eq!(answer.json()["success"], json!(["a", "b"])),
            400 => _ = answer.is(400, "8"),
            _ => _ = answer.is(415, "0"),
        }
        assert_eq!(client.get("/storage/x").await.ids().len(), if status == 200 { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_as_a_whole_is_400_with_body_8_and_nothing_is_stored() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for body in [
        "",
        " ",
        "{}",
        r#"{"id":"a"}"#,
        "null",
        "1",
        "\"a\"",
        "[",
        r#"[{"id":"a"}"#,
        r#"[{"id":"a"},]"#,
        r#"[{"id":"a"}] x"#,
        r#"[{"id":"a"},null]"#,
        r#"[{"id":"a"},1]"#,
        r#"[{"id":"a"},"b"]"#,
        r#"[{"id":"a"},[]]"#,
        r#"[{"id":"a"},{}]"#,
        r#"[{"id":"a"},{"payload":"p"}]"#,
        r#"[{"id":"a"},{"id":null}]"#,
        r#"[{"id":"a"},{"id":1}]"#,
        r#"[{"id":"a"},{"id":["b"]}]"#,
        r#"[{"id":"a"},{"id":"b"},{"id":"a"}]"#,
        r#"[{"id":"a"},{"id":"\u0061"}]"#,
        r#"[{"id":"a"},{"id":"b","payload":"\udc00"}]"#,
        "[{\"id\":\"a\"\n",
    ] {
        let answer = client.post("/storage/x", body).await;
        assert_eq!((answer.status, answer.text()), (400, "8"), "{body}");
    }
    let a = "{\"id\":\"a\"}";
    for body in [
        "\n",
        " ",
        &format!("{a}\n\n"),
        &format!("{a}\n\n{{\"id\":\"b\"}}"),
        &format!("{a}{a}"),
        &format!("{a}\n{a}"),
        "[]",
        "{}\n",
    ] {
        let lines = |request: Request| request.header("Content-Type", "application/newlines").body(body);
        let answer = client.send("POST", "/storage/x", lines).await;
        assert_eq!((answer.status, answer.text()), (400, "8"), "{body:?}");
    }
    let not_utf8 = |request: Request| crate::server::json(request, "").body(b"[{\"id\":\"\xff\"}]");
    client.send("POST", "/storage/x", not_utf8).await.is(400, "8");
    client.get("/info/collections").await.is(200, "{}");
}

#[tokio::test]
async fn an_invalid_record_fails_alone() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.post("/storage/x", r#"[{"id":"bad","payload":"old"}]"#).await.has(200);
    for invalid in [
        r#""payload":1"#,
        r#""payload":{"a":1}"#,
        r#""payload":"\u0000""#,
        r#""sortindex":"1""#,
        r#""sortindex":1.0"#,
        r#""sortindex":1000000000"#,
        r#""sortindex":-1000000000"#,
        r#""sortindex":false"#,
        r#""ttl":"1""#,
        r#""ttl":-1"#,
        r#""ttl":1000000000"#,
        r#""ttl":2.5"#,
        r#""deleted":true"#,
        r#""":1"#,
    ] {
        let body = format!(r#"[{{"id":"a","payload":"p"}},{{"id":"bad",{invalid}}},{{"id":"b"}}]"#);
        let answer = client.post("/storage/x", &body).await.has(200).json();
        assert_eq!(answer["success"], json!(["a", "b"]), "{invalid}");
        let failed = answer["failed"].as_object().unwrap();
        assert!(failed.len() == 1 && failed["bad"].is_string(), "{invalid}: {answer}");
        assert_eq!(client.get("/storage/x/bad").await.json()["payload"], "old", "{invalid}");
    }
    let long = "a".repeat(65);
    for id in ["", "a\nb", "\t", "é", "🦊", "\u{7f}", long.as_str()] {
        let answer = client.post("/storage/x", &json!([{ "id": id }, { "id": "good" }]).to_string()).await;
        let answer = answer.has(200).json();
        assert_eq!(answer["success"], json!(["good"]), "{id:?}");
        assert!(answer["failed"][id].is_string(), "{id:?}: {answer}");
    }
    // All of them may fail; the time is written all the same, and said.
    let answer = client.post("/storage/y", r#"[{"id":"a","ttl":-1}]"#).await;
    answer.written();
    assert_eq!(answer.json()["success"], json!([]));
    client.get("/storage/y").await.is(200, "[]");
}

#[tokio::test]
async fn fields_that_are_the_servers_own_are_accepted_and_ignored() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let body = r#"[{"id":"a","modified":0,"collection":"y"},{"id":"b","modified":"x","collection":null}]"#;
    let answer = client.post("/storage/x", body).await;
    let time = answer.written();
    assert_eq!(answer.json()["success"], json!(["a", "b"]));
    assert_eq!(client.get("/storage/x/a").await.last_modified(), time);
    client.get("/storage/y").await.is(200, "[]");
}

#[tokio::test]
async fn all_printable_ids_are_accepted_and_given_back() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let ids: Vec<String> = (b' '..=b'~').map(|byte| format!("<{}>", char::from(byte))).collect();
    let records: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
    let answer = client.post("/storage/x", &json!(records).to_string()).await.has(200).json();
    assert_eq!(answer["success"], json!(ids));
    let mut listed = client.get("/storage/x").await.ids();
    listed.sort();
    let mut ids = ids;
    ids.sort();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn a_post_may_come_in_chunks() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let payload = "x".repeat(50_000);
    let body = json!([{ "id": "a", "payload": payload }]).to_string();
    client.send("POST", "/storage/x", |request| crate::server::json(request, &body).chunked()).await.has(200);
    assert_eq!(client.get("/storage/x/a").await.json()["payload"], payload);
}
