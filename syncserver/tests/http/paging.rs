//! Pages (section 3.2): complete, without repetition, whatever happens meanwhile.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use testclient::Response;

use crate::check::Check;
use crate::server::{Client, TestServer};

/// Posts so many records at one time.
async fn fill(client: &mut Client, collection: &str, count: usize) -> i64 {
    let records: Vec<_> = (0..count)
        .map(|number| json!({ "id": format!("{{{number:03}}}"), "payload": "p", "sortindex": number % 7 }))
        .collect();
    let batch = client.post(&format!("/storage/{collection}?batch=true"), "[]").await.has(202);
    let target = format!("/storage/{collection}?batch={}", batch.json()["batch"].as_str().unwrap());
    for some in records.chunks(100) {
        client.post(&target, &json!(some).to_string()).await.has(202);
    }
    client.post(&format!("{target}&commit=true"), "[]").await.written()
}

/// The pages that a query gives, all of them.
async fn pages(client: &mut Client, query: &str) -> Vec<Response> {
    let mut pages: Vec<Response> = Vec::new();
    loop {
        let offset = pages.last().and_then(|page| page.header("X-Weave-Next-Offset"));
        if offset.is_none() && !pages.is_empty() {
            return pages;
        }
        let offset = offset.map(|offset| format!("&offset={offset}")).unwrap_or_default();
        pages.push(client.get(&format!("{query}{offset}")).await.has(200));
        assert!(pages.len() < 1000, "no end");
    }
}

#[tokio::test]
async fn records_of_one_time_are_paged_by_60_and_25() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let time = fill(&mut client, "x", 250).await;
    let all: BTreeSet<String> = client.get("/storage/x").await.ids().into_iter().collect();
    assert_eq!(all.len(), 250);
    for sort in ["", "&sort=newest", "&sort=oldest", "&sort=index"] {
        for full in ["", "&full=1"] {
            let whole = client.get(&format!("/storage/x?{full}{sort}")).await.ids();
            for (limit, count) in [(60, 5), (25, 10), (250, 1), (249, 2), (1000, 1)] {
                let pages = pages(&mut client, &format!("/storage/x?limit={limit}{full}{sort}")).await;
                assert_eq!(pages.len(), count);
                assert!(pages.iter().all(|page| page.last_modified() == time));
                let ids: Vec<String> = pages.iter().flat_map(Check::ids).collect();
                assert_eq!(ids, whole, "limit {limit}{full}{sort}");
            }
        }
    }
}

#[tokio::test]
async fn an_offset_is_url_safe_and_the_limit_may_change_from_page_to_page() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    fill(&mut client, "x", 30).await;
    for sort in ["", "&sort=newest", "&sort=oldest", "&sort=index"] {
        let whole = client.get(&format!("/storage/x?full{sort}")).await.ids();
        let first = client.get(&format!("/storage/x?full{sort}&limit=7")).await;
        let offset = first.must_have("X-Weave-Next-Offset");
        assert!(offset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{offset}");
        let second = client.get(&format!("/storage/x?limit=11&offset={offset}&full{sort}")).await;
        assert_eq!(second.ids(), whole[7..18]);
        // The same page may be asked for again.
        let again = client.get(&format!("/storage/x?full{sort}&limit=11&offset={offset}")).await;
        assert_eq!(again.body, second.body);
        let offset = second.must_have("X-Weave-Next-Offset");
        let rest = client.get(&format!("/storage/x?full{sort}&offset={offset}")).await;
        assert_eq!(rest.ids(), whole[18..]);
        assert!(rest.header("X-Weave-Next-Offset").is_none());
        let none = client.get(&format!("/storage/x?full{sort}&offset={offset}&limit=0")).await;
        assert!(none.ids().is_empty() && none.header("X-Weave-Next-Offset").is_none());
    }
}

#[tokio::test]
async fn an_offset_goes_with_its_own_query_alone() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    fill(&mut client, "x", 10).await;
    fill(&mut client, "y", 10).await;
    let query = "full=1&newer=1&older=4102405200&sort=newest&ids={001},{002},{003},{004}";
    let first = client.get(&format!("/storage/x?{query}&limit=2")).await;
    let offset = first.must_have("X-Weave-Next-Offset").to_owned();
    assert_eq!(client.get(&format!("/storage/x?{query}&limit=2&offset={offset}")).await.ids().len(), 2);
    for other in [
        "full=1".to_owned(),
        query.replace("full=1&", ""),
        query.replace("newer=1", "newer=2"),
        query.replace("&older=4102405200", ""),
        query.replace("newest", "oldest"),
        query.replace("newest", "index"),
        query.replace("&sort=newest", ""),
        query.replace(",{004}", ""),
    ] {
        client.get(&format!("/storage/x?{other}&limit=2&offset={offset}")).await.is(400, "0");
    }
    client.get(&format!("/storage/y?{query}&limit=2&offset={offset}")).await.is(400, "0");
    for broken in [&offset[1..], &offset[..offset.len() - 3], &format!("{offset}A"), &offset.to_lowercase()] {
        client.get(&format!("/storage/x?{query}&limit=2&offset={broken}")).await.is(400, "0");
    }
}

#[tokio::test]
async fn a_page_of_lines_goes_on_where_the_one_before_ended() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    fill(&mut client, "x", 10).await;
    let lines = |request: testclient::Request| request.header("Accept", "application/newlines");
    let first = client.send("GET", "/storage/x?limit=6", lines).await.has(200);
    let offset = first.must_have("X-Weave-Next-Offset");
    let second = client.send("GET", &format!("/storage/x?limit=6&offset={offset}"), lines).await.has(200);
    let whole = client.send("GET", "/storage/x", lines).await.has(200);
    assert_eq!(format!("{}{}", first.text(), second.text()), whole.text());
    assert!(second.header("X-Weave-Next-Offset").is_none());
}

#[tokio::test]
async fn a_page_says_when_the_collection_was_modified_meanwhile() {
    let server = TestServer::start();
    let mut client = server.user(1).await;
    let time = fill(&mut client, "x", 10).await;
    let first = client.get("/storage/x?limit=4").await;
    assert_eq!(first.last_modified(), time);
    let since = first.must_have("X-Last-Modified").to_owned();
    let target = format!("/storage/x?limit=4&offset={}", first.must_have("X-Weave-Next-Offset"));
    let unmodified = |request: testclient::Request| request.header("X-If-Unmodified-Since", &since);
    client.send("GET", &target, unmodified).await.has(200);
    client.put("/storage/y/a", "{}").await.has(200);
    client.send("GET", &target, unmodified).await.has(200);
    let later = client.put("/storage/x/new", "{}").await.written();
    assert_eq!(client.send("GET", &target, unmodified).await.has(412).last_modified(), later);
    assert_eq!(client.get(&target).await.last_modified(), later);
}

/// A collection, how to read it, and what others do to it between the pages.
#[derive(Clone, Debug)]
struct Story {
    /// The records: by which of a few writes, the sortindex, and whether somebody changes it while it is read.
    records: Vec<(usize, Option<i32>, bool)>,
    sort: &'static str,
    full: bool,
    limits: Vec<usize>,
    /// What happens after each page, to a record that is not watched.
    meddling: Vec<(u8, usize, Option<i32>)>,
}

fn story() -> impl Strategy<Value = Story> {
    let sortindex = || prop_oneof![Just(None), (-3..4).prop_map(Some)];
    let records = proptest::collection::vec((0..5usize, sortindex(), any::<bool>()), 0..60);
    let sort = prop_oneof![Just(""), Just("&sort=newest"), Just("&sort=oldest"), Just("&sort=index")];
    let limits = proptest::collection::vec(1..12usize, 1..5);
    let meddling = proptest::collection::vec((0..5u8, 0..60usize, sortindex()), 1..10);
    (records, sort, any::<bool>(), limits, meddling).prop_map(|(records, sort, full, limits, meddling)| Story {
        records,
        sort,
        full,
        limits,
        meddling,
    })
}

async fn meddle(client: &mut Client, (what, number, sortindex): (u8, usize, Option<i32>), others: &[String]) {
    let id = others.get(number % others.len().max(1)).cloned().unwrap_or_else(|| "fresh".to_owned());
    let target = format!("/storage/x/{id}");
    match what {
        0 => _ = client.delete(&target).await,
        1 => _ = client.put(&target, "{}").await.has(200),
        2 => _ = client.put(&target, &json!({ "payload": "again", "sortindex": sortindex }).to_string()).await.has(200),
        3 => _ = client.put(&format!("/storage/x/new-{number}"), r#"{"sortindex":0}"#).await.has(200),
        _ => _ = client.delete(&format!("/storage/x?ids={id},new-{number}")).await.has(200),
    }
}

async fn tell(client: &mut Client, story: &Story) {
    let mut watched = Vec::new();
    let mut others = Vec::new();
    let mut order: Vec<usize> = (0..story.records.len()).collect();
    order.sort_by_key(|number| story.records[*number].0);
    for write in 0..5 {
        let mut records = Vec::new();
        for (number, (_, sortindex, meddled)) in
            story.records.iter().enumerate().filter(|(_, record)| record.0 == write)
        {
            let id = format!("{:02}{}", (number * 37) % 100, if *meddled { "m" } else { "w" });
            records.push(json!({ "id": id, "payload": format!("payload of {id}"), "sortindex": sortindex }));
            if *meddled { &mut others } else { &mut watched }.push(id);
        }
        client.post("/storage/x", &json!(records).to_string()).await.has(200);
    }
    watched.sort();
    let query = format!("/storage/x?{}{}", if story.full { "full=1" } else { "" }, story.sort);
    let whole: Vec<String> = client.get(&query).await.ids().into_iter().filter(|id| id.ends_with('w')).collect();

    let mut seen = Vec::new();
    let mut offset = String::new();
    for page_number in 0.. {
        let limit = story.limits[page_number % story.limits.len()];
        let page = client.get(&format!("{query}&limit={limit}{offset}")).await;
        let ids = page.ids();
        assert!(ids.len() <= limit);
        seen.extend(ids.into_iter().filter(|id| id.ends_with('w')));
        let Some(next) = page.header("X-Weave-Next-Offset") else { break };
        offset = format!("&offset={next}");
        // Once all is seen, a new record at each end would make the sequence endless.
        if page_number < 40 {
            meddle(client, story.meddling[page_number % story.meddling.len()], &others).await;
        }
    }
    assert_eq!(seen, whole, "not once each, in order");
    seen.sort();
    assert_eq!(seen, watched);
    client.delete("").await.has(200);
}

#[test]
fn no_page_skips_or_repeats_a_record_that_nobody_touched() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = TestServer::start();
    let mut client = runtime.block_on(server.user(1));
    let client = std::cell::RefCell::new(&mut client);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let told = runner.run(&story(), |story| {
        runtime.block_on(tell(&mut client.borrow_mut(), &story));
        Ok(())
    });
    told.unwrap_or_else(|error| panic!("{error}"));
}
