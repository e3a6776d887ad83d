//! Storage tokens: what a tokenserver hands out, and the storage server takes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use serde_json::{Map, Value, json};

const SIGNING_INFO: &str = "services.mozilla.com/tokenlib/v1/signing";
const DERIVE_INFO: &str = "services.mozilla.com/tokenlib/v1/derive/";
const SIGNATURE_LEN: usize = 32;

/// A storage token with its Hawk key.
#[derive(Clone)]
pub struct Token {
    /// The token id, which is also the Hawk id.
    pub id: String,
    /// The Hawk key, as the text that it is used as.
    pub key: String,
    /// The user that the token was asked for (the token itself may say otherwise, if a test wants that).
    pub uid: u64,
    hmac_key: hmac::Key,
}

impl Token {
    /// A good token with all the fields that a tokenserver sets. `expires` is in seconds since the epoch.
    pub fn mint(master_secret: &str, uid: u64, expires: u64, node: &str) -> Token {
        Token::builder(master_secret, uid).expires(expires).node(node).build()
    }

    /// A token of one's own making: by default as [`Token::mint`] makes it, good for an hour.
    pub fn builder(master_secret: &str, uid: u64) -> TokenBuilder {
        TokenBuilder::new(master_secret, uid)
    }

    /// What a tokenserver answered.
    pub fn from_parts(id: &str, key: &str, uid: u64) -> Token {
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        Token { id: id.to_owned(), key: key.to_owned(), uid, hmac_key }
    }

    /// The Hawk key, ready to sign with.
    pub fn hmac_key(&self) -> &hmac::Key {
        &self.hmac_key
    }

    /// A path of this user: `token.path("/info/collections")`.
    pub fn path(&self, rest: &str) -> String {
        format!("/1.5/{}{rest}", self.uid)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("uid", &self.uid).finish_non_exhaustive()
    }
}

/// Makes a [`Token`], broken in any way that a test asks for.
#[derive(Clone)]
pub struct TokenBuilder {
    master_secret: String,
    signing_secret: String,
    uid: u64,
    payload: Map<String, Value>,
    flip_signature: bool,
}

impl TokenBuilder {
    /// A token for `uid`, good for an hour, with every field set.
    pub fn new(master_secret: &str, uid: u64) -> TokenBuilder {
        let Value::Object(payload) = json!({
            "uid": uid,
            "node": "http://localhost",
            "expires": crate::now().as_secs() + 3600,
            "salt": random_hex(3),
            "fxa_uid": format!("{uid:032x}"),
            "fxa_kid": "0000001700000-AAECAwQFBgcICQoLDA0ODw",
            "hashed_fxa_uid": format!("{:032x}", uid ^ 0x5555_5555),
            "hashed_device_id": format!("{:032x}", uid ^ 0x3333_3333),
            "tokenserver_origin": "rust",
        }) else {
            unreachable!("the literal above is an object");
        };
        let secret = master_secret.to_owned();
        TokenBuilder { signing_secret: secret.clone(), master_secret: secret, uid, payload, flip_signature: false }
    }

    /// When it ends, in seconds since the epoch.
    pub fn expires(self, at: u64) -> Self {
        self.field("expires", at)
    }

    /// When it ends, as the fraction that older tokenservers wrote.
    pub fn expires_float(self, at: f64) -> Self {
        self.field("expires", at)
    }

    /// Ended a minute ago.
    pub fn expired(self) -> Self {
        let at = crate::now().as_secs() - 60;
        self.expires(at)
    }

    /// The node, such as `https://host`.
    pub fn node(self, node: &str) -> Self {
        self.field("node", node)
    }

    /// The salt of the Hawk key's derivation (else a random one).
    pub fn salt(self, salt: &str) -> Self {
        self.field("salt", salt)
    }

    /// A uid inside the token that is not the one of the paths.
    pub fn claimed_uid(self, uid: u64) -> Self {
        self.field("uid", uid)
    }

    /// Sets any field of the payload.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.payload.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a field out.
    pub fn without(mut self, name: &str) -> Self {
        self.payload.remove(name);
        self
    }

    /// Only the four fields that are certain to be there: uid, node, expires and salt.
    pub fn minimal(mut self) -> Self {
        self.payload.retain(|name, _| matches!(name.as_str(), "uid" | "node" | "expires" | "salt"));
        self
    }

    /// One bit of the signature is wrong.
    pub fn wrong_signature(mut self) -> Self {
        self.flip_signature = true;
        self
    }

    /// Signed with another master secret, while the Hawk key is derived from the right one.
    pub fn signed_with(mut self, other_secret: &str) -> Self {
        other_secret.clone_into(&mut self.signing_secret);
        self
    }

    /// The token.
    pub fn build(self) -> Token {
        let mut bytes = serde_json::to_vec(&self.payload).unwrap();
        let signature = sign(&self.signing_secret, &bytes);
        bytes.extend_from_slice(&signature);
        if self.flip_signature {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let id = URL_SAFE.encode(&bytes);
        let salt = self.payload.get("salt").and_then(Value::as_str).unwrap_or_default();
        let key = hawk_key(&self.master_secret, salt, &id);
        Token::from_parts(&id, &key, self.uid)
    }
}

/// The Hawk key that belongs to a token id.
pub fn hawk_key(master_secret: &str, salt: &str, token_id: &str) -> String {
    let info = [DERIVE_INFO.as_bytes(), token_id.as_bytes()].concat();
    URL_SAFE.encode(hkdf_sha256(master_secret.as_bytes(), salt.as_bytes(), &info, 32))
}

/// The payload of a token id, if its signature is good: to look into what a tokenserver made.
pub fn open_token_id(master_secret: &str, token_id: &str) -> Option<Value> {
    let bytes = URL_SAFE.decode(token_id).ok()?;
    let (payload, signature) = bytes.split_at(bytes.len().checked_sub(SIGNATURE_LEN)?);
    if sign(master_secret, payload) != signature {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

fn sign(master_secret: &str, payload: &[u8]) -> Vec<u8> {
    let key = hkdf_sha256(master_secret.as_bytes(), b"", SIGNING_INFO.as_bytes(), 32);
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), payload).as_ref().to_vec()
}

/// HKDF with SHA-256 (RFC 5869), extract and expand.
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8], len: usize) -> Vec<u8> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = vec![0; len];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    prk.expand(&[info], Len(len)).unwrap().fill(&mut out).unwrap();
    out
}

pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).unwrap();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn hkdf_gives_the_published_results() {
        // RFC 5869, A.1 to A.3.
        let okm = hkdf_sha256(&[0x0b; 22], &hex("000102030405060708090a0b0c"), &hex("f0f1f2f3f4f5f6f7f8f9"), 42);
        let want = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(okm, hex(want));
        let range = |from: u8, to: u8| (from..=to).collect::<Vec<_>>();
        let okm = hkdf_sha256(&range(0x00, 0x4f), &range(0x60, 0xaf), &range(0xb0, 0xff), 82);
        let want = "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
                    da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87";
        assert_eq!(okm, hex(want));
        let okm = hkdf_sha256(&[0x0b; 22], b"", b"", 42);
        let want = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(okm, hex(want));
    }

    #[test]
    fn a_token_opens_with_its_secret_and_with_no_other() {
        let token = Token::mint("secret", 42, 1_700_000_000, "https://host");
        let payload = open_token_id("secret", &token.id).unwrap();
        assert_eq!(payload["uid"], 42);
        assert_eq!(payload["expires"], 1_700_000_000);
        assert_eq!(payload["node"], "https://host");
        let salt = payload["salt"].as_str().unwrap();
        assert_eq!(hawk_key("secret", salt, &token.id), token.key);
        assert_eq!(token.key.len(), 44);
        assert!(open_token_id("other", &token.id).is_none());
        assert!(open_token_id("secret", "AAAA").is_none());
    }

    #[test]
    fn broken_tokens_are_broken_in_the_way_asked_for() {
        let builder = Token::builder("secret", 42);
        assert!(open_token_id("secret", &builder.clone().wrong_signature().build().id).is_none());
        let other = builder.clone().signed_with("other").build();
        assert!(open_token_id("secret", &other.id).is_none() && open_token_id("other", &other.id).is_some());
        let minimal = open_token_id("secret", &builder.clone().minimal().build().id).unwrap();
        let mut names: Vec<_> = minimal.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["expires", "node", "salt", "uid"]);
        let odd = builder.expires_float(1.5).claimed_uid(43).build();
        let payload = open_token_id("secret", &odd.id).unwrap();
        assert_eq!((payload["expires"].as_f64(), payload["uid"].as_u64(), odd.uid), (Some(1.5), Some(43), 42));
    }
}
