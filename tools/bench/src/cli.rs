//! The command line.

use crate::Result;
use crate::backend::Backend;
use crate::scenario::Scenario;
use clap::{ArgGroup, Parser};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;

/// Loads a Firefox Sync server and reports what it did and what that cost.
///
/// With `--backend postgres` or `mysql`, a database server is started for the run, and prepared statements on single rows
/// of it, by as many connections and without a Sync server, are measured first. Each scenario is then compared with
/// them: requests that read with a select by primary key, requests that write with an upsert that is on the disk.
///
/// Exits with 1 when any request was answered otherwise than with 2xx.
#[derive(Debug, Parser)]
#[command(after_long_help = COLUMNS)]
#[command(group(ArgGroup::new("which").required(true).args(["spawn", "server"])))]
pub(crate) struct Cli {
    /// Start this server binary, with a database of its own in a temporary folder, and stop it at the end
    #[arg(long, value_name = "BINARY")]
    pub(crate) spawn: Option<PathBuf>,

    /// Load a server that runs, such as http://127.0.0.1:8000; its data is written to, from --first-uid on
    #[arg(long, value_name = "URL", requires = "master_secret")]
    pub(crate) server: Option<String>,

    /// The master secret of the server (a random one with --spawn)
    #[arg(long, env = "SYNC_MASTER_SECRET", hide_env_values = true)]
    pub(crate) master_secret: Option<String>,

    /// The process of a server that was not spawned, to measure its CPU and memory
    #[arg(long, conflicts_with = "spawn")]
    pub(crate) pid: Option<u32>,

    /// What to run, in this order: `all`, or names separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(crate) scenario: Vec<Scenario>,

    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// Users, spread over the connections
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) users: u32,

    /// Seconds for each scenario
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,

    /// Seconds for each scenario before measuring starts
    #[arg(long, default_value_t = 0.5)]
    pub(crate) warmup: f64,

    /// Threads of the load generator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: u32,

    /// The uid of the first user; the others follow
    #[arg(long, default_value_t = 1)]
    pub(crate) first_uid: u64,

    /// What the spawned server keeps its data in; see --data-parent and TMPDIR for where that is
    #[arg(long, value_enum, default_value = "sqlite", requires = "spawn", conflicts_with_all = ["database_url", "server"])]
    pub(crate) backend: Backend,

    /// The spawned server's database, in place of one that is made for the run
    #[arg(long, value_name = "URL", requires = "spawn", conflicts_with = "server")]
    pub(crate) database_url: Option<String>,

    /// Where the temporary folder is made: pick a disk like the one that will be used. A database server's is always made
    /// in $TMPDIR
    #[arg(long, value_name = "FOLDER", requires = "spawn")]
    pub(crate) data_parent: Option<PathBuf>,

    /// More environment for the spawned server, such as SYNC_ACTIX_KEEP_ALIVE=75 (may be repeated)
    #[arg(long, value_name = "NAME=VALUE", requires = "spawn")]
    pub(crate) env: Vec<String>,

    /// Records of the user of scenario `big`
    #[arg(long, default_value_t = 50_000)]
    pub(crate) big_records: u32,

    /// Payload bytes of each of them
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(200..20_000))]
    pub(crate) big_payload: u32,

    /// How many records are before the later page of scenario `pages`
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(crate) depth: u32,

    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the long help ends with.
const COLUMNS: &str = "Columns of the report:
  server µs   CPU time of the Sync server for each request
  db µs       CPU time of the database server for each request, all its processes together
  client µs   CPU time of the load generator for each request
  rate ×      requests a second, by the bare statements a second (1: as many)
  db ×        CPU time of the database server, by that of the bare statement (1: as much)
  peak MB     the most memory of the Sync server; with a star, of all scenarios so far";

impl Cli {
    /// The scenarios to run, `all` spelled out.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let mut out = Vec::new();
        for scenario in &self.scenario {
            match scenario {
                Scenario::All => out.extend(Scenario::EACH),
                other => out.push(*other),
            }
        }
        out
    }

    /// The master secret given, or a random one.
    pub(crate) fn secret(&self) -> Result<String> {
        if let Some(secret) = &self.master_secret {
            return Ok(secret.clone());
        }
        let mut random = [0_u8; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| "no random numbers to be had")?;
        Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }
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
    fn scenarios_run_in_the_order_given() {
        let cli = Cli::try_parse_from(["bench", "--spawn", "x", "--scenario", "mix,info"]).unwrap();
        assert_eq!(cli.scenarios(), [Scenario::Mix, Scenario::Info]);
        let cli = Cli::try_parse_from(["bench", "--spawn", "x"]).unwrap();
        assert_eq!(cli.scenarios(), Scenario::EACH);
        assert!(Cli::try_parse_from(["bench"]).is_err());
        assert!(Cli::try_parse_from(["bench", "--spawn", "x", "--server", "y"]).is_err());
    }

    #[test]
    fn a_backend_is_for_a_server_that_is_spawned_and_that_has_no_other_database() {
        let parse = |more: &[&str]| Cli::try_parse_from([&["bench"], more].concat()).map(|cli| cli.backend);
        assert_eq!(parse(&["--spawn", "x"]).unwrap(), Backend::Sqlite);
        assert_eq!(parse(&["--spawn", "x", "--backend", "mariadb"]).unwrap(), Backend::Mysql);
        assert!(parse(&["--spawn", "x", "--database-url", "postgres://x"]).is_ok());
        assert!(parse(&["--spawn", "x", "--backend", "postgres", "--database-url", "postgres://x"]).is_err());
        assert!(parse(&["--server", "x", "--master-secret", "y"]).is_ok());
        assert!(parse(&["--server", "x", "--master-secret", "y", "--backend", "postgres"]).is_err());
    }
}
