//! How workers and the work in the background share the connections.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use network_engine::{Connection, Driver, Engine, EngineOptions};
use testdb::Database;

const WORKERS: usize = 2;

/// Takes connections until there are no more.
async fn take_all<C: Driver>(engine: &Engine<C>) -> Vec<Connection<C>> {
    let mut taken = Vec::new();
    while let Ok(conn) = engine.connection().await {
        taken.push(conn);
    }
    taken
}

/// How many connections each worker gets, and how many the runtime that opens the engine; and the most, as it is told.
fn shares<C: Driver>(database: &Database, max_size: usize) -> (Vec<usize>, usize, usize) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let home = runtime();
    let options =
        EngineOptions { max_size, workers: WORKERS, wait_limit: Duration::from_secs(3), ..EngineOptions::default() };
    let location = database.url().parse().unwrap();
    let engine = home.block_on(Engine::<C>::open(&location, options, Vec::new())).unwrap();
    let (all_taken, looked) = (Arc::new(Barrier::new(WORKERS + 1)), Arc::new(Barrier::new(WORKERS + 1)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (engine, all_taken, looked) = (Arc::clone(&engine), Arc::clone(&all_taken), Arc::clone(&looked));
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let taken = take_all(&engine).await;
                    all_taken.wait();
                    looked.wait();
                    taken.len()
                })
            })
        })
        .collect();
    let of_home = home.block_on(async {
        let taken = take_all(&engine).await;
        all_taken.wait();
        let status = engine.status();
        looked.wait();
        assert!(status.in_use <= status.max, "{status:?}");
        taken.len()
    });
    let of_workers = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    (of_workers, of_home, engine.status().max)
}

fn no_more_than_set<C: Driver>(database: &Database) {
    assert_eq!(shares::<C>(database, 7), (vec![3, 3], 1, 7));
    // Each needs one, and that is told, too.
    assert_eq!(shares::<C>(database, 1), (vec![1, 1], 1, 3));
}

#[test]
fn there_are_no_more_connections_to_postgres_than_set_and_one_for_the_background() {
    no_more_than_set::<AsyncPgConnection>(&testdb::postgres());
}

#[test]
fn there_are_no_more_connections_to_mysql_than_set_and_one_for_the_background() {
    no_more_than_set::<AsyncMysqlConnection>(&testdb::mysql());
}
