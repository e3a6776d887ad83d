//! The signals by which a process is told to stop.

use std::io;
use std::sync::mpsc;

use actix_web::dev::ServerHandle;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// SIGTERM and Ctrl-C. From [`listen`](Self::listen) on they do not end the process by themselves.
pub(crate) struct StopSignals {
    first: oneshot::Receiver<()>,
}

impl StopSignals {
    /// Begins to listen. The first signal is kept for [`obey`](Self::obey); at the second one the process ends at once:
    /// what was acknowledged is on disk. That holds until the very end, whatever the process still waits for then, so
    /// the signals have a thread of their own.
    pub(crate) fn listen() -> io::Result<Self> {
        Self::listen_and(|| std::process::exit(1))
    }

    fn listen_and(at_second: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (told, first) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let (runtime, mut signals) = match begin() {
                Ok(begun) => begun,
                Err(error) => {
                    // Whoever waits for it is there as long as this thread has said nothing.
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            runtime.block_on(async {
                signals.next().await;
                // Nobody listens to the first one while the process ends because it could not start.
                let _ = told.send(());
                signals.next().await;
            });
            at_second();
        })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { first })
    }

    /// Stops the server when it is told to, after the requests that are under way; `begin` is run before.
    pub(crate) async fn obey(self, server: ServerHandle, begin: impl FnOnce()) {
        if self.first.await.is_ok() {
            begin();
            server.stop(true).await;
        }
    }

    /// Waits for the first one.
    pub(crate) async fn received(self) {
        // Without a word from the thread there is nothing to wait for.
        let _ = self.first.await;
    }
}

fn begin() -> io::Result<(Runtime, Signals)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    Ok((runtime, signals))
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Where it cannot be listened to, nobody stops the process in this way.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn the_second_signal_counts_even_when_nothing_else_runs_any_more() {
        let (ended, second) = mpsc::channel();
        let signals = StopSignals::listen_and(move || ended.send(()).unwrap()).unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        signals.first.blocking_recv().unwrap();
        assert!(second.recv_timeout(Duration::from_millis(200)).is_err(), "the first one stops the server alone");
        kill_process(getpid(), Signal::INT).unwrap();
        second.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
