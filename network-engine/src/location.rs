//! Where a database is: its URL, taken apart.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Postgres.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
}

impl Kind {
    /// Of the scheme of a URL.
    #[must_use]
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::Mysql),
            _ => None,
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql => 3306,
        }
    }
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Not at all.
    Disable,
    /// By TLS where the server has it. Keeps out nobody who can change what is sent.
    Prefer,
    /// By TLS; whoever answers is believed to be the server.
    Require,
    /// By TLS with a certificate that is signed by one of the roots, for whatever name.
    VerifyCa,
    /// By TLS with a certificate for this host.
    VerifyFull,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host and its port.
    Tcp(String, u16),
    /// A Unix socket: on Postgres the folder that it is in and the port in its name, on MySQL the socket itself.
    Socket(PathBuf, u16),
}

/// A database on a server, and how to get in.
///
/// `postgres://user:password@host:port/database` or `mysql://…`; what is special in a URL is percent-encoded in the user,
/// the password and the database. Parameters: on Postgres `sslmode`, `sslrootcert` and `host` (the folder of a Unix
/// socket) as libpq has them; on MySQL `ssl-mode` and `ssl-ca` as its clients have them, and `socket`.
///
/// `Display` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    kind: Kind,
    pub(crate) address: Address,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) tls: TlsMode,
    /// A file of root certificates in PEM, in the place of Mozilla's.
    pub(crate) roots: Option<PathBuf>,
}

/// A URL that is none of a database; a sentence for the operator that holds nothing of the URL's password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a database URL such as postgres://user:password@host:5432/database or \
     mysql://user:password@host:3306/database, with special characters percent-encoded (@ as %40, / as %2F); {0}"
)]
pub struct InvalidLocation(String);

impl Location {
    /// The kind of server.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The file of root certificates that the server's one is checked with, where the URL names one.
    #[must_use]
    pub fn root_certificates(&self) -> Option<&Path> {
        self.roots.as_deref()
    }

    fn parameter(&mut self, tls: &mut TlsWords, name: &str, value: &str) -> Result<(), InvalidLocation> {
        match (self.kind, name) {
            (Kind::Postgres, "sslmode") | (Kind::Mysql, "ssl-mode" | "ssl_mode" | "sslmode") => {
                let mode = tls_mode(value).ok_or_else(|| {
                    let known = match self.kind {
                        Kind::Postgres => "disable, prefer, require, verify-ca or verify-full",
                        Kind::Mysql => "DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY",
                    };
                    InvalidLocation(format!("found {name}={value}, which is none of {known}"))
                })?;
                tls.mode = Some(mode);
            }
            (Kind::Postgres, "sslrootcert") | (Kind::Mysql, "ssl-ca" | "ssl_ca" | "sslca") => {
                tls.roots = Some(value.to_owned());
            }
            (Kind::Postgres, "host") if value.starts_with('/') => {
                self.address = Address::Socket(value.into(), self.port());
            }
            (Kind::Mysql, "socket" | "unix_socket" | "unix-socket") => {
                self.address = Address::Socket(value.into(), self.port());
            }
            // Every connection of this server has it.
            (Kind::Mysql, "charset") => {}
            _ => {
                let known = match self.kind {
                    Kind::Postgres => "sslmode, sslrootcert and host (a folder)",
                    Kind::Mysql => "ssl-mode, ssl-ca and socket",
                };
                return Err(InvalidLocation(format!("found the parameter {name:?}; known are {known}")));
            }
        }
        Ok(())
    }

    /// Takes over what the URL says of TLS. Roots that nobody would look at are refused: who names them believes that the
    /// server is verified.
    fn protect(&mut self, words: TlsWords) -> Result<(), InvalidLocation> {
        if matches!(self.address, Address::Socket(..)) {
            self.tls = TlsMode::Disable;
            return Ok(());
        }
        if let Some(mode) = words.mode {
            self.tls = mode;
        } else if self.kind == Kind::Mysql && words.roots.is_some() {
            // As its own clients have it.
            self.tls = TlsMode::VerifyCa;
        }
        let Some(roots) = words.roots else { return Ok(()) };
        // As libpq has it: the usual ones.
        self.roots = (roots != "system").then(|| roots.into());
        let looked_at = match self.tls {
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
            // As libpq has it, too.
            TlsMode::Require => self.kind == Kind::Postgres && self.roots.is_some(),
            TlsMode::Disable | TlsMode::Prefer => false,
        };
        if looked_at {
            return Ok(());
        }
        let (roots, mode) = match self.kind {
            Kind::Postgres => ("sslrootcert", "sslmode=verify-full"),
            Kind::Mysql => ("ssl-ca", "ssl-mode=VERIFY_IDENTITY"),
        };
        Err(InvalidLocation(format!(
            "found {roots} without a mode that looks at certificates; add {mode}, or leave {roots} out"
        )))
    }

    const fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(_, port) | Address::Socket(_, port) => *port,
        }
    }
}

/// What a URL says of TLS.
#[derive(Default)]
struct TlsWords {
    mode: Option<TlsMode>,
    roots: Option<String>,
}

fn tls_mode(value: &str) -> Option<TlsMode> {
    Some(match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => TlsMode::Disable,
        "allow" | "prefer" | "preferred" => TlsMode::Prefer,
        "require" | "required" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" | "verify-identity" => TlsMode::VerifyFull,
        _ => return None,
    })
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let invalid = |why: &str| InvalidLocation(why.to_owned());
        // A URL with a user and no host, as one writes it for a Unix socket, is none by the standard.
        let text = match text.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let host = if authority.is_empty() || authority.ends_with('@') { "localhost" } else { "" };
                format!("{scheme}://{authority}{host}{path}")
            }
            None => return Err(invalid("found no scheme")),
        };
        let url =
            Url::parse(&text).map_err(|error| InvalidLocation(format!("found that it cannot be read: {error}")))?;
        let kind = Kind::of_scheme(url.scheme()).ok_or_else(|| invalid("found another scheme"))?;
        let decoded = |part: &str| {
            let part = percent_decode_str(part).decode_utf8();
            part.map(Cow::into_owned).map_err(|_| invalid("found bytes that are no UTF-8"))
        };
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() {
            return Err(invalid("found no database in it"));
        }
        if database.contains('/') {
            return Err(invalid("found more than one / after the host"));
        }
        let host = decoded(url.host_str().unwrap_or("localhost"))?;
        let port = url.port().unwrap_or(kind.port());
        let (address, is_here) = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ipv6) => (Address::Tcp(ipv6.to_owned(), port), ipv6 == "::1"),
            None if host.starts_with('/') => (Address::Socket(host.into(), port), true),
            None => {
                let is_here = host == "localhost" || host.starts_with("127.");
                (Address::Tcp(host, port), is_here)
            }
        };
        let default_user = match kind {
            Kind::Postgres => "postgres",
            Kind::Mysql => "root",
        };
        let mut location = Self {
            kind,
            address,
            user: if url.username().is_empty() { default_user.to_owned() } else { decoded(url.username())? },
            password: url.password().map(decoded).transpose()?,
            database,
            // On one machine TLS protects from nobody, and costs.
            tls: if is_here { TlsMode::Disable } else { TlsMode::Prefer },
            roots: None,
        };
        let mut tls = TlsWords::default();
        for (name, value) in url.query_pairs() {
            location.parameter(&mut tls, &name, &value)?;
        }
        location.protect(tls)?;
        Ok(location)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mysql => "mysql",
        };
        write!(f, "{scheme}://{}@", self.user)?;
        match &self.address {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}/{}", self.database),
            Address::Tcp(host, port) => write!(f, "{host}:{port}/{}", self.database),
            Address::Socket(path, _) => write!(f, "/{} ({})", self.database, path.display()),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_is_taken_apart_and_decoded() {
        let location =
            parse("postgres://sync%40home:p%40ss%2F%3Aw%23rd%25@db.example:6432/sync%20db?sslmode=verify-full");
        assert_eq!(location.kind(), Kind::Postgres);
        assert_eq!(location.address, Address::Tcp("db.example".into(), 6432));
        assert_eq!(location.user, "sync@home");
        assert_eq!(location.password.as_deref(), Some("p@ss/:w#rd%"));
        assert_eq!(location.database, "sync db");
        assert_eq!(location.tls, TlsMode::VerifyFull);
    }

    #[test]
    fn what_is_left_out_has_the_usual_value() {
        let location = parse("mysql://root@localhost/sync");
        assert_eq!(location.address, Address::Tcp("localhost".into(), 3306));
        assert_eq!((location.password, location.tls), (None, TlsMode::Disable));
        assert_eq!(parse("postgresql://db/sync").tls, TlsMode::Prefer);
        assert_eq!(parse("postgresql://db/sync").address, Address::Tcp("db".into(), 5432));
        assert_eq!(parse("mariadb://db/sync").kind(), Kind::Mysql);
    }

    #[test]
    fn a_unix_socket_may_be_given_in_each_usual_way() {
        let socket = Address::Socket("/run/postgresql".into(), 5432);
        for url in [
            "postgres://sync:secret@/sync?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/sync",
            "postgres:///sync?host=%2Frun%2Fpostgresql&sslmode=require",
        ] {
            assert_eq!(parse(url).address, socket, "{url}");
            assert_eq!(parse(url).tls, TlsMode::Disable, "{url}");
        }
        let socket = Address::Socket("/run/mysqld/mysqld.sock".into(), 3306);
        assert_eq!(parse("mysql://sync:secret@localhost/sync?socket=/run/mysqld/mysqld.sock").address, socket);
        assert_eq!(parse("mysql://sync@/sync?unix_socket=%2Frun%2Fmysqld%2Fmysqld.sock").address, socket);
    }

    #[test]
    fn tls_may_be_asked_for_in_the_words_of_either_client() {
        for (parameter, mode) in [
            ("sslmode=disable", TlsMode::Disable),
            ("sslmode=prefer", TlsMode::Prefer),
            ("sslmode=require", TlsMode::Require),
            ("sslmode=verify-ca", TlsMode::VerifyCa),
        ] {
            assert_eq!(parse(&format!("postgres://db/sync?{parameter}")).tls, mode);
        }
        for (parameter, mode) in [
            ("ssl-mode=DISABLED", TlsMode::Disable),
            ("ssl_mode=PREFERRED", TlsMode::Prefer),
            ("ssl-mode=REQUIRED", TlsMode::Require),
            ("ssl-mode=VERIFY_CA", TlsMode::VerifyCa),
            ("ssl-mode=verify_identity", TlsMode::VerifyFull),
        ] {
            assert_eq!(parse(&format!("mysql://db/sync?{parameter}")).tls, mode);
        }
        let location = parse("mysql://db/sync?ssl-mode=VERIFY_CA&ssl-ca=/etc/ca.pem");
        assert_eq!(location.roots, Some("/etc/ca.pem".into()));
        assert_eq!(parse("postgres://db/sync?sslrootcert=system&sslmode=verify-full").roots, None);
    }

    #[test]
    fn roots_are_looked_at_or_refused() {
        for (url, mode) in [
            ("mysql://db/sync?ssl-ca=/ca.pem", TlsMode::VerifyCa),
            ("mysql://127.0.0.1/sync?ssl-ca=/ca.pem", TlsMode::VerifyCa),
            ("mysql://db/sync?ssl-ca=/ca.pem&ssl-mode=VERIFY_IDENTITY", TlsMode::VerifyFull),
            ("postgres://db/sync?sslrootcert=/ca.pem&sslmode=require", TlsMode::Require),
            ("postgres://db/sync?sslmode=verify-ca&sslrootcert=/ca.pem", TlsMode::VerifyCa),
        ] {
            assert_eq!((parse(url).tls, parse(url).roots), (mode, Some("/ca.pem".into())), "{url}");
        }
        for (url, told) in [
            ("mysql://db/sync?ssl-ca=/ca.pem&ssl-mode=DISABLED", "add ssl-mode=VERIFY_IDENTITY"),
            ("mysql://db/sync?ssl-ca=/ca.pem&ssl-mode=PREFERRED", "add ssl-mode=VERIFY_IDENTITY"),
            ("mysql://db/sync?ssl-mode=REQUIRED&ssl-ca=/ca.pem", "add ssl-mode=VERIFY_IDENTITY"),
            ("postgres://db/sync?sslrootcert=/ca.pem", "add sslmode=verify-full"),
            ("postgres://localhost/sync?sslrootcert=/ca.pem", "add sslmode=verify-full"),
            ("postgres://db/sync?sslrootcert=/ca.pem&sslmode=prefer", "add sslmode=verify-full"),
            ("postgres://db/sync?sslrootcert=system&sslmode=require", "add sslmode=verify-full"),
        ] {
            let error = url.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(told), "{url}: {error}");
        }
        // Whatever is said of TLS, there is none on a socket.
        assert_eq!(parse("mysql://sync@/sync?socket=/run/m.sock&ssl-ca=/ca.pem").tls, TlsMode::Disable);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, told) in [
            ("sync.db", "no scheme"),
            ("postgres://u:hush@host", "no database"),
            ("postgres://u:hush@host/", "no database"),
            ("postgres://u:hush@host/a/b", "more than one /"),
            ("postgres://u:hush@host:port/db", "cannot be read"),
            ("postgres://u:hush@host/db?sslmode=maybe", "sslmode=maybe"),
            ("mysql://u:hush@host/db?tls=yes", "\"tls\""),
            ("oracle://u:hush@host/db", "another scheme"),
        ] {
            let error = url.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_location_shows_no_password() {
        let location = parse("postgres://sync:hush@[::1]:5433/sync");
        assert_eq!(location.to_string(), "postgres://sync@[::1]:5433/sync");
        assert_eq!(format!("{location:?}"), "postgres://sync@[::1]:5433/sync");
        let location = parse("mysql://sync:hush@/sync?socket=/run/m.sock");
        assert_eq!(location.to_string(), "mysql://sync@/sync (/run/m.sock)");
    }
}
