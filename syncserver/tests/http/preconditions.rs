//! `X-If-Modified-Since` and `X-If-Unmodified-Since` (section 4).

use testclient::{Request, Response};

use crate::check::{Check, seconds};
use crate::server::{Client, TestServer, json};

const MODIFIED: &str = "X-If-Modified-Since";
const UNMODIFIED: &str = "X-If-Unmodified-Since";

async fn send(client: &mut Client, method: &str, target: &str, name: &str, value: &str) -> Response {
    let body = if method == "POST" { "[]" } else { "{}" };
    let build = |request: Request| {
        let request = request.header(name, value);
        if matches!(method, "PUT" | "POST") { json(request, body) } else { request }
    };
    client.send(method, target, build).await
}

/// A store whose record `x/a`, whose collection `x`, and which itself were modified at three different times.
async fn three_times(client: &mut Client) -> [i64; 3] {
    let record = client.put("/storage/x/a", r#"{"payload":"p"}"#).await.written();
    let collection = client.put("/storage/x/b", r#"{"payload":"p"}"#).await.written();
    let store = client.put("/storage/y/a", r#"{"payload":"p"}"#).await.written();
    [record, collection, store]
}

/// Each resource that is read, with the place of its time in [`three_times`].
const READS: [(&str, usize); 8] = [
    ("/storage/x/a", 0),
    ("/storage/x", 1),
    ("/storage/x?full=1&newer=0&limit=1", 1),
    ("/storage/x?ids=a", 1),
    ("/info/collections", 2),
    ("/info/collection_counts", 2),
    ("/info/collection_usage", 2),
    ("/info/quota", 2),
];

#[tokio::test]
async fn a_read_of_what_was_not_modified_since_is_304() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let times = three_times(&mut client).await;
    for (target, index) in READS {
        let time = times[index];
        for method in ["GET", "HEAD"] {
            send(&mut client, method, target, MODIFIED, &seconds(time - 1)).await.has(200);
            send(&mut client, method, target, MODIFIED, "0").await.has(200);
            for later in [seconds(time), seconds(time + 1), format!("{}1", seconds(time)), "4102405200000".into()] {
                let answer = send(&mut client, method, target, MODIFIED, &later).await;
                assert_eq!((answer.status, answer.last_modified(), answer.text()), (304, time, ""), "{target}");
                assert!(answer.timestamp() >= time);
            }
        }
    }
}

#[tokio::test]
async fn a_read_of_what_was_modified_since_is_412_where_it_must_not_be() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let times = three_times(&mut client).await;
    for (target, index) in READS {
        let time = times[index];
        for later in [seconds(time), seconds(time + 1), format!("{}00", seconds(time)), "4102405200000".into()] {
            send(&mut client, "GET", target, UNMODIFIED, &later).await.has(200);
        }
        for earlier in [seconds(time - 1), format!("{}999", seconds(time - 1)), "0".into(), "0.00".into()] {
            let answer = send(&mut client, "GET", target, UNMODIFIED, &earlier).await;
            assert_eq!((answer.status, answer.last_modified()), (412, time), "{target} {earlier}");
            answer.is(412, "0").timestamp();
        }
    }
}

#[tokio::test]
async fn a_write_to_what_was_modified_since_is_412_and_nothing_is_written() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let times = three_times(&mut client).await;
    let batch = client.post("/storage/x?batch=true", r#"[{"id":"c"}]"#).await.has(202).json();
    let batch = batch["batch"].as_str().unwrap();
    let before = client.get("/storage/x?full").await.body;
    for (method, target, index) in [
        ("PUT", "/storage/x/a".to_owned(), 0),
        ("DELETE", "/storage/x/a".to_owned(), 0),
        ("POST", "/storage/x".to_owned(), 1),
        ("POST", "/storage/x?batch=true&commit=true".to_owned(), 1),
        ("POST", "/storage/x?batch=true".to_owned(), 1),
        ("POST", format!("/storage/x?batch={batch}"), 1),
        ("POST", format!("/storage/x?batch={batch}&commit=true"), 1),
        ("DELETE", "/storage/x?ids=a".to_owned(), 1),
        ("DELETE", "/storage/x".to_owned(), 1),
        ("DELETE", "/storage".to_owned(), 2),
        ("DELETE", String::new(), 2),
    ] {
        let time = times[index];
        for earlier in [seconds(time - 1), format!("{}99", seconds(time - 1)), "0".into()] {
            let answer = send(&mut client, method, &target, UNMODIFIED, &earlier).await;
            assert_eq!((answer.status, answer.last_modified()), (412, time), "{method} {target} {earlier}");
            answer.is(412, "0");
        }
        assert_eq!(client.get("/storage/x?full").await.body, before, "{method} {target}");
        assert_eq!(client.get("/info/collections").await.last_modified(), times[2], "{method} {target}");
    }
    // The batch is as it was, too.
    let commit = format!("/storage/x?batch={batch}&commit=true");
    send(&mut client, "POST", &commit, UNMODIFIED, &seconds(times[1])).await.has(200);
    client.get("/storage/x/c").await.has(200);
}

#[tokio::test]
async fn a_write_to_what_was_not_modified_since_is_done() {
    let server = TestServer::start();
    for (method, target, index) in [
        ("PUT", "/storage/x/a", 0),
        ("DELETE", "/storage/x/a", 0),
        ("POST", "/storage/x", 1),
        ("POST", "/storage/x?batch=true&commit=true", 1),
        ("DELETE", "/storage/x?ids=a", 1),
        ("DELETE", "/storage/x", 1),
        ("DELETE", "/storage", 2),
        ("DELETE", "", 2),
    ] {
        for (user, decimals) in ["", "0", "1", "000000000000000"].iter().enumerate() {
            let mut client = server.user(user as u64).await;
            client.delete("").await.has(200);
            let times = three_times(&mut client).await;
            let value = format!("{}{decimals}", seconds(times[index]));
            let answer = send(&mut client, method, target, UNMODIFIED, &value).await;
            assert!(answer.written() > times[2], "{method} {target}");
        }
    }
}

#[tokio::test]
async fn what_is_absent_was_modified_at_zero() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for prepare in [false, true] {
        if prepare {
            client.put("/storage/y/a", "{}").await.has(200);
        }
        for zero in ["0", "0.0", "0.00", "0.000"] {
            let list = send(&mut client, "GET", "/storage/x", UNMODIFIED, zero).await.has(200);
            assert_eq!(list.must_have("X-Last-Modified"), "0.00");
            let list = send(&mut client, "GET", "/storage/x", MODIFIED, zero).await.has(304);
            assert_eq!(list.must_have("X-Last-Modified"), "0.00");
            // An absent record is 404 whatever the condition.
            for name in [MODIFIED, UNMODIFIED] {
                for value in [zero, "4102405200000"] {
                    send(&mut client, "GET", "/storage/x/a", name, value).await.is(404, "0");
                }
            }
            send(&mut client, "DELETE", "/storage/x/a", UNMODIFIED, zero).await.is(404, "0");
            send(&mut client, "DELETE", "/storage/x", UNMODIFIED, zero).await.has(200);
            send(&mut client, "DELETE", "/storage/x?ids=a", UNMODIFIED, zero).await.has(200);
        }
    }
    send(&mut client, "PUT", "/storage/x/a", UNMODIFIED, "0").await.has(200);
    send(&mut client, "PUT", "/storage/x/a", UNMODIFIED, "0").await.has(412);
    send(&mut client, "PUT", "/storage/x/b", UNMODIFIED, "0").await.has(200);
    send(&mut client, "POST", "/storage/z", UNMODIFIED, "0.00").await.has(200);
    send(&mut client, "POST", "/storage/z", UNMODIFIED, "0.00").await.has(412);
}

#[tokio::test]
async fn a_time_may_have_any_decimals_and_is_compared_exactly() {
    let (server, clock) = TestServer::start_with_clock(&[]);
    let mut client = server.user(1).await;
    // At one decimal, so that all the short forms name the very time.
    clock.set((clock.now_ms() / 1000 + 1) * 1000 + 400);
    let time = client.put("/storage/x/a", r#"{"payload":"p"}"#).await.written();
    let whole = time / 100;
    for (value, holds) in [
        (format!("{whole}"), false),
        (format!("{whole}.3"), false),
        (format!("{whole}.39"), false),
        (format!("{whole}.399"), false),
        (format!("{whole}.3999999999999999999999999999"), false),
        (format!("{whole}.4"), true),
        (format!("{whole}.40"), true),
        (format!("{whole}.400"), true),
        (format!("{whole}.4000000000000000000000000001"), true),
        (format!("000{whole}.4"), true),
        (format!("{}", whole + 1), true),
        ("1795226917".into(), time <= 179_522_691_700),
        ("4102405200000".into(), true),
        ("9223372036854775807".into(), true),
        ("9223372036854775808.99".into(), true),
        ("99999999999999999999999999999999999".into(), true),
    ] {
        let unmodified = send(&mut client, "GET", "/storage/x/a", UNMODIFIED, &value).await;
        assert_eq!(unmodified.status, if holds { 200 } else { 412 }, "{value}");
        let modified = send(&mut client, "GET", "/storage/x/a", MODIFIED, &value).await;
        assert_eq!(modified.status, if holds { 304 } else { 200 }, "{value}");
    }
}

/// Every request that takes a condition.
const ALL: [(&str, &str); 15] = [
    ("GET", "/info/collections"),
    ("GET", "/info/collection_counts"),
    ("GET", "/info/collection_usage"),
    ("GET", "/info/quota"),
    ("GET", "/info/configuration"),
    ("GET", "/storage/x"),
    ("GET", "/storage/x/a"),
    ("PUT", "/storage/x/a"),
    ("DELETE", "/storage/x/a"),
    ("POST", "/storage/x"),
    ("POST", "/storage/x?batch=true"),
    ("DELETE", "/storage/x"),
    ("DELETE", "/storage/x?ids=a"),
    ("DELETE", "/storage"),
    ("DELETE", ""),
];

#[tokio::test]
async fn what_is_no_plain_number_is_400() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/a", "{}").await.has(200);
    for (method, target) in ALL {
        for value in ["", "-1", "+1", "1e3", "NaN", "inf", "x", "1.", ".5", "1.2.3", "1,5", "0x1", "1 2", "-0", "٣"] {
            for name in [MODIFIED, UNMODIFIED] {
                let answer = send(&mut client, method, target, name, value).await;
                assert_eq!((answer.status, answer.text()), (400, "0"), "{method} {target} {name}: {value}");
            }
        }
    }
    client.get("/storage/x/a").await.has(200);
}

#[tokio::test]
async fn both_headers_at_once_are_400() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/a", "{}").await.has(200);
    for (method, target) in ALL {
        let both = |request: Request| {
            let request = request.header(MODIFIED, "0").header(UNMODIFIED, "4102405200000");
            if matches!(method, "PUT" | "POST") { json(request, "[]") } else { request }
        };
        client.send(method, target, both).await.is(400, "0");
    }
    client.get("/storage/x/a").await.has(200);
}

#[tokio::test]
async fn a_write_is_never_304() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for (method, target) in ALL.into_iter().filter(|(method, _)| *method != "GET") {
        client.put("/storage/x/a", "{}").await.has(200);
        let answer = send(&mut client, method, target, MODIFIED, "4102405200000").await;
        assert!(matches!(answer.status, 200 | 202), "{method} {target}: {answer:?}");
    }
}

#[tokio::test]
async fn of_two_devices_that_write_at_once_one_is_told_to_start_over() {
    let server = TestServer::start();
    let mut first = server.user(1).await;
    let mut second = server.user(1).await;
    let since = seconds(first.post("/storage/x", "[]").await.written());
    let write = |request: Request| json(request, r#"[{"id":"a"}]"#).header(UNMODIFIED, &since);
    let (one, two) = tokio::join!(first.send("POST", "/storage/x", write), second.send("POST", "/storage/x", write));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}
