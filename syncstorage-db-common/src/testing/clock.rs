//! A clock that only a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::{Clock, SyncTimestamp};

/// A clock that stands still until it is told to move. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Where [`Self::default`] begins, in ms since the epoch: on a tick, so that the first write gets this very time.
    pub const START_MS: i64 = 1_700_000_000_000;

    /// A clock that shows `now_ms`, in ms since the epoch.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(now_ms)))
    }

    /// The clock as a backend takes it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let shared = Arc::clone(&self.0);
        Clock::new(move || shared.load(Ordering::SeqCst))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Now, as the protocol has it.
    #[must_use]
    pub fn now(&self) -> SyncTimestamp {
        SyncTimestamp::from_ms(self.now_ms())
    }

    /// Shows `now_ms` from now on, be it earlier or later.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// Moves on by `ms`, or back where that is negative.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Self::START_MS)
    }
}
