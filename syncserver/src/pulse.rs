//! Whether the threads of the server still run their tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often a thread shows that it lives, at least.
const BEAT: Duration = Duration::from_secs(1);

/// The pulses of several threads, each with a runtime of its own. A thread that something blocks (a lock that is never
/// given back, a loop without end) has none, while one that waits for a database has.
#[derive(Clone, Debug)]
pub(crate) struct Pulses {
    begin: Instant,
    beat: Duration,
    /// For each the time of its last beat, in milliseconds since the beginning. A runtime that ends takes its own away.
    last: Arc<Mutex<Vec<Weak<AtomicU64>>>>,
}

impl Pulses {
    /// For a watchdog of this time, half of which is a pause that is too long: on a machine that has much to do, a beat
    /// may well come late.
    pub(crate) fn new(watchdog: Duration) -> Self {
        Self { begin: Instant::now(), beat: BEAT.min(watchdog / 8), last: Arc::default() }
    }

    /// Has the runtime of this thread beat from now on.
    pub(crate) fn begin_here(&self) {
        let (begin, beat) = (self.begin, self.beat);
        let last = Arc::new(AtomicU64::new(milliseconds(begin.elapsed())));
        let mut all = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|last| last.strong_count() > 0);
        all.push(Arc::downgrade(&last));
        actix_web::rt::spawn(async move {
            loop {
                last.store(milliseconds(begin.elapsed()), Ordering::Relaxed);
                tokio::time::sleep(beat).await;
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

    const WATCHDOG: Duration = Duration::from_secs(8);

    /// Runs a runtime with a pulse on a thread of its own until told otherwise. What is sent blocks it, until its own
    /// sender is dropped.
    fn live(pulses: &Pulses) -> (mpsc::Sender<mpsc::Receiver<()>>, std::thread::JoinHandle<()>) {
        let (block, blocks) = mpsc::channel::<mpsc::Receiver<()>>();
        let (pulses, (begun, has_begun)) = (pulses.clone(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                pulses.begin_here();
                begun.send(()).unwrap();
                loop {
                    match blocks.try_recv() {
                        Ok(held) => drop(held.recv()),
                        Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(10)).await,
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                }
            });
        });
        has_begun.recv().unwrap();
        (block, thread)
    }

    /// Waits until the longest pause is as it should be.
    fn until(pulses: &Pulses, what: &str, is_so: impl Fn(Duration) -> bool) {
        let begin = Instant::now();
        while !is_so(pulses.longest_pause()) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {:?}", pulses.longest_pause());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn one_thread_that_is_blocked_is_noticed_among_others() {
        let pulses = Pulses::new(WATCHDOG);
        let (one, other) = (live(&pulses), live(&pulses));
        // So long that the beats of the beginning are not enough.
        std::thread::sleep(Duration::from_millis(2500));
        until(&pulses, "both live", |pause| pause < Duration::from_secs(2));
        let (release, held) = mpsc::channel();
        one.0.send(held).unwrap();
        until(&pulses, "one is blocked", |pause| pause > Duration::from_millis(2500));
        drop(release);
        until(&pulses, "it is over", |pause| pause < Duration::from_secs(2));
        for (stop, thread) in [one, other] {
            drop(stop);
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_runtime_that_ended_is_not_waited_for() {
        let pulses = Pulses::new(WATCHDOG);
        let (stop, thread) = live(&pulses);
        drop(stop);
        thread.join().unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(pulses.longest_pause(), Duration::ZERO);
    }

    #[test]
    fn for_a_short_watchdog_there_are_several_beats_in_half_its_time() {
        assert_eq!(Pulses::new(Duration::from_secs(120)).beat, BEAT);
        assert_eq!(Pulses::new(Duration::from_millis(1600)).beat, Duration::from_millis(200));
    }
}
