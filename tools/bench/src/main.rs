//! A load generator for Sync servers: how many requests a second, how fast, and at what cost to the server.
//!
//! It starts a server itself (`--spawn`) or loads one that runs (`--server`), makes users with some data, and runs
//! one scenario after the other. It shares the machine with the server, so it is kept cheap: requests are written into
//! buffers that are used again, and of the answers hardly more than the status and the length is read.
//!
//! With `--backend postgres` or `mysql` it also starts a database server, which has what is committed on its disk. On the
//! same one, in another database, it first measures prepared statements on single rows without a Sync server ([`bare`]):
//! they tell how far a Sync server could get on this machine, so that its own numbers can be compared between machines.
//! The CPU time of the database is that of all its processes together, with what they do in the background.

mod backend;
mod bare;
mod bare_client;
mod big;
mod cli;
mod client;
mod data;
mod load;
mod meter;
mod pages;
mod process;
mod report;
mod scenario;
mod server;
mod users;
mod worker;

use backend::DatabaseServer;
use clap::Parser as _;
use cli::Cli;
use client::Target;
use load::Work;
use meter::Meter;
use process::Process;
use report::{Report, Row};
use scenario::{Scenario, Statement};
use server::Server;
use std::process::ExitCode;
use std::time::Duration;
use users::User;
use worker::Load;

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
    // However the run ends, these are stopped when they go: the Sync server, then the database that it uses.
    let database = DatabaseServer::start(cli.backend, cli.connections)?;
    let mut spawned = None;
    let (target, process) = if let Some(binary) = &cli.spawn {
        let mut server = Server::new(binary, &secret, database.as_ref(), cli)?;
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
    if let Some(database) = &database {
        report.bare = bare::run(database, cli)?;
    }
    let meter = Meter { server: process, database: database.as_ref().map(|database| database.process) };
    let done = Run { cli, target, secret, meter }.measure(&mut report);
    if let Some(mut server) = spawned {
        if done.is_err() || !report.is_good() {
            eprintln!("the end of the server's log:\n{}", server.log_tail());
        }
        report.stop_ms = Some(millis(server.stop()?));
    }
    done.map(|()| report)
}

/// How many users write their first record.
const NEW_USERS: u32 = 1000;

/// What all scenarios have in common.
struct Run<'a> {
    cli: &'a Cli,
    target: Target,
    secret: String,
    meter: Meter,
}

impl Run<'_> {
    fn measure(&self, report: &mut Report) -> Result<()> {
        let users = User::make(&self.secret, &self.target, self.cli.first_uid, self.cli.users);
        let scenarios = self.cli.scenarios();
        if scenarios.iter().any(|scenario| scenario.needs_seed()) {
            eprintln!("seeding {} users", users.len());
            let seeded = load::run(&self.target, &users, self.cli, Work::Seed)?;
            if let Some(why) = seeded.first_failure {
                return Err(format!("could not seed the users: {why}").into());
            }
        }
        for scenario in scenarios {
            eprintln!("{scenario}");
            let mut rows = match scenario {
                Scenario::Big => {
                    let user = &self.others(0, 1)[0];
                    report.big = Some(big::run(&self.target, user, self.meter.server.as_ref(), self.cli)?);
                    Vec::new()
                }
                Scenario::NewUsers => {
                    let users = self.others(2, NEW_USERS);
                    vec![self.row(&scenario.to_string(), &users, Work::FirstRecords)?]
                }
                Scenario::Pages => {
                    let user = self.others(1, 1);
                    let pages = pages::prepare(&self.target, &user[0], self.cli)?;
                    let rows = pages.map(|(name, load)| self.repeated(name, &user, &load));
                    rows.into_iter().collect::<Result<_>>()?
                }
                _ => vec![self.repeated(&scenario.to_string(), &users, &Load::Scenario(scenario))?],
            };
            for row in &mut rows {
                let name = scenario.statement().map(Statement::name);
                if let Some(bare) = report.bare.iter().find(|bare| Some(bare.scenario.as_str()) == name) {
                    row.set_beside(bare);
                }
            }
            report.rows.extend(rows);
        }
        Ok(())
    }

    /// So many users who follow the usual ones, with so many between.
    fn others(&self, between: u64, count: u32) -> Vec<User> {
        let first = self.cli.first_uid + u64::from(self.cli.users) + between;
        User::make(&self.secret, &self.target, first, count)
    }

    /// Sends such requests for as long as the command line says, after a warm-up.
    fn repeated(&self, name: &str, users: &[User], load: &Load) -> Result<Row> {
        let work = |seconds| Work::Load(load.clone(), Duration::from_secs_f64(seconds));
        load::run(&self.target, users, self.cli, work(self.cli.warmup))?;
        self.row(name, users, work(self.cli.seconds))
    }

    fn row(&self, name: &str, users: &[User], work: Work) -> Result<Row> {
        load::measure(name, &self.target, users, self.cli, self.meter, work)
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
