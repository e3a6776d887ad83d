//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use syncstorage_db_common::Clock;

use crate::backend::Migrated;
use crate::loopback::Loopback;
use crate::settings::{self, Scheme, Settings, SettingsError};
use crate::signals::StopSignals;
use crate::{backend, logging, server, service_manager, tls};

/// How long a health check waits for its answer.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(10);

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

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM, or Ctrl-C). The default.
    Serve,
    /// Ask the server that runs with these settings whether it and its database are well; for containers.
    Healthcheck,
    /// Check the settings and say what is wrong with them, without touching anything.
    CheckConfig,
    /// Bring the tables of the databases up to date, as serving does at its start, and print what was done.
    Migrate {
        /// Only print what there is to do.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print every setting with its description and default, as a settings file to start from.
    Settings,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve);
    if let Command::Settings = command {
        return print(settings::reference());
    }
    let settings = match settings::load(arguments.config.as_deref(), std::env::vars_os()) {
        Ok(settings) => settings,
        Err(error) => return wrong_settings(&error),
    };
    let result = match command {
        Command::Serve => serve(settings),
        Command::Healthcheck => healthcheck(&settings),
        Command::Migrate { dry_run } => migrate(&settings, dry_run),
        Command::CheckConfig | Command::Settings => return check_config(&settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("syncserver: {error}");
    ExitCode::FAILURE
}

fn wrong_settings(error: &SettingsError) -> ExitCode {
    fail(&format!("{error}\n\nRun `syncserver settings` for all settings and what they mean."))
}

/// Prints to the standard output; a reader that has had enough is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(&error.to_string()),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn serve(settings: Settings) -> Result<(), String> {
    let log = logging::logger(&settings);
    actix_web::rt::System::new().block_on(async move {
        // First of all: to be told to stop while it starts must not kill the process in the middle of something.
        let signals = StopSignals::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
        service_manager::status("Opening the databases");
        let running = server::start(settings, log.clone(), Clock::system()).await.map_err(|error| error.to_string())?;
        service_manager::supervise(&running, &log).map_err(|error| format!("cannot start a thread: {error}"))?;
        actix_web::rt::spawn(signals.obey(running.handle(), service_manager::stopping));
        running.serve().await.map_err(|error| error.to_string())
    })
}

fn migrate(settings: &Settings, dry_run: bool) -> Result<(), String> {
    let work = backend::migrate(settings, dry_run);
    let all = actix_web::rt::System::new().block_on(work).map_err(|error| error.to_string())?;
    for Migrated { database, migrations } in all {
        println!(
            "{}",
            match (migrations.is_empty(), dry_run) {
                (true, _) => format!("{database}: up to date"),
                (false, true) => format!("{database}: to be done: {}", migrations.join(", ")),
                (false, false) => format!("{database}: done: {}", migrations.join(", ")),
            }
        );
    }
    Ok(())
}

fn healthcheck(settings: &Settings) -> Result<(), String> {
    let scheme = if settings.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let server = Loopback::new(scheme, &settings.host, settings.port, HEALTHCHECK_TIMEOUT);
    let url = server.url("/__heartbeat__");
    let (status, body) = server.get("/__heartbeat__").map_err(|error| format!("{url} {error}"))?;
    if status == 200 { Ok(()) } else { Err(format!("{url} answers {status}: {body}")) }
}

fn check_config(settings: &Settings) -> ExitCode {
    for warning in &settings.warnings {
        eprintln!("warning: {warning}");
    }
    if let Err(error) = backend::check(settings) {
        return fail(&error.to_string());
    }
    if let Some(error) = settings.tls.as_ref().and_then(|files| tls::check(files).err()) {
        return fail(&error.to_string());
    }
    print(&format!("The settings are good. The server's URL is {}.\n", settings.public_url))
}
