//! What tests and benchmarks need to talk to a Sync server, and to play the accounts server for it.
//!
//! - [`Token`] mints storage tokens as a tokenserver would, good ones and broken ones.
//! - [`Connection`], [`Request`] and [`Response`] speak HTTP/1.1 over a plain socket, so that a test decides every
//!   byte that goes out; [`Hawk`] signs requests.
//! - [`Certificate`] is one for tests, and [`Tls`] trusts it: [`Connection::connect_tls`].
//! - [`Jwt`] and [`Key`] make OAuth access tokens and security events.
//! - [`MockFxa`] answers `/v1/jwks` and `/v1/verify`.
//!
//! The server's own crates for Hawk and JSON Web Tokens are not used here: what is written twice, independently, is
//! checked.
#![expect(
    clippy::unwrap_used,
    reason = "test support: what can only fail by a mistake in a test shall stop that test at once"
)]

mod chunked;
mod connection;
mod hawk;
mod jwt;
mod mock_fxa;
mod request;
mod response;
mod tls;
mod token;

pub use chunked::ChunkDecoder;
pub use connection::{BodyReader, Connection};
pub use hawk::{Hawk, HawkOptions, PayloadHash, payload_hash};
pub use jwt::{Jwt, Key, SYNC_SCOPE};
pub use mock_fxa::{MockFxa, Reply};
pub use request::Request;
pub use response::{Headers, Response};
pub use tls::{Certificate, Tls};
pub use token::{Token, TokenBuilder, hawk_key, hkdf_sha256, open_token_id};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since the epoch, by this machine's clock.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
