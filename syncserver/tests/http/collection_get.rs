//! Reading a collection (sections 3.1 and 3.3): which records, in which order and in which form.

use serde_json::{Value, json};

use crate::check::{Check, encoded, seconds};
use crate::server::{Client, TestServer};

/// A collection `x` of four records, each written at another time: the times in hundredths of a second.
async fn four(client: &mut Client) -> [i64; 4] {
    let mut times = [0; 4];
    for (time, (id, sortindex)) in times.iter_mut().zip([("b", Some(5)), ("d", None), ("a", Some(-1)), ("c", Some(9))])
    {
        let record = json!({ "payload": format!("payload of {id}"), "sortindex": sortindex });
        *time = client.put(&format!("/storage/x/{id}"), &record.to_string()).await.written();
    }
    times
}

#[tokio::test]
async fn a_list_is_of_ids_or_of_records_where_full_is_there() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let times = four(&mut client).await;
    let mut ids = client.get("/storage/x").await.has(200).json();
    ids.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    assert_eq!(ids, json!(["a", "b", "c", "d"]));
    let full = format!(
        r#"[{{"id":"b","modified":{},"payload":"payload of b","sortindex":5}},{{"id":"d","modified":{},"payload":"payload of d"}}]"#,
        seconds(times[0]),
        seconds(times[1]),
    );
    for value in ["full", "full=", "full=1", "full=0", "full=false", "full=anything", "%66ull"] {
        let list = client.get(&format!("/storage/x?{value}&sort=oldest&ids=b,d")).await.is(200, &full);
        assert_eq!((list.must_have("X-Weave-Records"), list.last_modified()), ("2", times[3]));
    }
}

#[tokio::test]
async fn a_missing_collection_is_an_empty_list() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    for target in ["/storage/x", "/storage/x?full", "/storage/x?ids=a,b&newer=1&sort=index&limit=5"] {
        let list = client.get(target).await.is(200, "[]");
        assert_eq!((list.must_have("X-Weave-Records"), list.must_have("X-Last-Modified")), ("0", "0.00"));
        assert!(list.header("X-Weave-Next-Offset").is_none());
        let lines =
            client.send("GET", target, |request| request.header("Accept", "application/newlines")).await.has(200);
        assert_eq!((lines.text(), lines.must_have("X-Weave-Records")), ("", "0"));
    }
}

#[tokio::test]
async fn ids_selects_records() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let names = ["a", "a+b", "{c/d}", "e=f", "g%h", "i&j", "k l", "MjAy/+8="];
    for name in names {
        client.put(&format!("/storage/x/{}", encoded(name)), "{}").await.has(200);
    }
    for (query, expected) in [
        ("ids=a", vec!["a"]),
        ("ids=a,nobody", vec!["a"]),
        ("ids=nobody", vec![]),
        ("ids=", vec![]),
        ("ids=,,a,", vec!["a"]),
        ("ids=a,a", vec!["a"]),
        // As Firefox sends them: raw. A plus is a plus.
        ("ids=a+b,{c/d},e=f,MjAy/+8=", vec!["MjAy/+8=", "a+b", "e=f", "{c/d}"]),
        ("ids=a%2Bb%2C%7Bc%2Fd%7D,e%3df", vec!["a+b", "e=f", "{c/d}"]),
        ("ids=g%25h,i%26j,k%20l", vec!["g%h", "i&j", "k l"]),
        ("%69ds=a", vec!["a"]),
        ("&&ids=a&&", vec!["a"]),
    ] {
        let mut ids = client.get(&format!("/storage/x?{query}")).await.ids();
        ids.sort();
        assert_eq!(ids, expected, "{query}");
        let mut ids = client.get(&format!("/storage/x?full=1&{query}")).await.ids();
        ids.sort();
        assert_eq!(ids, expected, "{query}");
    }
    let many = |count: usize| format!("/storage/x?ids={}", vec!["a"; count].join(","));
    client.get(&many(100)).await.has(200);
    client.get(&many(101)).await.is(400, "0");
}

#[tokio::test]
async fn newer_and_older_are_strict_and_exact() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let [b, d, a, c] = four(&mut client).await;
    let at = |query: &str| format!("/storage/x?sort=oldest&{query}");
    for (query, expected) in [
        (format!("newer={}", seconds(b)), "dac"),
        (format!("newer={}", seconds(b - 1)), "bdac"),
        (format!("newer={}9", seconds(b - 1)), "bdac"),
        (format!("newer={}0", seconds(b)), "dac"),
        (format!("newer={}000000000000000001", seconds(b)), "dac"),
        (format!("older={}", seconds(a)), "bd"),
        (format!("older={}1", seconds(a)), "bda"),
        (format!("older={}000000000000000000001", seconds(a)), "bda"),
        (format!("newer={}&older={}", seconds(b), seconds(c)), "da"),
        (format!("newer={}&older={}", seconds(d), seconds(d)), ""),
        (format!("older={}&ids=a,b", seconds(a)), "b"),
        ("newer=0".into(), "bdac"),
        ("newer=0.00".into(), "bdac"),
        ("older=0".into(), ""),
        ("newer=4102405200000".into(), ""),
        ("older=4102405200000".into(), "bdac"),
        ("older=99999999999999999999999999.9".into(), "bdac"),
        (format!("newer={}", c / 100 + 1), ""),
    ] {
        let ids = client.get(&at(&query)).await.ids();
        assert_eq!(ids.concat(), expected, "{query}");
    }
}

#[tokio::test]
async fn sort_gives_the_order_and_ties_are_broken_by_id() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    four(&mut client).await;
    for (query, expected) in [
        ("sort=newest", "cadb"),
        ("sort=oldest", "bdac"),
        ("sort=index", "cbad"),
        ("sort=newest&limit=2", "ca"),
        ("sort=index&limit=3", "cba"),
        ("sort=index&limit=0", ""),
    ] {
        assert_eq!(client.get(&format!("/storage/x?{query}")).await.ids().concat(), expected, "{query}");
        assert_eq!(client.get(&format!("/storage/x?full&{query}")).await.ids().concat(), expected, "{query}");
    }
    client.post("/storage/y", r#"[{"id":"b"},{"id":"a"},{"id":"d"},{"id":"c"}]"#).await.has(200);
    for query in ["", "sort=newest", "sort=oldest", "sort=index"] {
        let ids = client.get(&format!("/storage/y?{query}")).await.ids().concat();
        assert!(ids == "abcd" || ids == "dcba", "{query}: {ids}");
        assert_eq!(client.get(&format!("/storage/y?full&{query}")).await.ids().concat(), ids);
    }
}

#[tokio::test]
async fn limit_0_is_an_empty_list_without_a_next_page() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let last = four(&mut client).await[3];
    let list = client.get("/storage/x?limit=0").await.is(200, "[]");
    assert!(list.header("X-Weave-Next-Offset").is_none());
    assert_eq!((list.must_have("X-Weave-Records"), list.last_modified()), ("0", last));
    for large in ["4", "5", "1000", "18446744073709551616", "0000000000000000000000000005"] {
        let list = client.get(&format!("/storage/x?limit={large}")).await;
        assert_eq!(list.ids().len(), 4, "{large}");
        assert!(list.header("X-Weave-Next-Offset").is_none());
    }
}

#[tokio::test]
async fn an_invalid_parameter_is_400_and_an_unknown_one_is_ignored() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    four(&mut client).await;
    for query in [
        "newer=-1",
        "newer=1e3",
        "newer=",
        "newer",
        "newer=NaN",
        "newer=x",
        "newer=.5",
        "newer=1.",
        "newer=1%20",
        "newer=+1",
        "older=-0",
        "older=Infinity",
        "older=1,5",
        "older=",
        "limit=-1",
        "limit=",
        "limit=1.0",
        "limit=x",
        "limit=+1",
        "limit=1e1",
        "limit=0x10",
        "sort=",
        "sort=Newest",
        "sort=modified",
        "sort=newest,oldest",
        "offset=",
        "offset=0",
        "offset=1",
        "offset=abc",
        "offset=%00",
        "offset=AAAAAAAAAAAAAAAAAAAA",
        "ids=%0A",
        "ids=a,%C3%A9",
        "ids=%FF",
    ] {
        let answer = client.get(&format!("/storage/x?{query}")).await;
        assert_eq!((answer.status, answer.text()), (400, "0"), "{query}: {answer:?}");
    }
    let long = format!("ids={}", "a".repeat(65));
    client.get(&format!("/storage/x?{long}")).await.has(400);
    for query in ["", "&", "?", "a", "a=b", "Full=1", "Limit=x", "=", "full_=1", "since=-1", "index_above=1"] {
        let answer = client.get(&format!("/storage/x?{query}")).await;
        assert_eq!(answer.ids().len(), 4, "{query}");
        assert!(answer.json()[0].is_string(), "{query}");
    }
}

#[tokio::test]
async fn a_list_comes_as_json_or_as_lines_and_as_nothing_else() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    client.put("/storage/x/a", &json!({ "payload": "1\n2\r\n3" }).to_string()).await.has(200);
    client.put("/storage/x/b%20", "{}").await.has(200);
    for (accept, status, content_type) in [
        (None, 200, "application/json"),
        (Some("*/*"), 200, "application/json"),
        (Some("application/json"), 200, "application/json"),
        (Some("application/json;q=0.9,*/*;q=0.2"), 200, "application/json"),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), 200, "application/json"),
        (Some("application/newlines"), 200, "application/newlines"),
        (Some("application/newlines, application/json;q=0.5"), 200, "application/newlines"),
        (Some("APPLICATION/NEWLINES"), 200, "application/newlines"),
        (Some("text/html"), 406, "application/json"),
        (Some("application/xml, text/*"), 406, "application/json"),
        (Some("application/json2"), 406, "application/json"),
    ] {
        for query in ["", "?full", "?full&limit=1"] {
            let get = |request: testclient::Request| match accept {
                Some(value) => request.header("Accept", value),
                None => request,
            };
            let answer = client.send("GET", &format!("/storage/x{query}"), get).await;
            assert_eq!(answer.status, status, "{accept:?}: {answer:?}");
            assert!(answer.must_have("Content-Type").starts_with(content_type), "{accept:?}: {answer:?}");
            if status == 406 {
                answer.is(406, "0");
            }
        }
    }
}

#[tokio::test]
async fn lines_are_the_values_of_the_list_each_ended_by_a_newline() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let records =
        json!([{ "id": "a", "payload": "1\n2\r\n3\u{2028}4" }, { "id": "b\"\\" }, { "id": "c", "sortindex": 1 }]);
    client.post("/storage/x", &records.to_string()).await.has(200);
    for query in ["?sort=oldest", "?full&sort=newest", "?full&limit=2", "?ids=a"] {
        let target = format!("/storage/x{query}");
        let list = client.get(&target).await.has(200);
        let lines =
            client.send("GET", &target, |request| request.header("Accept", "application/newlines")).await.has(200);
        assert!(lines.text().ends_with('\n') && !lines.text().contains('\r'), "{lines:?}");
        let values: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(Value::from(values), list.json());
        for header in ["X-Weave-Records", "X-Last-Modified", "X-Weave-Next-Offset"] {
            assert_eq!(lines.header(header), list.header(header), "{header}");
        }
    }
}
