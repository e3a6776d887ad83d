//! Puts the server together and runs it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_cors::Cors;
use actix_web::dev::Server;
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
use crate::node::Nodes;
use crate::purge::Purge;
use crate::settings::{AllowedOrigin, Registration, Secret, Settings, TokenserverSettings};
use crate::state::AppState;
use crate::token::TokenKeys;
use crate::tokenserver::{AccessTokens, Tokenserver, Webhook};
use crate::web::api_doc::ApiDoc;
use crate::web::front_page::FrontPage;
use crate::web::hawk::SignedHost;
use crate::web::health::Health;
use crate::web::{Parts, middleware, routes};

/// How long requests under way may take when the server is told to stop.
const SHUTDOWN_SECONDS: u64 = 30;

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
}

/// A server that listens.
pub struct Running {
    /// Where.
    pub address: SocketAddr,
    server: Server,
    state: web::Data<AppState>,
    background: Vec<JoinHandle<()>>,
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
    let backends = backend::open(&settings, clock.clone()).await?;
    let description = backends.description.clone();
    let state = web::Data::new(state(&settings, backends, &log, clock).await?);
    let background = background(&settings, &state);
    let server = serve(&settings, state.clone(), listeners)?;
    slog::info!(log, "listening";
        "version" => env!("CARGO_PKG_VERSION"),
        "address" => address.to_string(),
        "database" => description,
        "environment" => &settings.environment,
    );
    if settings.tokenserver.enabled {
        slog::info!(log, "point Firefox here: set identity.sync.tokenserver.uri in about:config";
            "identity.sync.tokenserver.uri" => format!("{}/1.0/sync/1.5", settings.public_url));
    }
    Ok(Running { address, server, state, background })
}

impl Running {
    /// Answers requests until the server is stopped by its [handle](Self::handle), and returns when those under way are
    /// answered and every write is on disk.
    pub async fn serve(self) -> std::io::Result<()> {
        let result = self.server.await;
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

    /// The storage that it serves.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Db> {
        Arc::clone(&self.state.db)
    }

    /// A way to stop the server from elsewhere.
    #[must_use]
    pub fn handle(&self) -> actix_web::dev::ServerHandle {
        self.server.handle()
    }
}

async fn state(settings: &Settings, backends: Backends, log: &Logger, clock: Clock) -> Result<AppState, StartError> {
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
    Ok(AppState {
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
    }
    if let Some(interval) = settings.purge_interval {
        let purge = Purge {
            storage: Arc::clone(&state.db),
            tokens: state.tokens.as_ref().map(|tokens| Arc::clone(&tokens.db)),
            public_url: state.public_url.to_string(),
            nodes: Nodes { token_keys: Some(Arc::clone(&state.token_keys)), clock: state.clock.clone() },
            clock: state.clock.clone(),
            log: state.log.clone(),
        };
        tasks.push(actix_web::rt::spawn(purge.every(interval)));
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

fn serve(settings: &Settings, state: web::Data<AppState>, listeners: Vec<TcpListener>) -> Result<Server, StartError> {
    let parts = Parts::of(settings);
    let cors_settings = settings.cors.clone();
    let mut server = HttpServer::new(move || {
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
    .shutdown_timeout(SHUTDOWN_SECONDS);
    for listener in listeners {
        server = server.listen(listener).map_err(|error| StartError::Listen {
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
