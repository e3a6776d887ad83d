//! The tokenserver: trades the access token of a Mozilla account for a storage token.

mod access_token;
mod crypto;
mod error;
mod handlers;
mod http;
mod jwks;
mod key_id;
mod notes;
mod webhook;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Serialize;
use syncstorage_db_common::{Clock, UserId};
use tokenserver_db_common::{Account, Node, Policy, SignIn, SignedIn, TokenDb, TokenError};

pub use access_token::AccessTokens;
pub use error::ApiTokenError;
pub use handlers::{has_bearer, method_not_allowed, token};
pub(crate) use jwks::usable_keys;
pub use notes::Notes;
pub use webhook::{Webhook, webhook};

use crate::hex::hex;
use crate::token::{TokenKeys, TokenPayload};
use access_token::Claims;
use key_id::KeyId;

/// All that the tokenserver consists of.
pub struct Tokenserver {
    /// The users and nodes.
    pub db: Arc<dyn TokenDb>,
    /// Who may become a user.
    pub policy: Arc<Policy>,
    /// What is noted for the operator.
    pub notes: Notes,
    /// How access tokens are verified.
    pub access_tokens: Arc<AccessTokens>,
    /// The part of an e-mail behind the `@`.
    pub email_domain: String,
    /// How long a storage token is valid, in seconds; a client may ask for less.
    pub token_duration: u64,
    /// `sqlite`, `mysql`, `postgres` or `spanner`: the kind of the storage, which clients report.
    pub node_type: String,
    /// The key under which accounts and devices are hashed for logs.
    pub metrics_secret: hmac::Key,
    /// `None` when webhooks are off.
    pub webhook: Option<Webhook>,
}

/// A user who was let in: what the client gets, and who it is.
struct LetIn {
    answer: TokenAnswer,
    uid: UserId,
}

/// What a client gets. It has no `Debug`: the key must not get into a log.
#[derive(Serialize)]
pub struct TokenAnswer {
    id: String,
    key: String,
    uid: i64,
    api_endpoint: String,
    duration: u64,
    hashalg: &'static str,
    hashed_fxa_uid: String,
    node_type: String,
}

impl Tokenserver {
    /// The account as the `users` table knows it.
    #[must_use]
    pub fn email(&self, fxa_uid: &str) -> String {
        format!("{fxa_uid}@{}", self.email_domain)
    }

    /// Lets the holder of an access token in, and makes a storage token of `duration` seconds.
    async fn sign_in(
        &self,
        claims: &Claims,
        key_id: &KeyId,
        duration: u64,
        keys: &TokenKeys,
        public_url: &str,
        clock: &Clock,
    ) -> Result<LetIn, ApiTokenError> {
        let email = self.email(&claims.fxa_uid);
        let account = Account::new(email, claims.generation, Some(key_id.keys_changed_at), key_id.client_state_hex())
            .map_err(|error| ApiTokenError::invalid_credentials(error.to_string()))?;
        let now_ms = clock.now_ms();
        let request = SignIn { account, policy: Arc::clone(&self.policy), now_ms };
        let signed_in = self.db.sign_in(&request).await.map_err(|error| {
            if let TokenError::Refused(refusal) = &error {
                self.notes.refusal(request.account.email(), refusal, now_ms);
            }
            ApiTokenError::of_sign_in(error, &claims.fxa_uid)
        })?;

        let node = match &signed_in.node {
            Node::PublicUrl => public_url,
            Node::Url(url) => url,
        };
        let uid = signed_in.uid.get();
        let hashed_fxa_uid = self.hashed(&claims.fxa_uid);
        let payload = TokenPayload {
            uid,
            node: node.to_owned(),
            expires: (now_ms / 1000) as f64 + duration as f64,
            salt: String::new(),
            fxa_uid: claims.fxa_uid.clone(),
            fxa_kid: fxa_kid(&signed_in, key_id),
            hashed_device_id: self.hashed(&format!("{hashed_fxa_uid}none")),
            hashed_fxa_uid: hashed_fxa_uid.clone(),
            tokenserver_origin: "rust".into(),
        };
        let minted = keys.mint(payload).ok_or_else(|| ApiTokenError::internal("the system has no random numbers"))?;
        let answer = TokenAnswer {
            id: minted.id,
            key: minted.key,
            uid,
            api_endpoint: format!("{node}/1.5/{uid}"),
            duration,
            hashalg: "sha256",
            hashed_fxa_uid,
            node_type: self.node_type.clone(),
        };
        Ok(LetIn { answer, uid: signed_in.uid })
    }

    /// A name for something that does not tell what it is: 32 hex digits.
    fn hashed(&self, text: &str) -> String {
        hex(&hmac::sign(&self.metrics_secret, text.as_bytes()).as_ref()[..16])
    }
}

/// Tells which key the data of a token's holder is encrypted with: when it was made, and its hash.
fn fxa_kid(signed_in: &SignedIn, key_id: &KeyId) -> String {
    let changed_at = signed_in.keys_changed_at.unwrap_or(signed_in.generation);
    format!("{changed_at:013}-{}", URL_SAFE_NO_PAD.encode(&key_id.client_state))
}
