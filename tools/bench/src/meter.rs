//! What work took: time, and the CPU time of all who had a part in it.

use crate::process::Process;
use std::io;
use std::time::{Duration, Instant};

/// Whose CPU time is read. The load generator's own is always read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// The Sync server.
    pub(crate) server: Option<Process>,
    /// The database server, with all its processes.
    pub(crate) database: Option<Process>,
}

/// A reading, or the difference between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) elapsed: Duration,
    pub(crate) server: Option<Duration>,
    pub(crate) database: Option<Duration>,
    pub(crate) own: Duration,
}

/// A measurement that goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    meter: Meter,
    before: Spent,
    start: Instant,
}

impl Meter {
    /// Begins to measure.
    pub(crate) fn start(self) -> io::Result<Running> {
        let before = self.read(Duration::ZERO)?;
        Ok(Running { meter: self, before, start: Instant::now() })
    }

    fn read(self, elapsed: Duration) -> io::Result<Spent> {
        Ok(Spent {
            elapsed,
            server: self.server.map(Process::cpu).transpose()?,
            database: self.database.map(Process::cpu_with_descendants).transpose()?,
            own: Process::own().cpu()?,
        })
    }
}

impl Running {
    /// What was spent since the start.
    pub(crate) fn stop(self) -> io::Result<Spent> {
        let after = self.meter.read(self.start.elapsed())?;
        Ok(after.since(self.before))
    }
}

impl Spent {
    fn since(self, before: Spent) -> Spent {
        let part = |after: Option<Duration>, before: Option<Duration>| {
            after.zip(before).map(|(after, before)| after.saturating_sub(before))
        };
        Spent {
            elapsed: self.elapsed,
            server: part(self.server, before.server),
            database: part(self.database, before.database),
            own: self.own.saturating_sub(before.own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_before_does_not_count() {
        let ms = Duration::from_millis;
        let reading = |n| Spent { elapsed: ms(n), server: None, database: Some(ms(2 * n)), own: ms(3 * n) };
        let wanted = Spent { elapsed: ms(5), server: None, database: Some(ms(6)), own: ms(9) };
        assert_eq!(reading(5).since(reading(2)), wanted);
    }
}
