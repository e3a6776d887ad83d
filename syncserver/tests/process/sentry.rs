//! Error reports, as a Sentry server gets them: here it is a thread of the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use testclient::{Jwt, Key, MockFxa, Request, Token};

use crate::databases::sql;
use crate::program::{Folder, Server};

const ALICE: &str = "a11ce000000000000000000000000001";
const PAYLOAD: &str = "a payload that nobody may see";

/// Takes envelopes.
struct Ingest {
    port: u16,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Ingest {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let taken = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                std::thread::spawn(move || take(&stream, &taken));
            }
        });
        Self { port, requests }
    }

    fn dsn(&self) -> String {
        format!("http://thepublickey@127.0.0.1:{}/42", self.port)
    }

    /// All that has come so far: heads and bodies.
    fn all(&self) -> Vec<(String, String)> {
        self.requests.lock().unwrap().clone()
    }

    /// The events that have come, once there are so many.
    #[track_caller]
    fn events(&self, count: usize) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let events: Vec<Value> = self.all().iter().filter_map(|(_, body)| event(body)).collect();
            if events.len() >= count {
                return events;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{:#?}", self.all());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn take(stream: &TcpStream, taken: &Mutex<Vec<(String, String)>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or_default() == 0 {
                return;
            }
        }
        for line in head.lines() {
            if let Some(("content-length", value)) = line.to_ascii_lowercase().split_once(": ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        taken.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
        let mut writer = stream;
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    }
}

/// The event of an envelope: lines of JSON, of which the second says what the third is.
fn event(envelope: &str) -> Option<Value> {
    let lines: Vec<Value> = envelope.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = lines.iter().position(|line| line["type"] == "event")?;
    lines.get(at + 1).cloned()
}

fn start(folder: &Folder, ingest: &Ingest, fxa: &MockFxa) -> Server {
    folder.start_with(&[
        ("SENTRY_DSN", &ingest.dsn()),
        ("SYNC_ENVIRONMENT", "a test"),
        ("SYNC_TEST_ERROR", "true"),
        ("SYNC_HUMAN_LOGS", "0"),
        ("SYNC_METRICS_LISTEN", "127.0.0.1:0"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &fxa.url()),
    ])
}

#[tokio::test]
async fn errors_and_panics_are_reported_and_nothing_about_anybody() {
    let (folder, ingest, fxa) = (Folder::new(), Ingest::start(), MockFxa::start());
    let server = start(&folder, &ingest, &fxa);
    let mut connection = server.connect().await;
    let access_token = Jwt::access(ALICE, 1_000).sign(&Key::first());
    let sign_in = Request::get("/1.0/sync/1.5")
        .header("Authorization", format!("Bearer {access_token}"))
        .header("X-KeyID", "1000-c2VjcmV0IGtleSBpZA");
    let answer = connection.send(&sign_in).await.unwrap().json();
    let uid = answer["uid"].as_u64().unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let mut client = server.user(uid).await;
    client.token = Token::from_parts(&text("id"), &text("key"), uid);

    // The page that is made for it.
    let failed = connection.send(&Request::get("/__error__")).await.unwrap();
    assert_eq!(failed.status, 500);
    // A failure of the storage: the table is gone. And one of the tokenserver.
    sql(&folder, "DROP TABLE bsos; DROP TABLE users");
    let record = format!(r#"{{"payload":"{PAYLOAD}"}}"#);
    let broken = client.put("/storage/passwords/somebodys-login", &record).await;
    assert_eq!(broken.status, 500);
    assert_eq!(connection.send(&sign_in).await.unwrap().status, 500);
    // A panic: the client gets no answer at all.
    assert!(server.connect().await.send(&Request::get("/__error__?panic")).await.is_err());
    // What is refused is nobody's error.
    client.token = Token::from_parts(&text("id"), "a wrong key of a token", uid);
    assert_eq!(client.get("/info/collections").await.status, 401);

    let events = ingest.events(4);
    let of = |what: &str| {
        let found = events.iter().find(|event| event.to_string().contains(what));
        found.unwrap_or_else(|| panic!("no event has {what}: {events:#?}")).clone()
    };
    let test_error = of("a test error");
    // Sentry's default level is left out: it is an error.
    assert!(test_error.get("level").is_none_or(|level| level == "error"), "{test_error}");
    assert_eq!(test_error["release"], concat!("syncserver@", env!("CARGO_PKG_VERSION")));
    assert_eq!(test_error["environment"], "a test");
    assert_eq!(test_error["transaction"], "GET /__error__");
    assert_eq!(test_error["tags"]["status"], "500");
    assert_eq!(test_error["tags"]["request_id"], failed.header("X-Request-ID").unwrap());
    let put = of("PUT /1.5/{uid}/storage/{collection}/{id}");
    assert!(put["message"].as_str().unwrap().contains("no such table"), "{put}");
    assert_eq!(put["tags"]["request_id"], broken.header("X-Request-ID").unwrap());
    assert_eq!(of("GET /1.0/sync/1.5")["tags"]["route"], "/1.0/sync/1.5");
    let panic = of("a test panic");
    assert_eq!((&panic["level"], &panic["exception"]["values"][0]["type"]), (&"fatal".into(), &"panic".into()));
    assert!(panic["tags"]["location"].as_str().unwrap().contains("web/ops.rs:"), "{panic}");

    let log = server.stop();
    assert!(
        log.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "a panic is a line as any other: {log:#?}"
    );
    assert!(log.iter().any(|line| line.contains("\"critical\"") && line.contains("a test panic")), "{log:#?}");
    let all = ingest.all();
    assert_eq!(all.iter().filter_map(|(_, body)| event(body)).count(), 4, "no more than that: {all:#?}");
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for (head, body) in &all {
        assert!(head.starts_with("POST /api/42/envelope/") && head.contains("thepublickey"), "{head}");
        for personal in [
            ALICE,
            PAYLOAD,
            "passwords",
            "somebodys-login",
            "127.0.0.1",
            &format!("/1.5/{uid}"),
            &access_token,
            &text("id"),
            &text("key"),
            "c2VjcmV0IGtleSBpZA",
            "api.accounts.firefox.com",
            "\"user\"",
            "server_name",
            &host,
        ] {
            assert!(!body.contains(personal), "{personal} is in a report: {body}");
        }
    }
}

#[tokio::test]
async fn a_flood_of_errors_is_a_few_reports() {
    let (folder, ingest, fxa) = (Folder::new(), Ingest::start(), MockFxa::start());
    let server = start(&folder, &ingest, &fxa);
    let mut connection = server.connect().await;
    for _ in 0..100 {
        assert_eq!(connection.send(&Request::get("/__error__")).await.unwrap().status, 500);
    }
    assert_eq!(server.stop().iter().filter(|line| line.contains("a test error")).count(), 100);
    let sent = ingest.all().iter().filter(|(_, body)| event(body).is_some()).count();
    assert!((1..=30).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_sentry_server_that_is_not_there_does_no_harm() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = Folder::new();
    let dsn = format!("http://key@127.0.0.1:{nobody}/1");
    let server = folder.start_with(&[("SENTRY_DSN", &dsn), ("SYNC_TEST_ERROR", "true")]);
    let mut connection = server.connect().await;
    assert_eq!(connection.send(&Request::get("/__error__")).await.unwrap().status, 500);
    assert_eq!(connection.send(&Request::get("/__heartbeat__")).await.unwrap().status, 200);
    server.stop();
}

#[test]
fn a_wrong_dsn_is_refused_without_being_shown() {
    let refusal = Folder::new().refusal(&[("SENTRY_DSN", "https://s3cret/1")]);
    refusal.names(&["SENTRY_DSN", "is no DSN"]);
    assert!(!refusal.why.contains("s3cret"), "{refusal:?}");
}
