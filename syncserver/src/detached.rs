//! Work that blocks for as long as somebody else pleases.

use std::io;

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own, which nobody waits for when the process ends. The threads that tokio has for this
/// would not do: a runtime that is dropped waits for them, and the process with it. The caller bounds how many there
/// are; dropping the future does not end the work.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, answer) = oneshot::channel();
    std::thread::Builder::new().name("outgoing".into()).spawn(move || {
        // Whoever asked may have gone.
        let _ = sender.send(work());
    })?;
    answer.await.map_err(|_| io::Error::other("the thread of the request has panicked"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::run;

    #[test]
    fn a_runtime_ends_without_waiting_for_the_work() {
        let start = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            assert_eq!(run(|| 1).await.unwrap(), 1);
            let slow = run(|| std::thread::sleep(Duration::from_secs(20)));
            assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
        });
        drop(runtime);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert!(run(|| panic!("a panic for a test")).await.is_err());
    }
}
