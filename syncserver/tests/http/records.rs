//! One record (sections 1 and 3): `/storage/{collection}/{id}`.

use serde_json::json;

use crate::check::{Check, encoded};
use crate::server::TestServer;

#[tokio::test]
async fn a_put_answers_its_time_as_a_bare_number() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let answer = client.put("/storage/x/a", r#"{"payload":"p"}"#).await;
    let time = answer.must_have("X-Last-Modified").to_owned();
    answer.is(200, &time).written();
}

#[tokio::test]
async fn a_record_has_four_fields_and_the_sortindex_only_where_it_is_set() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let record = r#"{"id":"a","payload":"p","sortindex":-7,"ttl":3600,"modified":0,"collection":"y"}"#;
    let time = client.put("/storage/x/a", record).await.has(200).text().to_owned();
    let read = client.get("/storage/x/a").await.has(200);
    assert_eq!(read.text(), format!(r#"{{"id":"a","modified":{time},"payload":"p","sortindex":-7}}"#));
    assert_eq!(read.must_have("X-Last-Modified"), time);
    let time = client.put("/storage/x/b", "{}").await.has(200).text().to_owned();
    client.get("/storage/x/b").await.is(200, &format!(r#"{{"id":"b","modified":{time},"payload":""}}"#));
    client.put("/storage/x/b", r#"{"sortindex":0}"#).await.has(200);
    assert_eq!(client.get("/storage/x/b").await.json()["sortindex"], 0);
}

#[tokio::test]
async fn a_payload_comes_back_exactly_as_it_was() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let payloads = [
        "",
        " ",
        "\n",
        "a\r\nb\u{2028}\u{2029}c",
        "\t\u{1}\u{1f}\u{7f}",
        "\"\\/\u{8}\u{c}",
        "e\u{301} é",
        "🦊👩‍👩‍👧",
        "\u{feff}bom",
        "\u{fffd}\u{ffff}\u{10ffff}",
        "ＦＵＬＬ",
        "עברית",
        "null",
        "{\"IV\":1}",
        "%41+%2B",
        "'; DROP",
    ];
    for payload in payloads {
        client.put("/storage/x/a", &json!({ "payload": payload }).to_string()).await.has(200);
        client.post("/storage/x", &json!([{ "id": "b", "payload": payload }]).to_string()).await.has(200);
        for id in ["a", "b"] {
            assert_eq!(client.get(&format!("/storage/x/{id}")).await.has(200).json()["payload"], payload);
        }
        let list = client.get("/storage/x?full").await.json();
        assert!(list.as_array().unwrap().iter().all(|record| record["payload"] == payload), "{list}");
        let lines =
            client.send("GET", "/storage/x?full", |request| request.header("Accept", "application/newlines")).await;
        assert_eq!(lines.text().split_inclusive('\n').count(), 2, "{lines:?}");
        for line in lines.text().lines() {
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"], payload);
        }
    }
    // JSON may hold it in another form.
    client.put("/storage/x/a", r#"{"payload":"\ud83e\udd8a\u00e9\/"}"#).await.has(200);
    assert_eq!(client.get("/storage/x/a").await.json()["payload"], "🦊é/");
}

#[tokio::test]
async fn an_id_is_any_printable_ascii_percent_encoded() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let mut ids: Vec<String> = (b' '..=b'~').map(|byte| char::from(byte).to_string()).collect();
    ids.extend(["..", "%41", "%2F", "a/b/c", "//", "a ", "{1-2}", "+=/", "?a=b&c#d"].map(str::to_owned));
    ids.push("~".repeat(64));
    for id in &ids {
        let target = format!("/storage/x/{}", encoded(id));
        client.put(&target, &json!({ "payload": id }).to_string()).await.has(200);
    }
    for id in &ids {
        let read = client.get(&format!("/storage/x/{}", encoded(id))).await.has(200).json();
        assert_eq!((read["id"].as_str(), read["payload"].as_str()), (Some(id.as_str()), Some(id.as_str())));
    }
    let mut listed = client.get("/storage/x").await.ids();
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    for id in &ids {
        client.delete(&format!("/storage/x/{}", encoded(id))).await.has(200);
    }
    client.get("/storage/x").await.is(200, "[]");
}

#[tokio::test]
async fn an_id_may_stand_raw_in_the_path() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for id in [
        "{b-1}",
        "a+b",
        "a/b",
        "a//b",
        "a/",
        "a=b==",
        "a,b;c:d@e",
        "!$&'()*-._~",
        "\"|^\\",
        "[x]",
        "..",
        ".",
        "{MjAyNS0x/+8=}",
        "true",
        "0",
    ] {
        let raw = format!("/storage/x/{id}");
        let put = client.put(&raw, "{}").await;
        assert_eq!(put.status, 200, "{id}: {put:?}");
        assert_eq!(client.get(&raw).await.has(200).json()["id"], id);
        assert_eq!(client.get(&format!("/storage/x/{}", encoded(id))).await.has(200).json()["id"], id);
        client.delete(&raw).await.has(200);
        client.get(&raw).await.is(404, "0");
    }
    // Escapes are decoded once.
    for (raw, id) in [("%25", "%"), ("%2541", "%41"), ("%252F", "%2F"), ("a%2Fb", "a/b"), ("a%2bb", "a+b")] {
        client.put(&format!("/storage/x/{raw}"), "{}").await.has(200);
        assert_eq!(client.get(&format!("/storage/x/{}", encoded(id))).await.has(200).json()["id"], id, "{raw}");
    }
}

#[tokio::test]
async fn an_invalid_id_is_400_with_body_8() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let long = "a".repeat(65);
    for id in ["%00", "%09", "%0A", "a%0D", "%7F", "%C3%A9", "%FF", "%F0%9F%A6%8A", long.as_str(), ""] {
        let target = format!("/storage/x/{id}");
        client.get(&target).await.is(400, "8");
        client.put(&target, "{}").await.is(400, "8");
        client.delete(&target).await.is(400, "8");
    }
    client.get("/info/collections").await.is(200, "{}");
}

#[tokio::test]
async fn an_invalid_collection_name_is_400_with_body_13() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let long = "a".repeat(33);
    for name in ["a%20b", "a+b", "a%2Fb", "%C3%A9", "a*", "a%00", "a%25", "a,b", "a:b", "{a}", "%FF", long.as_str()] {
        let target = format!("/storage/{name}");
        client.get(&target).await.is(400, "13");
        client.post(&target, "[]").await.is(400, "13");
        client.delete(&target).await.is(400, "13");
        client.get(&format!("{target}/a")).await.is(400, "13");
        client.put(&format!("{target}/a"), "{}").await.is(400, "13");
        client.delete(&format!("{target}/a")).await.is(400, "13");
    }
    client.get("/info/collections").await.is(200, "{}");
    for name in ["a", "A.z_0-9", "-", ".", "..", &"a".repeat(32), "%61bc"] {
        client.put(&format!("/storage/{name}/a"), "{}").await.has(200);
        assert_eq!(client.get(&format!("/storage/{name}")).await.ids(), ["a"], "{name}");
    }
    let names = client.get("/info/collections").await.json();
    assert!(names["abc"].is_number() && names[".."].is_number(), "{names}");
}

#[tokio::test]
async fn names_and_ids_differ_by_case_and_by_spaces() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for target in ["/storage/x/a", "/storage/x/A", "/storage/x/a%20", "/storage/X/a"] {
        client.put(target, &json!({ "payload": target }).to_string()).await.has(200);
    }
    for target in ["/storage/x/a", "/storage/x/A", "/storage/x/a%20", "/storage/X/a"] {
        assert_eq!(client.get(target).await.json()["payload"], target);
    }
    assert_eq!(client.get("/info/collection_counts").await.json(), json!({ "x": 3, "X": 1 }));
}

#[tokio::test]
async fn an_absent_record_is_404_with_body_0_for_get_and_delete() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for prepare in [false, true] {
        if prepare {
            client.put("/storage/x/other", "{}").await.has(200);
        }
        for target in ["/storage/x/a", "/storage/meta/global", "/storage/x/%7Ba%7D"] {
            client.get(target).await.is(404, "0").timestamp();
            client.delete(target).await.is(404, "0").timestamp();
        }
    }
    assert_eq!(client.get("/storage/x").await.ids(), ["other"]);
}

#[tokio::test]
async fn a_delete_of_a_record_answers_its_time_and_the_collection_gets_it() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/a", "{}").await.has(200);
    let kept = client.put("/storage/x/b", "{}").await.written();
    let answer = client.delete("/storage/x/a").await;
    let time = answer.must_have("X-Last-Modified").to_owned();
    let answer = answer.is(200, &format!("{{\"modified\":{time}}}"));
    assert!(answer.written() > kept);
    client.get("/storage/x/a").await.is(404, "0");
    client.get("/info/collections").await.is(200, &format!("{{\"x\":{time}}}"));
    assert_eq!(client.get("/storage/x").await.last_modified(), answer.written());
    assert_eq!(client.get("/storage/x/b").await.last_modified(), kept);
}
