//! Makes the state that all workers share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use slog::Logger;
use syncstorage_db_common::Clock;
use tokenserver_db_common::{NodeRow, Policy, same_url};

use super::StartError;
use crate::backend::{BackendError, Backends};
use crate::metrics::statsd::Statsd;
use crate::metrics::{KeysAge, Metrics, TimedDb, TimedTokenDb};
use crate::reports::Reporter;
use crate::settings::{Registration, Secret, Settings, TokenserverSettings};
use crate::state::AppState;
use crate::token::TokenKeys;
use crate::tokenserver::{AccessTokens, Notes, Tokenserver, Webhook};
use crate::web::api_doc::ApiDoc;
use crate::web::front_page::FrontPage;
use crate::web::hawk::SignedHost;
use crate::web::health::Health;

/// Under which the key for hashes in logs is derived from the master secret.
const METRICS_LABEL: &[u8] = b"syncserver/v1/metrics-hash";

/// Where metrics are sent to, if anywhere.
pub(super) fn statsd(settings: &Settings, log: &Logger) -> Option<Statsd> {
    let set = settings.metrics.statsd.as_ref()?;
    let failed = |error: std::io::Error| {
        slog::warn!(log, "metrics are not sent to StatsD, since its address cannot be found; restart this server when \
            it can (settings: statsd_host, statsd_port)"; "node" => &set.host, "reason" => error.to_string());
    };
    Statsd::new(set).map_err(failed).ok()
}

/// All that requests need, made of the settings and the open databases.
pub(super) async fn state(
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
        && !same_url(&only.url, &public_url)
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
