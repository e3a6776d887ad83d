//! A disk that has no room left: writes are refused for the time being, and nothing else happens.

use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};
use testclient::Response;

use crate::client::{Client, record};
use crate::program::{BINARY, Folder, Server, run, text};
use crate::small_disk::mounted;

const FILLER_BYTES: usize = 1 << 20;

/// The server, so that a file which grows over its limit is an error of the write and not the end of the process.
fn with_file_limits(folder: &Folder) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ && exec \"$0\"", BINARY]);
    folder.command_of(shell, &[])
}

/// Lets no file grow beyond so many bytes; `None`: beyond any.
fn limit_files(server: &Server, bytes: Option<u64>) {
    prlimit(Some(server.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Leaves no file of the server room for more than this.
fn leave_room(folder: &Folder, server: &Server, bytes: u64) {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    let largest = length(&folder.database()).max(length(&folder.data().join("sync.db-wal")));
    limit_files(server, Some(largest + bytes));
}

fn payload(n: usize) -> String {
    format!("{n} {}", "x".repeat(20_000))
}

fn assert_later(answer: &Response) {
    assert_eq!((answer.status, answer.text()), (503, "0"), "{answer:?}");
    assert!(answer.header("Retry-After").is_some(), "{answer:?}");
}

/// Writes records until one is refused; their number.
async fn fill(client: &mut Client) -> usize {
    for n in 0..1_000 {
        let answer = client.put(&format!("/storage/kept/{n}"), &record(&payload(n))).await;
        if answer.status != 200 {
            assert_later(&answer);
            return n;
        }
    }
    panic!("the disk does not get full");
}

/// Checks that all writes of some size are refused, and that reads go on.
async fn assert_full(client: &mut Client, stored: usize) {
    let many = format!(r#"[{{"id":"post1","payload":"{0}"}},{{"id":"post2","payload":"{0}"}}]"#, "y".repeat(50_000));
    let before = client.get("/info/collections").await;
    for _ in 0..3 {
        assert_later(&client.put("/storage/kept/more", &record(&payload(0))).await);
        assert_later(&client.post("/storage/kept", &many).await);
        assert_later(&client.post("/storage/kept?batch=true", &many).await);
    }
    assert_eq!(client.get("/info/collections").await.text(), before.text());
    assert_stored(client, stored).await;
}

/// Checks that these records are there, and no others.
async fn assert_stored(client: &mut Client, stored: usize) {
    let mut ids: Vec<usize> = Vec::new();
    for id in client.get("/storage/kept").await.json().as_array().unwrap() {
        ids.push(id.as_str().unwrap().parse().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..stored).collect::<Vec<_>>());
    for n in [0, stored / 2, stored - 1] {
        assert_eq!(client.kept(&n.to_string()).await, payload(n).as_str());
    }
}

#[tokio::test]
async fn on_a_full_disk_reads_go_on_and_after_a_restart_with_room_all_is_there() {
    let folder = Folder::new();
    let server = Server::spawn(with_file_limits(&folder));
    let mut client = server.user(1).await;
    client.keep("0", &payload(0)).await;
    leave_room(&folder, &server, 300_000);
    let stored = fill(&mut client).await;
    assert!(stored > 3, "{stored}");
    assert_full(&mut client, stored).await;
    let log = server.stop();
    assert!(log.iter().any(|line| line.contains("\"error\"") && line.contains("request failed")), "{log:#?}");

    let server = folder.start();
    let mut client = server.user(1).await;
    assert_stored(&mut client, stored).await;
    client.keep(&stored.to_string(), &payload(stored)).await;
    assert_stored(&mut client, stored + 1).await;
}

#[tokio::test]
async fn killed_on_a_full_disk_it_has_all_that_was_acknowledged() {
    let folder = Folder::new();
    let server = Server::spawn(with_file_limits(&folder));
    let mut client = server.user(1).await;
    client.keep("0", &payload(0)).await;
    leave_room(&folder, &server, 200_000);
    let stored = fill(&mut client).await;
    server.kill();
    let server = folder.start();
    assert_stored(&mut server.user(1).await, stored).await;
}

#[tokio::test]
async fn when_there_is_room_again_writes_go_on_without_a_restart() {
    let folder = Folder::new();
    let (server, tmpfs) = on_a_small_disk(&folder);
    let mut client = server.user(1).await;
    client.keep("0", &payload(0)).await;
    if !tmpfs {
        leave_room(&folder, &server, 300_000);
    }
    let stored = fill(&mut client).await;
    assert_full(&mut client, stored).await;
    if tmpfs {
        let inside = format!("/proc/{}/root{}", server.pid().as_raw_nonzero(), text(&folder.data().join("filler")));
        std::fs::remove_file(inside).unwrap();
    } else {
        limit_files(&server, None);
    }
    for n in stored..stored + 10 {
        client.keep(&n.to_string(), &payload(n)).await;
    }
    assert_stored(&mut client, stored + 10).await;
    server.stop();
}

/// A server whose data folder is a disk of its own, with a file on it that can be removed, where this machine lets us
/// mount one; else one with a limit for files. And which of the two it is.
fn on_a_small_disk(folder: &Folder) -> (Server, bool) {
    let script = format!("head -c {FILLER_BYTES} /dev/zero > \"$1/filler\" && exec \"$0\"");
    match mounted(&folder.data(), &script, &[]) {
        Some(server) => (Server::spawn(folder.command_of(server, &[])), true),
        None => (Server::spawn(with_file_limits(folder)), false),
    }
}

/// To try again does not help then, and neither does a smaller backup. It says what does.
#[tokio::test]
async fn a_restore_that_fills_the_disk_says_what_makes_room() {
    let [large, small, new] = [Folder::new(), Folder::new(), Folder::new()];
    // The first thousand are written at once, and there is no room to bring them from the log into the database.
    for (folder, requests) in [(&large, 20), (&small, 1)] {
        let server = folder.start();
        let mut client = server.user(1).await;
        for request in 0..requests {
            let record = |n| serde_json::json!({"id": format!("{request}-{n}"), "payload": "x".repeat(1_600)});
            let records: Vec<_> = (0..100).map(record).collect();
            let answer = client.post("/storage/kept", &serde_json::Value::from(records).to_string()).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let mut backup = folder.command(&[]);
        backup.args(["backup", text(&folder.path("backup"))]);
        assert!(run(backup).status.success());
        server.stop();
    }
    let script = r#"{ "$0" restore "$2"; "$0" restore --force --yes "$3"; rm "$1"/sync.db*; "$0" restore "$3"; }"#;
    let (large, small) = (large.path("backup"), small.path("backup"));
    let Some(restores) = mounted(&new.data(), script, &[text(&large), text(&small)]) else { return };
    let done = run(new.command_of(restores, &[]));
    let said = String::from_utf8(done.stderr).unwrap();
    let [first, second] = said.lines().collect::<Vec<_>>()[..] else { panic!("two have to fail: {said}") };
    assert!(first.contains("The restore did not finish"), "{said}");
    for line in [first, second] {
        let log = format!("{}-wal", new.database().display());
        for words in ["database or disk is full", "There has to be more room", "removing", &log] {
            assert!(line.contains(words), "{words:?} is not in {line}");
        }
    }
    assert!(done.status.success(), "with room: {said}");
}
