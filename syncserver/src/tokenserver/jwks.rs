//! The keys that Mozilla accounts sign access tokens with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use serde_json::Value;
use slog::Logger;
use tokio::sync::Mutex;

use super::http::HttpClient;

/// How old the keys get before they are fetched again in the background.
pub(super) const REFRESH_INTERVAL: Duration = Duration::from_secs(600);

/// How soon after a fetch another one is made, however many tokens ask for it.
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// A key to verify with.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub(super) kid: Option<String>,
    pub(super) key: DecodingKey,
}

impl VerifyingKey {
    /// Of an RSA modulus and exponent in base64. `None` where they are none.
    pub(super) fn new(kid: Option<&str>, n: &str, e: &str) -> Option<Self> {
        let key = DecodingKey::from_rsa_components(n, e).ok()?;
        Some(Self { kid: kid.map(ToOwned::to_owned), key })
    }
}

/// Where the keys come from.
pub(super) enum Keys {
    /// The settings.
    Configured(Vec<VerifyingKey>),
    /// The accounts server.
    Fetched(Arc<Jwks>),
}

/// The keys that the accounts server publishes, fetched now and then and never while a request waits for anything else.
pub(super) struct Jwks {
    url: String,
    http: HttpClient,
    log: Logger,
    known: RwLock<Vec<VerifyingKey>>,
    /// When the keys came that are known.
    fetched: RwLock<Option<Instant>>,
    /// When the last fetch was made; locked while one is under way.
    last_fetch: Mutex<Option<Instant>>,
}

impl Jwks {
    pub(super) fn new(url: String, http: HttpClient, log: Logger) -> Self {
        Self { url, http, log, known: RwLock::default(), fetched: RwLock::default(), last_fetch: Mutex::default() }
    }

    /// The keys known now; none before the first fetch, or while there is no accounts server.
    fn known(&self) -> Vec<VerifyingKey> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long ago they were fetched.
    pub(super) fn age(&self) -> Option<Duration> {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// The keys, fetched if `wanted` is not satisfied by those that are known.
    async fn keys(&self, wanted: impl Fn(&[VerifyingKey]) -> bool) -> Vec<VerifyingKey> {
        let known = self.known();
        if wanted(&known) {
            return known;
        }
        let mut last_fetch = self.last_fetch.lock().await;
        // Another request may have waited for the same.
        let known = self.known();
        if wanted(&known) || last_fetch.is_some_and(|at| at.elapsed() < MIN_INTERVAL) {
            return known;
        }
        self.fetch().await;
        *last_fetch = Some(Instant::now());
        self.known()
    }

    /// Fetches the keys; when that fails, those known stay.
    pub(super) async fn refresh(&self) {
        let mut last_fetch = self.last_fetch.lock().await;
        self.fetch().await;
        *last_fetch = Some(Instant::now());
    }

    async fn fetch(&self) {
        match self.http.get(self.url.clone()).await {
            // Whatever else says 200, such as the page of a proxy, says nothing of the keys.
            Ok((200, body)) if body.get("keys").is_none_or(|keys| !keys.is_array()) => {
                slog::warn!(self.log, "the accounts server's keys cannot be fetched"; "url" => &self.url,
                    "reason" => "the answer is no list of keys");
            }
            Ok((200, body)) => {
                let keys = usable(&body);
                if keys.is_empty() {
                    slog::warn!(self.log, "the accounts server publishes no usable key; access tokens are verified by \
                        asking it about each"; "url" => &self.url);
                }
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            Ok((status, _)) => {
                slog::warn!(self.log, "the accounts server's keys cannot be fetched"; "url" => &self.url, "status" => status);
            }
            Err(error) => {
                slog::warn!(self.log, "the accounts server's keys cannot be fetched"; "reason" => error.to_string());
            }
        }
    }
}

/// How many keys of a JWKS can be used.
pub(crate) fn usable_keys(jwks: &Value) -> usize {
    usable(jwks).len()
}

/// The usable keys of a JWKS; other entries are skipped.
fn usable(jwks: &Value) -> Vec<VerifyingKey> {
    let entries = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(usable_entry).collect()
}

/// The key of an entry; `None` where it is no RSA key for RS256.
fn usable_entry(entry: &Value) -> Option<VerifyingKey> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let is_rs256 = text("kty") == Some("RSA") && text("alg").is_none_or(|alg| alg == "RS256");
    if is_rs256 { VerifyingKey::new(text("kid"), text("n")?, text("e")?) } else { None }
}

impl Keys {
    /// The keys that may have signed a token with this `kid`. `None`: no key is known at all.
    pub(super) async fn candidates(&self, kid: Option<&str>) -> Option<Vec<VerifyingKey>> {
        let fits = |key: &VerifyingKey| kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid;
        let keys = match self {
            Self::Configured(keys) => keys.clone(),
            Self::Fetched(jwks) => jwks.keys(|known| known.iter().any(fits)).await,
        };
        (!keys.is_empty()).then(|| keys.into_iter().filter(fits).collect())
    }
}
