//! Puts the server together and runs it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_cors::Cors;
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::{KeepAlive, Method};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use slog::Logger;
use syncstorage_db_common::{Clock, Db};
use tokenserver_db_common::{NodeRow, Policy};
use tokio::task::JoinHandle;

use crate::backend::{self, BackendError, Backends};
use crate::loopback::Loopback;
use crate::metrics::statsd::Statsd;
use crate::metrics::{KeysAge, Metrics, TimedDb, TimedTokenDb, listener};
use crate::node::Nodes;
use crate::pulse::Pulses;
use crate::purge::Purge;
use crate::reports::{self, Reporter};
use crate::settings::{AllowedOrigin, PublicUrl, Registration, Scheme, Secret, Settings, TokenserverSettings};
use crate::state::AppState;
use crate::tls::{Certificates, TlsError};
use crate::token::TokenKeys;
use crate::tokenserver::{AccessTokens, Notes, Tokenserver, Webhook};
use crate::web::api_doc::ApiDoc;
use crate::web::front_page::FrontPage;
use crate::web::hawk::SignedHost;
use crate::web::health::Health;
use crate::web::{Parts, middleware, routes};
use crate::{service_manager, tls};

/// How long requests under way may take when the server is told to stop.
const SHUTDOWN_SECONDS: u64 = 30;

/// How long a client may take to agree on the keys of a connection.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for what still holds the database when all requests are answered.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// Under which the key for hashes in logs is derived from the master secret.
const METRICS_LABEL: &[u8] = b"syncserver/v1/metrics-hash";

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
    let (listeners, address) = bind(&settings.host, settings.port)?;
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
    let metrics = Metrics::new(statsd(&settings, &log))?;
    let backends = backend::open(&settings, clock.clone()).await?;
    let description = backends.description.clone();
    let state = web::Data::new(state(&settings, backends, &log, clock, Arc::clone(&metrics)).await?);
    let mut background = background(&settings, &state);
    let metrics_server = metrics_listener
        .map(|listener| listener::serve(listener, settings.metrics.token.as_ref(), metrics))
        .transpose()
        .map_err(metrics_failed)?;
    let scheme = if certificates.is_some() { Scheme::Https } else { Scheme::Http };
    let pulses = service_manager::watchdog().map(|_| Pulses::new());
    if let Some(pulses) = &pulses {
        pulses.begin_here();
    }
    let server = serve(&settings, state.clone(), listeners, certificates.as_ref(), pulses.as_ref())?;
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
fn statsd(settings: &Settings, log: &Logger) -> Option<Statsd> {
    let set = settings.metrics.statsd.as_ref()?;
    let failed = |error: std::io::Error| {
        slog::warn!(log, "metrics are not sent to StatsD, since its address cannot be found; restart this server when \
            it can (settings: statsd_host, statsd_port)"; "node" => &set.host, "reason" => error.to_string());
    };
    Statsd::new(set).map_err(failed).ok()
}

async fn state(
    settings: &Settings,
    mut backends: Backends,
    log: &Logger,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> Result<AppState, StartError> {
    backends.storage = Arc::new(TimedDb::new(backends.storage, &metrics));
    backends.tokens = Arc::new(TimedTokenDb::new(backends.tokens, &metrics));
    let public_url = settings.public_url.clone();
    let signed_host = if public_url.explicit {
        SignedHost::Fixed { host: public_url.host.clone(), port: public_url.port }
    } else {
        SignedHost::OfRequest
    };
    let secret = backends.master_secret.expose();
    let tokens = match settings.tokenserver.enabled {
        true => Some(tokenserver(settings, &backends, secret, log).await?),
        false => None,
    };
    let keys_age = tokens.as_ref().map(|tokens| {
        let access_tokens = Arc::clone(&tokens.access_tokens);
        Box::new(move || access_tokens.keys_age()) as KeysAge
    });
    metrics.watch(backends.probes, keys_age);
    Ok(AppState {
        reporter: Reporter::new(settings, &metrics).map(Arc::new),
        log_level: settings.log_level,
        metrics,
        db: backends.storage,
        tokens,
        token_keys: Arc::new(token_keys(secret, settings)),
        public_url,
        signed_host,
        limits: settings.syncstorage.limits.clone(),
        quota: settings.syncstorage.quota,
        backoff: settings.backoff,
        trusted_proxies: settings.trusted_proxies.clone(),
        retires_at: retires_at(settings),
        spool_folder: spool_folder(settings),
        health: Health::default(),
        front_page: FrontPage::new(&settings.public_url, settings.tokenserver.enabled),
        api_doc: ApiDoc::new(settings).map_err(StartError::ApiDoc)?,
        instance: instance(),
        clock,
        log: log.clone(),
    })
}

/// The keys of the master secret and of those before it.
pub(crate) fn token_keys(secret: &str, settings: &Settings) -> TokenKeys {
    let previous: Vec<&str> = settings.previous_master_secrets.iter().map(Secret::expose).collect();
    TokenKeys::new(secret, &previous)
}

/// The data folder, where a file can be made in it: with databases elsewhere there need not be one.
fn spool_folder(settings: &Settings) -> Option<PathBuf> {
    tempfile::tempfile_in(&settings.data_dir).is_ok().then(|| settings.data_dir.clone())
}

/// Tells this process from any other.
fn instance() -> String {
    let mut bytes = [0; 8];
    // Without random numbers all are taken for one, which only `syncserver doctor` minds.
    let _ = SystemRandom::new().fill(&mut bytes);
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

/// Some time after the set age, by chance, so that servers that were started together do not go together.
fn retires_at(settings: &Settings) -> Option<Instant> {
    let age = settings.syncstorage.lbheartbeat_ttl?;
    let mut byte = [0];
    // Without random numbers there is no jitter, which does no harm.
    let _ = SystemRandom::new().fill(&mut byte);
    let jitter = f64::from(settings.syncstorage.lbheartbeat_ttl_jitter) / 100.0 * f64::from(byte[0]) / 255.0;
    Instant::now().checked_add(age.mul_f64(1.0 + jitter))
}

async fn tokenserver(
    settings: &Settings,
    backends: &Backends,
    secret: &str,
    log: &Logger,
) -> Result<Tokenserver, StartError> {
    let set = &settings.tokenserver;
    let db = Arc::clone(&backends.tokens);
    if let Some(url) = &set.init_node_url {
        let capacity = u32::try_from(set.init_node_capacity).unwrap_or(0);
        if db.init_node(url, capacity).await.map_err(BackendError::from)? {
            slog::info!(log, "added a node"; "node" => url, "capacity" => capacity);
        }
    }
    warn_of_another_node(settings, &db.nodes().await.map_err(BackendError::from)?, log);
    let metrics_secret = match &set.fxa_metrics_hash_secret {
        Some(secret) => hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
        None => {
            let master = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&master, METRICS_LABEL).as_ref())
        }
    };
    let server_url = set.fxa_oauth_server_url.to_string();
    Ok(Tokenserver {
        db,
        policy: Arc::new(policy(set)),
        notes: Notes::new(Arc::clone(&backends.admin), log),
        access_tokens: Arc::new(AccessTokens::new(
            &server_url,
            &set.fxa_oauth_jwks,
            set.fxa_oauth_request_timeout,
            log,
        )),
        email_domain: set.fxa_email_domain.clone(),
        token_duration: set.token_duration.as_secs(),
        node_type: set.node_type.clone().unwrap_or_else(|| backends.node_type.to_owned()),
        metrics_secret,
        webhook: set.fxa_webhook.as_ref().map(|webhook| Webhook {
            issuer: webhook.set_issuer.clone(),
            client_id: webhook.set_client_id.clone(),
            metrics_only: webhook.metrics_only,
        }),
    })
}

/// A database that was moved to another address still sends its users to the old one.
fn warn_of_another_node(settings: &Settings, nodes: &[NodeRow], log: &Logger) {
    let public_url = settings.public_url.to_string();
    if let [only] = nodes
        && settings.public_url.explicit
        && only.url.trim_end_matches('/') != public_url
    {
        slog::warn!(log, "the only row of the table nodes is not public_url: clients are sent to the node of that row. \
            Change the row, or delete it to have every user on public_url"; "node" => &only.url, "public_url" => public_url);
    }
}

fn policy(set: &TokenserverSettings) -> Policy {
    let registration = match &set.registration {
        Registration::Open => tokenserver_db_common::Registration::Open,
        Registration::Closed => tokenserver_db_common::Registration::Closed,
        Registration::AllowList(uids) => tokenserver_db_common::Registration::AllowList(
            uids.iter().map(|uid| format!("{uid}@{}", set.fxa_email_domain)).collect(),
        ),
    };
    Policy { registration, max_users: set.max_users, node_capacity_release_rate: set.node_capacity_release_rate }
}

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

/// Listens on every address that `host` has, of which the first is returned.
fn bind(host: &str, port: u16) -> Result<(Vec<TcpListener>, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { host: host.to_owned(), port, error };
    let mut listeners = Vec::new();
    for address in (host, port).to_socket_addrs().map_err(failed)? {
        match TcpListener::bind(address) {
            Ok(listener) => listeners.push(listener),
            // A name may have addresses of a kind that this machine has not, such as localhost without IPv6.
            Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported) => continue,
            Err(error) => return Err(failed(error)),
        }
        if port == 0 {
            // Another address would get another port.
            break;
        }
    }
    let first = listeners.first().ok_or_else(|| failed(ErrorKind::AddrNotAvailable.into()))?;
    let address = first.local_addr().map_err(failed)?;
    Ok((listeners, address))
}

fn serve(
    settings: &Settings,
    state: web::Data<AppState>,
    listeners: Vec<TcpListener>,
    certificates: Option<&Arc<Certificates>>,
    pulses: Option<&Pulses>,
) -> Result<Server, StartError> {
    let parts = Parts::of(settings);
    let cors_settings = settings.cors.clone();
    let pulses = pulses.cloned();
    let mut server = HttpServer::new(move || {
        if let Some(pulses) = &pulses {
            pulses.begin_here();
        }
        App::new()
            .app_data(state.clone())
            .wrap(cors(&cors_settings))
            // Around CORS, too: a preflight is an answer as any other.
            .wrap(from_fn(middleware::around))
            .configure(|config| routes(config, &parts))
    })
    .workers(settings.workers)
    .worker_max_blocking_threads(settings.worker_max_blocking_threads)
    .keep_alive(match settings.actix_keep_alive {
        Duration::ZERO => KeepAlive::Disabled,
        time => KeepAlive::Timeout(time),
    })
    // Whoever runs the program looks after its signals, and stops the server by its handle.
    .disable_signals()
    // Phones on bad networks take a while; the default of 3 seconds is for servers in one house.
    .tls_handshake_timeout(TLS_HANDSHAKE_TIMEOUT)
    .shutdown_timeout(SHUTDOWN_SECONDS);
    for listener in listeners {
        let listening = match certificates {
            Some(certificates) => server.listen_rustls_0_23(listener, certificates.config()?),
            None => server.listen(listener),
        };
        server = listening.map_err(|error| StartError::Listen {
            host: settings.host.clone(),
            port: settings.port,
            error,
        })?;
    }
    Ok(server.run())
}

fn cors(settings: &crate::settings::Cors) -> Cors {
    let methods = settings.allowed_methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok());
    let mut cors =
        Cors::default().allowed_methods(methods).allow_any_header().expose_any_header().max_age(settings.max_age);
    match &settings.allowed_origin {
        AllowedOrigin::Any => cors = cors.allow_any_origin(),
        AllowedOrigin::Only(origins) => {
            for origin in origins {
                cors = cors.allowed_origin(origin);
            }
        }
    }
    cors
}
