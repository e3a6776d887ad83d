//! Where a database is: the `database_url` of the settings.

use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// A place for a SQLite database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqliteLocation {
    /// A file; made where it is not there.
    File(PathBuf),
    /// A database of this process alone that goes with it, for tests. It lives in a temporary file, since several
    /// connections share it.
    Temporary,
}

/// A `database_url` that names no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sqlite:///absolute/path, sqlite://relative/path, sqlite://:memory: or a path, found {0:?}")]
pub struct InvalidLocation(String);

impl FromStr for SqliteLocation {
    type Err = InvalidLocation;

    /// Takes `sqlite:///absolute/path`, `sqlite://relative/path`, `sqlite://:memory:`, or a plain path. In a URL the
    /// path is percent-decoded.
    fn from_str(s: &str) -> Result<Self, InvalidLocation> {
        let invalid = || InvalidLocation(s.to_owned());
        let path = match s.strip_prefix("sqlite:") {
            Some(rest) => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                percent_decode_str(rest).decode_utf8().map_err(|_| invalid())?.into_owned()
            }
            None if s.contains("://") => return Err(invalid()),
            None => s.to_owned(),
        };
        match path.as_str() {
            "" => Err(invalid()),
            ":memory:" => Ok(Self::Temporary),
            path if path.ends_with('/') || path.contains('\0') => Err(invalid()),
            path => Ok(Self::File(path.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_name_files() {
        for (url, path) in [
            ("sqlite:///var/lib/syncserver/sync.db", "/var/lib/syncserver/sync.db"),
            ("sqlite://data/sync.db", "data/sync.db"),
            ("sqlite:data/sync.db", "data/sync.db"),
            ("sqlite:///with%20space.db", "/with space.db"),
            ("/var/lib/sync.db", "/var/lib/sync.db"),
            ("sync%20.db", "sync%20.db"),
        ] {
            assert_eq!(url.parse(), Ok(SqliteLocation::File(path.into())), "{url}");
        }
        assert_eq!("sqlite://:memory:".parse(), Ok(SqliteLocation::Temporary));
        assert_eq!(":memory:".parse(), Ok(SqliteLocation::Temporary));
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for url in ["", "sqlite://", "postgres://host/db", "sqlite:///var/lib/", "sqlite://%FF"] {
            assert!(url.parse::<SqliteLocation>().is_err(), "{url}");
        }
    }
}
