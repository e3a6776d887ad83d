//! When the files of the certificate are looked at again.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::task::spawn_blocking;
use slog::Logger;

use super::Certificates;

/// How often. Comparing what the files hold, rather than their times, also notices files that are moved into place,
/// links that are turned and copies that keep their old times; certbot, acme.sh and others do each of these.
const INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the files from time to time, and at each SIGHUP. Without certificates a SIGHUP is only told of; it is
/// listened to where a service manager may send it, so that a reload is nothing that ends the server.
pub(crate) fn watch(certificates: Option<Arc<Certificates>>, log: Logger) -> impl Future<Output = ()> {
    // From here on, and not from when the future is first polled: a signal in between would end the process.
    let mut hangups = Hangups::listen(&log);
    async move {
        loop {
            let told = tokio::select! {
                () = tokio::time::sleep(INTERVAL), if certificates.is_some() => false,
                () = hangups.next() => true,
            };
            if told {
                slog::info!(
                    log,
                    "told to reload: the files of the TLS certificate, if there are any, are read again; \
                    other settings take a restart"
                );
            }
            if let Some(certificates) = certificates.clone() {
                // It only fails where the runtime ends.
                let _ = spawn_blocking(move || certificates.look_again()).await;
            }
        }
    }
}

#[cfg(unix)]
struct Hangups(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Hangups {
    fn listen(log: &Logger) -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        Self(signal.inspect_err(|error| slog::warn!(log, "cannot listen to SIGHUP: {}", error)).ok())
    }

    async fn next(&mut self) {
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    fn listen(_: &Logger) -> Self {
        Self
    }

    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}
