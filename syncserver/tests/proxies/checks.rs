//! What may go wrong between a client and a server.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json as value};
use testclient::{Hawk, Request, Response};

use crate::program::run;
use crate::proxy::{NAME, Proxy};
use crate::site::{CLIENT, Client, Site, json};

fn plain(request: Request) -> Request {
    request
}

/// The URL of the server alone shows the front page, and Firefox may be given it. What only begins like it belongs to
/// somebody else on that host.
pub(crate) async fn the_bare_url_answers(site: &Site) {
    let (proxy, prefix) = (site.proxy, site.prefix);
    let under_a_path = !prefix.is_empty();
    for end in ["/", ""].into_iter().take(if under_a_path { 2 } else { 1 }) {
        let page = site.connect().await.send(&Request::get(format!("{prefix}{end}"))).await.unwrap();
        assert_eq!(page.status, 200, "{proxy:?}, {prefix}{end}: {page:?}");
        assert!(page.text().contains("/1.0/sync/1.5"), "{proxy:?}, {prefix}{end}: {page:?}");
        let token = site.sign_in(end).await;
        assert_eq!(token.status, 200, "{proxy:?}, {prefix}{end}: {token:?}");
    }
    if under_a_path {
        let other = site.connect().await.send(&Request::get(format!("{prefix}-other"))).await.unwrap();
        assert_eq!(other.header("X-Weave-Timestamp"), None, "{proxy:?}: {other:?}");
    }
}

/// The tokenserver sends clients to where they came from.
pub(crate) async fn sign_in(site: &Site) {
    for target in ["/1.0/sync/1.5", "/1.0/sync/1.5/", "/token/1.0/sync/1.5"] {
        let answer = site.sign_in(target).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let uid = answer.json()["uid"].clone();
        let url = format!("https://{NAME}:{}{}/1.5/{uid}", site.addr.port(), site.prefix);
        assert_eq!(answer.json()["api_endpoint"], url);
        assert!(answer.header("X-Timestamp").is_some(), "{answer:?}");
    }
}

pub(crate) async fn what_a_client_does(site: &Site) {
    let mut client = site.client().await;
    let written = client.keep("/storage/bookmarks/a", "one").await;
    let time = written.header("X-Last-Modified").unwrap().to_owned();
    assert_eq!(written.text(), time);
    let read = client.ok("GET", "/storage/bookmarks/a", plain).await;
    assert_eq!(read.json()["payload"], "one");
    assert_eq!(read.header("X-Last-Modified"), Some(time.as_str()));
    assert!(read.header("X-Weave-Timestamp").is_some());
    let collections = client.ok("GET", "/info/collections", plain).await;
    assert_eq!(collections.json()["bookmarks"].as_f64(), Some(time.parse().unwrap()));
    let records = value!([{ "id": "b", "payload": "two", "ttl": 31_536_000 }, { "id": "c", "payload": "three" }]);
    let posted = client.ok("POST", "/storage/bookmarks", |request| json(request, records.to_string())).await;
    assert_eq!(posted.json()["success"], value!(["b", "c"]));
    let list =
        client.ok("GET", "/storage/bookmarks?full=1", |request| request.header("Accept", "application/newlines"));
    assert_eq!(list.await.text().lines().count(), 3);
    for (target, status) in [("/storage/bookmarks", 200), ("/storage/bookmarks/a", 200), ("/no/such/path", 404)] {
        let head = client.send("HEAD", target, plain).await;
        let asked_directly = client.send_directly("HEAD", target, plain).await;
        assert_eq!((head.status, head.status), (asked_directly.status, status), "{target}");
    }
    client.ok("DELETE", "/storage/bookmarks?ids=a,b", plain).await;
    client.ok("DELETE", "/storage/bookmarks/c", plain).await;
    assert_eq!(client.ok("GET", "/storage/bookmarks", plain).await.json(), value!([]));
    // Not there any more: with exactly this answer, or clients start afresh.
    let gone = client.send("GET", "/storage/bookmarks/c", plain).await;
    assert_eq!((gone.status, gone.text()), (404, "0"), "{gone:?}");
    client.ok("DELETE", "/storage", plain).await;
}

/// Ids as clients may write them into a path: bare, encoded without need, and with what is only allowed encoded.
pub(crate) async fn paths_arrive_as_they_were_signed(site: &Site) {
    let mut client = site.client().await;
    for (sent, id) in [
        ("plain-id_1.2~3", "plain-id_1.2~3"),
        ("%7B00000000-0000-4000-8000-000000000000%7D", "{00000000-0000-4000-8000-000000000000}"),
        ("{11111111-0000-4000-8000-000000000000}", "{11111111-0000-4000-8000-000000000000}"),
        ("a%20b", "a b"),
        ("%61bc", "abc"),
        ("a%2Fb", "a/b"),
        ("a%2fc", "a/c"),
        ("a%2F%2Fb", "a//b"),
        ("a+b", "a+b"),
        ("a%2Bc", "a+c"),
        ("a%3Fb%23c%25d", "a?b#c%d"),
        ("a:b;c=d&e@f!$'()*,", "a:b;c=d&e@f!$'()*,"),
        ("a%22b%3Cc%3Ed%5Ee%60f%7Cg%5Ch", "a\"b<c>d^e`f|g\\h"),
        ("a%25%37%42", "a%7B"),
    ] {
        let target = format!("/storage/paths/{sent}");
        client.keep(&target, sent).await;
        let read = client.ok("GET", &target, plain).await;
        assert_eq!((&read.json()["id"], &read.json()["payload"]), (&value!(id), &value!(sent)));
        let ids = client.ok("GET", "/storage/paths", plain).await;
        assert_eq!(ids.json(), value!([id]), "{sent}");
        client.ok("DELETE", &target, plain).await;
    }
    // What the server itself refuses is refused by it, and not by the proxy.
    for sent in ["%C3%A9", "%E2%82%AC%F0%9F%A6%8A", "a%09b", &"x".repeat(65)] {
        let target = format!("/storage/paths/{sent}");
        let build = |request| json(request, r#"{"payload":""}"#);
        let (through, directly) =
            (client.send("PUT", &target, build).await, client.send_directly("PUT", &target, build).await);
        same(site, &target, &through, &directly);
        assert_eq!(through.status, 400, "{sent}: {through:?}");
    }
}

pub(crate) async fn queries_arrive_as_they_were_signed(site: &Site) {
    let mut client = site.client().await;
    let ids: Vec<String> =
        (0..100).map(|n| format!("{{{n:08}-0000-4000-8000-000000000000}}{}", "|".repeat(26))).collect();
    let records: Vec<_> = ids.iter().map(|id| value!({ "id": id, "payload": "p" })).collect();
    client.ok("POST", "/storage/queries", |request| json(request, Value::from(records).to_string())).await;
    // All that a request may name, with each character that can be encoded encoded: 15,000 characters.
    let encoded = ids.join(",").replace('{', "%7B").replace('}', "%7D").replace('|', "%7C");
    for query in [
        format!("ids={encoded}"),
        format!("full=1&ids={}", ids[..20].join(",")),
        format!("ids={}", ids[..20].join("%2C")),
        "newer=1.50&older=9999999999.99&sort=index&limit=5".to_owned(),
        "full=&sort=newest&limit=3&offset=".to_owned(),
        "ids=a%20b,c+d,%C3%A9&full".to_owned(),
        "limit=2&&unknown=%2F..%2F/../x&".to_owned(),
        "?".to_owned(),
    ] {
        let target = format!("/storage/queries?{query}");
        let through = client.send("GET", &target, plain).await;
        let directly = client.send_directly("GET", &target, plain).await;
        same(site, &target, &through, &directly);
        assert_ne!(through.status, 401, "{target}: {through:?}");
    }
    let all = client.ok("GET", &format!("/storage/queries?ids={encoded}"), plain).await;
    assert_eq!(all.json().as_array().unwrap().len(), 100);
    client.ok("DELETE", "/storage/queries", plain).await;
}

pub(crate) async fn bodies_of_the_advertised_size_arrive(site: &Site) {
    let mut client = site.client().await;
    let limits = client.ok("GET", "/info/configuration", plain).await.json();
    let limit = |name: &str| usize::try_from(limits[name].as_u64().unwrap()).unwrap();
    let payload = "x".repeat(limit("max_record_payload_bytes"));
    let mut body = value!([{ "id": "big", "payload": payload }]).to_string();
    let spaces = limit("max_request_bytes") - body.len();
    body.insert_str(body.len() - 1, &" ".repeat(spaces));
    assert_eq!(body.len(), limit("max_request_bytes"));
    for chunked in [false, true] {
        let build =
            |request| if chunked { json(request, body.as_str()).chunked() } else { json(request, body.as_str()) };
        let answer = client.ok("POST", "/storage/bodies", build).await;
        assert_eq!(answer.json()["success"], value!(["big"]));
    }
    let read = client.ok("GET", "/storage/bodies/big", plain).await;
    assert_eq!(read.json()["payload"].as_str().unwrap().len(), payload.len());
    // One more is refused by the server, whose answer clients understand.
    body.push(' ');
    let build = |request| json(request, body.as_str());
    let (through, directly) = (
        client.send("POST", "/storage/bodies", build).await,
        client.send_directly("POST", "/storage/bodies", build).await,
    );
    same(site, "one byte too many", &through, &directly);
    assert_eq!(through.status, 413, "{through:?}");
    client.ok("DELETE", "/storage/bodies", plain).await;
}

pub(crate) async fn compressed_bodies_arrive_and_come_back(site: &Site) {
    let mut client = site.client().await;
    let payload = "a text that can be packed. ".repeat(80_000);
    let body = value!([{ "id": "packed", "payload": payload }]).to_string();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    client.ok("POST", "/storage/packed", |request| json(request, packed).header("Content-Encoding", "gzip")).await;
    let answer = client.ok("GET", "/storage/packed/packed", |request| request.header("Accept-Encoding", "gzip")).await;
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"), "{answer:?}");
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["payload"], payload);
    client.ok("DELETE", "/storage/packed", plain).await;
}

pub(crate) async fn conditions_arrive_and_their_answers_come_back(site: &Site) {
    let mut client = site.client().await;
    let time = client.keep("/storage/conditions/a", "b").await.header("X-Last-Modified").unwrap().to_owned();
    let body = r#"{"payload":"c"}"#;
    let put = client
        .send("PUT", "/storage/conditions/a", |request| json(request, body).header("X-If-Unmodified-Since", "1.00"));
    let refused = put.await;
    assert_eq!(refused.status, 412, "{refused:?}");
    assert_eq!(refused.header("X-Last-Modified"), Some(time.as_str()));
    let unchanged = client.send("GET", "/storage/conditions", |request| request.header("X-If-Modified-Since", &time));
    let unchanged = unchanged.await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{unchanged:?}");
    assert_eq!(unchanged.header("X-Last-Modified"), Some(time.as_str()));
    let written =
        client.ok("PUT", "/storage/conditions/a", |request| json(request, body).header("X-If-Unmodified-Since", &time));
    written.await;
    client.ok("DELETE", "/storage/conditions", plain).await;
}

pub(crate) async fn long_lists_come_back_whole(site: &Site) {
    let mut client = site.client().await;
    // 24 MB, which no proxy keeps in memory.
    for n in 0..24 {
        client.keep(&format!("/storage/long/{n:02}"), &format!("{n:02}").repeat(500_000)).await;
    }
    let all = client.ok("GET", "/storage/long?full=1&sort=oldest", plain).await;
    let all = all.json();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 24);
    for (n, record) in all.iter().enumerate() {
        assert_eq!(record["id"], format!("{n:02}"));
        assert!(record["payload"].as_str().unwrap() == format!("{n:02}").repeat(500_000));
    }
    let (mut offset, mut ids) = (String::new(), Vec::new());
    loop {
        let page = client.ok("GET", &format!("/storage/long?limit=7&sort=oldest{offset}"), plain).await;
        assert_eq!(
            page.header("X-Weave-Records").map(|n| n.parse().unwrap()),
            Some(page.json().as_array().unwrap().len())
        );
        ids.extend(page.json().as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        match page.header("X-Weave-Next-Offset") {
            Some(next) => offset = format!("&offset={next}"),
            None => break,
        }
    }
    assert_eq!(ids, (0..24).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    client.ok("DELETE", "/storage/long", plain).await;
}

/// Whatever the client says of itself.
pub(crate) async fn the_log_names_the_client_and_not_the_proxy(site: &Site) {
    let path = format!("{}/1.5/1/storage/from-{}", site.prefix, site.addr.port());
    for (n, lie) in [None, Some("203.0.113.5")].into_iter().enumerate() {
        let mut request = Request::get(&path).auth(None);
        if let Some(lie) = lie {
            request = request.header("X-Forwarded-For", lie);
        }
        assert_eq!(site.connect().await.send(&request).await.unwrap().status, 401);
        // The log may come a moment after the answer.
        let begin = Instant::now();
        let lines = || site.server.log_lines().into_iter().filter(|line| line.contains(&path)).collect::<Vec<_>>();
        while lines().len() < n + 1 {
            assert!(begin.elapsed() < Duration::from_secs(10), "{:#?}", site.server.log_lines());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let line: Value = serde_json::from_str(&lines()[n]).unwrap();
        assert_eq!(line["client"], CLIENT.to_string(), "{:?}: {line}", site.proxy);
    }
}

pub(crate) async fn a_connection_is_good_for_many_requests(site: &Site) {
    let client = site.client().await;
    let mut connection = site.connect().await;
    for n in 0..50 {
        let request = Request::get(client.path("/info/collections")).auth(&client.token);
        let answer = connection.send(&request).await.unwrap_or_else(|error| panic!("request {n}: {error}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!connection.is_closed(), "{answer:?}");
    }
}

/// Caddy speaks it without being told to, so that browsers do.
pub(crate) async fn http2_if_the_proxy_speaks_it(site: &Site) {
    if site.proxy != Proxy::Caddy {
        return;
    }
    let client: Client<'_> = site.client().await;
    let target = client.path("/info/collections?a=%7B&b={");
    let port = site.addr.port();
    let ts = i64::try_from(testclient::now().as_secs()).unwrap();
    let hawk = Hawk { method: "GET", target: &target, host: NAME, port, ts, nonce: "n", hash: None, ext: None };
    let authorization = hawk.header(&client.token.id, client.token.hmac_key());
    let mut curl = Command::new("curl");
    curl.args([
        "--http2",
        "--globoff",
        "--silent",
        "--show-error",
        "--output",
        "/dev/null",
        "--insecure",
        "--write-out",
        " %{http_version} %{http_code}",
    ])
    .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
    .args(["--header", &format!("Authorization: {authorization}")])
    .arg(format!("https://{NAME}:{port}{target}"));
    let output = run(curl);
    assert_eq!(String::from_utf8_lossy(&output.stdout), " 2 200", "{output:?}");
}

/// That an answer which came through the proxy is the server's.
fn same(site: &Site, what: &str, through: &Response, directly: &Response) {
    let headers = |answer: &Response| {
        let names = ["X-Last-Modified", "X-Weave-Records", "X-Weave-Next-Offset", "Content-Type"];
        names.map(|name| answer.header(name).map(ToOwned::to_owned))
    };
    let proxy = site.proxy;
    assert_eq!(through.status, directly.status, "{proxy:?}, {what}: {through:?} and directly {directly:?}");
    assert_eq!(headers(through), headers(directly), "{proxy:?}, {what}");
    assert!(through.body == directly.body, "{proxy:?}, {what}: {through:?} and directly {directly:?}");
}
