//! A disk that holds next to nothing.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::program::{BINARY, bare, run, text};

/// A script for the shell, for which `disk` is a disk of its own with room for 3 MB: it has the program as `$0`, that folder
/// as `$1`, and then come `more`. `None` where this machine lets nobody mount anything, which is told past what the test
/// runner keeps to itself.
pub(crate) fn mounted(disk: &Path, script: &str, more: &[&str]) -> Option<Command> {
    std::fs::create_dir(disk).unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size=3m tmpfs \"$1\" && {script}");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script, BINARY, text(disk)]).args(more);
        command
    };
    if Command::new("unshare").arg("--version").output().is_ok() && run(bare(unshare("true"))).status.success() {
        return Some(unshare(script));
    }
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let told = format!("{name}: not on a disk of its own, since unshare(1) mounts none here\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    None
}
