//! Access tokens of Mozilla accounts: whose they are, and whether they are for Sync.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use slog::Logger;
use tokio::sync::Semaphore;

use super::crypto;
use super::error::ApiTokenError;
use super::http::HttpClient;
use super::jwks::{Jwks, Keys, REFRESH_INTERVAL, VerifyingKey};
use crate::settings::Jwk;

/// What an access token must be good for.
const SCOPE: &str = "https://identity.mozilla.com/apps/oldsync";

/// How many tokens the accounts server is asked about at once: more would be a flood, on its side and on this one.
const MAX_QUESTIONS: usize = 16;

/// A longer access token, in bytes, is none: those of the accounts server have about 1000.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// The account.
    pub(super) fxa_uid: String,
    /// How often the account's sessions have been ended, as a time in ms.
    pub(super) generation: Option<i64>,
}

/// Verifies access tokens: by the accounts server's keys, and where there are none by asking it.
pub struct AccessTokens {
    keys: Keys,
    http: HttpClient,
    verify_url: String,
    questions: Arc<Semaphore>,
}

/// What was found in a token that may be a JWT.
pub(super) enum Decoded<T> {
    /// The claims of one that was verified.
    Claims(T),
    /// It is no JWT.
    NoJwt,
    /// It is one, and no key at all is known to verify it with.
    NoKey,
}

#[derive(Clone, Deserialize)]
struct JwtClaims {
    sub: String,
    #[serde(default)]
    scope: String,
    #[serde(default, rename = "fxa-generation")]
    generation: Option<i64>,
}

#[derive(Deserialize)]
struct VerifyAnswer {
    user: String,
    #[serde(default)]
    scope: Vec<String>,
    #[serde(default)]
    generation: Option<i64>,
}

impl AccessTokens {
    /// `server_url`: of the accounts server, without `/v1` and a trailing slash. `configured`: keys to use instead of those
    /// that it publishes. `timeout`: for each request to it.
    #[must_use]
    pub fn new(server_url: &str, configured: &[Jwk], timeout: Duration, log: &Logger) -> Self {
        crypto::install();
        let http = HttpClient::new(timeout);
        let configured: Vec<_> =
            configured.iter().filter_map(|jwk| VerifyingKey::new(Some(&jwk.kid), &jwk.n, &jwk.e)).collect();
        let keys = if configured.is_empty() {
            Keys::Fetched(Arc::new(Jwks::new(format!("{server_url}/v1/jwks"), http.clone(), log.clone())))
        } else {
            Keys::Configured(configured)
        };
        let questions = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Self { keys, http, verify_url: format!("{server_url}/v1/verify"), questions }
    }

    /// Keeps the keys fresh, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        let Keys::Fetched(jwks) = &self.keys else { return };
        loop {
            jwks.refresh().await;
            tokio::time::sleep(REFRESH_INTERVAL).await;
        }
    }

    /// How old the accounts server's keys are; `None` where they are not fetched, or have not been so far.
    #[must_use]
    pub fn keys_age(&self) -> Option<Duration> {
        match &self.keys {
            Keys::Configured(_) => None,
            Keys::Fetched(jwks) => jwks.age(),
        }
    }

    /// Whose token it is.
    pub(super) async fn verify(&self, token: &str) -> Result<Claims, ApiTokenError> {
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            let why = format!("the access token has {} bytes, expected 1 to {MAX_TOKEN_BYTES}", token.len());
            return Err(ApiTokenError::invalid_credentials(why));
        }
        match self.decode::<JwtClaims>(token, is_access_token_type, validation()).await? {
            Decoded::Claims(claims) => {
                let has_scope = claims.scope.split([' ', ',']).any(|scope| scope == SCOPE);
                accept(claims.sub, has_scope, claims.generation)
            }
            Decoded::NoJwt | Decoded::NoKey => self.ask(token).await,
        }
    }

    /// The claims of a JWT. No error has any text of the token in it.
    pub(super) async fn decode<T: DeserializeOwned + Clone>(
        &self,
        token: &str,
        is_type: impl Fn(Option<&str>) -> bool,
        validation: Validation,
    ) -> Result<Decoded<T>, ApiTokenError> {
        if !is_jwt(token) {
            return Ok(Decoded::NoJwt);
        }
        let header = decode_header(token).map_err(|error| refusal(&error))?;
        if header.alg != Algorithm::RS256 {
            return Err(not_accepted("its alg is not RS256"));
        }
        if !is_type(header.typ.as_deref()) {
            return Err(not_accepted("its typ is not the one expected here"));
        }
        let Some(keys) = self.keys.candidates(header.kid.as_deref()).await else { return Ok(Decoded::NoKey) };
        let mut refused = not_accepted("no known key has the kid that it names");
        for key in keys {
            match decode::<T>(token, &key.key, &validation) {
                Ok(data) => return Ok(Decoded::Claims(data.claims)),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => refused = refusal(&error),
                // It was this key that signed; what another one would say means nothing.
                Err(error) => return Err(refusal(&error)),
            }
        }
        Err(refused)
    }

    async fn ask(&self, token: &str) -> Result<Claims, ApiTokenError> {
        let question = Arc::clone(&self.questions).try_acquire_owned().map_err(|_| {
            let why = format!("the accounts server is being asked about {MAX_QUESTIONS} tokens already");
            ApiTokenError::unavailable(why)
        })?;
        let (status, body) = self
            .http
            .post(self.verify_url.clone(), json!({ "token": token }), question)
            .await
            .map_err(|error| ApiTokenError::unavailable(error.to_string()))?;
        if !(200..300).contains(&status) {
            let why = format!("the accounts server does not accept the token, it answers {status}");
            return Err(ApiTokenError::invalid_credentials(why));
        }
        let answer: VerifyAnswer = serde_json::from_value(body).map_err(|_| {
            let why = "the accounts server's answer about a token does not have user, scope and generation as expected";
            ApiTokenError::unavailable(why)
        })?;
        let has_scope = answer.scope.iter().any(|scope| scope == SCOPE);
        accept(answer.user, has_scope, answer.generation)
    }
}

fn not_accepted(why: &str) -> ApiTokenError {
    ApiTokenError::invalid_credentials(format!("the token is not accepted: {why}"))
}

/// What is wrong with a JWT, in words that hold nothing of it: the error's own ones may quote it.
fn refusal(error: &JwtError) -> ApiTokenError {
    let why = match error.kind() {
        ErrorKind::ExpiredSignature => return ApiTokenError::expired_token(),
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidIssuer => "its iss is not the one expected",
        ErrorKind::InvalidAudience => "its aud is not the one expected",
        // One of those that this program asks for.
        ErrorKind::MissingRequiredClaim(claim) => return not_accepted(&format!("its {claim} is missing")),
        ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => {
            "its header or its claims are not of the expected form"
        }
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "it is malformed",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "its alg is not RS256"
        }
        _ => "it cannot be verified",
    };
    not_accepted(why)
}

fn accept(fxa_uid: String, has_scope: bool, generation: Option<i64>) -> Result<Claims, ApiTokenError> {
    if !has_scope {
        return Err(ApiTokenError::invalid_credentials(format!("the token's scope does not hold {SCOPE}")));
    }
    if fxa_uid.is_empty() {
        return Err(ApiTokenError::invalid_credentials("the token names no account"));
    }
    Ok(Claims { fxa_uid, generation })
}

/// The audience of an access token is any of Mozilla's clients.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_aud = false;
    validation.leeway = 0;
    validation.set_required_spec_claims(&["exp", "sub"]);
    validation
}

pub(super) fn is_access_token_type(typ: Option<&str>) -> bool {
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == "at+jwt"
}

/// Whether a token is a JWT at all: three parts, the first of them a JSON object.
fn is_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let header = parts.next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    parts.count() == 2 && serde_json::from_slice::<Map<String, Value>>(&header).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_told_from_an_opaque_token() {
        assert!(is_jwt("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"));
        for other in [
            "",
            "0123456789abcdef",
            "a.b.c",
            "eyJhbGciOiJSUzI1NiJ9.e30",
            "bnVsbA.e30.c2ln",
            "..",
            "eyJhbGciOiJSUzI1NiJ9.e30.c2ln.x",
        ] {
            assert!(!is_jwt(other), "{other}");
        }
    }

    #[tokio::test]
    async fn an_empty_token_is_refused_without_asking() {
        let log = Logger::root(slog::Discard, slog::o!());
        let tokens = AccessTokens::new("http://127.0.0.1:9", &[], Duration::from_secs(1), &log);
        assert!(tokens.verify("").await.unwrap_err().to_string().contains("0 bytes"));
        let asked = tokens.verify("opaque").await.unwrap_err().to_string();
        assert!(asked.contains("http://127.0.0.1:9/v1/verify"), "{asked}");
    }

    #[test]
    fn the_type_of_an_access_token_is_known_with_and_without_its_prefix() {
        assert!(is_access_token_type(Some("at+jwt")) && is_access_token_type(Some("application/at+JWT")));
        assert!(!is_access_token_type(None) && !is_access_token_type(Some("JWT")));
    }
}
