//! A load generator for Sync servers: how many requests a second, how fast, and at what cost to the server.
//!
//! It starts a server itself (`--spawn`) or loads one that runs (`--server`), makes users with some data, and runs
//! one scenario after the other. It shares the machine with the server, so it is kept cheap: requests are written into
//! buffers that are used again, and of the answers hardly more than the status and the length is read.

mod big;
mod cli;
mod client;
mod data;
mod load;
mod process;
mod report;
mod scenario;
mod server;
mod users;
mod worker;

use clap::Parser as _;
use cli::Cli;
use client::Target;
use process::Process;
use report::Report;
use scenario::Scenario;
use server::Server;
use std::process::ExitCode;
use std::time::Duration;
use users::User;

/// Any failure that ends the run, told to whoever started it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(report) => {
            if cli.json {
                println!("{}", report.json());
            } else {
                println!("{report}");
            }
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<Report> {
    let mut report = Report::default();
    let secret = cli.secret()?;
    // The server is stopped when this goes, however the run ends.
    let mut spawned = None;
    let (target, process) = if let Some(binary) = &cli.spawn {
        let mut server = Server::new(binary, &secret, cli)?;
        report.first_start_ms = Some(millis(server.start()?));
        server.stop()?;
        report.next_start_ms = Some(millis(server.start()?));
        let target = Target::parse(&server.url())?;
        let process = Process::new(server.pid()?);
        spawned = Some(server);
        (target, Some(process))
    } else {
        let url = cli.server.as_deref().ok_or("either --spawn or --server is needed")?;
        (Target::parse(url)?, cli.pid.map(Process::new))
    };
    let users = User::make(&secret, &target, cli.first_uid, cli.users);
    let done = measure(cli, &target, &secret, &users, process.as_ref(), &mut report);
    if let Some(mut server) = spawned {
        if done.is_err() || !report.is_good() {
            eprintln!("the end of the server's log:\n{}", server.log_tail());
        }
        report.stop_ms = Some(millis(server.stop()?));
    }
    done.map(|()| report)
}

fn measure(
    cli: &Cli,
    target: &Target,
    secret: &str,
    users: &[User],
    process: Option<&Process>,
    report: &mut Report,
) -> Result<()> {
    let scenarios = cli.scenarios();
    if scenarios.iter().any(|scenario| *scenario != Scenario::Big) {
        eprintln!("seeding {} users", users.len());
        let seeded = load::seed(target, users, cli)?;
        if let Some(why) = seeded.first_failure {
            return Err(format!("could not seed the users: {why}").into());
        }
    }
    for scenario in scenarios {
        eprintln!("{scenario}");
        if scenario == Scenario::Big {
            let uid = cli.first_uid + u64::from(cli.users);
            report.big = Some(big::run(target, &User::one(secret, target, uid), process, cli)?);
        } else {
            load::run(scenario, target, users, cli, Duration::from_secs_f64(cli.warmup))?;
            report.rows.push(load::measure(scenario, target, users, cli, process)?);
        }
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
