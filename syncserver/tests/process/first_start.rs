//! The first start, and the ones after it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testclient::{Request, open_token_id};

use crate::program::{BINARY, Folder, Server, bare, text};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Nothing set but where home is, and a port that is free.
fn at_home(folder: &Folder) -> Command {
    let mut command = bare(Command::new(BINARY));
    command.env("HOME", folder.path("")).env("SYNC_PORT", "0").env("SYNC_METRICS_LISTEN", "off");
    command
}

#[tokio::test]
async fn the_first_start_needs_nothing_and_makes_what_it_needs() {
    let folder = Folder::new();
    let server = Server::spawn(at_home(&folder));
    let data = folder.path(".local/share/syncserver");
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("master_secret")), 0o600);
    assert!(data.join("sync.db").is_file());
    let answer = server.connect().await.send(&Request::get("/__heartbeat__")).await.unwrap();
    assert_eq!(answer.status, 200);
    let log = server.log_lines();
    assert!(log.iter().any(|line| line.contains(text(&data.join("sync.db")))), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("/1.0/sync/1.5")), "{log:#?}");
}

#[tokio::test]
async fn a_restart_keeps_the_data_and_the_secret() {
    let folder = Folder::new();
    let own_secret = [("SYNC_MASTER_SECRET", "")];
    let server = folder.start_with(&own_secret);
    let secret = fs::read_to_string(folder.secret_file()).unwrap();
    let secret = secret.trim_end_matches('\n').to_owned();
    assert!(secret.len() >= 32);
    let mut client = server.user_of(&secret, 1).await;
    client.keep("a", "before").await;
    assert!(open_token_id(&secret, &client.token.id).is_some());
    server.stop();
    let server = folder.start_with(&own_secret);
    let mut again = server.user_of(&secret, 1).await;
    again.token = client.token;
    assert_eq!(again.kept("a").await, "before");
    assert_eq!(fs::read_to_string(folder.secret_file()).unwrap().trim_end_matches('\n'), secret);
}

#[tokio::test]
async fn the_data_folder_may_be_one_that_systemd_names() {
    let folder = Folder::new();
    let state = folder.path("state");
    let mut command = at_home(&folder);
    command.env("STATE_DIRECTORY", &state).env("XDG_DATA_HOME", folder.path("xdg"));
    drop(Server::spawn(command));
    assert!(state.join("sync.db").is_file() && state.join("master_secret").is_file());
    assert!(!folder.path("xdg").exists() && !folder.path(".local").exists());
}

#[tokio::test]
async fn two_first_starts_at_once_agree_on_one_secret() {
    let folder = Folder::new();
    let start = || folder.start_with(&[("SYNC_MASTER_SECRET", "")]);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(start);
        let other = scope.spawn(start);
        (one.join().unwrap(), other.join().unwrap())
    });
    let secret = fs::read_to_string(folder.secret_file()).unwrap();
    let mut client = one.user_of(secret.trim_end(), 1).await;
    client.keep("a", "through one").await;
    let mut client = other.user_of(secret.trim_end(), 1).await;
    assert_eq!(client.kept("a").await, "through one");
}

#[tokio::test]
async fn on_a_database_that_is_there_it_is_ready_soon() {
    let folder = Folder::new();
    let server = folder.start();
    let mut client = server.user(1).await;
    for n in 0..20 {
        client.keep(&n.to_string(), &"x".repeat(50_000)).await;
    }
    server.kill();
    let begin = std::time::Instant::now();
    let server = folder.start();
    let mut client = server.user(1).await;
    assert_eq!(client.get("/info/collections").await.status, 200);
    // For people who read the output (--nocapture); no two machines are alike.
    println!("listening after {:?}, first answer after {:?}", server.started_in, begin.elapsed());
}
