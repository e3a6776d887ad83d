//! Hawk: who is asking.
//!
//! A request proves that it comes from the holder of a storage token by a MAC over its method, its target, and the
//! host and port that the client believes it talks to. Where these differ from what the server believes, as behind a
//! proxy that rewrites them, every request is refused. That is the most common failure of a self-hosted server, so the
//! log says what the client signed and which setting to change; the client is told nothing.

use std::str::FromStr;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName};
use actix_web::{HttpMessage, HttpRequest};
use hawk::{Header, Key, PayloadHasher, RequestBuilder, SHA256};
use syncstorage_db_common::UserId;

use super::error::ApiError;
use crate::state::AppState;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Longer timestamps than this, in digits, are no seconds of any clock.
const MAX_TIMESTAMP_DIGITS: usize = 15;

/// Which host and port the clients sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedHost {
    /// Those of a `public_url` that the operator set.
    Fixed {
        /// Lower-case; an IPv6 address in brackets.
        host: String,
        /// Also where the URL names none.
        port: u16,
    },
    /// Those of the `Host` header.
    OfRequest,
}

/// Why a request is refused as not signed by the holder of a good token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HawkRefusal {
    /// There is no Authorization.
    Missing,
    /// It is not of the form that Hawk has.
    Malformed,
    /// Its id is no token of this server's secret.
    Token,
    /// The token has expired.
    Expired,
    /// The client signed another host or port.
    Host,
    /// The client signed another path.
    Path,
    /// It signed something else, or with another key.
    Mac,
    /// The token is another user's.
    User,
    /// The body is not the one that was signed.
    Payload,
}

impl HawkRefusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Malformed,
        Self::Token,
        Self::Expired,
        Self::Host,
        Self::Path,
        Self::Mac,
        Self::User,
        Self::Payload,
    ];

    /// For metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Token => "token",
            Self::Expired => "expired",
            Self::Host => "host",
            Self::Path => "path",
            Self::Mac => "mac",
            Self::User => "user",
            Self::Payload => "payload",
        }
    }
}

/// The payload hash that a request announced, to be compared when its body is there.
#[derive(Clone)]
struct AnnouncedHash(Vec<u8>);

/// Verifies a request, before its body is read. `allow_expired`: whether an expired token will do.
pub fn authenticate(request: &HttpRequest, state: &AppState, allow_expired: bool) -> Result<UserId, ApiError> {
    let refuse = ApiError::unauthorized::<&str>;
    let value = request.headers().get(AUTHORIZATION);
    let value = value.ok_or_else(|| refuse(HawkRefusal::Missing, "there is no Authorization header"))?;
    let header = parse(value.to_str().unwrap_or_default()).ok_or_else(|| {
        let why = "the Authorization header is not of the form Hawk id=\"…\", ts=\"…\", nonce=\"…\", mac=\"…\"";
        refuse(HawkRefusal::Malformed, why)
    })?;
    let token_id = header.id.as_deref();
    let token_id = token_id.ok_or_else(|| refuse(HawkRefusal::Malformed, "the Hawk header has no id"))?;
    let token = state
        .token_keys
        .verify(token_id)
        .map_err(|error| ApiError::unauthorized(HawkRefusal::Token, format!("the Hawk id is not accepted: {error}")))?;

    let now = state.clock.now_ms() as f64 / 1000.0;
    // NaN is expired, too.
    let expired = !matches!(token.payload.expires.partial_cmp(&now), Some(std::cmp::Ordering::Greater));
    if expired && !allow_expired {
        return Err(ApiError::ExpiredToken);
    }

    let key = Key::new(token.key.as_bytes(), SHA256).map_err(|error| ApiError::Internal(error.to_string()))?;
    let signed = Signed { request, header: &header, key: &key };
    let expected = expected_hosts(request, &state.signed_host);
    let fits = |target: &str| expected.iter().any(|(host, port)| signed.matches(host, *port, target));
    if !fits(signed.target()) && !bare(signed.target()).is_some_and(|target| fits(&target)) {
        let (reason, why) = signed.explain(&expected, state);
        return Err(ApiError::unauthorized(reason, why));
    }

    let user = token.payload.user();
    let path_user = request.match_info().get("uid").and_then(|uid| uid.parse().ok());
    match (user, path_user) {
        (Some(user), Some(path_user)) if user == path_user => {}
        _ => return Err(refuse(HawkRefusal::User, "the token is not for the user of this path")),
    }
    if let Some(hash) = header.hash {
        request.extensions_mut().insert(AnnouncedHash(hash));
        if !matches!(*request.method(), Method::PUT | Method::POST) {
            verify_payload(request, b"")?;
        }
    }
    path_user.ok_or_else(ApiError::no_such_path)
}

/// Compares the body with the hash that the request announced, if it did.
pub fn verify_payload(request: &HttpRequest, body: &[u8]) -> Result<(), ApiError> {
    let Some(AnnouncedHash(announced)) = request.extensions().get::<AnnouncedHash>().cloned() else { return Ok(()) };
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match PayloadHasher::hash(content_type, SHA256, body) {
        Ok(hash) if hash == announced => Ok(()),
        _ => Err(ApiError::unauthorized(HawkRefusal::Payload, "the Hawk payload hash is not that of the body")),
    }
}

fn parse(value: &str) -> Option<Header> {
    let (scheme, attributes) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("hawk") || !has_sane_timestamp(attributes) {
        return None;
    }
    Header::from_str(attributes.trim_start()).ok()
}

/// The `hawk` crate adds `ts` to the epoch, and panics where that is out of range.
fn has_sane_timestamp(attributes: &str) -> bool {
    attributes.match_indices("ts").all(|(at, name)| {
        let rest = attributes[at + name.len()..].trim_start();
        let Some(value) = rest.strip_prefix('=').map(str::trim_start).and_then(|rest| rest.strip_prefix('"')) else {
            return true;
        };
        value.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'+').count() <= MAX_TIMESTAMP_DIGITS
    })
}

/// The hosts and ports that this server takes for its own. More than one only for an IPv6 address, which some clients
/// sign in brackets and some without.
fn expected_hosts(request: &HttpRequest, signed_host: &SignedHost) -> Vec<(String, u16)> {
    let (host, port) = match signed_host {
        SignedHost::Fixed { host, port } => (host.clone(), *port),
        SignedHost::OfRequest => {
            let Some((host, port)) = text(request.headers(), &HOST).and_then(split_host) else { return Vec::new() };
            (host, port.unwrap_or_else(|| default_port(request)))
        }
    };
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(ToOwned::to_owned) {
        Some(bare) => vec![(host, port), (bare, port)],
        None => vec![(host, port)],
    }
}

/// The port of a URL without one. A proxy that speaks TLS says so; else it is for the connection to tell.
fn default_port(request: &HttpRequest) -> u16 {
    match text(request.headers(), &X_FORWARDED_PROTO).map(|proto| proto.split(',').next().unwrap_or_default().trim()) {
        Some(proto) if proto.eq_ignore_ascii_case("https") => 443,
        None if request.app_config().secure() => 443,
        _ => 80,
    }
}

/// The target as it was before a proxy encoded some characters in its path; `None` where there are no such. Proxies in Go
/// (Caddy, Traefik) do that to what a URL should not hold bare, and clients may have sent, and signed, it bare. Both are
/// names of the same record.
fn bare(target: &str) -> Option<String> {
    const ENCODED: [(&str, &str); 6] =
        [("%7B", "{"), ("%7D", "}"), ("%22", "\""), ("%5C", "\\"), ("%5E", "^"), ("%7C", "|")];
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    if !ENCODED.iter().any(|(encoded, _)| path.contains(encoded)) {
        return None;
    }
    let path = ENCODED.iter().fold(path.to_owned(), |path, (encoded, bare)| path.replace(encoded, bare));
    Some(path + query)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A host in lower case, and its port, if it has one.
fn split_host(value: &str) -> Option<(String, Option<u16>)> {
    let value = value.trim();
    let colon = value.rfind(':').filter(|colon| value.rfind(']').is_none_or(|bracket| bracket < *colon));
    let (host, port) = match colon {
        Some(colon) => (&value[..colon], Some(value[colon + 1..].parse().ok()?)),
        None => (value, None),
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

/// A request with what its client claims to have signed.
struct Signed<'a> {
    request: &'a HttpRequest,
    header: &'a Header,
    key: &'a Key,
}

impl Signed<'_> {
    /// Path and query, exactly as they came.
    fn target(&self) -> &str {
        self.request.uri().path_and_query().map_or("/", |target| target.as_str())
    }

    fn matches(&self, host: &str, port: u16, target: &str) -> bool {
        RequestBuilder::new(self.request.method().as_str(), host, port, target)
            .request()
            // Clients' clocks are wrong by hours, and the token has an expiry of its own.
            .validate_header(self.header, self.key, Duration::MAX)
    }

    /// Tries what the client may have signed instead.
    fn explain(&self, expected: &[(String, u16)], state: &AppState) -> (HawkRefusal, String) {
        let headers = self.request.headers();
        let public = &state.public_url;
        let mut hosts = vec![(public.host.clone(), Some(public.port))];
        for name in [HOST, X_FORWARDED_HOST] {
            hosts.extend(text(headers, &name).and_then(|value| value.split(',').next()).and_then(split_host));
        }
        let forwarded_port = text(headers, &X_FORWARDED_PORT).and_then(|port| port.parse().ok());
        let own_port = self.request.app_config().local_addr().port();
        let mut targets = vec![self.target().to_owned()];
        if !public.path.is_empty() {
            targets.push(format!("{}{}", public.path, self.target()));
            targets.extend(self.target().strip_prefix(public.path.as_str()).map(ToOwned::to_owned));
        }
        let expects = expected.first().map_or_else(
            || "no host, since the request has no valid Host header".to_owned(),
            |(host, port)| format!("{host}:{port}"),
        );
        for (host, port) in &hosts {
            let ports = [*port, forwarded_port, Some(443), Some(80), Some(own_port), Some(public.port)];
            for port in ports.into_iter().flatten() {
                for (index, target) in targets.iter().enumerate() {
                    if !self.matches(host, port, target) {
                        continue;
                    }
                    if index > 0 {
                        let arrived = self.target();
                        let why = format!(
                            "the client signed the path {target:?}, but {arrived:?} arrived: the proxy must not change \
                             the path"
                        );
                        return (HawkRefusal::Path, why);
                    }
                    let why = format!(
                        "the client signed {host}:{port}, but this server expects {expects}: set public_url \
                         (SYNC_PUBLIC_URL) to the URL that clients use, or have the proxy pass on the Host header and \
                         X-Forwarded-Proto as they came"
                    );
                    return (HawkRefusal::Host, why);
                }
            }
        }
        let why = format!(
            "the Hawk MAC does not fit: this server expects {expects} to be signed, and no other host or port that it \
             knows of fits either; does a proxy change the host, the path or the query, or is the token's key wrong?"
        );
        (HawkRefusal::Mac, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reasons_have_their_places() {
        for (index, reason) in HawkRefusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn a_host_header_is_split_at_its_port() {
        for (value, host, port) in [
            ("sync.example.com", "sync.example.com", None),
            ("Sync.Example.COM:8000", "sync.example.com", Some(8000)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[::1]:8000", "[::1]", Some(8000)),
        ] {
            assert_eq!(split_host(value), Some((host.to_owned(), port)), "{value}");
        }
        for bad in ["", ":80", "host:", "host:x", "host:99999"] {
            assert_eq!(split_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_path_is_made_bare_again() {
        assert_eq!(bare("/a/%7Bb%7D%22%5C%5E%7C%2F?c=%7B").unwrap(), "/a/{b}\"\\^|%2F?c=%7B");
        for plain in ["/a/b?c=%7B", "/a%20b", "/{a}", "/%7b"] {
            assert_eq!(bare(plain), None, "{plain}");
        }
    }

    #[test]
    fn the_scheme_is_any_case_and_a_wild_timestamp_is_refused() {
        assert!(parse(r#"Hawk id="a", ts="1353832234", nonce="n", mac="bWFj""#).is_some());
        assert!(parse(r#"hAWK id="a",ts="1", nonce="ts=\"", mac="bWFj""#).is_none());
        for ts in ["18446744073709551615", "9223372036854775808", "+99999999999999999"] {
            assert!(parse(&format!(r#"Hawk id="a", ts="{ts}", nonce="n", mac="bWFj""#)).is_none(), "{ts}");
            assert!(parse(&format!(r#"Hawk id="a"ts = "{ts}""#)).is_none(), "{ts}");
        }
        assert!(parse("Basic YTpi").is_none());
        assert!(parse("Hawk").is_none());
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(value in "(?i:hawk )?(\\PC*|((id|ts|nonce|mac|hash|ext)[ ]*=[ ]*\"[0-9A-Za-z+/=]{0,24}\"[, ]*){0,6})") {
            let _ = parse(&value);
        }
    }
}
