//! What this process costs the machine, by `/proc`. On other systems than Linux there are no such figures.

use std::time::{SystemTime, UNIX_EPOCH};

/// The figures, as far as the system tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// CPU time of all threads, in seconds.
    pub(super) cpu_seconds: f64,
    /// Memory in use, in bytes.
    pub(super) resident_bytes: f64,
    /// Address space, in bytes.
    pub(super) virtual_bytes: f64,
    /// Threads.
    pub(super) threads: f64,
    /// Open files and connections.
    pub(super) open_fds: f64,
    /// The most there may be.
    pub(super) max_fds: Option<f64>,
}

impl Process {
    /// Reads them.
    pub(super) fn read() -> Option<Self> {
        let text = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        let (stat, status) = (text("stat")?, text("status")?);
        let ticks = cpu_ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: ticks,
            resident_bytes: field(&status, "VmRSS:")? * 1024.0,
            virtual_bytes: field(&status, "VmSize:")? * 1024.0,
            threads: field(&status, "Threads:")?,
            open_fds: std::fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            max_fds: text("limits").and_then(|limits| field(&limits, "Max open files")),
        })
    }
}

/// Seconds since 1970, to say when something happened.
pub(super) fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// User and system time of `/proc/self/stat`. The name of the program in it may hold anything but ends with the last
/// parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The first number of the line that begins with a name.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_of_proc_are_understood() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 100";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(field("VmSize:\t  99 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(
            field("Max open files            1024                 4096    files", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(field("Max open files            unlimited", "Max open files"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_figures() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 100_000.0 && process.threads >= 1.0 && process.open_fds >= 3.0, "{process:?}");
    }
}
