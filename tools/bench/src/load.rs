//! Runs a scenario on all connections, and sums up.

use crate::Result;
use crate::cli::Cli;
use crate::client::Target;
use crate::meter::Meter;
use crate::process::Process;
use crate::report::Row;
use crate::users::User;
use crate::worker::{Load, Tally, Worker};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What all connections do.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Give each user the data that most scenarios read.
    Seed,
    /// Write one record of each user.
    FirstRecords,
    /// Send such requests for so long.
    Load(Load, Duration),
}

/// Does it.
pub(crate) fn run(target: &Target, users: &[User], cli: &Cli, work: Work) -> Result<Tally> {
    on_all_connections(target, users, cli, &work.started())
}

/// Does it, and measures.
pub(crate) fn measure(name: &str, target: &Target, users: &[User], cli: &Cli, meter: Meter, work: Work) -> Result<Row> {
    let is_peak_of_scenario = meter.server.is_some_and(Process::reset_peak);
    let running = meter.start()?;
    let tally = run(target, users, cli, work)?;
    let mut row = Row::new(name, tally, running.stop()?);
    if let Some(server) = meter.server {
        row.rss_kb = Some(server.rss_kb()?);
        row.peak_kb = Some(server.peak_kb()?);
    }
    row.is_peak_of_scenario = is_peak_of_scenario;
    Ok(row)
}

/// Work, and when it ends.
#[derive(Clone, Debug)]
enum Job {
    Seed,
    FirstRecords,
    Load(Load, Instant),
}

impl Work {
    fn started(self) -> Job {
        match self {
            Work::Seed => Job::Seed,
            Work::FirstRecords => Job::FirstRecords,
            Work::Load(load, duration) => Job::Load(load, Instant::now() + duration),
        }
    }
}

fn on_all_connections(target: &Target, users: &[User], cli: &Cli, job: &Job) -> Result<Tally> {
    let connections = cli.connections as usize;
    let shares: Vec<_> = (0..connections).map(|connection| share(users, connection, connections, job)).collect();
    let threads: Vec<_> = (0..cli.threads as usize)
        .map(|thread| {
            let mine: Vec<_> = shares.iter().cloned().enumerate().skip(thread).step_by(cli.threads as usize).collect();
            let (target, job) = (target.clone(), job.clone());
            std::thread::spawn(move || on_this_thread(&target, mine, &job))
        })
        .collect();
    let mut sum = Tally::default();
    for thread in threads {
        sum.add(thread.join().map_err(|_| "a thread of the load generator panicked")??);
    }
    Ok(sum)
}

/// The users of one connection. No two connections have the same, so that users do not wait for themselves, unless
/// there are too few of them.
fn share(users: &[User], connection: usize, connections: usize, job: &Job) -> Vec<User> {
    let mine: Vec<_> = users.iter().skip(connection).step_by(connections).cloned().collect();
    match job {
        Job::Load(..) if mine.is_empty() => vec![users[connection % users.len()].clone()],
        Job::Load(..) | Job::Seed | Job::FirstRecords => mine,
    }
}

fn on_this_thread(target: &Target, shares: Vec<(usize, Vec<User>)>, job: &Job) -> Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for (connection, users) in shares {
            if users.is_empty() {
                continue;
            }
            let worker = Worker::new(target, users, connection as u64).await?;
            let job = job.clone();
            workers.spawn(async move {
                match job {
                    Job::Seed => worker.seed().await,
                    Job::FirstRecords => worker.first_records().await,
                    Job::Load(load, until) => worker.run(&load, until).await,
                }
            });
        }
        let mut sum = Tally::default();
        while let Some(tally) = workers.join_next().await {
            sum.add(tally?);
        }
        Ok(sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn every_user_is_seeded_once_and_every_connection_has_work() {
        let target = Target::parse("http://127.0.0.1:1").unwrap();
        let users = User::make("secret", &target, 1, 3);
        let load = Job::Load(Load::Scenario(Scenario::Info), Instant::now());
        let count = |job: &Job| (0..5).map(|connection| share(&users, connection, 5, job).len()).collect::<Vec<_>>();
        assert_eq!(count(&Job::Seed), [1, 1, 1, 0, 0]);
        assert_eq!(count(&Job::FirstRecords), [1, 1, 1, 0, 0]);
        assert_eq!(count(&load), [1, 1, 1, 1, 1]);
    }
}
