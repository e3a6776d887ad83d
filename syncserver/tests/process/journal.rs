//! The log as systemd's journal gets it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::program::Folder;

/// The first lines of a server's log, up to the one that says that it listens, written to a stream that is said to be
/// the journal, or is not.
fn log(human_logs: Option<&str>, is_journal: bool) -> Vec<String> {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let stream = rustix::fs::fstat(&write).unwrap();
    let inode = stream.st_ino + u64::from(!is_journal);
    let folder = Folder::new();
    let mut command = folder.command(&[("JOURNAL_STREAM", &format!("{}:{inode}", stream.st_dev))]);
    if let Some(human_logs) = human_logs {
        command.env("SYNC_HUMAN_LOGS", human_logs);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(write).spawn().unwrap();
    drop(command);
    let mut lines = Vec::new();
    for line in BufReader::new(std::fs::File::from(read)).lines().map_while(Result::ok) {
        let is_last = line.contains("listening");
        lines.push(line);
        if is_last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn the_journal_gets_lines_for_people_with_a_priority_and_without_a_time() {
    let lines = log(None, true);
    assert!(!lines.is_empty());
    assert!(lines.last().unwrap().starts_with("<6>INFO listening"), "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with('<') && !line.contains('\u{1b}')), "{lines:#?}");
}

#[test]
fn the_journal_gets_json_where_that_is_wanted() {
    let lines = log(Some("0"), true);
    let json = lines.last().unwrap().strip_prefix("<6>").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(json).unwrap()["msg"], "listening");
}

#[test]
fn another_stream_than_the_one_that_systemd_named_is_no_journal() {
    let lines = log(None, false);
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines.last().unwrap()).unwrap()["msg"], "listening");
}
