//! What every request handler has at hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::Logger;
use syncstorage_db_common::{Clock, Db, Quota};

use crate::metrics::Metrics;
use crate::reports::Reporter;
use crate::settings::{Limits, PublicUrl, TrustedProxies};
use crate::token::TokenKeys;
use crate::tokenserver::Tokenserver;
use crate::web::api_doc::ApiDoc;
use crate::web::front_page::FrontPage;
use crate::web::hawk::SignedHost;
use crate::web::health::Health;

/// Shared by all workers.
pub struct AppState {
    /// The storage.
    pub db: Arc<dyn Db>,
    /// The tokenserver, if it is on.
    pub tokens: Option<Tokenserver>,
    /// The keys of the master secret.
    pub token_keys: Arc<TokenKeys>,
    /// Where clients reach this server.
    pub public_url: PublicUrl,
    /// Which host and port clients sign.
    pub signed_host: SignedHost,
    /// What requests may hold.
    pub limits: Limits,
    /// `None`: no quota.
    pub quota: Option<Quota>,
    /// How long every client is asked to stay away; `None`: not at all.
    pub backoff: Option<Duration>,
    /// Whose word on a client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// When this process asks to be replaced; `None`: never.
    pub retires_at: Option<Instant>,
    /// Where answers that are too large for the memory are kept while they are sent; `None`: where the system has its
    /// temporary files.
    pub spool_folder: Option<PathBuf>,
    /// Whether the databases are well.
    pub health: Health,
    /// What a person sees at `/`.
    pub front_page: FrontPage,
    /// The description of the API.
    pub api_doc: ApiDoc,
    /// Tells this process from any other: random text.
    pub instance: String,
    /// The time.
    pub clock: Clock,
    /// The log.
    pub log: Logger,
    /// What is less severe is not logged.
    pub log_level: slog::Level,
    /// What is told about the work.
    pub metrics: Arc<Metrics>,
    /// Reports errors, where somebody wants to know.
    pub reporter: Option<Arc<Reporter>>,
}
