//! Whether the threads of the server still run their tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often a thread shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

/// The pulses of several threads, each with a runtime of its own. A thread that something blocks (a lock that is never
/// given back, a loop without end) has none, while one that waits for a database has.
#[derive(Clone, Debug)]
pub(crate) struct Pulses {
    begin: Instant,
    /// For each the time of its last beat, in milliseconds since the beginning. A runtime that ends takes its own away.
    last: Arc<Mutex<Vec<Weak<AtomicU64>>>>,
}

impl Pulses {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), last: Arc::default() }
    }

    /// Has the runtime of this thread beat from now on.
    pub(crate) fn begin_here(&self) {
        let (begin, last) = (self.begin, Arc::new(AtomicU64::new(milliseconds(self.begin.elapsed()))));
        let mut all = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|last| last.strong_count() > 0);
        all.push(Arc::downgrade(&last));
        actix_web::rt::spawn(async move {
            loop {
                last.store(milliseconds(begin.elapsed()), Ordering::Relaxed);
                tokio::time::sleep(BEAT).await;
            }
        });
    }

    /// For how long the one that has been still for the longest time has been so.
    pub(crate) fn longest_pause(&self) -> Duration {
        let all = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = all.iter().filter_map(Weak::upgrade).map(|last| last.load(Ordering::Relaxed)).min();
        oldest.map_or(Duration::ZERO, |last| self.begin.elapsed().saturating_sub(Duration::from_millis(last)))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Runs a runtime with a pulse on a thread of its own until told otherwise.
    fn live(pulses: &Pulses) -> (mpsc::Sender<Duration>, std::thread::JoinHandle<()>) {
        let (block, blocks) = mpsc::channel();
        let (pulses, (begun, has_begun)) = (pulses.clone(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                pulses.begin_here();
                begun.send(()).unwrap();
                loop {
                    match blocks.try_recv() {
                        Ok(time) => std::thread::sleep(time),
                        Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(10)).await,
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            });
        });
        has_begun.recv().unwrap();
        (block, thread)
    }

    #[test]
    fn one_thread_that_is_blocked_is_noticed_among_others() {
        let pulses = Pulses::new();
        let (one, other) = (live(&pulses), live(&pulses));
        std::thread::sleep(Duration::from_millis(2500));
        assert!(pulses.longest_pause() < Duration::from_secs(2), "{:?}", pulses.longest_pause());
        one.0.send(Duration::from_millis(3500)).unwrap();
        std::thread::sleep(Duration::from_millis(3000));
        assert!(pulses.longest_pause() > Duration::from_millis(2500), "{:?}", pulses.longest_pause());
        std::thread::sleep(Duration::from_millis(2000));
        assert!(pulses.longest_pause() < Duration::from_secs(2), "it is over");
        for (stop, thread) in [one, other] {
            drop(stop);
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_runtime_that_ended_is_not_waited_for() {
        let pulses = Pulses::new();
        let (stop, thread) = live(&pulses);
        drop(stop);
        thread.join().unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(pulses.longest_pause(), Duration::ZERO);
    }
}
