//! A collection that is large: complete and in order, whoever reads it (section 3.2).

use serde_json::{Value, json};
use testclient::{Connection, Request};

use crate::check::Check;
use crate::server::{Client, TestServer};

const RECORDS: usize = 4000;

fn payload(number: usize) -> String {
    format!("{number}:é\n").repeat(200)
}

async fn fill(client: &mut Client) -> i64 {
    let opened = client.post("/storage/x?batch=true", "[]").await.has(202).json();
    let target = format!("/storage/x?batch={}", opened["batch"].as_str().unwrap());
    for start in (0..RECORDS).step_by(100) {
        let some: Value = (start..start + 100)
            .map(|number| json!({ "id": format!("{number:05}"), "payload": payload(number), "sortindex": number }))
            .collect();
        client.post(&target, &some.to_string()).await.has(202);
    }
    client.post(&format!("{target}&commit=true"), "[]").await.written()
}

fn check(records: &[Value], descending: bool) {
    assert_eq!(records.len(), RECORDS);
    for (place, record) in records.iter().enumerate() {
        let number = if descending { RECORDS - 1 - place } else { place };
        assert_eq!(record["id"], format!("{number:05}"));
        assert!(record["payload"] == payload(number), "{number}");
    }
}

#[tokio::test]
async fn a_get_without_limit_is_complete_for_fast_and_slow_readers() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let time = fill(&mut client).await;

    for (sort, descending) in [("oldest", false), ("newest", true), ("index", true)] {
        let target = format!("/storage/x?full=1&sort={sort}");
        let list = client.get(&target).await.has(200);
        assert!(list.body.len() > 4_000_000 && list.header("X-Weave-Next-Offset").is_none());
        assert_eq!((list.must_have("X-Weave-Records"), list.last_modified()), ("4000", time));
        check(list.json().as_array().unwrap(), descending);
    }
    let get = client.get("/storage/x?full=1").await.has(200);
    let head = client.send("HEAD", "/storage/x?full=1", |request| request).await.has(200);
    assert_eq!((head.must_have("Content-Length"), head.body.len()), (get.must_have("Content-Length"), 0));
    assert_eq!(head.must_have("X-Weave-Records"), "4000");
    let lines = |request: Request| request.header("Accept", "application/newlines");
    let lines = client.send("GET", "/storage/x?full=1&sort=oldest", lines).await.has(200);
    check(&lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>(), false);
    let ids = client.get("/storage/x?sort=index").await.ids();
    assert!(ids.len() == RECORDS && ids.windows(2).all(|two| two[0] > two[1]));

    // One who takes little at a time, while others read and write: what was there when it asked.
    let mut slow = Connection::connect_with_buffer(server.addr, 4096).await.unwrap();
    let request = Request::get("/1.5/1/storage/x?full=1&sort=oldest").auth(&client.token);
    let mut body = slow.send_for_body(&request).await.unwrap();
    assert_eq!(body.status, 200);
    let mut bytes = Vec::new();
    let mut rounds = 0;
    while let Some(part) = body.next(16 * 1024).await.unwrap() {
        bytes.extend_from_slice(&part);
        rounds += 1;
        if rounds % 50 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            client.put(&format!("/storage/x/{:05}", RECORDS - 1), "{\"payload\":\"new\"}").await.written();
            client.delete(&format!("/storage/x/{:05}", RECORDS - 2)).await;
            client.get("/info/collections").await.has(200);
        }
    }
    check(&serde_json::from_slice::<Vec<Value>>(&bytes).unwrap(), false);
    assert_eq!(client.get("/storage/x").await.ids().len(), RECORDS - 1);
}

#[tokio::test]
async fn readers_who_go_away_in_the_middle_harm_nobody() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let batch: Value =
        (0..100).map(|number| json!({ "id": format!("{number}"), "payload": "x".repeat(20_000) })).collect();
    client.post("/storage/x", &batch.to_string()).await.has(200);
    for _ in 0..20 {
        let mut connection = Connection::connect_with_buffer(server.addr, 4096).await.unwrap();
        let request = Request::get("/1.5/1/storage/x?full=1").auth(&client.token);
        let mut body = connection.send_for_body(&request).await.unwrap();
        body.next(1000).await.unwrap();
    }
    assert_eq!(client.get("/storage/x?full=1").await.ids().len(), 100);
}
