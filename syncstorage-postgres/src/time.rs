//! Times, between the program's milliseconds and the database's `timestamptz`.
//!
//! On the wire a `timestamptz` is an integer of microseconds, so that nothing is rounded on the way.

use diesel::data_types::PgTimestamp;
use syncstorage_db_common::{Clock, Precondition, SyncTimestamp};

/// The database counts from 2000-01-01, so many microseconds after the epoch.
const START_US: i64 = 946_684_800_000_000;

/// Later than every time there is.
pub(crate) const INFINITY: PgTimestamp = PgTimestamp(i64::MAX);

/// Earlier than every time there is.
pub(crate) const MINUS_INFINITY: PgTimestamp = PgTimestamp(i64::MIN);

/// The database has times up to the year 294276; what a client names may be far after that.
const LATEST_MS: i64 = 9_000_000_000_000_000;

/// Of milliseconds since the epoch. What is too late for the database is as good as never.
pub(crate) const fn timestamp(ms: i64) -> PgTimestamp {
    if ms > LATEST_MS { INFINITY } else { PgTimestamp(ms.saturating_mul(1000).saturating_sub(START_US)) }
}

/// As the protocol has it; the epoch and what is before it are [`SyncTimestamp::ZERO`].
pub(crate) const fn sync_time(time: PgTimestamp) -> SyncTimestamp {
    SyncTimestamp::from_ms(ms_of(time))
}

/// In milliseconds since the epoch.
pub(crate) const fn ms_of(time: PgTimestamp) -> i64 {
    time.0.saturating_add(START_US) / 1000
}

/// Now, for the whole of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Milliseconds since the epoch.
    pub(crate) now_ms: i64,
}

impl Moment {
    pub(crate) fn of(clock: &Clock) -> Self {
        Self { now_ms: clock.now_ms() }
    }

    /// What has expired by it is absent.
    pub(crate) const fn now(self) -> PgTimestamp {
        timestamp(self.now_ms)
    }

    /// As the protocol has it.
    pub(crate) const fn tick(self) -> PgTimestamp {
        timestamp(SyncTimestamp::from_ms(self.now_ms).as_ms())
    }
}

/// A precondition as two bounds of the last-modified time: greater than the first, and no greater than the second.
pub(crate) const fn bounds(condition: Precondition) -> (PgTimestamp, PgTimestamp) {
    match condition {
        Precondition::None => (MINUS_INFINITY, INFINITY),
        Precondition::ModifiedSince(bound) => (timestamp(bound.floor_ms()), INFINITY),
        Precondition::UnmodifiedSince(bound) => (MINUS_INFINITY, timestamp(bound.floor_ms())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_comes_back_as_it_was() {
        for start in [0, 1_388_635_807_410, 1_700_000_000_000, 4_102_405_200_000] {
            for tick in 0..1000 {
                let ms = start + tick * 10;
                assert_eq!(sync_time(timestamp(ms)), SyncTimestamp::from_ms(ms));
            }
        }
    }

    #[test]
    fn what_is_before_the_epoch_is_no_time() {
        // 0001-01-01 00:00:00+00, the time of rows that are there for a foreign key only.
        assert_eq!(sync_time(PgTimestamp(-63_082_281_600_000_000)), SyncTimestamp::ZERO);
        assert_eq!(sync_time(timestamp(0)), SyncTimestamp::ZERO);
        assert_eq!(sync_time(MINUS_INFINITY), SyncTimestamp::ZERO);
    }

    #[test]
    fn a_time_that_the_database_has_not_is_never() {
        assert_eq!(timestamp(i64::MAX), INFINITY);
        assert_eq!(timestamp(4_102_405_200_000_000), PgTimestamp(4_102_405_200_000_000 * 1000 - START_US));
    }
}
