//! Runs a scenario on all connections, and sums up.

use crate::Result;
use crate::cli::Cli;
use crate::client::Target;
use crate::process::Process;
use crate::report::Row;
use crate::scenario::Scenario;
use crate::users::User;
use crate::worker::{Tally, Worker};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Gives all users their first data.
pub(crate) fn seed(target: &Target, users: &[User], cli: &Cli) -> Result<Tally> {
    on_all_connections(target, users, cli, Job::Seed)
}

/// Runs a scenario for so long.
pub(crate) fn run(scenario: Scenario, target: &Target, users: &[User], cli: &Cli, duration: Duration) -> Result<Tally> {
    on_all_connections(target, users, cli, Job::Run(scenario, Instant::now() + duration))
}

/// Runs a scenario for as long as the command line says, and measures.
pub(crate) fn measure(
    scenario: Scenario,
    target: &Target,
    users: &[User],
    cli: &Cli,
    process: Option<&Process>,
) -> Result<Row> {
    let cpu = |of: Option<&Process>| of.map(|process| process.cpu()).transpose();
    let own = Process::own();
    let is_peak_of_scenario = process.is_some_and(|process| process.reset_peak());
    let (server_before, own_before, start) = (cpu(process)?, own.cpu()?, Instant::now());
    let mut tally = run(scenario, target, users, cli, Duration::from_secs_f64(cli.seconds))?;
    let (elapsed, server_after, own_after) = (start.elapsed(), cpu(process)?, own.cpu()?);

    if let Some(failure) = &tally.first_failure {
        eprintln!("{} failed, the first: {failure}", tally.failed);
    }
    tally.latencies.sort_unstable();
    let requests = tally.latencies.len();
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / requests.max(1) as f64;
    let seconds = elapsed.as_secs_f64();
    Ok(Row {
        scenario: scenario.to_string(),
        requests,
        failed: tally.failed,
        requests_per_second: requests as f64 / seconds,
        records_per_second: tally.records as f64 / seconds,
        p50_ms: quantile(&tally.latencies, 0.50),
        p99_ms: quantile(&tally.latencies, 0.99),
        max_ms: quantile(&tally.latencies, 1.0),
        server_cpu_us: server_after.zip(server_before).map(|(after, before)| each(after.saturating_sub(before))),
        client_cpu_us: each(own_after.saturating_sub(own_before)),
        rss_kb: process.map(|process| process.rss_kb()).transpose()?,
        peak_kb: process.map(|process| process.peak_kb()).transpose()?,
        is_peak_of_scenario,
    })
}

#[derive(Clone, Copy)]
enum Job {
    Seed,
    Run(Scenario, Instant),
}

fn on_all_connections(target: &Target, users: &[User], cli: &Cli, job: Job) -> Result<Tally> {
    let connections = cli.connections as usize;
    let shares: Vec<_> = (0..connections).map(|connection| share(users, connection, connections, job)).collect();
    let threads: Vec<_> = (0..cli.threads as usize)
        .map(|thread| {
            let mine: Vec<_> = shares.iter().cloned().enumerate().skip(thread).step_by(cli.threads as usize).collect();
            let target = target.clone();
            std::thread::spawn(move || on_this_thread(&target, mine, job))
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
fn share(users: &[User], connection: usize, connections: usize, job: Job) -> Vec<User> {
    let mine: Vec<_> = users.iter().skip(connection).step_by(connections).cloned().collect();
    match job {
        Job::Run(..) if mine.is_empty() => vec![users[connection % users.len()].clone()],
        Job::Run(..) | Job::Seed => mine,
    }
}

fn on_this_thread(target: &Target, shares: Vec<(usize, Vec<User>)>, job: Job) -> Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for (connection, users) in shares {
            if users.is_empty() {
                continue;
            }
            let worker = Worker::new(target, users, connection as u64).await?;
            workers.spawn(async move {
                match job {
                    Job::Seed => worker.seed().await,
                    Job::Run(scenario, until) => worker.run(scenario, until).await,
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

/// The value that this share of the sorted ones does not exceed, in ms.
fn quantile(sorted: &[u32], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert_eq!(quantile(&sorted, 0.5), 100.0);
        assert_eq!(quantile(&sorted, 0.99), 198.0);
        assert_eq!(quantile(&sorted, 1.0), 200.0);
        assert_eq!(quantile(&[7000], 0.5), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn every_user_is_seeded_once_and_every_connection_has_work() {
        let target = Target::parse("http://127.0.0.1:1").unwrap();
        let users = User::make("secret", &target, 1, 3);
        let run = Job::Run(Scenario::Info, Instant::now());
        let count = |job| (0..5).map(|connection| share(&users, connection, 5, job).len()).collect::<Vec<_>>();
        assert_eq!(count(Job::Seed), [1, 1, 1, 0, 0]);
        assert_eq!(count(run), [1, 1, 1, 1, 1]);
    }
}
