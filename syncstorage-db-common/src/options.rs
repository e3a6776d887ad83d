//! What a backend is told when it is opened.

use crate::Clock;

/// How long a batch may stay open, in ms.
pub const BATCH_LIFETIME_MS: i64 = 2 * 60 * 60 * 1000;

/// What one batch may hold in all (`max_total_records`, `max_total_bytes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Different records.
    pub records: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { records: 10_000, bytes: 262_144_000 }
    }
}

/// The quota of every user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of payload.
    pub limit: u64,
    /// Whether a write that would pass it is refused.
    pub enforce: bool,
}

/// The rules that every backend keeps, whatever its engine.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// The clock that gives writes their time and says what has expired.
    pub clock: Clock,
    /// What a batch may hold.
    pub batch: BatchLimits,
    /// `None`: no quota.
    pub quota: Option<Quota>,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self { clock: Clock::system(), batch: BatchLimits::default(), quota: None }
    }
}
