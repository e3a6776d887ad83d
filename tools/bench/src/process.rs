//! What processes have cost, from `/proc`.

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
        let text = self.read("stat")?;
        let stat = Stat::parse(&text).ok_or_else(|| io::Error::other(format!("not a stat file: {text:?}")))?;
        Ok(duration(stat.own_ticks))
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

    /// The first process with one of these names that this one has started and not waited for.
    pub(crate) fn child(self, names: &[&str]) -> io::Result<Option<Process>> {
        let all = all()?;
        let found = all.iter().find(|(_, stat)| stat.parent == self.pid && names.contains(&stat.name.as_str()));
        Ok(found.map(|(pid, _)| Process::new(*pid)))
    }

    /// The time that it, all that it has started, and all that these have started have spent on CPUs. Those that have
    /// ended are in it as soon as they are waited for: a Postgres has a process for each connection.
    pub(crate) fn cpu_with_descendants(self) -> io::Result<Duration> {
        let ticks = ticks_of_tree(self.pid, &all()?);
        ticks.map(duration).ok_or_else(|| io::Error::other(format!("process {} is gone", self.pid)))
    }
}

/// All processes of this machine, by number.
fn all() -> io::Result<Vec<(u32, Stat)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that cannot be read has ended since the folder was.
        if let Some(stat) = Process::new(pid).read("stat").ok().and_then(|text| Stat::parse(&text)) {
            all.push((pid, stat));
        }
    }
    Ok(all)
}

fn ticks_of_tree(root: u32, all: &[(u32, Stat)]) -> Option<u64> {
    let (_, stat) = all.iter().find(|(pid, _)| *pid == root)?;
    let children = all.iter().filter(|(pid, stat)| stat.parent == root && *pid != root);
    let below: u64 = children.filter_map(|(pid, _)| ticks_of_tree(*pid, all)).sum();
    Some(stat.own_ticks + stat.ended_ticks + below)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// What is of use in `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    /// `utime` and `stime`: all threads of the process itself.
    own_ticks: u64,
    /// `cutime` and `cstime`: its children that have ended and been waited for, with theirs.
    ended_ticks: u64,
}

impl Stat {
    /// The name stands in parentheses, and may hold spaces and parentheses itself. Of the fields behind it the parent is
    /// the second, and the times begin with the 12th.
    fn parse(text: &str) -> Option<Stat> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = after.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let mut times = fields.skip(9).map(|field| field.parse::<u64>().ok());
        let mut time = || times.next().flatten();
        let own_ticks = time()? + time()?;
        // These two have a sign, as the kernel prints them; but they are never below zero.
        let ended_ticks = time()? + time()?;
        Some(Stat { name: name.to_owned(), parent, own_ticks, ended_ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_stat_file_is_read_behind_an_odd_name() {
        let text = "12 (a) b (c) S 1 12 12 0 -1 4194304 1 0 0 0 34 56 7 8 20 0 1 0 100 0 0";
        let wanted = Stat { name: "a) b (c".to_owned(), parent: 1, own_ticks: 90, ended_ticks: 15 };
        assert_eq!(Stat::parse(text), Some(wanted));
        assert_eq!(Stat::parse("nonsense"), None);
        assert_eq!(Stat::parse("12 (a) S 1 12 12 0 -1 4194304 1 0 0 0 34 56 7"), None);
    }

    #[test]
    fn a_tree_has_its_descendants_and_those_that_ended_and_nobody_else() {
        let stat = |parent, own_ticks, ended_ticks| Stat { name: "x".to_owned(), parent, own_ticks, ended_ticks };
        let all = [
            (1, stat(0, 1_000_000, 1_000_000)),
            (12, stat(11, 100, 0)),
            (10, stat(1, 1, 2)),
            (11, stat(10, 10, 20)),
            (13, stat(1, 5_000, 0)),
        ];
        assert_eq!(ticks_of_tree(10, &all), Some(133));
        assert_eq!(ticks_of_tree(14, &all), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = Process::own();
        assert!(own.peak_kb().unwrap() > 0 && own.rss_kb().unwrap() > 0);
        assert!(own.cpu().is_ok());
    }

    #[test]
    fn a_child_is_found_by_its_name_and_its_time_stays_when_it_has_ended() {
        let own = Process::own();
        let start = Instant::now();
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let wanted = Duration::from_millis(50);
        // A child has the name of its parent until it runs its program.
        let found = loop {
            let found = own.child(&["bash", "dash", "sh"]).unwrap();
            let spent = own.cpu_with_descendants().unwrap().saturating_sub(own.cpu().unwrap());
            if (found.is_some() && spent >= wanted) || start.elapsed() > Duration::from_secs(30) {
                break found;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap().pid, child.id());
        assert!(own.child(&["bash", "dash", "sh"]).unwrap().is_none());
        assert!(own.cpu_with_descendants().unwrap().saturating_sub(own.cpu().unwrap()) >= wanted);
    }
}
