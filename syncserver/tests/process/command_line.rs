//! The command line: commands, options, and what it says of wrong settings.

use std::process::{Command, Output};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, SqliteConnection};

use crate::program::{BINARY, Folder, Refusal, bare, run, text};

fn syncserver(arguments: &[&str]) -> Output {
    let mut command = bare(Command::new(BINARY));
    command.args(arguments);
    run(command)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn help_and_version_are_printed() {
    for argument in ["--help", "-h", "help"] {
        let help = syncserver(&[argument]);
        assert_eq!(help.status.code(), Some(0), "{argument}");
        for word in ["serve", "healthcheck", "check-config", "settings", "--config"] {
            assert!(out(&help).contains(word), "{argument} does not tell of {word}");
        }
    }
    let version = syncserver(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(out(&version), format!("syncserver {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_is_status_2() {
    for wrong in [&["--prot"][..], &["sevre"], &["serve", "extra"], &["--config"], &["settings", "--all"]] {
        let output = syncserver(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(out(&output).is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn all_settings_are_printed_as_a_file_that_is_good_as_it_stands() {
    let printed = syncserver(&["settings"]);
    assert_eq!(printed.status.code(), Some(0));
    for name in ["public_url", "data_dir", "[tokenserver]", "max_post_records", "fxa_oauth_primary_jwk"] {
        assert!(out(&printed).contains(name), "{name}");
    }
    let folder = Folder::new();
    let file = folder.write("all.toml", &out(&printed));
    let checked = syncserver(&["check-config", "--config", &file]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn good_settings_are_found_good_and_nothing_is_touched() {
    let folder = Folder::new();
    let mut command = folder.command(&[("SYNC_PUBLIC_URL", "https://sync.example.com/")]);
    command.arg("check-config");
    let checked = run(command);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(out(&checked).contains("https://sync.example.com"), "{checked:?}");
    assert!(!folder.data().exists());
}

#[test]
fn check_config_and_serve_find_the_same_things_wrong() {
    let folder = Folder::new();
    for (name, value, wrong) in [
        ("SYNC_PORT", "70000", &["SYNC_PORT", "70000"][..]),
        ("SYNC_PROT", "8000", &["SYNC_PROT", "did you mean SYNC_PORT"]),
        ("SYNC_SYNCSTORAGE__DATABASEURL", "x", &["did you mean SYNC_SYNCSTORAGE__DATABASE_URL"]),
        ("SYNC_TOKENSERVER__TOKEN_DURATION", "an hour", &["SYNC_TOKENSERVER__TOKEN_DURATION", "an hour"]),
        ("SYNC_PUBLIC_URL", "sync.example.com", &["SYNC_PUBLIC_URL", "http"]),
        ("SYNC_PUBLIC_URL", "https://sync.example.com/1.0/sync/1.5", &["SYNC_PUBLIC_URL", "leave out /1.0/sync/1.5"]),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES", "1000", &["SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES"]),
        ("SYNC_LOG_LEVEL", "loud", &["SYNC_LOG_LEVEL", "loud"]),
        (
            "SYNC_SYNCSTORAGE__DATABASE_URL",
            "postgres:/u:p@h/d",
            &["database_url", "one that begins with \"postgres:\""],
        ),
    ] {
        folder.refusal(&[(name, value)]).names(wrong);
        let mut check = folder.command(&[(name, value)]);
        check.arg("check-config");
        Refusal::of(check).names(wrong);
    }
    assert!(!folder.data().exists(), "nothing was made");
}

#[test]
fn settings_that_lack_the_secret_of_a_database_on_a_server_are_not_good() {
    let folder = Folder::new();
    for arguments in [&["check-config"][..], &["serve"]] {
        let mut command = folder.command(&[("SYNC_SYNCSTORAGE__DATABASE_URL", "mysql://u:p@h/d")]);
        command.env_remove("SYNC_MASTER_SECRET").args(arguments);
        Refusal::of(command).names(&["master_secret is not set", "generate-secret"]);
    }
}

#[test]
fn a_variable_that_looks_like_none_of_ours_is_only_warned_about() {
    let folder = Folder::new();
    let server = folder.start_with(&[("SYNC_GATEWAY_URL", "x"), ("SYNC_SYNCSTORAGE__GLEAN_ENABLED", "false")]);
    let log = server.stop();
    for name in ["SYNC_GATEWAY_URL", "SYNC_SYNCSTORAGE__GLEAN_ENABLED"] {
        let lines = log.iter().filter(|line| line.contains(name) && line.contains("warn"));
        assert_eq!(lines.count(), 1, "{name}: {log:#?}");
    }
}

#[test]
fn a_settings_file_is_read_and_the_environment_wins_over_it() {
    let folder = Folder::new();
    let file = folder.write("sync.toml", "environment = \"of the file\"\nlog_level = \"warning\"\n");
    let mut command = folder.command(&[("SYNC_LOG_LEVEL", "info")]);
    command.args(["serve", "--config", &file]);
    let log = crate::program::Server::spawn(command).stop();
    assert!(log.iter().any(|line| line.contains("of the file")), "{log:#?}");
}

#[test]
fn what_is_wrong_with_a_settings_file_is_told_with_its_path() {
    let folder = Folder::new();
    let missing = folder.path("missing.toml");
    let refused = |file: &str| {
        let mut command = folder.command(&[]);
        command.args(["--config", file]);
        Refusal::of(command)
    };
    refused(text(&missing)).names(&[text(&missing), "there is no such file"]);
    let file = folder.write("sync.toml", "port = 8000\nmaster_secret = \"unfinished\n");
    let refusal = refused(&file);
    refusal.names(&[&file, "line 2"]);
    assert!(!refusal.why.contains("unfinished"), "it may be a secret: {refusal:?}");
    let file = folder.write("sync.toml", "[tokenserver]\nregistraton = \"closed\"\n");
    refused(&file).names(&[&file, "tokenserver.registraton", "did you mean tokenserver.registration"]);
}

#[tokio::test]
async fn the_health_check_tells_by_its_exit_status() {
    let folder = Folder::new();
    let server = folder.start();
    let port = server.addr.port().to_string();
    let health = |environment: &[(&str, &str)]| {
        let mut command = folder.command(environment);
        command.arg("healthcheck");
        run(command)
    };
    let healthy = health(&[("SYNC_PORT", &port)]);
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
    // As it stands in a container: the same settings as the server's.
    for settings in [[("SYNC_HOST", "0.0.0.0")], [("SYNC_PUBLIC_URL", "https://sync.example.com/below")]] {
        let healthy = health(&[settings[0], ("SYNC_PORT", &port)]);
        assert_eq!(healthy.status.code(), Some(0), "{settings:?}: {healthy:?}");
    }
    let mut database = SqliteConnection::establish(text(&folder.database())).unwrap();
    database.batch_execute("DROP TABLE server_meta").unwrap();
    // All who ask within a second get one answer.
    std::thread::sleep(Duration::from_millis(1_100));
    let ill = health(&[("SYNC_PORT", &port)]);
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    assert!(String::from_utf8_lossy(&ill.stderr).contains("503"), "{ill:?}");
    server.stop();
    let gone = health(&[("SYNC_PORT", &port)]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("does not answer"), "{gone:?}");
}
