//! The kinds of database servers.

use std::fmt;
use std::str::FromStr;

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Postgres, 12 or later.
    Postgres,
    /// MariaDB, 10.6 or later. What `mariadb` means too.
    Mysql,
}

impl Engine {
    /// The variable of the environment with the URL of the server that tests use.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "TEST_POSTGRES_URL",
            Self::Mysql => "TEST_MYSQL_URL",
        }
    }

    /// The scheme of its URLs.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    /// The database that every server has.
    pub(crate) const fn first_database(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "Postgres",
            Self::Mysql => "MariaDB",
        })
    }
}

/// A name of no engine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a database server that this program can start; it knows postgres and mysql (which is mariadb)")]
pub struct UnknownEngine(String);

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        match name {
            "postgres" | "postgresql" => Ok(Self::Postgres),
            "mysql" | "mariadb" => Ok(Self::Mysql),
            _ => Err(UnknownEngine(name.to_owned())),
        }
    }
}
