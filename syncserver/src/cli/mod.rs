//! The command line. Each command has a module of its own, with its arguments and what it does.

mod backup;
mod config;
mod confirm;
mod copying;
mod doctor;
mod format;
mod generate;
mod healthcheck;
mod import;
mod migrate;
mod node;
mod operator;
mod output;
mod purge;
mod restore;
mod user;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use syncstorage_db_common::Clock;

use crate::settings::{self, Settings, SettingsError};
use crate::signals::StopSignals;
use crate::{backend, logging, server, service_manager, tls};

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
    /// Look for what usually goes wrong, and say how to mend it: settings, folders, database, secret, the accounts
    /// server, and the running server as clients reach it through its public URL. Changes nothing. Ends with the URL for
    /// Firefox. Exit status 1 when something is wrong.
    Doctor(doctor::Arguments),
    /// Check the settings and say what is wrong with them, without touching anything.
    CheckConfig,
    /// Bring the tables of the databases up to date, as serving does at its start, and print what was done.
    Migrate(migrate::Arguments),
    /// Remove what nobody needs any more: expired records, abandoned uploads, the storage of replaced users. The server
    /// does it by itself (purge_interval), so this is for those who would rather do it at a time of their own.
    Purge(purge::Arguments),
    /// Look after users: who there is, who may come, and what they have stored. Works while the server runs.
    #[command(subcommand)]
    User(user::Command),
    /// Look after storage nodes, where there are several. Works while the server runs.
    #[command(subcommand)]
    Node(node::Command),
    /// Write all that the server keeps into one file, while it serves: records, users, nodes. The file is good for every
    /// kind of database. The master secret is not in it.
    Backup(backup::Arguments),
    /// Fill the databases from a backup, while no server runs on them.
    Restore(restore::Arguments),
    /// Check that a backup is whole and as it was written.
    Verify(verify::Arguments),
    /// Copy everything from another database: one of another kind, one of syncstorage-rs, or one of the old server in
    /// Python. That one is only read.
    Import(import::Arguments),
    /// Print every setting with its description and default, as a settings file to start from.
    Settings,
    /// What the settings come to.
    #[command(subcommand)]
    Config(config::Command),
    /// Print a new random secret, good for master_secret and for metrics_token.
    GenerateSecret,
    /// Print a script that completes this program's commands and options in a shell.
    Completions(generate::Completions),
    /// Print the manual page of this program, to be read by man.
    Man(generate::Man),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve);
    match run(command, arguments.config.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(format_args!("syncserver: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command. An error is a sentence for the operator.
fn run(command: Command, file: Option<&Path>) -> Result<(), String> {
    let system = actix_web::rt::System::new();
    let load = || settings::load(file, std::env::vars_os());
    let settings = || load().map_err(|error| wrong_settings(&error));
    match command {
        Command::Settings => output::print(settings::reference()),
        Command::Config(command) => config::run(command, file),
        Command::GenerateSecret => generate::secret(),
        Command::Completions(arguments) => generate::completions(arguments),
        Command::Man(arguments) => generate::man(&arguments),
        Command::Serve => system.block_on(serve(settings()?)),
        Command::Healthcheck => healthcheck::run(&settings()?),
        Command::CheckConfig => check_config(&settings()?),
        Command::Backup(arguments) => system.block_on(backup::run(&settings()?, arguments)),
        Command::Restore(arguments) => system.block_on(restore::run(&settings()?, arguments)),
        Command::Verify(arguments) => system.block_on(verify::run(settings, arguments)),
        Command::Import(arguments) => system.block_on(import::run(&settings()?, arguments)),
        Command::Doctor(arguments) => system.block_on(doctor::run(load(), arguments)),
        Command::Purge(arguments) => system.block_on(purge::run(&settings()?, arguments)),
        Command::User(command) => system.block_on(user::run(&settings()?, command)),
        Command::Node(command) => system.block_on(node::run(&settings()?, command)),
        Command::Migrate(arguments) => system.block_on(migrate::run(&settings()?, arguments)),
    }
}

fn wrong_settings(error: &SettingsError) -> String {
    format!("{error}\n\nRun `syncserver settings` for all settings and what they mean.")
}

async fn serve(settings: Settings) -> Result<(), String> {
    let (log, _writing) = logging::logger(&settings);
    // First of all: to be told to stop while it starts must not kill the process in the middle of something.
    let signals = StopSignals::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
    service_manager::status("Opening the databases");
    let running = server::start(settings, log.clone(), Clock::system()).await.map_err(|error| error.to_string())?;
    running.watch_panics();
    service_manager::supervise(&running, &log).map_err(|error| format!("cannot start a thread: {error}"))?;
    actix_web::rt::spawn(signals.obey(running.handle(), service_manager::stopping));
    running.serve().await.map_err(|error| error.to_string())
}

fn check_config(settings: &Settings) -> Result<(), String> {
    for warning in &settings.warnings {
        output::tell(format_args!("warning: {warning}"));
    }
    backend::check(settings).map_err(|error| error.to_string())?;
    settings.tls.as_ref().map_or(Ok(()), tls::check).map_err(|error| error.to_string())?;
    output::print(&format!("The settings are good. The server's URL is {}.\n", settings.public_url))
}
