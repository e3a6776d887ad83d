//! Told to stop: what is under way is finished, and then the process goes, soon.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testclient::{MockFxa, Reply};
use testdb::Killed;

use crate::load::{Load, check};
use crate::program::Folder;

/// Shorter than what a service manager or container runtime waits before it kills (10 s and more).
const SOON: Duration = Duration::from_secs(9);

#[tokio::test]
async fn it_stops_at_once_when_there_is_nothing_to_do() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::on_backend();
        let mut server = folder.start();
        server.user(1).await.keep("a", "b").await;
        kill_process(server.pid(), signal).unwrap();
        let (status, took) = server.wait();
        assert!(status.success(), "{signal:?}: {status}");
        assert!(took < SOON, "{signal:?}: {took:?}");
        assert!(server.log_lines().iter().any(|line| line.contains("stopped")), "{:#?}", server.log_lines());
    }
}

#[test]
fn told_to_stop_while_it_starts_it_stops_well() {
    // At all moments from the first one on; nobody knows how long a start takes here.
    for milliseconds in (0..40).step_by(4) {
        let folder = Folder::on_backend();
        let mut child = Killed(folder.command(&[]).stderr(Stdio::null()).spawn().unwrap());
        std::thread::sleep(Duration::from_millis(milliseconds));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        // Either the program had not got as far as its first statement, or it ends as it should.
        assert!(status.success() || status.signal() == Some(15), "{milliseconds} ms: {status}");
        let server = folder.start();
        server.stop();
    }
}

#[tokio::test]
async fn told_twice_it_waits_for_nobody() {
    let folder = Folder::on_backend();
    let mut server = folder.start();
    let mut client = server.user(1).await;
    client.begin_to_keep("never", "never sent").await;
    server.terminate();
    // Two signals at once would be one.
    server.refuses_connections().await;
    server.terminate();
    let (_, took) = server.wait();
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn clients_that_keep_their_connection_open_do_not_hold_it_up() {
    let folder = Folder::on_backend();
    let mut server = folder.start();
    let mut idle = Vec::new();
    for uid in 1..=5 {
        let mut client = server.user(uid).await;
        assert_eq!(client.get("/info/collections").await.status, 200);
        idle.push(client);
    }
    // One that was opened and never used.
    let unused = server.connect().await;
    server.terminate();
    let (status, took) = server.wait();
    assert!(status.success(), "{status}");
    assert!(took < SOON, "{took:?}");
    drop((idle, unused));
}

#[tokio::test]
async fn an_accounts_server_that_hangs_does_not_hold_it_up() {
    let fxa = MockFxa::start();
    fxa.set_jwks(Reply::status(200, "{}").after(Duration::from_secs(60)));
    let folder = Folder::on_backend();
    let mut server = folder.start_with(&[
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &fxa.url()),
        ("SYNC_TOKENSERVER__FXA_OAUTH_REQUEST_TIMEOUT", "30"),
    ]);
    while fxa.jwks_requests() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.terminate();
    let (status, took) = server.wait();
    assert!(status.success(), "{status}");
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_slow_upload_is_finished_first() {
    let folder = Folder::on_backend();
    let mut server = folder.start();
    let mut client = server.user(1).await;
    let payload = "slow ".repeat(20_000);
    let body = client.begin_to_keep("slow", &payload).await;
    let (first, second) = body.split_at(body.len() / 2);
    client.connection.send_raw(first).await.unwrap();
    server.terminate();
    server.refuses_connections().await;
    client.connection.send_raw(second).await.unwrap();
    let answer = client.connection.read_response().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let (status, took) = server.wait();
    assert!(status.success(), "{status}");
    assert!(took < SOON, "{took:?}");
    let server = folder.start();
    assert_eq!(server.user(1).await.kept("slow").await, payload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_it_has_every_acknowledged_write() {
    let folder = Folder::on_backend();
    let mut journals = Vec::new();
    for round in 0..2 {
        let mut server = folder.start();
        let load = Load::on(&server, &format!("round{round}")).await;
        load.has_written(30).await;
        server.terminate();
        let (status, took) = server.wait();
        assert!(status.success(), "{status}");
        assert!(took < SOON, "{took:?}");
        journals.extend(load.end().await);
    }
    let server = folder.start();
    assert!(check(&server, &journals).await >= 60);
}
