//! The command line.

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::str::FromStr;
use testdb::{Engine, UnknownEngine};

/// Starts throw-away Postgres and MariaDB servers, for tests, benchmarks and people.
///
/// A server listens on 127.0.0.1, on a port that was free, keeps its data in a temporary folder, and is gone with all
/// its data when this program ends. No server of the system is touched. Where a server's programs are missing, root (or
/// who may use sudo without a password) gets them installed on Debian and its like.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  testdb run postgres,mysql -- cargo test -p syncstorage-postgres -p syncstorage-mysql
  testdb run postgres -- sh -c 'psql \"$TEST_POSTGRES_URL\"'
  testdb run --database sync mysql -- sh -c 'SYNC_SYNCSTORAGE__DATABASE_URL=$TEST_MYSQL_URL syncserver'
  testdb start mysql --port 3307")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start servers, run a command with their URLs, and take them away again
    ///
    /// The command finds the URLs in TEST_POSTGRES_URL and TEST_MYSQL_URL. A server that such a variable names already is
    /// taken as it is, and none of that kind is started. The exit status is the command's.
    Run {
        /// The backends, separated by commas: sqlite (which needs no server), postgres, mysql (or mariadb)
        backends: Backends,
        /// Have commits on the disk before they are answered, as in earnest; for benchmarks
        #[arg(long)]
        durable: bool,
        /// Make an empty database of this name on each server that is started, and name it in the URLs, in place of the
        /// one that every server has
        #[arg(long, value_name = "NAME", value_parser = plain_name)]
        database: Option<String>,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Start one server with an empty database, print its URL, and keep it until Ctrl-C
    Start {
        /// The backend: postgres, mysql (or mariadb)
        backend: Engine,
        /// The name of the database
        #[arg(long, value_name = "NAME", value_parser = plain_name, default_value = "sync")]
        database: String,
        /// The port on 127.0.0.1, in place of one that is free
        #[arg(long)]
        port: Option<u16>,
        /// Have commits on the disk before they are answered, as in earnest
        #[arg(long)]
        durable: bool,
    },
    /// Install the programs of these backends' servers where they are missing, and do nothing else
    Install {
        /// The backends, separated by commas
        backends: Backends,
    },
}

/// The servers that a list of backends needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backends(pub(crate) Vec<Engine>);

impl FromStr for Backends {
    type Err = UnknownEngine;

    fn from_str(list: &str) -> Result<Self, UnknownEngine> {
        let mut engines = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "sqlite") {
            let engine = name.parse()?;
            if !engines.contains(&engine) {
                engines.push(engine);
            }
        }
        Ok(Self(engines))
    }
}

/// A name that needs no quotes on any server.
fn plain_name(name: &str) -> Result<String, &'static str> {
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'));
    if is_plain { Ok(name.to_owned()) } else { Err("a name is of the letters a to z, digits and _") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sqlite_needs_no_server_and_mariadb_is_mysql() {
        for (list, wanted) in [
            ("sqlite", vec![]),
            ("", vec![]),
            ("sqlite,postgres, mysql", vec![Engine::Postgres, Engine::Mysql]),
            ("mariadb,mysql", vec![Engine::Mysql]),
        ] {
            assert_eq!(list.parse(), Ok(Backends(wanted)), "{list}");
        }
        assert!("oracle".parse::<Backends>().is_err());
    }
}
