//! Signed JSON Web Tokens, as the accounts server makes them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Map, Value, json};

/// The OAuth scope that opens Sync.
pub const SYNC_SCOPE: &str = "https://identity.mozilla.com/apps/oldsync";

/// An RSA key that signs tokens in tests.
#[derive(Debug)]
pub struct Key {
    /// The id by which a JWKS lists it.
    pub kid: String,
    pair: RsaKeyPair,
}

impl Key {
    /// The key that the mock accounts server publishes.
    pub fn first() -> Key {
        Key::read("test-key-1", include_bytes!("../keys/TEST_ONLY_rsa_1.pk8.der"))
    }

    /// Another one, which nobody publishes unless told to.
    pub fn second() -> Key {
        Key::read("test-key-2", include_bytes!("../keys/TEST_ONLY_rsa_2.pk8.der"))
    }

    fn read(kid: &str, pkcs8: &[u8]) -> Key {
        Key { kid: kid.to_owned(), pair: RsaKeyPair::from_pkcs8(pkcs8).unwrap() }
    }

    /// The same key under another id.
    pub fn with_kid(mut self, kid: &str) -> Key {
        kid.clone_into(&mut self.kid);
        self
    }

    /// The modulus, in base64.
    pub fn n(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public().n)
    }

    /// The exponent, in base64.
    pub fn e(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public().e)
    }

    /// The public key as an entry of a JWKS.
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "fxa-createdAt": 1_700_000_000,
            "n": self.n(), "e": self.e(),
        })
    }

    fn public(&self) -> PublicKeyComponents<Vec<u8>> {
        PublicKeyComponents::from(self.pair.public())
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature).unwrap();
        signature
    }
}

/// A token to be signed.
#[derive(Clone, Debug, Default)]
pub struct Jwt {
    headers: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Jwt {
    /// An empty token; `alg` and `kid` are set when it is signed, unless they are set here.
    pub fn new() -> Jwt {
        Jwt::default()
    }

    /// An access token for Sync that is good for an hour.
    pub fn access(fxa_uid: &str, generation: u64) -> Jwt {
        let now = crate::now().as_secs();
        Jwt::new()
            .header("typ", "at+jwt")
            .claim("iss", "https://accounts.example.com")
            .claim("aud", "5882386c6d801776")
            .claim("client_id", "5882386c6d801776")
            .claim("sub", fxa_uid)
            .claim("scope", SYNC_SCOPE)
            .claim("iat", now)
            .claim("exp", now + 3600)
            .claim("fxa-generation", generation)
    }

    /// A security event about a user, such as `https://schemas.accounts.firefox.com/event/delete-user` with `{}`.
    pub fn security_event(issuer: &str, audience: &str, fxa_uid: &str, event: &str, details: &Value) -> Jwt {
        Jwt::new()
            .header("typ", "secevent+jwt")
            .claim("iss", issuer)
            .claim("aud", audience)
            .claim("sub", fxa_uid)
            .claim("iat", crate::now().as_secs())
            .claim("jti", crate::token::random_hex(8))
            .claim("events", json!({ event: details }))
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a header, `alg` and `kid` included; null leaves it out.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    /// The token, signed (with RS256, whatever `alg` says).
    pub fn sign(&self, key: &Key) -> String {
        let mut headers = self.headers.clone();
        headers.entry("alg").or_insert_with(|| "RS256".into());
        headers.entry("kid").or_insert_with(|| key.kid.clone().into());
        headers.retain(|_, value| !value.is_null());
        let encode = |part| URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap());
        let data = format!("{}.{}", encode(&headers), encode(&self.claims));
        format!("{data}.{}", URL_SAFE_NO_PAD.encode(key.sign(data.as_bytes())))
    }

    /// The token with a signature that is not right.
    pub fn sign_wrongly(&self, key: &Key) -> String {
        let good = self.sign(key);
        let (data, signature) = good.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[0] ^= 1;
        format!("{data}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// Whether the public half, as published, accepts the token; and the token's two parts.
    fn open(token: &str, jwk: &Value) -> (bool, Value, Value) {
        let (data, signature) = token.rsplit_once('.').unwrap();
        let (head, claims) = data.split_once('.').unwrap();
        let (n, e) = (decode(jwk["n"].as_str().unwrap()), decode(jwk["e"].as_str().unwrap()));
        let public = RsaPublicKeyComponents { n, e };
        let good = public.verify(&RSA_PKCS1_2048_8192_SHA256, data.as_bytes(), &decode(signature)).is_ok();
        let json = |part| serde_json::from_slice(&decode(part)).unwrap();
        (good, json(head), json(claims))
    }

    #[test]
    fn tokens_verify_with_the_published_key_and_with_no_other() {
        let (first, second) = (Key::first(), Key::second());
        let jwt = Jwt::access("user", 7);
        let (good, head, claims) = open(&jwt.sign(&first), &first.jwk());
        assert!(good);
        assert_eq!(head, json!({"alg": "RS256", "typ": "at+jwt", "kid": "test-key-1"}));
        assert_eq!((&claims["sub"], &claims["fxa-generation"]), (&json!("user"), &json!(7)));
        assert!(!open(&jwt.sign(&first), &second.jwk()).0);
        assert!(!open(&jwt.sign_wrongly(&first), &first.jwk()).0);
        assert_eq!(first.e(), "AQAB");
    }

    #[test]
    fn headers_and_claims_can_be_anything() {
        let key = Key::second().with_kid("other");
        let jwt = Jwt::access("user", 7).header("typ", "JWT").header("alg", Value::Null).without_claim("exp");
        let (good, head, claims) = open(&jwt.sign(&key), &key.jwk());
        assert!(good);
        assert_eq!(head, json!({"typ": "JWT", "kid": "other"}));
        assert!(claims.get("exp").is_none());
        let event = Jwt::security_event("iss", "aud", "user", "delete", &json!({}));
        assert_eq!(open(&event.sign(&key), &key.jwk()).2["events"], json!({"delete": {}}));
    }
}
