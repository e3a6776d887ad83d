//! What a service manager is told, over a socket as systemd's.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, SqliteConnection};
use rustix::process::{Pid, Signal, kill_process};
use testclient::{Connection, Request};
use testdb::Killed;

use crate::client::record;
use crate::databases::sql;
use crate::program::{Folder, text};

/// Longer than anything here takes at once.
const LONG: Duration = Duration::from_secs(20);

/// The end of the socket that the manager holds.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(folder: &Folder) -> Self {
        let path = text(&folder.path("notify")).to_owned();
        Self { socket: UnixDatagram::bind(&path).unwrap(), path }
    }

    /// The lines of the next message within this time.
    fn hear_within(&self, time: Duration) -> Option<Vec<String>> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        Some(message.lines().map(ToOwned::to_owned).collect())
    }

    /// All messages until one has this line, with that one.
    fn hear_until(&self, line: &str) -> Vec<Vec<String>> {
        let mut heard = Vec::new();
        loop {
            let next = self.hear_within(LONG).unwrap_or_else(|| panic!("no {line} after {heard:?}"));
            heard.push(next);
            if heard.last().unwrap().iter().any(|said| said == line) {
                return heard;
            }
        }
    }
}

fn has(heard: &[Vec<String>], line: &str) -> bool {
    heard.iter().flatten().any(|said| said == line)
}

#[tokio::test]
async fn it_is_ready_when_it_answers_and_says_when_it_stops() {
    let folder = Folder::on_backend();
    let manager = Manager::new(&folder);
    let mut child = Killed(folder.command(&[("NOTIFY_SOCKET", &manager.path)]).stderr(Stdio::piped()).spawn().unwrap());
    let heard = manager.hear_until("READY=1");
    // It listened, and a request that comes only now is answered: the address is in the log.
    let log = BufReader::new(child.stderr.take().unwrap());
    let line = log.lines().map(Result::unwrap).find(|line| line.contains("listening")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap();
    let mut connection = Connection::connect(address.parse().unwrap()).await.unwrap();
    assert_eq!(connection.send(&Request::get("/__heartbeat__")).await.unwrap().status, 200);
    let status = format!("STATUS=Serving http://{address}");
    assert!(has(&heard[heard.len() - 1..], &status), "{heard:?}");
    assert!(has(&heard, "STATUS=Opening the databases") && !has(&heard, "STOPPING=1"), "{heard:?}");
    // Nobody has asked for a watchdog.
    assert_eq!(manager.hear_within(Duration::from_millis(300)), None);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(manager.hear_until("STOPPING=1").len(), 1);
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_twice_in_the_time_of_the_watchdog_that_it_lives_also_while_the_database_is_slow() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let server = folder.start_with(&[("NOTIFY_SOCKET", &manager.path), ("WATCHDOG_USEC", "8000000")]);
    manager.hear_until("READY=1");
    let mut client = server.user(1).await;
    client.keep("a", "b").await;
    let mut other = SqliteConnection::establish(text(&folder.database())).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 20000; BEGIN EXCLUSIVE").unwrap();
    // It waits for the lock, again and again.
    let write = tokio::spawn(async move { while client.put("/storage/kept/a", &record("c")).await.status != 200 {} });
    // What was said before.
    while manager.hear_within(Duration::from_millis(1)).is_some() {}
    for _ in 0..2 {
        let begin = Instant::now();
        assert_eq!(manager.hear_within(LONG).unwrap(), ["WATCHDOG=1"]);
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    }
    assert!(!write.is_finished());
    drop(other);
    write.await.unwrap();
    server.terminate();
    manager.hear_until("STOPPING=1");
}

/// Each worker reads from a table that never comes to its end.
#[tokio::test]
async fn it_no_longer_says_that_it_lives_when_its_threads_are_stuck() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let server = folder.start_with(&[("NOTIFY_SOCKET", &manager.path), ("WATCHDOG_USEC", "4000000")]);
    manager.hear_until("READY=1");
    manager.hear_until("WATCHDOG=1");
    sql(
        &folder,
        "DROP TABLE stores;
         CREATE VIEW stores AS
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
             SELECT 1 AS user_id, max(n) AS modified FROM numbers",
    );
    // One for each worker, and some more.
    for _ in 0..4 {
        let mut client = server.user(1).await;
        client.connection.timeout = Duration::from_secs(1);
        assert!(client.try_send("GET", "/info/collections", None).await.is_err());
    }
    // What was on its way, and then nothing.
    while manager.hear_within(Duration::from_millis(100)).is_some() {}
    assert_eq!(manager.hear_within(Duration::from_secs(5)), None, "a server that answers nobody is not alive");
    server.kill();
}

#[tokio::test]
async fn a_reload_of_a_server_without_a_certificate_does_not_end_it() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let server = folder.start_with(&[("NOTIFY_SOCKET", &manager.path)]);
    manager.hear_until("READY=1");
    kill_process(server.pid(), Signal::HUP).unwrap();
    let begin = Instant::now();
    while !server.log_lines().iter().any(|line| line.contains("told to reload")) {
        assert!(begin.elapsed() < LONG, "{:#?}", server.log_lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.user(1).await.keep("a", "b").await;
    server.stop();
}

#[test]
fn a_manager_that_has_gone_is_no_reason_to_stop() {
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    let path = manager.path.clone();
    drop(manager);
    let server = folder.start_with(&[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "400000")]);
    std::thread::sleep(Duration::from_secs(1));
    server.stop();
}
