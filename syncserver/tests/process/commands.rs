//! Commands beside the server.

use std::collections::HashSet;
use std::process::Output;

use serde_json::Value;

use crate::program::{Folder, Refusal, SECRET, run, text};

fn out(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn command(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = folder.command(&[]);
    command.args(arguments);
    run(command)
}

#[test]
fn the_settings_are_dumped_with_their_sources_and_no_secret() {
    let folder = Folder::new();
    let file = folder.write("my.toml", "backoff = 7\n[tokenserver]\nmax_users = 3\n");
    let dumped = out(&command(&folder, &["config", "dump", "--config", &file]));
    assert!(!dumped.contains(SECRET), "{dumped}");
    for line in [
        format!("backoff = 7  # backoff in {file}"),
        format!("max_users = 3  # tokenserver.max_users in {file}"),
        "port = 0  # SYNC_PORT".to_owned(),
        "#master_secret = \"(hidden)\"  # SYNC_MASTER_SECRET".to_owned(),
        "#token_duration = 3600  # default".to_owned(),
    ] {
        assert!(dumped.lines().any(|one| one == line), "{line} is not in {dumped}");
    }
    let again = folder.write("again.toml", &dumped);
    out(&command(&folder, &["check-config", "--config", &again]));
    let json: Value = serde_json::from_str(&out(&command(&folder, &["config", "dump", "--json"]))).unwrap();
    let port = json.as_array().unwrap().iter().find(|one| one["name"] == "port").unwrap();
    assert_eq!(*port, serde_json::json!({"name": "port", "variable": "SYNC_PORT", "value": 0, "source": "SYNC_PORT"}));
    assert!(!folder.data().exists(), "nothing was made");
}

#[test]
fn a_secret_that_is_generated_is_long_and_never_the_same() {
    let folder = Folder::new();
    let secrets: HashSet<_> = (0..3).map(|_| out(&command(&folder, &["generate-secret"]))).collect();
    assert_eq!(secrets.len(), 3);
    assert!(secrets.iter().all(|secret| secret.trim_end().len() == 44 && secret.ends_with('\n')), "{secrets:?}");
}

#[test]
fn shells_and_man_get_to_know_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&command(&folder, &["completions", shell]));
        assert!(script.contains("check-config") && script.contains("dry-run"), "{shell}");
    }
    assert!(out(&command(&folder, &["man"])).starts_with(".ie"), "not a manual page");
    let pages = folder.path("man");
    out(&command(&folder, &["man", "--out-dir", text(&pages)]));
    for page in ["syncserver.1", "syncserver-migrate.1", "syncserver-config-dump.1"] {
        assert!(std::fs::read_to_string(pages.join(page)).unwrap().contains(".TH"), "{page}");
    }
    let mut nowhere = folder.command(&[]);
    nowhere.args(["man", "--out-dir", "/dev/null/man"]);
    Refusal::of(nowhere).names(&["/dev/null/man"]);
}

/// As it is on a full disk, or behind a terminal that has gone.
#[tokio::test]
async fn what_cannot_be_told_does_not_change_what_a_command_does() {
    let folder = Folder::new();
    let server = folder.start();
    server.user(1).await.keep("a", "b").await;
    let run = |arguments: &[&str]| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        folder.command(&[]).args(arguments).stdin(std::process::Stdio::null()).stderr(full).output().unwrap()
    };
    let backup = run(&["backup", "-"]);
    assert_eq!(backup.status.code(), Some(0), "{:?}", backup.status);
    let file = folder.path("backup");
    std::fs::write(&file, backup.stdout).unwrap();
    out(&command(&folder, &["verify", text(&file)]));
    assert_eq!(run(&["user", "allow", "no-id-of-mozilla"]).status.code(), Some(0));
    assert_eq!(run(&["user", "show", "99"]).status.code(), Some(1));
    server.stop();
}

#[test]
fn a_command_that_looks_in_the_wrong_place_makes_no_database_there() {
    let folder = Folder::new();
    let mut purge = folder.command(&[]);
    purge.args(["purge", "--once"]);
    Refusal::of(purge).names(&["there is no database", text(&folder.database()), "data_dir"]);
    assert!(!folder.data().exists());
}

#[tokio::test]
async fn a_purge_beside_the_server_removes_what_has_expired_and_says_how_much() {
    let folder = Folder::on_backend();
    let server = folder.start();
    let mut client = server.user(7).await;
    for id in ["one", "two"] {
        let body = r#"{"payload": "gone soon", "ttl": 1}"#;
        assert_eq!(client.put(&format!("/storage/kept/{id}"), body).await.status, 200);
    }
    client.keep("three", "stays").await;
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let done: Value = serde_json::from_str(&out(&command(&folder, &["purge", "--once", "--json"]))).unwrap();
    assert_eq!(done, serde_json::json!({"bsos": 2, "batches": 0, "users": 0, "failures": 0}));
    let again = out(&command(&folder, &["purge", "--once"]));
    assert_eq!(again, "Removed 0 expired records, 0 stale batches, 0 replaced users.\n");
    assert_eq!(client.kept("three").await, "stays");
    server.stop();
}

#[test]
fn an_output_that_takes_nothing_is_an_error_and_no_panic() {
    let folder = Folder::new();
    for arguments in [&["migrate"][..], &["settings"], &["config", "dump"]] {
        let mut command = folder.command(&[]);
        command.args(arguments).stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    }
}
