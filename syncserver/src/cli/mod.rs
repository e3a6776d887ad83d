//! The command line. Each command has a module of its own, with its arguments and what it does.

mod healthcheck;
mod migrate;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use syncstorage_db_common::Clock;

use crate::settings::{self, Settings, SettingsError};
use crate::signals::StopSignals;
use crate::{backend, logging, server};

/// A Firefox Sync server to run yourself.
///
/// Without a command it serves. Everything has a default that works: with no settings at all it listens on
/// http://127.0.0.1:8000 and keeps its data in one SQLite file. Settings come from a file (--config) and from
/// the environment, where they begin with SYNC_; `syncserver settings` prints all of them.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 when all is well, 1 when something is wrong, 2 for a wrong command line."
)]
struct Arguments {
    /// The settings file, in TOML. What the environment says counts more.
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM, or Ctrl-C). The default.
    Serve,
    /// Ask the server that runs with these settings whether it and its database are well; for containers.
    Healthcheck,
    /// Check the settings and say what is wrong with them, without touching anything.
    CheckConfig,
    /// Bring the tables of the databases up to date, as serving does at its start, and print what was done.
    Migrate(migrate::Arguments),
    /// Print every setting with its description and default, as a settings file to start from.
    Settings,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve);
    let result = match command {
        Command::Settings => output::print(settings::reference()),
        command => match settings::load(arguments.config.as_deref(), std::env::vars_os()) {
            Ok(settings) => run(command, settings),
            Err(error) => Err(wrong_settings(&error)),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syncserver: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that needs the settings. An error is a sentence for the operator.
fn run(command: Command, settings: Settings) -> Result<(), String> {
    let system = actix_web::rt::System::new();
    match command {
        Command::Serve => system.block_on(serve(settings)),
        Command::Healthcheck => healthcheck::run(&settings),
        Command::CheckConfig | Command::Settings => check_config(&settings),
        Command::Migrate(arguments) => system.block_on(migrate::run(&settings, arguments)),
    }
}

fn wrong_settings(error: &SettingsError) -> String {
    format!("{error}\n\nRun `syncserver settings` for all settings and what they mean.")
}

async fn serve(settings: Settings) -> Result<(), String> {
    let log = logging::logger(&settings);
    // First of all: to be told to stop while it starts must not kill the process in the middle of something.
    let signals = StopSignals::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let running = server::start(settings, log, Clock::system()).await.map_err(|error| error.to_string())?;
    actix_web::rt::spawn(signals.obey(running.handle()));
    running.serve().await.map_err(|error| error.to_string())
}

fn check_config(settings: &Settings) -> Result<(), String> {
    for warning in &settings.warnings {
        eprintln!("warning: {warning}");
    }
    backend::check(settings).map_err(|error| error.to_string())?;
    output::print(&format!("The settings are good. The server's URL is {}.\n", settings.public_url))
}
