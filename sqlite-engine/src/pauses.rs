//! When the writer leaves SQLite's lock alone for a moment, so that other processes get it.

use std::time::{Duration, Instant};

/// After so long a time of hardly anything but writing. Less than the five seconds that other processes wait, at least.
const BUSY: Duration = Duration::from_secs(3);

/// The part of that time for which the lock has to have been free: one in so many.
const FREE_PART: u32 = 10;

/// Longer than the 100 ms between two looks of SQLite's busy handler, which is how another process waits.
const PAUSE: Duration = Duration::from_millis(110);

/// A process that waits for the lock is not in a queue: it looks whether the lock is free, ten times a second. A writer
/// that takes it again right after each commit could keep such a process, a command of the operator's perhaps, waiting
/// for ever. Where it did little else for a while, it pauses. In normal use it never does: there the lock is free most
/// of the time, and another process soon happens to look then.
#[derive(Debug)]
pub(crate) struct Pauses {
    since: Instant,
    free: Duration,
}

impl Pauses {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, free: Duration::ZERO }
    }

    /// Asked before each transaction: how long to leave the lock alone first, if at all. It has been so since
    /// `idle_since`.
    pub(crate) fn due(&mut self, idle_since: Instant, now: Instant) -> Option<Duration> {
        self.free += now - idle_since;
        let busy = now - self.since;
        if busy < BUSY {
            return None;
        }
        let was_mostly_held = self.free < busy / FREE_PART;
        *self = Self::new(now);
        was_mostly_held.then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pauses a minute of transactions has, each so long and with so much time before it.
    fn pauses_in_a_minute(transaction: Duration, idle: Duration) -> usize {
        let begin = Instant::now();
        let (mut now, mut count) = (begin, 0);
        let mut pauses = Pauses::new(begin);
        while now - begin < Duration::from_secs(60) {
            let idle_since = now;
            now += idle;
            if let Some(pause) = pauses.due(idle_since, now) {
                now += pause;
                count += 1;
            }
            now += transaction;
        }
        count
    }

    #[test]
    fn who_writes_without_a_break_pauses_now_and_then_and_who_does_not_never() {
        let ms = Duration::from_millis;
        assert_eq!(pauses_in_a_minute(ms(50), Duration::ZERO), 19);
        assert_eq!(pauses_in_a_minute(ms(50), ms(1)), 19);
        assert_eq!(pauses_in_a_minute(ms(50), ms(10)), 0);
        assert_eq!(pauses_in_a_minute(ms(2), ms(2)), 0);
        assert_eq!(pauses_in_a_minute(ms(1), ms(1000)), 0);
    }
}
