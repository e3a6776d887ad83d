//! The validated settings: what the rest of the program is given. Defaults stand in `config/syncserver.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use syncstorage_db_common::{CollectionName, Quota};

use super::proxies::TrustedProxies;
use super::secret::Secret;
use super::url::{BaseUrl, PublicUrl};

/// All settings, each one valid, none contradicting another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address or name to listen on; an IPv6 address without brackets.
    pub host: String,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Where clients reach the server.
    pub public_url: PublicUrl,
    /// The certificate to speak TLS with; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The folder of the database and the master secret. It may not exist yet.
    pub data_dir: PathBuf,
    /// The secret that signs tokens, when the operator set one.
    pub master_secret: Option<Secret>,
    /// Secrets that only verify.
    pub previous_master_secrets: Vec<Secret>,
    /// Whether logs are for people rather than for programs.
    pub human_logs: bool,
    /// What is less severe than this is not logged.
    pub log_level: slog::Level,
    /// What the operator calls this deployment, for logs and error reports.
    pub environment: String,
    /// How long an idle connection stays open; zero closes each after its answer.
    pub actix_keep_alive: Duration,
    /// Threads that answer requests.
    pub workers: usize,
    /// At most so many blocking threads for each worker.
    pub worker_max_blocking_threads: usize,
    /// Which web pages may talk to the server.
    pub cors: Cors,
    /// Whose word on a client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// How long every client is asked to stay away; `None`: not at all.
    pub backoff: Option<Duration>,
    /// What is told about the server's work.
    pub metrics: MetricsSettings,
    /// Where errors are reported to; `None`: nowhere.
    pub sentry_dsn: Option<Secret>,
    /// Whether `/__error__` fails on purpose.
    pub test_error: bool,
    /// How often what has expired is removed for good; `None`: never.
    pub purge_interval: Option<Duration>,
    /// The storage.
    pub syncstorage: SyncstorageSettings,
    /// The tokenserver.
    pub tokenserver: TokenserverSettings,
    /// Sentences for the log, about settings that were given and do nothing.
    pub warnings: Vec<String>,
    /// The files that the settings were read from: the settings file, and those that hold a secret.
    pub files: Vec<PathBuf>,
}

/// What is told about the server's work, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where Prometheus fetches it; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Whether the operator has asked for that address.
    pub is_explicit: bool,
    /// The token that a request has to bear.
    pub token: Option<Secret>,
    /// The StatsD server that it is sent to.
    pub statsd: Option<StatsdSettings>,
}

/// A StatsD server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsdSettings {
    /// Its name or address.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
    /// What the names of the storage's metrics begin with.
    pub storage_label: String,
    /// The same of the tokenserver's.
    pub tokenserver_label: String,
    /// Whether every line has the name of this machine.
    pub hostname_tag: bool,
}

/// Files in PEM form, which are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, and behind it those of the authorities up to one that clients know.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Which web pages may talk to the server (CORS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The origins of those pages.
    pub allowed_origin: AllowedOrigin,
    /// HTTP methods they may use, in capitals.
    pub allowed_methods: Vec<String>,
    /// For how many seconds a browser may remember the answer.
    pub max_age: usize,
}

/// Origins of web pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Every one.
    Any,
    /// These, such as `https://example.com`.
    Only(Vec<String>),
}

/// A database and the pool of connections to it.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Its URL, or the path of a SQLite file, as the operator wrote it. It may hold a password.
    pub url: Secret,
    /// At most so many connections.
    pub pool_max_size: usize,
    /// How long a request waits for one of them.
    pub connection_timeout: Duration,
    /// The age at which a connection is replaced.
    pub connection_lifespan: Option<Duration>,
    /// How long a connection may be idle before it is closed.
    pub connection_max_idle: Option<Duration>,
}

/// The storage of records.
#[derive(Clone, Debug)]
pub struct SyncstorageSettings {
    /// Whether this process serves it.
    pub enabled: bool,
    /// Where it keeps its data.
    pub database: DatabaseSettings,
    /// What requests may hold.
    pub limits: Limits,
    /// What a user may store; `None`: no quota.
    pub quota: Option<Quota>,
    /// The age at which the server reports itself unwell to a load balancer, so as to be replaced.
    pub lbheartbeat_ttl: Option<Duration>,
    /// At most so many percent of that age are added to it, by chance, so that not all servers go at once.
    pub lbheartbeat_ttl_jitter: u32,
}

/// What requests may hold. `/info/configuration` announces them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records in one request.
    pub max_post_records: u64,
    /// Bytes of payload in one batch.
    pub max_total_bytes: u64,
    /// Records in one batch.
    pub max_total_records: u64,
    /// Sizes, for every collection that has none of its own.
    pub sizes: SizeLimits,
    /// Collections with sizes of their own.
    pub collections: BTreeMap<CollectionName, SizeLimits>,
}

impl Limits {
    /// The sizes that hold for a collection.
    #[must_use]
    pub fn of(&self, collection: &CollectionName) -> SizeLimits {
        self.collections.get(collection).copied().unwrap_or(self.sizes)
    }
}

/// Limits that a collection may have of its own: payload ≤ post ≤ request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// Bytes of payload of one record.
    pub max_record_payload_bytes: u64,
    /// Bytes of payload of all records of one request.
    pub max_post_bytes: u64,
    /// Bytes of the body of one request, inflated.
    pub max_request_bytes: u64,
}

/// The tokenserver.
#[derive(Clone, Debug)]
pub struct TokenserverSettings {
    /// Whether this process serves it.
    pub enabled: bool,
    /// Where it keeps its users; the storage's database unless set. Lifespan and idle time are the storage's.
    pub database: DatabaseSettings,
    /// Whether its tables are made and brought up to date at start.
    pub run_migrations: bool,
    /// What tokens' answers call the storage; `None`: by the storage's engine.
    pub node_type: Option<String>,
    /// A storage node to enter into the table of nodes at start, without trailing slash, at most 64 bytes.
    pub init_node_url: Option<String>,
    /// How many users that node has room for.
    pub init_node_capacity: i32,
    /// The part of a full node's capacity that is released when no node has room, above 0, at most 1.
    pub node_capacity_release_rate: f64,
    /// How long a token is good.
    pub token_duration: Duration,
    /// Who may sign in for the first time.
    pub registration: Registration,
    /// At most so many users; `None`: any number.
    pub max_users: Option<u64>,
    /// The part after the `@` of the names that users have in the database.
    pub fxa_email_domain: String,
    /// The accounts server that issues and verifies OAuth tokens, without `/v1`.
    pub fxa_oauth_server_url: BaseUrl,
    /// How long to wait for it.
    pub fxa_oauth_request_timeout: Duration,
    /// The key that hashes account ids for metrics; `None`: derived from the master secret.
    pub fxa_metrics_hash_secret: Option<Secret>,
    /// Its public keys where they are configured: primary, then secondary.
    pub fxa_oauth_jwks: Vec<Jwk>,
    /// Events that the accounts server sends; `None`: not taken.
    pub fxa_webhook: Option<Webhook>,
}

/// Who may sign in for the first time. Those who did so before are not asked. `syncserver user deny` counts more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    Open,
    /// Accounts with these ids, and those that were let in by `syncserver user allow`.
    AllowList(BTreeSet<String>),
    /// Nobody.
    Closed,
}

/// An RSA public key. It serialises as an entry of a JWKS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    /// The kind of key, `RSA`.
    pub kty: String,
    /// The algorithm, `RS256`.
    pub alg: String,
    /// The name by which tokens call it.
    pub kid: String,
    /// When it was made, in seconds since the epoch.
    #[serde(rename = "fxa-createdAt", skip_serializing_if = "Option::is_none")]
    pub fxa_created_at: Option<u64>,
    /// What it is for, `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The modulus, URL-safe base64 without padding.
    pub n: String,
    /// The exponent, likewise.
    pub e: String,
}

/// Events of the accounts server (a user was deleted, a password was changed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Whether events are only counted.
    pub metrics_only: bool,
    /// The audience that an event must name.
    pub set_client_id: String,
    /// The issuer that an event must name.
    pub set_issuer: String,
}
