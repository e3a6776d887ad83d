//! What the tokenserver notes for the operator, beside its answers: who was refused, and which devices there are.
//!
//! Nothing of it is in a request's way. A cache of what was noted lately answers for nearly all requests; what is left
//! is written once the answer is on its way. A note that cannot be written is logged, and made at a later request.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, PoisonError};

use slog::Logger;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{Agent, DEVICE_INTERVAL_MS, Refusal, TokenAdmin, reason};
use tokio::sync::Semaphore;

use crate::causes::chain;

/// A refused account is noted again after so long, in ms.
const REFUSAL_INTERVAL_MS: i64 = 60_000;

/// The most that a cache remembers, about 2 MB. Beyond it, it begins anew.
const MAX_REMEMBERED: usize = 50_000;

/// At most so many notes are written at a time; others are left for a later request.
const MAX_UNDER_WAY: usize = 32;

/// Notes devices and refusals for the operator, off the path of the answers.
pub struct Notes {
    admin: Arc<dyn TokenAdmin>,
    log: Logger,
    lately: Arc<Lately>,
    under_way: Arc<Semaphore>,
}

impl Notes {
    /// Notes go to `admin`, and failures to `log`.
    #[must_use]
    pub fn new(admin: Arc<dyn TokenAdmin>, log: &Logger) -> Self {
        Self { admin, log: log.clone(), lately: Arc::default(), under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)) }
    }

    /// Notes a refusal, if it is one of an account as a whole.
    pub(super) fn refusal(&self, email: &str, refusal: &Refusal, now_ms: i64) {
        let Some(reason) = reason(refusal) else { return };
        self.note((email, reason), REFUSAL_INTERVAL_MS, now_ms, || {
            let (admin, email) = (Arc::clone(&self.admin), email.to_owned());
            async move { admin.note_refusal(&email, reason, now_ms).await }
        });
    }

    /// Notes the device of a user who was let in.
    pub(super) fn device(&self, uid: UserId, user_agent: &str, now_ms: i64) {
        self.note((uid, user_agent), DEVICE_INTERVAL_MS, now_ms, || {
            let (admin, agent) = (Arc::clone(&self.admin), Agent::of(user_agent));
            async move { admin.note_device(uid, &agent, now_ms).await }
        });
    }

    /// Writes a note, unless one with this key was written within the interval.
    fn note<F>(&self, key: impl Hash, interval_ms: i64, now_ms: i64, write: impl FnOnce() -> F)
    where
        F: Future<Output = Result<(), Fault>> + 'static,
    {
        let Some(key) = self.lately.due(&key, interval_ms, now_ms) else { return };
        let Ok(permit) = Arc::clone(&self.under_way).try_acquire_owned() else { return };
        self.lately.remember(key, now_ms);
        let (lately, log, written) = (Arc::clone(&self.lately), self.log.clone(), write());
        // On this worker's runtime, which has connections of its own.
        actix_web::rt::spawn(async move {
            let _permit = permit;
            if let Err(fault) = written.await {
                lately.forget(key);
                slog::warn!(log, "a note for `syncserver user` could not be written"; "reason" => chain(&fault));
            }
        });
    }
}

/// When what was noted last.
#[derive(Default)]
struct Lately {
    times: Mutex<HashMap<u64, i64>>,
    hasher: RandomState,
}

impl Lately {
    /// The key under which a note is to be remembered, if it is time to write it.
    fn due(&self, key: &impl Hash, interval_ms: i64, now_ms: i64) -> Option<u64> {
        // Two keys with one hash would only hide each other for a while.
        let key = self.hasher.hash_one(key);
        let last = self.times().get(&key).copied();
        last.is_none_or(|last| now_ms.saturating_sub(last) >= interval_ms || now_ms < last).then_some(key)
    }

    fn remember(&self, key: u64, now_ms: i64) {
        let mut times = self.times();
        if times.len() >= MAX_REMEMBERED {
            times.clear();
        }
        times.insert(key, now_ms);
    }

    fn forget(&self, key: u64) {
        self.times().remove(&key);
    }

    fn times(&self) -> std::sync::MutexGuard<'_, HashMap<u64, i64>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_lately_is_not_due() {
        let lately = Lately::default();
        let key = lately.due(&("a", 1), 100, 1_000).unwrap();
        assert_eq!(lately.due(&("a", 1), 100, 1_000), Some(key), "not yet remembered");
        lately.remember(key, 1_000);
        for (now, is_due) in [(1_000, false), (1_099, false), (1_100, true), (5_000, true), (999, true)] {
            assert_eq!(lately.due(&("a", 1), 100, now).is_some(), is_due, "{now}");
        }
        assert!(lately.due(&("a", 2), 100, 1_000).is_some());
        lately.forget(key);
        assert!(lately.due(&("a", 1), 100, 1_000).is_some());
    }

    #[test]
    fn the_cache_is_bounded() {
        let lately = Lately::default();
        for n in 0..MAX_REMEMBERED as u64 + 10 {
            lately.remember(n, 0);
        }
        assert_eq!(lately.times().len(), 10);
    }
}
