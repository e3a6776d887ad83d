//! What the real clients do (section 13).

use serde_json::{Value, json};
use testclient::{Request, Response};

use crate::check::{Check, seconds};
use crate::server::{Client, TestServer};

/// Desktop sends its bodies as plain text.
async fn desktop(client: &mut Client, method: &str, target: &str, body: &Value, unmodified_since: &str) -> Response {
    let build = |request: Request| {
        let request = request.header("Content-Type", "text/plain").body(body.to_string());
        let request = request.header("Accept", "application/json;q=0.9,*/*;q=0.2");
        request.header("User-Agent", "Firefox/153.0").header("X-If-Unmodified-Since", unmodified_since)
    };
    client.send(method, target, build).await
}

fn records(prefix: &str, numbers: std::ops::Range<usize>) -> Value {
    let record = |number: usize| json!({ "id": format!("{{{prefix}+{number}/==}}"), "payload": "x".repeat(400), "sortindex": number % 150 });
    numbers.map(record).collect()
}

/// Uploads as desktop does: opens a batch, adds to it, commits it, with the time of the 202 throughout.
async fn upload(client: &mut Client, collection: &str, count: usize) -> i64 {
    let since = client.get(&format!("/storage/{collection}?full=1&limit=1000")).await.has(200);
    let since = since.must_have("X-Last-Modified").to_owned();
    let target = format!("/storage/{collection}");
    let first = desktop(client, "POST", &format!("{target}?batch=true"), &records("r", 0..100), &since).await.has(202);
    let since = first.must_have("X-Last-Modified").to_owned();
    let batch = first.json()["batch"].as_str().unwrap().replace('=', "%3D");
    let mut sent = 100;
    while sent < count {
        let some = records("r", sent..count.min(sent + 100));
        sent += 100;
        let commit = if sent >= count { "&commit=true" } else { "" };
        let answer = desktop(client, "POST", &format!("{target}?batch={batch}{commit}"), &some, &since).await;
        if sent >= count {
            return answer.written();
        }
        assert_eq!(answer.has(202).must_have("X-Last-Modified"), since);
    }
    unreachable!("the last request commits")
}

#[tokio::test]
async fn a_first_sync_of_desktop() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.get("/info/collections").await.is(200, "{}");
    client.get("/info/configuration").await.has(200);
    client.get("/storage/meta/global").await.is(404, "0");
    let confirmed = |request: Request| request.header("X-Confirm-Delete", "1");
    client.send("DELETE", "/storage", confirmed).await.is(200, "{}").written();

    let global = json!({ "id": "global", "payload": json!({ "syncID": "abc", "storageVersion": 5 }).to_string() });
    let global_time = desktop(&mut client, "PUT", "/storage/meta/global", &global, "0").await.written();
    let keys = json!({ "id": "keys", "payload": r#"{"ciphertext":"x","IV":"AAAAAAAAAAAAAAAAAAAAAQ==","hmac":"y"}"# });
    desktop(&mut client, "PUT", "/storage/crypto/keys", &keys, "0.00").await.written();
    let keys = client.get("/storage/crypto/keys").await.has(200);
    let stamp = keys.must_have("X-Last-Modified");
    assert!(keys.text().contains(&format!("\"modified\":{stamp},")), "{keys:?}");

    let clients = client.get("/storage/clients?full=1&limit=1000").await.is(200, "[]");
    let me = json!([{ "id": "Qm9vay_PBQ-x", "payload": "{}", "ttl": 1_814_400 }]);
    let since = clients.must_have("X-Last-Modified");
    desktop(&mut client, "POST", "/storage/clients?batch=true&commit=true", &me, since).await.written();
    for engine in ["forms", "prefs", "addons"] {
        client.delete(&format!("/storage/{engine}")).await.has(200);
    }
    let bookmarks = upload(&mut client, "bookmarks", 250).await;
    upload(&mut client, "history", 1000).await;
    let info = client.get("/info/collections").await.has(200).json();
    assert_eq!(info["bookmarks"].as_f64().unwrap(), bookmarks as f64 / 100.0);
    assert_eq!(info["meta"].as_f64().unwrap(), global_time as f64 / 100.0);
    assert_eq!(info.as_object().unwrap().len(), 5);

    // A second device gets it all, by pages.
    let mut second = server.user(1).await;
    second.get("/storage/meta/global").await.has(200);
    for (collection, count) in [("bookmarks", 250), ("history", 1000)] {
        let query = format!("/storage/{collection}?full=1&limit=120&sort=index");
        let mut page = second.get(&query).await;
        let since = page.must_have("X-Last-Modified").to_owned();
        let mut ids = page.ids();
        while let Some(offset) = page.header("X-Weave-Next-Offset") {
            let unmodified = |request: Request| request.header("X-If-Unmodified-Since", &since);
            page = second.send("GET", &format!("{query}&offset={offset}"), unmodified).await;
            assert_eq!(page.must_have("X-Last-Modified"), since);
            ids.extend(page.ids());
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}

#[tokio::test]
async fn a_sync_with_nothing_new() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.post("/storage/clients", r#"[{"id":"a"}]"#).await.has(200);
    let tabs = client.post("/storage/tabs", r#"[{"id":"a"}]"#).await.written();
    client.get("/info/collections").await.has(200);
    client.get("/info/configuration").await.has(200);
    assert_eq!(client.get("/storage/clients?full=1&limit=1000").await.ids(), ["a"]);
    client.get(&format!("/storage/tabs?newer={}&full=1&limit=1000", seconds(tabs))).await.is(200, "[]");
    let mine = json!([{ "id": "a", "payload": "{}", "ttl": 1_814_400 }]);
    desktop(&mut client, "POST", "/storage/tabs?batch=true&commit=true", &mine, &seconds(tabs)).await.written();
}

#[tokio::test]
async fn a_mobile_client_uploads_and_fetches_in_one_get() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for target in ["/info/collections", "/info/configuration"] {
        client.get(target).await.has(200).last_modified();
    }
    client.get("/storage/meta/global").await.is(404, "0");
    client.get("/storage/meta/syncids").await.is(404, "0");
    client.delete("").await.is(200, "{}").last_modified();
    let put = |request: Request| {
        let body = r#"{"id":"global","modified":0,"payload":"{}"}"#;
        request.header("Content-Type", "application/json").header("X-If-Unmodified-Since", "0").body(body)
    };
    client.send("PUT", "/storage/meta/global", put).await.written();
    let mut posted = records("m", 0..100);
    for record in posted.as_array_mut().unwrap() {
        record["modified"] = json!(0);
        record["ttl"] = json!(5_184_000);
    }
    // It writes times with as few decimals as they need, sent with all it knows of the sizes.
    let post = |since: String, batch: String| {
        let body = posted.to_string();
        move |request: Request| {
            crate::server::json(request, &body)
                .header("X-If-Unmodified-Since", since)
                .header("X-Weave-Records", 100)
                .header("X-Weave-Bytes", 40_000)
                .header(if batch.is_empty() { "X-Other" } else { "X-Weave-Total-Records" }, 200)
                .header(if batch.is_empty() { "X-Other" } else { "X-Weave-Total-Bytes" }, 80_000)
        }
    };
    let time =
        client.send("POST", "/storage/history?batch=true&commit=true", post("0".into(), "b".into())).await.written();
    let short = seconds(time).trim_end_matches('0').trim_end_matches('.').to_owned();
    let first = client.send("POST", "/storage/history?batch=true", post(short, "b".into())).await.has(202);
    let batch = first.json()["batch"].as_str().unwrap().to_owned();
    let since = first.must_have("X-Last-Modified").to_owned();
    let commit = format!("/storage/history?batch={batch}&commit=true");
    let time = client.send("POST", &commit, post(since, String::new())).await.written();

    let all = client.get("/storage/history?full=1&newer=0").await;
    assert_eq!((all.ids().len(), all.last_modified()), (100, time));
    assert!(all.header("X-Weave-Next-Offset").is_none());
    client.get(&format!("/storage/history?full=1&newer={}", seconds(time))).await.is(200, "[]");
}

#[tokio::test]
async fn a_client_that_is_told_412_reads_and_tries_again() {
    let server = TestServer::start();
    let (mut one, mut two) = (server.user(1).await, server.user(1).await);
    let start = seconds(one.post("/storage/x", r#"[{"id":"a","payload":"0"}]"#).await.written());
    let of_two = two.put("/storage/x/b", r#"{"payload":"2"}"#).await.written();
    let mine = json!([{ "id": "a", "payload": "1" }]);
    let refused = desktop(&mut one, "POST", "/storage/x?batch=true&commit=true", &mine, &start).await.has(412);
    assert_eq!(refused.last_modified(), of_two);
    let news = one.get(&format!("/storage/x?full=1&newer={start}")).await;
    assert_eq!(news.ids(), ["b"]);
    let since = news.must_have("X-Last-Modified");
    desktop(&mut one, "POST", "/storage/x?batch=true&commit=true", &mine, since).await.written();
    assert_eq!(two.get(&format!("/storage/x?newer={}", seconds(of_two))).await.ids(), ["a"]);
}

#[tokio::test]
async fn a_client_that_never_signs_its_payload_and_one_that_sends_no_accept_are_served() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let put = |request: Request| request.header("Content-Type", "text/plain;charset=utf-8").body(r#"{"payload":"p"}"#);
    client.send("PUT", "/storage/x/a", put).await.has(200);
    assert!(client.get("/storage/x?full").await.must_have("Content-Type").starts_with("application/json"));
}

#[tokio::test]
async fn early_firefox_for_ios_gets_503_with_body_0() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let agent = |agent: &str| {
        let agent = agent.to_owned();
        move |request: Request| request.header("User-Agent", agent)
    };
    for early in [
        "Firefox-iOS-Sync/18.0b1 (iPhone; iPhone OS 13.2.2) (Fennec (synctesting))",
        "Firefox-iOS-Sync/1.0b7 (iPad; iPhone OS 9.3) (Firefox)",
        "Firefox-iOS-Sync/19.2.1b12345 (iPhone8,2; iPhone OS 12.0) (Firefox Beta)",
    ] {
        for target in ["/info/collections", "/storage/x", "/nothing"] {
            let answer = client.send("GET", target, agent(early)).await.is(503, "0");
            answer.timestamp();
            assert!(answer.must_have("Retry-After").parse::<u32>().unwrap() > 0);
        }
        let put = |request: Request| crate::server::json(agent(early)(request), "{}");
        client.send("PUT", "/storage/x/a", put).await.is(503, "0");
    }
    client.get("/info/collections").await.is(200, "{}");
    for other in [
        "Firefox-iOS-Sync/20.0b1 (iPhone; iPhone OS 13.2.2) (Fennec (synctesting))",
        "Firefox-iOS-Sync/108.0b1 (iPhone; iPhone OS 16.0) (Firefox)",
        "Firefox-iOS-Sync/18.0b (iPhone; iPhone OS 13.2.2) (Firefox)",
        "Firefox/153.0",
        "",
    ] {
        client.send("GET", "/info/collections", agent(other)).await.has(200);
    }
}
