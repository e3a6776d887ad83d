//! Signals, and waiting for processes.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::ops::{Deref, DerefMut};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// A process that does not outlive its test, however that ends.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Deref for Killed {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often a process is looked at that is waited for.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Sends a signal to a child that was not waited for yet, so that its number is its own.
pub(crate) fn signal(child: &Child, signal: Signal) {
    // It may have ended by itself; waiting for it will tell.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Waits for a child, but only so long.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    None
}

/// Sends a signal to a child and the children it has.
pub(crate) fn signal_all(child: &Child, which: Signal) {
    signal(child, which);
    for pid in children(child.id()) {
        let _ = kill_process(pid, which);
    }
}

/// Kills a child and the children it has, all of them between one instruction and the next.
pub(crate) fn kill_all(child: &mut Child) {
    // A parent that is stopped starts no more of them, nor sees the first one go.
    signal(child, Signal::STOP);
    for pid in children(child.id()) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The children of a process. None where there is no `/proc`: those of Postgres go when their parent is gone.
fn children(parent: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            // The name of the program stands in parentheses, and may have blanks and parentheses in it.
            let parent_of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            parent_of == Some(parent)
        })
        .filter_map(Pid::from_raw)
        .collect()
}
