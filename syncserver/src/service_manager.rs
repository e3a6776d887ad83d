//! What systemd is told: that the server answers, that it still does, that it stops.
//!
//! The protocol is that of `sd_notify(3)`: datagrams to the socket that `NOTIFY_SOCKET` names. Without that variable all
//! of it does nothing.

use std::io;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use slog::Logger;

use crate::loopback::Loopback;
use crate::pulse::Pulses;
use crate::server::Running;

/// What is asked for: it is answered by a worker, and without the database, which may be slow as long as it likes.
const PATH: &str = "/__lbheartbeat__";

/// How soon the server is asked again when it has not answered.
const AGAIN: Duration = Duration::from_millis(500);

/// How long one question may take before there is a watchdog to say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether somebody listens who may have started this process, and who may tell it to reload by SIGHUP.
pub(crate) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// The time in which the service manager wants to hear of us, if it does.
pub(crate) fn watchdog() -> Option<Duration> {
    is_there().then(sd_notify::watchdog_enabled).flatten()
}

/// Tells what the process is at.
pub(crate) fn status(text: &str) {
    // Whoever listens may have gone, which is no reason to stop serving.
    let _ = sd_notify::notify(&[NotifyState::Status(text)]);
}

/// Tells that the server stops.
pub(crate) fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("Answering the last requests")]);
}

/// Tells that the server is ready when it has answered a request, and from then on, if that is wanted, that it lives. A
/// thread of its own does this: those of the server are what is watched.
pub(crate) fn supervise(running: &Running, log: &Logger) -> io::Result<()> {
    if !is_there() {
        return Ok(());
    }
    let watchdog = watchdog();
    let supervisor = Supervisor {
        server: running.loopback(watchdog.map_or(PATIENCE, |time| (time / 4).min(PATIENCE))),
        ready: format!("Serving {}", running.public_url()),
        pulses: running.pulses(),
        log: log.clone(),
    };
    std::thread::Builder::new().name("supervisor".into()).spawn(move || supervisor.run(watchdog))?;
    Ok(())
}

struct Supervisor {
    server: Loopback,
    ready: String,
    pulses: Option<Pulses>,
    log: Logger,
}

impl Supervisor {
    fn run(&self, watchdog: Option<Duration>) {
        while self.server.get(PATH).is_err() {
            std::thread::sleep(AGAIN);
        }
        let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&self.ready)]);
        let Some(time) = watchdog else { return };
        let mut was_well = true;
        loop {
            let begin = Instant::now();
            let health = self.health(time / 2);
            if let Err(why) = &health {
                if was_well {
                    slog::error!(self.log, "the server does not answer itself; unless it does so again, the service \
                        manager will start it anew"; "reason" => why, "watchdog_seconds" => time.as_secs_f64());
                }
                std::thread::sleep(AGAIN.min(time / 8));
            } else {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                // Twice in the time that is given, whatever the question took.
                std::thread::sleep((time / 2).saturating_sub(begin.elapsed()));
            }
            was_well = health.is_ok();
        }
    }

    /// Whether all threads live, and whether a connection is taken and answered, with whatever status.
    fn health(&self, longest_pause: Duration) -> Result<(), String> {
        let pause = self.pulses.as_ref().map_or(Duration::ZERO, Pulses::longest_pause);
        if pause > longest_pause {
            return Err(format!("a thread has been stuck for {} seconds", pause.as_secs()));
        }
        self.server.get(PATH).map(|_| ()).map_err(|error| format!("{} does not answer: {error}", self.server.url(PATH)))
    }
}
