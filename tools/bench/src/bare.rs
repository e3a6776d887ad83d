//! What the database does without a Sync server before it: prepared statements on single rows, by as many connections as
//! the Sync server gets.
//!
//! The table is like the storage's, with the same primary key, but with none of its other indexes, no bookkeeping beside
//! it and no transaction around the statements. Nothing that stores records one by one can do with less.

use crate::Result;
use crate::backend::DatabaseServer;
use crate::bare_client::{BareClient, Key};
use crate::cli::Cli;
use crate::data::{Numbers, Payloads, USUAL_PAYLOAD};
use crate::meter::Meter;
use crate::report::Row;
use crate::scenario::Statement;
use crate::worker::Tally;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use testdb::Engine;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// The rows that are there from the start, and that are read and written.
const USERS: u64 = 200;
const ROWS_EACH: u64 = 100;
/// How many users' rows are put in at once.
const USERS_AT_ONCE: u64 = 10;

/// Measures each statement.
pub(crate) fn run(database: &DatabaseServer, cli: &Cli) -> Result<Vec<Row>> {
    fill(database);
    let mut threads = connect(database, cli)?;
    let meter = Meter { server: None, database: Some(database.process) };
    let mut rows = Vec::new();
    for statement in Statement::EACH {
        eprintln!("{}", statement.name());
        on_all_connections(&mut threads, statement, Duration::from_secs_f64(cli.warmup))?;
        let running = meter.start()?;
        let tally = on_all_connections(&mut threads, statement, Duration::from_secs_f64(cli.seconds))?;
        rows.push(Row::new(statement.name(), tally, running.stop()?));
    }
    Ok(rows)
}

/// Makes the table and its rows.
fn fill(database: &DatabaseServer) {
    let engine = database.engine;
    database.bare.execute(crate::bare_client::table(engine));
    let payloads = Payloads::up_to(USUAL_PAYLOAD);
    let mut text = String::new();
    for first in (0..USERS).step_by(USERS_AT_ONCE as usize) {
        text.clear();
        text.push_str("INSERT INTO bare (user_id, collection_id, bso_id, payload, modified, expiry) VALUES ");
        for number in first * ROWS_EACH..(first + USERS_AT_ONCE) * ROWS_EACH {
            let Key { user, id, .. } = key(number);
            let comma = if number == first * ROWS_EACH { "" } else { "," };
            let payload = payloads.noise(USUAL_PAYLOAD);
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}({user},{},'{id}','{payload}',0,0)", Key::COLLECTION);
        }
        database.bare.execute(&text);
    }
    // Else it comes of itself, in the middle of a measurement.
    database.bare.execute(match engine {
        Engine::Postgres => "VACUUM ANALYZE bare",
        Engine::Mysql => "ANALYZE TABLE bare",
    });
}

/// A row by its number: all of one user's follow each other.
fn key(number: u64) -> Key {
    let user = i64::try_from(number / ROWS_EACH).unwrap_or(0) + 1;
    Key { user, id: format!("bkm-{:08}", number % ROWS_EACH) }
}

/// A thread's connections, and the runtime that they live in.
type Thread = (Runtime, Vec<Connection>);

struct Connection {
    client: BareClient,
    numbers: Numbers,
    payloads: Payloads,
}

fn connect(database: &DatabaseServer, cli: &Cli) -> Result<Vec<Thread>> {
    let mut threads = Vec::new();
    for thread in 0..cli.threads {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut connections = Vec::new();
        for connection in (thread..cli.connections).step_by(cli.threads as usize) {
            let client = runtime.block_on(BareClient::connect(database.engine, database.bare.url()))?;
            let (numbers, payloads) = (Numbers::new(connection.into()), Payloads::up_to(USUAL_PAYLOAD));
            connections.push(Connection { client, numbers, payloads });
        }
        threads.push((runtime, connections));
    }
    Ok(threads)
}

fn on_all_connections(threads: &mut [Thread], statement: Statement, duration: Duration) -> Result<Tally> {
    let until = Instant::now() + duration;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            threads.iter_mut().map(|thread| scope.spawn(move || on_this_thread(thread, statement, until))).collect();
        let mut sum = Tally::default();
        for thread in running {
            sum.add(thread.join().map_err(|_| "a thread of the load generator panicked")??);
        }
        Ok(sum)
    })
}

fn on_this_thread((runtime, connections): &mut Thread, statement: Statement, until: Instant) -> Result<Tally> {
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for connection in connections.drain(..) {
            tasks.spawn(connection.run(statement, until));
        }
        let mut sum = Tally::default();
        while let Some(done) = tasks.join_next().await {
            let (connection, tally) = done?;
            connections.push(connection);
            sum.add(tally);
        }
        Ok(sum)
    })
}

impl Connection {
    /// Runs a statement on random rows until then.
    async fn run(mut self, statement: Statement, until: Instant) -> (Connection, Tally) {
        let mut tally = Tally::default();
        while Instant::now() < until {
            let keys = self.keys(statement);
            let start = Instant::now();
            let done = match statement {
                Statement::Select => self.client.select(&keys[0], USUAL_PAYLOAD).await,
                Statement::Upsert | Statement::Upsert10 => {
                    let payloads: Vec<String> =
                        keys.iter().map(|_| self.payloads.noise(USUAL_PAYLOAD).to_owned()).collect();
                    let now = i64::try_from(testclient::now().as_millis()).unwrap_or(i64::MAX);
                    self.client.upsert(&keys, &payloads, now).await
                }
            };
            let took = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
            match done {
                Ok(()) => {
                    tally.latencies.push(took);
                    tally.records += keys.len() as u64;
                }
                Err(error) => {
                    tally.failed += 1;
                    tally.first_failure.get_or_insert(format!("{}: {error}", statement.name()));
                    // A connection that is lost stays lost, and this would only fail faster and faster.
                    break;
                }
            }
        }
        (self, tally)
    }

    /// The rows of the next statement: a random one, or as many that follow a random one of the same user. They are in
    /// their order, so that two statements never wait for each other.
    fn keys(&mut self, statement: Statement) -> Vec<Key> {
        let count = statement.rows();
        let first = self.numbers.below(USERS) * ROWS_EACH + self.numbers.below(ROWS_EACH - count + 1);
        (first..first + count).map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_users_times_records() {
        assert_eq!(key(0), Key { user: 1, id: "bkm-00000000".to_owned() });
        assert_eq!(key(199), Key { user: 2, id: "bkm-00000099".to_owned() });
        assert_eq!(key(USERS * ROWS_EACH - 1).user, 200);
    }
}
