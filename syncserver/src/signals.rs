//! The signals by which a process is told to stop.

use std::io;

use actix_web::dev::ServerHandle;

/// SIGTERM and Ctrl-C. From [`listen`](Self::listen) on they do not end the process by themselves.
pub(crate) struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Begins to listen. What comes before [`obey`](Self::obey) is kept for it.
    pub(crate) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Stops the server when it is told to, after the requests that are under way. Told once more, the process ends at
    /// once: what was acknowledged is on disk.
    pub(crate) async fn obey(mut self, server: ServerHandle) {
        self.next().await;
        tokio::select! {
            () = server.stop(true) => {}
            () = self.next() => std::process::exit(1),
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Where it cannot be listened to, nobody stops the process in this way.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
