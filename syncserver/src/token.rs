//! Storage tokens: made by the tokenserver, verified by the storage API, with one secret and no database between.
//!
//! A token id is the URL-safe base64 of a JSON payload and its signature. The Hawk key of a token is derived from the
//! secret, the payload's salt and the token id, so that nothing has to be kept of a token that was given out.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use syncstorage_db_common::UserId;

use crate::hex::hex;

const SIGNING_INFO: &[u8] = b"services.mozilla.com/tokenlib/v1/signing";
const DERIVE_INFO: &[u8] = b"services.mozilla.com/tokenlib/v1/derive/";
const KEY_BYTES: usize = 32;

/// What a token says. Only `uid`, `node`, `expires` and `salt` are in every token; others may be there besides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenPayload {
    /// The storage user.
    pub uid: i64,
    /// The URL of the storage node, without a trailing slash.
    pub node: String,
    /// Seconds since the epoch.
    pub expires: f64,
    /// Random hex.
    pub salt: String,
    /// The Mozilla account.
    #[serde(default)]
    pub fxa_uid: String,
    /// The key of the account that the data is encrypted with, by time and hash.
    #[serde(default)]
    pub fxa_kid: String,
    /// The account, in a form that is safe to log.
    #[serde(default)]
    pub hashed_fxa_uid: String,
    /// The device, in a form that is safe to log.
    #[serde(default)]
    pub hashed_device_id: String,
    /// Which kind of tokenserver made it.
    #[serde(default)]
    pub tokenserver_origin: String,
}

/// A token as its client gets it. It has no `Debug`: its key must not get into a log.
pub struct MintedToken {
    /// The Hawk id.
    pub id: String,
    /// The Hawk key, as text.
    pub key: String,
}

/// A token id that was verified.
pub struct VerifiedToken {
    /// What it says.
    pub payload: TokenPayload,
    /// The text of its Hawk key.
    pub key: String,
}

/// Why a token id is refused. For the log alone: a client is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not base64, or too short, or no such payload.
    #[error("it is not a storage token")]
    Malformed,
    /// Signed with another secret.
    #[error(
        "it is signed with another master secret: was the secret changed, or does another tokenserver give out the \
         tokens? (settings: master_secret, previous_master_secrets)"
    )]
    Signature,
}

/// The keys of the master secret.
pub struct TokenKeys {
    current: SecretKeys,
    previous: Vec<SecretKeys>,
    random: SystemRandom,
}

struct SecretKeys {
    secret: Vec<u8>,
    signing: hmac::Key,
}

impl SecretKeys {
    fn new(secret: &str) -> Self {
        let secret = secret.as_bytes().to_vec();
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &hkdf(&secret, &[], &[SIGNING_INFO]));
        Self { secret, signing }
    }

    fn hawk_key(&self, salt: &str, token_id: &str) -> String {
        URL_SAFE.encode(hkdf(&self.secret, salt.as_bytes(), &[DERIVE_INFO, token_id.as_bytes()]))
    }
}

/// The length of every key here.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn hkdf(secret: &[u8], salt: &[u8], info: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let filled =
        Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, KeyLength).and_then(|okm| okm.fill(&mut key));
    // It can only fail for a length over 255 hashes.
    debug_assert!(filled.is_ok());
    key
}

impl TokenKeys {
    /// Of the master secret, which signs, and of earlier ones, which only verify.
    #[must_use]
    pub fn new(secret: &str, previous: &[impl AsRef<str>]) -> Self {
        Self {
            current: SecretKeys::new(secret),
            previous: previous.iter().map(|secret| SecretKeys::new(secret.as_ref())).collect(),
            random: SystemRandom::new(),
        }
    }

    /// Makes a token of `payload`, whose salt is filled in. `None` when the system has no random numbers.
    #[must_use]
    pub fn mint(&self, mut payload: TokenPayload) -> Option<MintedToken> {
        let mut salt = [0; 3];
        self.random.fill(&mut salt).ok()?;
        payload.salt = hex(&salt);
        let mut bytes = serde_json::to_vec(&payload).ok()?;
        let signature = hmac::sign(&self.current.signing, &bytes);
        bytes.extend_from_slice(signature.as_ref());
        let id = URL_SAFE.encode(bytes);
        let key = self.current.hawk_key(&payload.salt, &id);
        Some(MintedToken { id, key })
    }

    /// Checks a token id's signature, and nothing else: whether it has expired is for the caller to judge.
    pub fn verify(&self, token_id: &str) -> Result<VerifiedToken, InvalidToken> {
        let bytes = URL_SAFE
            .decode(token_id)
            .or_else(|_| URL_SAFE_NO_PAD.decode(token_id))
            .map_err(|_| InvalidToken::Malformed)?;
        let (payload, signature) =
            bytes.len().checked_sub(KEY_BYTES).map(|at| bytes.split_at(at)).ok_or(InvalidToken::Malformed)?;
        let keys = std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|keys| hmac::verify(&keys.signing, payload, signature).is_ok())
            .ok_or(InvalidToken::Signature)?;
        let payload: TokenPayload = serde_json::from_slice(payload).map_err(|_| InvalidToken::Malformed)?;
        let key = keys.hawk_key(&payload.salt, token_id);
        Ok(VerifiedToken { payload, key })
    }
}

impl TokenPayload {
    /// The storage user, if it is one.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        UserId::try_from(self.uid).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> TokenPayload {
        TokenPayload {
            uid: 12,
            node: "https://sync.example.com".into(),
            expires: 1_700_000_000.5,
            ..Default::default()
        }
    }

    #[test]
    fn a_minted_token_verifies_and_has_the_same_key() {
        let keys = TokenKeys::new("secret", &[] as &[&str]);
        let minted = keys.mint(payload()).unwrap();
        let verified = keys.verify(&minted.id).unwrap();
        assert_eq!(verified.key, minted.key);
        assert_eq!(verified.payload.uid, 12);
        assert_eq!(verified.payload.salt.len(), 6);
        // The Hawk key is text: 32 bytes in padded base64.
        assert_eq!(minted.key.len(), 44);
        assert!(minted.key.ends_with('='));
    }

    #[test]
    fn a_previous_secret_verifies_but_does_not_sign() {
        let old = TokenKeys::new("old", &[] as &[&str]).mint(payload()).unwrap();
        let rotated = TokenKeys::new("new", &["older", "old"]);
        assert_eq!(rotated.verify(&old.id).unwrap().key, old.key);
        let new = rotated.mint(payload()).unwrap();
        assert!(TokenKeys::new("new", &[] as &[&str]).verify(&new.id).is_ok());
        assert_eq!(TokenKeys::new("old", &[] as &[&str]).verify(&new.id).err(), Some(InvalidToken::Signature));
    }

    #[test]
    fn what_was_tampered_with_is_refused() {
        let keys = TokenKeys::new("secret", &[] as &[&str]);
        let id = keys.mint(payload()).unwrap().id;
        let mut bytes = URL_SAFE.decode(&id).unwrap();
        bytes[8] ^= 1;
        assert_eq!(keys.verify(&URL_SAFE.encode(&bytes)).err(), Some(InvalidToken::Signature));
        for malformed in ["", "!!", "AAAA", &id[..20]] {
            assert_eq!(keys.verify(malformed).err(), Some(InvalidToken::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_payload_needs_only_the_four_certain_members() {
        let text = r#"{"uid": 12345, "node": "https://host", "expires": 1700000000, "salt": "a1b2c3", "extra": [1]}"#;
        let payload: TokenPayload = serde_json::from_str(text).unwrap();
        assert_eq!((payload.uid, payload.expires, payload.fxa_uid.as_str()), (12345, 1_700_000_000.0, ""));
    }
}
