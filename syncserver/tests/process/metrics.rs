//! The address of the metrics, which another program may have.

use std::net::TcpListener;

use testclient::{Connection, Request};

use crate::program::{Folder, Server};

#[tokio::test]
async fn a_default_address_that_is_taken_is_warned_about_and_no_more() {
    // Whoever has it: this test, or another server of this machine.
    let _taken = TcpListener::bind("127.0.0.1:9091");
    let folder = Folder::new();
    let mut command = folder.command(&[("SYNC_HUMAN_LOGS", "1")]);
    command.env_remove("SYNC_METRICS_LISTEN");
    let server = Server::spawn(command);
    let answer = server.connect().await.send(&Request::get("/__heartbeat__")).await.unwrap();
    assert_eq!(answer.status, 200);
    let log = server.stop();
    let warning = log.iter().find(|line| line.contains("WARN")).unwrap_or_else(|| panic!("{log:#?}"));
    for told in ["no metrics for Prometheus", "127.0.0.1:9091", "metrics_listen", "SYNC_METRICS_LISTEN", "in use"] {
        assert!(warning.contains(told), "{told}: {warning}");
    }
}

#[test]
fn an_address_that_was_asked_for_and_is_taken_is_a_refusal_to_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    folder.refusal(&[("SYNC_METRICS_LISTEN", &address)]).names(&[&address, "SYNC_METRICS_LISTEN", "in use"]);
    assert!(!folder.database().exists(), "nothing is made before");
}

#[tokio::test]
async fn metrics_that_everybody_can_reach_without_a_token_are_warned_about() {
    for (token, warned) in [("", true), ("a token", false)] {
        let folder = Folder::new();
        let server = folder.start_with(&[
            ("SYNC_HUMAN_LOGS", "0"),
            ("SYNC_METRICS_LISTEN", "0.0.0.0:0"),
            ("SYNC_METRICS_TOKEN", token),
        ]);
        let log = server.log_lines();
        assert_eq!(log.iter().any(|line| line.contains("open to everybody")), warned, "{log:#?}");
        let listening = log.iter().find(|line| line.contains("listening")).unwrap();
        let line: serde_json::Value = serde_json::from_str(listening).unwrap();
        let port = line["metrics"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        let metrics = format!("127.0.0.1:{port}").parse().unwrap();
        let answer = Connection::connect(metrics).await.unwrap().send(&Request::get("/metrics")).await.unwrap();
        assert_eq!(answer.status, if warned { 200 } else { 401 });
        server.stop();
    }
}
