//! Puts the server together and runs it.

mod listen;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use slog::Logger;
use syncstorage_db_common::{Clock, Db};
use tokio::task::JoinHandle;

use crate::backend::{self, BackendError};
use crate::loopback::Loopback;
use crate::metrics::{Metrics, listener};
use crate::node::Nodes;
use crate::pulse::Pulses;
use crate::purge::Purge;
use crate::settings::{PublicUrl, Scheme, Settings};
use crate::state::AppState;
use crate::tls::{Certificates, TlsError};
use crate::{reports, service_manager, tls};

pub(crate) use state::token_keys;

/// How long to wait for what still holds the database when all requests are answered.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// Why the server cannot start; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The databases.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The description of the API: a mistake in the program.
    #[error("the description of the API is broken, which is a mistake in this program: {0}")]
    ApiDoc(serde_json::Error),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {host}, port {port}: {error} (settings: host, port; SYNC_HOST, SYNC_PORT)")]
    Listen {
        /// As set.
        host: String,
        /// As set.
        port: u16,
        /// The system's word.
        error: std::io::Error,
    },
    /// The address of the metrics.
    #[error("cannot listen on {address} for metrics: {error} (setting: metrics_listen; SYNC_METRICS_LISTEN)")]
    MetricsListen {
        /// As set.
        address: String,
        /// The system's word.
        error: std::io::Error,
    },
    /// Two metrics contradict each other, which is an error in this program.
    #[error("cannot count: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A server that listens.
pub struct Running {
    /// Where.
    pub address: SocketAddr,
    /// Where it tells its metrics.
    pub metrics_address: Option<SocketAddr>,
    server: Server,
    metrics_server: Option<(ServerHandle, JoinHandle<()>)>,
    state: web::Data<AppState>,
    background: Vec<JoinHandle<()>>,
    scheme: Scheme,
    pulses: Option<Pulses>,
}

/// Opens the databases and begins to listen. Requests are answered once [`Running::serve`] is polled.
pub async fn start(mut settings: Settings, log: Logger, clock: Clock) -> Result<Running, StartError> {
    for warning in &settings.warnings {
        slog::warn!(log, "{}", warning);
    }
    // First of all, so that a second server which was started by mistake touches nothing.
    let (listeners, address) = listen::bind(&settings.host, settings.port)?;
    if settings.public_url.url.port == 0 {
        settings.public_url.url.port = address.port();
    }
    let certificates = match &settings.tls {
        Some(files) => Some(Certificates::load(files, clock.clone(), &log)?),
        None => None,
    };
    let metrics_failed = |error| {
        let address = settings.metrics.listen.map(|address| address.to_string()).unwrap_or_default();
        StartError::MetricsListen { address, error }
    };
    let metrics_listener = listener::bind(&settings.metrics, &log).map_err(metrics_failed)?;
    let metrics = Metrics::new(state::statsd(&settings, &log))?;
    let backends = backend::open(&settings, clock.clone()).await?;
    let description = backends.description.clone();
    let state = web::Data::new(state::state(&settings, backends, &log, clock, Arc::clone(&metrics)).await?);
    let mut background = background(&settings, &state);
    let metrics_server = metrics_listener
        .map(|listener| listener::serve(listener, settings.metrics.token.as_ref(), metrics))
        .transpose()
        .map_err(metrics_failed)?;
    let scheme = if certificates.is_some() { Scheme::Https } else { Scheme::Http };
    let pulses = service_manager::watchdog().map(Pulses::new);
    if let Some(pulses) = &pulses {
        pulses.begin_here();
    }
    let server = listen::serve(&settings, state.clone(), listeners, certificates.as_ref(), pulses.as_ref())?;
    if certificates.is_some() || service_manager::is_there() {
        background.push(actix_web::rt::spawn(tls::watch(certificates, log.clone())));
    }
    slog::info!(log, "listening";
        "version" => env!("CARGO_PKG_VERSION"),
        "address" => address.to_string(),
        "database" => description,
        "environment" => &settings.environment,
        "metrics" => metrics_server.as_ref().map(|(_, address)| address.to_string()),
    );
    if settings.tokenserver.enabled {
        slog::info!(log, "point Firefox here: set identity.sync.tokenserver.uri in about:config";
            "identity.sync.tokenserver.uri" => format!("{}/1.0/sync/1.5", settings.public_url));
    }
    let metrics_address = metrics_server.as_ref().map(|(_, address)| *address);
    let metrics_server = metrics_server.map(|(server, _)| {
        let handle = server.handle();
        let log = log.clone();
        let task = actix_web::rt::spawn(async move {
            if let Err(error) = server.await {
                slog::error!(log, "metrics are not told any more"; "reason" => error.to_string());
            }
        });
        (handle, task)
    });
    Ok(Running { address, metrics_address, server, metrics_server, state, background, scheme, pulses })
}

impl Running {
    /// Answers requests until the server is stopped by its [handle](Self::handle), and returns when those under way are
    /// answered and every write is on disk.
    pub async fn serve(self) -> std::io::Result<()> {
        let result = self.server.await;
        if let Some((metrics, task)) = self.metrics_server {
            metrics.stop(false).await;
            let _ = task.await;
        }
        for task in self.background {
            task.abort();
            // Cancelled, as it was meant to be.
            let _ = task.await;
        }
        // The workers let go of the database a moment after they have answered their last request.
        let state = self.state.into_inner();
        let patience = Instant::now() + RELEASE_PATIENCE;
        while Arc::strong_count(&state) > 1 && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slog::info!(state.log, "stopped");
        // The last reference to the database goes here, and its writer with it.
        drop(state);
        result
    }

    /// From now on a panic anywhere in the process is logged, counted and reported as other errors are.
    pub fn watch_panics(&self) {
        let AppState { log, metrics, reporter, .. } = &**self.state;
        reports::watch_panics(log.clone(), Arc::clone(metrics), reporter.clone());
    }

    /// The storage that it serves.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Db> {
        Arc::clone(&self.state.db)
    }

    /// Where clients reach it.
    #[must_use]
    pub fn public_url(&self) -> &PublicUrl {
        &self.state.public_url
    }

    /// A way to ask it on this machine, with so much time for an answer.
    pub(crate) fn loopback(&self, timeout: Duration) -> Loopback {
        Loopback::new(self.scheme, &self.address.ip().to_string(), self.address.port(), timeout)
    }

    /// Whether its threads live, where somebody wants to know.
    pub(crate) fn pulses(&self) -> Option<Pulses> {
        self.pulses.clone()
    }

    /// A way to stop the server from elsewhere.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }
}

/// The StatsD server, if there is one. A server that cannot be found is no reason not to serve.
fn background(settings: &Settings, state: &web::Data<AppState>) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    if let Some(tokens) = &state.tokens {
        let access_tokens = Arc::clone(&tokens.access_tokens);
        tasks.push(actix_web::rt::spawn(async move { access_tokens.keep_fresh().await }));
        tasks.push(actix_web::rt::spawn(Arc::clone(&state.metrics).count_users(Arc::clone(&tokens.db))));
    }
    tasks.push(actix_web::rt::spawn(Arc::clone(&state.metrics).keep_statsd_informed()));
    if let Some(interval) = settings.purge_interval {
        let purge = Purge {
            storage: Arc::clone(&state.db),
            tokens: state.tokens.as_ref().map(|tokens| Arc::clone(&tokens.db)),
            public_url: state.public_url.to_string(),
            nodes: Nodes { token_keys: Some(Arc::clone(&state.token_keys)), clock: state.clock.clone() },
            clock: state.clock.clone(),
            log: state.log.clone(),
        };
        tasks.push(actix_web::rt::spawn(purge.every(interval, Some(Arc::clone(&state.metrics)))));
    }
    tasks
}
