//! Servers that are there and do not answer, on both kinds.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use network_engine::{Engine, EngineOptions, Location, OpenError};
use syncstorage_db_common::Fault;
use testdb::{Options, Server};

use crate::kind::{Kind, on_both};

on_both! {
    a_frozen_server_is_unavailable_and_back_by_itself
    a_slow_read_is_given_up_unless_it_is_said_to_be_long
    a_server_that_accepts_and_says_nothing_is_out_of_reach
    a_pool_that_is_exhausted_is_told_from_a_server_that_is_silent
}

/// Of a statement.
const LIMIT: Duration = Duration::from_secs(3);

/// Nothing that is limited takes as long as this.
const FOR_EVER: Duration = Duration::from_secs(120);

const OPTIONS: EngineOptions = EngineOptions {
    max_size: 4,
    workers: 0,
    wait_limit: Duration::from_secs(2),
    statement_limit: Duration::from_secs(1),
    lifespan: None,
    max_idle: None,
};

async fn open<C: Kind>(url: &str) -> Arc<Engine<C>> {
    Engine::open(&url.parse().unwrap(), OPTIONS, Vec::new()).await.unwrap()
}

/// The words of a failure that is to be tried again later, and that comes within a limit.
async fn unavailable<T>(work: impl Future<Output = Result<T, Fault>>) -> String {
    match tokio::time::timeout(FOR_EVER, work).await.expect("a limit") {
        Ok(_) => panic!("it succeeded"),
        Err(Fault::Unavailable(why)) => why.to_string(),
        Err(other) => panic!("{other}"),
    }
}

async fn a_frozen_server_is_unavailable_and_back_by_itself<C: Kind>() {
    let server = Server::start(C::ENGINE, Options::default());
    let engine = open::<C>(&server.url()).await;
    let mut conn = engine.connection().await.unwrap();
    conn.batch("SELECT 1").await.unwrap();
    server.freeze();
    let why = unavailable(conn.batch("SELECT 1")).await;
    assert_eq!(why, format!("the database did not answer a statement within {} s", LIMIT.as_secs()));
    drop(conn);
    assert_eq!((engine.status().in_use, engine.status().idle), (0, 0), "the connection is given up");
    // There is none left, and no new one can be had.
    let why = unavailable(engine.read::<_, Fault, _>(|conn| conn.batch("SELECT 1").boxed())).await;
    assert_eq!(why, format!("the database {} did not answer within 2 s", engine.location()));
    let why = unavailable(engine.transaction::<_, Fault, _>("", |_| async { Ok(()) }.boxed())).await;
    assert!(why.contains("did not answer"), "{why}");
    assert_eq!(engine.status().refused, 0, "the pool is not too small");
    server.thaw();
    let begun = Instant::now();
    while let Err(error) = engine.check().await {
        assert!(begun.elapsed() < FOR_EVER, "{error}");
    }
}

async fn a_slow_read_is_given_up_unless_it_is_said_to_be_long<C: Kind>() {
    let database = C::database();
    let engine = open::<C>(database.url()).await;
    let limited = unavailable(engine.read::<_, Fault, _>(|conn| conn.batch(C::VERY_SLOW).boxed()));
    let write = engine.write::<_, Fault, _>(|conn| conn.batch(C::VERY_SLOW).boxed());
    let long = engine.read::<_, Fault, _>(|conn| conn.without_limit().batch(C::VERY_SLOW).boxed());
    let snapshot = async { engine.snapshot().await?.batch(C::VERY_SLOW).await };
    let (why, write, long, snapshot) = tokio::join!(limited, write, long, snapshot);
    assert!(why.contains("did not answer a statement"), "{why}");
    write.unwrap();
    long.unwrap();
    snapshot.unwrap();
}

async fn a_server_that_accepts_and_says_nothing_is_out_of_reach<C: Kind>() {
    // The system accepts for it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let location: Location = format!("{}://tester:secret@127.0.0.1:{port}/sync", C::SCHEME).parse().unwrap();
    let others = Engine::<C>::of_others(&location, OPTIONS);
    let (opened, why) = tokio::join!(
        tokio::time::timeout(FOR_EVER, Engine::<C>::open(&location, OPTIONS, Vec::new())),
        unavailable(others.has_table("users")),
    );
    let refused = opened.expect("a limit").err().unwrap();
    assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains("it did not answer within 10 s"), "{refused}");
    assert_eq!(why, format!("the database {location} did not answer within 2 s"));
    assert_eq!(others.status().refused, 0);
}

async fn a_pool_that_is_exhausted_is_told_from_a_server_that_is_silent<C: Kind>() {
    let database = C::database();
    let engine = open::<C>(database.url()).await;
    let mut held = Vec::new();
    while held.len() < OPTIONS.max_size {
        held.push(engine.connection().await.unwrap());
    }
    let why = unavailable(engine.check()).await;
    assert!(why.contains("all 4 database connections") && why.contains("database_pool_max_size"), "{why}");
    assert_eq!(engine.status().refused, 1);
}
