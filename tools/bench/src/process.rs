//! What a process has cost, from `/proc`.

use std::time::Duration;
use std::{fs, io};

/// A process on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: u32,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Process {
        Process { pid }
    }

    /// This one.
    pub(crate) fn own() -> Process {
        Process::new(std::process::id())
    }

    fn read(self, name: &str) -> io::Result<String> {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::read_to_string(&path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }

    /// The time it has spent on CPUs, in user and kernel mode, all threads together.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        let stat = self.read("stat")?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| io::Error::other(format!("not a stat file: {stat:?}")))?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// The memory it has now, in KB.
    pub(crate) fn rss_kb(self) -> io::Result<u64> {
        self.status("VmRSS:")
    }

    /// The most memory it has had since it started or since the last reset, in KB.
    pub(crate) fn peak_kb(self) -> io::Result<u64> {
        self.status("VmHWM:")
    }

    /// Forgets the peak so far; says whether that was allowed.
    pub(crate) fn reset_peak(self) -> bool {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").is_ok()
    }

    fn status(self, name: &str) -> io::Result<u64> {
        let status = self.read("status")?;
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let number = value.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        number.ok_or_else(|| io::Error::other(format!("no {name} of process {}", self.pid)))
    }
}

/// The sum of `utime` and `stime`, the 14th and 15th fields. The second one is a name in parentheses that may hold
/// spaces and parentheses itself.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_an_odd_name() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194304 1 0 0 0 34 56 7 8 20 0 1 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(90));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = Process::own();
        assert!(own.peak_kb().unwrap() > 0 && own.rss_kb().unwrap() > 0);
        assert!(own.cpu().is_ok());
    }
}
