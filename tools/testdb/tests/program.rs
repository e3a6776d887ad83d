//! The program, run as people run it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testdb::Killed;

const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with its folders in one of the test's own and with no server given.
fn testdb(parent: &Path, arguments: &[&str]) -> Command {
    // Else the servers, which are another user's where root runs the test, could not get at their folders.
    std::fs::set_permissions(parent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testdb"));
    command.args(arguments).env("TMPDIR", parent).env_remove("TEST_POSTGRES_URL").env_remove("TEST_MYSQL_URL");
    command
}

fn run(arguments: &[&str]) -> Output {
    let parent = TempDir::new().unwrap();
    let output = testdb(parent.path(), arguments).output().unwrap();
    assert_eq!(folders(parent.path()), Vec::<PathBuf>::new(), "something is left");
    output
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The first number in the file, that of a server's process.
fn pid_in(file: &Path) -> Pid {
    let text = std::fs::read_to_string(file).unwrap();
    Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_command_is_given_the_urls_and_its_exit_status_is_passed_on() {
    let output =
        run(&["run", "sqlite,postgres,mysql", "--", "sh", "-c", "echo $TEST_POSTGRES_URL $TEST_MYSQL_URL; exit 7"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let (postgres, mysql) = text.trim().split_once(' ').unwrap();
    assert!(postgres.starts_with("postgres://tester:p%40ss") && postgres.ends_with("/postgres"), "{postgres}");
    assert!(mysql.starts_with("mysql://tester:p%40ss") && mysql.ends_with("/mysql"), "{mysql}");
}

#[test]
fn a_command_can_be_given_a_database_of_a_name() {
    let output = run(&["run", "--database", "sync", "postgres", "--", "sh", "-c", "echo $TEST_POSTGRES_URL"]);
    let url = String::from_utf8(output.stdout).unwrap();
    assert!(url.starts_with("postgres://tester:") && url.ends_with("/sync\n"), "{url}");
    let output = run(&["run", "--database", "x;y", "postgres", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn sqlite_starts_nothing() {
    let output = run(&["run", "sqlite", "--", "sh", "-c", "echo \"<$TEST_POSTGRES_URL$TEST_MYSQL_URL>\""]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "<>\n");
}

#[test]
fn a_server_that_the_environment_names_is_taken_as_it_is() {
    let parent = TempDir::new().unwrap();
    let mut command = testdb(parent.path(), &["run", "mysql", "--", "sh", "-c", "ls $TMPDIR; echo $TEST_MYSQL_URL"]);
    let output = command.env("TEST_MYSQL_URL", "mysql://elsewhere").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "mysql://elsewhere\n");
}

#[test]
fn a_backend_that_nobody_knows_is_refused_with_those_that_are_known() {
    let output = run(&["run", "oracle", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("it knows postgres and mysql"));
}

/// Starts both kinds, with a command that says that they run and waits until its input ends, at the latest with the
/// test; the program, that input, and the processes of the servers.
fn waiting(parent: &Path) -> (Killed, ChildStdin, Vec<Pid>) {
    let mut command = testdb(parent, &["run", "postgres,mysql", "--", "sh", "-c", "echo ready; exec cat"]);
    let mut child = Killed(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let input = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let files = folders(parent).into_iter().map(|folder| {
        let names = ["postmaster.pid", "server.pid"].map(|name| folder.join("data").join(name));
        names.into_iter().find(|file| file.exists()).unwrap()
    });
    let pids: Vec<Pid> = files.map(|file| pid_in(&file)).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_ok()), "they do not run");
    (child, input, pids)
}

#[test]
fn a_signal_ends_the_command_and_the_servers() {
    for signal in [Signal::INT, Signal::TERM] {
        let parent = TempDir::new().unwrap();
        let (mut child, _input, pids) = waiting(parent.path());
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal.as_raw()));
        assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()), "a server still runs");
        assert_eq!(folders(parent.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn servers_do_not_outlive_a_program_that_is_killed() {
    let parent = TempDir::new().unwrap();
    let (mut child, _input, pids) = waiting(parent.path());
    child.kill().unwrap();
    child.wait().unwrap();
    until("a server still runs", || pids.iter().all(|pid| test_kill_process(*pid).is_err()));
    until("a folder is left", || folders(parent.path()).is_empty());
}

#[test]
fn a_server_for_people_prints_its_url_and_stops_when_told_to() {
    let parent = TempDir::new().unwrap();
    let mut child = Killed(testdb(parent.path(), &["start", "mariadb"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("mysql://") && line.ends_with("/sync\n"), "{line}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(folders(parent.path()), Vec::<PathBuf>::new());
}
