//! The command line.

use crate::Result;
use crate::scenario::Scenario;
use clap::{ArgGroup, Parser};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;

/// Loads a Firefox Sync server and reports what it did and what that cost.
///
/// Exits with 1 when any request was answered otherwise than with 2xx.
#[derive(Debug, Parser)]
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

    /// The spawned server's database, in place of SQLite in the temporary folder
    #[arg(long, value_name = "URL", requires = "spawn")]
    pub(crate) database_url: Option<String>,

    /// Where the temporary folder is made: pick a disk like the one that will be used
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

    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

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
}
