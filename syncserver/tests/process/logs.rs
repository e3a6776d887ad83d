//! The log as programs read it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testclient::{Connection, Jwt, Key, MockFxa, Request, Token};

use crate::client::record;
use crate::program::{Folder, SECRET, listening};

const PAYLOAD: &str = "a payload that nobody may see";

#[tokio::test]
async fn every_line_is_a_json_object_and_holds_no_secret_no_token_and_no_payload() {
    let folder = Folder::new();
    let fxa = MockFxa::start();
    let server = folder.start_with(&[
        ("SYNC_HUMAN_LOGS", "0"),
        ("SYNC_LOG_LEVEL", "trace"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &fxa.url()),
        ("SYNC_PREVIOUS_MASTER_SECRETS", "an older secret of this server"),
        ("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET", "a metrics secret of this server"),
    ]);
    let mut connection = server.connect().await;
    let access_token = Jwt::access("0123456789abcdef0123456789abcdef", 1_000).sign(&Key::first());
    let sign_in = |token: &str, key_id: &str| {
        Request::get("/1.0/sync/1.5").header("Authorization", format!("Bearer {token}")).header("X-KeyID", key_id)
    };
    let answer = connection.send(&sign_in(&access_token, "1000-c2VjcmV0IGtleSBpZA")).await.unwrap().json();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let opaque = "0pa9ueT0ken".repeat(5);
    for (token, key_id) in [(&opaque, "1000-c2VjcmV0IGtleSBpZA"), (&access_token, "nonsense-c2VjcmV0IGtleSBpZA")] {
        assert_eq!(connection.send(&sign_in(token, key_id)).await.unwrap().status, 401);
    }

    let uid = answer["uid"].as_u64().unwrap();
    let mut client = server.user(uid).await;
    client.token = Token::from_parts(&text("id"), &text("key"), uid);
    assert_eq!(client.put("/storage/meta/global", &record(PAYLOAD)).await.status, 200);
    // Refusals of all kinds, with the same in them.
    let many = format!(r#"[{{"id":"a","payload":"{PAYLOAD}"}},{{"id":"b","payload":"{PAYLOAD}","ttl":"soon"}}]"#);
    assert_eq!(client.post("/storage/tabs", &many).await.status, 200);
    for broken in [&many[..40], &format!("{{\"payload\":\"{PAYLOAD}\"}}"), PAYLOAD] {
        assert_eq!(client.post("/storage/tabs", broken).await.status, 400);
    }
    assert_eq!(client.put("/storage/meta/global", &format!(r#"{{"payload":"{PAYLOAD}","x":1}}"#)).await.status, 400);
    assert_eq!(client.get("/storage/tabs?limit=many").await.status, 400);
    assert_eq!(client.get("/no/such/path").await.status, 404);
    client.token = Token::from_parts(&text("id"), "a wrong key of a token", uid);
    assert_eq!(client.get("/info/collections").await.status, 401);
    let stranger = Token::builder("a stranger's secret", uid).build();
    client.token = stranger.clone();
    assert_eq!(client.get("/info/collections").await.status, 401);

    let log = server.stop();
    assert!(log.len() > 8, "{log:#?}");
    for line in &log {
        let Ok(Value::Object(line)) = serde_json::from_str(line) else { panic!("not a JSON object: {line:?}") };
        for name in ["time", "level", "msg"] {
            assert!(line[name].is_string(), "{line:?}");
        }
    }
    let all = log.join("\n");
    let jwt_parts: Vec<&str> = access_token.split('.').collect();
    for secret in [
        SECRET,
        "an older secret",
        "a metrics secret",
        PAYLOAD,
        &opaque,
        jwt_parts[1],
        jwt_parts[2],
        "c2VjcmV0IGtleSBpZA",
        &text("id"),
        &text("key"),
        &stranger.id,
        &stranger.key,
    ] {
        assert!(!all.contains(secret), "{secret:?} is in the log: {all}");
    }
    for told in ["listening", "request refused", "another master secret", "stopped"] {
        assert!(all.contains(told), "{told:?} is not in the log: {all}");
    }
}

#[test]
fn a_log_for_people_has_the_same_in_plain_lines() {
    let folder = Folder::new();
    let log = folder.start_with(&[("SYNC_HUMAN_LOGS", "1")]).stop().join("\n");
    assert!(log.contains("listening") && log.contains("stopped"), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{log}");
    assert!(!log.contains('\u{1b}'), "colours are for terminals: {log:?}");
}

/// Such as that of a log driver which has got stuck.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = Folder::new();
    let mut command = folder.command(&[("SYNC_HUMAN_LOGS", "0")]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let addr = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it has ended");
        if let Some(addr) = listening(&line) {
            break addr;
        }
    };
    let answered = tokio::time::timeout(Duration::from_secs(120), async {
        let mut connection = Connection::connect(addr).await.unwrap();
        // A pipe holds 64 KB, each of these is a line of some 300 bytes, and 4096 lines may wait.
        for _ in 0..6000 {
            assert_eq!(connection.send(&Request::get("/1.5/1/info/collections")).await.unwrap().status, 401);
        }
    });
    let answered = answered.await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        while child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let ended = ended.await;
    if ended.is_err() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(answered.is_ok() && ended.is_ok(), "answered: {answered:?}, ended: {ended:?}");
}
