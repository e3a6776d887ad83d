//! `syncserver migrate`.

use std::process::Command;

use crate::database::Shared;
use crate::program::{BINARY, Folder, SECRET, run};

/// What the command prints; it must succeed.
fn migrate(folder: &Folder, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = folder.command_of(Command::new(BINARY), environment);
    command.arg("migrate").args(arguments);
    let output = run(command);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn a_dry_run_tells_what_a_run_does_and_then_there_is_nothing_to_do() {
    let database = Shared::new();
    let (folder, url) = match &database {
        Shared::File(folder) => (folder, None),
        Shared::OnServer(folder, database) => (folder, Some(database.url())),
    };
    let environment: Vec<_> = url.iter().map(|url| ("SYNC_SYNCSTORAGE__DATABASE_URL", *url)).collect();

    let planned = migrate(folder, &environment, &["--dry-run"]);
    let (place, migrations) = planned.split_once(": to be done: ").unwrap();
    for component in ["engine", "storage", "tokenserver"] {
        assert!(migrations.contains(component), "{planned}");
    }
    if url.is_none() {
        assert!(!folder.database().exists(), "a dry run makes nothing");
    } else {
        assert!(!planned.contains("p%40ss") && !planned.contains("p@ss"), "{planned}");
    }
    assert_eq!(migrate(folder, &environment, &["--dry-run"]), planned, "a dry run changes nothing");
    assert_eq!(migrate(folder, &environment, &[]), format!("{place}: done: {migrations}"));
    assert_eq!(migrate(folder, &environment, &["--dry-run"]), format!("{place}: up to date\n"));
    assert_eq!(migrate(folder, &environment, &[]), format!("{place}: up to date\n"));
    // The server finds all in order, and a database that has no owner yet.
    let environment: Vec<_> = environment.into_iter().chain([("SYNC_MASTER_SECRET", SECRET)]).collect();
    folder.start_with(&environment).stop();
    assert_eq!(migrate(folder, &environment, &["--dry-run"]), format!("{place}: up to date\n"));
}

#[test]
fn each_of_two_databases_is_told_by_itself() {
    let (folder, postgres, mysql) = (Folder::new(), testdb::postgres(), testdb::mysql());
    let environment =
        [("SYNC_SYNCSTORAGE__DATABASE_URL", postgres.url()), ("SYNC_TOKENSERVER__DATABASE_URL", mysql.url())];
    let planned = migrate(&folder, &environment, &["--dry-run"]);
    let lines: Vec<&str> = planned.lines().collect();
    assert_eq!(lines.len(), 2, "{planned}");
    assert!(lines[0].starts_with("postgres://") && lines[0].contains("storage-0001"), "{planned}");
    assert!(!lines[0].contains("tokenserver"), "{planned}");
    assert!(lines[1].starts_with("mysql://") && lines[1].contains("tokenserver-0001"), "{planned}");
    assert!(!lines[1].contains("storage"), "{planned}");
    migrate(&folder, &environment, &[]);
    assert!(migrate(&folder, &environment, &[]).lines().all(|line| line.ends_with(": up to date")));
}
