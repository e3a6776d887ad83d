//! URLs of servers: scheme, host, port and a path prefix, nothing more.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Deref;
use std::str::FromStr;

/// The longest URL that a storage node may have, in bytes: the length of the column.
pub const LONGEST_NODE: usize = 64;

/// The scheme of a [`BaseUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where a URL names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The URL under which a server has its paths. `Display` writes it without a trailing slash, and without the port
/// where the scheme implies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name or address, in lower case; an IPv6 address in brackets.
    pub host: String,
    /// Its port, named or implied.
    pub port: u16,
    /// The path that all of its paths begin with: empty, or with a leading and without a trailing slash.
    pub path: String,
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// What is wrong with a text that is no [`BaseUrl`], as the end of a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// No scheme, or another one.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// A user name, and perhaps a password.
    #[error("must not hold a user name or password")]
    User,
    /// A query or a fragment.
    #[error("must not have a query (?…) or a fragment (#…)")]
    Query,
    /// No host, or none that can be one.
    #[error("must name a host: a name in ASCII, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// A port that is none.
    #[error("must have a port from 1 to 65535, or none")]
    Port,
    /// A path with anything but plain segments.
    #[error("must have a path of letters, digits and `-._~` between single slashes, or none")]
    Path,
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(s: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = s.split_once("://").ok_or(InvalidUrl::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(InvalidUrl::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(InvalidUrl::Query);
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return Err(InvalidUrl::User);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0).ok_or(InvalidUrl::Port)?
            }
            Some(_) => return Err(InvalidUrl::Port),
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, path: prefix(path)? })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), InvalidUrl> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(InvalidUrl::Host)?;
        address.parse::<Ipv6Addr>().map_err(|_| InvalidUrl::Host)?;
        let host = &authority[..address.len() + 2];
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(InvalidUrl::Host),
        };
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    if is_host_name(host) { Ok((host, port)) } else { Err(InvalidUrl::Host) }
}

/// Whether the text can be a host name or an IPv4 address.
pub(super) fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn prefix(path: &str) -> Result<String, InvalidUrl> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(segments) = path.strip_prefix('/') else { return Ok(String::new()) };
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    if segments.split('/').all(is_plain) { Ok(path.to_owned()) } else { Err(InvalidUrl::Path) }
}

/// Where clients reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// The URL.
    pub url: BaseUrl,
    /// Whether the operator set `public_url`: then its host and port are what clients sign, whatever the headers say.
    pub explicit: bool,
}

impl PublicUrl {
    /// The URL of a server that nothing more is known of than where it listens. One that listens everywhere is
    /// reached on this machine.
    #[must_use]
    pub fn of_listener(host: &str, port: u16) -> Self {
        let host = match host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => "127.0.0.1".to_owned(),
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Ok(IpAddr::V4(_)) | Err(_) => host.to_ascii_lowercase(),
        };
        Self { url: BaseUrl { scheme: Scheme::Http, host, port, path: String::new() }, explicit: false }
    }

    /// The same with another scheme.
    #[must_use]
    pub fn over(mut self, scheme: Scheme) -> Self {
        self.url.scheme = scheme;
        self
    }
}

impl Deref for PublicUrl {
    type Target = BaseUrl;

    fn deref(&self) -> &BaseUrl {
        &self.url
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_written_in_its_short_form() {
        for (text, host, port, path, written) in [
            ("https://sync.example.com", "sync.example.com", 443, "", "https://sync.example.com"),
            ("https://sync.example.com/", "sync.example.com", 443, "", "https://sync.example.com"),
            ("HTTPS://Sync.Example.com:443/", "sync.example.com", 443, "", "https://sync.example.com"),
            ("http://host:443", "host", 443, "", "http://host:443"),
            ("http://10.0.0.1:8000/sync/", "10.0.0.1", 8000, "/sync", "http://10.0.0.1:8000/sync"),
            ("https://[::1]:8000/a/b.c", "[::1]", 8000, "/a/b.c", "https://[::1]:8000/a/b.c"),
            ("http://[2001:DB8::1]", "[2001:db8::1]", 80, "", "http://[2001:db8::1]"),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!(url.to_string(), written);
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_base_is_refused() {
        for (text, error) in [
            ("", InvalidUrl::Scheme),
            ("sync.example.com", InvalidUrl::Scheme),
            ("ftp://host", InvalidUrl::Scheme),
            ("http://", InvalidUrl::Host),
            ("http:///path", InvalidUrl::Host),
            ("http://bücher.example", InvalidUrl::Host),
            ("http://::1/", InvalidUrl::Host),
            ("http://[::1", InvalidUrl::Host),
            ("http://[::1]x", InvalidUrl::Host),
            ("http://[host]", InvalidUrl::Host),
            ("http://user:password@host/", InvalidUrl::User),
            ("http://host:", InvalidUrl::Port),
            ("http://host:0", InvalidUrl::Port),
            ("http://host:65536", InvalidUrl::Port),
            ("http://host:+80", InvalidUrl::Port),
            ("http://host/?", InvalidUrl::Query),
            ("http://host#top", InvalidUrl::Query),
            ("http://host//", InvalidUrl::Path),
            ("http://host/a/../b", InvalidUrl::Path),
            ("http://host/a b", InvalidUrl::Path),
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_this_machine() {
        for (host, url) in [
            ("0.0.0.0", "http://127.0.0.1:8000"),
            ("::", "http://127.0.0.1:8000"),
            ("::1", "http://[::1]:8000"),
            ("Localhost", "http://localhost:8000"),
        ] {
            assert_eq!(PublicUrl::of_listener(host, 8000).to_string(), url);
        }
    }
}
