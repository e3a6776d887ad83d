//! What tells one request from another, in the log of this server and of the proxy in front of it.

use std::cell::Cell;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::settings::TrustedProxies;

/// In the answer, and in a request that a proxy has given an id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a proxy.
const MAX_BYTES: usize = 64;

/// The id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The one that a trusted proxy has given it, or that it was given here before, or a new one.
    #[must_use]
    pub fn of(request: &HttpRequest, trusted: &TrustedProxies) -> Self {
        if let Some(id) = given(request, trusted) {
            return Self(id.clone());
        }
        if let Some(id) = request.extensions().get::<Self>() {
            return id.clone();
        }
        Self::new()
    }

    /// The same, for a line of the log before the end of the request, which gets the same one.
    #[must_use]
    pub fn kept(request: &HttpRequest, trusted: &TrustedProxies) -> Self {
        let id = Self::of(request, trusted);
        request.extensions_mut().insert(id.clone());
        id
    }

    fn new() -> Self {
        let mut digits = [0; 16];
        let number = random();
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * index)) as usize & 15];
        }
        // Sixteen digits are a valid value.
        Self(HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0")))
    }

    /// As a header has it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Whatever may stand in a log, and nothing that could be a line of its own.
fn given<'a>(request: &'a HttpRequest, trusted: &TrustedProxies) -> Option<&'a HeaderValue> {
    let id = request.headers().get(X_REQUEST_ID)?;
    let is_sane = |id: &[u8]| {
        (1..=MAX_BYTES).contains(&id.len())
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let peer = request.peer_addr()?.ip();
    (trusted.contains(peer) && is_sane(id.as_bytes())).then_some(id)
}

/// A number that does not come twice, by the generator splitmix64: each thread begins somewhere, by chance, and goes on
/// from there. Nobody is harmed by guessing one.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(beginning());
    }
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let number = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn beginning() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers ids are the same after each start, which makes them less useful, and no more.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use actix_web::test::TestRequest;

    fn id(peer: &str, header: &str) -> String {
        let request = TestRequest::default().peer_addr(peer.parse().unwrap());
        let request = request.insert_header((X_REQUEST_ID, header)).to_http_request();
        let trusted = ["127.0.0.1".parse().unwrap()].into_iter().collect();
        RequestId::of(&request, &trusted).as_str().to_owned()
    }

    #[test]
    fn a_trusted_proxys_sane_id_is_taken_and_no_other() {
        assert_eq!(id("127.0.0.1:1", "a-B_c.9"), "a-B_c.9");
        let long = "x".repeat(65);
        for (peer, header) in
            [("192.0.2.1:1", "abc"), ("127.0.0.1:1", ""), ("127.0.0.1:1", "a b"), ("127.0.0.1:1", &long)]
        {
            let made = id(peer, header);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
    }

    #[test]
    fn no_id_comes_twice_and_a_request_keeps_its_own() {
        let made: HashSet<_> = (0..10_000).map(|_| RequestId::new().as_str().to_owned()).collect();
        assert_eq!(made.len(), 10_000);
        let request = TestRequest::default().to_http_request();
        let trusted = TrustedProxies::default();
        assert_eq!(RequestId::kept(&request, &trusted), RequestId::of(&request, &trusted));
    }
}
