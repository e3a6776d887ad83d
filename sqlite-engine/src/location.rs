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

/// A `database_url` that names no file. What it says is the beginning alone: a misspelt URL of another database may hold
/// a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected sqlite:///absolute/path, sqlite:relative/path, sqlite://:memory: or a path (where a relative one has a \
     colon or an @ in it, with ./ before it), found one that begins with {0:?}"
)]
pub struct InvalidLocation(String);

impl FromStr for SqliteLocation {
    type Err = InvalidLocation;

    /// Takes `sqlite:///absolute/path`, `sqlite:relative/path`, `sqlite://:memory:`, or a plain path. In a URL the path is
    /// percent-decoded. What stands between two slashes and the third is no path but a host, which there is none of.
    fn from_str(s: &str) -> Result<Self, InvalidLocation> {
        let invalid = || InvalidLocation(beginning(s).to_owned());
        let path = match s.strip_prefix("sqlite:") {
            Some(rest) => {
                let path = rest.strip_prefix("//");
                if path.is_some_and(|path| !path.starts_with('/') && path != ":memory:") {
                    return Err(invalid());
                }
                percent_decode_str(path.unwrap_or(rest)).decode_utf8().map_err(|_| invalid())?.into_owned()
            }
            None if s != ":memory:" && !s.starts_with(['/', '.']) && s.contains([':', '@']) => return Err(invalid()),
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

/// What can be shown of a text that is perhaps a URL with a password.
fn beginning(text: &str) -> &str {
    if text.starts_with("sqlite:") {
        return text;
    }
    let end = text.find([':', '@']).map_or(text.len(), |end| end + 1);
    let slashes = text.find("//").unwrap_or(end);
    &text[..end.min(slashes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_name_files() {
        for (url, path) in [
            ("sqlite:///var/lib/syncserver/sync.db", "/var/lib/syncserver/sync.db"),
            ("sqlite:////var/lib/sync.db", "//var/lib/sync.db"),
            ("./a:b@c.db", "./a:b@c.db"),
            ("data/sync.db", "data/sync.db"),
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
        for url in
            ["", "sqlite://", "postgres://host/db", "sqlite:///var/lib/", "sqlite:///%FF", "sqlite://data/sync.db"]
        {
            assert!(url.parse::<SqliteLocation>().is_err(), "{url}");
        }
    }

    #[test]
    fn a_misspelt_url_of_a_server_is_no_file_and_its_password_is_not_shown() {
        for url in [
            "postgres:/me:secret@h/db",
            "postgres//me:secret@h/db",
            "postgres:me:secret@h",
            "me:secret@h/db",
            "me@h/secret",
        ] {
            let error = url.parse::<SqliteLocation>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
