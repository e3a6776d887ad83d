//! The server's clock, and the rule that gives each write its time.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::SyncTimestamp;

/// Where the time comes from: the system, or a test.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// A clock of one's own, in ms since the epoch.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }

    /// Now, as the protocol has it.
    #[must_use]
    pub fn now(&self) -> SyncTimestamp {
        SyncTimestamp::from_ms(self.now_ms())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How far a burst of writes of one user may drive the store's time ahead of the clock, in ms.
pub const MAX_AHEAD_MS: i64 = 2000;

/// What [`next_write_time`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTime {
    /// The time of the write.
    At(SyncTimestamp),
    /// The store is as far ahead of the clock as it may be: try again after so many ms.
    WaitMs(i64),
}

/// The time of a write to a store that was last modified at `last`: now, or the next tick after `last`.
///
/// Every write obeys the limit of [`MAX_AHEAD_MS`], so that a store found further ahead than that was written
/// before the clock was set back. Waiting for the clock to catch up could take hours then; such a store just goes
/// on ticking.
#[must_use]
pub fn next_write_time(now_ms: i64, last: SyncTimestamp) -> WriteTime {
    let now = SyncTimestamp::from_ms(now_ms);
    if now > last {
        return WriteTime::At(now);
    }
    let limit = now_ms + MAX_AHEAD_MS;
    let next = last.next();
    if last.as_ms() <= limit && next.as_ms() > limit {
        WriteTime::WaitMs(next.as_ms() - limit)
    } else {
        WriteTime::At(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_003;

    fn after(last_ms: i64) -> WriteTime {
        next_write_time(NOW, SyncTimestamp::from_ms(last_ms))
    }

    #[test]
    fn a_write_gets_the_time_of_the_clock() {
        assert_eq!(after(0), WriteTime::At(SyncTimestamp::from_ms(NOW)));
        assert_eq!(after(NOW - 10), WriteTime::At(SyncTimestamp::from_ms(NOW)));
    }

    #[test]
    fn writes_within_one_tick_get_different_times() {
        assert_eq!(after(NOW), WriteTime::At(SyncTimestamp::from_ms(NOW + 10)));
        assert_eq!(after(NOW + 500), WriteTime::At(SyncTimestamp::from_ms(NOW + 510)));
    }

    #[test]
    fn a_burst_waits_once_it_is_two_seconds_ahead() {
        assert_eq!(after(NOW + 1980), WriteTime::At(SyncTimestamp::from_ms(NOW + 1990)));
        assert_eq!(after(NOW + 2000), WriteTime::WaitMs(7));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up() {
        assert_eq!(after(NOW + 3_600_000), WriteTime::At(SyncTimestamp::from_ms(NOW + 3_600_010)));
    }
}
