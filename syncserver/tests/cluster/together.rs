//! Many writers of one user and of many users, at several servers on one database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testclient::{Connection, Request, Response, Token};
use tokio::task::JoinSet;

use crate::client::{Client, record};
use crate::database::Shared;
use crate::program::{SECRET, Server};

const SERVERS: usize = 3;

/// A time in hundredths of a second, from a header or a body.
fn ticks(text: &str) -> u64 {
    let (seconds, fraction) = text.split_once('.').unwrap();
    assert_eq!(fraction.len(), 2, "{text}");
    format!("{seconds}{fraction}").parse().unwrap()
}

fn last_modified(answer: &Response) -> u64 {
    ticks(answer.header("X-Last-Modified").unwrap_or_else(|| panic!("{answer:?}")))
}

/// Sends until the server has the time for it: a burst of one user may be told to come back.
async fn until_done(client: &mut Client, method: &str, target: &str, body: &str) -> Response {
    loop {
        let answer = client.try_send(method, target, Some(body)).await.unwrap();
        match answer.status {
            200 | 202 => return answer,
            503 => assert!(answer.header("Retry-After").is_some(), "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_writes_of_a_user_get_the_same_time() {
    let database = Shared::new();
    let servers = database.servers(SERVERS, &[]);
    let mut writers = JoinSet::new();
    for n in 0..9_usize {
        let mut client = servers[n % SERVERS].user(1).await;
        writers.spawn(async move {
            let mut times = Vec::new();
            for k in 0..15 {
                let (method, target, body) = match k % 3 {
                    0 => ("PUT", format!("/storage/c{}/r{n}", n % 2), record("x")),
                    1 => (
                        "POST",
                        format!("/storage/c{}", n % 3),
                        json!([{"id": format!("p{n}"), "payload": "y"}]).to_string(),
                    ),
                    _ => ("DELETE", format!("/storage/c{}?ids=p{n}", n % 3), String::new()),
                };
                let answer = until_done(&mut client, method, &target, &body).await;
                times.push(last_modified(&answer));
            }
            assert!(times.is_sorted_by(|a, b| a < b), "times of one writer: {times:?}");
            times
        });
    }
    let times: Vec<u64> = writers.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<u64> = times.iter().copied().collect();
    assert_eq!(times.len(), 9 * 15);
    assert_eq!(distinct.len(), times.len(), "some writes got the same time");
    let answer = servers[0].user(1).await.get("/info/collections").await;
    assert_eq!(Some(&last_modified(&answer)), distinct.last(), "the store has the time of its last write");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost() {
    const WRITERS: usize = 6;
    const ROUNDS: u64 = 10;
    let database = Shared::new();
    let servers = database.servers(SERVERS, &[]);
    servers[0].user(1).await.put("/storage/count/er", &record("0")).await;
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let mut client = servers[n % SERVERS].user(1).await;
        writers.spawn(async move {
            let mut done = 0;
            while done < ROUNDS {
                let read = client.get("/storage/count/er").await;
                assert_eq!(read.status, 200, "{read:?}");
                let value: u64 = read.json()["payload"].as_str().unwrap().parse().unwrap();
                let seen = read.header("X-Last-Modified").unwrap().to_owned();
                let request = Request::put(client.token.path("/storage/count/er"), record(&(value + 1).to_string()))
                    .header("X-If-Unmodified-Since", seen)
                    .auth(&client.token);
                match client.connection.send(&request).await.unwrap().status {
                    200 => done += 1,
                    412 => {}
                    503 => tokio::time::sleep(Duration::from_millis(20)).await,
                    other => panic!("{other}"),
                }
            }
        });
    }
    writers.join_all().await;
    let end = servers[1].user(1).await.get("/storage/count/er").await.json();
    assert_eq!(end["payload"], (WRITERS as u64 * ROUNDS).to_string());
}

/// A reader as the mobile clients are: it asks for what is newer than the last time it was given, and keeps it.
async fn follow(mut client: Client, done: Arc<AtomicBool>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    let mut since = "0".to_owned();
    loop {
        // Asked before the read: what was written until then has to come.
        let is_last = done.load(Ordering::SeqCst);
        let answer = client.get(&format!("/storage/shared?full=1&newer={since}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let stamp = last_modified(&answer);
        let bsos = answer.json();
        let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
        for bso in bsos.as_array().unwrap() {
            let modified = ticks(&format!("{:.2}", bso["modified"].as_f64().unwrap()));
            assert!(modified <= stamp, "a record is newer than the answer's X-Last-Modified: {modified} > {stamp}");
            let (id, payload) = (bso["id"].as_str().unwrap(), bso["payload"].as_str().unwrap());
            if let Some((batch, _)) = id.split_once('-').filter(|(batch, _)| batch.starts_with('b')) {
                *batches.entry(batch).or_default() += 1;
            }
            kept.insert(id.to_owned(), payload.to_owned());
        }
        for (batch, records) in batches {
            assert_eq!(records, 6, "half of the batch {batch} was seen");
        }
        since = answer.header("X-Last-Modified").unwrap().to_owned();
        if is_last {
            return kept;
        }
    }
}

async fn batch(client: &mut Client, name: &str) {
    let records = |from: usize| {
        let records: Vec<Value> =
            (from..from + 2).map(|n| json!({ "id": format!("{name}-{n}"), "payload": name })).collect();
        Value::from(records).to_string()
    };
    let begun = until_done(client, "POST", "/storage/shared?batch=true", &records(0)).await;
    let id = begun.json()["batch"].as_str().unwrap().replace('=', "%3D");
    until_done(client, "POST", &format!("/storage/shared?batch={id}"), &records(2)).await;
    until_done(client, "POST", &format!("/storage/shared?batch={id}&commit=true"), &records(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_asks_for_what_is_newer_misses_nothing_and_sees_no_half_batch() {
    let database = Shared::new();
    let servers = database.servers(SERVERS, &[]);
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for server in &servers {
        readers.spawn(follow(server.user(1).await, Arc::clone(&done)));
    }
    let mut writers = JoinSet::new();
    for n in 0..6_usize {
        let mut client = servers[n % SERVERS].user(1).await;
        writers.spawn(async move {
            for k in 0..8 {
                match n % 3 {
                    0 => batch(&mut client, &format!("b{n}x{k}")).await,
                    1 => {
                        let target = format!("/storage/shared/put{n}x{k}");
                        until_done(&mut client, "PUT", &target, &record("p")).await;
                    }
                    _ => {
                        let body =
                            json!([{"id": format!("post{n}x{k}"), "payload": "q"}, {"id": "same", "payload": "r"}]);
                        until_done(&mut client, "POST", "/storage/shared", &body.to_string()).await;
                    }
                }
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    let all = servers[0].user(1).await.get("/storage/shared?full=1").await.json();
    let all: BTreeMap<String, String> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|bso| (bso["id"].as_str().unwrap().to_owned(), bso["payload"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(all.len(), 2 * 8 * 6 + 2 * 8 + 2 * 8 + 1);
    for kept in readers.join_all().await {
        assert_eq!(kept, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brand_new_users_who_all_write_at_once_are_all_served() {
    const USERS: usize = 300;
    const AT_ONCE: usize = 24;
    let database = Shared::new();
    let servers = database.servers(SERVERS, &[]);
    let mut writers = JoinSet::new();
    for n in 0..AT_ONCE {
        let addr = servers[n % SERVERS].addr;
        writers.spawn(async move {
            for user in (n..USERS).step_by(AT_ONCE) {
                let connection = Connection::connect(addr).await.unwrap();
                let mut client = Client { connection, token: Token::builder(SECRET, 1000 + user as u64).build() };
                // The name of the collection is new, too, to some of them.
                let target = format!("/storage/fresh{}/first", user % 7);
                let answer = client.put(&target, &record("here")).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                let read = client.get("/info/collections").await.json();
                assert_eq!(read.as_object().unwrap().len(), 1, "{read}");
            }
        });
    }
    writers.join_all().await;
    no_trouble_was_logged(&servers);
}

/// Deadlocks and what else the servers may have met are their own affair, but no request may have failed of it.
fn no_trouble_was_logged(servers: &[Server]) {
    for server in servers {
        for line in server.log_lines() {
            assert!(!line.contains("ERRO") && !line.contains("panicked"), "{line}");
        }
    }
}
