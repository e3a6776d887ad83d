//! What the server tells a StatsD server, which here is a socket of the test.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use testclient::Request;

use crate::tokenserver::{ALICE, Device, Tokenserver};

struct Statsd(UdpSocket);

impl Statsd {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self(socket)
    }

    fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    /// All lines until each of these has come: a line that begins with the one and ends with the other.
    #[track_caller]
    fn until(&self, wanted: &[(&str, &str)]) -> Vec<String> {
        let (mut lines, mut buffer) = (Vec::<String>::new(), [0; 65_536]);
        let start = Instant::now();
        let is_there = |lines: &[String], (begin, end): &(&str, &str)| {
            lines.iter().any(|line| line.starts_with(begin) && line.ends_with(end))
        };
        while start.elapsed() < Duration::from_secs(20) {
            if wanted.iter().all(|one| is_there(&lines, one)) {
                return lines;
            }
            let Ok(bytes) = self.0.recv(&mut buffer) else { continue };
            assert!(bytes <= 1432, "a datagram of {bytes} bytes may be lost on the way");
            lines.extend(std::str::from_utf8(&buffer[..bytes]).unwrap().lines().map(ToOwned::to_owned));
        }
        let missing: Vec<_> = wanted.iter().filter(|one| !is_there(&lines, one)).collect();
        panic!("{missing:?} did not come: {lines:#?}");
    }
}

#[tokio::test]
async fn a_statsd_server_is_told_the_same_events() {
    let statsd = Statsd::start();
    let port = statsd.port();
    let tokens = Tokenserver::start_with(&[
        ("SYNC_STATSD_HOST", "127.0.0.1"),
        ("SYNC_STATSD_PORT", &port),
        ("SYNC_PURGE_INTERVAL", "1"),
    ]);
    let mut client = tokens.storage(&Device::of(ALICE)).await;
    assert_eq!(client.put("/storage/meta/global", r#"{"payload":"a payload"}"#).await.status, 200);
    assert_eq!(client.get("/info/collections").await.status, 200);
    assert_eq!(client.get("/storage/tabs/none").await.status, 404);
    tokens.send(&Request::get("/1.5/1/info/quota")).await;
    let lines = statsd.until(&[
        ("syncstorage.request.get_collections:1|c", "|#status:200"),
        ("syncstorage.request.get_collections.duration:", "|ms"),
        ("syncstorage.request.put_bso:1|c", "|#status:200"),
        ("syncstorage.request.get_bso:1|c", "|#status:404"),
        ("syncstorage.request.bytes_in:23|c", ""),
        ("syncstorage.storage.put_bso:", "|ms"),
        ("syncstorage.hawk.refusal:1|c", "|#reason:missing"),
        ("syncstorage.storage.pool.connections.active:", "|g"),
        ("syncstorage.storage.pool.connections.idle:", "|g"),
        ("syncstorage.process.resident_memory_bytes:", "|g"),
        ("syncstorage.purge.rows:0|c", "|#kind:bsos"),
        ("syncstorage.tokenserver.request.get_token:1|c", "|#status:200"),
        ("syncstorage.tokenserver.token_verification:", "|ms|#token_type:OAuth"),
        ("syncstorage.tokenserver.sign_in:1|c", "|#status:success"),
        ("syncstorage.tokenserver.registration:1|c", "|#status:success"),
        ("syncstorage.tokenserver.storage.sign_in:", "|ms"),
    ]);
    for line in &lines {
        assert!(!line.contains(ALICE) && !line.contains("a payload") && !line.contains("hostname"), "{line}");
    }
    // Every name is in the documentation.
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/metrics.md")).unwrap();
    let documented: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    for line in &lines {
        let name = line.split(':').next().unwrap();
        let name = name.strip_prefix("syncstorage.").unwrap();
        let name = name.strip_prefix("tokenserver.").unwrap_or(name);
        let end = |prefix: &str| name.strip_prefix(prefix).is_some_and(|end| documented.contains(&*format!(".{end}")));
        let is_known = documented.contains(name)
            || name.starts_with("request.")
            || end("storage.pool.connections")
            || name.strip_prefix("storage.").is_some_and(|operation| !operation.contains('.'))
            || end("storage.pool.connections.");
        assert!(is_known, "{name} is not documented");
    }
}

#[tokio::test]
async fn labels_and_the_tag_of_the_host_are_settings() {
    let statsd = Statsd::start();
    let port = statsd.port();
    let tokens = Tokenserver::start_with(&[
        ("SYNC_STATSD_HOST", "localhost"),
        ("SYNC_STATSD_PORT", &port),
        ("SYNC_INCLUDE_HOSTNAME_TAG", "true"),
        ("SYNC_SYNCSTORAGE__STATSD_LABEL", "mine.storage"),
        ("SYNC_TOKENSERVER__STATSD_LABEL", "mine.tokens"),
    ]);
    tokens.sign_in(&Device::of(ALICE)).await;
    tokens.send(&Request::get("/__heartbeat__")).await;
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let lines = statsd.until(&[("mine.storage.request.get_heartbeat:1|c", ""), ("mine.tokens.sign_in:1|c", "")]);
    for line in &lines {
        assert!(line.contains(&format!("hostname:{host}")), "{line}");
    }
}

#[tokio::test]
async fn a_statsd_server_that_is_not_there_holds_up_nobody() {
    let gone = Statsd::start().port();
    for (name, port) in [("127.0.0.1", gone.as_str()), ("no.such.host.invalid", "8125")] {
        let tokens = Tokenserver::start_with(&[("SYNC_STATSD_HOST", name), ("SYNC_STATSD_PORT", port)]);
        let start = Instant::now();
        for _ in 0..50 {
            assert_eq!(tokens.send(&Request::get("/__lbheartbeat__")).await.status, 200);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let warned = tokens.server.log_lines().iter().any(|line| line.contains("StatsD") && line.contains(name));
        assert_eq!(warned, port == "8125");
    }
}
